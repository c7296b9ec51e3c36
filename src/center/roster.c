/* The life of an agent as the center sees it, as one table of state and event, and the list of all
 * agents. The list is a sorted array: it is read on every push and changed only when a resource
 * comes or goes, and a thousand pointers moved now and then cost less than a tree's memory per
 * agent. */
#include "center/roster.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "center/document.h"

#define NEVER AGENT_STATES_COUNT

static const enum agent_state moves[AGENT_STATES_COUNT][AGENT_MOVES_COUNT] = {
    [AGENT_STARTING] = { [MOVE_SPAWNED] = AGENT_STARTING,
                         [MOVE_HELLO] = AGENT_STARTING,
                         [MOVE_APPLIED] = AGENT_READY,
                         [MOVE_REJECTED] = AGENT_FAILED,
                         [MOVE_GONE] = AGENT_LOST,
                         [MOVE_ENDED] = AGENT_STOPPED,
                         [MOVE_FAILED] = AGENT_FAILED },
    [AGENT_READY] = { [MOVE_SPAWNED] = NEVER,
                      [MOVE_HELLO] = NEVER,
                      [MOVE_APPLIED] = AGENT_READY,
                      [MOVE_REJECTED] = AGENT_READY, /* it goes on with the last good view */
                      [MOVE_GONE] = AGENT_LOST,
                      [MOVE_ENDED] = AGENT_STOPPED,
                      [MOVE_FAILED] = AGENT_FAILED },
    [AGENT_LOST] = { [MOVE_SPAWNED] = AGENT_STARTING,
                     [MOVE_HELLO] = AGENT_STARTING,
                     [MOVE_APPLIED] = NEVER,
                     [MOVE_REJECTED] = NEVER,
                     [MOVE_GONE] = AGENT_LOST,
                     [MOVE_ENDED] = AGENT_STOPPED,
                     [MOVE_FAILED] = AGENT_FAILED },
    [AGENT_FAILED] = { [MOVE_SPAWNED] = AGENT_STARTING,
                       [MOVE_HELLO] = AGENT_STARTING,
                       [MOVE_APPLIED] = AGENT_READY,
                       [MOVE_REJECTED] = AGENT_FAILED,
                       [MOVE_GONE] = AGENT_FAILED,
                       [MOVE_ENDED] = AGENT_STOPPED,
                       [MOVE_FAILED] = AGENT_FAILED },
    [AGENT_STOPPED] = { [MOVE_SPAWNED] = AGENT_STARTING,
                        [MOVE_HELLO] = AGENT_STARTING,
                        [MOVE_APPLIED] = NEVER,
                        [MOVE_REJECTED] = NEVER,
                        [MOVE_GONE] = AGENT_STOPPED,
                        [MOVE_ENDED] = AGENT_STOPPED,
                        [MOVE_FAILED] = AGENT_FAILED },
};

const char *agent_state_name(enum agent_state state)
{
    static const char *const names[] = { "starting", "ready", "lost", "failed", "stopped" };

    return names[state];
}

bool agent_moved(struct agent *a, enum agent_move move, uint64_t now_ms)
{
    enum agent_state next = moves[a->state][move];

    assert(next != NEVER);
    if (next == a->state) {
        return false;
    }
    a->state = next;
    a->since_ms = now_ms;
    return true;
}

bool agent_in_sync(const struct agent *a)
{
    return a->session && a->applied >= a->wanted && !a->rejected_revision;
}

void agent_rejected(struct agent *a, uint64_t revision, int verdict, const char *reason)
{
    free(a->rejected_reason);
    a->rejected_reason = revision ? strdup(reason) : NULL;
    a->rejected_revision = revision;
    a->rejected_verdict = verdict;
}

/* Where `resource` stands, or would stand. */
static size_t place_of(const struct roster *r, const char *resource, bool *ret_found)
{
    size_t low = 0, high = r->count;

    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(resource, r->agents[middle]->resource);

        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

struct agent *roster_find(const struct roster *r, const char *resource)
{
    bool found;
    size_t i = place_of(r, resource, &found);

    return found ? r->agents[i] : NULL;
}

int roster_add(struct roster *r, const char *resource, struct agent **ret)
{
    bool found;
    size_t i = place_of(r, resource, &found);
    struct agent *a;

    if (found) {
        *ret = r->agents[i];
        return 0;
    }
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 32;
        struct agent **grown = realloc(r->agents, room * sizeof(struct agent *));

        if (!grown) {
            return failed(-ENOMEM);
        }
        r->agents = grown;
        r->room = room;
    }
    a = calloc(1, sizeof(*a));
    if (!a) {
        return failed(-ENOMEM);
    }
    snprintf(a->resource, sizeof(a->resource), "%s", resource);
    memmove(r->agents + i + 1, r->agents + i, (r->count - i) * sizeof(void *));
    r->agents[i] = a;
    r->count++;
    *ret = a;
    return 0;
}

static void agent_free(struct agent *a)
{
    free(a->rejected_reason);
    free(a);
}

void roster_remove(struct roster *r, struct agent *a)
{
    bool found;
    size_t i = place_of(r, a->resource, &found);

    assert(found && !a->session && !a->child);
    r->count--;
    memmove(r->agents + i, r->agents + i + 1, (r->count - i) * sizeof(void *));
    agent_free(a);
}

void roster_deinit(struct roster *r)
{
    for (size_t i = 0; i < r->count; i++) {
        agent_free(r->agents[i]);
    }
    free(r->agents);
    *r = (struct roster){ 0 };
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *counters_json(const struct agent_status *s)
{
    json_t *json = json_object();

    json_object_set_new(json, "callsOut", number(s->calls_out));
    json_object_set_new(json, "callsIn", number(s->calls_in));
    json_object_set_new(json, "refused", number(s->refused));
    json_object_set_new(json, "failed", number(s->failed));
    json_object_set_new(json, "timeouts", number(s->timeouts));
    json_object_set_new(json, "switches", number(s->switches));
    return json;
}

static json_t *rejected_json(const struct agent *a)
{
    json_t *json = json_object();

    json_object_set_new(json, "revision", number(a->rejected_revision));
    json_object_set_new(json, "verdict", json_string(rhodes_result_name(a->rejected_verdict)));
    json_object_set_new(json, "reason", document_text(a->rejected_reason));
    return json;
}

json_t *agent_json(const struct agent *a)
{
    json_t *json = json_object(), *program = json_object();
    char text[TIME_TEXT_BYTES], incarnation[17];

    snprintf(incarnation, sizeof(incarnation), "%016llx", (unsigned long long)a->incarnation);
    json_object_set_new(json, "resource", json_string(a->resource));
    json_object_set_new(json, "pid", json_integer(a->pid));
    json_object_set_new(json, "incarnation", json_string(incarnation));
    json_object_set_new(json, "state", json_string(agent_state_name(a->state)));
    json_object_set_new(json, "since", json_string(time_text(a->since_ms, text)));
    json_object_set_new(json, "restarts", json_integer(a->restarts));
    json_object_set_new(json, "managed", json_boolean(a->managed));
    json_object_set_new(json, "pushed", number(a->pushed));
    json_object_set_new(json, "applied", number(a->applied));
    json_object_set_new(json, "wanted", number(a->wanted));
    json_object_set_new(json, "inSync", json_boolean(agent_in_sync(a)));
    json_object_set_new(json, "appliedMs", json_real((double)a->applied_ns / 1e6));
    if (a->rejected_revision) {
        json_object_set_new(json, "rejected", rejected_json(a));
    }
    json_object_set_new(program, "pid", number(a->status.program_pid));
    json_object_set_new(
        program, "state",
        json_string(program_state_name((enum program_state)a->status.program_state)));
    json_object_set_new(json, "program", program);
    json_object_set_new(json, "counters", counters_json(&a->status));
    return json;
}
