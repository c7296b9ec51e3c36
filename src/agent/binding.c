/* The sessions on agent.sock: their life and their requests.
 *
 * A request is one packet and gets one answer at once, so a session holds no queue in either
 * direction: a peer that does not read its answers until the socket is full is hung up on. What a
 * session may ask depends on who it is (agent/life.h has the table); everything else is a reason to
 * end it, because nobody who follows the protocol sends it.
 *
 * Who it is: the kernel's credentials of the connection (the user must be the agent's own, or
 * root), then for the program its process and the agent's own child tree, for another agent the key
 * of the edge. */
#include "agent/binding.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "agent/arrival.h"
#include "agent/proc.h"

#define SOCKET_NAME  "agent.sock"
#define REQUESTS_MAX 16 /* of one session before others have their turn */

static void on_session(uv_poll_t *poll, int status, int events);

int doors_init(struct doors *d, struct agent *a)
{
    *d = (struct doors){ .agent = a, .fd = -1 };
    d->request = malloc(sizeof(*d->request));
    d->answer = malloc(sizeof(*d->answer));
    d->packet = malloc(SESSION_BYTES_MAX);
    return d->request && d->answer && d->packet ? 0 : failed(-ENOMEM);
}

void doors_deinit(struct doors *d)
{
    free(d->request);
    free(d->answer);
    free(d->packet);
}

struct session *session_ref(struct session *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

struct session *session_unref(struct session *s)
{
    if (s && atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) == 1) {
        pthread_mutex_destroy(&s->lock);
        free(s->bindings);
        free(s);
    }
    return NULL;
}

bool session_binding(struct session *s, uint32_t number, char ret_callee[RESOURCE_ID_BYTES_MAX],
                     bool *ret_own)
{
    bool found;

    pthread_mutex_lock(&s->lock);
    found = number && number <= s->bindings_count;
    if (found) {
        memcpy(ret_callee, s->bindings[number - 1].callee, RESOURCE_ID_BYTES_MAX);
        *ret_own = s->bindings[number - 1].own;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

int session_bind(struct session *s, const char *callee, uint64_t function, bool own,
                 uint32_t *ret_number)
{
    struct session_bound *grown;
    size_t i = 0;
    int r = 0;

    pthread_mutex_lock(&s->lock);
    while (i < s->bindings_count &&
           (s->bindings[i].function != function || strcmp(s->bindings[i].callee, callee) != 0)) {
        i++;
    }
    if (i == s->bindings_count && i == AGENT_BINDINGS_MAX) {
        r = RHODES_OVER_LIMIT;
    } else if (i == s->bindings_count) {
        grown = realloc(s->bindings, (i + 1) * sizeof(*grown));
        if (grown) {
            s->bindings = grown;
            grown[i] = (struct session_bound){ .function = function, .own = own };
            snprintf(grown[i].callee, sizeof(grown[i].callee), "%s", callee);
            s->bindings_count++;
        } else {
            r = failed(-ENOMEM);
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (!r) {
        *ret_number = (uint32_t)i + 1;
    }
    return r;
}

static void on_session_closed(uv_handle_t *handle)
{
    session_unref(handle->data);
}

static bool is_program(const struct session *s)
{
    return s->state == SESSION_PROGRAM || s->state == SESSION_SERVING;
}

bool doors_program(const struct doors *d)
{
    for (const struct session *s = d->sessions; s; s = s->next) {
        if (is_program(s)) {
            return true;
        }
    }
    return false;
}

/* Everything that hangs on the session ends with it. */
static void session_end(struct session *s)
{
    struct agent *a = s->agent;
    struct session **at = &a->doors.sessions;
    bool program = is_program(s);

    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    a->doors.sessions_count--;
    channels_leave(a, s);
    serve_leave(a, s->number);
    arrivals_leave(a, s->number);
    uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, on_session_closed);
    fd_closep(&s->fd);
    if (program && !doors_program(&a->doors)) {
        program_moved(&a->program, PROGRAM_UNBOUND);
    }
}

static void doors_refuse(struct agent *a, const struct unix_peer *peer, const char *why)
{
    agent_notice(a, LOG_WARNING, "session.refused", "process %d (user %u): %s", peer->pid,
                 peer->uid, why);
}

static int answer_refuse(struct session_message *answer, int result, const char *why,
                         const char *hint)
{
    answer->result = result;
    snprintf(answer->text[0], sizeof(answer->text[0]), "%s",
             why && *why ? why : rhodes_result_sentence(result));
    snprintf(answer->text[1], sizeof(answer->text[1]), "%s", hint ? hint : "");
    return 0;
}

/* Is the process at the other end the program, or one that it started? */
static int program_check(struct session *s, const char *resource, char *why)
{
    struct agent *a = s->agent;

    if (*resource && strcmp(resource, a->options.resource) != 0) {
        snprintf(why, WHY_BYTES, "process %d believes to be %.79s, but this agent is that of %s",
                 s->peer.pid, resource, a->options.resource);
        return RHODES_NOT_BOUND;
    }
    if (a->program.pid <= 0 || !proc_descends(s->peer.pid, a->program.pid)) {
        snprintf(why, WHY_BYTES, "process %d is not the program that the agent of %s is bound to",
                 s->peer.pid, a->options.resource);
        return RHODES_NOT_BOUND;
    }
    return 0;
}

static int on_hello(struct session *s, const struct session_message *q, struct session_message *ret)
{
    struct agent *a = s->agent;
    char why[WHY_BYTES];

    if (q->flags & SESSION_OPERATOR) {
        s->state = SESSION_PERSON;
    } else {
        int r = program_check(s, q->text[0], why);

        if (r) {
            doors_refuse(a, &s->peer, why);
            return answer_refuse(ret, r, why,
                                 "start it with rhodes run, or let the manifest start it");
        }
        s->state = SESSION_PROGRAM;
        if (a->cache.now->view->self.functions_count == 0) {
            program_moved(&a->program,
                          PROGRAM_BOUND); /* it has nothing to serve: this is all there is */
        }
    }
    s->client = q->number[0];
    ret->number[0] = a->incarnation;
    ret->number[1] = a->cache.now->view->revision;
    strcpy(ret->text[0], a->options.resource);
    return 0;
}

static int on_serve(struct session *s, const struct session_message *q, struct session_message *ret)
{
    char why[WHY_BYTES], hint[WHY_BYTES];
    int r =
        route_serve(s->agent->cache.now->view, q->text[0], q->text[1], &ret->number[0], why, hint);

    return r ? answer_refuse(ret, r, why, hint) : 0;
}

/* A serving session whose process has hung up, and whose end is not read yet, does not count. */
static void serving_look(struct doors *d, const struct session *but)
{
    for (struct session *s = d->sessions; s; s = s->next) {
        char byte;

        if (s != but && s->state == SESSION_SERVING &&
            (s->client == but->client || recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)) {
            session_end(s);
            return;
        }
    }
}

static int on_ready(struct session *s, const struct session_message *q, struct session_message *ret)
{
    struct agent *a = s->agent;
    char why[WHY_BYTES];
    int r;

    serving_look(&a->doors, s);
    r = serve_ready(a, s->number, s->client);
    if (r) {
        snprintf(why, sizeof(why), "another process of this program serves %s already",
                 a->options.resource);
        return answer_refuse(ret, r, why, "serve from one process, with several threads");
    }
    s->state = SESSION_SERVING;
    program_moved(&a->program, PROGRAM_BOUND);
    return 0;
}

static int on_channel(struct session *s, const struct session_message *q,
                      struct session_message *ret, const struct descriptors *received,
                      struct descriptors *ret_send)
{
    struct conduit *conduit;
    int r = transmitter_shm.accept(received, &conduit, ret_send);

    if (r) {
        return answer_refuse(ret, r, "the memory of this channel is not a sealed ring", "");
    }
    if (q->number[1] == CHANNEL_SERVER && is_program(s)) {
        r = serve_add_take(s->agent, s->number, s->client, conduit);
    } else if (q->number[1] == CHANNEL_CALLER && q->number[0] != 0) {
        r = channel_new_take(s->agent, s, q->number[0], conduit);
    } else {
        conduit->transmitter->free(conduit);
        r = RHODES_INVALID;
    }
    if (r) {
        descriptors_close(ret_send);
        return answer_refuse(
            ret, r, r == RHODES_OVER_LIMIT ? "this program has all the channels it may have" : NULL,
            "");
    }
    return 0;
}

static int on_bind(struct session *s, const struct session_message *q, struct session_message *ret)
{
    char why[WHY_BYTES], hint[WHY_BYTES];
    struct route_binding found;
    uint32_t number;
    int r = route_bind(s->agent->cache.now->view, s->state == SESSION_PERSON, q->text[0],
                       q->text[1], q->text[2], &found, why, hint);

    if (r) {
        return answer_refuse(ret, r, why, hint);
    }
    r = session_bind(s, found.callee, found.function, found.own, &number);
    if (r) {
        return answer_refuse(ret, r, "this session has all the bindings it may have", "");
    }
    ret->number[0] = number;
    ret->number[1] = found.function;
    ret->number[2] = found.timeout_ns;
    snprintf(ret->text[0], sizeof(ret->text[0]), "%s", found.signature);
    return 0;
}

static int on_peer(struct session *s, const struct session_message *q, struct session_message *ret)
{
    struct agent *a = s->agent;
    char why[WHY_BYTES], hint[WHY_BYTES];
    int r;

    if (strcmp(q->text[1], a->options.resource) != 0) {
        snprintf(why, sizeof(why), "this is the agent of %s, not of %.79s", a->options.resource,
                 q->text[1]);
        return answer_refuse(ret, RHODES_NOT_FOUND, why, "");
    }
    r = route_peer(a->cache.now->view, q->text[0], q->key, why, hint);
    if (r) {
        doors_refuse(a, &s->peer, why);
        return answer_refuse(ret, r, why, hint);
    }
    s->state = SESSION_AGENT;
    snprintf(s->caller, sizeof(s->caller), "%.*s", RESOURCE_ID_BYTES_MAX - 1, q->text[0]);
    ret->number[0] = a->incarnation;
    return 0;
}

static int on_lane(struct session *s, const struct session_message *q, struct session_message *ret,
                   const struct descriptors *received, struct descriptors *ret_send)
{
    char why[WHY_BYTES];
    int r = arrival_lane(s->agent, s->number, s->caller, q->number, received, ret_send, why);

    if (r) {
        return answer_refuse(ret, r, why, "");
    }
    ret->number[0] = serve_executor(s->agent);
    return 0;
}

/* Fills the answer. Anything but 0 ends the session. */
static int session_request(struct session *s, const struct session_message *q,
                           struct session_message *ret, const struct descriptors *received,
                           struct descriptors *ret_send)
{
    const enum session_type type = (enum session_type)q->type;

    if (q->type & SESSION_ANSWER || !session_accepts(s->state, type)) {
        return RHODES_INVALID;
    }
    switch (type) {
    case SESSION_HELLO:
        return on_hello(s, q, ret);
    case SESSION_SERVE:
        return on_serve(s, q, ret);
    case SESSION_READY:
        return on_ready(s, q, ret);
    case SESSION_CHANNEL:
        return on_channel(s, q, ret, received, ret_send);
    case SESSION_BIND:
        return on_bind(s, q, ret);
    case SESSION_PEER:
        return on_peer(s, q, ret);
    case SESSION_LANE:
        return on_lane(s, q, ret, received, ret_send);
    case SESSION_CLOSE:
        arrival_close(s->agent, s->number, q->number[0]);
        return 0;
    case SESSION_TYPES_END:
        break;
    }
    return RHODES_INVALID;
}

static void answer_clear(struct session_message *answer, const struct session_message *q)
{
    answer->type = q->type | SESSION_ANSWER;
    answer->tag = q->tag;
    answer->result = 0;
    answer->flags = 0;
    memset(answer->number, 0, sizeof(answer->number));
    memset(answer->key, 0, sizeof(answer->key));
    for (int i = 0; i < 4; i++) {
        answer->text[i][0] = 0;
    }
}

/* Reads and answers one packet. -EAGAIN when there is none; anything else but 0 ends the session.
 */
static int session_turn(struct session *s)
{
    struct doors *d = &s->agent->doors;
    struct descriptors received = { 0 }, send = { 0 };
    size_t bytes;
    int r = unix_receive(s->fd, d->packet, SESSION_BYTES_MAX, &bytes, received.fd, &received.count);

    if (r) {
        return r;
    }
    if (bytes == 0) {
        descriptors_close(&received);
        return -EPIPE;
    }
    r = session_decode(d->packet, bytes, d->request);
    if (!r) {
        answer_clear(d->answer, d->request);
        r = session_request(s, d->request, d->answer, &received, &send);
    }
    if (r > 0) {
        agent_notice(s->agent, LOG_WARNING, "session.refused",
                     "process %d sent what a session in state '%s' may not send", s->peer.pid,
                     session_state_name(s->state));
    }
    r = r ? r : session_encode(d->answer, d->packet, SESSION_BYTES_MAX, &bytes);
    r = r ? r : unix_send(s->fd, d->packet, bytes, send.fd, send.count);
    descriptors_close(&received);
    descriptors_close(&send);
    return r == -EAGAIN ? -EPIPE : r; /* it does not read its answers */
}

static void on_session(uv_poll_t *poll, int status, int events)
{
    struct session *s = poll->data;
    int r = status < 0 ? status : 0;

    for (int i = 0; i < REQUESTS_MAX && !r; i++) {
        r = session_turn(s);
    }
    if (r && r != -EAGAIN) {
        session_end(s);
    }
}

static int session_new_take(struct agent *a, int fd, const struct unix_peer *peer)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s) {
        close(fd);
        return failed(-ENOMEM);
    }
    *s = (struct session){ .agent = a, .references = 1, .fd = fd, .peer = *peer };
    s->number = ++a->doors.number;
    pthread_mutex_init(&s->lock, NULL);
    s->next = a->doors.sessions;
    a->doors.sessions = s;
    a->doors.sessions_count++;
    uv_poll_init(&a->loop, &s->poll, fd);
    s->poll.data = s;
    uv_poll_start(&s->poll, UV_READABLE | UV_DISCONNECT, on_session);
    return 0;
}

static int session_accept(struct agent *a, int fd)
{
    struct unix_peer peer;
    int r = unix_peer(fd, &peer);

    if (r) {
        close(fd);
        return r;
    }
    if (peer.uid != geteuid() && peer.uid != 0) {
        doors_refuse(a, &peer, "not the user that this agent runs as");
        r = RHODES_DENIED;
    } else if (a->doors.sessions_count >= AGENT_SESSIONS_MAX) {
        doors_refuse(a, &peer, "there are as many sessions as there may be");
        r = RHODES_OVER_LIMIT;
    }
    if (r) {
        close(fd);
        return r;
    }
    return session_new_take(a, fd, &peer);
}

static void on_door(uv_poll_t *poll, int status, int events)
{
    struct doors *d = poll->data;

    for (int i = 0; i < REQUESTS_MAX; i++) {
        int fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
            return;
        }
        if (session_accept(d->agent, fd) < 0) {
            return;
        }
    }
}

int doors_open(struct doors *d)
{
    int r = unix_listen_at(d->agent->dir_fd, SOCKET_NAME, SOCK_SEQPACKET | SOCK_NONBLOCK, &d->fd);

    if (r) {
        return r;
    }
    uv_poll_init(&d->agent->loop, &d->poll, d->fd);
    d->poll.data = d;
    return uv_poll_start(&d->poll, UV_READABLE, on_door);
}

void doors_shut(struct doors *d)
{
    if (d->fd >= 0) {
        uv_poll_stop(&d->poll);
        uv_close((uv_handle_t *)&d->poll, NULL);
        unlinkat(d->agent->dir_fd, SOCKET_NAME, 0);
        fd_closep(&d->fd);
    }
}

void doors_clear(struct doors *d)
{
    while (d->sessions) {
        session_end(d->sessions);
    }
}

void doors_condemn(struct doors *d, uint64_t client)
{
    for (struct session *s = d->sessions, *next; s; s = next) {
        next = s->next;
        if (is_program(s) && s->client == client) {
            agent_notice(s->agent, LOG_WARNING, "session.refused",
                         "process %d answered a call with garbage", s->peer.pid);
            session_end(s);
        }
    }
}
