/* The store that keeps nothing: the log as an array of entries, the objects as what the log says
 * last. It exists so that tests of everything above the store run without a disk, and so that the
 * conformance suite has a second driver to compare with. Objects are kept as text, as in the
 * drivers with files, so that loading takes the same road. */
#include "center/store.h"

#include <string.h>

struct memory_entry {
    uint64_t revision, revision_created, at_ms;
    bool last;
    enum kind kind;
    char *name, *body, *who;
};

struct store {
    uint64_t revision, compacted, log_revisions_max;
    struct memory_entry *log;
    size_t log_count, log_room;
    struct memory_entry *objects; /* in no order; `who` is unused */
    size_t objects_count, objects_room;
};

static void entry_deinit(struct memory_entry *e)
{
    free(e->name);
    free(e->body);
    free(e->who);
    *e = (struct memory_entry){ 0 };
}

static struct store *memory_close(struct store *s)
{
    if (s) {
        for (size_t i = 0; i < s->log_count; i++) {
            entry_deinit(&s->log[i]);
        }
        for (size_t i = 0; i < s->objects_count; i++) {
            entry_deinit(&s->objects[i]);
        }
        free(s->log);
        free(s->objects);
        free(s);
    }
    return NULL;
}

static int memory_open(const struct store_options *options, struct store **ret, char *why)
{
    struct store *s = calloc(1, sizeof(*s));

    if (!s) {
        strcpy(why, "out of memory");
        return failed(-ENOMEM);
    }
    s->log_revisions_max = options->log_revisions_max;
    *ret = s;
    return 0;
}

static int memory_load(struct store *s, uint64_t *ret_revision,
                       int (*on_object)(const struct store_object *object, void *data), void *data)
{
    for (size_t i = 0; i < s->objects_count; i++) {
        const struct memory_entry *e = &s->objects[i];
        struct store_object object = { e->kind, e->name, e->body, e->revision,
                                       e->revision_created };
        int r = on_object(&object, data);

        if (r) {
            return r;
        }
    }
    *ret_revision = s->revision;
    return 0;
}

static int entries_reserve(struct memory_entry **list, size_t *room, size_t wanted)
{
    size_t n = *room ? *room : 16;
    struct memory_entry *grown;

    while (n < wanted) {
        n *= 2;
    }
    if (n == *room) {
        return 0;
    }
    grown = realloc(*list, n * sizeof(*grown));
    if (!grown) {
        return failed(-ENOMEM);
    }
    *list = grown;
    *room = n;
    return 0;
}

static int entry_make(struct memory_entry *e, const struct store_commit *commit, size_t i)
{
    const struct staged_object *staged = &commit->objects[i];
    const struct object *o = staged->after ? staged->after : staged->before;

    *e = (struct memory_entry){ .revision = commit->revision,
                                .revision_created = o->revision_created,
                                .at_ms = commit->at_ms,
                                .last = i + 1 == commit->objects_count,
                                .kind = o->kind,
                                .name = strdup(o->name),
                                .who = strdup(commit->who),
                                .body = staged->after ? json_dumps(o->body, JSON_COMPACT) : NULL };
    if (!e->name || !e->who || (staged->after && !e->body)) {
        entry_deinit(e);
        return failed(-ENOMEM);
    }
    return 0;
}

/* Takes over `e`. Room was reserved. */
static void objects_follow(struct store *s, struct memory_entry *e)
{
    size_t i = 0;

    while (i < s->objects_count &&
           (s->objects[i].kind != e->kind || strcmp(s->objects[i].name, e->name) != 0)) {
        i++;
    }
    if (i < s->objects_count) {
        entry_deinit(&s->objects[i]);
        s->objects[i] = s->objects[--s->objects_count];
    }
    if (e->body) {
        s->objects[s->objects_count++] = *e;
    } else {
        entry_deinit(e);
    }
}

static void log_compact(struct store *s)
{
    size_t cut = 0;

    if (s->revision <= s->log_revisions_max) {
        return;
    }
    s->compacted = s->revision - s->log_revisions_max;
    while (cut < s->log_count && s->log[cut].revision <= s->compacted) {
        entry_deinit(&s->log[cut++]);
    }
    s->log_count -= cut;
    memmove(s->log, s->log + cut, s->log_count * sizeof(*s->log));
}

static int memory_commit(struct store *s, const struct store_commit *commit, char *why)
{
    size_t n = commit->objects_count, made = 0;
    struct memory_entry *fresh;
    int r = 0;

    if (commit->revision != s->revision + 1) {
        strcpy(why, "the store is at another revision");
        return failed(-ESTALE);
    }
    fresh = calloc(2 * n, sizeof(*fresh));
    if (!fresh) {
        r = failed(-ENOMEM);
    }
    for (; !r && made < 2 * n; made += r ? 0 : 1) {
        r = entry_make(&fresh[made], commit, made % n);
    }
    if (!r) {
        r = entries_reserve(&s->log, &s->log_room, s->log_count + n);
    }
    if (!r) {
        r = entries_reserve(&s->objects, &s->objects_room, s->objects_count + n);
    }
    if (r) {
        while (made) {
            entry_deinit(&fresh[--made]);
        }
        free(fresh);
        strcpy(why, "out of memory");
        return r;
    }
    memcpy(s->log + s->log_count, fresh, n * sizeof(*fresh));
    s->log_count += n;
    for (size_t i = n; i < 2 * n; i++) {
        objects_follow(s, &fresh[i]);
    }
    free(fresh);
    s->revision = commit->revision;
    log_compact(s);
    return 0;
}

static int memory_log_read(struct store *s, uint64_t after, size_t limit,
                           void (*on_entry)(const struct store_entry *entry, void *data),
                           void *data)
{
    size_t given = 0;

    if (after < s->compacted) {
        return RHODES_STALE;
    }
    for (size_t i = 0; i < s->log_count; i++) {
        const struct memory_entry *e = &s->log[i];

        if (e->revision > after) {
            struct store_entry entry = { .revision = e->revision,
                                         .last = e->last,
                                         .object = { e->kind, e->name, e->body, e->revision,
                                                     e->revision_created },
                                         .who = e->who,
                                         .at_ms = e->at_ms };

            on_entry(&entry, data);
            if (++given >= limit && e->last) {
                break;
            }
        }
    }
    return 0;
}

const struct store_driver store_memory = { .name = "memory",
                                           .abi = STORE_ABI,
                                           .open = memory_open,
                                           .load = memory_load,
                                           .commit = memory_commit,
                                           .log_read = memory_log_read,
                                           .close = memory_close };

const struct store_driver *store_driver_find(const char *name)
{
    static const struct store_driver *const drivers[] = { &store_sqlite, &store_memory, NULL };

    for (size_t i = 0; drivers[i]; i++) {
        if (strcmp(drivers[i]->name, name) == 0) {
            return drivers[i];
        }
    }
    return NULL;
}
