# A stand-in for a probe: prints what its command line's first letter says on COM1 and ends by debug-exit. The reports of
# `orrery conform` are tested with it, so that no change of a real probe changes what these tests expect. By `as --32`.
#
#   list      its tests              good   every line a pass or a skip
#   failing   one line is not ok     short  fewer lines than planned
#   junk      lines that are no KTAP yes    not ok, but exit code 0
#   crash     triple fault after the first line
    .set MAGIC, 0x1badb002
    .text
    .global _start
header:
    .long MAGIC, 0, -MAGIC
_start:
    movl $stack, %esp
    movl 16(%ebx), %eax
    movb (%eax), %al
    xorl %ecx, %ecx
1:  movl table(, %ecx, 8), %esi
    cmpb %al, table + 4(, %ecx, 8)
    je print
    incl %ecx
    cmpl $7, %ecx
    jb 1b
    movb $9, %al
    jmp leave
print:
    movw $0x3f8, %dx
2:  lodsb
    testb %al, %al
    jz 3f
    outb %al, %dx
    jmp 2b
3:  movb table + 5(, %ecx, 8), %al
    cmpb $0xff, %al
    je crash
leave:
    outb %al, $0xf4
    hlt
crash:
    lidt nothing
    ud2

    .data
# text, letter, exit code
    .macro row text, letter, code
    .long \text
    .byte \letter, \code, 0, 0
    .endm
table:
    row list, 'l', 0
    row good, 'g', 0
    row failing, 'f', 1
    row short, 's', 0
    row junk, 'j', 0
    row lying, 'y', 0
    row crashed, 'c', 0xff
nothing:
    .word 0
    .long 0
list:
    .ascii "test first t.first\ntest second t.second t.third\n"
    .asciz "test old t.old\n"
good:
    .ascii "KTAP version 1\n1..4\n"
    .ascii "ok 1 first t.first\nok 2 second t.second\nok 3 second t.third # SKIP AccessVpIndex is not announced\nok 4 old t.old\n"
    .byte 0
failing:
    .ascii "KTAP version 1\n1..4\nok 1 first t.first\n"
    .ascii "not ok 2 second t.second # stand-in.s:9: got <0x1>, want 0x0\nok 3 second t.third\nok 4 old t.old\n"
    .byte 0
short:
    .asciz "KTAP version 1\n1..4\nok 1 first t.first\nok 2 second t.second\n"
junk:
    .asciz "KTAP version 1\n1..4\nok 1 first t.first\nok two second t.second\n\033[31mhello\nok 2 second t.third\nok 4 x y\n"
lying:
    .ascii "KTAP version 1\n1..4\nok 1 first t.first\nok 2 second t.second\n"
    .asciz "not ok 3 second t.third # stand-in.s:12: no\nok 4 old t.old\n"
crashed:
    .asciz "KTAP version 1\n1..4\nok 1 first t.first\n"

    .bss
    .skip 4096
stack:
