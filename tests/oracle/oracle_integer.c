/* General-purpose instructions against the host's processor: every opcode, operand form and width of 64-bit mode
 * (integer_forms.h) with random operands. What only other modes have is unicorn's affair (oracle_unicorn.c).
 *
 *     oracle_integer [--cases N] [--seed S] [--only NAME]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/oracle/integer_forms.h"
#include "tests/oracle/report.h"
#include "tests/oracle/trial.h"

struct oracle {
    struct report report;
    struct guest *guest;
    struct dice dice;
    unsigned cases;
    struct trial trial;
};
enum { TRIES = 8 };

static const struct place place = {.bits = 64, .code = NATIVE_CODE, .data = NATIVE_DATA};

struct row_sum {
    unsigned forms;
    uint64_t cases, faults, mismatches;
};

/* One form, up to its first mismatch. */
static void run_form(struct oracle *o, const struct integer_row *r, unsigned width, bool memory, struct row_sum *sum)
{
    struct trial *t = &o->trial;
    unsigned done = 0;
    sum->forms++;
    for (unsigned tries = 0; done < o->cases && tries < TRIES * o->cases; tries++) {
        struct integer_case c;
        trial_randomise(&o->dice, &t->in, false);
        if (!integer_build(r, &place, width, memory, &o->dice, &t->in, &c)) {
            continue;
        }
        memcpy(t->code, c.code, sizeof t->code);
        t->length = c.length;
        guest_code(o->guest, t->code, t->length);
        trial_run(t, o->guest, c.address, &o->dice);
        done++;
        sum->faults += t->signal != 0;
        const char *what = trial_difference(t, c.flags);
        if (what != NULL) {
            printf("  FAIL %s %s%s\n", r->name, memory ? "m" : "r", integer_width_name(width));
            trial_print(t, what, c.address);
            sum->mismatches++;
            break;
        }
    }
    sum->cases += done;
}

static void run_row(struct oracle *o, const struct integer_row *r, struct row_sum *sum)
{
    for (unsigned width = 1; width <= 16; width *= 2) {
        if (!integer_exists(r, &place, width)) {
            continue;
        }
        if (integer_has_register(r)) {
            run_form(o, r, width, false, sum);
        }
        if (integer_has_memory(r)) {
            run_form(o, r, width, true, sum);
        }
    }
}

int main(int argc, char **argv)
{
    static struct oracle o = {.report.oracle = "integer", .cases = 2000, .dice.state = 1};
    const char *only = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--cases") == 0) {
            o.cases = (unsigned)strtoul(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--seed") == 0) {
            o.dice.state = strtoull(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--only") == 0) {
            only = argv[i + 1];
        }
    }
    if (!native_open() || (o.guest = guest_create(VENDOR_AMD)) == NULL) {
        return 1;
    }
    struct row_sum sum = {0};
    for (unsigned i = 0; i < integer_row_count; i++) {
        const struct integer_row *r = &integer_rows[i];
        if (only == NULL || strcmp(only, r->name) == 0) {
            run_row(&o, r, &sum);
        }
        if (sum.forms != 0 && (i + 1 == integer_row_count || strcmp(integer_rows[i + 1].name, r->name) != 0)) {
            report_row(&o.report, "64-bit", r->name, sum.forms, sum.cases, sum.faults, sum.mismatches);
            sum = (struct row_sum){0};
        }
    }
    report_exclusion(&o.report, "64-bit", "SHLD, SHRD r/m16 by more than 16", "nobody",
                     "a count beyond the operand's size leaves the result undefined (SDM 2B SHLD, SHRD)");
    report_exclusion(&o.report, "64-bit", "flags", "nobody",
                     "those that \"Flags Affected\" calls undefined are not compared (SDM 2A-2D)");
    guest_destroy(o.guest);
    native_close();
    return report_sum(&o.report);
}
