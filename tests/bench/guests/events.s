# (f) Events, one kind for each guest: assembled with --defsym EVENT_name=1. One round is one event.
#
# Each loop holds the event, what its handler needs, a decrement and a branch, nothing else. RBX counts, RBP sums what the event
# gave; main() returns RBP + the final RBX, so that a lost event shows.

        .intel_syntax noprefix
        .text
        .globl main
main:
        push rbx
        push rbp
        movabs rbx, offset bench_rounds
        xor ebp, ebp

        .macro EVENT_LOOP_END
        dec rbx
        jnz 1b
        .endm

        .ifdef EVENT_int3               # INT3 and IRETQ, CPL 0
        mov edi, 3
        mov rsi, offset on_int3
        call gate_set
1:      int3
        EVENT_LOOP_END
        .endif

        .ifdef EVENT_ud                 # #UD; the handler steps over the two bytes
        mov edi, 6
        mov rsi, offset on_ud
        call gate_set
1:      ud2
        EVENT_LOOP_END
        .endif

        .ifdef EVENT_syscall            # SYSCALL from CPL 3 and SYSRET back
        mov ecx, 0xc0000081             # STAR: kernel 08/10, user 28/20
        xor eax, eax
        mov edx, 0x00180008
        wrmsr
        mov ecx, 0xc0000082             # LSTAR
        mov rax, offset on_syscall
        mov rdx, rax
        shr rdx, 32
        wrmsr
        mov ecx, 0xc0000084             # FMASK: TF, IF, DF
        mov eax, 0x700
        xor edx, edx
        wrmsr
        mov r12, rsp
        mov rcx, offset user
        mov r11d, 2
        sysretq
        .balign 4096
user:   xor eax, eax
1:      syscall
        EVENT_LOOP_END
        mov eax, 1
        syscall
        .balign 4096
on_syscall:
        test eax, eax
        jnz 2f
        inc rbp
        sysretq
2:      mov rsp, r12
        .endif

        .ifdef EVENT_out                # OUT to a port that nothing answers
        mov edx, 0x1f00
        mov eax, 0x55
1:      out dx, al
        EVENT_LOOP_END
        .endif

        .ifdef EVENT_rdmsr              # IA32_APIC_BASE
        mov ecx, 0x1b
1:      rdmsr
        add ebp, eax
        EVENT_LOOP_END
        .endif

        .ifdef EVENT_cpuid              # leaf 0: its sum differs from vendor to vendor, so only the count is returned
        mov r8, rbx
1:      xor eax, eax
        cpuid
        dec r8
        jnz 1b
        xor ebx, ebx
        .endif

        .ifdef EVENT_lapic              # the task-priority register
        mov esi, 0xfee00080
1:      mov eax, [rsi]
        add ebp, eax
        EVENT_LOOP_END
        .endif

        .ifdef EVENT_cr3                # CR3 reload, then one read on each of 16 pages of 4 KiB
        mov esi, 0x40000000
        mov rax, cr3
1:      mov cr3, rax
        .set page, 0
        .rept 16
        add rbp, [rsi + page]
        .set page, page + 0x1000
        .endr
        EVENT_LOOP_END
        .endif

        .ifdef EVENT_patch              # another immediate, then a call of the code that holds it, on a page of its own
1:      mov dword ptr patched[rip + 1], ebx
        call patched
        add rbp, rax
        EVENT_LOOP_END
        .endif

        lea rax, [rbp + rbx]
        pop rbp
        pop rbx
        ret

on_int3:
        inc rbp
        iretq
on_ud:
        inc rbp
        add qword ptr [rsp], 2
        iretq

        .ifdef EVENT_patch
        .balign 4096
patched:
        mov eax, 0
        ret
        .balign 4096
        .endif
