/* One VP inside the processor: architectural state, and around it what makes it fast and can always be rebuilt.
 * Private to cpu/.
 *
 * Invariants:
 *  - "now" = until_cycle - budget. A block is charged when it is entered, so "now" is exact only in the last instruction of
 *    a block: therefore whatever can see or change time, interrupts or decoded code *is* the last instruction of its block, or
 * is restarted alone by vp_restart_alone().
 *  - Arithmetic flags live in `fl`, the other bits of RFLAGS in s.rflags.
 *  - While vp_run() is active the host's MXCSR is the guest's with all exceptions masked (see exec/sse.h).
 *  - Faults leave by longjmp: vp_raise() and friends do not return. So nothing that owns host memory is alive across them.
 */
#ifndef ORRERY_CPU_VCPU_H
#define ORRERY_CPU_VCPU_H

#include <setjmp.h>

#include "cpu/cpu.h"
#include "cpu/lapic.h"
#include "cpu/trace_ids.h"

struct uop;
struct block;
struct tlb;

/* A fault or trap on its way to the IDT. */
struct fault {
    uint8_t vector;
    bool has_error;
    uint32_t error;
};

enum { JUMP_CACHE_ENTRIES = 4096, TLB_ENTRIES_MAX = 1024, CODE_TLB_ENTRIES = 256 };

/* ---- data translations: host-side cache ----
 * `d = linear ^ tag` is the page offset on a hit and large otherwise, so `d <= 4096 - bytes` checks page, permission and page
 * crossing at once. An empty tag differs from every address that selects its index (see mmu.c). */
struct tlb_entry {
    uint64_t read_tag, write_tag;
    uintptr_t addend;  /* host = linear + addend */
    uint64_t leaf_gpa; /* the table entry it derives from; see mmu.c */
};
enum tlb_kind { TLB_SUPERVISOR, TLB_USER, TLB_SUPERVISOR_AC, TLB_KINDS };
struct tlb {
    struct tlb_entry e[TLB_ENTRIES_MAX];
    uint32_t used_count; /* entries filled since the last flush, for a cheap flush; > limit: clear all */
    uint16_t used[128];
};

struct code_tlb_entry {
    uint64_t linear_page; /* of address space: all ones when empty */
    uint32_t frame;
    uint8_t user; /* CPL 3 at fill */
    uint64_t leaf_gpa;
};

/* The page of MMIO or of the local APIC that was used last: no translation of it may be in a TLB, whose hits go to memory. */
struct io_translation {
    uint64_t linear_page; /* all ones when empty */
    uint64_t gpa_page;
    uint64_t leaf_gpa; /* as in struct tlb_entry */
    enum tlb_kind kind;
    bool written, lapic; /* written: a write was allowed, and D is set */
};

/* What is remembered of one CR3 value. Under the `fresh` policy translations stay exact while another CR3 is loaded, so a guest
 * that goes to and fro between a few address spaces finds them warm. */
enum { ADDRESS_SPACES = 4 };
struct address_space {
    uint64_t key; /* the table's address in CR3; SPACE_UNUSED */
    uint64_t last_use;
    uint64_t jump_salt; /* its generation of the jump cache */
    struct tlb tlbs[TLB_KINDS];
    struct code_tlb_entry code_tlb[CODE_TLB_ENTRIES];
    struct io_translation io;
};
#define SPACE_UNUSED UINT64_MAX

struct jump_entry {
    uint64_t key; /* linear ^ vcpu.jump_salt */
    struct block *block;
};

/* Where an access across a page end, or a read-modify-write of MMIO, is put together. */
struct bounce {
    uint64_t linear;
    unsigned bytes;
    _Alignas(16) uint8_t data[64];
};

struct vcpu {
    /* Operand slots: uops name them by a byte offset from the start of this struct (uop.h). Order matters. */
    uint64_t zero;      /* always 0 */
    uint64_t code_base; /* linear address of the page that the current block lies in */
    uint64_t two_pages; /* always 8192: an index for RIP-relative operands at the far end of their reach (decode.c) */
    /* What nearly every handler touches, within reach of a short displacement. */
    int64_t budget;        /* cycles left until until_cycle */
    uint64_t instructions; /* retired; charged by block, corrected at early exits */
    struct tlb *tlb;       /* the active one of space->tlbs[] */
    uint64_t tlb_mask;     /* entries - 1 */
    uint16_t fl;           /* arithmetic flags as LAHF;SETO leave them: high byte SF ZF - AF - PF - CF, low byte OF */
    bool fp_unmasked;      /* guest MXCSR has an exception unmasked: FP handlers take the careful path */
    uint8_t sse_blocked;   /* CR0.EM, CR0.TS or not CR4.OSFXSR: SSE faults; right after fp_unmasked (exec/simd.h reads both at
                              once) */
    uint8_t mmx_blocked;   /* CR0.EM or CR0.TS: x87 and MMX fault */
    uint8_t mode;          /* enum code_mode, from CS and EFER */
    struct vp_state s;     /* gpr[] and seg_base[] follow at SLOT_GPR and SLOT_SEG */

    uint64_t until_cycle;
    uint64_t wanted_cycle; /* what the caller of vp_run asked for; until_cycle may be nearer */
    uint64_t jump_salt;
    bool attention;                          /* something may be deliverable: look before the next block */
    bool data_breakpoints, code_breakpoints; /* DR7 enables some */
    bool alignment_check;                    /* CR0.AM, RFLAGS.AC and CPL 3 */
    bool stop_requested;
    bool yielded;                               /* PAUSE */
    bool trap_after;                            /* TF was set when this instruction began */
    bool no_step_trap;                          /* set by an instruction after which TF does not trap: INT n, MOV SS ... */
    uint64_t derived_cs_base, derived_cs_limit; /* of the code that the jump cache knows, outside 64-bit mode */

    const struct uop *current; /* the instruction for which a fault would be; NULL in event delivery: s.rip is right then */
    struct fault fault;
    jmp_buf leave;

    struct cpu *cpu;
    struct machine *machine;
    struct trace *trace; /* the machine's, one load nearer */
    unsigned index;
    struct lapic lapic;
    int lapic_timer_event;
    struct vp_account account;

    struct bounce bounce;
    void *allocation;           /* what free() wants; the struct begins on a cache line within */
    struct block *alone_block;  /* room for a truncated copy */
    struct crossing *crossings; /* block.c: instructions across page ends */
    uint64_t flush_countdown;
    struct address_space *space; /* the current one of spaces[] */
    uint64_t space_uses;         /* for choosing the one used longest ago */
    uint64_t jump_generation;
    struct address_space spaces[ADDRESS_SPACES];
    struct jump_entry jumps[JUMP_CACHE_ENTRIES];
    struct stale_entries *stale; /* TRANSLATE_STALEST: the VP's architectural TLB (mmu_stale.c), part of the state */
};

enum {
    SLOT_ZERO = 0,
    SLOT_CODE_BASE = 8,
    SLOT_TWO_PAGES = 16,
    SLOT_GPR = 64,
    SLOT_SEG = 192
}; /* SLOT_GPR: struct vp_state is 16-byte aligned */
_Static_assert(offsetof(struct vcpu, code_base) == SLOT_CODE_BASE, "slot order");
_Static_assert(offsetof(struct vcpu, two_pages) == SLOT_TWO_PAGES, "slot order");
_Static_assert(offsetof(struct vcpu, s.gpr) == SLOT_GPR, "slot order");
_Static_assert(offsetof(struct vcpu, s.seg_base) == SLOT_SEG, "slot order");

/* How code is decoded: the key of decoded blocks beside the physical address. */
enum { INSN_ROWS_MAX = 3 }; /* families that may share a mnemonic: MOV, PUSH, MOVSD ... */
enum code_mode { CODE_64, CODE_32, CODE_16, CODE_MODES };

struct cpu {
    struct machine *machine;
    const struct insn_row *rows[2048][INSN_ROWS_MAX]; /* by mnemonic, tried in order; NULL: no (more) row */
    struct cpu_config config;
    struct cpu_hooks hooks;
    const struct cost_table *cost;
    struct vcpu **vps;
    unsigned vp_count;
    struct blocks *blocks;     /* block.c */
    struct mmu_shared *tables; /* mmu.c: which page-table entries are in use */
    struct prng prng;          /* RDRAND, RDSEED */
    struct tsc tsc;
    uint64_t a20_mask; /* ~0, or ~(1 << 20) while the A20 gate is closed */
    bool extint_level;
};

/* ---- faults: none of these returns ---- */
_Noreturn void vp_raise(struct vcpu *v, uint8_t vector);                       /* no error code: #UD, #DE, #NM, #MF ... */
_Noreturn void vp_raise_error(struct vcpu *v, uint8_t vector, uint32_t error); /* #GP, #SS, #TS, #NP, #AC */
_Noreturn void vp_raise_page_fault(struct vcpu *v, uint64_t linear, uint32_t error);
static inline _Noreturn void vp_gp0(struct vcpu *v)
{
    vp_raise_error(v, VEC_GP, 0);
}
static inline _Noreturn void vp_ud(struct vcpu *v)
{
    vp_raise(v, VEC_UD);
}

/* ---- RFLAGS ---- */
static inline uint64_t fl_to_arithmetic(uint16_t fl)
{
    return ((uint64_t)(fl >> 8) & 0xd5) | (uint64_t)(fl & 1) << 11;
}
static inline uint16_t arithmetic_to_fl(uint64_t rflags)
{
    return (uint16_t)((rflags & 0xd5) << 8 | (rflags >> 11 & 1));
}
static inline uint64_t vp_rflags(const struct vcpu *v)
{
    return (v->s.rflags & ~RFLAGS_ARITHMETIC) | fl_to_arithmetic(v->fl) | RFLAGS_FIXED;
}
/* Stores all bits, fixes the fixed ones, and brings what derives from IF, TF, AC, VM up to date. */
void vp_set_rflags(struct vcpu *v, uint64_t rflags);

/* ---- derived state ---- */
/* To be called after CR0, CR4, EFER, CPL, CS, RFLAGS.AC, DR7 or MXCSR changed: mode, active TLB, checks. Cheap. */
void vp_derive(struct vcpu *v);
void vp_set_cpl(struct vcpu *v, unsigned cpl); /* and derives */
static inline void vp_attention(struct vcpu *v)
{
    v->attention = true;
}
/* Makes a VP that is running stop at its next boundary, look at `attention`, and go on. */
void vp_kick(struct vcpu *v);
static inline bool vp_is_amd(const struct vcpu *v)
{
    return v->cpu->config.model.vendor == VENDOR_AMD;
}
static inline bool vp_has(const struct vcpu *v, enum cpu_feature f)
{
    return model_has(&v->cpu->config.model, f);
}
static inline bool vp_protected(const struct vcpu *v)
{
    return v->s.cr0 & CR0_PE;
}
static inline bool vp_long(const struct vcpu *v)
{
    return v->s.efer & EFER_LMA;
}
static inline bool vp_v86(const struct vcpu *v)
{
    return v->s.rflags & RFLAGS_VM;
}
static inline unsigned vp_iopl(const struct vcpu *v)
{
    return v->s.rflags >> 12 & 3;
}
static inline uint64_t vp_now(const struct vcpu *v)
{
    return v->until_cycle - (uint64_t)v->budget;
}
static inline uint64_t slot64(const struct vcpu *v, uint8_t slot)
{
    return *(const uint64_t *)((const char *)v + slot);
}
static inline bool canonical(const struct vcpu *v, uint64_t linear)
{
    unsigned shift = v->s.cr4 & CR4_LA57 ? 7 : 16;
    return (uint64_t)((int64_t)(linear << shift) >> shift) == linear;
}

/* ---- memory, for system code (mmu.c, access.h has the fast forms) ----
 * Linear addresses. They fault by longjmp. In event delivery and descriptor loads use the sys_ forms: implicit supervisor
 * accesses, which ignore CPL (SDM 3A §4.6). `bytes` 1, 2, 4 or 8; any alignment, page crossing allowed. */
uint64_t vp_load(struct vcpu *v, uint64_t linear, unsigned bytes);
void vp_store(struct vcpu *v, uint64_t linear, unsigned bytes, uint64_t value);
uint64_t sys_load(struct vcpu *v, uint64_t linear, unsigned bytes);
void sys_store(struct vcpu *v, uint64_t linear, unsigned bytes, uint64_t value);
/* Faults unless [linear, linear+bytes) may be read (written) at the current CPL: before an instruction with several effects. */
void vp_probe_read(struct vcpu *v, uint64_t linear, unsigned bytes);
void vp_probe_write(struct vcpu *v, uint64_t linear, unsigned bytes);
void vp_load_bytes(struct vcpu *v, uint64_t linear, void *to, unsigned bytes);          /* up to 4096 */
void vp_store_bytes(struct vcpu *v, uint64_t linear, const void *from, unsigned bytes); /* probes all first */

/* ---- mmu.c ---- */
void mmu_flush(struct vcpu *v);    /* host-side: drop all cached translations of this VP */
void mmu_flush_all(struct cpu *c); /* of all VPs */
/* A frame begins to be watched (MEMORY_CODE or MEMORY_TABLE): sets the bit and takes back write permissions to it. */
void mmu_withhold_write(struct cpu *c, uint32_t frame, uint8_t bit);
/* Guest-visible flushes; under `fresh` they have nothing to do. */
void mmu_invlpg(struct vcpu *v, uint64_t linear);
void mmu_invpcid(struct vcpu *v, unsigned type, uint16_t pcid, uint64_t linear);
void mmu_cr3_written(struct vcpu *v, uint64_t old, uint64_t value, bool keep); /* keep: bit 63, do not flush the PCID */
/* After CR0.PG/WP, CR4.PAE/PSE/PGE/PCIDE/SMEP/SMAP/LA57 or EFER.NXE/LMA changed. */
void mmu_paging_changed(struct vcpu *v, uint64_t old_cr0, uint64_t old_cr4);
/* Loads the four PAE PDPTEs from CR3; raises #GP(0) on reserved bits, with nothing changed. */
bool mmu_try_load_pdptes(struct vcpu *v, uint64_t cr3);
void mmu_load_pdptes(struct vcpu *v, uint64_t cr3); /* or #GP(0) */
/* Frame for an instruction fetch at `linear`; faults by longjmp; FRAME_NONE for MMIO. */
uint32_t mmu_fetch_frame(struct vcpu *v, uint64_t linear);

/* ---- run.c ---- */
void vp_forget_space_jumps(struct vcpu *v, struct address_space *a);
void vp_forget_jumps(struct vcpu *v); /* empties the jump cache, and sends a running VP back to the run loop */
/* Leaves the current instruction without effect and runs it again alone, so that it may do what only a last instruction may.
 * Does not return, unless the instruction already is the last of its block. */
void vp_restart_alone(struct vcpu *v);
/* For a system handler: the instruction `u` begins; s.rip is its address, faults go to it. */
void vp_begin_system(struct vcpu *v, const struct uop *u);

/* ---- event delivery: exception.c ---- */
/* Delivers v->fault (with double and triple fault rules) for the instruction at s.rip. Never longjmps out. */
void exception_deliver_fault(struct vcpu *v, struct fault f);
/* `next_rip` is what the handler returns to. Called from INT n, INT3, INTO handlers; may fault by longjmp. */
void exception_software_interrupt(struct vcpu *v, uint8_t vector, uint64_t next_rip, bool int3_or_into);
/* External interrupt or NMI at a boundary. Never longjmps out: a fault on the way is delivered in its place. */
void exception_external(struct vcpu *v, uint8_t vector);
void exception_nmi(struct vcpu *v);
/* ICEBP (INT1): #DB with no checks, as a trap. */
void exception_int1(struct vcpu *v, uint64_t next_rip);
void exception_iret(struct vcpu *v, unsigned operand_bytes, uint64_t next_rip);
/* Sets s.activity = VP_SHUTDOWN. */
void vp_triple_fault(struct vcpu *v);
/* INIT: the state of SDM 3A table 9-1, column INIT. */
void vp_init_reset(struct vcpu *v, bool power_on);

/* ---- segments: segment.c ---- */
/* MOV to Sreg, POP Sreg, LSS...: all checks of SDM 2B MOV; faults by longjmp with nothing changed. */
void segment_load(struct vcpu *v, unsigned segment, uint16_t selector);
void segment_load_real(struct vcpu *v, unsigned segment, uint16_t selector); /* real and v86 mode rules */
void segment_lldt(struct vcpu *v, uint16_t selector);
void segment_ltr(struct vcpu *v, uint16_t selector);
/* LAR, LSL, VERR, VERW: false = ZF 0. */
bool segment_lar(struct vcpu *v, uint16_t selector, uint32_t *rights);
bool segment_lsl(struct vcpu *v, uint16_t selector, uint32_t *limit);
bool segment_verify(struct vcpu *v, uint16_t selector, bool write);
/* Far transfers, all forms and modes, call gates, task gates; set CS, RIP, SS, RSP. */
void far_jump(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned operand_bytes);
void far_call(struct vcpu *v, uint16_t selector, uint64_t offset, unsigned operand_bytes, uint64_t next_rip);
void far_return(struct vcpu *v, unsigned operand_bytes, uint16_t pop_bytes);
enum task_switch_cause { TASK_JMP, TASK_CALL, TASK_IRET, TASK_GATE };
void task_switch(struct vcpu *v, uint16_t selector, enum task_switch_cause cause, uint64_t next_rip, const struct fault *f);

/* ---- I/O ports: exec/io.c. For IN, OUT, INS, OUTS, which are the last of their blocks. ---- */
/* SDM 1 §19.5.2: #GP(0) unless CPL, IOPL and the TSS's I/O bitmap allow the access. */
void io_check(struct vcpu *v, uint16_t port, unsigned bytes);
/* The access itself: trace, cost, I/O breakpoints. */
uint32_t io_in(struct vcpu *v, uint16_t port, unsigned bytes);
void io_out(struct vcpu *v, uint16_t port, unsigned bytes, uint32_t value);

/* ---- MSRs and CPUID: msr.c ---- */
enum msr_outcome msr_read(struct vcpu *v, uint32_t msr, uint64_t *value);
enum msr_outcome msr_write(struct vcpu *v, uint32_t msr, uint64_t value);
void msr_reset(struct vcpu *v); /* power-on values; INIT leaves MSRs alone, SDM 3A table 9-1 */

/* ---- control and debug registers: control.c. Raise #GP/#UD by longjmp with nothing changed. ---- */
uint64_t control_read(struct vcpu *v, unsigned cr);
void control_write(struct vcpu *v, unsigned cr, uint64_t value);
enum msr_outcome control_write_efer(struct vcpu *v, uint64_t value);
void control_xsetbv(struct vcpu *v, uint32_t index, uint64_t value);
uint64_t debug_read(struct vcpu *v, unsigned dr);
void debug_write(struct vcpu *v, unsigned dr, uint64_t value);
/* DR6 bits of the data breakpoints that an access hits; 0 when none. */
uint64_t debug_match_data(const struct vcpu *v, uint64_t linear, unsigned bytes, bool write);
uint64_t debug_match_io(const struct vcpu *v, uint16_t port, unsigned bytes);
uint64_t debug_match_code(const struct vcpu *v, uint64_t linear);

#endif
