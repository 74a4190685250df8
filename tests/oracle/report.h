/* What an oracle says: one line for each form or opcode, one for each exclusion with who is wrong by the SDM, and the sum. All
 * oracles print this way, so that their tables can be read, and added up, together.
 */
#ifndef ORRERY_TESTS_ORACLE_REPORT_H
#define ORRERY_TESTS_ORACLE_REPORT_H

#include <stdint.h>

struct report {
    const char *oracle;
    unsigned forms, exclusions;
    uint64_t cases, faults, mismatches;
};

/* `where`: the mode, or the instruction set. */
void report_row(struct report *r, const char *where, const char *name, unsigned forms, uint64_t cases, uint64_t faults,
                uint64_t mismatches);
/* `who` is wrong, or "nobody" where the SDM leaves it undefined; `why` paraphrases the SDM and names the section. */
void report_exclusion(struct report *r, const char *where, const char *name, const char *who, const char *why);
/* Returns what main() returns: 0 when something was compared and nothing differed. */
int report_sum(const struct report *r);

#endif
