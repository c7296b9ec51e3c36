/* cli/value.h - typed values of a call from and to JSON, by the type that is bound.
 *
 * How JSON stands for a type: integers as numbers (of 64 bits also as decimal texts; written as
 * texts beyond 2^63-1), floats as numbers or "nan", "inf", "-inf", chars, strings and enum cases as
 * texts, records as objects, lists and tuples as lists, an absent option as null, and an option
 * directly within an option as {"some": value}. A list<u8> is a text: its own bytes, hex:00ff, or
 * @FILE; written as a text when it is printable UTF-8, else as hex:.. (a list of numbers is taken
 * too). */
#ifndef CLI_VALUE_H
#define CLI_VALUE_H

#include <jansson.h>

#include "base/result.h"
#include "rhodes/value.h"

#define VALUE_DEPTH_MAX      64
#define VALUE_FILE_BYTES_MAX (16u << 20)

struct value_why {
    char where[128]; /* "frame", "options.mtu", "list[3]" */
    char text[192];
};

/* Puts `value` as the next value of the writer, which is of type `type`. INVALID with *why, or what
 * the writer says. */
int value_put(struct rhodes_writer *w, const struct rhodes_type *type, const json_t *value,
              struct value_why *why) MUST_CHECK;
/* Gets the next value of the reader. GARBAGE as the reader says; -ENOMEM. */
int value_get(struct rhodes_reader *r, const struct rhodes_type *type, json_t **ret) MUST_CHECK;

/* Puts the arguments of a call, `parameters` being their record, from words: one JSON object or
 * list, or NAME=VALUE each. */
int words_put(struct rhodes_writer *w, const struct rhodes_type *parameters,
              const char *const *words, size_t count, struct value_why *why) MUST_CHECK;

/* "list<u8>", "record", ... for messages; for the caller to free. */
char *type_text(const struct rhodes_type *type);

#endif
