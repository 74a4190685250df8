/* YAML to tree: libyaml's events in, checked nodes out. See yaml.h for what is promised.
 *
 * No recursion while reading: open nodes stand on a stack of YAML_DEPTH_MAX. All memory belongs to the tree, in blocks.
 */
#include "scenarios/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <yaml.h>

/* ---- memory of a tree ---- */

struct yaml_block {
    struct yaml_block *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

static void *tree_alloc(struct yaml_tree *t, size_t bytes)
{
    enum { BLOCK = 16384 };
    bytes = (bytes + 15) & ~(size_t)15;
    struct yaml_block *b = t->blocks;
    if (b == NULL || b->size - b->used < bytes) {
        size_t size = bytes > BLOCK ? bytes : BLOCK;
        b = malloc(sizeof *b + size);
        if (b == NULL) {
            return NULL;
        }
        *b = (struct yaml_block){.next = t->blocks, .size = size};
        t->blocks = b;
    }
    void *p = b->bytes + b->used;
    b->used += bytes;
    return memset(p, 0, bytes);
}

void yaml_tree_free(struct yaml_tree *t)
{
    if (t == NULL) {
        return;
    }
    for (struct yaml_block *b = t->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(t);
}

/* ---- reading ---- */

struct open_node {
    struct yaml_node *node;
    struct yaml_node **items;
    size_t used, room;
    bool anchored;
    char anchor[64];
};
struct anchor {
    char name[64];
    struct yaml_node *node; /* NULL while it is open: an alias to it would be a cycle */
};
enum { ANCHORS_MAX = 256 };
struct reader {
    struct yaml_tree *tree;
    const struct yaml_variables *variables;
    struct message *why;
    struct open_node stack[YAML_DEPTH_MAX];
    unsigned depth;
    struct anchor anchors[ANCHORS_MAX];
    unsigned anchor_count;
};

static bool refuse(struct reader *r, yaml_mark_t at, const char *what)
{
    return message_at(r->why, r->tree->file, (unsigned)at.line + 1, (unsigned)at.column + 1, "%s", what);
}

static struct anchor *anchor_find(struct reader *r, const char *name)
{
    for (unsigned i = 0; i < r->anchor_count; i++) {
        if (strcmp(r->anchors[i].name, name) == 0) {
            return &r->anchors[i];
        }
    }
    return NULL;
}

static bool anchor_define(struct reader *r, const char *name, struct yaml_node *node, yaml_mark_t at)
{
    if (strlen(name) >= sizeof r->anchors[0].name) {
        return refuse(r, at, "the anchor's name is too long; at most 63 characters");
    }
    struct anchor *a = anchor_find(r, name);
    if (a == NULL) {
        if (r->anchor_count == ANCHORS_MAX) {
            return refuse(r, at, "too many anchors; at most 256 in a file");
        }
        a = &r->anchors[r->anchor_count++];
        strcpy(a->name, name);
    }
    a->node = node;
    return true;
}

static struct yaml_node *node_create(struct reader *r, enum yaml_kind kind, yaml_mark_t at)
{
    struct yaml_node *n = tree_alloc(r->tree, sizeof *n);
    if (n == NULL) {
        refuse(r, at, "the host has no memory left");
        return NULL;
    }
    *n = (struct yaml_node){
        .kind = kind, .line = (unsigned)at.line + 1, .column = (unsigned)at.column + 1, .expanded = 1, .height = 1};
    return n;
}

static bool at_key(const struct reader *r)
{
    const struct open_node *o = r->depth > 0 ? &r->stack[r->depth - 1] : NULL;
    return o != NULL && o->node->kind == YAML_IS_MAPPING && o->used % 2 == 0;
}

/* A finished node takes its place: in the innermost open one, or as the root. */
static bool node_place(struct reader *r, struct yaml_node *n, yaml_mark_t at)
{
    if (r->depth == 0) {
        r->tree->root = n;
        return true;
    }
    struct open_node *o = &r->stack[r->depth - 1];
    if (at_key(r)) {
        if (o->used / 2 == YAML_KEYS_MAX) {
            return refuse(r, at, "too many keys; at most 512 in one mapping");
        }
        for (size_t i = 0; i < o->used; i += 2) {
            if (strcmp(o->items[i]->text, n->text) == 0) {
                return message_at(r->why, r->tree->file, n->line, n->column,
                                  "duplicate key %s; it already stands in line %u, keep one of them", quote_text(n->text).text,
                                  o->items[i]->line);
            }
        }
    }
    if (o->used == o->room) {
        size_t room = o->room == 0 ? 16 : o->room * 2;
        struct yaml_node **items = realloc(o->items, room * sizeof *items);
        if (items == NULL) {
            return refuse(r, at, "the host has no memory left");
        }
        o->items = items;
        o->room = room;
    }
    o->items[o->used++] = n;
    o->node->expanded += n->expanded;
    if (o->node->height <= n->height) {
        o->node->height = n->height + 1;
    }
    /* Both bounds hold for what the aliases stand for, so ten lines cannot become a billion values. */
    if (o->node->expanded > YAML_NODES_MAX) {
        return refuse(r, at, "too many values, aliases expanded; at most 16384 in a file");
    }
    if (r->depth + n->height > YAML_DEPTH_MAX) {
        return refuse(r, at, "nested too deeply; at most 24 levels");
    }
    return true;
}

static bool name_char(char c, bool first)
{
    return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (!first && c >= '0' && c <= '9');
}

/* Appends to a text of YAML_TEXT_MAX; false when it does not fit. */
static bool text_append(char *text, size_t *used, const char *from, size_t bytes)
{
    if (bytes > YAML_TEXT_MAX - *used) {
        return false;
    }
    memcpy(text + *used, from, bytes);
    *used += bytes;
    return true;
}

/* One ${NAME} or ${NAME:-DEFAULT} at text[at]; moves `*at` behind it. */
static bool substitute_one(struct reader *r, struct yaml_node *n, const char *text, size_t *at, char *out, size_t *used)
{
    char name[128];
    size_t from = *at + 2, length = 0;
    while (length < sizeof name - 1 && name_char(text[from + length], length == 0)) {
        name[length] = text[from + length];
        length++;
    }
    name[length] = 0;
    const char *behind = text + from + length, *spare = strncmp(behind, ":-", 2) == 0 ? behind + 2 : NULL;
    const char *end = spare != NULL ? strchr(spare, '}') : behind;
    if (length == 0 || end == NULL || *end != '}') {
        return message_at(
            r->why, r->tree->file, n->line, n->column,
            "\"${\" without a NAME and \"}\"; write ${NAME} for a value from outside, or $${ for the text itself");
    }
    const char *value = r->variables != NULL ? r->variables->value(r->variables->owner, name) : NULL;
    size_t bytes = value != NULL ? strlen(value) : 0;
    if (value == NULL) {
        if (spare == NULL) {
            return message_at(r->why, r->tree->file, n->line, n->column,
                              "${%s} has no value; give --set %s=VALUE or set it in the environment", name, name);
        }
        value = spare;
        bytes = (size_t)(end - spare);
    } else {
        n->substituted = true;
    }
    *at = (size_t)(end - text) + 1;
    return text_append(out, used, value, bytes) ||
           message_at(r->why, r->tree->file, n->line, n->column, "the value of ${%s} is too long; at most 65536 bytes", name);
}

static bool substitute(struct reader *r, struct yaml_node *n, const char *text)
{
    char *out = malloc(YAML_TEXT_MAX + 1);
    if (out == NULL) {
        return message_at(r->why, r->tree->file, n->line, n->column, "the host has no memory left");
    }
    size_t used = 0;
    bool ok = true;
    for (size_t at = 0; ok && text[at] != 0;) {
        if (strncmp(text + at, "$${", 3) == 0) {
            ok = text_append(out, &used, "${", 2);
            at += 3;
        } else if (strncmp(text + at, "${", 2) == 0) {
            ok = substitute_one(r, n, text, &at, out, &used);
        } else {
            ok = text_append(out, &used, text + at, 1);
            at++;
        }
    }
    if (ok) {
        char *copy = tree_alloc(r->tree, used + 1);
        ok = copy != NULL;
        if (ok) {
            memcpy(copy, out, used);
            n->text = copy;
        }
    }
    free(out);
    return ok || message_at(r->why, r->tree->file, n->line, n->column, "the text is too long; at most 65536 bytes");
}

static bool read_scalar(struct reader *r, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    size_t length = e->data.scalar.length;
    if (e->data.scalar.tag != NULL) {
        return refuse(r, e->start_mark, "tags have no meaning here; write the value alone");
    }
    if (memchr(text, 0, length) != NULL) {
        return refuse(r, e->start_mark, "a NUL byte in a text; leave it out");
    }
    if (length > YAML_TEXT_MAX) {
        return refuse(r, e->start_mark, "the text is too long; at most 65536 bytes");
    }
    struct yaml_node *n = node_create(r, YAML_IS_SCALAR, e->start_mark);
    if (n == NULL) {
        return false;
    }
    n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (!at_key(r) && strstr(text, "${") != NULL) {
        if (!substitute(r, n, text)) {
            return false;
        }
    } else {
        char *copy = tree_alloc(r->tree, length + 1);
        if (copy == NULL) {
            return refuse(r, e->start_mark, "the host has no memory left");
        }
        memcpy(copy, text, length);
        n->text = copy;
    }
    if (e->data.scalar.anchor != NULL && !anchor_define(r, (const char *)e->data.scalar.anchor, n, e->start_mark)) {
        return false;
    }
    return node_place(r, n, e->start_mark);
}

static bool read_open(struct reader *r, enum yaml_kind kind, const yaml_event_t *e, const yaml_char_t *anchor, bool tagged)
{
    if (tagged) {
        return refuse(r, e->start_mark, "tags have no meaning here; write the value alone");
    }
    if (at_key(r)) {
        return refuse(r, e->start_mark, "a list or mapping as a key; a key is a word");
    }
    if (r->depth == YAML_DEPTH_MAX) {
        return refuse(r, e->start_mark, "nested too deeply; at most 24 levels");
    }
    struct yaml_node *n = node_create(r, kind, e->start_mark);
    if (n == NULL) {
        return false;
    }
    struct open_node *o = &r->stack[r->depth];
    *o = (struct open_node){.node = n};
    if (anchor != NULL) {
        if (!anchor_define(r, (const char *)anchor, NULL, e->start_mark)) {
            return false;
        }
        o->anchored = true;
        strcpy(o->anchor, (const char *)anchor);
    }
    r->depth++;
    return true;
}

static bool read_close(struct reader *r, const yaml_event_t *e)
{
    struct open_node *o = &r->stack[--r->depth];
    struct yaml_node *n = o->node;
    n->count = n->kind == YAML_IS_MAPPING ? o->used / 2 : o->used;
    n->items = tree_alloc(r->tree, o->used * sizeof *n->items);
    if (n->items != NULL && o->used > 0) {
        memcpy(n->items, o->items, o->used * sizeof *n->items);
    }
    free(o->items);
    o->items = NULL;
    if (n->items == NULL) {
        return refuse(r, e->start_mark, "the host has no memory left");
    }
    if (o->anchored && !anchor_define(r, o->anchor, n, e->start_mark)) {
        return false;
    }
    return node_place(r, n, e->start_mark);
}

static bool read_alias(struct reader *r, const yaml_event_t *e)
{
    if (at_key(r)) {
        return refuse(r, e->start_mark, "an alias as a key; write the key out");
    }
    const char *name = (const char *)e->data.alias.anchor;
    struct anchor *a = anchor_find(r, name);
    unsigned line = (unsigned)e->start_mark.line + 1, column = (unsigned)e->start_mark.column + 1;
    if (a == NULL) {
        return message_at(r->why, r->tree->file, line, column, "alias to an unknown anchor %s; define &NAME before *NAME",
                          quote_text(name).text);
    }
    if (a->node == NULL) {
        return message_at(r->why, r->tree->file, line, column,
                          "alias %s inside its own anchor: a cycle; an alias may only name what is complete",
                          quote_text(name).text);
    }
    return node_place(r, a->node, e->start_mark);
}

static bool read_event(struct reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(r, e);
    case YAML_SEQUENCE_START_EVENT:
        return read_open(r, YAML_IS_SEQUENCE, e, e->data.sequence_start.anchor, e->data.sequence_start.tag != NULL);
    case YAML_MAPPING_START_EVENT:
        return read_open(r, YAML_IS_MAPPING, e, e->data.mapping_start.anchor, e->data.mapping_start.tag != NULL);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return read_close(r, e);
    case YAML_ALIAS_EVENT:
        return read_alias(r, e);
    case YAML_DOCUMENT_START_EVENT:
        return r->tree->root == NULL || refuse(r, e->start_mark, "a second document; one file is one scenario");
    default:
        return true;
    }
}

/* libyaml's reader knows the byte that it could not read, not its line. */
static yaml_mark_t mark_of_byte(const char *text, size_t bytes, size_t offset)
{
    yaml_mark_t at = {0};
    for (size_t i = 0; i < offset && i < bytes; i++) {
        at.column = text[i] == '\n' ? 0 : at.column + ((text[i] & 0xc0) != 0x80);
        at.line += text[i] == '\n';
    }
    return at;
}

static bool parse_failed(struct reader *r, const yaml_parser_t *p, const char *text, size_t bytes)
{
    const char *problem = p->problem != NULL ? p->problem : "unreadable";
    if (p->error == YAML_READER_ERROR) {
        yaml_mark_t at = mark_of_byte(text, bytes, p->problem_offset);
        return message_at(r->why, r->tree->file, (unsigned)at.line + 1, (unsigned)at.column + 1,
                          "not YAML: %s; a scenario is UTF-8 text without control characters", problem);
    }
    return message_at(r->why, r->tree->file, (unsigned)p->problem_mark.line + 1, (unsigned)p->problem_mark.column + 1,
                      "not YAML: %s%s%s; check indentation, quotes and brackets", problem, p->context != NULL ? " " : "",
                      p->context != NULL ? p->context : "");
}

static bool read_events(struct reader *r, const char *text, size_t bytes)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return message_say(r->why, "%s: the host has no memory left", r->tree->file);
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    bool ok = true, more = true;
    while (ok && more) {
        yaml_event_t e;
        if (!yaml_parser_parse(&parser, &e)) {
            ok = parse_failed(r, &parser, text, bytes);
            break;
        }
        more = e.type != YAML_STREAM_END_EVENT;
        ok = read_event(r, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    return ok;
}

struct yaml_tree *yaml_tree_read(const char *file, const char *text, size_t bytes, const struct yaml_variables *variables,
                                 struct message *why)
{
    if (bytes > YAML_FILE_MAX) {
        message_at(why, file, 1, 1, "the file has %zu bytes; a scenario has at most %d", bytes, YAML_FILE_MAX);
        return NULL;
    }
    struct yaml_tree *t = calloc(1, sizeof *t);
    struct reader *r = calloc(1, sizeof *r);
    bool ok = t != NULL && r != NULL;
    if (ok) {
        t->file = file;
        r->tree = t;
        r->variables = variables;
        r->why = why;
        ok = read_events(r, text, bytes);
        for (unsigned i = 0; i < r->depth; i++) {
            free(r->stack[i].items);
        }
        if (ok && t->root == NULL) {
            ok = message_at(why, file, 1, 1, "the file says nothing; a scenario begins with \"orrery: 1\"");
        }
    } else {
        message_say(why, "%s: the host has no memory left", file);
    }
    free(r);
    if (!ok) {
        yaml_tree_free(t);
        return NULL;
    }
    return t;
}

/* ---- using the tree ---- */

struct yaml_node *yaml_find(const struct yaml_node *mapping, const char *key)
{
    if (mapping == NULL || mapping->kind != YAML_IS_MAPPING) {
        return NULL;
    }
    for (size_t i = 0; i < mapping->count; i++) {
        if (strcmp(yaml_key(mapping, i)->text, key) == 0) {
            return yaml_value(mapping, i);
        }
    }
    return NULL;
}

struct text_out {
    char *text;
    size_t used, size;
};

static void put(struct text_out *o, const char *text)
{
    for (; *text != 0 && o->used + 1 < o->size; text++) {
        o->text[o->used++] = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;
    }
}

static void put_node(struct text_out *o, const struct yaml_node *n)
{
    if (n->kind == YAML_IS_SCALAR) {
        put(o, n->quoted ? "\"" : "");
        put(o, n->text);
        put(o, n->quoted ? "\"" : "");
        return;
    }
    bool mapping = n->kind == YAML_IS_MAPPING;
    put(o, mapping ? "{" : "[");
    for (size_t i = 0; i < n->count; i++) {
        put(o, i > 0 ? ", " : "");
        if (mapping) {
            put(o, yaml_key(n, i)->text);
            put(o, ": ");
        }
        put_node(o, mapping ? yaml_value(n, i) : n->items[i]);
    }
    put(o, mapping ? "}" : "]");
}

void yaml_text(const struct yaml_node *n, char *text, size_t size)
{
    struct text_out o = {.text = text, .size = size};
    put_node(&o, n);
    text[o.used] = 0;
}

static void hash_node(XXH3_state_t *x, const struct yaml_node *n)
{
    uint8_t head[5] = {(uint8_t)n->kind, (uint8_t)n->count, (uint8_t)(n->count >> 8), (uint8_t)(n->count >> 16), n->outside};
    XXH3_128bits_update(x, head, sizeof head);
    if (n->kind == YAML_IS_SCALAR) {
        if (!n->outside) {
            XXH3_128bits_update(x, n->text, strlen(n->text) + 1);
        }
        return;
    }
    for (size_t i = 0; i < n->count * (n->kind == YAML_IS_MAPPING ? 2 : 1); i++) {
        hash_node(x, n->items[i]);
    }
}

struct yaml_hash yaml_hash(const struct yaml_node *n)
{
    XXH3_state_t *x = XXH3_createState();
    if (x == NULL) {
        return (struct yaml_hash){0};
    }
    XXH3_128bits_reset(x);
    hash_node(x, n);
    XXH128_hash_t h = XXH3_128bits_digest(x);
    XXH3_freeState(x);
    return (struct yaml_hash){h.low64, h.high64};
}
