/* The interpreter's run loop: boundaries, what may happen at them, and how blocks are entered and left.
 *
 * At a boundary, in this order: PAUSE ends the turn; the clock has reached `until`; INIT, SIPI; a debug trap; NMI; an
 * interrupt; then the next block. A block that does not fit into what is left of the budget is cut to end exactly at the first
 * boundary at or after `until`. Handlers come back here by LEAVE with s.rip set, or by longjmp: for a fault (LEFT_BY_FAULT), or
 * because an instruction in the middle of a block must run alone (LEFT_TO_RUN_ALONE).
 */
#include <string.h>

#include "cpu/block.h"
#include "cpu/exec/sse.h"
#include "cpu/mmu.h"

enum { LEFT_BY_FAULT = 1, LEFT_TO_RUN_ALONE = 2 };

#define SALT_USER (1ULL << 62)
#define SALT_GENERATION_ONE (1ULL << 48)
#define SALT_GENERATIONS (0x3fffULL << 48)

/* ---- faults ---- */

_Noreturn void vp_raise(struct vcpu *v, uint8_t vector)
{
    v->fault = (struct fault){.vector = vector};
    longjmp(v->leave, LEFT_BY_FAULT);
}

_Noreturn void vp_raise_error(struct vcpu *v, uint8_t vector, uint32_t error)
{
    v->fault = (struct fault){.vector = vector, .has_error = true, .error = error};
    longjmp(v->leave, LEFT_BY_FAULT);
}

_Noreturn void vp_raise_page_fault(struct vcpu *v, uint64_t linear, uint32_t error)
{
    v->s.cr2 = linear;
    vp_raise_error(v, VEC_PF, error);
}

void vp_begin_system(struct vcpu *v, const struct uop *u)
{
    v->current = u;
    uint64_t linear = uop_linear(v, u);
    v->s.rip = v->mode == CODE_64 ? linear : (uint32_t)(linear - v->s.seg_base[SEG_CS]) & (v->mode == CODE_16 ? 0xffffu : ~0u);
}

void vp_restart_alone(struct vcpu *v)
{
    const struct uop *u = v->current;
    if (u == NULL || (u->ea & EA_ENDS_BLOCK) || u[1].fn == op_goto) {
        return; /* event delivery, or already the last instruction of its block */
    }
    longjmp(v->leave, LEFT_TO_RUN_ALONE);
}

/* The instruction at `u` and those after it in its block were charged on entry and will not happen now. */
static void give_back(struct vcpu *v, const struct uop *u)
{
    const struct block *b = block_of(u);
    v->budget += b->cost - u->cost_before;
    v->instructions -= (uint64_t)(b->insns - u->before);
}

/* What the instruction at `u` costs; of a pair in one uop, the first of the two, which alone can fault. */
static unsigned own_cost(const struct vcpu *v, const struct uop *u)
{
    const struct block *b = block_of(u);
    bool last = u + 1 >= b->u + (b->uops - b->exits - b->has_end);
    if ((last ? b->insns : u[1].before) - u->before == 2) {
        return v->cpu->cost->instruction[COST_SIMPLE];
    }
    return (last ? b->cost : u[1].cost_before) - u->cost_before;
}

/* ---- derived state ---- */

void vp_kick(struct vcpu *v)
{
    if (v->budget > 0) {
        v->until_cycle -= (uint64_t)v->budget;
        v->budget = 0;
    }
}

static void use_salt(struct vcpu *v)
{
    v->jump_salt = v->space->jump_salt | (v->s.cpl == 3 ? SALT_USER : 0);
}

void vp_forget_space_jumps(struct vcpu *v, struct address_space *a)
{
    v->jump_generation = (v->jump_generation + SALT_GENERATION_ONE) & SALT_GENERATIONS;
    if (v->jump_generation == 0) { /* all generations are used up: begin anew, with no entry left and every salt new */
        memset(v->jumps, 0, sizeof v->jumps);
        for (unsigned i = 0; i < ADDRESS_SPACES; i++) {
            v->jump_generation += SALT_GENERATION_ONE;
            v->spaces[i].jump_salt = v->jump_generation;
        }
        return;
    }
    a->jump_salt = v->jump_generation;
}

void vp_forget_jumps(struct vcpu *v)
{
    for (unsigned i = 0; i < ADDRESS_SPACES; i++) {
        vp_forget_space_jumps(v, &v->spaces[i]);
    }
    use_salt(v);
    vp_kick(v);
}

void vp_derive(struct vcpu *v)
{
    unsigned attributes = v->s.seg[SEG_CS].attributes;
    uint8_t mode = (v->s.efer & EFER_LMA) && (attributes & ATTR_L) ? CODE_64 : attributes & ATTR_DB ? CODE_32 : CODE_16;
    if (mode != v->mode ||
        (mode != CODE_64 && (v->s.seg_base[SEG_CS] != v->derived_cs_base || v->s.seg[SEG_CS].limit != v->derived_cs_limit))) {
        v->mode = mode;
        v->derived_cs_base = v->s.seg_base[SEG_CS];
        v->derived_cs_limit = v->s.seg[SEG_CS].limit;
        vp_forget_jumps(v);
    }
    bool user = v->s.cpl == 3;
    use_salt(v);
    bool ac = v->s.rflags & RFLAGS_AC;
    v->tlb = &v->space->tlbs[user ? TLB_USER : ac && (v->s.cr4 & CR4_SMAP) ? TLB_SUPERVISOR_AC : TLB_SUPERVISOR];
    bool alignment_check = user && ac && (v->s.cr0 & CR0_AM);
    bool data = false, code = false;
    if (UNLIKELY(v->s.dr7 & 0xff)) {
        for (unsigned i = 0; i < 4; i++) {
            if (v->s.dr7 >> (2 * i) & 3) {
                ((v->s.dr7 >> (16 + 4 * i) & 3) == 0 ? (code = true) : (data = true));
            }
        }
    }
    if (UNLIKELY(alignment_check != v->alignment_check || data != v->data_breakpoints)) {
        v->alignment_check = alignment_check;
        v->data_breakpoints = data;
        mmu_flush(v);
    }
    v->code_breakpoints = code;
    v->mmx_blocked = (v->s.cr0 & (CR0_EM | CR0_TS)) != 0;
    v->sse_blocked = v->mmx_blocked || !(v->s.cr4 & CR4_OSFXSR);
}

void vp_set_cpl(struct vcpu *v, unsigned cpl)
{
    v->s.cpl = (uint8_t)cpl;
    vp_derive(v);
}

void vp_set_rflags(struct vcpu *v, uint64_t rflags)
{
    uint64_t changed = v->s.rflags ^ rflags;
    v->s.rflags = (rflags & 0x3f7fd5) | RFLAGS_FIXED;
    v->fl = arithmetic_to_fl(rflags);
    if (changed & (RFLAGS_AC | RFLAGS_VM)) {
        vp_derive(v);
    }
}

/* ---- leaving and entering blocks ---- */

static uint64_t rip_of_linear(const struct vcpu *v, uint64_t linear)
{
    return v->mode == CODE_64 ? linear : (uint32_t)(linear - v->s.seg_base[SEG_CS]) & (v->mode == CODE_16 ? 0xffffu : ~0u);
}

COLD void block_refused(struct vcpu *v, const struct block *b)
{
    v->budget += b->cost;
    v->s.rip = rip_of_linear(v, v->code_base + b->offset);
}

/* The block behind a record that is not linked yet; NULL with s.rip set. */
static struct block *goto_find(struct vcpu *v, const struct uop *u)
{
    uint64_t target = v->code_base + (uint64_t)(int64_t)u->disp;
    if (v->mode != CODE_64 || !canonical(v, target)) {
        v->s.rip = rip_of_linear(v, target);
        return NULL;
    }
    if ((uint32_t)u->disp < PAGE_BYTES) {
        const struct block *from = block_of(u);
        if (from->frame != FRAME_NONE && !blocks_full(v->cpu->blocks) && v->cpu->config.host_cache_flush_every == 0) {
            struct block *to = block_at(v->cpu, from->frame, (unsigned)u->disp, CODE_64);
            if (to != NULL) {
                if (from != v->alone_block) {
                    ((struct uop *)(uintptr_t)u)->link = to;
                }
                return to;
            }
        }
    } else {
        const struct jump_entry *j = &v->jumps[jump_slot(target)];
        if (j->key == (target ^ v->jump_salt)) {
            v->code_base = target & ~PAGE_OFFSET_MASK;
            return j->block;
        }
    }
    v->s.rip = target;
    return NULL;
}

COLD HANDLER(goto_unlinked)
{
    struct block *to = goto_find(v, u);
    if (to == NULL) {
        LEAVE;
    }
    ENTER_BLOCK(v, to);
}

HANDLER(op_goto)
{
    GOTO_DIRECT(v, u);
}

HANDLER(op_undefined)
{
    vp_begin_system(v, u);
    vp_ud(v);
}

HANDLER(op_too_long)
{
    vp_begin_system(v, u);
    vp_gp0(v);
}

static void enter(struct vcpu *v, const struct block *b)
{
    v->budget -= b->cost;
    v->instructions += b->insns;
#ifdef ORRERY_THREADED
    b->u[0].fn(v, b->u);
#else
    for (const struct uop *u = b->u; u != NULL;) {
        u = u->fn(v, u);
    }
#endif
}

/* ---- finding the block at s.rip ---- */

/* Bytes of an instruction that does not lie wholly in one page of memory. May fault. */
static struct block *find_crossing(struct vcpu *v, uint64_t linear, uint32_t frame)
{
    uint8_t bytes[15];
    unsigned n = 0, offset = (unsigned)(linear & PAGE_OFFSET_MASK);
    struct memory *m = v->machine->memory;
    while (n < sizeof bytes) {
        uint64_t at = linear + n;
        if (!vp_long(v)) {
            at = (uint32_t)at;
        }
        unsigned room = PAGE_BYTES - (unsigned)(at & PAGE_OFFSET_MASK);
        if (room > sizeof bytes - n) {
            room = (unsigned)sizeof bytes - n;
        }
        if (n != 0) { /* the second page is walked only when the first one does not decide */
            struct insn in;
            if (decode_insn(bytes, n, v->mode, &in) != DECODE_MORE_BYTES) {
                memset(bytes + n, 0, sizeof bytes - n);
                break;
            }
            frame = mmu_fetch_frame(v, at);
        }
        if (frame != FRAME_NONE) {
            memcpy(bytes + n, memory_frame_host(m, frame) + (at & PAGE_OFFSET_MASK), room);
        } else {
            uint64_t physical = mmu_fetch_gpa(v, at);
            for (unsigned i = 0; i < room; i++) {
                bytes[n + i] = (uint8_t)mmio_read(m, gpa(physical + i), 1);
            }
        }
        n += room;
    }
    return block_crossing(v, bytes, sizeof bytes, offset);
}

/* May fault by longjmp (#PF on the fetch, #GP beyond the limit). Sets code_base. */
static struct block *find_block(struct vcpu *v)
{
    uint64_t linear = v->s.rip;
    if (v->mode != CODE_64) {
        linear = (uint32_t)(linear + v->s.seg_base[SEG_CS]);
    }
    const struct jump_entry *j = &v->jumps[jump_slot(linear)];
    if (LIKELY(j->key == (linear ^ v->jump_salt))) {
        v->code_base = linear & ~PAGE_OFFSET_MASK;
        return j->block;
    }
    if (v->mode == CODE_64 ? !canonical(v, linear) : v->s.rip > v->s.seg[SEG_CS].limit) {
        vp_gp0(v);
    }
    if (blocks_full(v->cpu->blocks)) {
        blocks_flush(v->cpu);
    }
    unsigned offset = (unsigned)(linear & PAGE_OFFSET_MASK);
    uint32_t frame = mmu_fetch_frame(v, linear);
    struct block *b = frame == FRAME_NONE ? NULL : block_at(v->cpu, frame, offset, v->mode);
    bool crossing = b == NULL;
    if (crossing) {
        b = find_crossing(v, linear, frame);
    }
    v->code_base = linear & ~PAGE_OFFSET_MASK;
    if (v->mode != CODE_64 &&
        (v->s.rip + b->bytes - 1 > v->s.seg[SEG_CS].limit || (v->mode == CODE_16 && v->s.rip + b->bytes > 0x10000))) {
        /* Some of the block may lie beyond the limit: one instruction at a time. */
        uint64_t last = v->s.rip + b->u[0].length - 1;
        if (last > v->s.seg[SEG_CS].limit) {
            vp_gp0(v);
        }
        return block_truncate(v, b, 1);
    }
    if (!crossing) {
        struct jump_entry *entry = &v->jumps[jump_slot(linear)];
        entry->key = linear ^ v->jump_salt;
        entry->block = b;
    }
    return b;
}

/* How many instructions reach the first boundary at or after the end of the budget. */
static unsigned insns_that_fit(const struct vcpu *v, const struct block *b)
{
    unsigned end = b->uops - b->exits - b->has_end;
    for (unsigned i = 0; i < end; i++) {
        unsigned cost_after = i + 1 < end ? b->u[i + 1].cost_before : b->cost;
        unsigned insns_after = i + 1 < end ? b->u[i + 1].before : b->insns;
        if ((int64_t)cost_after >= v->budget) {
            bool fused = insns_after - b->u[i].before == 2;
            int64_t first = (int64_t)b->u[i].cost_before + v->cpu->cost->instruction[COST_SIMPLE];
            return fused && first >= v->budget ? insns_after - 1 : insns_after;
        }
    }
    return b->insns;
}

static void restore_until(struct vcpu *v)
{
    v->budget += (int64_t)(v->wanted_cycle - v->until_cycle);
    v->until_cycle = v->wanted_cycle;
}

/* The budget shall end right after something that costs `cycles`. */
static void limit_budget(struct vcpu *v, unsigned cycles)
{
    v->until_cycle -= (uint64_t)(v->budget - cycles);
    v->budget = cycles;
}

/* One instruction with everything that may surround it: interrupt shadow, TF, RF, code breakpoints. */
static void step_carefully(struct vcpu *v)
{
    if (v->code_breakpoints && !(v->s.rflags & RFLAGS_RF)) {
        uint64_t linear = v->mode == CODE_64 ? v->s.rip : (uint32_t)(v->s.rip + v->s.seg_base[SEG_CS]);
        uint64_t hit = debug_match_code(v, linear);
        if (hit) {
            v->s.dr6 |= hit;
            vp_raise(v, VEC_DB);
        }
    }
    struct block *b = block_truncate(v, find_block(v), 1);
    restore_until(v);
    limit_budget(v, b->cost);
    bool trap = v->s.rflags & RFLAGS_TF;
    v->s.interrupt_shadow = 0;
    v->s.rflags &= ~RFLAGS_RF;
    v->no_step_trap = false;
    v->trap_after = trap;
    enter(v, b);
}

/* After the instruction of step_carefully() (or its restart) is complete. */
static void finish_step(struct vcpu *v)
{
    if (v->trap_after) {
        v->trap_after = false;
        if (!v->no_step_trap) {
            v->s.pending_db |= 1u << 14; /* DR6.BS */
            v->attention = true;
        }
    }
}

/* ---- what may happen at a boundary ---- */

static void start_by_sipi(struct vcpu *v)
{
    v->s.sipi_pending = false;
    if (v->s.activity != VP_WAIT_SIPI) {
        return;
    }
    v->s.activity = VP_RUNNING;
    v->s.seg[SEG_CS].selector = (uint16_t)(v->s.sipi_vector << 8);
    v->s.seg_base[SEG_CS] = (uint64_t)v->s.sipi_vector << 12;
    v->s.rip = 0;
    vp_derive(v);
}

static void wake(struct vcpu *v)
{
    if (v->s.activity == VP_HALTED || v->s.activity == VP_MWAIT || v->s.activity == VP_IDLE) {
        v->s.activity = VP_RUNNING;
    }
}

bool vp_wake(struct vcpu *v)
{
    bool sleeps = v->s.activity == VP_HALTED || v->s.activity == VP_MWAIT || v->s.activity == VP_IDLE;
    if (sleeps) {
        lapic_notice(v); /* the scheduler is told */
        wake(v);
    }
    return sleeps;
}

/* Delivers at most one event. Returns true when something happened (so the boundary is looked at again). */
static bool service(struct vcpu *v)
{
    if (v->s.init_pending) { /* INIT revives even a VP in shutdown */
        v->s.init_pending = false;
        vp_init_reset(v, false);
        if (v->cpu->hooks.init) {
            v->cpu->hooks.init(v->cpu->hooks.owner, v);
        }
        return true;
    }
    if (v->s.activity == VP_SHUTDOWN) {
        return false;
    }
    if (v->s.sipi_pending) {
        start_by_sipi(v);
        return true;
    }
    if (v->s.activity == VP_WAIT_SIPI) {
        v->attention = false;
        return false;
    }
    bool after_mov_ss = v->s.interrupt_shadow & 2;
    if (v->s.pending_db && !after_mov_ss) {
        v->s.dr6 |= v->s.pending_db;
        v->s.pending_db = 0;
        wake(v);
        exception_deliver_fault(v, (struct fault){.vector = VEC_DB});
        return true;
    }
    if (v->s.nmi_pending && !v->s.nmi_blocked && !after_mov_ss) {
        v->s.nmi_pending = false;
        wake(v);
        exception_nmi(v);
        return true;
    }
    int vector = lapic_pending(v);
    if (vector >= 0 && (v->s.rflags & RFLAGS_IF) && v->s.interrupt_shadow == 0) {
        wake(v);
        uint8_t acknowledged = lapic_acknowledge(v);
        exception_external(v, acknowledged);
        return true;
    }
    if (v->s.activity == VP_IDLE && lapic_requested(v)) { /* awake, and the interrupt waits until it may come */
        wake(v);
        return true;
    }
    v->attention = vector >= 0 || v->s.nmi_pending || v->s.pending_db;
    return false;
}

bool vp_runnable(const struct vcpu *v)
{
    switch (v->s.activity) {
    case VP_RUNNING:
        return true;
    case VP_HALTED:
    case VP_MWAIT:
        return v->s.init_pending || (v->s.nmi_pending && !v->s.nmi_blocked) || v->s.pending_db ||
               ((v->s.rflags & RFLAGS_IF) && lapic_pending(v) >= 0);
    case VP_IDLE:
        return v->s.init_pending || (v->s.nmi_pending && !v->s.nmi_blocked) || v->s.pending_db || lapic_requested(v);
    case VP_WAIT_SIPI:
        return v->s.sipi_pending || v->s.init_pending;
    default:
        return v->s.init_pending;
    }
}

static void maybe_flush_for_test(struct vcpu *v)
{
    if (--v->flush_countdown == 0) {
        unsigned every = v->cpu->config.host_cache_flush_every;
        v->flush_countdown = 1 + (v->instructions * 2654435761u >> 7) % (2 * (uint64_t)every);
        mmu_flush_all(v->cpu);
        if (v->instructions & 1) {
            blocks_flush(v->cpu);
        }
    }
}

static enum vp_stop run_loop(struct vcpu *v)
{
    for (;;) {
        v->current = NULL;
        restore_until(v);
        if (v->yielded) {
            v->yielded = false;
            return STOP_PAUSE;
        }
        if (v->stop_requested) {
            v->stop_requested = false;
            return STOP_REQUEST;
        }
        if (v->budget <= 0) {
            return STOP_UNTIL;
        }
        if (v->attention && service(v)) {
            continue;
        }
        if (UNLIKELY(v->s.activity != VP_RUNNING)) {
            return v->s.activity == VP_SHUTDOWN ? STOP_SHUTDOWN : STOP_HALT;
        }
        if (UNLIKELY(v->cpu->config.host_cache_flush_every != 0)) {
            maybe_flush_for_test(v);
        }
        if (UNLIKELY((v->s.rflags & RFLAGS_TF) || v->code_breakpoints || (v->s.interrupt_shadow && v->attention))) {
            step_carefully(v);
            finish_step(v);
            continue;
        }
        /* With nothing to hold back, the shadow and RF just end with the first instruction of the block. */
        v->s.interrupt_shadow = 0;
        v->s.rflags &= ~RFLAGS_RF;
        struct block *b = find_block(v);
        restore_until(v);
        if (b->cost > v->budget && b->insns > 1) {
            b = block_truncate(v, b, insns_that_fit(v, b));
        }
        enter(v, b);
    }
}

/* After a longjmp. */
static void land(struct vcpu *v, int why)
{
    const struct uop *u = v->current;
    if (why == LEFT_TO_RUN_ALONE) {
        give_back(v, u);
        const struct block *b = block_single(v, u);
        restore_until(v);
        limit_budget(v, b->cost);
        enter(v, b);
        finish_step(v);
        return;
    }
    if (u != NULL) {
        /* It does not retire, but its time is over: what it already did (an MMIO read before a store that faults, a refused
         * MSR) was seen at a moment that must not come again. */
        give_back(v, u);
        v->budget -= own_cost(v, u);
        vp_begin_system(v, u); /* s.rip of the faulting instruction */
        v->current = NULL;
    }
    v->trap_after = false;
    v->s.pending_db = 0; /* a fault comes before the trap of the same instruction, which never completed */
    v->s.interrupt_shadow = 0;
    exception_deliver_fault(v, v->fault);
}

static uint64_t running_now(const void *vp)
{
    return vp_now(vp);
}

enum vp_stop vp_run(struct vcpu *v, uint64_t until_cycle)
{
    struct clock *clock = &v->machine->clock;
    uint64_t start = clock->cycle;
    v->wanted_cycle = v->until_cycle = until_cycle;
    v->budget = (int64_t)(until_cycle - start);
    uint64_t events_before = 0;
    for (unsigned i = 0; i < EXIT_REASONS; i++) {
        events_before += v->account.event_cycles[i];
    }
    clock->running = v;
    clock->running_now = running_now;
    sse_enter_guest(v);
    int why = _setjmp(v->leave);
    if (why != 0) {
        land(v, why);
    }
    enum vp_stop stop = run_loop(v);
    sse_leave_guest(v);
    clock->cycle = vp_now(v);
    clock->running = NULL;
    clock->running_now = NULL;
    uint64_t events_after = 0;
    for (unsigned i = 0; i < EXIT_REASONS; i++) {
        events_after += v->account.event_cycles[i];
    }
    v->account.guest_cycles += clock->cycle - start - (events_after - events_before);
    v->budget = 0;
    return stop;
}

void vp_deadline(struct vcpu *v, uint64_t cycle)
{
    if (v->machine->clock.running != v) {
        return;
    }
    if (cycle < v->wanted_cycle) {
        v->wanted_cycle = cycle;
    }
    if (cycle < v->until_cycle) {
        v->budget -= (int64_t)(v->until_cycle - cycle);
        v->until_cycle = cycle;
    }
}

void vp_stop(struct vcpu *v)
{
    v->stop_requested = true;
    vp_kick(v);
}

void vp_charge_more(struct vcpu *v, enum vp_exit reason, uint64_t cycles)
{
    if (v->machine->clock.running == v) {
        v->account.event_cycles[reason] += cycles;
        v->budget -= (int64_t)cycles;
    }
}

void vp_charge(struct vcpu *v, enum vp_exit reason, uint64_t cycles)
{
    v->account.events[reason]++;
    vp_charge_more(v, reason, cycles);
}
