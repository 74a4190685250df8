/* YAML as a checked tree: places, variables, and all that is refused. Clauses of scenarios/yaml.h. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/yaml.h"

static const char *variable(void *owner, const char *name)
{
    (void)owner;
    return strcmp(name, "KERNEL") == 0 ? "a: b ${KERNEL} #" : NULL;
}
static const struct yaml_variables variables = {.value = variable};

static struct yaml_tree *read_text(const char *text, struct message *why)
{
    return yaml_tree_read("f", text, strlen(text), &variables, why);
}

static void refused(const char *text, const char *message)
{
    struct message why = {.text = {0}};
    struct yaml_tree *t = read_text(text, &why);
    cr_expect_null(t, "accepted: %s", text);
    cr_expect(strncmp(why.text, message, strlen(message)) == 0, "%s: got \"%s\", want \"%s\"", text, why.text, message);
    cr_expect_null(strchr(why.text, '\n'));
    yaml_tree_free(t);
}

Test(yaml, nodes_know_line_and_column)
{
    struct message why = {.text = {0}};
    struct yaml_tree *t = read_text("a: 1\nbb:\n  - x\n  - {c: y}\n", &why);
    cr_assert_not_null(t, "%s", why.text);
    const struct yaml_node *list = yaml_find(t->root, "bb");
    cr_expect_eq(list->count, 2);
    cr_expect_eq(list->items[0]->line, 3);
    cr_expect_eq(list->items[0]->column, 5);
    cr_expect_str_eq(yaml_find(list->items[1], "c")->text, "y");
    cr_expect_eq(yaml_find(list->items[1], "c")->column, 9);
    cr_expect_null(yaml_find(t->root, "c"));
    yaml_tree_free(t);
}

Test(yaml, variable_is_replaced_in_the_value_and_never_becomes_syntax)
{
    struct message why = {.text = {0}};
    struct yaml_tree *t = read_text("k: x${KERNEL}y\nd: $${KERNEL} $1 $\n", &why);
    cr_assert_not_null(t, "%s", why.text);
    cr_expect_str_eq(yaml_find(t->root, "k")->text, "xa: b ${KERNEL} #y");
    cr_expect(yaml_find(t->root, "k")->substituted);
    cr_expect_str_eq(yaml_find(t->root, "d")->text, "${KERNEL} $1 $");
    cr_expect_not(yaml_find(t->root, "d")->substituted);
    yaml_tree_free(t);
}

Test(yaml, variable_may_have_a_default)
{
    struct message why = {.text = {0}};
    struct yaml_tree *t = read_text("a: x${NOPE:-1 :}y\nb: ${KERNEL:-2}\nc: \"${NOPE:-}\"\n", &why);
    cr_assert_not_null(t, "%s", why.text);
    cr_expect_str_eq(yaml_find(t->root, "a")->text, "x1 :y");
    cr_expect_not(yaml_find(t->root, "a")->substituted);
    cr_expect_str_eq(yaml_find(t->root, "b")->text, "a: b ${KERNEL} #");
    cr_expect_str_eq(yaml_find(t->root, "c")->text, "");
    yaml_tree_free(t);
}

Test(yaml, variable_without_value_is_refused_at_its_place)
{
    refused("a: 1\nb: ${NOPE}\n", "f:2:4: ${NOPE} has no value; give --set NOPE=VALUE");
}

Test(yaml, variable_without_name_is_refused)
{
    refused("b: ${\n", "f:1:4: \"${\" without a NAME");
    refused("b: ${NOPE:-1\n", "f:1:4: \"${\" without a NAME");
    refused("b: ${}\n", "f:1:4: \"${\" without a NAME");
    refused("b: ${1A}\n", "f:1:4: \"${\" without a NAME");
    refused("b: \"${A B}\"\n", "f:1:4: \"${\" without a NAME");
}

Test(yaml, duplicate_key_is_refused_at_the_second)
{
    refused("a: 1\nb: 2\na: 3\n", "f:3:1: duplicate key \"a\"; it already stands in line 1");
}

Test(yaml, cyclic_alias_is_refused)
{
    refused("a: &x\n  - *x\n", "f:2:5: alias \"x\" inside its own anchor: a cycle");
}

Test(yaml, unknown_alias_is_refused)
{
    refused("a: *x\n", "f:1:4: alias to an unknown anchor \"x\"");
}

Test(yaml, aliases_that_expand_to_a_billion_values_are_refused)
{
    refused("a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
            "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
            "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
            "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
            "f:5:");
}

Test(yaml, alias_may_stand_for_a_finished_value)
{
    struct message why = {.text = {0}};
    struct yaml_tree *t = read_text("a: &a [1, 2]\nb: *a\n", &why);
    cr_assert_not_null(t, "%s", why.text);
    cr_expect_eq(yaml_find(t->root, "b"), yaml_find(t->root, "a"));
    yaml_tree_free(t);
}

Test(yaml, depth_is_bounded_with_and_without_aliases)
{
    char deep[200] = "a: ";
    memset(deep + 3, '[', 40);
    refused(deep, "f:1:");
    refused("a: &a [[[[[[[[[[[[1]]]]]]]]]]]]\nb: [[[[[[[[[[[[*a]]]]]]]]]]]]\n", "f:2:");
}

Test(yaml, tags_second_documents_list_keys_and_alias_keys_are_refused)
{
    refused("a: !!str 1\n", "f:1:4: tags have no meaning here");
    refused("a: 1\n---\nb: 2\n", "f:2:1: a second document");
    refused("? [a]\n: 1\n", "f:1:3: a list or mapping as a key");
    refused("a: &x y\n*x : 1\n", "f:2:1: an alias as a key");
}

Test(yaml, nul_in_a_text_is_refused)
{
    refused("a: \"x\\0y\"\n", "f:1:4: a NUL byte");
}

Test(yaml, empty_file_is_refused)
{
    refused("", "f:1:1: the file says nothing");
    refused("# comment\n", "f:1:1: the file says nothing");
}

Test(yaml, malformed_text_is_refused_with_its_place)
{
    refused("a: [1, 2\nb: 3\n", "f:2:2: not YAML:");
    refused("a: \"x\n", "f:2:1: not YAML:");
    refused("a:\tb\n\t- c", "f:2:1: not YAML:");
    refused("a: \xff\n", "f:1:");
}

Test(yaml, file_above_one_mebibyte_is_refused_unread)
{
    struct message why = {.text = {0}};
    cr_expect_null(yaml_tree_read("f", "", YAML_FILE_MAX + 1, NULL, &why));
    cr_expect(strncmp(why.text, "f:1:1: the file has 1048577 bytes", 33) == 0, "%s", why.text);
}

Test(yaml, text_says_the_node_in_one_line)
{
    struct message why = {.text = {0}};
    struct yaml_tree *t = read_text("a:\n  - b: \"x\\ny\"\n  - [1, 2]\n", &why);
    char text[64];
    yaml_text(t->root, text, sizeof text);
    cr_expect_str_eq(text, "{a: [{b: \"x y\"}, [1, 2]]}");
    yaml_text(t->root, text, 6);
    cr_expect_str_eq(text, "{a: [");
    yaml_tree_free(t);
}

static struct yaml_hash hash_of(const char *text)
{
    struct message why = {.text = {0}};
    struct yaml_tree *t = read_text(text, &why);
    cr_assert_not_null(t, "%s", why.text);
    struct yaml_hash h = yaml_hash(t->root);
    yaml_tree_free(t);
    return h;
}

static bool same(struct yaml_hash a, struct yaml_hash b)
{
    return a.low == b.low && a.high == b.high;
}

Test(yaml, hash_is_of_the_meaning)
{
    struct yaml_hash h = hash_of("a: [x, y]\nb: z\n");
    cr_expect(same(h, hash_of("# comment\na:\n  - 'x'\n  - y\nb:   z\n")));
    cr_expect_not(same(h, hash_of("a: [y, x]\nb: z\n")));
    cr_expect_not(same(h, hash_of("a: [x]\nb: z\n")));
    cr_expect_not(same(h, hash_of("a: [xy]\nb: z\n")));
    cr_expect_not(same(h, hash_of("a: [[x, y]]\nb: z\n")));
    cr_expect_not(same(h, hash_of("a: {x: y}\nb: z\n")));
}

/* Whatever the bytes, there is a tree or one message: small mutations of a good text, by a fixed generator. */
Test(yaml, every_mutation_gives_a_tree_or_one_message)
{
    static const char good[] = "orrery: 1\na: &a [1, {b: \"x\"}, ${KERNEL}]\nc: *a\nd:\n  - e: |\n      text\n";
    static const char odd[] = "[]{}&*!|>'\"%@`#:-?,\n\t \\$\xff\0a";
    uint64_t state = 1;
    for (unsigned i = 0; i < 20000; i++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        for (unsigned k = 0; k <= i % 4; k++) {
            state = state * 6364136223846793005ULL + 1442695040888963407ULL;
            text[(state >> 33) % (sizeof good - 1)] = odd[(state >> 20) % (sizeof odd - 1)];
        }
        struct message why = {.text = {0}};
        struct yaml_tree *t = yaml_tree_read("f", text, sizeof good - 1, &variables, &why);
        cr_assert_eq(t == NULL, message_set(&why));
        cr_assert(t != NULL || strncmp(why.text, "f:", 2) == 0, "%s", why.text);
        yaml_tree_free(t);
    }
}
