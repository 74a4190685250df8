/* One visitor for save, restore and digest.
 *
 * A component writes *one* function that names its fields in order; the visitor's mode decides whether the bytes go out,
 * come in, or are hashed. So nothing can be saved and not restored, or observed and not hashed. Fields are little-endian,
 * unpadded; a section has a name, a version and a length. A restored value that a running machine could never hold is
 * refused by state_fail() with a message: a save file may come from an enemy. After a failed restore the machine is
 * neither old nor new: its owner destroys it.
 */
#ifndef ORRERY_MACHINE_STATE_H
#define ORRERY_MACHINE_STATE_H

#include "machine/types.h"

enum state_mode { STATE_SAVE, STATE_RESTORE, STATE_DIGEST };
enum { STATE_NAME_MAX = 63 }; /* bytes in a section's name */

struct state;

enum state_mode state_mode(const struct state *s);
static inline bool state_restoring(const struct state *s)
{
    return state_mode(s) == STATE_RESTORE;
}

/* Every field stands in a section; each *_state() function of a component opens its own. Sections do not nest. On restore they
 * come in the order in which they were saved; name, version and length must match. */
void state_section(struct state *s, const char *name, uint32_t version);

void state_u8(struct state *s, uint8_t *v);
void state_u16(struct state *s, uint16_t *v);
void state_u32(struct state *s, uint32_t *v);
void state_u64(struct state *s, uint64_t *v);
void state_i32(struct state *s, int32_t *v);
void state_i64(struct state *s, int64_t *v);
void state_bool(struct state *s, bool *v); /* restored: 0 or 1 */
void state_bytes(struct state *s, void *p, size_t bytes);
/* A value with bounds: outside them neither saved nor restored. */
void state_u32_in(struct state *s, uint32_t *v, uint32_t min, uint32_t max, const char *what);
void state_u64_in(struct state *s, uint64_t *v, uint64_t min, uint64_t max, const char *what);

/* First failure wins; later reads give zeros, so callers need not check each field: only loops and allocations that a read
 * value bounds must look at state_ok(), or bound the value themselves. */
void state_fail(struct state *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool state_ok(const struct state *s);
const char *state_error(const struct state *s); /* NULL when ok */

/* ---- for the owner of the file or digest ---- */

struct state_digest {
    uint64_t low, high;
};
struct state *state_begin_save(void);
/* `bytes` is borrowed until state_end(). Checks magic, format number, lengths and checksum before anything is read. Never NULL:
 * a bad file gives a visitor that has failed. */
struct state *state_begin_restore(const uint8_t *bytes, size_t length);
struct state *state_begin_digest(void);
/* The finished file (magic, format, zstd-compressed sections, XXH3 checksum); freed by the caller with free(). NULL when the
 * visitor has failed. Equal states give equal sections; the compressed bytes may differ between versions of zstd. */
uint8_t *state_finish_save(struct state *s, size_t *length);
/* XXH3-128 over each section's name, NUL, version (4 bytes), length (8) and XXH3-128 (low, high), in the order of the visit. */
struct state_digest state_finish_digest(struct state *s);
/* After state_finish_digest(): the parts, so that a difference tells its section. NULL beyond the last; valid until
 * state_end(). */
const char *state_digest_part(const struct state *s, size_t index, struct state_digest *digest);
/* True when all bytes of all sections were consumed. */
bool state_finish_restore(struct state *s);
void state_end(struct state *s);

#endif
