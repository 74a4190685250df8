/* Page tables as a test sees them: entries of every level, and two pages of different content to map one after the other. */
#ifndef GUESTS_TABLES_H
#define GUESTS_TABLES_H

#include "vps.h"

enum { PTE_P = 1, PTE_PWT = 8, PTE_PCD = 0x10, PTE_A = 0x20, PTE_D = 0x40, PTE_LARGE = 0x80, LARGE_PAGE_BYTES = 2 << 20 };
#define PTE_ADDRESS 0x000ffffffffff000ULL

static inline uint64_t cr3(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(value)::"memory");
    return value;
}

static inline void cr3_set(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr3" ::"r"(value) : "memory");
}

static inline void invlpg(uint64_t gva)
{
    __asm__ volatile("invlpg (%0)" ::"r"(gva) : "memory");
}

/* The entry for gva in the table of that level (4 is the PML4, 1 the last), below the PML4 at `root`. The tables must exist. */
static inline volatile uint64_t *entry_of(uint64_t root, uint64_t gva, unsigned level)
{
    uint64_t table = root & PTE_ADDRESS;
    for (unsigned l = 4; l > level; l--) {
        table = ((volatile uint64_t *)table)[gva >> (12 + 9 * (l - 1)) & 511] & PTE_ADDRESS;
    }
    return (volatile uint64_t *)table + (gva >> (12 + 9 * (level - 1)) & 511);
}

/* A page that is known by its first word. */
static inline uint64_t page_with(uint64_t word)
{
    uint64_t *p = page_alloc();
    *p = word;
    return gpa_of(p);
}

static inline uint64_t load(uint64_t gva)
{
    return *(volatile uint64_t *)gva;
}

#endif
