/* The reciprocals that SDM 2B RCPPS and RSQRTPS leave approximate (relative error at most 1.5 * 2^-12), with one fixed result
 * for each input, so that a run does not depend on the host's tables. Neither looks at MXCSR nor raises flags. */
#ifndef ORRERY_CPU_FP_APPROXIMATE_H
#define ORRERY_CPU_FP_APPROXIMATE_H

#include <stdint.h>

/* Single precision, as bits. */
uint32_t approximate_rcp(uint32_t x);
uint32_t approximate_rsqrt(uint32_t x);

#endif
