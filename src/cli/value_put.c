/* Values by their types. Every refusal says where in the value it is and what is expected there,
 * since the person who typed it sees only one line of shell. The writer checks again; what it
 * refuses beyond that is passed on. */
#include "cli/value.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/home.h"
#include "cli/text.h"

static const char *const kind_names[] = { "bool",   "u8",   "u16",    "u32",   "u64",    "s8",
                                          "s16",    "s32",  "s64",    "f32",   "f64",    "char",
                                          "string", "list", "record", "tuple", "option", "enum" };

char *type_text(const struct rhodes_type *type)
{
    enum rhodes_kind kind = rhodes_type_kind(type);
    const struct rhodes_type *inner =
        kind == RHODES_LIST || kind == RHODES_OPTION ? rhodes_type_member(type, 0) : NULL;
    CLEANUP(memory_freep) char *of = NULL;

    if (kind == RHODES_ENUM) {
        char *text = text_copy("one of");

        for (uint32_t i = 0; i < rhodes_type_count(type) && i < 16; i++) {
            char *more = text_make("%s %s", text, rhodes_type_name(type, i));

            free(text);
            text = more;
        }
        return text;
    }
    of = inner ? text_copy(kind_names[rhodes_type_kind(inner)]) : NULL;
    return of ? text_make("%s<%s>", kind_names[kind], of) : text_copy(kind_names[kind]);
}

PRINTF_LIKE(2, 3) static int refuse(struct value_why *why, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, one line above */
    vsnprintf(why->text, sizeof(why->text), format, arguments);
    va_end(arguments);
    return RHODES_INVALID;
}

static int expected(struct value_why *why, const struct rhodes_type *type)
{
    CLEANUP(memory_freep) char *text = type_text(type);

    return refuse(why, "%s is expected", text);
}

/* Goes into a member: appends to why->where; returns what to cut it back to. */
PRINTF_LIKE(2, 3) static size_t into(struct value_why *why, const char *format, ...)
{
    size_t before = strlen(why->where);
    va_list arguments;

    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, one line above */
    vsnprintf(why->where + before, sizeof(why->where) - before, format, arguments);
    va_end(arguments);
    return before;
}

struct integer {
    bool negative;
    uint64_t magnitude;
};

static bool integer_read(const json_t *value, struct integer *ret)
{
    const char *text = json_string_value(value);
    char *end = NULL;

    if (json_is_integer(value)) {
        json_int_t v = json_integer_value(value);

        *ret = (struct integer){ v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v };
        return true;
    }
    if (!text || strspn(text + (*text == '-'), "0123456789") != strlen(text + (*text == '-')) ||
        !text[*text == '-']) {
        return false;
    }
    errno = 0;
    ret->negative = *text == '-';
    ret->magnitude = strtoull(text + ret->negative, &end, 10);
    return errno == 0;
}

static int unsigned_put(struct rhodes_writer *w, enum rhodes_kind kind, uint64_t v)
{
    switch ((int)kind) {
    case RHODES_U8:
        return v <= UINT8_MAX ? rhodes_put_u8(w, (uint8_t)v) : RHODES_INVALID;
    case RHODES_U16:
        return v <= UINT16_MAX ? rhodes_put_u16(w, (uint16_t)v) : RHODES_INVALID;
    case RHODES_U32:
        return v <= UINT32_MAX ? rhodes_put_u32(w, (uint32_t)v) : RHODES_INVALID;
    default:
        return rhodes_put_u64(w, v);
    }
}

static int signed_put(struct rhodes_writer *w, enum rhodes_kind kind, int64_t v)
{
    switch ((int)kind) {
    case RHODES_S8:
        return v >= INT8_MIN && v <= INT8_MAX ? rhodes_put_s8(w, (int8_t)v) : RHODES_INVALID;
    case RHODES_S16:
        return v >= INT16_MIN && v <= INT16_MAX ? rhodes_put_s16(w, (int16_t)v) : RHODES_INVALID;
    case RHODES_S32:
        return v >= INT32_MIN && v <= INT32_MAX ? rhodes_put_s32(w, (int32_t)v) : RHODES_INVALID;
    default:
        return rhodes_put_s64(w, v);
    }
}

static int integer_put(struct rhodes_writer *w, const struct rhodes_type *type, const json_t *value,
                       struct value_why *why)
{
    enum rhodes_kind kind = rhodes_type_kind(type);
    bool is_signed = kind >= RHODES_S8 && kind <= RHODES_S64;
    struct integer v = { 0 };
    int r = RHODES_INVALID;

    if (!integer_read(value, &v)) {
        return expected(why, type);
    }
    if (!is_signed && (!v.negative || v.magnitude == 0)) {
        r = unsigned_put(w, kind, v.magnitude);
    } else if (is_signed && v.magnitude <= (uint64_t)INT64_MAX + v.negative) {
        r = signed_put(w, kind, v.negative ? (int64_t)(0 - v.magnitude) : (int64_t)v.magnitude);
    }
    return r == RHODES_INVALID ? refuse(why, "%s%llu does not fit %s", v.negative ? "-" : "",
                                        (unsigned long long)v.magnitude, kind_names[kind])
                               : r;
}

static int float_put(struct rhodes_writer *w, const struct rhodes_type *type, const json_t *value,
                     struct value_why *why)
{
    const char *text = json_string_value(value);
    double v;

    if (json_is_number(value)) {
        v = json_number_value(value);
    } else if (text && strcmp(text, "nan") == 0) {
        v = (double)NAN;
    } else if (text && (strcmp(text, "inf") == 0 || strcmp(text, "-inf") == 0)) {
        v = *text == '-' ? -(double)INFINITY : (double)INFINITY;
    } else {
        return expected(why, type);
    }
    return rhodes_type_kind(type) == RHODES_F32 ? rhodes_put_f32(w, (float)v)
                                                : rhodes_put_f64(w, v);
}

static int hex_put(struct rhodes_writer *w, const char *digits, struct value_why *why)
{
    size_t count = strlen(digits);
    CLEANUP(memory_freep) unsigned char *data = memory_make(count / 2);

    if (count % 2 || strspn(digits, "0123456789abcdefABCDEF") != count) {
        return refuse(why, "hex: is followed by pairs of hexadecimal digits");
    }
    for (size_t i = 0; i < count; i++) {
        unsigned digit = digits[i] <= '9' ? (unsigned)(digits[i] - '0')
                                          : (unsigned)((digits[i] | 0x20) - 'a' + 10);

        data[i / 2] = (unsigned char)((unsigned)data[i / 2] << 4 | digit);
    }
    return rhodes_put_bytes(w, data, count / 2);
}

static int bytes_put_text(struct rhodes_writer *w, const json_t *value, struct value_why *why)
{
    const char *text = json_string_value(value);
    CLEANUP(memory_freep) char *data = NULL;
    size_t bytes = 0;
    int r;

    if (strncmp(text, "hex:", 4) == 0) {
        return hex_put(w, text + 4, why);
    }
    if (text[0] != '@') {
        return rhodes_put_bytes(w, text, json_string_length(value));
    }
    CLEANUP(fd_closep) int fd = open(text + 1, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return refuse(why, "%.100s: %s", text + 1, rhodes_result_sentence(-errno));
    }
    data = memory_make(VALUE_FILE_BYTES_MAX + 1);
    for (ssize_t n = 1; n != 0 && bytes <= VALUE_FILE_BYTES_MAX; bytes += n > 0 ? (size_t)n : 0) {
        n = read(fd, data + bytes, VALUE_FILE_BYTES_MAX + 1 - bytes);
        if (n < 0 && errno != EINTR) {
            return refuse(why, "%.100s: %s", text + 1, rhodes_result_sentence(-errno));
        }
    }
    r = bytes > VALUE_FILE_BYTES_MAX
            ? refuse(why, "%.100s is larger than %u MiB", text + 1, VALUE_FILE_BYTES_MAX >> 20)
            : rhodes_put_bytes(w, data, bytes);
    return r;
}

static int any_put(struct rhodes_writer *w, const struct rhodes_type *type, const json_t *value,
                   unsigned depth, struct value_why *why);

static int list_put(struct rhodes_writer *w, const struct rhodes_type *type, const json_t *value,
                    unsigned depth, struct value_why *why)
{
    const struct rhodes_type *element = rhodes_type_member(type, 0);
    size_t count = json_array_size(value);
    int r;

    if (rhodes_type_kind(element) == RHODES_U8 && json_is_string(value)) {
        return bytes_put_text(w, value, why);
    }
    if (!json_is_array(value)) {
        return expected(why, type);
    }
    r = rhodes_put_list(w, (uint32_t)count);
    for (size_t i = 0; !r && i < count; i++) {
        size_t before = into(why, "[%zu]", i);

        r = any_put(w, element, json_array_get(value, i), depth, why);
        if (!r) {
            why->where[before] = 0;
        }
    }
    return r ? r : rhodes_put_end(w);
}

static bool field_exists(const struct rhodes_type *type, const char *name, size_t bytes,
                         uint32_t *ret)
{
    for (uint32_t i = 0; i < rhodes_type_count(type); i++) {
        if (strlen(rhodes_type_name(type, i)) == bytes &&
            memcmp(rhodes_type_name(type, i), name, bytes) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

/* As many values as `type` has members are expected, and `format` says how many there are. Where the
 * one member is itself a list, the two are easily mixed up. */
PRINTF_LIKE(3, 4)
static int count_refuse(struct value_why *why, const struct rhodes_type *type, const char *format,
                        ...)
{
    uint32_t count = rhodes_type_count(type);
    const char *name = rhodes_type_name(type, 0);
    bool list = count == 1 && name && rhodes_type_kind(rhodes_type_member(type, 0)) == RHODES_LIST;
    char given[100], all[24];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(given, sizeof(given), format, arguments);
    va_end(arguments);
    snprintf(all, sizeof(all), "%u values are", count);
    return refuse(why, "%s expected%s%s%.40s%s", count == 1 ? "one value is" : all, given,
                  list ? "; the list itself is written " : "", list ? name : "",
                  list ? "=[...]" : "");
}

/* The members of a record, a tuple or the parameters, from an object (record) or a list. Begin and
 * end are the caller's. */
static int members_put(struct rhodes_writer *w, const struct rhodes_type *type, const json_t *value,
                       unsigned depth, struct value_why *why)
{
    uint32_t count = rhodes_type_count(type), at = 0;
    const char *name;
    json_t *member;
    int r = 0;

    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        if (!field_exists(type, name, strlen(name), &at)) {
            return refuse(why, "there is no '%.64s'", name);
        }
    }
    if (json_is_array(value) && json_array_size(value) != count) {
        return count_refuse(why, type, ", not %zu", json_array_size(value));
    }
    for (uint32_t i = 0; !r && i < count; i++) {
        const struct rhodes_type *of = rhodes_type_member(type, i);
        const char *own = rhodes_type_name(type, i);
        json_t *given = json_is_array(value) ? json_array_get(value, i)
                                             : json_object_get(value, own ? own : "");
        size_t before;

        if (!given && rhodes_type_kind(of) != RHODES_OPTION) {
            return refuse(why, "'%.64s' is missing", own ? own : "");
        }
        before = own ? into(why, "%s%s", *why->where ? "." : "", own) : into(why, "[%u]", i);
        r = any_put(w, of, given ? given : json_null(), depth, why);
        if (!r) {
            why->where[before] = 0;
        }
    }
    return r;
}

static int option_put(struct rhodes_writer *w, const struct rhodes_type *type, const json_t *value,
                      unsigned depth, struct value_why *why)
{
    const struct rhodes_type *payload = rhodes_type_member(type, 0);
    int r = rhodes_put_option(w, !json_is_null(value));

    if (r || json_is_null(value)) {
        return r;
    }
    if (rhodes_type_kind(payload) == RHODES_OPTION) {
        value = json_object_get(value, "some");
        if (!value) {
            return refuse(why, "{\"some\": VALUE} or null is expected");
        }
    }
    return any_put(w, payload, value, depth, why);
}

static int text_put(struct rhodes_writer *w, const struct rhodes_type *type, const json_t *value,
                    struct value_why *why)
{
    const char *text = json_string_value(value);
    size_t bytes = json_string_length(value);
    uint32_t point = 0;

    if (!text) {
        return expected(why, type);
    }
    switch ((int)rhodes_type_kind(type)) {
    case RHODES_CHAR:
        return bytes && text_point(text, bytes, &point) == bytes
                   ? rhodes_put_char(w, point)
                   : refuse(why, "one character is expected");
    case RHODES_ENUM:
        return field_exists(type, text, bytes, &point) ? rhodes_put_enum(w, point)
                                                       : expected(why, type);
    default:
        return rhodes_put_string(w, text, bytes);
    }
}

static int any_put(struct rhodes_writer *w, const struct rhodes_type *type, const json_t *value,
                   unsigned depth, struct value_why *why)
{
    int r;

    if (depth == VALUE_DEPTH_MAX) {
        return refuse(why, "nested deeper than %d", VALUE_DEPTH_MAX);
    }
    switch (rhodes_type_kind(type)) {
    case RHODES_BOOL:
        return json_is_boolean(value) ? rhodes_put_bool(w, json_is_true(value))
                                      : expected(why, type);
    case RHODES_U8:
    case RHODES_U16:
    case RHODES_U32:
    case RHODES_U64:
    case RHODES_S8:
    case RHODES_S16:
    case RHODES_S32:
    case RHODES_S64:
        return integer_put(w, type, value, why);
    case RHODES_F32:
    case RHODES_F64:
        return float_put(w, type, value, why);
    case RHODES_CHAR:
    case RHODES_STRING:
    case RHODES_ENUM:
        return text_put(w, type, value, why);
    case RHODES_LIST:
        return list_put(w, type, value, depth + 1, why);
    case RHODES_OPTION:
        return option_put(w, type, value, depth + 1, why);
    case RHODES_RECORD:
    case RHODES_TUPLE:
        if (rhodes_type_kind(type) == RHODES_RECORD ? !json_is_object(value)
                                                    : !json_is_array(value)) {
            return expected(why, type);
        }
        r = rhodes_put_begin(w);
        r = r ? r : members_put(w, type, value, depth + 1, why);
        return r ? r : rhodes_put_end(w);
    }
    return refuse(why, "a type that this version does not know");
}

int value_put(struct rhodes_writer *w, const struct rhodes_type *type, const json_t *value,
              struct value_why *why)
{
    return any_put(w, type, value, 0, why);
}

/* The JSON of the VALUE of NAME=VALUE: a text where the type is one, else JSON. */
static json_t *word_value(const struct rhodes_type *type, const char *text)
{
    json_t *value;

    switch ((int)rhodes_type_kind(type)) {
    case RHODES_STRING:
    case RHODES_CHAR:
    case RHODES_ENUM:
    case RHODES_U64:
    case RHODES_S64:
        return json_string(text);
    case RHODES_LIST:
        if (rhodes_type_kind(rhodes_type_member(type, 0)) == RHODES_U8 && text[0] != '[') {
            return json_string(text);
        }
        break;
    case RHODES_OPTION:
        return strcmp(text, "null") == 0 ? json_null()
                                         : word_value(rhodes_type_member(type, 0), text);
    case RHODES_F32:
    case RHODES_F64:
        value = json_loads(text, JSON_DECODE_ANY, NULL);
        return value ? value : json_string(text);
    default:
        break;
    }
    return json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
}

/* "NAME=VALUE" with a name as WIT writes them; *ret_bytes is the name's. */
static bool word_is_named(const char *word, size_t *ret_bytes)
{
    *ret_bytes = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    return *ret_bytes && strchr("0123456789-", word[0]) == NULL && word[*ret_bytes] == '=';
}

/* One word into `object`: under its name, or under that of the parameter which stands at *position.
 */
static int word_read(const struct rhodes_type *parameters, const char *word, uint32_t *position,
                     json_t *object, struct value_why *why)
{
    size_t bytes = 0;
    bool named = word_is_named(word, &bytes);
    uint32_t at = *position;
    const char *name;
    json_t *value;

    if (named && !field_exists(parameters, word, bytes, &at)) {
        name = rhodes_type_name(parameters, at);
        return refuse(why, "there is no parameter '%.*s'%s%s%s%.32s",
                      (int)(bytes < 64 ? bytes : 64), word,
                      name ? "; a value that holds '=' is written " : "", name ? name : "",
                      name ? "=" : "", name ? word : "");
    }
    if (!named && at >= rhodes_type_count(parameters)) {
        return count_refuse(why, parameters, ", '%.64s' is one more", word);
    }
    *position += !named;
    name = rhodes_type_name(parameters, at);
    if (json_object_get(object, name)) {
        return refuse(why, "'%s' is given twice", name);
    }
    value = word_value(rhodes_type_member(parameters, at), named ? word + bytes + 1 : word);
    if (!value) {
        into(why, "%s", name);
        return expected(why, rhodes_type_member(parameters, at));
    }
    json_object_set_new(object, name, value);
    return 0;
}

int words_put(struct rhodes_writer *w, const struct rhodes_type *parameters,
              const char *const *words, size_t count, struct value_why *why)
{
    bool json = count == 1 && (words[0][0] == '{' || words[0][0] == '[');
    json_error_t error;
    json_t *value = json ? json_loads(words[0], JSON_REJECT_DUPLICATES, &error) : json_object();
    uint32_t position = 0;
    int r = 0;

    if (!value) {
        return refuse(why, "not JSON: %s at column %d", error.text, error.column);
    }
    for (size_t i = 0; !json && !r && i < count; i++) {
        r = word_read(parameters, words[i], &position, value, why);
    }
    r = r ? r : members_put(w, parameters, value, 1, why);
    json_decref(value);
    return r;
}
