/* The fields of a manifest, one getter per form. Every sentence names what stands there and what
 * should: a person reads it without the manual beside. */
#include "model/object_field.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const PROTOCOL_WORDS[PROTOCOLS_COUNT] = {
    [PROTOCOL_MSGQUEUE] = "msgqueue",
    [PROTOCOL_SHM] = "shm",
};

struct place place_member(const struct place *p, const char *name)
{
    struct place child = *p;

    pointer_append(child.pointer, sizeof(child.pointer), name);
    return child;
}

struct place place_element(const struct place *p, size_t index)
{
    char number[24];

    snprintf(number, sizeof(number), "%zu", index);
    return place_member(p, number);
}

const char *json_type_words(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "a mapping";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
    default:
        return "empty";
    }
}

static int wrong_type(const struct place *p, const json_t *value, const char *name,
                      const char *wanted)
{
    return refuse(p->why, PROBLEM_WRONG_TYPE, p->pointer, "%s must be %s, but it is %s", name,
                  wanted, json_type_words(value));
}

static bool is_listed(const char *name, const char *const *names)
{
    for (; *names; names++) {
        if (strcmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

int fields_check(const struct place *p, const json_t *value, const char *what,
                 const char *const *names)
{
    const char *key;
    json_t *member;

    if (!json_is_object(value)) {
        return wrong_type(p, value, what, "a mapping");
    }
    json_object_foreach((json_t *)value, key, member)
    {
        struct place at;
        char text[QUOTED_BYTES_MAX], known[256] = "";

        if (is_listed(key, names)) {
            continue;
        }
        for (size_t i = 0; names[i]; i++) {
            size_t used = strlen(known);

            snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", names[i]);
        }
        at = place_member(p, key);
        (void)refuse(p->why, PROBLEM_UNKNOWN_FIELD, at.pointer, "%s has no field %s", what,
                     text_quote(key, text));
        refusal_hint(p->why, "the fields here are: %s (docs/manifest.md)", known);
        return RHODES_INVALID;
    }
    return 0;
}

int field_missing(const struct place *p, const char *name)
{
    struct place at = place_member(p, name);

    return refuse(p->why, PROBLEM_MISSING_FIELD, at.pointer, "the field %s is missing", name);
}

int field_object(const struct place *p, json_t *o, const char *name, json_t **ret)
{
    json_t *value = json_object_get(o, name);

    if (value && !json_is_object(value)) {
        struct place at = place_member(p, name);

        return wrong_type(&at, value, name, "a mapping");
    }
    *ret = value ? value : *ret;
    return 0;
}

int field_array(const struct place *p, json_t *o, const char *name, size_t max, json_t **ret)
{
    json_t *value = json_object_get(o, name);
    struct place at;

    if (!value) {
        return 0;
    }
    at = place_member(p, name);
    if (!json_is_array(value)) {
        return wrong_type(&at, value, name, "a list");
    }
    if (json_array_size(value) > max) {
        return refuse(p->why, PROBLEM_TOO_LARGE, at.pointer,
                      "%s has %zu entries, %zu are the limit", name, json_array_size(value), max);
    }
    if (json_array_size(value) == 0) {
        json_object_del(o, name);
        return 0;
    }
    *ret = value;
    return 0;
}

int field_bool(const struct place *p, json_t *o, const char *name, bool *ret)
{
    json_t *value = json_object_get(o, name);

    if (value && !json_is_boolean(value)) {
        struct place at = place_member(p, name);

        return wrong_type(&at, value, name, "true or false");
    }
    *ret = value ? json_is_true(value) : *ret;
    return 0;
}

static int check_text(const struct place *p, const json_t *value, const char *name, size_t max,
                      const char **ret)
{
    size_t bytes;

    if (!json_is_string(value)) {
        return wrong_type(p, value, name, "a text");
    }
    bytes = json_string_length(value);
    if (bytes == 0) {
        return refuse(p->why, PROBLEM_BAD_VALUE, p->pointer, "%s is empty", name);
    }
    if (bytes > max) {
        return refuse(p->why, PROBLEM_TOO_LARGE, p->pointer, "%s has %zu bytes, %zu are the limit",
                      name, bytes, max);
    }
    if (strlen(json_string_value(value)) != bytes) {
        return refuse(p->why, PROBLEM_BAD_VALUE, p->pointer, "%s has a NUL inside", name);
    }
    *ret = json_string_value(value);
    return 0;
}

int value_text(const struct place *p, const json_t *value, size_t max, const char **ret)
{
    return check_text(p, value, "this entry", max, ret);
}

int field_text(const struct place *p, json_t *o, const char *name, size_t max, const char **ret)
{
    json_t *value = json_object_get(o, name);
    struct place at;

    if (!value) {
        return 0;
    }
    at = place_member(p, name);
    return check_text(&at, value, name, max, ret);
}

int field_word(const struct place *p, json_t *o, const char *name, const char *const *words,
               size_t count, int *ret)
{
    const char *text = NULL;
    char quoted[QUOTED_BYTES_MAX], known[128] = "";
    struct place at;
    int r = field_text(p, o, name, SIZE_MAX, &text);

    if (r) {
        return r;
    }
    if (!text) {
        return *ret >= 0 && json_object_set_new(o, name, json_string(words[*ret])) ? failed(-ENOMEM)
                                                                                   : 0;
    }
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(known);

        if (strcmp(text, words[i]) == 0) {
            *ret = (int)i;
            return 0;
        }
        snprintf(known + used, sizeof(known) - used, "%s%s", i ? " or " : "", words[i]);
    }
    at = place_member(p, name);
    return refuse(p->why, PROBLEM_BAD_VALUE, at.pointer, "%s must be %s, but it is %s", name, known,
                  text_quote(text, quoted));
}

static const struct {
    const char *name;
    uint64_t ns;
} UNITS[] = {
    { "m", 60000000000ULL }, { "s", 1000000000ULL }, { "ms", 1000000ULL }, { "us", 1000ULL }
};

/* Reads digits and a unit. Stops counting far above every limit, so no sum overflows. */
static bool duration_parse(const char *text, uint64_t *ret)
{
    uint64_t count = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        count = count > 10000000000ULL ? count : count * 10 + (uint64_t)(*at - '0');
    }
    for (size_t i = 0; at > text && i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (strcmp(at, UNITS[i].name) == 0) {
            *ret = count > CALL_TIMEOUT_NS_MAX / 1000 ? UINT64_MAX : count * UNITS[i].ns;
            return true;
        }
    }
    return false;
}

/* Writes a duration in the largest unit that holds it exactly. */
static int duration_write(json_t *o, const char *name, uint64_t ns)
{
    char text[40];
    size_t i = 0;

    while (ns % UNITS[i].ns != 0) {
        i++;
    }
    snprintf(text, sizeof(text), "%" PRIu64 "%s", ns / UNITS[i].ns, UNITS[i].name);
    return json_object_set_new(o, name, json_string(text)) ? failed(-ENOMEM) : 0;
}

int field_duration(const struct place *p, json_t *o, const char *name, uint64_t *ret)
{
    const json_t *value = json_object_get(o, name);
    struct place at = place_member(p, name);
    char quoted[QUOTED_BYTES_MAX];
    const char *text = NULL;
    uint64_t ns;
    int r;

    if (!value) {
        return *ret ? duration_write(o, name, *ret) : 0;
    }
    if (!json_is_string(value)) {
        return wrong_type(&at, value, name, "a duration such as 50ms or 5s");
    }
    r = field_text(p, o, name, SIZE_MAX, &text);
    if (r) {
        return r;
    }
    if (!duration_parse(text, &ns)) {
        return refuse(p->why, PROBLEM_BAD_VALUE, at.pointer,
                      "%s must be a duration such as 100us, 50ms, 5s or 2m, but it is %s", name,
                      text_quote(text, quoted));
    }
    if (ns == 0 || ns > CALL_TIMEOUT_NS_MAX) {
        return refuse(p->why, PROBLEM_BAD_VALUE, at.pointer,
                      "%s must lie between 1us and 60m, but it is %s", name,
                      text_quote(text, quoted));
    }
    *ret = ns;
    return duration_write(o, name, ns);
}

int field_resource(const struct place *p, json_t *o, const char *name,
                   char ret[RESOURCE_ID_BYTES_MAX])
{
    char quoted[QUOTED_BYTES_MAX], plain[NAME_BYTES_MAX];
    const char *text = NULL;
    enum layer layer;
    struct place at;
    int r = field_text(p, o, name, SIZE_MAX, &text);

    if (r == 0 && !text) {
        return field_missing(p, name);
    }
    if (r) {
        return r;
    }
    if (resource_id_parse(text, '/', &layer, plain)) {
        at = place_member(p, name);
        (void)refuse(p->why, PROBLEM_BAD_NAME, at.pointer, "%s is not the id of a resource",
                     text_quote(text, quoted));
        refusal_hint(p->why, "write LAYER/NAME, such as service/tcp; layers are application, "
                             "service, driver and hardware");
        return RHODES_INVALID;
    }
    resource_id_make(layer, plain, '/', ret);
    return 0;
}

int value_signature(const struct place *p, const json_t *value, const char *types,
                    struct wit_function **ret)
{
    struct wit_error error;
    const char *text;
    int r = value_text(p, value, WIT_TEXT_BYTES_MAX, &text);

    if (r) {
        return r;
    }
    r = wit_function_parse(text, types, ret, &error);
    if (r > 0) {
        return refuse(p->why, r == RHODES_OVER_LIMIT ? PROBLEM_TOO_LARGE : PROBLEM_BAD_SIGNATURE,
                      p->pointer, "%s (line %u, column %u)", error.message, error.line,
                      error.column);
    }
    return r;
}
