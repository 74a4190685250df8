/* Segment registers: descriptors, loads with all their checks, LAR and its kin, and the stacks that transfers write.
 *
 * Citations are of the SDM: 3A §3.4-3.5 (segments and descriptors), §5 (protection), §20 (8086 emulation). A descriptor is read
 * by implicit supervisor accesses whatever the CPL (3A §4.6.1).
 *
 * Chosen where the text leaves it open: a null selector clears the base too (Intel does; AMD announces it as
 * NullSelectorClearsBase). Far transfers are in far.c, hardware tasks in task.c.
 */
#include "cpu/segment.h"

/* ---- descriptors ---- */

static void descriptor_parse(struct descriptor *d, uint64_t raw)
{
    d->raw = raw;
    d->base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000);
    d->attributes = (uint16_t)(raw >> 40 & 0xf0ff);
    d->limit = (uint32_t)((raw & 0xffff) | (raw >> 32 & 0xf0000));
    if (d->attributes & ATTR_G) {
        d->limit = d->limit << 12 | 0xfff;
    }
}

/* The table that a selector points into: its base, and whether `last` byte lies in it. */
static bool table_of(const struct vcpu *v, uint16_t selector, uint32_t last, uint64_t *base)
{
    if (selector & 4) {
        *base = v->s.ldtr.base;
        return (v->s.ldtr.seg.attributes & ATTR_P) && last <= v->s.ldtr.seg.limit;
    }
    *base = v->s.gdtr.base;
    return last <= v->s.gdtr.limit;
}

bool descriptor_find(struct vcpu *v, uint16_t selector, struct descriptor *d)
{
    uint64_t base;
    if (!table_of(v, selector, selector | 7u, &base)) {
        return false;
    }
    d->linear = system_linear(v, base + (selector & ~7u));
    descriptor_parse(d, sys_load64(v, d->linear));
    return true;
}

void descriptor_load(struct vcpu *v, uint16_t selector, uint8_t vector, struct descriptor *d)
{
    if (UNLIKELY(!descriptor_find(v, selector, d))) {
        vp_raise_error(v, vector, selector_error(selector));
    }
}

bool descriptor_extend(struct vcpu *v, uint16_t selector, struct descriptor *d, uint64_t *high)
{
    uint64_t base;
    if (!table_of(v, selector, (selector | 7u) + 8, &base)) {
        return false;
    }
    *high = sys_load(v, d->linear + 8, 8);
    d->base |= *high << 32;
    return (*high >> 40 & 0x1f) == 0;
}

void descriptor_mark_accessed(struct vcpu *v, struct descriptor *d)
{
    if (UNLIKELY(!(d->attributes & ATTR_ACCESSED))) {
        d->attributes |= ATTR_ACCESSED;
        sys_store(v, d->linear + 5, 1, d->attributes & 0xff);
    }
}

/* ---- registers ---- */

void segment_set(struct vcpu *v, unsigned segment, uint16_t selector, const struct descriptor *d)
{
    v->s.seg[segment] = (struct segment){.selector = selector, .attributes = d->attributes, .limit = d->limit};
    v->s.seg_base[segment] = d->base;
}

void segment_set_null(struct vcpu *v, unsigned segment, uint16_t selector)
{
    v->s.seg[segment] = (struct segment){.selector = selector};
    v->s.seg_base[segment] = 0;
}

void segment_set_flat(struct vcpu *v, unsigned segment, uint16_t selector, uint16_t attributes)
{
    v->s.seg[segment] = (struct segment){.selector = selector, .attributes = attributes, .limit = UINT32_MAX};
    v->s.seg_base[segment] = 0;
}

void segment_set_v86(struct vcpu *v, unsigned segment, uint16_t selector)
{
    uint16_t attributes = ATTR_P | 3 << ATTR_DPL_SHIFT | ATTR_S | ATTR_WRITABLE | ATTR_ACCESSED;
    v->s.seg[segment] = (struct segment){.selector = selector, .attributes = attributes, .limit = 0xffff};
    v->s.seg_base[segment] = (uint64_t)selector << 4;
}

/* Real mode changes selector and base only: limit and attributes stay as they were ("unreal mode"), 3A §9.9. A register that
 * protected mode left unusable becomes an ordinary one. */
void segment_load_real(struct vcpu *v, unsigned segment, uint16_t selector)
{
    if (vp_v86(v)) {
        segment_set_v86(v, segment, selector);
        return;
    }
    struct segment *s = &v->s.seg[segment];
    s->selector = selector;
    v->s.seg_base[segment] = (uint64_t)selector << 4;
    if (!(s->attributes & ATTR_P)) {
        s->attributes = ATTR_P | ATTR_S | ATTR_WRITABLE | ATTR_ACCESSED;
        s->limit = 0xffff;
    }
}

bool segment_holds(const struct segment *s, uint32_t offset, unsigned bytes)
{
    uint32_t last = offset + (bytes - 1);
    if (last < offset) {
        return false;
    }
    if ((s->attributes & (ATTR_CODE | ATTR_EXPAND_DOWN)) == ATTR_EXPAND_DOWN) {
        return offset > s->limit && last <= (s->attributes & ATTR_DB ? UINT32_MAX : 0xffff);
    }
    return last <= s->limit;
}

/* SDM 2B MOV, "IF SS is loaded". */
static void load_ss(struct vcpu *v, uint16_t selector)
{
    unsigned cpl = v->s.cpl;
    if (selector_null(selector)) {
        if (v->mode != CODE_64 || cpl == 3 || selector_rpl(selector) != cpl) {
            vp_gp0(v);
        }
        segment_set_null(v, SEG_SS, selector);
        return;
    }
    struct descriptor d;
    descriptor_load(v, selector, VEC_GP, &d);
    if (selector_rpl(selector) != cpl || !attributes_writable_data(d.attributes) || attributes_dpl(d.attributes) != cpl) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
    if (!(d.attributes & ATTR_P)) {
        vp_raise_error(v, VEC_SS, selector_error(selector));
    }
    descriptor_mark_accessed(v, &d);
    segment_set(v, SEG_SS, selector, &d);
}

void segment_load(struct vcpu *v, unsigned segment, uint16_t selector)
{
    if (!vp_protected(v) || vp_v86(v)) {
        segment_load_real(v, segment, selector);
        return;
    }
    if (segment == SEG_SS) {
        load_ss(v, selector);
        return;
    }
    if (selector_null(selector)) {
        segment_set_null(v, segment, selector);
        return;
    }
    struct descriptor d;
    descriptor_load(v, selector, VEC_GP, &d);
    uint16_t a = d.attributes;
    bool readable = (a & ATTR_S) && (!(a & ATTR_CODE) || (a & ATTR_READABLE));
    bool privileged = !(attributes_code(a) && attributes_conforming(a));
    unsigned dpl = attributes_dpl(a);
    if (!readable || (privileged && (selector_rpl(selector) > dpl || v->s.cpl > dpl))) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
    if (!(a & ATTR_P)) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
    descriptor_mark_accessed(v, &d);
    segment_set(v, segment, selector, &d);
}

/* A system descriptor that must lie in the GDT: LDT or TSS. */
static void load_system(struct vcpu *v, uint16_t selector, struct descriptor *d)
{
    if (selector & 4) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
    descriptor_load(v, selector, VEC_GP, d);
}

static void extend_system(struct vcpu *v, uint16_t selector, struct descriptor *d)
{
    uint64_t high;
    if (vp_long(v) && (!descriptor_extend(v, selector, d, &high) || !canonical(v, d->base))) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
}

static struct system_segment system_segment_of(uint16_t selector, const struct descriptor *d)
{
    return (struct system_segment){
        .base = d->base,
        .seg = {.selector = selector, .attributes = d->attributes, .limit = d->limit},
    };
}

/* SDM 2A LLDT. */
void segment_lldt(struct vcpu *v, uint16_t selector)
{
    if (selector_null(selector)) {
        v->s.ldtr = (struct system_segment){.seg = {.selector = selector}};
        return;
    }
    struct descriptor d;
    load_system(v, selector, &d);
    if ((d.attributes & ATTR_S) || attributes_type(d.attributes) != TYPE_LDT) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
    if (!(d.attributes & ATTR_P)) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
    extend_system(v, selector, &d);
    v->s.ldtr = system_segment_of(selector, &d);
}

/* SDM 2B LTR. */
void segment_ltr(struct vcpu *v, uint16_t selector)
{
    if (selector_null(selector)) {
        vp_gp0(v);
    }
    struct descriptor d;
    load_system(v, selector, &d);
    unsigned type = attributes_type(d.attributes);
    if ((d.attributes & ATTR_S) || !(type == TYPE_TSS || (type == TYPE_TSS16 && !vp_long(v)))) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
    if (!(d.attributes & ATTR_P)) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
    extend_system(v, selector, &d);
    d.attributes |= TYPE_BUSY_BIT;
    sys_store(v, d.linear + 5, 1, d.attributes & 0xff);
    v->s.tr = system_segment_of(selector, &d);
}

/* ---- LAR, LSL, VERR, VERW ---- */

/* Which system descriptor types LAR and LSL know: SDM 2A LAR table 3-53, LSL table 3-61; the IA-32e columns are shorter. */
static bool known_to_lar(const struct vcpu *v, unsigned type)
{
    uint16_t legacy = 1 << TYPE_TSS16 | 1 << TYPE_LDT | 1 << TYPE_TSS16_BUSY | 1 << TYPE_CALL_GATE16 | 1 << TYPE_TASK_GATE |
                      1 << TYPE_TSS | 1 << TYPE_TSS_BUSY | 1 << TYPE_CALL_GATE;
    uint16_t ia32e = 1 << TYPE_LDT | 1 << TYPE_TSS | 1 << TYPE_TSS_BUSY | 1 << TYPE_CALL_GATE;
    return (vp_long(v) ? ia32e : legacy) >> type & 1;
}

static bool known_to_lsl(const struct vcpu *v, unsigned type)
{
    uint16_t legacy = 1 << TYPE_TSS16 | 1 << TYPE_LDT | 1 << TYPE_TSS16_BUSY | 1 << TYPE_TSS | 1 << TYPE_TSS_BUSY;
    uint16_t ia32e = 1 << TYPE_LDT | 1 << TYPE_TSS | 1 << TYPE_TSS_BUSY;
    return (vp_long(v) ? ia32e : legacy) >> type & 1;
}

/* The checks that all four share: a descriptor that exists and that CPL and RPL may see. */
static bool descriptor_visible(struct vcpu *v, uint16_t selector, struct descriptor *d)
{
    if (selector_null(selector) || !descriptor_find(v, selector, d)) {
        return false;
    }
    if (attributes_code(d->attributes) && attributes_conforming(d->attributes)) {
        return true;
    }
    unsigned dpl = attributes_dpl(d->attributes);
    return v->s.cpl <= dpl && selector_rpl(selector) <= dpl;
}

bool segment_lar(struct vcpu *v, uint16_t selector, uint32_t *rights)
{
    struct descriptor d;
    if (!descriptor_visible(v, selector, &d) || !((d.attributes & ATTR_S) || known_to_lar(v, attributes_type(d.attributes)))) {
        return false;
    }
    *rights = (uint32_t)(d.raw >> 32) & 0x00f0ff00;
    return true;
}

bool segment_lsl(struct vcpu *v, uint16_t selector, uint32_t *limit)
{
    struct descriptor d;
    if (!descriptor_visible(v, selector, &d) || !((d.attributes & ATTR_S) || known_to_lsl(v, attributes_type(d.attributes)))) {
        return false;
    }
    *limit = d.limit;
    return true;
}

bool segment_verify(struct vcpu *v, uint16_t selector, bool write)
{
    struct descriptor d;
    if (!descriptor_visible(v, selector, &d) || !(d.attributes & ATTR_S)) {
        return false;
    }
    return write ? attributes_writable_data(d.attributes) : !(d.attributes & ATTR_CODE) || (d.attributes & ATTR_READABLE);
}

/* ---- code segments ---- */

void code_check_offset(struct vcpu *v, const struct descriptor *cs, uint64_t offset)
{
    if (code_is_64(v, cs) ? !canonical(v, offset) : offset > cs->limit) {
        vp_gp0(v);
    }
}

void code_commit(struct vcpu *v, uint16_t selector, struct descriptor *cs, unsigned cpl, uint64_t offset)
{
    segment_set(v, SEG_CS, (uint16_t)((selector & ~3u) | cpl), cs);
    if (code_is_64(v, cs)) {
        v->s.seg_base[SEG_CS] = 0; /* 3A §3.4.4: CS base and limit are ignored in 64-bit mode */
    }
    v->s.rip = offset;
    vp_set_cpl(v, cpl);
}

/* ---- stacks ---- */

void stack_segment_load(struct vcpu *v, uint16_t selector, unsigned dpl, uint8_t vector, struct descriptor *d)
{
    if (selector_null(selector)) {
        vp_raise_error(v, vector, 0);
    }
    descriptor_load(v, selector, vector, d);
    if (selector_rpl(selector) != dpl || attributes_dpl(d->attributes) != dpl || !attributes_writable_data(d->attributes)) {
        vp_raise_error(v, vector, selector_error(selector));
    }
    if (!(d->attributes & ATTR_P)) {
        vp_raise_error(v, VEC_SS, selector_error(selector));
    }
}

struct frame frame_current(const struct vcpu *v)
{
    return (struct frame){.seg = v->s.seg[SEG_SS],
                          .base = v->mode == CODE_64 ? 0 : v->s.seg_base[SEG_SS],
                          .mask = stack_mask(v),
                          .sp = v->s.gpr[RSP] & stack_mask(v),
                          .any_offset = v->mode == CODE_64};
}

struct frame frame_inner(struct vcpu *v, uint16_t ss, uint32_t esp, unsigned dpl, struct descriptor *d)
{
    stack_segment_load(v, ss, dpl, VEC_TS, d);
    uint64_t mask = d->attributes & ATTR_DB ? 0xffffffffu : 0xffffu;
    struct segment seg = {.selector = ss, .attributes = d->attributes, .limit = d->limit};
    return (struct frame){
        .seg = seg, .base = d->base, .mask = mask, .sp = esp & mask, .error = selector_error(ss), .implicit = v->s.cpl == 3};
}

static uint64_t frame_linear(const struct frame *k, uint64_t sp)
{
    return k->any_offset ? sp : (uint32_t)(k->base + sp);
}

void sys_probe_write(struct vcpu *v, uint64_t linear, unsigned bytes)
{
    uint64_t last = system_linear(v, linear + bytes - 1);
    sys_store(v, linear, 1, sys_load(v, linear, 1));
    if ((linear ^ last) >> PAGE_SHIFT) {
        sys_store(v, last, 1, sys_load(v, last, 1));
    }
}

/* Limits of every push, then the pages of the lowest and the highest byte (a frame is far shorter than a page). */
void frame_reserve(struct vcpu *v, const struct frame *k, unsigned bytes, unsigned count)
{
    uint64_t sp = k->sp;
    for (unsigned i = 0; i < count; i++) {
        sp = (sp - bytes) & k->mask;
        bool fits =
            k->any_offset ? canonical(v, sp) && canonical(v, sp + bytes - 1) : segment_holds(&k->seg, (uint32_t)sp, bytes);
        if (!fits) {
            vp_raise_error(v, VEC_SS, k->error);
        }
    }
    uint64_t low = frame_linear(k, sp), high = frame_linear(k, (k->sp - bytes) & k->mask);
    if (k->implicit) {
        sys_probe_write(v, low, bytes);
        sys_probe_write(v, high, bytes);
    } else {
        vp_probe_write(v, low, bytes);
        vp_probe_write(v, high, bytes);
    }
}

void frame_push(struct vcpu *v, struct frame *k, unsigned bytes, uint64_t value)
{
    k->sp = (k->sp - bytes) & k->mask;
    if (k->implicit) {
        sys_store(v, frame_linear(k, k->sp), bytes, value);
    } else {
        vp_store(v, frame_linear(k, k->sp), bytes, value);
    }
}

/* ---- the TSS ---- */

static _Noreturn void tss_too_short(struct vcpu *v)
{
    vp_raise_error(v, VEC_TS, selector_error(v->s.tr.seg.selector));
}

/* SDM 3A §7.2.1, §7.6: ESP0 at 4 and 8 bytes a level, or SP0 at 2 and 4 bytes a level. */
void tss_stack(struct vcpu *v, unsigned dpl, uint16_t *ss, uint32_t *esp)
{
    bool wide = attributes_type(v->s.tr.seg.attributes) & 8;
    unsigned offset = wide ? 4 + 8 * dpl : 2 + 4 * dpl, width = wide ? 4 : 2;
    if (!(v->s.tr.seg.attributes & ATTR_P) || offset + width + 1 > v->s.tr.seg.limit) {
        tss_too_short(v);
    }
    *esp = (uint32_t)sys_load(v, system_linear(v, v->s.tr.base + offset), width);
    *ss = (uint16_t)sys_load(v, system_linear(v, v->s.tr.base + offset + width), 2);
}

uint64_t tss_stack64(struct vcpu *v, unsigned offset)
{
    if (UNLIKELY(!(v->s.tr.seg.attributes & ATTR_P) || offset + 7 > v->s.tr.seg.limit)) {
        tss_too_short(v);
    }
    uint64_t rsp = sys_load64(v, v->s.tr.base + offset);
    if (UNLIKELY(!canonical(v, rsp))) {
        vp_raise_error(v, VEC_SS, 0);
    }
    return rsp;
}

/* ---- returns ---- */

void return_code_load(struct vcpu *v, uint16_t selector, struct descriptor *cs)
{
    if (UNLIKELY(selector_null(selector))) {
        vp_gp0(v);
    }
    descriptor_load(v, selector, VEC_GP, cs);
    unsigned rpl = selector_rpl(selector), dpl = attributes_dpl(cs->attributes);
    bool right = attributes_code(cs->attributes) && rpl >= v->s.cpl &&
                 (attributes_conforming(cs->attributes) ? dpl <= rpl : dpl == rpl) &&
                 !(code_is_64(v, cs) && (cs->attributes & ATTR_DB));
    if (UNLIKELY(!right)) {
        vp_raise_error(v, VEC_GP, selector_error(selector));
    }
    if (UNLIKELY(!(cs->attributes & ATTR_P))) {
        vp_raise_error(v, VEC_NP, selector_error(selector));
    }
}

bool return_stack_load(struct vcpu *v, uint16_t ss, const struct descriptor *cs, unsigned cpl, struct descriptor *d)
{
    if (selector_null(ss) && code_is_64(v, cs) && cpl != 3 && selector_rpl(ss) == cpl) {
        return true;
    }
    stack_segment_load(v, ss, cpl, VEC_GP, d);
    return false;
}

void return_drop_segments(struct vcpu *v)
{
    static const uint8_t data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < ARRAY_COUNT(data); i++) {
        uint16_t a = v->s.seg[data[i]].attributes;
        bool conforming = attributes_code(a) && attributes_conforming(a);
        if ((a & ATTR_P) && !conforming && attributes_dpl(a) < v->s.cpl) {
            segment_set_null(v, data[i], 0);
        }
    }
}
