/* Read, change, write back: nobody's change is overwritten unseen, since the ETag that was read
 * goes back as If-Match, and since the edit names only the fields that it is about, it may be
 * repeated on what somebody else has made of the object. */
#include "cli/edit.h"

#include "cli/text.h"

static int object_read(struct cli *cli, const char *path, const struct named *named, json_t **ret,
                       char **ret_condition)
{
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    struct request request = { .method = "GET", .path = path };
    int r = center_ask(cli, &request, &answer);

    if (r) {
        return r;
    }
    if (answer.status == 404) {
        *ret = json_pack("{s:s, s:s, s:{s:s}, s:{}}", "apiVersion", "rhodes/v1", "kind",
                         named->kind->name, "metadata", "name", named->name, "spec");
        *ret_condition = text_copy("If-None-Match: *");
        return 0;
    }
    r = answer_check(cli, &answer, NULL);
    if (!r && !json_is_object(json_object_get(answer.json, "spec"))) {
        r = complain(cli, EXIT_FAILED, "the center's answer to GET %s is no object", path);
    }
    if (!r) {
        *ret = json_incref(answer.json);
        *ret_condition = text_make("If-Match: %s", answer.etag);
        json_object_del(json_object_get(*ret, "metadata"), "revision");
        json_object_del(json_object_get(*ret, "metadata"), "createdRevision");
    }
    return r;
}

int object_edit(struct cli *cli, const struct arguments *arguments, const struct named *named,
                edit_function *edit, void *data)
{
    CLEANUP(memory_freep) char *path = path_make(named);
    uint64_t wait_ns;
    int r = wait_parse(cli, arguments, &wait_ns);

    if (r) {
        return r;
    }
    for (int i = 0; i < EDIT_TRIES_MAX; i++) {
        CLEANUP(memory_freep) char *condition = NULL;
        json_t *object = NULL;
        struct change change = { .method = "PUT", .path = path };
        long status = 0;

        r = object_read(cli, path, named, &object, &condition);
        if (!r) {
            r = edit(cli, arguments, json_object_get(object, "spec"), data);
        }
        if (!r) {
            change.body = object;
            change.condition = condition;
            r = change_send(cli, arguments, &change, &status);
        }
        json_decref(object);
        if (status != 412) {
            return r;
        }
    }
    return complain(cli, EXIT_CONFLICT,
                    "%s was changed by others each of the %d times that this was tried", path,
                    EDIT_TRIES_MAX);
}
