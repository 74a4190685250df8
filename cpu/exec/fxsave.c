/* FXSAVE, FXRSTOR, XSAVE, XRSTOR, LDMXCSR, STMXCSR: the images of x87 and SSE state. SDM 1 §10.5, §13; SDM 2A/2D, their pages.
 *
 * The XSAVE area is the FXSAVE image and a header; x87 and SSE are its only components (XCR0 bits 0 and 1).
 *
 *      0  FCW  FSW  FTW(8 bits)  FOP  FIP      16  FDP  MXCSR  MXCSR_MASK
 *     32  ST0-ST7, 16 bytes each              160  XMM0-XMM15 (XMM0-XMM7 outside 64-bit mode)
 *    512  XSTATE_BV  XCOMP_BV  reserved (to 575)
 *
 * Chosen where the SDM leaves it open:
 *  - XINUSE is always 1 for both components (SDM 1 §13.6 allows it): XSAVE sets their bits whatever the registers hold.
 *  - XMM and MXCSR are saved and restored whatever CR4.OSFXSR says (SDM 2A FXSAVE leaves it to the implementation).
 *  - AMD's processors save and restore FOP, FIP and FDP only with an unmasked exception pending (FSW.ES); else the image keeps
 * what was there, and a restore leaves the registers (AMD APM 2 §11.4.4). Bytes that the image reserves are never written.
 *
 * Leaves out XSAVEOPT, XSAVEC, XSAVES (not advertised) and the compacted format.
 */
#include <Zydis/Mnemonic.h>

#include "cpu/exec/sse.h"
#include "cpu/exec/x87.h"
#include "cpu/insn.h"

enum {
    IMAGE_FCW = 0,
    IMAGE_FSW = 2,
    IMAGE_FTW = 4,
    IMAGE_FOP = 6,
    IMAGE_FIP = 8,
    IMAGE_FCS = 12,
    IMAGE_FDP = 16,
    IMAGE_FDS = 20,
    IMAGE_MXCSR = 24,
    IMAGE_MXCSR_MASK = 28,
    IMAGE_ST = 32,
    IMAGE_XMM = 160,
    IMAGE_BYTES = 512,
    HEADER_XSTATE_BV = 512,
    HEADER_XCOMP_BV = 520,
    AREA_BYTES = 576,
};
enum { COMPONENT_X87 = 1, COMPONENT_SSE = 2 };

static void put(uint8_t *image, unsigned at, uint64_t value, unsigned bytes)
{
    __builtin_memcpy(image + at, &value, bytes);
}

static uint64_t take(const uint8_t *image, unsigned at, unsigned bytes)
{
    uint64_t value = 0;
    __builtin_memcpy(&value, image + at, bytes);
    return value;
}

/* ---- components ---- */

static void put_x87(const struct vcpu *v, const struct uop *u, uint8_t *image)
{
    const struct fpu_state *f = &v->s.fpu;
    put(image, IMAGE_FCW, f->fcw, 2);
    put(image, IMAGE_FSW, f->fsw, 2);
    put(image, IMAGE_FTW, f->ftw, 2);
    if (!vp_is_amd(v) || (f->fsw & FSW_ES)) {
        put(image, IMAGE_FOP, f->fop, 2);
        if (u->x & X87_REX_W) {
            put(image, IMAGE_FIP, f->fip, 8);
            put(image, IMAGE_FDP, f->fdp, 8);
        } else {
            put(image, IMAGE_FIP, (uint32_t)f->fip | (uint64_t)f->fcs << 32, 8);
            put(image, IMAGE_FDP, (uint32_t)f->fdp | (uint64_t)f->fds << 32, 8);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        st_t x = x87_get(f, i);
        put(image, IMAGE_ST + 16 * i, x.significand, 8);
        put(image, IMAGE_ST + 16 * i + 8, x.sign_exponent, 8);
    }
}

static void take_x87(struct vcpu *v, const struct uop *u, const uint8_t *image)
{
    struct fpu_state *f = &v->s.fpu;
    f->fcw = x87_control_word((uint16_t)take(image, IMAGE_FCW, 2));
    f->fsw = (uint16_t)take(image, IMAGE_FSW, 2);
    f->ftw = (uint8_t)take(image, IMAGE_FTW, 1);
    if (!vp_is_amd(v) || (f->fsw & FSW_ES)) {
        bool wide = u->x & X87_REX_W;
        f->fop = take(image, IMAGE_FOP, 2) & 0x7ff;
        f->fip = take(image, IMAGE_FIP, wide ? 8 : 4);
        f->fdp = take(image, IMAGE_FDP, wide ? 8 : 4);
        f->fcs = wide ? 0 : (uint16_t)take(image, IMAGE_FCS, 2);
        f->fds = wide ? 0 : (uint16_t)take(image, IMAGE_FDS, 2);
    }
    x87_summarise(f);
    for (unsigned i = 0; i < 8; i++) {
        f->r[x87_index(f, i)] = (st_t){.significand = take(image, IMAGE_ST + 16 * i, 8),
                                       .sign_exponent = (uint16_t)take(image, IMAGE_ST + 16 * i + 8, 2)};
    }
}

static unsigned xmm_count(const struct vcpu *v)
{
    return v->mode == CODE_64 ? 16 : 8;
}

static void put_sse(const struct vcpu *v, uint8_t *image)
{
    put(image, IMAGE_MXCSR, mxcsr_read(v), 4);
    put(image, IMAGE_MXCSR_MASK, MXCSR_VALID, 4);
    __builtin_memcpy(image + IMAGE_XMM, v->s.xmm, 16 * xmm_count(v));
}

static void take_xmm(struct vcpu *v, const uint8_t *image)
{
    __builtin_memcpy(v->s.xmm, image + IMAGE_XMM, 16 * xmm_count(v));
}

static uint32_t checked_mxcsr(struct vcpu *v, const uint8_t *image)
{
    uint32_t mxcsr = (uint32_t)take(image, IMAGE_MXCSR, 4);
    if (mxcsr & ~(uint32_t)MXCSR_VALID) {
        vp_gp0(v);
    }
    return mxcsr;
}

/* ---- FXSAVE, FXRSTOR ---- */

static uint64_t image_address(struct vcpu *v, const struct uop *u, unsigned bytes, unsigned alignment, enum access access)
{
    uint64_t linear = x87_address(v, u, bytes, access);
    if (linear & (alignment - 1)) {
        vp_gp0(v);
    }
    return linear;
}

/* The image as it stands in memory, for what is not written to stay; a fault is a write's. */
static void read_for_write(struct vcpu *v, const struct uop *u, uint64_t linear, unsigned bytes, uint8_t *image)
{
    x87_check_image(v, u, linear, bytes);
    vp_probe_write(v, linear, bytes);
    x87_load_image(v, u, linear, bytes, image);
}

X87_NO_WAIT(fxsave)
{
    uint8_t image[IMAGE_BYTES];
    uint64_t linear = image_address(v, u, IMAGE_BYTES, 16, ACCESS_WRITE);
    read_for_write(v, u, linear, IMAGE_BYTES, image);
    put_x87(v, u, image);
    put_sse(v, image);
    x87_store_image(v, u, linear, IMAGE_BYTES, image);
}

X87_NO_WAIT(fxrstor)
{
    uint8_t image[IMAGE_BYTES];
    uint64_t linear = image_address(v, u, IMAGE_BYTES, 16, ACCESS_READ);
    x87_load_image(v, u, linear, IMAGE_BYTES, image);
    uint32_t mxcsr = checked_mxcsr(v, image);
    take_x87(v, u, image);
    take_xmm(v, image);
    mxcsr_write(v, mxcsr);
}

/* ---- XSAVE, XRSTOR ---- */

static COLD _Noreturn void xsave_unavailable(struct vcpu *v, const struct uop *u)
{
    v->current = u;
    vp_raise(v, v->s.cr4 & CR4_OSXSAVE ? VEC_NM : VEC_UD);
}

static inline void xsave_enter(struct vcpu *v, const struct uop *u)
{
    if (UNLIKELY(!(v->s.cr4 & CR4_OSXSAVE) || (v->s.cr0 & CR0_TS))) {
        xsave_unavailable(v, u);
    }
}

/* RFBM, SDM 1 §13.7: the components both enabled and asked for. */
static unsigned requested(const struct vcpu *v)
{
    return (unsigned)(v->s.xcr0 & v->s.gpr[RAX]) & (COMPONENT_X87 | COMPONENT_SSE);
}

X87_HANDLER(xsave, xsave_enter)
{
    uint8_t area[AREA_BYTES];
    uint64_t linear = image_address(v, u, AREA_BYTES, 64, ACCESS_WRITE);
    unsigned components = requested(v);
    read_for_write(v, u, linear, AREA_BYTES, area);
    if (components & COMPONENT_X87) {
        put_x87(v, u, area);
    }
    if (components & COMPONENT_SSE) {
        put_sse(v, area);
    }
    put(area, HEADER_XSTATE_BV, take(area, HEADER_XSTATE_BV, 8) | components, 8);
    x87_store_image(v, u, linear, AREA_BYTES, area);
}

/* SDM 1 §13.8, the standard form: bits of XSTATE_BV outside XCR0, or anything in the header's bytes 23-8, raise #GP. */
static void check_header(struct vcpu *v, const uint8_t *area)
{
    bool reserved = take(area, HEADER_XCOMP_BV, 8) || take(area, HEADER_XCOMP_BV + 8, 8);
    if (reserved || (take(area, HEADER_XSTATE_BV, 8) & ~v->s.xcr0)) {
        vp_gp0(v);
    }
}

static void initialise_x87(struct fpu_state *f)
{
    x87_init(f);
    for (unsigned i = 0; i < 8; i++) {
        f->r[i] = (st_t){0};
    }
}

X87_HANDLER(xrstor, xsave_enter)
{
    uint8_t area[AREA_BYTES];
    uint64_t linear = image_address(v, u, AREA_BYTES, 64, ACCESS_READ);
    unsigned components = requested(v);
    x87_load_image(v, u, linear, AREA_BYTES, area);
    check_header(v, area);
    uint64_t present = take(area, HEADER_XSTATE_BV, 8);
    if (components & COMPONENT_SSE) { /* MXCSR is loaded even when the XMM registers are initialised: §13.8.1 */
        uint32_t mxcsr = checked_mxcsr(v, area);
        if (!(present & COMPONENT_SSE)) {
            __builtin_memset(area + IMAGE_XMM, 0, 16 * 16);
        }
        take_xmm(v, area);
        mxcsr_write(v, mxcsr);
    }
    if (components & present & COMPONENT_X87) {
        take_x87(v, u, area);
    } else if (components & COMPONENT_X87) {
        initialise_x87(&v->s.fpu);
    }
}

/* ---- MXCSR ---- */

static COLD _Noreturn void sse_unavailable(struct vcpu *v, const struct uop *u)
{
    v->current = u;
    vp_raise(v, (v->s.cr0 & CR0_EM) || !(v->s.cr4 & CR4_OSFXSR) ? VEC_UD : VEC_NM);
}

static inline void mxcsr_enter(struct vcpu *v, const struct uop *u)
{
    if (UNLIKELY(v->sse_blocked)) {
        sse_unavailable(v, u);
    }
}

X87_HANDLER(ldmxcsr, mxcsr_enter)
{
    uint32_t value = load32(v, u, x87_address(v, u, 4, ACCESS_READ));
    if (value & ~(uint32_t)MXCSR_VALID) {
        vp_gp0(v);
    }
    mxcsr_write(v, value);
}

X87_HANDLER(stmxcsr, mxcsr_enter)
{
    store32(v, u, x87_address(v, u, 4, ACCESS_WRITE), mxcsr_read(v));
}

/* ---- rows ---- */

struct image_form {
    uop_fn *fn;
    uint8_t x; /* enum x87_bits */
};

static bool emit_image(struct emit *e, const struct insn *in, const void *argument)
{
    const struct image_form *form = argument;
    if (!in->has_mem || in->lock) {
        return false;
    }
    e->u->fn = form->fn;
    e->u->x = form->x | (emit_memory(e, in) ? X87_FLAT : 0);
    return true;
}

static const struct image_form fxsave_form = {op_x87_fxsave, 0}, fxsave64_form = {op_x87_fxsave, X87_REX_W},
                               fxrstor_form = {op_x87_fxrstor, 0}, fxrstor64_form = {op_x87_fxrstor, X87_REX_W},
                               xsave_form = {op_x87_xsave, 0}, xsave64_form = {op_x87_xsave, X87_REX_W},
                               xrstor_form = {op_x87_xrstor, 0}, xrstor64_form = {op_x87_xrstor, X87_REX_W},
                               ldmxcsr_form = {op_x87_ldmxcsr, 0}, stmxcsr_form = {op_x87_stmxcsr, 0};

const struct insn_row fxsave_rows[] = {
    {ZYDIS_MNEMONIC_FXSAVE, COST_X87, 0, emit_image, &fxsave_form},
    {ZYDIS_MNEMONIC_FXSAVE64, COST_X87, 0, emit_image, &fxsave64_form},
    {ZYDIS_MNEMONIC_FXRSTOR, COST_X87, 0, emit_image, &fxrstor_form},
    {ZYDIS_MNEMONIC_FXRSTOR64, COST_X87, 0, emit_image, &fxrstor64_form},
    {ZYDIS_MNEMONIC_XSAVE, COST_X87, 0, emit_image, &xsave_form},
    {ZYDIS_MNEMONIC_XSAVE64, COST_X87, 0, emit_image, &xsave64_form},
    {ZYDIS_MNEMONIC_XRSTOR, COST_X87, 0, emit_image, &xrstor_form},
    {ZYDIS_MNEMONIC_XRSTOR64, COST_X87, 0, emit_image, &xrstor64_form},
    {ZYDIS_MNEMONIC_LDMXCSR, COST_SSE, 0, emit_image, &ldmxcsr_form},
    {ZYDIS_MNEMONIC_STMXCSR, COST_SSE, 0, emit_image, &stmxcsr_form},
};
const size_t fxsave_row_count = ARRAY_COUNT(fxsave_rows);
