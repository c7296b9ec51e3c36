/* agent/binding.h - agent.sock: who connects, who they are, and what they may ask. Programs,
 * operators and other agents come in by this door (messages: wire/session.h).
 *
 * All on the main thread but session_binding() and the references. A session lives until its peer
 * hangs up, sends something that is not a message it may send, or does not read its answers. */
#ifndef AGENT_BINDING_H
#define AGENT_BINDING_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "agent/life.h"
#include "base/home.h"
#include "model/name.h"

#define AGENT_SESSIONS_MAX 256
#define AGENT_BINDINGS_MAX 4096 /* of one session */

struct agent;

struct session {
    struct session *next;
    struct agent *agent;
    uint64_t number; /* unique in this agent's life */
    _Atomic unsigned references;
    int fd;
    uv_poll_t poll;
    enum session_state state;
    struct unix_peer peer;
    uint64_t client;                    /* program, operator: its id */
    char caller[RESOURCE_ID_BYTES_MAX]; /* agent: for whom it calls */
    pthread_mutex_t lock;               /* the bindings */
    struct session_bound {
        uint64_t function;
        char callee[RESOURCE_ID_BYTES_MAX];
        bool own;
    } * bindings;
    size_t bindings_count;
};

struct doors {
    struct agent *agent;
    int fd; /* -1: not open */
    uv_poll_t poll;
    struct session *sessions;
    size_t sessions_count;
    uint64_t number;
    struct session_message *request, *answer; /* scratch */
    uint8_t *packet;
};

int doors_init(struct doors *d, struct agent *a) MUST_CHECK;
void doors_deinit(struct doors *d);
int doors_open(struct doors *d) MUST_CHECK; /* makes agent.sock and listens */
void doors_shut(struct doors *d);           /* removes it; sessions stay */
void doors_clear(struct doors *d);          /* ends all sessions */
/* Ends the sessions of the program's client `client`. */
void doors_condemn(struct doors *d, uint64_t client);
/* Does a session of the program live? */
bool doors_program(const struct doors *d);

struct session *session_ref(struct session *s);
struct session *session_unref(struct session *s); /* any thread; returns NULL */
/* The callee of a binding; false when there is none of this number. Any thread. */
bool session_binding(struct session *s, uint32_t number, char ret_callee[RESOURCE_ID_BYTES_MAX],
                     bool *ret_own);
/* Adds one, or finds the equal one: its number, from 1. OVER_LIMIT. */
int session_bind(struct session *s, const char *callee, uint64_t function, bool own,
                 uint32_t *ret_number) MUST_CHECK;

#endif
