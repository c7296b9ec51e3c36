/* center/roster.h - what the center knows of each agent: its life, what was pushed to it, what it
 * has in force. Soft state; none of it is stored. An entry outlives its agent's connection and goes
 * with its resource. One thread. */
#ifndef CENTER_ROSTER_H
#define CENTER_ROSTER_H

#include <jansson.h>

#include "model/name.h"
#include "wire/event.h"

struct session; /* center/watch.c: the connection */
struct child;   /* center/keeper.c: the process, for managed ones */

enum agent_state {
    AGENT_STARTING,
    AGENT_READY,
    AGENT_LOST,
    AGENT_FAILED,
    AGENT_STOPPED,
    AGENT_STATES_COUNT
};

enum agent_move {
    MOVE_SPAWNED,  /* the keeper started its process */
    MOVE_HELLO,    /* it introduced itself */
    MOVE_APPLIED,  /* it put a view in force */
    MOVE_REJECTED, /* it could not put its first view in force */
    MOVE_GONE,     /* its connection or process ended and nobody had asked for that */
    MOVE_ENDED,    /* it ended as asked, or its program had ended */
    MOVE_FAILED,   /* it could not be started, or dies again and again */
    AGENT_MOVES_COUNT
};

struct agent {
    char resource[RESOURCE_ID_BYTES_MAX];
    enum agent_state state;
    bool managed;  /* the keeper starts it */
    bool stopping; /* STOP was sent */
    unsigned restarts;
    int pid; /* of the last one that introduced itself or was started; 0: none yet */
    uint64_t since_ms, incarnation;
    uint64_t pushed, applied, wanted; /* revisions */
    uint64_t applied_ns;              /* how long the last push took from commit to APPLIED */
    uint64_t rejected_revision;       /* 0: the last answer was not a rejection */
    int rejected_verdict;
    char *rejected_reason;
    struct agent_status status;
    struct session *session; /* NULL: not connected */
    struct child *child;     /* NULL: the keeper has nothing to do with it */
};

struct roster {
    struct agent **agents; /* sorted by resource */
    size_t count, room;
};

void roster_deinit(struct roster *r);
struct agent *roster_find(const struct roster *r, const char *resource); /* NULL: none */
int roster_add(struct roster *r, const char *resource,
               struct agent **ret) MUST_CHECK; /* or finds it */
/* Forgets one that has neither session nor child. */
void roster_remove(struct roster *r, struct agent *a);

/* Moves its life on; true when the state changed. Asserts that the table allows it. */
bool agent_moved(struct agent *a, enum agent_move move, uint64_t now_ms);
bool agent_in_sync(const struct agent *a);
/* Remembers a rejection, or with revision 0 that there is none. */
void agent_rejected(struct agent *a, uint64_t revision, int verdict, const char *reason);
json_t *agent_json(const struct agent *a);
const char *agent_state_name(enum agent_state state);

#endif
