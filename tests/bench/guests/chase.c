/* (d) A pointer chase through 4 MiB: one cycle over 65 536 lines of 64 bytes in random order. One round is 1024 steps.
 */
#include "guest.h"

struct line {
    struct line *next;
    uint64_t rest[7];
};
enum { LINES = 65536 };

uint64_t main(void)
{
    struct line *lines = memory_at(WORK);
    uint32_t *order = memory_at(WORK + sizeof *lines * LINES);
    uint64_t state = 88172645463325252;
    for (uint32_t i = 0; i < LINES; i++) {
        order[i] = i;
    }
    for (uint32_t i = LINES - 1; i > 0; i--) { /* Sattolo: one cycle, whatever the random numbers */
        uint32_t j = (uint32_t)(random_next(&state) % i), other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
    for (uint32_t i = 0; i < LINES; i++) {
        lines[order[i]].next = &lines[order[(i + 1) & (LINES - 1)]];
    }
    const struct line *at = lines;
    for (uint64_t steps = rounds() * 1024; steps > 0; steps -= 4) {
        at = at->next->next->next->next;
    }
    return (uint64_t)(at - lines);
}
