/* Event delivery: exceptions, interrupts and NMIs on their way through the IVT or IDT, double and triple faults, INIT.
 *
 * SDM 3A chapter 6, §20.1.4 (real mode), §20.3 (v86), §6.14 (64-bit); SDM 2A INT n ("Operation").
 *
 * deliver() does one event and may fault by longjmp; up to its last lines it has changed nothing but bytes below the stack
 * pointer. Instructions (INT n ...) let such a fault go to the run loop. Events that come by themselves catch it here and
 * deliver in its place what 3A §6.15 table 6-5 says: that, a double fault, or shutdown.
 *
 * Left open by the text and chosen: an alignment check that delivery raises again and again (possible only at CPL 3) ends in
 * shutdown.
 */
#include <string.h>

#include "cpu/segment.h"

enum event_kind {
    EVENT_EXCEPTION,    /* found by the processor */
    EVENT_EXTERNAL,     /* interrupt or NMI */
    EVENT_INT_N,        /* gate DPL counts; in v86 IOPL and the redirection bitmap too */
    EVENT_INT3_OR_INTO, /* gate DPL counts */
    EVENT_INT1,         /* ICEBP: nothing counts */
};
struct event {
    struct fault f;
    enum event_kind kind;
    uint64_t rip;   /* to return to */
    uint64_t flags; /* to be pushed */
};

static bool event_software(const struct event *e)
{
    return e->kind == EVENT_INT_N || e->kind == EVENT_INT3_OR_INTO;
}

/* Error code that names an IDT entry, 3A §6.13. */
static uint32_t idt_error(const struct event *e)
{
    return e->f.vector * 8u + 2 + (e->kind == EVENT_INT1 ? 1 : 0);
}

/* ---- real mode, and v86 mode through its own interrupt table ---- */

/* Pushes FLAGS, CS, IP and goes to the 16-bit vector at `ivt`. */
static void deliver_real(struct vcpu *v, const struct event *e, uint64_t ivt, uint64_t flags, uint64_t clear)
{
    uint32_t target = (uint32_t)sys_load(v, (uint32_t)(ivt + e->f.vector * 4u), 4);
    struct frame k = frame_current(v);
    frame_reserve(v, &k, 2, 3);
    if ((target & 0xffff) > (vp_v86(v) ? 0xffff : v->s.seg[SEG_CS].limit)) {
        vp_gp0(v);
    }
    frame_push(v, &k, 2, flags);
    frame_push(v, &k, 2, v->s.seg[SEG_CS].selector);
    frame_push(v, &k, 2, e->rip);
    stack_set_pointer(v, k.sp);
    segment_load_real(v, SEG_CS, (uint16_t)(target >> 16));
    v->s.rip = target & 0xffff;
    vp_set_rflags(v, vp_rflags(v) & ~clear);
    vp_derive(v);
}

/* 3A §20.3.3: software interrupts in v86 mode, by IOPL, CR4.VME and the redirection bitmap below the I/O bitmap.
 * True: delivered to the program's own table. */
static bool deliver_v86_redirected(struct vcpu *v, const struct event *e)
{
    bool iopl3 = vp_iopl(v) == 3;
    if (v->s.cr4 & CR4_VME) {
        uint64_t tss = v->s.tr.base;
        if ((attributes_type(v->s.tr.seg.attributes) & ~(unsigned)TYPE_BUSY_BIT) != TYPE_TSS || v->s.tr.seg.limit < 0x67) {
            vp_gp0(v);
        }
        uint32_t map = (uint32_t)sys_load(v, system_linear(v, tss + 0x66), 2);
        uint32_t at = map - 32 + e->f.vector / 8u;
        if (map < 32 || at > v->s.tr.seg.limit) {
            vp_gp0(v);
        }
        if (!(sys_load(v, system_linear(v, tss + at), 1) >> (e->f.vector & 7) & 1)) {
            uint64_t flags = e->flags, clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF;
            if (iopl3) {
                clear |= RFLAGS_IF;
            } else {
                flags = (flags & ~(RFLAGS_IF | RFLAGS_IOPL)) | RFLAGS_IOPL | (flags & RFLAGS_VIF ? RFLAGS_IF : 0);
                clear |= RFLAGS_VIF;
            }
            deliver_real(v, e, 0, flags, clear);
            return true;
        }
    }
    if (!iopl3) {
        vp_gp0(v);
    }
    return false;
}

/* ---- through the IDT ---- */

/* Type, privilege and presence of a gate (SDM 2A INT n). `allowed` is a set of types. */
static void check_gate(struct vcpu *v, const struct event *e, uint64_t gate, uint16_t allowed)
{
    unsigned type = gate >> 40 & 0xf, dpl = gate >> 45 & 3;
    if (UNLIKELY((gate >> 44 & 1) || !(allowed >> type & 1) || (event_software(e) && dpl < v->s.cpl))) {
        vp_raise_error(v, VEC_GP, idt_error(e));
    }
    if (UNLIKELY(!(gate >> 47 & 1))) {
        vp_raise_error(v, VEC_NP, idt_error(e));
    }
}

/* The handler's code segment; returns the privilege it will run with. */
static unsigned handler_code_load(struct vcpu *v, uint16_t selector, struct descriptor *cs)
{
    if (UNLIKELY(selector_null(selector))) {
        vp_gp0(v);
    }
    descriptor_load(v, selector, VEC_GP, cs);
    unsigned dpl = attributes_dpl(cs->attributes);
    bool right = attributes_code(cs->attributes) && dpl <= v->s.cpl;
    if (vp_long(v)) {
        right = right && (cs->attributes & (ATTR_L | ATTR_DB)) == ATTR_L;
    }
    if (vp_v86(v)) { /* only to a nonconforming segment of ring 0 */
        right = right && dpl == 0 && !attributes_conforming(cs->attributes);
    }
    if (UNLIKELY(!right)) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
    if (UNLIKELY(!(cs->attributes & ATTR_P))) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
    return attributes_conforming(cs->attributes) ? v->s.cpl : dpl;
}

static void enter_handler(struct vcpu *v, uint64_t gate, uint16_t selector, struct descriptor *cs, unsigned cpl, uint64_t rip)
{
    bool interrupt_gate = !(gate >> 40 & 1);
    uint64_t clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM | (interrupt_gate ? RFLAGS_IF : 0);
    v->s.rflags &= ~clear;
    code_commit(v, selector, cs, cpl, rip);
}

/* A frame of consecutive quadwords, lowest first. One look in the TLB when it can be helped. */
static void store_frame64(struct vcpu *v, uint64_t linear, const uint64_t *words, unsigned count, bool implicit)
{
    const struct tlb *t = implicit ? &v->space->tlbs[TLB_SUPERVISOR] : v->tlb;
    const struct tlb_entry *e = &t->e[(linear >> PAGE_SHIFT) & v->tlb_mask];
    if (LIKELY((linear ^ e->write_tag) <= PAGE_BYTES - 8 * count)) {
        memcpy((void *)(linear + e->addend), words, 8 * count);
        return;
    }
    for (unsigned i = count; i-- > 0;) {
        if (implicit) {
            sys_store(v, linear + 8 * i, 8, words[i]);
        } else {
            vp_store(v, linear + 8 * i, 8, words[i]);
        }
    }
}

/* 3A §6.14: 64-bit mode handling. SS:RSP is always pushed, on a 16-byte boundary. */
static void deliver_long(struct vcpu *v, const struct event *e)
{
    if (UNLIKELY(e->f.vector * 16u + 15 > v->s.idtr.limit)) {
        vp_raise_error(v, VEC_GP, idt_error(e));
    }
    uint64_t at = v->s.idtr.base + e->f.vector * 16u;
    uint64_t gate = sys_load64(v, at), high = sys_load64(v, at + 8);
    check_gate(v, e, gate, 1 << TYPE_INTERRUPT_GATE | 1 << TYPE_TRAP_GATE);
    struct descriptor cs;
    uint16_t selector = (uint16_t)(gate >> 16);
    unsigned cpl = handler_code_load(v, selector, &cs), ist = gate >> 32 & 7;
    bool inner = cpl < v->s.cpl;
    uint64_t rip = (gate & 0xffff) | (gate >> 32 & 0xffff0000) | high << 32;
    uint64_t rsp = ist != 0 ? tss_stack64(v, 0x1c + 8 * ist) : inner ? tss_stack64(v, 4 + 8 * cpl) : v->s.gpr[RSP];
    bool error = e->f.has_error;
    unsigned count = error ? 6 : 5;
    uint64_t frame[6] = {e->f.error, e->rip, v->s.seg[SEG_CS].selector, e->flags, v->s.gpr[RSP], v->s.seg[SEG_SS].selector};
    rsp = (rsp & ~15ULL) - 8 * count;
    if (UNLIKELY(!canonical(v, rsp) || !canonical(v, rsp + 8 * count - 1))) {
        vp_raise_error(v, VEC_SS, 0);
    }
    if (UNLIKELY(!canonical(v, rip))) {
        vp_gp0(v);
    }
    descriptor_mark_accessed(v, &cs);
    store_frame64(v, rsp, error ? frame : frame + 1, count, v->s.cpl == 3 && cpl < 3);
    v->s.gpr[RSP] = rsp;
    if (inner) {
        segment_set_null(v, SEG_SS, (uint16_t)cpl);
    }
    enter_handler(v, gate, selector, &cs, cpl, rip);
}

/* Through an interrupt or trap gate of 16 or 32 bits: same privilege, inner privilege, or out of v86 mode. */
static void deliver_gate(struct vcpu *v, const struct event *e, uint64_t gate)
{
    bool v86 = vp_v86(v), wide = gate >> 43 & 1;
    unsigned width = wide ? 4 : 2;
    uint16_t selector = (uint16_t)(gate >> 16), ss_selector = v->s.seg[SEG_SS].selector;
    uint64_t rip = (gate & 0xffff) | (wide ? gate >> 32 & 0xffff0000 : 0);
    struct descriptor cs, ss = {0};
    unsigned cpl = handler_code_load(v, selector, &cs);
    bool inner = cpl < v->s.cpl;
    struct frame k;
    if (inner) {
        uint32_t esp;
        tss_stack(v, cpl, &ss_selector, &esp);
        k = frame_inner(v, ss_selector, esp, cpl, &ss);
    } else {
        k = frame_current(v);
    }
    frame_reserve(v, &k, width, 3 + (inner ? 2 : 0) + (v86 ? 4 : 0) + (e->f.has_error ? 1 : 0));
    code_check_offset(v, &cs, rip);
    descriptor_mark_accessed(v, &cs);
    if (inner) {
        descriptor_mark_accessed(v, &ss);
    }
    static const uint8_t data[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
    for (unsigned i = 0; v86 && i < ARRAY_COUNT(data); i++) {
        frame_push(v, &k, width, v->s.seg[data[i]].selector);
    }
    if (inner) {
        frame_push(v, &k, width, v->s.seg[SEG_SS].selector);
        frame_push(v, &k, width, v->s.gpr[RSP]);
    }
    frame_push(v, &k, width, e->flags);
    frame_push(v, &k, width, v->s.seg[SEG_CS].selector);
    frame_push(v, &k, width, e->rip);
    if (e->f.has_error) {
        frame_push(v, &k, width, e->f.error);
    }
    for (unsigned i = 0; v86 && i < ARRAY_COUNT(data); i++) {
        segment_set_null(v, data[i], 0);
    }
    if (inner) {
        segment_set(v, SEG_SS, ss_selector, &ss);
    }
    enter_handler(v, gate, selector, &cs, cpl, rip);
    stack_set_pointer(v, k.sp);
}

static void deliver_legacy(struct vcpu *v, const struct event *e)
{
    if (e->f.vector * 8u + 7 > v->s.idtr.limit) {
        vp_raise_error(v, VEC_GP, idt_error(e));
    }
    uint64_t gate = sys_load(v, system_linear(v, v->s.idtr.base + e->f.vector * 8u), 8);
    check_gate(v, e, gate,
               1 << TYPE_TASK_GATE | 1 << TYPE_INTERRUPT_GATE16 | 1 << TYPE_TRAP_GATE16 | 1 << TYPE_INTERRUPT_GATE |
                   1 << TYPE_TRAP_GATE);
    if ((gate >> 40 & 0xf) == TYPE_TASK_GATE) {
        v->s.rflags |= e->flags & RFLAGS_RF; /* what the old task's image shall hold */
        task_switch(v, (uint16_t)(gate >> 16), TASK_GATE, e->rip, &e->f);
        return;
    }
    deliver_gate(v, e, gate);
}

static void deliver(struct vcpu *v, const struct event *e)
{
    if (LIKELY(vp_long(v))) {
        deliver_long(v, e);
    } else if (!vp_protected(v)) {
        if (e->f.vector * 4u + 3 > v->s.idtr.limit) {
            vp_raise_error(v, VEC_GP, idt_error(e));
        }
        deliver_real(v, e, v->s.idtr.base, e->flags, RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
    } else if (!(vp_v86(v) && e->kind == EVENT_INT_N && deliver_v86_redirected(v, e))) {
        deliver_legacy(v, e);
    }
    v->s.interrupt_shadow = 0;
}

static void charge(struct vcpu *v, enum vp_exit reason)
{
    vp_charge(v, reason, v->cpu->cost->event[reason]);
}

/* ---- double and triple faults ---- */

void vp_triple_fault(struct vcpu *v)
{
    TRACE(v->trace, triple_fault, v->index, v->s.rip);
    TRACE(v->trace, activity, v->index, VP_SHUTDOWN);
    v->s.activity = VP_SHUTDOWN;
    v->attention = true;
    if (v->cpu->hooks.activity != NULL) {
        v->cpu->hooks.activity(v->cpu->hooks.owner, v);
    }
}

enum fault_class { FAULT_BENIGN, FAULT_CONTRIBUTORY, FAULT_PAGE, FAULT_DOUBLE };

/* 3A §6.15 table 6-4. */
static enum fault_class fault_class_of(uint8_t vector)
{
    switch (vector) {
    case VEC_DE:
    case VEC_TS:
    case VEC_NP:
    case VEC_SS:
    case VEC_GP:
        return FAULT_CONTRIBUTORY;
    case VEC_PF:
        return FAULT_PAGE;
    case VEC_DF:
        return FAULT_DOUBLE;
    default:
        return FAULT_BENIGN;
    }
}

/* 3A §6.15 table 6-5: what becomes of `second`, raised while `first` was delivered. False: shutdown. */
static bool fault_combine(const struct fault *first, struct fault *second)
{
    enum fault_class a = fault_class_of(first->vector), b = fault_class_of(second->vector);
    bool serious = b == FAULT_CONTRIBUTORY || b == FAULT_PAGE;
    if (a == FAULT_DOUBLE && serious) {
        return false;
    }
    if ((a == FAULT_CONTRIBUTORY && b == FAULT_CONTRIBUTORY) || (a == FAULT_PAGE && serious)) {
        *second = (struct fault){.vector = VEC_DF, .has_error = true};
        return true;
    }
    /* EXT: the fault happened in the delivery of an event external to the program (3A §6.13). */
    if (second->has_error && (b == FAULT_CONTRIBUTORY)) {
        second->error |= 1;
    }
    return true;
}

/* What RF is in the pushed flags: set for faults (3A §17.3.1.1), but a #DB has set or left it as it must be; aborts leave it.
 */
static uint64_t flags_of_exception(const struct vcpu *v, uint8_t vector)
{
    bool fault = vector != VEC_DB && vector != VEC_DF && vector != VEC_MC;
    return vp_rflags(v) | (fault ? RFLAGS_RF : 0);
}

/* Delivers one exception; false with the new fault in v->fault. */
static bool try_exception(struct vcpu *v, const struct fault *f)
{
    if (_setjmp(v->leave) != 0) {
        return false;
    }
    struct event e = {.f = *f, .kind = EVENT_EXCEPTION, .rip = v->s.rip, .flags = flags_of_exception(v, f->vector)};
    TRACE(v->trace, exception, v->index, f->vector, f->error, v->s.rip, v->s.cr2);
    if (!vp_protected(v)) {
        e.f.has_error = false; /* real mode pushes no error codes (3A §20.1.4) */
    }
    deliver(v, &e);
    return true;
}

/* Delivers `f` and what comes of it. v->leave is the caller's again afterwards. */
static void deliver_chain(struct vcpu *v, struct fault f)
{
    enum { CHAIN_MAX = 16 };
    for (unsigned i = 0; i < CHAIN_MAX; i++) {
        if (f.vector == VEC_MC && !(v->s.cr4 & CR4_MCE)) {
            break; /* 3A §6.15, interrupt 18 */
        }
        if (LIKELY(try_exception(v, &f))) {
            charge(v, EXIT_EXCEPTION);
            if (f.vector == VEC_DB) {
                v->s.dr7 &= ~(1ULL << 13); /* GD, 3A §17.2.4 */
            }
            return;
        }
        struct fault second = v->fault;
        if (!fault_combine(&f, &second)) {
            break;
        }
        f = second;
    }
    vp_triple_fault(v);
}

void exception_deliver_fault(struct vcpu *v, struct fault f)
{
    jmp_buf outer;
    memcpy(outer, v->leave, sizeof outer);
    v->current = NULL;
    deliver_chain(v, f);
    memcpy(v->leave, outer, sizeof outer);
}

/* ---- events from outside ---- */

static bool try_external(struct vcpu *v, uint8_t vector)
{
    if (_setjmp(v->leave) != 0) {
        return false;
    }
    struct event e = {.f = {.vector = vector}, .kind = EVENT_EXTERNAL, .rip = v->s.rip, .flags = vp_rflags(v)};
    deliver(v, &e);
    return true;
}

static void external(struct vcpu *v, uint8_t vector)
{
    jmp_buf outer;
    memcpy(outer, v->leave, sizeof outer);
    v->current = NULL;
    charge(v, EXIT_INTERRUPT);
    if (UNLIKELY(!try_external(v, vector))) {
        /* Interrupts are benign: the fault is delivered in their place, whatever their vector. */
        const struct fault benign = {.vector = VEC_NMI};
        struct fault second = v->fault;
        fault_combine(&benign, &second);
        deliver_chain(v, second);
    }
    memcpy(v->leave, outer, sizeof outer);
}

void exception_external(struct vcpu *v, uint8_t vector)
{
    TRACE(v->trace, interrupt, v->index, vector, v->s.rip);
    external(v, vector);
}

/* 3A §6.7.1: further NMIs wait until the next IRET. */
void exception_nmi(struct vcpu *v)
{
    TRACE(v->trace, nmi, v->index, v->s.rip);
    v->s.nmi_blocked = true;
    external(v, VEC_NMI);
}

/* ---- interrupts by instructions ---- */

static void software(struct vcpu *v, uint8_t vector, uint64_t next_rip, enum event_kind kind)
{
    struct event e = {.f = {.vector = vector}, .kind = kind, .rip = next_rip, .flags = vp_rflags(v)};
    TRACE(v->trace, software_interrupt, v->index, vector, v->s.rip);
    deliver(v, &e);
    v->no_step_trap = true; /* TF was cleared on the way: 3A §17.3.1.4 */
    charge(v, EXIT_EXCEPTION);
}

void exception_software_interrupt(struct vcpu *v, uint8_t vector, uint64_t next_rip, bool int3_or_into)
{
    software(v, vector, next_rip, int3_or_into ? EVENT_INT3_OR_INTO : EVENT_INT_N);
}

void exception_int1(struct vcpu *v, uint64_t next_rip)
{
    software(v, VEC_DB, next_rip, EVENT_INT1);
    v->s.dr7 &= ~(1ULL << 13);
}

/* ---- INIT and power-on ---- */

static void reset_segments(struct vcpu *v)
{
    for (unsigned i = 0; i < SEGMENTS; i++) {
        uint16_t attributes = ATTR_P | ATTR_S | ATTR_WRITABLE | ATTR_ACCESSED | (i == SEG_CS ? ATTR_CODE : 0);
        v->s.seg[i] = (struct segment){.attributes = attributes, .limit = 0xffff};
        v->s.seg_base[i] = 0;
    }
    v->s.seg[SEG_CS].selector = 0xf000;
    v->s.seg_base[SEG_CS] = 0xffff0000;
    v->s.gdtr = v->s.idtr = (struct descriptor_table){.limit = 0xffff};
    v->s.ldtr = (struct system_segment){.seg = {.attributes = ATTR_P | TYPE_LDT, .limit = 0xffff}};
    v->s.tr = (struct system_segment){.seg = {.attributes = ATTR_P | TYPE_TSS_BUSY, .limit = 0xffff}};
}

/* What INIT leaves alone: floating point, most MSRs, CR0.CD and CR0.NW, the TSC. */
static void reset_at_power_on(struct vcpu *v)
{
    struct vp_state *s = &v->s;
    memset(s, 0, sizeof *s);
    s->fpu.fcw = 0x40;
    s->fpu.ftw = 0xff; /* power-up: FTW = 5555H (all zero, not empty) */
    s->mxcsr = 0x1f80;
    v->fp_unmasked = false;
    s->xcr0 = 1;
    s->pat = 0x0007040600070406;
    s->tsc_offset = 0 - tsc_at(&v->cpu->tsc, machine_now(v->machine)); /* the TSC counts from the reset */
    s->cr0 = CR0_CD | CR0_NW | CR0_ET;
}

/* 3A §9.1.1 table 9-1. RDX holds the processor's signature (family, model, stepping). */
void vp_init_reset(struct vcpu *v, bool power_on)
{
    struct vp_state *s = &v->s;
    if (power_on) {
        reset_at_power_on(v);
    }
    bool bsp = v->lapic.base_msr >> 8 & 1;
    memset(s->gpr, 0, sizeof s->gpr);
    s->gpr[RDX] = cpu_model_cpuid(&v->cpu->config.model, &(struct cpuid_dynamic){.xcr0 = 1}, 1, 0).eax;
    s->rip = 0xfff0;
    v->fl = 0;
    s->rflags = RFLAGS_FIXED;
    s->cr0 = (s->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
    s->cr2 = s->cr3 = s->cr4 = s->efer = 0;
    memset(s->dr, 0, sizeof s->dr);
    s->dr6 = 0xffff0ff0;
    s->dr7 = 0x400;
    memset(s->pdpte, 0, sizeof s->pdpte);
    reset_segments(v);
    s->cpl = 0;
    s->interrupt_shadow = 0;
    s->nmi_blocked = s->nmi_pending = false;
    s->pending_db = 0;
    s->monitor_armed = false;
    s->init_pending = false;
    s->sipi_pending =
        s->sipi_pending && !power_on; /* one that came after the INIT still counts; older ones are gone (lapic_bus.c) */
    lapic_reset(v, !power_on);
    if (power_on) {
        bsp = v->lapic.base_msr >> 8 & 1;
    }
    s->activity = bsp ? VP_RUNNING : VP_WAIT_SIPI;
    mmu_paging_changed(v, CR0_PG, 0);
    vp_derive(v);
    vp_attention(v);
    TRACE(v->trace, activity, v->index, s->activity);
}
