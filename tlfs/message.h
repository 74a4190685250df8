/* A SynIC message, as a sender gives it. TLFS 6.0b §11.10.3-11.10.4.
 *
 * Where it lies in a slot: type at 0, payload size at 4, flags at 5, origination id at 8, payload at 16. The printed editions
 * put flags and size at bytes 6 and 7; the web edition has them as here, and so has every guest that was ever seen.
 */
#ifndef ORRERY_TLFS_MESSAGE_H
#define ORRERY_TLFS_MESSAGE_H

#include "machine/types.h"

enum { MESSAGE_PAYLOAD_MAX = 240 };
#define HV_MESSAGE_TYPE_NONE 0u
#define HV_MESSAGE_TIMER_EXPIRED 0x80000010u
#define HV_MESSAGE_TYPE_HYPERVISOR_MASK 0x80000000u

struct hv_message {
    uint32_t type;
    uint8_t payload_bytes;
    uint64_t origin; /* port id of a guest's message; 0 of a timer's */
    uint8_t payload[MESSAGE_PAYLOAD_MAX];
};

#endif
