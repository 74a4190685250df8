/* A scenario's images: read, hashed, handed to the boot loader; and the name of the whole, which they are a part of. */
#define _GNU_SOURCE
#include "scenarios/files.h"
#include "scenarios/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Paths written in the file count from its folder, as its author meant them; paths from --set or the environment from where the
 * user stands. */
static char *image_path(const struct scenario *s, const struct yaml_node *n)
{
    const char *slash = strrchr(s->file, '/');
    char *path = NULL;
    if (n->text[0] == '/' || n->substituted || slash == NULL) {
        return strdup(n->text);
    }
    return asprintf(&path, "%.*s/%s", (int)(slash - s->file), s->file, n->text) < 0 ? NULL : path;
}

static bool image_load(const struct scenario *s, struct scenario_image *image, struct message *why)
{
    const struct yaml_node *n = image->where;
    struct message reason = {.text = {0}};
    if (n == NULL || image->bytes != NULL) {
        return true;
    }
    char *path = image_path(s, n);
    if (path == NULL) {
        return message_say(why, "the host has no memory left");
    }
    bool ok = file_read(path, SCENARIO_IMAGE_MAX, &image->bytes, &image->size, &reason);
    if (ok && image->size == 0) {
        ok = message_say(&reason, "it is empty");
    }
    if (!ok) {
        message_at(why, s->file, n->line, n->column, "cannot use image %s: %s; give the path of a readable image",
                   quote_text(path).text, reason.text);
    } else {
        XXH128_hash_t h = XXH3_128bits(image->bytes, image->size);
        image->content = (struct yaml_hash){h.low64, h.high64};
    }
    free(path);
    return ok;
}

bool scenario_load_images(struct scenario *s, struct message *why)
{
    bool ok = image_load(s, &s->kernel, why) && image_load(s, &s->initrd, why);
    for (unsigned i = 0; ok && i < s->module_count; i++) {
        ok = image_load(s, &s->modules[i], why);
    }
    return ok;
}

/* Fields one after the other, little-endian: the same on every host. */
struct identity {
    uint8_t bytes[1024];
    size_t used;
};

static void identity_u64(struct identity *i, uint64_t v)
{
    for (unsigned b = 0; b < 8 && i->used < sizeof i->bytes; b++) {
        i->bytes[i->used++] = (uint8_t)(v >> (8 * b));
    }
}

static void identity_image(struct identity *i, const struct scenario_image *image)
{
    identity_u64(i, image->size);
    identity_u64(i, image->content.low);
    identity_u64(i, image->content.high);
}

struct yaml_hash scenario_identity(const struct scenario *s)
{
    struct identity i = {.used = 0};
    struct yaml_hash tree = yaml_hash(s->tree->root);
    identity_u64(&i, 1); /* format of this list */
    identity_u64(&i, tree.low);
    identity_u64(&i, tree.high);
    identity_u64(&i, s->seed);
    identity_u64(&i, XXH3_64bits(s->cost->name, strlen(s->cost->name)));
    identity_image(&i, &s->kernel);
    identity_image(&i, &s->initrd);
    for (unsigned m = 0; m < s->module_count; m++) {
        identity_image(&i, &s->modules[m]);
    }
    XXH128_hash_t h = XXH3_128bits(i.bytes, i.used);
    return (struct yaml_hash){h.low64, h.high64};
}

static struct boot_image boot_image(const struct scenario_image *image)
{
    return (struct boot_image){.name = image->name, .bytes = image->bytes, .size = image->size};
}

struct boot_config scenario_boot(const struct scenario *s, struct boot_module *modules, const struct platform_config *platform)
{
    for (unsigned i = 0; i < s->module_count; i++) {
        modules[i] = (struct boot_module){.image = boot_image(&s->modules[i]), .cmdline = s->modules[i].cmdline};
    }
    return (struct boot_config){
        .kind = s->guest,
        .kernel = boot_image(&s->kernel),
        .initrd = boot_image(&s->initrd),
        .modules = modules,
        .module_count = s->module_count,
        .cmdline = s->cmdline,
        .address = s->address,
        .mode = s->mode,
        .platform = platform,
    };
}
