/* libmicrohttpd has one epoll descriptor for all its sockets; the loop watches that and runs the
 * library when it is ready or when its own timeout says so. Requests whose answer must wait are
 * suspended in the library, so a waiting client costs a descriptor and no thread.
 *
 * The raw target is caught before the library decodes it (uri.c says why). A body over the limit is
 * read to its end without being kept, within reason, because a client that is still writing would
 * see a broken pipe instead of the answer. */
#include "center/http.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "center/api.h"
#include "center/document.h"

struct http {
    struct center *center;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
};

static void on_timer(uv_timer_t *timer);

static void http_run(struct http *h)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;

    MHD_run(h->daemon);
    if (MHD_get_timeout(h->daemon, &ms) == MHD_YES) {
        uv_timer_start(&h->timer, on_timer, ms, 0);
    } else {
        uv_timer_stop(&h->timer);
    }
}

static void on_timer(uv_timer_t *timer)
{
    http_run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    http_run(poll->data);
}

void http_kick(struct http *h)
{
    uv_timer_start(&h->timer, on_timer, 0, 0);
}

void request_resume(struct request *q)
{
    if (q->suspended) {
        q->suspended = false;
        MHD_resume_connection(q->connection);
        http_kick(q->center->http);
    }
}

const char *request_header(const struct request *q, const char *name)
{
    return MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, name);
}

/* The library's first word of a request: its target as it came. What is returned here is the
 * request from now on. */
static void *on_target(void *data, const char *target, struct MHD_Connection *connection)
{
    struct request *q = calloc(1, sizeof(*q));

    if (q) {
        q->center = ((struct http *)data)->center;
        q->connection = connection;
        bytes_init(&q->body, HTTP_BODY_BYTES_MAX);
        snprintf(q->target, sizeof(q->target), "%s", target);
    }
    return q;
}

static void on_completed(void *data, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct request *q = *state;

    *state = NULL;
    if (!q) {
        return;
    }
    if (q->stop_after) {
        center_stop(q->center);
    }
    effect_free(q->effect);
    json_decref(q->held);
    bytes_deinit(&q->body);
    free(q);
}

static enum method method_read(const char *text)
{
    static const struct {
        const char *text;
        enum method method;
    } methods[] = { { "GET", METHOD_GET },
                    { "HEAD", METHOD_GET },
                    { "PUT", METHOD_PUT },
                    { "POST", METHOD_POST },
                    { "DELETE", METHOD_DELETE } };

    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        if (strcmp(text, methods[i].text) == 0) {
            return methods[i].method;
        }
    }
    return METHOD_OTHER;
}

static void peer_look(struct request *q)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(q->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct unix_peer peer;

    if (info && unix_peer(info->connect_fd, &peer) == 0) {
        q->permitted = peer.uid == q->center->uid || peer.uid == 0;
        snprintf(q->who, sizeof(q->who), "uid %u", peer.uid);
    }
}

static struct MHD_Response *response_make(struct answer *a)
{
    struct MHD_Response *response = NULL;
    const char *type = a->type;

    if (a->stream) {
        return a->stream;
    }
    if (a->json) {
        char *text = json_dumps(a->json, JSON_COMPACT | JSON_REAL_PRECISION(9));

        json_decref(a->json);
        a->json = NULL;
        type = type ? type : "application/json";
        if (text) {
            response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
        }
    } else {
        response = MHD_create_response_from_buffer(
            a->text ? strlen(a->text) : 0, (void *)(uintptr_t)a->text, MHD_RESPMEM_PERSISTENT);
    }
    if (response && type) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    }
    return response;
}

static enum MHD_Result answer_send(struct request *q, struct answer *a)
{
    struct MHD_Response *response;
    enum MHD_Result r;

    if (a->held) {
        q->suspended = true;
        MHD_suspend_connection(q->connection);
        return MHD_YES;
    }
    response = response_make(a);
    if (!response) {
        return MHD_NO;
    }
    if (*a->etag) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, a->etag);
    }
    if (a->allow) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, a->allow);
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
    r = MHD_queue_response(q->connection, (unsigned)a->status, response);
    MHD_destroy_response(response);
    return r;
}

static bool body_length_is_absurd(const struct request *q)
{
    const char *length = request_header(q, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return length && strtoull(length, NULL, 10) > HTTP_DRAIN_BYTES_MAX;
}

static enum MHD_Result body_take(struct request *q, const char *data, size_t *bytes)
{
    bytes_put(&q->body, data, *bytes);
    if (q->body.error) {
        q->body_too_large = true;
        q->body_dropped += *bytes;
    }
    *bytes = 0;
    return q->body_dropped <= HTTP_DRAIN_BYTES_MAX ? MHD_YES : MHD_NO;
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_bytes, void **state)
{
    struct request *q = *state;
    struct answer a = { 0 };

    if (!q) {
        return MHD_NO;
    }
    if (!q->begun) {
        q->begun = true;
        q->method = method_read(method);
        peer_look(q);
        if (!body_length_is_absurd(q)) {
            return MHD_YES;
        }
        q->body_too_large = true;
    } else if (*upload_bytes) {
        return body_take(q, upload, upload_bytes);
    }
    api_answer(q, &a);
    return answer_send(q, &a);
}

int http_new(struct center *c, struct http **ret)
{
    struct http *h = calloc(1, sizeof(*h));
    const union MHD_DaemonInfo *info;
    int listen_fd = -1, r;

    if (!h) {
        return failed(-ENOMEM);
    }
    r = unix_listen_at(c->directory_fd, "center.sock", SOCK_STREAM | SOCK_NONBLOCK, &listen_fd);
    if (r) {
        free(h);
        return r;
    }
    h->center = c;
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, h,
        MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_URI_LOG_CALLBACK, on_target, h,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    info = h->daemon ? MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        fd_closep(&listen_fd);
        free(h);
        return failed(-ENOMEM);
    }
    uv_timer_init(&c->loop, &h->timer);
    uv_poll_init(&c->loop, &h->poll, info->epoll_fd);
    h->timer.data = h->poll.data = h;
    uv_poll_start(&h->poll, UV_READABLE, on_poll);
    *ret = h;
    return 0;
}

static void on_http_closed(uv_handle_t *handle)
{
    struct http *h = handle->data;

    if (handle == (uv_handle_t *)&h->timer) {
        uv_close((uv_handle_t *)&h->poll, on_http_closed);
    } else {
        free(h);
    }
}

struct http *http_free(struct http *h)
{
    if (h) {
        uv_poll_stop(&h->poll);
        MHD_run(h->daemon); /* sends what was resumed last */
        MHD_stop_daemon(h->daemon);
        uv_close((uv_handle_t *)&h->timer, on_http_closed);
    }
    return NULL;
}
