/* Hypercalls: the control word, the table of calls, status codes. TLFS 6.0b §3, appendices A and B. Private to tlfs/ and its
 * tests. */
#ifndef ORRERY_TLFS_HYPERCALL_H
#define ORRERY_TLFS_HYPERCALL_H

#include "tlfs/profile.h"

typedef uint16_t hv_status_t;
enum {
    HV_STATUS_SUCCESS = 0x0000,
    HV_STATUS_INVALID_HYPERCALL_CODE = 0x0002,
    HV_STATUS_INVALID_HYPERCALL_INPUT = 0x0003,
    HV_STATUS_INVALID_ALIGNMENT = 0x0004,
    HV_STATUS_INVALID_PARAMETER = 0x0005,
    HV_STATUS_ACCESS_DENIED = 0x0006,
};

/* The hypercall input value, §3.7. The 6.0b figure gives the variable header nine bits and IsNested bit 26; the web edition and
 * every implementation have ten bits and bit 31. Nobody here is nested, so bit 31 is reserved like its neighbours. */
struct hypercall_control {
    uint16_t code;
    bool fast;
    uint16_t variable_header_qwords;
    uint16_t rep_count, rep_start;
};
#define HYPERCALL_RESERVED_FROM_5_0 0xf000f000f8000000ULL
#define HYPERCALL_RESERVED_BEFORE_5_0 0xf000f000fffe0000ULL

struct partition;
struct hv_vp;

enum hypercall_kind { HYPERCALL_SIMPLE, HYPERCALL_REP };
enum { HYPERCALL_FAST_BYTES = 16, HYPERCALL_INPUT_MAX = 256 };

struct hypercall_row {
    uint16_t code;
    const char *name, *section;
    uint8_t since; /* enum tlfs_edition: in older ones the code is unknown */
    uint8_t kind;  /* enum hypercall_kind */
    bool variable_header;
    enum hv_feature gate;               /* privilege; HV_FEATURES: none is needed */
    uint16_t input_bytes, output_bytes; /* fixed part */
    hv_status_t (*handler)(struct partition *p, struct hv_vp *vp, const struct hypercall_control *c, const void *input);
};
extern const struct hypercall_row hv_hypercall_rows[];
extern const size_t hv_hypercall_row_count;

struct hypercall_control hypercall_control_of(uint64_t value);
/* What the control word alone says about a call of this row: HV_STATUS_SUCCESS or INVALID_HYPERCALL_INPUT. */
hv_status_t hypercall_form_check(const struct hypercall_row *row, enum tlfs_edition edition, uint64_t value);
/* §3.6: a parameter block is aligned to 8 bytes and lies within one page. */
bool hypercall_block_fits(uint64_t address, unsigned bytes);

#endif
