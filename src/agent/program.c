/* The life of the program. Its death is seen on a pidfd in the loop, at once and whoever its parent
 * is: an adopted program is not our child, so its exit status cannot be known and counts as a
 * failure.
 *
 * The agent's own death must not be the program's: no parent-death signal, and a session (setsid)
 * of its own, so that a signal to the agent's group passes it by. That group is also what is
 * cleared away when the program ends: nothing that it started is left behind. With --run it stays
 * in the caller's foreground group instead, as any command of a shell. */
#include "agent/program.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "agent/agent.h"
#include "agent/note.h"
#include "agent/proc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/home.h"
#include "model/device.h"

#define LIFE_NS_MIN  NS_PER_S /* a shorter life counts towards the back-off */
#define PAUSE_MS_MAX 5000
#define KILL_MS      2000

extern char **environ;

uint64_t program_pause_ms(unsigned deaths)
{
    uint64_t pause = 100;

    if (deaths < 2) {
        return 0;
    }
    for (unsigned i = 2; i < deaths && pause < PAUSE_MS_MAX; i++) {
        pause *= 2;
    }
    return pause < PAUSE_MS_MAX ? pause : PAUSE_MS_MAX;
}

bool program_again(unsigned policy, bool good)
{
    return policy == RESTART_ALWAYS || (policy == RESTART_ON_FAILURE && !good);
}

void program_init(struct program *p, struct agent *a)
{
    *p = (struct program){ .agent = a, .pidfd = -1, .start_fd = -1, .error_fd = -1 };
    uv_timer_init(&a->loop, &p->restart_timer);
    uv_timer_init(&a->loop, &p->kill_timer);
    p->restart_timer.data = p->kill_timer.data = p;
    getrlimit(RLIMIT_NOFILE, &p->files);
}

void program_moved(struct program *p, enum program_event event)
{
    enum program_state to, from = p->state;

    if (program_next(from, event, &to) && to != from) {
        p->state = to;
        agent_status_changed(p->agent);
    }
}

/* Digest of everything that a start depends on. */
static uint64_t run_digest(const struct view_self *self)
{
    struct bytes b;
    uint64_t digest;

    bytes_init(&b, 0);
    for (size_t i = 0; i < self->arguments_count; i++) {
        bytes_put_text(&b, self->arguments[i]);
    }
    bytes_put_u32(&b, UINT32_MAX);
    for (size_t i = 0; i < self->environment_count; i++) {
        bytes_put_text(&b, self->environment[i]);
    }
    bytes_put_text(&b, self->directory);
    digest = b.error ? 1 : hash_bytes(b.data, b.used);
    bytes_deinit(&b);
    return digest;
}

static const struct view_self *self_of(const struct program *p)
{
    return &p->agent->cache.now->view->self;
}

/* What the child needs, made before the fork: afterwards only calls that are safe in a copy of one
 * thread. */
struct start {
    char **arguments, **environment;
    const char *directory;
    int output_fd, gate[2];
    bool detached;
};

/* The agent's environment, the manifest's, and ours on top. NULL when memory is out. */
static char **environment_make(struct agent *a, const struct view_self *self, struct bytes *texts)
{
    size_t inherited = 0, n = 0, offset[3];
    char **list;

    while (environ[inherited]) {
        inherited++;
    }
    list = calloc(inherited + self->environment_count + 4, sizeof(char *));
    offset[0] = texts->used;
    bytes_printf(texts, "RHODES_AGENT=%s/agents/%s/agent.sock", a->options.home, a->id);
    bytes_put_u8(texts, 0);
    offset[1] = texts->used;
    bytes_printf(texts, "RHODES_RESOURCE=%s", a->options.resource);
    bytes_put_u8(texts, 0);
    offset[2] = texts->used;
    bytes_printf(texts, "RHODES_HOME=%s", a->options.home);
    bytes_put_u8(texts, 0);
    if (!list || texts->error) {
        free(list);
        return NULL;
    }
    for (size_t i = 0; i < 3; i++) { /* the first of a name is the one that counts */
        list[n++] = (char *)texts->data + offset[i];
    }
    for (size_t i = 0; i < self->environment_count && !a->options.run; i++) {
        list[n++] = self->environment[i];
    }
    for (size_t i = 0; i < inherited; i++) {
        if (strncmp(environ[i], "RHODES_AGENT=", 13) != 0 &&
            strncmp(environ[i], "RHODES_RESOURCE=", 16) != 0 &&
            strncmp(environ[i], "RHODES_HOME=", 12) != 0) {
            list[n++] = environ[i];
        }
    }
    return list;
}

/* Why the program did not begin: the child's last word through the gate. */
struct misstart {
    int error;
    bool directory; /* it is the directory that cannot be entered */
};

static void __attribute__((noreturn)) child_run(const struct program *p, const struct start *s)
{
    struct misstart miss = { 0 };
    sigset_t none;
    char go;

    close(s->gate[0]);
    if (read(s->gate[1], &go, 1) != 1) {
        _exit(127); /* the agent died before it could write down who we are */
    }
    note_move(p->agent->dir_fd, NOTE_RUNS);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    setrlimit(RLIMIT_NOFILE, &p->files);
    if (s->detached) {
        int null = open("/dev/null", O_RDONLY);

        setsid();
        dup2(null, STDIN_FILENO);
        dup2(s->output_fd, STDOUT_FILENO);
    }
    if (s->output_fd >= 0) {
        dup2(s->output_fd, STDERR_FILENO);
    }
    miss.directory = s->directory && chdir(s->directory) < 0;
    if (!miss.directory) {
        execvpe(s->arguments[0], s->arguments, s->environment);
    }
    miss.error = errno;
    if (!s->detached) { /* `rhodes run`: the person who typed it looks at standard error */
        dprintf(STDERR_FILENO, "rhodes run: %s: %s\n", s->arguments[0],
                strerrordesc_np(miss.error));
    }
    if (write(s->gate[1], &miss, sizeof(miss)) < 0) {
        _exit(126);
    }
    _exit(127);
}

static int program_note(const struct program *p, enum note_stage stage)
{
    const struct note n = { stage, p->pid, p->start, p->digest };

    return note_write(p->agent->dir_fd, &n);
}

static void on_death(uv_poll_t *poll, int status, int events);

/* A process is there (p->pid): watch it. -ESRCH when it has gone meanwhile. */
static int program_watch(struct program *p)
{
    struct proc now;

    p->pidfd = pidfd_open(p->pid, 0);
    if (p->pidfd < 0) {
        return -errno;
    }
    /* Only now is the number held fast; is it still the same process? */
    if (proc_read(p->pid, &now) || (p->start && now.start != p->start)) {
        fd_closep(&p->pidfd);
        return -ESRCH;
    }
    p->start = now.start;
    p->started_ns = clock_ns();
    uv_poll_init(&p->agent->loop, &p->poll, p->pidfd);
    p->poll.data = p;
    return uv_poll_start(&p->poll, UV_READABLE, on_death);
}

static int program_fork(struct program *p, struct start *s)
{
    int r;

    p->pid = fork();
    if (p->pid == 0) {
        child_run(p, s);
    }
    fd_closep(&s->gate[1]);
    if (p->pid < 0) {
        p->pid = 0;
        return failed(-errno);
    }
    p->child = true;
    p->start = 0;
    r = program_watch(p);
    r = r ? r : program_note(p, NOTE_MADE);
    if (r) {
        kill(p->pid, SIGKILL); /* not past the gate yet */
        return r;
    }
    if (send(s->gate[0], "g", 1, MSG_NOSIGNAL) != 1) {
        return failed(-errno);
    }
    p->start_fd = s->gate[0];
    s->gate[0] = -1;
    return 0;
}

/* Opens what the child's output goes to. */
static int output_open(struct program *p, struct start *s)
{
    s->output_fd = p->error_fd >= 0
                       ? fcntl(p->error_fd, F_DUPFD_CLOEXEC, 3)
                       : openat(p->agent->dir_fd, "program.log",
                                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->output_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->gate) < 0) {
        return failed(-errno);
    }
    return 0;
}

static void program_start(struct program *p)
{
    struct agent *a = p->agent;
    const struct view_self *self = self_of(p);
    struct start s = { .arguments = a->options.run ? a->options.run : NULL,
                       .directory = a->options.run ? NULL : self->directory,
                       .output_fd = -1,
                       .gate = { -1, -1 },
                       .detached = !a->options.run };
    CLEANUP(bytes_deinit) struct bytes texts;
    char **arguments = calloc(self->arguments_count + 1, sizeof(char *));
    int r;

    bytes_init(&texts, 0);
    for (size_t i = 0; arguments && i < self->arguments_count; i++) {
        arguments[i] = self->arguments[i];
    }
    s.arguments = a->options.run ? a->options.run : arguments;
    s.environment = environment_make(a, self, &texts);
    p->digest = run_digest(self);
    p->stopping = false;
    r = s.arguments && s.environment ? output_open(p, &s) : failed(-ENOMEM);
    r = r ? r : program_fork(p, &s);
    fd_closep(&s.output_fd);
    fd_closep(&s.gate[0]);
    fd_closep(&s.gate[1]);
    if (r) {
        agent_notice(a, LOG_ERROR, "program.exited", "%s cannot be started: %s", s.arguments[0],
                     rhodes_result_sentence(r));
        program_moved(p, PROGRAM_UNSTARTABLE);
    } else {
        agent_notice(a, LOG_INFO, "program.started", "%s runs as process %d", s.arguments[0],
                     p->pid);
        program_moved(p, PROGRAM_START);
    }
    free(s.environment);
    free(arguments);
}

/* Takes over the process of the note. False when it has ended. */
static bool program_adopt(struct program *p, const struct note *n)
{
    p->pid = n->pid;
    p->start = n->start;
    if (n->stage == NOTE_ENDED || n->stage == NOTE_FAILED || program_watch(p)) {
        p->pid = 0;
        return false;
    }
    p->child = false;
    p->stopping = false;
    agent_notice(p->agent, LOG_INFO, "program.adopted", "process %d outlived its agent", p->pid);
    program_moved(p, PROGRAM_ADOPT);
    return true;
}

/* What an earlier agent left: a process to adopt, or one that has ended and that the manifest says
 * not to start again. False when there is nothing, or nothing that matters: it may be started. */
static bool program_inherit(struct program *p)
{
    struct agent *a = p->agent;
    struct note n;

    if (note_read(a->dir_fd, &n)) {
        note_remove(a->dir_fd);
        return false;
    }
    p->digest = n.digest;
    if (program_adopt(p, &n)) {
        return true;
    }
    if (a->options.run || n.stage == NOTE_MADE ||
        program_again(self_of(p)->restart, n.stage == NOTE_ENDED)) {
        note_remove(a->dir_fd);
        return false;
    }
    if (n.stage == NOTE_RUNS) {
        agent_notice(a, LOG_WARNING, "program.exited",
                     "process %d ended while it had no agent: its status is not known", n.pid);
    }
    program_moved(p, n.stage == NOTE_ENDED ? PROGRAM_END_GOOD : PROGRAM_END_BAD);
    return true;
}

static void program_kill(struct program *p, int signal)
{
    if (p->pid > 1) {
        kill(p->agent->options.run ? p->pid : -p->pid, signal);
    }
}

static void on_kill(uv_timer_t *timer)
{
    program_kill(timer->data, SIGKILL);
}

bool program_stop(struct program *p)
{
    const bool ours = p->wanted || (!p->spared && !p->agent->options.run);
    struct note n;

    uv_timer_stop(&p->restart_timer);
    if (ours && !p->wanted && note_read(p->agent->dir_fd, &n) == 0 && program_adopt(p, &n)) {
        p->wanted = true;
    }
    if (!p->pid) {
        if (ours) {
            note_remove(p->agent->dir_fd);
        }
        return false;
    }
    if (!p->stopping) {
        p->stopping = true;
        program_kill(p, SIGTERM);
        uv_timer_start(&p->kill_timer, on_kill, KILL_MS, 0);
    }
    return true;
}

void program_want(struct program *p)
{
    struct agent *a = p->agent;
    const struct view_self *self = self_of(p);

    if (!p->wanted) {
        p->wanted = true;
        if (program_inherit(p)) {
            if (a->options.run) {
                fprintf(stderr, "process %d of %s still runs\n", p->pid, a->options.resource);
                agent_stop(a, "another program of this resource still runs", 1);
                return;
            }
        } else if (a->options.run || self->arguments_count) {
            program_start(p);
            return;
        }
    }
    if (a->options.run || !self->arguments_count || p->digest == run_digest(self)) {
        return;
    }
    if (p->pid) {
        program_stop(p); /* its end starts the new one */
    } else {
        p->deaths = 0;
        uv_timer_stop(&p->restart_timer);
        program_start(p);
    }
}

static void on_restart(uv_timer_t *timer)
{
    program_start(timer->data);
}

/* How it ended, in words. Returns whether that was good; *ret_status is what a shell would say. */
static bool ending_read(struct program *p, char *why, int *ret_status)
{
    siginfo_t info = { 0 };
    struct misstart miss;

    *ret_status = 1;
    if (!p->child) {
        snprintf(why, WHY_BYTES,
                 "process %d ended (not this agent's child: its status is not known)", p->pid);
        return false;
    }
    if (waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED) < 0) {
        snprintf(why, WHY_BYTES, "process %d ended", p->pid);
        return false;
    }
    if (p->start_fd >= 0 && recv(p->start_fd, &miss, sizeof(miss), MSG_DONTWAIT) == sizeof(miss)) {
        const struct view_self *self = self_of(p);
        const char *program = p->agent->options.run   ? p->agent->options.run[0]
                              : self->arguments_count ? self->arguments[0]
                                                      : "";

        snprintf(why, WHY_BYTES, "%s cannot be %s: %s",
                 miss.directory && self->directory ? self->directory : program,
                 miss.directory ? "entered" : "executed", strerrordesc_np(miss.error));
        *ret_status = 127;
        return false;
    }
    if (info.si_code == CLD_EXITED) {
        snprintf(why, WHY_BYTES, "process %d ended with status %d", p->pid, info.si_status);
        *ret_status = info.si_status;
        return info.si_status == 0;
    }
    snprintf(why, WHY_BYTES, "process %d was ended by SIG%s", p->pid, sigabbrev_np(info.si_status));
    *ret_status = 128 + info.si_status;
    return false;
}

/* It is gone; what now? */
static void program_after(struct program *p, bool good, int status, uint64_t lived_ns)
{
    struct agent *a = p->agent;
    const struct view_self *self;
    const bool renewed = p->stopping; /* stopped for a new `run` */

    if (a->state != AGENT_RUNNING) {
        agent_program_ended(a, status);
        return;
    }
    if (a->options.run) {
        agent_stop(a, "its program ended", status);
        return;
    }
    self = self_of(p);
    if (self->arguments_count && (renewed || program_again(self->restart, good))) {
        p->deaths = lived_ns < LIFE_NS_MIN && !renewed ? p->deaths + 1 : 0;
        uv_timer_start(&p->restart_timer, on_restart, program_pause_ms(p->deaths), 0);
    }
}

/* An end that was asked for is no end to remember: the next agent starts it again. */
static void ending_note(struct program *p, bool good)
{
    if (p->stopping || p->agent->options.run || p->agent->state != AGENT_RUNNING ||
        program_note(p, good ? NOTE_ENDED : NOTE_FAILED)) {
        note_remove(p->agent->dir_fd);
    }
}

static void on_death(uv_poll_t *poll, int status, int events)
{
    struct program *p = poll->data;
    char why[WHY_BYTES];
    uint64_t lived_ns = clock_ns() - p->started_ns;
    int code;
    bool good;

    uv_poll_stop(&p->poll);
    uv_close((uv_handle_t *)&p->poll, NULL);
    uv_timer_stop(&p->kill_timer);
    if (!p->agent->options.run) {
        kill(-p->pid,
             SIGKILL); /* what it started; before it is reaped, so the number is still its own */
    }
    good = ending_read(p, why, &code);
    fd_closep(&p->pidfd);
    fd_closep(&p->start_fd);
    ending_note(p, good);
    agent_notice(p->agent, good || p->stopping ? LOG_INFO : LOG_WARNING, "program.exited", "%s",
                 why);
    p->pid = 0;
    program_moved(p, good ? PROGRAM_END_GOOD : PROGRAM_END_BAD);
    program_after(p, good, code, lived_ns);
}
