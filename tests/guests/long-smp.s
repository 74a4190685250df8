# Two VPs in long mode: a guest whose every result depends on where exactly interrupts and faults arrive.
#
# Interrupt handlers fold the interrupted RIP, RCX (a REP's progress) and the TSC into their VP's tick hash; the main line folds what
# it computes into R15. Both are printed at the end, so the console alone already tells two runs apart. VP 0 computes; VP 1 is
# started by INIT and SIPI, answers by IPI, and runs code that VP 0 has just rewritten. What is exercised: REP interrupted and
# faulting in the middle, the shadow of STI and MOV SS, HLT, single step, exceptions of several kinds, page tables changed under
# use, code that modifies itself, locked operations, LAPIC timer, PIT through the IOAPIC, an interrupt-driven UART.
# Not a test of the processor: nothing here knows what the right answer is, only that it is always the same one.
#
# Multiboot 1, a.out kludge: built as a flat binary at 1 MiB. The PIC stays masked.

        .intel_syntax noprefix
        .equ ROUNDS, 10
        .equ PML4, 0x300000
        .equ PDPT, 0x301000
        .equ PDS, 0x302000              # four pages: 4 GiB of 2 MiB pages
        .equ WINDOW_PDPT, 0x306000
        .equ WINDOW_PD, 0x307000
        .equ WINDOW_PT, 0x308000
        .equ FRAMES, 0x400000           # 64 frames for the window
        .equ BUFFER, 0x500000
        .equ WINDOW, 0x8000000000       # 512 pages, each of which comes and goes
        .equ STACK0, 0x210000
        .equ STACK1, 0x220000
        .equ APIC, 0xfee00000
        .equ IOAPIC, 0xfec00000
        .equ AREA0, 0x230000            # per VP, at GS
        .equ AREA1, 0x231000
        .equ TICK_HASH, 0               # in the area
        .equ TICKS, 8
        .equ STEPS, 16                  # single steps left
        .equ FAULTS, 24
        .equ TSS_SELECTOR, 0x28

        .section .text
        .code32
header:
        .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
        .long header, 0x100000, 0, 0, entry
        .org 0x20
entry:
        cld
        mov esp, STACK0
        mov edi, PML4                   # tables and areas are zero already: RAM is, and we came first
        mov dword ptr [PML4], PDPT + 7
        mov dword ptr [PML4 + 8], WINDOW_PDPT + 7
        mov dword ptr [WINDOW_PDPT], WINDOW_PD + 7
        mov dword ptr [WINDOW_PD], WINDOW_PT + 7
        mov ecx, 4
        mov eax, PDS + 7
        mov edi, PDPT
1:      mov [edi], eax
        add eax, 0x1000
        add edi, 8
        loop 1b
        mov ecx, 2048
        mov eax, 0x87                   # present, writable, user, 2 MiB
        mov edi, PDS
2:      mov [edi], eax
        add eax, 0x200000
        add edi, 8
        loop 2b
        mov al, 0xff                    # the 8259 pair says nothing
        out 0x21, al
        out 0xa1, al
        call to_long
        .code64
        mov rax, offset main
        jmp rax

# 32-bit, called by both VPs: paging and long mode on; returns in 64-bit code with flat segments.
        .code32
to_long:
        mov eax, cr4
        or eax, 0x6a0                   # PAE, PGE, OSFXSR, OSXMMEXCPT
        mov cr4, eax
        mov eax, PML4
        mov cr3, eax
        mov ecx, 0xc0000080
        rdmsr
        or eax, 0x901                   # SCE, LME, NXE
        wrmsr
        mov eax, 0x80010033             # PG, WP, NE, ET, MP, PE
        mov cr0, eax
        lgdt [gdt_pointer]
        pop ecx                         # the return address, 32 bits wide
        jmp 0x08:long_now
        .code64
long_now:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        jmp rcx

# ---- macros ----

        .macro FOLD reg                 # into the main line's checksum
        xor r15, \reg
        imul r15, r14
        rol r15, 17
        .endm
        .macro FOLD_TICK reg            # into this VP's tick hash; RAX is lost
        mov rax, gs:[TICK_HASH]
        rol rax, 11
        add rax, \reg
        imul rax, r14
        mov gs:[TICK_HASH], rax
        .endm
        .macro GATE vector, handler, type=0x8e
        mov eax, \vector
        mov rdx, offset \handler
        mov ecx, \type
        call set_gate
        .endm
        .macro EOI
        mov eax, APIC
        mov dword ptr [rax + 0xb0], 0
        .endm
        .macro EVENT name               # an interrupt: folds where it came, and when
        .balign 16
\name:
        push rax
        push rdx
        push r14
        mov r14, 0x9e3779b97f4a7c15
        FOLD_TICK [rsp + 24]            # interrupted RIP
        FOLD_TICK rcx
        rdtsc
        shl rdx, 32
        or rdx, rax
        FOLD_TICK rdx
        inc qword ptr gs:[TICKS]
        .endm
        .macro EVENT_END
        EOI
        pop r14
        pop rdx
        pop rax
        iretq
        .endm

# ---- set-up ----

# Vector EAX, handler RDX, type byte ECX.
set_gate:
        shl eax, 4
        mov edi, eax
        add edi, offset idt
        mov [rdi], dx
        mov word ptr [rdi + 2], 0x08
        mov byte ptr [rdi + 4], 0
        mov [rdi + 5], cl
        shr rdx, 16
        mov [rdi + 6], dx
        shr rdx, 16
        mov [rdi + 8], edx
        ret

set_area:                               # GS base = RAX
        mov rdx, rax
        shr rdx, 32
        mov ecx, 0xc0000101
        wrmsr
        ret

main:
        mov rsp, STACK0
        mov r14, 0x9e3779b97f4a7c15
        mov r15, 0x243f6a8885a308d3
        mov eax, AREA0
        call set_area
        mov ebx, 0                      # all exceptions: fatal, until they get a handler of their own
3:      mov eax, ebx
        mov rdx, offset fatal
        mov ecx, 0x8e
        call set_gate
        inc ebx
        cmp ebx, 256
        jb 3b
        GATE 0, divide_error
        GATE 1, debug
        GATE 2, nmi
        GATE 3, breakpoint
        GATE 6, invalid_opcode
        GATE 13, general_protection
        GATE 14, page_fault
        GATE 0x20, timer
        GATE 0x21, pit
        GATE 0x22, uart
        GATE 0x30, ipi
        GATE 0xff, spurious
        lidt [idt_pointer]
        # Local APIC: on, timer periodic, every 20 011 ticks
        mov eax, APIC
        mov dword ptr [rax + 0xf0], 0x1ff
        mov dword ptr [rax + 0x3e0], 0x0b       # divide by 1
        mov dword ptr [rax + 0x320], 0x20020
        mov dword ptr [rax + 0x380], 20011
        # IOAPIC: PIT on pin 2, UART on pin 4, both edge, to VP 0
        mov eax, IOAPIC
        mov dword ptr [rax], 0x14
        mov dword ptr [rax + 0x10], 0x21
        mov dword ptr [rax], 0x18
        mov dword ptr [rax + 0x10], 0x22
        # PIT channel 0: rate generator, every 200 ticks (some 170 us)
        mov al, 0x34
        out 0x43, al
        mov al, 200
        out 0x40, al
        xor eax, eax
        out 0x40, al
        # UART: 115200 baud 8N1, FIFO off, interrupts through OUT2
        mov dx, 0x3fb
        mov al, 0x80
        out dx, al
        mov dx, 0x3f8
        mov al, 1
        out dx, al
        mov dx, 0x3f9
        mov al, 0
        out dx, al
        mov dx, 0x3fb
        mov al, 3
        out dx, al
        mov dx, 0x3f9
        mov al, 1
        out dx, al
        mov dx, 0x3fc
        mov al, 0x0b
        out dx, al
        # VP 1
        mov rsi, offset trampoline
        mov edi, 0x8000
        mov ecx, trampoline_end - trampoline
        rep movsb
        mov eax, APIC
        mov dword ptr [rax + 0x310], 1 << 24
        mov dword ptr [rax + 0x300], 0x4500     # INIT
        mov dword ptr [rax + 0x310], 1 << 24
        mov dword ptr [rax + 0x300], 0x4608     # SIPI at 0x8000
        sti
4:      pause
        cmp byte ptr [ready], 1
        jne 4b
        fninit
        xor ebp, ebp                    # the round
round:
        call do_integers
        call do_strings
        call do_faults
        call do_shadows
        call do_own_code
        call do_window
        call do_other_vp
        call do_floats
        mov al, '0'
        add al, bpl
        call put
        FOLD rbp
        inc ebp
        cmp ebp, ROUNDS
        jb round

        cli
        mov byte ptr [quit], 1          # VP 1 folds its area into its answer and halts
        mov eax, APIC
        mov dword ptr [rax + 0x310], 1 << 24
        mov dword ptr [rax + 0x300], 0x4030
        sti
5:      pause
        cmp byte ptr [quit], 2
        jne 5b
        mov al, ' '
        call put
        mov rdi, r15
        call put_hex
        mov rdi, gs:[TICK_HASH]
        call put_hex
        mov rdi, gs:[TICKS]
        call put_hex
        mov rdi, [AREA1 + TICK_HASH]
        call put_hex
        mov rdi, [AREA1 + TICKS]
        call put_hex
        movzx edi, byte ptr [received]
        call put_hex
        mov al, 10
        call put
6:      mov al, [sent]                  # until the UART has taken all
        cmp al, [queued]
        je 7f
        sti
        hlt
        jmp 6b
7:      mov dx, 0x604                   # ACPI: S5
        mov ax, 0x3400
        out dx, ax
        mov al, 1
        out 0xf4, al                    # should S5 not be type 5
8:      cli
        hlt
        jmp 8b

# ---- the main line's work ----

do_integers:
        mov ecx, 60
        mov rax, r15
1:      lea rdx, [rax + rcx * 8 + 0x1234]
        add rdx, [background]
        mul rdx
        FOLD rdx
        shld rax, rdx, 13
        bsf rbx, rax
        adc rax, rbx
        bswap rax
        popcnt rbx, rax
        sbb rdx, rbx
        crc32 rbx, rdx
        rcl rax, 3
        cmovs rax, rbx
        xor edx, edx
        or rbx, 1
        div rbx
        FOLD rax
        FOLD rdx
        movzx esi, al
        bt [bits], esi
        setc sil
        add rax, rsi
        pushfq
        pop rdx
        and edx, 0x8d5
        FOLD rdx
        dec ecx
        jnz 1b
        ret

# Strings long enough to be interrupted, over page ends, both ways; flags of the last compare.
do_strings:
        mov edi, BUFFER + 0xfe3
        mov ecx, 900
        mov rax, r15
        rep stosd
        mov esi, BUFFER + 0xfe3
        mov edi, BUFFER + 0x2ff1
        mov ecx, 3000
        rep movsb
        std
        mov esi, BUFFER + 0x3ff8
        mov edi, BUFFER + 0x4101        # overlapping, downwards
        mov ecx, 300
        rep movsq
        cld
        mov esi, BUFFER + 0x2ff1
        mov edi, BUFFER + 0xfe3
        mov ecx, 3000
        repe cmpsb
        pushfq
        pop rax
        and eax, 0x8d5
        FOLD rax
        FOLD rcx
        mov edi, BUFFER + 0x1000
        mov ecx, 2500
        mov al, r15b
        repne scasb
        FOLD rcx
        FOLD rdi
        mov esi, BUFFER + 0x2f00
        xor edx, edx
        mov ecx, 512
2:      lodsq
        add rdx, rax
        rol rdx, 3
        loop 2b
        FOLD rdx
        mov dx, 0x1234                  # an empty port: all ones, one IN at a time
        mov edi, BUFFER + 0x6ffd
        mov ecx, 40
        rep insb
        ret

do_faults:
        xor edx, edx
        xor ecx, ecx
        mov rax, r15
        div ecx                         # #DE; its handler steps over it
        ud2
        int3
        mov ecx, 0x12345678
        wrmsr                           # #GP
        mov rax, WINDOW
        mov ecx, ebp
        and ecx, 15
        shl ecx, 12
        add rax, rcx
        mov rdx, [rax + 8]              # #PF, or not: the frame comes on demand
        add [rax + 0xffd], r15          # and into the next page, at the page's end
        FOLD rdx
        FOLD gs:[FAULTS]
        ret

do_shadows:
        cli
        mov ecx, 40
1:      loop 1b
        sti                             # a shadow of one instruction,
        hlt                             # so no interrupt can come before the HLT
        cli
        sti
        cli                             # and none at all here
        mov eax, 0x10
        mov ecx, 20
2:      mov ss, eax                     # shadow
        loop 2b
        sti
        mov qword ptr gs:[STEPS], 9
        pushfq
        or qword ptr [rsp], 0x100       # TF
        popfq
        nop
        mov ss, eax                     # the trap waits for the next instruction
        add rdx, r15
        mov esi, BUFFER
        mov edi, BUFFER + 0x40
        mov ecx, 3
        rep movsb                       # a trap after each iteration
        nop
        nop
        nop
        nop
        ret

# The operand of an instruction in the same block, then a routine that is rewritten byte by byte, through its alias in the window.
do_own_code:
        mov ecx, 12
1:      mov eax, ecx
        xor eax, r15d
        mov [patched + 1], eax
patched:
        mov eax, 0
        FOLD rax
        loop 1b
        mov rdi, offset routine
        and edi, 0xfff
        mov rax, offset routine
        and rax, -4096
        or rax, 3
        mov [WINDOW_PT + 500 * 8], rax
        add rax, 0x1000
        mov [WINDOW_PT + 501 * 8], rax
        mov rbx, WINDOW + 500 * 4096
        invlpg [rbx]
        invlpg [rbx + 4096]
        add rbx, rdi
        mov [rbx + 2], bpl              # add al, imm8
        mov eax, r15d
        call routine
        FOLD rax
        mov byte ptr [rbx + 2], 0x55
        call rbx
        FOLD rax
        ret

# Pages of the window change their frames under use: INVLPG, CR3, global pages; accessed and dirty bits become results.
do_window:
        mov ecx, 24
1:      mov rbx, WINDOW
        mov eax, ecx
        shl eax, 12
        add rbx, rax
        mov rdx, [rbx]
        FOLD rdx
        mov [rbx + 16], r15
        mov rax, [WINDOW_PT + rcx * 8]
        FOLD rax                        # A and D
        lea eax, [rcx + rbp * 4]
        and eax, 63
        shl eax, 12
        add eax, FRAMES + 0x103         # another frame, global
        mov [WINDOW_PT + rcx * 8], rax
        invlpg [rbx]
        mov rdx, [rbx + 16]
        FOLD rdx
        loop 1b
        mov rax, cr4                    # global pages go
        mov rdx, rax
        xor eax, 0x80
        mov cr4, rax
        mov cr4, rdx
        mov rsi, WINDOW + 0x1f80        # a REP that runs into pages that are not there
        mov rdi, WINDOW + 0x40f80
        mov ecx, 700
        rep movsq
        mov ecx, 16                     # all of these leave again
        xor eax, eax
        mov edi, WINDOW_PT + 64 * 8
        rep stosq
        mov rax, cr3
        mov cr3, rax
        ret

# VP 1 runs what is written here, and answers by IPI; meanwhile both count on one word.
do_other_vp:
        mov eax, r15d
        mov [remote + 1], eax           # mov eax, imm32
        mov byte ptr [answered], 0
        mov eax, APIC
        mov dword ptr [rax + 0x310], 1 << 24
        mov dword ptr [rax + 0x300], 0x4030
        mov ecx, 50
1:      mov eax, 3
        lock xadd [shared], eax
        mov edx, [shared]
        and edx, 511
        lock btc qword ptr [shared + 8], rdx
        loop 1b
2:      cmp byte ptr [answered], 1
        je 3f
        pause
        test ebp, 1
        jz 2b
        cli                             # in odd rounds asleep
        cmp byte ptr [answered], 1
        je 4f
        sti
        hlt
        jmp 2b
4:      sti
3:      mov rax, [answer]
        FOLD rax
        mov rax, [shared]
        FOLD rax
        mov eax, APIC                   # the timer's count
        mov eax, [rax + 0x390]
        FOLD rax
        mov eax, APIC                   # an NMI to oneself
        mov dword ptr [rax + 0x310], 0
        mov dword ptr [rax + 0x300], 0x4400
        mov eax, 1
        cpuid
        FOLD rbx
        rdtscp
        FOLD rax
        rdrand rax
        FOLD rax
        ret

do_floats:
        cvtsi2sd xmm0, r15
        mov eax, 3
        cvtsi2sd xmm1, eax
        mov ecx, 8
1:      divsd xmm0, xmm1
        sqrtsd xmm2, xmm0
        mulpd xmm1, xmm2
        addsd xmm1, xmm2
        loop 1b
        movq rax, xmm1
        FOLD rax
        fld1
        fldpi
        fyl2x
        fsin
        fstp qword ptr [bits]
        mov rax, [bits]
        FOLD rax
        fxsave [image]
        mov rax, [image + 160]
        FOLD rax
        ret

# ---- output: a queue that the UART's interrupt empties ----

put:
        pushfq
        cli
        movzx ebx, byte ptr [queued]
        mov [queue + rbx], al
        inc byte ptr [queued]
        mov dx, 0x3f9
        mov al, 3                       # interrupt when the transmitter is empty, too
        out dx, al
        popfq
        ret

put_hex:
        mov r12d, 16
1:      rol rdi, 4
        mov eax, edi
        and eax, 15
        mov al, [digits + rax]
        call put
        dec r12d
        jnz 1b
        mov al, ' '
        jmp put

# ---- events ----

EVENT timer
EVENT_END

EVENT pit
EVENT_END

EVENT ipi
EVENT_END

EVENT spurious
        pop r14                         # no EOI for this one
        pop rdx
        pop rax
        iretq

EVENT nmi
        pop r14
        pop rdx
        pop rax
        iretq

# All that the UART has to say, so that its line falls and the next edge comes.
EVENT uart
        push rbx
1:      mov dx, 0x3fa
        in al, dx
        test al, 1
        jnz 4f
        and al, 0x0e
        cmp al, 4
        jne 2f
        mov dx, 0x3f8                   # received
        in al, dx
        movzx rbx, al
        FOLD_TICK rbx
        inc byte ptr [received]
        jmp 1b
2:      mov bl, [sent]
        cmp bl, [queued]
        je 3f
        movzx ebx, bl
        mov al, [queue + rbx]
        mov dx, 0x3f8
        out dx, al
        inc byte ptr [sent]
        jmp 1b
3:      mov dx, 0x3f9                   # nothing to send: only the receiver may interrupt
        mov al, 1
        out dx, al
        jmp 1b
4:      pop rbx
EVENT_END

        .balign 16
divide_error:
invalid_opcode:
        add qword ptr [rsp], 2          # DIV ECX and UD2 are two bytes long
breakpoint:
        inc qword ptr gs:[FAULTS]
        iretq

general_protection:
        add rsp, 8
        add qword ptr [rsp], 2          # WRMSR as well
        inc qword ptr gs:[FAULTS]
        iretq

debug:
        push rax
        push r14
        mov r14, 0x9e3779b97f4a7c15
        FOLD_TICK [rsp + 16]
        FOLD_TICK rcx
        mov rax, dr6
        mov dr6, rax
        dec qword ptr gs:[STEPS]
        jnz 1f
        and dword ptr [rsp + 32], 0xfffffeff
1:      pop r14
        pop rax
        iretq

# A page of the window: the next frame. Anything else is an error.
page_fault:
        push rax
        push rdx
        mov rax, cr2
        mov rdx, rax
        shr rdx, 21
        cmp rdx, WINDOW >> 21
        jne fatal
        shr eax, 12
        and eax, 511
        mov edx, [next_frame]
        inc dword ptr [next_frame]
        and edx, 63
        shl edx, 12
        add edx, FRAMES + 3
        mov [WINDOW_PT + rax * 8], rdx
        mov eax, [rsp + 16]             # error code
        add gs:[FAULTS], rax
        inc qword ptr gs:[FAULTS]
        pop rdx
        pop rax
        add rsp, 8
        iretq

fatal:
        mov al, '!'
        mov dx, 0x3f8
        out dx, al
        mov al, 0x7f
        out 0xf4, al
1:      cli
        hlt
        jmp 1b

# ---- VP 1 ----

        .code16
trampoline:
        cli
        xor ax, ax
        mov ds, ax
        lgdtd cs:[trampoline_gdt - trampoline]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        .byte 0x66, 0xea                # jmp 0x18:vp1_32
        .long vp1_32
        .word 0x18
trampoline_gdt:
        .word 0x2f
        .long gdt
trampoline_end:

        .code32
vp1_32:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov esp, STACK1
        call to_long
        .code64
        mov rsp, STACK1
        mov r14, 0x9e3779b97f4a7c15
        xor r15d, r15d
        mov eax, AREA1
        call set_area
        lidt [idt_pointer]
        mov eax, APIC
        mov dword ptr [rax + 0xf0], 0x1ff
        mov dword ptr [rax + 0x3e0], 0x08       # divide by 2
        mov dword ptr [rax + 0x320], 0x00020    # one shot: armed again in the loop
        mov byte ptr [ready], 1
vp1_loop:
        mov eax, APIC
        mov dword ptr [rax + 0x380], 30011
        cmp byte ptr [answered], 0
        jne 1f
        call remote
        FOLD rax
        mov ecx, 30
2:      mov eax, 5
        lock xadd [shared], eax
        loop 2b
        mov edi, BUFFER + 0x8ff0
        mov rax, r15
        mov ecx, 400
        rep stosq
        mov [answer], r15
        mov byte ptr [answered], 1
        mov eax, APIC
        mov dword ptr [rax + 0x310], 0
        mov dword ptr [rax + 0x300], 0x4030
1:      cmp byte ptr [quit], 1
        je 3f
        sti
        mov ecx, 2500                   # work of its own, which VP 0 watches: so every turn's end shows
5:      inc qword ptr [background]
        loop 5b
        hlt
        cli
        jmp vp1_loop
3:      mov byte ptr [quit], 2
4:      hlt
        jmp 4b

# ---- data ----

        .balign 4096
        .skip 4096 - 10                 # so that the rewritten routine goes over a page end
routine:
        nop
        .byte 0x04, 0                   # add al, imm8; the immediate is rewritten
        lea rax, [rax + rax * 2]
        ror rax, 9
        cmp al, 0x80
        jb 1f
        not rax
1:      ret
remote:
        mov eax, 0                      # the immediate is rewritten by VP 0
        imul rax, rax, 0x1003f
        ret

        .balign 16
gdt:    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00cf9a000000ffff, 0, 0
gdt_pointer:
        .word 0x2f
        .quad gdt
idt_pointer:
        .word 0xfff
        .quad idt
digits: .ascii "0123456789abcdef"
        .balign 64
shared: .quad 0
        .skip 128                       # the bits that LOCK BTC turns
bits:   .skip 64
ready:  .byte 0
quit:   .byte 0
answered:
        .byte 1
queued: .byte 0
sent:   .byte 0
received:
        .byte 0
        .balign 8
answer: .quad 0
background:
        .quad 0
next_frame:
        .long 0
        .balign 64
queue:  .skip 256
        .balign 64
image:  .skip 512
        .balign 4096
idt:    .skip 4096
