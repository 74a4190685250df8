/* A trace listener that writes Common Trace Format 1.8 (diamon.org/ctf/v1.8), as babeltrace2 reads it, and keeps the trace's
 * digest.
 *
 * One stream holds the events of all VPs, each with its VP in the event's context: readers then keep the order in which things
 * happened, also among events of one cycle, which they may not between streams. A packet is written whole or not at all.
 * Nothing of the host enters: two equal runs write equal files.
 */
#ifndef ORRERY_MACHINE_CTF_H
#define ORRERY_MACHINE_CTF_H

#include "machine/digest.h"
#include "machine/trace.h"

struct ctf;

enum { CTF_PACKET_BYTES_MIN = 4096, CTF_PACKET_BYTES_DEFAULT = 256 << 10, CTF_PACKET_BYTES_MAX = 16 << 20 };

struct ctf_config {
    const char *directory;               /* made here, or there and empty; NULL: the digest only, no files */
    uint8_t uuid[16];                    /* derived from the scenario by the caller */
    const char *scenario;                /* its name, for the metadata's env; NULL: none */
    uint32_t vp_count;                   /* likewise */
    size_t packet_bytes;                 /* 0: default; cut into MIN .. MAX */
    const struct trace_row *const *rows; /* what to write; NULL: every row declared now */
    size_t row_count;
};

/* Listens to `t` until ctf_close(). NULL, and one line in `why`, when the directory cannot be made or is not empty. */
struct ctf *ctf_open(struct trace *t, const struct ctf_config *config, char *why, size_t why_room);
/* XXH3-128 over all events so far, as encoded in the stream; how they fall into packets does not enter. */
struct digest ctf_digest(const struct ctf *c);
uint64_t ctf_count(const struct ctf *c);
/* Writes what is left and frees. False, and one line in `why`, when anything could not be written: the files then end with the
 * last whole packet, and the digest still counts every event. `why` may be NULL. */
bool ctf_close(struct ctf *c, char *why, size_t why_room);

/* The text of the metadata file; freed by the caller. (For who writes a trace elsewhere, and for tests.) */
char *ctf_metadata(const struct ctf_config *config, const struct trace_row *const *rows, size_t row_count, uint64_t clock_hz);

#endif
