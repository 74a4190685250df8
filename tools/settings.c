/* ${NAME} for scenarios: from --set, else from the environment. The last --set of a name counts. */
#include "tools/commands.h"

#include <stdlib.h>
#include <string.h>

static bool name_good(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool letter = (text[i] >= 'A' && text[i] <= 'Z') || (text[i] >= 'a' && text[i] <= 'z') || text[i] == '_';
        if (!letter && !(i > 0 && text[i] >= '0' && text[i] <= '9')) {
            return false;
        }
    }
    return length > 0;
}

bool settings_add(struct settings *s, const char *text, struct message *why)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || !name_good(text, (size_t)(equals - text))) {
        return message_say(why, "--set %s: expected NAME=VALUE with a NAME of letters, digits and _", quote_text(text).text);
    }
    if (s->count == SETTINGS_MAX) {
        return message_say(why, "more than %d --set; use the environment", SETTINGS_MAX);
    }
    s->texts[s->count++] = text;
    return true;
}

static const char *lookup(void *owner, const char *name)
{
    const struct settings *s = owner;
    size_t length = strlen(name);
    for (unsigned i = s->count; i-- > 0;) {
        if (strncmp(s->texts[i], name, length) == 0 && s->texts[i][length] == '=') {
            return s->texts[i] + length + 1;
        }
    }
    return getenv(name);
}

struct yaml_variables settings_variables(struct settings *s)
{
    return (struct yaml_variables){.value = lookup, .owner = s};
}
