/* A program outside the house: runs a scenario twice through the installed library and prints how it ended.
 * Exit 0: met both times, with equal digests. */
#include <inttypes.h>
#include <stdio.h>

#include "scenarios/result.h"
#include "scenarios/runner.h"

static bool run(const struct scenario *scenario, struct digest *digest, struct message *why)
{
    const struct run_options options = {.stop_at_cycle = CYCLE_NEVER};
    struct runner *r = runner_create(scenario, &options, why);
    if (r == NULL || !runner_run(r, why)) {
        runner_destroy(r);
        return false;
    }
    *digest = runner_digest(r);
    printf("cycles %" PRIu64 " instructions %" PRIu64 " met %d\n", runner_cycles(r), runner_instructions(r), runner_met(r));
    bool met = runner_met(r);
    runner_destroy(r);
    return met;
}

int main(int argc, char **argv)
{
    struct message why = {0};
    struct digest first = {0}, second = {0};
    struct scenario *s = argc == 2 ? scenario_load(argv[1], NULL, NULL, &why) : NULL;
    bool met = s != NULL && scenario_load_images(s, &why) && run(s, &first, &why) && run(s, &second, &why);
    bool equal = met && first.low == second.low && first.high == second.high;
    if (message_set(&why)) {
        fprintf(stderr, "%s\n", why.text);
    }
    scenario_free(s);
    return equal ? 0 : 1;
}
