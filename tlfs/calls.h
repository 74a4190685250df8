/* Handlers of hypercalls, by the file that holds them. hypercall_table.c names them in its rows. */
#ifndef ORRERY_TLFS_CALLS_H
#define ORRERY_TLFS_CALLS_H

#include "tlfs/hypercall.h"

/* ---- calls_scheduler.c ---- */
hypercall_fn call_notify_long_spin_wait;

/* ---- calls_port.c ---- */
hypercall_fn call_post_message, call_signal_event;

#endif
