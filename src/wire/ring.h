/* wire/ring.h - one direction of a shared-memory channel: a memfd with a ring of slots, written by
 * one side only.
 *
 * The side that writes makes the memory, maps it, and seals it (GROW|SHRINK|FUTURE_WRITE|SEAL); the
 * other side maps it read-only and so can neither be faulted by it nor rewrite it. Each word has
 * one writer: the owner of the memory.
 *
 *   offset 0    u32 magic, version, slots, slot_bytes         written once, checked once by the
 * reader offset 64   u32 consumed    how many chunks of the *other* ring the owner has taken offset
 * 128  u32 waiting     while the owner sleeps on the other ring: 1 for a new chunk, 2 for room
 *   offset 192  u32 cpu         where the owner ran when it last waited
 *   offset 256  u32 closed      1 when the owner has left in good order
 *   offset 4096 slots, each slot_bytes: u32 sequence, u32 bytes_and_more, payload...
 * A slot's sequence word is stored last, with release, and is the count of chunks so far (modulo
 * 2^32; at first what the lap before would have left); so one cache line carries the signal and the
 * first bytes. A message is one or more chunks; RING_MORE in bytes_and_more says that more follow.
 *
 * Waiting: adaptive spin (its budget grows while spinning pays, shrinks to nothing when it does
 * not, is none when the peer last ran on this CPU), then futex_waitv on the peer's word and on the
 * private doorbell of this end, so that another thread of this process can end the wait. A waiter
 * sets `waiting`, fences, looks again, sleeps; a publisher fences, looks at the peer's `waiting`,
 * wakes. No allocation, lock or read-modify-write on the path. One thread uses an end at a time;
 * ring_interrupt() may come from any thread. Everything read from the peer's memory is copied once,
 * checked, then used. */
#ifndef WIRE_RING_H
#define WIRE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

#define RING_SLOTS       4
#define RING_CHUNK_BYTES (64u * 1024 + 128) /* a 64 KiB body with its head is one chunk */
#define RING_MORE        0x80000000u

struct ring; /* one end of a channel: my memory to write, the peer's to read */

/* Makes my memory. *ret_fd (owned by the caller; close it after sending) is for the peer. */
int ring_new(struct ring **ret, int *ret_fd) MUST_CHECK;
/* Checks and maps the peer's memory; `fd` is borrowed. INVALID when it is not a memfd sealed as
 * above, of exactly the right size and head, fully allocated. */
int ring_attach(struct ring *r, int fd) MUST_CHECK;
struct ring *ring_free(struct ring *r); /* marks it closed, wakes the peer, unmaps; returns NULL */

/* Joins two ends of one process over one mapping each, without the peer's read-only view: what
 * ring_attach would check is known. ThreadSanitizer does not see through two mappings of one memfd.
 */
void ring_join(struct ring *a, struct ring *b);

/* Room for one chunk, to be filled in place: *ret points at RING_CHUNK_BYTES. Waits while the ring
 * is full. TIMEOUT at the deadline (CLOCK_MONOTONIC ns), -ECANCELED when interrupted, -EPIPE when
 * the peer has closed, GARBAGE when its words cannot be true. */
int ring_put(struct ring *r, void **ret, uint64_t deadline_ns) MUST_CHECK;
void ring_put_done(struct ring *r, uint32_t bytes, bool more);

/* The next chunk, in the peer's memory (foreign: copy out, then check). Same answers as ring_put.
 */
int ring_get(struct ring *r, const void **ret, uint32_t *ret_bytes, bool *ret_more,
             uint64_t deadline_ns) MUST_CHECK;
void ring_get_done(struct ring *r);

/* Ends the current wait, or the next one, of the thread that uses this end, with -ECANCELED. Any
 * thread. */
void ring_interrupt(struct ring *r);
/* Has the peer taken everything that was put? (What was not taken did not run.) */
bool ring_taken(const struct ring *r);

#endif
