/* The agent's half of the watch protocol (the paper's CWatchManager). A push is put in force whole or not at all, and answered
 * with APPLIED or REJECTED; a delta that does not continue where the view stands is answered with RESYNC, and the snapshot that
 * follows is taken as it is. APPLIED says that the rules are in force, and that this agent's death brings back nothing that
 * they revoke. */
#include "agent/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/home.h"

#define RETRY_MS_MIN 20
#define RETRY_MS_MAX 200
#define READ_BYTES   (64u << 10)

static void on_retry(uv_timer_t *timer);

int watch_init(struct watch *w, struct agent *a)
{
    *w = (struct watch){ .agent = a, .fd = -1, .center_fd = -1 };
    bytes_init(&w->in, EVENT_BYTES_MAX + READ_BYTES);
    bytes_init(&w->out, WATCH_OUT_BYTES_MAX);
    uv_timer_init(&a->loop, &w->retry);
    w->retry.data = w;
    return home_open_dir(a->options.home, "center", &w->center_fd);
}

void watch_deinit(struct watch *w)
{
    fd_closep(&w->center_fd);
    bytes_deinit(&w->in);
    bytes_deinit(&w->out);
}

static uint64_t retry_ms(void)
{
    uint32_t random = 0;

    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        return RETRY_MS_MAX;
    }
    return RETRY_MS_MIN + random % (RETRY_MS_MAX - RETRY_MS_MIN);
}

/* No session (any more): go on with what there is. */
static void watch_away(struct watch *w, const char *why)
{
    struct agent *a = w->agent;
    char quoted[WHY_BYTES];

    if (w->fd >= 0) {
        uv_poll_stop(&w->poll);
        uv_close((uv_handle_t *)&w->poll, NULL);
        fd_closep(&w->fd);
    }
    w->state = WATCH_AWAY;
    agent_save(a);
    bytes_reset(&w->in);
    bytes_reset(&w->out);
    if (!w->said) {
        w->said = true;
        if (a->cache.now) {
            log_write(LOG_WARNING, "center.away", "reason=%s rules_of_revision=%llu",
                      log_quote(why, quoted, sizeof(quoted)),
                      (unsigned long long)a->cache.now->view->revision);
        } else {
            log_write(LOG_WARNING, "center.away", "reason=%s rules=none",
                      log_quote(why, quoted, sizeof(quoted)));
        }
    }
    if (!w->stopped) {
        uv_timer_start(&w->retry, on_retry, retry_ms(), 0);
        agent_settle(a);
    }
}

static void on_center(uv_poll_t *poll, int status, int events);

static void watch_listen(struct watch *w)
{
    int events = UV_READABLE | (w->out.used ? UV_WRITABLE : 0);

    uv_poll_start(&w->poll, events, on_center);
}

/* Sends what it can without waiting. False: the session is over. */
static bool watch_flush(struct watch *w)
{
    size_t sent = 0;

    while (sent < w->out.used) {
        ssize_t n =
            send(w->fd, w->out.data + sent, w->out.used - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            return false;
        }
        if (n < 0) {
            break;
        }
        sent += (size_t)n;
    }
    if (sent) {
        memmove(w->out.data, w->out.data + sent, w->out.used - sent);
        w->out.used -= sent;
    }
    return true;
}

void watch_send(struct watch *w, const struct event *e)
{
    if (w->state == WATCH_AWAY || (w->state == WATCH_GREETING && e->type != EVENT_HELLO)) {
        return;
    }
    event_encode(&w->out, e);
    if (w->out.error || !watch_flush(w)) {
        watch_away(w, w->out.error ? "it does not read what it is sent" : "the connection broke");
        return;
    }
    watch_listen(w);
}

static void push_answer(struct watch *w, int r, uint64_t revision, uint64_t began_ns, char *why)
{
    struct event e = { .type = EVENT_APPLIED, .revision = revision };
    char quoted[WHY_BYTES];

    if (r) {
        e.type = EVENT_REJECTED;
        e.verdict = r;
        e.text = *why ? why : (char *)(uintptr_t)rhodes_result_sentence(r);
        log_write(LOG_WARNING, "rules.rejected", "revision=%llu verdict=%s reason=%s",
                  (unsigned long long)revision, rhodes_result_name(r),
                  log_quote(e.text, quoted, sizeof(quoted)));
    } else {
        e.took_ns = clock_ns() - began_ns;
        log_write(LOG_INFO, "rules.applied", "revision=%llu took_us=%llu",
                  (unsigned long long)revision, (unsigned long long)(e.took_ns / NS_PER_US));
    }
    watch_send(w, &e);
}

static void on_snapshot(struct watch *w, struct event *e, uint64_t began_ns)
{
    char why[WHY_BYTES] = "";
    uint64_t revision = e->view->revision;
    int r = agent_apply_take(w->agent, e->view, why);

    e->view = NULL;
    push_answer(w, r, revision, began_ns, why);
    if (w->state != WATCH_AWAY) {
        w->state = WATCH_SYNCED;
        agent_settle(w->agent);
    }
}

static void on_delta(struct watch *w, struct event *e, uint64_t began_ns)
{
    const struct rules *now = w->agent->cache.now;
    const uint64_t revision = e->delta->revision_to;
    char why[WHY_BYTES] = "";
    struct view *v;
    int r = now ? view_patch(now->view, e->delta, &v) : RHODES_STALE;

    if (r == RHODES_STALE) {
        struct event resync = { .type = EVENT_RESYNC };

        log_write(LOG_WARNING, "rules.resync", "revision=%llu wanted_from=%llu",
                  (unsigned long long)revision, (unsigned long long)e->delta->revision_from);
        watch_send(w, &resync);
        return;
    }
    r = r ? r : agent_apply_take(w->agent, v, why);
    push_answer(w, r, revision, began_ns, why);
    if (w->state != WATCH_AWAY) {
        w->state = WATCH_SYNCED;
        agent_settle(w->agent);
    }
}

static void on_refused(struct watch *w, const struct event *e)
{
    struct agent *a = w->agent;
    char quoted[WHY_BYTES];

    log_write(LOG_ERROR, "center.refused", "verdict=%s reason=%s", rhodes_result_name(e->verdict),
              log_quote(e->text, quoted, sizeof(quoted)));
    if (a->program.error_fd >= 0 && a->state == AGENT_SETTLING) {
        dprintf(a->program.error_fd, "rhodes-agent: the center refuses %s: %s\n",
                a->options.resource, e->text);
    }
    /* What is not registered, or has an agent already, has no use for this one. */
    if (e->verdict == RHODES_NOT_FOUND || e->verdict == RHODES_EXISTS ||
        a->state == AGENT_SETTLING) {
        a->program.spared = e->verdict == RHODES_EXISTS;
        agent_stop(a, "the center refuses this agent", 1);
    } else {
        watch_away(w, "it refuses this agent");
    }
}

static void watch_event(struct watch *w, struct event *e, uint64_t began_ns)
{
    switch (e->type) {
    case EVENT_WELCOME:
        w->state = WATCH_WELCOME;
        w->said = false;
        log_write(LOG_INFO, "center.found", "revision=%llu", (unsigned long long)e->revision);
        agent_status_changed(w->agent);
        break;
    case EVENT_REFUSED:
        on_refused(w, e);
        break;
    case EVENT_SNAPSHOT:
        on_snapshot(w, e, began_ns);
        break;
    case EVENT_DELTA:
        on_delta(w, e, began_ns);
        break;
    case EVENT_STOP:
        agent_stop(w->agent, "the center says so", 0);
        break;
    case EVENT_HELLO:
    case EVENT_APPLIED:
    case EVENT_REJECTED:
    case EVENT_RESYNC:
    case EVENT_STATUS:
    case EVENT_NOTICE:
        break; /* watch_accepts has none of them */
    }
}

/* Takes whole frames off the front. False: the session is over. */
static bool watch_frames(struct watch *w)
{
    size_t used = 0, bytes;
    int r = 0;

    while (w->state != WATCH_AWAY && !r) {
        uint64_t began_ns = clock_ns();
        struct event e;

        r = event_head(w->in.data + used, w->in.used - used, &bytes);
        if (r || w->in.used - used < bytes) {
            break;
        }
        r = event_decode(w->in.data + used, bytes, &e);
        used += bytes;
        if (r) {
            break;
        }
        if (watch_accepts(w->state, e.type)) {
            watch_event(w, &e, began_ns);
        } else {
            r = RHODES_INVALID;
        }
        event_deinit(&e);
    }
    if (w->state == WATCH_AWAY) {
        return true; /* it ended meanwhile, the buffer is empty */
    }
    if (used) {
        memmove(w->in.data, w->in.data + used, w->in.used - used);
        w->in.used -= used;
    }
    return r == 0 || r == -EAGAIN;
}

static bool watch_read(struct watch *w)
{
    uint8_t *room = bytes_grow(&w->in, READ_BYTES);
    ssize_t n;

    if (!room) {
        return false;
    }
    do {
        n = recv(w->fd, room, READ_BYTES, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    w->in.used -= READ_BYTES - (n > 0 ? (size_t)n : 0);
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static void on_center(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;

    if (status < 0 || !watch_flush(w)) {
        watch_away(w, "the connection broke");
    } else if ((events & UV_READABLE) && !watch_read(w)) {
        watch_away(w, "it hung up");
    } else if (!watch_frames(w)) {
        watch_away(w, "it sent what is not an event");
    } else if (w->state != WATCH_AWAY) {
        watch_listen(w);
    }
}

void watch_begin(struct watch *w)
{
    struct agent *a = w->agent;
    struct event hello = { .type = EVENT_HELLO,
                           .resource = (char *)(uintptr_t)a->options.resource,
                           .pid = (uint32_t)getpid(),
                           .incarnation = a->incarnation,
                           .revision = a->cache.now ? a->cache.now->view->revision : 0,
                           .managed = a->options.managed };
    int r = unix_connect_at(w->center_fd, "watch.sock", SOCK_STREAM | SOCK_NONBLOCK, &w->fd);

    if (r) {
        w->fd = -1;
        watch_away(w, r == -ENOENT || r == -ECONNREFUSED ? "nobody is there"
                                                         : rhodes_result_sentence(r));
        return;
    }
    uv_poll_init(&a->loop, &w->poll, w->fd);
    w->poll.data = w;
    w->state = WATCH_GREETING;
    watch_send(w, &hello);
}

static void on_retry(uv_timer_t *timer)
{
    watch_begin(timer->data);
}

void watch_stop(struct watch *w)
{
    w->stopped = w->said = true;
    uv_timer_stop(&w->retry);
    if (w->state != WATCH_AWAY) {
        watch_away(w, "the agent stops");
    }
}
