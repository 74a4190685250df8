/* Hypercalls by which a guest helps the scheduler. TLFS 6.0b §14.5. */
#include "tlfs/calls.h"
#include "tlfs/hypervisor.h"

/* §14.5.1: advisory, always a success. The VP that spins gives up the rest of its turn, so that the lock's holder may run. */
hv_status_t call_notify_long_spin_wait(struct hypercall *c)
{
    turns_yield(c->p);
    return HV_STATUS_SUCCESS;
}
