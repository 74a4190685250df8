/* Calls that name VPs: their inputs, and who was reached. */
#ifndef GUESTS_SETS_H
#define GUESTS_SETS_H

#include "vps.h"

enum { SET_SPARSE = 0, SET_ALL = 1 };
enum { TARGET_VECTOR = 0x51 };

static uint64_t *call_in; /* a page for the call's input */

static inline uint64_t vp_bit(unsigned vp)
{
    return 1ULL << vp_index(vp) % 64;
}

/* HvSendSyntheticClusterIpi, §10.5.2; the first word is vector, VTL and reserved bytes. */
static inline uint64_t cluster_send(uint64_t first, uint64_t mask)
{
    call_in = page_alloc();
    call_in[0] = first;
    call_in[1] = mask;
    return hv_call(HvCallSendSyntheticClusterIpi, gpa_of(call_in), 0);
}

/* HvSendSyntheticClusterIpiEx, §10.5.3. */
static inline uint64_t cluster_send_ex(uint64_t first, uint64_t format, uint64_t banks_mask, const uint64_t *banks,
                                       unsigned count)
{
    call_in = page_alloc();
    call_in[0] = first;
    call_in[1] = format;
    call_in[2] = banks_mask;
    for (unsigned i = 0; i < count; i++) {
        call_in[3 + i] = banks[i];
    }
    return hv_call(HvCallSendSyntheticClusterIpiEx | HV_VARHEAD(count), gpa_of(call_in), 0);
}

/* VPs by the kit's number that have got the vector, when all had time to take it. Up to 256. */
struct reached {
    uint64_t word[4];
    bool twice; /* someone got it more than once */
};

static inline struct reached who_got(unsigned vector)
{
    struct reached r = {{0}, false};
    take_interrupts((20 + 5 * vp_count()) * US_100NS);
    for (unsigned vp = 0; vp < vp_count(); vp++) {
        unsigned n = irq_count_on(vp, vector);
        r.word[vp / 64] |= (uint64_t)(n != 0) << vp % 64;
        r.twice |= n > 1;
    }
    return r;
}

static inline bool nobody_got(unsigned vector)
{
    struct reached r = who_got(vector);
    return (r.word[0] | r.word[1] | r.word[2] | r.word[3]) == 0;
}

#endif
