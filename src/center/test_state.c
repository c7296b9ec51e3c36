/* The center's soft state: documents, events, edge keys, and the life of agents. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "center/document.h"
#include "center/events.h"
#include "center/roster.h"
#include "center/secret.h"
#include "test/lib/isolated.h"

static struct refusal why;

static int read_text(const char *text)
{
    json_t *json = NULL;
    int r = document_read(text, strlen(text), &json, &why);

    json_decref(json);
    return r;
}

static void a_body_must_be_one_json_object(void **state)
{
    static const char *const bad[] = { "",        "nonsense",    "[]",
                                       "1",       "{\"a\":1} x", "{\"a\":1,\"a\":2}",
                                       "{\"a\":", "{\"\xff\":1}" };

    assert_int_equal(read_text("{\"a\": [1, \"]]]\", \"\\\"[[\"]}"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(read_text(bad[i]), RHODES_INVALID);
        assert_int_equal(why.problem, PROBLEM_MALFORMED);
        assert_true(strlen(why.detail) > 5);
    }
}

static void nesting_has_a_limit(void **state)
{
    static char text[200000];
    size_t at = 0;

    at += (size_t)sprintf(text, "{\"a\":");
    memset(text + at, '[', JSON_DEPTH_MAX - 1);
    memset(text + at + JSON_DEPTH_MAX - 1, ']', JSON_DEPTH_MAX - 1);
    strcpy(text + at + 2 * (JSON_DEPTH_MAX - 1), "}");
    assert_int_equal(read_text(text), 0);
    memset(text + at, '[', JSON_DEPTH_MAX);
    memset(text + at + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    strcpy(text + at + 2 * JSON_DEPTH_MAX, "}");
    assert_int_equal(read_text(text), RHODES_INVALID);
    memset(text, '[', sizeof(text) - 1);
    assert_int_equal(read_text(text), RHODES_INVALID);
    memset(text, '{', sizeof(text) - 1);
    assert_int_equal(read_text(text), RHODES_INVALID);
}

static void a_problem_repeats_its_first_refusal(void **state)
{
    struct refusals *all = calloc(1, sizeof(*all));
    json_t *json;

    refuse(&all->list[0], PROBLEM_LAYER_FORBIDDEN, "/documents/1",
           "driver/a may not call service/b");
    refuse(&all->list[1], PROBLEM_BAD_NAME, "/documents/2", "no");
    all->count = 2;
    all->total = 5;
    json = document_problem(all);
    assert_string_equal(json_string_value(json_object_get(json, "code")), "RH1013");
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 403);
    assert_string_equal(json_string_value(json_object_get(json, "pointer")), "/documents/1");
    assert_int_equal(json_array_size(json_object_get(json, "refusals")), 2);
    assert_int_equal(json_integer_value(json_object_get(json, "refusalsTotal")), 5);
    json_decref(json);
    free(all);
}

static void a_text_that_is_not_utf_8_can_still_be_said(void **state)
{
    json_t *json = document_text("a\xff\xfe z");

    assert_string_equal(json_string_value(json), "a?? z");
    json_decref(json);
}

static void times_are_written_in_utc(void **state)
{
    char text[TIME_TEXT_BYTES];

    assert_string_equal(time_text(1700000000123, text), "2023-11-14T22:13:20.123Z");
    assert_string_equal(time_text(0, text), "1970-01-01T00:00:00.000Z");
}

static void the_last_thousand_events_are_kept(void **state)
{
    struct events *e;
    uint64_t id = 0, seen = 0;

    assert_int_equal(events_new(&e), 0);
    assert_null(events_next(e, 0));
    for (int i = 1; i <= EVENTS_MAX; i++) {
        events_add(e, (uint64_t)i, "agent.ready", "service/tcp", "text");
    }
    assert_int_equal(events_next(e, 0)->id, 1);
    events_add(e, 1, "Agent Ready\n", "service/tcp", "one more");
    assert_int_equal(events_next(e, 0)->id, 2);
    for (const struct occurrence *o; (o = events_next(e, id)); id = o->id) {
        assert_true(o->id > id);
        seen++;
    }
    assert_int_equal(seen, EVENTS_MAX);
    assert_int_equal(events_last(e), EVENTS_MAX + 1);
    assert_string_equal(events_next(e, EVENTS_MAX)->event, "-gent--eady-");
    assert_null(events_next(e, EVENTS_MAX + 1));
    events_free(e);
}

static void an_edge_key_is_stable_and_its_own(void **state)
{
    char directory[] = "/tmp/rhodes-secret-XXXXXX", path[64];
    struct secret first, again;
    uint8_t a[EDGE_KEY_BYTES], b[EDGE_KEY_BYTES];
    struct stat info;
    int fd;

    assert_non_null(mkdtemp(directory));
    fd = open(directory, O_PATH | O_DIRECTORY);
    assert_int_equal(secret_open(fd, &first), 0);
    assert_int_equal(secret_open(fd, &again), 0);
    assert_memory_equal(&first, &again, sizeof(first));
    assert_int_equal(fstatat(fd, "secret", &info, 0), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    secret_edge_key(&first, "service/a", "driver/b", a);
    secret_edge_key(&again, "service/a", "driver/b", b);
    assert_memory_equal(a, b, sizeof(a));
    secret_edge_key(&first, "driver/b", "service/a", b);
    assert_memory_not_equal(a, b, sizeof(a));
    secret_edge_key(&first, "service/ad", "river/b", b);
    assert_memory_not_equal(a, b, sizeof(a));
    snprintf(path, sizeof(path), "%s/secret", directory);
    assert_int_equal(truncate(path, 31), 0);
    assert_int_equal(secret_open(fd, &again), -EUCLEAN);
    assert_int_equal(truncate(path, 33), 0);
    assert_int_equal(secret_open(fd, &again), -EUCLEAN);
    unlink(path);
    rmdir(directory);
    close(fd);
}

static void agents_are_listed_in_order(void **state)
{
    struct roster roster = { 0 };
    struct agent *a, *again;

    assert_null(roster_find(&roster, "service/tcp"));
    for (int i = 199; i >= 0; i--) {
        char id[32];

        snprintf(id, sizeof(id), "service/s%03d", i);
        assert_int_equal(roster_add(&roster, id, &a), 0);
        assert_int_equal(roster_add(&roster, id, &again), 0);
        assert_ptr_equal(a, again);
    }
    assert_int_equal(roster.count, 200);
    for (size_t i = 1; i < roster.count; i++) {
        assert_true(strcmp(roster.agents[i - 1]->resource, roster.agents[i]->resource) < 0);
    }
    roster_remove(&roster, roster_find(&roster, "service/s050"));
    assert_null(roster_find(&roster, "service/s050"));
    assert_non_null(roster_find(&roster, "service/s051"));
    assert_int_equal(roster.count, 199);
    roster_deinit(&roster);
}

static void an_agent_lives_by_its_table(void **state)
{
    struct roster roster = { 0 };
    struct agent *a;

    assert_int_equal(roster_add(&roster, "service/tcp", &a), 0);
    assert_false(agent_moved(a, MOVE_SPAWNED, 1));
    assert_false(agent_moved(a, MOVE_HELLO, 2));
    assert_true(agent_moved(a, MOVE_APPLIED, 3));
    assert_int_equal(a->since_ms, 3);
    assert_false(agent_moved(a, MOVE_APPLIED, 4));
    assert_int_equal(a->since_ms, 3);
    assert_string_equal(agent_state_name(a->state), "ready");
    assert_true(agent_moved(a, MOVE_GONE, 5));
    assert_string_equal(agent_state_name(a->state), "lost");
    assert_true(agent_moved(a, MOVE_HELLO, 6));
    assert_true(agent_moved(a, MOVE_REJECTED, 7));
    assert_string_equal(agent_state_name(a->state), "failed");
    assert_true(agent_moved(a, MOVE_ENDED, 8));
    assert_string_equal(agent_state_name(a->state), "stopped");
    roster_deinit(&roster);
}

static void a_rejection_is_shown_until_the_next_answer(void **state)
{
    struct roster roster = { 0 };
    struct agent *a;
    json_t *json;

    assert_int_equal(roster_add(&roster, "service/tcp", &a), 0);
    agent_rejected(a, 12, RHODES_OVER_LIMIT, "no more message queues");
    json = agent_json(a);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(json, "rejected"), "verdict")),
        "OVER_LIMIT");
    json_decref(json);
    agent_rejected(a, 0, 0, NULL);
    json = agent_json(a);
    assert_null(json_object_get(json, "rejected"));
    json_decref(json);
    roster_deinit(&roster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(a_body_must_be_one_json_object),
        isolated_test(nesting_has_a_limit),
        isolated_test(a_problem_repeats_its_first_refusal),
        isolated_test(a_text_that_is_not_utf_8_can_still_be_said),
        isolated_test(times_are_written_in_utc),
        isolated_test(the_last_thousand_events_are_kept),
        isolated_test(an_edge_key_is_stable_and_its_own),
        isolated_test(agents_are_listed_in_order),
        isolated_test(an_agent_lives_by_its_table),
        isolated_test(a_rejection_is_shown_until_the_next_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
