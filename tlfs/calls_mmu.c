/* Hypercalls of the virtual MMU: switch and flush address spaces, translate an address. TLFS 6.0b §9.4.
 *
 * Invariants: a flush is complete on every VP it names when its element is; it touches no other VP and, under the policy
 * `stalest`, no other space than it names, but for global pages, which belong to all. Nothing inhibits flushes, for nobody
 * intercepts this partition (§9.1.4). Leaves out: the second-level (nested) flushes.
 */
#include "tlfs/calls.h"
#include "tlfs/hypervisor.h"
#include "tlfs/vp_set.h"

/* §9.4.1. Unlike MOV to CR3 this leaves all translations. */
hv_status_t call_switch_virtual_address_space(struct hypercall *c)
{
    uint64_t space = call_u64(c->input, 0);
    if (!cpu_cr3_valid(c->p->cpu, space) || !vp_switch_space(c->vp->vcpu, space)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return HV_STATUS_SUCCESS;
}

/* ---- flushes, §9.4.2-9.4.5 ---- */

enum {
    HV_FLUSH_ALL_PROCESSORS = 1,
    HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES = 2,
    HV_FLUSH_NON_GLOBAL_MAPPINGS_ONLY = 4,
    HV_FLUSH_USE_EXTENDED_RANGE_FORMAT = 8
};
/* Both kinds of header begin alike; then a mask of VPs, or an HV_VP_SET. */
enum { FLUSH_SPACE = 0, FLUSH_FLAGS = 8, FLUSH_MASK = 16, FLUSH_SET_FORMAT = 16, FLUSH_SET_BANKS = 24, FLUSH_EX_BYTES = 32 };

struct flush {
    uint64_t space;
    bool all_spaces, leave_global, extended_ranges;
    struct vp_set vps;
};

static hv_status_t flush_vps(const struct hypercall *c, uint64_t flags, struct flush *f)
{
    if (flags & HV_FLUSH_ALL_PROCESSORS) {
        f->vps = vp_set_of_all(c->p);
        return HV_STATUS_SUCCESS;
    }
    bool named;
    if (!c->row->variable_header) {
        uint64_t mask = call_u64(c->input, FLUSH_MASK);
        f->vps = vp_set_of_mask(mask);
        named = mask != 0;
    } else {
        hv_status_t status = vp_set_parse(c->p, call_u64(c->input, FLUSH_SET_FORMAT), call_u64(c->input, FLUSH_SET_BANKS),
                                          c->input + FLUSH_EX_BYTES, c->variable_bytes / 8, &f->vps, &named);
        if (status != HV_STATUS_SUCCESS) {
            return status;
        }
    }
    return named ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER;
}

static hv_status_t flush_parse(const struct hypercall *c, struct flush *f)
{
    bool list = c->row->kind == HYPERCALL_REP;
    uint64_t flags = call_u64(c->input, FLUSH_FLAGS), known = HV_FLUSH_ALL_PROCESSORS | HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES;
    if (!list) {
        known |= HV_FLUSH_NON_GLOBAL_MAPPINGS_ONLY;
    } else if (profile_has(&c->p->profile, HV_ExtendedGvaRangesForFlushVirtualAddressListAvailable)) {
        known |= HV_FLUSH_USE_EXTENDED_RANGE_FORMAT;
    }
    *f = (struct flush){.space = call_u64(c->input, FLUSH_SPACE),
                        .all_spaces = flags & HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES,
                        .leave_global = flags & HV_FLUSH_NON_GLOBAL_MAPPINGS_ONLY,
                        .extended_ranges = flags & HV_FLUSH_USE_EXTENDED_RANGE_FORMAT};
    if (flags & ~known || (!f->all_spaces && !cpu_cr3_valid(c->p->cpu, f->space))) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return flush_vps(c, flags, f);
}

hv_status_t check_flush(struct hypercall *c)
{
    struct flush f;
    return flush_parse(c, &f);
}

hv_status_t call_flush_virtual_address_space(struct hypercall *c)
{
    struct flush f;
    hv_status_t status = flush_parse(c, &f);
    for (unsigned i = 0; status == HV_STATUS_SUCCESS && i < c->p->vp_count; i++) {
        if (vp_set_has(&f.vps, i)) {
            vp_flush_space(c->p->vps[i].vcpu, f.space, f.all_spaces, f.leave_global);
        }
    }
    return status;
}

/* The range of an element: the low 12 bits count the pages beyond the first. In the extended format, which the texts only name,
 * 11 bits do; bit 11 says that they count large pages, and bit 12 which: 2 MiB or 1 GiB. An end beyond the address space is
 * cut.
 */
static void range_of(uint64_t element, bool extended, gva_t *from, gva_t *last)
{
    enum { LARGE = 1 << 11, HUGE = 1 << 12 };
    unsigned shift = !extended || !(element & LARGE) ? 12 : element & HUGE ? 30 : 21;
    uint64_t pages = (element & (extended ? 0x7ff : 0xfff)) + 1, bytes = pages << shift;
    from->v = element >> shift << shift;
    last->v = from->v + (bytes - 1) < from->v ? UINT64_MAX : from->v + (bytes - 1);
}

hv_status_t call_flush_virtual_address_list(struct hypercall *c)
{
    struct flush f;
    hv_status_t status = flush_parse(c, &f);
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    gva_t from, last;
    range_of(call_u64(c->element, 0), f.extended_ranges, &from, &last);
    for (unsigned i = 0; i < c->p->vp_count; i++) {
        if (vp_set_has(&f.vps, i)) {
            vp_flush_range(c->p->vps[i].vcpu, f.space, f.all_spaces, from, last);
        }
    }
    return HV_STATUS_SUCCESS;
}

/* ---- §9.4.6 ---- */

enum {
    TRANSLATE_PARTITION = 0,
    TRANSLATE_VP = 8,
    TRANSLATE_FLAGS = 16,
    TRANSLATE_PAGE = 24,
    /* HV_TRANSLATE_GVA_..., §9.3.4: they are those of vp_walk(), bit for bit, but the last */
    TRANSLATE_VALIDATE_ANY = 0x7,
    TRANSLATE_KNOWN = 0x1f,
    TRANSLATE_TLB_FLUSH_INHIBIT = 0x20,
};
#define TRANSLATE_INPUT_VTL_SHIFT 56
static_assert(WALK_READ == 1 && WALK_WRITE == 2 && WALK_EXECUTE == 4 && WALK_AS_SUPERVISOR == 8 && WALK_SET_ACCESSED == 16,
              "as HV_TRANSLATE_GVA_VALIDATE_READ and so on");
/* HV_TRANSLATE_GVA_RESULT_CODE */
static const uint32_t translate_codes[] = {
    [WALK_DONE] = 0, [WALK_NOT_PRESENT] = 1, [WALK_FORBIDDEN] = 2, [WALK_RESERVED_BITS] = 3, [WALK_TABLE_MISSING] = 4,
};

static hv_status_t translate_check(const struct hypercall *c, uint64_t flags)
{
    hv_status_t status = call_partition_is_self(call_u64(c->input, TRANSLATE_PARTITION));
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    uint64_t known = TRANSLATE_KNOWN | TRANSLATE_TLB_FLUSH_INHIBIT | 0xffULL << TRANSLATE_INPUT_VTL_SHIFT;
    if (flags & ~known || !(flags & TRANSLATE_VALIDATE_ANY) ||
        !call_input_vtl_is_0((uint8_t)(flags >> TRANSLATE_INPUT_VTL_SHIFT))) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    /* To inhibit flushes is for those who intercept: a parent, or a higher VTL (§9.1.4). */
    return flags & TRANSLATE_TLB_FLUSH_INHIBIT ? HV_STATUS_ACCESS_DENIED : HV_STATUS_SUCCESS;
}

hv_status_t call_translate_virtual_address(struct hypercall *c)
{
    enum { OUTPUT_RESULT = 0, OUTPUT_ATTRIBUTES = 4, OUTPUT_PAGE = 8, OVERLAY_PAGE = 1 << 8, ILLEGAL_OVERLAY_ACCESS = 7 };
    uint64_t flags = call_u64(c->input, TRANSLATE_FLAGS), page = call_u64(c->input, TRANSLATE_PAGE);
    hv_status_t status = translate_check(c, flags);
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    uint32_t index = call_u32(c->input, TRANSLATE_VP);
    struct hv_vp *vp = index == HV_VP_INDEX_SELF ? c->vp : index < c->p->vp_count ? &c->p->vps[index] : NULL;
    if (vp == NULL) {
        return HV_STATUS_INVALID_VP_INDEX;
    }
    struct vp_walk_result r;
    enum vp_walk walk = page >> 52 != 0 ? WALK_NOT_PRESENT : vp_walk(vp->vcpu, gva(page << 12), flags & TRANSLATE_KNOWN, &r);
    call_put_u32(c->output, OUTPUT_RESULT, translate_codes[walk]);
    if (walk == WALK_DONE) {
        bool writable, overlay = memory_is_overlay(c->p->machine->memory, r.page);
        memory_frame(c->p->machine->memory, r.page, &writable);
        if (overlay && !writable && (flags & WALK_WRITE)) {
            call_put_u32(c->output, OUTPUT_RESULT, ILLEGAL_OVERLAY_ACCESS);
        } else {
            call_put_u32(c->output, OUTPUT_ATTRIBUTES, r.pat_type | (overlay ? OVERLAY_PAGE : 0));
        }
    }
    if (walk == WALK_DONE || walk == WALK_TABLE_MISSING) {
        call_put_u64(c->output, OUTPUT_PAGE, r.page.v >> 12);
    }
    return HV_STATUS_SUCCESS;
}
