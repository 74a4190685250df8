/* What the files of system instructions share: one emit function for all their forms, and operand access.
 * Private to cpu/exec/.
 *
 * These instructions are rare and mostly privileged: one handler serves register and memory forms, every operand size and every
 * mode. A handler begins with vp_begin_system(), so that faults find their instruction.
 */
#ifndef ORRERY_CPU_EXEC_SYSTEM_H
#define ORRERY_CPU_EXEC_SYSTEM_H

#include "cpu/insn.h"
#include "cpu/segment.h"

/* How emit_system() fills a uop:
 *   d  op[0]: GPR slot, or number of a segment, control or debug register        s  op[1], likewise
 *   x  operand size in bytes, and X_MEMORY when an operand is in memory          imm, disp  immediate; far pointer: offset,
 * selector  */
enum { X_BYTES = 0x0f, X_MEMORY = 0x80 };

struct system_form {
    uop_fn *fn;
    int feature; /* enum cpu_feature; ALWAYS: none is needed */
};
enum { ALWAYS = FEATURES };

bool emit_system(struct emit *e, const struct insn *in, const void *form);

/* A row; its form stands in it. */
#define SYSTEM_ROW(mnemonic, cost, flags, handler, feature)                                                                    \
    {                                                                                                                          \
        ZYDIS_MNEMONIC_##mnemonic, cost, flags, emit_system, &(const struct system_form)                                       \
        {                                                                                                                      \
            handler, feature                                                                                                   \
        }                                                                                                                      \
    }

static inline unsigned operand_bytes(const struct uop *u)
{
    return u->x & X_BYTES;
}
static inline uint64_t read_gpr(const struct vcpu *v, uint8_t slot, unsigned bytes)
{
    return bytes == 8 ? reg64(v, slot) : bytes == 4 ? reg32(v, slot) : bytes == 2 ? reg16(v, slot) : reg8(v, slot);
}
static inline void write_gpr(struct vcpu *v, uint8_t slot, unsigned bytes, uint64_t x)
{
    bytes == 8   ? set_reg64(v, slot, x)
    : bytes == 4 ? set_reg32(v, slot, (uint32_t)x)
    : bytes == 2 ? set_reg16(v, slot, (uint16_t)x)
                 : set_reg8(v, slot, (uint8_t)x);
}
/* A 16-bit source, in a register or in memory. */
static inline uint16_t read_rm16(struct vcpu *v, const struct uop *u, uint8_t slot)
{
    return u->x & X_MEMORY ? load16(v, u, ea_general(v, u, 2, ACCESS_READ)) : reg16(v, slot);
}
/* A selector or machine word as destination: 16 bits in memory, zero-extended to the operand size in a register. */
static inline void write_rm16(struct vcpu *v, const struct uop *u, uint64_t x)
{
    if (u->x & X_MEMORY) {
        store16(v, u, ea_general(v, u, 2, ACCESS_WRITE), (uint16_t)x);
    } else {
        write_gpr(v, u->d, operand_bytes(u), x);
    }
}

static inline void require_cpl0(struct vcpu *v)
{
    if (UNLIKELY(v->s.cpl != 0)) {
        vp_gp0(v);
    }
}
/* Instructions that real and v86 mode do not know. */
static inline void require_protected(struct vcpu *v)
{
    if (!vp_protected(v) || vp_v86(v)) {
        vp_ud(v);
    }
}
/* CR4.UMIP: SGDT, SIDT, SLDT, SMSW, STR only at CPL 0 (SDM 3A §2.5); or the hypervisor withholds this one of them. */
static inline void require_umip(struct vcpu *v, uint8_t withheld)
{
    if (UNLIKELY(v->s.cpl != 0 && ((v->s.cr4 & CR4_UMIP) || (v->s.withheld & withheld)))) {
        vp_gp0(v);
    }
}

#endif
