/* Operand forms of an instruction, found by asking an encoder which combinations of operands exist; and random cases of a form.
 * Nothing is listed by hand, so no form of a mnemonic that the processor has a row for can be forgotten (what the encoder
 * cannot say, such as the second encoding of a register move, is added as bytes).
 */
#ifndef ORRERY_TESTS_ORACLE_FORMS_H
#define ORRERY_TESTS_ORACLE_FORMS_H

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>

/* Shape of one operand. */
enum shape {
    SHAPE_NONE,
    SHAPE_XMM,
    SHAPE_MMX,
    SHAPE_R8,
    SHAPE_R16,
    SHAPE_R32,
    SHAPE_R64,
    SHAPE_M8,
    SHAPE_M16,
    SHAPE_M32,
    SHAPE_M64,
    SHAPE_M128,
    SHAPE_IMM8,
    SHAPES
};
enum { FORM_OPERANDS = 3, FORM_BYTES_MAX = 15 };

struct form {
    uint16_t mnemonic;
    uint16_t isa_set;
    uint8_t shape[FORM_OPERANDS];
    const struct raw_form *raw; /* not NULL: register operands by these bytes */
};
/* An encoding given as bytes: [prefix] [REX] 0F [38|3A] opcode ModRM [imm8], registers only. */
struct raw_form {
    uint16_t mnemonic;
    uint8_t shape[FORM_OPERANDS];
    uint8_t prefix; /* 66, F2, F3 or 0 */
    bool wide;      /* REX.W */
    uint8_t map;    /* 0x0f, 0x38, 0x3a */
    uint8_t opcode;
    bool reg_is_source; /* ModRM.reg names op[1] */
};

/* Up to `room` forms of a mnemonic into `to`; returns how many there are. */
unsigned forms_of(uint16_t mnemonic, struct form *to, unsigned room);
bool form_from_raw(const struct raw_form *raw, struct form *to);
const char *form_text(const struct form *f, char *buffer, unsigned bytes); /* "ADDPS xmm, m128" */
bool form_has_memory(const struct form *f);

/* A small deterministic generator of test values. */
struct dice {
    uint64_t state;
};
uint64_t dice_roll(struct dice *d);
static inline unsigned dice_below(struct dice *d, unsigned n)
{
    return (unsigned)(dice_roll(d) >> 32) % n;
}
/* Bytes that mean something to the instruction: a mix of uniform bits, special singles and doubles, edge integers, short
 * strings. */
void dice_operand(struct dice *d, uint8_t *to, unsigned bytes);
uint64_t dice_integer(struct dice *d);

/* One case: registers chosen at random, and a memory operand that begins at `address` (the base and index registers' values are
 * put into `gpr`). Returns the length of the instruction, or 0. `code_at` is where it will stand. */
unsigned form_encode(const struct form *f, struct dice *d, uint64_t code_at, uint64_t address, uint64_t gpr[16],
                     uint8_t code[FORM_BYTES_MAX]);

#endif
