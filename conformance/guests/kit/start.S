/* The way in: Multiboot 1 and PVH at 32 bits, and the other processors by SIPI; both end in 64-bit C.
 *
 * Multiboot Specification 0.6.96 §3; Xen's public/arch-x86/hvm/start_info.h. What the loader left is only noted here: EAX in
 * kit_boot_magic, EBX in kit_boot_info. Page tables: the first 4 GiB identity mapped by 2 MiB pages, open to every level.
 */
#include "layout.h"

    .section .boot, "ax"
    .code32
    .balign 4
multiboot_header:
    .long 0x1badb002
    .long 0x00000003 /* modules on pages, memory map */
    .long -(0x1badb002 + 0x00000003)

    .globl kit_start
kit_start:
    cli
    cld
    mov %eax, kit_boot_magic
    mov %ebx, kit_boot_info
    mov $kit_stack_end, %esp

    /* PML4 -> PDPT -> four PDs of 512 entries of 2 MiB: present, writable, user, large. */
    movl $(kit_pdpt + 7), kit_pml4
    mov $(kit_pd + 7), %eax
    mov $kit_pdpt, %edi
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $4096, %eax
    add $8, %edi
    loop 1b
    mov $0x87, %eax
    mov $kit_pd, %edi
    mov $2048, %ecx
2:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 2b

    lgdt kit_gdt_pointer
    ljmp $SEL_CODE32, $3f
3:  mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    call long_mode
    ljmp $SEL_CODE64, $start64

/* Turns long mode on; the caller jumps into it. NX where the processor has it. Every processor comes through here. */
long_mode:
    mov $0x80000001, %eax
    cpuid
    mov $0x100, %esi /* EFER.LME */
    test $(1 << 20), %edx
    jz 1f
    or $0x800, %esi /* EFER.NXE */
1:  mov $0x620, %eax /* CR4: PAE, OSFXSR, OSXMMEXCPT */
    mov %eax, %cr4
    mov $kit_pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    mov %esi, %eax
    xor %edx, %edx
    wrmsr
    mov $0x80010023, %eax /* CR0: PG, WP, NE, MP, PE */
    mov %eax, %cr0
    ret

    .code64
start64:
    mov $kit_stack_end, %rsp
    xor %ebp, %ebp
    call kit_main
1:  cli
    hlt
    jmp 1b

/* ---- the other processors ---- */

    .section .low_ap, "ax"
    .code16
    .globl kit_ap_start16
kit_ap_start16:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl ap_gdt_pointer
    mov $0x11, %eax /* CR0: PE, ET; caches on */
    mov %eax, %cr0
    ljmpl $SEL_CODE32, $ap_start32
    .balign 8
ap_gdt_pointer:
    .word 0x40 + 240 * 16 - 1
    .long kit_gdt

    .section .boot, "ax"
    .code32
ap_start32:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov $1, %eax
    cpuid
    shr $24, %ebx /* the initial APIC id */
    movzbl kit_vp_of_apic(%ebx), %edi
    mov kit_stacks(, %edi, 4), %esp
    mov %edi, %ebp
    call long_mode
    ljmp $SEL_CODE64, $ap_start64
    .code64
ap_start64:
    mov %esp, %esp
    mov %ebp, %edi
    xor %ebp, %ebp
    call kit_ap_main
1:  cli
    hlt
    jmp 1b

/* ---- tables ---- */

    .section .note.Xen, "a", @note
    .long 4
    .long 4
    .long 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long kit_start

    .data
    .balign 16
    .globl kit_gdt, kit_gdt_pointer
kit_gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 08: 64-bit code */
    .quad 0x00cf93000000ffff /* 10: data */
    .quad 0x00cf9b000000ffff /* 18: 32-bit code */
    .quad 0x00009b000000ffff /* 20: 16-bit code */
    .quad 0x000093000000ffff /* 28: 16-bit data */
    .quad 0x00cff3000000ffff /* 30: user data */
    .quad 0x00affb000000ffff /* 38: user 64-bit code */
    .fill 240 * 2, 8, 0      /* 40: a TSS for each VP (smp.c) */
kit_gdt_pointer:
    .word . - kit_gdt - 1
    .quad kit_gdt

    .bss
    .balign 4096
    .globl kit_pml4, kit_pdpt, kit_pd, kit_stack_end
kit_pml4:
    .skip 4096
kit_pdpt:
    .skip 4096
kit_pd:
    .skip 4 * 4096
    .skip 16384
kit_stack_end:
    .globl kit_boot_magic, kit_boot_info
kit_boot_magic:
    .skip 4
kit_boot_info:
    .skip 4

    .section .note.GNU-stack, "", @progbits
