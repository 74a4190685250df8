/* Fuzzer of the boot loaders (libFuzzer). An input is a kind, a mode, and either a raw image or a list of patches to a
 * well-formed one: byte 0: bits 0-2 kind, bit 3 patches, bits 4-5 mode of a flat binary, bit 6 an initrd or module, bit 7 a
 * small machine patches: 2 bytes offset, 4 bytes value, again and again; the last 2 bytes may cut the image What must hold: no
 * crash, a message with every refusal, VP 0 untouched by a refusal, and an entry in RAM after success. */
#include <stdlib.h>
#include <string.h>

#include "scenarios/boot.h"
#include "tests/unit/boot_make.h"

enum { KINDS = 5, PATCHES = 1 << 3, WITH_MODULE = 1 << 6, SMALL = 1 << 7, PATCH_BYTES = 6 };

static void need(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void image_make(struct made *image, enum boot_kind kind)
{
    switch (kind) {
    case BOOT_LINUX:
        make_bzimage(image);
        break;
    case BOOT_MULTIBOOT:
        make_multiboot(image);
        break;
    default:
        make_pvh(image);
        break;
    }
}

static struct boot_image image_patched(struct made *image, enum boot_kind kind, const uint8_t *data, size_t size)
{
    image_make(image, kind);
    for (; size >= PATCH_BYTES; data += PATCH_BYTES, size -= PATCH_BYTES) {
        size_t offset = data[0] | (size_t)data[1] << 8;
        if (offset + 4 <= image->size) {
            memcpy(image->bytes + offset, data + 2, 4);
        }
    }
    size_t cut = size >= 2 ? data[0] | (size_t)data[1] << 8 : 0;
    return (struct boot_image){"patched", image->bytes, cut != 0 && cut < image->size ? cut : image->size};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct made image; /* large; written anew for each input */
    if (size < 10) {
        return 0;
    }
    const uint8_t head = data[0];
    enum boot_kind kind = (head & 7) % KINDS;
    uint64_t address;
    memcpy(&address, data + 1, sizeof address);
    const uint64_t ram = head & SMALL ? 1 << 20 : 64 << 20;
    const char *problem;
    struct cpu_config config = {.vps = 1, .cost = cost_table_by_name("ipc1")};
    need(cpu_model_init(&config.model, "v2", VENDOR_AMD, 1000000000, 1));
    struct machine *m = machine_create(ram, 1000000000, 1, &problem);
    struct cpu *c = cpu_create(m, &config, &(struct cpu_hooks){0});
    need(m != NULL && c != NULL);
    struct platform_config platform = {.vps = 1, .ram_bytes = ram};
    const uint8_t *rest = data + 9;
    const size_t rest_bytes = size - 9;
    const struct boot_module module = {{"module", data, size}, "of a module"};
    const struct boot_config boot = {
        .kind = kind,
        .kernel = head & PATCHES ? image_patched(&image, kind, rest, rest_bytes) : (struct boot_image){"raw", rest, rest_bytes},
        .initrd = head & WITH_MODULE ? module.image : (struct boot_image){0},
        .modules = &module,
        .module_count = head & WITH_MODULE ? 1 : 0,
        .cmdline = "of a kernel",
        .address = address,
        .mode = (head >> 4 & 3) % 3,
        .platform = &platform,
    };
    struct vp_state before, after;
    vp_get_state(cpu_vp(c, 0), &before);
    char why[200] = "";
    int failed = boot_load(m, c, &boot, why, sizeof why);
    vp_get_state(cpu_vp(c, 0), &after);
    if (failed) {
        need(why[0] != '\0' && memcmp(&before, &after, sizeof before) == 0);
    } else {
        uint8_t first;
        need(memory_read(m->memory, gpa(after.seg_base[SEG_CS] + after.rip), &first, 1));
    }
    cpu_destroy(c);
    machine_destroy(m);
    return 0;
}
