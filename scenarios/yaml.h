/* A YAML file as a checked tree: mappings, sequences and scalars, each with its line and column.
 *
 * Invariants: one document; keys are plain scalars and unique in their mapping; no tags; every scalar is text without NUL;
 * aliases point to finished nodes, so the tree has no cycle, and what it *expands* to is bounded (YAML_NODES_MAX,
 * YAML_DEPTH_MAX): whoever walks the tree needs no care. `${NAME}` (or `${NAME:-DEFAULT}`) is replaced in parsed values, never
 * in the file's text, so a value can never become syntax; `$${` stands for `${`. Leaves out: types (value.h), merge keys,
 * several documents.
 */
#ifndef ORRERY_SCENARIOS_YAML_H
#define ORRERY_SCENARIOS_YAML_H

#include "scenarios/message.h"

enum {
    YAML_FILE_MAX = 1 << 20,
    YAML_NODES_MAX = 1 << 14, /* with aliases expanded */
    YAML_DEPTH_MAX = 24,
    YAML_KEYS_MAX = 512,     /* of one mapping */
    YAML_TEXT_MAX = 1 << 16, /* of one scalar, after ${NAME} */
};

enum yaml_kind { YAML_IS_SCALAR, YAML_IS_SEQUENCE, YAML_IS_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column;    /* counted from 1 */
    const char *text;         /* scalar: NUL-terminated, without NUL inside */
    bool quoted;              /* scalar: written in quotes or as a block */
    bool substituted;         /* scalar: holds a ${NAME}'s value from outside */
    bool outside;             /* scalar: names a host file; set by its reader, and left out of yaml_hash() */
    struct yaml_node **items; /* sequence: count items; mapping: key, value, key, value ... */
    size_t count;             /* items or pairs */
    uint32_t expanded, height;
};

struct yaml_tree {
    const char *file;
    struct yaml_node *root;
    struct yaml_block *blocks; /* what the nodes live in */
};

/* Where ${NAME} comes from; NULL when it has no value. */
struct yaml_variables {
    const char *(*value)(void *owner, const char *name);
    void *owner;
};

/* NULL with a message. `file` is for messages and borrowed; `text` is only read. */
struct yaml_tree *yaml_tree_read(const char *file, const char *text, size_t bytes, const struct yaml_variables *variables,
                                 struct message *why);
void yaml_tree_free(struct yaml_tree *t);

/* The value of a key; NULL when there is none (or `mapping` is none). */
struct yaml_node *yaml_find(const struct yaml_node *mapping, const char *key);
static inline struct yaml_node *yaml_key(const struct yaml_node *mapping, size_t pair)
{
    return mapping->items[2 * pair];
}
static inline struct yaml_node *yaml_value(const struct yaml_node *mapping, size_t pair)
{
    return mapping->items[2 * pair + 1];
}
/* What the node says, in one line of flow style, cut to `size`. For verdicts: the same node gives the same text. */
void yaml_text(const struct yaml_node *n, char *text, size_t size);

struct yaml_hash {
    uint64_t low, high;
};
/* XXH3-128 of the tree's meaning: kinds, values after ${NAME}, order; not of comments, quoting, places, or names of host files.
 */
struct yaml_hash yaml_hash(const struct yaml_node *n);

#endif
