/* A child is what the keeper has to do with one resource: a process of its own, or one that it
 * adopted (started by an earlier center, so it is not waited for but watched through a pidfd), and
 * one timer whose meaning is its state:
 *
 * - IDLE: the process lives and is connected, or somebody else's agent is (rhodes run);
 * - STARTING: no process; the timer starts one;
 * - HANGING: a process without a connection; the timer kills it;
 * - STOPPING: asked to go; the timer kills it.
 *
 * A death is acted on when both the process and its connection are gone, so that a new agent never
 * meets the old one's connection. Restarts are immediate, then ever later while the agent keeps
 * dying quickly. */
#include "center/keeper.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "center/document.h"
#include "center/launch.h"
#include "center/watch.h"

enum child_state { CHILD_IDLE, CHILD_STARTING, CHILD_HANGING, CHILD_STOPPING };

struct child {
    struct keeper *keeper;
    struct agent *agent;
    enum child_state state;
    int pid;   /* 0: no process that we know of */
    int pidfd; /* adopted ones; else -1 */
    uint64_t started_ns;
    unsigned quick_deaths;
    uv_timer_t timer;
    uv_poll_t *poll; /* of pidfd */
};

struct keeper {
    struct center *center;
    uv_signal_t signal_child;
    char program[PATH_MAX]; /* rhodes-agent, beside this program */
    bool stopping;
};

static void child_dead(struct child *child);
static void on_timer(uv_timer_t *timer);

/* Should there be an agent of ours for this resource? */
static bool wanted(const struct keeper *k, const char *resource)
{
    const struct object *o = catalog_resource(k->center->governor.catalog, resource);

    return o && !k->stopping && (o->kind == KIND_HARDWARE || o->resource.run.arguments_count);
}

static void on_memory_closed(uv_handle_t *handle)
{
    free(handle);
}

static void child_unwatch(struct child *child)
{
    if (child->poll) {
        uv_poll_stop(child->poll);
        uv_close((uv_handle_t *)child->poll, on_memory_closed);
        child->poll = NULL;
    }
    fd_closep(&child->pidfd);
}

static void on_child_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void child_free(struct child *child)
{
    child->agent->child = NULL;
    child_unwatch(child);
    uv_close((uv_handle_t *)&child->timer, on_child_closed);
}

static int child_new(struct keeper *k, struct agent *a)
{
    struct child *child = calloc(1, sizeof(*child));

    if (!child) {
        return failed(-ENOMEM);
    }
    child->keeper = k;
    child->agent = a;
    child->pidfd = -1;
    uv_timer_init(&k->center->loop, &child->timer);
    child->timer.data = child;
    a->child = child;
    return 0;
}

static void child_set(struct child *child, enum child_state state, uint64_t ms)
{
    child->state = state;
    if (state == CHILD_IDLE) {
        uv_timer_stop(&child->timer);
    } else {
        uv_update_time(&child->keeper->center->loop);
        uv_timer_start(&child->timer, on_timer, ms, 0);
    }
}

static void child_kill(const struct child *child, int number)
{
    if (child->pidfd >= 0) {
        syscall(SYS_pidfd_send_signal, child->pidfd, number, NULL, 0);
    } else if (child->pid > 0) {
        kill(child->pid, number);
    }
}

/* Nothing is left to be done for this resource. */
static void agent_forget(struct keeper *k, struct agent *a)
{
    struct center *c = k->center;

    if (a->child) {
        child_free(a->child);
    }
    a->managed = false;
    if (!a->session && !catalog_resource(c->governor.catalog, a->resource)) {
        roster_remove(&c->roster, a);
    }
}

/* When to try again after the n-th quick death in a row. */
static uint64_t backoff_ms(unsigned quick_deaths)
{
    uint64_t ms;

    if (quick_deaths <= 1) {
        return 0;
    }
    ms = quick_deaths < 10 ? (uint64_t)KEEPER_BACKOFF_MS_MIN << (quick_deaths - 2)
                           : KEEPER_BACKOFF_MS_MAX;
    return ms < KEEPER_BACKOFF_MS_MAX ? ms : KEEPER_BACKOFF_MS_MAX;
}

static void child_start(struct child *child)
{
    struct center *c = child->keeper->center;
    struct agent *a = child->agent;
    int pid = 0, r = agent_spawn(child->keeper->program, c->home, a->resource, &pid);

    child->started_ns = clock_ns();
    if (r) {
        child->quick_deaths++;
        if (agent_moved(a, MOVE_FAILED, time_now_ms())) {
            center_event(c, "agent.failed", a->resource, "cannot start %s: %s",
                         child->keeper->program, rhodes_result_sentence(r));
        }
        child_set(child, CHILD_STARTING, backoff_ms(child->quick_deaths + 1));
        return;
    }
    child->pid = a->pid = pid;
    a->stopping = false;
    /* One that failed again and again is called failed until it connects. */
    if (child->quick_deaths < KEEPER_FAILED_AFTER) {
        agent_moved(a, MOVE_SPAWNED, time_now_ms());
    }
    log_write(LOG_INFO, "agent.started", "resource=%s pid=%d restarts=%u", a->resource, pid,
              a->restarts);
    child_set(child, CHILD_IDLE, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct child *child = timer->data;
    struct keeper *k = child->keeper;

    if (child->state == CHILD_STARTING) {
        if (wanted(k, child->agent->resource)) {
            child_start(child);
        } else {
            agent_forget(k, child->agent);
        }
        return;
    }
    center_event(k->center, "agent.killed", child->agent->resource, "agent pid %d %s", child->pid,
                 child->state == CHILD_HANGING ? "lives but does not connect"
                                               : "did not stop when asked");
    child_kill(child, SIGKILL);
    child_set(child, CHILD_IDLE, 0);
}

/* The process is gone, and so is the connection: what next? */
static void child_next(struct child *child)
{
    struct keeper *k = child->keeper;
    struct agent *a = child->agent;

    if (!wanted(k, a->resource)) {
        agent_forget(k, a);
        return;
    }
    if (a->state == AGENT_LOST && child->quick_deaths >= KEEPER_FAILED_AFTER) {
        agent_moved(a, MOVE_FAILED, time_now_ms());
        center_event(k->center, "agent.failed", a->resource,
                     "died %u times in a row within %d ms; see agent.log", child->quick_deaths,
                     KEEPER_QUICK_MS);
    }
    a->restarts++;
    child_set(child, CHILD_STARTING, backoff_ms(child->quick_deaths));
}

static void child_dead(struct child *child)
{
    struct keeper *k = child->keeper;
    struct agent *a = child->agent;
    bool quick = clock_ns() - child->started_ns < KEEPER_QUICK_MS * NS_PER_MS;

    log_write(LOG_INFO, "agent.ended", "resource=%s pid=%d", a->resource, child->pid);
    child_unwatch(child);
    child->pid = 0;
    child->quick_deaths = quick ? child->quick_deaths + 1 : 0;
    child_set(child, CHILD_IDLE, 0);
    if (a->session) {
        return; /* the end of its connection is on its way: keeper_session_gone goes on */
    }
    if (agent_moved(a, a->stopping ? MOVE_ENDED : MOVE_GONE, time_now_ms())) {
        center_event(k->center, a->stopping ? "agent.stopped" : "agent.lost", a->resource,
                     "the agent has ended");
        center_agent_changed(k->center, a);
    }
    child_next(child);
}

/* Reaps whatever has ended, also programs whose agent was killed: this process is their subreaper.
 */
static void on_signal_child(uv_signal_t *signal, int number)
{
    struct keeper *k = signal->data;
    struct roster *roster = &k->center->roster;
    int pid, status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < roster->count; i++) {
            struct child *child = roster->agents[i]->child;

            if (child && child->pid == pid && child->pidfd < 0) {
                child_dead(child);
                break;
            }
        }
    }
}

static void on_pidfd(uv_poll_t *poll, int status, int events)
{
    child_dead(poll->data);
}

static void child_adopt(struct child *child, int pid)
{
    child->pid = pid;
    child->started_ns = clock_ns();
    child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    child->poll = child->pidfd >= 0 ? calloc(1, sizeof(*child->poll)) : NULL;
    if (child->poll && uv_poll_init(&child->keeper->center->loop, child->poll, child->pidfd) == 0) {
        child->poll->data = child;
        uv_poll_start(child->poll, UV_READABLE, on_pidfd);
    } else {
        free(child->poll);
        child->poll = NULL;
        fd_closep(&child->pidfd);
        child->pid =
            0; /* it is dead already, or cannot be watched: the connection's end will tell */
    }
}

int keeper_other_pid(const struct keeper *k, const struct agent *a, int pid)
{
    return a->child && a->child->pid && a->child->pid != pid ? a->child->pid : 0;
}

bool keeper_dismisses(const struct keeper *k, const struct agent *a)
{
    return k->stopping || (a->child && a->child->state == CHILD_STOPPING);
}

void keeper_session_come(struct keeper *k, struct agent *a)
{
    struct child *child = a->child;

    if (child && child->state != CHILD_STOPPING) {
        child_set(child, CHILD_IDLE, 0);
        if (!child->pid) {
            child_adopt(child, a->pid);
        }
    }
}

void keeper_session_gone(struct keeper *k, struct agent *a)
{
    struct child *child = a->child;

    if (!child) {
        agent_forget(k, a);
    } else if (!child->pid) {
        child_next(child);
    } else if (child->state == CHILD_IDLE) {
        child_set(child, CHILD_HANGING, KEEPER_HANG_MS);
    }
}

/* The resource is gone, or not ours to start any more. */
static void agent_dismiss(struct keeper *k, struct agent *a)
{
    bool gone = !catalog_resource(k->center->governor.catalog, a->resource);
    struct child *child = a->child;

    if (a->session && (gone || a->managed)) {
        watch_ask_stop(k->center->watch, a);
    }
    if (child && !child->pid && child->state == CHILD_STARTING && a->restarts) {
        child_start(child); /* the last one's program may live: this one is told to end it */
    }
    if (child && child->pid) {
        if (child->state == CHILD_HANGING) {
            a->stopping = true;
            child_kill(child, SIGTERM);
        }
        child_set(child, CHILD_STOPPING, KEEPER_STOP_MS);
    } else if (!a->session) {
        agent_forget(k, a);
    }
}

static void follow(struct keeper *k, const char *resource, uint64_t delay_ms)
{
    struct agent *a = roster_find(&k->center->roster, resource);

    if (!wanted(k, resource)) {
        if (a) {
            agent_dismiss(k, a);
        }
        return;
    }
    if ((!a && roster_add(&k->center->roster, resource, &a) != 0) ||
        (!a->child && child_new(k, a) != 0)) {
        log_write(LOG_ERROR, "keeper.failed", "resource=%s reason=ENOMEM", resource);
        return;
    }
    if (!a->managed) {
        a->managed = true;
        a->since_ms = time_now_ms();
    }
    if (!a->session && !a->child->pid && a->child->state == CHILD_IDLE) {
        child_set(a->child, CHILD_STARTING, delay_ms);
    }
}

void keeper_follow(struct keeper *k, const char *resource)
{
    follow(k, resource, 0);
}

int keeper_new(struct center *c, struct keeper **ret)
{
    struct keeper *k = calloc(1, sizeof(*k));
    int r;

    if (!k) {
        return failed(-ENOMEM);
    }
    k->center = c;
    r = agent_program_find(k->program, sizeof(k->program));
    if (!r && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        r = failed(-errno);
    }
    if (r) {
        free(k);
        return r;
    }
    uv_signal_init(&c->loop, &k->signal_child);
    k->signal_child.data = k;
    uv_signal_start(&k->signal_child, on_signal_child, SIGCHLD);
    for (int kind = 0; kind < LAYERS_COUNT; kind++) {
        const struct object *o = catalog_next(c->governor.catalog, (enum kind)kind, "");

        for (; o; o = catalog_next(c->governor.catalog, (enum kind)kind, o->name)) {
            char id[RESOURCE_ID_BYTES_MAX];

            resource_id_make((enum layer)kind, o->name, '/', id);
            follow(k, id, KEEPER_GRACE_MS);
        }
    }
    *ret = k;
    return 0;
}

static void on_keeper_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct keeper *keeper_free(struct keeper *k)
{
    if (k) {
        const struct roster *roster = &k->center->roster;

        for (size_t i = 0; i < roster->count; i++) {
            if (roster->agents[i]->child) {
                child_free(roster->agents[i]->child);
            }
        }
        uv_close((uv_handle_t *)&k->signal_child, on_keeper_closed);
    }
    return NULL;
}

/* An agent that was just started may not know the signal yet: it is told when it connects. So is one
 * that is not there at the moment, because its program may be. */
static void child_stop(struct child *child)
{
    struct agent *a = child->agent;

    if (child->state == CHILD_STARTING && !child->pid) {
        child_start(child);
    } else if (child->state == CHILD_HANGING) {
        a->stopping = true;
        child_kill(child, SIGTERM);
    }
    child_set(child, CHILD_IDLE, 0);
}

void keeper_stop_all(struct keeper *k)
{
    const struct roster *roster = &k->center->roster;

    k->stopping = true;
    for (size_t i = roster->count; i-- > 0;) { /* from the end: the dismissed may leave the list */
        struct agent *a = roster->agents[i];

        if (a->session) {
            watch_ask_stop(k->center->watch, a);
        }
        if (a->child) {
            child_stop(a->child);
        }
    }
}

void keeper_kill_all(struct keeper *k)
{
    const struct roster *roster = &k->center->roster;

    for (size_t i = 0; i < roster->count; i++) {
        if (roster->agents[i]->child) {
            child_kill(roster->agents[i]->child, SIGKILL);
        }
    }
}

size_t keeper_living(const struct keeper *k)
{
    const struct roster *roster = &k->center->roster;
    size_t living = 0;

    for (size_t i = 0; i < roster->count; i++) {
        const struct agent *a = roster->agents[i];

        living += a->session || (a->child && a->child->pid);
    }
    return living;
}
