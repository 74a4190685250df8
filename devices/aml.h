/* A small writer of ACPI Machine Language (ACPI 6.3 chapter 20): just what our DSDT says.
 *
 * Calls nest as the ASL does:
 *     size_t device = aml_device(a, "COM1");
 *     aml_name_string(a, "_HID", "PNP0501");
 *     aml_end(a, device);
 * Bytes that do not fit set `overflow`, and the rest is dropped: the caller looks once, at the end.
 */
#ifndef ORRERY_DEVICES_AML_H
#define ORRERY_DEVICES_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AML_MAX = 2048 };

struct aml {
    size_t size;
    bool overflow;
    uint8_t bytes[AML_MAX];
};

/* ---- things with a package length: begin gives a mark, aml_end() closes it ---- */

size_t aml_scope(struct aml *a, const char *path); /* "\\_SB_" or one four-letter segment */
size_t aml_device(struct aml *a, const char *segment);
size_t aml_package(struct aml *a, uint8_t elements); /* its elements follow as aml_integer() */
void aml_end(struct aml *a, size_t mark);

/* ---- objects and data ---- */

void aml_name(struct aml *a, const char *path); /* Name (path, ...): what follows is its value */
void aml_integer(struct aml *a, uint64_t value);
void aml_name_integer(struct aml *a, const char *segment, uint64_t value);
void aml_name_string(struct aml *a, const char *segment, const char *text);
/* A compressed EISA id, "PNP0501" (ACPI 6.3 §19.3.4, EISAID). */
void aml_name_eisa_id(struct aml *a, const char *segment, const char *id);

/* ---- _CRS: descriptors between begin and end (ACPI 6.3 §6.4) ---- */

size_t aml_resources(struct aml *a); /* Name (_CRS, ResourceTemplate () { */
void aml_io(struct aml *a, uint16_t first, uint8_t count);
void aml_irq(struct aml *a, unsigned irq); /* edge, active high, exclusive */
void aml_memory_window(struct aml *a, uint64_t first,
                       uint64_t bytes); /* QWordMemory, ResourceProducer, read/write, non-cacheable */
void aml_resources_end(struct aml *a, size_t mark);

#endif
