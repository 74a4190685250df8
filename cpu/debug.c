/* Debug registers: access, and which breakpoints an access, a port or an instruction fetch hits.
 *
 * SDM 3A chapter 17: §17.2.1-17.2.4 (registers), §17.2.5 (breakpoint fields), §17.2.6 (64-bit). Bits that are fixed read as the
 * manual's reset values; RTM and bus-lock bits do not exist here. Only breakpoints that DR7 enables report (the text allows
 * more).
 */
#include "cpu/segment.h"

#define DR6_FIXED_ONES 0xffff0ff0ULL
#define DR6_WRITABLE 0xe00fULL /* B0-B3, BD, BS, BT */
#define DR7_FIXED_ONES 0x400ULL
#define DR7_WRITABLE 0xffff23ffULL
#define DR7_GD (1ULL << 13)
#define DR6_BD (1ULL << 13)

enum breakpoint_kind { BREAK_EXECUTE = 0, BREAK_WRITE = 1, BREAK_IO = 2, BREAK_ACCESS = 3 };

/* DR4 and DR5 are other names of DR6 and DR7 unless CR4.DE takes them away (§17.2.2). */
static unsigned debug_register(struct vcpu *v, unsigned dr)
{
    if (dr == 4 || dr == 5) {
        if (v->s.cr4 & CR4_DE) {
            vp_ud(v);
        }
        return dr + 2;
    }
    return dr;
}

/* General detect (§17.2.4). The fault is restartable, and its handler's IRET must not fault again: RF is pushed set. */
static void check_detect(struct vcpu *v)
{
    if (v->s.dr7 & DR7_GD) {
        v->s.dr6 |= DR6_BD;
        v->s.rflags |= RFLAGS_RF;
        vp_raise(v, VEC_DB);
    }
}

static void check_access(struct vcpu *v)
{
    if (v->s.cpl != 0) {
        vp_gp0(v);
    }
    check_detect(v);
}

uint64_t debug_read(struct vcpu *v, unsigned dr)
{
    dr = debug_register(v, dr);
    check_access(v);
    return dr < 4 ? v->s.dr[dr] : dr == 6 ? v->s.dr6 : v->s.dr7;
}

void debug_write(struct vcpu *v, unsigned dr, uint64_t value)
{
    dr = debug_register(v, dr);
    check_access(v);
    if (dr >= 6 && value >> 32) {
        vp_gp0(v);
    }
    if (dr < 4) {
        v->s.dr[dr] = value;
    } else if (dr == 6) {
        v->s.dr6 = (value & DR6_WRITABLE) | DR6_FIXED_ONES;
        return;
    } else {
        v->s.dr7 = (value & DR7_WRITABLE) | DR7_FIXED_ONES;
    }
    vp_derive(v);
    mmu_flush(v); /* pages with data breakpoints are kept out of the host-side TLB */
}

/* ---- matches ---- */

static bool enabled(const struct vcpu *v, unsigned i)
{
    return v->s.dr7 >> (2 * i) & 3;
}

static enum breakpoint_kind kind_of(const struct vcpu *v, unsigned i)
{
    return (enum breakpoint_kind)(v->s.dr7 >> (16 + 4 * i) & 3);
}

/* LEN: 1, 2, 8, 4 bytes; the address is aligned to it (§17.2.5). */
static bool covers(const struct vcpu *v, unsigned i, uint64_t address, unsigned bytes)
{
    static const uint8_t length[4] = {1, 2, 8, 4};
    uint64_t size = length[v->s.dr7 >> (18 + 4 * i) & 3], start = v->s.dr[i] & ~(size - 1);
    return address - start < size || start - address < bytes;
}

uint64_t debug_match_data(const struct vcpu *v, uint64_t linear, unsigned bytes, bool write)
{
    uint64_t hit = 0;
    for (unsigned i = 0; i < 4; i++) {
        enum breakpoint_kind k = kind_of(v, i);
        if (enabled(v, i) && (k == BREAK_ACCESS || (k == BREAK_WRITE && write)) && covers(v, i, linear, bytes)) {
            hit |= 1u << i;
        }
    }
    return hit;
}

uint64_t debug_match_io(const struct vcpu *v, uint16_t port, unsigned bytes)
{
    uint64_t hit = 0;
    if (!(v->s.cr4 & CR4_DE)) {
        return 0;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (enabled(v, i) && kind_of(v, i) == BREAK_IO && covers(v, i, port, bytes)) {
            hit |= 1u << i;
        }
    }
    return hit;
}

uint64_t debug_match_code(const struct vcpu *v, uint64_t linear)
{
    uint64_t hit = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (enabled(v, i) && kind_of(v, i) == BREAK_EXECUTE && v->s.dr[i] == linear) {
            hit |= 1u << i;
        }
    }
    return hit;
}
