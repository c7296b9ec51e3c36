/* Devices, through the one door the agent has: device_call with typed values. The interfaces are a
 * veth pair in a network namespace of the test's own (root, or a user namespace); where neither is
 * permitted these tests say so and skip. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "test/lib/isolated.h"

#include "agent/device.h"
#include "agent/device_ops.h"
#include "base/clock.h"
#include "model/device.h"
#include "wire/value.h"

#define FRAMES_MAX 1100u

struct frames {
    uint32_t count, bytes[FRAMES_MAX];
    uint8_t first[FRAMES_MAX], last[FRAMES_MAX]; /* bytes 14 and the last of each frame */
    uint8_t kept[2048];                          /* the last frame */
};

/* One call: arguments as the function's type wants them are put by the caller's `put`. */
struct exchange {
    struct wit_function *function;
    struct rhodes_writer *arguments, *result;
    struct rhodes_reader *reader;
    void *
        body; /* exactly as large as the body, so that a sanitizer sees a reader that goes beyond */
    char why[DEVICE_WHY_BYTES];
};

static struct exchange exchange_begin(const char *signature)
{
    struct exchange x = { 0 };
    struct wit_error error;

    assert_int_equal(wit_function_parse(signature, NULL, &x.function, &error), 0);
    assert_int_equal(value_writer_new(x.function->parameters, 1u << 24, &x.arguments), 0);
    value_writer_parameters(x.arguments, x.function->parameters);
    assert_int_equal(value_writer_new(x.function->result, 1u << 24, &x.result), 0);
    assert_int_equal(value_reader_new(&x.reader), 0);
    return x;
}

/* Moves what was written into memory of its own, checked as whoever receives it does. */
static size_t body_take(struct exchange *x, struct rhodes_writer *from, const struct wit_type *type)
{
    const void *body = NULL;
    size_t bytes = 0;

    assert_int_equal(value_writer_body(from, &body, &bytes), 0);
    free(x->body);
    x->body = malloc(bytes > 0 ? bytes : 1);
    assert_non_null(x->body);
    memcpy(x->body, body, bytes);
    assert_int_equal(value_check(type, x->body, bytes), 0);
    return bytes;
}

static int exchange_run(struct exchange *x, struct device_instance *d, uint64_t deadline_ns)
{
    const struct wit_type *type = x->function->parameters;
    size_t bytes = body_take(x, x->arguments, type);
    int r;

    assert_int_equal(value_reader_parameters(x->reader, type, x->body, bytes), 0);
    r = device_call(d, x->function->name, x->reader, x->result, deadline_ns, x->why,
                    sizeof(x->why));
    if (r == 0) {
        type = x->function->result;
        bytes = body_take(x, x->result, type);
        assert_int_equal(value_reader_reset(x->reader, type, x->body, bytes), 0);
    }
    return r;
}

static void exchange_end(struct exchange *x)
{
    value_writer_free(x->arguments);
    value_writer_free(x->result);
    value_reader_free(x->reader);
    wit_function_unref(x->function);
    free(x->body);
}

static int device_rx(struct device_instance *d, uint32_t max, uint32_t wait_ms,
                     uint64_t deadline_ns, struct frames *ret, char *why)
{
    struct exchange x = exchange_begin("rx: func(max: u32, wait-ms: u32) -> list<list<u8>>");
    int r;

    assert_int_equal(rhodes_put_u32(x.arguments, max), 0);
    assert_int_equal(rhodes_put_u32(x.arguments, wait_ms), 0);
    memset(ret, 0, sizeof(*ret));
    r = exchange_run(&x, d, deadline_ns);
    if (r == 0) {
        assert_int_equal(rhodes_get_list(x.reader, &ret->count), 0);
        assert_true(ret->count <= FRAMES_MAX);
        for (uint32_t i = 0; i < ret->count; i++) {
            const void *data;
            size_t bytes;

            assert_int_equal(rhodes_get_bytes(x.reader, &data, &bytes), 0);
            assert_in_range(bytes, ETH_HLEN, sizeof(ret->kept));
            ret->bytes[i] = (uint32_t)bytes;
            memcpy(ret->kept, data, bytes);
            ret->first[i] = bytes > ETH_HLEN ? ret->kept[ETH_HLEN] : 0;
            ret->last[i] = ret->kept[bytes - 1];
        }
    }
    if (why != NULL) {
        snprintf(why, DEVICE_WHY_BYTES, "%s", x.why);
    }
    exchange_end(&x);
    return r;
}

/* Sends `count` frames of `bytes` bytes to everyone, marked with their number. */
static int device_tx(struct device_instance *d, uint32_t count, size_t bytes,
                     uint32_t *ret_accepted)
{
    struct exchange x = exchange_begin("tx: func(frames: list<list<u8>>) -> u32");
    uint8_t frame[4096] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
    int r;

    assert_int_equal(rhodes_put_list(x.arguments, count), 0);
    for (uint32_t i = 0; i < count; i++) {
        frame[ETH_HLEN] = (uint8_t)i;
        assert_int_equal(rhodes_put_bytes(x.arguments, frame, bytes), 0);
    }
    assert_int_equal(rhodes_put_end(x.arguments), 0);
    r = exchange_run(&x, d, clock_ns() + NS_PER_S);
    if (r == 0) {
        assert_int_equal(rhodes_get_u32(x.reader, ret_accepted), 0);
    }
    exchange_end(&x);
    return r;
}

struct stat_record {
    uint64_t rx_frames, rx_bytes, rx_dropped, tx_frames, tx_bytes, tx_dropped;
};

static struct stat_record device_stat(struct device_instance *d)
{
    struct exchange x =
        exchange_begin("stat: func() -> record{rx-frames: u64, rx-bytes: u64, rx-dropped: u64, "
                       "tx-frames: u64, tx-bytes: u64, tx-dropped: u64}");
    struct stat_record s;

    assert_int_equal(exchange_run(&x, d, clock_ns() + NS_PER_S), 0);
    assert_int_equal(rhodes_get_begin(x.reader), 0);
    assert_int_equal(rhodes_get_u64(x.reader, &s.rx_frames), 0);
    assert_int_equal(rhodes_get_u64(x.reader, &s.rx_bytes), 0);
    assert_int_equal(rhodes_get_u64(x.reader, &s.rx_dropped), 0);
    assert_int_equal(rhodes_get_u64(x.reader, &s.tx_frames), 0);
    assert_int_equal(rhodes_get_u64(x.reader, &s.tx_bytes), 0);
    assert_int_equal(rhodes_get_u64(x.reader, &s.tx_dropped), 0);
    assert_int_equal(rhodes_get_end(x.reader), 0);
    exchange_end(&x);
    return s;
}

static struct device_instance *device_made(uint8_t kind, const char *target)
{
    struct device_instance *d = NULL;
    char why[DEVICE_WHY_BYTES] = "";

    if (device_open(kind, target, &d, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
    return d;
}

/* The machine of a nic test: near (the device's) and far (the test's), joined. */

static bool file_put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    fd_closep(&fd);
    return done;
}

static int run(const char *command)
{
    return system(command);
}

static void namespace_enter(void)
{
    char map[64];
    unsigned uid = getuid(), gid = getgid();

    if (unshare(CLONE_NEWNET) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
            print_message("skipped: no network namespace may be made here\n");
            skip();
        }
        snprintf(map, sizeof(map), "0 %u 1", uid);
        file_put("/proc/self/uid_map", map);
        file_put("/proc/self/setgroups", "deny");
        snprintf(map, sizeof(map), "0 %u 1", gid);
        file_put("/proc/self/gid_map", map);
    }
    if (run("ip link add near type veth peer name far && "
            "for i in all near far; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done && "
            "ip link set near up && ip link set far up") != 0) {
        print_message("skipped: no veth pair may be made here\n");
        skip();
    }
}

static int far_open(void)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    struct sockaddr_ll address = { .sll_family = AF_PACKET,
                                   .sll_protocol = htons(ETH_P_ALL),
                                   .sll_ifindex = (int)if_nametoindex("far") };
    int on = 1;

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void far_send(int fd, uint32_t count, size_t bytes)
{
    uint8_t frame[4096] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 0x88, 0xb5 };

    for (uint32_t i = 0; i < count; i++) {
        frame[ETH_HLEN] = (uint8_t)i;
        frame[bytes - 1] = (uint8_t)i;
        assert_int_equal(send(fd, frame, bytes, 0), bytes);
    }
}

static uint64_t soon(void)
{
    return clock_ns() + 5 * NS_PER_S;
}

static void frames_that_arrive_are_returned_whole_and_in_order(void **state)
{
    struct frames got;
    struct device_instance *d;
    int far;

    namespace_enter();
    d = device_made(DEVICE_NIC, "near");
    far = far_open();
    far_send(far, 3, 1514);
    assert_int_equal(device_rx(d, 64, 1000, soon(), &got, NULL), 0);
    assert_int_equal(got.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(got.bytes[i], 1514);
        assert_int_equal(got.first[i], i);
        assert_int_equal(got.last[i], i);
    }
    close(far);
    device_close(d);
}

static void a_batch_holds_at_most_max_frames_and_half_a_mebibyte(void **state)
{
    static struct frames got;
    struct device_instance *d;
    uint32_t total = 2;
    int far;

    namespace_enter();
    d = device_made(DEVICE_NIC, "near");
    far = far_open();
    far_send(far, 600, 1514);
    assert_int_equal(device_rx(d, 2, 1000, soon(), &got, NULL), 0);
    assert_int_equal(got.count, 2);
    assert_int_equal(device_rx(d, UINT32_MAX, 1000, soon(), &got, NULL), 0);
    assert_in_range(got.count, 300, (512u << 10) / 1514);
    while (got.count > 0) {
        total += got.count;
        assert_int_equal(device_rx(d, 1000, 0, soon(), &got, NULL), 0);
    }
    assert_int_equal(total, 600);
    assert_int_equal(device_stat(d).rx_frames, 600);
    assert_int_equal(device_stat(d).rx_bytes, 600 * 1514);
    close(far);
    device_close(d);
}

static void the_ring_goes_round_and_round(void **state)
{
    static struct frames got;
    struct device_instance *d;
    int far;

    namespace_enter();
    d = device_made(DEVICE_NIC, "near");
    far = far_open();
    for (unsigned i = 0; i < 30; i++) { /* 6000 frames through 2048 slots */
        far_send(far, 200, 100);
        assert_int_equal(device_rx(d, 1000, 1000, soon(), &got, NULL), 0);
        assert_int_equal(got.count, 200);
        assert_int_equal(got.first[199], 199);
    }
    assert_int_equal(device_stat(d).rx_dropped, 0);
    close(far);
    device_close(d);
}

static void frames_that_find_the_ring_full_are_counted(void **state)
{
    static struct frames got;
    struct device_instance *d;
    struct stat_record s;
    uint32_t total = 0;
    int far;

    namespace_enter();
    d = device_made(DEVICE_NIC, "near");
    far = far_open();
    far_send(far, 3000, 100);
    do {
        assert_int_equal(device_rx(d, 1000, 0, soon(), &got, NULL), 0);
        total += got.count;
    } while (got.count > 0);
    far_send(far, 1, 100); /* the kernel tells of its losses with the next frame */
    assert_int_equal(device_rx(d, 1000, 1000, soon(), &got, NULL), 0);
    s = device_stat(d);
    assert_in_range(total, 1000, 2999);
    assert_int_equal(s.rx_dropped, 3000 - total);
    close(far);
    device_close(d);
}

static void a_wait_ends_when_it_was_asked_to_and_before_the_deadline(void **state)
{
    struct frames got;
    struct device_instance *d;
    uint64_t begin;

    namespace_enter();
    d = device_made(DEVICE_NIC, "near");
    begin = clock_ns();
    assert_int_equal(device_rx(d, 8, 30, soon(), &got, NULL), 0);
    assert_int_equal(got.count, 0);
    assert_true(clock_ns() - begin >= 30 * NS_PER_MS);
    begin = clock_ns();
    assert_int_equal(device_rx(d, 8, 60000, begin + 200 * NS_PER_MS, &got, NULL), 0);
    assert_int_equal(got.count, 0);
    assert_true(clock_ns() < begin + 200 * NS_PER_MS);
    device_close(d);
}

static void what_is_sent_arrives_and_is_not_seen_by_the_sender(void **state)
{
    struct frames got;
    struct device_instance *d;
    uint8_t frame[2048];
    uint32_t accepted = 0;
    int far;

    namespace_enter();
    d = device_made(DEVICE_NIC, "near");
    far = far_open();
    assert_int_equal(device_tx(d, 100, 200, &accepted), 0);
    assert_int_equal(accepted, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(recv(far, frame, sizeof(frame), 0), 200);
        assert_int_equal(frame[ETH_HLEN], i);
    }
    assert_int_equal(device_rx(d, 8, 20, soon(), &got, NULL), 0);
    assert_int_equal(got.count, 0);
    assert_int_equal(device_stat(d).tx_frames, 100);
    assert_int_equal(device_stat(d).tx_bytes, 20000);
    close(far);
    device_close(d);
}

static void frames_that_do_not_fit_the_link_are_dropped_and_counted(void **state)
{
    struct device_instance *d;
    uint32_t accepted = 9;

    namespace_enter();
    d = device_made(DEVICE_NIC, "near");
    assert_int_equal(device_tx(d, 2, 1500 + ETH_HLEN + DEVICE_VLAN_BYTES + 1, &accepted), 0);
    assert_int_equal(accepted, 0);
    assert_int_equal(device_tx(d, 1, ETH_HLEN - 1, &accepted), 0);
    assert_int_equal(accepted, 0);
    assert_int_equal(device_stat(d).tx_dropped, 3);
    assert_int_equal(device_tx(d, 1, 1500 + ETH_HLEN, &accepted), 0);
    assert_int_equal(accepted, 1);
    assert_int_equal(device_stat(d).tx_dropped, 3);
    device_close(d);
}

static uint16_t sum_of(const uint8_t *at, size_t bytes, uint32_t sum)
{
    for (size_t i = 0; i < bytes; i++) {
        sum += i % 2 == 0 ? (uint32_t)at[i] << 8 : at[i];
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

/* The kernel's own UDP on the far side leaves the checksum to a card that a veth is not. */
static void a_checksum_that_the_sender_left_out_is_filled_in(void **state)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
    struct frames got;
    struct device_instance *d;
    int fd;

    namespace_enter();
    assert_int_equal(run("ip addr add 10.9.0.2/24 dev far && ip neigh add 10.9.0.1 lladdr "
                         "02:00:00:00:00:01 dev far nud permanent"),
                     0);
    d = device_made(DEVICE_NIC, "near");
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "10.9.0.1", &to.sin_addr);
    assert_int_equal(sendto(fd, "seventeen letters", 17, 0, (struct sockaddr *)&to, sizeof(to)),
                     17);
    assert_int_equal(device_rx(d, 1, 1000, soon(), &got, NULL), 0);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.bytes[0], 14 + 20 + 8 + 17);
    assert_int_equal(sum_of(got.kept + 26, 8 + 8 + 17, IPPROTO_UDP + 8 + 17), 0xffff);
    close(fd);
    device_close(d);
}

static void an_interface_that_goes_down_is_told_and_works_again_when_it_is_back(void **state)
{
    char why[DEVICE_WHY_BYTES];
    struct frames got;
    struct device_instance *d;
    uint32_t accepted = 0;
    int far, r;

    namespace_enter();
    d = device_made(DEVICE_NIC, "near");
    assert_int_equal(run("ip link set near down"), 0);
    assert_int_equal(device_rx(d, 8, 1000, soon(), &got, why), RHODES_CALLEE_FAILED);
    assert_non_null(strstr(why, "near"));
    assert_int_equal(device_tx(d, 1, 100, &accepted), RHODES_CALLEE_FAILED);
    assert_int_equal(run("ip link set near up"), 0);
    far = far_open();
    do {
        r = device_rx(d, 8, 10, soon(), &got, NULL);
    } while (r == RHODES_CALLEE_FAILED);
    assert_int_equal(r, 0);
    far_send(far, 1, 100);
    assert_int_equal(device_rx(d, 8, 1000, soon(), &got, NULL), 0);
    assert_int_equal(got.count, 1);
    do {
        r = device_tx(d, 1, 100, &accepted);
    } while (r == RHODES_CALLEE_FAILED);
    assert_int_equal(r, 0);
    close(far);
    device_close(d);
}

static void an_interface_that_was_taken_away_works_again_when_it_is_made_anew(void **state)
{
    char why[DEVICE_WHY_BYTES];
    struct frames got;
    struct device_instance *d;
    int far, r;

    namespace_enter();
    d = device_made(DEVICE_NIC, "near");
    assert_int_equal(run("ip link del near"), 0);
    assert_int_equal(device_rx(d, 8, 1000, soon(), &got, why), RHODES_CALLEE_FAILED);
    assert_int_equal(device_rx(d, 8, 1000, soon(), &got, why), RHODES_CALLEE_FAILED);
    assert_int_equal(run("ip link add near type veth peer name far && ip link set near up && "
                         "ip link set far up"),
                     0);
    far = far_open();
    do {
        r = device_rx(d, 8, 0, soon(), &got, NULL);
    } while (r == RHODES_CALLEE_FAILED);
    far_send(far, 1, 77);
    do { /* a new interface may have something of its own to say */
        assert_int_equal(device_rx(d, 1, 1000, soon(), &got, NULL), 0);
    } while (got.count == 1 && got.bytes[0] != 77);
    assert_int_equal(got.count, 1);
    close(far);
    device_close(d);
}

static void an_interface_that_is_not_there_or_down_is_refused_with_its_name(void **state)
{
    struct device_instance *d = NULL;
    char why[DEVICE_WHY_BYTES];

    namespace_enter();
    assert_int_equal(device_open(DEVICE_NIC, "nowhere0", &d, why, sizeof(why)), -ENODEV);
    assert_string_equal(why, "there is no interface 'nowhere0' (No such device)");
    assert_int_equal(run("ip link set near down"), 0);
    assert_int_equal(device_open(DEVICE_NIC, "near", &d, why, sizeof(why)), -ENETDOWN);
    assert_string_equal(why, "interface 'near' is down");
    assert_null(d);
}

static void the_card_tells_its_address_mtu_and_name(void **state)
{
    struct device_instance *d;
    struct exchange x;
    const void *mac;
    const char *name;
    size_t bytes;
    uint32_t mtu;

    namespace_enter();
    x = exchange_begin("info: func() -> record{mac: list<u8>, mtu: u32, name: string}");
    assert_int_equal(run("ip link set near address 02:11:22:33:44:55 mtu 1400"), 0);
    d = device_made(DEVICE_NIC, "near");
    assert_int_equal(exchange_run(&x, d, soon()), 0);
    assert_int_equal(rhodes_get_begin(x.reader), 0);
    assert_int_equal(rhodes_get_bytes(x.reader, &mac, &bytes), 0);
    assert_int_equal(bytes, 6);
    assert_memory_equal(mac, "\x02\x11\x22\x33\x44\x55", 6);
    assert_int_equal(rhodes_get_u32(x.reader, &mtu), 0);
    assert_int_equal(mtu, 1400);
    assert_int_equal(rhodes_get_string(x.reader, &name, &bytes), 0);
    assert_int_equal(bytes, 4);
    assert_memory_equal(name, "near", 4);
    exchange_end(&x);
    device_close(d);
}

struct waiter {
    struct device_instance *d;
    int result;
    _Atomic int thread; /* its number, once it is about to wait */
};

static void *waiter_run(void *data)
{
    struct waiter *w = data;
    struct exchange x = exchange_begin("rx: func(max: u32, wait-ms: u32) -> list<list<u8>>");

    (void)rhodes_put_u32(x.arguments, 1);
    (void)rhodes_put_u32(x.arguments, 60000);
    atomic_store(&w->thread, gettid());
    w->result = exchange_run(&x, w->d, clock_ns() + 60 * NS_PER_S);
    exchange_end(&x);
    return NULL;
}

/* Does the thread sleep in ppoll (the one that has the receiving half) or on a lock (those behind
 * it)? */
static bool thread_waits(int thread)
{
    char path[64], text[32] = "";
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", thread);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0) {
        text[0] = '\0';
    }
    fd_closep(&fd);
    return text[0] != '\0' && (atol(text) == SYS_ppoll || atol(text) == SYS_futex);
}

static int sim_listen(char *ret_path, size_t room)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(ret_path, room, "/tmp/test_device.%d.sock", (int)getpid());
    unlink(ret_path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", ret_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 2), 0);
    return fd;
}

static void closing_a_device_wakes_all_who_wait(void **state)
{
    struct waiter waiters[3] = { 0 };
    pthread_t threads[3];
    struct device_instance *d;
    char path[64];
    int listener = sim_listen(path, sizeof(path));

    d = device_made(DEVICE_SIM, path);
    for (unsigned i = 0; i < 3; i++) {
        waiters[i].d = d;
        assert_int_equal(pthread_create(&threads[i], NULL, waiter_run, &waiters[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        while (!thread_waits(atomic_load(&waiters[i].thread))) {
            sched_yield();
        }
    }
    device_close(d);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(waiters[i].result, RHODES_NOT_EXECUTED);
    }
    close(listener);
    unlink(path);
}

static void a_simulated_wire_carries_one_frame_a_message(void **state)
{
    struct frames got;
    struct device_instance *d;
    uint8_t frame[4096] = { 0 };
    uint32_t accepted = 0;
    char path[64];
    int listener = sim_listen(path, sizeof(path)), wire;

    d = device_made(DEVICE_SIM, path);
    wire = accept(listener, NULL, NULL);
    assert_int_equal(device_tx(d, 2, 60, &accepted), 0);
    assert_int_equal(accepted, 2);
    assert_int_equal(recv(wire, frame, sizeof(frame), 0), 60);
    assert_int_equal(send(wire, frame, 1514, 0), 1514);
    assert_int_equal(send(wire, frame, 1519, 0), 1519); /* too long */
    assert_int_equal(send(wire, frame, 13, 0), 13);     /* too short */
    assert_int_equal(send(wire, frame, 14, 0), 14);
    assert_int_equal(device_rx(d, 8, 1000, soon(), &got, NULL), 0);
    assert_int_equal(got.count, 2);
    assert_int_equal(got.bytes[0], 1514);
    assert_int_equal(got.bytes[1], 14);
    assert_int_equal(device_stat(d).rx_dropped, 2);
    close(wire);
    close(listener);
    unlink(path);
    device_close(d);
}

static void a_simulated_wire_that_is_cut_is_told_and_joined_again(void **state)
{
    char why[DEVICE_WHY_BYTES], path[64];
    struct frames got;
    struct device_instance *d;
    uint8_t frame[60] = { 0 };
    uint32_t accepted = 0;
    int listener = sim_listen(path, sizeof(path)), wire, r;

    d = device_made(DEVICE_SIM, path);
    wire = accept(listener, NULL, NULL);
    close(wire);
    close(listener);
    unlink(path);
    assert_int_equal(device_rx(d, 8, 1000, soon(), &got, why), RHODES_CALLEE_FAILED);
    assert_non_null(strstr(why, path));
    assert_int_equal(device_tx(d, 1, 60, &accepted), RHODES_CALLEE_FAILED);
    listener = sim_listen(path, sizeof(path));
    do {
        r = device_rx(d, 8, 0, soon(), &got, NULL);
    } while (r == RHODES_CALLEE_FAILED);
    wire = accept(listener, NULL, NULL);
    assert_int_equal(send(wire, frame, sizeof(frame), 0), sizeof(frame));
    assert_int_equal(device_rx(d, 8, 1000, soon(), &got, NULL), 0);
    assert_int_equal(got.count, 1);
    assert_int_equal(device_tx(d, 1, 60, &accepted), 0);
    assert_int_equal(accepted, 1);
    close(wire);
    close(listener);
    unlink(path);
    device_close(d);
}

static void a_wire_that_takes_no_more_ends_a_send_with_what_it_took(void **state)
{
    struct device_instance *d;
    uint32_t accepted = 0;
    char path[64];
    int listener = sim_listen(path, sizeof(path)), wire;

    d = device_made(DEVICE_SIM, path);
    wire = accept(listener, NULL, NULL);
    assert_int_equal(device_tx(d, 3000, 1514, &accepted), 0);
    assert_in_range(accepted, 1, 2999);
    assert_int_equal(device_stat(d).tx_frames, accepted);
    assert_int_equal(device_stat(d).tx_dropped, 3000 - accepted);
    close(wire);
    close(listener);
    unlink(path);
    device_close(d);
}

static void what_no_device_knows_is_refused_by_name(void **state)
{
    struct exchange x = exchange_begin("fly: func(max: u32) -> u32");
    struct device_instance *d = NULL;
    struct frames got;
    char why[DEVICE_WHY_BYTES], path[64];
    int listener = sim_listen(path, sizeof(path));

    assert_int_equal(device_open(DEVICE_NONE, "near", &d, why, sizeof(why)), RHODES_INVALID);
    assert_int_equal(device_open(99, "near", &d, why, sizeof(why)), RHODES_INVALID);
    assert_int_equal(device_open(DEVICE_NIC, "", &d, why, sizeof(why)), RHODES_INVALID);
    assert_int_equal(device_open(DEVICE_NIC, NULL, &d, why, sizeof(why)), RHODES_INVALID);
    assert_int_equal(device_open(DEVICE_NIC, "sixteen-letters0", &d, why, sizeof(why)),
                     RHODES_INVALID);
    assert_int_equal(device_open(DEVICE_SIM, "relative.sock", &d, why, sizeof(why)),
                     RHODES_INVALID);
    assert_int_equal(device_open(DEVICE_SIM, "/nowhere/at.sock", &d, why, sizeof(why)), -ENOENT);
    assert_non_null(strstr(why, "/nowhere/at.sock"));
    assert_null(d);
    assert_null(device_close(NULL));

    d = device_made(DEVICE_SIM, path);
    assert_int_equal(rhodes_put_u32(x.arguments, 1), 0);
    assert_int_equal(exchange_run(&x, d, soon()), RHODES_NOT_FOUND);
    assert_string_equal(x.why, "a sim device has no function 'fly'");
    assert_int_equal(device_rx(d, 0, 10, soon(), &got, why), RHODES_CALLEE_FAILED);
    assert_string_equal(why, "rx: max must be 1 or more");
    exchange_end(&x);
    device_close(d);
    close(listener);
    unlink(path);
}

/* Checksums by hand: a TCP segment over IPv4 and one over IPv6, both with an odd length. */
static void checksums_come_out_right_for_both_versions_of_ip(void **state)
{
    uint8_t four[14 + 20 + 21] = { [12] = 0x08, [14] = 0x45, [17] = 41, [23] = 6,   [26] = 10,
                                   [29] = 1,    [30] = 10,   [33] = 2,  [54] = 0x7f };
    uint8_t six[14 + 40 + 9] = {
        [12] = 0x86, [13] = 0xdd, [14] = 0x60, [19] = 9, [20] = 17, [37] = 1, [53] = 2, [62] = 5
    };

    frame_checksum_fill(four, sizeof(four));
    assert_int_equal(sum_of(four + 34, 21, (uint32_t)sum_of(four + 26, 8, 0) + 6 + 21), 0xffff);
    frame_checksum_fill(six, sizeof(six));
    assert_int_equal(sum_of(six + 54, 9, (uint32_t)sum_of(six + 22, 32, 0) + 17 + 9), 0xffff);
}

static void odd_frames_are_left_as_they_are(void **state)
{
    uint8_t good[14 + 20 + 20] = { [12] = 0x08, [14] = 0x45, [17] = 40, [23] = 6 };
    static const struct {
        size_t at;
        uint8_t value;
        size_t bytes;
    } cases[] = {
        { 14, 0x65, 54 }, /* version 6 in an IPv4 frame */
        { 14, 0x44, 54 }, /* a header of 16 bytes */
        { 14, 0x4f, 54 }, /* a header longer than the packet */
        { 17, 41, 54 },   /* longer than the frame */
        { 17, 19, 54 },   /* shorter than its header */
        { 20, 0x20, 54 }, /* more fragments follow */
        { 21, 1, 54 },    /* not the first fragment */
        { 23, 1, 54 },    /* ICMP */
        { 12, 0x09, 54 }, /* no IP at all */
        { 17, 39, 54 },   /* TCP cut short */
        { 0, 0, 13 },     { 0, 0, 14 }, { 0, 0, 33 }, { 12, 0x81, 14 },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *frame = malloc(cases[i].bytes), *before = malloc(cases[i].bytes);

        assert_non_null(frame);
        assert_non_null(before);
        memcpy(frame, good, cases[i].bytes);
        if (cases[i].at < cases[i].bytes && cases[i].value != 0) {
            frame[cases[i].at] = cases[i].value;
        }
        memcpy(before, frame, cases[i].bytes);
        frame_checksum_fill(frame, cases[i].bytes);
        assert_memory_equal(frame, before, cases[i].bytes);
        free(frame);
        free(before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(frames_that_arrive_are_returned_whole_and_in_order),
        isolated_test(a_batch_holds_at_most_max_frames_and_half_a_mebibyte),
        isolated_test(the_ring_goes_round_and_round),
        isolated_test(frames_that_find_the_ring_full_are_counted),
        isolated_test(a_wait_ends_when_it_was_asked_to_and_before_the_deadline),
        isolated_test(what_is_sent_arrives_and_is_not_seen_by_the_sender),
        isolated_test(frames_that_do_not_fit_the_link_are_dropped_and_counted),
        isolated_test(a_checksum_that_the_sender_left_out_is_filled_in),
        isolated_test(an_interface_that_goes_down_is_told_and_works_again_when_it_is_back),
        isolated_test(an_interface_that_was_taken_away_works_again_when_it_is_made_anew),
        isolated_test(an_interface_that_is_not_there_or_down_is_refused_with_its_name),
        isolated_test(the_card_tells_its_address_mtu_and_name),
        isolated_test(closing_a_device_wakes_all_who_wait),
        isolated_test(a_simulated_wire_carries_one_frame_a_message),
        isolated_test(a_simulated_wire_that_is_cut_is_told_and_joined_again),
        isolated_test(a_wire_that_takes_no_more_ends_a_send_with_what_it_took),
        isolated_test(what_no_device_knows_is_refused_by_name),
        isolated_test(checksums_come_out_right_for_both_versions_of_ip),
        isolated_test(odd_frames_are_left_as_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
