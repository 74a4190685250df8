/* The faults that follow from the rows of the tables. See tlfs/mutants.h.
 *
 * A wrapper asks the hypervisor first, or after it has changed what is asked, and then changes the answer: nothing in tlfs/
 * knows of it. The chosen mutant and the hooks behind are file-scope data, which only a test build may have; there is one
 * partition at a time.
 */
#include "tlfs/mutants.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tlfs/hypercall.h"
#include "tlfs/hypervisor.h"
#include "tlfs/msr.h"

enum msr_fault {
    DENY_READ,
    DENY_WRITE,
    ALLOW_READ,
    ALLOW_WRITE,
    UNGATED,
    FORGET,
    RESERVED_IGNORED,
    RESERVED_MORE,
    RESET_VALUE,
    SHARED,
    MSR_FAULTS
};
static const char *const msr_faults[MSR_FAULTS] = {"deny-read", "deny-write",       "allow-read",    "allow-write", "ungated",
                                                   "forget",    "reserved-ignored", "reserved-more", "reset",       "shared"};
static const char *const register_names[4] = {"eax", "ebx", "ecx", "edx"};

static struct {
    enum { NONE, RECORD, MSR, CPUID, HYPERCALL_STATUS, HYPERCALL_UNGATED, HYPERCALL_REPS } kind;
    uint32_t index; /* MSR, leaf or call code */
    enum msr_fault fault;
    unsigned word;
    char how[8]; /* cpuid: a bit's number, "zero", "one", "ones", "more" */
    hv_status_t from, to;
    FILE *record;
} chosen;
static struct cpu_hooks behind;
enum { MSR_ROWS_MAX = 128 };
static bool written[MSR_ROWS_MAX][VPS_MAX]; /* RESET_VALUE: that VP has written the register */

static const struct msr_row *row_of(uint32_t msr)
{
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        if (hv_msr_rows[i].index == msr) {
            return &hv_msr_rows[i];
        }
    }
    return NULL;
}

/* ---- which mutants there are ---- */

static bool msr_fault_fits(const struct msr_row *row, enum msr_fault fault)
{
    bool reads = row->access & MSR_READ, writes = row->access & MSR_WRITE;
    switch (fault) {
    case DENY_READ:
        return reads;
    case RESET_VALUE:
        return reads && row->access == MSR_READ_WRITE;
    case DENY_WRITE:
        return writes;
    case ALLOW_READ:
        return !reads;
    case ALLOW_WRITE:
        return !writes;
    case FORGET:
        return writes;
    case RESERVED_IGNORED:
        return writes && row->must_be_zero != 0;
    case RESERVED_MORE:
        return writes;
    case SHARED:
        return row->scope == SCOPE_VP;
    default:
        return true;
    }
}

/* What no text gives a meaning to, and values that fit no partition. */
static void list_reserved(void)
{
    static const char *const faults[] = {"40000000:eax:0",  "40000000:eax:8",   "40000003:eax:31",   "40000003:ebx:31",
                                         "40000003:ecx:2",  "40000003:ecx:31",  "40000003:edx:31",   "40000004:eax:31",
                                         "40000004:ecx:31", "40000005:eax:one", "40000005:eax:ones", "40000005:ebx:30",
                                         "40000006:eax:31", "40000008:eax:31"};
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
        printf("cpuid:%s\n", faults[i]);
    }
}

/* What the processor says of itself: the bits and words that the texts name, and whether there is a hypervisor. */
static void list_processor_leaves(void)
{
    static const char *const others[] = {
        "00000000:eax:zero", "00000000:eax:more", "00000001:eax:14",   "00000001:eax:31",   "00000001:ebx:zero",
        "00000003:eax:more", "00000004:edx:more", "00000005:eax:more", "00000005:ebx:more", "00000005:ecx:more",
        "00000005:edx:more", "00000006:eax:more", "0000000a:eax:more", "80000000:eax:zero", "80000001:ecx:2",
        "80000001:edx:20",   "80000001:edx:26",   "80000001:edx:27",   "80000001:edx:29",   "80000007:edx:8",
        "80000007:edx:more", "80000008:eax:zero", "80000008:eax:more", "80000009:eax:more", "8000000a:eax:more",
        "8000000a:ebx:more", "8000000a:ecx:more", "8000000a:edx:more", "8000000b:eax:more"};
    static const uint32_t unnamed_ecx = 0x04982201, unnamed_edx = 0x18000000;
    for (unsigned bit = 0; bit < 32; bit++) {
        if (!(unnamed_ecx >> bit & 1)) {
            printf("cpuid:00000001:ecx:%u\n", bit);
        }
        if (!(unnamed_edx >> bit & 1)) {
            printf("cpuid:00000001:edx:%u\n", bit);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        printf("cpuid:%s\n", others[i]);
    }
}

/* CPUID words that are zero anyway have no mutant that zeroes them. */
static void list(const struct profile *profile)
{
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        for (unsigned f = 0; f < MSR_FAULTS; f++) {
            if (msr_fault_fits(&hv_msr_rows[i], f)) {
                printf("msr:%08x:%s\n", hv_msr_rows[i].index, msr_faults[f]);
            }
        }
    }
    for (size_t i = 0; i < feature_row_count; i++) {
        const struct feature_row *f = &feature_rows[i];
        printf("cpuid:%08x:%s:%u\n", f->leaf | 0x40000000, register_names[f->reg], f->bit);
    }
    for (uint32_t leaf = 0x40000000; leaf <= 0x40000006; leaf++) {
        for (unsigned word = 0; word < 4; word++) {
            const struct profile_leaf *l = &profile->announced[leaf - 0x40000000];
            const uint32_t words[4] = {l->eax, l->ebx, l->ecx, l->edx};
            if (words[word] != 0) {
                printf("cpuid:%08x:%s:zero\n", leaf, register_names[word]);
            }
            printf("cpuid:%08x:%s:more\n", leaf, register_names[word]);
        }
    }
    list_reserved();
    list_processor_leaves();
    for (size_t i = 0; i < hv_hypercall_row_count; i++) {
        const struct hypercall_row *row = &hv_hypercall_rows[i];
        printf("hypercall:%04x:any\n", row->code);
        if (row->gate != HV_FEATURES) {
            printf("hypercall:%04x:ungated\n", row->code);
        }
        if (row->kind == HYPERCALL_REP) {
            printf("hypercall:%04x:reps\n", row->code);
        }
    }
}

static bool choose(const char *name)
{
    char fault[32], word[8];
    unsigned index, from, to;
    memset(&chosen, 0, sizeof chosen);
    if (name == NULL || *name == '\0') {
        return true;
    }
    if (strncmp(name, "record:", 7) == 0) {
        chosen.kind = RECORD;
        chosen.record = fopen(name + 7, "a");
        return chosen.record != NULL;
    }
    if (sscanf(name, "msr:%8x:%31s", &index, fault) == 2) {
        chosen.kind = MSR;
        chosen.index = index;
        while (chosen.fault < MSR_FAULTS && strcmp(msr_faults[chosen.fault], fault) != 0) {
            chosen.fault++;
        }
        return row_of(index) != NULL && chosen.fault < MSR_FAULTS;
    }
    if (sscanf(name, "cpuid:%8x:%3s:%7s", &index, word, chosen.how) == 3) {
        chosen.kind = CPUID;
        chosen.index = index;
        while (chosen.word < 4 && strcmp(register_names[chosen.word], word) != 0) {
            chosen.word++;
        }
        return chosen.word < 4;
    }
    if (sscanf(name, "hypercall:%4x:%4x:%4x", &index, &from, &to) == 3) {
        chosen.kind = HYPERCALL_STATUS;
        chosen.index = index;
        chosen.from = (hv_status_t)from;
        chosen.to = (hv_status_t)to;
        return true;
    }
    if (sscanf(name, "hypercall:%4x:%31s", &index, fault) == 2) {
        chosen.index = index;
        chosen.kind = strcmp(fault, "reps") == 0 ? HYPERCALL_REPS : HYPERCALL_UNGATED;
        return strcmp(fault, "reps") == 0 || strcmp(fault, "ungated") == 0;
    }
    return false;
}

/* ---- the faults ---- */

static uint64_t highest_bit(uint64_t mask)
{
    return mask == 0 ? 0 : 1ULL << (63 - __builtin_clzll(mask));
}

/* The bit that RESERVED_MORE refuses: the highest that is not reserved. In some rows that bit may be refused, or has no
 * meaning, by the text; there it is one that has. */
static uint64_t refused_bit(const struct msr_row *row)
{
    enum {
        HV_X64_MSR_HYPERCALL = 0x40000001,
        HV_X64_MSR_VP_ASSIST_PAGE = 0x40000073,
        HV_X64_MSR_SCONTROL = 0x40000080,
        HV_X64_MSR_SINT0 = 0x40000090,
        HV_X64_MSR_SINT15 = 0x4000009f,
        HV_X64_MSR_REENLIGHTENMENT_CONTROL = 0x40000106,
    };
    switch (row->index) {
    case HV_X64_MSR_HYPERCALL: /* a page beyond the GPA space may be refused (hcpg.moves.beyond, vp.assist.beyond): one within
                                */
    case HV_X64_MSR_VP_ASSIST_PAGE:
        return PAGE_BYTES;
    case HV_X64_MSR_SCONTROL: /* all but bit 0 is RsvdP */
        return 1;
    case HV_X64_MSR_REENLIGHTENMENT_CONTROL: /* there are not so many VPs: its enable bit */
        return 1 << 16;
    case HV_X64_MSR_SINT0 ... HV_X64_MSR_SINT15: /* RsvdP above auto-EOI */
        return 1 << 17;
    default:
        return highest_bit(~row->must_be_zero);
    }
}

static void record(const char *format, uint32_t index, uint32_t detail)
{
    if (chosen.kind == RECORD) {
        fprintf(chosen.record, format, index, detail);
        fflush(chosen.record);
    }
}

/* Which faults would have shown at this access of a sound hypervisor: only there need they be tried. */
static void record_msr(const struct msr_row *row, enum msr_fault fault, bool shows)
{
    if (chosen.kind == RECORD && row != NULL && shows) {
        fprintf(chosen.record, "msr:%08x:%s\n", row->index, msr_faults[fault]);
        fflush(chosen.record);
    }
}

/* Registers that are the processor's own, and nowhere in the hypervisor, are a VP's too. */
static bool *has_written(const struct msr_row *row, const struct vcpu *vp)
{
    bool of_vp = row->scope == SCOPE_VP || row->gate == HV_AccessIntrCtrlRegs || row->gate == HV_Npiep1Available;
    return &written[row - hv_msr_rows][of_vp ? vp_index(vp) : 0];
}

static enum msr_outcome recorded_rdmsr(void *owner, struct vcpu *vp, uint32_t msr, uint64_t *value)
{
    struct partition *p = owner;
    const struct msr_row *row = row_of(msr);
    enum msr_outcome outcome = behind.rdmsr(owner, vp, msr, value);
    bool announced = row != NULL && profile_has(&p->profile, row->gate), ok = outcome == MSR_OK;
    record_msr(row, DENY_READ, ok);
    record_msr(row, ALLOW_READ, !ok && announced);
    record_msr(row, UNGATED, !ok && !announced);
    record_msr(row, RESET_VALUE, ok && row != NULL && !*has_written(row, vp));
    record_msr(row, SHARED, vp_index(vp) != 0);
    return outcome;
}

static enum msr_outcome recorded_wrmsr(void *owner, struct vcpu *vp, uint32_t msr, uint64_t value)
{
    struct partition *p = owner;
    const struct msr_row *row = row_of(msr);
    enum msr_outcome outcome = behind.wrmsr(owner, vp, msr, value);
    bool announced = row != NULL && profile_has(&p->profile, row->gate), ok = outcome == MSR_OK;
    record_msr(row, DENY_WRITE, ok);
    record_msr(row, FORGET, ok);
    record_msr(row, ALLOW_WRITE, !ok && announced);
    record_msr(row, UNGATED, !ok && !announced);
    record_msr(row, RESERVED_IGNORED, row != NULL && value & row->must_be_zero);
    record_msr(row, RESERVED_MORE, row != NULL && value & refused_bit(row));
    record_msr(row, SHARED, vp_index(vp) != 0);
    if (row != NULL) {
        *has_written(row, vp) |= ok;
    }
    return outcome;
}

static enum msr_outcome mutant_rdmsr(void *owner, struct vcpu *vp, uint32_t msr, uint64_t *value)
{
    struct partition *p = owner;
    if (chosen.kind == RECORD) {
        return recorded_rdmsr(owner, vp, msr, value);
    }
    if (chosen.kind != MSR || chosen.index != msr) {
        return behind.rdmsr(owner, vp, msr, value);
    }
    const struct msr_row *row = row_of(msr);
    bool announced = profile_has(&p->profile, row->gate);
    if (chosen.fault == DENY_READ) {
        return MSR_GP;
    }
    struct vcpu *whose = chosen.fault == SHARED ? cpu_vp(p->cpu, 0) : vp;
    enum msr_outcome outcome = behind.rdmsr(owner, whose, msr, value);
    if (outcome == MSR_GP && ((chosen.fault == ALLOW_READ && announced) || (chosen.fault == UNGATED && !announced))) {
        *value = 0;
        return MSR_OK;
    }
    if (outcome == MSR_OK && chosen.fault == RESET_VALUE && !*has_written(row, vp)) {
        *value ^= 1;
    }
    return outcome;
}

static enum msr_outcome mutant_wrmsr(void *owner, struct vcpu *vp, uint32_t msr, uint64_t value)
{
    struct partition *p = owner;
    if (chosen.kind == RECORD) {
        return recorded_wrmsr(owner, vp, msr, value);
    }
    if (chosen.kind != MSR || chosen.index != msr) {
        return behind.wrmsr(owner, vp, msr, value);
    }
    const struct msr_row *row = row_of(msr);
    bool announced = profile_has(&p->profile, row->gate);
    if (chosen.fault == DENY_WRITE || (chosen.fault == RESERVED_MORE && value & refused_bit(row))) {
        return MSR_GP;
    }
    if (chosen.fault == FORGET && announced && !(value & row->must_be_zero)) {
        return MSR_OK;
    }
    struct vcpu *whose = chosen.fault == SHARED ? cpu_vp(p->cpu, 0) : vp;
    enum msr_outcome outcome =
        behind.wrmsr(owner, whose, msr, chosen.fault == RESERVED_IGNORED ? value & ~row->must_be_zero : value);
    if (outcome == MSR_GP && ((chosen.fault == ALLOW_WRITE && announced) || (chosen.fault == UNGATED && !announced))) {
        return MSR_OK;
    }
    *has_written(row, vp) |= outcome == MSR_OK;
    return outcome;
}

static void mutant_cpuid(void *owner, struct vcpu *vp, uint32_t leaf, uint32_t subleaf, struct cpuid_result *r)
{
    behind.cpuid(owner, vp, leaf, subleaf, r);
    record("cpuid:%08x\n", leaf, 0);
    if (chosen.kind == CPUID && chosen.index == leaf) {
        uint32_t *const words[4] = {&r->eax, &r->ebx, &r->ecx, &r->edx};
        uint32_t *word = words[chosen.word];
        if (strcmp(chosen.how, "zero") == 0) {
            *word = 0;
        } else if (strncmp(chosen.how, "one", 3) == 0) {
            *word = chosen.how[3] == 's' ? UINT32_MAX : 1;
        } else if (strcmp(chosen.how, "more") == 0) {
            (*word)++;
        } else {
            *word ^= 1u << atoi(chosen.how) % 32;
        }
    }
}

static int mutant_hypercall(void *owner, struct vcpu *vp, bool is_vmcall, bool *again)
{
    bool wide = vp_in_64bit_mode(vp);
    uint16_t code = (uint16_t)vp_gpr(vp, wide ? RCX : RAX);
    int vector = behind.hypercall(owner, vp, is_vmcall, again);
    if (vector >= 0 || *again) {
        return vector;
    }
    uint64_t rax = vp_gpr(vp, RAX);
    hv_status_t status = (hv_status_t)rax, wanted = status;
    record("hypercall:%04x:%04x\n", code, status);
    if (chosen.kind < HYPERCALL_STATUS || code != chosen.index) {
        return vector;
    }
    if (chosen.kind == HYPERCALL_STATUS && status == chosen.from) {
        wanted = chosen.to;
    } else if (chosen.kind == HYPERCALL_UNGATED && status == HV_STATUS_ACCESS_DENIED) {
        wanted = HV_STATUS_SUCCESS;
    } else if (chosen.kind == HYPERCALL_REPS && wide && rax >> 32 != 0) {
        rax -= 1ULL << 32;
    }
    vp_set_gpr(vp, RAX, (rax & ~0xffffULL) | wanted);
    return vector;
}

void mutants_wrap(struct cpu_hooks *hooks)
{
    const char *name = getenv("ORRERY_MUTANT");
    if (name != NULL && strcmp(name, "list") == 0) {
        list(&((const struct partition *)hooks->owner)->profile);
        exit(fflush(stdout) == 0 ? 0 : 2);
    }
    if (!choose(name)) {
        fprintf(stderr, "ORRERY_MUTANT=%s: there is no such mutant; `list` names them\n", name);
        exit(2);
    }
    assert(hv_msr_row_count <= MSR_ROWS_MAX);
    memset(written, 0, sizeof written);
    behind = *hooks;
    hooks->rdmsr = mutant_rdmsr;
    hooks->wrmsr = mutant_wrmsr;
    hooks->cpuid = mutant_cpuid;
    hooks->hypercall = mutant_hypercall;
}

void mutants_reset(void)
{
    memset(written, 0, sizeof written);
}
