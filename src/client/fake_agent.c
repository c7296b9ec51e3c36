/* The fake agent: the main thread speaks on the socket, each caller's channel has a thread that
 * carries its calls into the one serving channel that is free. See fake_agent.h for what it can do
 * wrong. */
#include "client/fake_agent.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "client/client.h"

#define SERVERS  16
#define SERVED   32
#define SESSIONS 8

struct fake {
    bool calm, stern;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct conduit *server[SERVERS];
    bool busy[SERVERS];
    struct wit_function *served[SERVED];
    size_t served_count;
    uint64_t incarnation;
};

struct caller {
    struct fake *fake;
    struct conduit *conduit;
};

static bool wrong(const struct wit_function *f, const char *how)
{
    return f && strncmp(f->name, how, strlen(how)) == 0;
}

static const struct wit_function *function_of(struct fake *fake, uint64_t id)
{
    for (size_t i = 0; i < fake->served_count; i++) {
        if (fake->served[i]->id == id) {
            return fake->served[i];
        }
    }
    return NULL;
}

static size_t server_take(struct fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    for (;;) {
        for (size_t i = 0; i < SERVERS; i++) {
            if (fake->server[i] && !fake->busy[i]) {
                fake->busy[i] = true;
                pthread_mutex_unlock(&fake->lock);
                return i;
            }
        }
        pthread_cond_wait(&fake->changed, &fake->lock);
    }
}

static void server_give(struct fake *fake, size_t i)
{
    pthread_mutex_lock(&fake->lock);
    fake->busy[i] = false;
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
}

static void reply_spoil(const struct wit_function *f, struct call_head *reply, struct bytes *body)
{
    if (wrong(f, "garbage-")) {
        bytes_reset(body);
        bytes_put(body, "?", 1);
        reply->body_bytes = 1;
    }
    if (wrong(f, "nonsense-")) {
        reply->magic = 0;
    }
}

static void *caller_run(void *data)
{
    struct caller c = *(struct caller *)data;
    struct bytes body = { 0 };
    struct call_head head, reply;

    free(data);
    while (message_receive(c.conduit, &head, &body, UINT64_MAX) == 0) {
        const struct wit_function *f = function_of(c.fake, head.function);
        size_t i;

        if (wrong(f, "silent-")) {
            continue;
        }
        if (c.fake->stern) {
            head.type = CALL_REPLY;
            head.result = RHODES_DENIED;
            head.executor = head.body_bytes = 0;
            if (message_send(c.conduit, &head, NULL, UINT64_MAX) != 0) {
                break;
            }
            continue;
        }
        if (wrong(f, "early-") && !c.fake->calm) {
            kill(getpid(), SIGKILL);
        }
        i = server_take(c.fake);
        if (message_send(c.fake->server[i], &head, body.data, UINT64_MAX) != 0 ||
            message_receive(c.fake->server[i], &reply, &body, UINT64_MAX) != 0) {
            break;
        }
        server_give(c.fake, i);
        if (wrong(f, "late-") && !c.fake->calm) {
            kill(getpid(), SIGKILL);
        }
        reply.protocol = PROTOCOL_SHM + 1;
        reply_spoil(f, &reply, &body);
        if (message_send(c.conduit, &reply, body.data, UINT64_MAX) != 0) {
            break;
        }
    }
    c.conduit->transmitter->free(c.conduit);
    bytes_deinit(&body);
    return NULL;
}

static void channel_add(struct fake *fake, struct conduit *conduit, enum channel_role role)
{
    pthread_t thread;

    if (role == CHANNEL_SERVER) {
        pthread_mutex_lock(&fake->lock);
        for (size_t i = 0; i < SERVERS; i++) {
            if (!fake->server[i]) {
                fake->server[i] = conduit;
                break;
            }
        }
        pthread_cond_broadcast(&fake->changed);
        pthread_mutex_unlock(&fake->lock);
    } else {
        struct caller *c = malloc(sizeof(*c));

        *c = (struct caller){ fake, conduit };
        if (pthread_create(&thread, NULL, caller_run, c) == 0) {
            pthread_detach(thread);
        }
    }
}

static int answer(struct session_message *m, int result, const char *why)
{
    m->result = result;
    snprintf(m->text[0], sizeof(m->text[0]), "%s", why);
    snprintf(m->text[1], sizeof(m->text[1]), "%s", result ? "ask the test" : "");
    return result;
}

static void on_bind(struct fake *fake, struct session_message *m)
{
    char name[64];
    size_t n = strcspn(m->text[1], ":");

    snprintf(name, sizeof(name), "%.*s", (int)n, m->text[1]);
    m->text[2][0] = 0;
    if (strcmp(name, "denied") == 0) {
        answer(m, RHODES_DENIED, "links/x of revision 3 denies it");
        return;
    }
    for (size_t i = 0; i < fake->served_count; i++) {
        if (strcmp(fake->served[i]->name, name) == 0) {
            m->number[0] = i;
            m->number[1] = fake->served[i]->id;
            m->number[2] = 2 * NS_PER_S;
            answer(m, 0, fake->served[i]->signature);
            return;
        }
    }
    answer(m, RHODES_NOT_FOUND, "there is no such function");
}

static void on_message(struct fake *fake, struct session_message *m,
                       const struct descriptors *received, struct descriptors *send)
{
    struct wit_error error;
    struct conduit *conduit;

    switch ((enum session_type)m->type) {
    case SESSION_HELLO:
        m->number[0] = fake->incarnation;
        if (m->text[0][0] && strcmp(m->text[0], "service/test") != 0) {
            answer(m, RHODES_NOT_BOUND, "the agent is bound to service/test");
        } else {
            answer(m, 0, "service/test");
        }
        break;
    case SESSION_SERVE:
        if (wit_function_parse(m->text[0], m->text[1], &fake->served[fake->served_count], &error) ==
            0) {
            m->number[0] = fake->served[fake->served_count++]->id;
            answer(m, 0, "");
        } else {
            answer(m, RHODES_TYPE_MISMATCH, error.message);
        }
        break;
    case SESSION_CHANNEL:
        if (transmitter_shm.accept(received, &conduit, send) == 0) {
            channel_add(fake, conduit, (enum channel_role)m->number[1]);
        } else {
            answer(m, RHODES_INVALID, "that is no ring");
        }
        break;
    case SESSION_BIND:
        on_bind(fake, m);
        break;
    case SESSION_READY:
        break;
    case SESSION_PEER:
    case SESSION_LANE:
    case SESSION_CLOSE:
    case SESSION_TYPES_END:
        answer(m, RHODES_INVALID, "not here");
        break;
    }
    m->type |= SESSION_ANSWER;
}

/* False: the session ended. */
static bool session_turn(struct fake *fake, int fd)
{
    static struct session_message m;
    static uint8_t packet[SESSION_BYTES_MAX];
    struct descriptors received = { 0 }, send = { 0 };
    size_t bytes = 0;

    if (unix_receive(fd, packet, sizeof(packet), &bytes, received.fd, &received.count) != 0 ||
        bytes == 0 || session_decode(packet, bytes, &m) != 0) {
        return false;
    }
    on_message(fake, &m, &received, &send);
    descriptors_close(&received);
    if (session_encode(&m, packet, sizeof(packet), &bytes) != 0 ||
        unix_send(fd, packet, bytes, send.fd, send.count) != 0) {
        return false;
    }
    descriptors_close(&send);
    return true;
}

int fake_agent_run(const char *directory, const char *mode)
{
    static struct fake fake = { .lock = PTHREAD_MUTEX_INITIALIZER,
                                .changed = PTHREAD_COND_INITIALIZER };
    struct pollfd fds[1 + SESSIONS];
    nfds_t count = 1;
    int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

    fake.calm = strcmp(mode, "calm") == 0;

    fake.stern = strcmp(mode, "stern") == 0;
    fake.incarnation = clock_ns() | 1;
    if (dir < 0 || unix_listen_at(dir, "agent.sock", SOCK_SEQPACKET, &fds[0].fd) != 0) {
        return 1;
    }
    fds[0].events = POLLIN;
    for (;;) {
        poll(fds, count, -1);
        if (fds[0].revents && count <= SESSIONS) {
            fds[count] = (struct pollfd){ .fd = accept4(fds[0].fd, NULL, NULL, SOCK_CLOEXEC),
                                          .events = POLLIN };
            count++;
        }
        for (nfds_t i = 1; i < count; i++) {
            if (fds[i].revents && !session_turn(&fake, fds[i].fd)) {
                close(fds[i].fd);
                fds[i].fd = -1;
                fds[i].revents = 0;
            }
        }
    }
}
