/* See trial.h. */
#include "tests/oracle/trial.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cpu/exec/sse.h"

void trial_randomise(struct dice *d, struct native_state *s, bool unmasked)
{
    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = dice_integer(d);
        dice_operand(d, (uint8_t *)s->fx.xmm[i], 16);
    }
    for (unsigned i = 0; i < 8; i++) {
        dice_operand(d, (uint8_t *)&s->fx.st[i].significand, 8);
        s->fx.st[i].sign_exponent = (uint16_t)dice_roll(d);
    }
    uint64_t r = dice_roll(d);
    s->rflags = r & RFLAGS_ARITHMETIC;
    s->fx.fcw = 0x37f;
    s->fx.fsw = (uint16_t)(r >> 16 & 0x7f7f & ~0x40u); /* TOP, C0-C3, sticky flags that are masked; not SF, ES, B */
    s->fx.ftw = (uint8_t)(r >> 32);
    s->fx.mxcsr = (uint32_t)(r >> 40 & (MXCSR_VALID & ~MXCSR_MASKS));
    s->fx.mxcsr &= dice_below(d, 2) ? ~0u : ~(uint32_t)MXCSR_FLAGS;
    s->fx.mxcsr &= dice_below(d, 2) ? ~0u : ~(uint32_t)(MXCSR_FTZ | MXCSR_DAZ);
    s->fx.mxcsr |= unmasked ? (uint32_t)dice_roll(d) & MXCSR_MASKS : MXCSR_MASKS;
    if (unmasked) { /* an unmasked exception whose flag is set already changes nothing: mostly without */
        s->fx.mxcsr &= dice_below(d, 4) ? ~(uint32_t)MXCSR_FLAGS : ~0u;
    }
}

uint64_t trial_address(struct dice *d)
{
    unsigned kind = dice_below(d, 8);
    return NATIVE_DATA + (kind == 0   ? PAGE_BYTES - dice_below(d, 16)
                          : kind == 1 ? dice_below(d, NATIVE_DATA_BYTES - 32)
                                      : dice_below(d, (NATIVE_DATA_BYTES - 32) / 16) * 16);
}

void trial_run(struct trial *t, struct guest *g, uint64_t address, struct dice *d)
{
    uint64_t offset = address - NATIVE_DATA;
    dice_operand(d, t->memory_in + offset, 16);
    memcpy(native_data(), t->memory_in, NATIVE_DATA_BYTES);
    guest_data_write(g, t->memory_in);
    t->native = t->ours = t->in;
    t->signal = native_run(t->code, t->length, &t->native);
    t->vector = guest_run(g, &t->ours, &t->error);
    memcpy(t->memory_native, native_data(), NATIVE_DATA_BYTES);
    guest_data_read(g, t->memory_ours);
}

static bool same_fault(const struct trial *t)
{
    switch (t->signal) {
    case 0:
        return t->vector == GUEST_NO_FAULT;
    case SIGFPE:
        return t->vector == VEC_XM || t->vector == VEC_DE;
    case SIGSEGV:
        return t->vector == VEC_GP || t->vector == VEC_PF || t->vector == VEC_SS;
    case SIGILL:
        return t->vector == VEC_UD;
    default:
        return false;
    }
}

const char *trial_difference(const struct trial *t, uint64_t flags)
{
    const struct native_fx *a = &t->native.fx, *b = &t->ours.fx;
    if (!same_fault(t)) {
        return "fault";
    }
    if (t->native.rip != t->ours.rip) {
        return "rip";
    }
    if (memcmp(t->native.gpr, t->ours.gpr, sizeof t->native.gpr) != 0) {
        return "gpr";
    }
    if (((t->native.rflags ^ t->ours.rflags) & flags) != 0) {
        return "flags";
    }
    if (memcmp(a->xmm, b->xmm, sizeof a->xmm) != 0) {
        return "xmm";
    }
    if (a->mxcsr != b->mxcsr) {
        return "mxcsr";
    }
    if (a->fcw != b->fcw || a->fsw != b->fsw || a->ftw != b->ftw) {
        return "x87 control";
    }
    for (unsigned i = 0; i < 8; i++) {
        if (a->st[i].significand != b->st[i].significand || a->st[i].sign_exponent != b->st[i].sign_exponent) {
            return "mmx";
        }
    }
    if (memcmp(t->memory_native, t->memory_ours, NATIVE_DATA_BYTES) != 0) {
        return "memory";
    }
    return NULL;
}

static void print_fx(const char *who, const struct native_state *in, const struct native_state *s)
{
    printf("      %-7s mxcsr %04x flags %03x rip %llx fsw %04x ftw %02x\n", who, s->fx.mxcsr,
           (unsigned)(s->rflags & RFLAGS_ARITHMETIC), (unsigned long long)s->rip, s->fx.fsw, s->fx.ftw);
    for (unsigned i = 0; i < 16; i++) {
        if (s == in || memcmp(s->fx.xmm[i], in->fx.xmm[i], 16) != 0) {
            printf("        xmm%u %016llx %016llx\n", i, (unsigned long long)s->fx.xmm[i][1],
                   (unsigned long long)s->fx.xmm[i][0]);
        }
        if (s == in || s->gpr[i] != in->gpr[i]) {
            printf("        gpr%u %016llx\n", i, (unsigned long long)s->gpr[i]);
        }
        if (i < 8 && (s == in || s->fx.st[i].significand != in->fx.st[i].significand)) {
            printf("        st%u %016llx\n", i, (unsigned long long)s->fx.st[i].significand);
        }
    }
}

void trial_print(const struct trial *t, const char *what, uint64_t address)
{
    printf("    differs: %s; code", what);
    for (unsigned i = 0; i < t->length; i++) {
        printf(" %02x", t->code[i]);
    }
    printf("; host signal %d, our vector %d; memory at %llx:", t->signal, t->vector, (unsigned long long)address);
    for (unsigned i = 0; i < 16; i++) {
        printf(" %02x", t->memory_in[address - NATIVE_DATA + i]);
    }
    printf("\n");
    print_fx("in", &t->in, &t->in);
    print_fx("host", &t->in, &t->native);
    print_fx("ours", &t->in, &t->ours);
}
