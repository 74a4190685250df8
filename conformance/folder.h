/* The files of a folder, by name: the ledger's chapters, scenarios named by a pattern, built probes.
 *
 * Sorted bytewise, so that nothing depends on the order in which a host lists them. Regular files only; no subfolders.
 */
#ifndef ORRERY_CONFORMANCE_FOLDER_H
#define ORRERY_CONFORMANCE_FOLDER_H

#include "scenarios/message.h"

struct folder {
    char **names; /* without the folder */
    size_t count;
};

/* Those whose names end in `suffix`. False with a message when the folder cannot be read; an empty one is no failure. */
bool folder_read(const char *path, const char *suffix, struct folder *f, struct message *why);
void folder_free(struct folder *f);

/* A shell's pattern of `*` and `?` against a whole text. */
bool glob_match(const char *pattern, const char *text);

#endif
