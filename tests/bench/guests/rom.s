# The same guests in bochs, which knows no Multiboot: a system ROM of 128 KiB that holds the guest, copies it to 1 MiB and enters
# it as a Multiboot loader would. The image is found by -I.

        .intel_syntax noprefix
        .equ ROM, 0xfffe0000
        .section .text
rom:
        .incbin "guest.bin"
        .balign 4
guest_end:
        .org 0x1fe00                    # the guest ends before here, or the assembler refuses

        .code32
copy:   mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov esi, ROM
        mov edi, 0x100000
        mov ecx, (guest_end - rom) / 4
        cld
        rep movsd
        mov eax, 0x2badb002
        xor ebx, ebx
        mov ecx, 0x100020               # the header has 32 bytes; the entry follows
        jmp ecx

        .balign 8
gdt:    .quad 0
        .quad 0x00cf9b000000ffff
        .quad 0x00cf93000000ffff
gdt_pointer:
        .word . - gdt - 1
        .long ROM + (gdt - rom)

        .code16
boot:   cli                             # SDM 3A "First Instruction Executed": CS base 0xFFFF0000
        lgdtd cs:[gdt_pointer - rom - 0x10000]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        .byte 0x66, 0xea                # JMP FAR, 32-bit offset
        .long ROM + (copy - rom)
        .word 0x08

        .org 0x1fff0
        jmp boot
        .org 0x20000
