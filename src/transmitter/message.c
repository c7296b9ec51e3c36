/* Whole messages over chunks, the same for every transmitter.
 *
 * The first chunk begins with the head; the body fills the rest and the chunks that follow.
 * Invariant: what the head promised is what arrives. body_left counts down with each chunk, the
 * last chunk ends exactly at zero, and an empty chunk in between is refused (it would let a peer
 * keep a reader busy for nothing). A chunk is foreign memory: it is copied from exactly once. The
 * state lives in the conduit so that a relay can read a head, judge, and only then decide what
 * becomes of the body. */
#include <assert.h>
#include <string.h>

#include "transmitter/transmitter.h"

#define HEAD_BYTES ((uint32_t)sizeof(struct call_head))

void descriptors_close(struct descriptors *d)
{
    for (size_t i = 0; i < d->count; i++) {
        fd_closep(&d->fd[i]);
    }
    d->count = 0;
}

static void chunk_release(struct conduit *c)
{
    if (c->held) {
        c->transmitter->get_done(c);
        c->held = false;
    }
}

/* A new chunk is at c->at: does it add up? Only the one with the head may be without body. */
static int chunk_check(const struct conduit *c, bool first)
{
    if (c->more) {
        return c->left >= c->body_left || (c->left == 0 && !first) ? RHODES_GARBAGE : 0;
    }
    return c->left != c->body_left ? RHODES_GARBAGE : 0;
}

int message_head(struct conduit *c, struct call_head *ret_head, uint64_t deadline_ns)
{
    const void *chunk;
    uint32_t bytes;
    int r;

    assert(!c->held && c->body_left == 0); /* the message before was read to its end */
    r = c->transmitter->get(c, &chunk, &bytes, &c->more, deadline_ns);
    if (r) {
        return r;
    }
    c->held = true;
    if (bytes < HEAD_BYTES) {
        return RHODES_GARBAGE;
    }
    memcpy(ret_head, chunk, HEAD_BYTES);
    if (call_head_check(ret_head) != 0) {
        return RHODES_GARBAGE;
    }
    c->at = (const uint8_t *)chunk + HEAD_BYTES;
    c->left = bytes - HEAD_BYTES;
    c->body_left = ret_head->body_bytes;
    r = chunk_check(c, true);
    if (!r && c->body_left == 0) {
        chunk_release(c);
    }
    return r;
}

/* Makes c->at and c->left the next piece of the body. Only while body_left is not 0. */
static int body_piece(struct conduit *c, uint64_t deadline_ns)
{
    const void *chunk;
    int r;

    if (c->left) {
        return 0;
    }
    chunk_release(c);
    r = c->transmitter->get(c, &chunk, &c->left, &c->more, deadline_ns);
    if (r) {
        return r;
    }
    c->held = true;
    c->at = chunk;
    return chunk_check(c, false);
}

static void body_advance(struct conduit *c, uint32_t bytes)
{
    c->at += bytes;
    c->left -= bytes;
    c->body_left -= bytes;
    if (c->body_left == 0) {
        chunk_release(c);
    }
}

int message_body(struct conduit *c, const struct call_head *head, struct bytes *body,
                 uint64_t deadline_ns)
{
    bytes_reset(body);
    while (c->body_left) {
        int r = body_piece(c, deadline_ns);

        if (r) {
            return r;
        }
        bytes_put(body, c->at, c->left);
        if (body->error) {
            return body->error;
        }
        body_advance(c, c->left);
    }
    return 0;
}

int message_drop(struct conduit *c, const struct call_head *head, uint64_t deadline_ns)
{
    while (c->body_left) {
        int r = body_piece(c, deadline_ns);

        if (r) {
            return r;
        }
        body_advance(c, c->left);
    }
    return 0;
}

int message_receive(struct conduit *c, struct call_head *ret_head, struct bytes *body,
                    uint64_t deadline_ns)
{
    int r;

    bytes_reset(body);
    r = message_head(c, ret_head, deadline_ns);
    return r ? r : message_body(c, ret_head, body, deadline_ns);
}

int message_send(struct conduit *c, const struct call_head *head, const void *body,
                 uint64_t deadline_ns)
{
    uint32_t sent = 0, skip = HEAD_BYTES;

    do {
        uint32_t left = head->body_bytes - sent, part;
        void *chunk;
        int r = c->transmitter->put(c, &chunk, deadline_ns);

        if (r) {
            return r;
        }
        part = left < c->chunk_bytes - skip ? left : c->chunk_bytes - skip;
        if (skip) {
            memcpy(chunk, head, HEAD_BYTES);
        }
        if (part) {
            memcpy((uint8_t *)chunk + skip, (const uint8_t *)body + sent, part);
        }
        sent += part;
        r = c->transmitter->put_done(c, skip + part, sent < head->body_bytes, deadline_ns);
        if (r) {
            return r;
        }
        skip = 0;
    } while (sent < head->body_bytes);
    return 0;
}

/* Fills one chunk of `to` from what `from` has: a chunk goes out when it is full or when the chunk
 * that it was filled from is used up, so that a long message flows through the relay instead of
 * being collected. */
static int relay_chunk(struct conduit *from, struct conduit *to, const struct call_head *head,
                       uint64_t deadline_ns, int *ret_side)
{
    uint32_t used = 0;
    void *chunk;
    int r = 0;

    if (!head) {
        *ret_side = 0;
        r = body_piece(from, deadline_ns);
        if (r) {
            return r;
        }
    }
    *ret_side = 1;
    r = to->transmitter->put(to, &chunk, deadline_ns);
    if (r) {
        return r;
    }
    if (head) {
        memcpy(chunk, head, HEAD_BYTES);
        used = HEAD_BYTES;
    }
    if (from->body_left) {
        uint32_t room = to->chunk_bytes - used, part = from->left < room ? from->left : room;

        memcpy((uint8_t *)chunk + used, from->at, part);
        body_advance(from, part);
        used += part;
    }
    return to->transmitter->put_done(to, used, from->body_left > 0, deadline_ns);
}

int message_relay(struct conduit *from, struct conduit *to, const struct call_head *head,
                  uint64_t deadline_ns, int *ret_side)
{
    assert(head->body_bytes == from->body_left); /* the body is passed on as it is */
    do {
        int r = relay_chunk(from, to, head, deadline_ns, ret_side);

        if (r) {
            return r;
        }
        head = NULL;
    } while (from->body_left);
    return 0;
}
