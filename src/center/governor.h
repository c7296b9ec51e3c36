/* center/governor.h - the one door for change. Everything before it only reads and checks;
 * everything behind it only announces. A change passes as a whole or not at all: judged by the
 * catalog, made durable by the store, kept in the catalog, announced. One owner, one thread. */
#ifndef CENTER_GOVERNOR_H
#define CENTER_GOVERNOR_H

#include "center/store.h"

struct decision_result {
    enum kind kind;
    char name[LINK_NAME_BYTES_MAX];
    enum change_action action;
    uint64_t revision;
};

/* What a change came to. */
struct decision {
    uint64_t revision;     /* of the center after it (dry run: as it would be) */
    uint64_t committed_ns; /* CLOCK_MONOTONIC, when the store had it; 0: nothing was stored */
    size_t results_count; /* the changes in their order, then links that went with a removed edge */
    struct decision_result *results;
    size_t affected_count; /* ids of the resources whose view changed or that went, sorted */
    char **affected;
};
void decision_deinit(struct decision *d);

struct governor {
    struct catalog *catalog;
    const struct store_driver *driver;
    struct store *store;
    bool store_failed; /* the last commit was refused by the store */
    char store_why[STORE_WHY_BYTES];
    void (*on_commit)(const struct decision *d, const char *who, void *data);
    void *data;
};

/* Opens the store and restores the catalog from it. On an error `why` (GOVERNOR_WHY_BYTES) has a
 * sentence and nothing is left open. */
#define GOVERNOR_WHY_BYTES 1280
int governor_open(struct governor *g, const struct store_driver *driver,
                  const struct store_options *options,
                  void (*on_commit)(const struct decision *d, const char *who, void *data),
                  void *data, char *why) MUST_CHECK;
void governor_close(struct governor *g);
/* Fills the (new) catalog from the store; part of governor_open. */
int governor_restore(struct governor *g, char *why) MUST_CHECK;

#define GOVERNOR_DRY_RUN 1u
/* Judges `changes` as one transaction and, unless it is a dry run or changes nothing, commits and
 * announces it. A verdict of the catalog, or OVER_LIMIT with STORE_FAILED when the store could not
 * write; *why has the refusals. */
int governor_change(struct governor *g, const struct change *changes, size_t count, unsigned flags,
                    const char *who, struct decision *ret, struct refusals *why) MUST_CHECK;

#endif
