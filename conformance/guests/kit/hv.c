/* CPUID, the hypercall page and the SynIC, as a guest that knows the TLFS uses them. */
#include "parts.h"

static uint8_t call_page[PAGE_BYTES] __attribute__((aligned(4096)));

struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid c;
    __asm__ volatile("cpuid" : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx) : "a"(leaf), "c"(subleaf));
    return c;
}

bool hv_signs(void)
{
    return cpuid(HV_CPUID_INTERFACE, 0).eax == HV_INTERFACE_SIGNATURE;
}

bool hv_present(void)
{
    return cpuid(1, 0).ecx >> 31 && hv_signs();
}

bool has(enum hv_bit bit)
{
    uint32_t leaf = HV_CPUID_VENDOR + ((unsigned)bit >> 16);
    if (!hv_present() || cpuid(HV_CPUID_VENDOR, 0).eax < leaf) {
        return false;
    }
    struct cpuid c = cpuid(leaf, 0);
    const uint32_t words[4] = {c.eax, c.ebx, c.ecx, c.edx};
    return words[bit >> 8 & 3] >> (bit & 31) & 1;
}

/* ---- hypercalls ---- */

/* QEMU's emulator takes writes to MSRs that it does not have. */
bool hv_enable(void)
{
    return hv_present() && wrmsr_try(HV_X64_MSR_GUEST_OS_ID, HV_KIT_GUEST_OS_ID) == NO_FAULT &&
           wrmsr_try(HV_X64_MSR_HYPERCALL, gpa_of(call_page) | 1) == NO_FAULT;
}

void hv_disable(void)
{
    wrmsr_try(HV_X64_MSR_HYPERCALL, 0);
    wrmsr_try(HV_X64_MSR_GUEST_OS_ID, 0);
}

uint64_t hv_page(void)
{
    return gpa_of(call_page);
}

void hv_call_regs(struct hv_regs *r)
{
    kit_call(hv_page(), r);
}

static void call_regs_job(void *regs)
{
    hv_call_regs(regs);
}

unsigned hv_call_regs_try(struct hv_regs *r)
{
    return try_run(call_regs_job, r).vector;
}

static struct hv_regs regs_of(uint64_t control, uint64_t in, uint64_t out)
{
    struct hv_regs r;
    memset(&r, 0, sizeof r);
    r.rcx = control;
    r.rdx = in;
    r.r8 = out;
    return r;
}

uint64_t hv_call(uint64_t control, uint64_t in_gpa, uint64_t out_gpa)
{
    struct hv_regs r = regs_of(control, in_gpa, out_gpa);
    hv_call_regs(&r);
    return r.rax;
}

unsigned hv_call_try(uint64_t control, uint64_t in_gpa, uint64_t out_gpa, uint64_t *result)
{
    struct hv_regs r = regs_of(control, in_gpa, out_gpa);
    unsigned vector = hv_call_regs_try(&r);
    *result = r.rax;
    return vector;
}

uint64_t hv_fast(uint64_t code, uint64_t a, uint64_t b)
{
    return hv_call(code | HV_FAST, a, b);
}

uint64_t hv_call_xmm(uint64_t control, const uint64_t in[14], uint64_t out[14])
{
    struct hv_regs r = regs_of(control, in[0], in[1]);
    memcpy(r.xmm, in + 2, 12 * sizeof *in);
    hv_call_regs(&r);
    if (out != NULL) {
        out[0] = r.rdx;
        out[1] = r.r8;
        memcpy(out + 2, r.xmm, 12 * sizeof *out);
    }
    return r.rax;
}

/* ---- SynIC ---- */

bool synic_enable(void)
{
    struct kit_vp *v = &kit_vps[this_vp()];
    if (v->simp == NULL) {
        v->simp = page_alloc();
        v->siefp = page_alloc();
    }
    return has(AccessSynicRegs) && wrmsr_try(HV_X64_MSR_SIMP, gpa_of(v->simp) | 1) == NO_FAULT &&
           wrmsr_try(HV_X64_MSR_SIEFP, gpa_of(v->siefp) | 1) == NO_FAULT && wrmsr_try(HV_X64_MSR_SCONTROL, 1) == NO_FAULT;
}

uint64_t simp(void)
{
    return gpa_of(kit_vps[this_vp()].simp);
}

uint64_t siefp(void)
{
    return gpa_of(kit_vps[this_vp()].siefp);
}

struct hv_message *message_slot(unsigned sint)
{
    return (struct hv_message *)(simp() + sint * 256);
}

volatile uint64_t *event_flags(unsigned sint)
{
    return (volatile uint64_t *)(siefp() + sint * 256);
}

/* §11.10.3: the type first, then a barrier, then the flag is looked at. */
void message_done(unsigned sint)
{
    struct hv_message *m = message_slot(sint);
    m->type = HvMessageTypeNone;
    __asm__ volatile("mfence" ::: "memory");
    if (m->flags & HV_MESSAGE_PENDING) {
        wrmsr(HV_X64_MSR_EOM, 0);
    }
}

/* ---- between tests ---- */

void kit_hv_quiet(void)
{
    enum { SINTS = 16, STIMER_MSRS = 8 };
    if (has(AccessSyntheticTimerRegs)) {
        for (unsigned i = 0; i < STIMER_MSRS; i += 2) {
            wrmsr_try(HV_X64_MSR_STIMER0_CONFIG + i, 0);
            wrmsr_try(HV_X64_MSR_STIMER0_CONFIG + i + 1, 0);
            wrmsr_try(HV_X64_MSR_STIMER0_CONFIG + i, 0);
        }
    }
    if (has(SyntheticTimeUnhaltedTimerAvailable)) {
        wrmsr_try(HV_X64_MSR_STIME_UNHALTED_TIMER_CONFIG, 0);
    }
    if (has(AccessSynicRegs)) {
        for (unsigned i = 0; i < SINTS; i++) {
            wrmsr_try(HV_X64_MSR_SINT0 + i, HV_SYNIC_SINT_MASKED);
        }
        wrmsr_try(HV_X64_MSR_SIMP, 0);
        wrmsr_try(HV_X64_MSR_SIEFP, 0);
        wrmsr_try(HV_X64_MSR_SCONTROL, 0);
    }
    if (has(AccessIntrCtrlRegs)) {
        wrmsr_try(HV_X64_MSR_VP_ASSIST_PAGE, 0);
    }
    kit_vps[this_vp()].simp = kit_vps[this_vp()].siefp = NULL;
}

void kit_hv_quiet_partition(void)
{
    if (has(AccessPartitionReferenceTsc)) {
        wrmsr_try(HV_X64_MSR_REFERENCE_TSC, 0);
    }
    if (has(AccessReenlightenmentControls)) {
        wrmsr_try(HV_X64_MSR_REENLIGHTENMENT_CONTROL, 0);
        wrmsr_try(HV_X64_MSR_TSC_EMULATION_CONTROL, 0);
    }
    if (hv_present()) {
        hv_disable();
    }
}
