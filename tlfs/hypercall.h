/* Hypercalls: the control word, the table of calls, what a handler is given. TLFS 6.0b §3, appendices A and B. Private to tlfs/
 * and its tests.
 *
 * A row states what the text states of a call: code, editions, caller, privilege, form, sizes. hypercall.c walks the row; the
 * handlers (calls.h) see only calls that are well-formed, with their input as a snapshot.
 */
#ifndef ORRERY_TLFS_HYPERCALL_H
#define ORRERY_TLFS_HYPERCALL_H

#include "tlfs/profile.h"
#include "tlfs/status.h"

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
struct hypercall_row;

/* One call under way, as its handler sees it. Input is a snapshot taken before the first check of its contents. */
struct hypercall {
    struct partition *p;
    struct hv_vp *vp; /* the caller */
    const struct hypercall_row *row;
    struct hypercall_control control;
    const uint8_t *input; /* fixed part (row->input_bytes), then the variable header; aligned to 8 */
    unsigned variable_bytes;
    unsigned input_room_bytes; /* from the input's start to the end of its page, or of the registers */
    unsigned index;            /* rep calls: this element, counted from the list's start */
    const uint8_t *element;    /* rep calls: its input (row->element_in_bytes); NULL when 0 */
    uint8_t *output; /* zeroed: fixed output, or this element's; reaches the guest only on success. NULL when there is none */
};
typedef hv_status_t hypercall_fn(struct hypercall *c);

enum hypercall_kind { HYPERCALL_SIMPLE, HYPERCALL_REP };
/* Column "Caller" of appendix A. A child is neither parent nor root, so their calls are refused whatever it holds. */
enum hypercall_caller { CALLER_ANY, CALLER_PARENT, CALLER_ROOT };
enum { HYPERCALL_FAST_BYTES = 16, HYPERCALL_XMM_BYTES = 112 };

struct hypercall_row {
    uint16_t code;
    const char *name, *section;
    uint8_t since, until; /* enum tlfs_edition: in older and newer ones the code is unknown; until 0: to the last */
    uint8_t caller;       /* enum hypercall_caller */
    enum hv_feature gate; /* privilege that the caller must hold; HV_FEATURES: none is needed */
    uint32_t hints;       /* bits of leaf 0x40000004 EAX, each of which recommends the call */
    hv_status_t refusal;  /* with hints: the answer while none of them is announced; without a handler: the answer (0: access
                             denied) */
    bool variable_header;
    uint8_t kind; /* enum hypercall_kind */
    uint16_t input_bytes, output_bytes;
    uint16_t element_in_bytes, element_out_bytes;
    uint16_t call_cycles, element_cycles; /* on top of the exit's cost */
    hypercall_fn *check;                  /* once per dispatch: the header's contents; may be NULL */
    hypercall_fn *run;                    /* once, or for each element; NULL: nobody here may call it */
};
/* Sorted by code, then by edition; rows of one code share no edition. */
extern const struct hypercall_row hv_hypercall_rows[];
extern const size_t hv_hypercall_row_count;

struct hypercall_control hypercall_control_of(uint64_t value);
/* What the control word alone says about a call of this row: HV_STATUS_SUCCESS or INVALID_HYPERCALL_INPUT. */
hv_status_t hypercall_form_check(const struct hypercall_row *row, enum tlfs_edition edition, uint64_t value);
/* §3.6: a parameter block is aligned to 8 bytes and lies within one page. */
bool hypercall_block_fits(uint64_t address, unsigned bytes);

#endif
