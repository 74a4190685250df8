/* MMX handlers of instructions that share a mnemonic with SSE2: mmx.c makes them from packed.def, and the rows in sse_int.c
 * name them. One row then knows all of a mnemonic. */
#ifndef ORRERY_CPU_EXEC_MMX_H
#define ORRERY_CPU_EXEC_MMX_H

#include "cpu/exec/simd.h"

#define PACKED_BOTH(name, xmm, mmx) extern const struct simd_set mmx_##name;
#define PACKED_LOW(name, xmm, mmx) extern const struct simd_set mmx_##name;
#define PACKED_SHIFT(name, op) extern const struct simd_set mmx_##name;
#define PACKED_XMM(name, value)
#include "cpu/exec/packed.def"
#undef PACKED_BOTH
#undef PACKED_LOW
#undef PACKED_SHIFT
#undef PACKED_XMM

#endif
