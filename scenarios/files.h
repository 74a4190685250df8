/* Host files: read whole, written whole or not at all.
 *
 * Only regular files are read, so that no pipe or device can make us wait or grow for ever. A written file appears under its
 * name only when it is complete (temporary file beside it, then rename); devices and pipes (/dev/null, /dev/stdout) are written
 * through.
 */
#ifndef ORRERY_SCENARIOS_FILES_H
#define ORRERY_SCENARIOS_FILES_H

#include "scenarios/message.h"

/* Freed by the caller with free(); never NULL on success. False with a message without the file's name: the caller says whose
 * file it is. */
bool file_read(const char *path, size_t max_bytes, uint8_t **bytes, size_t *size, struct message *why);

struct file_writer;
/* NULL with a message. */
struct file_writer *file_writer_open(const char *path, struct message *why);
/* Buffered; a failure is remembered until the commit. */
void file_writer_put(struct file_writer *w, const void *bytes, size_t size);
/* Ends the writer. False with a message, and no file, when anything could not be written. */
bool file_writer_commit(struct file_writer *w, struct message *why);
void file_writer_abandon(struct file_writer *w);

bool file_write(const char *path, const void *bytes, size_t size, struct message *why);

#endif
