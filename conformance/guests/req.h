/* What the probes of the Requirements document share: the profiles of its time, and codes that its TLFS prints.
 *
 * Bits that the document calls reserved got a meaning later. They are judged where the profile is of its time or before.
 */
#ifndef PROBE_REQ_H
#define PROBE_REQ_H

#include "kit.h"

static inline bool of_2012(void)
{
    return profile_is("hv1-minimal") || profile_is("hv1-full") || profile_is("ws2008r2") || profile_is("ws2012");
}

#define NEEDS_HYPERVISOR() NEEDS_THAT(hv_present(), "no hypervisor with Hv#1")
#define NEEDS_WITHHELD(bit)                                                                                                    \
    do {                                                                                                                       \
        NEEDS_HYPERVISOR();                                                                                                    \
        NEEDS_THAT(!has(bit), "%s is announced", #bit);                                                                        \
    } while (0)
#define NEEDS_2012() NEEDS_THAT(hv_present() && of_2012(), "the profile is of a later edition")

#endif
