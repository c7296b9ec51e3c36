/* Tests of wire/ring.c: order, waiting, closing; what is no ring; and a peer that writes whatever
 * it likes at any time. */
#include "wire/ring.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/home.h"
#include "test/lib/isolated.h"

#define SOON  (clock_ns() + 10 * NS_PER_MS)
#define LATER (clock_ns() + 20 * NS_PER_S)
#define COUNT 20000u

static void pair_make(struct ring **a, struct ring **b)
{
    int fd_a, fd_b;

    assert_int_equal(ring_new(a, &fd_a), 0);
    assert_int_equal(ring_new(b, &fd_b), 0);
    assert_int_equal(ring_attach(*a, fd_b), 0);
    assert_int_equal(ring_attach(*b, fd_a), 0);
    close(fd_a);
    close(fd_b);
}

static void joined_make(struct ring **a, struct ring **b)
{
    int fd;

    assert_int_equal(ring_new(a, &fd), 0);
    close(fd);
    assert_int_equal(ring_new(b, &fd), 0);
    close(fd);
    ring_join(*a, *b);
}

static void put(struct ring *r, uint32_t value)
{
    void *room;

    assert_int_equal(ring_put(r, &room, LATER), 0);
    memcpy(room, &value, sizeof(value));
    ring_put_done(r, sizeof(value), value & 1);
}

static uint32_t get(struct ring *r)
{
    const void *at;
    uint32_t bytes, value;
    bool more;

    assert_int_equal(ring_get(r, &at, &bytes, &more, LATER), 0);
    assert_int_equal(bytes, sizeof(value));
    memcpy(&value, at, sizeof(value));
    assert_int_equal(more, value & 1);
    ring_get_done(r);
    return value;
}

static void chunks_come_in_order(void **state)
{
    struct ring *a, *b;

    pair_make(&a, &b);
    for (uint32_t i = 0; i < 1000; i++) { /* laps */
        for (uint32_t k = 0; k <= i % RING_SLOTS; k++) {
            put(a, i + k);
        }
        for (uint32_t k = 0; k <= i % RING_SLOTS; k++) {
            assert_int_equal(get(b), i + k);
        }
    }
    ring_free(a);
    ring_free(b);
}

static void a_full_ring_waits_and_an_empty_one_too(void **state)
{
    struct ring *a, *b;
    const void *at;
    void *room;
    uint32_t bytes;
    bool more;

    pair_make(&a, &b);
    assert_int_equal(ring_get(b, &at, &bytes, &more, SOON), RHODES_TIMEOUT);
    for (uint32_t i = 0; i < RING_SLOTS; i++) {
        put(a, i);
    }
    assert_int_equal(ring_put(a, &room, SOON), RHODES_TIMEOUT);
    assert_false(ring_taken(a));
    assert_int_equal(get(b), 0);
    assert_int_equal(ring_put(a, &room, 0), 0); /* room is there: no deadline is looked at */
    for (uint32_t i = 1; i < RING_SLOTS; i++) {
        assert_int_equal(get(b), i);
    }
    assert_true(ring_taken(a));
    ring_free(a);
    ring_free(b);
}

static void a_whole_chunk_fits_exactly(void **state)
{
    struct ring *a, *b;
    const void *at;
    void *room;
    uint32_t bytes;
    bool more;

    pair_make(&a, &b);
    for (int lap = 0; lap < 9; lap++) {
        assert_int_equal(ring_put(a, &room, LATER), 0);
        memset(room, lap, RING_CHUNK_BYTES);
        ring_put_done(a, RING_CHUNK_BYTES, true);
        assert_int_equal(ring_get(b, &at, &bytes, &more, LATER), 0);
        assert_int_equal(bytes, RING_CHUNK_BYTES);
        assert_true(more);
        assert_int_equal(((const uint8_t *)at)[0], lap);
        assert_int_equal(((const uint8_t *)at)[RING_CHUNK_BYTES - 1], lap);
        ring_get_done(b);
    }
    ring_free(a);
    ring_free(b);
}

static void closing_lets_the_peer_read_what_was_put(void **state)
{
    struct ring *a, *b;
    const void *at;
    void *room;
    uint32_t bytes;
    bool more;

    pair_make(&a, &b);
    put(a, 4);
    ring_free(a);
    assert_int_equal(get(b), 4);
    assert_int_equal(ring_get(b, &at, &bytes, &more, LATER), -EPIPE);
    assert_int_equal(ring_put(b, &room, LATER), -EPIPE);
    ring_free(b);
}

static void *get_run(void *data)
{
    const void *at;
    uint32_t bytes;
    bool more;

    return (void *)(intptr_t)ring_get(data, &at, &bytes, &more, LATER);
}

static void closing_and_interrupting_end_a_wait(void **state)
{
    struct ring *a, *b;
    pthread_t thread;
    void *end;

    pair_make(&a, &b);
    assert_int_equal(pthread_create(&thread, NULL, get_run, b), 0);
    ring_interrupt(b);
    pthread_join(thread, &end);
    assert_int_equal((intptr_t)end, -ECANCELED);
    assert_int_equal(pthread_create(&thread, NULL, get_run, b), 0);
    sched_yield(); /* asleep by now or not: either way must work */
    ring_free(a);
    pthread_join(thread, &end);
    assert_int_equal((intptr_t)end, -EPIPE);
    ring_free(b);
}

struct echo {
    struct ring *ring;
    uint32_t count;
};

static void *echo_run(void *data)
{
    struct echo *e = data;

    for (uint32_t i = 0; i < e->count; i++) {
        put(e->ring, get(e->ring) + 2);
    }
    return NULL;
}

/* One mapping each, so that ThreadSanitizer sees both sides. */
static void two_threads_exchange_over_one_mapping(void **state)
{
    struct ring *a, *b;
    struct echo e;
    pthread_t thread;

    joined_make(&a, &b);
    e = (struct echo){ b, COUNT };
    assert_int_equal(pthread_create(&thread, NULL, echo_run, &e), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        put(a, i * 2);
        assert_int_equal(get(a), i * 2 + 2);
    }
    pthread_join(thread, NULL);
    ring_free(a);
    ring_free(b);
}

static void *stream_run(void *data)
{
    struct echo *e = data;

    for (uint32_t i = 0; i < e->count; i++) {
        put(e->ring, i);
    }
    return NULL;
}

static void a_stream_fills_and_drains_without_loss(void **state)
{
    struct ring *a, *b;
    struct echo e;
    pthread_t thread;

    joined_make(&a, &b);
    e = (struct echo){ a, COUNT };
    assert_int_equal(pthread_create(&thread, NULL, stream_run, &e), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(get(b), i);
    }
    pthread_join(thread, NULL);
    ring_free(a);
    ring_free(b);
}

static void two_processes_exchange(void **state)
{
    int sockets[2], mine, theirs, status;
    struct ring *r;
    size_t bytes, count;
    char byte = 0;
    pid_t child;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    child = fork();
    assert_int_equal(ring_new(&r, &mine), 0); /* after the fork: a ring's memory does not pass it */
    assert_int_equal(unix_send(sockets[child == 0], &byte, 1, &mine, 1), 0);
    assert_int_equal(unix_receive(sockets[child == 0], &byte, 1, &bytes, &theirs, &count), 0);
    assert_int_equal(ring_attach(r, theirs), 0);
    if (child == 0) {
        struct echo e = { r, COUNT };

        echo_run(&e);
        _exit(0);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        put(r, i * 2);
        assert_int_equal(get(r), i * 2 + 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ring_free(r);
    close(mine);
    close(theirs);
    close(sockets[0]);
    close(sockets[1]);
}

static int memory_of(off_t bytes, int seals, bool allocate, uint32_t magic)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, bytes), 0);
    if (allocate && bytes) {
        assert_int_equal(fallocate(fd, 0, 0, bytes), 0);
    }
    assert_true(bytes == 0 || pwrite(fd, &magic, sizeof(magic), 0) == sizeof(magic));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void what_is_no_ring_is_refused(void **state)
{
    const int all = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    const uint32_t magic = 0x31525248u;
    struct ring *r, *other;
    struct stat status;
    int good, mine, pipes[2], wrong[10];

    assert_int_equal(ring_new(&r, &mine), 0);
    assert_int_equal(ring_new(&other, &good), 0);
    assert_int_equal(fstat(good, &status), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    wrong[0] = memory_of(status.st_size, all & ~F_SEAL_GROW, true, magic);
    wrong[1] = memory_of(status.st_size, all & ~F_SEAL_SHRINK, true, magic);
    wrong[2] = memory_of(status.st_size, all & ~F_SEAL_FUTURE_WRITE, true, magic);
    wrong[3] = memory_of(status.st_size - 4096, all, true, magic);
    wrong[4] = memory_of(status.st_size + 4096, all, true, magic);
    wrong[5] = memory_of(status.st_size, all, false, magic); /* sparse */
    wrong[6] = memory_of(status.st_size, all, true, 0);
    wrong[7] = memory_of(status.st_size, all, true, magic); /* no version, no slots */
    wrong[8] = pipes[0];
    wrong[9] = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(ring_attach(r, wrong[i]), RHODES_INVALID);
        close(wrong[i]);
    }
    assert_int_equal(ring_attach(r, -1), RHODES_INVALID);
    assert_int_equal(ring_attach(r, good), 0);
    assert_int_equal(ring_attach(r, good), RHODES_INVALID); /* one peer for life */
    ring_free(r);
    ring_free(other);
    close(good);
    close(mine);
    close(pipes[1]);
}

static void the_peer_can_neither_write_nor_cut_nor_punch_the_memory(void **state)
{
    struct ring *r;
    char path[64];
    int fd, again;

    assert_int_equal(ring_new(&r, &fd), 0);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = open(path, O_RDWR | O_CLOEXEC);
    assert_true(again < 0 ||
                mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED);
    if (again >= 0) {
        close(again);
    }
    ring_free(r);
    close(fd);
}

/* A peer made by hand: its memory is ours to spoil. */
struct hostile {
    uint8_t *memory;
    size_t bytes;
    _Atomic bool stop;
    uint64_t seed;
};

static uint32_t roll(struct hostile *h)
{
    h->seed = h->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(h->seed >> 33);
}

static void *spoil_run(void *data)
{
    struct hostile *h = data;
    static const uint32_t words[] = { 64, 128, 192, 256, 4096, 4100, 4096 + 65728, 4100 + 65728 };

    while (!h->stop) {
        uint32_t at = roll(h) % 4 ? words[roll(h) % 8] : roll(h) % (uint32_t)(h->bytes / 4) * 4;
        uint32_t v = roll(h) % 3 ? roll(h) % 16 : roll(h);

        v = roll(h) % 8 ? v : 0u - v % 8;
        __atomic_store_n((uint32_t *)(void *)(h->memory + at), v, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* Copies a real ring's head into memory that stays writable here. */
static int hostile_make(struct hostile *h)
{
    const int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    struct ring *real;
    struct stat status;
    int real_fd, fd;

    assert_int_equal(ring_new(&real, &real_fd), 0);
    assert_int_equal(fstat(real_fd, &status), 0);
    *h = (struct hostile){ .bytes = (size_t)status.st_size, .seed = 1 };
    fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(fd, status.st_size), 0);
    assert_int_equal(fallocate(fd, 0, 0, status.st_size), 0);
    h->memory = mmap(NULL, h->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(h->memory, MAP_FAILED);
    assert_true(pread(real_fd, h->memory, h->bytes, 0) == status.st_size);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    ring_free(real);
    close(real_fd);
    return fd;
}

static void allowed(int r)
{
    assert_true(r == 0 || r == RHODES_GARBAGE || r == RHODES_TIMEOUT || r == -EPIPE);
}

static void a_peer_that_spoils_its_memory_can_only_be_believed_wrongly(void **state)
{
    uint64_t end = clock_ns() + 2 * NS_PER_S;
    static uint8_t copy[RING_CHUNK_BYTES];
    unsigned rounds = 0, got = 0;

    while (clock_ns() < end) {
        struct hostile h;
        int mine, theirs = hostile_make(&h);
        uint64_t until = clock_ns() + 20 * NS_PER_MS;
        struct ring *r;
        pthread_t thread;
        int result = 0;

        h.seed = ++rounds;
        assert_int_equal(ring_new(&r, &mine), 0);
        assert_int_equal(ring_attach(r, theirs), 0);
        assert_int_equal(pthread_create(&thread, NULL, spoil_run, &h), 0);
        while (clock_ns() < until) { /* goes on after an error, which no user does */
            uint64_t deadline = clock_ns() + NS_PER_MS;
            const void *at;
            void *room;
            uint32_t bytes;
            bool more;

            result = ring_get(r, &at, &bytes, &more, deadline);
            allowed(result);
            if (result == 0) {
                assert_true(bytes <= RING_CHUNK_BYTES);
                memcpy(copy, at, bytes);
                ring_get_done(r);
                got++;
            }
            result = ring_put(r, &room, deadline);
            allowed(result);
            if (result == 0) {
                memset(room, 1, RING_CHUNK_BYTES);
                ring_put_done(r, RING_CHUNK_BYTES, true);
            }
            (void)ring_taken(r);
            assert_true(clock_ns() < deadline + NS_PER_S);
        }
        h.stop = true;
        pthread_join(thread, NULL);
        ring_free(r);
        munmap(h.memory, h.bytes);
        close(mine);
        close(theirs);
    }
    assert_true(got > 0); /* it was not all refused at once */
}

static void each_impossible_word_is_garbage(void **state)
{
    static const struct {
        uint32_t offset, value;
    } words[] = { { 4096, 2 },         { 4096, 0 },        { 4096, 0xffffffff },
                  { 64, 1 },           { 64, 0xffffffff }, { 4100, RING_CHUNK_BYTES + 1 },
                  { 4100, 0x7fffffff } };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct hostile h;
        int mine, theirs = hostile_make(&h), result;
        struct ring *r;
        const void *at;
        void *room;
        uint32_t bytes, one = 1;
        bool more;

        assert_int_equal(ring_new(&r, &mine), 0);
        assert_int_equal(ring_attach(r, theirs), 0);
        memcpy(h.memory + words[i].offset, &words[i].value, 4);
        if (words[i].offset == 64) {
            /* `consumed` is looked at when the ring seems full */
            result = 0;
            for (int k = 0; k < 6 && result == 0; k++) {
                result = ring_put(r, &room, SOON);
                if (result == 0) {
                    ring_put_done(r, 1, false);
                    memcpy(h.memory + 64, words[i].value == 1 ? &(uint32_t){ 9 } : &words[i].value,
                           4);
                }
            }
        } else {
            if (words[i].offset == 4100) {
                memcpy(h.memory + 4096, &one, 4);
            }
            result = ring_get(r, &at, &bytes, &more, SOON);
        }
        assert_int_equal(result, RHODES_GARBAGE);
        ring_free(r);
        munmap(h.memory, h.bytes);
        close(mine);
        close(theirs);
    }
}

/* A kernel before 5.16, or a sandbox that does not know the call. */
static void without_futex_waitv_everything_still_ends(void **state)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex_waitv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        skip();
    }
    assert_int_equal(syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0), -1);
    assert_int_equal(errno, ENOSYS);
    a_full_ring_waits_and_an_empty_one_too(state);
    closing_and_interrupting_end_a_wait(state);
    two_threads_exchange_over_one_mapping(state);
    a_stream_fills_and_drains_without_loss(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(chunks_come_in_order),
        isolated_test(a_full_ring_waits_and_an_empty_one_too),
        isolated_test(a_whole_chunk_fits_exactly),
        isolated_test(closing_lets_the_peer_read_what_was_put),
        isolated_test(closing_and_interrupting_end_a_wait),
        isolated_test(two_threads_exchange_over_one_mapping),
        isolated_test(a_stream_fills_and_drains_without_loss),
        isolated_test(two_processes_exchange),
        isolated_test(what_is_no_ring_is_refused),
        isolated_test(the_peer_can_neither_write_nor_cut_nor_punch_the_memory),
        isolated_test(a_peer_that_spoils_its_memory_can_only_be_believed_wrongly),
        isolated_test(each_impossible_word_is_garbage),
        isolated_test(without_futex_waitv_everything_still_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
