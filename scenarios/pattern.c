/* POSIX extended expressions as automata. POSIX.1-2017 Base Definitions §9.4 Extended Regular Expressions.
 *
 * Three steps: parse into a small tree; emit instructions (Thompson's construction, repetitions written out); for each
 * instruction compute once which instructions follow it without a byte. A run then is one OR of sets for each byte.
 */
#include "scenarios/pattern.h"

#include <stdlib.h>
#include <string.h>

/* ---- the tree ---- */

enum part_kind { PART_SET, PART_CAT, PART_ALT, PART_REPEAT, PART_BEGIN, PART_END };
struct part {
    enum part_kind kind;
    uint16_t left, right; /* parts; PART_SET: left is the set */
    uint16_t min, max;    /* PART_REPEAT */
};
enum { REPEAT_MAX = 255, REPEAT_FOREVER = 0xffff, PARTS_MAX = 4 * PATTERN_TEXT_MAX, SETS_MAX = PATTERN_TEXT_MAX };
struct byte_set {
    uint64_t bits[4];
};

/* ---- the automaton ---- */

enum step_kind { STEP_SET, STEP_SPLIT, STEP_BEGIN, STEP_END, STEP_MATCH };
struct step {
    uint8_t kind;
    uint16_t next, other; /* other: STEP_SPLIT's second way; STEP_SET's set */
};
struct pattern {
    unsigned steps, words;
    struct step step[PATTERN_STATES];
    struct byte_set *sets;
    uint64_t *closure;                     /* steps x words: what is reached from a step without a byte */
    uint64_t at_begin[PATTERN_WORDS];      /* the start set where a line begins */
    uint64_t inside[PATTERN_WORDS];        /* ... and everywhere else: a match may start at any byte */
    uint64_t accept_at_end[PATTERN_WORDS]; /* STEP_END from which a match is reached */
    unsigned match;
};

static void set_add(struct byte_set *s, unsigned byte)
{
    s->bits[byte / 64] |= 1ULL << (byte % 64);
}

static bool set_has(const struct byte_set *s, unsigned byte)
{
    return s->bits[byte / 64] >> (byte % 64) & 1;
}

/* ---- parsing ---- */

struct parser {
    const char *text, *at;
    struct message *why;
    struct part parts[PARTS_MAX];
    unsigned part_count;
    struct byte_set sets[SETS_MAX];
    unsigned set_count;
};
enum { NO_PART = 0xffff };

static unsigned wrong(struct parser *p, const char *what)
{
    message_say(p->why, "%s (character %u of the expression)", what, (unsigned)(p->at - p->text) + 1);
    return NO_PART;
}

static unsigned part_add(struct parser *p, struct part part)
{
    if (p->part_count == PARTS_MAX) {
        return wrong(p, "the expression is too large");
    }
    p->parts[p->part_count] = part;
    return p->part_count++;
}

static unsigned part_set(struct parser *p, struct byte_set set)
{
    if (p->set_count == SETS_MAX) {
        return wrong(p, "the expression is too large");
    }
    p->sets[p->set_count] = set;
    return part_add(p, (struct part){.kind = PART_SET, .left = (uint16_t)p->set_count++});
}

static unsigned part_byte(struct parser *p, unsigned char byte)
{
    struct byte_set set = {{0}};
    set_add(&set, byte);
    return part_set(p, set);
}

static bool in_class(const char *name, size_t length, unsigned c, bool *known)
{
    bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z', number = c >= '0' && c <= '9';
    bool graph = c > 0x20 && c < 0x7f, blank = c == ' ' || c == '\t';
    const struct {
        const char *name;
        bool in;
    } classes[] = {
        {"alpha", upper || lower},
        {"digit", number},
        {"alnum", upper || lower || number},
        {"upper", upper},
        {"lower", lower},
        {"space", blank || (c >= 0x0a && c <= 0x0d)},
        {"blank", blank},
        {"punct", graph && !upper && !lower && !number},
        {"print", graph || c == ' '},
        {"graph", graph},
        {"cntrl", c < 0x20 || c == 0x7f},
        {"xdigit", number || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')},
    };
    for (size_t i = 0; i < ARRAY_COUNT(classes); i++) {
        if (strlen(classes[i].name) == length && memcmp(classes[i].name, name, length) == 0) {
            *known = true;
            return classes[i].in;
        }
    }
    *known = false;
    return false;
}

/* "[:name:]" at p->at. */
static bool parse_class(struct parser *p, struct byte_set *set)
{
    const char *name = p->at + 2, *end = strstr(name, ":]");
    bool known = end != NULL;
    for (unsigned c = 0; known && c < 256; c++) {
        if (in_class(name, (size_t)(end - name), c, &known)) {
            set_add(set, c);
        }
    }
    if (!known) {
        wrong(p, "unknown character class; there are alpha, digit, alnum, upper, lower, space, blank, punct, print, graph, "
                 "cntrl, xdigit");
        return false;
    }
    p->at = end + 2;
    return true;
}

/* POSIX §9.3.5: p->at stands behind "[". */
static unsigned parse_bracket(struct parser *p)
{
    struct byte_set set = {{0}};
    bool negated = *p->at == '^';
    p->at += negated;
    for (bool first = true; first || *p->at != ']'; first = false) {
        if (*p->at == 0) {
            return wrong(p, "\"[\" without \"]\"");
        }
        if (p->at[0] == '[' && p->at[1] == ':') {
            if (!parse_class(p, &set)) {
                return NO_PART;
            }
            continue;
        }
        if (p->at[0] == '[' && (p->at[1] == '.' || p->at[1] == '=')) {
            return wrong(p, "collating elements have no meaning for bytes");
        }
        unsigned char from = (unsigned char)*p->at++, to = from;
        if (p->at[0] == '-' && p->at[1] != ']' && p->at[1] != 0) {
            to = (unsigned char)p->at[1];
            if (to < from || (to == '[' && strchr(":.=", p->at[2]) != NULL)) {
                return wrong(p, "the range does not go upwards");
            }
            p->at += 2;
        }
        for (unsigned c = from; c <= to; c++) {
            set_add(&set, c);
        }
    }
    p->at++;
    for (unsigned i = 0; negated && i < 4; i++) {
        set.bits[i] = ~set.bits[i];
    }
    return part_set(p, set);
}

static unsigned parse_alternatives(struct parser *p);

static unsigned parse_atom(struct parser *p)
{
    unsigned char c = (unsigned char)*p->at;
    if (strchr("*+?{", c) != NULL) {
        return wrong(p, "nothing to repeat");
    }
    p->at++;
    switch (c) {
    case '(': {
        unsigned inner = parse_alternatives(p);
        if (inner == NO_PART) {
            return NO_PART;
        }
        if (*p->at != ')') {
            return wrong(p, "\"(\" without \")\"");
        }
        p->at++;
        return inner;
    }
    case '[':
        return parse_bracket(p);
    case '.': {
        struct byte_set all = {{~0ULL, ~0ULL, ~0ULL, ~0ULL}};
        return part_set(p, all);
    }
    case '^':
        return part_add(p, (struct part){.kind = PART_BEGIN});
    case '$':
        return part_add(p, (struct part){.kind = PART_END});
    case '\\':
        if (*p->at == 0 || strchr(".[]\\()*+?{}|^$/-\"'", *p->at) == NULL) {
            return wrong(p, "\"\\\" before an ordinary character; write [[:digit:]], [[:space:]] and the like for classes");
        }
        return part_byte(p, (unsigned char)*p->at++);
    default:
        return part_byte(p, c);
    }
}

static bool parse_count(struct parser *p, uint16_t *count)
{
    unsigned n = 0, digits = 0;
    for (; *p->at >= '0' && *p->at <= '9' && digits < 4; p->at++, digits++) {
        n = n * 10 + (unsigned)(*p->at - '0');
    }
    *count = (uint16_t)n;
    return digits > 0 && n <= REPEAT_MAX;
}

/* * + ? {m} {m,} {m,n} behind a part. */
static unsigned parse_repeat(struct parser *p, unsigned part)
{
    struct part r = {.kind = PART_REPEAT, .left = (uint16_t)part, .min = 0, .max = REPEAT_FOREVER};
    char c = *p->at++;
    if (p->parts[part].kind == PART_BEGIN || p->parts[part].kind == PART_END) {
        return wrong(p, "an anchor cannot be repeated");
    }
    if (c == '+') {
        r.min = 1;
    } else if (c == '?') {
        r.max = 1;
    } else if (c == '{') {
        bool ok = parse_count(p, &r.min);
        r.max = r.min;
        if (ok && *p->at == ',') {
            p->at++;
            r.max = REPEAT_FOREVER;
            ok = *p->at == '}' || (parse_count(p, &r.max) && r.max >= r.min);
        }
        if (!ok || *p->at != '}') {
            return wrong(p, "a repetition is {m}, {m,} or {m,n} with m <= n <= 255");
        }
        p->at++;
    }
    return part_add(p, r);
}

static unsigned parse_branch(struct parser *p)
{
    unsigned all = NO_PART;
    while (*p->at != 0 && *p->at != '|' && *p->at != ')') {
        unsigned part = parse_atom(p);
        while (part != NO_PART && *p->at != 0 && strchr("*+?{", *p->at) != NULL) {
            part = parse_repeat(p, part);
        }
        if (part == NO_PART) {
            return NO_PART;
        }
        all = all == NO_PART ? part
                             : part_add(p, (struct part){.kind = PART_CAT, .left = (uint16_t)all, .right = (uint16_t)part});
        if (all == NO_PART) {
            return NO_PART;
        }
    }
    return all == NO_PART ? wrong(p, "an empty expression") : all;
}

static unsigned parse_alternatives(struct parser *p)
{
    unsigned all = parse_branch(p);
    while (all != NO_PART && *p->at == '|') {
        p->at++;
        unsigned branch = parse_branch(p);
        if (branch == NO_PART) {
            return NO_PART;
        }
        all = part_add(p, (struct part){.kind = PART_ALT, .left = (uint16_t)all, .right = (uint16_t)branch});
    }
    return all;
}

/* ---- emitting ---- */

static bool step_add(struct pattern *a, enum step_kind kind, unsigned other)
{
    if (a->steps == PATTERN_STATES - 1) { /* one stays free for STEP_MATCH */
        return false;
    }
    a->step[a->steps] = (struct step){.kind = (uint8_t)kind, .next = (uint16_t)(a->steps + 1), .other = (uint16_t)other};
    a->steps++;
    return true;
}

static bool emit(struct pattern *a, const struct parser *p, unsigned part);

/* x{min,max}: min copies, then a loop or optional copies that all leave to the end. */
static bool emit_repeat(struct pattern *a, const struct parser *p, const struct part *r)
{
    for (unsigned i = 0; i < r->min; i++) {
        unsigned before = a->steps;
        if (!emit(a, p, r->left)) {
            return false;
        }
        if (a->steps == before) { /* the repeated part is empty, as in (x{0}){9} */
            return true;
        }
    }
    if (r->max == REPEAT_FOREVER) {
        unsigned split = a->steps;
        if (!step_add(a, STEP_SPLIT, 0) || !emit(a, p, r->left)) {
            return false;
        }
        unsigned back = a->steps;
        if (!step_add(a, STEP_SPLIT, split)) {
            return false;
        }
        a->step[back].next = (uint16_t)split;
        a->step[split].other = (uint16_t)a->steps;
        return true;
    }
    unsigned chain = 0; /* splits whose second way is still open, linked through it; 0 ends (step 0 may be one: stored + 1) */
    for (unsigned i = r->min; i < r->max; i++) {
        unsigned split = a->steps;
        if (!step_add(a, STEP_SPLIT, chain)) {
            return false;
        }
        chain = split + 1;
        if (!emit(a, p, r->left)) {
            return false;
        }
    }
    while (chain != 0) {
        struct step *s = &a->step[chain - 1];
        chain = s->other;
        s->other = (uint16_t)a->steps;
    }
    return true;
}

static bool emit(struct pattern *a, const struct parser *p, unsigned part)
{
    const struct part *x = &p->parts[part];
    switch (x->kind) {
    case PART_SET:
        return step_add(a, STEP_SET, x->left);
    case PART_BEGIN:
        return step_add(a, STEP_BEGIN, 0);
    case PART_END:
        return step_add(a, STEP_END, 0);
    case PART_CAT:
        return emit(a, p, x->left) && emit(a, p, x->right);
    case PART_REPEAT:
        return emit_repeat(a, p, x);
    case PART_ALT:
        break;
    }
    unsigned split = a->steps;
    if (!step_add(a, STEP_SPLIT, 0) || !emit(a, p, x->left)) {
        return false;
    }
    unsigned leave = a->steps; /* the first way jumps over the second */
    if (!step_add(a, STEP_SPLIT, 0)) {
        return false;
    }
    a->step[split].other = (uint16_t)a->steps;
    if (!emit(a, p, x->right)) {
        return false;
    }
    a->step[leave].next = a->step[leave].other = (uint16_t)a->steps;
    return true;
}

/* ---- closures ---- */

enum pass { PASS_BEGIN = 1, PASS_END = 2 };

/* Adds all that is reached from `from` without a byte. Steps that wait (STEP_SET, STEP_END, STEP_MATCH) stay in the set. */
static void close_from(const struct pattern *a, unsigned from, unsigned pass, uint64_t *set)
{
    uint16_t stack[PATTERN_STATES];
    uint64_t seen[PATTERN_WORDS] = {0};
    unsigned depth = 0;
    stack[depth++] = (uint16_t)from;
    seen[from / 64] |= 1ULL << (from % 64);
    while (depth > 0) {
        unsigned at = stack[--depth];
        const struct step *s = &a->step[at];
        uint16_t ways[2];
        unsigned count = 0;
        if (s->kind == STEP_SPLIT) {
            ways[count++] = s->next;
            ways[count++] = s->other;
        } else if ((s->kind == STEP_BEGIN && (pass & PASS_BEGIN)) || (s->kind == STEP_END && (pass & PASS_END))) {
            ways[count++] = s->next;
        }
        if (s->kind == STEP_SET || s->kind == STEP_END || s->kind == STEP_MATCH) {
            set[at / 64] |= 1ULL << (at % 64);
        }
        for (unsigned i = 0; i < count; i++) {
            if (!(seen[ways[i] / 64] >> (ways[i] % 64) & 1)) {
                seen[ways[i] / 64] |= 1ULL << (ways[i] % 64);
                stack[depth++] = ways[i];
            }
        }
    }
}

static bool pattern_finish(struct pattern *a)
{
    a->match = a->steps;
    a->step[a->steps++] = (struct step){.kind = STEP_MATCH};
    a->words = (a->steps + 63) / 64;
    a->closure = calloc((size_t)a->steps * a->words, sizeof *a->closure);
    if (a->closure == NULL) {
        return false;
    }
    for (unsigned i = 0; i < a->steps; i++) {
        uint64_t set[PATTERN_WORDS] = {0};
        close_from(a, i, 0, set);
        memcpy(a->closure + (size_t)i * a->words, set, a->words * sizeof *set);
        if (a->step[i].kind == STEP_END) {
            uint64_t ended[PATTERN_WORDS] = {0};
            close_from(a, i, PASS_END, ended);
            if (ended[a->match / 64] >> (a->match % 64) & 1) {
                a->accept_at_end[i / 64] |= 1ULL << (i % 64);
            }
        }
    }
    close_from(a, 0, 0, a->inside);
    close_from(a, 0, PASS_BEGIN, a->at_begin);
    /* An empty line is its begin and its end at once, so here "$" may even come before "^". */
    uint64_t empty[PATTERN_WORDS] = {0};
    close_from(a, 0, PASS_BEGIN | PASS_END, empty);
    a->at_begin[a->match / 64] |= empty[a->match / 64] & 1ULL << (a->match % 64);
    return true;
}

struct pattern *pattern_create(const char *expression, struct message *why)
{
    if (strlen(expression) > PATTERN_TEXT_MAX) {
        message_say(why, "the expression is too long; at most %d bytes", PATTERN_TEXT_MAX);
        return NULL;
    }
    struct parser *p = calloc(1, sizeof *p);
    struct pattern *a = calloc(1, sizeof *a);
    bool ok = p != NULL && a != NULL;
    if (!ok) {
        message_say(why, "the host has no memory left");
    } else {
        p->text = p->at = expression;
        p->why = why;
        unsigned root = parse_alternatives(p);
        if (root != NO_PART && *p->at == ')') {
            root = wrong(p, "\")\" without \"(\"; write \\) for the character");
        }
        ok = root != NO_PART;
        if (ok && !emit(a, p, root)) {
            ok = message_say(why, "the expression is too large: more than %d states; use smaller repetitions", PATTERN_STATES);
        }
        if (ok) {
            a->sets = malloc(sizeof *a->sets * (p->set_count + 1));
            ok = a->sets != NULL && pattern_finish(a);
            if (ok) {
                memcpy(a->sets, p->sets, sizeof *a->sets * p->set_count);
            } else {
                message_say(why, "the host has no memory left");
            }
        }
    }
    free(p);
    if (!ok) {
        pattern_destroy(a);
        return NULL;
    }
    return a;
}

void pattern_destroy(struct pattern *p)
{
    if (p != NULL) {
        free(p->sets);
        free(p->closure);
        free(p);
    }
}

/* ---- running ---- */

unsigned pattern_words(const struct pattern *p)
{
    return p->words;
}

void pattern_begin(const struct pattern *p, struct pattern_run *run)
{
    memcpy(run->set, p->at_begin, sizeof run->set);
}

void pattern_begin_inside(const struct pattern *p, struct pattern_run *run)
{
    memcpy(run->set, p->inside, sizeof run->set);
}

void pattern_feed(const struct pattern *p, struct pattern_run *run, uint8_t byte)
{
    uint64_t next[PATTERN_WORDS];
    memcpy(next, p->inside, p->words * sizeof *next);
    for (unsigned w = 0; w < p->words; w++) {
        for (uint64_t bits = run->set[w]; bits != 0; bits &= bits - 1) {
            unsigned at = w * 64 + (unsigned)__builtin_ctzll(bits);
            const struct step *s = &p->step[at];
            if (at < p->steps && s->kind == STEP_SET && set_has(&p->sets[s->other], byte)) {
                const uint64_t *reached = p->closure + (size_t)s->next * p->words;
                for (unsigned i = 0; i < p->words; i++) {
                    next[i] |= reached[i];
                }
            }
        }
    }
    memcpy(run->set, next, p->words * sizeof *next);
}

bool pattern_matches(const struct pattern *p, const struct pattern_run *run)
{
    if (run->set[p->match / 64] >> (p->match % 64) & 1) {
        return true;
    }
    for (unsigned w = 0; w < p->words; w++) {
        if (run->set[w] & p->accept_at_end[w]) {
            return true;
        }
    }
    return false;
}
