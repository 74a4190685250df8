/* See guest_legacy.h. */
#include "tests/oracle/guest_legacy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Physical and linear places. The interrupt vector table of real mode is at 0. */
enum { IDT_AT = 0x1000, TSS_AT = 0x1800, GDT_AT = 0x1900, HANDLERS_AT = 0x2000, HANDLER_STACK = 0x3000, RAM_BYTES = 1 << 20 };
enum { VECTORS = 32, HANDLER_BYTES = 16, HANDLER_CS = 8, HANDLER_SS = 16, STEPS_MAX = 64 };
/* Code that touches both data pages and changes nothing, as in guest.c: every other run finds them in the software TLB. */
enum { WARM_CODE = LEGACY_CODE - 0x400 };

struct legacy_guest {
    struct machine *machine;
    struct cpu *cpu;
    struct vcpu *vp;
    struct place place;
    struct vp_state start;
    uint8_t data[NATIVE_DATA_BYTES]; /* as last written */
    unsigned count;
    bool warm;
};

static void put(struct legacy_guest *g, uint64_t at, const void *from, size_t bytes)
{
    if (!memory_write(g->machine->memory, gpa(at), from, bytes)) {
        fprintf(stderr, "guest: no RAM at %#llx\n", (unsigned long long)at);
        abort();
    }
}
static void put64(struct legacy_guest *g, uint64_t at, uint64_t value)
{
    put(g, at, &value, 8);
}
static void put32(struct legacy_guest *g, uint64_t at, uint32_t value)
{
    put(g, at, &value, 4);
}

static void write_tables(struct legacy_guest *g)
{
    for (unsigned i = 0; i < VECTORS; i++) {
        unsigned handler = HANDLERS_AT + i * HANDLER_BYTES;
        put(g, handler, "\xf4", 1);
        put32(g, 4 * i, handler); /* segment 0 */
        if (!g->place.real) {
            put64(g, IDT_AT + 8 * i, handler | HANDLER_CS << 16 | 0x8e00ULL << 32); /* SDM 3A §6.11: 32-bit interrupt gate */
        }
    }
    put32(g, TSS_AT + 4, HANDLER_STACK); /* ESP0, SS0: SDM 3A §7.2.1 */
    put32(g, TSS_AT + 8, HANDLER_SS);
    put64(g, GDT_AT + HANDLER_CS, 0x00cf9b000000ffffULL);
    put64(g, GDT_AT + HANDLER_SS, 0x00cf93000000ffffULL);
}

/* NOT BYTE [page], twice for each page, then a jump to the bytes under test. NOT changes no flags. */
static void write_warm_code(struct legacy_guest *g)
{
    uint8_t code[64], *at = code;
    unsigned size = g->place.bits / 8;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t page = (uint32_t)(LEGACY_DATA + (i < 2 ? 0 : PAGE_BYTES) + 0x800 - g->place.base[SEG_DS]);
        *at++ = 0xf6;
        *at++ = size == 2 ? 0x16 : 0x15;
        memcpy(at, &page, size);
        at += size;
    }
    *at++ = 0xe9;
    uint32_t distance = LEGACY_CODE - (WARM_CODE + (uint32_t)(at - code) + size);
    memcpy(at, &distance, size);
    put(g, WARM_CODE, code, (size_t)(at - code) + size);
}

static void set_start(struct legacy_guest *g)
{
    struct vp_state *s = &g->start;
    bool real = g->place.real;
    unsigned dpl = real ? 0 : 3;
    vp_get_state(g->vp, s);
    s->cr0 = CR0_MP | CR0_ET | CR0_NE | (real ? 0 : CR0_PE);
    s->cpl = (uint8_t)dpl;
    s->activity = VP_RUNNING;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        unsigned attributes = ATTR_P | ATTR_S | dpl << ATTR_DPL_SHIFT | ATTR_WRITABLE | ATTR_ACCESSED |
                              (i == SEG_CS && !real ? ATTR_CODE : 0) | (real ? 0 : ATTR_DB | ATTR_G);
        s->seg_base[i] = g->place.base[i];
        s->seg[i] = (struct segment){(uint16_t)(real ? g->place.base[i] >> 4 : 8 * (i + 3) | dpl), (uint16_t)attributes,
                                     real ? 0xffff : UINT32_MAX};
    }
    s->idtr = real ? (struct descriptor_table){0, 0x3ff} : (struct descriptor_table){IDT_AT, 8 * VECTORS - 1};
    s->gdtr = (struct descriptor_table){GDT_AT, 23};
    if (!real) {
        s->tr = (struct system_segment){TSS_AT, {0x48, ATTR_P | 11, 0x67}};
    }
}

struct legacy_guest *legacy_guest_create(const struct place *p)
{
    struct legacy_guest *g = calloc(1, sizeof *g);
    const char *why = "out of memory";
    struct cpu_config config = {.cost = cost_table_by_name("ipc1"), .vps = 1};
    if (g == NULL || (g->machine = machine_create(RAM_BYTES, 1000000000, 1, &why)) == NULL ||
        !cpu_model_init(&config.model, "v2", VENDOR_AMD, 1000000000, 1) ||
        (g->cpu = cpu_create(g->machine, &config, &(struct cpu_hooks){0})) == NULL) {
        fprintf(stderr, "guest: %s\n", why);
        return NULL;
    }
    g->place = *p;
    cpu_reset(g->cpu);
    cpu_set_a20(g->cpu, true);
    g->vp = cpu_vp(g->cpu, 0);
    write_tables(g);
    write_warm_code(g);
    set_start(g);
    return g;
}

void legacy_guest_destroy(struct legacy_guest *g)
{
    cpu_destroy(g->cpu);
    machine_destroy(g->machine);
    free(g);
}

void legacy_guest_code(struct legacy_guest *g, const uint8_t *code, unsigned count)
{
    put(g, LEGACY_CODE, code, count);
    put(g, LEGACY_CODE + count, "\xf4", 1); /* a HLT: what once stood behind is not decoded */
    g->count = count;
}
void legacy_guest_data_write(struct legacy_guest *g, const uint8_t *from)
{
    memcpy(g->data, from, NATIVE_DATA_BYTES);
    put(g, LEGACY_DATA, from, NATIVE_DATA_BYTES);
}
void legacy_guest_data_read(const struct legacy_guest *g, uint8_t *to)
{
    memory_read(g->machine->memory, gpa(LEGACY_DATA), to, NATIVE_DATA_BYTES);
}

/* The state arrived at a handler: undo the delivery (SDM 3A §6.12.1, §20.1.4). No tested exception has an error code but #GP
 * and #SS of protected mode, which the cases avoid: they show as an absurd RIP. */
static int undo_delivery(struct legacy_guest *g, struct vp_state *s)
{
    int vector = (int)(s->rip - HANDLERS_AT) / HANDLER_BYTES;
    if (g->place.real) {
        uint16_t frame[3], sp = (uint16_t)s->gpr[RSP];
        uint64_t at = g->place.base[SEG_SS] + sp;
        if (sp > 0xffff - sizeof frame || at < LEGACY_DATA || at + sizeof frame > LEGACY_DATA + NATIVE_DATA_BYTES ||
            !memory_read(g->machine->memory, gpa(at), frame, sizeof frame)) {
            return GUEST_STUCK;
        }
        put(g, at, g->data + (at - LEGACY_DATA), sizeof frame);
        s->rip = frame[0];
        s->rflags = frame[2];
        s->gpr[RSP] = (s->gpr[RSP] & ~0xffffULL) | (uint16_t)(sp + sizeof frame);
        return vector;
    }
    uint32_t frame[5];
    if (!memory_read(g->machine->memory, gpa(s->gpr[RSP]), frame, sizeof frame)) {
        return GUEST_STUCK;
    }
    s->rip = frame[0];
    s->rflags = frame[2];
    s->gpr[RSP] = frame[3];
    return vector;
}

int legacy_guest_run(struct legacy_guest *g, struct native_state *n)
{
    struct vp_state s = g->start;
    memcpy(s.gpr, n->gpr, sizeof s.gpr);
    s.rflags = (n->rflags & (RFLAGS_ARITHMETIC | RFLAGS_DF)) | RFLAGS_FIXED;
    g->warm = !g->warm;
    s.rip = g->warm ? WARM_CODE : LEGACY_CODE;
    if (!vp_set_state(g->vp, &s)) {
        return GUEST_STUCK;
    }
    int result = GUEST_STUCK;
    for (unsigned i = 0; i < STEPS_MAX && result == GUEST_STUCK; i++) {
        vp_run(g->vp, machine_now(g->machine) + 1);
        vp_get_state(g->vp, &s);
        if (s.rip >= HANDLERS_AT && s.rip < HANDLERS_AT + VECTORS * HANDLER_BYTES) {
            result = undo_delivery(g, &s);
            break;
        }
        result = s.rip == LEGACY_CODE + g->count ? GUEST_NO_FAULT : GUEST_STUCK;
    }
    memcpy(n->gpr, s.gpr, sizeof n->gpr);
    n->rflags = s.rflags;
    n->rip = s.rip;
    return result;
}
