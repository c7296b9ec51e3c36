/* Views: finding and judging in one, and that the delta between two leads from the one to the
 * other. */
#include "base/hash.h"
#include "model/test_help.h"

static struct view_function function(const char *signature)
{
    return (struct view_function){ strdup(signature), hash_bytes(signature, strlen(signature)) };
}

static struct view *view_make(uint64_t revision)
{
    struct view *v = calloc(1, sizeof(*v));

    v->references = 1;
    v->revision = revision;
    strcpy(v->self.resource, "service/tcp");
    v->self.functions = calloc(2, sizeof(*v->self.functions));
    v->self.functions_count = 2;
    v->self.functions[0] = function("get: func() -> u32");
    v->self.functions[1] = function("getter: func()");
    return v;
}

/* Edges must be added in order. */
static struct view_edge *edge_add(struct view *v, const char *peer, bool outgoing)
{
    struct view_edge *e;

    v->edges = realloc(v->edges, (v->edges_count + 1) * sizeof(*v->edges));
    e = &v->edges[v->edges_count++];
    memset(e, 0, sizeof(*e));
    strcpy(e->peer, peer);
    e->outgoing = outgoing;
    e->allowed = true;
    e->timeout_ns = 1;
    return e;
}

static struct view *view_plain(uint64_t revision)
{
    struct view *v = view_make(revision);
    struct view_edge *e;

    edge_add(v, "application/a", false);
    edge_add(v, "application/b", false)->allowed = false;
    e = edge_add(v, "driver/net", true);
    e->functions = calloc(1, sizeof(*e->functions));
    e->functions_count = 1;
    e->functions[0] = function("xmit: func()");
    return v;
}

static void an_edge_is_found_by_peer_and_direction(void **state)
{
    struct view *v = view_make(1);

    assert_null(view_edge_find(v, "application/a", false));
    view_unref(v);
    v = view_plain(1);
    assert_ptr_equal(view_edge_find(v, "application/a", false), &v->edges[0]);
    assert_ptr_equal(view_edge_find(v, "application/b", false), &v->edges[1]);
    assert_ptr_equal(view_edge_find(v, "driver/net", true), &v->edges[2]);
    assert_null(view_edge_find(v, "driver/net", false));
    assert_null(view_edge_find(v, "application/c", false));
    view_unref(view_ref(v));
    assert_null(view_unref(v));
    assert_null(view_unref(NULL));
}

static void a_function_is_found_by_id_or_by_its_whole_name(void **state)
{
    struct view *v = view_make(1);
    const struct view_function *list = v->self.functions;

    assert_ptr_equal(view_function_named(list, 2, "get"), &list[0]);
    assert_ptr_equal(view_function_named(list, 2, "getter"), &list[1]);
    assert_null(view_function_named(list, 2, "gett"));
    assert_null(view_function_named(list, 2, "get: func() -> u32 and more"));
    assert_ptr_equal(view_function_find(list, 2, list[1].id), &list[1]);
    assert_null(view_function_find(list, 2, 7));
    view_unref(v);
}

static void an_incoming_call_is_judged_by_edge_and_function(void **state)
{
    struct view *v = view_plain(1);
    const struct view_edge *edge = (void *)-1;
    uint64_t get = v->self.functions[0].id;

    assert_int_equal(view_judge_incoming(v, "application/a", get, &edge), 0);
    assert_ptr_equal(edge, &v->edges[0]);
    assert_int_equal(view_judge_incoming(v, "application/a", 7, &edge), RHODES_NOT_FOUND);
    assert_int_equal(view_judge_incoming(v, "application/b", get, &edge), RHODES_DENIED);
    assert_ptr_equal(edge, &v->edges[1]);
    assert_int_equal(view_judge_incoming(v, "application/c", get, &edge), RHODES_DENIED);
    assert_null(edge);
    /* Whom I call may not call me by that. */
    assert_int_equal(view_judge_incoming(v, "driver/net", get, &edge), RHODES_DENIED);
    assert_null(edge);
    view_unref(v);
}

static void an_outgoing_call_is_judged_by_what_the_callee_provides(void **state)
{
    struct view *v = view_plain(1);
    const struct view_edge *edge = (void *)-1;
    uint64_t xmit = v->edges[2].functions[0].id;

    assert_int_equal(view_judge_outgoing(v, "driver/net", xmit, &edge), 0);
    assert_ptr_equal(edge, &v->edges[2]);
    assert_int_equal(view_judge_outgoing(v, "driver/net", v->self.functions[0].id, &edge),
                     RHODES_NOT_FOUND);
    assert_int_equal(view_judge_outgoing(v, "driver/other", xmit, &edge), RHODES_DENIED);
    assert_null(edge);
    v->edges[2].allowed = false;
    assert_int_equal(view_judge_outgoing(v, "driver/net", xmit, &edge), RHODES_DENIED);
    assert_ptr_equal(edge, &v->edges[2]);
    view_unref(v);
}

static void views_equal(const struct view *a, const struct view *b)
{
    struct view_delta *d = NULL;

    assert_int_equal(view_diff(a, b, &d), 0);
    assert_null(d->self);
    assert_int_equal(d->upserts_count, 0);
    assert_int_equal(d->removals_count, 0);
    view_delta_free(d);
}

/* That the delta has this many parts, and leads from `before` to `after`; frees both. */
static void leads(struct view *before, struct view *after, bool self, size_t upserts,
                  size_t removals)
{
    struct view_delta *d = NULL;
    struct view *patched = NULL;

    assert_int_equal(view_diff(before, after, &d), 0);
    assert_int_equal(d->self != NULL, self);
    assert_int_equal(d->upserts_count, upserts);
    assert_int_equal(d->removals_count, removals);
    assert_int_equal(view_patch(before, d, &patched), 0);
    assert_int_equal(patched->revision, after->revision);
    assert_int_equal(patched->edges_count, after->edges_count);
    views_equal(patched, after);
    assert_null(view_delta_free(d));
    view_unref(patched);
    view_unref(before);
    view_unref(after);
}

static void a_delta_leads_from_one_view_to_the_other(void **state)
{
    struct view *after = view_make(2);

    leads(view_plain(1), view_plain(2), false, 0, 0);
    /* First, last and middle removed; others added before, between and behind; one changed. */
    edge_add(after, "application/0", false);
    edge_add(after, "application/b", false);
    edge_add(after, "application/b", true);
    edge_add(after, "driver/zero", true);
    leads(view_plain(1), after, false, 4, 2);
    leads(view_plain(1), view_make(2), false, 0, 3);
    leads(view_make(1), view_plain(2), false, 3, 0);
    assert_null(view_delta_free(NULL));
}

static void every_field_of_an_edge_counts(void **state)
{
    for (int field = 0; field < 8; field++) {
        struct view *after = view_plain(2);
        struct view_edge *e = &after->edges[2];

        switch (field) {
        case 0:
            e->allowed = false;
            break;
        case 1:
            e->protocol = PROTOCOL_SHM;
            break;
        case 2:
            e->timeout_ns++;
            break;
        case 3:
            e->revision++;
            break;
        case 4:
            strcpy(e->rule, "links/x");
            break;
        case 5:
            e->key[31] = 1;
            break;
        case 6:
            free(e->functions[0].signature);
            e->functions[0] = function("xmit: func(a: u8)");
            break;
        default:
            free(e->functions[0].signature);
            e->functions_count = 0;
            break;
        }
        leads(view_plain(1), after, false, 1, 0);
    }
}

static void every_field_of_the_resource_counts(void **state)
{
    for (int field = 0; field < 8; field++) {
        struct view *after = view_plain(2);
        struct view_self *s = &after->self;

        switch (field) {
        case 0:
            s->revision++;
            break;
        case 1:
            free(s->functions[1].signature);
            s->functions_count = 1;
            break;
        case 2:
            s->arguments = calloc(1, sizeof(char *));
            s->arguments[0] = strdup("a");
            s->arguments_count = 1;
            break;
        case 3:
            s->environment = calloc(1, sizeof(char *));
            s->environment[0] = strdup("a=b");
            s->environment_count = 1;
            break;
        case 4:
            s->directory = strdup("/x");
            break;
        case 5:
            s->restart++;
            break;
        case 6:
            s->device++;
            break;
        default:
            s->device_target = strdup("lo");
            break;
        }
        leads(view_plain(1), after, true, 0, 0);
    }
}

static void other_texts_of_the_resource_count(void **state)
{
    struct view *before = view_plain(1), *after = view_plain(2);

    for (int i = 0; i < 2; i++) {
        struct view_self *s = i ? &after->self : &before->self;

        s->arguments = calloc(1, sizeof(char *));
        s->arguments[0] = strdup(i ? "a" : "b");
        s->arguments_count = 1;
        s->directory = strdup(i ? "/a" : "/b");
    }
    leads(before, after, true, 0, 0);
}

static void a_delta_that_does_not_continue_is_stale(void **state)
{
    struct view *one = view_plain(1), *two = view_plain(2), *patched = NULL;
    struct view_delta *d;

    assert_int_equal(view_diff(one, two, &d), 0);
    assert_int_equal(view_patch(two, d, &patched), RHODES_STALE);
    assert_null(patched);
    view_delta_free(d);
    view_unref(one);
    view_unref(two);
}

static void removing_what_is_not_there_does_nothing(void **state)
{
    struct view *v = view_plain(1), *patched;
    struct view_removal removals[] = { { "application/0", false },
                                       { "application/b", false },
                                       { "application/b", true },
                                       { "driver/zero", true } };
    struct view_delta d = {
        .revision_from = 1, .revision_to = 2, .removals = removals, .removals_count = 4
    };

    assert_int_equal(view_patch(v, &d, &patched), 0);
    assert_int_equal(patched->edges_count, 2);
    assert_null(view_edge_find(patched, "application/b", false));
    view_unref(patched);
    view_unref(v);
}

static struct view *view_many(uint64_t revision, size_t count, bool outgoing)
{
    struct view *v = view_make(revision);

    v->edges = calloc(count, sizeof(*v->edges));
    v->edges_count = count;
    for (size_t i = 0; i < count; i++) {
        snprintf(v->edges[i].peer, RESOURCE_ID_BYTES_MAX, "driver/d%06zu", i);
        v->edges[i].outgoing = outgoing;
    }
    return v;
}

static void a_view_ends_at_its_limit(void **state)
{
    struct view *full = view_many(1, VIEW_EDGES_MAX, true), *patched;
    struct view_edge one = { .peer = "driver/d000000", .outgoing = true, .allowed = true };
    struct view_delta d = {
        .revision_from = 1, .revision_to = 2, .upserts = &one, .upserts_count = 1
    };

    assert_int_equal(view_patch(full, &d, &patched), 0);
    assert_int_equal(patched->edges_count, VIEW_EDGES_MAX);
    view_unref(patched);
    one.outgoing = false;
    assert_int_equal(view_patch(full, &d, &patched), RHODES_OVER_LIMIT);
    view_unref(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_edge_is_found_by_peer_and_direction),
        cmocka_unit_test(a_function_is_found_by_id_or_by_its_whole_name),
        cmocka_unit_test(an_incoming_call_is_judged_by_edge_and_function),
        cmocka_unit_test(an_outgoing_call_is_judged_by_what_the_callee_provides),
        cmocka_unit_test(a_delta_leads_from_one_view_to_the_other),
        cmocka_unit_test(every_field_of_an_edge_counts),
        cmocka_unit_test(every_field_of_the_resource_counts),
        cmocka_unit_test(other_texts_of_the_resource_count),
        cmocka_unit_test(a_delta_that_does_not_continue_is_stale),
        cmocka_unit_test(removing_what_is_not_there_does_nothing),
        cmocka_unit_test(a_view_ends_at_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
