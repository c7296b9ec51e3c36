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

static void line_begin(FILE *out, unsigned depth)
{
    fprintf(out, "\n%*s", (int)(2 * depth), "");
}

static void scalar_print(FILE *out, const json_t *value)
{
    CLEANUP(memory_freep)
    char *text = json_is_real(value) ? text_real(json_real_value(value))
                                     : json_dumps(value, JSON_ENCODE_ANY);

    quoted_print(out, text ? text : "null");
}

/* As jansson writes it, but for real numbers: it has one precision for all, and 0.1 would come out
 * as 0.10000000000000001. Recursion: the value came through a decoder with a bound on depth. */
static void json_print(FILE *out, const json_t *value, unsigned depth)
{
    const char *name, *between = "";
    json_t *member;
    size_t i;

    if (json_object_size(value) == 0 && json_array_size(value) == 0) {
        scalar_print(out, value);
        return;
    }
    fputc(json_is_object(value) ? '{' : '[', out);
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        json_t *key = json_string(name);

        fputs(between, out);
        line_begin(out, depth + 1);
        scalar_print(out, key);
        fputs(": ", out);
        json_print(out, member, depth + 1);
        json_decref(key);
        between = ",";
    }
    json_array_foreach(value, i, member)
    {
        fputs(i ? "," : "", out);
        line_begin(out, depth + 1);
        json_print(out, member, depth + 1);
    }
    line_begin(out, depth);
    fputc(json_is_object(value) ? '}' : ']', out);
}

void show_value(struct cli *cli, const json_t *value)
{
    CLEANUP(memory_freep) char *yaml = NULL;

    if (cli->output != OUTPUT_YAML) {
        json_print(cli->out, value, 0);
        fputc('\n', cli->out);
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

        show_value(cli, list);
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
