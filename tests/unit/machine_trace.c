/* Trace points, the ring, and the Common Trace Format as babeltrace2 reads it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "machine/ctf.h"
#include "machine/ring.h"
#include "machine/trace_rows.h"

/* Rows as a trace.def makes them; one field has a name that is a word of the metadata's language. */
enum {
    TRACE_ID_ping = TRACE_BLOCK_CPU,
    TRACE_ID_wide = TRACE_BLOCK_CPU + 1,
    TRACE_ID_event = TRACE_BLOCK_VMBUS,
};
/* clang-format off */
static const struct trace_row rows[] = {
    TRACE_EVENT_ROW(ping, "one field", F(u32, count))
    TRACE_EVENT_ROW(wide, "one of each", F(u8, a), F(u16, b), F(u32, c), F(u64, d), F(x8, e), F(x16, f), F(x32, g), F(x64, h))
    TRACE_EVENT_ROW(event, "words of the language", F(x16, string), F(u8, integer))
};
/* clang-format on */
enum { PING, WIDE, EVENT, ROWS };

struct stage {
    struct clock clock;
    struct trace *t;
};

static void stage_open(struct stage *s)
{
    s->clock = (struct clock){.hz = 1000000000};
    s->t = trace_create(&s->clock);
    trace_declare(s->t, rows, ROWS);
}

static void count_event(void *owner, const struct trace_event *e)
{
    (void)e;
    ++*(unsigned *)owner;
}

/* ---- points and listeners ---- */

Test(trace, a_point_that_nobody_listens_to_is_not_armed)
{
    struct stage s;
    stage_open(&s);
    for (unsigned i = 0; i < ARRAY_COUNT(s.t->armed); i++) {
        cr_expect_eq(s.t->armed[i], 0);
    }
    unsigned count = 0;
    trace_listen(s.t, &rows[PING], count_event, &count);
    TRACE(s.t, ping, 0, 1);
    TRACE(s.t, event, 0, 1, 2);
    cr_expect_eq(count, 1, "only the row one listens to");
    trace_unlisten(s.t, count_event, &count);
    cr_expect_eq(s.t->armed[TRACE_ID_ping / 64], 0);
    TRACE(s.t, ping, 0, 1);
    cr_expect_eq(count, 1);
    trace_destroy(s.t);
}

Test(trace, listening_to_all_includes_rows_declared_later)
{
    struct stage s = {.clock = {.hz = 1000000000}};
    s.t = trace_create(&s.clock);
    unsigned count = 0;
    trace_listen(s.t, NULL, count_event, &count);
    trace_declare(s.t, rows, ROWS);
    TRACE(s.t, ping, 0, 1);
    TRACE(s.t, event, 0, 1, 2);
    cr_expect_eq(count, 2);
    trace_destroy(s.t);
}

static void keep_event(void *owner, const struct trace_event *e)
{
    *(struct trace_event *)owner = *e;
}

Test(trace, listener_gets_cycle_vp_and_values_cut_to_their_width)
{
    struct stage s;
    struct trace_event e;
    stage_open(&s);
    trace_listen(s.t, &rows[WIDE], keep_event, &e);
    s.clock.cycle = 77;
    TRACE(s.t, wide, 3, 0x1ff, 0x1ffff, 0x1ffffffff, UINT64_MAX, -1, -1, -1, -1);
    const uint64_t expected[] = {0xff, 0xffff, 0xffffffff, UINT64_MAX, 0xff, 0xffff, 0xffffffff, UINT64_MAX};
    cr_expect_eq(e.cycle, 77);
    cr_expect_eq(e.vp, 3);
    cr_expect_eq(e.row, &rows[WIDE]);
    cr_expect_arr_eq(e.values, expected, sizeof expected);
    trace_destroy(s.t);
}

struct changing {
    struct trace *t;
    unsigned calls, others;
};

static void leave_and_bring(void *owner, const struct trace_event *e)
{
    struct changing *c = owner;
    (void)e;
    c->calls++;
    trace_unlisten(c->t, leave_and_bring, c);
    for (unsigned i = 0; i < 20; i++) {
        trace_listen(c->t, &rows[PING], count_event, &c->others);
    }
}

Test(trace, listeners_come_and_go_while_told)
{
    struct stage s;
    stage_open(&s);
    struct changing c = {.t = s.t};
    unsigned after = 0;
    trace_listen(s.t, &rows[PING], leave_and_bring, &c);
    trace_listen(s.t, &rows[PING], count_event, &after);
    TRACE(s.t, ping, 0, 1);
    cr_expect_eq(c.calls, 1);
    cr_expect_eq(c.others, 0, "who comes hears the next event");
    cr_expect_eq(after, 1);
    TRACE(s.t, ping, 0, 1);
    cr_expect_eq(c.calls, 1, "who left hears no more");
    cr_expect_eq(c.others, 20);
    cr_expect_eq(after, 2);
    trace_destroy(s.t);
}

Test(trace, rows_are_found_by_name_and_listed_by_id)
{
    struct stage s;
    const struct trace_row *list[2];
    stage_open(&s);
    cr_expect_eq(trace_row_by_name(s.t, "wide"), &rows[WIDE]);
    cr_expect_null(trace_row_by_name(s.t, "wid"));
    cr_expect_eq(trace_rows(s.t, list, 2), ROWS);
    cr_expect_eq(list[0], &rows[PING]);
    cr_expect_eq(list[1], &rows[WIDE]);
    trace_destroy(s.t);
}

/* ---- ring and text ---- */

Test(ring, keeps_the_last_oldest_first)
{
    struct stage s;
    stage_open(&s);
    struct ring *r = ring_create(4);
    trace_listen(s.t, &rows[PING], ring_note, r);
    for (unsigned i = 0; i < 10; i++) {
        cr_expect_eq(ring_count(r), i < 4 ? i : 4);
        TRACE(s.t, ping, 0, 100 + i);
        cr_expect_eq(ring_at(r, 0)->values[0], i < 4 ? 100 : 100 + i - 3);
    }
    for (unsigned i = 0; i < 4; i++) {
        cr_expect_eq(ring_at(r, i)->values[0], 106 + i);
    }
    cr_expect_null(ring_at(r, 4));
    ring_destroy(r);
    trace_destroy(s.t);
}

Test(trace_text, shows_cycle_vp_name_and_fields)
{
    char text[400];
    struct trace_event e = {.cycle = 1200, .row = &rows[EVENT], .vp = 1, .values = {0xabc, 7}};
    trace_event_text(&e, text, sizeof text);
    cr_expect_str_eq(text, "1200 vp1 event string=0xabc integer=7");
    e.vp = TRACE_NO_VP;
    cr_expect_eq(trace_event_text(&e, text, sizeof text), strlen("1200 event string=0xabc integer=7"));
    cr_expect_str_eq(text, "1200 event string=0xabc integer=7");
}

Test(trace_text, never_writes_beyond_its_room)
{
    char text[16];
    struct trace_event e = {.cycle = 1200, .row = &rows[EVENT], .vp = 1, .values = {0xabc, 7}};
    for (size_t room = 0; room < sizeof text; room++) {
        memset(text, 'z', sizeof text);
        cr_expect_eq(trace_event_text(&e, text, room), strlen("1200 vp1 event string=0xabc integer=7"));
        cr_expect(room == 0 || text[room - 1] == '\0');
        cr_expect_eq(text[room], 'z');
    }
}

/* ---- CTF ---- */

static const struct ctf_config base = {
    .uuid = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    .scenario = "unit \"quoted\" \\ \n",
    .vp_count = 2,
};

static void new_directory(char path[32])
{
    strcpy(path, "ctf-test-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

static void remove_directory(const char *path)
{
    char file[300];
    DIR *d = opendir(path);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        unlink(file);
    }
    closedir(d);
    rmdir(path);
}

static size_t read_file(const char *directory, const char *name, char **bytes)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    *bytes = calloc(1, 1 << 22);
    size_t n = fread(*bytes, 1, (1 << 22) - 1, f);
    fclose(f);
    return n;
}

/* What babeltrace2 prints; its exit code must be 0. */
static char *babeltrace(const char *directory)
{
    char command[300];
    char *text = calloc(1, 1 << 22);
    snprintf(command, sizeof command, "babeltrace2 --clock-cycles --no-delta %s 2>&1", directory);
    FILE *f = popen(command, "r");
    cr_assert_not_null(f);
    fread(text, 1, (1 << 22) - 1, f);
    cr_assert_eq(pclose(f), 0, "%s", text);
    return text;
}

/* 3 000 events of two VPs and of none, several at one cycle. */
static struct digest perform(const char *directory, size_t packet_bytes)
{
    struct stage s;
    char why[200] = "";
    stage_open(&s);
    struct ctf_config config = base;
    config.directory = directory;
    config.packet_bytes = packet_bytes;
    struct ctf *c = ctf_open(s.t, &config, why, sizeof why);
    cr_assert_not_null(c, "%s", why);
    for (unsigned i = 0; i < 1000; i++) {
        s.clock.cycle += i % 3;
        TRACE(s.t, wide, 1 - i % 2, i, i, i, i, i, i, i, 0xffffffff00000000 + i);
        TRACE(s.t, ping, TRACE_NO_VP, i);
        TRACE(s.t, event, i % 2, 0xabc, i);
    }
    struct digest d = ctf_digest(c);
    cr_expect_eq(ctf_count(c), 3000);
    cr_expect(ctf_close(c, why, sizeof why), "%s", why);
    trace_destroy(s.t);
    return d;
}

Test(ctf, babeltrace2_reads_every_event_in_order)
{
    char directory[32];
    new_directory(directory);
    perform(directory, 0);
    char *text = babeltrace(directory), *line = text;
    for (unsigned i = 0, cycle = 0; i < 1000; i++) {
        char expected[3][240];
        cycle += i % 3;
        snprintf(
            expected[0], sizeof expected[0],
            "[%020u] wide: { vp = %u }, { a = %u, b = %u, c = %u, d = %u, e = 0x%X, f = 0x%X, g = 0x%X, h = 0xFFFFFFFF%08X }",
            cycle, 1 - i % 2, i & 0xff, i, i, i, i & 0xff, i, i, i);
        snprintf(expected[1], sizeof expected[1], "[%020u] ping: { vp = -1 }, { count = %u }", cycle, i);
        snprintf(expected[2], sizeof expected[2], "[%020u] event: { vp = %u }, { string = 0xABC, integer = %u }", cycle, i % 2,
                 i & 0xff);
        for (unsigned k = 0; k < 3; k++) {
            char *end = strchr(line, '\n');
            cr_assert_not_null(end, "event %u.%u is missing", i, k);
            *end = '\0';
            cr_assert_str_eq(line, expected[k]);
            line = end + 1;
        }
    }
    cr_expect_str_eq(line, "", "and nothing else");
    free(text);
    remove_directory(directory);
}

Test(ctf, two_runs_write_the_same_bytes)
{
    char a[32], b[32], *bytes[2];
    new_directory(a);
    new_directory(b);
    perform(a, 5000);
    perform(b, 5000);
    static const char *const files[] = {"metadata", "events"};
    for (unsigned i = 0; i < 2; i++) {
        size_t na = read_file(a, files[i], &bytes[0]), nb = read_file(b, files[i], &bytes[1]);
        cr_expect_gt(na, 100);
        cr_expect_eq(na, nb);
        cr_expect_eq(memcmp(bytes[0], bytes[1], na), 0);
        free(bytes[0]);
        free(bytes[1]);
    }
    remove_directory(a);
    remove_directory(b);
}

Test(ctf, digest_and_reading_are_the_same_for_every_packet_size)
{
    char a[32], b[32];
    new_directory(a);
    new_directory(b);
    struct digest small = perform(a, 1), large = perform(b, CTF_PACKET_BYTES_MAX), none = perform(NULL, 0);
    cr_expect_eq(small.low, large.low);
    cr_expect_eq(small.high, large.high);
    cr_expect_eq(small.low, none.low);
    char *ta = babeltrace(a), *tb = babeltrace(b);
    cr_expect_str_eq(ta, tb);
    free(ta);
    free(tb);
    remove_directory(a);
    remove_directory(b);
}

static uint64_t number_at(const char *bytes, size_t at)
{
    uint64_t value;
    memcpy(&value, bytes + at, 8);
    return value;
}

/* CTF 1.8 §5: sizes in bits, numbers without gaps, one packet after the other in time. */
Test(ctf, packets_fill_the_file_in_order)
{
    char directory[32], *bytes;
    new_directory(directory);
    perform(directory, CTF_PACKET_BYTES_MIN);
    size_t end = read_file(directory, "events", &bytes), at = 0;
    uint64_t number = 0, latest = 0;
    for (; at < end; number++) {
        uint64_t bits = number_at(bytes, at + 24), first = number_at(bytes, at + 40), last = number_at(bytes, at + 48);
        cr_assert_eq(memcmp(bytes + at, "\xc1\x1f\xfc\xc1", 4), 0);
        cr_assert_eq(memcmp(bytes + at + 4, base.uuid, 16), 0);
        cr_assert_eq(number_at(bytes, at + 32), bits, "no padding");
        cr_assert(bits % 8 == 0 && bits / 8 <= CTF_PACKET_BYTES_MIN && bits / 8 <= end - at);
        cr_assert(latest <= first && first <= last);
        cr_assert_eq(number_at(bytes, at + 56), 0, "nothing is ever lost");
        cr_assert_eq(number_at(bytes, at + 64), number);
        latest = last;
        at += bits / 8;
    }
    cr_expect_eq(at, end);
    cr_expect_gt(number, 10);
    free(bytes);
    remove_directory(directory);
}

/* ctf.h and the format at the head of ctf.c: event id, cycle, VP, fields. */
Test(ctf, digest_is_of_the_events_as_encoded)
{
    struct stage s;
    stage_open(&s);
    struct ctf *c = ctf_open(s.t, &base, NULL, 0);
    s.clock.cycle = 0x1234;
    TRACE(s.t, ping, 1, 0x55);
    XXH128_hash_t h = XXH3_128bits("\x40\0\x34\x12\0\0\0\0\0\0\1\0\0\0\x55\0\0\0", 18);
    cr_expect_eq(ctf_digest(c).low, h.low64);
    cr_expect_eq(ctf_digest(c).high, h.high64);
    ctf_close(c, NULL, 0);
    trace_destroy(s.t);
}

Test(ctf, chosen_rows_only)
{
    struct stage s;
    stage_open(&s);
    const struct trace_row *chosen[] = {&rows[PING]};
    struct ctf_config config = base;
    config.rows = chosen;
    config.row_count = 1;
    struct ctf *c = ctf_open(s.t, &config, NULL, 0);
    TRACE(s.t, ping, 0, 1);
    TRACE(s.t, event, 0, 1, 2);
    cr_expect_eq(ctf_count(c), 1);
    ctf_close(c, NULL, 0);
    trace_destroy(s.t);
}

Test(ctf, trace_without_events_is_readable)
{
    struct stage s;
    char directory[32], why[200];
    new_directory(directory);
    stage_open(&s);
    struct ctf_config config = base;
    config.directory = directory;
    struct ctf *c = ctf_open(s.t, &config, why, sizeof why);
    cr_assert_not_null(c);
    cr_expect(ctf_close(c, why, sizeof why));
    char *text = babeltrace(directory);
    cr_expect_str_eq(text, "");
    free(text);
    remove_directory(directory);
    trace_destroy(s.t);
}

Test(ctf, directory_in_use_or_impossible_is_refused)
{
    struct stage s;
    char directory[32], why[200] = "";
    new_directory(directory);
    perform(directory, 0);
    stage_open(&s);
    struct ctf_config config = base;
    config.directory = directory;
    cr_expect_null(ctf_open(s.t, &config, why, sizeof why));
    cr_expect_not_null(strstr(why, "empty directory"));
    char *text = babeltrace(directory);
    cr_expect_gt(strlen(text), 3000, "the older trace is whole");
    free(text);
    config.directory = "no/such/place";
    cr_expect_null(ctf_open(s.t, &config, why, sizeof why));
    cr_expect_not_null(strstr(why, "no/such/place"));
    TRACE(s.t, ping, 0, 1); /* nobody is left to listen */
    cr_expect_eq(s.t->armed[TRACE_ID_ping / 64], 0);
    trace_destroy(s.t);
    remove_directory(directory);
}

/* A limit on file sizes stands for a full disk: a write stops in the midst of a packet. */
Test(ctf, full_disk_leaves_whole_packets)
{
    struct stage s;
    char directory[32], why[200] = "";
    new_directory(directory);
    stage_open(&s);
    struct ctf_config config = base;
    config.directory = directory;
    config.packet_bytes = CTF_PACKET_BYTES_MIN;
    struct ctf *c = ctf_open(s.t, &config, why, sizeof why);
    cr_assert_not_null(c);
    struct rlimit was, limit;
    getrlimit(RLIMIT_FSIZE, &was);
    limit = (struct rlimit){10000, was.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    for (unsigned i = 0; i < 3000; i++) {
        s.clock.cycle++;
        TRACE(s.t, ping, 0, i);
    }
    cr_expect_eq(ctf_count(c), 3000);
    bool whole = ctf_close(c, why, sizeof why);
    setrlimit(RLIMIT_FSIZE, &was);
    cr_expect_not(whole);
    cr_expect_not_null(strstr(why, "cannot write the trace"), "%s", why);
    char *text = babeltrace(directory);
    unsigned lines = 0;
    for (const char *p = text; *p != '\0'; p++) {
        lines += *p == '\n';
    }
    cr_expect(lines > 300 && lines < 600, "%u events in two packets of 4 KiB", lines);
    free(text);
    trace_destroy(s.t);
    remove_directory(directory);
}

Test(ctf, clock_that_runs_backwards_ends_the_file_with_an_error)
{
    struct stage s;
    char directory[32], why[200] = "";
    new_directory(directory);
    stage_open(&s);
    struct ctf_config config = base;
    config.directory = directory;
    struct ctf *c = ctf_open(s.t, &config, why, sizeof why);
    cr_assert_not_null(c);
    s.clock.cycle = 10;
    TRACE(s.t, ping, 0, 1);
    s.clock.cycle = 9;
    TRACE(s.t, ping, 0, 2);
    cr_expect_not(ctf_close(c, why, sizeof why));
    char *text = babeltrace(directory);
    cr_expect_str_eq(text, "[00000000000000000010] ping: { vp = 0 }, { count = 1 }\n");
    free(text);
    trace_destroy(s.t);
    remove_directory(directory);
}
