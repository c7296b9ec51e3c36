/* cli/options.h - the command line: finds the verb in the table, checks options and positionals
 * against it.
 *
 * Options may stand anywhere before "--" (before the first positional, for a verb with VERB_REST);
 * "--name=value",
 * "--name value", "-n value", "-nvalue" and joined flags ("-fq") are the same as everywhere. Values
 * are borrowed from argv. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli/cli.h"

#define ARGUMENTS_MAX 4096

struct given { /* one option as it was given */
    const struct option *option;
    const char *value; /* NULL for a flag */
};

struct arguments {
    const struct verb *verb;
    size_t given_count, positional_count;
    struct given *given;
    const char **positional; /* ends with NULL */
    bool help;
    const char *group; /* `rhodes link --help`: the group whose list is wanted, or NULL */
    const char *home, *output;
    bool quiet;
};

/* The options that every verb has (help, home, quiet), then -o; ends with an option without a name.
 */
extern const struct option options_common[];
extern const struct option option_output;

/* Reads argv[1..]. 0; or INVALID with a sentence in *ret_why (to free) and the verb in ret->verb
 * when it was clear. ret->verb is NULL after 0 only when no verb was given (help may be set). Free
 * with arguments_deinit in every case. */
int arguments_parse(int argc, char *const *argv, const struct verb *table, struct arguments *ret,
                    char **ret_why) MUST_CHECK;
void arguments_deinit(struct arguments *a);

bool option_given(const struct arguments *a, const char *name);
/* The last value given, or `otherwise`. */
const char *option_value(const struct arguments *a, const char *name, const char *otherwise);
/* The value of the i-th time that it was given, NULL at the end. */
const char *option_each(const struct arguments *a, const char *name, size_t i);

/* How far apart two words are (insertions, deletions, changes, neighbours swapped), at most 64
 * bytes of each. */
size_t word_distance(const char *a, const char *b);
/* The verb or group whose name is nearest to `word`, NULL when none is near enough to be meant. */
const char *verb_nearest(const struct verb *table, const char *word);

/* Reads "50ms", "5s", "2m", "100us", "1h". INVALID. 0 is allowed without a unit. */
int duration_parse(const char *text, uint64_t *ret_ns) MUST_CHECK;

#endif
