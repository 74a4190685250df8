/* Names of synthetic MSRs, hypercalls and statuses, for what people read. */
#ifndef ORRERY_TLFS_NAMES_H
#define ORRERY_TLFS_NAMES_H

#include "tlfs/profile.h"

/* NULL: this program knows none of that number. */
const char *hv_msr_name(uint32_t msr);
const char *hv_call_name(uint16_t code);
const char *hv_status_name(uint16_t status);
/* The feature that an MSR stands behind; HV_FEATURES: none, or an unknown MSR. */
enum hv_feature hv_msr_feature(uint32_t msr);

#endif
