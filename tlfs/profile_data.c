/* The files of tlfs/profiles/ as bytes of the program, so that a profile needs no file at run time.
 * The assembler finds them by the include path (the top of the tree), as it finds headers. */
#include "tlfs/profile_data.h"

#include "tlfs/profile.h"

/* One line a profile. */
/* clang-format off */
#define PROFILES(X)                                                                                                            \
    X(hv1_minimal, "hv1-minimal")                                                                                              \
    X(hv1_full, "hv1-full")                                                                                                    \
    X(ws2008r2, "ws2008r2")                                                                                                    \
    X(ws2012, "ws2012")                                                                                                        \
    X(ws2012r2, "ws2012r2")                                                                                                    \
    X(ws2016, "ws2016")                                                                                                        \
    X(ws2019, "ws2019")
/* clang-format on */

#define EMBED(id, name)                                                                                                        \
    __asm__(".pushsection .rodata\n"                                                                                           \
            "profile_text_" #id ":\n"                                                                                          \
            ".incbin \"tlfs/profiles/" name ".yaml\"\n"                                                                        \
            "profile_text_" #id "_end:\n"                                                                                      \
            ".byte 0\n"                                                                                                        \
            ".popsection\n");                                                                                                  \
    extern const uint8_t profile_text_##id[] __attribute__((visibility("hidden")));                                            \
    extern const uint8_t profile_text_##id##_end[] __attribute__((visibility("hidden")));
PROFILES(EMBED)

#define TEXT(id, name) {profile_text_##id, profile_text_##id##_end},
const struct profile_text profile_texts[] = {PROFILES(TEXT)};

#define NAME(id, name) name,
const char *const profile_names[] = {PROFILES(NAME)};
const size_t profile_name_count = ARRAY_COUNT(profile_names);
