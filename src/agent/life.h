/* agent/life.h - the lives inside an agent, drawn as tables: the program, a session on agent.sock,
 * the session with the center, and a lane. Pure; any thread. A transition that a table does not
 * have is a programming error, except for messages of peers: those are asked first
 * (session_accepts). */
#ifndef AGENT_LIFE_H
#define AGENT_LIFE_H

#include <stdbool.h>

#include "wire/event.h"
#include "wire/session.h"

enum program_event {
    PROGRAM_START,       /* it was forked */
    PROGRAM_ADOPT,       /* it outlived an earlier agent */
    PROGRAM_BOUND,       /* its session is there and ready; a device: it is open */
    PROGRAM_UNBOUND,     /* its last session ended, the process lives */
    PROGRAM_END_GOOD,    /* it ended with status 0 */
    PROGRAM_END_BAD,     /* it ended otherwise */
    PROGRAM_UNSTARTABLE, /* it could not be started; a device: it could not be opened */
    PROGRAM_EVENTS_COUNT
};

/* False when the table has no such transition: *ret is untouched. */
bool program_next(enum program_state state, enum program_event event, enum program_state *ret);

enum session_state {
    SESSION_NEW,     /* connected, has not said who it is */
    SESSION_PROGRAM, /* the program of this agent */
    SESSION_SERVING, /* the program, and calls may come */
    SESSION_PERSON,  /* an operator's tool */
    SESSION_AGENT,   /* the agent of a caller, for one edge */
    SESSION_STATES_COUNT
};

/* May a session in this state send this request? */
bool session_accepts(enum session_state state, enum session_type type);
const char *session_state_name(enum session_state state);

enum watch_state {
    WATCH_AWAY,     /* no connection */
    WATCH_GREETING, /* HELLO is sent */
    WATCH_WELCOME,  /* the center knows us; no view of this session yet */
    WATCH_SYNCED,   /* the view in force came from, or was confirmed by, this session */
    WATCH_STATES_COUNT
};

/* May the center send this event in this state? */
bool watch_accepts(enum watch_state state, enum event_type type);

enum lane_state {
    LANE_CLOSED, /* nothing: the next call opens it */
    LANE_OPEN,
    LANE_LOST, /* the other agent is gone; the conduit is kept until it was asked what it had taken
                */
    LANE_STATES_COUNT
};

enum lane_event { LANE_OPENED, LANE_BROKEN, LANE_GIVEN_UP, LANE_EVENTS_COUNT };

bool lane_next(enum lane_state state, enum lane_event event, enum lane_state *ret);

#endif
