/* agent/agent.h - the agent as a whole: one process beside one resource, which keeps the rules for
 * it in force.
 *
 * The main thread runs a libuv loop and owns everything that is decided: the session with the
 * center (watch), the program's life (program), the sessions on agent.sock (binding). It never
 * waits for a peer. Calls are carried by threads of the crew: one for each calling thread of the
 * program (relay), one for each incoming lane (arrival). They share the cache of rules, the lanes
 * and the pool of serving channels (serve), each behind its own mutex; what the main thread must do
 * for them they leave as mail. Order of locks: channels or serve or peer, then lanes, then cache;
 * mail is last. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <uv.h>

#include "agent/binding.h"
#include "agent/cache.h"
#include "agent/crew.h"
#include "agent/hardware.h"
#include "agent/lane.h"
#include "agent/peer.h"
#include "agent/program.h"
#include "agent/relay.h"
#include "agent/route.h"
#include "agent/serve.h"
#include "agent/watch.h"
#include "base/log.h"

#define AGENT_NOTICES_MAX   64 /* waiting for the main thread; more are dropped and counted */
#define AGENT_NOTICE_KINDS  8
#define AGENT_NOTICES_PER_S 10 /* of each kind */

struct agent_options {
    const char *home, *resource;
    bool managed;
    char **run; /* the command of --run, NULL: as the manifest says */
};

struct notice {
    const char *name; /* static */
    char text[WHY_BYTES];
};

struct mail {
    pthread_mutex_t lock;
    uv_async_t bell;
    struct notice notices[AGENT_NOTICES_MAX];
    size_t notices_count;
    uint64_t condemned; /* a client id, 0: none */
    struct notice_rate {
        const char *name;
        uint64_t second, sent, dropped;
    } rates[AGENT_NOTICE_KINDS];
};

enum agent_state { AGENT_SETTLING, AGENT_RUNNING, AGENT_STOPPING, AGENT_ENDED };

struct agent {
    struct agent_options options;
    char id[RESOURCE_ID_BYTES_MAX]; /* with '.': the name of its directory */
    bool hardware;                  /* bound to a device, not to a program */
    uint64_t incarnation;
    int dir_fd, agents_fd; /* agents/ID (holds the lock), agents */
    enum agent_state state;
    int exit_status;

    uv_loop_t loop;
    uv_signal_t signals[3];
    uv_timer_t status_timer, settle_timer, save_timer, end_timer;
    uv_poll_t deaths;
    struct agent_status told; /* the last status that was sent */
    struct saver {
        pthread_mutex_t lock;
        pthread_mutex_t file_lock; /* the file `view`; before the cache's lock */
        bool wanted;               /* there is something to be saved */
        bool running;
    } saver;
    struct mail mail;

    struct cache cache;
    struct watch watch;
    struct program program;
    struct doors doors;
    struct channels channels;
    struct lanes lanes;
    struct peers peers;
    struct serve serve;
    struct hardware device;
    struct crew crew;
    struct route_counters counters;
};

/* Runs the agent to its end; returns the process's exit status. */
int agent_run(const struct agent_options *options);

/* One operational event: a log line now, and an event for the center. Any thread; at most
 * AGENT_NOTICES_PER_S of a name. */
void agent_notice(struct agent *a, enum log_level level, const char *name, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* Reads the mail. Main thread. */
void mail_read(struct agent *a);
/* The program's session with this client id sent garbage: it will be closed. Any thread. */
void agent_condemn(struct agent *a, uint64_t client);

/* Puts a view in force, or refuses it with a verdict and a sentence in why[WHY_BYTES] and changes
 * nothing. Takes the view's reference. Main thread. */
int agent_apply_take(struct agent *a, struct view *v, char *why) MUST_CHECK;
/* Saves the rules now that would be saved in a moment: the next agent may find nothing else to begin
 * with. Main thread. */
void agent_save(struct agent *a);
/* The center answered, or cannot be reached: what there is to work with is known. Main thread. */
void agent_settle(struct agent *a);
void agent_stop(struct agent *a, const char *reason, int exit_status);
/* The program ended, as was asked while stopping. */
void agent_program_ended(struct agent *a, int status);
void agent_status(struct agent *a, struct agent_status *ret);
void agent_status_changed(struct agent *a); /* sends it */

#endif
