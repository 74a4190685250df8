/* The 8259 pair's answer to an interrupt acknowledge cycle. */
#ifndef ORRERY_DEVICES_PIC_H
#define ORRERY_DEVICES_PIC_H

#include <stdint.h>

/* The vector of the highest request, which moves from IRR to ISR; the spurious vector (input 7) when there is none. */
uint8_t pic_acknowledge(void *pic);

#endif
