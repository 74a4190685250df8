/* The general-purpose instructions as data: every opcode, and for each the operand forms and widths that a mode gives it; and
 * random cases of a form for any of the three code sizes. Both integer oracles draw from here, so neither can forget what the
 * other knows.
 *
 * A row is an opcode as the SDM's opcode map has it; its forms follow from its kind: register and memory (every way of
 * addressing, page ends included), each width, each immediate. Which flags count is the SDM's word, by row and, for shifts, by
 * count.
 *
 * Left out: segment loads and far transfers (LES to LSS, POP DS, far CALL), INT and IRET, I/O, and all that is privileged.
 */
#ifndef ORRERY_TESTS_ORACLE_INTEGER_FORMS_H
#define ORRERY_TESTS_ORACLE_INTEGER_FORMS_H

#include "cpu/state.h"
#include "tests/oracle/forms.h"
#include "tests/oracle/native.h"

/* Where a case runs. `data` is linear; each segment's base lies below it, near enough for 16 bits of offset unless `bits`
 * is 64. */
struct place {
    unsigned bits;       /* 64, 32, 16: code, and with it the stack */
    bool real;           /* real mode: CS is writable, ARPL does not exist */
    uint64_t code, data; /* NATIVE_DATA_BYTES from `data` */
    uint64_t base[SEGMENTS];
};

struct integer_row {
    const char *name;
    uint8_t map;    /* 0 or 0x0f */
    uint8_t opcode; /* of the 8-bit form when `widths` has 8 bits together with others: the others are opcode | 1 */
    uint8_t kind;   /* enum kind in integer_forms.c */
    uint8_t digit;  /* ModRM.reg of an opcode extension */
    uint8_t widths; /* in bytes: 1, 2, 4, 8; 16: no operand whose width matters */
    uint16_t flags; /* those that the instruction defines or leaves alone */
    uint8_t prefix; /* mandatory */
    uint8_t modes;  /* enum in_modes; 0: all */
};
enum in_modes { IN_64 = 1, IN_32 = 2, IN_16 = 4, IN_LEGACY = IN_32 | IN_16, IN_PROTECTED = 8 };

extern const struct integer_row integer_rows[];
extern const unsigned integer_row_count;

struct integer_case {
    uint8_t code[32];
    unsigned length;
    uint64_t flags;   /* defined ones */
    uint64_t address; /* linear, of 16 bytes within the data that deserve fresh values */
    bool rip_relative;
};

bool integer_exists(const struct integer_row *r, const struct place *p, unsigned width);
bool integer_has_memory(const struct integer_row *r);
bool integer_has_register(const struct integer_row *r);
/* Writes the bytes of a random case, and the registers that its addresses need over `in`; false when this combination means
 * nothing.
 */
bool integer_build(const struct integer_row *r, const struct place *p, unsigned width, bool memory, struct dice *d,
                   struct native_state *in, struct integer_case *c);
/* "16 m16": the form as the tables of the oracles print it; `width` as in integer_row.widths. */
const char *integer_width_name(unsigned width);

#endif
