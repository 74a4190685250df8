/* Style and script of the report's page (report.css, report.js). Private to conformance/. */
#ifndef ORRERY_CONFORMANCE_REPORT_ASSETS_H
#define ORRERY_CONFORMANCE_REPORT_ASSETS_H

/* NUL-terminated. */
extern const char report_css[] __attribute__((visibility("hidden")));
extern const char report_js[] __attribute__((visibility("hidden")));

#endif
