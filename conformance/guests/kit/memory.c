/* Pages and mappings. Pages come in order from the end of the image; those that a test took are back when it ends.
 *
 * Below 4 GiB everything is identity mapped by 2 MiB pages; map() and unmap() split one where they are asked to change it, and
 * kit_memory_quiet() puts it together again. Above, a PML4 entry of its own leads to tables from the same heap.
 */
#include "parts.h"

extern uint8_t kit_end[];

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_LARGE = 0x80, ENTRIES = 512 };
#define PTE_ADDRESS 0x000ffffffffff000ULL

static uint64_t heap_next, heap_kept;
static bool identity_changed;

/* Without a word from the loader: 16 MiB. */
void kit_memory_start(void)
{
    enum { USUAL_BYTES = 16 << 20 };
    if (kit_memory_end == 0) {
        kit_memory_end = USUAL_BYTES;
    }
    heap_next = heap_kept = (uint64_t)kit_end;
}

uint64_t memory_bytes(void)
{
    return kit_memory_end;
}

void *pages_alloc(unsigned count)
{
    uint64_t at = __atomic_fetch_add(&heap_next, (uint64_t)count * PAGE_BYTES, __ATOMIC_SEQ_CST);
    if (at + (uint64_t)count * PAGE_BYTES > kit_memory_end) {
        kit_panic("out of memory: %u pages at 0x%lx of 0x%lx bytes", count, at, kit_memory_end);
    }
    return memset((void *)at, 0, (size_t)count * PAGE_BYTES);
}

void *page_alloc(void)
{
    return pages_alloc(1);
}

/* What a test took before it asked for something that stays, stays too. */
void *kit_page_keep(unsigned count)
{
    void *p = pages_alloc(count);
    heap_kept = heap_next;
    return p;
}

static void flush_all(void)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3)::"memory");
}

void kit_memory_quiet(void)
{
    heap_next = heap_kept;
    bool changed = identity_changed;
    for (unsigned i = 1; i < ENTRIES; i++) {
        changed |= kit_pml4[i] != 0;
        kit_pml4[i] = 0;
    }
    if (identity_changed) {
        for (uint64_t i = 0; i < ARRAY_COUNT(kit_pd); i++) {
            kit_pd[i] = i << 21 | PTE_LARGE | PTE_U | PTE_W | PTE_P;
        }
        identity_changed = false;
    }
    if (changed) {
        flush_all();
    }
}

static uint64_t *table_below(uint64_t *entry)
{
    if (!(*entry & PTE_P)) {
        *entry = gpa_of(page_alloc()) | PTE_U | PTE_W | PTE_P;
    } else if (*entry & PTE_LARGE) { /* only the 2 MiB pages of the identity mapping */
        uint64_t *table = page_alloc(), first = *entry & PTE_ADDRESS;
        for (uint64_t i = 0; i < ENTRIES; i++) {
            table[i] = first | i << 12 | PTE_U | PTE_W | PTE_P;
        }
        *entry = gpa_of(table) | PTE_U | PTE_W | PTE_P;
        identity_changed = true;
        flush_all();
    }
    return (uint64_t *)(*entry & PTE_ADDRESS);
}

volatile uint64_t *pte_of(uint64_t gva)
{
    uint64_t *pdpt = table_below(&kit_pml4[gva >> 39 & 511]);
    uint64_t *pd = table_below(&pdpt[gva >> 30 & 511]);
    uint64_t *pt = table_below(&pd[gva >> 21 & 511]);
    return &pt[gva >> 12 & 511];
}

static void pte_set(uint64_t gva, uint64_t value)
{
    *pte_of(gva) = value;
    __asm__ volatile("invlpg (%0)" ::"r"(gva) : "memory");
}

void map(uint64_t gva, uint64_t gpa, uint64_t flags)
{
    pte_set(gva, (gpa & PTE_ADDRESS) | flags | PTE_P);
}

void unmap(uint64_t gva)
{
    pte_set(gva, 0);
}

void *memset(void *to, int byte, size_t bytes)
{
    void *at = to;
    if (bytes % 8 == 0) {
        uint64_t words = bytes / 8;
        __asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(0x0101010101010101ULL * (uint8_t)byte) : "memory");
    } else {
        __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(byte) : "memory");
    }
    return to;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes)::"memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < bytes; i++) {
        if (x[i] != y[i]) {
            return x[i] - y[i];
        }
    }
    return 0;
}

bool streq(const char *a, const char *b)
{
    for (; *a == *b; a++, b++) {
        if (*a == '\0') {
            return true;
        }
    }
    return false;
}
