/* Hypercalls that make or move interrupts: cluster IPI, retargeting of device interrupts, assertion for another partition.
 * TLFS 6.0b §10.5.
 *
 * Invariants: an IPI reaches the local APICs of the VPs in the set, in VP order, and no other; VPs that do not exist are
 * skipped, for the text refuses them only where a device is retargeted. No device interrupt exists that the hypervisor routes,
 * so every device id is unknown. Leaves out: targets in another VTL.
 */
#include "cpu/lapic.h"
#include "tlfs/calls.h"
#include "tlfs/hypervisor.h"
#include "tlfs/vp_set.h"

/* ---- cluster IPI, §10.5.2 and §10.5.3: vector, VTL and reserved bytes stand in the first eight ---- */

enum { IPI_VECTOR = 0, IPI_VTL = 4, IPI_MASK = 8, IPI_SET_FORMAT = 8, IPI_SET_BANKS = 16, IPI_EX_BYTES = 24 };

static hv_status_t send_ipi(const struct hypercall *c, const struct vp_set *set)
{
    uint32_t vector = call_u32(c->input, IPI_VECTOR);
    bool reserved = c->input[5] != 0 || c->input[6] != 0 || c->input[7] != 0;
    if (vector < 0x10 || vector > 0xff || reserved || !call_input_vtl_is_0(c->input[IPI_VTL])) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    for (unsigned i = 0; i < c->p->vp_count; i++) {
        if (vp_set_has(set, i)) {
            lapic_interrupt(c->p->vps[i].vcpu, (uint8_t)vector, false);
        }
    }
    return HV_STATUS_SUCCESS;
}

hv_status_t call_send_synthetic_cluster_ipi(struct hypercall *c)
{
    struct vp_set set = vp_set_of_mask(call_u64(c->input, IPI_MASK));
    return send_ipi(c, &set);
}

hv_status_t call_send_synthetic_cluster_ipi_ex(struct hypercall *c)
{
    struct vp_set set;
    bool named;
    hv_status_t status = vp_set_parse(c->p, call_u64(c->input, IPI_SET_FORMAT), call_u64(c->input, IPI_SET_BANKS),
                                      c->input + IPI_EX_BYTES, c->variable_bytes / 8, &set, &named);
    return status == HV_STATUS_SUCCESS ? send_ipi(c, &set) : status;
}

/* ---- §10.5.4 ---- */

enum {
    RETARGET_PARTITION = 0,
    RETARGET_SOURCE = 16,
    RETARGET_SOURCE_RESERVED = 20,
    RETARGET_RESERVED = 32,
    RETARGET_VECTOR = 40,
    RETARGET_FLAGS = 44,
    RETARGET_MASK = 48, /* with flag 2: the format of an HV_VP_SET, whose other words are the variable header */
    RETARGET_SET = 56,
    INTERRUPT_SOURCE_MSI = 1,
    TARGET_MULTICAST = 1,
    TARGET_PROCESSOR_SET = 2
};

static hv_status_t retarget_vps(const struct hypercall *c, uint32_t flags)
{
    uint64_t mask = call_u64(c->input, RETARGET_MASK);
    struct vp_set set = vp_set_of_mask(mask);
    if (!(flags & TARGET_PROCESSOR_SET)) {
        if (c->variable_bytes != 0) {
            return HV_STATUS_INVALID_HYPERCALL_INPUT;
        }
    } else {
        if (mask == VP_SET_ALL) {
            return HV_STATUS_INVALID_PARAMETER; /* "all processors" is invalid here */
        }
        if (c->variable_bytes < 8) {
            return HV_STATUS_INVALID_HYPERCALL_INPUT;
        }
        bool named;
        hv_status_t status = vp_set_parse(c->p, mask, call_u64(c->input, RETARGET_SET), c->input + RETARGET_SET + 8,
                                          c->variable_bytes / 8 - 1, &set, &named);
        if (status != HV_STATUS_SUCCESS) {
            return status;
        }
    }
    return vp_set_exceeds(c->p, &set) ? HV_STATUS_INVALID_PARAMETER : HV_STATUS_SUCCESS;
}

hv_status_t call_retarget_device_interrupt(struct hypercall *c)
{
    uint32_t vector = call_u32(c->input, RETARGET_VECTOR), flags = call_u32(c->input, RETARGET_FLAGS);
    if (call_u64(c->input, RETARGET_PARTITION) != HV_PARTITION_ID_SELF) {
        return HV_STATUS_INVALID_PARTITION_ID; /* "must be HV_PARTITION_SELF (-1)" */
    }
    if (call_u32(c->input, RETARGET_SOURCE) != INTERRUPT_SOURCE_MSI || call_u32(c->input, RETARGET_SOURCE_RESERVED) != 0 ||
        call_u64(c->input, RETARGET_RESERVED) != 0 || vector < 0x10 || vector > 0xff ||
        flags & ~(uint32_t)(TARGET_MULTICAST | TARGET_PROCESSOR_SET)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    hv_status_t status = retarget_vps(c, flags);
    return status == HV_STATUS_SUCCESS ? HV_STATUS_INVALID_DEVICE_ID : status;
}

/* ---- §10.5.1: for the parent of the destination, or a higher VTL ---- */

hv_status_t call_assert_virtual_interrupt(struct hypercall *c)
{
    enum { ASSERT_PARTITION = 0 };
    hv_status_t status = call_partition_is_self(call_u64(c->input, ASSERT_PARTITION));
    return status == HV_STATUS_SUCCESS ? HV_STATUS_ACCESS_DENIED : status;
}
