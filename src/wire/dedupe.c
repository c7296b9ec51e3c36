/* The table of callers. Each entry is one caller's last call: a caller has one call at a time, so
 * its last sequence says all. One lock guards the table; it is held for a look-up and the copy of a
 * short reply (a long one is copied before), some 20 ns when free: a table per serving thread would
 * need none, but a caller's repeat may come to any of them.
 *
 * When the table is full the caller with the earliest deadline that has no call running makes
 * place. The latest deadline ever given up is kept: a repeat carries the deadline of its first try,
 * so one with a later deadline was never forgotten and is known not to have run here. The same
 * holds when the bytes of replies run over: the reply is dropped, the call not. */
#include "wire/dedupe.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"

#define SHORT_BYTES                                                                                \
    65536u /* replies up to here are copied under the lock, into memory that is kept */

enum entry_state {
    ENTRY_FREE,
    ENTRY_RUNNING,
    ENTRY_DONE,
    ENTRY_FORGOTTEN /* done; the reply was not kept */
};

struct entry {
    struct entry *next; /* in its bucket */
    uint64_t caller, sequence, deadline_ns;
    enum entry_state state;
    int32_t result;
    struct bytes reply;
};

struct dedupe {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    uint64_t incarnation, forgotten_deadline_ns;
    size_t entries_count, entries_used, reply_bytes_max, reply_bytes;
    uint32_t buckets_mask;
    struct entry *entries, **buckets;
};

int dedupe_new(uint64_t incarnation, size_t callers_max, size_t reply_bytes_max,
               struct dedupe **ret)
{
    struct dedupe *d = calloc(1, sizeof(*d));
    uint32_t buckets = 1;

    assert(callers_max > 0 && callers_max < 1u << 24);
    while (buckets < callers_max) {
        buckets *= 2;
    }
    if (d) {
        d->entries = calloc(callers_max, sizeof(*d->entries));
        d->buckets = calloc(buckets, sizeof(struct entry *));
    }
    if (!d || !d->entries || !d->buckets) {
        if (d) {
            free(d->entries);
            free(d->buckets);
        }
        free(d);
        return failed(-ENOMEM);
    }
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->ended, NULL);
    d->incarnation = incarnation;
    d->entries_count = callers_max;
    d->reply_bytes_max = reply_bytes_max;
    d->buckets_mask = buckets - 1;
    *ret = d;
    return 0;
}

struct dedupe *dedupe_free(struct dedupe *d)
{
    if (!d) {
        return NULL;
    }
    for (size_t i = 0; i < d->entries_used; i++) {
        bytes_deinit(&d->entries[i].reply);
    }
    pthread_cond_destroy(&d->ended);
    pthread_mutex_destroy(&d->lock);
    free(d->entries);
    free(d->buckets);
    free(d);
    return NULL;
}

/* Caller ids are random, so their low bits are a hash. */
static struct entry **bucket_of(struct dedupe *d, uint64_t caller)
{
    return &d->buckets[(uint32_t)caller & d->buckets_mask];
}

static struct entry *entry_find(struct dedupe *d, uint64_t caller)
{
    struct entry *e = *bucket_of(d, caller);

    while (e && e->caller != caller) {
        e = e->next;
    }
    return e;
}

static void entry_forget(struct dedupe *d, struct entry *e)
{
    struct entry **at = bucket_of(d, e->caller);

    while (*at != e) {
        at = &(*at)->next;
    }
    *at = e->next;
    if (e->deadline_ns > d->forgotten_deadline_ns) {
        d->forgotten_deadline_ns = e->deadline_ns;
    }
    d->reply_bytes -= e->reply.room;
    bytes_deinit(&e->reply);
    *e = (struct entry){ 0 };
}

/* A free entry, for one that has no call running if need be; NULL when all run. */
static struct entry *entry_make(struct dedupe *d, uint64_t caller)
{
    struct entry *e = NULL, **bucket = bucket_of(d, caller);

    if (d->entries_used < d->entries_count) {
        e = &d->entries[d->entries_used++];
    } else {
        for (size_t i = 0; i < d->entries_count; i++) {
            struct entry *other = &d->entries[i];

            if (other->state != ENTRY_RUNNING && (!e || other->deadline_ns < e->deadline_ns)) {
                e = other;
            }
        }
        if (!e) {
            return NULL;
        }
        entry_forget(d, e);
    }
    e->caller = caller;
    e->next = *bucket;
    *bucket = e;
    return e;
}

/* The answer to a repeat of a call that the entry knows. Waits, with the lock given up, while it
 * runs. */
static int entry_answer(struct dedupe *d, struct entry *e, const struct call_head *head,
                        int32_t *ret_result, struct bytes *ret_body)
{
    struct timespec end = clock_timespec(head->deadline_ns);

    while (e->caller == head->caller && e->sequence == head->sequence &&
           e->state == ENTRY_RUNNING) {
        if (pthread_cond_clockwait(&d->ended, &d->lock, CLOCK_MONOTONIC, &end) == ETIMEDOUT) {
            return RHODES_TIMEOUT;
        }
    }
    if (e->caller != head->caller || e->sequence != head->sequence || e->state != ENTRY_DONE) {
        return RHODES_UNKNOWN;
    }
    bytes_reset(ret_body);
    bytes_put(ret_body, e->reply.data, e->reply.used);
    if (ret_body->error) {
        return ret_body->error;
    }
    *ret_result = e->result;
    return RHODES_EXISTS;
}

static int begin_locked(struct dedupe *d, const struct call_head *head, int32_t *ret_result,
                        struct bytes *ret_body)
{
    struct entry *e = entry_find(d, head->caller);

    if (e && head->sequence == e->sequence) {
        return entry_answer(d, e, head, ret_result, ret_body);
    }
    if (e && head->sequence < e->sequence) {
        return RHODES_STALE;
    }
    if ((head->flags & CALL_REPEAT) &&
        (head->executor != d->incarnation || head->deadline_ns <= d->forgotten_deadline_ns)) {
        return RHODES_UNKNOWN;
    }
    /* A call may still run when its caller has given it up and comes with the next: its end will be
     * late, see done_locked. */
    e = e ? e : entry_make(d, head->caller);
    if (!e) {
        return RHODES_OVER_LIMIT;
    }
    e->sequence = head->sequence;
    e->deadline_ns = head->deadline_ns;
    e->state = ENTRY_RUNNING;
    return 0;
}

int dedupe_begin(struct dedupe *d, const struct call_head *head, int32_t *ret_result,
                 struct bytes *ret_body)
{
    int r;

    pthread_mutex_lock(&d->lock);
    r = begin_locked(d, head, ret_result, ret_body);
    pthread_mutex_unlock(&d->lock);
    return r;
}

/* Drops the reply whose caller gave up first, until the limit holds. */
static void replies_bound(struct dedupe *d)
{
    while (d->reply_bytes > d->reply_bytes_max) {
        struct entry *first = NULL;

        for (size_t i = 0; i < d->entries_used; i++) {
            struct entry *e = &d->entries[i];

            if (e->reply.room && (!first || e->deadline_ns < first->deadline_ns)) {
                first = e;
            }
        }
        assert(first);
        d->reply_bytes -= first->reply.room;
        bytes_deinit(&first->reply);
        first->state = first->state == ENTRY_DONE ? ENTRY_FORGOTTEN : first->state;
    }
}

/* `copy` holds the body already when it is long; what it holds afterwards is for the caller to
 * free. */
static void done_locked(struct dedupe *d, const struct call_head *head, int32_t result,
                        const void *body, size_t bytes, struct bytes *copy)
{
    struct entry *e = entry_find(d, head->caller);

    if (!e || e->sequence != head->sequence || e->state != ENTRY_RUNNING) {
        return; /* its caller went on */
    }
    d->reply_bytes -= e->reply.room;
    if (bytes > SHORT_BYTES || e->reply.room > SHORT_BYTES) {
        struct bytes was = e->reply;

        e->reply = *copy;
        *copy = was;
    }
    if (bytes <= SHORT_BYTES) {
        bytes_reset(&e->reply);
        bytes_put(&e->reply, body, bytes);
    }
    d->reply_bytes += e->reply.room;
    e->state = e->reply.error ? ENTRY_FORGOTTEN : ENTRY_DONE;
    e->result = result;
    replies_bound(d);
    pthread_cond_broadcast(&d->ended);
}

void dedupe_done(struct dedupe *d, const struct call_head *head, int32_t result, const void *body,
                 size_t bytes)
{
    CLEANUP(bytes_deinit) struct bytes copy = { 0 };

    if (bytes > SHORT_BYTES) {
        bytes_put(&copy, body, bytes);
    }
    pthread_mutex_lock(&d->lock);
    done_locked(d, head, result, body, bytes, &copy);
    pthread_mutex_unlock(&d->lock);
}
