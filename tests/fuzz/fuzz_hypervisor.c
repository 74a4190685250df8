/* Fuzzer of the hypervisor's surface (libFuzzer): a guest that reads and writes MSRs, calls, asks CPUID and scribbles over its
 * memory as the input says. What must hold: no crash, no hang; and run in slices it ends in the same state. input: byte 0: bits
 * 0-1 profile, bit 2 vendor, bit 3 one VP, bit 4 everything that is built is announced and translations are the stalest, bits
 * 5-7 elements of a list in one go; byte 1: longest slice; then steps of 11 bytes: what (1), which (2: MSR, call code,
 * address), value (8). A step that faults is skipped by the guest's handlers. */
#include "tests/unit/tlfs_fixture.h"
#include "tlfs/hypercall.h"

enum {
    HEAD_BYTES = 2,
    STEP_BYTES = 11,
    STEPS_MAX = 24,
    CYCLES = 60000,
    IDT_AT = 0x60000,
    HANDLERS_AT = 0x61000,
    PAGES_AT = 0x200000
};

struct program {
    uint8_t bytes[8192];
    unsigned count;
};
static void put(struct program *p, const void *bytes, unsigned count)
{
    cr_assert(p->count + count <= sizeof p->bytes);
    memcpy(p->bytes + p->count, bytes, count);
    p->count += count;
}
#define PUT(p, text) put(p, text, sizeof(text) - 1)
static void put_mov(struct program *p, const char *opcode, uint64_t value) /* REX.W B8+r imm64 */
{
    put(p, opcode, 2);
    put(p, &value, 8);
}
#define MOV_RAX "\x48\xb8"
#define MOV_RCX "\x48\xb9"
#define MOV_RDX "\x48\xba"
#define MOV_R8 "\x49\xb8"

enum step {
    STEP_WRMSR,
    STEP_WRMSR_PAGE,
    STEP_RDMSR,
    STEP_WRMSR_ANY,
    STEP_HYPERCALL,
    STEP_HYPERCALL_MEMORY,
    STEP_CPUID,
    STEP_STORE,
    STEP_LOAD,
    STEP_APIC,
    STEP_SPIN,
    STEP_CALL,
    STEP_SIGNAL,
    STEP_POST,
    STEP_SYNIC,
    STEPS
};

static void put_msr(struct program *p, uint32_t msr, uint64_t value, bool write)
{
    put_mov(p, MOV_RCX, msr);
    put_mov(p, MOV_RAX, value & UINT32_MAX);
    put_mov(p, MOV_RDX, value >> 32);
    if (write) {
        PUT(p, "\x0f\x30");
    } else {
        PUT(p, "\x0f\x32");
    }
}

static void put_store(struct program *p, uint64_t at, uint64_t value)
{
    put_mov(p, MOV_RCX, at);
    put_mov(p, MOV_RAX, value);
    PUT(p, "\x48\x89\x01");
}

/* A call of the table in a form that may pass: this partition and a VP of it, small lists and sets, a value in each place. */
static void put_call(struct program *p, unsigned which, uint64_t value)
{
    const struct hypercall_row *row = &hv_hypercall_rows[which % hv_hypercall_row_count];
    uint64_t block = PAGES_AT + (which >> 8 & 7) * 0x1000, reps = row->kind == HYPERCALL_REP ? 1 + (value >> 60) : 0;
    bool fast = which & 0x8000;
    if (!fast) {
        put_store(p, block, which & 0x4000 ? value : UINT64_MAX);
        put_store(p, block + 8, value & 0x300000003);
        put_store(p, block + 16, value);
        put_store(p, block + 24, value >> 24);
        put_store(p, block + 32, value >> 32);
    }
    put_mov(p, MOV_RCX,
            row->code | (fast ? 1ULL << 16 : 0) | (row->variable_header ? (value >> 56 & 3) << 17 : 0) | reps << 32);
    put_mov(p, MOV_RDX, fast ? value : block);
    put_mov(p, MOV_R8, fast ? value >> 8 : block + 0x800);
    PUT(p, "\x0f\x01\xd9");
}

static void put_step(struct program *p, const uint8_t *in)
{
    unsigned which = in[1] | (unsigned)in[2] << 8;
    uint64_t value;
    memcpy(&value, in + 3, sizeof value);
    uint64_t page = PAGES_AT + (uint64_t)(which & 0xff) * 0x1000;
    switch (in[0] % STEPS) {
    case STEP_WRMSR:
        put_msr(p, 0x40000000 + (which & 0x1ff), value, true);
        break;
    case STEP_WRMSR_PAGE: /* enabled, at a page that is there */
        put_msr(p, 0x40000000 + (which >> 8), (PAGES_AT + (value & 0xff) * 0x1000) | 1, true);
        break;
    case STEP_RDMSR:
        put_msr(p, 0x40000000 + (which & 0x1ff), 0, false);
        break;
    case STEP_WRMSR_ANY:
        put_msr(p, which & 0x8000 ? 0xc0000000 + (which & 0x7fff) : which, value, true);
        break;
    case STEP_HYPERCALL: /* fast: the input in RDX and R8 */
        put_mov(p, MOV_RCX, which | 1ULL << 16 | (value & 0x0fff0fff00000000));
        put_mov(p, MOV_RDX, value);
        put_mov(p, MOV_R8, page);
        PUT(p, "\x0f\x01\xc1\x90");
        break;
    case STEP_HYPERCALL_MEMORY:
        put_mov(p, MOV_RCX, which | (value & 0xfffeffff00000000) | (value & 1) << 40);
        put_mov(p, MOV_RDX, PAGES_AT + (value >> 8 & 0xffff) * 8);
        put_mov(p, MOV_R8, PAGES_AT + (value >> 24 & 0xff) * 0x1000);
        PUT(p, "\x0f\x01\xd9");
        break;
    case STEP_CPUID:
        put_mov(p, MOV_RAX, 0x40000000 + (which & 0xff));
        put_mov(p, MOV_RCX, value);
        PUT(p, "\x0f\xa2");
        break;
    case STEP_STORE:
        put_mov(p, MOV_RCX, page + (which >> 8) * 8);
        put_mov(p, MOV_RAX, value);
        PUT(p, "\x48\x89\x01");
        break;
    case STEP_LOAD:
        put_mov(p, MOV_RCX, value & 0x3fffffff);
        PUT(p, "\x48\x8b\x01");
        break;
    case STEP_APIC:
        put_msr(p, 0x800 + (which & 0x3f), value, value & 1);
        break;
    case STEP_SIGNAL: /* fast; connections 0 to 7 */
        put_mov(p, MOV_RCX, 0x1005d);
        put_mov(p, MOV_RDX, (which & 7) | (value & 0xffff) << 32);
        PUT(p, "\x0f\x01\xc1\x90");
        break;
    case STEP_POST: /* connection, type and size stored at the page, then the call */
        put_mov(p, MOV_RDX, page);
        put_mov(p, MOV_RAX, which >> 8 & 7);
        PUT(p, "\x48\x89\x02");
        put_mov(p, MOV_RAX, value & 0xff8000000f);
        PUT(p, "\x48\x89\x42\x08");
        put_mov(p, MOV_RCX, 0x5c);
        PUT(p, "\x0f\x01\xd9");
        break;
    case STEP_SYNIC: /* a SINT with a vector of the guest's; then on, with both pages */
        put_msr(p, 0x40000090 + (which & 0xf), 0x20 + (value & 0x700df), true);
        put_msr(p, 0x40000083, page | 1, true);
        put_msr(p, 0x40000082, (page + 0x1000) | 1, true);
        put_msr(p, 0x40000080, 1, true);
        break;
    case STEP_CALL:
        put_call(p, which, value);
        break;
    default:
        put_mov(p, MOV_RCX, 1 + (which & 0x3ff)); /* interrupts on; loop; */
        PUT(p, "\xfb\x48\xff\xc9\x75\xfb\xfa");
        break;
    }
}

/* A step knows where the guest goes on when it faults. */
static void put_guarded(struct program *p, const uint8_t *in)
{
    PUT(p, "\x4c\x8d\x3d\x00\x00\x00\x00"); /* lea r15, [rip + the step's length] */
    unsigned from = p->count;
    put_step(p, in);
    uint32_t length = p->count - from;
    memcpy(p->bytes + from - 4, &length, 4);
}

/* Faults go on at R15; interrupts return. */
static void put_handlers(struct partition *p)
{
    static const uint8_t with_error[] = {0x48, 0x83, 0xc4, 0x08, 0x4c,
                                         0x89, 0x3c, 0x24, 0x48, 0xcf}; /* add rsp, 8; mov [rsp], r15; iretq */
    static const uint8_t interrupt[] = {0x48, 0xcf};
    for (unsigned v = 0; v < 256; v++) {
        bool error = v == 8 || (v >= 10 && v <= 14) || v == 17;
        uint64_t at = HANDLERS_AT + 16 * v;
        const uint8_t *code = v >= 32 ? interrupt : error ? with_error : with_error + 4;
        size_t bytes = v >= 32 ? sizeof interrupt : error ? sizeof with_error : sizeof with_error - 4;
        cr_assert(memory_write(p->machine->memory, gpa(at), code, bytes));
        struct vp_state s;
        vp_get_state(p->vps[0].vcpu, &s);
        set_mem64(p, IDT_AT + 16 * v,
                  (at & 0xffff) | (uint64_t)s.seg[SEG_CS].selector << 16 | 0x8e00ULL << 32 | (at >> 16) << 48);
        set_mem64(p, IDT_AT + 16 * v + 8, 0);
    }
}

static struct partition *partition_of_input(const uint8_t *data, size_t size, bool small_caches)
{
    static const char *const profiles[] = {"ws2016", "ws2016", NULL, "ws2016"};
    struct profile profile;
    const char *name = profiles[data[0] & 3], *why = "";
    cr_assert(name == NULL || profile_find(name, &profile));
    for (size_t f = 0; data[0] & 0x10 && name != NULL && f < feature_row_count; f++) {
        profile_set(&profile, feature_rows[f].name, true, &why);
    }
    struct partition_config config = {
        .ram_bytes = 64 * MIB, .seed = 1, .turn_cycles = 300, .profile = name != NULL ? &profile : NULL};
    config.cpu = (struct cpu_config){.cost = cost_table_by_name("ipc1"), .vps = data[0] & 8 ? 1 : 2};
    config.cpu.policy = data[0] & 0x10 ? TRANSLATE_STALEST : TRANSLATE_FRESH;
    config.rep_elements_max = data[0] >> 5;
    config.cpu.host_tlb_entries = small_caches ? 4 : 0;
    config.cpu.host_cache_flush_every = small_caches ? 9 : 0;
    cr_assert(cpu_model_init(&config.cpu.model, "v2", data[0] & 4 ? VENDOR_INTEL : VENDOR_AMD, GHZ, config.cpu.vps));
    cr_assert(cpu_model_set(&config.cpu.model, "x2apic", true, &why));
    struct partition *p = partition_create(&config, &why);
    cr_assert(p != NULL);
    static const struct port_config ports[] = {
        {.type = PORT_MESSAGE, .connection = 1, .id = 1, .vp = 0, .sint = 2},
        {.type = PORT_MESSAGE, .connection = 2, .id = 2, .vp = HV_ANY_VP, .sint = 3},
        {.type = PORT_MESSAGE, .connection = 3, .id = 3, .hosts = true},
        {.type = PORT_EVENT, .connection = 4, .id = 4, .vp = HV_ANY_VP, .sint = 2, .flag_count = 2048},
        {.type = PORT_EVENT, .connection = 5, .id = 5, .vp = 1, .sint = 4, .base_flag = 2047, .flag_count = 1},
    };
    for (size_t i = 0; name != NULL && i < ARRAY_COUNT(ports); i++) {
        cr_assert(port_create(p, &ports[i], &why) >= 0);
    }
    struct program program = {.count = 0};
    static const uint8_t apic_on[STEP_BYTES] = {STEP_APIC, 0x0f, 0, 0xff, 1}; /* SVR: enabled, vector 255 */
    static const uint8_t x2apic_on[STEP_BYTES] = {STEP_WRMSR_ANY, 0x1b, 0, 0, 0x0c, 0xe0, 0xfe};
    put_guarded(&program, x2apic_on);
    put_guarded(&program, apic_on);
    data += HEAD_BYTES;
    size -= HEAD_BYTES;
    for (unsigned n = 0; n < STEPS_MAX && size >= STEP_BYTES; n++, data += STEP_BYTES, size -= STEP_BYTES) {
        put_guarded(&program, data);
    }
    PUT(&program, "\xfb\xf4\xeb\xfc"); /* sti; hlt; and again */
    guest(p, BOOT_MODE_64, CODE, program.bytes, program.count);
    put_handlers(p);
    if (name != NULL) {
        cr_assert(wr(p, 0, 0x40000000, 1) == MSR_OK && wr(p, 0, 0x40000001, (PAGES_AT + 0x80000) | 1) == MSR_OK);
    }
    for (unsigned i = 0; i < p->vp_count; i++) {
        if (i != 0) {
            also(p, i, CODE, 0);
        }
        struct vp_state s;
        vp_get_state(p->vps[i].vcpu, &s);
        s.idtr = (struct descriptor_table){.base = IDT_AT, .limit = 0xfff};
        cr_assert(vp_set_state(p->vps[i].vcpu, &s));
    }
    return p;
}

static struct whole_digest run(struct partition *p, unsigned slice_max)
{
    enum partition_stop stop = PARTITION_UNTIL;
    for (unsigned n = 1; machine_now(p->machine) < CYCLES && stop == PARTITION_UNTIL; n = n * 5 + 3) {
        uint64_t until = slice_max == 0 ? CYCLES : machine_now(p->machine) + 1 + n % slice_max;
        stop = partition_run(p, until < CYCLES ? until : CYCLES);
    }
    return digest_of(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES + STEP_BYTES) {
        return 0;
    }
    struct partition *whole = partition_of_input(data, size, false), *sliced = partition_of_input(data, size, true);
    struct whole_digest a = run(whole, 0), b = run(sliced, 16 + data[1] * 16u);
    cr_assert(machine_now(whole->machine) == machine_now(sliced->machine));
    cr_assert(digest_equal(a, b));
    partition_destroy(whole);
    partition_destroy(sliced);
    return 0;
}
