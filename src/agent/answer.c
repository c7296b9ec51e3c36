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

void buffer_trim(struct bytes *b)
{
    if (b->room > KEPT_BYTES) {
        size_t limit = b->limit;

        bytes_deinit(b);
        bytes_init(b, limit);
    }
}
