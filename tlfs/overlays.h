/* An MSR that places an overlay page. TLFS 6.0b §5.2.1. Private to tlfs/. The functions stand in hypervisor.h. */
#ifndef ORRERY_TLFS_OVERLAYS_H
#define ORRERY_TLFS_OVERLAYS_H

#include "machine/types.h"

/* [63:12] page number, [11:1] kept for the guest, [0] enable. */
struct overlay_register {
    uint64_t value;
    int overlay; /* id in machine/memory.h */
};
#define OVERLAY_ENABLE 1ULL

#endif
