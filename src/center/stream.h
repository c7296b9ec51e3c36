/* center/stream.h - server-sent events: /v1/watch (every change, from the log) and
 * /v1/events?follow. One thread.
 *
 * A stream holds its place (a revision or an event's id) and at most one batch of text; what
 * happens while its reader is slow waits in the log or the ring, not in memory of the stream. */
#ifndef CENTER_STREAM_H
#define CENTER_STREAM_H

#include "center/http.h"

#define STREAMS_MAX        96
#define STREAM_BOOKMARK_MS 15000

int streams_new(struct center *c, struct streams **ret) MUST_CHECK;
struct streams *streams_free(struct streams *s); /* ends all; the loop has to run once more */
/* Something was committed, or an event was added. */
void streams_wake(struct streams *s);
void streams_end(struct streams *s); /* every stream ends after what it has */

/* All objects, then "synced", then changes; or with `resume` the changes after `from`. OVER_LIMIT
 * when there are too many streams; STALE when the log no longer has them. */
int stream_watch_new(struct request *q, bool resume, uint64_t from,
                     struct MHD_Response **ret) MUST_CHECK;
/* Events with ids above `after`. */
int stream_events_new(struct request *q, uint64_t after, struct MHD_Response **ret) MUST_CHECK;

#endif
