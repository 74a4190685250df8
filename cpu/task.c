/* Hardware task switches through 32- and 16-bit TSSs, SDM 3A chapter 7.
 *
 * Before the point of no return everything that can be checked is: both TSSs, their limits, their pages, the new descriptor. A
 * fault up to there belongs to the old task and leaves it as it was. After it, the new task's registers are in place and faults
 * (#TS, #NP, #SS, #GP, #PF) happen in its context, with its CS:EIP pushed (3A §7.3, §6.15 on #TS).
 *
 * Never reached in IA-32e mode: callers refuse there (3A §7.7).
 */
#include "cpu/segment.h"

/* 3A figures 7-2 and 7-10. Offsets of the dynamic fields; a 16-bit TSS has no CR3, FS, GS and trap flag. */
struct tss_layout {
    uint8_t width;     /* of registers */
    uint8_t limit_min; /* smallest legal limit */
    uint8_t eip, eflags, gpr, segments, ldt;
    uint8_t segment_step, segment_count;
};
static const struct tss_layout tss32 = {4, 0x67, 0x20, 0x24, 0x28, 0x48, 0x60, 4, 6};
static const struct tss_layout tss16 = {2, 0x2b, 0x0e, 0x10, 0x12, 0x22, 0x2a, 2, 4};
enum { TSS32_CR3 = 0x1c, TSS32_TRAP = 0x64, TSS_LINK = 0 };

static const struct tss_layout *layout_of(uint16_t attributes)
{
    return attributes_type(attributes) & 8 ? &tss32 : &tss16;
}

static uint64_t tss_field(const struct vcpu *v, uint64_t base, unsigned offset)
{
    return system_linear(v, base + offset);
}

/* The descriptor of the task to come. JMP, CALL and gates want an available TSS, IRET a busy one. */
static void task_load(struct vcpu *v, uint16_t selector, enum task_switch_cause cause, struct descriptor *d)
{
    uint8_t vector = cause == TASK_IRET ? VEC_TS : VEC_GP;
    if (selector_null(selector) || (selector & 4)) {
        vp_raise_error(v, vector, selector_error(selector));
    }
    descriptor_load(v, selector, vector, d);
    unsigned type = attributes_type(d->attributes), busy = cause == TASK_IRET ? TYPE_BUSY_BIT : 0;
    if ((d->attributes & ATTR_S) || !(type == (TYPE_TSS | busy) || type == (TYPE_TSS16 | busy))) {
        vp_raise_error(v, vector, selector_error(selector));
    }
    if (!(d->attributes & ATTR_P)) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
    if (d->limit < layout_of(d->attributes)->limit_min) {
        vp_raise_error(v, VEC_TS, selector_error(selector));
    }
}

/* ---- the old task ---- */

static void task_save(struct vcpu *v, uint64_t next_rip, uint64_t flags)
{
    const struct tss_layout *l = layout_of(v->s.tr.seg.attributes);
    uint64_t base = v->s.tr.base;
    sys_store(v, tss_field(v, base, l->eip), l->width, next_rip);
    sys_store(v, tss_field(v, base, l->eflags), l->width, flags);
    for (unsigned i = 0; i < 8; i++) {
        sys_store(v, tss_field(v, base, l->gpr + i * l->width), l->width, v->s.gpr[i]);
    }
    for (unsigned i = 0; i < l->segment_count; i++) {
        sys_store(v, tss_field(v, base, l->segments + i * l->segment_step), 2, v->s.seg[i].selector);
    }
}

static void set_busy(struct vcpu *v, uint64_t descriptor, bool busy)
{
    uint64_t type = sys_load(v, descriptor + 5, 1) & ~(uint64_t)TYPE_BUSY_BIT;
    sys_store(v, descriptor + 5, 1, type | (busy ? TYPE_BUSY_BIT : 0));
}

static uint64_t descriptor_linear(const struct vcpu *v, uint16_t selector)
{
    return system_linear(v, v->s.gdtr.base + (selector & ~7u));
}

/* ---- the new task ---- */

struct task_image {
    uint64_t cr3, eip, eflags, gpr[8];
    uint16_t segment[SEGMENTS], ldt;
    bool trap;
};

static void task_read(struct vcpu *v, const struct descriptor *d, struct task_image *t)
{
    const struct tss_layout *l = layout_of(d->attributes);
    bool wide = l == &tss32;
    *t = (struct task_image){.cr3 = v->s.cr3};
    t->eip = sys_load(v, tss_field(v, d->base, l->eip), l->width);
    t->eflags = sys_load(v, tss_field(v, d->base, l->eflags), l->width);
    for (unsigned i = 0; i < 8; i++) {
        t->gpr[i] = sys_load(v, tss_field(v, d->base, l->gpr + i * l->width), l->width);
        t->gpr[i] |= wide ? 0 : 0xffff0000; /* 3A §7.6: the upper halves are undefined; ones, as processors leave them */
    }
    for (unsigned i = 0; i < l->segment_count; i++) {
        t->segment[i] = (uint16_t)sys_load(v, tss_field(v, d->base, l->segments + i * l->segment_step), 2);
    }
    t->ldt = (uint16_t)sys_load(v, tss_field(v, d->base, l->ldt), 2);
    if (wide) {
        t->cr3 = sys_load(v, tss_field(v, d->base, TSS32_CR3), 4);
        t->trap = sys_load(v, tss_field(v, d->base, TSS32_TRAP), 1) & 1;
    }
}

static void task_load_ldt(struct vcpu *v, uint16_t selector)
{
    v->s.ldtr = (struct system_segment){.seg = {.selector = selector}};
    if (selector_null(selector)) {
        return;
    }
    struct descriptor d;
    if ((selector & 4) || !descriptor_find(v, selector, &d) ||
        (d.attributes & (ATTR_S | ATTR_TYPE | ATTR_P)) != (TYPE_LDT | ATTR_P)) {
        vp_raise_error(v, VEC_TS, selector_error(selector));
    }
    v->s.ldtr.base = d.base;
    v->s.ldtr.seg.attributes = d.attributes;
    v->s.ldtr.seg.limit = d.limit;
}

static void task_load_cs(struct vcpu *v, uint16_t selector)
{
    struct descriptor d;
    if (selector_null(selector)) {
        vp_raise_error(v, VEC_TS, 0);
    }
    descriptor_load(v, selector, VEC_TS, &d);
    unsigned rpl = selector_rpl(selector), dpl = attributes_dpl(d.attributes);
    if (!attributes_code(d.attributes) || (attributes_conforming(d.attributes) ? dpl > rpl : dpl != rpl)) {
        vp_raise_error(v, VEC_TS, selector_error(selector));
    }
    if (!(d.attributes & ATTR_P)) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
    descriptor_mark_accessed(v, &d);
    segment_set(v, SEG_CS, selector, &d);
    vp_derive(v);
}

static void task_load_data(struct vcpu *v, unsigned segment, uint16_t selector)
{
    struct descriptor d;
    if (selector_null(selector)) {
        return;
    }
    descriptor_load(v, selector, VEC_TS, &d);
    uint16_t a = d.attributes;
    bool readable = (a & ATTR_S) && (!(a & ATTR_CODE) || (a & ATTR_READABLE));
    bool conforming = attributes_code(a) && attributes_conforming(a);
    unsigned dpl = attributes_dpl(a);
    if (!readable || (!conforming && (selector_rpl(selector) > dpl || v->s.cpl > dpl))) {
        vp_raise_error(v, VEC_TS, selector_error(selector));
    }
    if (!(a & ATTR_P)) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
    descriptor_mark_accessed(v, &d);
    segment_set(v, segment, selector, &d);
}

/* The new task's registers, with its segments not yet valid: CPL already is what CS's RPL says. */
static void task_commit(struct vcpu *v, const struct task_image *t)
{
    for (unsigned i = 0; i < 8; i++) {
        v->s.gpr[i] = t->gpr[i];
    }
    v->s.rip = t->eip;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        segment_set_null(v, i, t->segment[i]);
    }
    v->s.cpl = t->eflags & RFLAGS_VM ? 3 : (uint8_t)selector_rpl(t->segment[SEG_CS]);
    v->s.cr0 |= CR0_TS;
    v->s.dr7 &= ~0x155ULL; /* L0-L3, LE: local to the task (3A §17.2.4) */
    v->current = NULL;     /* faults from here on belong to the instruction at s.rip */
    vp_set_rflags(v, t->eflags);
    vp_derive(v);
}

static void task_load_segments(struct vcpu *v, const struct task_image *t)
{
    task_load_ldt(v, t->ldt);
    if (t->eflags & RFLAGS_VM) {
        for (unsigned i = 0; i < SEGMENTS; i++) {
            segment_set_v86(v, i, t->segment[i]);
        }
        vp_derive(v);
        return;
    }
    task_load_cs(v, t->segment[SEG_CS]);
    struct descriptor ss;
    stack_segment_load(v, t->segment[SEG_SS], v->s.cpl, VEC_TS, &ss);
    descriptor_mark_accessed(v, &ss);
    segment_set(v, SEG_SS, t->segment[SEG_SS], &ss);
    static const uint8_t data[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < ARRAY_COUNT(data); i++) {
        task_load_data(v, data[i], t->segment[data[i]]);
    }
}

/* CR3 of the new task, when paging is on. */
static void task_load_cr3(struct vcpu *v, uint64_t cr3)
{
    if (!(v->s.cr0 & CR0_PG) || cr3 == v->s.cr3) {
        return;
    }
    if (v->s.cr4 & CR4_PAE) {
        mmu_load_pdptes(v, cr3);
    }
    uint64_t old = v->s.cr3;
    v->s.cr3 = cr3;
    TRACE(v->trace, cr3_write, v->index, cr3);
    mmu_cr3_written(v, old, cr3, false);
}

/* Everything of the old task and the new TSS that will be written or read must be there (3A §7.3 step 6). */
static void task_probe(struct vcpu *v, const struct descriptor *d, bool link)
{
    const struct tss_layout *l = layout_of(v->s.tr.seg.attributes);
    if (!(v->s.tr.seg.attributes & ATTR_P) || v->s.tr.seg.limit < l->limit_min) {
        vp_raise_error(v, VEC_TS, selector_error(v->s.tr.seg.selector));
    }
    sys_probe_write(v, tss_field(v, v->s.tr.base, 0), l->limit_min + 1u);
    if (link) {
        sys_probe_write(v, tss_field(v, d->base, TSS_LINK), 2);
    }
    sys_probe_write(v, d->linear + 5, 1);
    sys_probe_write(v, descriptor_linear(v, v->s.tr.seg.selector) + 5, 1);
}

void task_switch(struct vcpu *v, uint16_t selector, enum task_switch_cause cause, uint64_t next_rip, const struct fault *f)
{
    struct descriptor d;
    struct task_image t;
    task_load(v, selector, cause, &d);
    bool nested = cause == TASK_CALL || cause == TASK_GATE;
    task_probe(v, &d, nested);
    task_read(v, &d, &t);
    uint16_t old_tr = v->s.tr.seg.selector;
    uint64_t flags = vp_rflags(v);
    if (cause == TASK_IRET) {
        flags &= ~RFLAGS_NT;
    }

    TRACE(v->trace, task_switch, v->index, selector);
    vp_charge(v, EXIT_TASK_SWITCH, v->cpu->cost->event[EXIT_TASK_SWITCH]);
    if (!nested) {
        set_busy(v, descriptor_linear(v, old_tr), false);
    }
    task_save(v, next_rip, flags);
    if (nested) {
        sys_store(v, tss_field(v, d.base, TSS_LINK), 2, old_tr);
        t.eflags |= RFLAGS_NT;
    }
    if (cause != TASK_IRET) {
        set_busy(v, d.linear, true);
    }
    v->s.tr = (struct system_segment){
        .base = d.base,
        .seg = {.selector = selector, .attributes = d.attributes | TYPE_BUSY_BIT, .limit = d.limit},
    };
    task_load_cr3(v, t.cr3);
    task_commit(v, &t);
    task_load_segments(v, &t);

    if (f != NULL && f->has_error) {
        struct frame k = frame_current(v);
        unsigned width = layout_of(d.attributes)->width;
        frame_reserve(v, &k, width, 1);
        frame_push(v, &k, width, f->error);
        stack_set_pointer(v, k.sp);
    }
    if (v->s.rip > v->s.seg[SEG_CS].limit) {
        vp_gp0(v);
    }
    if (t.trap) {
        v->s.pending_db |= 1u << 15; /* DR6.BT, 3A §17.3.1.5 */
        vp_attention(v);
    }
}
