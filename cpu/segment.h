/* Descriptors, code-segment rules and stacks: what segment loads, far transfers, event delivery and task switches share.
 * Private to cpu/.
 *
 * Everything here checks first and faults by longjmp. Nothing changes the VP unless its name says so (set, commit), except that
 * a descriptor's accessed bit may already be set in memory, as on any processor.
 */
#ifndef ORRERY_CPU_SEGMENT_H
#define ORRERY_CPU_SEGMENT_H

#include "cpu/access.h"
#include "cpu/exec/stack.h"

/* System descriptor types, SDM 3A §3.5 table 3-2; the 64-bit kinds use the numbers of the 32-bit ones. */
enum descriptor_type {
    TYPE_TSS16 = 1,
    TYPE_LDT = 2,
    TYPE_TSS16_BUSY = 3,
    TYPE_CALL_GATE16 = 4,
    TYPE_TASK_GATE = 5,
    TYPE_INTERRUPT_GATE16 = 6,
    TYPE_TRAP_GATE16 = 7,
    TYPE_TSS = 9,
    TYPE_TSS_BUSY = 11,
    TYPE_CALL_GATE = 12,
    TYPE_INTERRUPT_GATE = 14,
    TYPE_TRAP_GATE = 15,
    TYPE_BUSY_BIT = 2,
};

struct descriptor {
    uint64_t linear; /* where it lies */
    uint64_t raw;    /* its first 8 bytes */
    uint64_t base;
    uint32_t limit;      /* in bytes */
    uint16_t attributes; /* as in struct segment */
};

static inline unsigned attributes_dpl(uint16_t a)
{
    return a >> ATTR_DPL_SHIFT & 3;
}
static inline unsigned attributes_type(uint16_t a)
{
    return a & ATTR_TYPE;
}
static inline bool attributes_code(uint16_t a)
{
    return (a & (ATTR_S | ATTR_CODE)) == (ATTR_S | ATTR_CODE);
}
static inline bool attributes_writable_data(uint16_t a)
{
    return (a & (ATTR_S | ATTR_CODE | ATTR_WRITABLE)) == (ATTR_S | ATTR_WRITABLE);
}
static inline bool attributes_conforming(uint16_t a)
{
    return a & ATTR_CONFORMING;
}
static inline bool selector_null(uint16_t selector)
{
    return (selector & ~3u) == 0;
}
static inline unsigned selector_rpl(uint16_t selector)
{
    return selector & 3;
}
/* Error code that names a selector, SDM 3A §6.13 Error Code. */
static inline uint32_t selector_error(uint16_t selector)
{
    return selector & ~3u;
}
/* Descriptor tables and the TSS lie in a 32-bit linear space outside IA-32e mode. */
static inline uint64_t system_linear(const struct vcpu *v, uint64_t linear)
{
    return vp_long(v) ? linear : (uint32_t)linear;
}

/* Quadwords by the TLB entry that is looked at once; false: go the long way. A hit implies a canonical address. */
static inline bool load_quads(const struct vcpu *v, const struct tlb *t, uint64_t linear, uint64_t *to, unsigned count)
{
    const struct tlb_entry *e = &t->e[(linear >> PAGE_SHIFT) & v->tlb_mask];
    if (UNLIKELY((linear ^ e->read_tag) > PAGE_BYTES - 8 * count)) {
        return false;
    }
    __builtin_memcpy(to, (const void *)(linear + e->addend), 8 * count);
    return true;
}
static inline const struct tlb *supervisor_tlb(const struct vcpu *v)
{
    return &v->space->tlbs[TLB_SUPERVISOR];
}
static inline uint64_t sys_load64(struct vcpu *v, uint64_t linear)
{
    uint64_t x;
    return LIKELY(load_quads(v, supervisor_tlb(v), linear, &x, 1)) ? x : sys_load(v, linear, 8);
}

/* False when the selector lies beyond its table, or names an LDT that is not there. Null selectors are the caller's matter. */
bool descriptor_find(struct vcpu *v, uint16_t selector, struct descriptor *d);
/* The same, with the fault: vector(selector). */
void descriptor_load(struct vcpu *v, uint16_t selector, uint8_t vector, struct descriptor *d);
/* The upper half of a 16-byte system descriptor (IA-32e mode): extends the base. False when it lies beyond the table or the
 * type field of the upper half is not 0 (SDM 3A §5.8.3.1, §3.5.2). */
bool descriptor_extend(struct vcpu *v, uint16_t selector, struct descriptor *d, uint64_t *high);
void descriptor_mark_accessed(struct vcpu *v, struct descriptor *d);
/* Fills the hidden part of a segment register. */
void segment_set(struct vcpu *v, unsigned segment, uint16_t selector, const struct descriptor *d);
void segment_set_null(struct vcpu *v, unsigned segment, uint16_t selector);
/* A flat segment of SYSCALL, SYSENTER and their returns. */
void segment_set_flat(struct vcpu *v, unsigned segment, uint16_t selector, uint16_t attributes);
/* Fresh v86 segment: base, 64 KiB, DPL 3. */
void segment_set_v86(struct vcpu *v, unsigned segment, uint16_t selector);
/* May a byte range be accessed in this segment (limit and direction; not type)? */
bool segment_holds(const struct segment *s, uint32_t offset, unsigned bytes);

/* Would `offset` be a valid instruction pointer in this code segment? A 64-bit one: canonical. Else #GP(0). */
void code_check_offset(struct vcpu *v, const struct descriptor *cs, uint64_t offset);
static inline bool code_is_64(const struct vcpu *v, const struct descriptor *cs)
{
    return vp_long(v) && (cs->attributes & ATTR_L);
}
/* Loads CS with `cpl` as its RPL, and RIP. Derives. */
void code_commit(struct vcpu *v, uint16_t selector, struct descriptor *cs, unsigned cpl, uint64_t offset);

/* SS for a stack of privilege `dpl` that a TSS, an IRET or a task names; `vector` is #TS or #GP for all but absence (#SS). */
void stack_segment_load(struct vcpu *v, uint16_t selector, unsigned dpl, uint8_t vector, struct descriptor *d);

/* ---- stacks (exec/stack.h has the single pushes and pops) ---- */

/* Stores SP, ESP or RSP as SS says. */
static inline void stack_set_pointer(struct vcpu *v, uint64_t sp)
{
    uint64_t mask = stack_mask(v);
    v->s.gpr[RSP] = mask == 0xffff ? (v->s.gpr[RSP] & ~0xffffULL) | (sp & 0xffff) : sp & mask;
}
/* A frame that is being written, on the current stack or on one about to be switched to. */
struct frame {
    struct segment seg;
    uint64_t base, mask, sp;
    uint32_t error;  /* of #SS when there is no room */
    bool any_offset; /* 64-bit: no limit, only canonical */
    bool implicit;   /* the privilege changes to a supervisor's: accesses are a supervisor's (SDM 3A §4.6.1) */
};
struct frame frame_current(const struct vcpu *v);
/* Room for `count` pushes of `bytes`, and pages that can be written: faults now or never. */
void frame_reserve(struct vcpu *v, const struct frame *k, unsigned bytes, unsigned count);
void frame_push(struct vcpu *v, struct frame *k, unsigned bytes, uint64_t value);

/* Faults unless [linear, linear + bytes) may be written by an implicit supervisor access. */
void sys_probe_write(struct vcpu *v, uint64_t linear, unsigned bytes);

/* ---- the TSS ---- */

/* SS:ESP of privilege `dpl` from a 16- or 32-bit TSS; #TS(TR) when the TSS is too short. */
void tss_stack(struct vcpu *v, unsigned dpl, uint16_t *ss, uint32_t *esp);
/* RSPn or ISTn of a 64-bit TSS at `offset`; #TS(TR) when it is too short, #SS(0) when it is not canonical. */
uint64_t tss_stack64(struct vcpu *v, unsigned offset);
/* A new inner stack of a legacy transfer from TSS values: SS checked against `dpl` by #TS; sp as given. */
struct frame frame_inner(struct vcpu *v, uint16_t ss, uint32_t esp, unsigned dpl, struct descriptor *d);

/* ---- returns to outer privilege (RETF, IRET) ---- */

/* CS for a return to privilege RPL >= CPL. */
void return_code_load(struct vcpu *v, uint16_t selector, struct descriptor *cs);
/* SS for a return to `cpl`. True when it is a null selector that 64-bit mode allows. */
bool return_stack_load(struct vcpu *v, uint16_t ss, const struct descriptor *cs, unsigned cpl, struct descriptor *d);
/* Data segments that the outer privilege may not use become null (SDM 2B RET, "RETURN-TO-OUTER-PRIVILEGE-LEVEL"). */
void return_drop_segments(struct vcpu *v);

#endif
