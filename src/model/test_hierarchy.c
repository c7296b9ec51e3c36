/* The hierarchical rule over every pair of layers, and what added edges change. */
#include "model/hierarchy.h"
#include "model/test_help.h"

static int judge(const struct hierarchy *h, enum layer from, enum layer to)
{
    const struct hierarchy_edge *edge = (void *)-1;
    char caller[RESOURCE_ID_BYTES_MAX], callee[RESOURCE_ID_BYTES_MAX];
    int r;

    resource_id_make(from, "a", '/', caller);
    resource_id_make(to, "b", '/', callee);
    r = hierarchy_judge(h, caller, callee, &edge);
    assert_null(edge);
    return r;
}

static void by_default_a_layer_calls_any_layer_below_it(void **state)
{
    struct hierarchy h = { 0 };

    for (enum layer from = 0; from < LAYERS_COUNT; from++) {
        for (enum layer to = 0; to < LAYERS_COUNT; to++) {
            assert_int_equal(judge(&h, from, to), to > from ? 0 : RHODES_DENIED);
        }
    }
}

static void strict_allows_the_next_layer_only(void **state)
{
    struct hierarchy h = { .strict = true };

    for (enum layer from = 0; from < LAYERS_COUNT; from++) {
        for (enum layer to = 0; to < LAYERS_COUNT; to++) {
            assert_int_equal(judge(&h, from, to), to == from + 1 ? 0 : RHODES_DENIED);
        }
    }
}

static void an_added_edge_covers_a_layer_or_one_resource(void **state)
{
    struct hierarchy_edge edges[] = {
        { .from = "service", .to = "service" },
        { .from = "driver/net", .to = "service" },
        { .from = "driver", .to = "service/tcp", .upcall = true },
    };
    struct hierarchy h = { .edges = edges, .edges_count = 3 };
    const struct hierarchy_edge *edge;

    assert_int_equal(hierarchy_judge(&h, "service/a", "service/b", &edge), 0);
    assert_ptr_equal(edge, &edges[0]);
    assert_int_equal(hierarchy_judge(&h, "driver/net", "service/udp", &edge), 0);
    assert_ptr_equal(edge, &edges[1]);
    assert_int_equal(hierarchy_judge(&h, "driver/rogue", "service/udp", &edge), RHODES_DENIED);
    assert_int_equal(hierarchy_judge(&h, "driver/rogue", "service/tcp", &edge), 0);
    assert_ptr_equal(edge, &edges[2]);
    /* Where two cover a pair, the upcall counts. */
    assert_int_equal(hierarchy_judge(&h, "driver/net", "service/tcp", &edge), 0);
    assert_ptr_equal(edge, &edges[2]);
    /* The other direction is not added with it. */
    assert_int_equal(hierarchy_judge(&h, "service/tcp", "driver/net", &edge), 0);
    assert_null(edge);
    assert_int_equal(hierarchy_judge(&h, "service/tcp", "application/a", &edge), RHODES_DENIED);
}

static void an_edge_that_the_mode_allows_anyway_is_no_upcall(void **state)
{
    struct hierarchy_edge e = { .from = "service", .to = "driver", .upcall = true };
    struct hierarchy h = { .edges = &e, .edges_count = 1 };
    const struct hierarchy_edge *edge;

    assert_int_equal(hierarchy_judge(&h, "service/a", "driver/b", &edge), 0);
    assert_null(edge);
}

static void what_is_no_id_is_denied(void **state)
{
    struct hierarchy h = { 0 };
    const struct hierarchy_edge *edge;

    assert_int_equal(hierarchy_judge(&h, "service", "driver/b", &edge), RHODES_DENIED);
    assert_int_equal(hierarchy_judge(&h, "service/a", "b", &edge), RHODES_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_default_a_layer_calls_any_layer_below_it),
        cmocka_unit_test(strict_allows_the_next_layer_only),
        cmocka_unit_test(an_added_edge_covers_a_layer_or_one_resource),
        cmocka_unit_test(an_edge_that_the_mode_allows_anyway_is_no_upcall),
        cmocka_unit_test(what_is_no_id_is_denied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
