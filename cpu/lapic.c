/* Local APIC: its registers in both modes, the modes themselves, reset and saved state. SDM 3A chapter 10.
 * Which interrupt comes next is in lapic_priority.c, IPIs and messages in lapic_bus.c, the timer in lapic_timer.c.
 *
 * Invariants: while software-disabled every LVT entry is masked; what a register does not have reads as 0 and is not stored.
 * Chosen where the SDM leaves it open: the APIC id is read-only; no EOI-broadcast suppression, no CMCI entry (version 0x14 with
 * six LVT entries); the reserved timer mode 3 is taken as one-shot.
 */
#include "cpu/lapic.h"

#include <string.h>

#include "cpu/vcpu.h"

/* Register numbers: offset / 16, and MSR - 0x800. Table 10-1 and table 10-6. */
/* clang-format off */
enum lapic_register {
    REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_APR = 0x09, REG_PPR = 0x0a, REG_EOI = 0x0b, REG_RRD = 0x0c,
    REG_LDR = 0x0d, REG_DFR = 0x0e, REG_SVR = 0x0f, REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28,
    REG_ICR = 0x30, REG_ICR_HIGH = 0x31, REG_LVT_TIMER = 0x32, REG_LVT_ERROR = 0x37, REG_TIMER_INITIAL = 0x38,
    REG_TIMER_CURRENT = 0x39, REG_TIMER_DIVIDE = 0x3e, REG_SELF_IPI = 0x3f, REGISTERS = 0x40,
};
/* clang-format on */

enum { IN_XAPIC = 1, READ_X2 = 2, WRITE_X2 = 4, RW_X2 = READ_X2 | WRITE_X2 };

/* What exists in which mode, and the bits that an x2APIC write may set (others raise #GP(0), §10.12.1.3). */
static const struct register_rule {
    uint8_t access;
    uint32_t writable;
} rules[REGISTERS] = {
    [REG_ID] = {IN_XAPIC | READ_X2, 0},
    [REG_VERSION] = {IN_XAPIC | READ_X2, 0},
    [REG_TPR] = {IN_XAPIC | RW_X2, 0xff},
    [REG_APR] = {IN_XAPIC, 0},
    [REG_PPR] = {IN_XAPIC | READ_X2, 0},
    [REG_EOI] = {IN_XAPIC | WRITE_X2, 0},
    [REG_RRD] = {IN_XAPIC, 0},
    [REG_LDR] = {IN_XAPIC | READ_X2, 0},
    [REG_DFR] = {IN_XAPIC, 0},
    [REG_SVR] = {IN_XAPIC | RW_X2, 0x3ff},
    [REG_ISR... REG_ESR - 1] = {IN_XAPIC | READ_X2, 0}, /* ISR, TMR, IRR */
    [REG_ESR] = {IN_XAPIC | RW_X2, 0},
    [REG_ICR] = {IN_XAPIC | RW_X2, 0x000ccfff},
    [REG_ICR_HIGH] = {IN_XAPIC, 0},
    [REG_LVT_TIMER] = {IN_XAPIC | RW_X2, 0x000310ff}, /* bit 18 with TSC deadline: lvt_bits() */
    [REG_LVT_TIMER + 1] = {IN_XAPIC | RW_X2, 0x000117ff},
    [REG_LVT_TIMER + 2] = {IN_XAPIC | RW_X2, 0x000117ff},
    [REG_LVT_TIMER + 3] = {IN_XAPIC | RW_X2, 0x0001f7ff},
    [REG_LVT_TIMER + 4] = {IN_XAPIC | RW_X2, 0x0001f7ff},
    [REG_LVT_ERROR] = {IN_XAPIC | RW_X2, 0x000110ff},
    [REG_TIMER_INITIAL] = {IN_XAPIC | RW_X2, 0xffffffff},
    [REG_TIMER_CURRENT] = {IN_XAPIC | READ_X2, 0},
    [REG_TIMER_DIVIDE] = {IN_XAPIC | RW_X2, 0xb},
    [REG_SELF_IPI] = {WRITE_X2, 0xff},
};

#define VERSION 0x00050014u
#define LVT_READ_ONLY 0x5000u /* delivery status, remote IRR: always idle here */
#define LVT_TIMER_DEADLINE (1u << 18)
#define ICR_DELIVERY_STATUS (1u << 12)
#define APIC_DEFAULT_GPA 0xfee00000u

struct lapic *vp_lapic(struct vcpu *v)
{
    return &v->lapic;
}

static void set_tpr(struct vcpu *v, uint32_t value)
{
    v->lapic.tpr = value & 0xff;
    lapic_notice_if_pending(v);
}

/* CR8 is TPR[7:4], §10.8.6. */
uint64_t lapic_cr8(const struct vcpu *v)
{
    return v->lapic.tpr >> 4;
}

void lapic_set_cr8(struct vcpu *v, uint64_t value)
{
    set_tpr(v, (uint32_t)(value & 0xf) << 4);
}

/* ---- registers ---- */

static enum lapic_lvt lvt_of(unsigned reg)
{
    return LVT_TIMER + (reg - REG_LVT_TIMER);
}

static uint32_t writable_bits(const struct vcpu *v, unsigned reg)
{
    bool deadline = reg == REG_LVT_TIMER && vp_has(v, FEAT_TSC_DEADLINE);
    return rules[reg].writable | (deadline ? LVT_TIMER_DEADLINE : 0);
}

static uint32_t register_read(struct vcpu *v, unsigned reg)
{
    const struct lapic *l = &v->lapic;
    switch (reg) {
    case REG_ID:
        return lapic_is_x2(l) ? l->id : l->id << 24;
    case REG_VERSION:
        return VERSION;
    case REG_TPR:
        return l->tpr;
    case REG_PPR:
        return lapic_ppr(v);
    case REG_LDR:
        return l->ldr;
    case REG_DFR:
        return l->dfr;
    case REG_SVR:
        return l->svr;
    case REG_ISR ... REG_ISR + 7:
        lapic_settle(v);
        return l->isr[reg - REG_ISR];
    case REG_TMR ... REG_TMR + 7:
        return l->tmr[reg - REG_TMR];
    case REG_IRR ... REG_IRR + 7:
        return l->irr[reg - REG_IRR];
    case REG_ESR:
        return l->esr;
    case REG_ICR:
        return l->icr_low;
    case REG_ICR_HIGH:
        return l->icr_high;
    case REG_LVT_TIMER ... REG_LVT_ERROR:
        return l->lvt[lvt_of(reg)];
    case REG_TIMER_INITIAL:
        return l->timer_initial;
    case REG_TIMER_CURRENT:
        return lapic_timer_current(v);
    case REG_TIMER_DIVIDE:
        return l->timer_divide;
    default: /* EOI and the registers that old processors had: APR, RRD */
        return 0;
    }
}

/* §10.4.7.2: software disable masks every LVT entry; interrupts already accepted stay. */
static void set_svr(struct vcpu *v, uint32_t value)
{
    struct lapic *l = &v->lapic;
    l->svr = value & rules[REG_SVR].writable;
    if (!(l->svr & APIC_SOFTWARE_ENABLE)) {
        lapic_timer_settle(v);
        for (unsigned i = 0; i < LVTS; i++) {
            l->lvt[i] |= LVT_MASKED;
        }
        lapic_timer_arm(v);
    }
}

static void set_lvt(struct vcpu *v, unsigned reg, uint32_t value)
{
    struct lapic *l = &v->lapic;
    enum lapic_lvt which = lvt_of(reg);
    value &= writable_bits(v, reg) & ~LVT_READ_ONLY;
    if (!(l->svr & APIC_SOFTWARE_ENABLE)) {
        value |= LVT_MASKED;
    }
    if (which != LVT_TIMER) {
        l->lvt[which] = value;
        lapic_notice_if_pending(v); /* LINT0 may have become ExtINT with the line up */
        return;
    }
    if ((value >> 17 & 3) == 3) { /* reserved mode: taken as one-shot */
        value &= ~(3u << 17);
    }
    lapic_timer_settle(v);
    bool mode_changes = (l->lvt[LVT_TIMER] ^ value) >> 17 & 3;
    l->lvt[LVT_TIMER] = value;
    if (mode_changes) {
        lapic_timer_disarm(v);
    } else {
        lapic_timer_arm(v);
    }
}

static void set_icr(struct vcpu *v, uint32_t low, uint32_t destination)
{
    v->lapic.icr_low = low & rules[REG_ICR].writable & ~ICR_DELIVERY_STATUS;
    lapic_send_ipi(v, (uint64_t)destination << 32 | v->lapic.icr_low);
}

static void register_write(struct vcpu *v, unsigned reg, uint32_t value)
{
    struct lapic *l = &v->lapic;
    TRACE(v->trace, apic_write, v->index, (uint64_t)reg << 4, value);
    switch (reg) {
    case REG_TPR:
        set_tpr(v, value);
        break;
    case REG_EOI:
        lapic_eoi(v);
        break;
    case REG_LDR:
        l->ldr = value & 0xff000000;
        break;
    case REG_DFR:
        l->dfr = value | 0x0fffffff;
        break;
    case REG_SVR:
        set_svr(v, value);
        break;
    case REG_ESR:
        l->esr = l->esr_pending;
        l->esr_pending = 0;
        break;
    case REG_ICR:
        set_icr(v, value, lapic_is_x2(l) ? l->icr_high : l->icr_high >> 24);
        break;
    case REG_ICR_HIGH:
        l->icr_high = value & 0xff000000;
        break;
    case REG_LVT_TIMER ... REG_LVT_ERROR:
        set_lvt(v, reg, value);
        break;
    case REG_TIMER_INITIAL:
        lapic_timer_set_initial(v, value);
        break;
    case REG_TIMER_DIVIDE:
        lapic_timer_set_divide(v, value);
        break;
    case REG_SELF_IPI: /* §10.12.11: fixed, edge, to this VP */
        lapic_send_ipi(v, 1u << 18 | value);
        break;
    default: /* read-only */
        break;
    }
}

/* An offset that names no register sets the error register and reads as 0 (§10.5.3, illegal register address). */
uint32_t lapic_read(struct vcpu *v, uint32_t offset)
{
    unsigned reg = offset >> 4;
    if (reg >= REGISTERS || !(rules[reg].access & IN_XAPIC)) {
        lapic_error(v, ERROR_REGISTER);
        return 0;
    }
    return register_read(v, reg);
}

void lapic_write(struct vcpu *v, uint32_t offset, uint32_t value)
{
    unsigned reg = offset >> 4;
    if (reg >= REGISTERS || !(rules[reg].access & IN_XAPIC)) {
        lapic_error(v, ERROR_REGISTER);
        return;
    }
    register_write(v, reg, value);
}

/* ---- modes, §10.4.4 and §10.12 ---- */

uint64_t lapic_mmio_gpa(const struct vcpu *v)
{
    uint64_t base = v->lapic.base_msr;
    return (base & (APIC_BASE_ENABLE | APIC_BASE_EXTD)) == APIC_BASE_ENABLE ? base & ~PAGE_OFFSET_MASK : UINT64_MAX;
}

/* Everything but identity and mode. */
static void reset_registers(struct vcpu *v)
{
    struct lapic *l = &v->lapic;
    lapic_offer_withdraw(v);
    const struct lapic old = *l;
    memset(l, 0, sizeof *l);
    l->base_msr = old.base_msr;
    l->id = old.id;
    l->dfr = 0xffffffff;
    l->svr = 0xff;
    for (unsigned i = 0; i < LVTS; i++) {
        l->lvt[i] = LVT_MASKED;
    }
    if (lapic_is_x2(l)) {
        l->ldr = l->id >> 4 << 16 | 1u << (l->id & 0xf); /* §10.12.10.2 */
    }
    event_disarm(v->machine->events, v->lapic_timer_event);
}

/* Figure 10-27. From "disabled" only xAPIC is near, and from x2APIC only "disabled"; enable clear with x2APIC set is no state.
 */
static bool base_is_legal(const struct vcpu *v, uint64_t value)
{
    uint64_t address = ((1ULL << v->cpu->config.model.physical_bits) - 1) & ~PAGE_OFFSET_MASK;
    uint64_t flags = APIC_BASE_BSP | APIC_BASE_ENABLE | (vp_has(v, FEAT_X2APIC) ? APIC_BASE_EXTD : 0);
    bool on = value & APIC_BASE_ENABLE, x2 = value & APIC_BASE_EXTD;
    return (value & ~(address | flags)) == 0 && (on || !x2);
}

static enum msr_outcome set_base(struct vcpu *v, uint64_t value)
{
    struct lapic *l = &v->lapic;
    bool was_on = lapic_is_enabled(l), was_x2 = lapic_is_x2(l);
    bool on = value & APIC_BASE_ENABLE, x2 = value & APIC_BASE_EXTD;
    if (!base_is_legal(v, value) || (was_x2 && on && !x2) || (!was_on && x2)) {
        return MSR_GP;
    }
    l->base_msr = value;
    if (was_on && !on) {
        reset_registers(v); /* §10.4.3: on again, it is as after power-up */
    } else if (x2 && !was_x2) {
        l->ldr = l->id >> 4 << 16 | 1u << (l->id & 0xf);
        l->icr_high = 0;
    }
    mmu_flush(v); /* the page moved, came or went */
    lapic_notice_if_pending(v);
    return MSR_OK;
}

void lapic_reset(struct vcpu *v, bool keep_id)
{
    struct lapic *l = &v->lapic;
    if (!keep_id) {
        bool present = vp_has(v, FEAT_APIC);
        l->id = v->index;
        l->base_msr = present ? APIC_DEFAULT_GPA | APIC_BASE_ENABLE | (v->index == 0 ? APIC_BASE_BSP : 0) : 0;
    }
    reset_registers(v);
}

void lapic_create(struct vcpu *v, int timer_event)
{
    v->lapic_timer_event = timer_event;
    lapic_reset(v, false);
}

void lapic_virtual_wire(struct vcpu *v)
{
    v->lapic.svr |= APIC_SOFTWARE_ENABLE;
    v->lapic.lvt[LVT_LINT0] = DELIVER_EXTINT << 8;
    v->lapic.lvt[LVT_LINT1] = DELIVER_NMI << 8;
}

/* ---- MSRs ---- */

enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800 };

/* The x2APIC register that an MSR names: with its right (READ_X2, WRITE_X2), or REGISTERS. */
static unsigned x2_register(const struct vcpu *v, uint32_t msr, unsigned right)
{
    unsigned reg = msr - MSR_X2APIC;
    bool there = lapic_is_x2(&v->lapic) && reg < REGISTERS && (rules[reg].access & right);
    return there ? reg : REGISTERS;
}

enum msr_outcome lapic_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    if (msr == MSR_APIC_BASE && vp_has(v, FEAT_APIC)) {
        *value = v->lapic.base_msr;
        return MSR_OK;
    }
    if (msr == MSR_TSC_DEADLINE && vp_has(v, FEAT_TSC_DEADLINE)) {
        *value = lapic_timer_deadline(v);
        return MSR_OK;
    }
    unsigned reg = x2_register(v, msr, READ_X2);
    if (reg == REGISTERS) {
        return MSR_NOT_MINE;
    }
    *value = register_read(v, reg);
    if (reg == REG_ICR) {
        *value |= (uint64_t)v->lapic.icr_high << 32;
    }
    return MSR_OK;
}

enum msr_outcome lapic_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    if (msr == MSR_APIC_BASE && vp_has(v, FEAT_APIC)) {
        return set_base(v, value);
    }
    if (msr == MSR_TSC_DEADLINE && vp_has(v, FEAT_TSC_DEADLINE)) {
        lapic_timer_set_deadline(v, value);
        return MSR_OK;
    }
    unsigned reg = x2_register(v, msr, WRITE_X2);
    if (reg == REGISTERS) {
        return MSR_NOT_MINE;
    }
    if (((uint32_t)value & ~writable_bits(v, reg)) != 0 || (value >> 32 != 0 && reg != REG_ICR)) {
        return MSR_GP;
    }
    if (reg == REG_ICR && (value & ICR_DELIVERY_STATUS)) {
        return MSR_GP; /* no delivery status in x2APIC's ICR, §10.12.9 */
    }
    if (reg == REG_ICR) {
        v->lapic.icr_high = (uint32_t)(value >> 32);
    }
    register_write(v, reg, (uint32_t)value);
    return MSR_OK;
}

/* ---- save, restore, digest ---- */

static bool state_is_possible(const struct vcpu *v)
{
    const struct lapic *l = &v->lapic;
    bool possible = base_is_legal(v, l->base_msr) && l->id == v->index && l->tpr <= 0xff;
    possible = possible && (l->svr & ~rules[REG_SVR].writable) == 0 && (l->timer_divide & ~0xbu) == 0;
    possible = possible && (l->icr_low & ~(rules[REG_ICR].writable & ~ICR_DELIVERY_STATUS)) == 0;
    possible = possible && ((l->irr[0] | l->isr[0] | l->tmr[0]) & 0xffff) == 0 && l->lvt[LVT_CMCI] == LVT_MASKED;
    for (unsigned reg = REG_LVT_TIMER; reg <= REG_LVT_ERROR; reg++) {
        uint32_t lvt = l->lvt[lvt_of(reg)];
        bool mask_missing = !(l->svr & APIC_SOFTWARE_ENABLE) && !(lvt & LVT_MASKED);
        possible = possible && (lvt & ~(writable_bits(v, reg) & ~LVT_READ_ONLY)) == 0 && !mask_missing;
    }
    uint32_t in_service = 0;
    for (unsigned i = 0; i < 8; i++) {
        in_service |= l->isr[i];
    }
    possible = possible && (!l->eoi_offered || in_service != 0);
    return possible && (l->lvt[LVT_TIMER] >> 17 & 3) != 3;
}

static void state_words(struct state *s, uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        state_u32(s, &words[i]);
    }
}

void lapic_state(struct state *s, struct vcpu *v)
{
    struct lapic *l = &v->lapic;
    state_u64(s, &l->base_msr);
    state_u32(s, &l->id);
    state_u32(s, &l->ldr);
    state_u32(s, &l->dfr);
    state_u32(s, &l->svr);
    state_u32(s, &l->tpr);
    state_u32(s, &l->esr);
    state_u32(s, &l->esr_pending);
    state_u32(s, &l->icr_low);
    state_u32(s, &l->icr_high);
    state_words(s, l->lvt, LVTS);
    state_words(s, l->irr, 8);
    state_words(s, l->isr, 8);
    state_words(s, l->tmr, 8);
    state_u32(s, &l->timer_initial);
    state_u32(s, &l->timer_count);
    state_u32(s, &l->timer_divide);
    state_u64(s, &l->timer_start_cycle);
    state_u64(s, &l->tsc_deadline);
    state_bool(s, &l->extint_message);
    state_bool(s, &l->eoi_offered);
    if (state_restoring(s) && state_ok(s) && !state_is_possible(v)) {
        state_fail(s, "VP %u: impossible local APIC state", v->index);
    }
}
