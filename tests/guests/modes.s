# One VP through the older modes: real, unreal, 32-bit protected, virtual-8086 and PAE; x87, MMX and SSE in each rounding mode.
#
# As in long-smp.s, interrupt handlers fold CS, IP, CX and the TSC into a hash, and the main line folds what it computes; both are
# printed at the end. Timers here are the PIT and the RTC through the 8259 pair. Exercised besides: string operations interrupted in 16-bit
# code, decimal adjustment, segment wrap, the A20 gate, far calls, a hardware task switch, paging of 4 MiB and 4 KiB pages
# changed under use, code that rewrites the instruction after it, faults of x87 and SSE.
#
# A flat image at 0x8000, entered in real mode at its first byte.

        .intel_syntax noprefix
        .equ BASE, 0x8000
        .equ STACK, 0x7c00
        .equ BUFFER, 0x40000            # real mode: segment 0x4000
        .equ PAGES, 0x80000             # 32-bit page directory, and a table
        .equ PAE, 0x84000               # PAE: pointer table, directories, a table
        .equ WINDOW, 0x10000000
        .equ K, 0x9e3779b1

        .section .text
        .macro FOLD reg:vararg               # a 32-bit register into the checksum; EBP is that
        xor ebp, \reg
        imul ebp, ebp, K
        rol ebp, 13
        .endm

        .code16
start:
        cli
        cld
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, STACK
        mov ebp, 0x243f6a88
        # The 8259 pair: vectors 0x50 and 0x58; open are the PIT (0), the cascade (2) and the RTC (8)
        mov al, 0x11
        out 0x20, al
        out 0xa0, al
        mov al, 0x50
        out 0x21, al
        mov al, 0x58
        out 0xa1, al
        mov al, 4
        out 0x21, al
        mov al, 2
        out 0xa1, al
        mov al, 1
        out 0x21, al
        out 0xa1, al
        mov al, 0xfa
        out 0x21, al
        mov al, 0xfe
        out 0xa1, al
        mov al, 0x34                    # PIT: every 60 ticks
        out 0x43, al
        mov al, 60
        out 0x40, al
        mov al, 0
        out 0x40, al
        mov al, 0x0b                    # RTC: 4 096 Hz
        out 0x70, al
        mov al, 0x42
        out 0x71, al
        mov al, 0x0a
        out 0x70, al
        mov al, 0x24
        out 0x71, al
        mov word ptr [0x50 * 4], offset tick16
        mov word ptr [0x50 * 4 + 2], 0
        mov word ptr [0x58 * 4], offset rtc16
        mov word ptr [0x58 * 4 + 2], 0
        mov word ptr [0], offset divide16
        mov word ptr [2], 0
        mov word ptr [6 * 4], offset skip16
        mov word ptr [6 * 4 + 2], 0
        mov word ptr [3 * 4], offset breakpoint16
        mov word ptr [3 * 4 + 2], 0
        mov word ptr [1 * 4], offset debug16
        mov word ptr [1 * 4 + 2], 0
        mov ecx, 0x1b                   # the local APIC out of the way: the 8259 drives INTR itself
        rdmsr
        and ah, 0xf7
        wrmsr
        sti
        mov al, 'r'
        out 0xe9, al

# ---- real mode ----
        mov ecx, 200                    # decimal and other arithmetic of old
1:      mov eax, ebp
        daa
        aaa
        aam
        pushf
        pop dx
        and dx, 0x8d5
        FOLD eax
        FOLD edx
        das
        aas
        aad 7
        mul cx
        xor dx, dx
        mov bx, cx
        div bx
        FOLD eax
        FOLD edx
        xlatb
        FOLD eax
        dec cx
        jnz 1b
        mov ax, 0x4000                  # strings in another segment; a wrap of DI at its end
        mov es, ax
        mov eax, ebp
        mov di, 0xfc01
        mov cx, 3000
        rep stosb
        push ds
        mov ds, ax
        xor si, si
        push es
        pop ds
        mov di, 0x2345
        mov cx, 5000
        rep movsw
        mov si, 0x100
        mov di, 0x2445
        mov cx, 900
        repe cmpsd
        pushf
        pop ax
        FOLD eax
        FOLD ecx
        pop ds
        xor dx, dx                      # faults
        mov cx, dx
        div cx
        ud2
        int3
        mov byte ptr [steps], 9         # single step over a REP and a load of SS
        pushf
        pop ax
        or ah, 1
        push ax
        popf
        mov cx, 3
        xor si, si
        mov di, 0x4000
        rep movsb
        push ss
        pop ss
        nop
        nop
        nop
        mov cx, 10                      # the instruction after the store, rewritten
2:      mov ax, bp
        add ax, cx
        mov [patched16 + 1], ax
patched16:
        mov ax, 0
        FOLD eax
        loop 2b
        in al, 0x92                     # A20 shut: 1 MiB is 0
        and al, 0xfd
        out 0x92, al
        mov ax, 0xffff
        mov es, ax
        mov eax, es:[0x10 + 0x50 * 4]
        FOLD eax
        in al, 0x92
        or al, 2
        out 0x92, al
        mov eax, es:[0x10 + 0x50 * 4]
        FOLD eax
        sti
        hlt
        call 0:far16
        jmp 3f
far16:  FOLD esp
        retf
3:

# ---- protected mode, and back with a segment that keeps its limit ----
        cli
        lgdtd [gdt_pointer]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        mov bx, 0x10
        mov fs, bx
        and al, 0xfe
        mov cr0, eax
        xor bx, bx
        mov gs, bx
        sti
        mov ecx, 100
        mov edi, 0x200000               # beyond 64 KiB
4:      mov fs:[edi], ecx
        add edi, 4093
        addr32 loop 4b
        FOLD edi
        mov al, 'u'
        out 0xe9, al

        cli
        mov eax, cr0
        or al, 1
        mov cr0, eax
        .byte 0x66, 0xea                # jmp 0x08:protected
        .long protected
        .word 0x08

# ---- 16-bit handlers ----
tick16:
        push eax
        push edx
        push bp
        mov bp, sp
        mov eax, [bp + 10]              # IP and CS
        mov edx, cs:[ticks]
        rol edx, 7
        add edx, eax
        xor dx, cx
        imul edx, edx, K
        mov cs:[ticks], edx
        rdtsc
        add cs:[ticks], eax
        inc word ptr cs:[count]
        mov al, 0x20
        out 0x20, al
        pop bp
        pop edx
        pop eax
        iret
rtc16:
        push eax
        mov al, 0x0c
        out 0x70, al
        in al, 0x71
        rol dword ptr cs:[ticks], 3
        add cs:[ticks], eax
        inc word ptr cs:[count]
        mov al, 0x20
        out 0xa0, al
        out 0x20, al
        pop eax
        iret
divide16:
skip16: push bp                         # DIV CX and UD2 are two bytes long
        mov bp, sp
        add word ptr [bp + 2], 2
        pop bp
breakpoint16:
        iret
debug16:
        push bp
        mov bp, sp
        dec byte ptr cs:[steps]
        jnz 1f
        and byte ptr [bp + 7], 0xfe
1:      pop bp
        iret

# ---- 32-bit protected mode ----
        .code32
        .macro GATE vector, handler, type=0x8e
        mov dword ptr [idt + \vector * 8], offset \handler + 0x80000
        mov dword ptr [idt + \vector * 8 + 4], \type << 8
        .endm
protected:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov fs, eax
        mov esp, STACK
        mov edi, offset idt             # all vectors: fatal
        mov ecx, 256
1:      mov dword ptr [edi], offset fatal + 0x80000
        mov dword ptr [edi + 4], 0x8e00
        add edi, 8
        loop 1b
        GATE 0, skip32
        GATE 1, debug32
        GATE 3, breakpoint32, 0xee
        GATE 6, skip32
        GATE 7, device_not_available
        GATE 13, general_protection
        GATE 14, page_fault
        GATE 16, x87_fault
        GATE 19, simd_fault
        GATE 0x50, tick32
        GATE 0x58, rtc32
        mov dword ptr [idt + 0x40 * 8], 0x00300000      # a task gate
        mov dword ptr [idt + 0x40 * 8 + 4], 0x8500
        lidt [idt_pointer]
        mov dword ptr [tss + 4], 0x7000
        mov dword ptr [tss + 8], 0x10
        mov dword ptr [tss + 0x1c], PAGES
        mov dword ptr [tss + 0x64], 0x680000
        mov eax, 0x28
        ltr ax
        # Page directory: 4 MiB pages for the first 16 MiB and the LAPIC; the window by a table
        mov edi, PAGES
        mov eax, 0x87
        mov ecx, 4
2:      stosd
        add eax, 0x400000
        loop 2b
        mov dword ptr [PAGES + (WINDOW >> 22) * 4], PAGES + 0x1000 + 7
        mov eax, cr4
        or eax, 0x690                   # PSE, PGE, OSFXSR, OSXMMEXCPT
        mov cr4, eax
        mov eax, PAGES
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80010022              # PG, WP, NE, MP
        mov cr0, eax
        sti
        mov al, 'p'
        out 0xe9, al
        mov esi, 6
round:  push esi
        call do_tables
        call do_strings
        call do_faults
        call do_x87
        call do_sse
        call do_mmx
        call do_own_code
        int 0x40                        # to the other task, and back: CR0.TS is set then
        FOLD dword ptr [other_count]
        mov al, '.'
        out 0xe9, al
        pop esi
        dec esi
        jnz round

# ---- virtual-8086: INT, PUSHF and I/O trap, the timer goes on ----
        mov al, 'v'
        out 0xe9, al
        mov [stack_before_v86], esp
        push 0                          # GS FS DS ES
        push 0
        push 0
        push 0
        push 0                          # SS, ESP
        push 0x6800
        push 0x23202                    # VM, IOPL 3, IF
        push 0
        push offset v86
        iretd
after_v86:
        mov esp, ss:[stack_before_v86]
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        FOLD ecx
        FOLD edx

# ---- PAE ----
        cli
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        mov dword ptr [PAE], PAE + 0x1001
        mov edi, PAE + 0x1000
        mov eax, 0x83
        mov ecx, 8
3:      mov [edi], eax
        add eax, 0x200000
        add edi, 8
        loop 3b
        mov dword ptr [PAE + 0x1000 + (WINDOW >> 21) * 8], PAE + 0x2000 + 7
        mov eax, cr4
        or eax, 0x20
        mov cr4, eax
        mov eax, PAE
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        sti
        mov byte ptr [pae], 1
        call do_tables
        call do_strings
        call do_tables
        mov al, ' '
        out 0xe9, al
        cli
        mov eax, ebp
        call put_hex
        mov eax, [ticks]
        call put_hex
        movzx eax, word ptr [count]
        call put_hex
        mov al, 10
        out 0xe9, al
        mov al, 0x15
        out 0xf4, al
4:      hlt
        jmp 4b

put_hex:
        mov ecx, 8
1:      rol eax, 4
        mov ebx, eax
        and ebx, 15
        push eax
        mov al, [digits + ebx]
        out 0xe9, al
        pop eax
        loop 1b
        push eax
        mov al, ' '
        out 0xe9, al
        pop eax
        ret

# The window's pages come on demand; here each gets another frame, and its A and D bits are results.
do_tables:
        mov ecx, 20
1:      mov ebx, ecx
        shl ebx, 12
        add ebx, WINDOW
        mov eax, [ebx + 0x10]
        FOLD eax
        add [ebx + 0xffe], ebp
        mov edx, ecx
        mov eax, ecx
        cmp byte ptr [pae], 0
        jne 2f
        mov eax, [PAGES + 0x1000 + ecx * 4]
        FOLD eax
        lea eax, [ecx + 5]
        and eax, 31
        shl eax, 12
        add eax, 0x300103
        mov [PAGES + 0x1000 + ecx * 4], eax
        jmp 3f
2:      mov eax, [PAE + 0x2000 + ecx * 8]
        FOLD eax
        mov dword ptr [PAE + 0x2000 + ecx * 8], 0
3:      invlpg [ebx]
        mov [ebx], ebp
        mov eax, [ebx + 0x10]
        FOLD eax
        dec ecx
        jnz 1b
        mov eax, cr3
        mov cr3, eax
        ret

do_strings:
        mov esi, WINDOW + 0x1ff1
        mov edi, WINDOW + 0x21ffd
        mov ecx, 2500
        rep movsd
        mov edi, WINDOW + 0x30ff3
        mov al, 0x5a
        mov ecx, 9000
        rep stosb
        std
        mov edi, WINDOW + 0x32ff3
        mov ecx, 9000
        repe scasb
        cld
        FOLD ecx
        FOLD edi
        mov edi, WINDOW + 0x8000
        mov ecx, 1024
        xor eax, eax
        cmp byte ptr [pae], 0
        jne 1f
        mov edi, PAGES + 0x1000 + 0x20 * 4
        mov ecx, 16
1:      rep stosd                       # pages that must come again
        mov eax, cr4
        mov edx, eax
        xor eax, 0x80                   # PGE
        mov cr4, eax
        mov cr4, edx
        ret

do_faults:
        xor edx, edx
        xor ecx, ecx
        div ecx
        ud2
        int3
        mov ecx, 0x12345678
        rdmsr                           # #GP
        mov eax, cr0
        or al, 8                        # TS: the next x87 or SSE instruction is #NM
        mov cr0, eax
        fninit
        mov eax, cr0
        or al, 8
        mov cr0, eax
        xorps xmm0, xmm0
        mov byte ptr [steps], 9
        pushfd
        or byte ptr [esp + 1], 1
        popfd
        mov ecx, 3
        mov esi, BUFFER
        mov edi, BUFFER + 64
        rep movsb
        push ss
        pop ss
        nop
        nop
        nop
        sti
        hlt
        FOLD dword ptr [faults]
        ret

do_x87:
        fninit
        mov [number], ebp
        mov edx, 0x037f
1:      mov [control], edx              # four roundings, with each of two precisions
        fldcw [control]
        fild dword ptr [number]
        fldpi
        fdivp
        fld st(0)
        fabs
        fsqrt
        fsin
        fxch
        f2xm1
        faddp
        fldl2e
        fyl2xp1
        fld st(0)
        frndint
        fsub st(1), st
        fscale
        fstp tbyte ptr [number + 16]
        fstp qword ptr [number + 8]
        FOLD dword ptr [number + 8]
        FOLD dword ptr [number + 12]
        FOLD dword ptr [number + 16]
        FOLD dword ptr [number + 20]
        FOLD dword ptr [number + 24]
        fld1
        fild dword ptr [number]
        fbstp [number + 32]
        FOLD dword ptr [number + 32]
        fnstsw ax
        movzx eax, ax
        FOLD eax
        fptan
        fpatan
        fpatan
        fnsave [image]
        frstor [image]
        fxsave [image]
        FOLD dword ptr [image]
        FOLD dword ptr [image + 4]
        fninit
        add edx, 0x400
        test edx, 0x1000
        jz 1b
        cmp edx, 0x137f
        mov edx, 0x7f                   # once more with single precision
        je 1b
        mov word ptr [control], 0x37b # unmasked: division by zero
        fldcw [control]
        fld1
        fldz
        fdivp
        fwait                           # #MF
        fninit
        ret

do_sse:
        mov edx, 0x1f80
1:      mov [control], edx
        ldmxcsr [control]
        cvtsi2ss xmm0, ebp
        cvtsi2sd xmm1, edx
        cvtss2sd xmm2, xmm0
        divsd xmm2, xmm1
        sqrtpd xmm3, xmm2
        mulsd xmm3, xmm1
        addsubps xmm3, xmm0
        cvtpd2dq xmm4, xmm3
        cvttps2dq xmm5, xmm0
        dpps xmm3, xmm0, 0xf1
        roundsd xmm6, xmm2, 4
        pshufb xmm3, xmm5
        pmaddwd xmm3, xmm2
        pcmpistri xmm3, xmm4, 0x1a
        FOLD ecx
        paddq xmm3, xmm6
        rcpps xmm7, xmm0
        rsqrtps xmm0, xmm7
        movd eax, xmm3
        FOLD eax
        movd eax, xmm0
        FOLD eax
        movupd [number + 3], xmm3
        FOLD dword ptr [number + 11]
        stmxcsr [number]
        FOLD dword ptr [number]
        add edx, 0x2000
        test edx, 0x8000
        jz 1b
        mov dword ptr [control], 0x9fc0 # FTZ, DAZ
        ldmxcsr [control]
        mov eax, 0x00012345
        movd xmm0, eax
        mulss xmm0, xmm0
        movd eax, xmm0
        FOLD eax
        mov dword ptr [control], 0x1d80 # unmasked: division by zero
        ldmxcsr [control]
        mov eax, 0x3f800000
        movd xmm0, eax
        xorps xmm1, xmm1
        divss xmm0, xmm1                # #XM
        ret

do_mmx:
        movd mm0, ebp
        movd mm1, esp
        punpcklbw mm0, mm1
        pmulhw mm1, mm0
        paddusb mm0, mm1
        psadbw mm1, mm0
        packuswb mm0, mm1
        movd eax, mm0
        FOLD eax
        movq2dq xmm0, mm1
        maskmovq mm0, mm1
        emms
        ret

do_own_code:
        mov ecx, 12
1:      lea eax, [ebp + ecx]
        mov [patched32 + 1], eax
        mov [patched32 + 6], al
patched32:
        mov eax, 0
        .byte 0x04, 0                   # add al, imm8
        FOLD eax
        loop 1b
        ret

# ---- 32-bit handlers ----
tick32:
        push eax
        push edx
        mov edx, ss:[ticks]             # from virtual-8086 mode DS comes as null
        rol edx, 7
        add edx, [esp + 8]
        xor edx, ecx
        imul edx, edx, K
        mov ss:[ticks], edx
        rdtsc
        add ss:[ticks], eax
        test dword ptr [esp + 16], 0x20000
        jz 1f
        rol dword ptr ss:[ticks], 1
1:      inc word ptr ss:[count]
        mov al, 0x20
        out 0x20, al
        pop edx
        pop eax
        iretd
rtc32:
        push eax
        mov al, 0x0c
        out 0x70, al
        in al, 0x71
        movzx eax, al
        rol dword ptr ss:[ticks], 3
        add ss:[ticks], eax
        inc word ptr ss:[count]
        mov al, 0x20
        out 0xa0, al
        out 0x20, al
        pop eax
        iretd
skip32: add dword ptr [esp], 2          # DIV ECX and UD2
breakpoint32:
        inc dword ptr ss:[faults]
        iretd
debug32:
        dec byte ptr [steps]
        jnz 1f
        and dword ptr [esp + 8], 0xfffffeff
1:      iretd
device_not_available:
        clts
        inc dword ptr [faults]
        iretd
# From virtual-8086 code: the end of it. Else RDMSR, two bytes long.
general_protection:
        test dword ptr [esp + 12], 0x20000
        jnz after_v86
        add esp, 4
        add dword ptr [esp], 2
        inc dword ptr [faults]
        iretd
page_fault:
        push eax
        push edx
        mov eax, cr2
        mov edx, eax
        shr edx, 20
        cmp edx, WINDOW >> 20
        jne fatal
        mov edx, [next_frame]
        inc dword ptr [next_frame]
        and edx, 31
        shl edx, 12
        add edx, 0x300003
        shr eax, 12
        and eax, 0xff
        cmp byte ptr [pae], 0
        jne 1f
        mov [PAGES + 0x1000 + eax * 4], edx
        jmp 2f
1:      mov [PAE + 0x2000 + eax * 8], edx
2:      mov eax, [esp + 8]
        add [faults], eax
        pop edx
        pop eax
        add esp, 4
        iretd
x87_fault:
        fnclex
        inc dword ptr [faults]
        iretd
simd_fault:
        add dword ptr [esp], 4          # DIVSS XMM0, XMM1
        inc dword ptr [faults]
        iretd
fatal:
        mov al, '!'
        out 0xe9, al
        mov al, 0x7f
        out 0xf4, al
1:      hlt
        jmp 1b

# ---- the other task ----
other_task:
        rol dword ptr [other_count], 5
        inc dword ptr [other_count]
        mov eax, [tss + 0x20]           # EIP in the image of the task that called
        iretd
        jmp other_task

# ---- virtual-8086 code ----
        .code16
v86:    xor ax, ax
        mov ds, ax
        mov ax, 0x4000
        mov es, ax
        mov si, 0x10
        mov di, 0x9000
        mov cx, 6000
        rep movsb
        mov cx, 3000
1:      mov dx, cx
        imul dx, ax
        add ax, dx
        pushf
        pop bx
        xor ax, bx
        loop 1b
        mov dx, ax
        sti
        nop
        hlt                             # #GP: the monitor takes over

        .balign 16
gdt:    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0, 0
        .word 0x67, tss, 0x8900, 0
        .word 0x67, other_tss, 0x8900, 0
gdt_pointer:
        .word 0x37
        .long gdt
idt_pointer:
        .word 0x7ff
        .long idt
digits: .ascii "0123456789abcdef"
steps:  .byte 0
pae:    .byte 0
        .balign 4
ticks:  .long 0
count:  .long 0
faults: .long 0
next_frame:
        .long 0
other_count:
        .long 0
stack_before_v86:
        .long 0
control:
        .long 0
        .balign 16
number: .skip 64
        .balign 16
image:  .skip 512
        .balign 64
tss:    .skip 0x68
        .balign 64
other_tss:
        .skip 0x1c
        .long PAGES, other_task, 2, 0, 0, 0, 0, 0x6c00, 0, 0, 0
        .long 0x10, 0x08, 0x10, 0x10, 0x10, 0x10, 0, 0x680000
        .balign 8
idt:    .skip 2048
