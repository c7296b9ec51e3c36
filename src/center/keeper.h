/* center/keeper.h - keeps one agent alive for every resource that the center manages (those with
 * spec.run, and hardware): starts it, starts it again when it dies, stops it when its resource
 * goes. One thread.
 *
 * An agent that outlived an earlier center comes back by itself and is adopted; so after a start of
 * the center the missing ones are started only after KEEPER_GRACE_MS. */
#ifndef CENTER_KEEPER_H
#define CENTER_KEEPER_H

#include "center/center.h"

#define KEEPER_GRACE_MS       1000
#define KEEPER_QUICK_MS       1000 /* an agent that lives shorter died quickly */
#define KEEPER_BACKOFF_MS_MIN 50
#define KEEPER_BACKOFF_MS_MAX 5000
#define KEEPER_HANG_MS        2000 /* alive, but without a connection */
#define KEEPER_STOP_MS        5000 /* from being asked to being killed */
#define KEEPER_FAILED_AFTER   5    /* quick deaths in a row before it is called failed */

int keeper_new(struct center *c, struct keeper **ret) MUST_CHECK; /* looks at the whole catalog */
struct keeper *keeper_free(struct keeper *k); /* agents go on; the loop has to run once more */

/* The object of this resource was put or removed. */
void keeper_follow(struct keeper *k, const char *resource);
/* The pid of another living agent process of this managed resource than `pid`; 0: none. */
int keeper_other_pid(const struct keeper *k, const struct agent *a, int pid);
void keeper_session_come(struct keeper *k, struct agent *a);
/* Is it only wanted to end, and to end what its resource left? */
bool keeper_dismisses(const struct keeper *k, const struct agent *a);
void keeper_session_gone(struct keeper *k, struct agent *a); /* may forget the agent */
/* Asks every agent to stop; starts none any more but to end what a dead one left. */
void keeper_stop_all(struct keeper *k);
void keeper_kill_all(struct keeper *k);
size_t keeper_living(const struct keeper *k); /* processes and connections */

#endif
