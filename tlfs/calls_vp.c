/* Hypercalls about VPs: their registers, starting them, finding them. TLFS 6.0b §7.10.
 *
 * Invariants: only VPs of the caller's own partition, in VTL 0, can be meant. A VP starts as a whole or not at all, and only
 * while it waits for its first start. What a running VP would do between two elements of a list cannot happen: VPs take turns.
 */
#include "cpu/lapic.h"
#include "tlfs/calls.h"
#include "tlfs/hypervisor.h"
#include "tlfs/vp_registers.h"

static struct hv_vp *vp_named(const struct hypercall *c, uint32_t index)
{
    if (index == HV_VP_INDEX_SELF) {
        return c->vp;
    }
    return index < c->p->vp_count ? &c->p->vps[index] : NULL;
}

/* ---- registers, §7.10.1 and §7.10.2 ---- */

enum { REGISTERS_PARTITION = 0, REGISTERS_VP = 8, REGISTERS_VTL = 12 };
enum { ELEMENT_NAME = 0, ELEMENT_LOW = 16, ELEMENT_HIGH = 24 };

hv_status_t check_get_vp_registers(struct hypercall *c)
{
    hv_status_t status = call_partition_is_self(call_u64(c->input, REGISTERS_PARTITION));
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    if (!call_input_vtl_is_0(c->input[REGISTERS_VTL])) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return vp_named(c, call_u32(c->input, REGISTERS_VP)) != NULL ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_VP_INDEX;
}

/* The bytes behind the VTL are padding in one figure and RsvdZ in the other. */
hv_status_t check_set_vp_registers(struct hypercall *c)
{
    if ((call_u32(c->input, REGISTERS_VTL) & 0xffffff00) != 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return check_get_vp_registers(c);
}

hv_status_t call_get_vp_registers(struct hypercall *c)
{
    struct register_value value;
    struct hv_vp *vp = vp_named(c, call_u32(c->input, REGISTERS_VP));
    hv_status_t status = vp_register_get(vp, call_u32(c->element, ELEMENT_NAME), &value);
    if (status == HV_STATUS_SUCCESS) {
        call_put_u64(c->output, 0, value.low);
        call_put_u64(c->output, 8, value.high);
    }
    return status;
}

hv_status_t call_set_vp_registers(struct hypercall *c)
{
    struct hv_vp *vp = vp_named(c, call_u32(c->input, REGISTERS_VP));
    struct register_value value = {call_u64(c->element, ELEMENT_LOW), call_u64(c->element, ELEMENT_HIGH)};
    return vp_register_set(vp, call_u32(c->element, ELEMENT_NAME), value);
}

/* ---- §7.10.3: INIT and SIPI in one, into the mode that the caller wants ---- */

enum { START_PARTITION = 0, START_VP = 8, START_VTL = 12 };

/* HV_INITIAL_VP_CONTEXT. CR4 comes before what is judged by it (LA57, canonical addresses); CPL comes with SS. */
static const struct {
    uint32_t name;
    uint16_t offset;
    uint8_t bytes;
} context_fields[] = {
    {0x00040003, 224, 8},                                                                      /* Cr4 */
    {0x00020010, 16, 8},   {0x00020004, 24, 8},   {0x00020011, 32, 8},                         /* Rip, Rsp, Rflags */
    {0x00060001, 40, 16},  {0x00060003, 56, 16},  {0x00060000, 72, 16},                        /* Cs, Ds, Es */
    {0x00060004, 88, 16},  {0x00060005, 104, 16}, {0x00060002, 120, 16},                       /* Fs, Gs, Ss */
    {0x00060007, 136, 16}, {0x00060006, 152, 16},                                              /* Tr, Ldtr */
    {0x00070000, 168, 16}, {0x00070001, 184, 16},                                              /* Idtr, Gdtr */
    {0x00080001, 200, 8},  {0x00040000, 208, 8},  {0x00040002, 216, 8},  {0x00080004, 232, 8}, /* Efer, Cr0, Cr3, Pat */
};

static bool context_read(const uint8_t *input, struct vp_state *s)
{
    for (size_t i = 0; i < ARRAY_COUNT(context_fields); i++) {
        const struct register_row *row = register_by_name(context_fields[i].name);
        struct register_value value = {call_u64(input, context_fields[i].offset),
                                       context_fields[i].bytes == 16 ? call_u64(input, context_fields[i].offset + 8) : 0};
        if (!row->set(s, row->argument, value)) {
            return false;
        }
    }
    return true;
}

hv_status_t call_start_virtual_processor(struct hypercall *c)
{
    hv_status_t status = call_partition_is_self(call_u64(c->input, START_PARTITION));
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    struct hv_vp *vp = vp_named(c, call_u32(c->input, START_VP));
    if (vp == NULL) {
        return HV_STATUS_INVALID_VP_INDEX;
    }
    if (c->input[START_VTL] != 0) {
        return HV_STATUS_INVALID_VTL_STATE; /* no VTL but 0 is enabled */
    }
    struct vp_state s;
    vp_get_state(vp->vcpu, &s);
    if (s.activity != VP_WAIT_SIPI || s.sipi_pending || s.init_pending) {
        return HV_STATUS_INVALID_VP_STATE;
    }
    s.activity = VP_RUNNING;
    if (!context_read(c->input, &s) || !vp_state_reachable(vp->vcpu, &s) || !vp_set_state(vp->vcpu, &s)) {
        return HV_STATUS_INVALID_REGISTER_VALUE;
    }
    turns_activity(c->p, vp->vcpu);
    return HV_STATUS_SUCCESS;
}

/* ---- §7.10.4 ---- */

hv_status_t check_get_vp_index_from_apic_id(struct hypercall *c)
{
    enum { FIND_PARTITION = 0, FIND_VTL = 8 };
    hv_status_t status = call_partition_is_self(call_u64(c->input, FIND_PARTITION));
    if (status == HV_STATUS_SUCCESS && c->input[FIND_VTL] != 0) {
        return HV_STATUS_INVALID_VTL_STATE;
    }
    return status;
}

/* An APIC id that no VP has is an invalid parameter; the text's INVALID_VP_INDEX speaks of an index, which is no input. */
hv_status_t call_get_vp_index_from_apic_id(struct hypercall *c)
{
    uint32_t apic_id = call_u32(c->element, 0);
    for (unsigned i = 0; i < c->p->vp_count; i++) {
        if (vp_lapic(c->p->vps[i].vcpu)->id == apic_id) {
            call_put_u32(c->output, 0, i);
            return HV_STATUS_SUCCESS;
        }
    }
    return HV_STATUS_INVALID_PARAMETER;
}
