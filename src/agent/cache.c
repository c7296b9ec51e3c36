/* The rules in force, and their copy on disk. Threads judge on a reference of their own: a call
 * that began under one revision is judged under that one to the end of its judgement, and the next
 * call sees the new one. The generation is stored after the pointer, with release; a thread that
 * sees the old number merely judges one call earlier in time. */
#include "agent/cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/route.h"
#include "base/home.h"
#include "wire/event.h"

#define VIEW_FILE      "view"
#define VIEW_TEMPORARY ".view" /* one writer: the agent that holds the directory */

static int functions_parse(struct rules *r, char *why)
{
    const struct view_self *self = &r->view->self;

    r->functions = calloc(self->functions_count + 1, sizeof(struct wit_function *));
    if (!r->functions) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < self->functions_count; i++) {
        struct wit_error error;

        if (wit_function_parse(self->functions[i].signature, NULL, &r->functions[i], &error)) {
            snprintf(why, WHY_BYTES, "'%.160s' does not parse: %s", self->functions[i].signature,
                     error.message);
            return RHODES_INVALID;
        }
        if (r->functions[i]->id != self->functions[i].id) {
            snprintf(why, WHY_BYTES, "the id of '%.160s' is not that of its text",
                     self->functions[i].signature);
            return RHODES_INVALID;
        }
    }
    return 0;
}

int rules_new_take(struct view *v, const char *resource, struct rules **ret, char *why)
{
    struct rules *r = calloc(1, sizeof(*r));
    int result;

    *why = 0;
    if (!r) {
        view_unref(v);
        return failed(-ENOMEM);
    }
    r->references = 1;
    r->view = v;
    if (strcmp(v->self.resource, resource) != 0) {
        snprintf(why, WHY_BYTES, "this is the view of %s, not of %s", v->self.resource, resource);
        result = RHODES_INVALID;
    } else {
        result = functions_parse(r, why);
    }
    if (result) {
        rules_unref(r);
        return result;
    }
    *ret = r;
    return 0;
}

struct rules *rules_ref(struct rules *r)
{
    if (r) {
        atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed);
    }
    return r;
}

struct rules *rules_unref(struct rules *r)
{
    if (r && atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) == 1) {
        for (size_t i = 0; r->functions && i < r->view->self.functions_count; i++) {
            wit_function_unref(r->functions[i]);
        }
        free(r->functions);
        view_unref(r->view);
        free(r);
    }
    return NULL;
}

const struct wit_function *rules_function(const struct rules *r, uint64_t id)
{
    for (size_t i = 0; i < r->view->self.functions_count; i++) {
        if (r->functions[i]->id == id) {
            return r->functions[i];
        }
    }
    return NULL;
}

void cache_init(struct cache *c)
{
    *c = (struct cache){ 0 };
    pthread_mutex_init(&c->lock, NULL);
}

void cache_deinit(struct cache *c)
{
    c->now = rules_unref(c->now);
    pthread_mutex_destroy(&c->lock);
}

void cache_swap_take(struct cache *c, struct rules *r)
{
    struct rules *before;

    pthread_mutex_lock(&c->lock);
    before = c->now;
    c->now = r;
    atomic_fetch_add_explicit(&c->generation, 1, memory_order_release);
    pthread_mutex_unlock(&c->lock);
    rules_unref(before);
}

struct rules *cache_get(struct cache *c)
{
    struct rules *r;

    pthread_mutex_lock(&c->lock);
    r = rules_ref(c->now);
    pthread_mutex_unlock(&c->lock);
    return r;
}

const struct rules *cache_hold(struct cache *c, struct hold *h)
{
    uint64_t generation = atomic_load_explicit(&c->generation, memory_order_acquire);

    if (generation != h->generation) {
        rules_unref(h->rules);
        h->rules = cache_get(c);
        h->generation =
            generation; /* perhaps older than what was got: then the next call looks again */
    }
    return h->rules;
}

void cache_let_go(struct hold *h)
{
    rules_unref(h->rules);
    *h = (struct hold){ 0 };
}

int cache_load(int dir_fd, struct view **ret)
{
    CLEANUP(memory_freep) char *data = NULL;
    size_t bytes;
    int r = file_read_at(dir_fd, VIEW_FILE, EVENT_BYTES_MAX, &data, &bytes);

    return r ? r : view_decode(data, bytes, ret);
}

static int write_whole(int fd, const uint8_t *at, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(fd, at, bytes);

        if (n < 0 && errno != EINTR) {
            return failed(-errno);
        }
        if (n > 0) {
            at += n;
            bytes -= (size_t)n;
        }
    }
    return 0;
}

int cache_save(int dir_fd, const struct view *v)
{
    CLEANUP(fd_closep) int fd = -1;
    struct bytes b;
    int r;

    bytes_init(&b, EVENT_BYTES_MAX);
    view_encode(&b, v);
    r = b.error;
    if (!r) {
        fd = openat(dir_fd, VIEW_TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                    0600);
        r = fd < 0 ? failed(-errno) : write_whole(fd, b.data, b.used);
    }
    if (!r && renameat(dir_fd, VIEW_TEMPORARY, dir_fd, VIEW_FILE) < 0) {
        r = failed(-errno);
    }
    if (r) {
        unlinkat(dir_fd, VIEW_TEMPORARY, 0);
    }
    bytes_deinit(&b);
    return r;
}

int cache_sync(int dir_fd)
{
    CLEANUP(fd_closep)
    int fd = openat(dir_fd, VIEW_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 || fsync(fd) < 0 || fsync(dir_fd) < 0 ? failed(-errno) : 0;
}
