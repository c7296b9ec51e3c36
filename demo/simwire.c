/* simwire: the wire and what is at its far end, for machines on which no network interface may be
 * made.
 *
 *   simwire SOCKET ADDRESS NETMASK LISTEN-PORT SERVER-PORT
 * It listens on the Unix SEQPACKET socket to which a sim device connects (one frame a message) and
 * is a host on that wire: a second lwIP stack with its own address, which carries each TCP
 * connection to LISTEN-PORT on to a real server at 127.0.0.1:SERVER-PORT. It says "ready" on
 * standard output once a device may connect, and ends on SIGTERM. One device at a time; a new one
 * takes the place of the old, as a cable is plugged into another card. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "stack_inner.h"

#define FRAME_BYTES_MAX 1518u
#define NEVER_NS        3600000000000ull

struct far_end {
    struct stack *stack;
    int device; /* one number for life, so that a frame on its way never meets another file of that
                   number */
    bool connected; /* wire_run's alone */
    uint16_t server_port;
};

struct bridge {
    struct far_end *end;
    uint32_t connection;
    int server;
};

static void on_frame(void *data, const void *frame, size_t bytes)
{
    struct far_end *end = data;

    /* A wire loses what it cannot carry. */
    (void)!send(end->device, frame, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int server_connect(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void *bridge_upstream(void *data)
{
    struct bridge *b = data;
    struct stack_why why;
    uint8_t block[16384];
    size_t bytes;

    while (stack_recv(b->end->stack, b->connection, block, sizeof(block), stack_now_ns() + NEVER_NS,
                      &bytes, &why) == 0 &&
           bytes > 0) {
        if (send(b->server, block, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) {
            break;
        }
    }
    shutdown(b->server, SHUT_WR);
    return NULL;
}

static void *bridge_run(void *data)
{
    struct bridge *b = data;
    struct stack_why why;
    pthread_t upstream;
    uint8_t block[32768];
    size_t sent;
    ssize_t n;

    b->server = server_connect(b->end->server_port);
    if (b->server >= 0 && pthread_create(&upstream, NULL, bridge_upstream, b) == 0) {
        while ((n = recv(b->server, block, sizeof(block), 0)) > 0 &&
               stack_send(b->end->stack, b->connection, block, (size_t)n, stack_now_ns() + NEVER_NS,
                          &sent, &why) == 0) {
            continue;
        }
        shutdown(b->server, SHUT_RDWR);
        (void)stack_close(b->end->stack, b->connection, &why);
        pthread_join(upstream, NULL);
    } else {
        (void)stack_close(b->end->stack, b->connection, &why);
    }
    if (b->server >= 0) {
        close(b->server);
    }
    free(b);
    return NULL;
}

/* lwIP is locked: the work goes to a thread of its own. */
static void on_accept(void *data, uint32_t connection)
{
    struct bridge *b = calloc(1, sizeof(*b));
    pthread_attr_t detached;
    pthread_t thread;

    if (b == NULL) {
        return;
    }
    b->end = data;
    b->connection = connection;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &detached, bridge_run, b) != 0) {
        free(b);
    }
    pthread_attr_destroy(&detached);
}

static int socket_listen(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || (unlink(path) < 0 && errno != ENOENT) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4) < 0) {
        return -1;
    }
    return fd;
}

/* Takes a new device in the place of the old one, if there is one. */
static void device_take(struct far_end *end, int listener)
{
    int fresh = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fresh >= 0) {
        end->connected = dup3(fresh, end->device, O_CLOEXEC) >= 0;
        close(fresh);
    }
}

static void frame_take(struct far_end *end)
{
    uint8_t frame[FRAME_BYTES_MAX + 1];
    ssize_t n = recv(end->device, frame, sizeof(frame), MSG_DONTWAIT);

    if (n > 0) {
        stack_input_begin(end->stack);
        stack_input(end->stack, frame, (size_t)n);
        stack_input_end(end->stack);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        end->connected = false;
    }
}

/* Feeds the stack from the device, and takes new devices. */
static int wire_run(struct far_end *end, int listener)
{
    for (;;) {
        struct pollfd fds[2] = { { .fd = listener, .events = POLLIN },
                                 { .fd = end->connected ? end->device : -1, .events = POLLIN } };

        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            return -errno;
        }
        if (fds[1].revents != 0) {
            frame_take(end);
        }
        if ((fds[0].revents & POLLIN) != 0) {
            device_take(end, listener);
        }
    }
}

static int port_parse(const char *text, uint16_t *ret)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || port == 0 || port > 65535) {
        return -EINVAL;
    }
    *ret = (uint16_t)port;
    return 0;
}

int main(int argc, char **argv)
{
    struct far_end end = { 0 };
    struct stack_options options = { .mac = { 0x02, 0, 0, 0, 0, 0x02 }, .mtu = 1500 };
    struct stack_why why = { "" };
    uint16_t port;
    int listener;

    if (argc != 6 || port_parse(argv[4], &port) != 0 ||
        port_parse(argv[5], &end.server_port) != 0) {
        fprintf(stderr, "usage: simwire SOCKET ADDRESS NETMASK LISTEN-PORT SERVER-PORT\n");
        return 2;
    }
    end.device = open("/dev/null", O_RDWR | O_CLOEXEC); /* until a device comes */
    options.address = argv[2];
    options.netmask = argv[3];
    options.on_frame = on_frame;
    options.data = &end;
    if (stack_start(&options, &end.stack, &why) != 0 ||
        stack_listen(end.stack, port, on_accept, &end, &why) != 0) {
        fprintf(stderr, "simwire: %s\n", why.text);
        return 1;
    }
    listener = socket_listen(argv[1]);
    if (listener < 0) {
        fprintf(stderr, "simwire: cannot listen at %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    return wire_run(&end, listener) == 0 ? 0 : 1;
}
