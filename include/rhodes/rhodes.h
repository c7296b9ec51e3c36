/* rhodes/rhodes.h - take part in Rhodes from a C program: serve functions, and call those of other
 * resources.
 *
 * Life: rhodes_open connects to the agent of this program's resource (started for it by `rhodes
 * run` or a manifest, which set RHODES_AGENT). Then rhodes_serve for each function and
 * rhodes_serve_start, or rhodes_bind and rhodes_call, or both. rhodes_close ends it. When the agent
 * dies the library finds its successor by itself: calls in flight are sent again under the same id,
 * so that each runs at most once; what cannot be known is told as RHODES_UNKNOWN. Every call ends
 * by its deadline: with 0, or a verdict, or -errno, and a sentence in rhodes_call_error. Threads:
 * all functions may be called from any thread; a struct rhodes_call belongs to one thread at a
 * time. */
#ifndef RHODES_RHODES_H
#define RHODES_RHODES_H

#include "rhodes/value.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct rhodes;          /* this program's session with its agent */
struct rhodes_function; /* a bound function of another resource; lives until rhodes_close */
struct rhodes_call;     /* one call at a time: arguments, then result. Reusable */

struct rhodes_options {
    size_t size;          /* sizeof(struct rhodes_options) */
    const char *agent;    /* path of the agent's socket; NULL: the environment's RHODES_AGENT */
    const char *resource; /* "service/tcp": refuse to talk to the agent of another; NULL: whatever
                             it is bound to */
    unsigned flags;       /* RHODES_OPEN_OPERATOR or 0 */
    uint64_t timeout_ns;  /* how long to look for the agent; 0: 5 s */
};
/* Connect as a person's tool: at the agent of a resource, call the resource's own functions (bind
 * "" as the resource), or call others in its name. For the user who runs the center only. */
#define RHODES_OPEN_OPERATOR 1u

/* `options` may be NULL. -ENOENT: no agent there; NOT_BOUND: the agent is bound to another program;
 * DENIED. On an error, rhodes_open_error() has the sentence (of this thread). Waits. */
int rhodes_open(const struct rhodes_options *options, struct rhodes **ret);
const char *rhodes_open_error(void);
struct rhodes *
rhodes_close(struct rhodes *r); /* stops serving, waits for running functions; returns NULL */
const char *rhodes_resource(const struct rhodes *r); /* "service/tcp" */

/* Binds function `name` of `resource` ("driver/netdriver"). `signature` is what the caller expects,
 * in WIT
 * ("xmit: func(frame: list<u8>) -> s32"), or NULL to take what the callee declares; `types` its
 * named types or NULL. DENIED: not declared or forbidden; NOT_FOUND: no such function;
 * TYPE_MISMATCH. Waits for the agent. */
int rhodes_bind(struct rhodes *r, const char *resource, const char *name, const char *signature,
                const char *types, struct rhodes_function **ret);
const char *rhodes_bind_error(
    const struct rhodes *r); /* the sentence of this thread's last failed bind or serve */
const char *rhodes_function_signature(const struct rhodes_function *f);
const struct rhodes_type *
rhodes_function_parameters(const struct rhodes_function *f);                       /* a record */
const struct rhodes_type *rhodes_function_result(const struct rhodes_function *f); /* NULL: none */

int rhodes_call_new(struct rhodes *r, struct rhodes_call **ret);
struct rhodes_call *rhodes_call_free(struct rhodes_call *c);
/* Begins a call of f: returns the writer for its arguments (owned by c), never NULL. */
struct rhodes_writer *rhodes_call_begin(struct rhodes_call *c, struct rhodes_function *f);
/* Makes the call and waits for its end, at most timeout_ns (0: what the link says, else 5 s). The
 * calling thread has its own channel, made at its first call. 0; DENIED, NOT_EXECUTED, UNKNOWN,
 * TIMEOUT, CALLEE_FAILED, TYPE_MISMATCH, GARBAGE, OVER_LIMIT, INVALID (arguments); -errno. */
int rhodes_call_run(struct rhodes_call *c, uint64_t timeout_ns);
/* After 0: the result. NULL when the function has none. Valid until the next begin. */
struct rhodes_reader *rhodes_call_result(struct rhodes_call *c);
/* After anything else: a sentence. Valid until the next begin. */
const char *rhodes_call_error(const struct rhodes_call *c);

/* While a run of c waits, the calling thread asks `on_wait` at least every 100 ms; when it answers
 * true the run gives up and returns -EINTR (the call may have run; its late reply is dropped).
 * NULL: never asks. It is for languages that notice an interrupt only when they look, such as
 * Python. Kept until it is set anew. */
void rhodes_call_on_wait(struct rhodes_call *c, bool (*on_wait)(void *data), void *data);

/* Time per hop of the last run, when asked for before it. Times are ns from the caller's send; 0:
 * not passed. */
struct rhodes_hops {
    uint64_t caller_agent, callee_agent, started, done, callee_agent_reply, caller_agent_reply,
        total;
    const char *protocol; /* between the two agents: "shm", "msgqueue", or "" */
};
void rhodes_call_trace(struct rhodes_call *c, bool on);
int rhodes_call_hops(const struct rhodes_call *c, struct rhodes_hops *ret);

struct rhodes_request; /* one incoming call, while its function runs */

/* A served function: reads its arguments, writes its result, returns 0. Any other number is
 * reported to the caller as CALLEE_FAILED with the sentence given by rhodes_request_fail. Runs on a
 * serving thread. */
typedef int rhodes_handler(struct rhodes_request *request, struct rhodes_reader *arguments,
                           struct rhodes_writer *result, void *data);
/* `result` is NULL in the handler when the function has no result. TYPE_MISMATCH or NOT_FOUND when
 * the manifest provides it otherwise or not at all. Before rhodes_serve_start. */
int rhodes_serve(struct rhodes *r, const char *signature, const char *types,
                 rhodes_handler *handler, void *data);
/* Starts `threads` serving threads (1 to 64) and tells the agent that calls may come. Waits for the
 * agent's answer, not for calls. */
int rhodes_serve_start(struct rhodes *r, unsigned threads);
/* Waits until rhodes_serve_stop (from any thread or a signal handler). An agent that stops its
 * program sends SIGTERM first. */
int rhodes_serve_wait(struct rhodes *r);
void rhodes_serve_stop(struct rhodes *r);
/* Sets the sentence (printf) and returns `result` for the handler to return. */
int rhodes_request_fail(struct rhodes_request *q, int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t rhodes_request_deadline_ns(const struct rhodes_request *q);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
