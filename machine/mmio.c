/* MMIO ranges: which device answers where there is no memory.
 *
 * Invariants: ranges are sorted and do not overlap; a range takes every page that it touches away from RAM, so one page is
 * never half device and half memory. Left out: the order of accesses and page crossing, which are the processor's. */
#include <string.h>

#include "machine/alloc.h"
#include "machine/memory_map.h"

/* Index of the first range that ends at or after `at`. */
static size_t range_from(const struct memory *m, uint64_t at)
{
    size_t low = 0, high = m->range_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (m->ranges[middle].last < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool mmio_takes_page(const struct memory *m, uint64_t page)
{
    size_t i = range_from(m, page << PAGE_SHIFT);
    return i < m->range_count && m->ranges[i].first >> PAGE_SHIFT <= page;
}

/* RAM pages under [first, last], low RAM and high RAM; the hole between is skipped, so the loop is bounded by RAM. */
static void cover_range(struct memory *m, uint64_t first, uint64_t last)
{
    const uint64_t parts[2][2] = {
        {0, m->low_frames}, {MEMORY_HIGH_GPA >> PAGE_SHIFT, (MEMORY_HIGH_GPA >> PAGE_SHIFT) + (m->ram_frames - m->low_frames)}};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        uint64_t from = first >> PAGE_SHIFT, to = (last >> PAGE_SHIFT) + 1;
        from = from > parts[i][0] ? from : parts[i][0];
        to = to < parts[i][1] ? to : parts[i][1];
        for (uint64_t page = from; page < to; page++) {
            page_cover(m, page);
        }
    }
}

bool mmio_add(struct memory *m, const char *name, gpa_t at, uint64_t bytes, const struct mmio_ops *ops, void *owner)
{
    if (bytes == 0 || at.v >= GPA_LIMIT || bytes > GPA_LIMIT - at.v) {
        return false;
    }
    uint64_t last = at.v + bytes - 1;
    size_t i = range_from(m, at.v);
    if (i < m->range_count && m->ranges[i].first <= last) {
        return false;
    }
    m->ranges = host_room(m->ranges, m->range_count, sizeof *m->ranges);
    memmove(&m->ranges[i + 1], &m->ranges[i], (m->range_count - i) * sizeof *m->ranges);
    m->ranges[i] = (struct mmio_range){name, at.v, last, ops, owner};
    m->range_count++;
    cover_range(m, at.v, last);
    map_changed(m);
    return true;
}

static const struct mmio_range *range_at(const struct memory *m, uint64_t at)
{
    size_t i = range_from(m, at);
    return i < m->range_count && m->ranges[i].first <= at ? &m->ranges[i] : NULL;
}

static bool takes_whole(const struct mmio_range *r, uint64_t at, unsigned bytes)
{
    return r != NULL && r->last - at >= bytes - 1 && (bytes & (bytes - 1)) == 0;
}

static uint64_t width_mask(unsigned bytes)
{
    return bytes >= 8 ? UINT64_MAX : (1ULL << (8 * bytes)) - 1;
}

uint64_t mmio_read(struct memory *m, gpa_t at, unsigned bytes)
{
    assert(bytes >= 1 && bytes <= 8);
    const struct mmio_range *r = range_at(m, at.v);
    if (takes_whole(r, at.v, bytes)) {
        return r->ops->read(r->owner, at.v - r->first, bytes) & width_mask(bytes);
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        r = range_at(m, at.v + i);
        uint64_t byte = r == NULL ? 0xff : r->ops->read(r->owner, at.v + i - r->first, 1) & 0xff;
        value |= byte << (8 * i);
    }
    return value;
}

void mmio_write(struct memory *m, gpa_t at, unsigned bytes, uint64_t value)
{
    assert(bytes >= 1 && bytes <= 8);
    const struct mmio_range *r = range_at(m, at.v);
    if (takes_whole(r, at.v, bytes)) {
        r->ops->write(r->owner, at.v - r->first, bytes, value & width_mask(bytes));
        return;
    }
    for (unsigned i = 0; i < bytes; i++) {
        r = range_at(m, at.v + i);
        if (r != NULL) {
            r->ops->write(r->owner, at.v + i - r->first, 1, value >> (8 * i) & 0xff);
        }
    }
}
