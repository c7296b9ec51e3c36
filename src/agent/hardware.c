/* The device of a hardware agent. While it cannot be opened (the interface does not exist yet) the
 * agent stays up, says so once, and tries again every 200 ms; calls are answered NOT_EXECUTED with
 * the reason meanwhile.
 *
 * An open device counts its users. Exchanging it takes it out of `open` first, so that no call can
 * begin on it, then stops it, and the last one to leave (a call, or the exchange itself) closes it:
 * the main thread never waits for a call. */
#include "agent/hardware.h"

#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "model/device.h"
#include "wire/value.h"

#define RETRY_MS 200

struct device_use {
    struct device_instance *device;
    unsigned users; /* calls in it, and one for being `open`; under the lock */
};

int hardware_init(struct hardware *h, struct agent *a)
{
    *h = (struct hardware){ .agent = a };
    pthread_mutex_init(&h->lock, NULL);
    snprintf(h->why, sizeof(h->why), "the device has not been opened yet");
    uv_timer_init(&a->loop, &h->retry);
    h->retry.data = h;
    return dedupe_new(a->incarnation, HARDWARE_CALLERS_MAX, HARDWARE_REPLY_BYTES_MAX, &h->dedupe);
}

void hardware_deinit(struct hardware *h)
{
    h->dedupe = dedupe_free(h->dedupe);
    free(h->target);
    pthread_mutex_destroy(&h->lock);
}

static struct device_use *use_begin(struct hardware *h, char *why)
{
    struct device_use *use;

    pthread_mutex_lock(&h->lock);
    use = h->open;
    if (use) {
        use->users++;
    } else {
        memcpy(why, h->why, WHY_BYTES);
    }
    pthread_mutex_unlock(&h->lock);
    return use;
}

static void use_end(struct hardware *h, struct device_use *use)
{
    bool last;

    pthread_mutex_lock(&h->lock);
    last = --use->users == 0;
    pthread_mutex_unlock(&h->lock);
    if (last) {
        device_close(use->device);
        free(use);
    }
}

/* From now on there is no device, and this is why. */
static void device_take_away(struct hardware *h, const char *why)
{
    struct device_use *use;

    pthread_mutex_lock(&h->lock);
    use = h->open;
    h->open = NULL;
    snprintf(h->why, sizeof(h->why), "%s", why);
    pthread_mutex_unlock(&h->lock);
    if (use) {
        device_stop(use->device);
        use_end(h, use);
    }
}

static void on_retry(uv_timer_t *timer);

static void device_try(struct hardware *h)
{
    struct agent *a = h->agent;
    struct device_use *use = calloc(1, sizeof(*use));
    char why[DEVICE_WHY_BYTES] = "out of memory";
    int r = use ? device_open(h->kind, h->target, &use->device, why, sizeof(why)) : failed(-ENOMEM);

    if (!r) {
        use->users = 1;
        pthread_mutex_lock(&h->lock);
        h->open = use;
        pthread_mutex_unlock(&h->lock);
        h->said = false;
        uv_timer_stop(&h->retry);
        agent_notice(a, LOG_INFO, "device.opened", "%s %s",
                     device_kind_name((enum device_kind)h->kind), h->target);
        program_moved(&a->program, PROGRAM_BOUND);
        return;
    }
    free(use);
    pthread_mutex_lock(&h->lock);
    snprintf(h->why, sizeof(h->why), "the device of %s is not open: %s", a->options.resource, why);
    pthread_mutex_unlock(&h->lock);
    if (!h->said) {
        h->said = true;
        agent_notice(a, LOG_WARNING, "device.failed", "%s", why);
        program_moved(&a->program, PROGRAM_UNSTARTABLE);
    }
    uv_timer_start(&h->retry, on_retry, RETRY_MS, 0);
}

static void on_retry(uv_timer_t *timer)
{
    device_try(timer->data);
}

void hardware_want(struct hardware *h, uint8_t kind, const char *target)
{
    if (h->target && h->kind == kind && strcmp(h->target, target) == 0) {
        return;
    }
    device_take_away(h, "the device is being exchanged");
    free(h->target);
    h->target = strdup(target);
    h->kind = kind;
    h->said = false;
    if (h->target) {
        device_try(h);
    }
}

void hardware_stop(struct hardware *h)
{
    uv_timer_stop(&h->retry);
    device_take_away(h, "the agent is stopping");
}

/* Runs the function on the open device, into ret->writer. */
static int device_run(struct hardware *h, const struct wit_function *f,
                      const struct call_head *request, const struct bytes *body, struct answer *ret,
                      char *why)
{
    struct device_use *use;
    int r = answer_values(ret, f);

    r = r ? r : value_check(f->parameters, body->data, body->used);
    r = r ? r : value_reader_parameters(ret->reader, f->parameters, body->data, body->used);
    if (r) {
        snprintf(why, WHY_BYTES, "the arguments of %s are not valid", f->name);
        return r;
    }
    use = use_begin(h, why);
    if (!use) {
        return RHODES_NOT_EXECUTED;
    }
    r = device_call(use->device, f->name, ret->reader, f->result ? ret->writer : NULL,
                    request->deadline_ns, why, WHY_BYTES);
    use_end(h, use);
    return r;
}

/* The call runs here and now, and is remembered. */
static void device_execute(struct hardware *h, const struct wit_function *f,
                           const struct call_head *request, const struct bytes *body,
                           struct answer *ret)
{
    char why[WHY_BYTES] = "";
    uint64_t started = clock_ns();
    const void *result = NULL;
    size_t bytes = 0;
    int r = device_run(h, f, request, body, ret, why);

    if (!r && f->result) {
        r = value_writer_body(ret->writer, &result, &bytes);
    }
    if (r) {
        answer_text(ret, request, r, "%s", *why ? why : rhodes_result_sentence(r));
    } else {
        answer_body(ret, request, result, bytes);
    }
    ret->head.stamp[STAMP_CALLEE_STARTED] = started;
    ret->head.stamp[STAMP_CALLEE_DONE] = clock_ns();
    dedupe_done(h->dedupe, request, ret->head.result, ret->body.data, ret->body.used);
}

void hardware_call(struct hardware *h, const struct wit_function *f,
                   const struct call_head *request, const struct bytes *body, struct answer *ret)
{
    int32_t result;
    int r = dedupe_begin(h->dedupe, request, &result, &ret->body);

    switch (r) {
    case 0:
        device_execute(h, f, request, body, ret);
        break;
    case RHODES_EXISTS:
        answer_again(ret, request, result);
        break;
    case RHODES_STALE:
        answer_text(ret, request, r, "its caller has gone on to a later call");
        break;
    case RHODES_UNKNOWN:
        answer_text(ret, request, r, "the agent of %s died during the call, which may have run",
                    h->agent->options.resource);
        break;
    default:
        answer_text(ret, request, r, "%s", rhodes_result_sentence(r));
        break;
    }
}
