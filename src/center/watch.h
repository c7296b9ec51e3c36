/* center/watch.h - the center's side of every agent (the paper's SWatchManager): tells agents what
 * changed and hears what they put in force. Frames are wire/event.h's. One thread. */
#ifndef CENTER_WATCH_H
#define CENTER_WATCH_H

#include "center/center.h"

#define WATCH_FRAME_BYTES_MAX 8192 /* of what agents send; they have nothing longer to say */
#define WATCH_STRANGERS_MAX   256  /* connections that have not said HELLO yet */
#define WATCH_HELLO_MS        5000 /* how long they may take */

int watch_new(struct center *c, struct watch **ret) MUST_CHECK; /* listens on center/watch.sock */
struct watch *watch_free(struct watch *w); /* closes all; the loop has to run once more */
/* A commit changed the views of these resources. */
void watch_announce(struct watch *w, const struct decision *d);
/* Asks the agent to stop its program and itself. It must be connected. */
void watch_ask_stop(struct watch *w, struct agent *a);

#endif
