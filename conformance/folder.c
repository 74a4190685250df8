/* Folders and patterns. See folder.h. */
#include "conformance/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool ends_in(const char *name, const char *suffix)
{
    size_t n = strlen(name), s = strlen(suffix);
    return n > s && strcmp(name + n - s, suffix) == 0 && name[0] != '.';
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool append(struct folder *f, const char *name)
{
    char **names = realloc(f->names, (f->count + 1) * sizeof *names);
    if (names == NULL) {
        return false;
    }
    f->names = names;
    names[f->count] = strdup(name);
    return names[f->count++] != NULL;
}

bool folder_read(const char *path, const char *suffix, struct folder *f, struct message *why)
{
    *f = (struct folder){NULL, 0};
    DIR *d = opendir(path);
    if (d == NULL) {
        return message_say(why, "cannot read the folder %s: %s", quote_text(path).text, strerror(errno));
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
        struct stat st;
        if (ends_in(e->d_name, suffix) && fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode)) {
            ok = append(f, e->d_name) || message_say(why, "the host has no memory left");
        }
    }
    closedir(d);
    if (f->count > 0) {
        qsort(f->names, f->count, sizeof *f->names, by_name);
    }
    return ok;
}

void folder_free(struct folder *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->names[i]);
    }
    free(f->names);
    *f = (struct folder){NULL, 0};
}

/* The usual way back: on a mismatch, the last star takes one more byte. Linear in both lengths' product, no recursion. */
bool glob_match(const char *pattern, const char *text)
{
    const char *star = NULL, *retry = NULL;
    while (*text != 0) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == 0;
}
