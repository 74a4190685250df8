/* Rules over the trace. See lint.h.
 *
 * State is what the guest has said so far: whether it looked for the interface, its identity, the registers it wrote, the
 * messages that wait for it. Host-side only: nothing here is part of a run.
 */
#include "conformance/lint.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/trace_ids.h"
#include "devices/trace_ids.h"
#include "machine/machine.h"
#include "machine/memory.h"
#include "tlfs/names.h"
#include "tlfs/trace_ids.h"

const char *const lint_severity_names[LINT_SEVERITIES] = {"note", "warning", "error"};

/* clang-format off: a table */
enum rule {
    IDENTITY_FIRST,
    SIGNATURE_FIRST,
    PAGE_FIRST,
    PAGE_ENTRY,
    MSR_PRIVILEGE,
    CALL_PRIVILEGE,
    CALL_CODE,
    CALL_CONTROL,
    CALL_ALIGNMENT,
    CALL_PARAMETER,
    KEEP_HYPERCALL,
    KEEP_TSC_PAGE,
    KEEP_ASSIST,
    KEEP_SCONTROL,
    KEEP_SIEFP,
    KEEP_SIMP,
    KEEP_SINT,
    SINT_VECTOR,
    AUTO_EOI,
    TIMER_SINT,
    TIMER_VECTOR,
    END_OF_MESSAGE,
};
const struct lint_rule lint_rules[] = {
    [IDENTITY_FIRST] = {"identity-first", "osid.page.needs-identity", LINT_ERROR,
                        "write HV_X64_MSR_GUEST_OS_ID before the hypercall page is enabled"},
    [SIGNATURE_FIRST] = {"signature-first", "disc.client.vendor", LINT_WARNING,
                         "read \"Hv#1\" in CPUID leaf 0x40000001 before any synthetic MSR is used"},
    [PAGE_FIRST] = {"page-first", "hcpg.disabled-call", LINT_ERROR, "enable the hypercall page before a call"},
    [PAGE_ENTRY] = {"page-entry", "hcpg.entry", LINT_WARNING,
                    "call through the hypercall page, never by an instruction of one's own"},
    [MSR_PRIVILEGE] = {"msr-privilege", "exec.msr.privilege", LINT_ERROR,
                       "use a synthetic MSR only when CPUID announces it, and only as it may be used"},
    [CALL_PRIVILEGE] = {"call-privilege", "hc.restrictions.privilege", LINT_ERROR,
                        "make a call only when CPUID announces its privilege"},
    [CALL_CODE] = {"call-code", "status.invalid-hypercall-code", LINT_WARNING, "make only calls that this hypervisor has"},
    [CALL_CONTROL] = {"call-control", "hc.control.reserved-no-effect", LINT_ERROR,
                      "leave reserved bits of the control word zero, and count reps as the call is"},
    [CALL_ALIGNMENT] = {"call-alignment", "hc.align.input", LINT_ERROR, "align parameters to 8 bytes, within a page of memory"},
    [CALL_PARAMETER] = {"call-parameter", "status.invalid-parameter", LINT_WARNING, "give valid parameters"},
    [KEEP_HYPERCALL] = {"keep-hypercall", "hcpg.reserved.kept", LINT_WARNING,
                        "preserve the reserved bits of HV_X64_MSR_HYPERCALL"},
    [KEEP_TSC_PAGE] = {"keep-tsc-page", "tscpage.msr.reserved", LINT_WARNING, "preserve bits 11:1 of HV_X64_MSR_REFERENCE_TSC"},
    [KEEP_ASSIST] = {"keep-assist", "vp.assist.preserved", LINT_WARNING, "preserve bits 11:1 of HV_X64_MSR_VP_ASSIST_PAGE"},
    [KEEP_SCONTROL] = {"keep-scontrol", "synic.scontrol.reserved", LINT_WARNING, "preserve bits 63:1 of HV_X64_MSR_SCONTROL"},
    [KEEP_SIEFP] = {"keep-siefp", "synic.siefp.reserved", LINT_WARNING, "preserve bits 11:1 of HV_X64_MSR_SIEFP"},
    [KEEP_SIMP] = {"keep-simp", "synic.simp.reserved", LINT_WARNING, "preserve bits 11:1 of HV_X64_MSR_SIMP"},
    [KEEP_SINT] = {"keep-sint", "synic.sint.reserved", LINT_WARNING, "preserve the reserved bits of a SINT"},
    [SINT_VECTOR] = {"sint-vector", "synic.sint.vector-min", LINT_ERROR, "give an unmasked SINT a vector of 16 or more"},
    [AUTO_EOI] = {"auto-eoi", "disc.hint.auto-eoi", LINT_WARNING, "leave AutoEOI alone where CPUID recommends so"},
    [TIMER_SINT] = {"timer-sint", "stimer.expiry.sint-zero", LINT_ERROR,
                    "give a timer that sends messages a SINT other than 0"},
    [TIMER_VECTOR] = {"timer-vector", "stimer.direct.bad-vector", LINT_ERROR, "give a direct timer a vector of 16 or more"},
    [END_OF_MESSAGE] = {"end-of-message", "synic.eom.delivers", LINT_ERROR,
                        "write HV_X64_MSR_EOM after emptying a slot whose message has MessagePending set"},
};
const size_t lint_rule_count = ARRAY_COUNT(lint_rules);

enum {
    GUEST_OS_ID = 0x40000000,
    HYPERCALL = 0x40000001,
    REFERENCE_TSC = 0x40000021,
    VP_ASSIST = 0x40000073,
    SCONTROL = 0x40000080,
    SIEFP = 0x40000082,
    SIMP = 0x40000083,
    SINT0 = 0x40000090,
    SINT15 = 0x4000009f,
    STIMER0 = 0x400000b0,
    STIMER3 = 0x400000b7,
    SYNTHETIC_FIRST = 0x40000000,
    SYNTHETIC_LAST = 0x400001ff,
    LEAF_INTERFACE = 0x40000001,
};
/* clang-format on */

/* Registers with bits that are the guest's to preserve. TLFS 6.0b §3.13, §7.8.7.1, §11.8, §12.7.1. */
static const struct kept {
    uint32_t first, last;
    uint64_t mask;
    enum rule rule;
    bool per_vp;
} kept_rows[] = {
    {HYPERCALL, HYPERCALL, 0xffc, KEEP_HYPERCALL, false}, /* bit 1 locks */
    {REFERENCE_TSC, REFERENCE_TSC, 0xffe, KEEP_TSC_PAGE, false},
    {VP_ASSIST, VP_ASSIST, 0xffe, KEEP_ASSIST, true},
    {SCONTROL, SCONTROL, ~1ULL, KEEP_SCONTROL, true},
    {SIEFP, SIEFP, 0xffe, KEEP_SIEFP, true},
    {SIMP, SIMP, 0xffe, KEEP_SIMP, true},
    {SINT0, SINT15, 0xfffffffffff8ff00, KEEP_SINT, true}, /* vector, mask, AutoEOI, polling */
};
enum { KEPT_REGISTERS = 6 + 16, SINTS = 16 };

struct waiting {
    bool waits, ended;    /* ended: EOM came since it waits */
    uint64_t taken_since; /* delivered then without an EOM, which may still come; 0: not so */
    uint64_t empty_since; /* the slot was first seen empty then; 0: not yet */
};
struct lint_vp {
    uint64_t kept[KEPT_REGISTERS];
    uint64_t simp;
    struct waiting waiting[SINTS];
};
struct lint {
    struct runner *runner;
    struct machine *machine;
    bool looked, identified, page_on;
    gpa_t page;
    uint64_t patience_cycles; /* how long a guest may take to write EOM */
    uint64_t next_look;
    unsigned vps;
    struct lint_vp *vp;
    size_t count;
    struct lint_finding findings[LINT_FINDINGS_MAX];
};

/* ---- findings ---- */

__attribute__((format(printf, 6, 7))) static void find(struct lint *l, enum rule rule, uint64_t key,
                                                       const struct trace_event *e, uint64_t rip, const char *format, ...)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->findings[i].rule == &lint_rules[rule] && l->findings[i].key == key) {
            l->findings[i].count++;
            return;
        }
    }
    if (l->count == LINT_FINDINGS_MAX) {
        return;
    }
    struct lint_finding *f = &l->findings[l->count++];
    *f = (struct lint_finding){.rule = &lint_rules[rule],
                               .key = key,
                               .count = 1,
                               .cycle = machine_now(l->machine),
                               .rip = rip,
                               .vp = e != NULL ? e->vp : TRACE_NO_VP};
    va_list args;
    va_start(args, format);
    vsnprintf(f->message, sizeof f->message, format, args);
    va_end(args);
}

static const char *msr_name(uint32_t msr, char text[32])
{
    const char *name = hv_msr_name(msr);
    snprintf(text, 32, "MSR 0x%08" PRIx32, msr);
    return name != NULL ? name : text;
}

/* ---- registers ---- */

static const struct kept *kept_of(uint32_t msr)
{
    for (size_t i = 0; i < ARRAY_COUNT(kept_rows); i++) {
        if (msr >= kept_rows[i].first && msr <= kept_rows[i].last) {
            return &kept_rows[i];
        }
    }
    return NULL;
}

/* What the register last held, as far as the guest can know; partition-wide ones lie with VP 0. */
static uint64_t *held(struct lint *l, const struct kept *k, uint32_t msr, uint32_t vp)
{
    return &l->vp[k->per_vp ? vp : 0].kept[(size_t)(k - kept_rows) + (msr - k->first)];
}

static void check_kept(struct lint *l, const struct trace_event *e, uint32_t msr, uint64_t value)
{
    const struct kept *k = kept_of(msr);
    char name[32];
    if (k == NULL) {
        return;
    }
    uint64_t *before = held(l, k, msr, e->vp);
    if ((*before ^ value) & k->mask) {
        find(l, k->rule, msr, e, e->values[2], "%s written with 0x%" PRIx64 ", which changes reserved bits 0x%" PRIx64,
             msr_name(msr, name), value, (*before ^ value) & k->mask);
    }
    *before = value;
}

static void check_sint(struct lint *l, const struct trace_event *e, uint32_t msr, uint64_t value)
{
    enum { MASKED = 1 << 16, AUTO = 1 << 17 };
    const struct profile *p = runner_scenario(l->runner)->profile;
    if (!(value & MASKED) && (value & AUTO) && p != NULL && profile_has(p, HV_DeprecateAutoEoi)) {
        find(l, AUTO_EOI, msr, e, e->values[2], "SINT%u written with AutoEOI", msr - SINT0);
    }
}

static void check_timer(struct lint *l, const struct trace_event *e, uint64_t rip, uint32_t msr, uint64_t value)
{
    enum { ENABLE = 1 << 0, AUTO_ENABLE = 1 << 3, DIRECT = 1 << 12 };
    unsigned timer = (msr - STIMER0) / 2;
    if ((msr - STIMER0) % 2 != 0 || !(value & (ENABLE | AUTO_ENABLE))) {
        return;
    }
    if (!(value & DIRECT) && (value >> 16 & 0xf) == 0) {
        find(l, TIMER_SINT, timer, e, rip, "STIMER%u started by message to SINT 0: it is disabled at once", timer);
    }
    if ((value & DIRECT) && (value >> 4 & 0xff) < 16) {
        find(l, TIMER_VECTOR, timer, e, rip, "STIMER%u started with vector %u", timer, (unsigned)(value >> 4 & 0xff));
    }
}

static void msr_written(struct lint *l, const struct trace_event *e, uint32_t msr, uint64_t value)
{
    enum { ENABLE = 1 };
    check_kept(l, e, msr, value);
    if (msr == GUEST_OS_ID) {
        l->identified = value != 0;
    } else if (msr == HYPERCALL && (value & ENABLE) && !l->identified) {
        find(l, IDENTITY_FIRST, 0, e, e->values[2], "the hypercall page enabled without an identity: it stays disabled");
    } else if (msr == SIMP) {
        l->vp[e->vp].simp = value;
    } else if (msr >= SINT0 && msr <= SINT15) {
        check_sint(l, e, msr, value);
    } else if (msr >= STIMER0 && msr <= STIMER3) {
        check_timer(l, e, e->values[2], msr, value);
    }
}

static void msr_refused(struct lint *l, const struct trace_event *e)
{
    enum { MASKED = 1 << 16 };
    uint32_t msr = (uint32_t)e->values[0];
    bool write = e->values[1] != 0;
    uint64_t value = e->values[2], rip = e->values[3];
    const struct profile *p = runner_scenario(l->runner)->profile;
    enum hv_feature feature = hv_msr_feature(msr);
    bool granted = p != NULL && feature != HV_FEATURES && profile_has(p, feature);
    char name[32];
    if (granted && write && msr >= SINT0 && msr <= SINT15 && !(value & MASKED) && (value & 0xff) < 16) {
        find(l, SINT_VECTOR, msr, e, rip, "SINT%u written with vector %u: #GP", msr - SINT0, (unsigned)(value & 0xff));
    } else if (granted && write && msr >= STIMER0 && msr <= STIMER3) {
        check_timer(l, e, rip, msr, value);
    } else if (feature == HV_FEATURES) {
        find(l, MSR_PRIVILEGE, msr, e, rip, "%s of %s, which is no register here: #GP", write ? "write" : "read",
             msr_name(msr, name));
    } else if (!granted) {
        find(l, MSR_PRIVILEGE, msr, e, rip, "%s of %s without %s: #GP", write ? "write" : "read", msr_name(msr, name),
             feature_rows[feature].name);
    } else if (write) {
        find(l, MSR_PRIVILEGE, msr, e, rip, "%s written with 0x%" PRIx64 ", which it does not take: #GP", msr_name(msr, name),
             value);
    } else {
        find(l, MSR_PRIVILEGE, msr, e, rip, "%s read, which can only be written: #GP", msr_name(msr, name));
    }
}

static void msr_seen(struct lint *l, const struct trace_event *e)
{
    uint32_t msr = (uint32_t)e->values[0];
    if (msr < SYNTHETIC_FIRST || msr > SYNTHETIC_LAST || e->vp >= l->vps) {
        return;
    }
    if (!l->looked) {
        char name[32];
        bool refused = e->row->id == TRACE_ID_msr_refused;
        find(l, SIGNATURE_FIRST, 0, e, e->values[refused ? 3 : 2], "%s used before CPUID leaf 0x40000001 was read",
             msr_name(msr, name));
        l->looked = true; /* once said is enough */
    }
    const struct kept *k = kept_of(msr);
    if (e->row->id == TRACE_ID_msr_write) {
        msr_written(l, e, msr, e->values[1]);
    } else if (e->row->id == TRACE_ID_msr_refused) {
        msr_refused(l, e);
    } else if (k != NULL) {
        *held(l, k, msr, e->vp) = e->values[1];
    }
}

/* ---- calls ---- */

static void call_trapped(struct lint *l, const struct trace_event *e)
{
    uint64_t rip = e->values[4];
    gpa_t from;
    if (!l->page_on) {
        find(l, PAGE_FIRST, 0, e, rip, "%s while no hypercall page is enabled", e->values[0] ? "VMCALL" : "VMMCALL");
    } else if (e->vp < l->vps && (!vp_translate(cpu_vp(partition_cpu(runner_partition(l->runner)), e->vp), gva(rip), &from) ||
                                  from.v >> PAGE_SHIFT != l->page.v >> PAGE_SHIFT)) {
        find(l, PAGE_ENTRY, 0, e, rip, "%s beside the hypercall page", e->values[0] ? "VMCALL" : "VMMCALL");
    }
}

static void call_answered(struct lint *l, const struct trace_event *e)
{
    /* Statuses that a well-made call never gets, whatever the parent does. */
    static const struct {
        uint16_t status;
        enum rule rule;
    } rows[] = {{0x2, CALL_CODE}, {0x3, CALL_CONTROL}, {0x4, CALL_ALIGNMENT}, {0x5, CALL_PARAMETER}, {0x6, CALL_PRIVILEGE}};
    uint16_t code = (uint16_t)e->values[0], status = (uint16_t)e->values[4];
    const char *name = hv_call_name(code);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].status == status) {
            find(l, rows[i].rule, code, e, 0, "call 0x%04x %s, control 0x%" PRIx64 ", input 0x%" PRIx64 ": %s", code,
                 name != NULL ? name : "(unknown)", e->values[1], e->values[2], hv_status_name(status));
        }
    }
}

/* ---- messages ---- */

/* The slot's message type; 0: it is empty, or cannot be seen. TLFS 6.0b §11.9. */
static uint32_t slot_type(const struct lint *l, uint32_t vp, unsigned sint)
{
    enum { SLOT_BYTES = 256 };
    uint64_t simp = l->vp[vp].simp;
    uint8_t type[4] = {0};
    gpa_t at = gpa((simp & ~PAGE_OFFSET_MASK) + sint * SLOT_BYTES);
    if (!(simp & 1) || !memory_read(l->machine->memory, at, type, sizeof type)) {
        return 1;
    }
    return (uint32_t)type[0] | (uint32_t)type[1] << 8 | (uint32_t)type[2] << 16 | (uint32_t)type[3] << 24;
}

static void look_at_slot(struct lint *l, uint32_t vp, unsigned sint, uint64_t now)
{
    struct waiting *w = &l->vp[vp].waiting[sint];
    struct trace_event e = {.vp = vp};
    if (w->taken_since != 0 && now - w->taken_since >= l->patience_cycles) {
        find(l, END_OF_MESSAGE, (uint64_t)vp << 8 | sint, &e, 0,
             "SINT%u's slot was emptied while a message waited, and no EOM came", sint);
        w->taken_since = 0;
    }
    if (!w->waits) {
        return;
    }
    if (slot_type(l, vp, sint) != 0) {
        w->empty_since = 0;
    } else if (w->empty_since == 0) {
        w->empty_since = now + (now == 0);
    } else if (now - w->empty_since >= l->patience_cycles) {
        find(l, END_OF_MESSAGE, (uint64_t)vp << 8 | sint, &e, 0, "SINT%u's slot is empty, a message waits, and no EOM comes",
             sint);
        w->waits = false;
    }
}

/* Now and then: a guest that forgets does nothing that could be seen. */
static void look_at_slots(struct lint *l, uint64_t now)
{
    if (now < l->next_look) {
        return;
    }
    l->next_look = now + l->patience_cycles / 8;
    for (uint32_t vp = 0; vp < l->vps; vp++) {
        for (unsigned sint = 0; sint < SINTS; sint++) {
            look_at_slot(l, vp, sint, now);
        }
    }
}

static void message_waits(struct lint *l, const struct trace_event *e, bool delivered, bool waits)
{
    if (e->vp >= l->vps || e->values[0] >= SINTS) {
        return;
    }
    struct waiting *w = &l->vp[e->vp].waiting[e->values[0]];
    if (delivered && w->waits && !w->ended) { /* the hypervisor looked again by itself */
        w->taken_since = e->cycle;
    }
    if (delivered || !w->waits) {
        w->ended = false;
        w->empty_since = 0;
    }
    w->waits = waits;
}

static void message_ended(struct lint *l, const struct trace_event *e)
{
    for (unsigned sint = 0; e->vp < l->vps && sint < SINTS; sint++) {
        l->vp[e->vp].waiting[sint].ended = true;
        l->vp[e->vp].waiting[sint].taken_since = 0;
    }
}

/* ---- all events ---- */

static void forget(struct lint *l)
{
    l->looked = l->identified = l->page_on = false;
    memset(l->vp, 0, l->vps * sizeof *l->vp);
}

static void event_seen(void *owner, const struct trace_event *e)
{
    struct lint *l = owner;
    look_at_slots(l, e->cycle);
    switch (e->row->id) {
    case TRACE_ID_cpuid:
        l->looked |= e->values[0] == LEAF_INTERFACE;
        break;
    case TRACE_ID_msr_read:
    case TRACE_ID_msr_write:
    case TRACE_ID_msr_refused:
        msr_seen(l, e);
        break;
    case TRACE_ID_overlay:
        if (e->values[0] == HYPERCALL) {
            l->page_on = e->values[2] != 0;
            l->page = gpa(e->values[1]);
        }
        break;
    case TRACE_ID_hypercall_trap:
        call_trapped(l, e);
        break;
    case TRACE_ID_hypercall:
        call_answered(l, e);
        break;
    case TRACE_ID_message_wait:
        message_waits(l, e, false, true);
        break;
    case TRACE_ID_message_deliver:
        message_waits(l, e, true, e->values[4] != 0);
        break;
    case TRACE_ID_eom:
        message_ended(l, e);
        break;
    case TRACE_ID_reset_request:
        forget(l);
        break;
    default:
        break;
    }
}

/* ---- the linter ---- */

struct lint *lint_create(struct runner *r)
{
    enum { PATIENCE_MS = 10 };
    struct lint *l = calloc(1, sizeof *l);
    unsigned vps = runner_scenario(r)->vps;
    if (l == NULL || (l->vp = calloc(vps, sizeof *l->vp)) == NULL) {
        free(l);
        return NULL;
    }
    l->runner = r;
    l->machine = partition_machine(runner_partition(r));
    l->vps = vps;
    l->patience_cycles = runner_scenario(r)->model.tsc_hz / 1000 * PATIENCE_MS;
    trace_listen(l->machine->trace, NULL, event_seen, l);
    return l;
}

void lint_look(struct lint *l)
{
    look_at_slots(l, machine_now(l->machine));
}

void lint_end(struct lint *l)
{
    trace_unlisten(l->machine->trace, event_seen, l);
}

void lint_destroy(struct lint *l)
{
    if (l != NULL) {
        free(l->vp);
        free(l);
    }
}

const struct lint_finding *lint_findings(const struct lint *l, size_t *count)
{
    *count = l->count;
    return l->findings;
}
