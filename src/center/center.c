/* The center's parts, opened in the order in which they need each other, and closed in the other.
 * The lock comes first: whoever has it owns the home, so a stale socket or pid file is nobody's and
 * is replaced.
 *
 * Two ways to end. Leaving (SIGTERM) is for a restart: agents keep the last good rules and come
 * back to the next center. Stopping (/v1/stop) takes the whole system down: every agent is asked,
 * and what does not go in time is killed. */
#include "center/center.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "center/document.h"
#include "center/effect.h"
#include "center/http.h"
#include "center/keeper.h"
#include "center/pins.h"
#include "center/stream.h"
#include "center/watch.h"

#define STOP_KILLED_MS 500 /* from killing what did not stop to going without it */
#define STOP_LOOK_MS   10  /* how often a stopping center looks whether all have gone */

void center_event(struct center *c, const char *event, const char *resource, const char *format,
                  ...)
{
    char text[512], quoted[600];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    events_add(c->events, time_now_ms(), event, resource, text);
    /* Its name may come from an agent: the ring's copy holds nothing that could forge a line. */
    log_write(LOG_INFO, events_next(c->events, events_last(c->events) - 1)->event,
              "resource=%s text=%s", resource, log_quote(text, quoted, sizeof(quoted)));
    if (c->streams) {
        streams_wake(c->streams);
    }
}

void center_agent_changed(struct center *c, struct agent *a)
{
    if (c->effects) {
        effects_follow(c->effects, a);
    }
}

/* The governor committed something. */
static void on_commit(const struct decision *d, const char *who, void *data)
{
    static const char *const actions[] = { "created", "updated", "unchanged", "deleted" };
    struct center *c = data;

    log_write(LOG_INFO, "change.committed", "revision=%llu who=\"%s\" changes=%zu agents=%zu",
              (unsigned long long)d->revision, who, d->results_count, d->affected_count);
    watch_announce(c->watch, d);
    for (size_t i = 0; i < d->results_count; i++) {
        const struct decision_result *result = &d->results[i];
        char id[LINK_NAME_BYTES_MAX + 16];

        if (result->action == ACTION_UNCHANGED) {
            continue;
        }
        if ((int)result->kind < LAYERS_COUNT) {
            resource_id_make((enum layer)result->kind, result->name, '/', id);
            keeper_follow(c->keeper, id);
        } else {
            snprintf(id, sizeof(id), "%s/%s", kind_collection(result->kind), result->name);
        }
        events_add(c->events, time_now_ms(), "change.committed", id, actions[result->action]);
    }
    streams_wake(c->streams);
}

static int home_lock(struct center *c, char *why)
{
    CLEANUP(memory_freep) char *pid = NULL;
    size_t bytes;

    c->lock_fd = openat(c->directory_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->lock_fd < 0) {
        snprintf(why, CENTER_WHY_BYTES, "cannot make %s/center/lock: %s", c->home, strerror(errno));
        return failed(-errno);
    }
    if (flock(c->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (file_read_at(c->directory_fd, "center.pid", 32, &pid, &bytes) == 0) {
            pid[strcspn(pid, "\n")] = 0;
        }
        snprintf(why, CENTER_WHY_BYTES, "a center is already running in %s (pid %s)", c->home,
                 pid ? pid : "unknown");
        return -EBUSY;
    }
    return 0;
}

static int pid_write(const struct center *c)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

    return file_write_at(c->directory_fd, "center.pid", text, (size_t)n);
}

static void on_signal(uv_signal_t *signal, int number)
{
    center_leave(signal->data);
}

static void signals_init(struct center *c)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
    uv_signal_t *const handles[] = { &c->signal_term, &c->signal_int, &c->signal_hup };

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ,
           SIG_IGN); /* a file that may not grow is an error of write(), which the store reports */
    for (size_t i = 0; i < 3; i++) {
        uv_signal_init(&c->loop, handles[i]);
        handles[i]->data = c;
        uv_signal_start(handles[i], on_signal, numbers[i]);
    }
}

/* A descriptor for every agent. */
static void descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int parts_open(struct center *c, const struct center_options *options, char *why)
{
    struct store_options store = { c->directory_fd, options->log_revisions_max };
    int r = governor_open(&c->governor, options->driver, &store, on_commit, c, why);

    if (r) {
        return r;
    }
    snprintf(why, CENTER_WHY_BYTES, "cannot start in %s", c->home);
    r = secret_open(c->directory_fd, &c->secret);
    if (r == -EUCLEAN) {
        snprintf(why, CENTER_WHY_BYTES, "%s/center/secret is not %d bytes long", c->home,
                 SECRET_BYTES);
    }
    r = r ? r : events_new(&c->events);
    r = r ? r : pins_new(&c->pins);
    r = r ? r : effects_new(c, &c->effects);
    r = r ? r : watch_new(c, &c->watch);
    r = r ? r : keeper_new(c, &c->keeper);
    r = r ? r : streams_new(c, &c->streams);
    r = r ? r : http_new(c, &c->http);
    return r ? r : pid_write(c);
}

int center_init(struct center *c, const struct center_options *options, char *why)
{
    int r;

    *c = (struct center){ .directory_fd = -1, .lock_fd = -1 };
    snprintf(why, CENTER_WHY_BYTES, "cannot make %s/center", options->home);
    snprintf(c->home, sizeof(c->home), "%s", options->home);
    c->uid = geteuid();
    c->started_ms = time_now_ms();
    r = uv_loop_init(&c->loop);
    if (r) {
        return failed(r);
    }
    signals_init(c);
    uv_timer_init(&c->loop, &c->stop_timer);
    c->stop_timer.data = c;
    descriptors_raise();
    r = home_open_dir(c->home, "center", &c->directory_fd);
    r = r ? r : home_lock(c, why);
    r = r ? r : parts_open(c, options, why);
    if (!r) {
        log_write(LOG_INFO, "center.ready", "home=%s revision=%llu store=%s pid=%d",
                  log_quote(c->home, (char[200]){ 0 }, 200),
                  (unsigned long long)catalog_revision(c->governor.catalog), options->driver->name,
                  (int)getpid());
    }
    return r;
}

int center_run(struct center *c)
{
    uv_run(&c->loop, UV_RUN_DEFAULT);
    return 0;
}

void center_leave(struct center *c)
{
    if (!c->leaving) {
        c->leaving = true;
        uv_stop(&c->loop);
    }
}

static void on_stop_timer(uv_timer_t *timer)
{
    struct center *c = timer->data;
    uint64_t waited_ms = (clock_ns() - c->stop_began_ns) / NS_PER_MS;

    if (keeper_living(c->keeper) == 0 || waited_ms > KEEPER_STOP_MS + STOP_KILLED_MS) {
        center_leave(c);
    } else if (waited_ms > KEEPER_STOP_MS && !c->stop_killed) {
        c->stop_killed = true;
        center_event(c, "agent.killed", "", "agents that did not stop when asked are killed");
        keeper_kill_all(c->keeper);
    }
}

void center_stop(struct center *c)
{
    if (!c->stopping) {
        c->stopping = true;
        c->stop_began_ns = clock_ns();
        log_write(LOG_INFO, "center.stopping", "agents=%zu", keeper_living(c->keeper));
        keeper_stop_all(c->keeper);
        uv_timer_start(&c->stop_timer, on_stop_timer, 0, STOP_LOOK_MS);
    }
}

/* Ends what waits, then closes in the order of need. */
static void parts_close(struct center *c)
{
    if (c->http) {
        effects_release(c->effects);
        streams_end(c->streams);
    }
    c->http = http_free(c->http);
    c->streams = streams_free(c->streams);
    c->keeper = keeper_free(c->keeper);
    c->watch = watch_free(c->watch);
    c->effects = effects_free(c->effects);
    c->pins = pins_free(c->pins);
}

void center_deinit(struct center *c)
{
    bool owner = c->http != NULL;

    c->leaving = true;
    parts_close(c);
    uv_close((uv_handle_t *)&c->signal_term, NULL);
    uv_close((uv_handle_t *)&c->signal_int, NULL);
    uv_close((uv_handle_t *)&c->signal_hup, NULL);
    uv_close((uv_handle_t *)&c->stop_timer, NULL);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    uv_loop_close(&c->loop);
    roster_deinit(&c->roster);
    c->events = events_free(c->events);
    governor_close(&c->governor);
    if (owner) {
        unlinkat(c->directory_fd, "center.sock", 0);
        unlinkat(c->directory_fd, "watch.sock", 0);
        unlinkat(c->directory_fd, "center.pid", 0);
        log_write(LOG_INFO, "center.ended", "pid=%d", (int)getpid());
    }
    fd_closep(&c->lock_fd); /* last: the home is free for another center now */
    fd_closep(&c->directory_fd);
}
