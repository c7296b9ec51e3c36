/* rhodes delete: one or several objects in one transaction. */
#include <string.h>

#include "cli/change.h"
#include "cli/kind.h"
#include "cli/text.h"

/* "KIND NAME.." or "KIND/NAME..": the first word decides. Fills `list` and `ids` (to free). */
static int names_read(struct cli *cli, const struct arguments *arguments, json_t *list, char **ids)
{
    bool apart = !strchr(arguments->positional[0], '/');

    if (apart && arguments->positional_count < 2) {
        return complain(cli, EXIT_USAGE, "delete needs KIND NAME or KIND/NAME");
    }
    for (size_t i = apart; i < arguments->positional_count; i++) {
        const char *word = arguments->positional[i];
        struct named named;
        int r = apart ? named_parse(cli, arguments->positional[0], word, &named)
                      : named_parse(cli, word, NULL, &named);

        if (r) {
            return r;
        }
        ids[i - apart] = id_make(named.kind, named.name);
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "kind", named.kind->name, "name", named.name));
    }
    return 0;
}

int delete_run(struct cli *cli, const struct arguments *arguments)
{
    char **ids = memory_make((arguments->positional_count + 1) * sizeof(*ids));
    json_t *list = json_array(), *body = json_pack("{s:[], s:o}", "documents", "delete", list);
    struct origin origin = { .deletions = (const char *const *)ids };
    struct change change = {
        .method = "POST", .path = "/v1/apply", .body = body, .origin = &origin
    };
    int r = names_read(cli, arguments, list, ids);

    if (!r) {
        origin.deletions_count = json_array_size(list);
        r = change_send(cli, arguments, &change, NULL);
    }
    for (size_t i = 0; i < arguments->positional_count; i++) {
        free(ids[i]);
    }
    free(ids);
    json_decref(body);
    return r;
}
