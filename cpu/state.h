/* The architectural state of one VP: plain versioned data, no pointers. What a guest can observe of its processor is here or
 * in the local APIC (lapic.h); everything else in cpu/ can be rebuilt from it. */
#ifndef ORRERY_CPU_STATE_H
#define ORRERY_CPU_STATE_H

#include "machine/types.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum segment_index { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEGMENTS };

/* Attributes as bits 40-55 of a descriptor: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15 (SDM 3A §3.4.5).
 * A segment register that holds a null selector has attributes 0 (not present = unusable). `limit` is in bytes. */
struct segment {
    uint16_t selector;
    uint16_t attributes;
    uint32_t limit;
};
enum {
    ATTR_TYPE = 0xf,
    ATTR_CODE = 0x8,
    ATTR_CONFORMING = 0x4,
    ATTR_EXPAND_DOWN = 0x4,
    ATTR_READABLE = 0x2,
    ATTR_WRITABLE = 0x2,
    ATTR_ACCESSED = 0x1,
    ATTR_S = 0x10,
    ATTR_DPL_SHIFT = 5,
    ATTR_P = 0x80,
    ATTR_L = 0x2000,
    ATTR_DB = 0x4000,
    ATTR_G = 0x8000,
};
/* LDTR and TR, whose base is not among seg_base[]. */
struct system_segment {
    uint64_t base;
    struct segment seg;
};
struct descriptor_table {
    uint64_t base;
    uint16_t limit;
};

/* VP_IDLE is a sleep that the hypervisor offers: any interrupt that is requested ends it, masked or not. */
enum vp_activity { VP_RUNNING, VP_HALTED, VP_MWAIT, VP_WAIT_SIPI, VP_SHUTDOWN, VP_IDLE, VP_ACTIVITIES };

/* Instructions that store what only the system needs to know; beside CR4.UMIP a hypervisor may withhold each. */
enum vp_withheld { WITHHELD_SGDT = 1, WITHHELD_SIDT = 2, WITHHELD_SLDT = 4, WITHHELD_STR = 8, WITHHELD_ALL = 15 };

typedef union {
    uint8_t b[16];
    uint16_t w[8];
    uint32_t d[4];
    uint64_t q[2];
} __attribute__((aligned(16))) xmm_t;

/* An x87 register: 64-bit significand, then sign and exponent; `pad` is always 0. */
typedef struct {
    uint64_t significand;
    uint16_t sign_exponent;
    uint16_t pad[3];
} __attribute__((aligned(16))) st_t;

struct fpu_state {
    st_t r[8];         /* physical registers R0-R7; ST(i) is r[(top + i) & 7]; MMi is r[i] */
    uint16_t fcw, fsw; /* fsw includes TOP (bits 13-11) */
    uint8_t ftw;       /* abridged: bit i set = R_i not empty (as FXSAVE) */
    uint16_t fop;      /* 11 bits */
    uint64_t fip, fdp;
    uint16_t fcs, fds;
};

struct vp_state {
    /* These first, so that one byte of offset reaches them (uop.h). */
    uint64_t gpr[16];
    uint64_t seg_base[SEGMENTS];
    uint64_t rip;
    uint64_t rflags; /* complete only between runs; inside the engine the arithmetic flags live in vcpu.fl */
    uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
    uint64_t dr[4], dr6, dr7;
    struct segment seg[SEGMENTS];
    struct system_segment ldtr, tr;
    struct descriptor_table gdtr, idtr;
    uint8_t cpl;

    xmm_t xmm[16];
    struct fpu_state fpu;
    uint32_t mxcsr; /* complete only between runs; inside the engine the sticky flags also live in the host's MXCSR */

    uint64_t star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux, misc_enable, spec_ctrl;
    uint64_t tsc_offset; /* TSC = tsc_at(cycle) + tsc_offset, see tsc.h */
    uint64_t tsc_adjust;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    uint64_t pdpte[4]; /* PAE paging: loaded by MOV CR3, SDM 3A §4.4.1 */

    uint8_t activity;         /* enum vp_activity */
    uint8_t interrupt_shadow; /* bit 0: after STI; bit 1: after MOV SS, POP SS */
    bool nmi_blocked;         /* between an NMI and IRET */
    bool nmi_pending;
    bool init_pending;
    uint8_t sipi_vector;
    bool sipi_pending;
    uint64_t pending_db; /* DR6 bits of a trap #DB that is due at this boundary */
    bool monitor_armed;
    uint64_t monitor_gpa; /* page-relative line, 64-byte aligned */
    uint8_t withheld;     /* bits of enum vp_withheld: these raise #GP(0) at CPL 1-3 */
};

/* Bits of control registers and flags, by SDM name. */
#define CR0_PE (1ULL << 0)
#define CR0_MP (1ULL << 1)
#define CR0_EM (1ULL << 2)
#define CR0_TS (1ULL << 3)
#define CR0_ET (1ULL << 4)
#define CR0_NE (1ULL << 5)
#define CR0_WP (1ULL << 16)
#define CR0_AM (1ULL << 18)
#define CR0_NW (1ULL << 29)
#define CR0_CD (1ULL << 30)
#define CR0_PG (1ULL << 31)
#define CR4_VME (1ULL << 0)
#define CR4_PVI (1ULL << 1)
#define CR4_TSD (1ULL << 2)
#define CR4_DE (1ULL << 3)
#define CR4_PSE (1ULL << 4)
#define CR4_PAE (1ULL << 5)
#define CR4_MCE (1ULL << 6)
#define CR4_PGE (1ULL << 7)
#define CR4_PCE (1ULL << 8)
#define CR4_OSFXSR (1ULL << 9)
#define CR4_OSXMMEXCPT (1ULL << 10)
#define CR4_UMIP (1ULL << 11)
#define CR4_LA57 (1ULL << 12)
#define CR4_FSGSBASE (1ULL << 16)
#define CR4_PCIDE (1ULL << 17)
#define CR4_OSXSAVE (1ULL << 18)
#define CR4_SMEP (1ULL << 20)
#define CR4_SMAP (1ULL << 21)
#define EFER_SCE (1ULL << 0)
#define EFER_LME (1ULL << 8)
#define EFER_LMA (1ULL << 10)
#define EFER_NXE (1ULL << 11)
#define RFLAGS_CF (1ULL << 0)
#define RFLAGS_FIXED (1ULL << 1)
#define RFLAGS_PF (1ULL << 2)
#define RFLAGS_AF (1ULL << 4)
#define RFLAGS_ZF (1ULL << 6)
#define RFLAGS_SF (1ULL << 7)
#define RFLAGS_TF (1ULL << 8)
#define RFLAGS_IF (1ULL << 9)
#define RFLAGS_DF (1ULL << 10)
#define RFLAGS_OF (1ULL << 11)
#define RFLAGS_IOPL (3ULL << 12)
#define RFLAGS_NT (1ULL << 14)
#define RFLAGS_RF (1ULL << 16)
#define RFLAGS_VM (1ULL << 17)
#define RFLAGS_AC (1ULL << 18)
#define RFLAGS_VIF (1ULL << 19)
#define RFLAGS_VIP (1ULL << 20)
#define RFLAGS_ID (1ULL << 21)
#define RFLAGS_ARITHMETIC (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* Exception vectors, SDM 3A §6.15. */
enum {
    VEC_DE = 0,
    VEC_DB = 1,
    VEC_NMI = 2,
    VEC_BP = 3,
    VEC_OF = 4,
    VEC_BR = 5,
    VEC_UD = 6,
    VEC_NM = 7,
    VEC_DF = 8,
    VEC_TS = 10,
    VEC_NP = 11,
    VEC_SS = 12,
    VEC_GP = 13,
    VEC_PF = 14,
    VEC_MF = 16,
    VEC_AC = 17,
    VEC_MC = 18,
    VEC_XM = 19
};

#endif
