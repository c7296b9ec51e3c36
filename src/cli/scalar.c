/* The core schema's regular expressions, by hand: they are short, and a regular expression library
 * would read the locale. Numbers that JSON cannot carry are refused here rather than rounded. */
#include "cli/scalar.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static bool one_of(const char *text, size_t bytes, const char *const *words)
{
    for (; *words; words++) {
        if (strlen(*words) == bytes && memcmp(*words, text, bytes) == 0) {
            return true;
        }
    }
    return false;
}

static size_t span_of(const char *text, size_t bytes, const char *set)
{
    size_t n = 0;

    while (n < bytes && text[n] && strchr(set, text[n])) {
        n++;
    }
    return n;
}

#define DIGITS "0123456789"

static bool is_real(const char *text, size_t bytes)
{
    size_t at = bytes > 0 && (text[0] == '-' || text[0] == '+'), whole, part = 0;

    whole = span_of(text + at, bytes - at, DIGITS);
    at += whole;
    if (at < bytes && text[at] == '.') {
        part = span_of(text + at + 1, bytes - at - 1, DIGITS);
        at += 1 + part;
    }
    if (whole + part == 0) {
        return false;
    }
    if (at < bytes && (text[at] == 'e' || text[at] == 'E')) {
        size_t digits;

        at++;
        at += at < bytes && (text[at] == '-' || text[at] == '+');
        digits = span_of(text + at, bytes - at, DIGITS);
        at += digits;
        if (digits == 0) {
            return false;
        }
    }
    return at == bytes;
}

enum scalar scalar_kind(const char *text, size_t bytes)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const bools[] = { "true", "True", "TRUE", "false", "False", "FALSE", NULL };
    static const char *const odd[] = { ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", NULL };
    size_t sign = bytes > 0 && (text[0] == '-' || text[0] == '+');

    if (one_of(text, bytes, nulls)) {
        return SCALAR_NULL;
    }
    if (one_of(text, bytes, bools)) {
        return SCALAR_BOOL;
    }
    if (bytes > sign && span_of(text + sign, bytes - sign, DIGITS) == bytes - sign) {
        return SCALAR_INTEGER;
    }
    if (bytes > 2 && text[0] == '0' &&
        ((text[1] == 'o' && span_of(text + 2, bytes - 2, "01234567") == bytes - 2) ||
         (text[1] == 'x' && span_of(text + 2, bytes - 2, DIGITS "abcdefABCDEF") == bytes - 2))) {
        return SCALAR_INTEGER;
    }
    if (is_real(text, bytes)) {
        return SCALAR_REAL;
    }
    if (one_of(text, bytes, odd) || (sign && one_of(text + 1, bytes - 1, odd + 3))) {
        return SCALAR_NOT_FINITE;
    }
    return SCALAR_TEXT;
}

static int integer_value(const char *text, size_t bytes, json_t **ret, const char **ret_why)
{
    bool negative = text[0] == '-';
    size_t at = text[0] == '-' || text[0] == '+';
    uint64_t number = 0, limit = (uint64_t)INT64_MAX + negative;
    unsigned base = 10;

    if (bytes > 2 && text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
        base = text[1] == 'o' ? 8 : 16;
        at = 2;
    }
    for (; at < bytes; at++) {
        unsigned digit =
            text[at] <= '9' ? (unsigned)(text[at] - '0') : (unsigned)((text[at] | 0x20) - 'a' + 10);

        if (number > (limit - digit) / base) {
            *ret_why = "the integer does not fit 64 bits";
            return RHODES_INVALID;
        }
        number = number * base + digit;
    }
    *ret = json_integer(negative ? (json_int_t)(0 - number) : (json_int_t)number);
    return *ret ? 0 : failed(-ENOMEM);
}

static int real_value(const char *text, size_t bytes, json_t **ret, const char **ret_why)
{
    char copy[128];
    double number;

    if (bytes >= sizeof(copy)) {
        *ret_why = "the number is longer than 127 digits";
        return RHODES_INVALID;
    }
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    number = strtod(copy, NULL); /* the command never sets a locale, so the point is a point */
    if (!isfinite(number)) {
        *ret_why = "the number is too large";
        return RHODES_INVALID;
    }
    *ret = json_real(number);
    return *ret ? 0 : failed(-ENOMEM);
}

int scalar_value(enum scalar kind, const char *text, size_t bytes, json_t **ret,
                 const char **ret_why)
{
    enum scalar form = scalar_kind(text, bytes);

    if (kind == SCALAR_REAL && form == SCALAR_INTEGER &&
        (bytes < 2 || (text[1] != 'x' && text[1] != 'o'))) {
        form = SCALAR_REAL; /* !!float 3 */
    }
    if (kind != SCALAR_TEXT && form != kind) {
        *ret_why = "the value is not of the type that its tag says";
        return RHODES_INVALID;
    }
    switch (kind) {
    case SCALAR_NULL:
        *ret = json_null();
        return 0;
    case SCALAR_BOOL:
        *ret = json_boolean(text[0] == 't' || text[0] == 'T');
        return 0;
    case SCALAR_INTEGER:
        return integer_value(text, bytes, ret, ret_why);
    case SCALAR_REAL:
        return real_value(text, bytes, ret, ret_why);
    case SCALAR_NOT_FINITE:
        *ret_why = "infinity and not-a-number cannot be sent";
        return RHODES_INVALID;
    case SCALAR_TEXT:
        break;
    }
    if (memchr(text, 0, bytes)) {
        *ret_why = "a text may not hold a NUL character";
        return RHODES_INVALID;
    }
    *ret = json_stringn(text, bytes);
    if (!*ret) {
        *ret_why =
            "the text is not UTF-8"; /* an escape can make what the file itself may not hold */
        return RHODES_INVALID;
    }
    return 0;
}
