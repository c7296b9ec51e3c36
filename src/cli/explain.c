/* rhodes explain: what a code or a verdict means and what to do about it, from the lists that the
 * center itself is built of. */
#include <string.h>
#include <strings.h>

#include "cli/options.h"
#include "cli/problem.h"
#include "cli/show.h"
#include "cli/text.h"

static bool code_is(const struct problem_text *p, const char *word)
{
    char number[16];

    snprintf(number, sizeof(number), "RH%d", p->number);
    return strcasecmp(word, number) == 0 || strcasecmp(word, number + 2) == 0 ||
           strcasecmp(word, p->name) == 0;
}

static int problem_explain(struct cli *cli, const struct problem_text *p)
{
    CLEANUP(memory_freep) char *code = text_make("RH%d", p->number);

    if (cli->output == OUTPUT_TABLE) {
        say(cli->out, "%s %s (verdict %s, HTTP %d)", code, p->name, p->verdict, problem_status(p));
        say(cli->out, "  %s", p->title);
        say(cli->out, "  hint: %s", p->hint);
    } else if (cli->output == OUTPUT_NAME) {
        say(cli->out, "%s", code);
    } else {
        json_t *value =
            json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "code", code, "name", p->name, "verdict",
                      p->verdict, "status", problem_status(p), "title", p->title, "hint", p->hint);

        show_value(cli, value);
        json_decref(value);
    }
    return EXIT_DONE;
}

static int verdict_explain(struct cli *cli, const struct verdict_text *v)
{
    if (cli->output == OUTPUT_TABLE) {
        say(cli->out, "%s (verdict %d, HTTP %d)", v->name, v->number, v->status);
        say(cli->out, "  %s", v->sentence);
        for (const struct problem_text *p = problem_texts; p->name; p++) {
            if (strcmp(p->verdict, v->name) == 0) {
                say(cli->out, "  RH%d %s: %s", p->number, p->name, p->title);
            }
        }
    } else if (cli->output == OUTPUT_NAME) {
        say(cli->out, "%s", v->name);
    } else {
        json_t *value = json_pack("{s:s, s:i, s:i, s:s}", "verdict", v->name, "number", v->number,
                                  "status", v->status, "sentence", v->sentence);

        show_value(cli, value);
        json_decref(value);
    }
    return EXIT_DONE;
}

int explain_run(struct cli *cli, const struct arguments *arguments)
{
    const char *word = arguments->positional[0], *best = NULL;
    CLEANUP(memory_freep) char *upper = text_copy(word);
    size_t least = 4;

    for (char *c = upper; *c; c++) {
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c == '-' ? '_' : *c);
    }
    for (const struct problem_text *p = problem_texts; p->name; p++) {
        if (code_is(p, upper)) {
            return problem_explain(cli, p);
        }
        if (word_distance(upper, p->name) < least) {
            least = word_distance(upper, p->name);
            best = p->name;
        }
    }
    for (const struct verdict_text *v = verdict_texts; v->name; v++) {
        if (strcmp(v->name, upper) == 0) {
            return verdict_explain(cli, v);
        }
        if (word_distance(upper, v->name) < least) {
            least = word_distance(upper, v->name);
            best = v->name;
        }
    }
    return best ? complain(cli, EXIT_FAILED, "no code '%s'; did you mean '%s'?", word, best)
                : complain(cli, EXIT_FAILED,
                           "no code '%s'; they are RH%d to RH%d and the names of verdicts", word,
                           problem_texts[0].number,
                           problem_texts[0].number + (int)problems_count() - 1);
}
