/* Serving: N threads, each with its own channel, each taking one request at a time.
 *
 * A request is copied out whole and its arguments are checked before anything runs on them; every
 * request that was taken gets exactly one reply, also when its caller has long gone, because the
 * agent keeps the channel busy until then. What has run is remembered (wire/dedupe.h) before its
 * reply is sent, so that the reply can be lost with the agent and be asked for again through its
 * successor. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "client/client.h"

#define REPLY_NS                                                                                   \
    (5 *                                                                                           \
     NS_PER_S) /* an agent that takes no reply for so long has hung: the channel is made anew  \
                    */
#define AGAIN_NS   (20 * NS_PER_MS) /* between tries to open a channel that the agent refuses */
#define KEPT_BYTES (1u << 20)       /* a buffer that once was longer is given back */

struct rhodes_request {
    struct call_head head;
    char error[CLIENT_TEXT_BYTES];
};

/* What a serving thread works with. */
struct bench {
    struct rhodes *rhodes;
    struct channel *channel;
    struct rhodes_request request;
    struct bytes body, reply; /* reply: an answer from memory or a sentence */
    struct rhodes_reader *reader;
    struct rhodes_writer *writer;
};

static struct served *served_find(struct rhodes *r, uint64_t id)
{
    struct served *s = r->served;

    while (s && s->type->id != id) {
        s = s->next;
    }
    return s;
}

/* Runs the function on arguments that have been checked. *ret_body is the result's or the
 * sentence's. */
static int function_run(struct bench *b, const struct served *s, const void **ret_body,
                        size_t *ret_bytes)
{
    struct rhodes_request *q = &b->request;
    int result;

    *ret_body = q->error;
    q->error[0] = 0;
    if (s->type->result) {
        value_writer_reset(b->writer, s->type->result);
    }
    result = s->handler(q, b->reader, s->type->result ? b->writer : NULL, s->data);
    if (result) {
        if (!q->error[0]) {
            snprintf(q->error, sizeof(q->error), "%s answered %d (%s)", s->type->name, result,
                     rhodes_result_name(result));
        }
        *ret_bytes = strlen(q->error);
        return RHODES_CALLEE_FAILED;
    }
    *ret_bytes = 0;
    if (!s->type->result) {
        return 0;
    }
    result = value_writer_body(b->writer, ret_body, ret_bytes);
    if (result) {
        *ret_body = q->error;
        *ret_bytes = (size_t)snprintf(q->error, sizeof(q->error),
                                      "%s did not write the whole of its result (%s)",
                                      s->type->name, rhodes_result_sentence(result));
        *ret_bytes = *ret_bytes < sizeof(q->error) ? *ret_bytes : sizeof(q->error) - 1;
        return RHODES_CALLEE_FAILED;
    }
    return 0;
}

static int refuse(struct bench *b, int result, const char *sentence, const void **ret_body,
                  size_t *ret_bytes)
{
    *ret_body = sentence;
    *ret_bytes = strlen(sentence);
    return result;
}

/* What this call comes to: run, answered from memory, or refused. */
static int request_answer(struct bench *b, struct call_head *reply, const void **ret_body,
                          size_t *ret_bytes)
{
    struct call_head *head = &b->request.head;
    const struct served *s = served_find(b->rhodes, head->function);
    int32_t remembered = 0;
    int result;

    if (!s) {
        return refuse(b, RHODES_NOT_FOUND, "the program does not serve this function", ret_body,
                      ret_bytes);
    }
    if (value_check(s->type->parameters, b->body.data, b->body.used) ||
        value_reader_parameters(b->reader, s->type->parameters, b->body.data, b->body.used)) {
        return refuse(b, RHODES_GARBAGE, "the arguments are not of the function's types", ret_body,
                      ret_bytes);
    }
    result = dedupe_begin(b->rhodes->dedupe, head, &remembered, &b->reply);
    switch (result) {
    case 0:
        reply->stamp[STAMP_CALLEE_STARTED] = head->flags & CALL_TRACE ? clock_ns() : 0;
        result = function_run(b, s, ret_body, ret_bytes);
        reply->stamp[STAMP_CALLEE_DONE] = head->flags & CALL_TRACE ? clock_ns() : 0;
        dedupe_done(b->rhodes->dedupe, head, result, *ret_body, *ret_bytes);
        return result;
    case RHODES_EXISTS:
        *ret_body = b->reply.data;
        *ret_bytes = b->reply.used;
        return remembered;
    case RHODES_UNKNOWN:
        return refuse(b, result,
                      "the call was sent before, elsewhere or long ago, and may have run", ret_body,
                      ret_bytes);
    case RHODES_STALE:
        return refuse(b, result, "its caller has made another call since", ret_body, ret_bytes);
    case RHODES_TIMEOUT:
        return refuse(b, result, "the first try of the call still runs", ret_body, ret_bytes);
    default:
        return refuse(b, RHODES_NOT_EXECUTED, rhodes_result_sentence(result), ret_body, ret_bytes);
    }
}

/* One request from its head to its reply. What message_* answers. */
static int request_serve(struct bench *b)
{
    struct conduit *c = b->channel->conduit;
    struct call_head *head = &b->request.head, reply;
    const void *body = NULL;
    size_t bytes = 0;
    int r = message_head(c, head, UINT64_MAX);

    r = r ? r : message_body(c, head, &b->body, clock_ns() + REPLY_NS);
    if (r) {
        return r;
    }
    if (head->type != CALL_REQUEST) {
        return RHODES_GARBAGE;
    }
    reply = *head;
    reply.type = CALL_REPLY;
    reply.executor = b->rhodes->client;
    reply.result = request_answer(b, &reply, &body, &bytes);
    reply.body_bytes = (uint32_t)bytes;
    return message_send(c, &reply, body, clock_ns() + REPLY_NS);
}

static void buffer_trim(struct bytes *b)
{
    if (b->room > KEPT_BYTES) {
        size_t limit = b->limit;

        bytes_deinit(b);
        bytes_init(b, limit);
    }
}

/* Waits for a session and opens the channel in it. False: stop. */
static bool bench_open(struct bench *b)
{
    struct rhodes *r = b->rhodes;
    uint64_t epoch;

    while (!atomic_load(&r->servers_stop)) {
        if (session_wait(r, UINT64_MAX, &r->servers_stop, &epoch) != 0) {
            return false;
        }
        if (channel_open(b->channel, epoch, clock_ns() + CLIENT_TIMEOUT_NS) == 0) {
            /* A stop between the look above and the opening had nothing to interrupt. */
            return !atomic_load(&r->servers_stop);
        }
        if (atomic_load(&r->epoch) == epoch) { /* refused: not at once again */
            struct timespec pause = clock_timespec(AGAIN_NS);

            nanosleep(&pause, NULL);
        }
    }
    return false;
}

static void *server_run(void *data)
{
    struct server *server = data;
    struct bench *b = calloc(1, sizeof(*b));
    static const struct wit_type nothing = { .kind = WIT_TUPLE, .align = 1 };

    if (!b) {
        return NULL;
    }
    b->rhodes = server->rhodes;
    b->channel = &server->channel;
    bytes_init(&b->body, CALL_BODY_BYTES_MAX);
    bytes_init(&b->reply, CALL_BODY_BYTES_MAX);
    if (value_reader_new(&b->reader) == 0 &&
        value_writer_new(&nothing, CALL_BODY_BYTES_MAX, &b->writer) == 0) {
        while (bench_open(b)) {
            while (!atomic_load(&b->rhodes->servers_stop) && request_serve(b) == 0) {
                buffer_trim(&b->body);
                buffer_trim(&b->reply);
            }
            channel_renew(b->channel);
        }
    }
    channel_give_up(b->channel);
    value_reader_free(b->reader);
    value_writer_free(b->writer);
    bytes_deinit(&b->body);
    bytes_deinit(&b->reply);
    free(b);
    return NULL;
}

static int served_make(const char *signature, const char *types, struct served **ret)
{
    struct served *s = calloc(1, sizeof(*s));
    struct wit_error error;
    int result;

    if (!s) {
        return error_say(-ENOMEM, "out of memory");
    }
    result = wit_function_parse(signature, types, &s->type, &error);
    if (result) {
        free(s);
        return error_say(result, "%s, line %u, column %u", error.message, error.line, error.column);
    }
    s->signature = strdup(signature);
    s->types = strdup(types ? types : "");
    if (!s->signature || !s->types) {
        free(s->signature);
        free(s->types);
        wit_function_unref(s->type);
        free(s);
        return error_say(-ENOMEM, "out of memory");
    }
    *ret = s;
    return 0;
}

static struct served *served_drop(struct served *s)
{
    struct served *next = s->next;

    wit_function_unref(s->type);
    free(s->signature);
    free(s->types);
    free(s);
    return next;
}

void served_free(struct rhodes *r)
{
    while (r->served) {
        r->served = served_drop(r->served);
    }
}

static int serve_ask(struct rhodes *r, enum session_type type, const struct served *s,
                     uint64_t epoch, uint64_t deadline_ns)
{
    struct session_message *m = session_begin(r, type, deadline_ns);
    int result;

    if (!m) {
        return error_say(RHODES_TIMEOUT, "other requests to the agent of %s did not end in time",
                         r->resource);
    }
    if (s) {
        snprintf(m->text[0], sizeof(m->text[0]), "%s", s->signature);
        snprintf(m->text[1], sizeof(m->text[1]), "%s", s->types);
    }
    result = session_ask(r, epoch, NULL, deadline_ns);
    if (!result && s && r->answer.number[0] != s->type->id) {
        result =
            error_say(RHODES_TYPE_MISMATCH, "the agent of %s reads the signature of %s otherwise",
                      r->resource, s->type->name);
    }
    session_end(r);
    return result;
}

/* Asks the agent that is joined, or its successor if it dies: each knows the served functions only
 * when it is told. */
static int serve_say(struct rhodes *r, enum session_type type, const struct served *s,
                     uint64_t *ret_epoch)
{
    uint64_t deadline = clock_ns() + CLIENT_TIMEOUT_NS;
    int result;

    do {
        result = session_wait(r, deadline, NULL, ret_epoch);
        if (result) {
            return result;
        }
        result = serve_ask(r, type, s, *ret_epoch, deadline);
    } while (result == -ECANCELED);
    return result;
}

/* False when the session in which the agent was told has ended: its successor, which is told what
 * is in the list, may be joined already and must be told by itself. */
static bool served_add(struct rhodes *r, struct served *s, uint64_t epoch)
{
    bool added;

    pthread_mutex_lock(&r->lock);
    added = atomic_load(&r->epoch) == epoch;
    if (added) {
        s->next = r->served;
        r->served = s;
    }
    pthread_mutex_unlock(&r->lock);
    return added;
}

int rhodes_serve(struct rhodes *r, const char *signature, const char *types,
                 rhodes_handler *handler, void *data)
{
    struct served *s = NULL;
    uint64_t epoch;
    int result;

    if (!own_process(r)) {
        return fork_refused();
    }
    if (r->serving) {
        return error_say(RHODES_INVALID, "rhodes_serve comes before rhodes_serve_start");
    }
    result = served_make(signature, types, &s);
    if (result) {
        return result;
    }
    s->handler = handler;
    s->data = data;
    if (served_find(r, s->type->id)) {
        result = error_say(RHODES_EXISTS, "%s is served already", s->type->signature);
    }
    while (!result) {
        result = serve_say(r, SESSION_SERVE, s, &epoch);
        if (!result && served_add(r, s, epoch)) {
            return 0;
        }
    }
    served_drop(s);
    return result;
}

static int servers_start(struct rhodes *r, unsigned threads)
{
    r->servers = calloc(threads, sizeof(*r->servers));
    if (!r->servers) {
        return error_say(-ENOMEM, "out of memory");
    }
    while (r->servers_count < threads) {
        struct server *server = &r->servers[r->servers_count];
        int result;

        server->rhodes = r;
        channel_init(&server->channel, r, CHANNEL_SERVER);
        result = thread_start(&server->thread, server_run, server);
        if (result) {
            channel_deinit(&server->channel);
            return error_say(result, "serving thread %u cannot be started", r->servers_count + 1);
        }
        r->servers_count++;
    }
    return 0;
}

int rhodes_serve_start(struct rhodes *r, unsigned threads)
{
    uint64_t epoch;
    int result = 0;

    if (!own_process(r)) {
        return fork_refused();
    }
    if (threads < 1 || threads > CLIENT_SERVERS_MAX) {
        return error_say(RHODES_INVALID, "%u serving threads: 1 to %d can be had", threads,
                         CLIENT_SERVERS_MAX);
    }
    if (r->serving) {
        return error_say(RHODES_EXISTS, "serving has been started already");
    }
    if (!r->dedupe) {
        result = dedupe_new(r->client, CLIENT_CALLERS_MAX, CLIENT_REPLIES_MAX, &r->dedupe);
    }
    if (result) {
        return error_say(result, "out of memory");
    }
    pthread_mutex_lock(&r->lock);
    r->serving = true;
    pthread_mutex_unlock(&r->lock);
    atomic_store(&r->servers_stop, false);
    result = servers_start(r, threads);
    result = result ? result : serve_say(r, SESSION_READY, NULL, &epoch);
    if (result) {
        servers_end(r);
    }
    return result;
}

void servers_end(struct rhodes *r)
{
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->servers_stop, true);
    for (unsigned i = 0; i < r->servers_count; i++) {
        struct conduit *c = r->servers[i].channel.conduit;

        if (c) {
            c->transmitter->interrupt(c);
        }
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->servers_count; i++) {
        pthread_join(r->servers[i].thread, NULL);
        channel_deinit(&r->servers[i].channel);
    }
    r->servers_count = 0;
    free(r->servers);
    r->servers = NULL;
    pthread_mutex_lock(&r->lock);
    r->serving = false;
    pthread_mutex_unlock(&r->lock);
}

int rhodes_serve_wait(struct rhodes *r)
{
    struct pollfd event = { .fd = r->stop, .events = POLLIN };

    if (!own_process(r)) {
        return fork_refused();
    }
    while (ppoll(&event, 1, NULL, NULL) < 0) {
        if (errno != EINTR) {
            return failed(-errno);
        }
    }
    return 0;
}

void rhodes_serve_stop(struct rhodes *r)
{
    uint64_t one = 1;
    int before = errno;

    if (write(r->stop, &one, sizeof(one)) < 0) {
        errno = before; /* it has been rung before; a signal handler must not disturb errno */
    }
}

int rhodes_request_fail(struct rhodes_request *q, int result, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(q->error, sizeof(q->error), format, arguments);
    va_end(arguments);
    return result;
}

uint64_t rhodes_request_deadline_ns(const struct rhodes_request *q)
{
    return q->head.deadline_ns;
}
