/* Problem documents of RFC 9457 in the form of a compiler's messages: FILE:LINE:COLUMN: CODE title:
 * detail, then the rule that decided and what to do. The titles come from protocol/problems.def by
 * code, so each of several refusals has its own, which the document itself does not carry. */
#include "cli/problem.h"

#include <string.h>

#include "cli/text.h"

const struct problem_text problem_texts[] = {
#define PROBLEM(name, number, verdict, title, hint) { #name, number, #verdict, title, hint },
#include "rhodes/problems.def"
#undef PROBLEM
    { NULL, 0, NULL, NULL, NULL },
};

const struct verdict_text verdict_texts[] = {
#define RHODES_VERDICT(name, number, status, sentence) { #name, number, status, sentence },
#include "rhodes/verdicts.def"
#undef RHODES_VERDICT
    { NULL, 0, 0, NULL },
};

size_t problems_count(void)
{
    return sizeof(problem_texts) / sizeof(problem_texts[0]) - 1;
}

int problem_status(const struct problem_text *problem)
{
    static const struct {
        const char *name;
        int status;
    } others[] = {
#define PROBLEM(name, number, verdict, title, hint)
#define PROBLEM_STATUS(name, status) { #name, status },
#include "rhodes/problems.def"
#undef PROBLEM_STATUS
#undef PROBLEM
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(others[i].name, problem->name) == 0) {
            return others[i].status;
        }
    }
    for (const struct verdict_text *v = verdict_texts; v->name; v++) {
        if (strcmp(v->name, problem->verdict) == 0) {
            return v->status;
        }
    }
    return 0;
}

int status_exit(long status)
{
    switch (status) {
    case 403:
        return EXIT_REFUSED;
    case 409:
    case 412:
    case 428:
        return EXIT_CONFLICT;
    default:
        return EXIT_FAILED;
    }
}

static const char *title_find(const char *code)
{
    for (const struct problem_text *p = problem_texts; p->name; p++) {
        char own[16];

        snprintf(own, sizeof(own), "RH%d", p->number);
        if (strcmp(own, code) == 0) {
            return p->title;
        }
    }
    return NULL;
}

/* "web.yaml:17:9: " for a pointer into what was sent, "rhodes: " when it names nothing there. */
static char *place_make(const char *pointer, const char *code, const struct origin *origin)
{
    unsigned long index = 0;
    char *end = NULL;

    if (origin && origin->manifests && strncmp(pointer, "/documents/", 11) == 0) {
        index = strtoul(pointer + 11, &end, 10);
        if (end != pointer + 11 && index < origin->manifests->count && (*end == '/' || *end == 0)) {
            const struct document *d = &origin->manifests->documents[index];
            bool key = strcmp(code, "RH1002") == 0 || strcmp(code, "RH1008") == 0;
            unsigned line = 0, column = 0;

            document_place(d, end, key, &line, &column);
            return text_make("%s:%u:%u: ", d->source, line, column);
        }
    }
    if (origin && strncmp(pointer, "/delete/", 8) == 0) {
        index = strtoul(pointer + 8, &end, 10);
        if (end != pointer + 8 && index < origin->deletions_count) {
            return text_make("delete %s: ", origin->deletions[index]);
        }
    }
    /* A verb that made the document itself has no place to show. */
    return origin && *pointer ? text_make("rhodes: %s: ", pointer) : text_make("rhodes: ");
}

static void refusal_print(struct cli *cli, const json_t *refusal, const struct origin *origin)
{
    const char *code = json_text(refusal, "code"), *detail = json_text(refusal, "detail");
    const char *title = title_find(code), *rule = json_text(refusal, "rule");
    CLEANUP(memory_freep) char *place = place_make(json_text(refusal, "pointer"), code, origin);
    CLEANUP(memory_freep) char *place_escaped = text_escape(place, strlen(place));

    title = title ? title : json_text(refusal, "title");
    fprintf(cli->err, "%s%s%s", place_escaped, cli->colour_err ? "\033[31m" : "", "");
    say(cli->err, "%s%s%s%s%s", code, *code ? " " : "", title, *title && *detail ? ": " : "",
        detail);
    fputs(cli->colour_err ? "\033[0m" : "", cli->err);
    if (*rule && json_is_integer(json_object_get(refusal, "revision"))) {
        say(cli->err, "  rule: %s of revision %llu", rule,
            (unsigned long long)json_number(refusal, "revision"));
    } else if (*rule) {
        say(cli->err, "  rule: %s", rule);
    }
    if (*json_text(refusal, "hint")) {
        say(cli->err, "  hint: %s", json_text(refusal, "hint"));
    }
}

void manifest_error_print(struct cli *cli, const char *source, const struct manifest_error *error)
{
    CLEANUP(memory_freep)
    char *place =
        error->line ? text_make("%s:%u:%u", source, error->line, error->column) : text_copy(source);
    CLEANUP(memory_freep) char *code = text_make("RH%d", error->code);
    const char *title = title_find(code);

    say(cli->err, "%s: %s %s: %s", place, code, title ? title : "", error->text);
}

int answer_check(struct cli *cli, const struct answer *answer, const struct origin *origin)
{
    const json_t *refusals = json_object_get(answer->json, "refusals");
    size_t count = json_array_size(refusals), total;

    if (answer->status / 100 == 2) {
        return answer->json ? 0 : complain(cli, EXIT_FAILED, "the center's answer is not JSON");
    }
    fflush(cli->out);
    if (!json_is_object(answer->json)) {
        return complain(cli, status_exit(answer->status), "the center answered HTTP %ld",
                        answer->status);
    }
    for (size_t i = 0; i < count; i++) {
        refusal_print(cli, json_array_get(refusals, i), origin);
    }
    if (count == 0) {
        refusal_print(cli, answer->json, origin);
    }
    total = json_number(answer->json, "refusalsTotal");
    if (total > count && count) {
        say(cli->err, "  and %zu more", total - count);
    }
    return status_exit(answer->status);
}
