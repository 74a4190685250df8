/* System instructions on control registers, debug registers, time, MSRs, caches and the processor's activity; and hints that do
 * nothing.
 *
 * SDM 2 (each instruction's page), 3A §2.8 System Instruction Summary, §5.9 Privileged Instructions. Segment registers and
 * descriptor tables are in segments.c, interrupts and far transfers in interrupt.c, flags in flags.c, ports in io.c.
 *
 * MONITOR/MWAIT (chosen; the text allows any time-out): MWAIT with an armed monitor ends the VP's turn as PAUSE does, and goes
 * on. It so sees every store to the line at the latest one turn later. Interrupts, masked ones with ECX bit 0 too, find a
 * running VP.
 */
#include <Zydis/Zydis.h>

#include "cpu/exec/control.h"
#include "cpu/exec/system.h"

static bool emit_operand(struct emit *e, const struct insn *in, const struct operand *o, uint8_t *slot)
{
    struct uop *u = e->u;
    switch (o->kind) {
    case OPERAND_GPR:
        *slot = operand_slot(o);
        return true;
    case OPERAND_SEG:
    case OPERAND_CR:
    case OPERAND_DR:
        *slot = o->reg;
        return true;
    case OPERAND_MEM:
        u->x |= X_MEMORY;
        if (emit_memory(e, in) && in->mem.segment >= SEG_FS) {
            /* The flat form has the segment's base among its slots: ea_general() must not add it again. */
            u->ea = (uint8_t)((u->ea & ~EA_SEGMENT) | SEG_DS << EA_SEGMENT_SHIFT);
        }
        return true;
    case OPERAND_IMM:
        u->imm = in->imm;
        return true;
    case OPERAND_FAR:
        u->imm = in->imm;
        u->disp = (uint16_t)in->imm2;
        return true;
    default:
        return false;
    }
}

bool emit_system(struct emit *e, const struct insn *in, const void *form)
{
    const struct system_form *f = form;
    if (f->feature != ALWAYS && !model_has(e->model, (enum cpu_feature)f->feature)) {
        return false;
    }
    e->u->fn = f->fn;
    e->u->x = in->operand_bytes & X_BYTES;
    return (in->operands < 1 || emit_operand(e, in, &in->op[0], &e->u->d)) &&
           (in->operands < 2 || emit_operand(e, in, &in->op[1], &e->u->s));
}

/* ---- control and debug registers ---- */

static unsigned system_width(const struct vcpu *v)
{
    return v->mode == CODE_64 ? 8 : 4;
}

static HANDLER(mov_from_cr)
{
    vp_begin_system(v, u);
    require_cpl0(v);
    write_gpr(v, u->d, system_width(v), control_read(v, u->s));
    LEAVE_NEXT;
}

static HANDLER(mov_to_cr)
{
    vp_begin_system(v, u);
    require_cpl0(v);
    uint64_t next = uop_next_rip(v, u);
    control_write(v, u->d, read_gpr(v, u->s, system_width(v)));
    LEAVE_AT(v, next);
}

static HANDLER(mov_from_dr)
{
    vp_begin_system(v, u);
    write_gpr(v, u->d, system_width(v), debug_read(v, u->s));
    LEAVE_NEXT;
}

static HANDLER(mov_to_dr)
{
    vp_begin_system(v, u);
    debug_write(v, u->d, read_gpr(v, u->s, system_width(v)));
    LEAVE_NEXT;
}

/* MOV of control and debug registers. CR1, CR5-CR7 and DR8-DR15 do not exist; CR8 does in 64-bit mode. */
static bool emit_mov_system(struct emit *e, const struct insn *in, const void *argument)
{
    static const struct system_form from_cr = {mov_from_cr, ALWAYS}, to_cr = {mov_to_cr, ALWAYS};
    static const struct system_form from_dr = {mov_from_dr, ALWAYS}, to_dr = {mov_to_dr, ALWAYS};
    const struct operand *d = &in->op[0], *s = &in->op[1];
    if (d->kind == OPERAND_CR || s->kind == OPERAND_CR) {
        unsigned cr = d->kind == OPERAND_CR ? d->reg : s->reg;
        bool exists = cr <= 4 ? cr != 1 : cr == 8 && in->mode == CODE_64;
        return exists && emit_system(e, in, d->kind == OPERAND_CR ? &to_cr : &from_cr);
    }
    if (d->kind == OPERAND_DR || s->kind == OPERAND_DR) {
        unsigned dr = d->kind == OPERAND_DR ? d->reg : s->reg;
        return dr <= 7 && emit_system(e, in, d->kind == OPERAND_DR ? &to_dr : &from_dr);
    }
    return false;
}

static HANDLER(clts)
{
    vp_begin_system(v, u);
    require_cpl0(v);
    v->s.cr0 &= ~CR0_TS;
    vp_derive(v);
    LEAVE_NEXT;
}

/* SDM 2A LMSW: the low four bits of CR0; PE can be set but not cleared. */
static HANDLER(lmsw)
{
    vp_begin_system(v, u);
    require_cpl0(v);
    uint64_t low = CR0_PE | CR0_MP | CR0_EM | CR0_TS, value = read_rm16(v, u, u->d) & low;
    control_write(v, 0, (v->s.cr0 & ~(low & ~CR0_PE)) | value);
    LEAVE_NEXT;
}

static HANDLER(smsw)
{
    vp_begin_system(v, u);
    require_umip(v, 0);
    write_rm16(v, u, v->s.cr0);
    LEAVE_NEXT;
}

static HANDLER(xgetbv)
{
    vp_begin_system(v, u);
    if (!(v->s.cr4 & CR4_OSXSAVE)) {
        vp_ud(v);
    }
    if ((uint32_t)v->s.gpr[RCX] != 0) {
        vp_gp0(v);
    }
    v->s.gpr[RAX] = (uint32_t)v->s.xcr0;
    v->s.gpr[RDX] = v->s.xcr0 >> 32;
    LEAVE_NEXT;
}

static uint64_t edx_eax(const struct vcpu *v)
{
    return v->s.gpr[RDX] << 32 | (uint32_t)v->s.gpr[RAX];
}

static void set_edx_eax(struct vcpu *v, uint64_t x)
{
    v->s.gpr[RAX] = (uint32_t)x;
    v->s.gpr[RDX] = x >> 32;
}

static HANDLER(xsetbv)
{
    vp_begin_system(v, u);
    if (!(v->s.cr4 & CR4_OSXSAVE)) {
        vp_ud(v);
    }
    require_cpl0(v);
    control_xsetbv(v, (uint32_t)v->s.gpr[RCX], edx_eax(v));
    LEAVE_NEXT;
}

/* ---- translations and caches ---- */

/* The linear address of a memory operand without any check. */
static uint64_t unchecked_linear(const struct vcpu *v, const struct uop *u)
{
    unsigned segment = (u->ea & EA_SEGMENT) >> EA_SEGMENT_SHIFT;
    uint64_t offset = ea_offset(v, u);
    if (v->mode == CODE_64) {
        return offset + (segment >= SEG_FS ? v->s.seg_base[segment] : 0);
    }
    return (uint32_t)(offset + v->s.seg_base[segment]);
}

/* SDM 2A INVLPG: a non-canonical address is no error, and names no translation. */
static HANDLER(invlpg)
{
    vp_begin_system(v, u);
    require_cpl0(v);
    uint64_t linear = unchecked_linear(v, u);
    if (canonical(v, linear)) {
        mmu_invlpg(v, linear);
    }
    LEAVE_NEXT;
}

/* SDM 2A INVPCID. */
static HANDLER(invpcid)
{
    enum { ONE_ADDRESS, ONE_PCID, ALL_AND_GLOBAL, ALL };
    vp_begin_system(v, u);
    require_cpl0(v);
    uint64_t type = read_gpr(v, u->d, system_width(v)), at = ea_general(v, u, 16, ACCESS_READ);
    uint64_t descriptor[2];
    vp_load_bytes(v, at, descriptor, sizeof descriptor);
    bool pcid_enabled = v->s.cr4 & CR4_PCIDE;
    if (type > ALL || descriptor[0] >> 12 || (type <= ONE_PCID && descriptor[0] != 0 && !pcid_enabled) ||
        (type == ONE_ADDRESS && !canonical(v, descriptor[1]))) {
        vp_gp0(v);
    }
    mmu_invpcid(v, (unsigned)type, (uint16_t)descriptor[0], descriptor[1]);
    LEAVE_NEXT;
}

/* INVD, WBINVD: there are no caches to see. */
static HANDLER(cache_privileged)
{
    vp_begin_system(v, u);
    require_cpl0(v);
    LEAVE_NEXT;
}

/* SDM 2A CLFLUSH: all the faults of a byte load, and no effect. */
static HANDLER(clflush)
{
    (void)load8(v, u, ea_general(v, u, 1, ACCESS_READ));
    NEXT;
}

/* ---- identification, MSRs, time ---- */

static HANDLER(cpuid)
{
    vp_begin_system(v, u);
    uint32_t leaf = (uint32_t)v->s.gpr[RAX], subleaf = (uint32_t)v->s.gpr[RCX];
    struct cpu *c = v->cpu;
    struct cpuid_dynamic dynamic = {
        .apic_id = v->lapic.id, .cr4 = v->s.cr4, .xcr0 = v->s.xcr0, .apic_enabled = v->lapic.base_msr >> 11 & 1};
    vp_charge(v, EXIT_CPUID, c->cost->event[EXIT_CPUID]);
    struct cpuid_result r = cpu_model_cpuid(&c->config.model, &dynamic, leaf, subleaf);
    if (c->hooks.cpuid != NULL) {
        c->hooks.cpuid(c->hooks.owner, v, leaf, subleaf, &r);
    }
    TRACE(v->trace, cpuid, v->index, leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
    v->s.gpr[RAX] = r.eax;
    v->s.gpr[RBX] = r.ebx;
    v->s.gpr[RCX] = r.ecx;
    v->s.gpr[RDX] = r.edx;
    LEAVE_NEXT;
}

static HANDLER(rdmsr)
{
    vp_begin_system(v, u);
    require_cpl0(v);
    uint64_t value = 0;
    uint32_t msr = (uint32_t)v->s.gpr[RCX];
    if (msr_read(v, msr, &value) != MSR_OK) {
        vp_gp0(v);
    }
    set_edx_eax(v, value);
    LEAVE_NEXT;
}

static HANDLER(wrmsr)
{
    vp_begin_system(v, u);
    require_cpl0(v);
    uint32_t msr = (uint32_t)v->s.gpr[RCX];
    uint64_t value = edx_eax(v), next = uop_next_rip(v, u);
    if (msr_write(v, msr, value) != MSR_OK) {
        vp_gp0(v);
    }
    LEAVE_AT(v, next);
}

static void require_tsc(struct vcpu *v)
{
    if ((v->s.cr4 & CR4_TSD) && v->s.cpl != 0) {
        vp_gp0(v);
    }
}

static HANDLER(rdtsc)
{
    vp_begin_system(v, u);
    require_tsc(v);
    set_edx_eax(v, vp_tsc(v));
    LEAVE_NEXT;
}

static HANDLER(rdtscp)
{
    vp_begin_system(v, u);
    require_tsc(v);
    set_edx_eax(v, vp_tsc(v));
    v->s.gpr[RCX] = (uint32_t)v->s.tsc_aux;
    LEAVE_NEXT;
}

/* No performance counters: every index is an invalid one. */
static HANDLER(rdpmc)
{
    vp_begin_system(v, u);
    vp_gp0(v);
}

/* RDRAND, RDSEED: always a number, from the machine's seed. CF 1, the other arithmetic flags 0. */
static HANDLER(random_number)
{
    write_gpr(v, u->d, operand_bytes(u), prng_next(&v->cpu->prng));
    v->fl = FL_CF;
    NEXT;
}

/* ---- FS and GS bases, supervisor access to user pages ---- */

static HANDLER(swapgs)
{
    if (UNLIKELY(v->s.cpl != 0)) {
        vp_begin_system(v, u);
        vp_gp0(v);
    }
    uint64_t base = v->s.seg_base[SEG_GS];
    v->s.seg_base[SEG_GS] = v->s.kernel_gs_base;
    v->s.kernel_gs_base = base;
    NEXT;
}

static void require_fsgsbase(struct vcpu *v, const struct uop *u)
{
    if (UNLIKELY(!(v->s.cr4 & CR4_FSGSBASE))) {
        vp_begin_system(v, u);
        vp_ud(v);
    }
}

static void write_base(struct vcpu *v, const struct uop *u, unsigned segment)
{
    require_fsgsbase(v, u);
    uint64_t base = read_gpr(v, u->d, operand_bytes(u));
    if (UNLIKELY(!canonical(v, base))) {
        vp_begin_system(v, u);
        vp_gp0(v);
    }
    v->s.seg_base[segment] = base;
}

static HANDLER(rdfsbase)
{
    require_fsgsbase(v, u);
    write_gpr(v, u->d, operand_bytes(u), v->s.seg_base[SEG_FS]);
    NEXT;
}

static HANDLER(rdgsbase)
{
    require_fsgsbase(v, u);
    write_gpr(v, u->d, operand_bytes(u), v->s.seg_base[SEG_GS]);
    NEXT;
}

static HANDLER(wrfsbase)
{
    write_base(v, u, SEG_FS);
    NEXT;
}

static HANDLER(wrgsbase)
{
    write_base(v, u, SEG_GS);
    NEXT;
}

/* SDM 2B STAC, 2A CLAC: #UD at any CPL but 0, and so in v86 mode. */
static void set_ac(struct vcpu *v, const struct uop *u, bool ac)
{
    if (UNLIKELY(v->s.cpl != 0)) {
        vp_begin_system(v, u);
        vp_ud(v);
    }
    v->s.rflags = (v->s.rflags & ~RFLAGS_AC) | (ac ? RFLAGS_AC : 0);
    vp_derive(v);
}

static HANDLER(stac)
{
    set_ac(v, u, true);
    NEXT;
}

static HANDLER(clac)
{
    set_ac(v, u, false);
    NEXT;
}

/* ---- activity ---- */

static HANDLER(hlt)
{
    vp_begin_system(v, u);
    require_cpl0(v);
    TRACE(v->trace, halt, v->index, v->s.rip);
    vp_charge(v, EXIT_HALT, v->cpu->cost->event[EXIT_HALT]);
    v->s.activity = VP_HALTED;
    vp_attention(v); /* something that wakes it may already be there */
    LEAVE_NEXT;
}

static HANDLER(pause)
{
    vp_begin_system(v, u);
    v->yielded = true;
    LEAVE_NEXT;
}

/* DS:rAX or an overriding segment, by address size. */
static bool emit_monitor(struct emit *e, const struct insn *in, const void *form)
{
    if (!emit_system(e, in, form)) {
        return false;
    }
    unsigned address = in->address_bytes == 8 ? 2 : in->address_bytes == 4 ? 1 : 0;
    e->u->base = slot_gpr(RAX);
    e->u->index = SLOT_ZERO;
    e->u->ea = (uint8_t)(in->mem.segment << EA_SEGMENT_SHIFT | address << EA_ADDRESS_SHIFT);
    return true;
}

static HANDLER(monitor)
{
    vp_begin_system(v, u);
    if (v->s.cpl != 0) {
        vp_ud(v);
    }
    if ((uint32_t)v->s.gpr[RCX] != 0) {
        vp_gp0(v);
    }
    uint64_t linear = ea_general(v, u, 1, ACCESS_READ);
    (void)load8(v, u, linear);
    gpa_t at = gpa(0);
    v->s.monitor_armed = vp_translate(v, gva(linear), &at);
    v->s.monitor_gpa = at.v & ~63ULL;
    LEAVE_NEXT;
}

static HANDLER(mwait)
{
    vp_begin_system(v, u);
    if (v->s.cpl != 0) {
        vp_ud(v);
    }
    if ((uint32_t)v->s.gpr[RCX] & ~1u) {
        vp_gp0(v);
    }
    if (v->s.monitor_armed) { /* else SDM 2B MWAIT: a NOP */
        TRACE(v->trace, halt, v->index, v->s.rip);
        v->s.monitor_armed = false;
        v->yielded = true;
    }
    LEAVE_NEXT;
}

/* ---- calls to the hypervisor ---- */

static void hypercall(struct vcpu *v, const struct uop *u, bool is_vmcall)
{
    vp_begin_system(v, u);
    struct cpu *c = v->cpu;
    if (c->hooks.hypercall == NULL) {
        vp_ud(v);
    }
    TRACE(v->trace, hypercall_trap, v->index, is_vmcall, v->s.gpr[RCX], v->s.gpr[RDX], v->s.gpr[R8], v->s.rip);
    vp_charge(v, EXIT_HYPERCALL, c->cost->event[EXIT_HYPERCALL]);
    uint64_t rip = v->s.rip; /* the hook sees, and may change, where the VP goes on */
    v->s.rip = uop_next_rip(v, u);
    bool again = false;
    int vector = c->hooks.hypercall(c->hooks.owner, v, is_vmcall, &again);
    if (vector >= 0 || again) {
        v->s.rip = rip;
    }
    if (vector == VEC_GP) {
        vp_gp0(v);
    }
    if (vector >= 0) {
        vp_raise(v, (uint8_t)vector);
    }
}

/* Both reach the hypervisor whatever the vendor, as both of the vendors' hypervisors arrange it. */
static HANDLER(vmcall)
{
    hypercall(v, u, true);
    LEAVE;
}

static HANDLER(vmmcall)
{
    hypercall(v, u, false);
    LEAVE;
}

/* ---- hints ---- */

static HANDLER(nop)
{
    NEXT;
}

/* A hint's memory operand is never touched. */
static bool emit_nop(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->fn = nop;
    return true;
}

/* SDM 2B PREFETCHW; APM 3 PREFETCHW: only AMD's are undefined without the feature. */
static bool emit_prefetchw(struct emit *e, const struct insn *in, const void *argument)
{
    e->u->fn = nop;
    return e->model->vendor == VENDOR_INTEL || model_has(e->model, FEAT_PREFETCHW) || model_has(e->model, FEAT_LM);
}

/* UD0, UD1, UD2, RSM outside system management mode. */
static bool emit_undefined(struct emit *e, const struct insn *in, const void *argument)
{
    return false;
}

#define END INSN_ENDS_BLOCK
const struct insn_row system_rows[] = {
    {ZYDIS_MNEMONIC_MOV, COST_SYSTEM, END, emit_mov_system, NULL},
    SYSTEM_ROW(CLTS, COST_SYSTEM, END, clts, ALWAYS),
    SYSTEM_ROW(LMSW, COST_SYSTEM, END, lmsw, ALWAYS),
    SYSTEM_ROW(SMSW, COST_SYSTEM, END, smsw, ALWAYS),
    SYSTEM_ROW(XGETBV, COST_SYSTEM, END, xgetbv, FEAT_XSAVE),
    SYSTEM_ROW(XSETBV, COST_SYSTEM, END, xsetbv, FEAT_XSAVE),
    SYSTEM_ROW(INVLPG, COST_SYSTEM, END, invlpg, ALWAYS),
    SYSTEM_ROW(INVPCID, COST_SYSTEM, END, invpcid, FEAT_INVPCID),
    SYSTEM_ROW(INVD, COST_SYSTEM, END, cache_privileged, ALWAYS),
    SYSTEM_ROW(WBINVD, COST_SYSTEM, END, cache_privileged, ALWAYS),
    SYSTEM_ROW(CLFLUSH, COST_LOAD_STORE, 0, clflush, FEAT_CLFLUSH),
    SYSTEM_ROW(CPUID, COST_SYSTEM, END, cpuid, ALWAYS),
    SYSTEM_ROW(RDMSR, COST_SYSTEM, END, rdmsr, FEAT_MSR),
    SYSTEM_ROW(WRMSR, COST_SYSTEM, END, wrmsr, FEAT_MSR),
    SYSTEM_ROW(RDTSC, COST_SYSTEM, END, rdtsc, FEAT_TSC),
    SYSTEM_ROW(RDTSCP, COST_SYSTEM, END, rdtscp, FEAT_RDTSCP),
    SYSTEM_ROW(RDPMC, COST_SYSTEM, END, rdpmc, ALWAYS),
    SYSTEM_ROW(RDRAND, COST_SYSTEM, 0, random_number, FEAT_RDRAND),
    SYSTEM_ROW(RDSEED, COST_SYSTEM, 0, random_number, FEAT_RDSEED),
    SYSTEM_ROW(SWAPGS, COST_SYSTEM, 0, swapgs, FEAT_LM),
    SYSTEM_ROW(RDFSBASE, COST_SIMPLE, 0, rdfsbase, FEAT_FSGSBASE),
    SYSTEM_ROW(RDGSBASE, COST_SIMPLE, 0, rdgsbase, FEAT_FSGSBASE),
    SYSTEM_ROW(WRFSBASE, COST_SIMPLE, 0, wrfsbase, FEAT_FSGSBASE),
    SYSTEM_ROW(WRGSBASE, COST_SIMPLE, 0, wrgsbase, FEAT_FSGSBASE),
    SYSTEM_ROW(STAC, COST_SIMPLE, 0, stac, FEAT_SMAP),
    SYSTEM_ROW(CLAC, COST_SIMPLE, 0, clac, FEAT_SMAP),
    SYSTEM_ROW(HLT, COST_SYSTEM, END, hlt, ALWAYS),
    SYSTEM_ROW(PAUSE, COST_SIMPLE, END, pause, ALWAYS),
    {ZYDIS_MNEMONIC_MONITOR, COST_SYSTEM, END, emit_monitor, &(const struct system_form){monitor, FEAT_MONITOR}},
    SYSTEM_ROW(MWAIT, COST_SYSTEM, END, mwait, FEAT_MONITOR),
    SYSTEM_ROW(VMCALL, COST_SYSTEM, END, vmcall, ALWAYS),
    SYSTEM_ROW(VMMCALL, COST_SYSTEM, END, vmmcall, ALWAYS),
    {ZYDIS_MNEMONIC_NOP, COST_SIMPLE, 0, emit_nop, NULL},
    {ZYDIS_MNEMONIC_PREFETCH, COST_SIMPLE, 0, emit_prefetchw, NULL},
    {ZYDIS_MNEMONIC_PREFETCHW, COST_SIMPLE, 0, emit_prefetchw, NULL},
    {ZYDIS_MNEMONIC_PREFETCHWT1, COST_SIMPLE, 0, emit_prefetchw, NULL},
    {ZYDIS_MNEMONIC_PREFETCHNTA, COST_SIMPLE, 0, emit_nop, NULL},
    {ZYDIS_MNEMONIC_PREFETCHT0, COST_SIMPLE, 0, emit_nop, NULL},
    {ZYDIS_MNEMONIC_PREFETCHT1, COST_SIMPLE, 0, emit_nop, NULL},
    {ZYDIS_MNEMONIC_PREFETCHT2, COST_SIMPLE, 0, emit_nop, NULL},
    {ZYDIS_MNEMONIC_UD0, COST_SIMPLE, 0, emit_undefined, NULL},
    {ZYDIS_MNEMONIC_UD1, COST_SIMPLE, 0, emit_undefined, NULL},
    {ZYDIS_MNEMONIC_UD2, COST_SIMPLE, 0, emit_undefined, NULL},
    {ZYDIS_MNEMONIC_RSM, COST_SIMPLE, 0, emit_undefined, NULL},
};
const size_t system_row_count = ARRAY_COUNT(system_rows);
