/* Accounts as JSON and as a table. See account.h.
 *
 * Invariants: the cycles of guest and exits together are those that VPs ran; an enlightenment's cycles are part of its exit's.
 * An EOI that was avoided has a count and no cycles: it cost none.
 */
#include "scenarios/account.h"

#include <inttypes.h>

enum { ALL_VPS = -1 };

static struct vp_account account_sum(struct runner *r, int vp)
{
    struct cpu *c = partition_cpu(runner_partition(r));
    struct vp_account sum = {0};
    for (unsigned i = 0; i < cpu_vps(c); i++) {
        if (vp != ALL_VPS && (unsigned)vp != i) {
            continue;
        }
        struct vp_account a = vp_account(cpu_vp(c, i));
        sum.instructions += a.instructions;
        sum.guest_cycles += a.guest_cycles;
        for (unsigned reason = 0; reason < EXIT_REASONS; reason++) {
            sum.events[reason] += a.events[reason];
            sum.event_cycles[reason] += a.event_cycles[reason];
        }
    }
    return sum;
}

static bool line_sum(struct runner *r, int vp, size_t index, struct account_line *sum)
{
    struct partition *p = runner_partition(r);
    unsigned vps = cpu_vps(partition_cpu(p)), first = vp == ALL_VPS ? 0 : (unsigned)vp, last = vp == ALL_VPS ? vps : first + 1;
    if (!partition_account_line(p, first, index, sum)) {
        return false;
    }
    for (unsigned i = first + 1; i < last; i++) {
        struct account_line line;
        partition_account_line(p, i, index, &line);
        sum->count += line.count;
        sum->cycles += line.cycles;
    }
    return true;
}

/* ---- JSON ---- */

static json_t *pair(uint64_t count, uint64_t cycles)
{
    json_t *o = json_object();
    json_object_set_new(o, "count", json_integer((json_int_t)count));
    json_object_set_new(o, "cycles", json_integer((json_int_t)cycles));
    return o;
}

static json_t *one_json(struct runner *r, int vp)
{
    struct vp_account a = account_sum(r, vp);
    json_t *o = json_object(), *exits = json_object(), *used = json_object();
    for (unsigned reason = 0; reason < EXIT_REASONS; reason++) {
        if (a.events[reason] != 0) {
            json_object_set_new(exits, vp_exit_name((enum vp_exit)reason), pair(a.events[reason], a.event_cycles[reason]));
        }
    }
    struct account_line line;
    for (size_t i = 0; line_sum(r, vp, i, &line); i++) {
        if (line.count == 0) {
            continue;
        }
        json_t *of = json_object_get(used, line.name);
        if (of == NULL) {
            of = json_object();
            json_object_set_new(used, line.name, of);
        }
        json_object_set_new(of, line.kind, pair(line.count, line.cycles));
    }
    json_object_set_new(o, "instructions", json_integer((json_int_t)a.instructions));
    json_object_set_new(o, "guest_cycles", json_integer((json_int_t)a.guest_cycles));
    json_object_set_new(o, "exits", exits);
    json_object_set_new(o, "enlightenments", used);
    return o;
}

json_t *account_json(struct runner *r)
{
    json_t *o = json_object(), *list = json_array();
    json_object_set_new(o, "total", one_json(r, ALL_VPS));
    for (unsigned i = 0; i < cpu_vps(partition_cpu(runner_partition(r))); i++) {
        json_array_append_new(list, one_json(r, (int)i));
    }
    json_object_set_new(o, "vps", list);
    return o;
}

/* ---- for people ---- */

static void row(FILE *out, const char *what, const char *kind, uint64_t count, uint64_t cycles, uint64_t of)
{
    char name[80];
    snprintf(name, sizeof name, "%s%s%s", what, kind[0] != 0 ? " " : "", kind);
    fprintf(out, "  %-48s %14" PRIu64 " %16" PRIu64 " %6.2f%%\n", name, count, cycles,
            of != 0 ? 100.0 * (double)cycles / (double)of : 0.0);
}

static void one_print(FILE *out, struct runner *r, int vp)
{
    struct vp_account a = account_sum(r, vp);
    uint64_t all = a.guest_cycles;
    for (unsigned reason = 0; reason < EXIT_REASONS; reason++) {
        all += a.event_cycles[reason];
    }
    char title[40] = "all VPs";
    if (vp != ALL_VPS) {
        snprintf(title, sizeof title, "VP %d", vp);
    }
    fprintf(out, "%-50s %14s %16s %7s\n", title, "count", "cycles", "of all");
    row(out, "guest (instructions)", "", a.instructions, a.guest_cycles, all);
    for (unsigned reason = 0; reason < EXIT_REASONS; reason++) {
        if (a.events[reason] != 0) {
            row(out, vp_exit_name((enum vp_exit)reason), "", a.events[reason], a.event_cycles[reason], all);
        }
    }
    struct account_line line;
    for (size_t i = 0; line_sum(r, vp, i, &line); i++) {
        if (line.count != 0) {
            row(out, line.name, line.kind, line.count, line.cycles, all);
        }
    }
}

void account_print(FILE *out, struct runner *r)
{
    unsigned vps = cpu_vps(partition_cpu(runner_partition(r)));
    one_print(out, r, ALL_VPS);
    for (unsigned i = 0; vps > 1 && i < vps; i++) {
        one_print(out, r, (int)i);
    }
}
