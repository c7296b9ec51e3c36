/* rhodes apply: manifests to one transaction. All files are read and decoded before anything is
 * sent, and whatever the center refuses is put back onto the lines of the files. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/change.h"
#include "cli/kind.h"
#include "cli/text.h"

/* Reads at most MANIFEST_BYTES_MAX and one byte, so that the decoder sees that it was too much. */
static int text_read(struct cli *cli, const char *name, char **ret, size_t *ret_bytes)
{
    bool standard_input = strcmp(name, "-") == 0;
    CLEANUP(fd_closep)
    int opened = standard_input ? -1 : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int fd = standard_input ? STDIN_FILENO : opened;
    char *text = memory_make(MANIFEST_BYTES_MAX + 2);
    size_t used = 0;
    ssize_t n = 1;
    struct stat about;

    if (fd < 0 || fstat(fd, &about) < 0) {
        free(text);
        return complain(cli, EXIT_FAILED, "%s: %s", name, rhodes_result_sentence(-errno));
    }
    if (S_ISDIR(about.st_mode)) {
        free(text);
        return complain(cli, EXIT_FAILED,
                        "%s: is a directory; name the files in it: -f %s/FILE.yaml", name, name);
    }
    while (n != 0 && used <= MANIFEST_BYTES_MAX) {
        n = read(fd, text + used, MANIFEST_BYTES_MAX + 1 - used);
        if (n < 0 && errno != EINTR) {
            free(text);
            return complain(cli, EXIT_FAILED, "%s: %s", name, rhodes_result_sentence(-errno));
        }
        used += n > 0 ? (size_t)n : 0;
    }
    *ret = text;
    *ret_bytes = used;
    return 0;
}

static int file_decode(struct cli *cli, const char *name, struct manifests *manifests)
{
    const char *shown = strcmp(name, "-") == 0 ? "(standard input)" : name;
    CLEANUP(memory_freep) char *text = NULL;
    struct manifest_error why = { 0 };
    size_t bytes = 0;
    int r = text_read(cli, name, &text, &bytes);

    if (r) {
        return r;
    }
    r = manifests_decode(manifests, shown, text, bytes, &why);
    if (r) {
        manifest_error_print(cli, shown, &why);
    }
    return r ? EXIT_FAILED : 0;
}

static int files_decode(struct cli *cli, const struct arguments *arguments,
                        struct manifests *manifests)
{
    const char *name;
    int r = 0;

    for (size_t i = 0; !r && (name = option_each(arguments, "file", i)); i++) {
        r = file_decode(cli, name, manifests);
    }
    return r;
}

/* What can be said before any file is opened. */
static int usage_check(struct cli *cli, const struct arguments *arguments)
{
    size_t standard_input = 0;
    uint64_t wait_ns;
    const char *name;

    if (!option_given(arguments, "file") && !option_given(arguments, "delete")) {
        return complain(cli, EXIT_USAGE,
                        "apply needs -f FILE (- for standard input) or --delete KIND/NAME");
    }
    for (size_t i = 0; (name = option_each(arguments, "file", i)); i++) {
        standard_input += strcmp(name, "-") == 0;
    }
    if (standard_input > 1) {
        return complain(cli, EXIT_USAGE, "-f - is given twice");
    }
    return wait_parse(cli, arguments, &wait_ns);
}

static int deletions_read(struct cli *cli, const struct arguments *arguments, json_t *list,
                          const char **ids)
{
    const char *id;

    for (size_t i = 0; (id = option_each(arguments, "delete", i)); i++) {
        struct named named;
        int r = named_parse(cli, id, NULL, &named);

        if (r) {
            return r;
        }
        ids[i] = id;
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "kind", named.kind->name, "name", named.name));
    }
    return 0;
}

static int body_send(struct cli *cli, const struct arguments *arguments,
                     const struct manifests *manifests, json_t *deletions, const char *const *ids)
{
    struct origin origin = { manifests, ids, json_array_size(deletions) };
    json_t *documents = json_array(), *body;
    struct change change = { .method = "POST", .path = "/v1/apply", .origin = &origin };
    int r;

    for (size_t i = 0; i < manifests->count; i++) {
        json_array_append(documents, manifests->documents[i].json);
    }
    body = json_pack("{s:o, s:O}", "documents", documents, "delete", deletions);
    if (!body) {
        return complain(cli, EXIT_FAILED, "the request cannot be written as JSON");
    }
    change.body = body;
    r = change_send(cli, arguments, &change, NULL);
    json_decref(body);
    return r;
}

int apply_run(struct cli *cli, const struct arguments *arguments)
{
    CLEANUP(manifests_deinit) struct manifests manifests = { 0 };
    CLEANUP(memory_freep)
    const char **ids = memory_make((arguments->given_count + 1) * sizeof(*ids));
    json_t *deletions;
    int r = usage_check(cli, arguments);

    if (r) {
        return r;
    }
    deletions = json_array();
    r = deletions_read(cli, arguments, deletions, ids);
    r = r ? r : files_decode(cli, arguments, &manifests);
    r = r ? r : body_send(cli, arguments, &manifests, deletions, ids);
    json_decref(deletions);
    return r;
}
