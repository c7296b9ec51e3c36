/* One direction of a shared-memory channel, and how its reader and writer wait for each other.
 *
 * Invariants: every word of a memory is written by its owner only, and the peer's mapping of it is
 * read-only, sealed and fully allocated, so nothing the peer does can fault this side or change
 * what this side wrote. A word of the peer is loaded once and compared with the few values that it
 * can truly have; anything else is GARBAGE. Every loop passes ring_wait, which looks at the clock,
 * so no peer can hold this side beyond its deadline.
 *
 * A chunk sits in a slot whose first word is its sequence: one cache line carries the signal and
 * the first bytes. The sleeper waits on three words at once (the peer's word, the peer's `closed`,
 * this end's doorbell): a wake-up that comes between looking and sleeping is never lost, because
 * each of these words changes before it is woken. */
#include "wire/ring.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/clock.h"

#define RING_MAGIC   0x31525248u /* "HRR1" */
#define RING_VERSION 1u
#define RING_SEALS   (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

#define SLOT_HEAD_BYTES 8u
#define SLOT_BYTES      ((SLOT_HEAD_BYTES + RING_CHUNK_BYTES + 63u) & ~63u)
#define SLOTS_OFFSET    4096u
#define RING_BYTES      ((SLOTS_OFFSET + RING_SLOTS * SLOT_BYTES + 4095u) & ~4095u)

#define SPIN_NS_MIN 1000u
#define SPIN_NS_MAX 20000u
#define SPIN_LOOKS  16u /* looks at the word between two looks at the clock */
#define SPIN_AGAIN  64u /* after so many waits without spinning, try once more whether it pays */
#define SHORT_WAIT  (2 * NS_PER_MS) /* where the kernel has no futex_waitv (before 5.16) */
#define WAIT_CHUNK  1u
#define WAIT_ROOM   2u

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

typedef _Atomic uint32_t word;

struct ring_memory {
    uint32_t magic, version, slots, slot_bytes;
    uint8_t gap0[48];
    word consumed;
    uint8_t gap1[60];
    word waiting;
    uint8_t gap2[60];
    word cpu;
    uint8_t gap3[60];
    word closed;
};

struct ring_slot {
    word sequence;
    word bytes_and_more;
    uint8_t payload[];
};

_Static_assert(sizeof(word) == 4 && ATOMIC_INT_LOCK_FREE == 2, "a word is a plain 32-bit word");
_Static_assert(offsetof(struct ring_memory, consumed) == 64, "layout");
_Static_assert(offsetof(struct ring_memory, waiting) == 128, "layout");
_Static_assert(offsetof(struct ring_memory, cpu) == 192, "layout");
_Static_assert(offsetof(struct ring_memory, closed) == 256, "layout");
_Static_assert(offsetof(struct ring_slot, payload) == SLOT_HEAD_BYTES, "layout");
_Static_assert((RING_SLOTS & (RING_SLOTS - 1)) == 0,
               "counts wrap at 2^32, so slots are a power of two");

struct ring {
    struct ring_memory *mine;
    const struct ring_memory *peer; /* NULL until attached */
    bool joined; /* peer is another end's memory in this process: not ours to unmap */
    bool no_waitv;
    uint32_t put, got;  /* chunks so far */
    uint32_t put_taken; /* the peer's `consumed` as last seen */
    uint32_t spin_ns, spin_skipped;
    word doorbell; /* 1: interrupted */
};

static struct ring_slot *slot_mine(const struct ring *r, uint32_t index)
{
    return (struct ring_slot *)((uint8_t *)r->mine + SLOTS_OFFSET +
                                (size_t)(index % RING_SLOTS) * SLOT_BYTES);
}

static const struct ring_slot *slot_peer(const struct ring *r, uint32_t index)
{
    return (const struct ring_slot *)((const uint8_t *)r->peer + SLOTS_OFFSET +
                                      (size_t)(index % RING_SLOTS) * SLOT_BYTES);
}

/* C17's generic loads take no const object; the load does not write. */
static uint32_t word_load(const word *w, memory_order order)
{
    return atomic_load_explicit((word *)(uintptr_t)w, order);
}

/* FUTURE_WRITE leaves the mapping that exists writable and forbids every other; it comes after mmap
 * for that reason. */
static int memory_make(struct ring_memory **ret, int *ret_fd)
{
    CLEANUP(fd_closep) int fd = -1;
    void *memory;

    fd = memfd_create("rhodes-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) { /* before 6.3 */
        fd = memfd_create("rhodes-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (fd < 0 || ftruncate(fd, RING_BYTES) < 0 || fallocate(fd, 0, 0, RING_BYTES) < 0) {
        return failed(-errno);
    }
    memory = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return failed(-errno);
    }
    if (fcntl(fd, F_ADD_SEALS, RING_SEALS) < 0 || madvise(memory, RING_BYTES, MADV_DONTFORK) < 0) {
        int r = failed(-errno);

        munmap(memory, RING_BYTES);
        return r;
    }
    *ret = memory;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int ring_new(struct ring **ret, int *ret_fd)
{
    struct ring *r = calloc(1, sizeof(*r));
    int result;

    if (!r) {
        return failed(-ENOMEM);
    }
    result = memory_make(&r->mine, ret_fd);
    if (result) {
        free(r);
        return result;
    }
    for (uint32_t i = 0; i < RING_SLOTS; i++) {
        atomic_store_explicit(&slot_mine(r, i)->sequence, i + 1 - RING_SLOTS, memory_order_relaxed);
    }
    atomic_store_explicit(&r->mine->cpu, UINT32_MAX, memory_order_relaxed);
    r->mine->slot_bytes = SLOT_BYTES;
    r->mine->slots = RING_SLOTS;
    r->mine->version = RING_VERSION;
    r->mine->magic = RING_MAGIC;
    r->spin_ns = SPIN_NS_MIN;
    *ret = r;
    return 0;
}

int ring_attach(struct ring *r, int fd)
{
    const struct ring_memory *peer;
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);

    if (r->peer || seals < 0 || (seals & RING_SEALS) != RING_SEALS || fstat(fd, &status) < 0) {
        return RHODES_INVALID;
    }
    if (!S_ISREG(status.st_mode) || status.st_size != RING_BYTES ||
        status.st_blocks * 512 < (blkcnt_t)RING_BYTES) {
        return RHODES_INVALID;
    }
    peer = mmap(NULL, RING_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (peer == MAP_FAILED) {
        return failed(-errno);
    }
    if (peer->magic != RING_MAGIC || peer->version != RING_VERSION || peer->slots != RING_SLOTS ||
        peer->slot_bytes != SLOT_BYTES ||
        madvise((void *)(uintptr_t)peer, RING_BYTES, MADV_DONTFORK) < 0) {
        munmap((void *)(uintptr_t)peer, RING_BYTES);
        return RHODES_INVALID;
    }
    r->peer = peer;
    return 0;
}

void ring_join(struct ring *a, struct ring *b)
{
    a->peer = b->mine;
    b->peer = a->mine;
    a->joined = b->joined = true;
}

static void word_wake(word *w, int flag)
{
    syscall(SYS_futex, w, FUTEX_WAKE | flag, INT_MAX, NULL, NULL, 0);
}

struct ring *ring_free(struct ring *r)
{
    if (!r) {
        return NULL;
    }
    atomic_store_explicit(&r->mine->closed, 1, memory_order_seq_cst);
    word_wake(&r->mine->closed, 0);
    if (r->peer && !r->joined) {
        munmap((void *)(uintptr_t)r->peer, RING_BYTES);
    }
    munmap(r->mine, RING_BYTES);
    free(r);
    return NULL;
}

/* Spinning pays when the peer answers from another CPU within about the cost of a sleep and a
 * wake-up (measured here: 15 to 28 us across CPUs). True when the word changed. */
static bool ring_spin(struct ring *r, const word *w, uint32_t seen)
{
    uint32_t cpu = (uint32_t)sched_getcpu(), budget = r->spin_ns;
    uint64_t start;

    if (word_load(&r->mine->cpu, memory_order_relaxed) != cpu) {
        atomic_store_explicit(&r->mine->cpu, cpu, memory_order_relaxed);
    }
    if (word_load(&r->peer->cpu, memory_order_relaxed) == cpu) {
        return false;
    }
    if (budget < SPIN_NS_MIN) {
        if (++r->spin_skipped < SPIN_AGAIN) {
            return false;
        }
        r->spin_skipped = 0;
        budget = SPIN_NS_MAX / 4;
    }
    start = clock_ns();
    do {
        for (unsigned i = 0; i < SPIN_LOOKS; i++) {
            if (word_load(w, memory_order_acquire) != seen) {
                r->spin_ns = budget * 2 < SPIN_NS_MAX ? budget * 2 : SPIN_NS_MAX;
                return true;
            }
            __builtin_ia32_pause();
        }
    } while (clock_ns() - start < budget);
    r->spin_ns = budget / 2;
    return false;
}

/* One sleep. 0: look again; TIMEOUT. */
static int ring_sleep(struct ring *r, const word *w, uint32_t seen, uint64_t deadline_ns)
{
    struct futex_waitv words[3] = {
        { .uaddr = (uintptr_t)w, .val = seen, .flags = FUTEX_32 },
        { .uaddr = (uintptr_t)&r->peer->closed, .val = 0, .flags = FUTEX_32 },
        { .uaddr = (uintptr_t)&r->doorbell, .val = 0, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
    };
    struct timespec end = clock_timespec(deadline_ns);

    if (!r->no_waitv) {
        if (syscall(SYS_futex_waitv, words, 3, 0, &end, CLOCK_MONOTONIC) >= 0) {
            return 0;
        }
        r->no_waitv = errno == ENOSYS || errno == EPERM; /* an old kernel, or a sandbox */
        return errno == ETIMEDOUT ? RHODES_TIMEOUT : 0;
    }
    /* The doorbell, `closed` and the deadline are looked at that often. */
    end = clock_timespec(clock_ns() + SHORT_WAIT);
    syscall(SYS_futex, w, FUTEX_WAIT_BITSET, seen, &end, NULL, FUTEX_BITSET_MATCH_ANY);
    return 0;
}

/* Called when `w` was seen not to be ready; 0 when something may have changed. Pairs with
 * ring_publish: the waiter stores `waiting` and looks at the word, the other side stores the word
 * and looks at `waiting`, all four sequentially consistent (stores and loads, not fences:
 * ThreadSanitizer understands these). */
static int ring_wait(struct ring *r, const word *w, uint32_t seen, uint32_t why,
                     uint64_t deadline_ns)
{
    int result = 0;

    if (ring_spin(r, w, seen)) {
        return 0;
    }
    atomic_store_explicit(&r->mine->waiting, why, memory_order_seq_cst);
    if (word_load(w, memory_order_seq_cst) == seen) {
        if (word_load(&r->doorbell, memory_order_acquire)) {
            atomic_store_explicit(&r->doorbell, 0, memory_order_relaxed);
            result = -ECANCELED;
        } else if (clock_ns() >= deadline_ns) {
            result = RHODES_TIMEOUT;
        } else {
            result = ring_sleep(r, w, seen, deadline_ns);
        }
    }
    atomic_store_explicit(&r->mine->waiting, 0, memory_order_relaxed);
    return result == RHODES_TIMEOUT && word_load(w, memory_order_relaxed) != seen ? 0 : result;
}

static void ring_publish(struct ring *r, word *w, uint32_t value, uint32_t why)
{
    atomic_store_explicit(w, value, memory_order_seq_cst);
    if (word_load(&r->peer->waiting, memory_order_seq_cst) == why) {
        word_wake(w, 0);
    }
}

int ring_put(struct ring *r, void **ret, uint64_t deadline_ns)
{
    if (!r->peer) {
        return failed(-ENOTCONN);
    }
    while (r->put - r->put_taken >= RING_SLOTS) {
        uint32_t taken = word_load(&r->peer->consumed, memory_order_acquire);
        int result;

        if (r->put - taken > RING_SLOTS) {
            return RHODES_GARBAGE;
        }
        r->put_taken = taken;
        if (r->put - taken < RING_SLOTS) {
            break;
        }
        if (word_load(&r->peer->closed, memory_order_acquire)) {
            return -EPIPE;
        }
        result = ring_wait(r, &r->peer->consumed, taken, WAIT_ROOM, deadline_ns);
        if (result) {
            return result;
        }
    }
    if (word_load(&r->peer->closed, memory_order_relaxed)) {
        return -EPIPE;
    }
    *ret = slot_mine(r, r->put)->payload;
    return 0;
}

void ring_put_done(struct ring *r, uint32_t bytes, bool more)
{
    struct ring_slot *slot = slot_mine(r, r->put);

    atomic_store_explicit(&slot->bytes_and_more, bytes | (more ? RING_MORE : 0),
                          memory_order_relaxed);
    ring_publish(r, &slot->sequence, ++r->put, WAIT_CHUNK); /* pairs with ring_get's acquire */
}

int ring_get(struct ring *r, const void **ret, uint32_t *ret_bytes, bool *ret_more,
             uint64_t deadline_ns)
{
    const struct ring_slot *slot;
    uint32_t want = r->got + 1, bytes;

    if (!r->peer) {
        return failed(-ENOTCONN);
    }
    slot = slot_peer(r, r->got);
    for (;;) {
        bool closed = word_load(&r->peer->closed, memory_order_acquire);
        uint32_t sequence = word_load(&slot->sequence, memory_order_acquire);
        int result;

        if (sequence == want) {
            break;
        }
        if (closed) { /* looked at first: what was put before closing is still given out */
            return -EPIPE;
        }
        if (sequence != want - RING_SLOTS) {
            return RHODES_GARBAGE;
        }
        result = ring_wait(r, &slot->sequence, sequence, WAIT_CHUNK, deadline_ns);
        if (result) {
            return result;
        }
    }
    bytes = word_load(&slot->bytes_and_more, memory_order_relaxed);
    if ((bytes & ~RING_MORE) > RING_CHUNK_BYTES) {
        return RHODES_GARBAGE;
    }
    *ret = slot->payload;
    *ret_bytes = bytes & ~RING_MORE;
    *ret_more = bytes & RING_MORE;
    return 0;
}

void ring_get_done(struct ring *r)
{
    ring_publish(r, &r->mine->consumed, ++r->got, WAIT_ROOM); /* pairs with ring_put's acquire */
}

void ring_interrupt(struct ring *r)
{
    atomic_store_explicit(&r->doorbell, 1, memory_order_release);
    word_wake(&r->doorbell, FUTEX_PRIVATE_FLAG);
}

bool ring_taken(const struct ring *r)
{
    return !r->peer || word_load(&r->peer->consumed, memory_order_acquire) == r->put;
}
