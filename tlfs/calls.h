/* Handlers of hypercalls, by the file that holds them, and what the files share. hypercall_table.c names them in its rows. */
#ifndef ORRERY_TLFS_CALLS_H
#define ORRERY_TLFS_CALLS_H

#include <string.h>

#include "tlfs/hypercall.h"

/* ---- fields of parameter blocks; blocks are aligned, fields need not be for us ---- */

static inline uint64_t call_u64(const uint8_t *block, unsigned offset)
{
    uint64_t v;
    memcpy(&v, block + offset, sizeof v);
    return v;
}
static inline uint32_t call_u32(const uint8_t *block, unsigned offset)
{
    uint32_t v;
    memcpy(&v, block + offset, sizeof v);
    return v;
}
static inline void call_put_u64(uint8_t *block, unsigned offset, uint64_t v)
{
    memcpy(block + offset, &v, sizeof v);
}
static inline void call_put_u32(uint8_t *block, unsigned offset, uint32_t v)
{
    memcpy(block + offset, &v, sizeof v);
}

/* ---- calls_partition.c ---- */
hypercall_fn call_get_partition_id;
hypercall_fn call_ext_query_capabilities, call_ext_get_boot_zeroed_memory;
hypercall_fn check_ext_memory_heat_hint, call_ext_memory_heat_hint;
/* Does the caller mean itself, by HV_PARTITION_ID_SELF or by number? Else the status: it is nobody's parent (§3.12.2). */
hv_status_t call_partition_is_self(uint64_t partition_id);
/* An HV_INPUT_VTL or HV_VTL that means VTL 0, the only one there is. §15.15.1. */
bool call_input_vtl_is_0(uint8_t input_vtl);

/* ---- calls_scheduler.c ---- */
hypercall_fn call_notify_long_spin_wait;

/* ---- calls_port.c ---- */
hypercall_fn call_post_message, call_signal_event;

/* ---- calls_mmu.c ---- */
hypercall_fn call_switch_virtual_address_space;
hypercall_fn check_flush, call_flush_virtual_address_space, call_flush_virtual_address_list;
hypercall_fn call_translate_virtual_address;

/* ---- calls_interrupt.c ---- */
hypercall_fn call_send_synthetic_cluster_ipi, call_send_synthetic_cluster_ipi_ex;
hypercall_fn call_retarget_device_interrupt, call_assert_virtual_interrupt;

/* ---- calls_vp.c ---- */
hypercall_fn check_get_vp_registers, call_get_vp_registers, check_set_vp_registers, call_set_vp_registers;
hypercall_fn call_start_virtual_processor;
hypercall_fn check_get_vp_index_from_apic_id, call_get_vp_index_from_apic_id;

/* ---- calls_debug.c ---- */
hypercall_fn call_post_debug_data, call_retrieve_debug_data, call_reset_debug_session;

#endif
