# Every bench guest begins here: from a Multiboot 1 loader's 32-bit state to long mode, main(), and the end of the machine.
#
# main() returns a checksum; it is printed in hexadecimal at port 0xE9 and must be the same wherever the guest runs. The machine
# ends by the debug-exit port 0xF4 (Orrery, QEMU) or by the word "Shutdown" at port 0x8900 (bochs). 4 GiB are mapped one to one
# by pages of 2 MiB open to user mode, except `window`: 2 MiB at 1 GiB, in pages of 4 KiB, onto RAM at 16 MiB.
# Any exception that nobody asked for prints '!' and ends the machine: a wrong run has no checksum.

        .intel_syntax noprefix
        .equ DEBUG_CONSOLE, 0xe9
        .equ DEBUG_EXIT, 0xf4
        .equ BOCHS_SHUTDOWN, 0x8900

        .section .start, "ax"
        .code32
header: # Multiboot 0.6.96 §3.1, the a.out kludge: the file is a flat image
        .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
        .long header, image_start, image_end, bss_end, start
        .globl start
start:
        cli
        cld
        xor eax, eax
        mov edi, offset bss_start       # bochs comes without a loader that does this
        mov ecx, offset bss_end
        sub ecx, edi
        rep stosb
        mov esp, offset stack_top
        mov al, 0xff                    # the 8259 pair says nothing
        out 0x21, al
        out 0xa1, al

        mov dword ptr [pml4], offset pdpt + 7
        mov ecx, 4
        mov eax, offset pds + 7
        mov edi, offset pdpt
1:      mov [edi], eax
        add eax, 0x1000
        add edi, 8
        loop 1b
        mov ecx, 2048
        mov eax, 0x87                   # present, writable, user, 2 MiB
        mov edi, offset pds
2:      mov [edi], eax
        add eax, 0x200000
        add edi, 8
        loop 2b
        mov dword ptr [pds + 0x1000], offset window_table + 7
        mov ecx, 512
        mov eax, 0x1000007
        mov edi, offset window_table
3:      mov [edi], eax
        add eax, 0x1000
        add edi, 8
        loop 3b

        mov eax, cr4
        or eax, 0x620                   # PAE, OSFXSR, OSXMMEXCPT
        mov cr4, eax
        mov eax, offset pml4
        mov cr3, eax
        mov ecx, 0xc0000080             # EFER: SCE, LME
        rdmsr
        or eax, 0x101
        wrmsr
        mov eax, 0x80010033             # PG, WP, NE, ET, MP, PE
        mov cr0, eax
        lgdt [gdt_pointer]
        jmp 0x08:long_mode

        .code64
long_mode:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor edi, edi
4:      lea rsi, unexpected[rip]
        call gate_set
        inc edi
        cmp edi, 32
        jb 4b
        lidt idt_pointer[rip]
        call main
        # RAX: the checksum
        mov rbx, rax
        mov ecx, 16
5:      rol rbx, 4
        mov eax, ebx
        and eax, 15
        mov al, digits[rax]
        out DEBUG_CONSOLE, al
        loop 5b
        mov al, '\n'
        out DEBUG_CONSOLE, al
        mov al, 16
        jmp machine_end
unexpected:
        mov al, '!'
        out DEBUG_CONSOLE, al
        mov al, 17
machine_end:
        out DEBUG_EXIT, al
        mov edx, BOCHS_SHUTDOWN
        mov rsi, offset shutdown
        mov ecx, 8
        rep outsb
        cli
6:      hlt
        jmp 6b

# EDI: vector; RSI: handler. SDM 3A "64-Bit Mode IDT": an interrupt gate, callable from CPL 3 so that INT3 is.
        .globl gate_set
gate_set:
        mov eax, edi
        shl eax, 4
        mov word ptr idt[rax], si
        mov word ptr idt[rax + 2], 8
        mov word ptr idt[rax + 4], 0xee00
        mov rdx, rsi
        shr rdx, 16
        mov word ptr idt[rax + 6], dx
        ret

        .section .rodata
        .balign 8
gdt:    .quad 0
        .quad 0x00af9b000000ffff        # 08 code, CPL 0
        .quad 0x00cf93000000ffff        # 10 data
        .quad 0x00cffb000000ffff        # 18 32-bit code, CPL 3
        .quad 0x00cff3000000ffff        # 20 data, CPL 3
        .quad 0x00affb000000ffff        # 28 code, CPL 3
gdt_pointer:
        .word . - gdt - 1
        .long gdt
        .long 0
idt_pointer:
        .word 32 * 16 - 1
        .quad idt
digits: .ascii "0123456789abcdef"
shutdown:
        .ascii "Shutdown"

        .section .bss
        .balign 4096
pml4:   .skip 0x1000
pdpt:   .skip 0x1000
pds:    .skip 0x4000
window_table:
        .skip 0x1000
idt:    .skip 0x1000
        .skip 0x4000
        .globl stack_top
stack_top:
