/* agent/watch.h - the session with the center: what it pushes comes in here, what is in force is
 * reported back. Main thread. Without a center the agent goes on with the rules it has, and looks
 * for it every 20 to 200 ms. */
#ifndef AGENT_WATCH_H
#define AGENT_WATCH_H

#include <uv.h>

#include "agent/life.h"

#define WATCH_OUT_BYTES_MAX (256u << 10) /* not yet taken by the center; more: it is hung up on */

struct agent;

struct watch {
    struct agent *agent;
    enum watch_state state;
    int fd, center_fd; /* the connection; the directory of watch.sock */
    uv_poll_t poll;
    uv_timer_t retry;
    struct bytes in, out;
    bool stopped, said; /* said: that the center is away was logged */
};

int watch_init(struct watch *w, struct agent *a) MUST_CHECK;
void watch_deinit(struct watch *w);
void watch_begin(struct watch *w); /* tries to connect, now */
void watch_stop(struct watch *w);  /* hangs up for good */
/* Sends an event, if there is a session that takes it. */
void watch_send(struct watch *w, const struct event *e);

#endif
