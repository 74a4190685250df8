/* x87 control: FNINIT, FNCLEX, FLDCW, FNSTCW, FNSTSW, FWAIT, and the environment: FNSTENV, FLDENV, FNSAVE, FRSTOR. SDM 1
 * §8.1.10, §8.1.11.
 *
 * The environment in memory has four shapes, by operand size and by protected or real (or virtual-8086) mode: SDM 1 figures 8-9
 * to 8-12. In memory every register has its two-bit tag; here only "empty" is kept, so the other three are worked out from what
 * the register holds.
 */
#include "cpu/exec/x87.h"

X87_NO_WAIT(init)
{
    x87_init(&v->s.fpu);
}

X87_NO_WAIT(clear)
{
    v->s.fpu.fsw &= (uint16_t) ~(FSW_EXCEPTIONS | FSW_SF | FSW_ES | FSW_B);
}

X87_NO_WAIT(nop_no_wait)
{
}

X87(load_control)
{
    uint64_t linear = x87_address(v, u, 2, ACCESS_READ);
    v->s.fpu.fcw = x87_control_word(load16(v, u, linear));
    x87_summarise(&v->s.fpu);
}

X87_NO_WAIT(store_control)
{
    uint64_t linear = x87_address(v, u, 2, ACCESS_WRITE);
    store16(v, u, linear, v->s.fpu.fcw);
}

X87_NO_WAIT(store_status)
{
    uint64_t linear = x87_address(v, u, 2, ACCESS_WRITE);
    store16(v, u, linear, v->s.fpu.fsw);
}

X87_NO_WAIT(store_status_ax)
{
    set_reg16(v, slot_gpr(RAX), v->s.fpu.fsw);
}

/* FWAIT faults for TS only together with MP, and never for EM (SDM 3A table 2-2). */
static bool wait_not_available(const struct vcpu *v)
{
    return (v->s.cr0 & (CR0_TS | CR0_MP)) == (CR0_TS | CR0_MP);
}

static COLD _Noreturn void wait_fault(struct vcpu *v, const struct uop *u)
{
    v->current = u;
    vp_raise(v, wait_not_available(v) ? VEC_NM : VEC_MF);
}

HANDLER(op_x87_wait)
{
    if (UNLIKELY(wait_not_available(v) || (v->s.fpu.fsw & FSW_ES))) {
        wait_fault(v, u);
    }
    NEXT;
}

/* ---- images of more than 64 bytes ---- */

/* In 64-bit mode ea_flat() has checked nothing yet; a stack-based address outside the canonical range is #SS (SDM 3A §6.15). */
void x87_check_image(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes)
{
    if (v->mode == CODE_64 && !(canonical(v, linear) && canonical(v, linear + bytes - 1))) {
        vp_raise_error(v, (u->ea & EA_SEGMENT) >> EA_SEGMENT_SHIFT == SEG_SS ? VEC_SS : VEC_GP, 0);
    }
}

void x87_load_image(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes, uint8_t *to)
{
    x87_check_image(v, u, linear, bytes);
    vp_load_bytes(v, linear, to, bytes);
}

void x87_store_image(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes, const uint8_t *from)
{
    x87_check_image(v, u, linear, bytes);
    vp_store_bytes(v, linear, from, bytes);
}

/* ---- the environment ---- */

/* SDM 1 §8.1.7: 00 valid, 01 zero, 10 special (NaN, unsupported, infinity, denormal), 11 empty. */
static unsigned tag_of(const struct fpu_state *f, unsigned i)
{
    if (!(f->ftw >> i & 1)) {
        return 3;
    }
    struct f80 x = f80_unpack(f->r[i]);
    return x.kind == F80_ZERO ? 1 : x.kind == F80_FINITE && !x.denormal ? 0 : 2;
}

static uint16_t full_tags(const struct fpu_state *f)
{
    unsigned tags = 0;
    for (unsigned i = 0; i < 8; i++) {
        tags |= tag_of(f, i) << (2 * i);
    }
    return (uint16_t)tags;
}

static uint8_t abridged_tags(uint16_t tags)
{
    unsigned r = 0;
    for (unsigned i = 0; i < 8; i++) {
        r |= (unsigned)((tags >> (2 * i) & 3) != 3) << i;
    }
    return (uint8_t)r;
}

static bool real_format(const struct vcpu *v)
{
    return !vp_protected(v) || vp_v86(v);
}

enum { ENVIRONMENT_WORDS = 7, REGISTERS_BYTES = 80 };

/* The seven words (of 16 or 32 bits) of an environment, each with what its upper half holds in the 32-bit shapes. */
static void environment_words(const struct vcpu *v, uint32_t words[ENVIRONMENT_WORDS])
{
    const struct fpu_state *f = &v->s.fpu;
    const uint32_t reserved = 0xffff0000;
    uint32_t fip = (uint32_t)f->fip, fdp = (uint32_t)f->fdp;
    words[0] = reserved | f->fcw;
    words[1] = reserved | f->fsw;
    words[2] = reserved | full_tags(f);
    if (real_format(v)) { /* linear addresses: 16 bits, then the rest beside FOP; in the 16-bit shape 4 more bits */
        fip += (uint32_t)f->fcs << 4;
        fdp += (uint32_t)f->fds << 4;
        words[3] = reserved | (uint16_t)fip;
        words[4] = (fip & 0xffff0000) >> 4 | f->fop;
        words[5] = reserved | (uint16_t)fdp;
        words[6] = (fdp & 0xffff0000) >> 4;
    } else {
        words[3] = fip;
        words[4] = (uint32_t)f->fop << 16 | f->fcs;
        words[5] = fdp;
        words[6] = reserved | f->fds;
    }
}

static unsigned word_bytes(const struct uop *u)
{
    return u->x & X87_OPERAND_16 ? 2 : 4;
}

static void put_words(const struct vcpu *v, unsigned bytes, uint8_t *to)
{
    uint32_t words[ENVIRONMENT_WORDS];
    environment_words(v, words);
    for (unsigned i = 0; i < ENVIRONMENT_WORDS; i++) {
        __builtin_memcpy(to + bytes * i, &words[i], bytes);
    }
}

/* The other way round. FSW keeps the image's TOP and flags; ES and B follow from masks and flags. */
static void take_words(struct vcpu *v, unsigned bytes, const uint8_t *from)
{
    struct fpu_state *f = &v->s.fpu;
    uint32_t words[ENVIRONMENT_WORDS] = {0};
    for (unsigned i = 0; i < ENVIRONMENT_WORDS; i++) {
        __builtin_memcpy(&words[i], from + bytes * i, bytes);
    }
    f->fcw = x87_control_word((uint16_t)words[0]);
    f->fsw = (uint16_t)words[1];
    f->ftw = abridged_tags((uint16_t)words[2]);
    if (real_format(v)) {
        f->fip = (uint16_t)words[3] | (words[4] & 0x0ffff000) << 4;
        f->fdp = (uint16_t)words[5] | (words[6] & 0x0ffff000) << 4;
        f->fop = words[4] & 0x7ff;
        f->fcs = f->fds = 0;
    } else {
        f->fip = words[3];
        f->fcs = (uint16_t)words[4];
        f->fdp = words[5];
        f->fds = (uint16_t)words[6];
        f->fop = words[4] >> 16 & 0x7ff; /* of the 16-bit shape, which has no FOP: 0 */
    }
    x87_summarise(f);
}

X87_NO_WAIT(store_environment)
{
    uint8_t image[4 * ENVIRONMENT_WORDS];
    unsigned bytes = word_bytes(u);
    uint64_t linear = x87_address(v, u, ENVIRONMENT_WORDS * bytes, ACCESS_WRITE);
    put_words(v, bytes, image);
    store_wide_slow(v, u, linear, ENVIRONMENT_WORDS * bytes, image);
    v->s.fpu.fcw |= FSW_EXCEPTIONS; /* all masked, after saving: SDM 2A FNSTENV */
    x87_summarise(&v->s.fpu);
}

X87(load_environment)
{
    uint8_t image[4 * ENVIRONMENT_WORDS];
    unsigned bytes = word_bytes(u);
    uint64_t linear = x87_address(v, u, ENVIRONMENT_WORDS * bytes, ACCESS_READ);
    load_wide_slow(v, u, linear, ENVIRONMENT_WORDS * bytes, image);
    take_words(v, bytes, image);
}

/* Behind the environment ST(0) to ST(7), ten bytes each. */
X87_NO_WAIT(save)
{
    uint8_t image[4 * ENVIRONMENT_WORDS + REGISTERS_BYTES];
    unsigned bytes = word_bytes(u), environment = ENVIRONMENT_WORDS * bytes;
    uint64_t linear = x87_address(v, u, environment + REGISTERS_BYTES, ACCESS_WRITE);
    put_words(v, bytes, image);
    for (unsigned i = 0; i < 8; i++) {
        st_t x = x87_get(&v->s.fpu, i);
        __builtin_memcpy(image + environment + 10 * i, &x.significand, 8);
        __builtin_memcpy(image + environment + 10 * i + 8, &x.sign_exponent, 2);
    }
    x87_store_image(v, u, linear, environment + REGISTERS_BYTES, image);
    x87_init(&v->s.fpu);
}

X87(restore)
{
    uint8_t image[4 * ENVIRONMENT_WORDS + REGISTERS_BYTES];
    unsigned bytes = word_bytes(u), environment = ENVIRONMENT_WORDS * bytes;
    uint64_t linear = x87_address(v, u, environment + REGISTERS_BYTES, ACCESS_READ);
    x87_load_image(v, u, linear, environment + REGISTERS_BYTES, image);
    take_words(v, bytes, image);
    for (unsigned i = 0; i < 8; i++) {
        st_t *x = &v->s.fpu.r[x87_index(&v->s.fpu, i)];
        *x = (st_t){0};
        __builtin_memcpy(&x->significand, image + environment + 10 * i, 8);
        __builtin_memcpy(&x->sign_exponent, image + environment + 10 * i + 8, 2);
    }
}
