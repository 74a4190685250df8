/* What a probe sees of the kit: tests and expectations, and helpers to ask a hypervisor questions.
 *
 * A probe is one C file of TESTs; README.md in the folder above is its manual. Everything runs at CPL0 in 64-bit mode, memory
 * is identity mapped (readable, writable, executable, user), interrupts are off when a test starts. Code uses no SSE register
 * of its own accord (-mgeneral-regs-only), so a test may put anything there.
 */
#ifndef KIT_KIT_H
#define KIT_KIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hv.h"

#define ARRAY_COUNT(a) (sizeof(a) / sizeof(a)[0])
enum { PAGE_BYTES = 4096, KIT_VPS_MAX = 240, CLAUSES_MAX = 16 };

/* ---- tests (test.c) ---- */

struct kit_test {
    const char *name;
    void (*run)(void);
    int line;
    const char *clauses[CLAUSES_MAX];
};

/* TEST(name, "clause.id", ...) { ... } */
#define TEST(id, ...)                                                                                                          \
    static void test_##id(void);                                                                                               \
    static const struct kit_test kit_test_##id = {#id, test_##id, __LINE__, {__VA_ARGS__}};                                    \
    static const struct kit_test *const kit_entry_##id __attribute__((used, section("kit_tests"))) = &kit_test_##id;           \
    static void test_##id(void)

/* Judge all clauses of the test, or one of them. The optional text (a printf format) says what was seen. A failed expectation
 * does not end the test; REQUIRE ends it. */
#define EXPECT(condition, ...) kit_expect(NULL, (condition), __FILE_NAME__, __LINE__, #condition, "" __VA_ARGS__)
#define EXPECT_FOR(clause, condition, ...) kit_expect(clause, (condition), __FILE_NAME__, __LINE__, #condition, "" __VA_ARGS__)
#define EXPECT_EQ(got, want) kit_expect_eq(NULL, (uint64_t)(got), (uint64_t)(want), __FILE_NAME__, __LINE__)
#define EXPECT_EQ_FOR(clause, got, want) kit_expect_eq(clause, (uint64_t)(got), (uint64_t)(want), __FILE_NAME__, __LINE__)
#define REQUIRE(condition, ...)                                                                                                \
    do {                                                                                                                       \
        if (!EXPECT(condition, ##__VA_ARGS__)) {                                                                               \
            return;                                                                                                            \
        }                                                                                                                      \
    } while (0)

/* Without the bit, outside the editions (both inclusive), or without the condition: the test's clauses are not supported. */
#define NEEDS(bit)                                                                                                             \
    do {                                                                                                                       \
        if (!has(bit)) {                                                                                                       \
            skip("%s is not announced", #bit);                                                                                 \
            return;                                                                                                            \
        }                                                                                                                      \
    } while (0)
#define NEEDS_EDITION(first, last)                                                                                             \
    do {                                                                                                                       \
        if (edition() < (first) || edition() > (last)) {                                                                       \
            skip("not of edition %u", edition());                                                                              \
            return;                                                                                                            \
        }                                                                                                                      \
    } while (0)
#define NEEDS_THAT(condition, ...)                                                                                             \
    do {                                                                                                                       \
        if (!(condition)) {                                                                                                    \
            skip(__VA_ARGS__);                                                                                                 \
            return;                                                                                                            \
        }                                                                                                                      \
    } while (0)

bool kit_expect(const char *clause, bool holds, const char *file, int line, const char *what, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
bool kit_expect_eq(const char *clause, uint64_t got, uint64_t want, const char *file, int line);
void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
void skip_for(const char *clause, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The test cannot judge: the run is not what it needs. */
void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
void note(const char *format, ...) __attribute__((format(printf, 1, 2))); /* a diagnostic line, "# ..." */

/* A probe may define it: runs before the report begins, in a run that does not only list. What ends the run there, such as a
 * reset, leaves no half of a report. */
void probe_before_report(void) __attribute__((weak));

/* ---- the command line (boot.c) ---- */

uint64_t arg(const char *name); /* NAME=NUMBER, decimal or 0x; 0 without */
bool arg_present(const char *name);
unsigned edition(void); /* edition=60; 6.0 without */
bool profile_is(const char *name);

/* ---- CPUID and MSRs (hv.c, traps.S) ---- */

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};
struct cpuid cpuid(uint32_t leaf, uint32_t subleaf);
bool hv_signs(void);       /* "Hv#1", whether or not the present bit is there */
bool hv_present(void);     /* both */
bool has(enum hv_bit bit); /* announced by CPUID, under a hypervisor with "Hv#1" */

enum vector {
    VEC_DE = 0,
    VEC_DB = 1,
    VEC_NMI = 2,
    VEC_BP = 3,
    VEC_UD = 6,
    VEC_NM = 7,
    VEC_DF = 8,
    VEC_TS = 10,
    VEC_NP = 11,
    VEC_SS = 12,
    VEC_GP = 13,
    VEC_PF = 14,
    VEC_MF = 16,
    VEC_AC = 17,
    VEC_XM = 19,
    NO_FAULT = 256,
};

/* The vector of the fault, or NO_FAULT. */
unsigned rdmsr_try(uint32_t msr, uint64_t *value);
unsigned wrmsr_try(uint32_t msr, uint64_t value);

static inline uint64_t rdmsr(uint32_t msr) /* a fault fails the test */
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr) : "memory");
}

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

static inline void pause(void)
{
    __asm__ volatile("pause" ::: "memory");
}

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

/* ---- faults and other modes (traps.c, modes.c) ---- */

typedef void kit_fn(void *arg);

struct fault {
    unsigned vector; /* NO_FAULT: none */
    uint64_t error, cr2, rip;
};

/* Runs fn and brings back the first exception in it. Nests. What fn changed stays changed; interrupts are as they were. */
struct fault try_run(kit_fn *fn, void *arg);
struct fault run_at_cpl3(kit_fn *fn, void *arg); /* on a stack of its own; fn must not call what needs CPL0 */

/* Machine code in another mode, with general registers in and out, CPL0, interrupts off, until it falls off its end. Only the
 * VP with index 0 may. The code must not need its address: it runs from a copy below 64 KiB. */
struct regs32 {
    uint32_t eax, ebx, ecx, edx, esi, edi;
};
struct fault run_in_16bit_real(const void *code, size_t bytes, struct regs32 *r);   /* real mode */
struct fault run_in_32bit(const void *code, size_t bytes, struct regs32 *r);        /* protected mode, flat, paging off */
struct fault run_in_32bit_compat(const void *code, size_t bytes, struct regs32 *r); /* compatibility mode */

/* The bytes of a piece of assembler: KIT_CODE(name, 32, "vmcall") defines name[] and name_end[]. */
#define KIT_CODE(name, bits, text)                                                                                             \
    extern const uint8_t name[], name##_end[];                                                                                 \
    __asm__(".pushsection .rodata\n.code" #bits "\n" #name ":\n" text "\n" #name "_end:\n.code64\n.popsection\n")

/* ---- memory (memory.c) ---- */

void *page_alloc(void); /* zeroed; back when the test ends */
void *pages_alloc(unsigned count);
uint64_t memory_bytes(void); /* of RAM from 0 on, to where the first hole above 1 MiB begins */
static inline uint64_t gpa_of(const volatile void *p)
{
    return (uint64_t)p;
}

enum { MAP_READ = 0, MAP_WRITE = 2, MAP_USER = 4, MAP_GLOBAL = 0x100 };
#define MAP_NX (1ULL << 63)
#define KIT_GVA 0x8000000000ULL /* a good place to map things: 512 GiB, nothing else is there */
/* 4 KiB at gva; also below 4 GiB, where the identity mapping lies. Both flush the page on this VP only. */
void map(uint64_t gva, uint64_t gpa, uint64_t flags);
void unmap(uint64_t gva);
volatile uint64_t *pte_of(uint64_t gva); /* its entry, of a page that map() or unmap() has made 4 KiB; flushes nothing */
void *memset(void *to, int byte, size_t bytes);
void *memcpy(void *to, const void *from, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
bool streq(const char *a, const char *b);

/* ---- hypercalls (hv.c, call.S) ---- */

#define HV_KIT_GUEST_OS_ID 0x8200000000010000ULL /* open source, a system of its own, version 1 */

bool hv_enable(void);   /* OS id and hypercall page; false when an MSR refused */
void hv_disable(void);  /* page off, OS id zero; a refusal does not matter */
uint64_t hv_page(void); /* GPA of the hypercall page */

/* All registers before and after a call of the hypercall page, which hv_enable() put there. */
struct hv_regs {
    uint64_t rax, rcx, rdx, rbx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rflags;
    uint64_t xmm[16][2];
};
void hv_call_regs(struct hv_regs *r);
unsigned hv_call_regs_try(struct hv_regs *r); /* vector or NO_FAULT */

uint64_t hv_call(uint64_t control, uint64_t in_gpa, uint64_t out_gpa);
unsigned hv_call_try(uint64_t control, uint64_t in_gpa, uint64_t out_gpa, uint64_t *result);
uint64_t hv_fast(uint64_t code, uint64_t a, uint64_t b); /* sets the fast bit */
/* A fast call with input in RDX, R8, XMM0-5 (14 quadwords) and those registers after it; out may be NULL. */
uint64_t hv_call_xmm(uint64_t control, const uint64_t in[14], uint64_t out[14]);

/* ---- SynIC of the VP that runs (hv.c) ---- */

bool synic_enable(void); /* message and event pages, SCONTROL; false when an MSR refused */
struct hv_message *message_slot(unsigned sint);
volatile uint64_t *event_flags(unsigned sint); /* 2048 bits */
/* Empties the slot, and writes EOM when a message is pending behind it. */
void message_done(unsigned sint);
uint64_t simp(void);
uint64_t siefp(void);

/* ---- processors (smp.c) ---- */

unsigned vp_count(void); /* local APICs that the MADT lists as enabled */
unsigned this_vp(void);  /* 0 is the one that booted; the order is the MADT's. Not the hypervisor's VP index */
uint8_t vp_apic_id(unsigned vp);
void smp_start(void);                           /* all of them; a test that needs more than one calls it first */
void on_vp(unsigned vp, kit_fn *fn, void *arg); /* and waits; its fault fails the test. vp may be this one */
struct fault on_vp_try(unsigned vp, kit_fn *fn, void *arg);
void on_vp_async(unsigned vp, kit_fn *fn, void *arg);
void vp_wait(unsigned vp); /* for on_vp_async() */
bool vp_done(unsigned vp);

const void *acpi_table(const char *signature); /* by RSDT or XSDT; NULL without. FADT is "FACP" */

/* ---- interrupts (traps.c, apic.c) ---- */

/* From vector 32 on every interrupt is counted and ends with an EOI at the local APIC, also without irq_on(). */
typedef void irq_fn(unsigned vector);
void irq_on(unsigned vector, irq_fn *fn); /* NULL: only count */
void irq_eoi(unsigned vector, bool eoi);  /* false: the handler sees to it, or nobody */
unsigned irq_count(unsigned vector);      /* on all VPs since the test began */
unsigned irq_count_on(unsigned vp, unsigned vector);
bool irqs(bool on); /* of this VP; what was before */
/* 32-254 are free but for these. */
enum { VECTOR_KICK = 0xfb, VECTOR_TICK = 0xfc, VECTOR_CPL3_DONE = 0xfd, VECTOR_SPURIOUS = 0xff };

enum {
    LAPIC_ID = 0x20,
    LAPIC_TPR = 0x80,
    LAPIC_PPR = 0xa0,
    LAPIC_EOI = 0xb0,
    LAPIC_LDR = 0xd0,
    LAPIC_DFR = 0xe0,
    LAPIC_SVR = 0xf0,
    LAPIC_ISR = 0x100,
    LAPIC_IRR = 0x200,
    LAPIC_ICR = 0x300,
    LAPIC_ICR_HIGH = 0x310,
    LAPIC_LVT_TIMER = 0x320,
    LAPIC_LVT_LINT0 = 0x350,
    LAPIC_LVT_LINT1 = 0x360,
    LAPIC_TIMER_INITIAL = 0x380,
    LAPIC_TIMER_CURRENT = 0x390,
    LAPIC_TIMER_DIVIDE = 0x3e0,
};
uint32_t lapic_read(unsigned reg); /* of this VP, by MMIO (xAPIC mode) */
void lapic_write(unsigned reg, uint32_t value);
bool lapic_bit(unsigned reg, unsigned vector); /* of IRR or ISR */
void ipi(unsigned vp, unsigned vector);
void ipi_nmi(unsigned vp);
unsigned nmi_count(void); /* since the test began, outside try_run() */

/* ---- time (time.c) ---- */

uint64_t ref_time(void);        /* HV_X64_MSR_TIME_REF_COUNT: needs its privilege */
uint64_t tsc_hz(void);          /* by the hypervisor's word, else by its counter, else by the PIT */
uint64_t now_100ns(void);       /* by the TSC */
void spin_100ns(uint64_t time); /* interrupts as they are */
/* Until the expression holds: true; false when the time has passed first. Sleeps by HLT when interrupts are on. */
#define WAIT_FOR(expression, timeout_100ns)                                                                                    \
    __extension__({                                                                                                            \
        uint64_t kit_deadline = now_100ns() + (timeout_100ns);                                                                 \
        bool kit_holds;                                                                                                        \
        while (!(kit_holds = (expression)) && kit_relax(kit_deadline)) {                                                       \
        }                                                                                                                      \
        kit_holds;                                                                                                             \
    })
bool wait_until(bool (*condition)(void), uint64_t timeout_100ns);
bool kit_relax(uint64_t deadline_100ns); /* false from the deadline on */
#define MS_100NS 10000ULL
#define US_100NS 10ULL

/* ---- between tests (test.c) ---- */

void probe_start(void); /* a probe may define it: runs before the report begins */

void kit_quiet(void); /* this VP: timers off, SINTs masked, pages gone, interrupts off */

#endif
