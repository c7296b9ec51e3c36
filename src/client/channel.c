/* The channels. A thread's caller channel is made at its first call and goes with the thread (the
 * paper's independent memory for each thread); a serving thread has one of the other role. A
 * conduit is made and given up by the channel's own thread only; the session's lock guards the
 * pointer because the background thread interrupts through it. */
#include "base/clock.h"
#include "client/client.h"

void channel_init(struct channel *ch, struct rhodes *r, enum channel_role role)
{
    *ch = (struct channel){ .rhodes = r, .role = role, .id = random_id() };
    pthread_mutex_lock(&r->lock);
    ch->next = r->channels;
    r->channels = ch;
    r->references++;
    pthread_mutex_unlock(&r->lock);
}

void channel_give_up(struct channel *ch)
{
    struct conduit *c;

    pthread_mutex_lock(&ch->rhodes->lock);
    c = ch->conduit;
    ch->conduit = NULL;
    ch->epoch = 0;
    pthread_mutex_unlock(&ch->rhodes->lock);
    if (c) {
        c->transmitter->free(c);
    }
}

void channel_renew(struct channel *ch)
{
    channel_give_up(ch);
    ch->id = random_id();
    ch->sequence = 0;
}

void channel_deinit(struct channel *ch)
{
    struct rhodes *r = ch->rhodes;

    channel_give_up(ch);
    pthread_mutex_lock(&r->lock);
    for (struct channel **at = &r->channels; *at; at = &(*at)->next) {
        if (*at == ch) {
            *at = ch->next;
            break;
        }
    }
    pthread_mutex_unlock(&r->lock);
    rhodes_unref(r);
}

void channel_key_end(void *data)
{
    struct channel *ch = data;

    if (!own_process(ch->rhodes)) {
        return; /* the thread that forked, ending in the child: nothing here is its own */
    }
    channel_deinit(ch);
    free(ch);
}

int channel_mine(struct rhodes *r, struct channel **ret)
{
    struct channel *ch = pthread_getspecific(r->key);
    int result;

    if (ch) {
        *ret = ch;
        return 0;
    }
    ch = calloc(1, sizeof(*ch));
    if (!ch) {
        return failed(-ENOMEM);
    }
    channel_init(ch, r, CHANNEL_CALLER);
    result = -pthread_setspecific(r->key, ch);
    if (result) {
        channel_key_end(ch);
        return failed(result);
    }
    *ret = ch;
    return 0;
}

static int conduit_ask(struct channel *ch, struct conduit *c, const struct descriptors *mine,
                       uint64_t epoch, uint64_t deadline_ns)
{
    struct rhodes *r = ch->rhodes;
    struct session_message *m = session_begin(r, SESSION_CHANNEL, deadline_ns);
    int result;

    if (!m) {
        return error_say(RHODES_TIMEOUT, "other requests to the agent of %s did not end in time",
                         r->resource);
    }
    m->number[0] = ch->id;
    m->number[1] = ch->role;
    result = session_ask(r, epoch, mine, deadline_ns);
    if (!result) {
        result = c->transmitter->complete(c, &r->answer_descriptors);
        if (result) {
            error_say(result, "the agent of %s answered with memory that is not a channel's",
                      r->resource);
        }
    }
    session_end(r);
    return result;
}

int channel_open(struct channel *ch, uint64_t epoch, uint64_t deadline_ns)
{
    struct rhodes *r = ch->rhodes;
    struct descriptors mine = { 0 };
    struct conduit *c;
    int result;

    if (ch->conduit && ch->epoch == epoch) {
        return 0;
    }
    channel_give_up(ch);
    result = transmitter_shm.open(&c, &mine);
    if (result) {
        return error_say(result, "no memory for a channel (%s)", rhodes_result_name(result));
    }
    result = conduit_ask(ch, c, &mine, epoch, deadline_ns);
    descriptors_close(&mine);
    if (result) {
        transmitter_shm.free(c);
        return result;
    }
    pthread_mutex_lock(&r->lock);
    if (atomic_load(&r->epoch) == epoch && !r->closing) {
        ch->conduit = c;
        ch->epoch = epoch;
    } else { /* the end of the epoch would not interrupt it any more */
        result = error_say(-ECANCELED, "%s", r->lost);
    }
    pthread_mutex_unlock(&r->lock);
    if (result) {
        transmitter_shm.free(c);
    }
    return result;
}
