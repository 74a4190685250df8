/* FSCALE, FXTRACT, FPREM, FPREM1 and the transcendentals: stack effects and condition codes around cpu/fp/. SDM 1 §8.3.7,
 * §8.3.8. */
#include "cpu/exec/x87.h"

/* FSCALE: ST(0) by ST(1), no pop. */
X87(scale)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    st_t r = st_indefinite();
    if (x87_empty(f, 0) || x87_empty(f, 1)) {
        x87_stack_fault(&c, false);
    } else {
        r = f80_scale(&c, f80_unpack(x87_get(f, 0)), f80_unpack(x87_get(f, 1)));
    }
    if (!f80_stopped(&c)) {
        x87_set(f, 0, r);
    }
    x87_finish(v, u, FSW_C1, c.raised);
}

/* C0, C3, C1 = quotient bits 2, 1, 0; C2: the reduction is partial. */
X87(remainder)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    if (x87_empty(f, 0) || x87_empty(f, 1)) {
        if (x87_stack_fault(&c, false)) {
            x87_set(f, 0, st_indefinite());
        }
        x87_finish(v, u, FSW_C1 | FSW_C2, c.raised);
        return;
    }
    struct f80_remainder r = f80_remainder(&c, f80_unpack(x87_get(f, 0)), f80_unpack(x87_get(f, 1)), u->s);
    unsigned codes = (r.partial ? FSW_C2 : 0) | (r.quotient & 4 ? FSW_C0 : 0) | (r.quotient & 2 ? FSW_C3 : 0) |
                     (r.quotient & 1 ? FSW_C1 : 0);
    if (!f80_stopped(&c)) {
        x87_set(f, 0, r.value);
    }
    x87_finish(v, u, r.defined ? FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3 : FSW_C1 | FSW_C2, (c.raised & ~FSW_C1) | codes);
}

/* What FXTRACT, FPTAN and FSINCOS share: ST(0) becomes `below`, then `above` is pushed. True: the stack cannot, and this was
 * dealt with. */
static bool one_to_two_fault(struct fpu_state *f, struct f80_context *c)
{
    bool underflow = x87_empty(f, 0), overflow = !x87_empty(f, 7);
    if (LIKELY(!underflow && !overflow)) {
        return false;
    }
    if (x87_stack_fault(c, !underflow)) {
        x87_set(f, 0, st_indefinite());
        x87_push(f, st_indefinite());
    }
    return true;
}

static void one_to_two(struct fpu_state *f, const struct f80_context *c, st_t below, st_t above)
{
    if (!f80_stopped(c)) {
        x87_set(f, 0, below);
        x87_push(f, above);
    }
}

X87(extract)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    if (!one_to_two_fault(f, &c)) {
        struct f80_parts p = f80_extract(&c, f80_unpack(x87_get(f, 0)));
        one_to_two(f, &c, p.exponent, p.significand);
    }
    x87_finish(v, u, FSW_C1, c.raised);
}

X87(sine_cosine)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    if (!one_to_two_fault(f, &c)) {
        st_t sine, cosine;
        if (f80_sine_cosine(&c, f80_unpack(x87_get(f, 0)), &sine, &cosine)) {
            one_to_two(f, &c, sine, cosine);
        } else {
            c.raised |= FSW_C2;
        }
    }
    x87_finish(v, u, FSW_C1 | FSW_C2, c.raised);
}

X87(tangent)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    if (!one_to_two_fault(f, &c)) {
        st_t tangent, one;
        if (f80_tangent(&c, f80_unpack(x87_get(f, 0)), &tangent, &one)) {
            one_to_two(f, &c, tangent, one);
        } else {
            c.raised |= FSW_C2;
        }
    }
    x87_finish(v, u, FSW_C1 | FSW_C2, c.raised);
}

/* FSIN (s 0), FCOS (s 1). */
X87(sine)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    st_t r = st_indefinite();
    bool in_range = true;
    if (x87_empty(f, 0)) {
        x87_stack_fault(&c, false);
    } else {
        in_range = f80_sine_cosine(&c, f80_unpack(x87_get(f, 0)), u->s ? NULL : &r, u->s ? &r : NULL);
    }
    if (!in_range) {
        c.raised |= FSW_C2;
    } else if (!f80_stopped(&c)) {
        x87_set(f, 0, r);
    }
    x87_finish(v, u, FSW_C1 | FSW_C2, c.raised);
}

/* FYL2X (s 0), FPATAN (1), FYL2XP1 (2): ST(1) = f(ST(1), ST(0)), pop. */
X87(two_to_one)
{
    struct fpu_state *f = &v->s.fpu;
    struct f80_context c = x87_context(v);
    st_t r = st_indefinite();
    if (x87_empty(f, 0) || x87_empty(f, 1)) {
        x87_stack_fault(&c, false);
    } else {
        struct f80 x = f80_unpack(x87_get(f, 0)), y = f80_unpack(x87_get(f, 1));
        r = u->s == 0 ? f80_y_log2(&c, y, x) : u->s == 1 ? f80_arctangent(&c, y, x) : f80_y_log2_plus_1(&c, y, x);
    }
    if (!f80_stopped(&c)) {
        x87_set(f, 1, r);
        x87_pop(f);
    }
    x87_finish(v, u, FSW_C1, c.raised);
}
