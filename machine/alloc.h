/* Host memory for our own tables. A host that has none left ends the program with one line: there is no half-built
 * machine to clean up after. Sizes that come from a guest, a file or a scenario are bounded *before* they reach here. */
#ifndef ORRERY_MACHINE_ALLOC_H
#define ORRERY_MACHINE_ALLOC_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "machine/types.h"

_Noreturn static inline void host_out_of_memory(void)
{
    fputs("orrery: the host has no memory left\n", stderr);
    abort();
}
/* Zeroed; end it with free(). */
static inline void *host_alloc(size_t count, size_t bytes)
{
    void *p = calloc(count > 0 ? count : 1, bytes > 0 ? bytes : 1);
    if (p == NULL) {
        host_out_of_memory();
    }
    return p;
}
/* An array that has room for `count` and one more: doubled when it is full (count is 0 or its size is a power of two). */
static inline void *host_room(void *p, size_t count, size_t bytes)
{
    if ((count & (count - 1)) != 0) {
        return p;
    }
    size_t wanted;
    if (__builtin_mul_overflow(count > 0 ? count * 2 : 1, bytes, &wanted) || (p = realloc(p, wanted)) == NULL) {
        host_out_of_memory();
    }
    return p;
}

#endif
