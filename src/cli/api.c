/* rhodes api: one request as it is, for what has no verb. The answer's body goes to standard output
 * whatever its status. */
#include <string.h>

#include "cli/center.h"
#include "cli/options.h"
#include "cli/problem.h"
#include "cli/show.h"
#include "cli/text.h"

#define BODY_BYTES_MAX (16u << 20)

/* "-d TEXT", "-d @FILE", "-d -": for the caller to free. */
static int body_read(struct cli *cli, const char *from, char **ret)
{
    bool standard_input = strcmp(from, "-") == 0;
    char *text = NULL;
    size_t used = 0;
    FILE *file;
    int r = 0;

    if (!standard_input && from[0] != '@') {
        *ret = text_copy(from);
        return 0;
    }
    file = standard_input ? stdin : fopen(from + 1, "re");
    if (!file) {
        return complain(cli, EXIT_FAILED, "%s: %s", from + 1, rhodes_result_sentence(-errno));
    }
    while (!feof(file) && !ferror(file) && used <= BODY_BYTES_MAX) {
        text = memory_resize(text, used + 65537);
        used += fread(text + used, 1, 65536, file);
    }
    if (ferror(file) || used > BODY_BYTES_MAX || memchr(text, 0, used)) {
        r = complain(cli, EXIT_FAILED, "%s: %s", from,
                     ferror(file) ? rhodes_result_sentence(-errno)
                                  : "more than 16 MiB, or not a text");
        free(text);
    } else {
        text[used] = 0;
        *ret = text;
    }
    if (!standard_input) {
        fclose(file);
    }
    return r;
}

static int stream_print(const char *piece, size_t bytes, void *data)
{
    struct cli *cli = data;

    fwrite(piece, 1, bytes, cli->out);
    fflush(cli->out);
    return ferror(cli->out);
}

int api_run(struct cli *cli, const struct arguments *arguments)
{
    const char *method = arguments->positional[0], *path = arguments->positional[1];
    const char *data = option_value(arguments, "data", NULL);
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    CLEANUP(memory_freep)
    const char **headers = memory_make((arguments->given_count + 1) * sizeof(*headers));
    CLEANUP(memory_freep) char *body = NULL;
    struct request request = { .method = method,
                               .path = path,
                               .headers = headers,
                               .wait_ns = UINT64_MAX,
                               .on_piece = stream_print,
                               .data = cli };
    size_t i;
    int r = 0;

    if (strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method) || !*method) {
        return complain(cli, EXIT_USAGE, "the method is in capital letters, such as GET, not '%s'",
                        method);
    }
    if (path[0] != '/' || strpbrk(path, " \t\r\n")) {
        return complain(cli, EXIT_USAGE, "the path begins with '/', such as /v1/status, not '%s'",
                        path);
    }
    for (i = 0; option_each(arguments, "header", i); i++) {
        headers[i] = option_each(arguments, "header", i);
        if (!strchr(headers[i], ':') || strpbrk(headers[i], "\r\n")) {
            return complain(cli, EXIT_USAGE, "a header is written 'NAME: VALUE', not '%s'",
                            headers[i]);
        }
    }
    if (data) {
        r = body_read(cli, data, &body);
    }
    request.text = body;
    r = r ? r : center_ask(cli, &request, &answer);
    if (r) {
        return r;
    }
    if (answer.status / 100 == 2) {
        if (isatty(fileno(cli->out))) {
            fputc('\n', cli->out);
        }
        return EXIT_DONE;
    }
    if (answer.json) {
        show_value(cli, answer.json);
    } else if (answer.bytes) {
        say(cli->out, "%s", answer.text);
    }
    return complain(cli, status_exit(answer.status), "the center answered HTTP %ld", answer.status);
}
