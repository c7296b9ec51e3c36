/* JSON out, and JSON in from strangers. jansson's parser recurses with the nesting of its input, so
 * the nesting is measured by a flat scan first: nothing deeper than JSON_DEPTH_MAX reaches it. A
 * name that stands twice in one object is refused, because the two readers of such a document would
 * not agree on what was asked. */
#include "center/document.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

json_t *document_make(const json_t *body, uint64_t revision, uint64_t revision_created)
{
    json_t *document = json_copy((json_t *)(uintptr_t)body);
    json_t *metadata = json_copy(json_object_get(body, "metadata"));

    if (!metadata) {
        metadata = json_object();
    }
    json_object_set_new(metadata, "revision", json_integer((json_int_t)revision));
    json_object_set_new(metadata, "createdRevision", json_integer((json_int_t)revision_created));
    if (json_object_set_new(document, "metadata", metadata) < 0) {
        json_decref(document);
        return NULL;
    }
    return document;
}

json_t *document_of(const struct object *o)
{
    return document_make(o->body, o->revision, o->revision_created);
}

json_t *document_text(const char *text)
{
    json_t *json = json_string(text ? text : "");
    char *copy;

    if (json) {
        return json;
    }
    copy = strdup(text);
    for (char *at = copy; copy && *at; at++) {
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    }
    json = copy ? json_string(copy) : NULL;
    free(copy);
    return json;
}

const char *time_text(uint64_t ms, char ret[TIME_TEXT_BYTES])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    size_t used;

    gmtime_r(&seconds, &utc);
    used = strftime(ret, TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(ret + used, TIME_TEXT_BYTES - used, ".%03uZ", (unsigned)(ms % 1000));
    return ret;
}

uint64_t time_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The deepest nesting of brackets outside strings. Exact for well-formed JSON, and never too small
 * for the rest: the parser stops at the first error, and up to there the scan agrees with it. */
static size_t depth_scan(const char *at, size_t bytes)
{
    size_t depth = 0, deepest = 0;
    bool inside = false;

    for (const char *end = at + bytes; at < end; at++) {
        if (inside) {
            if (*at == '\\') {
                at++;
            } else if (*at == '"') {
                inside = false;
            }
        } else if (*at == '"') {
            inside = true;
        } else if (*at == '{' || *at == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if ((*at == '}' || *at == ']') && depth) {
            depth--;
        }
    }
    return deepest;
}

int document_read(const void *data, size_t bytes, json_t **ret, struct refusal *why)
{
    json_error_t error;
    json_t *json;

    if (bytes == 0) {
        return refuse(why, PROBLEM_MALFORMED, "",
                      "the request has no body; it must be a JSON object");
    }
    if (depth_scan(data, bytes) > JSON_DEPTH_MAX) {
        return refuse(why, PROBLEM_MALFORMED, "", "the JSON is nested deeper than %d levels",
                      JSON_DEPTH_MAX);
    }
    json = json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        return refuse(why, PROBLEM_MALFORMED, "", "not JSON: %s at line %d, column %d", error.text,
                      error.line, error.column);
    }
    if (!json_is_object(json)) {
        json_decref(json);
        return refuse(why, PROBLEM_MALFORMED, "", "the body must be a JSON object");
    }
    *ret = json;
    return 0;
}

static json_t *refusal_json(const struct refusal *why)
{
    json_t *json = json_object();

    json_object_set_new(json, "code", json_string(problem_code(why->problem)));
    json_object_set_new(json, "pointer", document_text(why->pointer));
    json_object_set_new(json, "detail", document_text(why->detail));
    json_object_set_new(json, "rule", document_text(why->rule));
    json_object_set_new(json, "revision", json_integer((json_int_t)why->revision));
    json_object_set_new(json, "hint", document_text(why->hint));
    return json;
}

json_t *document_problem(const struct refusals *why)
{
    json_t *problem = refusal_json(&why->list[0]), *list = json_array();

    json_object_set_new(problem, "type", json_string("about:blank"));
    json_object_set_new(problem, "title", json_string(problem_title(why->list[0].problem)));
    json_object_set_new(problem, "status", json_integer(problem_status(why->list[0].problem)));
    for (size_t i = 0; i < why->count; i++) {
        json_array_append_new(list, refusal_json(&why->list[i]));
    }
    json_object_set_new(problem, "refusals", list);
    json_object_set_new(problem, "refusalsTotal", json_integer((json_int_t)why->total));
    return problem;
}
