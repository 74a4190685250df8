/* Conditional jumps, which the decoder builds itself: they have exits, and join with the comparison before them. Private to
 * cpu/. */
#ifndef ORRERY_CPU_EXEC_CONTROL_H
#define ORRERY_CPU_EXEC_CONTROL_H

#include "cpu/insn.h"

/* Flags as vcpu.fl holds them (LAHF;SETO). */
enum { FL_OF = 0x0001, FL_CF = 0x0100, FL_PF = 0x0400, FL_AF = 0x1000, FL_ZF = 0x4000, FL_SF = 0x8000 };

/* tttn, SDM 2D table B-10: O NO B NB Z NZ BE NBE S NS P NP L NL LE NLE. Constant `cc` folds to a test or two. */
static inline bool condition_holds(uint16_t fl, unsigned cc)
{
    bool x;
    switch (cc >> 1) {
    case 0:
        x = fl & FL_OF;
        break;
    case 1:
        x = fl & FL_CF;
        break;
    case 2:
        x = fl & FL_ZF;
        break;
    case 3:
        x = fl & (FL_CF | FL_ZF);
        break;
    case 4:
        x = fl & FL_SF;
        break;
    case 5:
        x = fl & FL_PF;
        break;
    case 6:
        x = ((fl >> 15) ^ fl) & 1;
        break;
    default:
        x = (fl & FL_ZF) || (((fl >> 15) ^ fl) & 1);
        break;
    }
    return x != (bool)(cc & 1);
}
#define CONDITIONS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

/* The condition of a Jcc that stays in a 32- or 64-bit instruction pointer, or -1 when the instruction is none. */
int control_condition(const struct insn *in);
uop_fn *control_jcc(unsigned condition);
/* The handler for a comparison (already emitted) with this jump after it; NULL when they do not join. */
uop_fn *control_fused(const struct insn *comparison, unsigned condition);
/* Condition of a mnemonic of a family in tttn order: SETcc, CMOVcc, Jcc. -1 when not of the family. */
int condition_of_jcc(uint16_t mnemonic);
int condition_of_setcc(uint16_t mnemonic);
int condition_of_cmovcc(uint16_t mnemonic);

#endif
