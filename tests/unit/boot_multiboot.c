/* Multiboot 1 (specification 0.6.96), PVH (start_info version 1). */
#include "tests/unit/boot_images.h"

static struct made image;
static void setup(void)
{
    machine_up();
    make_multiboot(&image);
}
TestSuite(multiboot, .init = setup, .fini = machine_down);

static struct boot_config config(void)
{
    return (struct boot_config){.kind = BOOT_MULTIBOOT, .kernel = image_of(&image), .cmdline = "one two"};
}

/* §3.2 Machine state */
Test(multiboot, enters_flat_protected_mode_with_magic_and_information)
{
    cr_assert_eq(load(config()), 0, "%s", why);
    struct vp_state s = vp0();
    cr_expect_eq(s.gpr[RAX], 0x2badb002);
    cr_expect_eq(s.rip, 0x100010, "the entry is virtual in the header, physical here");
    cr_expect_eq(s.cr0 & (CR0_PE | CR0_PG), CR0_PE);
    cr_expect(s.efer == 0 && !(s.rflags & (RFLAGS_IF | RFLAGS_VM)));
    for (unsigned i = 0; i < SEGMENTS; i++) {
        cr_expect(s.seg_base[i] == 0 && s.seg[i].limit == UINT32_MAX && s.seg[i].attributes & ATTR_DB, "segment %u", i);
        cr_expect_eq(s.seg[i].attributes & ATTR_CODE, i == SEG_CS ? ATTR_CODE : 0);
    }
}

Test(multiboot, segments_lie_at_their_physical_addresses)
{
    cr_assert_eq(load(config()), 0, "%s", why);
    cr_expect_eq(at32(0x100000), 0x1badb002);
    cr_expect_eq(at32(0x101ffc), 0xe1f02ffc);
    cr_expect_eq(at32(0x102000), 0, "bss");
}

/* The block lies where guests do not put their start-up code: neither in page 0 nor in 0x8000-0xDFFF, below 640 KiB. */
Test(multiboot, information_is_in_low_memory_out_of_the_way)
{
    cr_assert_eq(load(config()), 0, "%s", why);
    uint64_t info = vp0().gpr[RBX];
    cr_expect(info >= 0xe000 && info < 0xa0000);
}

/* §3.3 */
Test(multiboot, information_has_memory_command_line_and_map)
{
    cr_assert_eq(load(config()), 0, "%s", why);
    uint64_t info = vp0().gpr[RBX];
    cr_expect_eq(at32(info), 0x24d, "flags: memory, command line, modules, map, loader name");
    cr_expect_eq(at32(info + 4), 0x9fc00 / 1024);
    cr_expect_eq(at32(info + 8), 127 * 1024);
    cr_expect(text_at(at32(info + 16), "one two"));
    cr_expect(text_at(at32(info + 64), "Orrery"));
    cr_expect_eq(at32(info + 20), 0);
    struct e820_entry map[E820_MAX];
    unsigned count = platform_e820(&platform, map);
    cr_assert_eq(at32(info + 44), 24 * count);
    uint64_t entry = at32(info + 48);
    for (unsigned i = 0; i < count; i++, entry += at32(entry) + 4) {
        cr_expect(at32(entry) == 20 && at64(entry + 4) == map[i].base && at64(entry + 12) == map[i].bytes &&
                  at32(entry + 20) == map[i].type);
    }
}

Test(multiboot, modules_are_page_aligned_above_the_kernel_with_their_command_lines)
{
    static uint8_t first[5000], second[1];
    memset(first, 0x11, sizeof first);
    second[0] = 0x22;
    const struct boot_module modules[] = {
        {{"first", first, sizeof first}, "alpha"}, {{"second", second, 1}, NULL}, {{"empty", first, 0}, "x"}};
    struct boot_config cfg = config();
    cfg.modules = modules;
    cfg.module_count = 3;
    cr_assert_eq(load(cfg), 0, "%s", why);
    uint64_t info = vp0().gpr[RBX], list = at32(info + 24);
    cr_assert_eq(at32(info + 20), 3);
    uint64_t start = at32(list), next = at32(list + 16), empty = at32(list + 32);
    cr_expect(start % 4096 == 0 && start >= 0x103000 && at32(list + 4) == start + 5000);
    cr_expect(at8(start) == 0x11 && at8(start + 4999) == 0x11 && at8(start + 5000) == 0);
    cr_expect(next % 4096 == 0 && next >= start + 5000 && at32(list + 20) == next + 1 && at8(next) == 0x22);
    cr_expect_eq(at32(list + 36), empty);
    cr_expect(text_at(at32(list + 8), "alpha") && text_at(at32(list + 24), "") && text_at(at32(list + 40), "x"));
}

/* §3.1.3: the a.out kludge. */
static void make_kludge(uint32_t header_at, uint32_t load_at, uint32_t load_end, uint32_t bss_end, uint32_t entry)
{
    memset(&image, 0, sizeof image);
    image.size = 0x3000;
    for (size_t k = 0; k < image.size; k += 4) {
        put32(image.bytes + k, 0xa0070000 + k);
    }
    put_multiboot_header(&image, 0x40, 0x10003);
    put32(image.bytes + 0x4c, header_at);
    put32(image.bytes + 0x50, load_at);
    put32(image.bytes + 0x54, load_end);
    put32(image.bytes + 0x58, bss_end);
    put32(image.bytes + 0x5c, entry);
}

Test(multiboot, kludge_addresses_place_the_image)
{
    make_kludge(0x200030, 0x200000, 0x201000, 0x202000, 0x200100);
    cr_assert_eq(load(config()), 0, "%s", why);
    cr_expect_eq(vp0().rip, 0x200100);
    cr_expect_eq(at32(0x200030), 0x1badb002);
    cr_expect_eq(at32(0x200000), 0xa0070010, "the file is loaded from header - (header_addr - load_addr) on");
    cr_expect_eq(at32(0x200ffc), 0xa007100c);
    cr_expect_eq(at32(0x201000), 0);
}

Test(multiboot, kludge_without_a_load_end_takes_the_whole_file)
{
    make_kludge(0x200040, 0x200000, 0, 0, 0x200000);
    cr_assert_eq(load(config()), 0, "%s", why);
    cr_expect_eq(at32(0x202ffc), 0xa0072ffc);
}

Test(multiboot, kludge_addresses_that_lie_are_refused)
{
    static const struct {
        uint32_t header, load, load_end, bss_end, entry;
        const char *words;
    } bad[] = {
        {0x1fffff, 0x200000, 0, 0, 0x200000, "do not fit the header's place"},
        {0x200041, 0x200000, 0, 0, 0x200000, "do not fit the header's place"},
        {0xffffffff, 0, 0, 0, 0, "do not fit the header's place"},
        {0x200040, 0x200000, 0x203001, 0, 0x200000, "truncated"},
        {0x200040, 0x200000, 0x1fffff, 0, 0x200000, "truncated"},
        {0x200040, 0x200000, 0, 0, 0x203000, "lies outside the image"},
        {0x200040, 0x200000, 0, 0, 0x1fffff, "lies outside the image"},
        {0x200040, 0x200000, 0, 0xffffffff, 0x200000, "more memory may help"},
        {0xf0040, 0xf0000, 0, 0, 0xf0000, "more memory may help"}, /* not RAM by the map */
        {0xfffff040, 0xfffff000, 0, 0, 0xfffff000, "more memory may help"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        make_kludge(bad[i].header, bad[i].load, bad[i].load_end, bad[i].bss_end, bad[i].entry);
        refused(config(), bad[i].words);
    }
}

Test(multiboot, the_header_is_sought_in_the_first_8_kib_only)
{
    make_kludge(0x200040, 0x200000, 0, 0, 0x200000);
    put32(image.bytes + 0x40, 0);
    refused(config(), "no Multiboot header");
    put_multiboot_header(&image, 8192 - 8, 3);
    refused(config(), "no Multiboot header");
    put_multiboot_header(&image, 0x42, 3);
    refused(config(), "no Multiboot header"); /* not 32-bit aligned */
    make_multiboot(&image);
    put32(image.bytes + 0x1008, 1);
    refused(config(), "no Multiboot header"); /* checksum */
}

Test(multiboot, wishes_that_cannot_be_met_are_refused)
{
    make_multiboot(&image);
    put_multiboot_header(&image, 0x1000, 7);
    refused(config(), "wants a video mode");
    put_multiboot_header(&image, 0x1000, 0x8003);
    refused(config(), "something unknown");
}

Test(multiboot, elf_files_that_lie_are_refused)
{
    static const struct {
        size_t at;
        uint32_t value;
        const char *words;
    } bad[] = {
        {0, 0x464c457e, "not an ELF file"},
        {4, 0x00010201, "not an x86 ELF"}, /* big-endian */
        {16, 0x00030003, "ELF type 3"},
        {16, 0x00280002, "not an x86 ELF"},
        {28, 0xfffffff0, "lie inside the file"},
        {28, 0x3ff0, "lie inside the file"},
        {42, 0x0001001f, "lie inside the file"},
        {44, 0x00000000, "lie inside the file"},
        {44, 0x0000ffff, "lie inside the file"},
        {52, 0x00000006, "nothing to load"},
        {52 + 4, 0xfffffff0, "truncated"},
        {52 + 16, 0x4000, "truncated"},
        {52 + 16, 0xffffffff, "truncated"},
        {52 + 20, 0x1fff, "truncated"}, /* less in memory than in the file */
        {52 + 20, 0xffffffff, "more memory may help"},
        {52 + 12, 0xfffff000, "more memory may help"},
        {52 + 12, 0xa0000, "more memory may help"},
        {24, 0xf0000000, "is not in RAM"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        make_multiboot(&image);
        put32(image.bytes + bad[i].at, bad[i].value);
        refused(config(), bad[i].words);
    }
}

Test(multiboot, a_64_bit_elf_file_is_refused)
{
    const struct segment_made segments[] = {{1, 0x1000, 0x100000, 0x100000, 0x1000, 0x1000}};
    make_elf(&image, true, 0x100000, segments, 1);
    put_multiboot_header(&image, 0x1000, 3);
    refused(config(), "a 64-bit ELF file");
}

Test(multiboot, overlapping_segments_are_refused)
{
    const struct segment_made segments[] = {{1, 0x1000, 0x100000, 0x100000, 0x1000, 0x1000},
                                            {1, 0x2000, 0x100fff, 0x100fff, 0x10, 0x10}};
    make_elf(&image, false, 0x100000, segments, 2);
    put_multiboot_header(&image, 0x1000, 3);
    refused(config(), "overlaps an ELF segment");
}

Test(multiboot, truncated_files_are_refused)
{
    for (size_t size = 0; size < 0x3000; size += 61) {
        struct boot_config cfg = config();
        cfg.kernel.size = size;
        cr_expect_eq(load(cfg), -1, "%zu", size);
        cr_expect_neq(why[0], '\0');
    }
}

Test(multiboot, a_kernel_over_all_low_memory_leaves_no_room_and_is_refused)
{
    const struct segment_made segments[] = {{1, 0x1000, 0x10000, 0x10000, 0x1000, 0x8fc00}};
    make_elf(&image, false, 0x10000, segments, 1);
    put_multiboot_header(&image, 0x1000, 3);
    refused(config(), "no room for");
}

Test(multiboot, information_makes_way_for_a_low_kernel)
{
    const struct segment_made segments[] = {{1, 0x1000, 0x10000, 0x10000, 0x1000, 0x5800}};
    make_elf(&image, false, 0x10000, segments, 1);
    put_multiboot_header(&image, 0x1000, 3);
    cr_assert_eq(load(config()), 0, "%s", why);
    cr_expect_eq(vp0().gpr[RBX], 0x16000);
}

Test(multiboot, modules_that_do_not_fit_are_refused)
{
    static uint8_t bytes[1];
    const struct boot_module modules[] = {{{"huge", bytes, 1ULL << 40}, NULL}, {{"more", bytes, SIZE_MAX}, NULL}};
    struct boot_config cfg = config();
    cfg.modules = modules;
    cfg.module_count = 1;
    refused(cfg, "huge: no room");
    cfg.modules = modules + 1;
    refused(cfg, "more: no room");
    cfg.module_count = 65;
    refused(cfg, "65 modules; at most 64");
}

/* ---- PVH ---- */

static void setup_pvh(void)
{
    machine_up();
    make_pvh(&image);
}
TestSuite(pvh, .init = setup_pvh, .fini = machine_down);

static struct boot_config pvh_config(void)
{
    return (struct boot_config){.kind = BOOT_PVH, .kernel = image_of(&image), .cmdline = "one two"};
}

Test(pvh, enters_at_the_note_in_flat_protected_mode)
{
    cr_assert_eq(load(pvh_config()), 0, "%s", why);
    struct vp_state s = vp0();
    cr_expect_eq(s.rip, 0x1000850);
    cr_expect(s.cr0 & CR0_PE && !(s.cr0 & CR0_PG) && s.cr4 == 0 && s.efer == 0 && !(s.rflags & RFLAGS_IF));
    cr_expect(s.seg[SEG_CS].attributes & ATTR_DB && s.seg[SEG_CS].limit == UINT32_MAX && s.seg_base[SEG_CS] == 0);
    cr_expect(s.tr.base == 0 && s.tr.seg.limit == 0x67 && s.tr.seg.attributes == 0x8b);
    cr_expect_eq(at32(0x1000000), 0xe1f01000);
}

Test(pvh, start_info_has_modules_command_line_rsdp_and_map)
{
    static uint8_t bytes[100] = {0x33};
    const struct boot_module modules[] = {{{"initrd", bytes, sizeof bytes}, "beta"}};
    struct boot_config cfg = pvh_config();
    cfg.modules = modules;
    cfg.module_count = 1;
    cr_assert_eq(load(cfg), 0, "%s", why);
    uint64_t start = vp0().gpr[RBX], list = at64(start + 16), map_at = at64(start + 40);
    cr_expect(start >= 0xe000 && start < 0xa0000);
    cr_expect(at32(start) == 0x336ec578 && at32(start + 4) == 1 && at32(start + 8) == 0 && at32(start + 12) == 1);
    cr_expect(text_at(at64(start + 24), "one two"));
    cr_expect_eq(at64(at64(start + 32)), 0x2052545020445352, "\"RSD PTR \"");
    cr_expect(at64(list) % 4096 == 0 && at8(at64(list)) == 0x33 && at64(list + 8) == 100 && text_at(at64(list + 16), "beta"));
    struct e820_entry map[E820_MAX];
    unsigned count = platform_e820(&platform, map);
    cr_assert_eq(at32(start + 48), count);
    for (unsigned i = 0; i < count; i++) {
        cr_expect(at64(map_at + 24 * i) == map[i].base && at64(map_at + 24 * i + 8) == map[i].bytes &&
                  at32(map_at + 24 * i + 16) == map[i].type);
    }
}

Test(pvh, a_32_bit_elf_file_and_an_8_byte_note_will_do)
{
    const struct segment_made segments[] = {{1, 0x1000, 0x100000, 0x100000, 0x1000, 0x1000}, {4, 0x800, 0, 0, 0x18, 0x18}};
    make_elf(&image, false, 0x100000, segments, 2);
    put_note(image.bytes + 0x800, 4, 8, 18, 0x100020);
    cr_assert_eq(load(pvh_config()), 0, "%s", why);
    cr_expect_eq(vp0().rip, 0x100020);
}

Test(pvh, notes_that_lie_are_refused)
{
    static const struct {
        uint32_t name_bytes, description_bytes, type;
        uint64_t value;
        const char *words;
    } bad[] = {
        {4, 4, 17, 0x1000850, "no PVH entry"},          {5, 4, 18, 0x1000850, "no PVH entry"},
        {0xffffffff, 4, 18, 0x1000850, "no PVH entry"}, {0xfffffffd, 4, 18, 0x1000850, "no PVH entry"},
        {4, 0xffffffff, 18, 0x1000850, "no PVH entry"}, {4, 3, 18, 0x1000850, "no PVH entry"},
        {4, 8, 18, 0x100001000850, "is not in RAM"},    {4, 4, 18, 0xf0000000, "is not in RAM"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        make_pvh(&image);
        memset(image.bytes + 0x800, 0, 0x40);
        put_note(image.bytes + 0x800, bad[i].name_bytes, bad[i].description_bytes, bad[i].type, bad[i].value);
        refused(pvh_config(), bad[i].words);
    }
    make_pvh(&image);
    put64(image.bytes + 64 + 56 + 8, 0xfffffffffffffff0); /* p_offset of the notes */
    refused(pvh_config(), "notes do not lie inside the file");
    put64(image.bytes + 64 + 56 + 8, 0x800);
    put64(image.bytes + 64 + 56 + 32, UINT64_MAX); /* p_filesz */
    refused(pvh_config(), "notes do not lie inside the file");
}

Test(pvh, segments_that_lie_are_refused)
{
    static const struct {
        size_t at;
        uint64_t value;
    } bad[] = {{8, UINT64_MAX},  {24, UINT64_MAX}, {24, 1ULL << 40}, {32, UINT64_MAX},
               {40, UINT64_MAX}, {40, 0x1000},     {24, 0xfff}};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        make_pvh(&image);
        put64(image.bytes + 64 + bad[i].at, bad[i].value);
        if (bad[i].at == 24 && bad[i].value == 0xfff) {
            put64(image.bytes + 64 + 40, 1ULL << 33); /* past the end of low RAM */
        }
        refused(pvh_config(), "image: ");
    }
}
