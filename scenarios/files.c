/* Host files. See files.h. */
#define _GNU_SOURCE
#include "scenarios/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_all(int fd, uint8_t *to, size_t size, struct message *why)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = read(fd, to + at, size - at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return message_say(why, "%s", got < 0 ? strerror(errno) : "the file became shorter while it was read");
        }
        at += (size_t)got;
    }
    return true;
}

bool file_read(const char *path, size_t max_bytes, uint8_t **bytes, size_t *size, struct message *why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return message_say(why, "%s", strerror(errno));
    }
    bool ok = fstat(fd, &st) == 0 || message_say(why, "%s", strerror(errno));
    if (ok && !S_ISREG(st.st_mode)) {
        ok = message_say(why, "it is not a regular file");
    }
    if (ok && (uint64_t)st.st_size > max_bytes) {
        ok = message_say(why, "it has %llu bytes; at most %zu are possible", (unsigned long long)st.st_size, max_bytes);
    }
    *bytes = ok ? malloc((size_t)st.st_size + 1) : NULL;
    if (ok && *bytes == NULL) {
        ok = message_say(why, "the host has no memory left");
    }
    ok = ok && read_all(fd, *bytes, (size_t)st.st_size, why);
    close(fd);
    if (!ok) {
        free(*bytes);
        *bytes = NULL;
        return false;
    }
    *size = (size_t)st.st_size;
    (*bytes)[*size] = 0;
    return true;
}

struct file_writer {
    FILE *out;
    char *path;      /* the file's own name, links resolved */
    char *temporary; /* NULL: written through */
};

static void writer_free(struct file_writer *w)
{
    free(w->path);
    free(w->temporary);
    free(w);
}

static bool writer_open(struct file_writer *w, const char *path, struct message *why)
{
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) {
        return message_say(why, "%s is a directory; give a file's name", quote_text(path).text);
    }
    w->path = exists ? realpath(path, NULL) : strdup(path);
    if (w->path == NULL) {
        return message_say(why, "cannot write %s: %s", quote_text(path).text, strerror(errno));
    }
    if (exists && !S_ISREG(st.st_mode)) {
        w->out = fopen(w->path, "we");
    } else {
        if (asprintf(&w->temporary, "%s.%ld.part", w->path, (long)getpid()) < 0) {
            w->temporary = NULL;
            return message_say(why, "the host has no memory left");
        }
        w->out = fopen(w->temporary, "wxe");
    }
    return w->out != NULL || message_say(why, "cannot write %s: %s", quote_text(path).text, strerror(errno));
}

struct file_writer *file_writer_open(const char *path, struct message *why)
{
    struct file_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        message_say(why, "the host has no memory left");
        return NULL;
    }
    if (!writer_open(w, path, why)) {
        writer_free(w);
        return NULL;
    }
    return w;
}

void file_writer_put(struct file_writer *w, const void *bytes, size_t size)
{
    fwrite(bytes, 1, size, w->out);
}

bool file_writer_commit(struct file_writer *w, struct message *why)
{
    bool ok = fflush(w->out) == 0 && !ferror(w->out);
    int error = errno;
    if (fclose(w->out) != 0 && ok) {
        ok = false;
        error = errno;
    }
    if (ok && w->temporary != NULL && rename(w->temporary, w->path) != 0) {
        ok = false;
        error = errno;
    }
    if (!ok) {
        message_say(why, "cannot write %s: %s", quote_text(w->path).text, strerror(error));
        if (w->temporary != NULL) {
            unlink(w->temporary);
        }
    }
    writer_free(w);
    return ok;
}

void file_writer_abandon(struct file_writer *w)
{
    fclose(w->out);
    if (w->temporary != NULL) {
        unlink(w->temporary);
    }
    writer_free(w);
}

bool file_write(const char *path, const void *bytes, size_t size, struct message *why)
{
    struct file_writer *w = file_writer_open(path, why);
    if (w == NULL) {
        return false;
    }
    file_writer_put(w, bytes, size);
    return file_writer_commit(w, why);
}
