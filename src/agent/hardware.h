/* agent/hardware.h - what serves the calls of a hardware resource: the device, opened when it can
 * be, behind the same at-most-once table that programs have in librhodes. */
#ifndef AGENT_HARDWARE_H
#define AGENT_HARDWARE_H

#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

#include "agent/device.h"
#include "agent/route.h"
#include "base/bytes.h"
#include "model/wit.h"
#include "wire/dedupe.h"

#define HARDWARE_CALLERS_MAX     1024
#define HARDWARE_REPLY_BYTES_MAX (16u << 20)

struct agent;
struct answer;

struct hardware {
    struct agent *agent;
    pthread_mutex_t lock;    /* device, its users, why */
    struct device_use *open; /* NULL: see why */
    struct dedupe *dedupe;
    char why[WHY_BYTES];
    uint8_t kind; /* what is wanted; main thread */
    char *target;
    bool said; /* that it cannot be opened was reported */
    uv_timer_t retry;
};

int hardware_init(struct hardware *h, struct agent *a) MUST_CHECK;
void hardware_deinit(struct hardware *h); /* after the crew has ended */
/* Opens this device (closing another one), now or as soon as it can be. Main thread. */
void hardware_want(struct hardware *h, uint8_t kind, const char *target);
void hardware_stop(struct hardware *h); /* ends all calls; main thread */
/* Runs one request. Any thread. */
void hardware_call(struct hardware *h, const struct wit_function *f,
                   const struct call_head *request, const struct bytes *body, struct answer *ret);

#endif
