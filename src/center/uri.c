/* Request targets come from strangers, and the HTTP library decodes them leniently; so the raw text
 * is taken apart here instead, once, with every byte accounted for. Decoding happens in place in a
 * copy, so nothing is allocated. */
#include "center/uri.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX in place. INVALID for a bad escape and for control characters, escaped or not. */
static int decode(char *text)
{
    char *to = text;

    for (const char *at = text; *at; at++) {
        char c = *at;

        if (c == '%') {
            int high = hex(at[1]), low = high < 0 ? -1 : hex(at[2]);

            if (low < 0) {
                return RHODES_INVALID;
            }
            c = (char)(high * 16 + low);
            at += 2;
        }
        if ((unsigned char)c < ' ' || c == 0x7f) {
            return RHODES_INVALID;
        }
        *to++ = c;
    }
    *to = 0;
    return 0;
}

static int no_such_path(struct refusal *why)
{
    return refuse(why, PROBLEM_NO_SUCH_PATH, "", "there is nothing at this path");
}

static int path_split(char *path, struct uri *u, struct refusal *why)
{
    while (path) {
        char *next = strchr(path, '/');

        if (next) {
            *next++ = 0;
        }
        if (decode(path) != 0) {
            return refuse(why, PROBLEM_MALFORMED, "",
                          "the path holds a bad escape or a control character");
        }
        if (!*path || strchr(path, '/') || strcmp(path, ".") == 0 || strcmp(path, "..") == 0 ||
            u->segments_count == URI_SEGMENTS_MAX) {
            return no_such_path(why);
        }
        u->segments[u->segments_count++] = path;
        path = next;
    }
    return 0;
}

static int query_split(char *query, struct uri *u, struct refusal *why)
{
    while (query && *query) {
        char *next = strchr(query, '&'), *value;

        if (next) {
            *next++ = 0;
        }
        value = strchr(query, '=');
        if (value) {
            *value++ = 0;
        }
        if (decode(query) != 0 || (value && decode(value) != 0) || !*query) {
            return refuse(why, PROBLEM_MALFORMED, "",
                          "the query holds a bad escape, a control character or an empty name");
        }
        if (uri_parameter(u, query)) {
            return refuse(why, PROBLEM_DUPLICATE, "", "the query parameter '%s' stands twice",
                          query);
        }
        if (u->parameters_count == URI_PARAMETERS_MAX) {
            return refuse(why, PROBLEM_UNKNOWN_FIELD, "", "more than %d query parameters",
                          URI_PARAMETERS_MAX);
        }
        u->parameters[u->parameters_count].name = query;
        u->parameters[u->parameters_count++].value = value ? value : "";
        query = next;
    }
    return 0;
}

int uri_parse(const char *target, struct uri *ret, struct refusal *why)
{
    size_t n = strlen(target);
    char *query;
    int r;

    ret->segments_count = ret->parameters_count = 0;
    if (n >= sizeof(ret->text)) {
        return refuse(why, PROBLEM_TOO_LARGE, "", "the request target is longer than %zu bytes",
                      sizeof(ret->text) - 1);
    }
    if (*target != '/') {
        return no_such_path(why);
    }
    memcpy(ret->text, target, n + 1);
    query = strchr(ret->text, '?');
    if (query) {
        *query++ = 0;
    }
    r = path_split(ret->text + 1, ret, why);
    return r ? r : query_split(query, ret, why);
}

const char *uri_parameter(const struct uri *u, const char *name)
{
    for (size_t i = 0; i < u->parameters_count; i++) {
        if (strcmp(u->parameters[i].name, name) == 0) {
            return u->parameters[i].value;
        }
    }
    return NULL;
}

int uri_flag(const struct uri *u, const char *name, bool *ret, struct refusal *why)
{
    const char *value = uri_parameter(u, name);
    bool yes = value && (!*value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0);

    if (value && !yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0) {
        return refuse(why, PROBLEM_BAD_VALUE, "", "%s must be true or false, not '%s'", name,
                      value);
    }
    *ret = yes;
    return 0;
}

/* Reads digits; returns what follows them, NULL when there are none or they do not fit. */
static const char *digits(const char *text, uint64_t *ret)
{
    uint64_t n = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        if (n > (UINT64_MAX - 9) / 10) {
            return NULL;
        }
        n = n * 10 + (uint64_t)(*at - '0');
    }
    *ret = n;
    return at == text ? NULL : at;
}

int uri_number(const struct uri *u, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
               struct refusal *why)
{
    const char *value = uri_parameter(u, name), *end;
    uint64_t n;

    if (!value) {
        return 0;
    }
    end = digits(value, &n);
    if (!end || *end || n < min || n > max) {
        return refuse(why, PROBLEM_BAD_VALUE, "", "%s must be a number from %llu to %llu, not '%s'",
                      name, (unsigned long long)min, (unsigned long long)max, value);
    }
    *ret = n;
    return 0;
}

int uri_duration(const struct uri *u, const char *name, uint64_t max_ns, uint64_t *ret_ns,
                 struct refusal *why)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } units[] = {
        { "us", NS_PER_US }, { "ms", NS_PER_MS }, { "s", NS_PER_S }, { "m", 60 * NS_PER_S }
    };
    const char *value = uri_parameter(u, name), *unit;
    uint64_t n;

    if (!value) {
        return 0;
    }
    unit = digits(value, &n);
    for (size_t i = 0; unit && i < sizeof(units) / sizeof(*units); i++) {
        if (strcmp(unit, units[i].text) == 0 && n <= max_ns / units[i].ns) {
            *ret_ns = n * units[i].ns;
            return 0;
        }
    }
    return refuse(why, PROBLEM_BAD_VALUE, "",
                  "%s must be a duration such as 50ms or 5s, at most %llus, not '%s'", name,
                  (unsigned long long)(max_ns / NS_PER_S), value);
}
