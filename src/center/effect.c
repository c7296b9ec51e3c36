/* The effect of a change, so that "committed" and "in force" are never confused. An effect names
 * agents by their resource, not by their connection: an agent that dies and comes back with the
 * change in force has it in force. The agent of a resource that the change deleted has followed
 * when it is gone. Waits are few (EFFECTS_HELD_MAX), so that an answer from an agent looks through
 * all of them. */
#include "center/effect.h"

#include <string.h>

#include "base/clock.h"
#include "center/document.h"

struct party {
    char *resource;
    bool deleted; /* the resource is no more: its agent has to go */
    enum { PARTY_PENDING, PARTY_APPLIED, PARTY_REJECTED } state;
    int verdict;
    char *reason;
};

struct effect {
    struct center *center;
    struct effect *next; /* among those that wait */
    uint64_t revision, committed_ns, last_applied_ns;
    size_t parties_count, pending;
    struct party *parties; /* sorted by resource */
    uv_timer_t *timer;     /* NULL: does not wait */
    void (*on_settled)(void *data);
    void *data;
};

struct effects {
    struct center *center;
    struct effect *first;
    size_t count;
};

int effects_new(struct center *c, struct effects **ret)
{
    struct effects *e = calloc(1, sizeof(*e));

    if (!e) {
        return failed(-ENOMEM);
    }
    e->center = c;
    *ret = e;
    return 0;
}

struct effects *effects_free(struct effects *e)
{
    free(e);
    return NULL;
}

static void party_look(struct effect *e, struct party *p, const struct agent *a)
{
    bool applied = p->deleted ? !a || !a->session : a && a->session && a->applied >= e->revision;

    if (p->state != PARTY_PENDING) {
        return;
    }
    if (applied) {
        p->state = PARTY_APPLIED;
        e->last_applied_ns = clock_ns();
    } else if (a && a->session && a->rejected_revision >= e->revision) {
        p->state = PARTY_REJECTED;
        p->verdict = a->rejected_verdict;
        p->reason = a->rejected_reason ? strdup(a->rejected_reason) : NULL;
    } else {
        return;
    }
    e->pending--;
}

int effect_new(struct center *c, const struct decision *d, struct effect **ret)
{
    struct effect *e = calloc(1, sizeof(*e));

    if (e) {
        e->parties = calloc(d->affected_count + 1, sizeof(*e->parties));
    }
    if (!e || !e->parties) {
        free(e);
        return failed(-ENOMEM);
    }
    e->center = c;
    e->revision = d->revision;
    e->committed_ns = e->last_applied_ns = d->committed_ns;
    for (size_t i = 0; i < d->affected_count; i++) {
        const struct agent *a = roster_find(&c->roster, d->affected[i]);

        bool deleted = d->committed_ns && !catalog_resource(c->governor.catalog, d->affected[i]);

        if (a && a->session && (deleted || !a->stopping)) {
            struct party *p = &e->parties[e->parties_count];

            p->resource = strdup(d->affected[i]);
            p->deleted = deleted;
            e->parties_count += p->resource != NULL;
        }
    }
    e->pending = e->parties_count;
    *ret = e;
    return 0;
}

static void on_timer_closed(uv_handle_t *timer)
{
    free(timer);
}

/* Takes it out of the list of those that wait. */
static void effect_unwait(struct effect *e)
{
    struct effects *all = e->center->effects;

    for (struct effect **at = &all->first; *at; at = &(*at)->next) {
        if (*at == e) {
            *at = e->next;
            all->count--;
            break;
        }
    }
    uv_close((uv_handle_t *)e->timer, on_timer_closed);
    e->timer = NULL;
}

struct effect *effect_free(struct effect *e)
{
    if (!e) {
        return NULL;
    }
    if (e->timer) {
        effect_unwait(e);
    }
    for (size_t i = 0; i < e->parties_count; i++) {
        free(e->parties[i].resource);
        free(e->parties[i].reason);
    }
    free(e->parties);
    free(e);
    return NULL;
}

static void effect_settle(struct effect *e)
{
    effect_unwait(e);
    e->on_settled(e->data); /* may free e */
}

static void on_time_over(uv_timer_t *timer)
{
    effect_settle(timer->data);
}

int effect_wait(struct effect *e, uint64_t wait_ns, void (*on_settled)(void *data), void *data,
                bool *ret_waits)
{
    struct effects *all = e->center->effects;

    *ret_waits = e->pending > 0 && !e->center->leaving;
    if (!*ret_waits) {
        return 0;
    }
    if (all->count >= EFFECTS_HELD_MAX) {
        return RHODES_OVER_LIMIT;
    }
    e->timer = calloc(1, sizeof(*e->timer));
    if (!e->timer) {
        return failed(-ENOMEM);
    }
    uv_update_time(&e->center->loop); /* the commit may have taken longer than the wait */
    uv_timer_init(&e->center->loop, e->timer);
    e->timer->data = e;
    e->on_settled = on_settled;
    e->data = data;
    uv_timer_start(e->timer, on_time_over, (wait_ns + NS_PER_MS - 1) / NS_PER_MS, 0);
    e->next = all->first;
    all->first = e;
    all->count++;
    return 0;
}

void effects_follow(struct effects *all, const struct agent *a)
{
    struct effect *next;

    for (struct effect *e = all->first; e; e = next) {
        next = e->next;
        for (size_t i = 0; i < e->parties_count; i++) {
            if (strcmp(e->parties[i].resource, a->resource) == 0) {
                party_look(e, &e->parties[i], a);
                break;
            }
        }
        if (!e->pending) {
            effect_settle(e);
        }
    }
}

void effects_release(struct effects *all)
{
    while (all->first) {
        effect_settle(all->first);
    }
}

json_t *effect_json(const struct effect *e)
{
    json_t *json = json_object(), *pending = json_array(), *rejected = json_array();
    size_t applied = 0;

    for (size_t i = 0; i < e->parties_count; i++) {
        const struct party *p = &e->parties[i];

        if (p->state == PARTY_PENDING) {
            json_array_append_new(pending, json_string(p->resource));
        } else if (p->state == PARTY_REJECTED) {
            json_array_append_new(rejected, json_pack("{s:s, s:s, s:o}", "agent", p->resource,
                                                      "verdict", rhodes_result_name(p->verdict),
                                                      "reason", document_text(p->reason)));
        } else {
            applied++;
        }
    }
    json_object_set_new(json, "agents", json_integer((json_int_t)e->parties_count));
    json_object_set_new(json, "applied", json_integer((json_int_t)applied));
    json_object_set_new(json, "rejected", rejected);
    json_object_set_new(json, "pending", pending);
    json_object_set_new(json, "ms",
                        json_real((double)(e->last_applied_ns - e->committed_ns) / 1e6));
    return json;
}
