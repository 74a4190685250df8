/* The AML writer. A package's length stands before its contents and grows with them; so a block is written with two bytes kept
 * free for the length (PkgLength form of 12 bits: blocks up to 4 095 bytes), filled in when it ends.
 */
#include "devices/aml.h"

enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_EXTENDED = 0x5b,
    OP_EXTENDED_DEVICE = 0x82,
};
enum { PKG_LENGTH_BYTES = 2 };

static void put(struct aml *a, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        if (a->size == AML_MAX) {
            a->overflow = true;
            return;
        }
        a->bytes[a->size++] = (uint8_t)(value >> 8 * i);
    }
}

static size_t block_begin(struct aml *a)
{
    size_t mark = a->size;
    put(a, 0, PKG_LENGTH_BYTES);
    return mark;
}

/* PkgLength (§20.2.4): the lead byte has the count of bytes that follow it in bits 7:6 and the length's low nibble; the length
 * counts itself. */
void aml_end(struct aml *a, size_t mark)
{
    if (!a->overflow) {
        size_t length = a->size - mark;
        a->bytes[mark] = (uint8_t)(1 << 6 | (length & 15));
        a->bytes[mark + 1] = (uint8_t)(length >> 4);
    }
}

static void put_path(struct aml *a, const char *path)
{
    for (const char *c = path; *c != 0; c++) {
        put(a, (uint8_t)*c, 1);
    }
}

size_t aml_scope(struct aml *a, const char *path)
{
    put(a, OP_SCOPE, 1);
    size_t mark = block_begin(a);
    put_path(a, path);
    return mark;
}

size_t aml_device(struct aml *a, const char *segment)
{
    put(a, OP_EXTENDED, 1);
    put(a, OP_EXTENDED_DEVICE, 1);
    size_t mark = block_begin(a);
    put_path(a, segment);
    return mark;
}

size_t aml_package(struct aml *a, uint8_t elements)
{
    put(a, OP_PACKAGE, 1);
    size_t mark = block_begin(a);
    put(a, elements, 1);
    return mark;
}

void aml_name(struct aml *a, const char *path)
{
    put(a, OP_NAME, 1);
    put_path(a, path);
}

void aml_integer(struct aml *a, uint64_t value)
{
    if (value <= 1) {
        put(a, value == 0 ? OP_ZERO : OP_ONE, 1);
        return;
    }
    unsigned bytes = value <= 0xff ? 1 : value <= 0xffff ? 2 : value <= 0xffffffff ? 4 : 8;
    put(a, bytes == 1 ? OP_BYTE : bytes == 2 ? OP_WORD : bytes == 4 ? OP_DWORD : OP_QWORD, 1);
    put(a, value, bytes);
}

void aml_name_integer(struct aml *a, const char *segment, uint64_t value)
{
    aml_name(a, segment);
    aml_integer(a, value);
}

void aml_name_string(struct aml *a, const char *segment, const char *text)
{
    aml_name(a, segment);
    put(a, OP_STRING, 1);
    put_path(a, text);
    put(a, 0, 1);
}

static unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

/* Three letters of 5 bits and four hexadecimal digits, most significant byte first. */
void aml_name_eisa_id(struct aml *a, const char *segment, const char *id)
{
    uint32_t letters = (uint32_t)(id[0] & 31) << 10 | (uint32_t)(id[1] & 31) << 5 | (uint32_t)(id[2] & 31);
    uint32_t digits = hex_digit(id[3]) << 12 | hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 | hex_digit(id[6]);
    aml_name(a, segment);
    put(a, OP_DWORD, 1);
    put(a, __builtin_bswap32(letters << 16 | digits), 4);
}

/* ---- resource templates: a Buffer whose size is a word constant, filled in at the end ---- */

size_t aml_resources(struct aml *a)
{
    aml_name(a, "_CRS");
    put(a, OP_BUFFER, 1);
    size_t mark = block_begin(a);
    put(a, OP_WORD, 1);
    put(a, 0, 2);
    return mark;
}

void aml_resources_end(struct aml *a, size_t mark)
{
    put(a, 0x79, 1); /* end tag; checksum 0 means "not checked" */
    put(a, 0, 1);
    if (!a->overflow) {
        size_t size_at = mark + PKG_LENGTH_BYTES + 1, size = a->size - (size_at + 2);
        a->bytes[size_at] = (uint8_t)size;
        a->bytes[size_at + 1] = (uint8_t)(size >> 8);
    }
    aml_end(a, mark);
}

/* I/O port descriptor (§6.4.2.5), 16-bit decoding, alignment 1. */
void aml_io(struct aml *a, uint16_t first, uint8_t count)
{
    put(a, 0x47, 1);
    put(a, 1, 1);
    put(a, first, 2);
    put(a, first, 2);
    put(a, 1, 1);
    put(a, count, 1);
}

/* IRQ descriptor without flags (§6.4.2.1): edge, active high, exclusive. */
void aml_irq(struct aml *a, unsigned irq)
{
    put(a, 0x22, 1);
    put(a, 1u << irq, 2);
}

/* QWord address space descriptor (§6.4.3.5.1): memory, minimum and maximum fixed, producer. */
void aml_memory_window(struct aml *a, uint64_t first, uint64_t bytes)
{
    put(a, 0x8a, 1);
    put(a, 43, 2); /* length of what follows */
    put(a, 0, 1);  /* memory */
    put(a, 0x0c, 1);
    put(a, 0x01, 1); /* read/write, non-cacheable */
    put(a, 0, 8);    /* granularity */
    put(a, first, 8);
    put(a, first + bytes - 1, 8);
    put(a, 0, 8); /* translation */
    put(a, bytes, 8);
}
