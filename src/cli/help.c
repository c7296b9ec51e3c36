/* The words of the table, three times: one line for a mistake, a page for --help, and docs/cli.md.
 */
#include "cli/help.h"

#include <string.h>

#include "cli/options.h"
#include "cli/text.h"

static void option_usage(FILE *out, const struct option *o, bool needed)
{
    if (!o->help) {
        return;
    }
    fputs(needed ? " " : " [", out);
    if (o->letter) {
        fprintf(out, "-%c", o->letter);
    } else {
        fprintf(out, "--%s", o->name);
    }
    fprintf(out, "%s%s%s%s", o->argument ? " " : "", o->argument ? o->argument : "",
            needed ? "" : "]", o->repeat ? "..." : "");
}

static void usage_words(FILE *out, const struct verb *verb)
{
    fprintf(out, "rhodes %s", verb->name);
    if (*verb->positional && !(verb->flags & VERB_REST)) {
        fprintf(out, " %s", verb->positional);
    }
    for (size_t i = 0; i < VERB_OPTIONS_MAX && verb->options[i].name; i++) {
        option_usage(out, &verb->options[i], i == 0 && verb->flags & VERB_NEEDS);
    }
    if (verb->flags & VERB_OUTPUT) {
        option_usage(out, &option_output, false);
    }
    if (verb->flags & VERB_REST) {
        fprintf(out, " %s", verb->positional);
    }
}

void usage_print(FILE *out, const struct verb *verb)
{
    fputs("usage: ", out);
    usage_words(out, verb);
    fputc('\n', out);
}

static void option_help(FILE *out, const struct option *o)
{
    char left[96];
    int n;

    if (!o->help) {
        return;
    }
    n = snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
                 o->argument ? " " : "", o->argument ? o->argument : "");

    if (n > 26) {
        fprintf(out, "  %s\n  %-26s %s\n", left, "", o->help);
    } else {
        fprintf(out, "  %-26s %s\n", left, o->help);
    }
}

static void options_help(FILE *out, const struct verb *verb)
{
    fputs("\noptions:\n", out);
    for (size_t i = 0; i < VERB_OPTIONS_MAX && verb->options[i].name; i++) {
        option_help(out, &verb->options[i]);
    }
    if (verb->flags & VERB_OUTPUT) {
        option_help(out, &option_output);
    }
    for (size_t i = 0; options_common[i].name; i++) {
        option_help(out, &options_common[i]);
    }
}

static void lines_print(FILE *out, const char *before, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");

        fprintf(out, "%s%.*s\n", n ? before : "", (int)n, text);
        text += n + (text[n] != 0);
    }
}

void help_verb_print(FILE *out, const struct verb *verb)
{
    usage_print(out, verb);
    fprintf(out, "\n%s.\n", verb->summary);
    if (verb->detail) {
        fputc('\n', out);
        lines_print(out, "", verb->detail);
    }
    options_help(out, verb);
    fputs("\nexample:\n", out);
    lines_print(out, "  ", verb->example);
}

static bool in_group(const struct verb *v, const char *group)
{
    size_t n = group ? strlen(group) : 0;

    return !group || (strncmp(v->name, group, n) == 0 && (v->name[n] == ' ' || v->name[n] == 0));
}

static const char exit_codes[] =
    "0 done, 1 failed or not valid, 2 usage, 3 not in force everywhere in time,\n"
    "4 refused by a rule, 5 conflict, 6 no center";

void help_list_print(FILE *out, const char *group)
{
    fprintf(out, "usage: rhodes %s [OPTION]... [ARGUMENT]...\n\n", group ? group : "VERB");
    for (const struct verb *v = verbs; v->name; v++) {
        if (in_group(v, group)) {
            fprintf(out, "  %-12s %s\n", v->name, v->summary);
        }
    }
    fprintf(out, "\nrhodes help VERB, or rhodes VERB --help, shows a verb with an example.\n\nexit "
                 "codes:\n");
    lines_print(out, "  ", exit_codes);
}

static void option_markdown(FILE *out, const struct option *o)
{
    if (!o->help) {
        return;
    }
    fputs("| ", out);
    if (o->letter) {
        fprintf(out, "`-%c`, ", o->letter);
    }
    fprintf(out, "`--%s%s", o->name, o->argument ? " " : "");
    for (const char *c = o->argument ? o->argument : ""; *c; c++) {
        fprintf(out, *c == '|' ? "\\|" : "%c", *c);
    }
    fprintf(out, "` | %s%s |\n", o->help, o->repeat ? "; may be repeated" : "");
}

static void verb_markdown(FILE *out, const struct verb *v)
{
    fprintf(out, "\n## rhodes %s\n\n%s.\n\n```\n", v->name, v->summary);
    usage_words(out, v);
    fputs("\n```\n", out);
    if (v->detail) {
        fprintf(out, "\n%s\n", v->detail);
    }
    if (v->options[0].name && v->options[0].help) {
        fputs("\n| Option | Meaning |\n| --- | --- |\n", out);
    }
    for (size_t i = 0; i < VERB_OPTIONS_MAX && v->options[i].name; i++) {
        option_markdown(out, &v->options[i]);
    }
    fprintf(out, "\nExample:\n\n```\n%s\n```\n", v->example);
}

static void markdown_print(FILE *out)
{
    fputs("# rhodes, the command\n\n"
          "<!-- Made by `rhodes help --markdown > docs/cli.md`; a test compares them. -->\n\n"
          "Everything that it does goes through the center's REST API or an agent's socket. Every "
          "verb takes these options:\n\n"
          "| Option | Meaning |\n| --- | --- |\n",
          out);
    for (size_t i = 0; options_common[i].name; i++) {
        option_markdown(out, &options_common[i]);
    }
    fputs("\nVerbs that print objects take `-o table|json|yaml|name`. Colours appear only on a "
          "terminal, and never when "
          "`NO_COLOR` is set.\n\n"
          "| Exit code | Meaning |\n| --- | --- |\n"
          "| 0 | done |\n| 1 | failed, or what was given is not valid |\n| 2 | usage |\n"
          "| 3 | stored, but not every agent has it in force in time |\n| 4 | refused by a rule "
          "|\n| 5 | conflict |\n"
          "| 6 | no center |\n",
          out);
    for (const struct verb *v = verbs; v->name; v++) {
        verb_markdown(out, v);
    }
}

int help_run(struct cli *cli, const struct arguments *arguments)
{
    const char *first = arguments->positional[0], *second = first ? arguments->positional[1] : NULL;
    CLEANUP(memory_freep)
    char *name = text_make("%s%s%s", first ? first : "", second ? " " : "", second ? second : "");
    const char *near;
    bool group = false;

    if (option_given(arguments, "markdown")) {
        markdown_print(cli->out);
        return EXIT_DONE;
    }
    if (!first) {
        help_list_print(cli->out, NULL);
        return EXIT_DONE;
    }
    for (const struct verb *v = verbs; v->name; v++) {
        if (strcmp(v->name, name) == 0) {
            help_verb_print(cli->out, v);
            return EXIT_DONE;
        }
        group = group || (in_group(v, name) && !second);
    }
    if (group) {
        help_list_print(cli->out, name);
        return EXIT_DONE;
    }
    near = verb_nearest(verbs, name);
    return near ? complain(cli, EXIT_USAGE, "no verb '%s'; did you mean '%s'?", name, near)
                : complain(cli, EXIT_USAGE, "no verb '%s'; rhodes help lists them", name);
}
