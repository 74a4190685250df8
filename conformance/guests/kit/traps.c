/* Exceptions and interrupts: the IDT, recovery by try_run(), CPL3, counters and handlers of vectors.
 *
 * An exception is first looked up among the instructions that may fault (entries.S), then ends the innermost try_run() of its
 * VP, and without one ends the probe. A VP is known by its task register: each has a TSS of its own.
 */
#include "parts.h"

extern const uint8_t kit_entries[];
extern const uint64_t kit_fixups[], kit_fixups_end[];

enum { ENTRY_BYTES = 16, GATE_INTERRUPT = 0x8e00, GATE_USER = 0x6000, TSS_AVAILABLE = 0x89, EXCEPTIONS = 32 };

struct kit_vp kit_vps[KIT_VPS_MAX];
static struct {
    uint64_t low, high;
} idt[256];
static struct {
    irq_fn *fn;
    bool no_eoi;
} vectors[256];
static volatile uint32_t irq_total[256], nmi_total;

unsigned this_vp(void)
{
    uint16_t selector;
    __asm__ volatile("str %0" : "=r"(selector));
    return (selector - SEL_TSS) / 16u;
}

static void gate_set(unsigned vector, unsigned ist, unsigned attributes)
{
    uint64_t at = (uint64_t)(kit_entries + vector * ENTRY_BYTES);
    idt[vector].low =
        (at & 0xffff) | (uint64_t)SEL_CODE64 << 16 | (uint64_t)(attributes | ist) << 32 | (at >> 16 & 0xffff) << 48;
    idt[vector].high = at >> 32;
}

static void idt_load(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } pointer = {sizeof idt - 1, (uint64_t)idt};
    __asm__ volatile("lidt %0" ::"m"(pointer));
}

/* NMI and double fault have a stack of their own. */
void kit_tss_load(unsigned vp, uint64_t stack_top, uint64_t ist_top)
{
    struct kit_tss *t = &kit_vps[vp].tss;
    memset(t, 0, sizeof *t);
    t->rsp[0] = stack_top;
    t->ist[0] = ist_top;
    t->io_map = sizeof *t;
    uint64_t base = (uint64_t)t;
    uint64_t *d = &kit_gdt[SEL_TSS / 8 + 2 * vp];
    d[0] = (sizeof *t - 1) | (base & 0xffffff) << 16 | (uint64_t)TSS_AVAILABLE << 40 | (base >> 24 & 0xff) << 56;
    d[1] = base >> 32;
    __asm__ volatile("ltr %0" ::"r"((uint16_t)(SEL_TSS + 16 * vp)));
    idt_load();
}

void kit_traps_start(void)
{
    static uint8_t ist[PAGE_BYTES] __attribute__((aligned(16)));
    for (unsigned v = 0; v < 256; v++) {
        gate_set(v, v == VEC_NMI || v == VEC_DF, GATE_INTERRUPT);
    }
    gate_set(VECTOR_CPL3_DONE, 0, GATE_INTERRUPT | GATE_USER);
    gate_set(VEC_BP, 0, GATE_INTERRUPT | GATE_USER);
    kit_vps[0].state = VP_BUSY;
    kit_vps[0].stack_top = (uint64_t)kit_stack_end - 8192; /* the upper half is for what runs before */
    kit_tss_load(0, kit_vps[0].stack_top, (uint64_t)ist + sizeof ist);
}

static void interrupt(unsigned vector)
{
    __atomic_fetch_add(&irq_total[vector], 1, __ATOMIC_SEQ_CST);
    kit_vps[this_vp()].irq_counts[vector]++;
    if (vectors[vector].fn != NULL) {
        vectors[vector].fn(vector);
    }
    if (!vectors[vector].no_eoi && vector != VECTOR_SPURIOUS) {
        lapic_write(LAPIC_EOI, 0);
    }
}

__attribute__((noreturn)) static void recover(struct kit_vp *v, struct fault fault)
{
    struct kit_recovery *r = v->recovery;
    r->fault = fault;
    kit_jump_to(&r->jump);
}

void kit_trap(struct kit_frame *f)
{
    struct kit_vp *v = &kit_vps[this_vp()];
    if (f->vector == VECTOR_CPL3_DONE && (f->cs & 3) == 3 && v->recovery != NULL) {
        recover(v, (struct fault){.vector = NO_FAULT});
    }
    if (f->vector >= EXCEPTIONS) {
        interrupt((unsigned)f->vector);
        return;
    }
    for (const uint64_t *x = kit_fixups; x != kit_fixups_end; x += 2) {
        if (f->rip == x[0]) {
            f->rip = x[1];
            f->rax = f->vector;
            return;
        }
    }
    if (f->vector == VEC_NMI && v->state != VP_LOST) {
        __atomic_fetch_add(&nmi_total, 1, __ATOMIC_SEQ_CST);
        return;
    }
    uint64_t cr2;
    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    struct fault fault = {(unsigned)f->vector, f->error, cr2, f->rip};
    if (v->recovery == NULL) {
        kit_panic("exception %lu, error 0x%lx, at 0x%lx, CR2 0x%lx, VP %u, outside of any test", f->vector, f->error, f->rip,
                  cr2, this_vp());
    }
    recover(v, fault);
}

struct fault try_run(kit_fn *fn, void *arg)
{
    struct kit_vp *v = &kit_vps[this_vp()];
    struct kit_recovery r = {.outer = v->recovery, .fault = {.vector = NO_FAULT}};
    v->recovery = &r;
    if (kit_jump_set(&r.jump) == 0) {
        fn(arg);
    }
    kit_vps[this_vp()].recovery = r.outer;
    return r.fault;
}

struct cpl3_call {
    kit_fn *fn;
    void *arg;
    uint64_t stack;
};

static void cpl3_enter(void *p)
{
    struct cpl3_call *c = p;
    /* Interrupts from CPL3 must not run over what this VP has on its stack. */
    kit_vps[this_vp()].tss.rsp[0] = ((uint64_t)__builtin_frame_address(0) - 512) & ~15ULL;
    kit_enter_cpl3(c->fn, c->arg, c->stack);
}

struct fault run_at_cpl3(kit_fn *fn, void *arg)
{
    struct cpl3_call c = {fn, arg, (uint64_t)pages_alloc(2) + 2 * PAGE_BYTES};
    return try_run(cpl3_enter, &c);
}

/* ---- vectors ---- */

void irq_on(unsigned vector, irq_fn *fn)
{
    vectors[vector].fn = fn;
}

void irq_eoi(unsigned vector, bool eoi)
{
    vectors[vector].no_eoi = !eoi;
}

unsigned irq_count(unsigned vector)
{
    return irq_total[vector];
}

unsigned irq_count_on(unsigned vp, unsigned vector)
{
    return kit_vps[vp].irq_counts[vector];
}

unsigned nmi_count(void)
{
    return nmi_total;
}

bool irqs(bool on)
{
    uint64_t flags;
    __asm__ volatile("pushfq; pop %0" : "=r"(flags)::"memory");
    if (on) {
        __asm__ volatile("sti; nop" ::: "memory");
    } else {
        __asm__ volatile("cli" ::: "memory");
    }
    return flags & RFLAGS_IF;
}

void kit_irqs_quiet(void)
{
    memset(vectors, 0, sizeof vectors);
    memset((void *)irq_total, 0, sizeof irq_total);
    nmi_total = 0;
}
