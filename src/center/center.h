/* center/center.h - the governance center: its one struct, its life, and how its parts hear of each
 * other.
 *
 * Life: center_init -> center_run -> center_deinit. Everything runs on the one thread of the loop.
 * A change comes in through api.c, passes governor.c, and is announced to watch.c (agents),
 * keeper.c (processes), stream.c (people). The end: center_leave() goes without touching agents
 * (they carry on with what they have); center_stop() asks all agents to stop first. */
#ifndef CENTER_CENTER_H
#define CENTER_CENTER_H

#include <uv.h>

#include "base/home.h"
#include "center/events.h"
#include "center/governor.h"
#include "center/roster.h"
#include "center/secret.h"

struct watch;
struct keeper;
struct streams;
struct effects;
struct http;
struct pins;

struct center_options {
    const char *home; /* absolute */
    const struct store_driver *driver;
    uint64_t log_revisions_max;
};

struct center {
    uv_loop_t loop;
    char home[HOME_PATH_BYTES_MAX];
    int directory_fd; /* $RHODES_HOME/center */
    int lock_fd;      /* flock: one center a home */
    unsigned uid;
    uint64_t started_ms;
    struct governor governor;
    struct events *events;
    struct secret secret;
    struct roster roster;
    struct watch *watch;
    struct keeper *keeper;
    struct streams *streams;
    struct effects *effects;
    struct http *http;
    struct pins *pins;
    uv_signal_t signal_term, signal_int, signal_hup;
    uv_timer_t stop_timer;
    bool stopping; /* center_stop was called */
    bool stop_killed;
    uint64_t stop_began_ns;
    bool leaving; /* the loop is about to end */
};

#define CENTER_WHY_BYTES (GOVERNOR_WHY_BYTES + HOME_PATH_BYTES_MAX)

/* Opens everything and begins to answer. On an error `why` (CENTER_WHY_BYTES) has a sentence for a
 * person; call center_deinit in either case. */
int center_init(struct center *c, const struct center_options *options, char *why) MUST_CHECK;
int center_run(struct center *c) MUST_CHECK; /* until center_leave or center_stop */
void center_deinit(struct center *c);

void center_leave(struct center *c);
void center_stop(struct center *c);

/* Records one operational event and logs it. */
void center_event(struct center *c, const char *event, const char *resource, const char *format,
                  ...) PRINTF_LIKE(4, 5);
/* An agent put something in force, rejected it, came or went: whoever waits for that is told. */
void center_agent_changed(struct center *c, struct agent *a);

#endif
