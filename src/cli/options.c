/* The command line, judged against the table of verbs before anything is done: an unknown or
 * missing word costs nothing and names its nearest neighbour. getopt_long is not used, since it
 * keeps mutable globals, accepts abbreviations that later versions make ambiguous, and prints by
 * itself. */
#include "cli/options.h"

#include <assert.h>
#include <string.h>

#include "cli/text.h"

const struct option options_common[] = {
    { 'h', "help", NULL, "show the help of this verb", false },
    { 0, "home", "DIR",
      "where the center lives (default: $RHODES_HOME, else ~/.local/state/rhodes)", false },
    { 'q', "quiet", NULL, "print only errors and what was asked for", false },
    { 0, NULL, NULL, NULL, false },
};
const struct option option_output = { 'o', "output", "table|json|yaml|name", "how to print",
                                      false };

#define WORD_BYTES_MAX 64

size_t word_distance(const char *a, const char *b)
{
    size_t rows = strnlen(a, WORD_BYTES_MAX), columns = strnlen(b, WORD_BYTES_MAX);
    size_t d[WORD_BYTES_MAX + 1][WORD_BYTES_MAX + 1];

    for (size_t i = 0; i <= rows; i++) {
        for (size_t j = 0; j <= columns; j++) {
            size_t least;

            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            least = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            least = d[i - 1][j] + 1 < least ? d[i - 1][j] + 1 : least;
            least = d[i][j - 1] + 1 < least ? d[i][j - 1] + 1 : least;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < least) {
                least = d[i - 2][j - 2] + 1;
            }
            d[i][j] = least;
        }
    }
    return d[rows][columns];
}

/* Near enough: a third of the word may differ, or one begins with the other. SIZE_MAX: not meant.
 */
static size_t word_score(const char *word, const char *candidate)
{
    size_t distance = word_distance(word, candidate), bytes = strlen(word);

    if (distance <= 1 + bytes / 4 && distance < strlen(candidate)) {
        return distance;
    }
    return bytes >= 2 && strncmp(word, candidate, bytes) == 0 ? bytes + 8 : SIZE_MAX;
}

const char *verb_nearest(const struct verb *table, const char *word)
{
    const char *best = NULL;
    size_t best_score = SIZE_MAX;

    for (const struct verb *v = table; v->name; v++) {
        char first[WORD_BYTES_MAX + 1];
        const char *candidates[2] = { v->name, first };

        snprintf(first, sizeof(first), "%.*s", (int)strcspn(v->name, " "), v->name);
        for (size_t i = 0; i < 2; i++) {
            size_t score = word_score(word, candidates[i]);

            if (score < best_score) {
                best_score = score;
                best = v->name;
            }
        }
    }
    return best;
}

static const struct option *option_find(const struct verb *verb, const char *name, size_t bytes,
                                        char letter)
{
    const struct option *lists[3] = { options_common, NULL, NULL };
    size_t counts[3] = { 3, 0, 0 };

    if (verb) {
        lists[1] = verb->options;
        counts[1] = VERB_OPTIONS_MAX;
        lists[2] = &option_output;
        counts[2] = verb->flags & VERB_OUTPUT ? 1 : 0;
    }
    for (size_t l = 0; l < 3; l++) {
        for (size_t i = 0; i < counts[l] && lists[l][i].name; i++) {
            const struct option *o = &lists[l][i];

            if (name ? strlen(o->name) == bytes && memcmp(o->name, name, bytes) == 0
                     : o->letter == letter) {
                return o;
            }
        }
    }
    return NULL;
}

static char *option_unknown(const struct verb *verb, const char *word)
{
    const char *best = NULL;
    size_t best_score = SIZE_MAX;
    char name[WORD_BYTES_MAX + 1];

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
    for (int list = 0; list < 3; list++) {
        const struct option *o = list == 0           ? options_common
                                 : list == 1 && verb ? verb->options
                                                     : &option_output;
        size_t count = list == 0           ? 3
                       : list == 1 && verb ? VERB_OPTIONS_MAX
                                           : verb && verb->flags & VERB_OUTPUT;

        for (size_t i = 0; i < count && o[i].name; i++) {
            size_t score = word_score(name, o[i].name);

            if (score < best_score) {
                best_score = score;
                best = o[i].name;
            }
        }
    }
    return best ? text_make("unknown option '%s'; did you mean '--%s'?", word, best)
                : text_make("unknown option '%s'", word);
}

static bool choice_allows(const char *choices, const char *value)
{
    size_t bytes = strlen(value);

    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
        if (strcspn(at, "|") == bytes && memcmp(at, value, bytes) == 0) {
            return true;
        }
    }
    return false;
}

static int option_take(struct arguments *a, const struct option *o, const char *value,
                       char **ret_why)
{
    if (o->argument && strchr(o->argument, '|') && !choice_allows(o->argument, value)) {
        *ret_why = text_make("--%s is one of %s, not '%s'", o->name, o->argument, value);
        return RHODES_INVALID;
    }
    if (o == &options_common[0]) {
        a->help = true;
    } else if (o == &options_common[1]) {
        a->home = value;
    } else if (o == &options_common[2]) {
        a->quiet = true;
    } else if (o == &option_output) {
        a->output = value;
    } else {
        if (!o->repeat && option_given(a, o->name)) {
            *ret_why = text_make("--%s is given twice", o->name);
            return RHODES_INVALID;
        }
        a->given[a->given_count++] = (struct given){ o, value };
    }
    return 0;
}

/* "--name", "--name=value", "--name value": *at moves on when the next word is used. */
static int long_take(struct arguments *a, int argc, char *const *argv, int *at, char **ret_why)
{
    const char *word = argv[*at] + 2, *equals = strchr(word, '='), *value = NULL;
    const struct option *o = option_find(a->verb, word, strcspn(word, "="), 0);

    if (!o) {
        *ret_why = option_unknown(a->verb, argv[*at]);
        return RHODES_INVALID;
    }
    if (o->argument) {
        value = equals ? equals + 1 : *at + 1 < argc ? argv[++*at] : NULL;
        if (!value) {
            *ret_why = text_make("--%s needs %s", o->name, o->argument);
            return RHODES_INVALID;
        }
    } else if (equals) {
        *ret_why = text_make("--%s takes no value", o->name);
        return RHODES_INVALID;
    }
    return option_take(a, o, value, ret_why);
}

static int short_take(struct arguments *a, int argc, char *const *argv, int *at, char **ret_why)
{
    for (const char *letter = argv[*at] + 1; *letter; letter++) {
        const struct option *o = option_find(a->verb, NULL, 0, *letter);
        const char *value = NULL;
        int r;

        if (!o) {
            *ret_why = text_make("unknown option '-%c'", *letter);
            return RHODES_INVALID;
        }
        if (o->argument) {
            value = letter[1] ? letter + 1 : *at + 1 < argc ? argv[++*at] : NULL;
            if (!value) {
                *ret_why = text_make("-%c needs %s", o->letter, o->argument);
                return RHODES_INVALID;
            }
        }
        r = option_take(a, o, value, ret_why);
        if (r || value) {
            return r;
        }
    }
    return 0;
}

/* The verb that argv[at] (and argv[at + 1], for a group) names; *ret_words is how many words that
 * took. */
static const struct verb *verb_find(const struct verb *table, const char *first, const char *second,
                                    int *ret_words)
{
    for (const struct verb *v = table; v->name; v++) {
        size_t n = strcspn(v->name, " ");

        if (strlen(first) != n || memcmp(v->name, first, n) != 0) {
            continue;
        }
        if (v->name[n] == 0 || (second && strcmp(v->name + n + 1, second) == 0)) {
            *ret_words = v->name[n] ? 2 : 1;
            return v;
        }
    }
    return NULL;
}

static char *group_words(const struct verb *table, const char *first)
{
    char *words = text_copy("");

    for (const struct verb *v = table; v->name; v++) {
        size_t n = strlen(first);

        if (strncmp(v->name, first, n) == 0 && v->name[n] == ' ') {
            char *more = text_make("%s%s%s", words, *words ? ", " : "", v->name + n + 1);

            free(words);
            words = more;
        }
    }
    return words;
}

static int verb_take(struct arguments *a, const struct verb *table, int argc, char *const *argv,
                     int *at, char **ret_why)
{
    const char *first = argv[*at], *second = *at + 1 < argc ? argv[*at + 1] : NULL, *near;
    CLEANUP(memory_freep) char *group = NULL;
    int words = 0;

    a->verb = verb_find(table, first, second, &words);
    if (a->verb) {
        *at += words - 1;
        return 0;
    }
    group = group_words(table, first);
    if (*group && (second ? strcmp(second, "--help") == 0 || strcmp(second, "-h") == 0 : a->help)) {
        *at = argc; /* `rhodes link --help`: the list of the group */
        a->help = true;
        a->group = first;
        return 0;
    }
    if (*group) {
        CLEANUP(memory_freep) char *both = text_make("%s %s", first, second ? second : "");

        near = second ? verb_nearest(table, both) : NULL;
        *ret_why = near ? text_make("no verb '%s'; did you mean '%s'?", both, near)
                        : text_make("'%s' is followed by one of: %s", first, group);
        return RHODES_INVALID;
    }
    near = verb_nearest(table, first);
    *ret_why = near ? text_make("no verb '%s'; did you mean '%s'?", first, near)
                    : text_make("no verb '%s'; rhodes help lists them", first);
    return RHODES_INVALID;
}

static int positional_check(const struct arguments *a, char **ret_why)
{
    const struct verb *v = a->verb;

    if (!v || a->help) {
        return 0;
    }
    if (v->positional_max >= 0 && a->positional_count > (size_t)v->positional_max) {
        *ret_why = text_make("unexpected argument '%s'", a->positional[v->positional_max]);
        return RHODES_INVALID;
    }
    if (a->positional_count < (size_t)v->positional_min) {
        *ret_why = text_make("%s needs %s", v->name, v->positional);
        return RHODES_INVALID;
    }
    return 0;
}

/* A negative number is a value; and a verb with VERB_PASS hands on the options that it does not
 * know. */
static bool option_passes(const struct verb *verb, const char *word)
{
    if (verb && word[1] >= '0' && word[1] <= '9') {
        return true;
    }
    if (!verb || !(verb->flags & VERB_PASS) || strcmp(word, "--") == 0) {
        return false;
    }
    return word[1] == '-' ? !option_find(verb, word + 2, strcspn(word + 2, "="), 0)
                          : !option_find(verb, NULL, 0, word[1]);
}

int arguments_parse(int argc, char *const *argv, const struct verb *table, struct arguments *ret,
                    char **ret_why)
{
    bool ended = false;

    *ret = (struct arguments){ 0 };
    if (argc > ARGUMENTS_MAX) {
        *ret_why = text_make("more than %d words", ARGUMENTS_MAX);
        return RHODES_INVALID;
    }
    ret->given = memory_make(((size_t)argc + VERB_OPTIONS_MAX) * sizeof(*ret->given));
    ret->positional = memory_make((size_t)(argc + 2) * sizeof(*ret->positional));
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];
        int r = 0;

        if (ended && !ret->verb) {
            *ret_why = text_make("a verb stands before '--', not after it: '%s'", word);
            return RHODES_INVALID;
        }

        if (ended || word[0] != '-' || word[1] == 0 || option_passes(ret->verb, word)) {
            if (!ret->verb) {
                r = verb_take(ret, table, argc, argv, &at, ret_why);
            } else {
                ret->positional[ret->positional_count++] = word;
                ended = ended || ret->verb->flags & VERB_REST;
            }
        } else if (strcmp(word, "--") == 0) {
            ended = true;
        } else if (!ret->verb && strcmp(word, "--version") == 0) {
            char *const version[] = { argv[0], (char *)(uintptr_t) "version", NULL };
            int first = 1;

            r = verb_take(ret, table, 2, version, &first, ret_why);
        } else if (word[1] == '-') {
            r = long_take(ret, argc, argv, &at, ret_why);
        } else {
            r = short_take(ret, argc, argv, &at, ret_why);
        }
        if (r) {
            return r;
        }
    }
    return positional_check(ret, ret_why);
}

void arguments_deinit(struct arguments *a)
{
    free(a->given);
    free(a->positional);
    *a = (struct arguments){ 0 };
}

const char *option_each(const struct arguments *a, const char *name, size_t i)
{
    for (size_t at = 0; at < a->given_count; at++) {
        if (strcmp(a->given[at].option->name, name) == 0 && i-- == 0) {
            return a->given[at].value;
        }
    }
    return NULL;
}

bool option_given(const struct arguments *a, const char *name)
{
    for (size_t at = 0; at < a->given_count; at++) {
        if (strcmp(a->given[at].option->name, name) == 0) {
            return true;
        }
    }
    return false;
}

const char *option_value(const struct arguments *a, const char *name, const char *otherwise)
{
    for (size_t at = a->given_count; at > 0; at--) {
        if (strcmp(a->given[at - 1].option->name, name) == 0) {
            return a->given[at - 1].value;
        }
    }
    return otherwise;
}

int duration_parse(const char *text, uint64_t *ret_ns)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = { { "us", 1000 },
                  { "ms", 1000000 },
                  { "s", 1000000000 },
                  { "m", 60000000000 },
                  { "h", 3600000000000 } };
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;

    if (digits == 0 || digits > 15) {
        return RHODES_INVALID;
    }
    for (size_t i = 0; i < digits; i++) {
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    if (text[digits] == 0 && number == 0) {
        *ret_ns = 0;
        return 0;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].unit) == 0 && number <= UINT64_MAX / 4 / units[i].ns) {
            *ret_ns = number * units[i].ns;
            return 0;
        }
    }
    return RHODES_INVALID;
}
