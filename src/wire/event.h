/* wire/event.h - the frames between the center and an agent. Bytes in, bytes out; no I/O.
 *
 * They travel on a Unix stream socket ($RHODES_HOME/center/watch.sock), later on TLS. A frame is
 *   u32 bytes (of what follows, at most EVENT_BYTES_MAX)  u16 type  u16 version  payload
 * Life of a session: agent HELLO -> center WELCOME and SNAPSHOT (or REFUSED and close). Then DELTAs with consecutive
 * revisions, at most one unanswered push; each push is answered by APPLIED or REJECTED. An agent that misses a
 * revision answers RESYNC and gets a SNAPSHOT. STATUS goes up when something changes, at least once a second while calls run.
 * STOP asks the agent to stop its program and itself. The agent's end of the stream means that the agent is gone. */
#ifndef WIRE_EVENT_H
#define WIRE_EVENT_H

#include "base/bytes.h"
#include "model/view.h"

#define EVENT_VERSION        1
#define EVENT_HEAD_BYTES     8
#define EVENT_BYTES_MAX      (16u << 20)
#define EVENT_TEXT_BYTES_MAX 1024

enum event_type {
    EVENT_HELLO =
        1, /* agent: resource, pid, incarnation, revision (of its cached view, 0: none), managed */
    EVENT_APPLIED,  /* agent: revision, took_ns */
    EVENT_REJECTED, /* agent: revision, verdict, text */
    EVENT_RESYNC,   /* agent: nothing */
    EVENT_STATUS,   /* agent: status */
    EVENT_NOTICE,   /* agent: name, text: one operational event for `rhodes events` */
    EVENT_WELCOME,  /* center: revision (the center's own) */
    EVENT_REFUSED,  /* center: verdict, text; then it closes */
    EVENT_SNAPSHOT, /* center: view */
    EVENT_DELTA,    /* center: delta */
    EVENT_STOP,     /* center: nothing */
};

enum program_state {
    PROGRAM_NONE,
    PROGRAM_STARTING,
    PROGRAM_READY,
    PROGRAM_LOST,
    PROGRAM_EXITED,
    PROGRAM_FAILED
};
const char *program_state_name(enum program_state state); /* "none" ... */

struct agent_status {
    uint64_t revision_applied;
    uint32_t program_pid;
    uint8_t program_state;                                   /* enum program_state */
    uint64_t calls_out, calls_in, refused, failed, timeouts; /* since the agent started */
    uint64_t switches; /* live changes of protocol that were carried out */
};

struct event {
    enum event_type type;
    /* Which members hold something stands beside each type above. Owned by the event: event_deinit(). */
    char *resource;
    uint32_t pid;
    uint64_t incarnation, revision, took_ns;
    bool managed; /* the center started this agent (else `rhodes run` did) */
    int32_t verdict;
    char *name, *text;
    struct agent_status status;
    struct view *view;
    struct view_delta *delta;
};

void event_deinit(struct event *e);

/* Appends one whole frame, head included. Errors stick in b->error (OVER_LIMIT for a frame over EVENT_BYTES_MAX; then the
 * frame is not there). Members are borrowed; `name` and `text` are cut to EVENT_TEXT_BYTES_MAX. */
void event_encode(struct bytes *b, const struct event *e);

/* Looks at the front of a stream. 0 and the whole frame's length (head included) in *ret_bytes when the head is there,
 * else -EAGAIN; INVALID for a wrong version or type, OVER_LIMIT for a frame that is too long. */
int event_head(const void *data, size_t bytes, size_t *ret_bytes) MUST_CHECK;

/* Decodes one whole frame. INVALID for anything that is not exactly right; never reads outside, never keeps a view whose
 * texts, counts or order are wrong. */
int event_decode(const void *data, size_t bytes, struct event *ret) MUST_CHECK;

/* A view by itself, for the agent's cache file (same form as in SNAPSHOT, with a leading format word). */
void view_encode(struct bytes *b, const struct view *v);
int view_decode(const void *data, size_t bytes, struct view **ret) MUST_CHECK;

#endif
