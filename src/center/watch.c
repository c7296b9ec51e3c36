/* One session per agent, and at most one unanswered push in each. What changes while a push is out
 * is only marked; when the answer comes, the next push is the difference between what the agent
 * last acknowledged and what is true then. So a slow agent costs one view of memory and gets fewer,
 * larger deltas, never a queue, and deltas continue one another whatever was skipped between them.
 * A rejected push leaves the acknowledged view where it was.
 *
 * Who may speak: the socket's peer must have the center's uid (or be root), the resource must be
 * registered, and one living agent binds a resource at a time. Whatever an agent sends that is not
 * exactly a frame ends its session. */
#include "center/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "center/document.h"
#include "center/keeper.h"

struct session {
    struct watch *watch;
    struct session *next, *previous;
    uv_poll_t poll;
    int fd;
    struct unix_peer peer;
    struct agent *agent;  /* NULL until HELLO was accepted */
    uint64_t deadline_ns; /* for HELLO */
    struct bytes in, out;
    size_t out_sent;
    struct view *acknowledged, *outstanding;
    bool behind;             /* something changed since the last push */
    uint64_t changed_ns;     /* when the oldest change that is not pushed yet was committed */
    uint64_t outstanding_ns; /* the same for the push that is out */
    bool closed;
};

struct watch {
    struct center *center;
    int listen_fd, spare_fd; /* spare_fd is given up to accept and drop when descriptors run out */
    uv_poll_t poll;
    uv_timer_t timer; /* runs while there are strangers */
    size_t strangers;
    struct session *first;
};

static void on_session_closed(uv_handle_t *handle)
{
    struct session *s = handle->data;

    bytes_deinit(&s->in);
    bytes_deinit(&s->out);
    view_unref(s->acknowledged);
    view_unref(s->outstanding);
    free(s);
}

static void agent_left(struct center *c, struct agent *a)
{
    bool over =
        a->status.program_state == PROGRAM_EXITED ||
        a->status.program_state == PROGRAM_FAILED; /* with whatever status: its command ended */
    bool ended = a->stopping || (!a->managed && over);

    a->session = NULL;
    if (c->leaving) {
        return;
    }
    if (agent_moved(a, ended ? MOVE_ENDED : MOVE_GONE, time_now_ms())) {
        center_event(c, ended ? "agent.stopped" : "agent.lost", a->resource,
                     "agent pid %d has left", a->pid);
    }
    center_agent_changed(c, a);
    keeper_session_gone(c->keeper, a); /* may forget the agent */
}

static void session_close(struct session *s)
{
    struct watch *w = s->watch;

    if (s->closed) {
        return;
    }
    s->closed = true;
    if (s->previous) {
        s->previous->next = s->next;
    } else {
        w->first = s->next;
    }
    if (s->next) {
        s->next->previous = s->previous;
    }
    uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, on_session_closed);
    close(s->fd);
    if (s->agent) {
        agent_left(w->center, s->agent);
    } else {
        w->strangers--;
    }
}

static void on_session_ready(uv_poll_t *poll, int status, int events);

/* Sends what the socket takes; the rest waits for it to become writable. */
static void session_flush(struct session *s)
{
    bool waits = false;

    while (s->out_sent < s->out.used && !waits) {
        ssize_t n = send(s->fd, s->out.data + s->out_sent, s->out.used - s->out_sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            s->out_sent += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            waits = true;
        } else if (n < 0 && errno != EINTR) {
            break; /* the end of the stream will be read */
        }
    }
    if (!waits) {
        bytes_deinit(&s->out); /* a snapshot's memory is not kept for each of a thousand agents */
        bytes_init(&s->out, 0);
        s->out_sent = 0;
    }
    uv_poll_start(&s->poll, UV_READABLE | (waits ? UV_WRITABLE : 0), on_session_ready);
}

/* False when memory is out: the session is closed then, and the agent will come again. */
static bool session_say(struct session *s, const struct event *e)
{
    event_encode(&s->out, e);
    if (s->out.error) {
        log_write(LOG_ERROR, "watch.failed", "agent_pid=%d reason=%s", s->peer.pid,
                  rhodes_result_name(s->out.error));
        session_close(s);
        return false;
    }
    session_flush(s);
    return true;
}

static void session_refuse(struct session *s, int verdict, const char *text)
{
    char quoted[600];
    struct event e = { .type = EVENT_REFUSED, .verdict = verdict, .text = (char *)(uintptr_t)text };

    log_write(LOG_WARNING, "agent.refused", "pid=%d verdict=%s reason=%s", s->peer.pid,
              rhodes_result_name(verdict), log_quote(text, quoted, sizeof(quoted)));
    if (session_say(s, &e)) {
        session_close(s);
    }
}

static void view_keys_fill(const struct center *c, struct view *v)
{
    for (size_t i = 0; i < v->edges_count; i++) {
        struct view_edge *edge = &v->edges[i];

        secret_edge_key(&c->secret, edge->outgoing ? v->self.resource : edge->peer,
                        edge->outgoing ? edge->peer : v->self.resource, edge->key);
    }
}

static bool session_say_view(struct session *s, struct view *v)
{
    struct event e = { .type = EVENT_SNAPSHOT, .view = v };
    struct view_delta *delta = NULL;
    bool said;

    if (s->acknowledged) {
        e.type = EVENT_DELTA;
        if (view_diff(s->acknowledged, v, &delta) != 0) {
            e.type = EVENT_SNAPSHOT; /* out of memory for a small thing: try the plain one */
        }
        e.delta = delta;
    }
    said = session_say(s, &e);
    view_delta_free(delta);
    return said;
}

/* Pushes what is true now. Nothing is outstanding. */
static void session_push(struct session *s)
{
    struct center *c = s->watch->center;
    struct agent *a = s->agent;
    struct view *v = NULL;
    int r = catalog_view(c->governor.catalog, a->resource, &v);

    s->behind = false;
    if (r == RHODES_NOT_FOUND) {
        return; /* deleted: the keeper asks this agent to stop */
    }
    if (r) {
        session_close(s);
        return;
    }
    view_keys_fill(c, v);
    s->outstanding = v;
    s->outstanding_ns = s->changed_ns;
    a->pushed = a->wanted = v->revision;
    if (session_say_view(s, v)) {
        log_write(LOG_DEBUG, "rule.pushed", "agent=%s revision=%llu", a->resource,
                  (unsigned long long)v->revision);
    }
}

/* What refuses an agent that wants to bind `resource`; 0 when nothing does. */
static int hello_judge(const struct session *s, const struct event *e, char *text,
                       size_t text_bytes)
{
    struct center *c = s->watch->center;
    const struct agent *a = roster_find(&c->roster, e->resource);
    int other;

    if (!catalog_resource(c->governor.catalog, e->resource)) {
        snprintf(text, text_bytes, "%s is not registered", e->resource);
        return RHODES_NOT_FOUND;
    }
    other = a && a->session ? a->pid : a ? keeper_other_pid(c->keeper, a, s->peer.pid) : 0;
    if (other) {
        snprintf(text, text_bytes, "agent pid %d is already bound to %s", other, e->resource);
        return RHODES_EXISTS;
    }
    return 0;
}

static void on_hello(struct session *s, const struct event *e)
{
    struct center *c = s->watch->center;
    struct event welcome = { .type = EVENT_WELCOME,
                             .revision = catalog_revision(c->governor.catalog) };
    struct agent *a;
    char text[256];
    int r = hello_judge(s, e, text, sizeof(text));

    if (!r && roster_add(&c->roster, e->resource, &a) != 0) {
        session_close(s);
        return;
    }
    if (r) {
        session_refuse(s, r, text);
        return;
    }
    s->watch->strangers--;
    s->agent = a;
    a->session = s;
    a->stopping = false;
    a->pid = s->peer.pid;
    a->incarnation = e->incarnation;
    a->applied = e->revision <= welcome.revision ? e->revision : 0;
    a->status = (struct agent_status){ 0 };
    agent_rejected(a, 0, 0, NULL);
    agent_moved(a, MOVE_HELLO, time_now_ms());
    keeper_session_come(c->keeper, a);
    s->changed_ns = clock_ns();
    if (!session_say(s, &welcome)) {
        return;
    }
    if (keeper_dismisses(c->keeper, a)) {
        watch_ask_stop(c->watch, a); /* with what an earlier agent of this resource left */
    } else {
        session_push(s);
    }
}

/* Takes the outstanding push back when `e` answers it; false (and the session is over) when it
 * answers none. */
static bool answer_take(struct session *s, const struct event *e, struct view **ret)
{
    if (!s->outstanding || s->outstanding->revision != e->revision) {
        session_refuse(s, RHODES_INVALID, "this answers no push");
        return false;
    }
    *ret = s->outstanding;
    s->outstanding = NULL;
    return true;
}

static void on_applied(struct session *s, const struct event *e)
{
    struct center *c = s->watch->center;
    struct agent *a = s->agent;
    struct view *v;

    if (!answer_take(s, e, &v)) {
        return;
    }
    view_unref(s->acknowledged);
    s->acknowledged = v;
    a->applied = v->revision;
    a->applied_ns = clock_ns() - s->outstanding_ns;
    agent_rejected(a, 0, 0, NULL);
    log_write(LOG_INFO, "rule.applied", "agent=%s revision=%llu took_us=%llu agent_us=%llu",
              a->resource, (unsigned long long)v->revision,
              (unsigned long long)(a->applied_ns / NS_PER_US),
              (unsigned long long)(e->took_ns / NS_PER_US));
    if (agent_moved(a, MOVE_APPLIED, time_now_ms())) {
        center_event(c, "agent.ready", a->resource, "agent pid %d has revision %llu in force",
                     a->pid, (unsigned long long)v->revision);
    }
    center_agent_changed(c, a);
    if (s->behind && !a->stopping) {
        session_push(s);
    }
}

static void on_rejected(struct session *s, const struct event *e)
{
    struct center *c = s->watch->center;
    struct agent *a = s->agent;
    struct view *v;

    if (!answer_take(s, e, &v)) {
        return;
    }
    view_unref(v);
    agent_rejected(a, e->revision, e->verdict, e->text);
    agent_moved(a, MOVE_REJECTED, time_now_ms());
    center_event(c, "rule.rejected", a->resource, "revision %llu: %s",
                 (unsigned long long)e->revision, e->text);
    center_agent_changed(c, a);
    if (s->behind && !a->stopping) {
        session_push(s);
    }
}

static void on_resync(struct session *s)
{
    s->acknowledged = view_unref(s->acknowledged);
    if (s->outstanding) {
        s->outstanding = view_unref(s->outstanding);
        s->changed_ns = s->outstanding_ns;
    } else {
        s->changed_ns = clock_ns();
    }
    session_push(s);
}

static void on_event(struct session *s, const struct event *e)
{
    struct agent *a = s->agent;

    if (!a != (e->type == EVENT_HELLO)) {
        session_refuse(s, RHODES_INVALID, a ? "HELLO was said already" : "HELLO comes first");
        return;
    }
    switch (e->type) {
    case EVENT_HELLO:
        on_hello(s, e);
        break;
    case EVENT_APPLIED:
        on_applied(s, e);
        break;
    case EVENT_REJECTED:
        on_rejected(s, e);
        break;
    case EVENT_RESYNC:
        on_resync(s);
        break;
    case EVENT_STATUS:
        a->status = e->status;
        break;
    case EVENT_NOTICE:
        center_event(s->watch->center, e->name, a->resource, "%s", e->text);
        break;
    case EVENT_WELCOME:
    case EVENT_REFUSED:
    case EVENT_SNAPSHOT:
    case EVENT_DELTA:
    case EVENT_STOP:
    default:
        session_refuse(s, RHODES_INVALID, "only a center says this");
    }
}

/* The first whole frame of what came in: its length, 0 when it is not all there, negative when it
 * is none. */
static ssize_t frame_bytes(const struct bytes *in, size_t at)
{
    size_t n = 0;
    int r = event_head(in->data + at, in->used - at, &n);

    if (r == -EAGAIN) {
        return 0;
    }
    if (r || n > WATCH_FRAME_BYTES_MAX) {
        return -1;
    }
    return n <= in->used - at ? (ssize_t)n : 0;
}

static void session_take(struct session *s)
{
    size_t at = 0;

    while (!s->closed && at < s->in.used) {
        ssize_t n = frame_bytes(&s->in, at);
        struct event e = { 0 };

        if (n == 0) {
            break;
        }
        if (n < 0 || event_decode(s->in.data + at, (size_t)n, &e) != 0) {
            session_refuse(s, RHODES_INVALID, "this is not a frame");
            return;
        }
        at += (size_t)n;
        on_event(s, &e);
        event_deinit(&e);
    }
    if (s->closed) {
        return;
    }
    s->in.used -= at;
    if (s->in.used) {
        memmove(s->in.data, s->in.data + at, s->in.used);
    } else {
        bytes_deinit(&s->in);
        bytes_init(&s->in, 0);
    }
}

static void on_session_ready(uv_poll_t *poll, int status, int events)
{
    struct session *s = poll->data;
    char scratch[WATCH_FRAME_BYTES_MAX];
    ssize_t n;

    if (events & UV_WRITABLE) {
        session_flush(s);
    }
    if (status == 0 && !(events & UV_READABLE)) {
        return;
    }
    n = recv(s->fd, scratch, sizeof(scratch), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && status == 0) {
        return;
    }
    if (n > 0) {
        bytes_put(&s->in, scratch, (size_t)n);
    }
    if (n <= 0 || s->in.error) {
        session_close(s);
        return;
    }
    session_take(s);
}

static void on_strangers_timer(uv_timer_t *timer)
{
    struct watch *w = timer->data;
    uint64_t now = clock_ns();
    struct session *next;

    for (struct session *s = w->first; s; s = next) {
        next = s->next;
        if (!s->agent && now > s->deadline_ns) {
            session_refuse(s, RHODES_TIMEOUT, "HELLO did not come");
        }
    }
    if (!w->strangers) {
        uv_timer_stop(&w->timer);
    }
}

static void session_open(struct watch *w, int fd)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s || w->strangers >= WATCH_STRANGERS_MAX || unix_peer(fd, &s->peer) != 0 ||
        uv_poll_init(&w->center->loop, &s->poll, fd) != 0) {
        close(fd);
        free(s);
        return;
    }
    s->watch = w;
    s->fd = fd;
    s->poll.data = s;
    s->deadline_ns = clock_ns() + WATCH_HELLO_MS * NS_PER_MS;
    bytes_init(&s->in, 0);
    bytes_init(&s->out, 0);
    s->next = w->first;
    if (w->first) {
        w->first->previous = s;
    }
    w->first = s;
    if (w->strangers++ == 0) {
        uv_timer_start(&w->timer, on_strangers_timer, 1000, 1000);
    }
    uv_poll_start(&s->poll, UV_READABLE, on_session_ready);
    if (s->peer.uid != w->center->uid && s->peer.uid != 0) {
        session_refuse(s, RHODES_DENIED,
                       "only agents of the account that started the center are served");
    }
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;

    for (;;) {
        int fd = accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            session_open(w, fd);
        } else if (errno == EMFILE || errno == ENFILE) {
            fd_closep(&w->spare_fd);
            fd = accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC);
            fd_closep(&fd);
            w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            break;
        }
    }
}

int watch_new(struct center *c, struct watch **ret)
{
    struct watch *w = calloc(1, sizeof(*w));
    int r;

    if (!w) {
        return failed(-ENOMEM);
    }
    w->center = c;
    w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    r = unix_listen_at(c->directory_fd, "watch.sock", SOCK_STREAM | SOCK_NONBLOCK, &w->listen_fd);
    if (r) {
        fd_closep(&w->spare_fd);
        free(w);
        return r;
    }
    uv_poll_init(&c->loop, &w->poll, w->listen_fd);
    uv_timer_init(&c->loop, &w->timer);
    w->poll.data = w->timer.data = w;
    uv_poll_start(&w->poll, UV_READABLE, on_connection);
    *ret = w;
    return 0;
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;

    if (handle == (uv_handle_t *)&w->timer) {
        uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        return;
    }
    free(w);
}

struct watch *watch_free(struct watch *w)
{
    if (w) {
        while (w->first) {
            session_close(w->first);
        }
        uv_poll_stop(&w->poll);
        close(w->listen_fd);
        fd_closep(&w->spare_fd);
        uv_close((uv_handle_t *)&w->timer, on_watch_closed);
    }
    return NULL;
}

void watch_announce(struct watch *w, const struct decision *d)
{
    for (size_t i = 0; i < d->affected_count; i++) {
        struct agent *a = roster_find(&w->center->roster, d->affected[i]);
        struct session *s = a ? a->session : NULL;

        if (!s || a->stopping) {
            continue;
        }
        a->wanted = d->revision;
        if (!s->behind) {
            s->changed_ns = d->committed_ns;
        }
        s->behind = true;
        if (!s->outstanding) {
            session_push(s);
        }
    }
}

void watch_ask_stop(struct watch *w, struct agent *a)
{
    struct event e = { .type = EVENT_STOP };

    if (!a->stopping) {
        a->stopping = true;
        session_say(a->session, &e);
    }
}
