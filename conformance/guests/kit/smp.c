/* The other processors: found in the MADT, started by INIT and SIPI, then asleep until a job and VECTOR_KICK wake them.
 *
 * A job that does not end in time fails its test; an NMI takes the VP out of it and back to sleep. ACPI 6.4 §5.2.5, §5.2.12.
 */
#include "parts.h"

enum { STACK_PAGES = 3, IST_BYTES = 2048, JOB_TIMEOUT_MS = 500, START_TIMEOUT_MS = 200 };
enum { ICR_INIT = 5 << 8, ICR_STARTUP = 6 << 8, ICR_ASSERT = 1 << 14, ICR_ALL_BUT_SELF = 3 << 18 };

uint32_t kit_stacks[KIT_VPS_MAX];
uint8_t kit_vp_of_apic[256];
static unsigned vps_listed;
static bool started;

/* ---- the MADT ---- */

struct __attribute__((packed)) acpi_header {
    char signature[4];
    uint32_t bytes;
    uint8_t rest[28];
};

static uint64_t rsdp_find(void)
{
    uint64_t ebda = (uint64_t) * (const volatile uint16_t *)0x40e << 4;
    const uint64_t ranges[2][2] = {{0xe0000, 0x100000}, {ebda, ebda + 1024}};
    for (unsigned r = 0; r < 2; r++) {
        for (uint64_t at = ranges[r][0]; at != 0 && at < ranges[r][1]; at += 16) {
            if (memcmp((const void *)at, "RSD PTR ", 8) == 0) {
                return at;
            }
        }
    }
    return 0;
}

const void *acpi_table(const char *signature)
{
    uint64_t rsdp = kit_rsdp != 0 ? kit_rsdp : rsdp_find();
    if (rsdp == 0) {
        return NULL;
    }
    bool wide = *(const uint8_t *)(rsdp + 15) >= 2 && *(const uint64_t *)(rsdp + 24) != 0;
    uint64_t root = wide ? *(const uint64_t *)(rsdp + 24) : *(const uint32_t *)(rsdp + 16);
    unsigned width = wide ? 8 : 4;
    const struct acpi_header *h = (const void *)root;
    for (uint64_t at = root + sizeof *h; at + width <= root + h->bytes; at += width) {
        uint64_t table = wide ? *(const uint64_t *)at : *(const uint32_t *)at;
        if (memcmp((const void *)table, signature, 4) == 0) {
            return (const void *)table;
        }
    }
    return NULL;
}

static void vps_find(void)
{
    enum { MADT_ENTRIES = 44, LOCAL_APIC = 0, ENABLED = 1 };
    uint32_t own = lapic_read(LAPIC_ID) >> 24;
    kit_vps[0].apic_id = (uint8_t)own;
    vps_listed = 1;
    const struct acpi_header *madt = acpi_table("APIC");
    const uint8_t *at = (const uint8_t *)madt + MADT_ENTRIES, *end = (const uint8_t *)madt + (madt != NULL ? madt->bytes : 0);
    for (; madt != NULL && at + 8 <= end && at[1] != 0; at += at[1]) {
        if (at[0] == LOCAL_APIC && at[4] & ENABLED && at[3] != own && vps_listed < KIT_VPS_MAX) {
            kit_vps[vps_listed].apic_id = at[3];
            kit_vp_of_apic[at[3]] = (uint8_t)vps_listed++;
        }
    }
}

unsigned vp_count(void)
{
    if (vps_listed == 0) {
        vps_find();
    }
    return vps_listed;
}

uint8_t vp_apic_id(unsigned vp)
{
    vp_count();
    return kit_vps[vp].apic_id;
}

/* ---- start ---- */

static void job_run(struct kit_vp *v)
{
    v->job_fault = try_run(v->job, v->job_arg);
    irqs(false);
    v->dirty = true;
    __atomic_store_n(&v->state, VP_IDLE, __ATOMIC_RELEASE);
}

void kit_ap_main(unsigned vp)
{
    struct kit_vp *v = &kit_vps[vp];
    kit_tss_load(vp, v->stack_top, v->stack_top + IST_BYTES);
    kit_lapic_start();
    __atomic_store_n(&v->state, VP_IDLE, __ATOMIC_RELEASE);
    for (;;) {
        irqs(false);
        if (v->state == VP_BUSY) {
            job_run(v);
        } else {
            __asm__ volatile("sti; hlt" ::: "memory");
        }
    }
}

void smp_start(void)
{
    unsigned count = vp_count();
    if (started) {
        return;
    }
    started = true;
    uint8_t *stacks = count > 1 ? kit_page_keep((count - 1) * STACK_PAGES) : NULL;
    for (unsigned i = 1; i < count; i++) {
        kit_vps[i].stack_top = (uint64_t)stacks + (uint64_t)i * STACK_PAGES * PAGE_BYTES - IST_BYTES;
        kit_stacks[i] = (uint32_t)kit_vps[i].stack_top;
    }
    if (count == 1) {
        return;
    }
    lapic_write(LAPIC_ICR, ICR_ALL_BUT_SELF | ICR_INIT | ICR_ASSERT);
    spin_100ns(10 * US_100NS);
    for (unsigned tries = 0; tries < 2; tries++) {
        lapic_write(LAPIC_ICR, ICR_ALL_BUT_SELF | ICR_STARTUP | ICR_ASSERT | LOW_AP >> 12);
        uint64_t deadline = now_100ns() + START_TIMEOUT_MS * MS_100NS;
        unsigned up = 1;
        while (up < count && now_100ns() < deadline) {
            if (kit_vps[up].state == VP_IDLE) {
                up++;
            } else {
                pause();
            }
        }
        if (up == count) {
            return;
        }
    }
    kit_panic("not all of %u processors started", count);
}

bool kit_smp_up(void)
{
    return started;
}

/* ---- jobs ---- */

void on_vp_async(unsigned vp, kit_fn *fn, void *arg)
{
    struct kit_vp *v = &kit_vps[vp];
    if (!started || vp >= vps_listed || v->state != VP_IDLE) {
        kit_panic("VP %u of %u is not there, not started or busy", vp, vps_listed);
    }
    v->job = fn;
    v->job_arg = arg;
    v->job_fault.vector = NO_FAULT;
    __atomic_store_n(&v->state, VP_BUSY, __ATOMIC_SEQ_CST);
    ipi(vp, VECTOR_KICK);
}

bool vp_done(unsigned vp)
{
    return __atomic_load_n(&kit_vps[vp].state, __ATOMIC_ACQUIRE) == VP_IDLE;
}

static unsigned job_timeout_ms(void)
{
    return arg_present("job-timeout") ? (unsigned)arg("job-timeout") : JOB_TIMEOUT_MS;
}

/* Takes a VP out of a job that does not end. */
static bool job_wait(unsigned vp)
{
    struct kit_vp *v = &kit_vps[vp];
    for (unsigned tries = 0; tries < 2; tries++) {
        uint64_t deadline = now_100ns() + job_timeout_ms() * MS_100NS;
        while (!vp_done(vp)) {
            if (now_100ns() >= deadline) {
                break;
            }
            pause();
        }
        if (vp_done(vp)) {
            return tries == 0;
        }
        __atomic_store_n(&v->state, VP_LOST, __ATOMIC_SEQ_CST);
        ipi_nmi(vp);
    }
    kit_panic("VP %u is lost", vp);
}

void vp_wait(unsigned vp)
{
    if (!job_wait(vp)) {
        broken("VP %u did not end its job in %u ms", vp, job_timeout_ms());
    } else if (kit_vps[vp].job_fault.vector != NO_FAULT) {
        kit_test_fault(&kit_vps[vp].job_fault, "on another VP");
    }
}

void on_vp(unsigned vp, kit_fn *fn, void *arg)
{
    if (vp == this_vp()) {
        fn(arg);
        return;
    }
    on_vp_async(vp, fn, arg);
    vp_wait(vp);
}

struct fault on_vp_try(unsigned vp, kit_fn *fn, void *arg)
{
    if (vp == this_vp()) {
        return try_run(fn, arg);
    }
    on_vp_async(vp, fn, arg);
    if (!job_wait(vp)) {
        broken("VP %u did not end its job in %u ms", vp, job_timeout_ms());
    }
    return kit_vps[vp].job_fault;
}

static void quiet_job(void *unused)
{
    kit_quiet();
}

/* Each that has run something. */
void kit_smp_quiet(void)
{
    for (unsigned i = 1; started && i < vps_listed; i++) {
        if (kit_vps[i].state == VP_BUSY) {
            job_wait(i);
        }
        if (kit_vps[i].dirty) {
            on_vp(i, quiet_job, NULL);
            kit_vps[i].dirty = false;
        }
        memset((void *)kit_vps[i].irq_counts, 0, sizeof kit_vps[i].irq_counts);
    }
}
