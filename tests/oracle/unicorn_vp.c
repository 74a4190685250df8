/* See unicorn_vp.h. */
#include "tests/oracle/unicorn_vp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "tests/oracle/guest.h"

enum { LEGACY_BYTES = 0x10000, GDT_AT = 0x1000, GPRS = 16, SIMD = 16 + 8, MXCSR_OFFSET = 0x700, LDMXCSR_BYTES = 7 };

struct unicorn_vp {
    uc_engine *uc;
    uc_context *fresh; /* before any exception: see unicorn_run() */
    struct place place;
    uint8_t *code, *data; /* host memory of the pages that hold them */
    uint8_t *pages[2];    /* to free */
    int vector;
};

static const int gpr_ids[GPRS] = {
    UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP,
    UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8,  UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11,
    UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15,
};
static const int legacy_ids[8] = {
    UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX,
    UC_X86_REG_ESP, UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI,
};
static const int segment_ids[SEGMENTS] = {UC_X86_REG_ES, UC_X86_REG_CS, UC_X86_REG_SS,
                                          UC_X86_REG_DS, UC_X86_REG_FS, UC_X86_REG_GS};

static void on_exception(uc_engine *uc, uint32_t vector, void *user)
{
    *(int *)user = (int)vector;
    uc_emu_stop(uc);
}

static bool map(struct unicorn_vp *u, unsigned i, uint64_t at, size_t bytes)
{
    u->pages[i] = aligned_alloc(PAGE_BYTES, bytes);
    if (u->pages[i] == NULL) {
        return false;
    }
    memset(u->pages[i], 0xf4, bytes);
    return uc_mem_map_ptr(u->uc, at, bytes, UC_PROT_ALL, u->pages[i]) == UC_ERR_OK;
}

/* Data segments from a GDT of ours; CS stays the flat one that unicorn begins with. */
static bool load_segments(struct unicorn_vp *u)
{
    const struct place *p = &u->place;
    if (!p->real) {
        uc_x86_mmr gdtr = {.base = GDT_AT, .limit = 8 * (SEGMENTS + 3) - 1};
        for (unsigned i = 0; i < SEGMENTS; i++) {
            uint64_t descriptor = 0x00cf93000000ffffULL | p->base[i] << 16;
            memcpy(u->pages[0] + GDT_AT + 8 * (i + 3), &descriptor, 8);
        }
        if (uc_reg_write(u->uc, UC_X86_REG_GDTR, &gdtr) != UC_ERR_OK) {
            return false;
        }
    }
    for (unsigned i = 0; i < SEGMENTS; i++) {
        uint64_t selector = p->real ? p->base[i] >> 4 : 8 * (i + 3);
        if (i != SEG_CS && uc_reg_write(u->uc, segment_ids[i], &selector) != UC_ERR_OK) {
            return false;
        }
    }
    return true;
}

struct unicorn_vp *unicorn_create(const struct place *p)
{
    struct unicorn_vp *u = calloc(1, sizeof *u);
    uc_mode mode = p->bits == 64 ? UC_MODE_64 : p->bits == 32 ? UC_MODE_32 : UC_MODE_16;
    uc_hook hook;
    if (u == NULL || uc_open(UC_ARCH_X86, mode, &u->uc) != UC_ERR_OK) {
        fprintf(stderr, "unicorn: cannot be opened\n");
        return NULL;
    }
    u->place = *p;
    bool good;
    if (p->bits == 64) {
        good = map(u, 0, p->code & ~(uint64_t)PAGE_OFFSET_MASK, PAGE_BYTES) && map(u, 1, p->data, NATIVE_DATA_BYTES);
        u->code = u->pages[0] + (p->code & PAGE_OFFSET_MASK);
        u->data = u->pages[1];
    } else {
        good = map(u, 0, 0, LEGACY_BYTES) && load_segments(u);
        u->code = u->pages[0] + p->code;
        u->data = u->pages[0] + p->data;
    }
    if (!good || uc_hook_add(u->uc, &hook, UC_HOOK_INTR, (void *)(uintptr_t)on_exception, &u->vector, 1, 0) != UC_ERR_OK ||
        uc_context_alloc(u->uc, &u->fresh) != UC_ERR_OK || uc_context_save(u->uc, u->fresh) != UC_ERR_OK) {
        fprintf(stderr, "unicorn: refuses the set-up\n");
        return NULL;
    }
    return u;
}

void unicorn_destroy(struct unicorn_vp *u)
{
    uc_context_free(u->fresh);
    uc_close(u->uc);
    free(u->pages[0]);
    free(u->pages[1]);
    free(u);
}

uint8_t *unicorn_data(struct unicorn_vp *u)
{
    return u->data;
}

/* Writing UC_X86_REG_MXCSR does not reach the rounding mode, FTZ and DAZ: an LDMXCSR before the bytes does. */
static unsigned put_mxcsr(struct unicorn_vp *u, uint32_t mxcsr)
{
    uint8_t load[LDMXCSR_BYTES] = {0x0f, 0xae, 0x15};
    uint32_t distance = MXCSR_OFFSET - (uint32_t)(u->code - u->pages[0]);
    memcpy(load + 3, &distance, 4);
    memcpy(u->code - sizeof load, load, sizeof load);
    memcpy(u->pages[0] + MXCSR_OFFSET, &mxcsr, 4);
    return sizeof load;
}

/* The ids and places of everything that goes in and out; returns how many. */
static int registers(struct unicorn_vp *u, bool simd, struct native_state *s, int *ids, void **at)
{
    int n = 0, gprs = u->place.bits == 64 ? GPRS : 8;
    for (int i = 0; i < gprs; i++, n++) {
        ids[n] = u->place.bits == 64 ? gpr_ids[i] : legacy_ids[i];
        at[n] = &s->gpr[i];
    }
    ids[n] = UC_X86_REG_EFLAGS;
    at[n++] = &s->rflags;
    for (int i = 0; simd && i < 16; i++, n++) {
        ids[n] = UC_X86_REG_XMM0 + i;
        at[n] = s->fx.xmm[i];
    }
    for (int i = 0; simd && i < 8; i++, n++) {
        ids[n] = UC_X86_REG_FP0 + i; /* physical registers; writing UC_X86_REG_MM0 does nothing */
        at[n] = &s->fx.st[i].significand;
    }
    return n;
}

int unicorn_run(struct unicorn_vp *u, const uint8_t *code, unsigned count, bool simd, struct native_state *s)
{
    int ids[GPRS + 2 + SIMD];
    void *at[GPRS + 2 + SIMD];
    uint64_t start = u->place.code, ip = 0;
    int n = registers(u, simd, s, ids, at);
    s->rflags = (s->rflags & (RFLAGS_ARITHMETIC | RFLAGS_DF)) | RFLAGS_FIXED;
    unsigned before = simd ? put_mxcsr(u, s->fx.mxcsr) : 0;
    if (memcmp(u->code, code, count) != 0) {
        memcpy(u->code, code, count);
        uc_ctl_remove_cache(u->uc, start - LDMXCSR_BYTES, start + NATIVE_CODE_BYTES);
    }
    u->vector = GUEST_NO_FAULT;
    if (uc_reg_write_batch(u->uc, ids, at, n) != UC_ERR_OK) {
        return GUEST_STUCK;
    }
    uc_err error = uc_emu_start(u->uc, start - before, start + count, 0, 0);
    ids[n] = u->place.bits == 64 ? UC_X86_REG_RIP : UC_X86_REG_EIP;
    at[n++] = &ip;
    if (uc_reg_read_batch(u->uc, ids, at, n) != UC_ERR_OK) {
        return GUEST_STUCK;
    }
    s->rip = ip;
    if (u->vector != GUEST_NO_FAULT || error != UC_ERR_OK) {
        /* No handler took the exception: to unicorn it is still being delivered, and the next one would be a double fault. */
        uc_context_restore(u->uc, u->fresh);
    }
    switch (error) {
    case UC_ERR_OK:
        return u->vector != GUEST_NO_FAULT || ip == start + count ? u->vector : GUEST_STUCK;
    case UC_ERR_INSN_INVALID:
        return VEC_UD;
    case UC_ERR_READ_UNMAPPED:
    case UC_ERR_WRITE_UNMAPPED:
    case UC_ERR_FETCH_UNMAPPED:
        return VEC_PF;
    default:
        return GUEST_STUCK;
    }
}
