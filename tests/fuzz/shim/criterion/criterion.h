/* The fixtures of tests/unit/ within a fuzzer: what they assert is a broken promise, and that is a crash. */
#ifndef ORRERY_TESTS_FUZZ_CRITERION_H
#define ORRERY_TESTS_FUZZ_CRITERION_H

#include <stdio.h>
#include <stdlib.h>

#define cr_assert(holds, ...)                                                                                                  \
    do {                                                                                                                       \
        if (!(holds)) {                                                                                                        \
            fprintf(stderr, "broken: %s:%d: %s\n", __FILE__, __LINE__, #holds);                                                \
            abort();                                                                                                           \
        }                                                                                                                      \
    } while (0)
#define cr_assert_not_null(p, ...) cr_assert((p) != NULL)
#define cr_assert_eq(a, b, ...) cr_assert((a) == (b))
#define cr_expect cr_assert
#define cr_expect_eq cr_assert_eq

#endif
