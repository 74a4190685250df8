/* Runs the tests and reports: KTAP version 1 on COM1, a word for each line at port F6h, an exit code at F4h.
 *
 * A clause passes when at least one expectation judged it and all held. Its line keeps the first failure. Expectations may come
 * from any VP. What a test took or switched on is given back or off before the next one (kit_quiet()).
 */
#include "parts.h"

extern const struct kit_test *kit_tests_start[], *kit_tests_end[];

enum word { WORD_PASS, WORD_FAIL, WORD_NOT_SUPPORTED, WORD_BROKEN };
enum { PORT_VERDICT = 0xf6, TESTS_MAX = 256, MESSAGE_BYTES = 200 };

struct clause_state {
    const char *id;
    uint32_t judged;
    bool failed, skipped, broken;
    char message[MESSAGE_BYTES];
};
static struct {
    const struct kit_test *test;
    unsigned clauses;
    struct clause_state clause[CLAUSES_MAX];
    uint32_t lock;
} now;
static const struct kit_test *tests[TESTS_MAX];
static unsigned test_count;

static bool lock(void)
{
    bool before = irqs(false);
    while (__atomic_exchange_n(&now.lock, 1, __ATOMIC_ACQUIRE) != 0) {
        pause();
    }
    return before;
}

static void unlock(bool before)
{
    __atomic_store_n(&now.lock, 0, __ATOMIC_RELEASE);
    irqs(before);
}

static void message_set(struct clause_state *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    kit_format(c->message, sizeof c->message, format, args);
    va_end(args);
}

/* One clause, or all; a clause that the test does not name breaks it. */
static bool selected(const struct clause_state *c, const char *clause)
{
    return clause == NULL || streq(c->id, clause);
}

static void check_named(const char *clause)
{
    for (unsigned i = 0; i < now.clauses; i++) {
        if (selected(&now.clause[i], clause)) {
            return;
        }
    }
    for (unsigned i = 0; i < now.clauses; i++) {
        now.clause[i].broken = true;
        message_set(&now.clause[i], "the test judges %s but does not name it", clause);
    }
}

static void judge(const char *clause, bool holds, const char *file, int line, const char *text)
{
    bool before = lock();
    check_named(clause);
    for (unsigned i = 0; i < now.clauses; i++) {
        struct clause_state *c = &now.clause[i];
        if (!selected(c, clause)) {
            continue;
        }
        c->judged++;
        if (!holds && !c->failed && !c->broken) {
            c->failed = true;
            message_set(c, "%s:%d: %s", file, line, text);
        }
    }
    unlock(before);
}

bool kit_expect(const char *clause, bool holds, const char *file, int line, const char *what, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    if (!holds && *format != '\0') {
        va_list args;
        va_start(args, format);
        kit_format(text, sizeof text, format, args);
        va_end(args);
    }
    judge(clause, holds, file, line, !holds && *format != '\0' ? text : what);
    return holds;
}

static bool expect_eq(const char *clause, uint64_t got, uint64_t want, const char *file, int line, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    kit_format(text, sizeof text, format, args);
    va_end(args);
    judge(clause, got == want, file, line, text);
    return got == want;
}

bool kit_expect_eq(const char *clause, uint64_t got, uint64_t want, const char *file, int line)
{
    return expect_eq(clause, got, want, file, line, "got 0x%lx, want 0x%lx", got, want);
}

static void mark(const char *clause, bool is_broken, const char *text)
{
    bool before = lock();
    check_named(clause);
    for (unsigned i = 0; i < now.clauses; i++) {
        struct clause_state *c = &now.clause[i];
        if (!selected(c, clause) || c->broken || c->failed) {
            continue;
        }
        if (is_broken) {
            c->broken = true;
        } else if (c->judged == 0) {
            c->skipped = true;
        } else {
            continue;
        }
        message_set(c, "%s", text);
    }
    unlock(before);
}

#define FORMATTED(text)                                                                                                        \
    char text[MESSAGE_BYTES];                                                                                                  \
    va_list args;                                                                                                              \
    va_start(args, format);                                                                                                    \
    kit_format(text, sizeof text, format, args);                                                                               \
    va_end(args)

void skip(const char *format, ...)
{
    FORMATTED(text);
    mark(NULL, false, text);
}

void skip_for(const char *clause, const char *format, ...)
{
    FORMATTED(text);
    mark(clause, false, text);
}

void broken(const char *format, ...)
{
    FORMATTED(text);
    mark(NULL, true, text);
}

void note(const char *format, ...)
{
    FORMATTED(text);
    print("# %s\n", text);
}

void kit_test_fault(const struct fault *f, const char *where)
{
    expect_eq(NULL, 0, 1, now.test->name, now.test->line, "exception %u%s, error 0x%lx, at 0x%lx, CR2 0x%lx", f->vector, where,
              f->error, f->rip, f->cr2);
}

/* ---- between tests ---- */

void kit_quiet(void)
{
    irqs(false);
    kit_hv_quiet();
    kit_lapic_quiet();
    irqs(true); /* what is still pending goes */
    irqs(false);
    kit_lapic_quiet();
}

static void quiet_all(void)
{
    kit_quiet();
    kit_smp_quiet();
    kit_hv_quiet_partition();
    kit_memory_quiet();
    kit_irqs_quiet();
    memset((void *)kit_vps[0].irq_counts, 0, sizeof kit_vps[0].irq_counts);
}

/* ---- selection and report ---- */

static bool glob(const char *pattern, const char *text)
{
    for (; *pattern != '\0' && *pattern != ' '; pattern++, text++) {
        if (*pattern == '*') {
            for (;; text++) {
                if (glob(pattern + 1, text)) {
                    return true;
                }
                if (*text == '\0') {
                    return false;
                }
            }
        }
        if (*text == '\0' || (*pattern != '?' && *pattern != *text)) {
            return false;
        }
    }
    return *text == '\0';
}

static unsigned clause_count(const struct kit_test *t)
{
    unsigned n = 0;
    while (n < CLAUSES_MAX && t->clauses[n] != NULL) {
        n++;
    }
    return n;
}

/* In the order of the source, whatever the compiler made of it. */
static void tests_select(void)
{
    const char *only = arg_text("only");
    for (const struct kit_test **t = kit_tests_start; t != kit_tests_end; t++) {
        if (only != NULL && !glob(only, (*t)->name)) {
            continue;
        }
        if (test_count == TESTS_MAX) {
            kit_panic("more than %u tests", TESTS_MAX);
        }
        unsigned at = test_count++;
        for (; at != 0 && tests[at - 1]->line > (*t)->line; at--) {
            tests[at] = tests[at - 1];
        }
        tests[at] = *t;
    }
}

static void list(void)
{
    for (unsigned i = 0; i < test_count; i++) {
        print("test %s", tests[i]->name);
        for (unsigned c = 0; c < clause_count(tests[i]); c++) {
            print(" %s", tests[i]->clauses[c]);
        }
        print("\n");
    }
    kit_exit(0);
}

static void test_job(void *unused)
{
    now.test->run();
}

static void test_run(const struct kit_test *t)
{
    memset(&now, 0, sizeof now);
    now.test = t;
    now.clauses = clause_count(t);
    for (unsigned i = 0; i < now.clauses; i++) {
        now.clause[i].id = t->clauses[i];
    }
    struct fault f = try_run(test_job, NULL);
    irqs(false);
    now.lock = 0;
    if (f.vector != NO_FAULT) {
        kit_test_fault(&f, "");
    }
    quiet_all();
}

static enum word clause_word(struct clause_state *c)
{
    if (!c->broken && !c->failed && !c->skipped && c->judged == 0) {
        message_set(c, "no expectation ran");
        return WORD_BROKEN;
    }
    return c->broken ? WORD_BROKEN : c->failed ? WORD_FAIL : c->judged != 0 ? WORD_PASS : WORD_NOT_SUPPORTED;
}

void kit_run_tests(void)
{
    static const char *const starts[] = {"ok", "not ok", "ok", "not ok"}, *const remarks[] = {"", "", "SKIP ", "BROKEN "};
    tests_select();
    if (arg_present("list")) {
        list();
    }
    unsigned lines = 0, line = 0, words[4] = {0};
    for (unsigned i = 0; i < test_count; i++) {
        lines += clause_count(tests[i]);
    }
    if (probe_before_report != NULL) {
        probe_before_report();
    }
    print("KTAP version 1\n1..%u\n", lines);
    for (unsigned i = 0; i < test_count; i++) {
        test_run(tests[i]);
        for (unsigned k = 0; k < now.clauses; k++) {
            struct clause_state *c = &now.clause[k];
            enum word w = clause_word(c);
            words[w]++;
            line++;
            print("%s %u %s %s%s%s%s\n", starts[w], line, tests[i]->name, c->id, w == WORD_PASS ? "" : " # ", remarks[w],
                  w == WORD_PASS ? "" : c->message);
            out32(PORT_VERDICT, line << 8 | w);
        }
    }
    kit_exit(words[WORD_BROKEN] != 0 || lines == 0 ? 2 : words[WORD_FAIL] != 0 ? 1 : 0);
}
