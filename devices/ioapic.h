/* The IOAPIC's side of an end of interrupt. */
#ifndef ORRERY_DEVICES_IOAPIC_H
#define ORRERY_DEVICES_IOAPIC_H

#include <stdint.h>

#define IOAPIC_GPA 0xfec00000ULL
enum { IOAPIC_BYTES = 4096, IOAPIC_PINS = 24 };

/* A local APIC broadcast the EOI of a level-triggered vector: remote IRR falls, and a pin that is still high asks again. */
void ioapic_eoi(void *ioapic, uint8_t vector);

#endif
