/* See report.h. */
#include "tests/oracle/report.h"

#include <stdio.h>

void report_row(struct report *r, const char *where, const char *name, unsigned forms, uint64_t cases, uint64_t faults,
                uint64_t mismatches)
{
    printf("%-7s %-36s %4u forms %8llu cases %7llu faults %5llu mismatches\n", where, name, forms, (unsigned long long)cases,
           (unsigned long long)faults, (unsigned long long)mismatches);
    r->forms += forms;
    r->cases += cases;
    r->faults += faults;
    r->mismatches += mismatches;
}

void report_exclusion(struct report *r, const char *where, const char *name, const char *who, const char *why)
{
    printf("%-7s %-36s excluded; wrong: %s; %s\n", where, name, who, why);
    r->exclusions++;
}

int report_sum(const struct report *r)
{
    printf("%s: %u forms, %llu cases, %llu faults, %llu mismatches, %u exclusions\n", r->oracle, r->forms,
           (unsigned long long)r->cases, (unsigned long long)r->faults, (unsigned long long)r->mismatches, r->exclusions);
    return r->mismatches != 0 || r->cases == 0;
}
