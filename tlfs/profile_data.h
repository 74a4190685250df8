/* The built-in profiles' texts, in the order of profile_names[]. */
#ifndef ORRERY_TLFS_PROFILE_DATA_H
#define ORRERY_TLFS_PROFILE_DATA_H

#include "machine/types.h"

struct profile_text {
    const uint8_t *start, *end;
};
extern const struct profile_text profile_texts[];

#endif
