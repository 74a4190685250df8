/* Creation, reset, state and registers of the VPs: the face that cpu.h shows. */
#include <stdlib.h>
#include <string.h>

#include "cpu/block.h"
#include "cpu/exec/sse.h"
#include "cpu/mmu.h"

/* ---- creation ---- */

static unsigned tlb_size(const struct cpu_config *config)
{
    unsigned n = config->host_tlb_entries == 0 ? TLB_ENTRIES_MAX : config->host_tlb_entries;
    unsigned size = 2;
    while (size * 2 <= n && size < TLB_ENTRIES_MAX) {
        size *= 2;
    }
    return size;
}

static struct vcpu *create_vp(struct cpu *c, unsigned index)
{
    /* Zeros as the host gives them, whose pages cost nothing until they are touched: most of a VP is caches. */
    enum { LINE_BYTES = 64 };
    void *allocation = calloc(1, sizeof(struct vcpu) + LINE_BYTES);
    if (allocation == NULL) {
        return NULL;
    }
    struct vcpu *v = (struct vcpu *)(((uintptr_t)allocation + LINE_BYTES - 1) & ~(uintptr_t)(LINE_BYTES - 1));
    v->allocation = allocation;
    v->two_pages = 2 * PAGE_BYTES;
    v->cpu = c;
    v->machine = c->machine;
    v->trace = c->machine->trace;
    v->index = index;
    v->tlb_mask = tlb_size(&c->config) - 1;
    v->space = &v->spaces[0];
    v->tlb = &v->space->tlbs[TLB_SUPERVISOR];
    v->flush_countdown = 1 + c->config.host_cache_flush_every;
    v->alone_block = aligned_alloc(64, sizeof(struct block) + BLOCK_UOPS_MAX * sizeof(struct uop));
    v->stale = c->config.policy == TRANSLATE_STALEST ? stale_create() : NULL;
    if (v->alone_block == NULL || (c->config.policy == TRANSLATE_STALEST && v->stale == NULL)) {
        abort();
    }
    mmu_init_vp(v);
    vp_forget_jumps(v);
    lapic_create(v, event_add(c->machine->events, "lapic", lapic_timer_due, v));
    return v;
}

struct cpu *cpu_create(struct machine *m, const struct cpu_config *config, const struct cpu_hooks *hooks)
{
    struct cpu *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->machine = m;
    c->config = *config;
    if (hooks != NULL) {
        c->hooks = *hooks;
    }
    c->cost = config->cost;
    c->vp_count = config->vps;
    c->a20_mask = ~0ULL;
    c->prng.state = config->seed;
    c->tsc = (struct tsc){.hz = m->clock.hz, .clock_hz = m->clock.hz};
    c->blocks = blocks_create(c);
    c->tables = mmu_shared_create(m->memory);
    c->vps = calloc(c->vp_count, sizeof *c->vps);
    if (c->blocks == NULL || c->tables == NULL || c->vps == NULL) {
        abort();
    }
    decode_index_rows(c);
    trace_declare(m->trace, cpu_trace_rows, CPU_TRACE_ROWS);
    for (unsigned i = 0; i < c->vp_count; i++) {
        c->vps[i] = create_vp(c, i);
        if (c->vps[i] == NULL) {
            abort();
        }
    }
    memory_listen(m->memory,
                  (struct memory_listener){.owner = c, .tracked_write = mmu_tracked_write, .map_changed = mmu_map_changed});
    cpu_reset(c);
    return c;
}

void cpu_destroy(struct cpu *c)
{
    if (c == NULL) {
        return;
    }
    memory_listen(c->machine->memory, (struct memory_listener){0});
    for (unsigned i = 0; i < c->vp_count; i++) {
        struct vcpu *v = c->vps[i];
        stale_destroy(v->stale);
        free(v->crossings);
        free(v->alone_block);
        free(v->allocation);
    }
    free(c->vps);
    mmu_shared_destroy(c->tables);
    blocks_destroy(c->blocks);
    free(c);
}

struct vcpu *cpu_vp(struct cpu *c, unsigned index)
{
    return c->vps[index];
}

unsigned cpu_vps(const struct cpu *c)
{
    return c->vp_count;
}

void cpu_reset(struct cpu *c)
{
    for (unsigned i = 0; i < c->vp_count; i++) {
        struct vcpu *v = c->vps[i];
        lapic_reset(v, false);
        vp_init_reset(v, true);
        msr_reset(v);
        v->attention = true;
        v->yielded = v->stop_requested = false;
        vp_derive(v);
        mmu_flush(v);
    }
    c->a20_mask = ~0ULL;
}

void cpu_set_a20(struct cpu *c, bool on)
{
    uint64_t mask = on ? ~0ULL : ~(1ULL << 20);
    if (mask != c->a20_mask) {
        c->a20_mask = mask;
        mmu_flush_all(c);
    }
}

/* ---- registers ---- */

unsigned vp_index(const struct vcpu *v)
{
    return v->index;
}
struct machine *vp_machine(const struct vcpu *v)
{
    return v->machine;
}
uint64_t vp_gpr(const struct vcpu *v, unsigned r)
{
    return v->s.gpr[r];
}
void vp_set_gpr(struct vcpu *v, unsigned r, uint64_t value)
{
    v->s.gpr[r] = value;
}
xmm_t vp_xmm(const struct vcpu *v, unsigned r)
{
    return v->s.xmm[r];
}
void vp_set_xmm(struct vcpu *v, unsigned r, xmm_t value)
{
    v->s.xmm[r] = value;
}
unsigned vp_cpl(const struct vcpu *v)
{
    return v->s.cpl;
}
bool vp_in_long_mode(const struct vcpu *v)
{
    return vp_long(v);
}
bool vp_in_64bit_mode(const struct vcpu *v)
{
    return v->mode == CODE_64;
}
uint64_t vp_tsc(const struct vcpu *v)
{
    return tsc_at(&v->cpu->tsc, clock_now(&v->machine->clock)) + v->s.tsc_offset;
}
const struct tsc *cpu_tsc(const struct cpu *c)
{
    return &c->tsc;
}
void cpu_set_tsc_rate(struct cpu *c, uint64_t hz)
{
    c->tsc = tsc_at_rate(&c->tsc, machine_now(c->machine), hz);
    for (unsigned i = 0; i < c->vp_count; i++) {
        lapic_tsc_changed(c->vps[i]);
    }
}
void vp_set_nmi(struct vcpu *v)
{
    v->s.nmi_pending = true;
    vp_attention(v);
    if (v->machine->clock.running == v) {
        vp_kick(v);
    }
}
void vp_withhold(struct vcpu *v, uint8_t instructions)
{
    v->s.withheld = instructions & WITHHELD_ALL;
}
uint8_t vp_withheld(const struct vcpu *v)
{
    return v->s.withheld;
}
void vp_idle(struct vcpu *v)
{
    v->s.activity = VP_IDLE;
    vp_attention(v); /* something that wakes it may already be there */
}
uint64_t vp_event_cycles(const struct vcpu *v, enum vp_exit reason)
{
    return v->account.event_cycles[reason];
}
struct vp_account vp_account(const struct vcpu *v)
{
    struct vp_account a = v->account;
    a.instructions = v->instructions;
    return a;
}

/* ---- the whole state ---- */

void vp_get_state(const struct vcpu *v, struct vp_state *s)
{
    *s = v->s;
    s->rflags = vp_rflags(v);
    s->mxcsr = v->machine->clock.running == v ? mxcsr_read((struct vcpu *)(uintptr_t)v) : v->s.mxcsr;
}

/* What the engine relies on; all else may be anything. */
static const char *impossible(const struct cpu *c, const struct vp_state *s)
{
    if (s->cpl > 3) {
        return "CPL above 3";
    }
    if (s->activity >= VP_ACTIVITIES) {
        return "unknown activity";
    }
    if (s->mxcsr & ~0xffffu) {
        return "reserved bits in MXCSR";
    }
    if (s->withheld & ~WITHHELD_ALL) {
        return "unknown withheld instructions";
    }
    if (s->interrupt_shadow > 3) {
        return "unknown interrupt shadow";
    }
    if ((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE)) {
        return "CR0.PG without CR0.PE";
    }
    bool lma = s->efer & EFER_LMA;
    if (lma != ((s->cr0 & CR0_PG) && (s->efer & EFER_LME)) || (lma && !(s->cr4 & CR4_PAE))) {
        return "EFER.LMA at odds with CR0.PG, EFER.LME and CR4.PAE";
    }
    if ((s->rflags & RFLAGS_VM) && lma) {
        return "virtual-8086 mode in long mode";
    }
    uint64_t reserved = ~((1ULL << c->config.model.physical_bits) - 1);
    if (s->cr3 & reserved) {
        return "CR3 above MAXPHYADDR";
    }
    return NULL;
}

bool vp_set_state(struct vcpu *v, const struct vp_state *s)
{
    if (impossible(v->cpu, s) != NULL) {
        return false;
    }
    v->s = *s;
    vp_set_rflags(v, s->rflags);
    if (v->machine->clock.running == v) {
        mxcsr_write(v, s->mxcsr);
    }
    vp_derive(v);
    mmu_flush(v);
    v->attention = true;
    return true;
}

static void visit_segment(struct state *st, struct segment *g)
{
    state_u16(st, &g->selector);
    state_u16(st, &g->attributes);
    state_u32(st, &g->limit);
}

static void visit_fpu(struct state *st, struct fpu_state *f)
{
    for (unsigned i = 0; i < 8; i++) {
        state_u64(st, &f->r[i].significand);
        state_u16(st, &f->r[i].sign_exponent);
    }
    state_u16(st, &f->fcw);
    state_u16(st, &f->fsw);
    state_u8(st, &f->ftw);
    state_u16(st, &f->fop);
    state_u64(st, &f->fip);
    state_u64(st, &f->fdp);
    state_u16(st, &f->fcs);
    state_u16(st, &f->fds);
}

static void visit_words(struct state *st, uint64_t *w, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        state_u64(st, &w[i]);
    }
}

/* Every field, in the order of the struct. */
static void visit_vp(struct state *st, struct vp_state *s)
{
    visit_words(st, s->gpr, 16);
    visit_words(st, s->seg_base, SEGMENTS);
    uint64_t *const words[] = {&s->rip, &s->rflags, &s->cr0, &s->cr2, &s->cr3, &s->cr4, &s->efer, &s->xcr0};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        state_u64(st, words[i]);
    }
    visit_words(st, s->dr, 4);
    state_u64(st, &s->dr6);
    state_u64(st, &s->dr7);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        visit_segment(st, &s->seg[i]);
    }
    state_u64(st, &s->ldtr.base);
    visit_segment(st, &s->ldtr.seg);
    state_u64(st, &s->tr.base);
    visit_segment(st, &s->tr.seg);
    state_u64(st, &s->gdtr.base);
    state_u16(st, &s->gdtr.limit);
    state_u64(st, &s->idtr.base);
    state_u16(st, &s->idtr.limit);
    state_u8(st, &s->cpl);
    for (unsigned i = 0; i < 16; i++) {
        visit_words(st, s->xmm[i].q, 2);
    }
    visit_fpu(st, &s->fpu);
    state_u32(st, &s->mxcsr);
    uint64_t *const msrs[] = {&s->star,        &s->lstar,        &s->cstar,        &s->fmask,      &s->kernel_gs_base,
                              &s->sysenter_cs, &s->sysenter_esp, &s->sysenter_eip, &s->pat,        &s->tsc_aux,
                              &s->misc_enable, &s->spec_ctrl,    &s->tsc_offset,   &s->tsc_adjust, &s->mtrr_def_type};
    for (size_t i = 0; i < ARRAY_COUNT(msrs); i++) {
        state_u64(st, msrs[i]);
    }
    visit_words(st, s->mtrr_fixed, 11);
    visit_words(st, s->mtrr_base, 8);
    visit_words(st, s->mtrr_mask, 8);
    visit_words(st, s->pdpte, 4);
    state_u8(st, &s->activity);
    state_u8(st, &s->interrupt_shadow);
    state_bool(st, &s->nmi_blocked);
    state_bool(st, &s->nmi_pending);
    state_bool(st, &s->init_pending);
    state_u8(st, &s->sipi_vector);
    state_bool(st, &s->sipi_pending);
    state_u64(st, &s->pending_db);
    state_bool(st, &s->monitor_armed);
    state_u64(st, &s->monitor_gpa);
    state_u8(st, &s->withheld);
}

static void vp_state_section(struct state *st, struct vcpu *v)
{
    state_section(st, "vp", 2);
    struct vp_state s;
    vp_get_state(v, &s);
    visit_vp(st, &s);
    if (state_restoring(st) && state_ok(st)) {
        const char *why = impossible(v->cpu, &s);
        if (why != NULL) {
            state_fail(st, "VP %u: %s", v->index, why);
            return;
        }
        vp_set_state(v, &s);
    }
    state_u64(st, &v->instructions);
    state_u64(st, &v->account.guest_cycles);
    visit_words(st, v->account.event_cycles, EXIT_REASONS);
    visit_words(st, v->account.events, EXIT_REASONS);
    state_u64(st, &v->account.eois_avoided);
    state_bool(st, &v->yielded);
    lapic_state(st, v);
    if (v->stale != NULL) {
        stale_state(st, v);
    }
}

void cpu_state(struct state *st, struct cpu *c)
{
    state_section(st, "cpu", 2);
    state_u64(st, &c->prng.state);
    state_u64_in(st, &c->tsc.hz, CLOCK_HZ_MIN, CLOCK_HZ_MAX, "the TSC's rate");
    state_u64_in(st, &c->tsc.base_cycle, 0, clock_now(&c->machine->clock), "the cycle of the TSC's last change");
    state_u64_in(st, &c->tsc.base_count, 0, CLOCK_CYCLE_MAX, "the TSC at its last change");
    bool a20 = c->a20_mask == ~0ULL;
    state_bool(st, &a20);
    state_bool(st, &c->extint_level);
    if (state_restoring(st)) {
        c->a20_mask = a20 ? ~0ULL : ~(1ULL << 20);
    }
    for (unsigned i = 0; i < c->vp_count; i++) {
        vp_state_section(st, c->vps[i]);
    }
    if (state_restoring(st)) {
        mmu_flush_all(c);
    }
}
