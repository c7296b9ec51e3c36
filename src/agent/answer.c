/* Answers in the making: one for each thread that carries calls, so that their memory is got once.
 * The head repeats what names the call, and the stamps that it had when it came; results of other
 * kinds than 0 carry a sentence as their body. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/route.h"
#include "agent/serve.h"

#define KEPT_BYTES (1u << 20) /* memory beyond this is given back after the call */

void answer_init(struct answer *ret)
{
    *ret = (struct answer){ 0 };
    bytes_init(&ret->body, CALL_BODY_BYTES_MAX);
}

void answer_deinit(struct answer *a)
{
    bytes_deinit(&a->body);
    a->reader = value_reader_free(a->reader);
    a->writer = value_writer_free(a->writer);
}

int answer_values(struct answer *ret, const struct wit_function *f)
{
    int r = 0;

    if (!ret->reader) {
        r = value_reader_new(&ret->reader);
    }
    if (!r && f->result && !ret->writer) {
        return value_writer_new(f->result, CALL_BODY_BYTES_MAX, &ret->writer);
    }
    if (!r && f->result) {
        value_writer_reset(ret->writer, f->result);
    }
    return r;
}

/* UTF-8 (RFC 3629: no overlong forms, no surrogates) without control characters but tab and
 * newline. */
static bool text_good(const struct bytes *text)
{
    static const struct {
        uint8_t first_min, first_max, second_min, second_max, bytes;
    } forms[] = {
        { 0x20, 0x7e, 0, 0, 1 },       { 0x09, 0x0a, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
        { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
        { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
        { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    const uint8_t *at = text->data;
    size_t left = text->used;

    while (left) {
        size_t i = 0, n;

        while (i < sizeof(forms) / sizeof(forms[0]) &&
               (*at < forms[i].first_min || *at > forms[i].first_max)) {
            i++;
        }
        if (i == sizeof(forms) / sizeof(forms[0]) || forms[i].bytes > left) {
            return false;
        }
        n = forms[i].bytes;
        if (n > 1 && (at[1] < forms[i].second_min || at[1] > forms[i].second_max)) {
            return false;
        }
        for (size_t k = 2; k < n; k++) {
            if ((at[k] & 0xc0) != 0x80) {
                return false;
            }
        }
        at += n;
        left -= n;
    }
    return true;
}

bool answer_good(const struct wit_function *f, const struct call_head *request,
                 const struct call_head *reply, const struct bytes *body)
{
    if (reply->type != CALL_REPLY || reply->caller != request->caller ||
        reply->sequence != request->sequence) {
        return false;
    }
    switch (reply->result) {
    case 0:
        return f->result ? value_check(f->result, body->data, body->used) == 0 : body->used == 0;
#define RHODES_VERDICT(name, number, status, sentence) case number:
#include "rhodes/verdicts.def"
#undef RHODES_VERDICT
        return body->used <= REPLY_TEXT_BYTES_MAX && text_good(body);
    default:
        return false;
    }
}

static void answer_begin(struct answer *ret, const struct call_head *request, int result)
{
    ret->head = (struct call_head){
        .magic = CALL_MAGIC,
        .type = CALL_REPLY,
        .flags = request->flags,
        .caller = request->caller,
        .sequence = request->sequence,
        .function = request->function,
        .deadline_ns = request->deadline_ns,
        .result = result,
    };
    memcpy(ret->head.stamp, request->stamp, sizeof(ret->head.stamp));
}

void answer_body(struct answer *ret, const struct call_head *request, const void *body,
                 size_t bytes)
{
    bytes_reset(&ret->body);
    bytes_put(&ret->body, body, bytes);
    answer_begin(ret, request, ret->body.error);
    ret->head.body_bytes = (uint32_t)ret->body.used;
}

void answer_again(struct answer *ret, const struct call_head *request, int32_t result)
{
    answer_begin(ret, request, result);
    ret->head.body_bytes = (uint32_t)ret->body.used;
}

void answer_text(struct answer *ret, const struct call_head *request, int result,
                 const char *format, ...)
{
    char text[WHY_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    answer_body(ret, request, text, strlen(text));
    ret->head.result = result;
}

void answer_doubt(struct answer *ret, const struct call_head *request)
{
    char text[WHY_BYTES];

    if (!(request->flags & CALL_REPEAT) || ret->head.executor) {
        return;
    }
    switch (ret->head.result) {
    case 0:
    case RHODES_TIMEOUT:
    case RHODES_UNKNOWN:
    case RHODES_GARBAGE:
        return;
    default:
        snprintf(text, sizeof(text), "%.*s", (int)ret->body.used, (const char *)ret->body.data);
        answer_text(ret, request, RHODES_UNKNOWN, "an earlier try may have run; this one: %s",
                    text);
    }
}

void buffer_trim(struct bytes *b)
{
    if (b->room > KEPT_BYTES) {
        size_t limit = b->limit;

        bytes_deinit(b);
        bytes_init(b, limit);
    }
}
