/* Values with units: text to exact integers. "512 MiB", "2.5 s", "1 GHz", "0x1000", "20 G", "2026-01-01T00:00:00Z".
 *
 * A number is decimal, decimal with a fraction, or 0x and hexadecimal digits. A fraction is taken only when the value is a
 * whole number of the smallest unit; nothing is ever rounded, and what does not fit 64 bits is refused. Leading zeros are
 * refused: 010 means eight to some readers and ten to others.
 */
#ifndef ORRERY_SCENARIOS_VALUE_H
#define ORRERY_SCENARIOS_VALUE_H

#include "scenarios/yaml.h"

struct unit {
    const char *name; /* "" where a bare number is allowed */
    uint64_t worth;   /* in the smallest unit */
};
struct unit_family {
    const char *what;    /* "a size" */
    const char *example; /* "512 MiB" */
    const char *names;   /* "B, KiB, MiB, GiB, TiB" */
    const struct unit *units;
    size_t count;
};
extern const struct unit_family units_size;      /* bytes */
extern const struct unit_family units_time;      /* nanoseconds */
extern const struct unit_family units_frequency; /* hertz */
extern const struct unit_family units_count;     /* a bare number, k, M, G, T */
extern const struct unit_family units_integer;   /* a bare number only */

enum quantity_error {
    QUANTITY_OK,
    QUANTITY_NO_NUMBER,
    QUANTITY_NO_UNIT,
    QUANTITY_BAD_UNIT,
    QUANTITY_NOT_WHOLE,
    QUANTITY_TOO_LARGE
};
enum quantity_error quantity_parse(const char *text, const struct unit_family *family, uint64_t *value);

/* A UTC date and time of 1970-2099, as RFC 3339 writes it; seconds since 1970. */
bool date_parse(const char *text, int64_t *unix_seconds);

/* Either a length of virtual time or a number of cycles: which of both is known only when the clock rate is. */
struct moment {
    uint64_t value;
    bool in_cycles; /* else nanoseconds */
};
/* The first cycle at or after it. */
uint64_t moment_cycles(struct moment m, uint64_t hz);

/* ---- readers of tree nodes: false with a message that carries the node's place ---- */

struct value_reader {
    const char *file;
    struct message *why;
};
bool value_refuse(struct value_reader *r, const struct yaml_node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool value_text(struct value_reader *r, const struct yaml_node *n, const char *what, const char **text);
bool value_quantity(struct value_reader *r, const struct yaml_node *n, const struct unit_family *family, uint64_t min,
                    uint64_t max, uint64_t *value);
bool value_moment(struct value_reader *r, const struct yaml_node *n, struct moment *m);
bool value_date(struct value_reader *r, const struct yaml_node *n, int64_t *unix_seconds);
/* on, true / off, false */
bool value_switch(struct value_reader *r, const struct yaml_node *n, bool *on);
/* The index of the word among `words`. */
bool value_word(struct value_reader *r, const struct yaml_node *n, const char *const *words, size_t count, unsigned *index);
bool value_mapping(struct value_reader *r, const struct yaml_node *n, const char *what);
bool value_sequence(struct value_reader *r, const struct yaml_node *n, const char *what);
/* Every key of the mapping must be one of `keys`. */
bool value_keys(struct value_reader *r, const struct yaml_node *n, const char *what, const char *const *keys, size_t count);

#endif
