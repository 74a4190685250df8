/* The stack in every mode: its address size is 64 bits in 64-bit mode, else that of SS. Private to cpu/. */
#ifndef ORRERY_CPU_EXEC_STACK_H
#define ORRERY_CPU_EXEC_STACK_H

#include "cpu/access.h"
#include "cpu/insn.h"

static inline uint64_t stack_mask(const struct vcpu *v)
{
    return v->mode == CODE_64 ? ~0ULL : v->s.seg[SEG_SS].attributes & ATTR_DB ? 0xffffffffULL : 0xffffULL;
}
static inline void stack_release(struct vcpu *v, uint64_t bytes)
{
    uint64_t mask = stack_mask(v);
    uint64_t sp = (v->s.gpr[RSP] & ~mask) | ((v->s.gpr[RSP] + bytes) & mask);
    v->s.gpr[RSP] = sp;
}
/* The operand `depth` bytes above the top. */
static inline uint64_t stack_peek(struct vcpu *v, uint64_t depth, unsigned bytes)
{
    uint64_t at = (v->s.gpr[RSP] + depth) & stack_mask(v);
    return vp_load(v, segment_linear(v, SEG_SS, at, bytes, ACCESS_READ), bytes);
}
static inline void stack_probe_push(struct vcpu *v, uint64_t depth, unsigned bytes)
{
    uint64_t at = (v->s.gpr[RSP] - depth) & stack_mask(v);
    vp_probe_write(v, segment_linear(v, SEG_SS, at, bytes, ACCESS_WRITE), bytes);
}
/* v->current must name the instruction. */
static inline void stack_push(struct vcpu *v, uint64_t x, unsigned bytes)
{
    uint64_t mask = stack_mask(v), at = (v->s.gpr[RSP] - bytes) & mask;
    vp_store(v, segment_linear(v, SEG_SS, at, bytes, ACCESS_WRITE), bytes, x);
    v->s.gpr[RSP] = (v->s.gpr[RSP] & ~mask) | at;
}

static inline uint64_t load_sized(struct vcpu *v, const struct uop *u, uint64_t a, unsigned bytes)
{
    return bytes == 1 ? load8(v, u, a) : bytes == 2 ? load16(v, u, a) : bytes == 4 ? load32(v, u, a) : load64(v, u, a);
}
static inline void store_sized(struct vcpu *v, const struct uop *u, uint64_t a, unsigned bytes, uint64_t x)
{
    bytes == 1   ? store8(v, u, a, (uint8_t)x)
    : bytes == 2 ? store16(v, u, a, (uint16_t)x)
    : bytes == 4 ? store32(v, u, a, (uint32_t)x)
                 : store64(v, u, a, x);
}

#endif
