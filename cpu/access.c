/* Effective addresses in every mode, segment checks, and the slow side of memory access: translation, page crossing, MMIO,
 * watched pages.
 *
 * Anything but a plain access to memory may only be done by the last instruction of a block (vcpu.h); the others are sent back
 * to run alone.
 */
#include "cpu/access.h"

#include <string.h>

#include "cpu/mmu.h"

/* ---- segments ---- */

static _Noreturn void segment_fault(struct vcpu *v, unsigned segment)
{
    vp_raise_error(v, segment == SEG_SS ? VEC_SS : VEC_GP, 0);
}

/* SDM 3A §5.3 Limit Checking, §5.5 (types), for protected, compatibility, v86 and real mode. */
static void check_segment(struct vcpu *v, unsigned segment, uint32_t offset, unsigned bytes, enum access access)
{
    const struct segment *s = &v->s.seg[segment];
    uint32_t last = offset + (bytes - 1);
    if (vp_protected(v) && !vp_v86(v)) {
        unsigned a = s->attributes;
        if (!(a & ATTR_P)) {
            segment_fault(v, segment);
        }
        bool code = a & ATTR_CODE;
        if (access == ACCESS_WRITE ? (code || !(a & ATTR_WRITABLE)) : (access == ACCESS_READ && code && !(a & ATTR_READABLE))) {
            segment_fault(v, segment);
        }
        if (!code && (a & ATTR_EXPAND_DOWN)) {
            uint32_t top = a & ATTR_DB ? 0xffffffffu : 0xffffu;
            if (offset <= s->limit || last < offset || last > top) {
                segment_fault(v, segment);
            }
            return;
        }
    }
    if (last < offset || last > s->limit) {
        segment_fault(v, segment);
    }
}

uint64_t segment_linear(struct vcpu *v, unsigned segment, uint64_t offset, unsigned bytes, enum access access)
{
    if (v->mode == CODE_64) {
        uint64_t linear = offset + (segment >= SEG_FS ? v->s.seg_base[segment] : 0);
        if (UNLIKELY(!canonical(v, linear) || !canonical(v, linear + bytes - 1))) {
            segment_fault(v, segment);
        }
        return linear;
    }
    check_segment(v, segment, (uint32_t)offset, bytes, access);
    return (uint32_t)(v->s.seg_base[segment] + offset);
}

uint64_t ea_offset(const struct vcpu *v, const struct uop *u)
{
    uint64_t offset = ea_flat(v, u);
    switch ((u->ea & EA_ADDRESS) >> EA_ADDRESS_SHIFT) {
    case 0:
        return (uint16_t)offset;
    case 1:
        return (uint32_t)offset;
    default:
        return offset;
    }
}

uint64_t ea_general(struct vcpu *v, const struct uop *u, unsigned bytes, enum access access)
{
    v->current = u;
    return segment_linear(v, (u->ea & EA_SEGMENT) >> EA_SEGMENT_SHIFT, ea_offset(v, u), bytes, access);
}

/* ---- the slow side ---- */

static enum tlb_kind kind_of(const struct vcpu *v)
{
    return (enum tlb_kind)(v->tlb - v->space->tlbs);
}

static uint64_t wrap(const struct vcpu *v, uint64_t linear)
{
    return vp_long(v) ? linear : (uint32_t)linear;
}

/* A non-canonical address that slipped by without a segment check (flat variants): #GP, or #SS for a stack-based operand. */
static void check_canonical(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes)
{
    if (!vp_long(v) || (canonical(v, linear) && canonical(v, linear + bytes - 1))) {
        return;
    }
    bool stack = u != NULL && (u->ea & EA_SEGMENT) >> EA_SEGMENT_SHIFT == SEG_SS;
    vp_raise_error(v, stack ? VEC_SS : VEC_GP, 0);
}

static void check_alignment(struct vcpu *v, uint64_t linear, unsigned bytes)
{
    if (UNLIKELY(v->alignment_check) && (linear & (bytes - 1)) && bytes <= 8 && kind_of(v) == TLB_USER) {
        vp_raise_error(v, VEC_AC, 0);
    }
}

static void note_breakpoint(struct vcpu *v, uint64_t linear, unsigned bytes, bool write)
{
    if (UNLIKELY(v->data_breakpoints)) {
        uint64_t hit = debug_match_data(v, linear, bytes, write);
        if (hit) {
            vp_restart_alone(v); /* the trap comes right after this instruction */
            v->s.pending_db |= hit;
            vp_attention(v);
        }
    }
}

static void io_begin(struct vcpu *v, bool lapic)
{
    vp_restart_alone(v);
    vp_charge(v, lapic ? EXIT_APIC : EXIT_MMIO, v->cpu->cost->event[lapic ? EXIT_APIC : EXIT_MMIO]);
}

/* SDM 3A §10.4.1: local APIC registers are 32 bits wide, on 16-byte boundaries; other accesses are undefined: bytes of the
 * register. */
static uint64_t place_read_io(struct vcpu *v, const struct place *p, unsigned bytes)
{
    io_begin(v, p->lapic);
    uint64_t value;
    if (p->lapic) {
        unsigned offset = (unsigned)(p->gpa & PAGE_OFFSET_MASK);
        value = (offset & 15) + bytes <= 4 ? lapic_read(v, offset & ~15u) >> (8 * (offset & 3)) : 0;
    } else {
        value = mmio_read(v->machine->memory, gpa(p->gpa), bytes);
    }
    TRACE(v->trace, mmio_read, v->index, p->gpa, bytes, value);
    return value;
}

static void place_write_io(struct vcpu *v, const struct place *p, unsigned bytes, uint64_t value)
{
    io_begin(v, p->lapic);
    TRACE(v->trace, mmio_write, v->index, p->gpa, bytes, value);
    if (p->lapic) {
        unsigned offset = (unsigned)(p->gpa & PAGE_OFFSET_MASK);
        if ((offset & 15) == 0 && bytes == 4) {
            lapic_write(v, offset, (uint32_t)value);
        }
    } else {
        mmio_write(v->machine->memory, gpa(p->gpa), bytes, value);
    }
}

/* Up to 8 bytes at a time; MMIO of odd sizes goes byte by byte. */
static void place_read(struct vcpu *v, const struct place *p, unsigned bytes, uint8_t *to)
{
    if (p->host != NULL) {
        memcpy(to, p->host, bytes);
        return;
    }
    for (unsigned done = 0; done < bytes;) {
        unsigned left = bytes - done, n = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        struct place part = *p;
        part.gpa += done;
        uint64_t value = place_read_io(v, &part, n);
        memcpy(to + done, &value, n);
        done += n;
    }
}

static void place_write(struct vcpu *v, const struct place *p, unsigned bytes, const uint8_t *from)
{
    if (p->read_only) {
        return; /* lost */
    }
    if (p->host != NULL) {
        if (memory_track(v->machine->memory, p->frame) & (MEMORY_CODE | MEMORY_TABLE)) {
            mmu_tracked_write(v->cpu, p->frame, (uint32_t)(p->gpa & PAGE_OFFSET_MASK), bytes);
        }
        memory_dirty(v->machine->memory, p->frame);
        memcpy(p->host, from, bytes);
        return;
    }
    for (unsigned done = 0; done < bytes;) {
        unsigned left = bytes - done, n = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        struct place part = *p;
        part.gpa += done;
        uint64_t value = 0;
        memcpy(&value, from + done, n);
        place_write_io(v, &part, n, value);
        done += n;
    }
}

static void prepare_write(struct vcpu *v, const struct place *p, unsigned bytes)
{
    if (p->read_only) {
        mmu_refuse_write(v, p->frame);
        return;
    }
    if (p->host == NULL ||
        ((memory_track(v->machine->memory, p->frame) & (MEMORY_CODE | MEMORY_TABLE)) && mmu_write_needs_alone(v, p, bytes))) {
        vp_restart_alone(v);
    }
}

/* The one or two pages that [linear, linear + bytes) lies in. */
struct span {
    struct place place[2];
    unsigned bytes[2];
};

static void span_find(struct vcpu *v, uint64_t linear, unsigned bytes, enum access access, enum tlb_kind kind, struct span *s)
{
    unsigned room = PAGE_BYTES - (unsigned)(linear & PAGE_OFFSET_MASK);
    s->bytes[0] = bytes < room ? bytes : room;
    s->bytes[1] = bytes - s->bytes[0];
    s->place[0] = mmu_place(v, linear, access, kind);
    if (s->bytes[1] != 0) {
        s->place[1] = mmu_place(v, wrap(v, linear + s->bytes[0]), access, kind);
    }
}

static void span_read(struct vcpu *v, uint64_t linear, unsigned bytes, enum tlb_kind kind, uint8_t *to)
{
    struct span s;
    span_find(v, linear, bytes, ACCESS_READ, kind, &s);
    note_breakpoint(v, linear, bytes, false);
    place_read(v, &s.place[0], s.bytes[0], to);
    if (s.bytes[1] != 0) {
        place_read(v, &s.place[1], s.bytes[1], to + s.bytes[0]);
    }
}

static void span_write(struct vcpu *v, uint64_t linear, unsigned bytes, enum tlb_kind kind, const uint8_t *from)
{
    struct span s;
    span_find(v, linear, bytes, ACCESS_WRITE, kind, &s);
    note_breakpoint(v, linear, bytes, true);
    prepare_write(v, &s.place[0], s.bytes[0]);
    if (s.bytes[1] != 0) {
        prepare_write(v, &s.place[1], s.bytes[1]);
    }
    place_write(v, &s.place[0], s.bytes[0], from);
    if (s.bytes[1] != 0) {
        place_write(v, &s.place[1], s.bytes[1], from + s.bytes[0]);
    }
}

COLD uint64_t load_slow(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes)
{
    v->current = u;
    uint64_t x = 0;
    check_canonical(v, u, linear, bytes);
    check_alignment(v, linear, bytes);
    span_read(v, linear, bytes, kind_of(v), (uint8_t *)&x);
    return x;
}

COLD void store_slow(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes, uint64_t value)
{
    v->current = u;
    check_canonical(v, u, linear, bytes);
    check_alignment(v, linear, bytes);
    span_write(v, linear, bytes, kind_of(v), (const uint8_t *)&value);
}

COLD void load_wide_slow(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes, void *to)
{
    v->current = u;
    uint8_t buffer[64];
    check_canonical(v, u, linear, bytes);
    span_read(v, linear, bytes, kind_of(v), buffer);
    memcpy(to, buffer, bytes);
}

COLD void store_wide_slow(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes, const void *from)
{
    v->current = u;
    check_canonical(v, u, linear, bytes);
    span_write(v, linear, bytes, kind_of(v), from);
}

COLD void *modify_slow(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes)
{
    v->current = u;
    check_canonical(v, u, linear, bytes);
    check_alignment(v, linear, bytes);
    struct span s;
    span_find(v, linear, bytes, ACCESS_WRITE, kind_of(v), &s);
    note_breakpoint(v, linear, bytes, true);
    prepare_write(v, &s.place[0], s.bytes[0]);
    if (s.bytes[1] != 0) {
        prepare_write(v, &s.place[1], s.bytes[1]);
    }
    struct place *p = &s.place[0];
    if (s.bytes[1] == 0 && p->host != NULL && !p->read_only &&
        !(memory_track(v->machine->memory, p->frame) & (MEMORY_CODE | MEMORY_TABLE))) {
        memory_dirty(v->machine->memory, p->frame);
        return p->host;
    }
    v->bounce.linear = linear;
    v->bounce.bytes = bytes;
    place_read(v, p, s.bytes[0], v->bounce.data);
    if (s.bytes[1] != 0) {
        place_read(v, &s.place[1], s.bytes[1], v->bounce.data + s.bytes[0]);
    }
    return v->bounce.data;
}

COLD void modify_done_slow(struct vcpu *v, const struct uop *u)
{
    v->current = u;
    struct span s;
    span_find(v, v->bounce.linear, v->bounce.bytes, ACCESS_WRITE, kind_of(v), &s);
    place_write(v, &s.place[0], s.bytes[0], v->bounce.data);
    if (s.bytes[1] != 0) {
        place_write(v, &s.place[1], s.bytes[1], v->bounce.data + s.bytes[0]);
    }
}

/* ---- for system code ---- */

uint64_t vp_load(struct vcpu *v, uint64_t linear, unsigned bytes)
{
    const struct tlb_entry *e = tlb_entry_of(v, linear);
    uint64_t x = 0;
    if (LIKELY((linear ^ e->read_tag) <= PAGE_BYTES - bytes)) {
        memcpy(&x, (const void *)(linear + e->addend), bytes);
        return x;
    }
    check_canonical(v, NULL, linear, bytes);
    check_alignment(v, linear, bytes);
    span_read(v, linear, bytes, kind_of(v), (uint8_t *)&x);
    return x;
}

void vp_store(struct vcpu *v, uint64_t linear, unsigned bytes, uint64_t value)
{
    const struct tlb_entry *e = tlb_entry_of(v, linear);
    if (LIKELY((linear ^ e->write_tag) <= PAGE_BYTES - bytes)) {
        memcpy((void *)(linear + e->addend), &value, bytes);
        return;
    }
    check_canonical(v, NULL, linear, bytes);
    check_alignment(v, linear, bytes);
    span_write(v, linear, bytes, kind_of(v), (const uint8_t *)&value);
}

uint64_t sys_load(struct vcpu *v, uint64_t linear, unsigned bytes)
{
    const struct tlb *t = &v->space->tlbs[TLB_SUPERVISOR];
    const struct tlb_entry *e = &t->e[(linear >> PAGE_SHIFT) & v->tlb_mask];
    uint64_t x = 0;
    if (LIKELY((linear ^ e->read_tag) <= PAGE_BYTES - bytes)) {
        memcpy(&x, (const void *)(linear + e->addend), bytes);
        return x;
    }
    check_canonical(v, NULL, linear, bytes);
    span_read(v, linear, bytes, TLB_SUPERVISOR, (uint8_t *)&x);
    return x;
}

void sys_store(struct vcpu *v, uint64_t linear, unsigned bytes, uint64_t value)
{
    const struct tlb *t = &v->space->tlbs[TLB_SUPERVISOR];
    const struct tlb_entry *e = &t->e[(linear >> PAGE_SHIFT) & v->tlb_mask];
    if (LIKELY((linear ^ e->write_tag) <= PAGE_BYTES - bytes)) {
        memcpy((void *)(linear + e->addend), &value, bytes);
        return;
    }
    check_canonical(v, NULL, linear, bytes);
    span_write(v, linear, bytes, TLB_SUPERVISOR, (const uint8_t *)&value);
}

static void probe(struct vcpu *v, uint64_t linear, unsigned bytes, enum access access)
{
    check_canonical(v, NULL, linear, bytes);
    uint64_t end = linear + bytes;
    for (uint64_t at = linear; at < end; at = (at | PAGE_OFFSET_MASK) + 1) {
        struct place p = mmu_place(v, wrap(v, at), access, kind_of(v));
        if (access == ACCESS_WRITE && p.read_only) {
            mmu_refuse_write(v, p.frame);
        }
    }
}

void vp_probe_read(struct vcpu *v, uint64_t linear, unsigned bytes)
{
    probe(v, linear, bytes, ACCESS_READ);
}

void vp_probe_write(struct vcpu *v, uint64_t linear, unsigned bytes)
{
    probe(v, linear, bytes, ACCESS_WRITE);
}

void vp_load_bytes(struct vcpu *v, uint64_t linear, void *to, unsigned bytes)
{
    check_canonical(v, NULL, linear, bytes);
    uint8_t buffer[PAGE_BYTES];
    span_read(v, linear, bytes, kind_of(v), buffer);
    memcpy(to, buffer, bytes);
}

void vp_store_bytes(struct vcpu *v, uint64_t linear, const void *from, unsigned bytes)
{
    check_canonical(v, NULL, linear, bytes);
    span_write(v, linear, bytes, kind_of(v), from);
}
