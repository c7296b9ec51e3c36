/* client/client.h - librhodes inside: the session with the agent, the channels of threads, the
 * served functions.
 *
 * One struct rhodes is one session that survives its agent: a background thread owns the socket,
 * dispatches answers, notices the agent's end and joins the successor. `epoch` names the joined
 * session (0: none); what was made in another epoch (channels' conduits, functions' bindings) is
 * made anew by the thread that needs it. Locks, in this order: request_lock (one request to the
 * agent at a time), lock (everything else, held briefly). The warm path of a call takes neither. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "rhodes/rhodes.h"
#include "transmitter/transmitter.h"
#include "wire/dedupe.h"
#include "wire/session.h"
#include "wire/value.h"

#define CLIENT_TEXT_BYTES  1000
#define CLIENT_SERVERS_MAX 64
#define CLIENT_TIMEOUT_NS  (5 * NS_PER_S)
#define CLIENT_GRACE_NS                                                                            \
    (50 * NS_PER_MS) /* how long after a deadline the agent may still say what happened */
#define CLIENT_CALLERS_MAX 4096        /* callers that a serving program remembers */
#define CLIENT_REPLIES_MAX (64u << 20) /* bytes of their last replies */

/* A thread's own way to the agent. Only its thread uses the conduit; it is replaced under the
 * session's lock, so that the background thread can interrupt it. */
struct channel {
    struct rhodes *rhodes;
    struct channel *next;
    enum channel_role role;
    uint64_t id; /* the caller's id in its calls */
    uint64_t sequence;
    struct conduit *conduit; /* NULL: none; writes under the lock */
    uint64_t epoch;          /* that the conduit belongs to */
};

struct rhodes_function {
    struct rhodes *rhodes;
    struct rhodes_function *next;
    struct wit_function *type;
    _Atomic uint64_t epoch; /* that `binding` belongs to */
    _Atomic uint32_t binding;
    _Atomic uint64_t executor; /* incarnation that the last reply came from */
    uint64_t timeout_ns;
    char resource[RESOURCE_ID_BYTES_MAX];
};

struct served {
    struct served *next;
    struct wit_function *type;
    rhodes_handler *handler;
    void *data;
    char *signature, *types; /* as the program gave them, for the next agent */
};

struct server {
    struct rhodes *rhodes;
    pthread_t thread;
    struct channel channel;
};

struct rhodes {
    const uint8_t *own_process; /* 1 here, 0 in a child of fork (MADV_WIPEONFORK) */
    uint64_t client;            /* this program's incarnation, for its agent and for repeats */
    char *agent;                /* path of its socket */
    char resource[RESOURCE_ID_BYTES_MAX];
    char wanted[RESOURCE_ID_BYTES_MAX]; /* "": whatever the agent is bound to */
    uint32_t flags;                     /* SESSION_OPERATOR or 0 */
    pthread_key_t key;                  /* a thread's caller channel */
    int wake, stop;                     /* eventfds: for the background thread; rhodes_serve_stop */

    pthread_mutex_t request_lock;
    struct session_message request;
    uint8_t packet[SESSION_BYTES_MAX];

    pthread_mutex_t lock;
    pthread_cond_t changed; /* an answer came, the epoch changed */
    unsigned references;    /* the user's, and one per channel that a thread holds */
    _Atomic uint64_t epoch; /* writes under the lock */
    uint64_t epoch_last;
    int socket;                     /* -1 while there is no session */
    uint32_t tag_last, tag_waiting; /* tag_waiting 0: nobody waits */
    bool answered;
    struct session_message answer;
    struct descriptors answer_descriptors;
    bool closing;
    char lost[CLIENT_TEXT_BYTES]; /* why the last try to join failed */
    struct channel *channels;     /* of both roles */
    struct rhodes_function *functions;
    struct served *served; /* grows only before serving starts */

    bool serving; /* READY has been or will be said */
    _Atomic bool servers_stop;
    unsigned servers_count;
    struct server *servers;
    struct dedupe *dedupe;

    pthread_t watcher;
    uint8_t watch_packet[SESSION_BYTES_MAX]; /* the background thread's own */
    struct session_message watch_message;
};

/* error.c: the calling thread's last sentence of open, bind or serve. Returns `result`. */
int error_say(int result, const char *format, ...) PRINTF_LIKE(2, 3);
const char *error_said(void);
/* False, with a sentence, in a child of fork. */
static inline bool own_process(const struct rhodes *r)
{
    return *r->own_process;
}
int fork_refused(void);

/* session.c: requests to the agent. session_begin takes the request lock and returns the message to
 * fill (its texts are empty), NULL when the lock is not free until the deadline; session_ask sends
 * it and waits for the answer, which is in r->answer then; session_end gives the lock back, always.
 * Answers: the agent's result; -ECANCELED: no session, or it ended meanwhile; TIMEOUT. `epoch`,
 * unless 0, must still be the one joined. */
struct session_message *session_begin(struct rhodes *r, enum session_type type,
                                      uint64_t deadline_ns);
int session_ask(struct rhodes *r, uint64_t epoch, const struct descriptors *send,
                uint64_t deadline_ns) MUST_CHECK;
void session_end(struct rhodes *r);
/* Waits until an agent is joined; its epoch. TIMEOUT; -ECANCELED when the handle is closing or its
 * servers stop (if asked). */
int session_wait(struct rhodes *r, uint64_t deadline_ns, const _Atomic bool *stop,
                 uint64_t *ret_epoch) MUST_CHECK;
/* Joins the agent for the first time. The sentence is said on an error. */
int session_open(struct rhodes *r, uint64_t deadline_ns) MUST_CHECK;
int watcher_start(struct rhodes *r) MUST_CHECK;
uint64_t random_id(void); /* not 0 */
/* A thread of ours takes none of the host's signals. */
int thread_start(pthread_t *ret, void *(*run)(void *), void *data) MUST_CHECK;

/* channel.c */
int channel_mine(struct rhodes *r, struct channel **ret) MUST_CHECK; /* the calling thread's */
/* Makes the channel's conduit in the joined session, if it has none there. Answers as session_ask.
 */
int channel_open(struct channel *ch, uint64_t epoch, uint64_t deadline_ns) MUST_CHECK;
void channel_give_up(struct channel *ch); /* frees the conduit; the same id goes on */
void channel_renew(
    struct channel *ch); /* frees the conduit; what may still come for the old id concerns nobody */
void channel_init(struct channel *ch, struct rhodes *r, enum channel_role role);
void channel_deinit(struct channel *ch);
void channel_key_end(void *data); /* for pthread_key_create */
void rhodes_unref(struct rhodes *r);

/* bind.c: binds f again in `epoch`. Answers as session_ask; the sentence is said. */
int function_bind(struct rhodes_function *f, uint64_t epoch, uint64_t deadline_ns) MUST_CHECK;
void functions_free(struct rhodes *r);

/* serve.c */
void servers_end(struct rhodes *r); /* stops and joins */
void served_free(struct rhodes *r);

#endif
