/* tcp_wire: one thread pulls frames out of driver/netdriver and feeds the stack, another carries
 * the stack's frames out.
 *
 * Frames are batched by themselves: while one call is under way, what comes in or is to go out
 * gathers for the next. The queue for sending is bounded; what does not fit is dropped and counted,
 * as on any wire, and TCP sends it again. Errors: DENIED is told to the stack at once, because no
 * waiting will mend it before a person does. Others may be a driver or an agent that restarts,
 * which takes a fraction of a second: TCP bridges that, so they are told only when they last. */
#include "tcp_wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stack_inner.h"

#define DRIVER          "driver/netdriver"
#define QUEUE_FRAMES    512u
#define FRAME_BYTES_MAX 1518u
#define BATCH_FRAMES    64u
#define PULL_WAIT_MS    100u
#define CALL_TIMEOUT_NS 1000000000ull
#define RETRY_NS        25000000
#define PATIENCE_NS                                                                                \
    2000000000ull /* how long an error other than DENIED may last before it is told */

struct frame {
    uint32_t bytes;
    uint8_t data[FRAME_BYTES_MAX];
};

struct wire {
    struct rhodes *rhodes;
    struct stack_options options;
    _Atomic(struct stack *) stack;
    pthread_t puller, sender;
    atomic_bool stopping;
    pthread_mutex_t lock; /* guards the queue and `trouble` */
    pthread_cond_t queued, changed;
    struct frame *queue;
    uint32_t head, used;
    char trouble[STACK_WHY_BYTES];
    bool denied;
    atomic_bool told; /* the stack knows of a fault */
    _Atomic uint64_t recv_calls, xmit_calls, frames_in, frames_out, dropped, refused;
};

/* One direction's view of the driver: since when it has been failing. */
struct direction {
    struct wire *wire;
    uint64_t failing_since_ns;
};

static void pause_ns(long ns)
{
    nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static void trouble_set(struct wire *w, const char *text, bool denied)
{
    pthread_mutex_lock(&w->lock);
    w->denied = denied;
    snprintf(w->trouble, sizeof(w->trouble), "%s", text);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void direction_failed(struct direction *d, int r, const char *why)
{
    struct stack *stack = atomic_load(&d->wire->stack);
    char text[STACK_WHY_BYTES];

    d->wire->refused++;
    if (d->failing_since_ns == 0) {
        d->failing_since_ns = stack_now_ns();
    }
    if (r == RHODES_DENIED) {
        snprintf(text, sizeof(text), DRIVER " refuses service/tcp: %.400s", why);
    } else if (stack_now_ns() - d->failing_since_ns > PATIENCE_NS || stack == NULL) {
        snprintf(text, sizeof(text), DRIVER " does not serve service/tcp: %s: %.400s",
                 rhodes_result_name(r), why);
    } else {
        return;
    }
    if (stack != NULL) {
        stack_fault(stack, text);
    }
    trouble_set(d->wire, text, r == RHODES_DENIED);
    atomic_store(&d->wire->told, true);
}

static void direction_worked(struct direction *d)
{
    d->failing_since_ns = 0;
    if (atomic_exchange(&d->wire->told, false)) {
        stack_fault(atomic_load(&d->wire->stack), NULL);
        trouble_set(d->wire, "", false);
    }
}

/* lwIP is locked: copy and go. */
static void on_frame(void *data, const void *frame, size_t bytes)
{
    struct wire *w = data;
    struct frame *f;

    pthread_mutex_lock(&w->lock);
    if (w->used == QUEUE_FRAMES || bytes > FRAME_BYTES_MAX) {
        w->dropped++;
    } else {
        f = &w->queue[(w->head + w->used) % QUEUE_FRAMES];
        memcpy(f->data, frame, bytes);
        f->bytes = (uint32_t)bytes;
        w->used++;
        pthread_cond_signal(&w->queued);
    }
    pthread_mutex_unlock(&w->lock);
}

/* Waits for frames; returns how many stand at the head (they stay there until batch_done). 0 when
 * stopping. */
static uint32_t batch_wait(struct wire *w)
{
    uint32_t count, whole;

    pthread_mutex_lock(&w->lock);
    while (w->used == 0 && !atomic_load(&w->stopping)) {
        pthread_cond_wait(&w->queued, &w->lock);
    }
    count = w->used < BATCH_FRAMES ? w->used : BATCH_FRAMES;
    pthread_mutex_unlock(&w->lock);
    whole = QUEUE_FRAMES - w->head; /* only this thread moves the head */
    return atomic_load(&w->stopping) ? 0 : count < whole ? count : whole;
}

static void batch_done(struct wire *w, uint32_t count)
{
    pthread_mutex_lock(&w->lock);
    w->head = (w->head + count) % QUEUE_FRAMES;
    w->used -= count;
    pthread_mutex_unlock(&w->lock);
}

static int batch_send(struct wire *w, struct rhodes_call *call, struct rhodes_function *xmit,
                      uint32_t count)
{
    struct rhodes_writer *arguments = rhodes_call_begin(call, xmit);
    uint32_t accepted = 0;
    int r = rhodes_put_list(arguments, count);

    for (uint32_t i = 0; r == 0 && i < count; i++) {
        const struct frame *f = &w->queue[w->head + i];

        r = rhodes_put_bytes(arguments, f->data, f->bytes);
    }
    r = r != 0 ? r : rhodes_put_end(arguments);
    r = r != 0 ? r : rhodes_call_run(call, CALL_TIMEOUT_NS);
    r = r != 0 ? r : rhodes_get_u32(rhodes_call_result(call), &accepted);
    if (r == 0) {
        w->xmit_calls++;
        w->frames_out += accepted;
    }
    return r;
}

/* Binding asks the agent, which may not know the driver yet. */
static int driver_bind(struct wire *w, struct direction *d, const char *name, const char *signature,
                       struct rhodes_function **ret)
{
    while (!atomic_load(&w->stopping)) {
        int r = rhodes_bind(w->rhodes, DRIVER, name, signature, NULL, ret);

        if (r == 0) {
            return 0;
        }
        direction_failed(d, r, rhodes_bind_error(w->rhodes));
        pause_ns(RETRY_NS);
    }
    return -ECANCELED;
}

static void *sender_run(void *data)
{
    struct wire *w = data;
    struct direction d = { .wire = w };
    struct rhodes_call *call = NULL;
    struct rhodes_function *xmit = NULL;
    int r = rhodes_call_new(w->rhodes, &call);

    r = r != 0 ? r : driver_bind(w, &d, "xmit", "xmit: func(frames: list<list<u8>>) -> u32", &xmit);
    while (r == 0) {
        uint32_t count = batch_wait(w);
        int sent;

        if (count == 0) {
            break;
        }
        sent = batch_send(w, call, xmit, count);
        if (sent == 0) {
            direction_worked(&d);
        } else {
            direction_failed(&d, sent, rhodes_call_error(call));
            if (sent == RHODES_NOT_EXECUTED) { /* surely not sent: they may go once more */
                pause_ns(RETRY_NS);
                continue;
            }
            w->dropped += count;
        }
        batch_done(w, count);
    }
    rhodes_call_free(call);
    return NULL;
}

/* `wait_ms` 0 asks whether the driver answers at all. */
static int pull_once(struct wire *w, struct stack *stack, struct rhodes_call *call,
                     struct rhodes_function *recv, uint32_t wait_ms)
{
    struct rhodes_writer *arguments = rhodes_call_begin(call, recv);
    struct rhodes_reader *result;
    uint32_t count = 0;
    int r = rhodes_put_u32(arguments, BATCH_FRAMES);

    r = r != 0 ? r : rhodes_put_u32(arguments, wait_ms);
    r = r != 0 ? r : rhodes_call_run(call, CALL_TIMEOUT_NS);
    if (r != 0) {
        return r;
    }
    result = rhodes_call_result(call);
    r = rhodes_get_list(result, &count);
    stack_input_begin(stack);
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        const void *frame;
        size_t bytes;

        r = rhodes_get_bytes(result, &frame, &bytes);
        if (r == 0) {
            stack_input(stack, frame, bytes);
            w->frames_in++;
        }
    }
    stack_input_end(stack);
    w->recv_calls++;
    return r;
}

static int info_ask(struct wire *w, struct rhodes_call *call, struct rhodes_function *info)
{
    struct rhodes_reader *result;
    const void *mac = NULL;
    size_t bytes = 0;
    int r;

    (void)rhodes_call_begin(call, info);
    r = rhodes_call_run(call, CALL_TIMEOUT_NS);
    if (r != 0) {
        return r;
    }
    result = rhodes_call_result(call);
    r = rhodes_get_begin(result);
    r = r != 0 ? r : rhodes_get_bytes(result, &mac, &bytes);
    r = r != 0 ? r : rhodes_get_u32(result, &w->options.mtu);
    if (r == 0 && bytes != sizeof(w->options.mac)) {
        return RHODES_GARBAGE;
    }
    if (r == 0) {
        memcpy(w->options.mac, mac, bytes);
    }
    return r;
}

/* Asks for the card's address until the driver answers, then starts the stack. */
static struct stack *stack_begin(struct wire *w, struct direction *d, struct rhodes_call *call)
{
    struct rhodes_function *info = NULL;
    struct stack *stack = NULL;
    struct stack_why why;
    int r = driver_bind(w, d, "info", NULL, &info);

    while (r == 0 && !atomic_load(&w->stopping)) {
        int asked = info_ask(w, call, info);

        if (asked == 0) {
            break;
        }
        direction_failed(d, asked, rhodes_call_error(call));
        pause_ns(RETRY_NS);
    }
    if (r != 0 || atomic_load(&w->stopping)) {
        return NULL;
    }
    r = stack_start(&w->options, &stack, &why);
    if (r != 0) {
        trouble_set(w, why.text, false);
        return NULL;
    }
    d->failing_since_ns = 0;
    atomic_store(&w->told, false);
    atomic_store(&w->stack, stack);
    trouble_set(w, "", false);
    return stack;
}

static void *puller_run(void *data)
{
    struct wire *w = data;
    struct direction d = { .wire = w };
    struct rhodes_call *call = NULL;
    struct rhodes_function *recv = NULL;
    struct stack *stack = NULL;
    int r = rhodes_call_new(w->rhodes, &call);

    r = r != 0 ? r
               : driver_bind(w, &d, "recv", "recv: func(max: u32, wait-ms: u32) -> list<list<u8>>",
                             &recv);
    if (r == 0) {
        stack = stack_begin(w, &d, call);
    }
    while (stack != NULL && !atomic_load(&w->stopping)) {
        /* After a failure the first good answer must not wait for a frame: others wait to hear of
         * it. */
        r = pull_once(w, stack, call, recv, d.failing_since_ns == 0 ? PULL_WAIT_MS : 0);
        if (r == 0) {
            direction_worked(&d);
        } else {
            direction_failed(&d, r, rhodes_call_error(call));
            pause_ns(RETRY_NS);
        }
    }
    rhodes_call_free(call);
    return NULL;
}

int wire_start(struct rhodes *r, const struct stack_options *options, struct wire **ret)
{
    struct wire *w = calloc(1, sizeof(*w));
    pthread_condattr_t monotonic;

    if (w == NULL || (w->queue = calloc(QUEUE_FRAMES, sizeof(*w->queue))) == NULL) {
        free(w);
        return -ENOMEM;
    }
    w->rhodes = r;
    w->options = *options;
    w->options.on_frame = on_frame;
    w->options.data = w;
    snprintf(w->trouble, sizeof(w->trouble), "the network is not up yet");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->queued, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&w->puller, NULL, puller_run, w) != 0) {
        free(w->queue);
        free(w);
        return -EAGAIN;
    }
    if (pthread_create(&w->sender, NULL, sender_run, w) != 0) {
        atomic_store(&w->stopping, true);
        pthread_join(w->puller, NULL);
        free(w->queue);
        free(w);
        return -EAGAIN;
    }
    *ret = w;
    return 0;
}

/* lwIP's thread lives on and may still hand over a frame, so the queue stays. */
struct wire *wire_stop(struct wire *w)
{
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->stopping, true);
    pthread_cond_broadcast(&w->queued);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->puller, NULL);
    pthread_join(w->sender, NULL);
    if (atomic_load(&w->stack) == NULL) {
        free(w->queue);
        free(w);
    }
    return NULL;
}

struct stack *wire_stack(struct wire *w, uint64_t deadline_ns, struct stack_why *why)
{
    struct timespec until = { .tv_sec = (time_t)(deadline_ns / 1000000000u),
                              .tv_nsec = (long)(deadline_ns % 1000000000u) };
    struct stack *stack = atomic_load(&w->stack);

    if (stack != NULL) {
        return stack;
    }
    pthread_mutex_lock(&w->lock);
    while ((stack = atomic_load(&w->stack)) == NULL && !w->denied &&
           pthread_cond_timedwait(&w->changed, &w->lock, &until) == 0) {
        continue;
    }
    if (stack == NULL) {
        stack_fail(why, -ENETDOWN, "%s", w->trouble);
    }
    pthread_mutex_unlock(&w->lock);
    return stack;
}

void wire_count(struct wire *w, struct wire_counters *ret)
{
    *ret = (struct wire_counters){ w->recv_calls, w->xmit_calls, w->frames_in,
                                   w->frames_out, w->dropped,    w->refused };
}
