/* What the probes of flushes share: pages that change under a translation, and the calls' numbers.
 *
 * A flush is judged so: a page is read through a translation, the table entry is changed to another page without any flush, the
 * flush in question is made, and the page is read again.
 */
#ifndef GUESTS_FLUSH_H
#define GUESTS_FLUSH_H

#include "tables.h"

enum { OLD = 0x01d, NEW = 0x9e4, CODE_SPACE = HvCallFlushVirtualAddressSpace, CODE_LIST = HvCallFlushVirtualAddressList };
enum { FLUSH_ALL_PROCESSORS = 1, FLUSH_ALL_SPACES = 2, FLUSH_NON_GLOBAL_ONLY = 4, FLUSH_EXTENDED_RANGES = 8 };
enum { CODE_SPACE_EX = HvCallFlushVirtualAddressSpaceEx, CODE_LIST_EX = HvCallFlushVirtualAddressListEx };
#define GVA KIT_GVA
#define RESERVED_CR3_BIT (1ULL << 60)

#define NEEDS_FLUSH()                                                                                                          \
    NEEDS(UseHypercallForRemoteFlush);                                                                                         \
    NEEDS_CALLS()
#define NEEDS_FLUSH_EX()                                                                                                       \
    NEEDS(UseExProcessorMasks);                                                                                                \
    NEEDS_FLUSH()
#define NEEDS_HV() NEEDS_THAT(hv_present(), "no hypervisor")

__attribute__((unused)) static const uint64_t undefined_flags[] = {0x10, 1ULL << 31, 1ULL << 32, 1ULL << 63};

enum { CR4_PGE = 1 << 7 };

/* Global entries exist with CR4.PGE only. */
static inline void globals_on(bool on)
{
    uint64_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    __asm__ volatile("mov %0, %%cr4" ::"r"(on ? value | CR4_PGE : value & ~(uint64_t)CR4_PGE) : "memory");
}

static inline uint64_t mask_of(unsigned vp)
{
    return 1ULL << vp_index(vp);
}

/* ---- pages that change under a translation ---- */

static inline void load_job(void *word)
{
    uint64_t *w = word;
    *w = load(*w); /* in: the address; out: what is there */
}

static inline uint64_t load_on(unsigned vp, uint64_t gva)
{
    on_vp(vp, load_job, &gva);
    return gva;
}

static inline void flush_load_job(void *word)
{
    invlpg(*(uint64_t *)word);
    load_job(word);
}

/* Reads by what the tables hold now, whatever an earlier test has left behind. */
static inline uint64_t load_afresh_on(unsigned vp, uint64_t gva)
{
    on_vp(vp, flush_load_job, &gva);
    return gva;
}

/* `count` pages from gva on are mapped to pages of OLD, read on the VP, and then mapped to pages of NEW, without a flush. */
static inline void change_under(unsigned vp, uint64_t gva, unsigned count, uint64_t flags)
{
    for (unsigned i = 0; i < count; i++) {
        map(gva + i * PAGE_BYTES, page_with(OLD), flags);
        uint64_t word = load_afresh_on(vp, gva + i * PAGE_BYTES);
        EXPECT(word == OLD, "before the change the page reads 0x%lx", word);
        *pte_of(gva + i * PAGE_BYTES) = page_with(NEW) | flags | PTE_P;
    }
}

/* A large page, at 2 MiB above GVA: first the one that ends memory, then the one below. Both are free for tests that own them.
 */
#define LARGE_GVA (GVA + LARGE_PAGE_BYTES)
enum { LARGE_OFFSET = 0x1ff000 };

static inline bool large_change_under(unsigned vp)
{
    uint64_t second = (memory_bytes() & ~(uint64_t)(LARGE_PAGE_BYTES - 1)) - LARGE_PAGE_BYTES,
             first = second - LARGE_PAGE_BYTES;
    if (first < 8 << 20) {
        return false;
    }
    *(volatile uint64_t *)(first + LARGE_OFFSET) = OLD;
    *(volatile uint64_t *)(second + LARGE_OFFSET) = NEW;
    map(GVA, 0, 0); /* makes the tables */
    volatile uint64_t *pde = entry_of(cr3(), LARGE_GVA, 2);
    *pde = first | PTE_LARGE | PTE_P;
    uint64_t word = load_afresh_on(vp, LARGE_GVA + LARGE_OFFSET);
    EXPECT(word == OLD, "before the change the page reads 0x%lx", word);
    *pde = second | PTE_LARGE | PTE_P;
    return true;
}

#endif
