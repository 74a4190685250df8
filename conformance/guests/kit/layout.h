/* Numbers that the kit's C, assembler and linker script share: selectors and places in low memory. */
#ifndef KIT_LAYOUT_H
#define KIT_LAYOUT_H

#define SEL_CODE64 0x08
#define SEL_DATA 0x10 /* flat, writable: every mode's stack and data */
#define SEL_CODE32 0x18
#define SEL_CODE16 0x20
#define SEL_DATA16 0x28
#define SEL_USER_DATA (0x30 | 3)
#define SEL_USER_CODE64 (0x38 | 3)
#define SEL_TSS 0x40 /* of VP 0; 16 bytes each */

/* Low memory that loaders leave alone once their information has been read. */
#define LOW_AP 0x8000    /* start-up code of the other processors */
#define LOW_MODES 0x9000 /* ways into other modes and back */
#define LOW_CODE 0xa000  /* the caller's code for them */
#define LOW_CODE_BYTES 0xf00
#define LOW_STACK 0xc000 /* their stack grows down from here */

/* struct kit_jump in C: callee-saved registers, stack, return address, flags. */
#define JUMP_RBX 0
#define JUMP_RBP 8
#define JUMP_R12 16
#define JUMP_R13 24
#define JUMP_R14 32
#define JUMP_R15 40
#define JUMP_RSP 48
#define JUMP_RIP 56
#define JUMP_RFLAGS 64

#define MODE_REAL16 0
#define MODE_PROTECTED32 1
#define MODE_COMPAT32 2
#endif
