/* A bare machine with one VP, tables and handlers, for tests of system behaviour.
 *
 * Memory map (physical = linear):
 *   1000 GDT    1800 LDT    2000 IDT    3000 TSS    3800 second TSS    4000 one HLT for each vector    10000 page tables
 *   20000 code of ring 0    28000 code of ring 3    30000.. data    top of stacks: 40000 ring 0, 50000 ring 3, 60000 IST1,
 * 70000 others Each vector's handler is one HLT at HANDLER(vector): where a run stopped tells which event was delivered, and
 * the stack still holds its frame.
 */
#ifndef ORRERY_TESTS_CPU_SYSTEM_FIXTURE_H
#define ORRERY_TESTS_CPU_SYSTEM_FIXTURE_H

#include <criterion/criterion.h>
#include <string.h>

#include "cpu/lapic.h"

enum {
    GDT = 0x1000,
    LDT = 0x1800,
    IDT = 0x2000,
    TSS = 0x3000,
    TSS2 = 0x3800,
    HANDLERS = 0x4000,
    TABLES = 0x10000,
    CODE0 = 0x20000,
    CODE3 = 0x28000,
    DATA = 0x30000,
    STACK0 = 0x40000,
    STACK3 = 0x50000,
    STACK_IST = 0x60000,
};
/* GDT selectors. The order suits SYSCALL (STAR) and SYSENTER alike. */
enum {
    SEL_CODE0_64 = 0x10,
    SEL_DATA0 = 0x18,
    SEL_CODE3_32 = 0x20,
    SEL_DATA3 = 0x28,
    SEL_CODE3_64 = 0x30,
    SEL_CODE0_32 = 0x38,
    SEL_CODE0_16 = 0x40,
    SEL_TSS = 0x48,
    SEL_LDT = 0x58,
    SEL_TSS2 = 0x68,
    SEL_CONFORMING_32 = 0x78,
    SEL_ABSENT = 0x80,
    SEL_EXECUTE_ONLY = 0x88,
    SEL_READ_ONLY = 0x90,
    SEL_CONFORMING_64 = 0x98,
    SEL_SPARE = 0xa0,
    SEL_SPARE2 = 0xa8,
    SEL_SPARE3 = 0xb0,
    GDT_LIMIT = 0xff,
};
enum { NO_ERROR = -1 };

struct guest {
    struct cpu_config config;
    struct machine *machine;
    struct cpu *cpu;
    struct vcpu *vp;
    struct vp_state s; /* what the next guest_run() starts with, and where it stopped */
    enum vp_stop stop;
};

static inline void poke(struct guest *g, uint64_t at, uint64_t value, unsigned bytes)
{
    cr_assert(memory_write(g->machine->memory, gpa(at), &value, bytes));
}
static inline uint64_t peek(struct guest *g, uint64_t at, unsigned bytes)
{
    uint64_t value = 0;
    cr_assert(memory_read(g->machine->memory, gpa(at), &value, bytes));
    return value;
}
static inline void guest_bytes(struct guest *g, uint64_t at, const void *bytes, size_t count)
{
    cr_assert(memory_write(g->machine->memory, gpa(at), bytes, count));
}
#define CODE(g, at, ...) guest_bytes(g, at, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* SDM 3A §3.4.5. `access` is the type byte (P, DPL, S, type), `flags` G D L AVL. */
static inline uint64_t make_descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 | (uint64_t)(limit >> 16 & 15) << 48 |
           (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}
/* Gates: call, interrupt, trap. `access` as above. */
static inline uint64_t make_gate(uint16_t selector, uint32_t offset, unsigned access, unsigned count)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)count << 32 | (uint64_t)access << 40 |
           (uint64_t)(offset >> 16) << 48;
}
static inline uint32_t handler(unsigned vector)
{
    return HANDLERS + vector * 16;
}
static inline void set_gdt(struct guest *g, unsigned selector, uint64_t descriptor)
{
    poke(g, GDT + (selector & ~7u), descriptor, 8);
}
static inline void set_idt64(struct guest *g, unsigned vector, uint16_t selector, uint64_t offset, unsigned access,
                             unsigned ist)
{
    poke(g, IDT + vector * 16, make_gate(selector, (uint32_t)offset, access, ist), 8);
    poke(g, IDT + vector * 16 + 8, offset >> 32, 8);
}

static inline struct segment segment_of(uint16_t selector, unsigned access, unsigned flags)
{
    return (struct segment){.selector = selector, .attributes = (uint16_t)(access | flags << 12), .limit = UINT32_MAX};
}

static inline struct guest guest_blank(const struct cpu_config *config, const struct cpu_hooks *hooks)
{
    struct guest g = {.config = *config};
    const char *why = NULL;
    g.machine = machine_create(16 << 20, 1000000000, 1, &why);
    cr_assert_not_null(g.machine, "%s", why);
    g.cpu = cpu_create(g.machine, config, hooks);
    g.vp = cpu_vp(g.cpu, 0);
    vp_get_state(g.vp, &g.s);
    return g;
}

/* Another machine with the same registers and the same first megabyte, in a configuration of its own. */
static inline struct guest guest_twin(const struct guest *of, const struct cpu_config *config, const struct cpu_hooks *hooks)
{
    struct guest g = guest_blank(config, hooks);
    uint8_t page[PAGE_BYTES];
    for (uint64_t at = 0; at < 1 << 20; at += sizeof page) {
        cr_assert(memory_read(of->machine->memory, gpa(at), page, sizeof page));
        cr_assert(memory_write(g.machine->memory, gpa(at), page, sizeof page));
    }
    g.s = of->s;
    return g;
}

/* Tables as the map says; registers as after power-on but for GDTR. */
static inline struct guest guest_create(enum cpu_vendor vendor)
{
    struct cpu_config config = {.cost = cost_table_by_name("ipc1"), .vps = 1, .seed = 1};
    cr_assert(cpu_model_init(&config.model, "v2", vendor, 1000000000, 1));
    struct guest g = guest_blank(&config, NULL);
    for (unsigned i = 0; i < 256; i++) {
        poke(&g, handler(i), 0xf4, 1);
    }
    set_gdt(&g, SEL_CODE0_64, make_descriptor(0, 0xfffff, 0x9b, 0xa));
    set_gdt(&g, SEL_DATA0, make_descriptor(0, 0xfffff, 0x93, 0xc));
    set_gdt(&g, SEL_CODE3_32, make_descriptor(0, 0xfffff, 0xfb, 0xc));
    set_gdt(&g, SEL_DATA3, make_descriptor(0, 0xfffff, 0xf3, 0xc));
    set_gdt(&g, SEL_CODE3_64, make_descriptor(0, 0xfffff, 0xfb, 0xa));
    set_gdt(&g, SEL_CODE0_32, make_descriptor(0, 0xfffff, 0x9b, 0xc));
    set_gdt(&g, SEL_CODE0_16, make_descriptor(0, 0xffff, 0x9b, 0x0));
    set_gdt(&g, SEL_TSS, make_descriptor(TSS, 0x7ff, 0x89, 0x0));
    set_gdt(&g, SEL_LDT, make_descriptor(LDT, 0x7f, 0x82, 0x0));
    set_gdt(&g, SEL_TSS2, make_descriptor(TSS2, 0x7ff, 0x89, 0x0));
    set_gdt(&g, SEL_CONFORMING_32, make_descriptor(0, 0xfffff, 0x9f, 0xc));
    set_gdt(&g, SEL_ABSENT, make_descriptor(0, 0xfffff, 0x13, 0xc));
    set_gdt(&g, SEL_EXECUTE_ONLY, make_descriptor(0, 0xfffff, 0x99, 0xc));
    set_gdt(&g, SEL_READ_ONLY, make_descriptor(0, 0xfffff, 0x91, 0xc));
    set_gdt(&g, SEL_CONFORMING_64, make_descriptor(0, 0xfffff, 0x9f, 0xa));
    g.s.gdtr = (struct descriptor_table){.base = GDT, .limit = GDT_LIMIT};
    g.s.dr6 = 0xffff0ff0;
    g.s.dr7 = 0x400;
    return g;
}

static inline void guest_destroy(struct guest *g)
{
    cpu_destroy(g->cpu);
    machine_destroy(g->machine);
}
/* A guest that ends with its block. */
#define GUEST __attribute__((cleanup(guest_destroy))) struct guest

/* Every segment flat, of privilege `cpl`. */
static inline void set_flat(struct guest *g, unsigned cpl, uint16_t cs, unsigned code_flags)
{
    unsigned dpl = cpl << 5;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        g->s.seg[i] = segment_of((uint16_t)(cpl == 3 ? SEL_DATA3 | 3 : SEL_DATA0), 0x93 | dpl, 0xc);
        g->s.seg_base[i] = 0;
    }
    g->s.seg[SEG_CS] = segment_of((uint16_t)(cs | cpl), 0x9b | dpl, code_flags);
    g->s.cpl = (uint8_t)cpl;
    g->s.rip = cpl == 3 ? CODE3 : CODE0;
    g->s.gpr[RSP] = cpl == 3 ? STACK3 : STACK0;
    g->s.rflags = 2;
}

/* 64-bit mode: the first 16 MiB identity-mapped for all, 2 MiB pages. */
static inline struct guest guest_64(enum cpu_vendor vendor, unsigned cpl)
{
    struct guest g = guest_create(vendor);
    poke(&g, TABLES, (TABLES + 0x1000) | 7, 8);
    poke(&g, TABLES + 0x1000, (TABLES + 0x2000) | 7, 8);
    for (unsigned i = 0; i < 8; i++) {
        poke(&g, TABLES + 0x2000 + 8 * i, (uint64_t)i << 21 | 0x87, 8);
    }
    for (unsigned i = 0; i < 256; i++) {
        set_idt64(&g, i, SEL_CODE0_64, handler(i), 0x8e, 0);
    }
    poke(&g, TSS + 4, STACK0, 8);
    poke(&g, TSS + 0x24, STACK_IST, 8);
    poke(&g, TSS + 0x66, 0x800, 2); /* no I/O bitmap */
    set_flat(&g, cpl, cpl == 3 ? SEL_CODE3_64 : SEL_CODE0_64, 0xa);
    g.s.idtr = (struct descriptor_table){.base = IDT, .limit = 0xfff};
    g.s.tr = (struct system_segment){.base = TSS, .seg = {.selector = SEL_TSS, .attributes = 0x8b, .limit = 0x7ff}};
    g.s.cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP | CR0_MP;
    g.s.cr3 = TABLES;
    g.s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    g.s.efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    return g;
}

/* 32-bit protected mode, no paging. */
static inline struct guest guest_32(unsigned cpl)
{
    struct guest g = guest_create(VENDOR_INTEL);
    for (unsigned i = 0; i < 256; i++) {
        poke(&g, IDT + 8 * i, make_gate(SEL_CODE0_32, handler(i), 0x8e, 0), 8);
    }
    poke(&g, TSS + 4, STACK0, 4);
    poke(&g, TSS + 8, SEL_DATA0, 2);
    poke(&g, TSS + 0x66, 0x800, 2);
    set_flat(&g, cpl, cpl == 3 ? SEL_CODE3_32 : SEL_CODE0_32, 0xc);
    g.s.idtr = (struct descriptor_table){.base = IDT, .limit = 0x7ff};
    g.s.tr = (struct system_segment){.base = TSS, .seg = {.selector = SEL_TSS, .attributes = 0x8b, .limit = 0x7ff}};
    set_gdt(&g, SEL_TSS, make_descriptor(TSS, 0x7ff, 0x8b, 0x0));
    g.s.cr0 = CR0_PE | CR0_NE | CR0_ET;
    return g;
}

/* Virtual-8086 mode in that machine: code at 2000:0000 (CODE0), stack 4000:1000. */
static inline struct guest guest_v86(unsigned iopl)
{
    struct guest g = guest_32(3);
    static const uint16_t selector[SEGMENTS] = {0x3000, CODE0 >> 4, 0x4000, 0x3000, 0x3000, 0x3000};
    for (unsigned i = 0; i < SEGMENTS; i++) {
        g.s.seg[i] = (struct segment){.selector = selector[i], .attributes = 0xf3, .limit = 0xffff};
        g.s.seg_base[i] = (uint64_t)selector[i] << 4;
    }
    g.s.rip = 0;
    g.s.gpr[RSP] = 0x1000;
    g.s.rflags = 2 | RFLAGS_VM | (uint64_t)iopl << 12;
    return g;
}

/* Real mode: code at 2000:0000 (CODE0), stack 4000:1000, IVT at IDT with handlers as everywhere. */
static inline struct guest guest_16(void)
{
    struct guest g = guest_create(VENDOR_INTEL);
    for (unsigned i = 0; i < 256; i++) {
        poke(&g, IDT + 4 * i, handler(i), 4); /* 0000:handler */
    }
    static const uint16_t selector[SEGMENTS] = {0x3000, CODE0 >> 4, 0x4000, 0x3000, 0x3000, 0x3000};
    for (unsigned i = 0; i < SEGMENTS; i++) {
        g.s.seg[i] = (struct segment){.selector = selector[i], .attributes = 0x93, .limit = 0xffff};
        g.s.seg_base[i] = (uint64_t)selector[i] << 4;
    }
    g.s.rip = 0;
    g.s.gpr[RSP] = 0x1000;
    g.s.rflags = 2;
    g.s.cr0 = CR0_ET | CR0_NE;
    g.s.idtr = (struct descriptor_table){.base = IDT, .limit = 0x3ff};
    return g;
}

/* Runs from g->s until the VP halts, shuts down, or a million cycles pass. */
static inline void guest_run(struct guest *g)
{
    cr_assert(vp_set_state(g->vp, &g->s));
    g->stop = vp_run(g->vp, machine_now(g->machine) + 1000000);
    vp_get_state(g->vp, &g->s);
}

/* The vector whose handler's HLT ended the run, or -1. */
static inline int stopped_in(const struct guest *g)
{
    uint64_t linear = g->s.rip + g->s.seg_base[SEG_CS] - 1;
    return g->stop == STOP_HALT && linear >= HANDLERS && linear < HANDLERS + 0x1000 && linear % 16 == 0
               ? (int)((linear - HANDLERS) / 16)
               : -1;
}
/* The run ended in the HLT at `at` (its code, not a handler). */
#define EXPECT_HALT_AT(g, at)                                                                                                  \
    cr_expect((g)->stop == STOP_HALT && (g)->s.rip + (g)->s.seg_base[SEG_CS] == (uint64_t)(at) + 1,                            \
              "stop %d at %#lx (vector %d), not in HLT at %#lx", (g)->stop, (g)->s.rip, stopped_in(g), (uint64_t)(at))

/* Word `i` of the frame that the handler sees: in 64-bit mode quadwords, in a 32-bit handler doublewords. */
static inline uint64_t frame_word(struct guest *g, unsigned i)
{
    unsigned bytes = g->s.efer & EFER_LMA ? 8 : g->s.seg[SEG_CS].attributes & ATTR_DB ? 4 : 2;
    uint64_t mask = g->s.efer & EFER_LMA ? UINT64_MAX : g->s.seg[SEG_SS].attributes & ATTR_DB ? UINT32_MAX : 0xffff;
    uint64_t base = g->s.efer & EFER_LMA ? 0 : g->s.seg_base[SEG_SS];
    return peek(g, base + (g->s.gpr[RSP] & mask) + i * bytes, bytes);
}

/* Event `vector` was delivered with `error` (or NO_ERROR) for the instruction at `rip`. */
#define EXPECT_EVENT(g, vector, error, return_rip)                                                                             \
    do {                                                                                                                       \
        cr_expect_eq(stopped_in(g), (int)(vector), "stop %d, vector %d (rip %#lx), not %d", (g)->stop, stopped_in(g),          \
                     (g)->s.rip, (int)(vector));                                                                               \
        unsigned at_ = 0;                                                                                                      \
        int64_t error_ = (int64_t)(error);                                                                                     \
        if (error_ != NO_ERROR) {                                                                                              \
            cr_expect_eq(frame_word(g, at_), (uint64_t)error_, "error code %#lx, not %#lx", frame_word(g, at_),                \
                         (uint64_t)error_);                                                                                    \
            at_++;                                                                                                             \
        }                                                                                                                      \
        cr_expect_eq(frame_word(g, at_), (uint64_t)(return_rip), "return to %#lx, not %#lx", frame_word(g, at_),               \
                     (uint64_t)(return_rip));                                                                                  \
    } while (0)

#endif
