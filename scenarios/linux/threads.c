/* A process of many threads, as /init: one on each CPU, all looking at one page that the first keeps replacing.
 *
 * A thread that still sees the page of the round before has a translation that the kernel asked every CPU to forget: by
 * hypercall, where the hypervisor recommends it. Says "RESULT threads ok" or "RESULT threads fail" and powers off.
 * Freestanding: system calls only. gcc -O2 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pic -no-pie -o threads
 * threads.c
 */
enum { THREADS_MAX = 256, ROUNDS = 400, STACK_BYTES = 8192, PAGE_BYTES = 4096 };
enum {
    SYS_WRITE = 1,
    SYS_MMAP = 9,
    SYS_MREMAP = 25,
    SYS_CLONE = 56,
    SYS_REBOOT = 169,
    SYS_SCHED_SETAFFINITY = 203,
    SYS_SCHED_GETAFFINITY = 204
};
#define PAGE ((volatile unsigned long *)0x200000000)
#define PAGES 0x300000000 /* one for each round */

static volatile unsigned long round_now, stale;
static volatile unsigned long seen[THREADS_MAX][8]; /* a cache line each */
static char stacks[THREADS_MAX][STACK_BYTES] __attribute__((aligned(16)));

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return number;
}

static void say(const char *text)
{
    long bytes = 0;
    while (text[bytes] != '\0') {
        bytes++;
    }
    call(SYS_WRITE, 1, (long)text, bytes, 0, 0, 0);
}

static void stay_on(unsigned cpu)
{
    unsigned long mask[THREADS_MAX / 64] = {0};
    mask[cpu / 64] = 1UL << cpu % 64;
    call(SYS_SCHED_SETAFFINITY, 0, sizeof mask, (long)mask, 0, 0, 0);
}

/* Never returns. It does not sleep: what its CPU translates stays the process's. */
__attribute__((used)) static void look(unsigned long cpu)
{
    stay_on((unsigned)cpu);
    for (unsigned long last = 0;;) {
        unsigned long now = round_now;
        if (now == last) {
            __asm__ volatile("pause");
            continue;
        }
        if (*PAGE != now) {
            stale++;
        }
        last = now;
        seen[cpu][0] = now;
    }
}

/* The child begins with an empty stack: look(cpu) from there. */
static void start(unsigned long cpu)
{
    const long flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000; /* VM FS FILES SIGHAND THREAD SYSVSEM */
    long number = SYS_CLONE;
    register unsigned long keep __asm__("r12") = cpu;
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tmov %%r12, %%rdi\n\tcall look\n1:"
                     : "+a"(number)
                     : "D"(flags), "S"(stacks[cpu] + STACK_BYTES), "d"(0), "r"(keep)
                     : "rcx", "r11", "memory");
}

static unsigned cpus(void)
{
    unsigned long mask[THREADS_MAX / 64] = {0};
    unsigned count = 0;
    call(SYS_SCHED_GETAFFINITY, 0, sizeof mask, (long)mask, 0, 0, 0);
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        count += mask[i / 64] >> i % 64 & 1;
    }
    return count;
}

/* All pages are there from the start: none can be in the frame of the one it replaces, which would hide a stale translation. */
static void make_pages(void)
{
    call(SYS_MMAP, PAGES, (long)ROUNDS * PAGE_BYTES, 3 /* read, write */, 0x32 /* private, anonymous, fixed */, -1, 0);
    for (unsigned long i = 1; i <= ROUNDS; i++) {
        *(volatile unsigned long *)(PAGES + (i - 1) * PAGE_BYTES) = i;
    }
}

/* The round's page takes the place of the one before, which the others may still have translated. */
static void replace(unsigned long now)
{
    call(SYS_MREMAP, (long)(PAGES + (now - 1) * PAGE_BYTES), PAGE_BYTES, PAGE_BYTES, 3 /* may move, fixed */, (long)PAGE, 0);
}

__attribute__((used)) static void run(void)
{
    unsigned count = cpus();
    stay_on(0);
    make_pages();
    for (unsigned cpu = 1; cpu < count; cpu++) {
        start(cpu);
    }
    for (unsigned long now = 1; now <= ROUNDS; now++) {
        replace(now);
        round_now = now;
        for (unsigned cpu = 1; cpu < count; cpu++) {
            while (seen[cpu][0] != now) {
                __asm__ volatile("pause");
            }
        }
    }
    say(stale == 0 ? "RESULT threads ok\n" : "RESULT threads fail\n");
    call(SYS_REBOOT, (int)0xfee1dead, 672274793, 0x4321fedc, 0, 0, 0); /* power off */
}

__asm__(".globl _start\n_start:\n\tand $-16, %rsp\n\tcall run\n");
