/* I/O port space (SDM 1 §19.3 I/O Address Space): 64 Ki byte-wide ports, each owned by at most one range.
 *
 * Invariant: owner_of[port] is 0 (nobody) or the number of a range, plus one. What a device answers above the width of the
 * access is cut off, so a device's stray bits never reach a guest. Left out: permission checks (cpu/) and trace points. */
#include "machine/ports.h"

#include "machine/alloc.h"

struct port_range {
    const char *name;
    const struct port_ops *ops;
    void *owner;
    uint16_t first;
    uint16_t last;
};

struct ports {
    uint16_t owner_of[65536];
    struct port_range *ranges;
    size_t count;
};

struct ports *ports_create(void)
{
    return host_alloc(1, sizeof(struct ports));
}

void ports_destroy(struct ports *p)
{
    if (p != NULL) {
        free(p->ranges);
        free(p);
    }
}

bool ports_add(struct ports *p, const char *name, uint16_t first, uint16_t count, const struct port_ops *ops, void *owner)
{
    if (count == 0 || count > 65536 - first || p->count == UINT16_MAX - 1) {
        return false;
    }
    for (uint32_t port = first; port < (uint32_t)first + count; port++) {
        if (p->owner_of[port] != 0) {
            return false;
        }
    }
    p->ranges = host_room(p->ranges, p->count, sizeof *p->ranges);
    p->ranges[p->count++] = (struct port_range){name, ops, owner, first, (uint16_t)(first + count - 1)};
    for (uint32_t port = first; port < (uint32_t)first + count; port++) {
        p->owner_of[port] = (uint16_t)p->count;
    }
    return true;
}

static const struct port_range *range_at(const struct ports *p, uint32_t port)
{
    return port > 0xffff || p->owner_of[port] == 0 ? NULL : &p->ranges[p->owner_of[port] - 1];
}

static bool takes_whole(const struct port_range *r, uint16_t port, unsigned bytes)
{
    return bytes <= r->ops->widest_bytes && port + bytes - 1 <= r->last;
}

static uint32_t width_mask(unsigned bytes)
{
    return bytes >= 4 ? UINT32_MAX : (1u << (8 * bytes)) - 1;
}

uint32_t ports_in(struct ports *p, uint16_t port, unsigned bytes)
{
    const struct port_range *r = range_at(p, port);
    if (r != NULL && takes_whole(r, port, bytes)) {
        return r->ops->in(r->owner, port, bytes) & width_mask(bytes);
    }
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        r = range_at(p, (uint32_t)port + i);
        uint32_t byte = r == NULL ? 0xff : r->ops->in(r->owner, (uint16_t)(port + i), 1) & 0xff;
        value |= byte << (8 * i);
    }
    return value;
}

void ports_out(struct ports *p, uint16_t port, unsigned bytes, uint32_t value)
{
    const struct port_range *r = range_at(p, port);
    if (r != NULL && takes_whole(r, port, bytes)) {
        r->ops->out(r->owner, port, bytes, value & width_mask(bytes));
        return;
    }
    for (unsigned i = 0; i < bytes; i++) {
        r = range_at(p, (uint32_t)port + i);
        if (r != NULL) {
            r->ops->out(r->owner, (uint16_t)(port + i), 1, value >> (8 * i) & 0xff);
        }
    }
}
