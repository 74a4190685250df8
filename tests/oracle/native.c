/* A page of generated code loads the state, runs the bytes under test and stores the state. It reaches the state by absolute
 * addresses below 2 GiB, so that it needs no register of its own, and the stack pointer may be the test's. */
#define _GNU_SOURCE
#include "tests/oracle/native.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define CODE_PAGE 0x10000000ULL
#define STATE_PAGE 0x18000000ULL
enum { PAGE = 4096, SIGNAL_STACK_BYTES = 65536, USER_FLAGS = 0xcd5 /* OF DF SF ZF AF PF CF */ };

/* What the generated code reads and writes, at STATE_PAGE. */
struct exchange {
    struct native_state s;
    uint64_t host_rsp;
    uint32_t host_mxcsr;
};
#define EXCHANGE ((struct exchange *)STATE_PAGE)
#define ADDRESS_OF(field) ((uint32_t)(STATE_PAGE + offsetof(struct exchange, field)))

static sigjmp_buf leave; /* a signal handler cannot be handed anything, hence these two */
static struct sigaction old_actions[65];
static _Alignas(16) uint8_t signal_stack[SIGNAL_STACK_BYTES];
static const int caught[] = {SIGFPE, SIGSEGV, SIGILL, SIGBUS, SIGTRAP};

/* ---- generating ---- */

static uint8_t *emit_bytes(uint8_t *at, const char *bytes, unsigned count)
{
    memcpy(at, bytes, count);
    return at + count;
}
static uint8_t *emit_address(uint8_t *at, uint32_t address)
{
    memcpy(at, &address, 4);
    return at + 4;
}
/* OP reg, [address], with REX.W: ModRM rm=100, SIB 25 (no base, no index). */
static uint8_t *emit_absolute(uint8_t *at, uint8_t opcode, unsigned reg, uint32_t address)
{
    *at++ = (uint8_t)(0x48 | (reg >> 3) << 2);
    *at++ = opcode;
    *at++ = (uint8_t)(0x04 | (reg & 7) << 3);
    *at++ = 0x25;
    return emit_address(at, address);
}
/* 0F AE /op, with REX.W when `wide`. */
static uint8_t *emit_0fae(uint8_t *at, bool wide, unsigned op, uint32_t address)
{
    if (wide) {
        *at++ = 0x48;
    }
    *at++ = 0x0f;
    *at++ = 0xae;
    *at++ = (uint8_t)(0x04 | op << 3);
    *at++ = 0x25;
    return emit_address(at, address);
}
enum { OP_LOAD = 0x8b, OP_STORE = 0x89, RSP_NUMBER = 4, FXSAVE = 0, FXRSTOR = 1, LDMXCSR = 2, STMXCSR = 3 };

static void emit_prologue(void)
{
    uint8_t *at = (uint8_t *)CODE_PAGE;
    at = emit_bytes(at, "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57", 10); /* push rbx rbp r12 r13 r14 r15 */
    at = emit_absolute(at, OP_STORE, RSP_NUMBER, ADDRESS_OF(host_rsp));
    at = emit_0fae(at, false, STMXCSR, ADDRESS_OF(host_mxcsr));
    at = emit_0fae(at, true, FXRSTOR, ADDRESS_OF(s.fx));
    at = emit_bytes(at, "\xff\x34\x25", 3); /* push [rflags]; popfq */
    at = emit_address(at, ADDRESS_OF(s.rflags));
    *at++ = 0x9d;
    for (unsigned r = 0; r < 16; r++) {
        at = emit_absolute(at, OP_LOAD, r, (uint32_t)(ADDRESS_OF(s.gpr) + 8 * r));
    }
    *at++ = 0xe9; /* jmp NATIVE_CODE */
    emit_address(at, (uint32_t)(NATIVE_CODE - (uint64_t)(uintptr_t)(at + 4)));
}
static void emit_epilogue(uint8_t *at)
{
    for (unsigned r = 0; r < 16; r++) {
        at = emit_absolute(at, OP_STORE, r, (uint32_t)(ADDRESS_OF(s.gpr) + 8 * r));
    }
    at = emit_absolute(at, OP_LOAD, RSP_NUMBER, ADDRESS_OF(host_rsp));
    at = emit_bytes(at, "\x9c\x8f\x04\x25", 4); /* pushfq; pop [rflags] */
    at = emit_address(at, ADDRESS_OF(s.rflags));
    at = emit_0fae(at, true, FXSAVE, ADDRESS_OF(s.fx));
    at = emit_bytes(at, "\xdb\xe3\xfc", 3); /* fninit; cld */
    at = emit_0fae(at, false, LDMXCSR, ADDRESS_OF(host_mxcsr));
    emit_bytes(at, "\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3", 11); /* pop ...; ret */
}

/* ---- faults ---- */

/* Order of uc_mcontext.gregs against GPR numbers. */
static const int greg_of_gpr[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void on_signal(int number, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    struct native_state *s = &EXCHANGE->s;
    for (unsigned r = 0; r < 16; r++) {
        s->gpr[r] = (uint64_t)uc->uc_mcontext.gregs[greg_of_gpr[r]];
    }
    s->rflags = (uint64_t)uc->uc_mcontext.gregs[REG_EFL];
    s->rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    memcpy(&s->fx, uc->uc_mcontext.fpregs, sizeof s->fx);
    siglongjmp(leave, number);
}

static bool map_at(uint64_t address, size_t bytes, int protection)
{
    void *want = (void *)(uintptr_t)address;
    if (mmap(want, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != want) {
        fprintf(stderr, "native oracle: cannot map %zu bytes at %#llx\n", bytes, (unsigned long long)address);
        return false;
    }
    return true;
}

bool native_open(void)
{
    if (!map_at(CODE_PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) || !map_at(STATE_PAGE, PAGE, PROT_READ | PROT_WRITE) ||
        !map_at(NATIVE_DATA - PAGE, PAGE, PROT_NONE) || !map_at(NATIVE_DATA, NATIVE_DATA_BYTES, PROT_READ | PROT_WRITE) ||
        !map_at(NATIVE_DATA + NATIVE_DATA_BYTES, PAGE, PROT_NONE)) {
        return false;
    }
    emit_prologue();
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    sigaltstack(&stack, NULL);
    return true;
}

void native_close(void)
{
    munmap((void *)CODE_PAGE, PAGE);
    munmap((void *)STATE_PAGE, PAGE);
    munmap((void *)(NATIVE_DATA - PAGE), NATIVE_DATA_BYTES + 2 * PAGE);
}

uint8_t *native_data(void)
{
    return (uint8_t *)NATIVE_DATA;
}

/* Not sanitized: the prologue's stack switch is none of the sanitizer's business. */
__attribute__((noinline)) static void call_code(void)
{
    void (*code)(void) = (void (*)(void))(uintptr_t)CODE_PAGE;
    code();
}

/* Signal handlers stay installed from the first run on. */
static void catch_signals(void)
{
    static bool done;
    if (!done) {
        struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
        for (unsigned i = 0; i < sizeof caught / sizeof caught[0]; i++) {
            sigaction(caught[i], &action, &old_actions[caught[i]]);
        }
        done = true;
    }
}

static int run_once(const uint8_t *code, unsigned count, struct native_state *s)
{
    memcpy((void *)NATIVE_CODE, code, count);
    emit_epilogue((uint8_t *)NATIVE_CODE + count);
    EXCHANGE->s = *s;
    EXCHANGE->s.rflags = (s->rflags & USER_FLAGS) | 0x202;
    EXCHANGE->s.rip = NATIVE_CODE + count;
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    int number = sigsetjmp(leave, 0);
    if (number == 0) {
        call_code();
    }
    __asm__ volatile("fninit; cld; ldmxcsr %0" : : "m"(mxcsr));
    *s = EXCHANGE->s;
    return number;
}

/* A virtual machine's host may let an invalid-opcode exception appear at a valid instruction, a few times in millions, when the
 * page under it has just been written. What is invalid is invalid every time, and has changed nothing: so SIGILL is asked for
 * again. */
int native_run(const uint8_t *code, unsigned count, struct native_state *s)
{
    enum { TRIES = 3 };
    const struct native_state from = *s;
    int number = 0;
    catch_signals();
    for (unsigned n = 0; n < TRIES; n++) {
        *s = from;
        number = run_once(code, count, s);
        if (number != SIGILL) {
            break;
        }
    }
    return number;
}
