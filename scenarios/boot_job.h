/* What the boot loaders share: a job that knows where RAM is and what is taken, checked reads of images, entry states. Private
 * to them.
 *
 * Invariants: every store into guest memory lies in a claimed range; a claim lies in one RAM range of the memory map, below 4
 * GiB, and overlaps no other claim. So a hostile image can neither reach a table of the loader nor another part of the guest.
 */
#ifndef ORRERY_SCENARIOS_BOOT_JOB_H
#define ORRERY_SCENARIOS_BOOT_JOB_H

#include "scenarios/boot.h"

enum { BOOT_CLAIMS_MAX = 256, BOOT_SEGMENTS_MAX = 64, BOOT_MODULES_MAX = 64, BOOT_CMDLINE_MAX = 65535 };
#define BOOT_NOWHERE UINT64_MAX
#define BOOT_LIMIT 0x100000000ULL /* loaders stay below 4 GiB */
#define BOOT_LOW_END 0xa0000ULL

struct boot_claim {
    const char *what;
    uint64_t start, end;
};
struct boot_job {
    struct machine *machine;
    struct cpu *cpu;
    const struct boot_config *config;
    char *why;
    size_t why_size;
    struct e820_entry map[E820_MAX];
    unsigned map_count;
    struct boot_claim claims[BOOT_CLAIMS_MAX];
    unsigned claim_count;
    uint64_t rsdp; /* ACPI tables, or 0 */
};

/* -1, with a message for people. */
__attribute__((format(printf, 2, 3))) int boot_fail(struct boot_job *j, const char *format, ...);

/* ---- images ---- */
/* Little-endian words; 0 beyond the end, for callers that have checked the size. */
uint16_t image_u16(const struct boot_image *i, uint64_t offset);
uint32_t image_u32(const struct boot_image *i, uint64_t offset);
uint64_t image_u64(const struct boot_image *i, uint64_t offset);
/* [offset, offset + bytes) lies in the image. */
bool image_holds(const struct boot_image *i, uint64_t offset, uint64_t bytes);

/* ---- memory ---- */
/* 0, or -1 with a message: not RAM, or taken. Zero bytes claim nothing. */
int boot_claim(struct boot_job *j, const char *what, uint64_t start, uint64_t bytes);
/* The lowest (highest) aligned place in [from, to) where `bytes` can be claimed; BOOT_NOWHERE when there is none. */
uint64_t boot_find_low(const struct boot_job *j, uint64_t from, uint64_t to, uint64_t bytes, uint64_t align);
uint64_t boot_find_high(const struct boot_job *j, uint64_t from, uint64_t to, uint64_t bytes, uint64_t align);
/* Into a claimed range. */
int boot_store(struct boot_job *j, uint64_t at, const void *bytes, uint64_t size);
int boot_store_u32(struct boot_job *j, uint64_t at, uint32_t v);
int boot_store_u64(struct boot_job *j, uint64_t at, uint64_t v);
/* End of the RAM range that holds `at`; 0 when it is not RAM. */
uint64_t boot_ram_end(const struct boot_job *j, uint64_t at);
/* The command line, never NULL. Its length is at most BOOT_CMDLINE_MAX: boot_load() has checked that. */
const char *boot_cmdline(const struct boot_job *j);

/* ---- ELF: boot_elf.c ---- */
struct elf {
    const struct boot_image *image;
    bool wide;      /* ELFCLASS64 */
    uint64_t entry; /* as in the header: a virtual address */
    uint64_t segments_offset;
    unsigned segments, segment_bytes;
};
struct elf_segment {
    uint32_t type;
    uint64_t offset, virtual, physical, file_bytes, memory_bytes;
};
enum { ELF_PT_LOAD = 1, ELF_PT_NOTE = 4 };
int elf_open(struct boot_job *j, const struct boot_image *image, struct elf *e);
struct elf_segment elf_segment_at(const struct elf *e, unsigned index);
/* Claims and stores every PT_LOAD at its physical address. RAM is zero, so nothing need be cleared. */
int elf_load(struct boot_job *j, const struct elf *e);
/* A virtual address inside some PT_LOAD to a physical one, else the address itself. */
uint64_t elf_physical(const struct elf *e, uint64_t virtual);

/* Modules at page boundaries above the kernel; start addresses into `at`. */
int boot_place_modules(struct boot_job *j, uint64_t at[BOOT_MODULES_MAX]);

/* ---- entry states ---- */
enum { BOOT_GDT_CODE = 0x10, BOOT_GDT_DATA = 0x18, BOOT_GDT_BYTES = 32, BOOT_IDENTITY_BYTES = 6 * 4096 };
/* The reset state with all general registers zero, interrupts off. */
struct vp_state boot_state(const struct boot_job *j);
/* Flat 4 GiB code and data, protected mode without paging. `wide`: 64-bit code, with paging and LMA on, page tables at cr3. */
void boot_state_protected(struct vp_state *s);
void boot_state_long(struct vp_state *s, uint64_t cr3);
/* A GDT for both (null, unused, code, data), and page tables that map 4 GiB onto themselves by 2 MiB pages. Claimed ranges. */
int boot_store_gdt(struct boot_job *j, uint64_t at, bool wide);
int boot_store_identity(struct boot_job *j, uint64_t at);
int boot_enter(struct boot_job *j, const struct vp_state *s);

/* ---- one for each kind ---- */
int boot_linux(struct boot_job *j);
int boot_multiboot(struct boot_job *j);
int boot_pvh(struct boot_job *j);
int boot_flat(struct boot_job *j);
int boot_rom(struct boot_job *j);

#endif
