/* Kinds and ids. Names themselves are judged by the center alone, so that the rule for them stands
 * once; here a name must only fit its room. */
#include "cli/kind.h"

#include <string.h>
#include <strings.h>

#include "cli/center.h"
#include "cli/options.h"
#include "cli/text.h"

const struct kind kinds[KINDS] = {
    { "Application", "applications", "application", 'A' },
    { "Service", "services", "service", 'S' },
    { "Driver", "drivers", "driver", 'D' },
    { "Hardware", "hardware", "hardware", 'H' },
    { "Link", "links", NULL, 0 },
    { "Hierarchy", "hierarchies", NULL, 0 },
};

static bool word_is(const char *text, size_t bytes, const char *word)
{
    return word && strlen(word) == bytes && strncasecmp(text, word, bytes) == 0;
}

const struct kind *kind_find(const char *text, size_t bytes)
{
    for (size_t i = 0; i < KINDS; i++) {
        const struct kind *k = &kinds[i];

        if (word_is(text, bytes, k->name) || word_is(text, bytes, k->collection) ||
            word_is(text, bytes, k->layer)) {
            return k;
        }
    }
    return NULL;
}

static int kind_unknown(struct cli *cli, const char *text, size_t bytes)
{
    CLEANUP(memory_freep) char *word = text_make("%.*s", (int)(bytes < 64 ? bytes : 64), text);
    const char *best = NULL;
    size_t least = 3;

    for (size_t i = 0; i < KINDS; i++) {
        for (int form = 0; form < 2; form++) {
            CLEANUP(memory_freep)
            char *lower = text_copy(form ? kinds[i].collection : kinds[i].name);
            size_t distance;

            lower[0] |= 0x20;
            distance = word_distance(word, lower);
            if (distance < least) {
                least = distance;
                best = kinds[i].collection;
            }
        }
    }
    if (strcmp(word, "agent") == 0 || strcmp(word, "agents") == 0) {
        return complain(cli, EXIT_USAGE,
                        "agents are not registered objects; rhodes agent list shows them");
    }
    if (best) {
        return complain(cli, EXIT_USAGE, "no kind '%s'; did you mean '%s'?", word, best);
    }
    return complain(
        cli, EXIT_USAGE,
        "no kind '%s'; there are application, service, driver, hardware, link, hierarchy", word);
}

int named_parse(struct cli *cli, const char *text, const char *name, struct named *ret)
{
    size_t bytes = strcspn(text, "/");
    const struct kind *kind = kind_find(text, name ? strlen(text) : bytes);

    if (!kind) {
        return kind_unknown(cli, text, name ? strlen(text) : bytes);
    }
    if (!name) {
        name = text[bytes] == '/' ? text + bytes + 1 : "";
    }
    if (*name == 0) {
        return complain(cli, EXIT_USAGE, "'%s' needs a name: KIND/NAME", text);
    }
    if (strlen(name) >= sizeof(ret->name)) {
        return complain(cli, EXIT_USAGE, "the name is longer than %zu bytes",
                        sizeof(ret->name) - 1);
    }
    ret->kind = kind;
    strcpy(ret->name, name);
    return 0;
}

int id_parse(struct cli *cli, const char *id, struct named *ret)
{
    int r;

    if (!strchr(id, '/')) {
        return complain(cli, EXIT_USAGE,
                        "'%s' is not a resource; write LAYER/NAME, such as service/tcp", id);
    }
    r = named_parse(cli, id, NULL, ret);
    if (!r && !ret->kind->layer) {
        return complain(
            cli, EXIT_USAGE,
            "'%s' is not a resource; its layer is application, service, driver or hardware", id);
    }
    return r;
}

char *id_make(const struct kind *kind, const char *name)
{
    return text_make("%s/%s", kind->layer ? kind->layer : kind->collection, name);
}

char *id_of(const char *kind, const char *name)
{
    const struct kind *k = kind_find(kind, strlen(kind));

    return k ? id_make(k, name) : text_make("%s/%s", kind, name);
}

char *id_dotted(const struct named *named)
{
    return text_make("%s.%s", named->kind->layer, named->name);
}

char *path_make(const struct named *named)
{
    CLEANUP(memory_freep) char *name = segment_encode(named->name);

    return text_make("/v1/%s/%s", named->kind->collection, name);
}
