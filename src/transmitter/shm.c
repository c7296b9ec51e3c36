/* The invocation protocol `shm`: a conduit over two rings (wire/ring.h), one written by each side.
 * All the care is in the ring; this file only hands the memories over. */
#include <stdlib.h>

#include "transmitter/transmitter.h"
#include "wire/ring.h"

struct shm_conduit {
    struct conduit conduit;
    struct ring *ring;
};

static struct ring *ring_of(const struct conduit *c)
{
    return ((const struct shm_conduit *)c)->ring;
}

static struct conduit *shm_free(struct conduit *c)
{
    if (c) {
        ring_free(ring_of(c));
        free(c);
    }
    return NULL;
}

static int shm_open_half(struct conduit **ret, struct descriptors *ret_send)
{
    struct shm_conduit *c = calloc(1, sizeof(*c));
    int r, fd;

    if (!c) {
        return failed(-ENOMEM);
    }
    r = ring_new(&c->ring, &fd);
    if (r) {
        free(c);
        return r;
    }
    c->conduit.transmitter = &transmitter_shm;
    c->conduit.chunk_bytes = RING_CHUNK_BYTES;
    *ret_send = (struct descriptors){ .count = 1, .fd = { fd } };
    *ret = &c->conduit;
    return 0;
}

static int shm_complete(struct conduit *c, const struct descriptors *received)
{
    return received->count == 1 ? ring_attach(ring_of(c), received->fd[0]) : RHODES_INVALID;
}

static int shm_accept(const struct descriptors *received, struct conduit **ret,
                      struct descriptors *ret_send)
{
    struct descriptors mine = { 0 };
    struct conduit *c;
    int r = shm_open_half(&c, &mine);

    if (r) {
        return r;
    }
    r = shm_complete(c, received);
    if (r) {
        descriptors_close(&mine);
        shm_free(c);
        return r;
    }
    *ret_send = mine;
    *ret = c;
    return 0;
}

static int shm_put(struct conduit *c, void **ret, uint64_t deadline_ns)
{
    return ring_put(ring_of(c), ret, deadline_ns);
}

static int shm_put_done(struct conduit *c, uint32_t bytes, bool more, uint64_t deadline_ns)
{
    ring_put_done(ring_of(c), bytes, more);
    return 0;
}

static int shm_get(struct conduit *c, const void **ret, uint32_t *ret_bytes, bool *ret_more,
                   uint64_t deadline_ns)
{
    return ring_get(ring_of(c), ret, ret_bytes, ret_more, deadline_ns);
}

static void shm_get_done(struct conduit *c)
{
    ring_get_done(ring_of(c));
}

static void shm_interrupt(struct conduit *c)
{
    ring_interrupt(ring_of(c));
}

static bool shm_taken(const struct conduit *c)
{
    return ring_taken(ring_of(c));
}

const struct transmitter transmitter_shm = {
    .name = "shm",
    .abi = TRANSMITTER_ABI,
    .chunk_bytes = RING_CHUNK_BYTES,
    .open = shm_open_half,
    .accept = shm_accept,
    .complete = shm_complete,
    .put = shm_put,
    .put_done = shm_put_done,
    .get = shm_get,
    .get_done = shm_get_done,
    .interrupt = shm_interrupt,
    .taken = shm_taken,
    .free = shm_free,
};
