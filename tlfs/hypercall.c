/* The hypercall dispatcher: who may call, what the control word asks, where the input lies. TLFS 6.0b §3.5-3.13.
 *
 * Order of checks, where the text leaves it open (§3.12.2): mode, code, privilege, form, registers, memory. A refused call has
 * no effect but its status. Only the result register changes, and nothing else is lost to the guest (§3.9). Leaves out: element
 * loops of rep calls, output, XMM registers: no call that is built has them. Codes that are not built are unknown.
 */
#include "tlfs/hypercall.h"

#include "tlfs/hypervisor.h"

/* §14.5.1: advisory, always a success. The VP that spins gives up the rest of its turn, so that the lock's holder may run. */
static hv_status_t notify_long_spin_wait(struct partition *p, struct hv_vp *vp, const struct hypercall_control *c,
                                         const void *input)
{
    turns_yield(p);
    return HV_STATUS_SUCCESS;
}

/* clang-format off: a table */
const struct hypercall_row hv_hypercall_rows[] = {
    /* code  name                        TLFS 6.0b  since        form              var    privilege     in out handler */
    {0x0008, "HvCallNotifyLongSpinWait", "§14.5.1", EDITION_2_0, HYPERCALL_SIMPLE, false, HV_FEATURES, 8, 0,
     notify_long_spin_wait},
};
/* clang-format on */
const size_t hv_hypercall_row_count = ARRAY_COUNT(hv_hypercall_rows);

struct hypercall_control hypercall_control_of(uint64_t value)
{
    return (struct hypercall_control){
        .code = (uint16_t)value,
        .fast = value >> 16 & 1,
        .variable_header_qwords = value >> 17 & 0x3ff,
        .rep_count = value >> 32 & 0xfff,
        .rep_start = value >> 48 & 0xfff,
    };
}

hv_status_t hypercall_form_check(const struct hypercall_row *row, enum tlfs_edition edition, uint64_t value)
{
    const struct hypercall_control c = hypercall_control_of(value);
    uint64_t reserved = edition >= EDITION_5_0 ? HYPERCALL_RESERVED_FROM_5_0 : HYPERCALL_RESERVED_BEFORE_5_0;
    bool reps_right = row->kind == HYPERCALL_REP ? c.rep_start < c.rep_count : c.rep_count == 0 && c.rep_start == 0;
    /* §3.7: fast is for calls without a list until 6.0 */
    bool fast_right = !c.fast || row->kind == HYPERCALL_SIMPLE || edition >= EDITION_6_0;
    if (value & reserved || !reps_right || !fast_right || (c.variable_header_qwords != 0 && !row->variable_header)) {
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    }
    return HV_STATUS_SUCCESS;
}

static const struct hypercall_row *row_find(const struct partition *p, uint16_t code)
{
    for (size_t i = 0; i < hv_hypercall_row_count; i++) {
        if (hv_hypercall_rows[i].code == code && p->profile.edition >= hv_hypercall_rows[i].since) {
            return &hv_hypercall_rows[i];
        }
    }
    return NULL;
}

/* §3.7: 64-bit callers are those with EFER.LMA and CS.L; others pass pairs of 32-bit registers. */
struct hypercall_registers {
    bool wide;
    uint64_t control, input, output;
};

static uint64_t pair(const struct vcpu *vcpu, unsigned high, unsigned low)
{
    return vp_gpr(vcpu, high) << 32 | (uint32_t)vp_gpr(vcpu, low);
}

static struct hypercall_registers registers_read(const struct vcpu *vcpu)
{
    if (vp_in_64bit_mode(vcpu)) {
        return (struct hypercall_registers){true, vp_gpr(vcpu, RCX), vp_gpr(vcpu, RDX), vp_gpr(vcpu, R8)};
    }
    return (struct hypercall_registers){false, pair(vcpu, RDX, RAX), pair(vcpu, RBX, RCX), pair(vcpu, RDI, RSI)};
}

static void result_write(struct vcpu *vcpu, bool wide, uint64_t result)
{
    if (wide) {
        vp_set_gpr(vcpu, RAX, result);
    } else {
        vp_set_gpr(vcpu, RAX, (uint32_t)result);
        vp_set_gpr(vcpu, RDX, result >> 32);
    }
}

bool hypercall_block_fits(uint64_t address, unsigned bytes)
{
    return address % 8 == 0 && (address & PAGE_OFFSET_MASK) + bytes <= PAGE_BYTES;
}

/* The input block into `block`. §3.6: 8-byte aligned, inside one page, inside the GPA space; a page that is not there is
 * answered in the same way, for no parent waits for an intercept. */
static hv_status_t input_fetch(const struct partition *p, const struct hypercall_row *row, const struct hypercall_registers *r,
                               bool fast, uint64_t block[HYPERCALL_INPUT_MAX / 8])
{
    block[0] = r->input;
    block[1] = r->output;
    if (fast || row->input_bytes == 0) {
        return HV_STATUS_SUCCESS;
    }
    if (!hypercall_block_fits(r->input, row->input_bytes) || !partition_gpa_valid(p, r->input) ||
        !memory_read(p->machine->memory, gpa(r->input), block, row->input_bytes)) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    return HV_STATUS_SUCCESS;
}

static bool caller_legal(struct vcpu *vcpu)
{
    if (vp_cpl(vcpu) != 0) {
        return false;
    }
    if (vp_in_long_mode(vcpu)) {
        return true;
    }
    struct vp_state s;
    vp_get_state(vcpu, &s);
    return s.cr0 & CR0_PE;
}

int hv_hypercall(void *partition, struct vcpu *vcpu, bool is_vmcall, bool *again)
{
    struct partition *p = partition;
    struct hv_vp *vp = hv_vp_of(p, vcpu);
    *again = false;
    /* §3.5; and without the page the interface is not established, so the opcode means nothing. VMCALL and VMMCALL are one. */
    if (!caller_legal(vcpu) || !(p->registers.hypercall.value & OVERLAY_ENABLE)) {
        return VEC_UD;
    }
    struct hypercall_registers r = registers_read(vcpu);
    struct hypercall_control c = hypercall_control_of(r.control);
    const struct hypercall_row *row = row_find(p, c.code);
    hv_status_t status;
    if (row == NULL) {
        status = HV_STATUS_INVALID_HYPERCALL_CODE;
    } else if (row->gate != HV_FEATURES && !profile_has(&p->profile, row->gate)) {
        status = HV_STATUS_ACCESS_DENIED;
    } else {
        status = hypercall_form_check(row, p->profile.edition, r.control);
    }
    if (row != NULL && status == HV_STATUS_SUCCESS) {
        if (c.fast && (row->input_bytes > HYPERCALL_FAST_BYTES || row->output_bytes != 0)) {
            return VEC_UD; /* §3.7.2.1, §3.8.1.1: needs XMM registers, which are not announced */
        }
        uint64_t block[HYPERCALL_INPUT_MAX / 8];
        status = input_fetch(p, row, &r, c.fast, block);
        if (status == HV_STATUS_SUCCESS) {
            status = row->handler(p, vp, &c, block);
        }
    }
    TRACE(p->machine->trace, hypercall, hv_vp_index(vp), c.code, r.control, r.input, r.output, status, 0);
    result_write(vcpu, r.wide, status);
    return -1;
}
