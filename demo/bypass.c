/* bypass: plays a caller's agent that somebody has taken over, to show that the callee's agent is
 * the boundary.
 *
 * It reads the edge's real key and the callee's functions from the cached view of the caller's
 * agent, presents itself to the callee's agent with them, opens a lane and sends one request:
 * everything that the real agent does, except judging. What comes back is therefore the verdict of
 * the callee's agent alone. It prints one line, `VERDICT text`, and exits 0 when there was an
 * answer, whatever it says. The only program of the demo that reaches behind the public headers: an
 * attacker would. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/home.h"
#include "model/view.h"
#include "transmitter/transmitter.h"
#include "wire/event.h"
#include "wire/session.h"

#define VIEW_BYTES_MAX (16u << 20)
#define PATIENCE_NS    (2 * NS_PER_S)

struct bypass {
    const char *caller, *callee;
    const struct view_edge *edge;
    int fd;
    struct session_message message;
    char packet[SESSION_BYTES_MAX];
};

static int resource_dir(const char *home, const char *resource, int *ret_fd)
{
    char name[NAME_BYTES_MAX], id[RESOURCE_ID_BYTES_MAX], below[RESOURCE_ID_BYTES_MAX + 8];
    enum layer layer;
    int r = resource_id_parse(resource, '/', &layer, name);

    if (r) {
        return r;
    }
    resource_id_make(layer, name, '.', id);
    snprintf(below, sizeof(below), "agents/%s", id);
    return home_open_dir(home, below, ret_fd);
}

static int view_load(const char *home, const char *resource, struct view **ret)
{
    CLEANUP(fd_closep) int dir = -1;
    CLEANUP(memory_freep) char *data = NULL;
    size_t bytes;
    int r = resource_dir(home, resource, &dir);

    r = r ? r : file_read_at(dir, "view", VIEW_BYTES_MAX, &data, &bytes);
    return r ? r : view_decode(data, bytes, ret);
}

/* Sends b->message and receives its answer into the same place. */
static int exchange(struct bypass *b, const struct descriptors *send, struct descriptors *received)
{
    size_t bytes;
    int r = session_encode(&b->message, b->packet, sizeof(b->packet), &bytes);

    r = r ? r : unix_send(b->fd, b->packet, bytes, send->fd, send->count);
    r = r ? r
          : unix_receive(b->fd, b->packet, sizeof(b->packet), &bytes, received->fd,
                         &received->count);
    r = r ? r : bytes ? session_decode(b->packet, bytes, &b->message) : -EPIPE;
    if (!r && b->message.result) {
        printf("%s %s\n", rhodes_result_name(b->message.result), b->message.text[0]);
    }
    return r;
}

static int introduce(struct bypass *b)
{
    struct descriptors none = { 0 };

    memset(&b->message, 0, sizeof(b->message));
    b->message.type = SESSION_PEER;
    b->message.number[0] = 1;
    memcpy(b->message.key, b->edge->key, EDGE_KEY_BYTES);
    snprintf(b->message.text[0], sizeof(b->message.text[0]), "%s", b->caller);
    snprintf(b->message.text[1], sizeof(b->message.text[1]), "%s", b->callee);
    return exchange(b, &none, &none);
}

static int lane_open(struct bypass *b, struct conduit **ret)
{
    struct descriptors send = { 0 }, received = { 0 };
    struct conduit *c;
    int r = transmitter_shm.open(&c, &send);

    if (r) {
        return r;
    }
    memset(&b->message, 0, sizeof(b->message));
    b->message.type = SESSION_LANE;
    b->message.number[1] = PROTOCOL_SHM;
    b->message.number[2] = 1;
    if (getrandom(&b->message.number[0], sizeof(uint64_t), 0) != sizeof(uint64_t)) {
        r = -errno;
    }
    r = r ? r : exchange(b, &send, &received);
    descriptors_close(&send);
    if (!r && !b->message.result) {
        r = transmitter_shm.complete(c, &received);
    }
    descriptors_close(&received);
    if (r || b->message.result) {
        transmitter_shm.free(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* One request for the edge's first function; its body is empty, so even an agent that let it
 * through would run nothing but a check of the arguments. */
static int request(struct bypass *b, struct conduit *c)
{
    const uint64_t deadline_ns = clock_ns() + PATIENCE_NS;
    struct call_head head = { .magic = CALL_MAGIC,
                              .type = CALL_REQUEST,
                              .sequence = 1,
                              .function = b->edge->functions[0].id,
                              .deadline_ns = deadline_ns };
    struct bytes body;
    int r;

    bytes_init(&body, CALL_BODY_BYTES_MAX);
    r = getrandom(&head.caller, sizeof(head.caller), 0) == sizeof(head.caller) ? 0 : -errno;
    r = r ? r : message_send(c, &head, NULL, deadline_ns);
    r = r ? r : message_receive(c, &head, &body, deadline_ns);
    if (!r) {
        printf("%s %.*s\n", rhodes_result_name(head.result), (int)body.used, (char *)body.data);
    }
    bytes_deinit(&body);
    return r;
}

static int bypass_run(struct bypass *b, const char *home)
{
    CLEANUP(fd_closep) int dir = -1;
    struct conduit *c = NULL;
    int r = resource_dir(home, b->callee, &dir);

    r = r ? r : unix_connect_at(dir, "agent.sock", SOCK_SEQPACKET, &b->fd);
    r = r ? r : introduce(b);
    r = r || b->message.result ? r : lane_open(b, &c);
    if (c) {
        r = request(b, c);
        transmitter_shm.free(c);
    }
    fd_closep(&b->fd);
    return r;
}

int main(int argc, char **argv)
{
    char home[HOME_PATH_BYTES_MAX];
    static struct bypass b = { .fd = -1 };
    struct view *view = NULL;
    int r;

    if (argc != 3) {
        fprintf(stderr,
                "usage: bypass CALLER CALLEE   (resources, like service/tcp driver/netdriver)\n");
        return 2;
    }
    b.caller = argv[1];
    b.callee = argv[2];
    r = home_path(home);
    r = r ? r : view_load(home, b.caller, &view);
    if (!r) {
        b.edge = view_edge_find(view, b.callee, true);
        r = b.edge && b.edge->functions_count ? bypass_run(&b, home) : RHODES_NOT_FOUND;
    }
    view_unref(view);
    if (r) {
        fprintf(stderr, "bypass: %s\n", rhodes_result_sentence(r));
    }
    return r ? 1 : 0;
}
