/* Flat binaries and ROM images; and the rules that hold for every kind. */
#include "tests/unit/boot_images.h"

TestSuite(flat, .init = machine_up, .fini = machine_down);
TestSuite(rom, .init = machine_up, .fini = machine_down);

static struct boot_config flat(uint64_t address, enum boot_mode mode, const void *bytes, size_t size)
{
    return (struct boot_config){.kind = BOOT_FLAT, .kernel = {"flat", bytes, size}, .address = address, .mode = mode};
}

/* Runs VP 0 until it halts. */
static void run(void)
{
    for (int i = 0; i < 1000; i++) {
        enum vp_stop stop = vp_run(cpu_vp(c, 0), m->clock.cycle + 1000);
        cr_assert_neq(stop, STOP_SHUTDOWN);
        if (stop == STOP_HALT) {
            return;
        }
    }
    cr_assert(false, "the guest did not halt");
}

/* mov ax,cs; mov bx,ip by call; hlt */
static const uint8_t real_code[] = {0x8c, 0xc8, 0xbc, 0x00, 0x70, 0xe8, 0x00, 0x00, 0x5b, 0xf4};

Test(flat, runs_16_bit_code_at_a_boot_sectors_place)
{
    cr_assert_eq(load(flat(0x7c00, BOOT_MODE_16, real_code, sizeof real_code)), 0, "%s", why);
    cr_expect_eq(vp0().cr0 & CR0_PE, 0);
    run();
    struct vp_state s = vp0();
    cr_expect(s.gpr[RAX] == 0 && s.gpr[RBX] == 0x7c08 && s.rip == 0x7c0a, "CS:IP = 0000:7C00");
}

Test(flat, runs_16_bit_code_anywhere_below_1_mib)
{
    cr_assert_eq(load(flat(0x54321, BOOT_MODE_16, real_code, sizeof real_code)), 0, "%s", why);
    run();
    struct vp_state s = vp0();
    cr_expect(s.gpr[RAX] == 0x5432 && s.gpr[RBX] == 9);
    refused(flat(0x100000, BOOT_MODE_16, real_code, sizeof real_code), "below 1 MiB");
}

/* mov eax,0x12345678; mov ax,ds; mov ds,ax (reloads from the GDT); mov [0x300000],eax; hlt */
Test(flat, runs_32_bit_code_with_a_gdt_that_can_be_reloaded)
{
    static const uint8_t code[] = {0xb8, 0x78, 0x56, 0x34, 0x12, 0x8c, 0xd9, 0x8e, 0xd9, 0xa3, 0x00, 0x00, 0x30, 0x00, 0xf4};
    cr_assert_eq(load(flat(0x200000, BOOT_MODE_32, code, sizeof code)), 0, "%s", why);
    cr_expect_eq(vp0().cr0 & (CR0_PE | CR0_PG), CR0_PE);
    run();
    cr_expect_eq(at32(0x300000), 0x12345678);
}

/* mov rax,0x123456789abcdef0; mov ecx,ds; mov ds,ecx; mov [0x300000],rax; hlt */
Test(flat, runs_64_bit_code_in_identity_mapped_memory)
{
    static const uint8_t code[] = {0x48, 0xb8, 0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12, 0x8c, 0xd9,
                                   0x8e, 0xd9, 0x48, 0x89, 0x04, 0x25, 0x00, 0x00, 0x30, 0x00, 0xf4};
    cr_assert_eq(load(flat(0x1000, BOOT_MODE_64, code, sizeof code)), 0, "%s", why);
    cr_expect_eq(vp0().efer & EFER_LMA, EFER_LMA);
    run();
    cr_expect_eq(at64(0x300000), 0x123456789abcdef0);
}

Test(flat, tables_make_way_for_the_image)
{
    static uint8_t code[0x8000] = {0xf4};
    cr_assert_eq(load(flat(0x8000, BOOT_MODE_64, code, sizeof code)), 0, "%s", why);
    struct vp_state s = vp0();
    cr_expect(s.gdtr.base >= 0x10000 && s.cr3 >= 0x10000);
    cr_expect_eq(at8(0x8000), 0xf4);
    static uint8_t big[0x9fc00 - 0x1000];
    refused(flat(0x1000, BOOT_MODE_64, big, sizeof big), "no room for the loader's tables");
}

Test(flat, images_outside_ram_are_refused)
{
    static const uint8_t code[16] = {0xf4};
    static const uint64_t places[] = {128 * MIB - 15, 128 * MIB,  0xa0000,        0x9fbf8,   0xfee00000,
                                      0xfffffff8,     1ULL << 32, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        refused(flat(places[i], BOOT_MODE_64, code, sizeof code), "where there is not that much RAM");
    }
    refused(flat(0x200000, BOOT_MODE_64, code, 0), "the image is empty");
    refused(flat(0x200000, BOOT_MODE_64, NULL, 16), "the image is empty");
}

Test(flat, a_command_line_without_end_is_refused)
{
    static char line[65537];
    memset(line, 'x', sizeof line - 1);
    static const uint8_t code[16] = {0xf4};
    struct boot_config config = flat(0x200000, BOOT_MODE_64, code, sizeof code);
    config.cmdline = line;
    refused(config, "longer than 65535");
}

/* Loaders start a guest as firmware leaves it: the 8259 pair reaches VP 0 through LINT0 (MP specification §3.6.2.2). */
Test(flat, the_local_apic_is_a_virtual_wire)
{
    static const uint8_t code[] = {0xf4};
    cr_assert_eq(load(flat(0x200000, BOOT_MODE_64, code, sizeof code)), 0, "%s", why);
    cr_expect_eq(lapic_read(cpu_vp(c, 0), 0x350) & 0x10700, 0x700, "LINT0: ExtINT, not masked");
}

/* ---- ROM, SDM 3A §9.1.4 ---- */

static uint8_t bios[512 * 1024];
static struct boot_config rom(size_t size)
{
    for (size_t i = 0; i < sizeof bios; i += 4) {
        put32(bios + i, 0xb105 + i);
    }
    /* reset vector: jmp f000:fff8 (in the copy below 1 MiB); there: mov ax,cs; hlt */
    static const uint8_t vector[16] = {0xea, 0xf8, 0xff, 0x00, 0xf0, 0, 0, 0, 0x8c, 0xc8, 0xf4};
    memcpy(bios + sizeof bios - 16, vector, sizeof vector);
    return (struct boot_config){.kind = BOOT_ROM, .kernel = {"rom", bios + sizeof bios - size, size}};
}

Test(rom, runs_from_the_reset_vector)
{
    cr_assert_eq(load(rom(256 * 1024)), 0, "%s", why);
    struct vp_state s = vp0();
    cr_expect(s.seg_base[SEG_CS] == 0xffff0000 && s.rip == 0xfff0, "the reset state stays");
    run();
    cr_expect_eq(vp0().gpr[RAX] & 0xffff, 0xf000);
}

Test(rom, is_read_only_below_4_gib_and_shadowed_below_1_mib)
{
    struct boot_config config = rom(256 * 1024);
    cr_assert_eq(load(config), 0, "%s", why);
    uint8_t there[4096], zero = 0;
    for (uint64_t offset = 0; offset < config.kernel.size; offset += sizeof there) {
        cr_assert(memory_read(m->memory, gpa(0x100000000 - config.kernel.size + offset), there, sizeof there));
        cr_assert_arr_eq(there, config.kernel.bytes + offset, sizeof there);
    }
    cr_expect_not(memory_write(m->memory, gpa(0xffffffff), &zero, 1));
    cr_assert(memory_read(m->memory, gpa(0xe0000), there, sizeof there));
    cr_expect_arr_eq(there, bios + sizeof bios - 128 * 1024, sizeof there);
    cr_expect(memory_write(m->memory, gpa(0xe0000), &zero, 1));
}

Test(rom, a_bigger_rom_shows_its_last_256_kib_below_1_mib)
{
    cr_assert_eq(load(rom(512 * 1024)), 0, "%s", why);
    cr_expect_eq(at32(0xc0000), 0xb105 + 256 * 1024);
    cr_expect_eq(at32(0xbfffc), 0);
    cr_expect_eq(at32(0xfff80000), 0xb105);
}

Test(rom, a_restart_finds_the_rom_again)
{
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(load(rom(256 * 1024)), 0, "%s", why);
        cpu_reset(c);
    }
    struct boot_config other = rom(64 * 1024);
    bios[sizeof bios - 100] ^= 1;
    refused(other, "other memory lies at");
}

Test(rom, odd_and_huge_sizes_are_refused)
{
    refused((struct boot_config){.kind = BOOT_ROM, .kernel = {"rom", bios, 4095}}, "whole pages of 4 KiB, at most 4 MiB");
    refused((struct boot_config){.kind = BOOT_ROM, .kernel = {"rom", bios, (4 << 20) + 4096}},
            "whole pages of 4 KiB, at most 4 MiB");
}
