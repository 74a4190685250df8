/* Nothing: what it costs to start and end. */
#include "guest.h"

uint64_t main(void)
{
    return rounds();
}
