/* (b) An integer mix as compiled code has it: sorting, hashing, a checksum by table, division, bits, recursion, bytes.
 * Within 16 KiB of data. One round is one pass over all of them.
 */
#include "guest.h"

enum { COUNT = 256 };
static uint32_t numbers[COUNT], crc_table[256];
static uint8_t text[1024];
static struct {
    uint32_t key, uses;
} slots[512];

static void shell_sort(uint32_t *a, int n)
{
    for (int gap = n / 2; gap > 0; gap /= 2) {
        for (int i = gap; i < n; i++) {
            uint32_t x = a[i];
            int j = i;
            for (; j >= gap && a[j - gap] > x; j -= gap) {
                a[j] = a[j - gap];
            }
            a[j] = x;
        }
    }
}

static void crc_table_make(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) {
            c = c & 1 ? 0xedb88320 ^ c >> 1 : c >> 1;
        }
        crc_table[i] = c;
    }
}

static uint32_t crc(const uint8_t *bytes, size_t n)
{
    uint32_t c = ~0u;
    while (n-- > 0) {
        c = crc_table[(c ^ *bytes++) & 255] ^ c >> 8;
    }
    return ~c;
}

static uint32_t hash_count(uint32_t key)
{
    uint32_t at = key * 0x9e3779b1 >> 23;
    while (slots[at].uses != 0 && slots[at].key != key) {
        at = (at + 1) & 511;
    }
    slots[at].key = key;
    return ++slots[at].uses;
}

static __attribute__((noinline)) uint64_t fibonacci(unsigned n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static size_t words(const uint8_t *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 1; i < n; i++) {
        count += s[i] != ' ' && s[i - 1] == ' ';
    }
    return count;
}

uint64_t main(void)
{
    uint64_t state = 0x9e3779b97f4a7c15, sum = 0;
    crc_table_make();
    for (uint64_t round = rounds(); round > 0; round--) {
        for (int i = 0; i < COUNT; i++) {
            numbers[i] = (uint32_t)random_next(&state);
        }
        for (size_t i = 0; i < sizeof text; i++) {
            text[i] = (uint8_t)(32 + (numbers[i & (COUNT - 1)] >> (i & 24)) % 7);
        }
        shell_sort(numbers, COUNT);
        for (int i = 0; i < COUNT; i++) {
            sum += hash_count(numbers[i] & 0xff) ^ (uint64_t)__builtin_clzll(numbers[i] | 1) << 8;
        }
        sum ^= (uint64_t)crc(text, sizeof text) << 16;
        sum += fibonacci(12) + gcd(state | 1, sum | 1) + words(text, sizeof text);
        sum = sum << 9 | sum >> 55;
    }
    return sum;
}
