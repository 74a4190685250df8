/* The ACPI tables: RSDP, XSDT, FADT, FACS, MADT, DSDT. ACPI 6.3 chapter 5 and §20.
 *
 * They lie one after the other from E0000h on, where firmware would put them: the RSDP first, so that a scan finds it.
 * Everything they say is what the devices do; ports come from the devices' headers. Not declared because not there: SMI
 * commands (the machine is always in ACPI mode), general-purpose events, buttons, VGA, HPET, PCI, an 8042 with a keyboard, and
 * \_S4, which would make Linux's balloon driver refuse its work.
 */
#include <string.h>

#include "devices/aml.h"
#include "devices/ioapic.h"
#include "devices/platform.h"
#include "devices/pm.h"

enum { TABLES_START = 0xe0000, TABLES_END = 0x100000, ROOM_BYTES = 8192, TABLE_ALIGN = 64 };
enum { HEADER_BYTES = 36, FADT_BYTES = 276, FACS_BYTES = 64, RSDP_BYTES = 36, RSDP_V1_BYTES = 20 };
#define LAPIC_GPA 0xfee00000u

/* Windows that the VMBus device may hand out: below the IOAPIC, and 64 GiB beyond any RAM. */
#define WINDOW_LOW 0xf8000000ULL
#define WINDOW_LOW_BYTES 0x06c00000ULL
#define WINDOW_HIGH (128ULL << 30)
#define WINDOW_HIGH_BYTES (64ULL << 30)

/* All tables while they are written; `at` is the GPA of bytes[0]. */
struct tables {
    size_t size;
    uint8_t bytes[ROOM_BYTES];
};
_Static_assert(TABLES_START + ROOM_BYTES <= TABLES_END, "the tables fit below 1 MiB");
/* 240 VPs of 8 bytes each are the longest MADT; with the DSDT of at most AML_MAX bytes everything fits. */
_Static_assert(ROOM_BYTES >= 240 * 8 + AML_MAX + 2048, "the tables fit their room");

static void put(struct tables *t, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        t->bytes[t->size++] = (uint8_t)(value >> 8 * i);
    }
}
static void put_text(struct tables *t, const char *text, size_t bytes)
{
    memcpy(&t->bytes[t->size], text, bytes);
    t->size += bytes;
}
static void put_at(struct tables *t, size_t at, uint64_t value, unsigned bytes)
{
    size_t size = t->size;
    t->size = at;
    put(t, value, bytes);
    t->size = size;
}
static uint64_t table_gpa(size_t offset)
{
    return TABLES_START + offset;
}

static uint8_t checksum(const uint8_t *bytes, size_t count)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += bytes[i];
    }
    return (uint8_t)-sum;
}

static size_t table_place(struct tables *t)
{
    t->size = (t->size + TABLE_ALIGN - 1) / TABLE_ALIGN * TABLE_ALIGN;
    return t->size;
}

/* System description table header, §5.2.6; length and checksum come with table_end(). */
static size_t table_begin(struct tables *t, const char *signature, uint8_t revision)
{
    size_t start = table_place(t);
    put_text(t, signature, 4);
    put(t, 0, 4); /* length */
    put(t, revision, 1);
    put(t, 0, 1); /* checksum */
    put_text(t, "ORRERY", 6);
    put_text(t, "ORRERYPC", 8);
    put(t, 1, 4); /* OEM revision */
    put_text(t, "ORRY", 4);
    put(t, 1, 4); /* creator revision */
    return start;
}

static void table_end(struct tables *t, size_t start)
{
    put_at(t, start + 4, t->size - start, 4);
    t->bytes[start + 9] = checksum(&t->bytes[start], t->size - start);
}

/* ---- DSDT ---- */

static void dsdt_serial_port(struct aml *a, const char *segment, unsigned uid, uint16_t port, unsigned irq)
{
    size_t device = aml_device(a, segment);
    aml_name_eisa_id(a, "_HID", "PNP0501");
    aml_name_integer(a, "_UID", uid);
    size_t resources = aml_resources(a);
    aml_io(a, port, 8);
    aml_irq(a, irq);
    aml_resources_end(a, resources);
    aml_end(a, device);
}

static void dsdt_rtc(struct aml *a)
{
    size_t device = aml_device(a, "RTC_");
    aml_name_eisa_id(a, "_HID", "PNP0B00");
    size_t resources = aml_resources(a);
    aml_io(a, 0x70, 2);
    aml_irq(a, 8);
    aml_resources_end(a, resources);
    aml_end(a, device);
}

/* Linux's hv_vmbus loads only where a device has the id "VMBUS"; it takes MMIO windows from the device or those above it. */
static void dsdt_vmbus(struct aml *a)
{
    size_t module = aml_device(a, "VMOD");
    aml_name_string(a, "_HID", "ACPI0004");
    aml_name_integer(a, "_UID", 0);
    size_t resources = aml_resources(a);
    aml_memory_window(a, WINDOW_LOW, WINDOW_LOW_BYTES);
    aml_memory_window(a, WINDOW_HIGH, WINDOW_HIGH_BYTES);
    aml_resources_end(a, resources);

    size_t bus = aml_device(a, "VMBS");
    aml_name_string(a, "_HID", "MSFT1000");
    aml_name_string(a, "_CID", "VMBUS");
    aml_name_integer(a, "_UID", 0);
    aml_name_integer(a, "_STA", 0x0f);
    aml_end(a, bus);
    aml_end(a, module);
}

/* COM3 and COM4 share the lines of COM1 and COM2, which exclusive edge interrupts cannot express: systems probe them by
 * address. */
static void dsdt_body(struct aml *a, const struct platform_config *config)
{
    aml_name(a, "\\_S5_");
    size_t package = aml_package(a, 4);
    aml_integer(a, SLEEP_TYPE_S5);
    aml_integer(a, SLEEP_TYPE_S5);
    aml_integer(a, 0);
    aml_integer(a, 0);
    aml_end(a, package);

    size_t scope = aml_scope(a, "\\_SB_");
    dsdt_serial_port(a, "COM1", 1, 0x3f8, 4);
    dsdt_serial_port(a, "COM2", 2, 0x2f8, 3);
    dsdt_rtc(a);
    if (config->vmbus) {
        dsdt_vmbus(a);
    }
    aml_end(a, scope);
}

static size_t dsdt_build(struct tables *t, const struct platform_config *config)
{
    struct aml body = {.size = 0};
    dsdt_body(&body, config);
    assert(!body.overflow);
    size_t start = table_begin(t, "DSDT", 2);
    put_text(t, (const char *)body.bytes, body.size);
    table_end(t, start);
    return start;
}

/* ---- FACS (§5.2.10) and FADT (§5.2.9) ---- */

static size_t facs_build(struct tables *t)
{
    size_t start = table_place(t);
    put_text(t, "FACS", 4);
    put(t, FACS_BYTES, 4);
    put_at(t, start + 32, 2, 1); /* version */
    t->size = start + FACS_BYTES;
    return start;
}

enum { GAS_IO = 1, GAS_BYTE = 1, GAS_WORD = 2, GAS_DWORD = 3 };

/* A field of the FADT at its offset. */
struct fadt_field {
    uint16_t offset;
    uint8_t bytes;
    uint64_t value;
};
/* A register as Generic Address Structure (§5.2.3.2), always in I/O space. */
struct fadt_gas {
    uint16_t offset;
    uint8_t bits, access;
    uint16_t port;
};

/* Fixed feature flags: WBINVD 0, PROC_C1 2, PWR_BUTTON and SLP_BUTTON 4 and 5 (no fixed buttons), TMR_VAL_EXT 8,
 * RESET_REG_SUP 10. Boot architecture: legacy devices 0, no VGA 2; no 8042 (bit 1 clear). */
static const struct fadt_field fadt_fields[] = {
    {46, 2, SCI_IRQ},
    {56, 4, PM1_EVENT_PORT},
    {64, 4, PM1_CONTROL_PORT},
    {76, 4, PM_TIMER_PORT},
    {88, 1, 4},                /* PM1_EVT_LEN */
    {89, 1, 2},                /* PM1_CNT_LEN */
    {91, 1, 4},                /* PM_TMR_LEN */
    {96, 2, 0xffff},           /* P_LVL2_LAT: no C2 */
    {98, 2, 0xffff},           /* P_LVL3_LAT: no C3 */
    {108, 1, 0x32},            /* CENTURY: its CMOS byte */
    {109, 2, 1 << 0 | 1 << 2}, /* IAPC_BOOT_ARCH */
    {112, 4, 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 10},
    {128, 1, RESET_VALUE},
};
static const struct fadt_gas fadt_registers[] = {
    {116, 8, GAS_BYTE, RESET_PORT},      {148, 32, GAS_WORD, PM1_EVENT_PORT},    {172, 16, GAS_WORD, PM1_CONTROL_PORT},
    {208, 32, GAS_DWORD, PM_TIMER_PORT}, {244, 8, GAS_BYTE, SLEEP_CONTROL_PORT}, {256, 8, GAS_BYTE, SLEEP_STATUS_PORT},
};

static size_t fadt_build(struct tables *t, size_t facs, size_t dsdt)
{
    size_t start = table_begin(t, "FACP", 6);
    t->size = start + FADT_BYTES;
    for (size_t i = 0; i < ARRAY_COUNT(fadt_fields); i++) {
        put_at(t, start + fadt_fields[i].offset, fadt_fields[i].value, fadt_fields[i].bytes);
    }
    for (size_t i = 0; i < ARRAY_COUNT(fadt_registers); i++) {
        const struct fadt_gas *g = &fadt_registers[i];
        put_at(t, start + g->offset, GAS_IO | (uint32_t)g->bits << 8 | (uint32_t)g->access << 24, 4);
        put_at(t, start + g->offset + 4, g->port, 8);
    }
    put_at(t, start + 36, table_gpa(facs), 4);  /* FIRMWARE_CTRL; the 64-bit X_FIRMWARE_CTRL must then be 0 */
    put_at(t, start + 40, table_gpa(dsdt), 4);  /* DSDT */
    put_at(t, start + 140, table_gpa(dsdt), 8); /* X_DSDT */
    put_at(t, start + 131, 3, 1);               /* minor version: ACPI 6.3 */
    table_end(t, start);
    return start;
}

/* ---- MADT, §5.2.12 ---- */

enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4 };
enum { MADT_PCAT_COMPAT = 1, LAPIC_ENABLED = 1, POLARITY_HIGH = 1, TRIGGER_LEVEL = 3 << 2, ALL_PROCESSORS = 0xff };

static void madt_override(struct tables *t, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    put(t, MADT_OVERRIDE, 1);
    put(t, 10, 1);
    put(t, 0, 1); /* ISA */
    put(t, irq, 1);
    put(t, gsi, 4);
    put(t, flags, 2);
}

static size_t madt_build(struct tables *t, unsigned vps)
{
    size_t start = table_begin(t, "APIC", 5);
    put(t, LAPIC_GPA, 4);
    put(t, MADT_PCAT_COMPAT, 4);
    for (unsigned vp = 0; vp < vps; vp++) {
        put(t, MADT_LAPIC, 1);
        put(t, 8, 1);
        put(t, vp, 1); /* processor UID */
        put(t, vp, 1); /* APIC id */
        put(t, LAPIC_ENABLED, 4);
    }
    put(t, MADT_IOAPIC, 1);
    put(t, 12, 1);
    put(t, 0, 1); /* id */
    put(t, 0, 1);
    put(t, IOAPIC_GPA, 4);
    put(t, 0, 4);              /* first GSI */
    madt_override(t, 0, 2, 0); /* the PIT */
    madt_override(t, SCI_IRQ, SCI_IRQ, POLARITY_HIGH | TRIGGER_LEVEL);
    put(t, MADT_LAPIC_NMI, 1);
    put(t, 6, 1);
    put(t, ALL_PROCESSORS, 1);
    put(t, 0, 2); /* as the bus has it: edge, active high */
    put(t, 1, 1); /* LINT1 */
    table_end(t, start);
    return start;
}

/* ---- XSDT (§5.2.8) and RSDP (§5.2.5.3) ---- */

static size_t xsdt_build(struct tables *t, size_t fadt, size_t madt)
{
    size_t start = table_begin(t, "XSDT", 1);
    put(t, table_gpa(fadt), 8);
    put(t, table_gpa(madt), 8);
    table_end(t, start);
    return start;
}

static void rsdp_build(struct tables *t, size_t xsdt)
{
    uint8_t *rsdp = t->bytes;
    t->size = 0;
    put_text(t, "RSD PTR ", 8);
    put(t, 0, 1); /* checksum of the first 20 bytes */
    put_text(t, "ORRERY", 6);
    put(t, 2, 1); /* revision */
    put(t, 0, 4); /* no RSDT */
    put(t, RSDP_BYTES, 4);
    put(t, table_gpa(xsdt), 8);
    put(t, 0, 4); /* checksum of all, reserved */
    rsdp[8] = checksum(rsdp, RSDP_V1_BYTES);
    rsdp[32] = checksum(rsdp, RSDP_BYTES);
}

uint64_t acpi_build(struct machine *m, const struct platform_config *config)
{
    struct tables t = {.size = RSDP_BYTES};
    assert(config->vps <= 240);
    size_t facs = facs_build(&t);
    size_t dsdt = dsdt_build(&t, config);
    size_t fadt = fadt_build(&t, facs, dsdt);
    size_t madt = madt_build(&t, config->vps);
    size_t xsdt = xsdt_build(&t, fadt, madt);
    size_t size = t.size;
    rsdp_build(&t, xsdt);
    return memory_write(m->memory, gpa(TABLES_START), t.bytes, size) ? TABLES_START : 0;
}
