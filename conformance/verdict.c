/* Words of judgement. See verdict.h. */
#include "conformance/verdict.h"

#include <string.h>

const char *const verdict_names[VERDICT_WORDS] = {"pass", "fail", "not-supported", "broken", "known"};

bool verdict_by_name(const char *name, enum verdict_word *word)
{
    for (unsigned i = 0; i < VERDICT_WORDS; i++) {
        if (strcmp(verdict_names[i], name) == 0) {
            *word = (enum verdict_word)i;
            return true;
        }
    }
    return false;
}

enum verdict_word verdict_worse(enum verdict_word a, enum verdict_word b)
{
    static const unsigned weights[VERDICT_WORDS] = {
        [VERDICT_FAIL] = 4, [VERDICT_KNOWN] = 3, [VERDICT_BROKEN] = 2, [VERDICT_PASS] = 1, [VERDICT_NOT_SUPPORTED] = 0,
    };
    return weights[a] >= weights[b] ? a : b;
}
