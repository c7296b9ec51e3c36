/* The catalog from the plain case to the nasty one: registering, every refusal with its place and
 * words, sets of changes judged by their result, taking changes back, and the time that one change
 * takes among many. */
#include "base/clock.h"
#include "model/test_help.h"

#define HTTP(more)                                                                                 \
    MANIFEST("Application", "http",                                                                \
             "'calls': [{'to': 'service/tcp', 'functions': ['get: func() -> u32']}]" more)
#define TCP                                                                                        \
    MANIFEST("Service", "tcp",                                                                     \
             "'provides': [{'function': 'get: func() -> u32'}], 'calls': [{'to': 'driver/net'}]")
#define NET                 MANIFEST("Driver", "net", "'calls': [{'to': 'hardware/nic0', 'protocol': 'shm'}]")
#define NIC                 MANIFEST("Hardware", "nic0", DEVICE)
#define HTTP_TCP_LINK(more) LINK("'caller': 'application/http', 'callee': 'service/tcp'" more)

static struct refusals why;

static int setup(void **state)
{
    *state = catalog_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    catalog_free(*state);
    return 0;
}

static void keeps(struct catalog *c, const char *const *texts)
{
    struct staging *s;

    if (stage(c, texts, &s, &why)) {
        fail_msg("%s: %s", why.list[0].pointer, why.list[0].detail);
    }
    catalog_keep(c, s);
}

/* Everything that the catalog says, as one text. */
static void describe_edge(const struct edge *e, void *data)
{
    char *text = data;
    size_t used = strlen(text);

    snprintf(text + used, 8192 - used, "%s>%s %d %s %llu %s@%llu\n", e->caller, e->callee,
             e->allowed, protocol_name(e->protocol), (unsigned long long)e->timeout_ns, e->rule,
             (unsigned long long)e->revision);
}

static void describe(const struct catalog *c, char text[8192])
{
    size_t used;

    snprintf(text, 8192, "%llu\n", (unsigned long long)catalog_revision(c));
    for (enum kind k = 0; k < KINDS_COUNT; k++) {
        size_t count = 0;

        for (const struct object *o = catalog_next(c, k, ""); o; o = catalog_next(c, k, o->name)) {
            used = strlen(text);
            snprintf(text + used, 8192 - used, "%s/%s@%llu/%llu\n", kind_name(k), o->name,
                     (unsigned long long)o->revision, (unsigned long long)o->revision_created);
            count++;
        }
        assert_int_equal(count, catalog_count(c, k));
    }
    catalog_edges(c, describe_edge, text);
}

/* That a set is refused, with the first refusal as given, and that nothing is left of it. */
static const struct refusal *refuses(struct catalog *c, const char *const *texts,
                                     enum problem problem, const char *pointer, const char *detail)
{
    static char before[8192], after[8192];
    struct staging *s = NULL;

    describe(c, before);
    assert_int_equal(stage(c, texts, &s, &why), problem_verdict(problem));
    describe(c, after);
    assert_null(s);
    assert_string_equal(before, after);
    if (why.list[0].problem != problem || strcmp(why.list[0].pointer, pointer) != 0) {
        fail_msg("%s at %s: %s", problem_code(why.list[0].problem), why.list[0].pointer,
                 why.list[0].detail);
    }
    assert_contains(why.list[0].detail, detail);
    assert_true(strlen(why.list[0].hint) > 0);
    return &why.list[0];
}

static void affects(const struct staging *s, const char *const *ids)
{
    const char *const *found;
    size_t count = staging_affected(s, &found);

    for (size_t i = 0; i < count; i++) {
        if (!ids[i] || strcmp(found[i], ids[i]) != 0) {
            fail_msg("%s is affected, not %s", found[i], ids[i] ? ids[i] : "nothing more");
        }
    }
    assert_null(ids[count]);
}

static void a_new_catalog_holds_the_default_rule_alone(void **state)
{
    struct catalog *c = *state;
    const struct object *o = catalog_find(c, KIND_HIERARCHY, "default");

    assert_int_equal(catalog_revision(c), 0);
    assert_false(o->hierarchy.strict);
    assert_int_equal(catalog_count(c, KIND_HIERARCHY), 1);
    assert_null(catalog_next(c, KIND_SERVICE, ""));
    assert_null(catalog_resource(c, "service/tcp"));
    assert_null(catalog_resource(c, "tcp"));
    assert_null(catalog_free(NULL));
}

static void a_set_registers_in_any_order_with_one_revision(void **state)
{
    struct catalog *c = *state;
    const struct staged_object *objects;
    struct staging *s;
    struct edge edge;

    assert_int_equal(stage(c, SET(HTTP(""), TCP, NET, NIC), &s, &why), 0);
    assert_int_equal(staging_revision(s), 1);
    assert_int_equal(staging_action(s, 3), ACTION_CREATED);
    assert_int_equal(staging_objects(s, &objects), 4);
    assert_null(objects[0].before);
    assert_string_equal(objects[0].after->name, "http");
    assert_int_equal(objects[0].after->revision, 1);
    affects(s, SET("application/http", "driver/net", "hardware/nic0", "service/tcp"));
    catalog_keep(c, s);
    assert_int_equal(catalog_revision(c), 1);
    assert_int_equal(catalog_resource(c, "service/tcp")->revision_created, 1);
    assert_int_equal(catalog_edge(c, "driver/net", "hardware/nic0", &edge), 0);
    assert_true(edge.allowed);
    assert_int_equal(edge.protocol, PROTOCOL_SHM);
    assert_true(edge.timeout_ns == CALL_TIMEOUT_NS_DEFAULT);
    assert_string_equal(edge.rule, "hierarchies/default");
    assert_int_equal(edge.revision, 1);
    assert_int_equal(catalog_edge(c, "application/http", "driver/net", &edge), RHODES_NOT_FOUND);
    assert_int_equal(catalog_edge(c, "application/x", "driver/net", &edge), RHODES_NOT_FOUND);
    assert_int_equal(catalog_edge(c, "application/http", "x", &edge), RHODES_NOT_FOUND);
}

static void putting_the_same_again_changes_nothing(void **state)
{
    struct catalog *c = *state;
    const struct staged_object *objects;
    struct staging *s;

    keeps(c, SET(HTTP(""), TCP, NET, NIC));
    keeps(c, SET(HTTP_TCP_LINK("")));
    assert_int_equal(
        stage(c, SET(TCP, HTTP_TCP_LINK(", 'access': 'allow'"), HIERARCHY("")), &s, &why), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(staging_action(s, i), ACTION_UNCHANGED);
    }
    assert_int_equal(staging_revision(s), 2);
    assert_int_equal(staging_objects(s, &objects), 0);
    affects(s, SET(NULL));
    catalog_keep(c, s);
    assert_int_equal(catalog_revision(c), 2);
    assert_int_equal(stage(c, SET(NULL), &s, &why), 0);
    assert_int_equal(staging_revision(s), 2);
    catalog_undo(c, s);
}

static void an_update_keeps_its_first_revision_and_affects_its_callees(void **state)
{
    struct catalog *c = *state;
    struct staging *s;
    struct edge edge;

    keeps(c, SET(HTTP(""), TCP, NET, NIC));
    assert_int_equal(stage(c, SET(HTTP(", 'privilege': 'kernel'")), &s, &why), 0);
    assert_int_equal(staging_action(s, 0), ACTION_UPDATED);
    affects(s, SET("application/http", "service/tcp"));
    catalog_keep(c, s);
    assert_int_equal(catalog_resource(c, "application/http")->revision, 2);
    assert_int_equal(catalog_resource(c, "application/http")->revision_created, 1);
    assert_int_equal(catalog_edge(c, "application/http", "service/tcp", &edge), 0);
    assert_int_equal(edge.revision, 2);
}

static void new_functions_affect_the_callers(void **state)
{
    struct catalog *c = *state;
    struct staging *s;

    keeps(c, SET(HTTP(""), TCP, NET, NIC));
    assert_int_equal(stage(c,
                           SET(MANIFEST("Service", "tcp",
                                        "'provides': [{'function': 'get: func() -> u32'},"
                                        "{'function': 'put: func()'}]")),
                           &s, &why),
                     0);
    affects(s, SET("application/http", "driver/net", "service/tcp"));
    catalog_undo(c, s);
    assert_int_equal(stage(c, SET(MANIFEST("Driver", "net", "")), &s, &why), 0);
    affects(s, SET("driver/net", "hardware/nic0"));
    catalog_undo(c, s);
}

static void what_exists_is_not_created_again(void **state)
{
    struct catalog *c = *state;
    struct staging *s;
    struct change x;

    keeps(c, SET(NIC));
    x = change_make(NIC, 0);
    x.create_only = true;
    assert_int_equal(catalog_stage(c, &x, 1, &s, &why), RHODES_EXISTS);
    assert_int_equal(why.list[0].problem, PROBLEM_EXISTS_ALREADY);
    assert_contains(why.list[0].detail, "hardware/nic0 is registered already");
    object_unref(x.object);
    x = change_make(MANIFEST("Driver", "d", ""), 0);
    x.create_only = true;
    assert_int_equal(catalog_stage(c, &x, 1, &s, &why), 0);
    catalog_keep(c, s);
    object_unref(x.object);
}

static void a_change_that_expects_another_revision_is_stale(void **state)
{
    struct catalog *c = *state;
    struct staging *s;
    struct change x;

    keeps(c, SET(NIC));
    for (uint64_t expected = 1; expected < 3; expected++) {
        x = change_make("-hardware/nic0", 0);
        x.revision_expected = expected;
        assert_int_equal(catalog_stage(c, &x, 1, &s, &why), expected == 1 ? 0 : RHODES_STALE);
        if (expected == 1) {
            catalog_undo(c, s);
        }
    }
    assert_int_equal(why.list[0].problem, PROBLEM_CONFLICT);
    assert_string_equal(why.list[0].pointer, "/delete/0");
    assert_contains(why.list[0].detail, "hardware/nic0 is at revision 1, not at 2");
    x = change_make(MANIFEST("Driver", "d", ""), 0);
    x.revision_expected = 5;
    assert_int_equal(catalog_stage(c, &x, 1, &s, &why), RHODES_STALE);
    assert_contains(why.list[0].detail, "driver/d is not registered any more");
    object_unref(x.object);
}

static void deleting_what_is_not_there_is_refused(void **state)
{
    const struct refusal *r = refuses(*state, SET("-services/tcp"), PROBLEM_NO_SUCH_OBJECT,
                                      "/delete/0", "service/tcp is not registered");

    assert_contains(r->hint, "rhodes get services");
    refuses(*state, SET("-links/application.a:service.b"), PROBLEM_NO_SUCH_OBJECT, "/delete/0",
            "links/application.a:service.b");
}

static void the_default_rule_cannot_be_deleted(void **state)
{
    refuses(*state, SET("-hierarchies/default"), PROBLEM_PERMANENT, "/delete/0",
            "hierarchies/default cannot be deleted");
}

static void nothing_stands_twice_in_a_set(void **state)
{
    struct catalog *c = *state;

    refuses(c, SET(NIC, NIC), PROBLEM_DUPLICATE, "/documents/1", "hardware/nic0 stands twice");
    keeps(c, SET(NIC));
    refuses(c, SET(NIC, "-hardware/nic0"), PROBLEM_DUPLICATE, "/delete/1", "hardware/nic0");
    refuses(c, SET("-hardware/nic0", "-hardware/nic0"), PROBLEM_DUPLICATE, "/delete/1", "stands");
}

static void an_unknown_reference_is_refused(void **state)
{
    struct catalog *c = *state;

    refuses(c, SET(NIC, NET, HTTP("")), PROBLEM_UNKNOWN_REFERENCE, "/documents/2/spec/calls/0/to",
            "application/http calls service/tcp, which is not registered");
    keeps(c, SET(NIC));
    refuses(c, SET(NET, "-hardware/nic0"), PROBLEM_UNKNOWN_REFERENCE,
            "/documents/0/spec/calls/0/to", "driver/net calls hardware/nic0");
    refuses(c, SET("-hardware/nic0", NET), PROBLEM_UNKNOWN_REFERENCE,
            "/documents/1/spec/calls/0/to", "driver/net calls hardware/nic0");
}

static void a_driver_calling_a_service_is_refused(void **state)
{
    struct catalog *c = *state;
    const struct refusal *r;

    keeps(c, SET(HTTP(""), TCP, NET, NIC));
    keeps(c, SET(HIERARCHY("'edges': [{'from': 'service/x', 'to': 'service'}]")));
    r = refuses(c,
                SET(MANIFEST("Driver", "rogue",
                             "'calls': [{'to': 'hardware/nic0'}, {'to': 'service/tcp'}]")),
                PROBLEM_LAYER_FORBIDDEN, "/documents/0/spec/calls/1/to",
                "driver/rogue may not call service/tcp: layer service lies above layer driver");
    assert_string_equal(r->rule, "hierarchies/default");
    assert_int_equal(r->revision, 2);
    assert_string_equal(r->hint, "rhodes layer set --add-edge driver/rogue:service/tcp");
    assert_int_equal(why.total, 1);
    keeps(c, SET(HIERARCHY("'edges': [{'from': 'driver/rogue', 'to': 'service/tcp'}]")));
    keeps(c, SET(MANIFEST("Driver", "rogue", "'calls': [{'to': 'service/tcp'}]")));
}

static void a_service_calling_its_own_layer_is_refused(void **state)
{
    refuses(*state,
            SET(MANIFEST("Service", "a", ""),
                MANIFEST("Service", "b", "'calls': [{'to': 'service/a'}]")),
            PROBLEM_LAYER_FORBIDDEN, "/documents/1/spec/calls/0/to",
            "service/b may not call service/a: a layer does not call its own (both are of layer "
            "service)");
}

static void strict_refuses_what_skips_a_layer(void **state)
{
    struct catalog *c = *state;

    keeps(c, SET(HIERARCHY("'mode': 'strict'"), NIC));
    refuses(c, SET(MANIFEST("Service", "s", "'calls': [{'to': 'hardware/nic0'}]")),
            PROBLEM_LAYER_FORBIDDEN, "/documents/0/spec/calls/0/to",
            "layer hardware is not the next below layer service, and mode strict");
}

static void a_rule_that_standing_references_would_break_is_refused(void **state)
{
    struct catalog *c = *state;
    const struct refusal *r;

    keeps(c, SET(NIC, NET, MANIFEST("Service", "s", "'calls': [{'to': 'hardware/nic0'}]"),
                 MANIFEST("Application", "a", "'calls': [{'to': 'driver/net'}]")));
    r = refuses(c, SET(HIERARCHY("'mode': 'strict'")), PROBLEM_EDGES_OFFEND, "/documents/0/spec",
                "application/a may not call driver/net");
    assert_string_equal(r->rule, "hierarchies/default");
    assert_int_equal(why.total, 2);
    assert_contains(why.list[1].detail, "service/s may not call hardware/nic0");
    /* The rule and the references may change together. */
    keeps(c, SET(HIERARCHY("'mode': 'strict', 'edges': [{'from': 'application', 'to': 'driver'}]"),
                 "-services/s"));
}

static void a_rule_that_changes_affects_what_it_decides(void **state)
{
    struct catalog *c = *state;
    struct staging *s;

    keeps(c, SET(HTTP(""), TCP, NET, NIC));
    keeps(c, SET(HTTP_TCP_LINK("")));
    assert_int_equal(
        stage(c, SET(HIERARCHY("'edges': [{'from': 'driver', 'to': 'driver'}]")), &s, &why), 0);
    affects(s, SET("driver/net", "hardware/nic0", "service/tcp"));
    catalog_undo(c, s);
}

#define A_TO(callee) MANIFEST("Service", "a", "'calls': [{'to': 'service/" callee "'}]")
#define B_TO(callee) MANIFEST("Service", "b", "'calls': [{'to': 'service/" callee "'}]")
#define C_TO(callee) MANIFEST("Service", "c", "'calls': [{'to': 'service/" callee "'}]")
#define SAME_LAYER   HIERARCHY("'edges': [{'from': 'service', 'to': 'service'}]")

static void a_cycle_is_refused_with_its_path(void **state)
{
    struct catalog *c = *state;

    refuses(c, SET(A_TO("b"), B_TO("a")), PROBLEM_CYCLE, "/documents/0/spec/calls/0/to",
            "service/a -> service/b -> service/a");
    keeps(c, SET(SAME_LAYER));
    refuses(c, SET(A_TO("b"), B_TO("c"), C_TO("a")), PROBLEM_CYCLE, "/documents/0/spec/calls/0/to",
            "service/a -> service/b -> service/c -> service/a");
    assert_int_equal(why.total, 1);
    keeps(c, SET(A_TO("b"), B_TO("c"), MANIFEST("Service", "c", "")));
    refuses(c, SET(C_TO("a")), PROBLEM_CYCLE, "/documents/0/spec/calls/0/to",
            "service/c -> service/a -> service/b -> service/c");
    refuses(c, SET(C_TO("b")), PROBLEM_CYCLE, "/documents/0/spec/calls/0/to",
            "service/c -> service/b -> service/c");
    keeps(c, SET(C_TO("a"), MANIFEST("Service", "a", "")));
}

static void a_cycle_behind_another_change_is_told_from_the_change_that_closes_it(void **state)
{
    struct catalog *c = *state;

    keeps(c, SET(SAME_LAYER, A_TO("b"), MANIFEST("Service", "b", "")));
    refuses(c, SET(MANIFEST("Service", "x", "'calls': [{'to': 'service/a'}]"), B_TO("a")),
            PROBLEM_CYCLE, "/documents/1/spec/calls/0/to", "service/b -> service/a -> service/b");
}

static void every_cycle_is_counted(void **state)
{
    enum { COUNT = 2 * (REFUSALS_MAX + 2) };
    struct catalog *c = *state;
    struct change changes[COUNT];
    struct staging *s;

    keeps(c, SET(SAME_LAYER));
    for (size_t i = 0; i < COUNT; i++) {
        char text[256];

        snprintf(text, sizeof(text),
                 MANIFEST("Service", "s%zu", "'calls': [{'to': 'service/s%zu'}]"), i, i ^ 1);
        changes[i] = change_make(text, i);
    }
    assert_int_equal(catalog_stage(c, changes, COUNT, &s, &why), RHODES_INVALID);
    assert_int_equal(why.count, REFUSALS_MAX);
    assert_int_equal(why.total, COUNT / 2);
    for (size_t i = 0; i < COUNT; i++) {
        object_unref(changes[i].object);
    }
}

static void references_that_meet_again_are_no_cycle(void **state)
{
    struct catalog *c = *state;

    keeps(c, SET(SAME_LAYER,
                 MANIFEST("Service", "a", "'calls': [{'to': 'service/b'}, {'to': 'service/c'}]"),
                 B_TO("d"), C_TO("d"), MANIFEST("Service", "d", "")));
    keeps(c, SET(MANIFEST("Service", "e", "'calls': [{'to': 'service/a'}, {'to': 'service/d'}]")));
}

static void what_climbs_is_refused_by_the_rule_before_the_cycle(void **state)
{
    struct catalog *c = *state;

    keeps(c, SET(HTTP(""), TCP, NET, NIC));
    refuses(c, SET(MANIFEST("Driver", "net", "'calls': [{'to': 'service/tcp'}]")),
            PROBLEM_LAYER_FORBIDDEN, "/documents/0/spec/calls/0/to", "driver/net");
    assert_int_equal(why.total, 2);
    assert_int_equal(why.list[1].problem, PROBLEM_CYCLE);
    assert_contains(why.list[1].detail, "driver/net -> service/tcp -> driver/net");
    assert_string_equal(why.list[0].hint,
                        "rhodes layer set --add-edge driver/net:service/tcp --upcall");
}

static void an_upcall_may_close_a_cycle_until_the_rule_forgets_it(void **state)
{
    struct catalog *c = *state;

    keeps(c, SET(HTTP(""), TCP, NET, NIC,
                 HIERARCHY("'edges': [{'from': 'driver', 'to': 'service', 'upcall': true}]")));
    keeps(c, SET(MANIFEST("Driver", "net", "'calls': [{'to': 'service/tcp'}]")));
    refuses(c, SET(HIERARCHY("'edges': [{'from': 'driver', 'to': 'service'}]")), PROBLEM_CYCLE,
            "/documents/0/spec/edges", "service/tcp -> driver/net -> service/tcp");
}

static void a_ring_of_long_names_is_told_in_short(void **state)
{
    struct catalog *c = *state;
    struct change changes[10] = { 0 };
    struct staging *s;

    keeps(c, SET(SAME_LAYER));
    for (size_t i = 0; i < 10; i++) {
        char text[512];

        snprintf(text, sizeof(text),
                 MANIFEST("Service", "s%zu%060d", "'calls': [{'to': 'service/s%zu%060d'}]"), i, 0,
                 (i + 1) % 10, 0);
        changes[i] = change_make(text, i);
    }
    assert_int_equal(catalog_stage(c, changes, 10, &s, &why), RHODES_INVALID);
    assert_int_equal(why.list[0].problem, PROBLEM_CYCLE);
    assert_contains(why.list[0].detail, " -> ...");
    for (size_t i = 0; i < 10; i++) {
        object_unref(changes[i].object);
    }
}

static void a_chain_of_thousands_needs_no_stack(void **state)
{
    enum { COUNT = 20000 };
    struct catalog *c = *state;
    struct change *changes = calloc(COUNT, sizeof(*changes));
    struct staging *s;

    keeps(c, SET(SAME_LAYER));
    for (size_t i = 0; i < COUNT; i++) {
        char text[256];

        snprintf(text, sizeof(text),
                 MANIFEST("Service", "s%zu", "'calls': [{'to': 'service/s%zu'}]"), i,
                 (i + 1) % COUNT);
        changes[i] = change_make(text, i);
    }
    assert_int_equal(catalog_stage(c, changes, COUNT, &s, &why), RHODES_INVALID);
    assert_int_equal(why.total, 1);
    assert_int_equal(why.list[0].problem, PROBLEM_CYCLE);
    object_unref(changes[COUNT - 1].object);
    changes[COUNT - 1] = change_make(MANIFEST("Service", "s19999", ""), COUNT - 1);
    assert_int_equal(catalog_stage(c, changes, COUNT, &s, &why), 0);
    catalog_undo(c, s);
    for (size_t i = 0; i < COUNT; i++) {
        object_unref(changes[i].object);
    }
    free(changes);
}

static void types_that_differ_are_shown_from_both_sides(void **state)
{
    struct catalog *c = *state;
    const struct refusal *r;

    keeps(c, SET(TCP, NET, NIC));
    refuses(c,
            SET(MANIFEST("Application", "x",
                         "'calls': [{'to': 'service/tcp', 'functions': ['get: func() -> u32',"
                         "'put: func()']}]")),
            PROBLEM_FUNCTION_UNKNOWN, "/documents/0/spec/calls/0/functions/1",
            "application/x calls put of service/tcp, which does not provide it");
    r = refuses(
        c,
        SET(MANIFEST("Application", "x",
                     "'calls': [{'to': 'service/tcp', 'functions': ['get: func(a: u8)']}]")),
        PROBLEM_TYPE_DIFFERS, "/documents/0/spec/calls/0/functions/0",
        "application/x expects \"get: func(a: u8)\", service/tcp provides "
        "\"get: func() -> u32\"");
    assert_string_equal(r->hint, problem_hint(PROBLEM_TYPE_DIFFERS));
    keeps(c, SET(HTTP("")));
    refuses(c, SET(MANIFEST("Service", "tcp", "'provides': [{'function': 'get: func() -> u64'}]")),
            PROBLEM_TYPE_DIFFERS, "/documents/0/spec/provides",
            "application/http expects \"get: func() -> u32\", service/tcp provides "
            "\"get: func() -> u64\"");
    refuses(c, SET(MANIFEST("Service", "tcp", "")), PROBLEM_FUNCTION_UNKNOWN,
            "/documents/0/spec/provides", "application/http calls get of service/tcp");
    /* Both sides may change in one set; names of types do not count. */
    keeps(c,
          SET(MANIFEST("Service", "tcp",
                       "'types': 'type t = u64', 'provides': [{'function': 'get: func() -> t'}]"),
              MANIFEST("Application", "http",
                       "'calls': [{'to': 'service/tcp', 'functions': ['get:func()->u64']}]")));
}

static void what_is_still_called_is_not_deleted(void **state)
{
    struct catalog *c = *state;

    keeps(c, SET(HTTP(""), TCP, NET, NIC));
    refuses(c, SET("-services/tcp"), PROBLEM_STILL_REFERENCED, "/delete/0",
            "service/tcp is still called by application/http");
    for (char name = '1'; name <= '7'; name++) {
        char text[256];

        snprintf(text, sizeof(text),
                 MANIFEST("Application", "a%c", "'calls': [{'to': 'service/tcp'}]"), name);
        keeps(c, SET(text));
    }
    refuses(c, SET("-services/tcp"), PROBLEM_STILL_REFERENCED, "/delete/0",
            "called by application/a1, application/a2, application/a3, application/a4, "
            "application/a5 and 3 more");
}

static void a_set_may_delete_callee_and_callers_in_any_order(void **state)
{
    struct catalog *c = *state;
    const struct staged_object *objects;
    struct staging *s;

    keeps(c, SET(HTTP(""), TCP, NET, NIC));
    keeps(c, SET(HTTP_TCP_LINK("")));
    assert_int_equal(stage(c, SET("-services/tcp", "-applications/http"), &s, &why), 0);
    assert_int_equal(staging_action(s, 0), ACTION_DELETED);
    assert_int_equal(staging_objects(s, &objects), 3);
    assert_int_equal(objects[2].before->kind, KIND_LINK);
    assert_null(objects[2].after);
    affects(s, SET("driver/net"));
    /* While a staging is open the catalog shows what it would be. */
    assert_null(catalog_resource(c, "service/tcp"));
    assert_null(catalog_next(c, KIND_SERVICE, ""));
    assert_int_equal(catalog_count(c, KIND_LINK), 0);
    catalog_undo(c, s);
    assert_non_null(catalog_resource(c, "service/tcp"));
    assert_int_equal(catalog_count(c, KIND_LINK), 1);
    keeps(c, SET("-services/tcp", "-applications/http", "-links/application.http:service.tcp"));
    assert_int_equal(catalog_count(c, KIND_LINK), 0);
}

static void a_link_decides_its_edge(void **state)
{
    struct catalog *c = *state;
    struct staging *s;
    struct edge edge;

    keeps(c, SET(HTTP(""), TCP, NET, NIC));
    assert_int_equal(
        stage(c, SET(HTTP_TCP_LINK(", 'access': 'deny', 'protocol': 'shm', 'timeout': '1ms'")), &s,
              &why),
        0);
    affects(s, SET("application/http", "service/tcp"));
    catalog_keep(c, s);
    assert_int_equal(catalog_edge(c, "application/http", "service/tcp", &edge), 0);
    assert_false(edge.allowed);
    assert_int_equal(edge.protocol, PROTOCOL_SHM);
    assert_int_equal(edge.timeout_ns, 1000000);
    assert_string_equal(edge.rule, "links/application.http:service.tcp");
    assert_int_equal(edge.revision, 2);
    keeps(c, SET(HTTP(", 'privilege': 'kernel'")));
    assert_int_equal(catalog_edge(c, "application/http", "service/tcp", &edge), 0);
    assert_int_equal(edge.revision, 3);
    assert_false(edge.allowed);
    keeps(c, SET("-links/application.http:service.tcp"));
    assert_int_equal(catalog_edge(c, "application/http", "service/tcp", &edge), 0);
    assert_true(edge.allowed);
    assert_int_equal(edge.protocol, PROTOCOL_MSGQUEUE);
    assert_string_equal(edge.rule, "hierarchies/default");
}

static void a_link_stands_only_on_an_edge(void **state)
{
    struct catalog *c = *state;
    const struct refusal *r;

    refuses(c, SET(HTTP_TCP_LINK("")), PROBLEM_UNKNOWN_REFERENCE, "/documents/0/spec/caller",
            "application/http, which is not registered");
    keeps(c, SET(MANIFEST("Application", "http", "")));
    refuses(c, SET(HTTP_TCP_LINK("")), PROBLEM_UNKNOWN_REFERENCE, "/documents/0/spec/callee",
            "service/tcp, which is not registered");
    keeps(c, SET(TCP, NET, NIC));
    r = refuses(c, SET(HTTP_TCP_LINK("")), PROBLEM_NO_EDGE, "/documents/0/spec",
                "application/http has no registered reference to service/tcp");
    assert_string_equal(r->hint, "add {to: service/tcp} under spec.calls of application/http");
    /* In one set, whatever the order. */
    keeps(c, SET(HTTP_TCP_LINK(""), HTTP("")));
}

static void a_removed_edge_takes_its_link_with_it(void **state)
{
    struct catalog *c = *state;
    const struct staged_object *objects;
    struct staging *s;

    keeps(c, SET(HTTP(""), TCP, NET, NIC));
    keeps(c, SET(HTTP_TCP_LINK("")));
    assert_int_equal(stage(c, SET(MANIFEST("Application", "http", "")), &s, &why), 0);
    assert_int_equal(staging_objects(s, &objects), 2);
    assert_int_equal(objects[1].before->kind, KIND_LINK);
    affects(s, SET("application/http", "service/tcp"));
    catalog_undo(c, s);
    refuses(c, SET(MANIFEST("Application", "http", ""), HTTP_TCP_LINK("")), PROBLEM_NO_EDGE,
            "/documents/1/spec", "no registered reference");
    keeps(c, SET(MANIFEST("Application", "http", "")));
    assert_int_equal(catalog_count(c, KIND_LINK), 0);
    keeps(c, SET(HTTP("")));
    assert_int_equal(catalog_count(c, KIND_LINK), 0);
}

static void every_refusal_is_counted_and_the_first_are_kept(void **state)
{
    enum { COUNT = REFUSALS_MAX + 8 };
    struct catalog *c = *state;
    struct change changes[COUNT];
    struct staging *s;

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            char text[256];

            snprintf(text, sizeof(text),
                     round ? "-services/s%zu"
                           : MANIFEST("Service", "s%zu", "'calls': [{'to': 'driver/none'}]"),
                     i);
            changes[i] = change_make(text, i);
        }
        assert_int_equal(catalog_stage(c, changes, COUNT, &s, &why),
                         round ? RHODES_NOT_FOUND : RHODES_INVALID);
        assert_int_equal(why.count, REFUSALS_MAX);
        assert_int_equal(why.total, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            object_unref(changes[i].object);
        }
    }
}

static void a_pair_is_judged_without_being_registered(void **state)
{
    struct refusal no;

    assert_int_equal(catalog_judge_pair(*state, "service/a", "driver/b", &no), 0);
    assert_int_equal(catalog_judge_pair(*state, "driver/b", "service/a", &no), RHODES_DENIED);
    assert_int_equal(no.problem, PROBLEM_LAYER_FORBIDDEN);
    assert_string_equal(no.rule, "hierarchies/default");
    assert_string_equal(no.hint, "rhodes layer set --add-edge driver/b:service/a");
    assert_int_equal(catalog_judge_pair(*state, "b\n", "service/a", &no), RHODES_INVALID);
    assert_int_equal(no.problem, PROBLEM_BAD_NAME);
    assert_contains(no.detail, "\"b\\n\"");
    assert_int_equal(catalog_judge_pair(*state, "service/a", "", &no), RHODES_INVALID);
}

static void a_view_is_a_row_and_a_column(void **state)
{
    struct catalog *c = *state;
    struct staging *s;
    struct view *v;

    keeps(c, SET(HTTP(""), NET, NIC,
                 MANIFEST("Service", "tcp",
                          "'provides': [{'function': 'get: func() -> u32'}], 'calls': [{'to': "
                          "'driver/net', 'timeout': '7ms'}], 'run': {'exec': ['./tcp', '-v'],"
                          "'env': {'A': 'b'}, 'directory': '/srv', 'restart': 'never'}")));
    keeps(c, SET(HTTP_TCP_LINK(", 'access': 'deny'")));
    assert_int_equal(catalog_view(c, "service/tcp", &v), 0);
    assert_int_equal(v->revision, 2);
    assert_string_equal(v->self.resource, "service/tcp");
    assert_int_equal(v->self.revision, 1);
    assert_string_equal(v->self.functions[0].signature, "get: func() -> u32");
    assert_int_equal(v->self.arguments_count, 2);
    assert_string_equal(v->self.environment[0], "A=b");
    assert_string_equal(v->self.directory, "/srv");
    assert_int_equal(v->self.restart, RESTART_NEVER);
    assert_int_equal(v->self.device, DEVICE_NONE);
    assert_null(v->self.device_target);
    assert_int_equal(v->edges_count, 2);
    assert_string_equal(v->edges[0].peer, "application/http");
    assert_false(v->edges[0].outgoing);
    assert_false(v->edges[0].allowed);
    assert_string_equal(v->edges[0].rule, "links/application.http:service.tcp");
    assert_int_equal(v->edges[0].functions_count, 0);
    assert_string_equal(v->edges[1].peer, "driver/net");
    assert_true(v->edges[1].outgoing && v->edges[1].allowed);
    assert_int_equal(v->edges[1].timeout_ns, 7000000);
    view_unref(v);
    assert_int_equal(catalog_view(c, "driver/net", &v), 0);
    assert_int_equal(v->edges_count, 2);
    assert_int_equal(v->edges[0].functions_count, 4);
    view_unref(v);
    assert_int_equal(catalog_view(c, "hardware/nic0", &v), 0);
    assert_int_equal(v->self.device, DEVICE_NIC);
    assert_string_equal(v->self.device_target, "lo");
    view_unref(v);
    assert_int_equal(catalog_view(c, "service/none", &v), RHODES_NOT_FOUND);
    assert_int_equal(stage(c, SET("-links/application.http:service.tcp"), &s, &why), 0);
    assert_int_equal(catalog_view(c, "application/http", &v), 0);
    assert_int_equal(v->revision, 3);
    assert_true(v->edges[0].allowed);
    view_unref(v);
    catalog_undo(c, s);
    assert_int_equal(stage(c, SET("-applications/http"), &s, &why), 0);
    assert_int_equal(catalog_view(c, "application/http", &v), RHODES_NOT_FOUND);
    catalog_undo(c, s);
}

static void restores(struct catalog *c, const char *text, uint64_t revision)
{
    struct object *o = object_make(text);

    o->revision = o->revision_created = revision;
    assert_int_equal(catalog_restore(c, o), 0);
    object_unref(o);
}

static void what_was_committed_comes_back_in_any_order(void **state)
{
    struct catalog *c = *state;
    struct object *again;
    struct refusal no;
    struct edge edge;

    restores(c, HTTP_TCP_LINK(", 'protocol': 'shm'"), 4);
    restores(c, HTTP(""), 1);
    restores(c, TCP, 2);
    restores(c, HIERARCHY("'mode': 'strict'"), 3);
    restores(c, NET, 1);
    restores(c, NIC, 1);
    again = object_make(NIC);
    assert_int_equal(catalog_restore(c, again), RHODES_EXISTS);
    object_unref(again);
    assert_int_equal(catalog_restored(c, 9, &no), 0);
    assert_int_equal(catalog_revision(c), 9);
    assert_int_equal(catalog_count(c, KIND_HIERARCHY), 1);
    assert_int_equal(catalog_edge(c, "application/http", "service/tcp", &edge), 0);
    assert_int_equal(edge.protocol, PROTOCOL_SHM);
    assert_int_equal(edge.revision, 4);
    refuses(c, SET(MANIFEST("Service", "s", "'calls': [{'to': 'hardware/nic0'}]")),
            PROBLEM_LAYER_FORBIDDEN, "/documents/0/spec/calls/0/to", "mode strict");
    assert_int_equal(why.list[0].revision, 3);
    keeps(c, SET(MANIFEST("Application", "http", "")));
    assert_int_equal(catalog_revision(c), 10);
}

static void a_damaged_store_is_noticed(void **state)
{
    static const struct {
        const char *texts[3];
        enum problem problem;
    } cases[] = {
        { { HTTP("") }, PROBLEM_UNKNOWN_REFERENCE },
        { { HTTP_TCP_LINK(""), MANIFEST("Service", "tcp", ""),
            MANIFEST("Application", "http", "") },
          PROBLEM_NO_EDGE },
        { { MANIFEST("Driver", "d", "'calls': [{'to': 'service/s'}]"),
            MANIFEST("Service", "s", "") },
          PROBLEM_LAYER_FORBIDDEN },
        { { A_TO("b"), B_TO("a") }, PROBLEM_CYCLE },
        { { HTTP(""), MANIFEST("Service", "tcp", "") }, PROBLEM_FUNCTION_UNKNOWN },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct catalog *c = catalog_new();
        struct refusal no;

        for (size_t t = 0; t < 3 && cases[i].texts[t]; t++) {
            restores(c, cases[i].texts[t], 1);
        }
        assert_int_equal(catalog_restored(c, 1, &no), problem_verdict(cases[i].problem));
        assert_int_equal(no.problem, cases[i].problem);
        catalog_free(c);
    }
}

static void an_open_staging_goes_with_its_catalog(void **state)
{
    struct catalog *c = catalog_new();
    struct staging *s;

    assert_int_equal(stage(c, SET(NIC, NET), &s, &why), 0);
    assert_null(catalog_free(c));
}

static void resources_end_at_their_limit(void **state)
{
    enum { MAX = VIEW_EDGES_MAX - RESOURCE_CALLS_MAX };
    struct catalog *c = *state;
    struct change *changes = calloc(MAX + 1, sizeof(*changes));
    struct object *o = object_make(MANIFEST("Application", "x", ""));
    struct staging *s;

    for (size_t i = 0; i <= MAX; i++) {
        struct change *x = &changes[i];

        x->object = object_at(o, 0, 0);
        snprintf(x->name, sizeof(x->name), "a%zu", i);
        strcpy(x->object->name, x->name);
    }
    assert_int_equal(catalog_stage(c, changes, MAX + 1, &s, &why), RHODES_OVER_LIMIT);
    assert_int_equal(why.list[0].problem, PROBLEM_TOO_LARGE);
    assert_int_equal(why.total, 1);
    assert_int_equal(catalog_stage(c, changes, MAX, &s, &why), 0);
    catalog_undo(c, s);
    for (size_t i = 0; i <= MAX; i++) {
        object_unref(changes[i].object);
    }
    object_unref(o);
    free(changes);
}

/* One of 10,000 resources in four layers, each but hardware with 13 or 14 references to the layer
 * below. */
static void restore_one(struct catalog *c, size_t i)
{
    static const char *const names[] = { "Application", "Service", "Driver" };
    size_t layer = i / 2500, used;
    char text[2048];

    if (layer == 3) {
        snprintf(text, sizeof(text), MANIFEST("Hardware", "r%zu", DEVICE), i % 2500);
        restores(c, text, 1);
        return;
    }
    used = (size_t)snprintf(text, sizeof(text),
                            "{'apiVersion': 'rhodes/v1', 'kind': '%s', 'metadata': {'name': "
                            "'r%zu'}, 'spec': {'calls': [",
                            names[layer], i % 2500);
    for (size_t k = 0; k < 14; k++) {
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "%s{'to': '%s/r%zu'}", k ? "," : "",
                             layer_name((enum layer)layer + 1), (i * 7 + k * 191) % 2500);
    }
    snprintf(text + used, sizeof(text) - used, "]}}");
    restores(c, text, 1);
}

static void one_link_among_100000_edges_is_staged_in_less_than_a_millisecond(void **state)
{
    struct catalog *c = *state;
    uint64_t best = UINT64_MAX;
    struct refusal no;

    for (size_t i = 0; i < 10000; i++) {
        restore_one(c, i);
    }
    assert_int_equal(catalog_restored(c, 1, &no), 0);
    for (size_t i = 0; i < 20; i++) {
        struct change x;
        struct staging *s;
        char text[256];
        uint64_t from;

        snprintf(text, sizeof(text), LINK("'caller': 'application/r%zu', 'callee': 'service/r%zu'"),
                 i, i * 7);
        x = change_make(text, 0);
        from = clock_ns();
        assert_int_equal(catalog_stage(c, &x, 1, &s, &why), 0);
        catalog_keep(c, s);
        best = clock_ns() - from < best ? clock_ns() - from : best;
        object_unref(x.object);
    }
    if (best >= NS_PER_MS) {
        fail_msg("the fastest of 20 took %llu ns", (unsigned long long)best);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_new_catalog_holds_the_default_rule_alone),
        CASE(a_set_registers_in_any_order_with_one_revision),
        CASE(putting_the_same_again_changes_nothing),
        CASE(an_update_keeps_its_first_revision_and_affects_its_callees),
        CASE(new_functions_affect_the_callers),
        CASE(what_exists_is_not_created_again),
        CASE(a_change_that_expects_another_revision_is_stale),
        CASE(deleting_what_is_not_there_is_refused),
        CASE(the_default_rule_cannot_be_deleted),
        CASE(nothing_stands_twice_in_a_set),
        CASE(an_unknown_reference_is_refused),
        CASE(a_driver_calling_a_service_is_refused),
        CASE(a_service_calling_its_own_layer_is_refused),
        CASE(strict_refuses_what_skips_a_layer),
        CASE(a_rule_that_standing_references_would_break_is_refused),
        CASE(a_rule_that_changes_affects_what_it_decides),
        CASE(a_cycle_is_refused_with_its_path),
        CASE(a_cycle_behind_another_change_is_told_from_the_change_that_closes_it),
        CASE(every_cycle_is_counted),
        CASE(references_that_meet_again_are_no_cycle),
        CASE(what_climbs_is_refused_by_the_rule_before_the_cycle),
        CASE(an_upcall_may_close_a_cycle_until_the_rule_forgets_it),
        CASE(a_ring_of_long_names_is_told_in_short),
        CASE(a_chain_of_thousands_needs_no_stack),
        CASE(types_that_differ_are_shown_from_both_sides),
        CASE(what_is_still_called_is_not_deleted),
        CASE(a_set_may_delete_callee_and_callers_in_any_order),
        CASE(a_link_decides_its_edge),
        CASE(a_link_stands_only_on_an_edge),
        CASE(a_removed_edge_takes_its_link_with_it),
        CASE(every_refusal_is_counted_and_the_first_are_kept),
        CASE(a_pair_is_judged_without_being_registered),
        CASE(a_view_is_a_row_and_a_column),
        CASE(what_was_committed_comes_back_in_any_order),
        CASE(a_damaged_store_is_noticed),
        CASE(an_open_staging_goes_with_its_catalog),
        CASE(resources_end_at_their_limit),
        CASE(one_link_among_100000_edges_is_staged_in_less_than_a_millisecond),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
