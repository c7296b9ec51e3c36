/* The pool of serving channels. Taking and giving back is a mutex and a list, both uncontended in
 * the ordinary case; the last channel that was used is the first to be used again, because its
 * thread's memory is warm.
 *
 * The request is a private copy (body), for three reasons: a caller's agent that sends half a
 * message can never leave half a message in a serving channel; a channel whose program dies before
 * it took the request can be replaced by another; and the reply is checked in private memory, where
 * the program cannot change it after the check. */
#include "agent/serve.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "base/clock.h"

enum server_state {
    SERVER_FREE,
    SERVER_BUSY, /* a call is in it */
    SERVER_LATE  /* its call has been given up, its reply will come */
};

struct server {
    struct server *next, *next_free;
    struct agent *agent;
    uint64_t session; /* its number */
    uint64_t client;
    struct conduit *conduit;
    bool half;               /* the reply's head has been read, its body not yet */
    enum server_state state; /* this and `gone`: under the lock */
    bool gone;               /* its session ended: whoever holds it frees it */
};

void serve_init(struct serve *s)
{
    *s = (struct serve){ 0 };
    pthread_mutex_init(&s->lock, NULL);
    condition_init(&s->changed);
}

void serve_deinit(struct serve *s)
{
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
}

int serve_add_take(struct agent *a, uint64_t session, uint64_t client, struct conduit *conduit)
{
    struct serve *s = &a->serve;
    struct server *server = calloc(1, sizeof(*server));
    size_t count = 0, all = 0;
    bool room;

    if (!server) {
        conduit->transmitter->free(conduit);
        return failed(-ENOMEM);
    }
    *server =
        (struct server){ .agent = a, .session = session, .client = client, .conduit = conduit };
    pthread_mutex_lock(&s->lock);
    for (struct server *other = s->all; other; other = other->next) {
        count += other->session == session && !other->gone;
        all++;
    }
    room = count < AGENT_SERVERS_MAX && all < AGENT_SERVERS_ALL_MAX;
    if (room) {
        server->next = s->all;
        s->all = server;
        server->next_free = s->free;
        s->free = server;
        s->servers_count += session == s->session;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    if (!room) {
        conduit->transmitter->free(conduit);
        free(server);
        return RHODES_OVER_LIMIT;
    }
    return 0;
}

int serve_ready(struct agent *a, uint64_t session, uint64_t client)
{
    struct serve *s = &a->serve;
    int r = 0;

    pthread_mutex_lock(&s->lock);
    if (s->session && s->session != session) {
        r = RHODES_IN_USE;
    } else {
        s->session = session;
        s->client = client;
        s->servers_count = 0;
        for (struct server *server = s->all; server; server = server->next) {
            s->servers_count += server->session == session && !server->gone;
        }
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Takes it out of both lists; the caller holds the lock and frees it outside. */
static void server_unlink(struct serve *s, struct server *server)
{
    for (struct server **at = &s->free; *at; at = &(*at)->next_free) {
        if (*at == server) {
            *at = server->next_free;
            break;
        }
    }
    for (struct server **at = &s->all; *at; at = &(*at)->next) {
        if (*at == server) {
            *at = server->next;
            break;
        }
    }
    s->servers_count -= !server->gone && server->session == s->session;
}

static void server_free(struct server *server)
{
    server->conduit->transmitter->free(server->conduit);
    free(server);
}

void serve_leave(struct agent *a, uint64_t session)
{
    struct serve *s = &a->serve;
    struct server *idle = NULL, *next;

    pthread_mutex_lock(&s->lock);
    for (struct server *server = s->all; server; server = next) {
        next = server->next;
        if (server->session != session || server->gone) {
            continue;
        }
        if (server->state == SERVER_FREE) {
            server_unlink(s, server);
            server->next = idle;
            idle = server;
        } else {
            s->servers_count -= session == s->session;
            server->gone = true;
            server->conduit->transmitter->interrupt(server->conduit);
        }
    }
    if (s->session == session) {
        s->session = 0;
        s->client = 0;
        s->servers_count = 0;
    }
    pthread_mutex_unlock(&s->lock);
    for (; idle; idle = next) {
        next = idle->next;
        server_free(idle);
    }
}

void serve_stop(struct agent *a)
{
    pthread_mutex_lock(&a->serve.lock);
    a->serve.stopping = true;
    pthread_cond_broadcast(&a->serve.changed);
    pthread_mutex_unlock(&a->serve.lock);
}

uint64_t serve_executor(struct agent *a)
{
    uint64_t client;

    if (a->hardware) {
        return a->incarnation;
    }
    pthread_mutex_lock(&a->serve.lock);
    client = a->serve.client;
    pthread_mutex_unlock(&a->serve.lock);
    return client;
}

/* A free channel of the serving session, or why there is none until the deadline. */
static int server_take(struct agent *a, uint64_t deadline_ns, struct server **ret, char *why)
{
    struct serve *s = &a->serve;
    struct server *found = NULL;
    int r = 0;

    pthread_mutex_lock(&s->lock);
    while (!found && !r && !s->stopping) {
        struct server **at = &s->free;

        while (*at && (*at)->session != s->session) {
            at = &(*at)->next_free;
        }
        found = *at;
        if (found) {
            *at = found->next_free;
            found->state = SERVER_BUSY;
        } else {
            r = condition_wait(&s->changed, &s->lock, deadline_ns);
        }
    }
    if (s->stopping && !found) {
        snprintf(why, WHY_BYTES, "the agent of %s is stopping", a->options.resource);
    } else if (!found && !s->session) {
        snprintf(why, WHY_BYTES, "the program of %s was not ready until the deadline (it is %s)",
                 a->options.resource, program_state_name(a->program.state));
    } else if (!found) {
        snprintf(why, WHY_BYTES, "all %zu serving threads of %s were busy until the deadline",
                 s->servers_count, a->options.resource);
    }
    pthread_mutex_unlock(&s->lock);
    if (!found) {
        return RHODES_NOT_EXECUTED;
    }
    *ret = found;
    return 0;
}

static void server_give(struct server *server)
{
    struct serve *s = &server->agent->serve;
    bool gone;

    pthread_mutex_lock(&s->lock);
    gone = server->gone;
    if (gone) {
        server_unlink(s, server);
    } else {
        server->state = SERVER_FREE;
        server->next_free = s->free;
        s->free = server;
        pthread_cond_signal(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    if (gone) {
        server_free(server);
    }
}

/* The channel cannot be used again: its thread left, or half a message is in it. */
static void server_drop(struct server *server)
{
    struct serve *s = &server->agent->serve;

    pthread_mutex_lock(&s->lock);
    server_unlink(s, server);
    pthread_mutex_unlock(&s->lock);
    server_free(server);
}

/* Waits for the reply that nobody wants any more, so that the next call gets a clean channel. */
static void late_run(void *data)
{
    struct server *server = data;
    struct call_head head;
    int r = server->half ? 0 : message_head(server->conduit, &head, UINT64_MAX);

    server->half = false;
    r = r ? r : message_drop(server->conduit, &head, UINT64_MAX);
    if (r) {
        server_drop(server);
    } else {
        server_give(server);
    }
}

static void server_late(struct server *server)
{
    pthread_mutex_lock(&server->agent->serve.lock);
    server->state = SERVER_LATE;
    pthread_mutex_unlock(&server->agent->serve.lock);
    if (crew_start(&server->agent->crew, "late", late_run, server)) {
        server_drop(server);
    }
}

/* Waits for the reply. 0 with the answer made; else what message_head answers. */
static int reply_take(struct server *server, const struct rules *rules,
                      const struct call_head *request, struct answer *ret)
{
    struct call_head reply;
    const struct wit_function *f = rules_function(rules, request->function);
    int r = message_head(server->conduit, &reply, request->deadline_ns);

    if (r) {
        return r;
    }
    r = message_body(server->conduit, &reply, &ret->body, request->deadline_ns);
    if (r) {
        server->half = true;
        return r;
    }
    if (!answer_good(f, request, &reply, &ret->body)) {
        return RHODES_GARBAGE;
    }
    answer_again(ret, request, reply.result);
    ret->head.executor = server->client;
    ret->head.stamp[STAMP_CALLEE_STARTED] = reply.stamp[STAMP_CALLEE_STARTED];
    ret->head.stamp[STAMP_CALLEE_DONE] = reply.stamp[STAMP_CALLEE_DONE];
    return 0;
}

/* The program is no longer there, or never took the request. True: another channel may be tried. */
static bool server_ended(struct server *server, const struct call_head *request, struct answer *ret)
{
    struct agent *a = server->agent;
    bool taken = server->conduit->transmitter->taken(server->conduit);

    server_drop(server);
    if (taken) {
        answer_text(ret, request, RHODES_UNKNOWN,
                    "the program of %s ended during the call, which may have run",
                    a->options.resource);
    }
    return !taken;
}

/* One try on one channel. True: it did not run, try another. */
static bool server_try(struct server *server, const struct rules *rules,
                       const struct call_head *request, const struct bytes *body,
                       struct answer *ret)
{
    struct agent *a = server->agent;
    int r = message_send(server->conduit, request, body->data, request->deadline_ns);

    if (r == RHODES_TIMEOUT) {
        server_drop(server); /* half a message is in it */
        answer_text(ret, request, RHODES_NOT_EXECUTED,
                    "the program of %s did not take the request until the deadline",
                    a->options.resource);
        return false;
    }
    if (r == -EPIPE || r == -ECANCELED) {
        server_drop(server);
        return true;
    }
    r = r ? r : reply_take(server, rules, request, ret);
    if (r == 0) {
        server_give(server);
    } else if (r == RHODES_TIMEOUT) {
        server_late(server);
        answer_text(ret, request, r, "the function did not return in %s until the deadline",
                    a->options.resource);
    } else if (r == -EPIPE || r == -ECANCELED) {
        return server_ended(server, request, ret);
    } else {
        agent_condemn(a, server->client);
        server_drop(server);
        answer_text(ret, request, RHODES_GARBAGE,
                    "the program of %s answered something that is not a reply of this type",
                    a->options.resource);
    }
    return false;
}

static void serve_program(struct agent *a, const struct rules *rules,
                          const struct call_head *request, const struct bytes *body,
                          struct answer *ret)
{
    struct server *server;
    char why[WHY_BYTES];

    do {
        int r = server_take(a, request->deadline_ns, &server, why);

        if (r) {
            answer_text(ret, request, r, "%s", why);
            return;
        }
    } while (server_try(server, rules, request, body, ret));
}

void serve_call(struct agent *a, const struct rules *rules, const struct call_head *request,
                const struct bytes *body, struct answer *ret)
{
    assert(rules_function(rules, request->function)); /* it was judged on the same rules */
    if (clock_left_ns(request->deadline_ns) == 0) {
        answer_text(ret, request, RHODES_NOT_EXECUTED,
                    "its deadline had passed before it could begin");
    } else if (a->hardware) {
        hardware_call(&a->device, rules_function(rules, request->function), request, body, ret);
        ret->head.executor = a->incarnation;
    } else {
        serve_program(a, rules, request, body, ret);
    }
}
