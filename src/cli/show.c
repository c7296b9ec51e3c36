/* JSON goes to a terminal as it came, but for the characters that JSON itself allows in texts and
 * terminals obey: DEL and the C1 controls are written as \uNNNN, which every reader takes for the
 * same. */
#include "cli/show.h"

#include <string.h>

#include "base/clock.h"
#include "cli/text.h"
#include "cli/yaml.h"

/* Characters beyond ASCII, and the controls, stand only within double quotes in what is printed
 * here; there \uNNNN is the same character for every reader of JSON and of YAML. */
static void quoted_print(FILE *out, const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        uint32_t point = 0;
        size_t n = text_point(text, left, &point);

        if (n && point != '\n' && !point_is_plain(point)) {
            fprintf(out, "\\u%04x", point);
        } else {
            fwrite(text, 1, n ? n : 1, out);
        }
        text += n ? n : 1;
        left -= n ? n : 1;
    }
}

static void json_print(struct cli *cli, const json_t *value)
{
    CLEANUP(memory_freep) char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);

    if (!text) {
        complain(cli, 0, "the answer cannot be written as JSON");
        return;
    }
    quoted_print(cli->out, text);
    fputc('\n', cli->out);
}

void show_value(struct cli *cli, const json_t *value)
{
    CLEANUP(memory_freep) char *yaml = NULL;

    if (cli->output != OUTPUT_YAML) {
        json_print(cli, value);
        return;
    }
    yaml = yaml_make(value);
    if (!yaml) {
        complain(cli, 0, "the answer cannot be written as YAML");
        return;
    }
    quoted_print(cli->out, yaml);
}

void show_items(struct cli *cli, const json_t *items)
{
    json_t *item;
    size_t i;

    if (cli->output != OUTPUT_YAML) {
        json_t *list = json_pack("{s:O}", "items", items);

        json_print(cli, list);
        json_decref(list);
        return;
    }
    json_array_foreach(items, i, item)
    {
        fputs(i ? "---\n" : "", cli->out);
        show_value(cli, item);
    }
}

void progress_show(struct cli *cli, const char *what, uint64_t began_ns, uint64_t *shown)
{
    uint64_t took_ns = clock_ns() - began_ns;

    if (!cli->quiet && took_ns > NS_PER_S / 2 && took_ns / NS_PER_S + 1 != *shown &&
        isatty(fileno(cli->err))) {
        *shown = took_ns / NS_PER_S + 1;
        fprintf(cli->err, "\r%s (%llu s)\033[K", what, (unsigned long long)(took_ns / NS_PER_S));
        fflush(cli->err);
    }
}

void progress_end(struct cli *cli, uint64_t shown)
{
    if (shown) {
        fputs("\r\033[K", cli->err);
        fflush(cli->err);
    }
}
