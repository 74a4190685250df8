/* Page tables, IDT and TSS by hand; see guest.h. */
#include "tests/oracle/guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Guest-physical places. */
enum {
    PML4_AT = 0x1000,
    PDPT_AT = 0x2000,
    PD_AT = 0x3000,
    CODE_TABLE_AT = 0x4000,
    DATA_TABLE_AT = 0x5000,
    SYSTEM_TABLE_AT = 0x6000,
    CODE_AT = 0x10000,
    DATA_LOW_AT = 0x30000,
    DATA_HIGH_AT = 0x20000,
    SYSTEM_AT = 0x40000,
    RAM_BYTES = 1 << 20
};
/* Linear: one page with IDT, TSS, handlers and the exception stack, as far from the rest as one page directory allows. */
#define SYSTEM_LINEAR 0x30000000ULL
enum { IDT_OFFSET = 0, TSS_OFFSET = 0x400, HANDLERS_OFFSET = 0x800, STACK_OFFSET = 0x1000, VECTORS = 32, HANDLER_BYTES = 16 };
/* Before the bytes under test: code that touches both data pages and changes nothing, so that every other run finds them in the
 * processor's software TLB (which vp_set_state() empties), and takes the handlers' quick path. */
enum { WARM_OFFSET = 0x400 };
#define WARM_CODE ((NATIVE_CODE & ~PAGE_OFFSET_MASK) + WARM_OFFSET)
enum { CODE_SELECTOR = 8, TSS_SELECTOR = 16, PAGE_PRESENT_WRITABLE = 3, STEPS_MAX = 64 };

struct guest {
    struct machine *machine;
    struct cpu *cpu;
    struct vcpu *vp;
    struct vp_state start;
    unsigned count;
    bool warm;
};

static void put(struct guest *g, uint64_t at, const void *from, size_t bytes)
{
    if (!memory_write(g->machine->memory, gpa(at), from, bytes)) {
        fprintf(stderr, "guest: no RAM at %#llx\n", (unsigned long long)at);
        abort();
    }
}
static void put64(struct guest *g, uint64_t at, uint64_t value)
{
    put(g, at, &value, 8);
}

static void write_tables(struct guest *g)
{
    put64(g, PML4_AT, PDPT_AT | PAGE_PRESENT_WRITABLE);
    put64(g, PDPT_AT, PD_AT | PAGE_PRESENT_WRITABLE);
    put64(g, PD_AT + 8 * (NATIVE_CODE >> 21), CODE_TABLE_AT | PAGE_PRESENT_WRITABLE);
    put64(g, PD_AT + 8 * (NATIVE_DATA >> 21), DATA_TABLE_AT | PAGE_PRESENT_WRITABLE);
    put64(g, PD_AT + 8 * (SYSTEM_LINEAR >> 21), SYSTEM_TABLE_AT | PAGE_PRESENT_WRITABLE);
    put64(g, CODE_TABLE_AT, CODE_AT | PAGE_PRESENT_WRITABLE);
    put64(g, DATA_TABLE_AT, DATA_LOW_AT | PAGE_PRESENT_WRITABLE);
    put64(g, DATA_TABLE_AT + 8, DATA_HIGH_AT | PAGE_PRESENT_WRITABLE);
    put64(g, SYSTEM_TABLE_AT, SYSTEM_AT | PAGE_PRESENT_WRITABLE);
    for (unsigned i = 0; i < VECTORS; i++) {
        uint64_t handler = SYSTEM_LINEAR + HANDLERS_OFFSET + i * HANDLER_BYTES;
        /* Interrupt gate, present, IST 1 (SDM 3A §6.14.1). */
        put64(g, SYSTEM_AT + IDT_OFFSET + 16 * i,
              (handler & 0xffff) | CODE_SELECTOR << 16 | 0x8e01ULL << 32 | (handler >> 16 & 0xffff) << 48);
        put64(g, SYSTEM_AT + IDT_OFFSET + 16 * i + 8, handler >> 32);
        put(g, SYSTEM_AT + HANDLERS_OFFSET + i * HANDLER_BYTES, "\xf4", 1);
    }
    put64(g, SYSTEM_AT + TSS_OFFSET + 36, SYSTEM_LINEAR + STACK_OFFSET); /* IST1 */
    /* A GDT for the gate's code selector, behind the TSS. */
    put64(g, SYSTEM_AT + TSS_OFFSET + 0x80 + CODE_SELECTOR, 0x00209b0000000000ULL);
}

/* NOT BYTE [page], twice for each page, then a jump to the bytes under test. NOT changes no flags. */
static void write_warm_code(struct guest *g)
{
    uint8_t code[4 * 7 + 5], *at = code;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t page = (uint32_t)NATIVE_DATA + (i < 2 ? 0 : PAGE_BYTES);
        memcpy(at, "\xf6\x14\x25", 3);
        memcpy(at + 3, &page, 4);
        at += 7;
    }
    uint32_t distance = (uint32_t)(NATIVE_CODE - (WARM_CODE + sizeof code));
    *at = 0xe9;
    memcpy(at + 1, &distance, 4);
    put(g, CODE_AT + WARM_OFFSET, code, sizeof code);
}

static void set_start(struct guest *g)
{
    struct vp_state *s = &g->start;
    vp_get_state(g->vp, s);
    s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    s->cr3 = PML4_AT;
    s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    s->efer = EFER_LME | EFER_LMA | EFER_SCE;
    s->cpl = 0;
    s->activity = VP_RUNNING;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        s->seg_base[i] = 0;
        s->seg[i] = (struct segment){0, ATTR_P | ATTR_S | ATTR_WRITABLE | ATTR_ACCESSED | ATTR_DB | ATTR_G, UINT32_MAX};
    }
    s->seg[SEG_CS] = (struct segment){
        CODE_SELECTOR, ATTR_P | ATTR_S | ATTR_CODE | ATTR_READABLE | ATTR_ACCESSED | ATTR_L | ATTR_G, UINT32_MAX};
    s->tr = (struct system_segment){SYSTEM_LINEAR + TSS_OFFSET, {TSS_SELECTOR, ATTR_P | 11, 0x67}};
    s->idtr = (struct descriptor_table){SYSTEM_LINEAR + IDT_OFFSET, 16 * VECTORS - 1};
    s->gdtr = (struct descriptor_table){SYSTEM_LINEAR + TSS_OFFSET + 0x80, 23};
}

struct guest *guest_create(enum cpu_vendor vendor)
{
    struct guest *g = calloc(1, sizeof *g);
    const char *why = "out of memory";
    struct cpu_config config = {.cost = cost_table_by_name("ipc1"), .vps = 1};
    if (g == NULL || (g->machine = machine_create(RAM_BYTES, 1000000000, 1, &why)) == NULL ||
        !cpu_model_init(&config.model, "v2", vendor, 1000000000, 1) ||
        (g->cpu = cpu_create(g->machine, &config, &(struct cpu_hooks){0})) == NULL) {
        fprintf(stderr, "guest: %s\n", why);
        return NULL;
    }
    cpu_reset(g->cpu);
    g->vp = cpu_vp(g->cpu, 0);
    write_tables(g);
    write_warm_code(g);
    set_start(g);
    return g;
}

void guest_destroy(struct guest *g)
{
    cpu_destroy(g->cpu);
    machine_destroy(g->machine);
    free(g);
}

struct vp_state *guest_start(struct guest *g)
{
    return &g->start;
}

void guest_code(struct guest *g, const uint8_t *code, unsigned count)
{
    put(g, CODE_AT + (NATIVE_CODE & PAGE_OFFSET_MASK), code, count);
    put(g, CODE_AT + (NATIVE_CODE & PAGE_OFFSET_MASK) + count, "\xf4", 1); /* a HLT: what once stood behind is not decoded */
    g->count = count;
}

void guest_data_write(struct guest *g, const uint8_t *from)
{
    put(g, DATA_LOW_AT, from, PAGE_BYTES);
    put(g, DATA_HIGH_AT, from + PAGE_BYTES, PAGE_BYTES);
}

void guest_data_read(const struct guest *g, uint8_t *to)
{
    memory_read(g->machine->memory, gpa(DATA_LOW_AT), to, PAGE_BYTES);
    memory_read(g->machine->memory, gpa(DATA_HIGH_AT), to + PAGE_BYTES, PAGE_BYTES);
}

/* ---- native_state to vp_state and back ---- */

static void state_from_native(struct vp_state *s, const struct native_state *n)
{
    unsigned top = n->fx.fsw >> 11 & 7;
    memcpy(s->gpr, n->gpr, sizeof s->gpr);
    memcpy(s->xmm, n->fx.xmm, sizeof s->xmm);
    s->rflags = (n->rflags & (RFLAGS_ARITHMETIC | RFLAGS_DF)) | RFLAGS_FIXED;
    s->rip = NATIVE_CODE;
    s->mxcsr = n->fx.mxcsr;
    s->fpu = (struct fpu_state){
        .fcw = n->fx.fcw, .fsw = n->fx.fsw, .ftw = n->fx.ftw, .fop = n->fx.fop, .fip = n->fx.fip, .fdp = n->fx.fdp};
    for (unsigned i = 0; i < 8; i++) {
        s->fpu.r[(top + i) & 7] = (st_t){n->fx.st[i].significand, n->fx.st[i].sign_exponent, {0, 0, 0}};
    }
}
static void native_from_state(struct native_state *n, const struct vp_state *s)
{
    unsigned top = s->fpu.fsw >> 11 & 7;
    memcpy(n->gpr, s->gpr, sizeof n->gpr);
    memcpy(n->fx.xmm, s->xmm, sizeof n->fx.xmm);
    n->rflags = s->rflags;
    n->rip = s->rip;
    n->fx.mxcsr = s->mxcsr;
    n->fx.fcw = s->fpu.fcw;
    n->fx.fsw = s->fpu.fsw;
    n->fx.ftw = s->fpu.ftw;
    n->fx.fop = s->fpu.fop;
    n->fx.fip = s->fpu.fip;
    n->fx.fdp = s->fpu.fdp;
    for (unsigned i = 0; i < 8; i++) {
        const st_t *r = &s->fpu.r[(top + i) & 7];
        n->fx.st[i].significand = r->significand;
        n->fx.st[i].sign_exponent = r->sign_exponent;
    }
}

static bool pushes_error_code(unsigned vector)
{
    return vector == VEC_DF || (vector >= VEC_TS && vector <= VEC_PF) || vector == VEC_AC;
}

/* The state arrived at a handler: undo the delivery, so that it reads as at the faulting instruction. */
static int undo_delivery(struct guest *g, struct vp_state *s, uint32_t *error_code)
{
    unsigned vector = (unsigned)(s->rip - SYSTEM_LINEAR - HANDLERS_OFFSET) / HANDLER_BYTES;
    uint64_t frame[6], at = SYSTEM_AT + (s->gpr[RSP] - SYSTEM_LINEAR);
    bool has_error = pushes_error_code(vector);
    if (!memory_read(g->machine->memory, gpa(at), frame, sizeof frame - (has_error ? 0 : 8))) {
        return GUEST_STUCK;
    }
    const uint64_t *from_rip = frame + (has_error ? 1 : 0);
    *error_code = has_error ? (uint32_t)frame[0] : 0;
    s->rip = from_rip[0];
    s->rflags = from_rip[2];
    s->gpr[RSP] = from_rip[3];
    return (int)vector;
}

int guest_run(struct guest *g, struct native_state *n, uint32_t *error_code)
{
    struct vp_state s = g->start;
    *error_code = 0;
    state_from_native(&s, n);
    g->warm = !g->warm;
    s.rip = g->warm ? WARM_CODE : NATIVE_CODE;
    if (!vp_set_state(g->vp, &s)) {
        return GUEST_STUCK;
    }
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        vp_run(g->vp, machine_now(g->machine) + 1);
        vp_get_state(g->vp, &s);
        bool in_handler =
            s.rip >= SYSTEM_LINEAR + HANDLERS_OFFSET && s.rip < SYSTEM_LINEAR + HANDLERS_OFFSET + VECTORS * HANDLER_BYTES;
        if (in_handler || s.rip == NATIVE_CODE + g->count) {
            int vector = in_handler ? undo_delivery(g, &s, error_code) : GUEST_NO_FAULT;
            native_from_state(n, &s);
            return vector;
        }
    }
    native_from_state(n, &s);
    return GUEST_STUCK;
}
