/* The hypercall dispatcher: who may call, what the control word asks, where the parameters lie, how far a list gets. TLFS 6.0b
 * §3.2-3.13.
 *
 * Order of checks, where the text leaves it open (§3.12.2: what reveals least comes first): mode, code, privilege, form,
 * registers, memory, header, element. A refused call has no effect but its result; of a list, what was done before the
 * refused element stays (§3.2). Only the registers of §3.9 change. Input is copied before anything of it is looked at.
 * Leaves out: what the calls do (calls_*.c); continuation of simple calls, for none needs it.
 */
#include "tlfs/hypercall.h"

#include <string.h>

#include "tlfs/hypervisor.h"

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

bool hypercall_block_fits(uint64_t address, unsigned bytes)
{
    return address % 8 == 0 && (address & PAGE_OFFSET_MASK) + bytes <= PAGE_BYTES;
}

/* ---- the row ---- */

/* Requirements, "Hypercall Interface": the least of hypervisors knows no call but those that it announces. The privileges of
 * 0x40000003 EAX are about MSRs. */
static bool row_announced(const struct profile *profile, const struct hypercall_row *row)
{
    enum { HV_CALL_NOTIFY_LONG_SPIN_WAIT = 0x0008, REGISTER_EBX = 1 };
    uint32_t spins = profile->announced[4].ebx;
    bool granted = row->gate != HV_FEATURES && feature_rows[row->gate].reg == REGISTER_EBX && profile_has(profile, row->gate);
    return granted || profile->announced[4].eax & row->hints ||
           (row->code == HV_CALL_NOTIFY_LONG_SPIN_WAIT && spins != 0 && spins != UINT32_MAX);
}

static bool row_known(const struct profile *profile, const struct hypercall_row *row)
{
    if (profile->edition == EDITION_REQUIREMENTS) {
        return row_announced(profile, row);
    }
    return profile->edition >= row->since && (row->until == 0 || profile->edition <= row->until);
}

static const struct hypercall_row *row_find(const struct partition *p, uint16_t code)
{
    size_t low = 0, high = hv_hypercall_row_count;
    while (low < high) { /* the first row of this code */
        size_t middle = (low + high) / 2;
        if (hv_hypercall_rows[middle].code < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < hv_hypercall_row_count && hv_hypercall_rows[low].code == code; low++) {
        if (row_known(&p->profile, &hv_hypercall_rows[low])) {
            return &hv_hypercall_rows[low];
        }
    }
    return NULL;
}

static hv_status_t admit(const struct partition *p, const struct hypercall_row *row, uint64_t control)
{
    if (row == NULL) {
        return HV_STATUS_INVALID_HYPERCALL_CODE;
    }
    if (row->gate != HV_FEATURES && !profile_has(&p->profile, row->gate)) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (row->run == NULL) {
        return row->refusal != 0 ? row->refusal : HV_STATUS_ACCESS_DENIED;
    }
    if (row->refusal != 0 && !(p->profile.announced[4].eax & row->hints)) {
        return row->refusal;
    }
    return hypercall_form_check(row, p->profile.edition, control);
}

/* ---- registers, §3.7, §3.8 ---- */

/* 64-bit callers are those with EFER.LMA and CS.L; others pass pairs of 32-bit registers. */
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

/* §3.9: a list that goes on later has its new start in the control word. */
static void control_write(struct vcpu *vcpu, bool wide, uint64_t control)
{
    if (wide) {
        vp_set_gpr(vcpu, RCX, control);
    } else {
        vp_set_gpr(vcpu, RAX, (uint32_t)control);
        vp_set_gpr(vcpu, RDX, control >> 32);
    }
}

/* RDX, R8, XMM0 ... XMM5 as the 112 bytes that they are in a fast call. */
static void fast_bytes_read(const struct vcpu *vcpu, const struct hypercall_registers *r, uint8_t bytes[HYPERCALL_XMM_BYTES])
{
    memcpy(bytes, &r->input, 8);
    memcpy(bytes + 8, &r->output, 8);
    for (unsigned i = 0; i < 6; i++) {
        xmm_t x = vp_xmm(vcpu, i);
        memcpy(bytes + 16 + 16 * i, x.b, sizeof x.b);
    }
}

/* §3.8.1: output in registers is for 64-bit callers alone. */
static void fast_bytes_write(struct vcpu *vcpu, unsigned from, const uint8_t *output, unsigned count)
{
    struct hypercall_registers r = registers_read(vcpu);
    uint8_t bytes[HYPERCALL_XMM_BYTES];
    fast_bytes_read(vcpu, &r, bytes);
    memcpy(bytes + from, output, count);
    uint64_t words[2];
    memcpy(words, bytes, sizeof words);
    vp_set_gpr(vcpu, RDX, words[0]);
    vp_set_gpr(vcpu, R8, words[1]);
    for (unsigned i = 0; i < 6; i++) {
        xmm_t x;
        memcpy(x.b, bytes + 16 + 16 * i, sizeof x.b);
        vp_set_xmm(vcpu, i, x);
    }
}

/* ---- parameters ---- */

struct parameters {
    unsigned input_bytes, output_bytes; /* header and list */
    unsigned list_at;                   /* of the input's elements */
    unsigned fast_output_at;            /* in the 112 bytes */
    uint64_t input[PAGE_BYTES / 8];     /* the snapshot */
};

static void parameters_measure(struct parameters *m, const struct hypercall_row *row, const struct hypercall_control *c)
{
    m->list_at = row->input_bytes + 8u * c->variable_header_qwords;
    m->input_bytes = m->list_at + (unsigned)c->rep_count * row->element_in_bytes;
    m->output_bytes = row->output_bytes + (unsigned)c->rep_count * row->element_out_bytes;
    m->fast_output_at = (m->input_bytes + 15) & ~15u;
}

/* A fast call: what it needs of XMM registers must be announced, else #UD (§3.7.2.1, §3.8.1.1). More than there are registers
 * for is a wrong count. */
static int parameters_from_registers(struct partition *p, struct vcpu *vcpu, const struct hypercall_registers *r,
                                     struct parameters *m, hv_status_t *status)
{
    bool xmm_in = m->input_bytes > HYPERCALL_FAST_BYTES, registers_out = m->output_bytes != 0;
    if ((xmm_in && !profile_has(&p->profile, HV_XmmRegistersForFastHypercallAvailable)) ||
        (registers_out && (!r->wide || !profile_has(&p->profile, HV_FastHypercallOutputAvailable)))) {
        return VEC_UD;
    }
    unsigned end = registers_out ? m->fast_output_at + m->output_bytes : m->input_bytes;
    if (end > HYPERCALL_XMM_BYTES) {
        *status = HV_STATUS_INVALID_HYPERCALL_INPUT;
        return -1;
    }
    uint8_t bytes[HYPERCALL_XMM_BYTES];
    fast_bytes_read(vcpu, r, bytes);
    memcpy(m->input, bytes, sizeof bytes);
    return -1;
}

/* §3.6: 8-byte aligned, inside one page, inside the GPA space; a page that is not there, or for output not writable, is
 * answered in the same way, for no parent waits for an intercept. Nor may output overlap input. */
static hv_status_t parameters_from_memory(const struct partition *p, const struct hypercall_registers *r, struct parameters *m)
{
    bool writable;
    if (m->input_bytes != 0 && (!hypercall_block_fits(r->input, m->input_bytes) || !partition_gpa_valid(p, r->input))) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    if (m->output_bytes != 0 && (!hypercall_block_fits(r->output, m->output_bytes) || !partition_gpa_valid(p, r->output) ||
                                 memory_frame(p->machine->memory, gpa(r->output), &writable) == FRAME_NONE || !writable)) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    if (m->input_bytes != 0 && m->output_bytes != 0 && r->input < r->output + m->output_bytes &&
        r->output < r->input + m->input_bytes) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    return memory_read(p->machine->memory, gpa(r->input), m->input, m->input_bytes) ? HV_STATUS_SUCCESS
                                                                                    : HV_STATUS_INVALID_ALIGNMENT;
}

/* ---- the call ---- */

/* One simple call, or one element. Its output reaches the guest when it succeeds. */
static hv_status_t run_one(struct hypercall *c, const struct hypercall_registers *r, const struct parameters *m)
{
    const struct hypercall_row *row = c->row;
    bool list = row->kind == HYPERCALL_REP;
    uint64_t output[PAGE_BYTES / 8];
    unsigned bytes = list ? row->element_out_bytes : row->output_bytes;
    unsigned at = list ? row->output_bytes + c->index * row->element_out_bytes : 0;
    memset(output, 0, bytes);
    c->output = bytes != 0 ? (uint8_t *)output : NULL;
    c->element = row->element_in_bytes != 0 ? (const uint8_t *)m->input + m->list_at + c->index * row->element_in_bytes : NULL;
    vp_charge_more(c->vp->vcpu, EXIT_HYPERCALL, list ? row->element_cycles : 0);
    hv_status_t status = row->run(c);
    if (status != HV_STATUS_SUCCESS || bytes == 0) {
        return status;
    }
    if (c->control.fast) {
        fast_bytes_write(c->vp->vcpu, m->fast_output_at + at, c->output, bytes);
        return status;
    }
    return memory_write(c->p->machine->memory, gpa(r->output + at), output, bytes) ? status : HV_STATUS_INVALID_ALIGNMENT;
}

/* §3.3: about 50 us of work in one go; the scenario may ask for less. At least one element. */
static unsigned elements_in_one_go(struct partition *p, const struct hypercall_row *row)
{
    enum { GO_US = 50, RANDOM_MAX = 8 };
    unsigned most = p->rep_elements_max;
    if (p->rep_stop_random) {
        return 1 + (unsigned)(prng_next(&p->rep_prng) % (most != 0 ? most : RANDOM_MAX));
    }
    if (most != 0) {
        return most;
    }
    uint64_t go_cycles = p->machine->clock.hz / 1000000 * GO_US;
    return go_cycles > row->element_cycles ? (unsigned)(go_cycles / row->element_cycles) : 1;
}

/* True when all is done or refused, with the status; c->index is the number of elements completed. */
static bool run_list(struct hypercall *c, const struct hypercall_registers *r, const struct parameters *m, hv_status_t *status)
{
    unsigned left = elements_in_one_go(c->p, c->row);
    for (; c->index < c->control.rep_count; c->index++, left--) {
        if (left == 0) {
            return false;
        }
        *status = run_one(c, r, m);
        if (*status != HV_STATUS_SUCCESS) {
            break;
        }
    }
    return true;
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

static void finish(struct hypercall *c, const struct hypercall_registers *r, hv_status_t status)
{
    uint64_t result = status | (uint64_t)c->index << 32;
    account_hypercall(c->vp, c->row);
    TRACE(c->p->machine->trace, hypercall, hv_vp_index(c->vp), c->control.code, r->control, r->input, r->output, status,
          c->index);
    result_write(c->vp->vcpu, r->wide, result);
}

/* An admitted call. The vector to raise, or -1. */
static int dispatch(struct hypercall *c, const struct hypercall_registers *r, bool *again)
{
    struct parameters m;
    parameters_measure(&m, c->row, &c->control);
    hv_status_t status = HV_STATUS_SUCCESS;
    if (c->control.fast) {
        int vector = parameters_from_registers(c->p, c->vp->vcpu, r, &m, &status);
        if (vector >= 0) {
            return vector;
        }
    } else {
        status = parameters_from_memory(c->p, r, &m);
    }
    c->input = (const uint8_t *)m.input;
    c->input_room_bytes = c->control.fast ? HYPERCALL_XMM_BYTES : (unsigned)(PAGE_BYTES - (r->input & PAGE_OFFSET_MASK));
    c->variable_bytes = 8u * c->control.variable_header_qwords;
    c->index = c->control.rep_start;
    vp_charge_more(c->vp->vcpu, EXIT_HYPERCALL, c->row->call_cycles);
    if (status == HV_STATUS_SUCCESS && c->row->check != NULL) {
        status = c->row->check(c);
    }
    if (status == HV_STATUS_SUCCESS && c->row->kind == HYPERCALL_SIMPLE) {
        status = run_one(c, r, &m);
    } else if (status == HV_STATUS_SUCCESS && !run_list(c, r, &m, &status)) {
        *again = true;
        account_hypercall(c->vp, c->row);
        TRACE(c->p->machine->trace, hypercall_continued, hv_vp_index(c->vp), c->control.code, c->index, c->control.rep_count);
        control_write(c->vp->vcpu, r->wide, (r->control & ~(0xfffULL << 48)) | (uint64_t)c->index << 48);
        return -1;
    }
    finish(c, r, status);
    return -1;
}

int hv_hypercall(void *partition, struct vcpu *vcpu, bool is_vmcall, bool *again)
{
    struct partition *p = partition;
    *again = false;
    /* §3.5; and without the page the interface is not established, so the opcode means nothing. VMCALL and VMMCALL are one. */
    if (!caller_legal(vcpu) || !(p->registers.hypercall.value & OVERLAY_ENABLE)) {
        return VEC_UD;
    }
    struct hypercall_registers r = registers_read(vcpu);
    struct hypercall c = {.p = p, .vp = hv_vp_of(p, vcpu), .control = hypercall_control_of(r.control)};
    account_hypercall_begins(c.vp);
    c.row = row_find(p, c.control.code);
    hv_status_t status = admit(p, c.row, r.control);
    if (status != HV_STATUS_SUCCESS) {
        finish(&c, &r, status);
        return -1;
    }
    return dispatch(&c, &r, again);
}
