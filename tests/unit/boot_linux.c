/* The Linux loader: 64-bit boot protocol (boot.rst). */
#include "tests/unit/boot_images.h"

static struct made image;
static void setup(void)
{
    machine_up();
    make_bzimage(&image);
}
TestSuite(linux_boot, .init = setup, .fini = machine_down);

static struct boot_config config(void)
{
    return (struct boot_config){.kind = BOOT_LINUX, .kernel = image_of(&image), .cmdline = "console=ttyS0 quiet"};
}
enum { ZERO_PAGE = 0x7000 };

/* "64-bit BOOT PROTOCOL": long mode, paging, CS 0x10, DS/ES/SS 0x18, interrupts off, RSI the zero page, entry at load + 0x200.
 */
Test(linux_boot, enters_in_long_mode_with_the_zero_page_in_rsi)
{
    cr_assert_eq(load(config()), 0, "%s", why);
    struct vp_state s = vp0();
    cr_expect_eq(s.rip, 0x1000200);
    cr_expect_eq(s.gpr[RSI], ZERO_PAGE);
    cr_expect_eq(s.rflags & RFLAGS_IF, 0);
    cr_expect_eq(s.cr0 & (CR0_PE | CR0_PG), CR0_PE | CR0_PG);
    cr_expect_eq(s.efer & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
    cr_expect_eq(s.cr4 & CR4_PAE, CR4_PAE);
    cr_expect(s.seg[SEG_CS].selector == 0x10 && s.seg[SEG_CS].attributes & ATTR_L);
    cr_expect(s.seg[SEG_DS].selector == 0x18 && s.seg[SEG_ES].selector == 0x18 && s.seg[SEG_SS].selector == 0x18);
    cr_expect_eq(s.activity, VP_RUNNING);
}

Test(linux_boot, the_gdt_in_memory_is_the_one_in_the_registers)
{
    cr_assert_eq(load(config()), 0, "%s", why);
    struct vp_state s = vp0();
    cr_expect_geq(s.gdtr.limit, 0x1f);
    cr_expect_eq(at64(s.gdtr.base + 0x10), 0x00af9b000000ffff);
    cr_expect_eq(at64(s.gdtr.base + 0x18), 0x00cf93000000ffff);
}

Test(linux_boot, four_gib_are_mapped_onto_themselves)
{
    cr_assert_eq(load(config()), 0, "%s", why);
    for (uint64_t linear = 0; linear < 4ULL << 30; linear += 0x1fffff) {
        gpa_t physical;
        cr_assert(vp_translate(cpu_vp(c, 0), gva(linear), &physical) && physical.v == linear, "%llx",
                  (unsigned long long)linear);
    }
    gpa_t physical;
    cr_expect_not(vp_translate(cpu_vp(c, 0), gva(4ULL << 30), &physical));
}

Test(linux_boot, the_kernel_lies_at_its_preferred_address)
{
    cr_assert_eq(load(config()), 0, "%s", why);
    for (uint64_t k = 0; k < KERNEL_BYTES; k += 4) {
        cr_assert_eq(at32(0x1000000 + k), 0xc0de0000 + k);
    }
}

Test(linux_boot, the_zero_page_has_header_command_line_map_and_rsdp)
{
    put64(image.bytes + 0x250, 0x12345678);  /* setup_data */
    memset(image.bytes + 0x1e0, 0xff, 0x11); /* before the header: not the kernel's to say */
    cr_assert_eq(load(config()), 0, "%s", why);
    cr_expect_eq(at32(ZERO_PAGE + 0x202), 0x53726448);
    cr_expect_eq(at8(ZERO_PAGE + 0x1ef), 0, "sentinel");
    cr_expect_eq(at8(ZERO_PAGE + 0x210), 0xff, "type_of_loader");
    cr_expect_eq(at64(ZERO_PAGE + 0x250), 0);
    cr_expect(text_at(at32(ZERO_PAGE + 0x228), "console=ttyS0 quiet"));
    uint64_t rsdp = at64(ZERO_PAGE + 0x70);
    cr_expect(rsdp >= 0xe0000 && rsdp < 0x100000);
    cr_expect_eq(at64(rsdp), 0x2052545020445352, "\"RSD PTR \"");
    struct e820_entry map[E820_MAX];
    unsigned count = platform_e820(&platform, map);
    cr_assert_eq(at8(ZERO_PAGE + 0x1e8), count);
    for (unsigned i = 0; i < count; i++) {
        cr_expect_eq(at64(ZERO_PAGE + 0x2d0 + 20 * i), map[i].base);
        cr_expect_eq(at64(ZERO_PAGE + 0x2d8 + 20 * i), map[i].bytes);
        cr_expect_eq(at32(ZERO_PAGE + 0x2e0 + 20 * i), map[i].type);
    }
}

Test(linux_boot, the_initrd_lies_high_page_aligned_and_clear_of_the_kernel)
{
    static uint8_t initrd[70001];
    memset(initrd, 0x77, sizeof initrd);
    struct boot_config cfg = config();
    cfg.initrd = (struct boot_image){"initrd", initrd, sizeof initrd};
    cr_assert_eq(load(cfg), 0, "%s", why);
    uint64_t at = at32(ZERO_PAGE + 0x218);
    cr_expect_eq(at32(ZERO_PAGE + 0x21c), sizeof initrd);
    cr_expect(at % 4096 == 0 && at >= 0x1800000 && at + sizeof initrd <= 128 * MIB);
    cr_expect(at8(at) == 0x77 && at8(at + sizeof initrd - 1) == 0x77 && at8(at + sizeof initrd) == 0);
}

Test(linux_boot, without_an_initrd_its_fields_are_zero)
{
    put32(image.bytes + 0x218, 0x5000000);
    put32(image.bytes + 0x21c, 0x1000);
    cr_assert_eq(load(config()), 0, "%s", why);
    cr_expect(at32(ZERO_PAGE + 0x218) == 0 && at32(ZERO_PAGE + 0x21c) == 0);
}

Test(linux_boot, the_initrd_respects_the_kernels_limit)
{
    static uint8_t initrd[4096];
    put32(image.bytes + 0x22c, 0x1ffffff);
    struct boot_config cfg = config();
    cfg.initrd = (struct boot_image){"initrd", initrd, sizeof initrd};
    cr_assert_eq(load(cfg), 0, "%s", why);
    cr_expect_eq(at32(ZERO_PAGE + 0x218), 0x1fff000);
    put32(image.bytes + 0x22c, 0x17ffffe);
    refused(cfg, "no room for 0x1000 bytes of initrd");
}

Test(linux_boot, what_is_no_64_bit_bzimage_is_refused)
{
    struct boot_config cfg = config();
    cfg.kernel.size = 0x263;
    refused(cfg, "not a Linux bzImage");
    image.bytes[0x203] = 'D';
    refused(config(), "not a Linux bzImage");
    make_bzimage(&image);
    put16(image.bytes + 0x236, 0x7e);
    refused(config(), "without a 64-bit entry");
    make_bzimage(&image);
    put16(image.bytes + 0x206, 0x20b);
    refused(config(), "protocol 0x20b");
}

Test(linux_boot, truncated_images_are_refused)
{
    struct boot_config cfg = config();
    for (size_t size = 0x264; size < SETUP_BYTES + KERNEL_BYTES - 16; size += 97) {
        cfg.kernel.size = size;
        refused(cfg, size <= SETUP_BYTES ? "does not lie inside the file" : "truncated");
    }
    image.bytes[0x1f1] = 255;
    refused(config(), "does not lie inside the file");
    make_bzimage(&image);
    image.bytes[0x201] = 0xff;
    refused(config(), "does not lie inside the file");
    image.bytes[0x201] = 0;
    refused(config(), "does not lie inside the file");
}

Test(linux_boot, kernels_that_do_not_fit_are_refused)
{
    put32(image.bytes + 0x260, 0xffffffff);
    refused(config(), "the kernel needs 0xffffffff bytes at 0x1000000");
    make_bzimage(&image);
    static const uint64_t places[] = {0x8000000, 0xfffffffffffff000, 0x7fffffffffffffff, 0x100000000, 0xc0000000};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        put64(image.bytes + 0x258, places[i]);
        refused(config(), "more memory may help");
    }
    put64(image.bytes + 0x258, 0x7000);
    refused(config(), "at 1 MiB or above");
}

Test(linux_boot, a_command_line_longer_than_the_kernel_takes_is_refused)
{
    char line[2050];
    memset(line, 'a', sizeof line);
    line[2048] = '\0';
    struct boot_config cfg = config();
    cfg.cmdline = line;
    refused(cfg, "this kernel takes 2047");
    line[2047] = '\0';
    cr_expect_eq(load(cfg), 0, "%s", why);
}

Test(linux_boot_small, a_machine_without_room_is_refused)
{
    static const uint64_t sizes[] = {4096, 0x8000, 0x10000, 0x100000, 16 * MIB};
    make_bzimage(&image);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        machine_up_bytes(sizes[i]);
        refused(config(), "more memory may help");
        machine_down();
    }
}
