/* The tables of agent/life.h. A row is a state, a column what happened; an empty place is a
 * transition that does not exist. Kept apart from the code that acts, so that a test can walk every
 * place of every table. */
#include "agent/life.h"

#define TO(state) ((state) + 1) /* zero is the empty place */

bool program_next(enum program_state state, enum program_event event, enum program_state *ret)
{
    static const unsigned char table[][PROGRAM_EVENTS_COUNT] = {
        [PROGRAM_NONE] = { [PROGRAM_START] = TO(PROGRAM_STARTING),
                           [PROGRAM_ADOPT] = TO(PROGRAM_LOST),
                           [PROGRAM_BOUND] = TO(PROGRAM_READY),
                           [PROGRAM_END_GOOD] = TO(PROGRAM_EXITED),
                           [PROGRAM_END_BAD] = TO(PROGRAM_FAILED),
                           [PROGRAM_UNSTARTABLE] = TO(PROGRAM_FAILED) },
        [PROGRAM_STARTING] = { [PROGRAM_BOUND] = TO(PROGRAM_READY),
                               [PROGRAM_END_GOOD] = TO(PROGRAM_EXITED),
                               [PROGRAM_END_BAD] = TO(PROGRAM_FAILED),
                               [PROGRAM_UNSTARTABLE] = TO(PROGRAM_FAILED) },
        [PROGRAM_READY] = { [PROGRAM_BOUND] = TO(PROGRAM_READY),
                            [PROGRAM_UNBOUND] = TO(PROGRAM_LOST),
                            [PROGRAM_END_GOOD] = TO(PROGRAM_EXITED),
                            [PROGRAM_END_BAD] = TO(PROGRAM_FAILED),
                            [PROGRAM_UNSTARTABLE] = TO(PROGRAM_FAILED) },
        [PROGRAM_LOST] = { [PROGRAM_BOUND] = TO(PROGRAM_READY),
                           [PROGRAM_END_GOOD] = TO(PROGRAM_EXITED),
                           [PROGRAM_END_BAD] = TO(PROGRAM_FAILED) },
        [PROGRAM_EXITED] = { [PROGRAM_START] = TO(PROGRAM_STARTING),
                             [PROGRAM_UNSTARTABLE] = TO(PROGRAM_FAILED) },
        [PROGRAM_FAILED] = { [PROGRAM_START] = TO(PROGRAM_STARTING),
                             [PROGRAM_BOUND] = TO(PROGRAM_READY),
                             [PROGRAM_UNSTARTABLE] = TO(PROGRAM_FAILED) },
    };
    unsigned char to = table[state][event];

    if (to) {
        *ret = (enum program_state)(to - 1);
    }
    return to;
}

bool session_accepts(enum session_state state, enum session_type type)
{
    static const bool table[SESSION_STATES_COUNT][SESSION_TYPES_END] = {
        [SESSION_NEW] = { [SESSION_HELLO] = true, [SESSION_PEER] = true },
        [SESSION_PROGRAM] = { [SESSION_SERVE] = true,
                              [SESSION_READY] = true,
                              [SESSION_CHANNEL] = true,
                              [SESSION_BIND] = true },
        /* Ready is said again by who cannot know whether the last agent or this one heard it. */
        [SESSION_SERVING] = { [SESSION_READY] = true,
                              [SESSION_CHANNEL] = true,
                              [SESSION_BIND] = true },
        [SESSION_PERSON] = { [SESSION_CHANNEL] = true, [SESSION_BIND] = true },
        [SESSION_AGENT] = { [SESSION_LANE] = true, [SESSION_CLOSE] = true },
    };

    return state < SESSION_STATES_COUNT && type < SESSION_TYPES_END && table[state][type];
}

const char *session_state_name(enum session_state state)
{
    static const char *const names[] = {
        [SESSION_NEW] = "new",         [SESSION_PROGRAM] = "program", [SESSION_SERVING] = "serving",
        [SESSION_PERSON] = "operator", [SESSION_AGENT] = "agent",
    };

    return names[state];
}

bool watch_accepts(enum watch_state state, enum event_type type)
{
    static const bool table[WATCH_STATES_COUNT][EVENT_STOP + 1] = {
        [WATCH_GREETING] = { [EVENT_WELCOME] = true, [EVENT_REFUSED] = true },
        [WATCH_WELCOME] = { [EVENT_SNAPSHOT] = true,
                            [EVENT_DELTA] = true,
                            [EVENT_REFUSED] = true,
                            [EVENT_STOP] = true },
        [WATCH_SYNCED] = { [EVENT_SNAPSHOT] = true,
                           [EVENT_DELTA] = true,
                           [EVENT_REFUSED] = true,
                           [EVENT_STOP] = true },
    };

    return state < WATCH_STATES_COUNT && type <= EVENT_STOP && table[state][type];
}

bool lane_next(enum lane_state state, enum lane_event event, enum lane_state *ret)
{
    static const unsigned char table[LANE_STATES_COUNT][LANE_EVENTS_COUNT] = {
        [LANE_CLOSED] = { [LANE_OPENED] = TO(LANE_OPEN), [LANE_GIVEN_UP] = TO(LANE_CLOSED) },
        [LANE_OPEN] = { [LANE_OPENED] = TO(LANE_OPEN),
                        [LANE_BROKEN] = TO(LANE_LOST),
                        [LANE_GIVEN_UP] = TO(LANE_CLOSED) },
        [LANE_LOST] = { [LANE_BROKEN] = TO(LANE_LOST), [LANE_GIVEN_UP] = TO(LANE_CLOSED) },
    };
    unsigned char to = table[state][event];

    if (to) {
        *ret = (enum lane_state)(to - 1);
    }
    return to;
}
