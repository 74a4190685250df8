/* The page's style and script as bytes of the program; see report_html.c. The assembler finds the files by the include path, as
 * it finds headers. */
#include "conformance/report_assets.h"

#define EMBED(name, file)                                                                                                      \
    __asm__(".pushsection .rodata\n"                                                                                           \
            ".global " #name "\n"                                                                                              \
            ".hidden " #name "\n" #name ":\n"                                                                                  \
            ".incbin \"" file "\"\n"                                                                                           \
            ".byte 0\n"                                                                                                        \
            ".popsection\n")

EMBED(report_css, "conformance/report.css");
EMBED(report_js, "conformance/report.js");
