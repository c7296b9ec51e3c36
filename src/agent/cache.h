/* agent/cache.h - the rules in force: the view that the center sent, prepared for use.
 *
 * struct rules is immutable and shared by reference count. A swap replaces it whole, under a mutex,
 * and raises an atomic generation, so a thread that judges holds its own reference and notices a
 * change with one load. Saved to the file `view` in the agent's directory, so that an agent works
 * without a center. */
#ifndef AGENT_CACHE_H
#define AGENT_CACHE_H

#include <pthread.h>
#include <stdatomic.h>

#include "model/view.h"
#include "model/wit.h"

struct rules {
    _Atomic unsigned references;
    struct view *view;
    /* The own ones, parsed: the same order as view->self.functions. */
    struct wit_function **functions;
};

/* Prepares a view (its reference is taken, also on an error). INVALID with a sentence in
 * why[WHY_BYTES]: not the view of `resource`, or a signature that does not parse or does not match
 * its id. */
int rules_new_take(struct view *v, const char *resource, struct rules **ret, char *why) MUST_CHECK;
struct rules *rules_ref(struct rules *r);
struct rules *rules_unref(struct rules *r); /* any thread; returns NULL */
/* The own function with this id, NULL for none. */
const struct wit_function *rules_function(const struct rules *r, uint64_t id);

struct cache {
    pthread_mutex_t lock;
    struct rules *now; /* NULL until the first view */
    _Atomic uint64_t generation;
};

void cache_init(struct cache *c);
void cache_deinit(struct cache *c);
void cache_swap_take(struct cache *c, struct rules *r); /* main thread */
struct rules *cache_get(struct cache *c);               /* a new reference, or NULL; any thread */

/* A thread's own hold on the rules. Zero-initialised; cache_let_go() at the end. */
struct hold {
    struct rules *rules;
    uint64_t generation;
};
/* The rules now; NULL until there are any. Valid until this hold is used again. */
const struct rules *cache_hold(struct cache *c, struct hold *h);
void cache_let_go(struct hold *h);

/* The file `view` in dir_fd. -ENOENT when there is none, INVALID when it is damaged. */
int cache_load(int dir_fd, struct view **ret) MUST_CHECK;
/* Writes the file whole or not at all. From then on the death of this process cannot undo it; that of the machine can, until
 * cache_sync. Does not wait for the disk. */
int cache_save(int dir_fd, const struct view *v) MUST_CHECK;
int cache_sync(int dir_fd) MUST_CHECK; /* waits for the disk */

#endif
