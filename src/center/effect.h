/* center/effect.h - what a change did: which agents it concerns, which of them have it in force,
 * since when. An answer that waits is held here until all have answered or its time is over. One
 * thread. */
#ifndef CENTER_EFFECT_H
#define CENTER_EFFECT_H

#include "center/center.h"

#define EFFECTS_HELD_MAX 96 /* answers that wait at the same time */

struct effect;

int effects_new(struct center *c, struct effects **ret) MUST_CHECK;
struct effects *effects_free(struct effects *e); /* before it: effects_release */
void effects_release(struct effects *e);         /* ends every wait */

/* The agents that are connected and whose view the decision changes. Looks at where they are now.
 */
int effect_new(struct center *c, const struct decision *d, struct effect **ret) MUST_CHECK;
struct effect *effect_free(struct effect *e);
/* Calls on_settled once: when all have answered, or wait_ns is over. OVER_LIMIT when too many wait
 * already; 0 with *ret_waits false when there is nothing to wait for (on_settled is not called). */
int effect_wait(struct effect *e, uint64_t wait_ns, void (*on_settled)(void *data), void *data,
                bool *ret_waits) MUST_CHECK;
json_t *effect_json(const struct effect *e);

/* The agent applied or rejected, came or went. */
void effects_follow(struct effects *all, const struct agent *a);

#endif
