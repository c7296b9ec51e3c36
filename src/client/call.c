/* A call, from its arguments to its end.
 *
 * Warm path: the body is in the writer's buffer already; one message into this thread's channel,
 * one out of it. Everything that can be missing (a session, the channel, the binding) is made in
 * front of that and only when its epoch is another.
 *
 * When the agent dies during a call, what happened is decided by what the agent had taken: a
 * request that was not taken whole did not run and is sent as new; one that was taken may run, and
 * is sent again under the same id with CALL_REPEAT, so that the executor answers it from memory or
 * refuses to guess. The deadline of the first try holds for all. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "client/client.h"

#define ON_WAIT_NS     (100 * NS_PER_MS)
#define AGAIN_NS       NS_PER_MS
#define TIMEOUT_NS_MAX (3600 * NS_PER_S)

struct rhodes_call {
    struct rhodes *rhodes;
    struct rhodes_function *function; /* NULL until the first begin */
    struct rhodes_writer *writer;
    struct rhodes_reader *reader;
    struct bytes reply;
    bool good; /* the result may be read */
    bool trace;
    bool (*on_wait)(void *data);
    void *on_wait_data;
    struct call_head last; /* of the reply, when it was traced */
    bool maybe_ran;        /* a try was taken by an agent that died */
    char error[CLIENT_TEXT_BYTES];
};

static const struct wit_type nothing = { .kind = WIT_TUPLE, .align = 1 };

int rhodes_call_new(struct rhodes *r, struct rhodes_call **ret)
{
    struct rhodes_call *c;
    int result;

    if (!own_process(r)) {
        return fork_refused();
    }
    c = calloc(1, sizeof(*c));
    if (!c) {
        return failed(-ENOMEM);
    }
    c->rhodes = r;
    bytes_init(&c->reply, CALL_BODY_BYTES_MAX);
    result = value_writer_new(&nothing, CALL_BODY_BYTES_MAX, &c->writer);
    result = result ? result : value_reader_new(&c->reader);
    if (result) {
        rhodes_call_free(c);
        return result;
    }
    *ret = c;
    return 0;
}

struct rhodes_call *rhodes_call_free(struct rhodes_call *c)
{
    if (c) {
        value_writer_free(c->writer);
        value_reader_free(c->reader);
        bytes_deinit(&c->reply);
        free(c);
    }
    return NULL;
}

struct rhodes_writer *rhodes_call_begin(struct rhodes_call *c, struct rhodes_function *f)
{
    c->function = f;
    c->good = false;
    c->error[0] = 0;
    c->last.magic = 0;
    value_writer_parameters(c->writer, f->type->parameters);
    return c->writer;
}

static int say(struct rhodes_call *c, int result, const char *format, ...) PRINTF_LIKE(3, 4);
static int say(struct rhodes_call *c, int result, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(c->error, sizeof(c->error), format, arguments);
    va_end(arguments);
    return result;
}

/* session_wait for a call: asks on_wait now and then, as the wait for a reply does. */
static int session_wait_asking(struct rhodes_call *c, uint64_t deadline_ns, uint64_t *ret_epoch)
{
    for (;;) {
        uint64_t soon = c->on_wait ? clock_ns() + ON_WAIT_NS : deadline_ns;
        int result =
            session_wait(c->rhodes, soon < deadline_ns ? soon : deadline_ns, NULL, ret_epoch);

        if (result != RHODES_TIMEOUT || soon >= deadline_ns) {
            return result;
        }
        if (c->on_wait(c->on_wait_data)) {
            return -EINTR;
        }
    }
}

/* Makes sure of session, channel and binding. -ECANCELED never comes out; the sentence is said. */
static int way_make(struct rhodes_call *c, struct channel *ch, uint64_t deadline_ns)
{
    struct rhodes_function *f = c->function;
    int result;

    do {
        uint64_t epoch = atomic_load_explicit(&c->rhodes->epoch, memory_order_acquire);

        if (epoch && ch->conduit && ch->epoch == epoch &&
            atomic_load_explicit(&f->epoch, memory_order_acquire) == epoch) {
            return 0;
        }
        result = session_wait_asking(c, deadline_ns, &epoch);
        if (result == -ECANCELED) {
            return say(c, RHODES_NOT_EXECUTED, "%s", error_said());
        }
        if (result == -EINTR) {
            return say(c, result, "the caller gave the call up while it waited for an agent");
        }
        result = result ? result : channel_open(ch, epoch, deadline_ns);
        result = result ? result : function_bind(f, epoch, deadline_ns);
    } while (result == -ECANCELED && clock_left_ns(deadline_ns));
    result = result == -ECANCELED ? RHODES_TIMEOUT : result;
    return result ? say(c, result, "%s", error_said()) : 0;
}

/* Waits for the head of this call's reply. Replies to calls that were given up are dropped on the
 * way. */
static int reply_head(struct rhodes_call *c, struct channel *ch, struct call_head *ret,
                      uint64_t deadline_ns)
{
    for (;;) {
        uint64_t soon = c->on_wait ? clock_ns() + ON_WAIT_NS : deadline_ns;
        int result = message_head(ch->conduit, ret, soon < deadline_ns ? soon : deadline_ns);

        if (result == RHODES_TIMEOUT && soon < deadline_ns) {
            if (c->on_wait(c->on_wait_data)) {
                return -EINTR;
            }
            continue;
        }
        if (result == -ECANCELED && atomic_load(&c->rhodes->epoch) == ch->epoch) {
            continue; /* rung for another reason; the session stands */
        }
        if (result) {
            return result;
        }
        if (ret->type == CALL_REPLY && ret->caller == ch->id && ret->sequence == ch->sequence) {
            return 0;
        }
        result = message_drop(ch->conduit, ret, deadline_ns);
        if (result) {
            return result;
        }
    }
}

/* The reply is whole: its result, or its text. */
static int reply_judge(struct rhodes_call *c, const struct call_head *head)
{
    const struct wit_type *type = c->function->type->result;
    int result;

    if (head->executor) { /* a call that an agent refused had none, and changes nothing about who it is */
        atomic_store_explicit(&c->function->executor, head->executor, memory_order_relaxed);
    }
    c->last = *head;
    c->last.stamp[STAMP_CALLER_DONE] = c->trace ? clock_ns() : 0;
    if (head->result) {
        int text = (int)(c->reply.used < CLIENT_TEXT_BYTES ? c->reply.used : CLIENT_TEXT_BYTES - 1);

        return text ? say(c, head->result, "%.*s", text, (const char *)c->reply.data)
                    : say(c, head->result, "%s", rhodes_result_sentence(head->result));
    }
    if (type) {
        result = value_check(type, c->reply.data, c->reply.used);
        result =
            result ? result : value_reader_reset(c->reader, type, c->reply.data, c->reply.used);
        if (result) {
            return say(c, result, "the result of %s is not of its type", c->function->type->name);
        }
    }
    c->good = true;
    return 0;
}

/* Sends the request and waits for its reply. 0: `ret` and c->reply hold it. -ECANCELED or -EPIPE:
 * the agent is gone. */
static int try_once(struct rhodes_call *c, struct channel *ch, struct call_head *head,
                    const void *body, struct call_head *ret)
{
    struct conduit *conduit = ch->conduit;
    int result = message_send(conduit, head, body, head->deadline_ns);

    if (result == 0) {
        result = reply_head(c, ch, ret, head->deadline_ns + CLIENT_GRACE_NS);
        if (result == 0) {
            result = message_body(conduit, ret, &c->reply, head->deadline_ns + CLIENT_GRACE_NS);
        }
        if (result && result != RHODES_GARBAGE) {
            c->maybe_ran = c->maybe_ran || conduit->transmitter->taken(conduit);
        }
    }
    return result;
}

/* A call that ends without a reply leaves its channel to what may still come, and takes a new one
 * next time. */
static int no_reply(struct rhodes_call *c, struct channel *ch, int result)
{
    const char *callee = c->function->resource, *own = c->rhodes->resource;

    channel_renew(ch);
    if (result == RHODES_TIMEOUT && !c->maybe_ran) {
        return say(c, RHODES_NOT_EXECUTED,
                   "the agent of %s did not take the call until its deadline", own);
    }
    if (result == RHODES_TIMEOUT) {
        return say(c, result, "no reply of %s came through the agent of %s until the deadline",
                   callee, own);
    }
    if (result == -EINTR) {
        return say(c, result, "the caller gave the call up; it may have run");
    }
    if (result == RHODES_GARBAGE) {
        return say(c, result, "the agent of %s sent something that is not a reply", own);
    }
    return say(c, result, "the reply could not be taken: %s", rhodes_result_sentence(result));
}

/* What to say when no agent could be joined or asked any more. */
static int no_way(struct rhodes_call *c, int result)
{
    char why[CLIENT_TEXT_BYTES / 2];

    if (result == -EINTR) {
        return result;
    }
    snprintf(why, sizeof(why), "%.*s", (int)sizeof(why) - 1, c->error);
    if (c->maybe_ran) {
        return say(c, RHODES_UNKNOWN,
                   "the agent of %s ended during the call, which may have run; since then: %s",
                   c->rhodes->resource, why);
    }
    return result == RHODES_TIMEOUT ? say(c, RHODES_NOT_EXECUTED, "the call was not sent: %s", why)
                                    : result;
}

static int call_run(struct rhodes_call *c, struct channel *ch, const void *body, size_t bytes,
                    uint64_t deadline_ns)
{
    struct call_head reply, head = {
        .magic = CALL_MAGIC,
        .type = CALL_REQUEST,
        .flags = c->trace ? CALL_TRACE : 0,
        .sequence = ++ch->sequence,
        .caller = ch->id,
        .function = c->function->type->id,
        .deadline_ns = deadline_ns,
        .body_bytes = (uint32_t)bytes,
    };

    c->maybe_ran = false;
    for (;;) {
        int result = way_make(c, ch, deadline_ns);

        if (result) {
            return no_way(c, result);
        }
        head.binding = atomic_load_explicit(&c->function->binding, memory_order_relaxed);
        head.stamp[STAMP_CALLER_SENT] = c->trace ? clock_ns() : 0;
        result = try_once(c, ch, &head, body, &reply);
        if (result == 0) {
            return reply_judge(c, &reply);
        }
        if (result != -ECANCELED && result != -EPIPE) {
            return no_reply(c, ch, result);
        }
        if (result == -EPIPE && atomic_load(&c->rhodes->epoch) == ch->epoch) {
            struct timespec pause = clock_timespec(AGAIN_NS);

            nanosleep(&pause,
                      NULL); /* the agent closed the channel only; most often its socket is next */
        }
        channel_give_up(ch);
        if (c->maybe_ran) {
            head.flags |= CALL_REPEAT;
            head.executor = atomic_load_explicit(&c->function->executor, memory_order_relaxed);
        }
    }
}

int rhodes_call_run(struct rhodes_call *c, uint64_t timeout_ns)
{
    struct channel *ch;
    const void *body;
    size_t bytes;
    int result;

    if (!own_process(c->rhodes)) {
        return say(c, fork_refused(), "%s", error_said());
    }
    if (!c->function) {
        return say(c, RHODES_INVALID, "rhodes_call_begin comes before rhodes_call_run");
    }
    c->good = false;
    result = value_writer_body(c->writer, &body, &bytes);
    if (result) {
        return say(c, result, "the arguments of %s are not complete or not of their types (%s)",
                   c->function->type->signature, rhodes_result_sentence(result));
    }
    result = channel_mine(c->rhodes, &ch);
    if (result) {
        return say(c, result, "no channel for this thread: %s", rhodes_result_sentence(result));
    }
    timeout_ns = timeout_ns ? timeout_ns : c->function->timeout_ns;
    timeout_ns = timeout_ns < TIMEOUT_NS_MAX ? timeout_ns : TIMEOUT_NS_MAX;
    return call_run(c, ch, body, bytes, clock_ns() + timeout_ns);
}

struct rhodes_reader *rhodes_call_result(struct rhodes_call *c)
{
    return c->good && c->function->type->result ? c->reader : NULL;
}

const char *rhodes_call_error(const struct rhodes_call *c)
{
    return c->error;
}

void rhodes_call_on_wait(struct rhodes_call *c, bool (*on_wait)(void *data), void *data)
{
    c->on_wait = on_wait;
    c->on_wait_data = data;
}

void rhodes_call_trace(struct rhodes_call *c, bool on)
{
    c->trace = on;
}

int rhodes_call_hops(const struct rhodes_call *c, struct rhodes_hops *ret)
{
    const uint64_t *stamp = c->last.stamp;
    uint64_t since[CALL_STAMPS] = { 0 };

    if (c->last.magic != CALL_MAGIC || !(c->last.flags & CALL_TRACE)) {
        return RHODES_NOT_FOUND;
    }
    for (int i = 1; i < CALL_STAMPS; i++) {
        since[i] = stamp[i] > stamp[STAMP_CALLER_SENT] ? stamp[i] - stamp[STAMP_CALLER_SENT] : 0;
    }
    *ret = (struct rhodes_hops){
        .caller_agent = since[STAMP_CALLER_AGENT],
        .callee_agent = since[STAMP_CALLEE_AGENT],
        .started = since[STAMP_CALLEE_STARTED],
        .done = since[STAMP_CALLEE_DONE],
        .callee_agent_reply = since[STAMP_CALLEE_AGENT_REPLY],
        .caller_agent_reply = since[STAMP_CALLER_AGENT_REPLY],
        .total = since[STAMP_CALLER_DONE],
        .protocol = c->last.protocol && c->last.protocol <= PROTOCOLS_COUNT
                        ? protocol_name((enum protocol)(c->last.protocol - 1))
                        : "",
    };
    return 0;
}
