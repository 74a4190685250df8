/* What the kit's files share among themselves and hide from probes. */
#ifndef KIT_PARTS_H
#define KIT_PARTS_H

#include "kit.h"
#include "layout.h"

/* As entries.S pushes it. */
struct kit_frame {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
enum { RFLAGS_IF = 1 << 9 };

struct kit_jump {
    uint64_t words[9]; /* layout.h */
};
int kit_jump_set(struct kit_jump *j) __attribute__((returns_twice));
void kit_jump_to(struct kit_jump *j) __attribute__((noreturn));
void kit_enter_cpl3(kit_fn *fn, void *arg, uint64_t stack) __attribute__((noreturn));
void kit_call(uint64_t entry, struct hv_regs *r);
void kit_mode_enter(struct regs32 *r, unsigned mode);
extern uint32_t kit_mode_fault, kit_mode_fault_ip;
extern const uint8_t kit_back_compat[], kit_back_32[], kit_back_real[];
void kit_trap(struct kit_frame *f);
void kit_main(void);
void kit_ap_main(unsigned vp);

/* Where an exception goes: the innermost try_run(). */
struct kit_recovery {
    struct kit_jump jump;
    struct kit_recovery *outer;
    struct fault fault;
};

struct __attribute__((packed)) kit_tss {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, io_map;
};

enum vp_state { VP_ABSENT, VP_IDLE, VP_BUSY, VP_LOST };
struct kit_vp {
    struct kit_tss tss;
    uint8_t apic_id;
    bool dirty;              /* has run something since kit_quiet() */
    volatile uint32_t state; /* enum vp_state */
    kit_fn *volatile job;
    void *volatile job_arg;
    struct fault job_fault;
    struct kit_recovery *recovery;
    uint64_t stack_top; /* what its interrupts from CPL3 use */
    uint8_t *simp, *siefp;
    volatile uint32_t irq_counts[256];
};
extern struct kit_vp kit_vps[KIT_VPS_MAX];
extern uint32_t kit_stacks[KIT_VPS_MAX];
extern uint8_t kit_vp_of_apic[256];
extern uint64_t kit_gdt[];
extern uint64_t kit_pml4[512], kit_pdpt[512], kit_pd[2048];
extern uint8_t kit_stack_end[];

/* boot.c */
extern const char *kit_cmdline;
extern uint64_t kit_memory_end, kit_rsdp;
const char *arg_text(const char *name); /* the text behind NAME=, to the next space; NULL without */

/* memory.c */
void kit_memory_start(void);
void *kit_page_keep(unsigned count); /* not returned when the test ends */
void kit_memory_quiet(void);

/* traps.c */
void kit_traps_start(void);
void kit_tss_load(unsigned vp, uint64_t stack_top, uint64_t ist_top);
void kit_irqs_quiet(void);

/* smp.c */
void kit_smp_quiet(void);
bool kit_smp_up(void);

/* apic.c */
void kit_lapic_start(void);
void kit_lapic_quiet(void);

/* hv.c */
void kit_hv_quiet(void);
void kit_hv_quiet_partition(void);

/* print.c: %s %c %d %u %x %lx %llx %p %%, with a width and 0 */
int kit_format(char *to, size_t size, const char *format, va_list args);
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
__attribute__((noreturn)) void kit_exit(unsigned code);
__attribute__((noreturn, format(printf, 1, 2))) void kit_panic(const char *format, ...);

/* test.c */
void kit_run_tests(void);
void kit_test_fault(const struct fault *f, const char *where);

#endif
