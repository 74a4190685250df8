/* What each engine advertises: the CPUID leaves that cpu/features.def names, as lines "leaf eax ebx ecx edx" before the
 * checksum.
 */
#include "guest.h"

static void print(char c)
{
    __asm__ volatile("outb %0, $0xe9" : : "a"(c));
}

static void print_hex(uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4) {
        print("0123456789abcdef"[value >> shift & 15]);
    }
    print(' ');
}

uint64_t main(void)
{
    static const uint32_t leaves[] = {1, 6, 7, 0x80000001, 0x80000007, 0x80000008};
    uint32_t highest[2], ignored;
    __asm__("cpuid" : "=a"(highest[0]), "=b"(ignored) : "a"(0) : "ecx", "edx");
    __asm__("cpuid" : "=a"(highest[1]), "=b"(ignored) : "a"(0x80000000) : "ecx", "edx");
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        uint32_t a = 0, b = 0, c = 0, d = 0;
        if (leaves[i] <= highest[leaves[i] >> 31]) {
            __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaves[i]), "c"(0));
        }
        print_hex(leaves[i]);
        print_hex(a);
        print_hex(b);
        print_hex(c);
        print_hex(d);
        print('\n');
    }
    return rounds();
}
