/* An adversarial but legal hypervisor: what the texts allow and a guest seldom meets, on purpose and at moments that the
 * scenario and nothing else decides. Partial lists are the hypercall dispatcher's (partition_config.rep_elements_max). */
#ifndef ORRERY_TLFS_ADVERSARY_H
#define ORRERY_TLFS_ADVERSARY_H

#include "machine/types.h"

struct partition;
struct partition_config;
struct hv_vp;
struct state;

struct adversary {
    uint64_t spurious_wake_cycles; /* 0: never */
    uint32_t busy_slots_every;     /* 0: never */
    int event;                     /* of the next spurious wake; there only where they are asked for */
    uint32_t next_vp;
    uint32_t slots_asked;
};

void adversary_create(struct partition *p, const struct partition_config *config);
/* A message is about to go into a free slot: does it look busy this time? Never twice in a row. */
bool adversary_slot_busy(struct partition *p);
void adversary_state(struct state *s, struct partition *p);

#endif
