/* Decode checks everything, invoke cannot fail: the catalog stages a change reversibly, so whatever
 * can say no (the rules, memory, the store) says it before the catalog keeps anything. The results
 * are drawn up while the change is only staged, for the same reason: after the store has said yes
 * nothing may need memory any more. */
#include "center/governor.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "center/document.h"

struct restore {
    struct governor *governor;
    char *why;
};

static int on_object(const struct store_object *stored, void *data)
{
    struct restore *restore = data;
    struct refusal refusal;
    json_error_t error;
    json_t *body = json_loads(stored->body, 0, &error);
    struct object *o = NULL;
    int r;

    if (!body) {
        snprintf(restore->why, GOVERNOR_WHY_BYTES, "the stored %s %s is not JSON",
                 kind_name(stored->kind), stored->name);
        return failed(-EUCLEAN);
    }
    r = object_parse(body, "", &o, &refusal);
    json_decref(body);
    if (r > 0) {
        snprintf(restore->why, GOVERNOR_WHY_BYTES, "the stored %s %s is not valid: %s %s",
                 kind_name(stored->kind), stored->name, refusal.pointer, refusal.detail);
        return failed(-EUCLEAN);
    }
    if (r) {
        snprintf(restore->why, GOVERNOR_WHY_BYTES, "out of memory");
        return r;
    }
    o->revision = stored->revision;
    o->revision_created = stored->revision_created;
    r = catalog_restore(restore->governor->catalog, o);
    object_unref(o);
    if (r) {
        snprintf(restore->why, GOVERNOR_WHY_BYTES, "the stored %s %s cannot be restored: %s",
                 kind_name(stored->kind), stored->name, rhodes_result_sentence(r));
    }
    return r > 0 ? failed(-EUCLEAN) : r;
}

int governor_restore(struct governor *g, char *why)
{
    struct restore restore = { g, why };
    struct refusal refusal = { 0 };
    uint64_t revision = 0;
    int r;

    snprintf(why, GOVERNOR_WHY_BYTES, "the store cannot be read");
    r = g->driver->load(g->store, &revision, on_object, &restore);
    if (r) {
        return r;
    }
    r = catalog_restored(g->catalog, revision, &refusal);
    if (r) {
        snprintf(why, GOVERNOR_WHY_BYTES, "the store contradicts itself: %s", refusal.detail);
    }
    return r > 0 ? failed(-EUCLEAN) : r;
}

int governor_open(struct governor *g, const struct store_driver *driver,
                  const struct store_options *options,
                  void (*on_commit)(const struct decision *d, const char *who, void *data),
                  void *data, char *why)
{
    int r;

    *g = (struct governor){ .driver = driver, .on_commit = on_commit, .data = data };
    r = driver->open(options, &g->store, why);
    if (r) {
        return r;
    }
    g->catalog = catalog_new();
    if (!g->catalog) {
        snprintf(why, GOVERNOR_WHY_BYTES, "out of memory");
        r = failed(-ENOMEM);
    } else {
        r = governor_restore(g, why);
    }
    if (r) {
        governor_close(g);
    }
    return r;
}

void governor_close(struct governor *g)
{
    g->catalog = catalog_free(g->catalog);
    g->store = g->driver ? g->driver->close(g->store) : NULL;
}

void decision_deinit(struct decision *d)
{
    for (size_t i = 0; i < d->affected_count; i++) {
        free(d->affected[i]);
    }
    free(d->affected);
    free(d->results);
    *d = (struct decision){ 0 };
}

static void result_fill(const struct governor *g, const struct staging *s,
                        const struct change *change, enum change_action action,
                        struct decision_result *ret)
{
    const struct object *o;

    ret->kind = change->kind;
    ret->action = action;
    ret->revision = staging_revision(s);
    snprintf(ret->name, sizeof(ret->name), "%s", change->name);
    o = action == ACTION_DELETED ? NULL : catalog_find(g->catalog, change->kind, change->name);
    if (o) {
        ret->revision = o->revision;
    }
}

static bool change_named(const struct change *changes, size_t count, const struct object *o)
{
    for (size_t i = 0; i < count; i++) {
        if (changes[i].kind == o->kind && strcmp(changes[i].name, o->name) == 0) {
            return true;
        }
    }
    return false;
}

/* Links that the catalog removed by itself, because their edge went. */
static void results_add_implied(const struct staging *s, const struct change *changes, size_t count,
                                struct decision *d)
{
    const struct staged_object *objects;
    size_t n = staging_objects(s, &objects);

    for (size_t i = 0; i < n; i++) {
        if (!objects[i].after && objects[i].before->kind == KIND_LINK &&
            !change_named(changes, count, objects[i].before)) {
            struct decision_result *result = &d->results[d->results_count++];

            *result = (struct decision_result){ .kind = KIND_LINK,
                                                .action = ACTION_DELETED,
                                                .revision = staging_revision(s) };
            snprintf(result->name, sizeof(result->name), "%s", objects[i].before->name);
        }
    }
}

static int affected_add(struct decision *d, const char *id)
{
    d->affected[d->affected_count] = strdup(id);
    if (!d->affected[d->affected_count]) {
        return failed(-ENOMEM);
    }
    d->affected_count++;
    return 0;
}

static int affected_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Those whose view changes, and those that go: to the catalog a resource that is deleted has no
 * view, but its agent has something to do. */
static int affected_fill(const struct staging *s, struct decision *d)
{
    const struct staged_object *objects;
    const char *const *affected;
    size_t n = staging_affected(s, &affected), staged = staging_objects(s, &objects);
    int r = 0;

    d->affected = calloc(n + staged + 1, sizeof(*d->affected));
    if (!d->affected) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < n && !r; i++) {
        r = affected_add(d, affected[i]);
    }
    for (size_t i = 0; i < staged && !r; i++) {
        char id[LINK_NAME_BYTES_MAX + 16];

        if (!objects[i].after && (int)objects[i].before->kind < LAYERS_COUNT) {
            object_id(objects[i].before, id);
            r = affected_add(d, id);
        }
    }
    qsort(d->affected, d->affected_count, sizeof(*d->affected), affected_order);
    return r;
}

static int decision_make(const struct governor *g, const struct staging *s,
                         const struct change *changes, size_t count, struct decision *d)
{
    const struct staged_object *objects;
    size_t staged = staging_objects(s, &objects);

    *d = (struct decision){ .revision = staging_revision(s) };
    d->results = calloc(count + staged + 1, sizeof(*d->results));
    if (!d->results) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        result_fill(g, s, &changes[i], staging_action(s, i), &d->results[d->results_count++]);
    }
    results_add_implied(s, changes, count, d);
    return affected_fill(s, d);
}

static int staging_store(struct governor *g, const struct staging *s, const char *who,
                         struct refusals *why)
{
    struct store_commit commit = { .revision = staging_revision(s),
                                   .at_ms = time_now_ms(),
                                   .who = who };
    char text[STORE_WHY_BYTES] = "";
    int r;

    commit.objects_count = staging_objects(s, &commit.objects);
    r = g->driver->commit(g->store, &commit, text);
    g->store_failed = r != 0;
    memcpy(g->store_why, text, sizeof(text));
    if (!r) {
        return 0;
    }
    why->count = why->total = 1;
    return refuse(&why->list[0], PROBLEM_STORE_FAILED, "", "revision %llu was not stored: %s",
                  (unsigned long long)commit.revision, text);
}

int governor_change(struct governor *g, const struct change *changes, size_t count, unsigned flags,
                    const char *who, struct decision *ret, struct refusals *why)
{
    const struct staged_object *objects;
    struct staging *s = NULL;
    struct decision d = { 0 };
    bool nothing, dry = flags & GOVERNOR_DRY_RUN;
    int r;

    why->count = why->total = 0;
    r = catalog_stage(g->catalog, changes, count, &s, why);
    if (r) {
        return r;
    }
    nothing = staging_objects(s, &objects) == 0;
    r = decision_make(g, s, changes, count, &d);
    if (!r && !dry && !nothing) {
        r = staging_store(g, s, who, why);
    }
    if (r || dry || nothing) {
        catalog_undo(g->catalog, s);
    } else {
        d.committed_ns = clock_ns();
        catalog_keep(g->catalog, s);
        if (g->on_commit) {
            g->on_commit(&d, who, g->data);
        }
    }
    if (r) {
        decision_deinit(&d);
        return r;
    }
    *ret = d;
    return 0;
}
