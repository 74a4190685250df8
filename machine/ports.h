/* I/O port space: 64 Ki byte-wide ports. */
#ifndef ORRERY_MACHINE_PORTS_H
#define ORRERY_MACHINE_PORTS_H

#include "machine/types.h"

struct ports;

/* `bytes` is 1, 2 or 4. An access wider than `widest` of its range is split into bytes, low port first. */
struct port_ops {
    uint32_t (*in)(void *owner, uint16_t port, unsigned bytes);
    void (*out)(void *owner, uint16_t port, unsigned bytes, uint32_t value);
    unsigned widest_bytes;
};

struct ports *ports_create(void);
void ports_destroy(struct ports *p);
/* False on overlap with an earlier range. Everything is borrowed. */
bool ports_add(struct ports *p, const char *name, uint16_t first, uint16_t count, const struct port_ops *ops, void *owner);
/* Nobody there: all ones, and writes vanish. */
uint32_t ports_in(struct ports *p, uint16_t port, unsigned bytes);
void ports_out(struct ports *p, uint16_t port, unsigned bytes, uint32_t value);

#endif
