/* (c) A copy of 64 MiB: there and back again makes one round. COPY_REP: by REP MOVSQ; otherwise by 16-byte moves.
 */
#include "guest.h"

#include <emmintrin.h>

enum { BYTES = 64 << 20 };

static void copy(void *to, const void *from)
{
#ifdef COPY_REP
    size_t n = BYTES / 8;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
#else
    __m128i *t = to;
    const __m128i *f = from;
    for (size_t i = 0; i < BYTES / sizeof *t; i += 4) {
        __m128i a = _mm_load_si128(f + i), b = _mm_load_si128(f + i + 1);
        __m128i c = _mm_load_si128(f + i + 2), d = _mm_load_si128(f + i + 3);
        _mm_store_si128(t + i, a);
        _mm_store_si128(t + i + 1, b);
        _mm_store_si128(t + i + 2, c);
        _mm_store_si128(t + i + 3, d);
    }
#endif
}

uint64_t main(void)
{
    uint64_t *a = memory_at(WORK), *b = memory_at(WORK + BYTES), state = 1, sum = 0;
    for (size_t i = 0; i < BYTES / 8; i += 64) {
        a[i] = random_next(&state);
    }
    for (uint64_t round = rounds(); round > 0; round--) {
        copy(b, a);
        b[round & 7] ^= round;
        copy(a, b);
    }
    for (size_t i = 0; i < BYTES / 8; i += 64) {
        sum = (sum << 1 | sum >> 63) ^ a[i];
    }
    return sum;
}
