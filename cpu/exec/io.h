/* Port access for IN, OUT, INS, OUTS (exec/io.c). The instruction is the last of its block. Private to cpu/. */
#ifndef ORRERY_CPU_EXEC_IO_H
#define ORRERY_CPU_EXEC_IO_H

#include "cpu/vcpu.h"

/* SDM 1 §19.5 Protected-Mode I/O: IOPL, then the I/O permission bitmap in the TSS; #GP(0) when refused. */
void io_check(struct vcpu *v, uint16_t port, unsigned bytes);
/* The access itself: charges, traces, asks the machine. */
uint32_t io_in(struct vcpu *v, uint16_t port, unsigned bytes);
void io_out(struct vcpu *v, uint16_t port, unsigned bytes, uint32_t value);

#endif
