/* The life of a handle. Everything that can be made is made before the handle is given out; a
 * thread that still holds a channel when the handle is closed keeps the memory (not the session)
 * until it ends, so that closing never races with the end of a thread. */
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "client/client.h"

#define PAGE 4096

static int handle_prepare(struct rhodes *r)
{
    uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    r->socket = r->wake = r->stop = -1;
    if (page == MAP_FAILED) {
        return -errno;
    }
    *page = 1;
    r->own_process = page;
    if (madvise(page, PAGE, MADV_WIPEONFORK) < 0) {
        return -errno;
    }
    r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->client = random_id();
    if (r->wake < 0 || r->stop < 0) {
        return -errno;
    }
    return 0;
}

static void handle_free(struct rhodes *r)
{
    functions_free(r);
    served_free(r);
    dedupe_free(r->dedupe);
    fd_closep(&r->socket);
    fd_closep(&r->wake);
    fd_closep(&r->stop);
    if (r->own_process) {
        munmap((void *)(uintptr_t)r->own_process, PAGE);
    }
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->request_lock);
    free(r->agent);
    free(r);
}

void rhodes_unref(struct rhodes *r)
{
    unsigned left;

    pthread_mutex_lock(&r->lock);
    left = --r->references;
    pthread_mutex_unlock(&r->lock);
    if (left == 0) {
        pthread_key_delete(r->key);
        handle_free(r);
    }
}

static int options_take(struct rhodes *r, const struct rhodes_options *o)
{
    const char *agent = o->agent ? o->agent : getenv("RHODES_AGENT");

    if (o->flags & ~RHODES_OPEN_OPERATOR) {
        return error_say(RHODES_INVALID,
                         "rhodes_options.flags has bits that this version does not know");
    }
    if (!agent || !*agent) {
        return error_say(-ENOENT, "RHODES_AGENT is not set: start the program with `rhodes run` or "
                                  "through its manifest");
    }
    if (*agent != '/') {
        return error_say(RHODES_INVALID, "the agent's socket '%s' is not an absolute path", agent);
    }
    if (o->resource && strlen(o->resource) >= sizeof(r->wanted)) {
        return error_say(RHODES_INVALID, "'%s' is not the id of a resource", o->resource);
    }
    r->agent = strdup(agent);
    if (!r->agent) {
        return error_say(-ENOMEM, "out of memory");
    }
    snprintf(r->wanted, sizeof(r->wanted), "%s", o->resource ? o->resource : "");
    r->flags = o->flags & RHODES_OPEN_OPERATOR ? SESSION_OPERATOR : 0;
    return 0;
}

int rhodes_open(const struct rhodes_options *options, struct rhodes **ret)
{
    struct rhodes_options o = { .size = sizeof(o) };
    struct rhodes *r;
    int result;

    if (options) { /* a program built against an older header has a shorter struct */
        memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
    }
    r = calloc(1, sizeof(*r));
    if (!r) {
        return error_say(-ENOMEM, "out of memory");
    }
    pthread_mutex_init(&r->request_lock, NULL);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->references = 1;
    result = handle_prepare(r);
    if (result) {
        error_say(result, "%s", rhodes_result_sentence(result));
    }
    result = result ? result : options_take(r, &o);
    if (result) {
        handle_free(r);
        return result;
    }
    result = -pthread_key_create(&r->key, channel_key_end);
    if (result) {
        handle_free(r);
        return error_say(result, "no thread-specific key is left in this process");
    }
    result = session_open(r, clock_ns() + (o.timeout_ns ? o.timeout_ns : CLIENT_TIMEOUT_NS));
    result = result ? result : watcher_start(r);
    if (result) {
        rhodes_unref(r);
        return result;
    }
    *ret = r;
    return 0;
}

struct rhodes *rhodes_close(struct rhodes *r)
{
    uint64_t one = 1;
    struct channel *mine;

    if (!r) {
        return NULL;
    }
    if (!own_process(
            r)) { /* the locks and threads are the parent's; only the descriptors are ours */
        fd_closep(&r->socket);
        fd_closep(&r->wake);
        fd_closep(&r->stop);
        return NULL;
    }
    servers_end(r);
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (write(r->wake, &one, sizeof(one)) == sizeof(one)) {
        pthread_join(r->watcher, NULL);
    }
    mine = pthread_getspecific(r->key);
    if (mine) {
        pthread_setspecific(r->key, NULL);
        channel_key_end(mine);
    }
    pthread_mutex_lock(&r->lock);
    for (struct channel *ch = r->channels; ch;
         ch = ch->next) { /* of threads that live on and call no more */
        if (ch->conduit) {
            ch->conduit = ch->conduit->transmitter->free(ch->conduit);
        }
    }
    fd_closep(&r->socket);
    pthread_mutex_unlock(&r->lock);
    rhodes_unref(r);
    return NULL;
}

const char *rhodes_resource(const struct rhodes *r)
{
    return r->resource;
}
