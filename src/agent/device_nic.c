/* device_nic: a real network interface through AF_PACKET: a ring in shared memory to receive, a
 * second socket to send.
 *
 * Why TPACKET_V2 and not V3: V3 hands frames over in blocks, and a block that is not full waits for
 * a timer of whole milliseconds, which every round trip would pay; V2 hands over each frame the
 * moment it is there. Why two sockets: an error or a wake-up of one half does not disturb the
 * other, and the sending one is bound to no protocol, so nothing is queued on it.
 * PACKET_IGNORE_OUTGOING keeps our own frames out of the ring (Linux 4.20). Invariant: a slot
 * belongs to the kernel unless its status says TP_STATUS_USER, and is given back as soon as its
 * frame has been copied. An interface that goes down or away leaves an error on the socket
 * (ENETDOWN); that half is then closed and `mend` opens it anew when the interface is back. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "agent/device_ops.h"
#include "base/clock.h"

#define RING_BYTES     (4u << 20)
#define RING_SLOTS_MIN 64u
#define SLOT_BYTES_MIN 2048u
/* Before each frame in its slot: the kernel's header and the room it keeps. */
#define SLOT_HEADER      128u
#define MEND_INTERVAL_NS (20 * NS_PER_MS)
#define NOT_YET_MENDED   "interface '%s' is down or gone"

struct half {
    int fd;
    uint64_t tried_ns; /* when it was last opened, well or not */
};

struct nic {
    char interface[IFNAMSIZ];
    struct device_counters *counters;
    struct half receiver, sender;
    _Atomic uint32_t receiver_mtu; /* as the ring was made for */
    uint32_t sender_mtu;
    uint8_t *ring;
    size_t ring_bytes;
    uint32_t slot_bytes, slots_count, slot_next;
};

/* What the kernel says about the interface now. */
struct nic_state {
    int index;
    uint32_t mtu;
    uint8_t mac[ETH_ALEN];
};

static int nic_ask(int fd, unsigned long request, const char *interface, struct ifreq *ret)
{
    memset(ret, 0, sizeof(*ret));
    snprintf(ret->ifr_name, sizeof(ret->ifr_name), "%s", interface);
    return ioctl(fd, request, ret) < 0 ? -errno : 0;
}

static int nic_state(int fd, const char *interface, struct nic_state *ret, struct device_why why)
{
    struct ifreq request;
    int r = nic_ask(fd, SIOCGIFINDEX, interface, &request);

    if (r != 0) {
        return device_fail(why, failed(r), "there is no interface '%s' (%s)", interface,
                           strerror(-r));
    }
    ret->index = request.ifr_ifindex;
    r = nic_ask(fd, SIOCGIFMTU, interface, &request);
    ret->mtu = (uint32_t)request.ifr_mtu;
    r = r != 0 ? r : nic_ask(fd, SIOCGIFHWADDR, interface, &request);
    memcpy(ret->mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
    r = r != 0 ? r : nic_ask(fd, SIOCGIFFLAGS, interface, &request);
    if (r != 0) {
        return device_fail(why, failed(r), "interface '%s': %s", interface, strerror(-r));
    }
    if ((request.ifr_flags & IFF_UP) == 0) {
        return device_fail(why, -ENETDOWN, "interface '%s' is down", interface);
    }
    return 0;
}

static int nic_socket(const struct nic *n, struct nic_state *state, int *ret_fd,
                      struct device_why why)
{
    CLEANUP(fd_closep) int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r;

    if (fd < 0) {
        r = -errno;
        return device_fail(why, failed(r), "cannot open a packet socket for '%s': %s%s",
                           n->interface, strerror(-r),
                           r == -EPERM ? " (it takes CAP_NET_RAW)" : "");
    }
    r = nic_state(fd, n->interface, state, why);
    if (r != 0) {
        return r;
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int nic_bind(const struct nic *n, int fd, int index, uint16_t protocol,
                    struct device_why why)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET,
                                   .sll_protocol = htons(protocol),
                                   .sll_ifindex = index };

    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int r = -errno;

        return device_fail(why, failed(r), "cannot bind to interface '%s': %s", n->interface,
                           strerror(-r));
    }
    return 0;
}

static void ring_unmap(struct nic *n)
{
    if (n->ring != NULL) {
        munmap(n->ring, n->ring_bytes);
        n->ring = NULL;
    }
}

static int ring_map(struct nic *n, int fd, uint32_t mtu, struct device_why why)
{
    int version = TPACKET_V2, on = 1, r;
    struct tpacket_req request = { 0 };
    uint32_t slot = SLOT_BYTES_MIN;

    while (slot < mtu + ETH_HLEN + DEVICE_VLAN_BYTES + SLOT_HEADER) {
        slot *= 2;
    }
    n->slots_count = RING_BYTES / slot > RING_SLOTS_MIN ? RING_BYTES / slot : RING_SLOTS_MIN;
    n->slot_bytes = slot;
    n->slot_next = 0;
    request.tp_frame_size = slot;
    request.tp_frame_nr = n->slots_count;
    request.tp_block_size =
        slot > 65536u ? slot : 65536u; /* slots lie one behind the other: both are powers of 2 */
    request.tp_block_nr = n->slots_count / (request.tp_block_size / slot);
    n->ring_bytes = (size_t)request.tp_block_size * request.tp_block_nr;
    if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) < 0) {
        r = -errno;
        return device_fail(why, failed(r), "cannot make a ring for interface '%s': %s",
                           n->interface, strerror(-r));
    }
    n->ring = mmap(NULL, n->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (n->ring == MAP_FAILED) {
        r = -errno;
        n->ring = NULL;
        return device_fail(why, failed(r), "cannot map the ring of interface '%s': %s",
                           n->interface, strerror(-r));
    }
    return 0;
}

static int receiver_open(struct nic *n, struct device_why why)
{
    CLEANUP(fd_closep) int fd = -1;
    struct nic_state state;
    int r;

    n->receiver.tried_ns = clock_ns();
    r = nic_socket(n, &state, &fd, why);
    r = r != 0 ? r : ring_map(n, fd, state.mtu, why);
    r = r != 0 ? r : nic_bind(n, fd, state.index, ETH_P_ALL, why);
    if (r != 0) {
        ring_unmap(n);
        return r;
    }
    atomic_store(&n->receiver_mtu, state.mtu);
    n->receiver.fd = fd;
    fd = -1;
    return 0;
}

static int sender_open(struct nic *n, struct device_why why)
{
    CLEANUP(fd_closep) int fd = -1;
    struct nic_state state;
    int r;

    n->sender.tried_ns = clock_ns();
    r = nic_socket(n, &state, &fd, why);
    r = r != 0 ? r : nic_bind(n, fd, state.index, 0, why);
    if (r != 0) {
        return r;
    }
    n->sender_mtu = state.mtu;
    n->sender.fd = fd;
    fd = -1;
    return 0;
}

static void receiver_close(struct nic *n)
{
    ring_unmap(n);
    fd_closep(&n->receiver.fd);
}

static void nic_close(void *device)
{
    struct nic *n = device;

    receiver_close(n);
    fd_closep(&n->sender.fd);
    free(n);
}

static int nic_open(const char *target, struct device_counters *counters, void **ret,
                    struct device_why why)
{
    struct nic *n;
    int r;

    if (strlen(target) >= IFNAMSIZ) {
        return device_fail(why, RHODES_INVALID, "an interface's name has at most %d letters",
                           IFNAMSIZ - 1);
    }
    n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return device_fail(why, failed(-ENOMEM), "no memory for interface '%s'", target);
    }
    snprintf(n->interface, sizeof(n->interface), "%s", target);
    n->counters = counters;
    n->receiver.fd = -1;
    n->sender.fd = -1;
    r = receiver_open(n, why);
    r = r != 0 ? r : sender_open(n, why);
    if (r != 0) {
        nic_close(n);
        return r;
    }
    *ret = n;
    return 0;
}

static int nic_mend(struct nic *n, struct half *half,
                    int (*open_half)(struct nic *, struct device_why), struct device_why why)
{
    if (half->fd >= 0) {
        return 0;
    }
    if (clock_ns() - half->tried_ns < MEND_INTERVAL_NS) {
        return device_fail(why, -ENETDOWN, NOT_YET_MENDED, n->interface);
    }
    return open_half(n, why);
}

static int nic_mend_receiver(void *device, struct device_why why)
{
    struct nic *n = device;

    return nic_mend(n, &n->receiver, receiver_open, why);
}

static int nic_mend_sender(void *device, struct device_why why)
{
    struct nic *n = device;

    return nic_mend(n, &n->sender, sender_open, why);
}

static struct tpacket2_hdr *ring_slot(const struct nic *n, uint32_t i)
{
    return (struct tpacket2_hdr *)(void *)(n->ring + (size_t)i * n->slot_bytes);
}

/* The error that an interface going down or away left on the socket, else 0. */
static int half_error(int fd)
{
    int error = 0;
    socklen_t bytes = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0) {
        return -errno;
    }
    return -error;
}

/* Copies the frame of a slot behind the others, with its VLAN tag (which the kernel took out) and
 * its checksum. */
static void slot_copy(const struct tpacket2_hdr *slot, uint32_t status, struct frame_batch *batch)
{
    const uint8_t *frame = (const uint8_t *)slot + slot->tp_mac;
    uint8_t *to = batch->data + batch->used;
    uint32_t bytes = slot->tp_snaplen;

    if ((status & TP_STATUS_VLAN_VALID) != 0) {
        uint16_t type =
            (status & TP_STATUS_VLAN_TPID_VALID) != 0 ? slot->tp_vlan_tpid : ETH_P_8021Q;

        memcpy(to, frame, 2 * ETH_ALEN);
        to[12] = (uint8_t)(type >> 8);
        to[13] = (uint8_t)type;
        to[14] = (uint8_t)(slot->tp_vlan_tci >> 8);
        to[15] = (uint8_t)slot->tp_vlan_tci;
        memcpy(to + 16, frame + 12, bytes - 12);
        bytes += DEVICE_VLAN_BYTES;
    } else {
        memcpy(to, frame, bytes);
    }
    if ((status & TP_STATUS_CSUMNOTREADY) != 0) {
        frame_checksum_fill(to, bytes);
    }
    batch->bytes[batch->count++] = bytes;
    batch->used += bytes;
}

/* Takes over the kernel's count of frames that found the ring full; it starts anew at each reading.
 */
static void ring_count_lost(struct nic *n)
{
    struct tpacket_stats seen = { 0 };
    socklen_t bytes = sizeof(seen);

    if (getsockopt(n->receiver.fd, SOL_PACKET, PACKET_STATISTICS, &seen, &bytes) == 0) {
        DEVICE_COUNT(n->counters->rx_dropped, seen.tp_drops);
    }
}

static int nic_receive(void *device, struct frame_batch *batch, struct device_why why)
{
    struct nic *n = device;
    uint32_t mtu = atomic_load(&n->receiver_mtu), before = batch->count, used_before = batch->used;

    while (batch->count < batch->count_max) {
        struct tpacket2_hdr *slot = ring_slot(n, n->slot_next);
        /* Pairs with the kernel's write of the status, which comes after the frame. */
        uint32_t status = __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE);

        if ((status & TP_STATUS_USER) == 0 ||
            batch->used + slot->tp_snaplen + DEVICE_VLAN_BYTES > DEVICE_BATCH_BYTES_MAX) {
            break;
        }
        if ((status & TP_STATUS_LOSING) != 0) {
            ring_count_lost(n);
        }
        if (slot->tp_len != slot->tp_snaplen || !device_frame_fits(slot->tp_len, mtu)) {
            DEVICE_COUNT(n->counters->rx_dropped, 1);
        } else {
            slot_copy(slot, status, batch);
        }
        __atomic_store_n(&slot->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        n->slot_next = n->slot_next + 1 == n->slots_count ? 0 : n->slot_next + 1;
    }
    DEVICE_COUNT(n->counters->rx_frames, batch->count - before);
    DEVICE_COUNT(n->counters->rx_bytes, batch->used - used_before);
    if (batch->count == 0) {
        int r = half_error(n->receiver.fd);

        if (r != 0) {
            receiver_close(n);
            return device_fail(why, failed(r), "interface '%s' is down or gone (%s)", n->interface,
                               strerror(-r));
        }
    }
    return 0;
}

static int nic_send(void *device, const struct iovec *frames, uint32_t count, uint32_t *ret_sent,
                    uint32_t *ret_accepted, struct device_why why)
{
    struct nic *n = device;

    for (uint32_t i = 0; i < count; i++) {
        ssize_t sent = -1;
        int r = 0;

        if (device_frame_fits(frames[i].iov_len, n->sender_mtu)) {
            sent = send(n->sender.fd, frames[i].iov_base, frames[i].iov_len, MSG_NOSIGNAL);
            r = sent < 0 ? -errno : 0;
        } else {
            r = -EMSGSIZE;
        }
        if (r == -EAGAIN || r == -ENOBUFS) {
            return -EAGAIN;
        }
        if (r != 0 && r != -EMSGSIZE) {
            fd_closep(&n->sender.fd);
            return device_fail(why, failed(r), "interface '%s' is down or gone (%s)", n->interface,
                               strerror(-r));
        }
        (*ret_sent)++;
        if (r == -EMSGSIZE) {
            DEVICE_COUNT(n->counters->tx_dropped, 1);
        } else {
            (*ret_accepted)++;
            DEVICE_COUNT(n->counters->tx_frames, 1);
            DEVICE_COUNT(n->counters->tx_bytes, frames[i].iov_len);
        }
    }
    return 0;
}

static int nic_receiver_fd(void *device)
{
    return ((struct nic *)device)->receiver.fd;
}

static int nic_sender_fd(void *device)
{
    return ((struct nic *)device)->sender.fd;
}

static int nic_describe(void *device, struct device_facts *ret, struct device_why why)
{
    struct nic *n = device;
    CLEANUP(fd_closep) int fd = -1;
    struct nic_state state;
    int r = nic_socket(n, &state, &fd, why);

    if (r != 0) {
        return r;
    }
    memcpy(ret->mac, state.mac, ETH_ALEN);
    ret->mtu = state.mtu;
    snprintf(ret->name, sizeof(ret->name), "%s", n->interface);
    return 0;
}

const struct device_ops device_nic = {
    .name = "nic",
    .open = nic_open,
    .close = nic_close,
    .mend_receiver = nic_mend_receiver,
    .mend_sender = nic_mend_sender,
    .receive = nic_receive,
    .receiver_fd = nic_receiver_fd,
    .sender_fd = nic_sender_fd,
    .send = nic_send,
    .describe = nic_describe,
};
