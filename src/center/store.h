/* center/store.h - where what was committed lives: one revisioned log and the objects that follow
 * from it.
 *
 * Life: open -> load -> (commit | log_read)* -> close. One owner, one thread. A driver is a const
 * table; every driver passes the same suite (test_store.c). The catalog in memory is what is read;
 * the store is read at start-up and for the log only. Revisions are consecutive: a commit that does
 * not continue where the store stands changes nothing. */
#ifndef CENTER_STORE_H
#define CENTER_STORE_H

#include "model/catalog.h"

#define STORE_ABI                   1
#define STORE_WHY_BYTES             256
#define STORE_LOG_REVISIONS_DEFAULT 100000

struct store; /* each driver has its own */

struct store_options {
    int directory_fd; /* $RHODES_HOME/center, open for as long as the store; drivers without files
                         ignore it */
    uint64_t log_revisions_max; /* how many of the last revisions the log keeps; at least 1 */
};

/* An object as it was committed. Texts are borrowed for the duration of the callback. */
struct store_object {
    enum kind kind;
    const char *name;
    const char *body; /* the normalised JSON document */
    uint64_t revision, revision_created;
};

/* One line of the log. */
struct store_entry {
    uint64_t revision;
    bool last;                  /* of its revision */
    struct store_object object; /* body is NULL when it was deleted */
    const char *who;
    uint64_t at_ms; /* since 1970 */
};

struct store_commit {
    uint64_t revision; /* the store's own + 1 */
    uint64_t at_ms;
    const char *who;
    const struct staged_object *objects; /* with their new revisions; at least one */
    size_t objects_count;
};

struct store_driver {
    const char *name;
    unsigned abi; /* STORE_ABI */
    /* Opens, makes what is missing. -EBUSY when another process has it open; -EUCLEAN when it is
     * damaged or of another version; `why` gets a sentence. */
    int (*open)(const struct store_options *options, struct store **ret, char *why);
    /* Gives every object to on_object (which may end it by returning other than 0), then the
     * revision. */
    int (*load)(struct store *s, uint64_t *ret_revision,
                int (*on_object)(const struct store_object *object, void *data), void *data);
    /* Durable when it returns 0. Otherwise nothing was changed and `why` has a sentence: -ENOSPC
     * may be tried again later; after an error that leaves the outcome open the driver refuses
     * every later commit with the same answer. */
    int (*commit)(struct store *s, const struct store_commit *commit, char *why);
    /* Gives the entries with revisions above `after`, in order: whole revisions, until at least
     * `limit` entries were given or the log ends. STALE when the log no longer reaches back to
     * `after`. */
    int (*log_read)(struct store *s, uint64_t after, size_t limit,
                    void (*on_entry)(const struct store_entry *entry, void *data), void *data);
    struct store *(*close)(struct store *s); /* accepts NULL, returns NULL */
};

extern const struct store_driver store_sqlite; /* a file: center/rhodes.db */
extern const struct store_driver store_memory; /* nothing outlives the process; for tests */

/* By name; NULL when there is none. */
const struct store_driver *store_driver_find(const char *name);

#endif
