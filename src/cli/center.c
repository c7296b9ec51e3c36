/* HTTP through libcurl. Its own colourful error texts are kept out of the common cases: nobody at
 * the socket is told from a center that answers slowly or badly, because what to do next differs.
 */
#include "cli/center.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "cli/problem.h"
#include "cli/show.h"
#include "cli/text.h"

struct exchange {
    struct cli *cli;
    CURL *curl;
    const struct request *request;
    struct answer *answer;
    struct bytes body;
    uint64_t began_ns, shown_s;
    int directory; /* of the socket, or -errno */
    bool stopped;
};

const char *json_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

uint64_t json_number(const json_t *object, const char *name)
{
    json_int_t number = json_integer_value(json_object_get(object, name));

    return number > 0 ? (uint64_t)number : 0;
}

bool json_flag(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

void answer_deinit(struct answer *a)
{
    free(a->text);
    json_decref(a->json);
    *a = (struct answer){ 0 };
}

static size_t on_body(char *piece, size_t size, size_t count, void *data)
{
    struct exchange *x = data;
    size_t bytes = size * count;
    long status = 0;

    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    if (x->request->on_piece && status / 100 == 2) {
        x->stopped = x->request->on_piece(piece, bytes, x->request->data) != 0;
        return x->stopped ? 0 : bytes;
    }
    bytes_put(&x->body, piece, bytes);
    return x->body.error ? 0 : bytes;
}

static size_t on_header(char *line, size_t size, size_t count, void *data)
{
    struct exchange *x = data;
    size_t bytes = size * count;

    if (bytes > 5 && strncasecmp(line, "ETag:", 5) == 0) {
        char value[64];
        char *end;

        snprintf(value, sizeof(value), "%.*s", (int)(bytes - 5), line + 5);
        end = value + strcspn(value, "\r\n");
        *end = 0;
        snprintf(x->answer->etag, sizeof(x->answer->etag), "%.39s", value + strspn(value, " \t"));
    }
    return bytes;
}

static int on_progress(void *data, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    struct exchange *x = data;

    progress_show(x->cli, x->request->waiting, x->began_ns, &x->shown_s);
    return 0;
}

static void options_set(struct exchange *x, struct curl_slist *headers, const char *body)
{
    const struct request *q = x->request;
    CLEANUP(memory_freep) char *url = text_make("http://center%s", q->path);
    uint64_t wait_ns = q->wait_ns ? q->wait_ns : ANSWER_WAIT_NS_DEFAULT;
    char socket[64];

    snprintf(socket, sizeof(socket), "/proc/self/fd/%d/center.sock", x->directory);
    curl_easy_setopt(x->curl, CURLOPT_UNIX_SOCKET_PATH, socket);
    curl_easy_setopt(x->curl, CURLOPT_URL, url);
    curl_easy_setopt(x->curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(x->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(x->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(x->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x->curl, CURLOPT_CUSTOMREQUEST, q->method);
    curl_easy_setopt(x->curl, CURLOPT_NOBODY, strcmp(q->method, "HEAD") == 0 ? 1L : 0L);
    curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(x->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(x->curl, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(x->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(x->curl, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(x->curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    if (wait_ns != UINT64_MAX) {
        curl_easy_setopt(x->curl, CURLOPT_TIMEOUT_MS, (long)(wait_ns / NS_PER_MS));
    }
    if (body) {
        curl_easy_setopt(x->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        curl_easy_setopt(x->curl, CURLOPT_POSTFIELDS, body);
    }
    if (q->waiting) {
        curl_easy_setopt(x->curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(x->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(x->curl, CURLOPT_XFERINFODATA, x);
    }
}

/* Why nobody could be reached: 0 when somebody can, who must have hung up at once; libcurl does not
 * tell these apart. */
static int reach(const struct exchange *x)
{
    CLEANUP(fd_closep) int fd = -1;

    return x->directory < 0 ? x->directory
                            : unix_connect_at(x->directory, "center.sock", SOCK_STREAM, &fd);
}

/* The exit code for an exchange that brought no answer, said. */
static int exchange_failed(struct exchange *x, CURLcode code)
{
    int reason = code == CURLE_COULDNT_CONNECT ? reach(x) : 0;

    if (x->body.error) {
        return complain(x->cli, EXIT_FAILED, "the center's answer is larger than %u MiB",
                        ANSWER_BYTES_MAX >> 20);
    }
    if (reason == -ENOENT || reason == -ECONNREFUSED || reason == -ENOTDIR) {
        return complain(x->cli, EXIT_NO_CENTER, "no center at %s; start one with: rhodes up",
                        x->cli->home);
    }
    if (reason) {
        return complain(x->cli, EXIT_FAILED, "the center at %s cannot be reached: %s", x->cli->home,
                        rhodes_result_sentence(reason));
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return complain(x->cli, EXIT_FAILED, "the center at %s did not answer %s %s in time",
                        x->cli->home, x->request->method, x->request->path);
    }
    return complain(x->cli, EXIT_FAILED, "the center at %s broke off its answer to %s %s: %s",
                    x->cli->home, x->request->method, x->request->path, curl_easy_strerror(code));
}

static int exchange_run(struct exchange *x)
{
    const struct request *q = x->request;
    struct curl_slist *headers = NULL;
    char *body = q->body ? json_dumps(q->body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    const char *text = q->body ? body : q->text;
    CURLcode code;

    if (q->body && !body) {
        return complain(x->cli, EXIT_FAILED, "the request cannot be written as JSON");
    }
    headers = curl_slist_append(headers, "Expect:");
    headers = text ? curl_slist_append(headers, "Content-Type: application/json") : headers;
    for (size_t i = 0; q->headers && q->headers[i]; i++) {
        headers = curl_slist_append(headers, q->headers[i]);
    }
    options_set(x, headers, text);
    x->began_ns = clock_ns();
    code = curl_easy_perform(x->curl);
    progress_end(x->cli, x->shown_s);
    curl_slist_free_all(headers);
    free(body);
    if (code != CURLE_OK && !x->stopped) {
        return exchange_failed(x, code);
    }
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->answer->status);
    bytes_put_u8(&x->body, 0);
    if (x->body.error) {
        return exchange_failed(x, CURLE_OUT_OF_MEMORY);
    }
    x->answer->text = (char *)x->body.data;
    x->answer->bytes = x->body.used - 1;
    x->answer->json = json_loadb(x->answer->text, x->answer->bytes, JSON_REJECT_DUPLICATES, NULL);
    x->body = (struct bytes){ 0 };
    return 0;
}

int center_ask(struct cli *cli, const struct request *request, struct answer *ret)
{
    CLEANUP(memory_freep) char *path = text_make("%s/center", cli->home);
    CLEANUP(fd_closep) int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct exchange x = { .cli = cli, .request = request, .answer = ret };
    int r;

    *ret = (struct answer){ 0 };
    x.directory = directory < 0 ? -errno : directory;
    if (directory < 0) {
        return exchange_failed(&x, CURLE_COULDNT_CONNECT);
    }
    x.curl = curl_easy_init();
    if (!x.curl) {
        return complain(cli, EXIT_FAILED, "HTTP cannot be set up");
    }
    bytes_init(&x.body, ANSWER_BYTES_MAX);
    r = exchange_run(&x);
    bytes_deinit(&x.body);
    curl_easy_cleanup(x.curl);
    return r;
}

int center_get(struct cli *cli, const char *path, struct answer *ret)
{
    struct request request = { .method = "GET", .path = path };
    int r = center_ask(cli, &request, ret);

    return r ? r : answer_check(cli, ret, NULL);
}

bool center_ready(struct cli *cli)
{
    struct answer answer = { 0 };
    struct request request = { .method = "GET", .path = "/readyz", .wait_ns = 2 * NS_PER_S };
    struct cli silent = *cli;
    bool ready;

    silent.err = fopen("/dev/null", "we");
    if (!silent.err) {
        return false;
    }
    silent.quiet = true;
    ready = center_ask(&silent, &request, &answer) == 0 && answer.status == 200;
    fclose(silent.err);
    answer_deinit(&answer);
    return ready;
}

char *segment_encode(const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:";
    char *encoded = memory_make(strlen(text) * 3 + 1), *to = encoded;

    for (; *text; text++) {
        if (strchr(plain, *text)) {
            *to++ = *text;
        } else {
            to += sprintf(to, "%%%02X", (unsigned char)*text);
        }
    }
    *to = 0;
    return encoded;
}
