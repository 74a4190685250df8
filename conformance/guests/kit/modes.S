/* Excursions into real mode, protected mode without paging and compatibility mode.
 *
 * void kit_mode_enter(struct regs32 *, unsigned mode) saves what the way back needs, goes there, runs the code at LOW_CODE and
 * comes back with its registers; kit_mode_fault then holds the vector of a fault (256: none), kit_mode_fault_ip where. The code
 * is followed by a jump to the way back of its mode (modes.c). Paging off drops long mode; on the way back it comes on again.
 */
#include "layout.h"

    .text
    .code64
    .globl kit_mode_enter
kit_mode_enter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    pushfq
    cli
    push %rdi
    mov %rsp, modes_rsp
    mov $0x100, %eax
    mov %eax, kit_mode_fault
    sidt modes_idt64
    mov %rdi, %rax
    mov 4(%rax), %ebx
    mov 8(%rax), %ecx
    mov 12(%rax), %edx
    mov 16(%rax), %r8d
    mov 20(%rax), %r9d
    mov 0(%rax), %eax
    mov %eax, modes_eax
    mov %ebx, modes_ebx
    mov %ecx, modes_ecx
    mov %edx, modes_edx
    mov %r8d, modes_esi
    mov %r9d, modes_edi
    mov $LOW_STACK, %esp
    lea modes_to(%rip), %rax
    push $SEL_CODE32
    push %rax
    cmp $MODE_COMPAT32, %esi
    jne 1f
    movl $modes_compat, (%rsp)
    lretq
1:  movl $modes_legacy, (%rsp)
    mov %esi, modes_wanted
    lretq

    .section .low_modes, "ax"
    .globl kit_modes_low
kit_modes_low:
    .code32
modes_to: /* only an address to start from */
modes_compat:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $LOW_STACK, %esp
    call modes_load
    ljmp $SEL_CODE32, $LOW_CODE
    .globl kit_back_compat
kit_back_compat:
    call modes_store
    ljmp $SEL_CODE64, $modes_back64

modes_legacy:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $LOW_STACK, %esp
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0 /* paging off */
    mov $0xc0000080, %ecx
    rdmsr
    mov %eax, modes_efer
    and $~0x100, %eax
    wrmsr
    cmpl $MODE_REAL16, modes_wanted
    je modes_real
    lidt modes_idt32_pointer
    call modes_load
    ljmp $SEL_CODE32, $LOW_CODE
    .globl kit_back_32
kit_back_32:
    call modes_store
modes_long: /* from flat 32-bit code, paging off */
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $LOW_STACK, %esp
    mov $0x620, %eax
    mov %eax, %cr4
    mov $kit_pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    mov modes_efer, %eax
    xor %edx, %edx
    or $0x100, %eax
    and $~0x400, %eax
    wrmsr
    mov $0x80010023, %eax
    mov %eax, %cr0
    ljmp $SEL_CODE64, $modes_back64

modes_real:
    lidt modes_ivt_pointer
    ljmp $SEL_CODE16, $modes_real16
    .code16
modes_real16:
    mov $SEL_DATA16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %cr0, %eax
    and $~1, %eax
    mov %eax, %cr0
    ljmp $0, $1f
1:  xor %eax, %eax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov $LOW_STACK, %esp
    mov modes_ecx, %ecx
    mov modes_edx, %edx
    mov modes_ebx, %ebx
    mov modes_esi, %esi
    mov modes_edi, %edi
    mov modes_eax, %eax
    ljmp $0, $LOW_CODE
    .globl kit_back_real
kit_back_real:
    mov %eax, %cs:modes_eax
    mov %ebx, %cs:modes_ebx
    mov %ecx, %cs:modes_ecx
    mov %edx, %cs:modes_edx
    mov %esi, %cs:modes_esi
    mov %edi, %cs:modes_edi
modes_real_out:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl modes_gdt_pointer
    mov $0x21, %eax
    mov %eax, %cr0
    ljmpl $SEL_CODE32, $modes_long

    .code32
modes_load:
    mov modes_ebx, %ebx
    mov modes_ecx, %ecx
    mov modes_edx, %edx
    mov modes_esi, %esi
    mov modes_edi, %edi
    mov modes_eax, %eax
    ret
modes_store:
    mov %eax, modes_eax
    mov %ebx, modes_ebx
    mov %ecx, modes_ecx
    mov %edx, modes_edx
    mov %esi, modes_esi
    mov %edi, modes_edi
    ret

/* Exceptions. Real mode: vector on top of IP, CS, FLAGS. Protected mode: an error code may lie between, so 8 entries differ. */
    .code16
    .balign 16
modes_stubs16:
    vector = 0
    .rept 32
    .balign 8
    pushw $vector
    jmp modes_fault16
    vector = vector + 1
    .endr
modes_fault16:
    xor %ax, %ax
    mov %ax, %ds
    xor %eax, %eax
    pop %ax
    mov %eax, modes_fault_low
    pop %ax
    mov %eax, modes_fault_ip_low
    mov $LOW_STACK, %esp
    jmp modes_real_out

    .code32
    .balign 16
modes_stubs32:
    vector = 0
    .rept 32
    .balign 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push $0
    .endif
    push $vector
    jmp modes_fault32
    vector = vector + 1
    .endr
modes_fault32:
    pop %eax
    mov %eax, modes_fault_low
    pop %eax
    pop %eax
    mov %eax, modes_fault_ip_low
    jmp modes_long

    .balign 8
modes_ivt:
    vector = 0
    .rept 32
    .word modes_stubs16 + vector * 8, 0
    vector = vector + 1
    .endr
modes_idt32:
    vector = 0
    .rept 32
    .word modes_stubs32 + vector * 16, SEL_CODE32, 0x8e00, 0
    vector = vector + 1
    .endr
modes_ivt_pointer:
    .word 32 * 4 - 1
    .long modes_ivt
modes_idt32_pointer:
    .word 32 * 8 - 1
    .long modes_idt32
modes_gdt_pointer:
    .word 0x40 + 240 * 16 - 1
    .long kit_gdt
    .balign 8
modes_idt64:
    .skip 10
    .balign 8
modes_rsp:
    .quad 0
modes_wanted:
    .long 0
modes_efer:
    .long 0
modes_eax:
    .long 0
modes_ebx:
    .long 0
modes_ecx:
    .long 0
modes_edx:
    .long 0
modes_esi:
    .long 0
modes_edi:
    .long 0
    .globl kit_mode_fault, kit_mode_fault_ip
kit_mode_fault:
modes_fault_low:
    .long 0
kit_mode_fault_ip:
modes_fault_ip_low:
    .long 0

    .text
    .code64
modes_back64:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov modes_rsp, %rsp
    lidt modes_idt64
    pop %rdi
    mov modes_eax, %eax
    mov %eax, 0(%rdi)
    mov modes_ebx, %eax
    mov %eax, 4(%rdi)
    mov modes_ecx, %eax
    mov %eax, 8(%rdi)
    mov modes_edx, %eax
    mov %eax, 12(%rdi)
    mov modes_esi, %eax
    mov %eax, 16(%rdi)
    mov modes_edi, %eax
    mov %eax, 20(%rdi)
    popfq
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits
