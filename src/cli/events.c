/* rhodes events: what happened, one line each; with -f as it happens. The stream is SSE: lines
 * "data: JSON" make an event, an empty line ends it, everything else is passed over. */
#include <string.h>

#include "base/bytes.h"
#include "cli/center.h"
#include "cli/options.h"
#include "cli/problem.h"
#include "cli/show.h"
#include "cli/text.h"

#define EVENT_BYTES_MAX (1u << 20)
#define EVENTS_MAX      1000 /* the center's own limit */

struct stream {
    struct cli *cli;
    struct bytes line, data;
};

static void event_print(struct cli *cli, const json_t *event)
{
    CLEANUP(memory_freep) char *text = NULL;

    if (cli->output == OUTPUT_TABLE) {
        say(cli->out, "%s  %-20s  %-24s  %s", json_text(event, "at"), json_text(event, "event"),
            json_text(event, "resource"), json_text(event, "text"));
    } else if (cli->output == OUTPUT_NAME) {
        say(cli->out, "%s", json_text(event, "event"));
    } else {
        text = json_dumps(event, JSON_COMPACT);
        say(cli->out, "%s", text ? text : "{}");
    }
    fflush(cli->out);
}

static void line_take(struct stream *s)
{
    const char *line = (const char *)s->line.data;
    size_t bytes = s->line.used;

    bytes -= bytes && line[bytes - 1] == '\r';
    if (bytes > 5 && memcmp(line, "data:", 5) == 0) {
        size_t skip = 5 + (line[5] == ' ');

        bytes_put(&s->data, line + skip, bytes - skip);
    } else if (bytes == 0 && s->data.used) {
        json_t *event = json_loadb((const char *)s->data.data, s->data.used, 0, NULL);

        if (json_is_object(event)) {
            event_print(s->cli, event);
        }
        json_decref(event);
        bytes_reset(&s->data);
    }
    bytes_reset(&s->line);
}

static int on_piece(const char *piece, size_t bytes, void *data)
{
    struct stream *s = data;

    for (size_t i = 0; i < bytes; i++) {
        if (piece[i] == '\n') {
            line_take(s);
        } else {
            bytes_put_u8(&s->line, (uint8_t)piece[i]);
        }
    }
    if (s->line.error || s->data.error) {
        complain(s->cli, 0, "an event is larger than %u KiB", EVENT_BYTES_MAX >> 10);
        return 1;
    }
    return ferror(s->cli->out);
}

static int events_follow(struct cli *cli, const char *limit)
{
    CLEANUP(memory_freep) char *path = text_make("/v1/events?follow=true&limit=%s", limit);
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    struct stream stream = { .cli = cli };
    struct request request = {
        .method = "GET", .path = path, .wait_ns = UINT64_MAX, .on_piece = on_piece, .data = &stream
    };
    int r;

    bytes_init(&stream.line, EVENT_BYTES_MAX);
    bytes_init(&stream.data, EVENT_BYTES_MAX);
    r = center_ask(cli, &request, &answer);
    if (!r && answer.status / 100 != 2) {
        r = answer_check(cli, &answer, NULL);
    } else if (!r) {
        r = complain(cli, EXIT_NO_CENTER, "the center at %s ended the stream of events", cli->home);
    }
    bytes_deinit(&stream.line);
    bytes_deinit(&stream.data);
    return r;
}

int events_run(struct cli *cli, const struct arguments *arguments)
{
    const char *limit = option_value(arguments, "limit", "100");
    CLEANUP(answer_deinit) struct answer answer = { 0 };
    CLEANUP(memory_freep) char *path = text_make("/v1/events?limit=%s", limit);
    json_t *event;
    size_t i;
    int r;

    if (*limit == 0 || strlen(limit) > 6 || strspn(limit, "0123456789") != strlen(limit) ||
        strtoul(limit, NULL, 10) > EVENTS_MAX) {
        return complain(cli, EXIT_USAGE, "--limit is a number from 0 to %d, not '%s'", EVENTS_MAX,
                        limit);
    }
    if (option_given(arguments, "follow")) {
        return events_follow(cli, limit);
    }
    r = center_get(cli, path, &answer);
    if (r) {
        return r;
    }
    if (cli->output == OUTPUT_JSON || cli->output == OUTPUT_YAML) {
        show_value(cli, answer.json);
        return EXIT_DONE;
    }
    json_array_foreach(json_object_get(answer.json, "items"), i, event)
    {
        event_print(cli, event);
    }
    return EXIT_DONE;
}
