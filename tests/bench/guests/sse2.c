/* (e) SSE2 floating point: three bodies in double (scalar; division and square root), then a product of 16x16 float matrices
 * (packed). One round is 16 steps of the one and one product of the other.
 */
#include "guest.h"

#include <emmintrin.h>

struct body {
    double x[3], v[3], mass;
};
static struct body bodies[3] = {
    {{0, 0, 0}, {0, 0, 0}, 39.5},
    {{4.8, -1.2, -0.1}, {0.6, 2.8, -0.02}, 0.038},
    {{8.3, 4.1, -0.4}, {-1.0, 1.8, 0.008}, 0.011},
};
static float a[16][16] __attribute__((aligned(16))), b[16][16] __attribute__((aligned(16))),
    c[16][16] __attribute__((aligned(16)));

static double square_root(double x)
{
    return _mm_cvtsd_f64(_mm_sqrt_sd(_mm_set_sd(x), _mm_set_sd(x)));
}

static void bodies_step(double dt)
{
    for (int i = 0; i < 3; i++) {
        for (int j = i + 1; j < 3; j++) {
            double d[3], squared = 0;
            for (int k = 0; k < 3; k++) {
                d[k] = bodies[i].x[k] - bodies[j].x[k];
                squared += d[k] * d[k];
            }
            double pull = dt / (squared * square_root(squared));
            for (int k = 0; k < 3; k++) {
                bodies[i].v[k] -= d[k] * bodies[j].mass * pull;
                bodies[j].v[k] += d[k] * bodies[i].mass * pull;
            }
        }
    }
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) {
            bodies[i].x[k] += dt * bodies[i].v[k];
        }
    }
}

static void matrices_multiply(void)
{
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < 16; j += 4) {
            __m128 sum = _mm_setzero_ps();
            for (int k = 0; k < 16; k++) {
                sum = _mm_add_ps(sum, _mm_mul_ps(_mm_set1_ps(a[i][k]), _mm_load_ps(&b[k][j])));
            }
            _mm_store_ps(&c[i][j], sum);
        }
    }
}

static uint64_t fold(uint64_t sum, const void *value, size_t n)
{
    const uint32_t *word = value;
    for (size_t i = 0; i < n / 4; i++) {
        sum = (sum ^ word[i]) * 0x9e3779b97f4a7c15;
    }
    return sum;
}

uint64_t main(void)
{
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < 16; j++) {
            a[i][j] = (float)(i * 3 - j) / 7;
            b[i][j] = (float)(j * 5 - i) / 11;
        }
    }
    for (uint64_t round = rounds(); round > 0; round--) {
        for (int i = 0; i < 16; i++) {
            bodies_step(0.001);
        }
        a[round & 15][round >> 4 & 15] = (float)bodies[1].x[round % 3];
        matrices_multiply();
    }
    uint64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        sum = fold(sum, bodies[i].x, sizeof bodies[i].x + sizeof bodies[i].v);
    }
    return fold(sum, c, sizeof c);
}
