/* Judging calls: who may, who may not, and whether the sentence says by which rule. */
#include "agent/route.h"

#include <stdio.h>
#include <string.h>

#include "agent/cache.h"
#include "base/hash.h"
#include "test/lib/isolated.h"

#define ADD  "add: func(a: u32, b: u32) -> u32"
#define XMIT "xmit: func(frame: list<u8>) -> s32"

static char *copy(const char *text)
{
    char *made = strdup(text);

    assert_non_null(made);
    return made;
}

static void functions_make(struct view_function **ret, size_t *ret_count, const char *signature)
{
    *ret = calloc(1, sizeof(**ret));
    assert_non_null(*ret);
    (*ret)->signature = copy(signature);
    (*ret)->id = hash_bytes(signature, strlen(signature));
    *ret_count = 1;
}

static uint64_t id_of(const char *signature)
{
    return hash_bytes(signature, strlen(signature));
}

static void edge_make(struct view_edge *e, const char *peer, bool outgoing, bool allowed)
{
    snprintf(e->peer, sizeof(e->peer), "%s", peer);
    e->outgoing = outgoing;
    e->allowed = allowed;
    e->revision = 12;
    e->timeout_ns = 7;
    snprintf(e->rule, sizeof(e->rule), "links/%s.%s", outgoing ? "to" : "from",
             allowed ? "good" : "bad");
    memset(e->key, outgoing ? 1 : 2, sizeof(e->key));
    if (outgoing) {
        functions_make(&e->functions, &e->functions_count, XMIT);
    }
}

/* service/tcp, which provides ADD; application/bad may not call it, application/good may; it may
 * call driver/good, not driver/bad. */
static int view_make(void **state)
{
    struct view *v = calloc(1, sizeof(*v));

    assert_non_null(v);
    v->references = 1;
    v->revision = 20;
    strcpy(v->self.resource, "service/tcp");
    functions_make(&v->self.functions, &v->self.functions_count, ADD);
    v->edges_count = 4;
    v->edges = calloc(4, sizeof(*v->edges));
    assert_non_null(v->edges);
    edge_make(&v->edges[0], "application/bad", false, false);
    edge_make(&v->edges[1], "application/good", false, true);
    edge_make(&v->edges[2], "driver/bad", true, false);
    edge_make(&v->edges[3], "driver/good", true, true);
    *state = v;
    return 0;
}

static int view_drop(void **state)
{
    view_unref(*state);
    return 0;
}

static void an_allowed_call_passes_on_both_sides(void **state)
{
    const struct view_edge *edge = NULL;
    char why[WHY_BYTES];

    assert_int_equal(route_outgoing(*state, "driver/good", id_of(XMIT), &edge, why), 0);
    assert_string_equal(edge->peer, "driver/good");
    assert_int_equal(route_incoming(*state, "application/good", id_of(ADD), why), 0);
}

static void a_denied_link_names_rule_revision_and_pair(void **state)
{
    const struct view_edge *edge = NULL;
    char why[WHY_BYTES];

    assert_int_equal(route_outgoing(*state, "driver/bad", id_of(XMIT), &edge, why), RHODES_DENIED);
    assert_string_equal(why, "links/to.bad of revision 12 denies service/tcp -> driver/bad");
    assert_int_equal(route_incoming(*state, "application/bad", id_of(ADD), why), RHODES_DENIED);
    assert_string_equal(why, "links/from.bad of revision 12 denies application/bad -> service/tcp");
}

static void what_nobody_declared_is_refused(void **state)
{
    const struct view_edge *edge = NULL;
    char why[WHY_BYTES];

    assert_int_equal(route_outgoing(*state, "driver/other", id_of(XMIT), &edge, why),
                     RHODES_DENIED);
    assert_string_equal(why,
                        "service/tcp does not declare that it calls driver/other (at revision 20)");
    /* An edge in one direction says nothing of the other. */
    assert_int_equal(route_incoming(*state, "driver/good", id_of(ADD), why), RHODES_DENIED);
    assert_string_equal(why,
                        "driver/good does not declare that it calls service/tcp (at revision 20)");
    assert_int_equal(route_outgoing(*state, "application/good", id_of(ADD), &edge, why),
                     RHODES_DENIED);
}

static void a_function_that_is_not_provided_is_not_found(void **state)
{
    const struct view_edge *edge = NULL;
    char why[WHY_BYTES];

    assert_int_equal(route_outgoing(*state, "driver/good", id_of(ADD), &edge, why),
                     RHODES_NOT_FOUND);
    assert_non_null(strstr(why, "driver/good"));
    assert_int_equal(route_incoming(*state, "application/good", id_of(XMIT), why),
                     RHODES_NOT_FOUND);
    assert_non_null(strstr(why, "service/tcp"));
}

static int bind_as(void **state, bool person, const char *callee, const char *text, char *why)
{
    struct route_binding found;
    char hint[WHY_BYTES];
    int r = route_bind(*state, person, callee, text, "", &found, why, hint);

    if (r) {
        assert_true(*why);
        assert_true(*hint);
    }
    return r;
}

static void binding_takes_a_name_or_the_same_signature(void **state)
{
    struct route_binding found;
    char why[WHY_BYTES], hint[WHY_BYTES];

    assert_int_equal(route_bind(*state, false, "driver/good", "xmit", "", &found, why, hint), 0);
    assert_int_equal(found.function, id_of(XMIT));
    assert_int_equal(found.timeout_ns, 7);
    assert_string_equal(found.signature, XMIT);
    assert_false(found.own);
    assert_int_equal(route_bind(*state, false, "driver/good", "xmit:func(frame:bytes)->s32",
                                "type bytes = list<u8>;", &found, why, hint),
                     0);
}

static void binding_refuses_what_calling_would(void **state)
{
    char why[WHY_BYTES];

    assert_int_equal(bind_as(state, false, "driver/bad", "xmit", why), RHODES_DENIED);
    assert_int_equal(bind_as(state, false, "driver/other", "xmit", why), RHODES_DENIED);
    assert_int_equal(bind_as(state, false, "driver/good", "recv", why), RHODES_NOT_FOUND);
    assert_int_equal(bind_as(state, false, "driver/good", "xmit: func(", why), RHODES_INVALID);
}

static void binding_another_type_names_both(void **state)
{
    char why[WHY_BYTES];

    assert_int_equal(bind_as(state, false, "driver/good", "xmit: func(frame: string) -> s32", why),
                     RHODES_TYPE_MISMATCH);
    assert_non_null(strstr(why, "list<u8>"));
    assert_non_null(strstr(why, "string"));
}

static void only_a_person_binds_the_resources_own(void **state)
{
    struct route_binding found;
    char why[WHY_BYTES], hint[WHY_BYTES];

    assert_int_equal(route_bind(*state, true, "", "add", "", &found, why, hint), 0);
    assert_true(found.own);
    assert_string_equal(found.callee, "service/tcp");
    assert_int_equal(route_bind(*state, true, "service/tcp", "add", "", &found, why, hint), 0);
    assert_int_equal(bind_as(state, true, "", "sub", why), RHODES_NOT_FOUND);
    assert_int_equal(bind_as(state, false, "", "add", why), RHODES_DENIED);
    assert_int_equal(bind_as(state, false, "service/tcp", "add", why), RHODES_DENIED);
    /* Towards others a person is bound by the resource's rules. */
    assert_int_equal(bind_as(state, true, "driver/bad", "xmit", why), RHODES_DENIED);
}

static void serving_needs_the_declared_type(void **state)
{
    char why[WHY_BYTES], hint[WHY_BYTES];
    uint64_t id = 0;

    assert_int_equal(route_serve(*state, ADD, "", &id, why, hint), 0);
    assert_int_equal(id, id_of(ADD));
    assert_int_equal(route_serve(*state, "add: func(a: u32) -> u32", "", &id, why, hint),
                     RHODES_TYPE_MISMATCH);
    assert_int_equal(route_serve(*state, XMIT, "", &id, why, hint), RHODES_NOT_FOUND);
    assert_non_null(strstr(hint, "spec.provides"));
    assert_int_equal(route_serve(*state, "add: nonsense", "", &id, why, hint), RHODES_INVALID);
}

static void a_peer_must_show_the_key_of_the_incoming_edge(void **state)
{
    char why[WHY_BYTES], hint[WHY_BYTES];
    uint8_t key[EDGE_KEY_BYTES];

    memset(key, 2, sizeof(key));
    assert_int_equal(route_peer(*state, "application/good", key, why, hint), 0);
    /* The key says who it is; whether it may call is judged at each call. */
    assert_int_equal(route_peer(*state, "application/bad", key, why, hint), 0);
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] ^= 0x80;
        assert_int_equal(route_peer(*state, "application/good", key, why, hint), RHODES_DENIED);
        key[i] ^= 0x80;
    }
    assert_int_equal(route_peer(*state, "application/none", key, why, hint), RHODES_DENIED);
    memset(key, 1, sizeof(key)); /* the key of an outgoing edge opens nothing */
    assert_int_equal(route_peer(*state, "driver/good", key, why, hint), RHODES_DENIED);
    assert_true(*hint);
}

static void the_longest_names_do_not_overrun_a_sentence(void **state)
{
    struct view *v = *state;
    char callee[RESOURCE_ID_BYTES_MAX + 1000], why[WHY_BYTES], text[9000];

    memset(v->self.resource, 'a', sizeof(v->self.resource) - 1);
    memset(v->edges[2].rule, 'r', sizeof(v->edges[2].rule) - 1);
    memset(callee, 'c', sizeof(callee) - 1);
    callee[sizeof(callee) - 1] = 0;
    memset(text, 't', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(bind_as(state, false, "driver/bad", "xmit", why), RHODES_DENIED);
    assert_int_equal(bind_as(state, false, callee, text, why), RHODES_DENIED);
    assert_int_equal(bind_as(state, false, "driver/good", text, why), RHODES_NOT_FOUND);
}

/* A copy of the view's edges by hand: the functions are not looked at here. */
static struct view with_edges(const struct view *v, struct view_edge *edges, size_t but)
{
    struct view copy = { .references = 1, .edges = edges };

    for (size_t i = 0; i < v->edges_count; i++) {
        if (i != but) {
            edges[copy.edges_count++] = v->edges[i];
        }
    }
    return copy;
}

static void what_takes_a_right_away_is_told_from_what_does_not(void **state)
{
    const struct view *v = *state;
    struct view_edge edges[8];
    struct view after = with_edges(v, edges, SIZE_MAX), empty = { .references = 1 };

    assert_false(route_revokes(v, &after));
    edges[1].allowed = false; /* application/good, incoming */
    assert_true(route_revokes(v, &after));
    after = with_edges(v, edges, SIZE_MAX);
    edges[3].allowed = false; /* driver/good, outgoing */
    assert_true(route_revokes(v, &after));
    after = with_edges(v, edges, SIZE_MAX);
    edges[0].allowed = edges[2].allowed = true; /* gives only */
    edges[3].protocol = PROTOCOL_SHM;
    assert_false(route_revokes(v, &after));
    after = with_edges(v, edges, 3); /* an allowed edge is gone */
    assert_true(route_revokes(v, &after));
    after = with_edges(v, edges, 2); /* a denied one is */
    assert_false(route_revokes(v, &after));
    after = with_edges(v, edges, SIZE_MAX);
    edges[3].outgoing = false; /* the other direction is another right */
    assert_true(route_revokes(v, &after));
    assert_true(route_revokes(v, &empty));
    assert_false(route_revokes(&empty, v));
}

static void every_end_is_counted_where_it_belongs(void **state)
{
    struct route_counters c = { 0 };

    route_count(&c, 0);
    route_count(&c, RHODES_DENIED);
    route_count(&c, RHODES_TIMEOUT);
    route_count(&c, RHODES_UNKNOWN);
    route_count(&c, -EPIPE);
    assert_int_equal(c.refused, 1);
    assert_int_equal(c.timeouts, 1);
    assert_int_equal(c.failed, 2);
}

static void rules_of_another_resource_are_refused(void **state)
{
    struct rules *rules = NULL;
    char why[WHY_BYTES];

    assert_int_equal(rules_new_take(view_ref(*state), "service/other", &rules, why),
                     RHODES_INVALID);
    assert_non_null(strstr(why, "service/tcp"));
    assert_null(rules);
}

static void rules_with_a_signature_that_does_not_parse_are_refused(void **state)
{
    struct view *v = *state;
    struct rules *rules = NULL;
    char why[WHY_BYTES];

    v->self.functions[0].signature[4] = '?';
    assert_int_equal(rules_new_take(view_ref(v), "service/tcp", &rules, why), RHODES_INVALID);
    assert_true(*why);
}

static void rules_with_a_wrong_id_are_refused(void **state)
{
    struct view *v = *state;
    struct rules *rules = NULL;
    char why[WHY_BYTES];

    v->self.functions[0].id++;
    assert_int_equal(rules_new_take(view_ref(v), "service/tcp", &rules, why), RHODES_INVALID);
}

static void a_hold_sees_a_swap_at_its_next_use(void **state)
{
    struct rules *first, *second;
    struct cache c;
    struct hold h = { 0 };
    char why[WHY_BYTES];

    cache_init(&c);
    assert_null(cache_hold(&c, &h));
    assert_int_equal(rules_new_take(view_ref(*state), "service/tcp", &first, why), 0);
    assert_int_equal(rules_new_take(view_ref(*state), "service/tcp", &second, why), 0);
    cache_swap_take(&c, first);
    assert_ptr_equal(cache_hold(&c, &h), first);
    assert_non_null(rules_function(first, id_of(ADD)));
    assert_null(rules_function(first, id_of(XMIT)));
    cache_swap_take(&c, second); /* the hold keeps the first alive */
    assert_int_equal(first->references, 1);
    assert_ptr_equal(cache_hold(&c, &h), second);
    cache_let_go(&h);
    cache_deinit(&c);
}

#define TEST(name) isolated_test_setup_teardown(name, view_make, view_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_allowed_call_passes_on_both_sides),
        TEST(a_denied_link_names_rule_revision_and_pair),
        TEST(what_nobody_declared_is_refused),
        TEST(a_function_that_is_not_provided_is_not_found),
        TEST(binding_takes_a_name_or_the_same_signature),
        TEST(binding_refuses_what_calling_would),
        TEST(binding_another_type_names_both),
        TEST(only_a_person_binds_the_resources_own),
        TEST(serving_needs_the_declared_type),
        TEST(a_peer_must_show_the_key_of_the_incoming_edge),
        TEST(the_longest_names_do_not_overrun_a_sentence),
        TEST(what_takes_a_right_away_is_told_from_what_does_not),
        TEST(every_end_is_counted_where_it_belongs),
        TEST(rules_of_another_resource_are_refused),
        TEST(rules_with_a_signature_that_does_not_parse_are_refused),
        TEST(rules_with_a_wrong_id_are_refused),
        TEST(a_hold_sees_a_swap_at_its_next_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
