/* Entries of the IDT, jumps out of faults, MSR accesses that may fault, and the call of the hypercall page with all registers.
 *
 * Every entry pushes an error code (0 where the processor has none) and its vector, then all registers: struct kit_frame. An
 * MSR instruction that faults goes on behind it with the vector as its result: kit_fixups names both places.
 */
#include "layout.h"

    .text
    .code64

/* ---- IDT entries: 16 bytes each ---- */

    .balign 16
    .globl kit_entries
kit_entries:
    vector = 0
    .rept 256
    .balign 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push $0
    .endif
    .byte 0x68 /* push, always with four bytes, so that an entry keeps its 16 */
    .long vector
    .byte 0xe9
    .long common - . - 4
    vector = vector + 1
    .endr

    .balign 16
common:
    push %r15
    push %r14
    push %r13
    push %r12
    push %r11
    push %r10
    push %r9
    push %r8
    push %rbp
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rbx
    push %rax
    cld
    mov %rsp, %rdi
    mov %rsp, %rbx
    and $-16, %rsp
    call kit_trap
    mov %rbx, %rsp
    pop %rax
    pop %rbx
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    pop %rbp
    pop %r8
    pop %r9
    pop %r10
    pop %r11
    pop %r12
    pop %r13
    pop %r14
    pop %r15
    add $16, %rsp
    iretq

/* ---- int kit_jump_set(struct kit_jump *): 0, and 1 when kit_jump_to() comes back to it ---- */

    .globl kit_jump_set, kit_jump_to
kit_jump_set:
    mov %rbx, JUMP_RBX(%rdi)
    mov %rbp, JUMP_RBP(%rdi)
    mov %r12, JUMP_R12(%rdi)
    mov %r13, JUMP_R13(%rdi)
    mov %r14, JUMP_R14(%rdi)
    mov %r15, JUMP_R15(%rdi)
    lea 8(%rsp), %rax
    mov %rax, JUMP_RSP(%rdi)
    mov (%rsp), %rax
    mov %rax, JUMP_RIP(%rdi)
    pushfq
    pop JUMP_RFLAGS(%rdi)
    xor %eax, %eax
    ret

/* void kit_jump_to(struct kit_jump *): also out of an exception that came from another level or mode. */
kit_jump_to:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov JUMP_RBX(%rdi), %rbx
    mov JUMP_RBP(%rdi), %rbp
    mov JUMP_R12(%rdi), %r12
    mov JUMP_R13(%rdi), %r13
    mov JUMP_R14(%rdi), %r14
    mov JUMP_R15(%rdi), %r15
    mov JUMP_RSP(%rdi), %rsp
    push JUMP_RIP(%rdi)
    push JUMP_RFLAGS(%rdi)
    popfq
    mov $1, %eax
    ret

/* ---- void kit_enter_cpl3(kit_fn *fn, void *arg, stack): ends in VECTOR_CPL3_DONE or a fault, never here ---- */

    .globl kit_enter_cpl3
kit_enter_cpl3:
    mov %rdi, %rax
    mov %rsi, %rdi
    sub $16, %rdx
    lea kit_cpl3_done(%rip), %rcx
    mov %rcx, 8(%rdx) /* fn's return address, and its stack as the ABI wants it */
    add $8, %rdx
    push $SEL_USER_DATA
    push %rdx
    push $0x2 /* interrupts off */
    push $SEL_USER_CODE64
    push %rax
    iretq
kit_cpl3_done:
    int $0xfd /* VECTOR_CPL3_DONE */
    ud2

/* ---- MSRs ---- */

    .globl rdmsr_try, wrmsr_try
rdmsr_try: /* unsigned rdmsr_try(uint32_t msr, uint64_t *value) */
    mov %edi, %ecx
1:  rdmsr
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, (%rsi)
    mov $256, %eax
2:  ret
wrmsr_try: /* unsigned wrmsr_try(uint32_t msr, uint64_t value) */
    mov %edi, %ecx
    mov %esi, %eax
    mov %rsi, %rdx
    shr $32, %rdx
3:  wrmsr
    mov $256, %eax
4:  ret

    .section .rodata
    .balign 8
    .globl kit_fixups, kit_fixups_end
kit_fixups:
    .quad 1b, 2b, 3b, 4b
kit_fixups_end:
    .text

/* ---- void kit_call(uint64_t entry, struct hv_regs *): calls entry with those registers, and brings them back ---- */

    .globl kit_call
kit_call:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rsi
    push %rdi
    sub $8, %rsp
    mov %rsi, %rax
    .irp x, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups 128 + \x * 16(%rax), %xmm\x
    .endr
    mov 8(%rax), %rcx
    mov 16(%rax), %rdx
    mov 24(%rax), %rbx
    mov 32(%rax), %rsi
    mov 40(%rax), %rdi
    mov 48(%rax), %rbp
    mov 56(%rax), %r8
    mov 64(%rax), %r9
    mov 72(%rax), %r10
    mov 80(%rax), %r11
    mov 88(%rax), %r12
    mov 96(%rax), %r13
    mov 104(%rax), %r14
    mov 112(%rax), %r15
    mov 0(%rax), %rax
    call *8(%rsp)
    mov %rax, (%rsp)
    mov 16(%rsp), %rax
    pop 0(%rax)
    pushfq
    pop 120(%rax)
    mov %rcx, 8(%rax)
    mov %rdx, 16(%rax)
    mov %rbx, 24(%rax)
    mov %rsi, 32(%rax)
    mov %rdi, 40(%rax)
    mov %rbp, 48(%rax)
    mov %r8, 56(%rax)
    mov %r9, 64(%rax)
    mov %r10, 72(%rax)
    mov %r11, 80(%rax)
    mov %r12, 88(%rax)
    mov %r13, 96(%rax)
    mov %r14, 104(%rax)
    mov %r15, 112(%rax)
    .irp x, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups %xmm\x, 128 + \x * 16(%rax)
    .endr
    pop %rdi
    pop %rsi
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits
