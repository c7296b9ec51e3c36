/* The agent's life, drawn: settling (who tells me the rules: the center, or the file of the last
 * agent?) -> running -> stopping (no new callers, the program is asked to end) -> ended (every
 * thread has left).
 *
 * Nobody is served while settling, so no call is judged by rules that the center has replaced
 * meanwhile; it lasts until the center's first push, or until it is known that there is no center,
 * at most one second.
 *
 * Changing the rules is judged first and acted on then: parsing and new conduits may fail and
 * refuse the push; behind the swap nothing can. */
#include "agent/agent.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "agent/arrival.h"
#include "base/clock.h"
#include "base/home.h"

#define SETTLE_MS     1000
#define STATUS_MS     1000
#define SAVE_MS       200
#define END_MS        5000 /* stopping never takes longer */
#define CREW_END_NS   NS_PER_S
#define LOCK_TRIES    100
#define LOCK_PAUSE_NS (5 * NS_PER_MS)

static void unsaved_say(uint64_t revision, int r)
{
    if (r) {
        log_write(LOG_ERROR, "rules.unsaved", "revision=%llu reason=\"%s\"",
                  (unsigned long long)revision, rhodes_result_sentence(r));
    }
}

/* Saves and syncs; a thread while there is something to do. The file's lock is held from the look at the rules to the end of
 * writing them, so the file never steps back; not while the disk is waited for. */
static void saver_run(void *data)
{
    struct agent *a = data;
    struct saver *s = &a->saver;

    for (;;) {
        struct rules *rules;
        bool wanted;
        int r;

        pthread_mutex_lock(&s->lock);
        wanted = s->running = s->wanted;
        s->wanted = false;
        pthread_mutex_unlock(&s->lock);
        if (!wanted) {
            return;
        }
        pthread_mutex_lock(&s->file_lock);
        rules = cache_get(&a->cache);
        r = cache_save(a->dir_fd, rules->view);
        pthread_mutex_unlock(&s->file_lock);
        unsaved_say(rules->view->revision, r ? r : cache_sync(a->dir_fd));
        rules_unref(rules);
    }
}

static void saver_start(struct agent *a)
{
    struct saver *s = &a->saver;
    bool start;

    pthread_mutex_lock(&s->lock);
    s->wanted = true;
    start = !s->running;
    s->running = true;
    pthread_mutex_unlock(&s->lock);
    if (start && crew_start(&a->crew, "save", saver_run, a)) {
        saver_run(a); /* no thread to be had: here, then */
    }
}

static void on_save_timer(uv_timer_t *timer)
{
    saver_start(timer->data);
}

/* Saving waits a moment: a change that concerns many agents has them all write and sync their files, and those that did so at
 * once kept the others from putting it in force (with 300 agents on two CPUs the last one was 2.6 times later). A burst is
 * saved once. */
static void saver_soon(struct agent *a)
{
    if (!uv_is_active((uv_handle_t *)&a->save_timer)) {
        uv_timer_start(&a->save_timer, on_save_timer, SAVE_MS, 0);
    }
}

void agent_save(struct agent *a)
{
    if (uv_is_active((uv_handle_t *)&a->save_timer)) {
        uv_timer_stop(&a->save_timer);
        saver_start(a);
    }
}

/* Puts prepared rules in force. What takes a right away, and the first rules of all, are in the file before anybody is told that
 * they are in force: an agent that is killed and finds no center must not bring back what was revoked. What only gives may be
 * lost in that moment, which refuses too much and never too little. (Writing every change at once made a wide one four times
 * slower.) A full disk does not keep a change from being in force. */
static void rules_enforce_take(struct agent *a, struct rules *rules)
{
    bool now = !a->cache.now || route_revokes(a->cache.now->view, rules->view);

    if (now) {
        pthread_mutex_lock(&a->saver.file_lock);
        unsaved_say(rules->view->revision, cache_save(a->dir_fd, rules->view));
    }
    cache_swap_take(&a->cache, rules);
    if (now) {
        pthread_mutex_unlock(&a->saver.file_lock);
    }
    saver_soon(a);
}

/* The program or the device follows the rules. */
static void bound_want(struct agent *a)
{
    const struct view_self *self = &a->cache.now->view->self;

    if (a->hardware && self->device_target) {
        hardware_want(&a->device, self->device, self->device_target);
    } else if (!a->hardware) {
        program_want(&a->program);
    }
}

int agent_apply_take(struct agent *a, struct view *v, char *why)
{
    struct rules *rules;
    int r = rules_new_take(v, a->options.resource, &rules, why);

    if (r) {
        return r;
    }
    r = lanes_prepare(a, rules->view, why);
    if (r) {
        rules_unref(rules);
        return r;
    }
    rules_enforce_take(a, rules);
    if (a->state == AGENT_RUNNING) {
        bound_want(a);
    }
    return 0;
}

static void agent_settle_now(struct agent *a)
{
    int r;

    if (a->state != AGENT_SETTLING || !a->cache.now) {
        return;
    }
    uv_timer_stop(&a->settle_timer);
    r = doors_open(&a->doors);
    if (r) {
        log_write(LOG_ERROR, "agent.deaf", "reason=\"%s\"", rhodes_result_sentence(r));
        agent_stop(a, "agent.sock cannot be made", 1);
        return;
    }
    a->state = AGENT_RUNNING;
    log_write(LOG_INFO, "agent.ready", "resource=%s revision=%llu rules_from=%s",
              a->options.resource, (unsigned long long)a->cache.now->view->revision,
              a->watch.state == WATCH_SYNCED ? "center" : "file");
    bound_want(a);
}

void agent_settle(struct agent *a)
{
    if (a->watch.state == WATCH_SYNCED || a->watch.state == WATCH_AWAY) {
        agent_settle_now(a);
    }
}

static void on_settle_timer(uv_timer_t *timer)
{
    struct agent *a = timer->data;

    agent_settle_now(a);
    if (a->state == AGENT_SETTLING && a->program.error_fd >= 0) {
        dprintf(a->program.error_fd,
                "rhodes-agent: waiting for the center of %s, which has not told the rules of %s "
                "yet\n",
                a->options.home, a->options.resource);
    }
}

void agent_status(struct agent *a, struct agent_status *ret)
{
    struct route_counters *c = &a->counters;

    ret->revision_applied = a->cache.now ? a->cache.now->view->revision : 0;
    ret->program_pid = (uint32_t)a->program.pid;
    ret->program_state = (uint8_t)a->program.state;
    ret->calls_out = atomic_load_explicit(&c->calls_out, memory_order_relaxed);
    ret->calls_in = atomic_load_explicit(&c->calls_in, memory_order_relaxed);
    ret->refused = atomic_load_explicit(&c->refused, memory_order_relaxed);
    ret->failed = atomic_load_explicit(&c->failed, memory_order_relaxed);
    ret->timeouts = atomic_load_explicit(&c->timeouts, memory_order_relaxed);
    ret->switches = atomic_load_explicit(&c->switches, memory_order_relaxed);
}

void agent_status_changed(struct agent *a)
{
    struct event e = { .type = EVENT_STATUS };

    agent_status(a, &e.status);
    a->told = e.status;
    watch_send(&a->watch, &e);
}

static bool status_same(const struct agent_status *x, const struct agent_status *y)
{
    return x->revision_applied == y->revision_applied && x->program_pid == y->program_pid &&
           x->program_state == y->program_state && x->calls_out == y->calls_out &&
           x->calls_in == y->calls_in && x->refused == y->refused && x->failed == y->failed &&
           x->timeouts == y->timeouts && x->switches == y->switches;
}

static void on_status_timer(uv_timer_t *timer)
{
    struct agent *a = timer->data;
    struct agent_status now;

    agent_status(a, &now);
    if (!status_same(&now, &a->told)) {
        agent_status_changed(a);
    }
}

/* Everything that could wait is told to end; the crew leaves after this. */
static void agent_end(struct agent *a)
{
    if (a->state == AGENT_ENDED) {
        return;
    }
    a->state = AGENT_ENDED;
    agent_save(a);
    serve_stop(a);
    hardware_stop(&a->device);
    doors_clear(&a->doors);
    channels_stop(a);
    arrivals_stop(a);
    watch_stop(&a->watch);
    uv_stop(&a->loop);
}

static void on_end_timer(uv_timer_t *timer)
{
    agent_end(timer->data);
}

void agent_stop(struct agent *a, const char *reason, int exit_status)
{
    if (a->state >= AGENT_STOPPING) {
        return;
    }
    log_write(LOG_INFO, "agent.stopping", "reason=\"%s\"", reason);
    a->state = AGENT_STOPPING;
    a->exit_status = exit_status;
    uv_timer_stop(&a->settle_timer);
    doors_shut(&a->doors);
    serve_stop(a);
    uv_timer_start(&a->end_timer, on_end_timer, END_MS, 0);
    if (!program_stop(&a->program)) {
        agent_end(a);
    }
}

void agent_program_ended(struct agent *a, int status)
{
    if (a->options.run) {
        a->exit_status = status;
    }
    agent_end(a);
}

static void on_signal(uv_signal_t *signal, int number)
{
    agent_stop(signal->data, sigdescr_np(number), 0);
}

static void on_bell(uv_async_t *bell)
{
    mail_read(bell->data);
}

static void on_deaths(uv_poll_t *poll, int status, int events)
{
    peers_on_deaths(poll->data);
}

/* Takes the directory for this agent alone; the kernel gives it back when the process ends, however
 * it does. */
static int directory_lock(struct agent *a)
{
    struct timespec pause = clock_timespec(LOCK_PAUSE_NS);

    for (int i = 0; flock(a->dir_fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (errno != EWOULDBLOCK) {
            return failed(-errno);
        }
        if (i == LOCK_TRIES) {
            return RHODES_IN_USE;
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int directory_open(struct agent *a)
{
    CLEANUP(fd_closep) int path_fd = -1;
    char below[RESOURCE_ID_BYTES_MAX + 8];
    int r = home_open_dir(a->options.home, "agents", &a->agents_fd);

    snprintf(below, sizeof(below), "agents/%s", a->id);
    r = r ? r : home_open_dir(a->options.home, below, &path_fd);
    if (r) {
        return r;
    }
    a->dir_fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return a->dir_fd < 0 ? failed(-errno) : directory_lock(a);
}

/* With --run the standard streams are the command's; what the agent says goes to its own file. */
static int streams_part(struct agent *a)
{
    CLEANUP(fd_closep)
    int log = openat(a->dir_fd, "agent.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                     0600);

    a->program.error_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (log < 0 || a->program.error_fd < 0 || dup2(log, STDERR_FILENO) < 0) {
        return failed(-errno);
    }
    signal(SIGINT, SIG_IGN); /* ^C is for the command, which shares the terminal */
    signal(SIGQUIT, SIG_IGN);
    return 0;
}

static void files_raise(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
            log_write(LOG_WARNING, "agent.files", "limit=%llu", (unsigned long long)files.rlim_max);
        }
    }
}

static void rules_load(struct agent *a)
{
    char why[WHY_BYTES] = "";
    struct rules *rules;
    struct view *v;
    int r = cache_load(a->dir_fd, &v);

    if (r == -ENOENT) {
        return;
    }
    r = r ? r : rules_new_take(v, a->options.resource, &rules, why);
    if (r) {
        log_write(LOG_WARNING, "rules.damaged", "reason=\"%s %s\"", rhodes_result_sentence(r), why);
        return;
    }
    cache_swap_take(&a->cache, rules);
    log_write(LOG_INFO, "rules.loaded", "revision=%llu",
              (unsigned long long)a->cache.now->view->revision);
}

static int loop_init(struct agent *a)
{
    static const int numbers[] = { SIGTERM, SIGHUP, SIGINT };
    size_t count = a->options.run ? 2 : 3;
    int r = uv_loop_init(&a->loop);

    if (r) {
        return failed(r);
    }
    for (size_t i = 0; i < count; i++) {
        uv_signal_init(&a->loop, &a->signals[i]);
        a->signals[i].data = a;
        uv_signal_start(&a->signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&a->loop, &a->status_timer);
    uv_timer_init(&a->loop, &a->settle_timer);
    uv_timer_init(&a->loop, &a->save_timer);
    uv_timer_init(&a->loop, &a->end_timer);
    a->status_timer.data = a->settle_timer.data = a->save_timer.data = a->end_timer.data = a;
    uv_timer_start(&a->status_timer, on_status_timer, STATUS_MS, STATUS_MS);
    uv_timer_start(&a->settle_timer, on_settle_timer, SETTLE_MS, SETTLE_MS);
    pthread_mutex_init(&a->mail.lock, NULL);
    pthread_mutex_init(&a->saver.lock, NULL);
    pthread_mutex_init(&a->saver.file_lock, NULL);
    a->mail.bell.data = a;
    return uv_async_init(&a->loop, &a->mail.bell, on_bell);
}

static int parts_init(struct agent *a)
{
    int r = loop_init(a);

    cache_init(&a->cache);
    crew_init(&a->crew);
    lanes_init(&a->lanes);
    channels_init(&a->channels);
    serve_init(&a->serve);
    r = r ? r : peers_init(&a->peers);
    r = r ? r : doors_init(&a->doors, a);
    r = r ? r : hardware_init(&a->device, a);
    r = r ? r : watch_init(&a->watch, a);
    if (r) {
        return r;
    }
    program_init(&a->program, a);
    files_raise();
    uv_poll_init(&a->loop, &a->deaths, a->peers.deaths_fd);
    a->deaths.data = a;
    return uv_poll_start(&a->deaths, UV_READABLE, on_deaths);
}

static void on_walk(uv_handle_t *handle, void *data)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

/* After the crew has left. */
static void parts_deinit(struct agent *a)
{
    uv_walk(&a->loop, on_walk, NULL);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    watch_deinit(&a->watch);
    hardware_deinit(&a->device);
    doors_deinit(&a->doors);
    peers_deinit(&a->peers);
    serve_deinit(&a->serve);
    channels_deinit(&a->channels);
    lanes_deinit(&a->lanes);
    crew_deinit(&a->crew);
    cache_deinit(&a->cache);
    pthread_mutex_destroy(&a->mail.lock);
    pthread_mutex_destroy(&a->saver.lock);
    pthread_mutex_destroy(&a->saver.file_lock);
    uv_loop_close(&a->loop);
    fd_closep(&a->program.error_fd);
    fd_closep(&a->dir_fd);
    fd_closep(&a->agents_fd);
}

static int agent_init(struct agent *a)
{
    enum layer layer;
    char name[NAME_BYTES_MAX];
    int r = resource_id_parse(a->options.resource, '/', &layer, name);

    if (r) {
        return r;
    }
    resource_id_make(layer, name, '.', a->id);
    a->hardware = layer == LAYER_HARDWARE;
    a->dir_fd = a->agents_fd = -1;
    while (a->incarnation == 0) {
        if (getrandom(&a->incarnation, sizeof(a->incarnation), 0) != sizeof(a->incarnation)) {
            return failed(-EIO);
        }
    }
    r = directory_open(a);
    return r ? r : parts_init(a);
}

static int say(const struct agent_options *options, int r)
{
    fprintf(stderr, "rhodes-agent: %s: %s\n", options->resource,
            r == RHODES_IN_USE ? "an agent of this resource runs already"
                               : rhodes_result_sentence(r));
    return 1;
}

int agent_run(const struct agent_options *options)
{
    struct agent *a = calloc(1, sizeof(*a));
    int r, status;

    if (!a) {
        return say(options, -ENOMEM);
    }
    a->options = *options;
    r = agent_init(a);
    if (!r && options->run) {
        r = streams_part(a);
    }
    if (r) {
        free(a); /* no thread has begun; what else was half made ends with the process */
        return say(options, r);
    }
    log_write(LOG_INFO, "agent.started", "resource=%s pid=%d managed=%d", options->resource,
              (int)getpid(), options->managed);
    rules_load(a);
    watch_begin(&a->watch);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    status = a->exit_status;
    if (crew_wait(&a->crew, clock_ns() + CREW_END_NS)) {
        log_write(LOG_WARNING, "agent.ended", "status=%d threads_left=%zu", status, a->crew.count);
        return status; /* they still use all of it */
    }
    log_write(LOG_INFO, "agent.ended", "status=%d", status);
    parts_deinit(a);
    free(a);
    return status;
}
