/* agent/serve.h - the callee's side: the serving channels of the program as a pool, and one call
 * through one of them.
 *
 * A serving channel is one thread of the program that waits for calls. Whoever carries a call takes
 * a free one, sends the request, waits for the reply and gives it back. When the reply is late, the
 * channel stays away from the pool until that reply has been read and dropped by a thread that does
 * nothing else. One process serves at a time: at most once is a promise of one table
 * (wire/dedupe.h), and that lives in the serving process. */
#ifndef AGENT_SERVE_H
#define AGENT_SERVE_H

#include <pthread.h>

#include "agent/cache.h"
#include "transmitter/transmitter.h"
#include "wire/value.h"

#define AGENT_SERVERS_MAX     64  /* of one session, as rhodes_serve_start allows */
#define AGENT_SERVERS_ALL_MAX 256 /* of all of them: one serves, others come and go */

struct agent;
struct server;

struct serve {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct server *all, *free; /* linked by ->next and ->next_free */
    size_t servers_count;      /* of the serving session */
    uint64_t session;          /* number of the one that said READY; 0: nobody serves */
    uint64_t client;           /* its id: the executor of its calls */
    bool stopping;
};

/* What a call ended with, ready to be sent: the result stands in the head, the body is the result
 * or a sentence. */
struct answer {
    struct call_head head;
    struct bytes body;
    struct rhodes_reader *reader; /* for devices; made at the first call and kept */
    struct rhodes_writer *writer;
};

void answer_init(struct answer *ret);
void answer_deinit(struct answer *a);

void serve_init(struct serve *s);
void serve_deinit(struct serve *s);
/* Adds a serving channel of a session; the conduit is the pool's from now on. OVER_LIMIT. */
int serve_add_take(struct agent *a, uint64_t session, uint64_t client,
                   struct conduit *conduit) MUST_CHECK;
/* The session says that calls may come. IN_USE when another one serves. */
int serve_ready(struct agent *a, uint64_t session, uint64_t client) MUST_CHECK;
/* The session ended: its channels go, calls in them end. */
void serve_leave(struct agent *a, uint64_t session);
void serve_stop(struct agent *a);         /* nobody waits for a channel any more */
uint64_t serve_executor(struct agent *a); /* who would run a call now; 0: nobody */

/* Runs one judged request to its end, by the program or the device. Always answers; returns when
 * the deadline says at the latest. Any thread. */
void serve_call(struct agent *a, const struct rules *rules, const struct call_head *request,
                const struct bytes *body, struct answer *ret);

/* Makes `ret` the answer to `request`: a good one with this body, what is in ret->body already, or
 * a result with a sentence. */
void answer_body(struct answer *ret, const struct call_head *request, const void *body,
                 size_t bytes);
void answer_again(struct answer *ret, const struct call_head *request, int32_t result);
/* Is what a program sent an answer to this request: a result of f's type, or a verdict with a
 * sentence? `body` is private memory. */
bool answer_good(const struct wit_function *f, const struct call_head *request,
                 const struct call_head *reply, const struct bytes *body);
/* A repeat that no executor answered: that this try did not run says nothing of the first one, so
 * the answer becomes UNKNOWN. */
void answer_doubt(struct answer *ret, const struct call_head *request);
/* Gives large memory back between calls. */
void buffer_trim(struct bytes *b);
/* Makes the reader and the writer ready for a call of f. */
int answer_values(struct answer *ret, const struct wit_function *f) MUST_CHECK;
void answer_text(struct answer *ret, const struct call_head *request, int result,
                 const char *format, ...) PRINTF_LIKE(4, 5);

#endif
