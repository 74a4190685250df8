/* Where the ledger, the suites and the probes are: beside the current folder, or beside the program. See conform.h. */
#define _GNU_SOURCE
#include "tools/conform.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Within the current folder: without it, so that the commands in reports read well and hold elsewhere. */
static char *short_path(const char *path)
{
    char here[PATH_MAX];
    size_t length = getcwd(here, sizeof here) != NULL ? strlen(here) : 0;
    bool within = length > 1 && strncmp(path, here, length) == 0 && path[length] == '/' && path[length + 1] != 0;
    return strdup(within ? path + length + 1 : path);
}

/* BASE/REST, when it holds `mark`; else NULL. */
static char *place(const char *base, const char *rest, const char *mark)
{
    char *path = NULL, *marked = NULL, *found = NULL, *whole;
    if (asprintf(&path, "%s/%s", base, rest) < 0) {
        return NULL;
    }
    if ((whole = realpath(path, NULL)) != NULL && asprintf(&marked, "%s/%s", whole, mark) >= 0 && access(marked, F_OK) == 0) {
        found = short_path(whole);
    }
    free(path);
    free(whole);
    free(marked);
    return found;
}

static bool find(struct conform_data *d, const struct conform_arguments *a, struct message *why)
{
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    char *slash = strrchr(program, '/');
    if (slash != NULL) {
        *slash = 0;
    }
    if (a->data != NULL) {
        d->folder = strdup(a->data);
    } else {
        static const char *const rests[] = {"../../conformance", "../share/orrery/conformance"};
        d->folder = place(".", "conformance", "suites");
        for (size_t i = 0; d->folder == NULL && i < ARRAY_COUNT(rests); i++) {
            d->folder = place(program, rests[i], "suites");
        }
    }
    if (d->folder == NULL) {
        return message_say(why, "no conformance folder here or beside the program; give it by --data FOLDER");
    }
    d->probes = a->probes != NULL ? strdup(a->probes) : place(program, "probes", ".");
    d->probes = d->probes != NULL ? d->probes : place(program, "../share/orrery/probes", ".");
    return d->probes != NULL || message_say(why, "no folder of built probes beside the program; give it by --probes FOLDER");
}

bool conform_open(struct conform_data *d, const struct conform_arguments *a, struct message *why)
{
    char path[PATH_MAX];
    *d = (struct conform_data){.ledger = NULL};
    if (!find(d, a, why)) {
        return false;
    }
    snprintf(path, sizeof path, "%s/clauses", d->folder);
    d->ledger = ledger_read(path, why);
    snprintf(path, sizeof path, "%s/known.yaml", d->folder);
    return d->ledger != NULL && suites_read(d->folder, &d->suites, why) && known_read(path, d->ledger, &d->known, why) &&
           unproven_read(d->folder, d->ledger, why);
}

void conform_close(struct conform_data *d)
{
    known_free(&d->known);
    suites_free(&d->suites);
    ledger_free(d->ledger);
    free(d->folder);
    free(d->probes);
}
