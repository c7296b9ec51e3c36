/* The one door: what passes is judged, stored, kept and announced, in that order; what does not
 * changes nothing. */
#include "center/governor.h"

#include <string.h>

#include "test/lib/isolated.h"

struct bench {
    struct governor governor;
    struct refusals why;
    struct decision decision;
    size_t announced;
    uint64_t announced_revision;
    char sentence[GOVERNOR_WHY_BYTES];
};

static void on_commit(const struct decision *d, const char *who, void *data)
{
    struct bench *b = data;

    assert_string_equal(who, "uid 7");
    assert_int_equal(catalog_revision(b->governor.catalog),
                     d->revision); /* it is in force already */
    b->announced++;
    b->announced_revision = d->revision;
}

/* The memory store, but a commit can be made to fail, and a load to say strange things. */
static int commit_answer;
static struct store_object strange;

static int faulty_commit(struct store *s, const struct store_commit *commit, char *why)
{
    if (commit_answer) {
        strcpy(why, "no room");
        return commit_answer;
    }
    return store_memory.commit(s, commit, why);
}

static int faulty_load(struct store *s, uint64_t *ret_revision,
                       int (*on_object)(const struct store_object *object, void *data), void *data)
{
    int r = store_memory.load(s, ret_revision, on_object, data);

    return r || !strange.body ? r : on_object(&strange, data);
}

static struct store_driver faulty;

static int setup(void **state)
{
    static const struct store_options options = { .directory_fd = -1, .log_revisions_max = 10 };
    struct bench *b = calloc(1, sizeof(*b));

    faulty = store_memory;
    faulty.commit = faulty_commit;
    faulty.load = faulty_load;
    *state = b;
    return governor_open(&b->governor, &faulty, &options, on_commit, b, b->sentence);
}

static int teardown(void **state)
{
    struct bench *b = *state;

    decision_deinit(&b->decision);
    governor_close(&b->governor);
    free(b);
    return 0;
}

static struct object *parse(const char *kind, const char *name, const char *spec)
{
    json_t *document = json_pack("{s:s, s:s, s:{s:s}, s:o}", "apiVersion", "rhodes/v1", "kind",
                                 kind, "metadata", "name", name, "spec", json_loads(spec, 0, NULL));
    struct refusal why;
    struct object *o = NULL;

    assert_int_equal(object_parse(document, "", &o, &why), 0);
    json_decref(document);
    return o;
}

static int put(struct bench *b, const char *kind, const char *name, const char *spec,
               unsigned flags)
{
    struct object *o = parse(kind, name, spec);
    struct change change = { .kind = o->kind, .object = o };
    int r;

    strcpy(change.name, name);
    decision_deinit(&b->decision);
    r = governor_change(&b->governor, &change, 1, flags, "uid 7", &b->decision, &b->why);
    object_unref(o);
    return r;
}

static int on_object_count(const struct store_object *o, void *data)
{
    ++*(size_t *)data;
    return 0;
}

static size_t stored(struct bench *b, uint64_t *ret_revision)
{
    size_t count = 0;

    assert_int_equal(store_memory.load(b->governor.store, ret_revision, on_object_count, &count),
                     0);
    return count;
}

static void a_change_is_stored_kept_and_announced(void **state)
{
    struct bench *b = *state;
    uint64_t revision;

    assert_int_equal(put(b, "Service", "tcp", "{}", 0), 0);
    assert_int_equal(b->decision.revision, 1);
    assert_int_equal(b->decision.results_count, 1);
    assert_int_equal(b->decision.results[0].action, ACTION_CREATED);
    assert_int_equal(b->decision.results[0].revision, 1);
    assert_true(b->decision.committed_ns > 0);
    assert_int_equal(b->announced, 1);
    assert_int_equal(b->announced_revision, 1);
    assert_int_equal(stored(b, &revision), 1);
    assert_int_equal(revision, 1);
    assert_non_null(catalog_resource(b->governor.catalog, "service/tcp"));
}

static void those_whose_view_changes_are_named(void **state)
{
    struct bench *b = *state;

    assert_int_equal(put(b, "Driver", "net", "{}", 0), 0);
    assert_int_equal(put(b, "Service", "tcp", "{\"calls\": [{\"to\": \"driver/net\"}]}", 0), 0);
    assert_int_equal(b->decision.affected_count, 2);
    assert_string_equal(b->decision.affected[0], "driver/net");
    assert_string_equal(b->decision.affected[1], "service/tcp");
}

static void a_deleted_resource_is_named_too(void **state)
{
    struct bench *b = *state;
    struct change change = { .remove = true, .kind = KIND_SERVICE, .name = "tcp" };

    assert_int_equal(put(b, "Service", "tcp", "{}", 0), 0);
    decision_deinit(&b->decision);
    assert_int_equal(governor_change(&b->governor, &change, 1, 0, "uid 7", &b->decision, &b->why),
                     0);
    assert_int_equal(b->decision.affected_count, 1);
    assert_string_equal(b->decision.affected[0], "service/tcp");
}

static void a_dry_run_changes_nothing(void **state)
{
    struct bench *b = *state;
    uint64_t revision;

    assert_int_equal(put(b, "Service", "tcp", "{}", GOVERNOR_DRY_RUN), 0);
    assert_int_equal(b->decision.revision, 1);
    assert_int_equal(b->decision.results[0].action, ACTION_CREATED);
    assert_int_equal(b->decision.committed_ns, 0);
    assert_int_equal(b->announced, 0);
    assert_int_equal(stored(b, &revision), 0);
    assert_int_equal(catalog_revision(b->governor.catalog), 0);
    assert_null(catalog_resource(b->governor.catalog, "service/tcp"));
}

static void a_change_that_changes_nothing_is_not_stored(void **state)
{
    struct bench *b = *state;
    uint64_t revision;

    assert_int_equal(put(b, "Service", "tcp", "{}", 0), 0);
    assert_int_equal(put(b, "Service", "tcp", "{}", 0), 0);
    assert_int_equal(b->decision.results[0].action, ACTION_UNCHANGED);
    assert_int_equal(b->decision.results[0].revision, 1);
    assert_int_equal(b->decision.revision, 1);
    assert_int_equal(b->announced, 1);
    assert_int_equal(stored(b, &revision), 1);
    assert_int_equal(revision, 1);
}

static void a_refused_change_changes_nothing(void **state)
{
    struct bench *b = *state;
    uint64_t revision;

    assert_true(put(b, "Service", "tcp", "{\"calls\": [{\"to\": \"driver/none\"}]}", 0) > 0);
    assert_int_equal(b->why.list[0].problem, PROBLEM_UNKNOWN_REFERENCE);
    assert_int_equal(b->announced, 0);
    assert_int_equal(stored(b, &revision), 0);
    assert_int_equal(catalog_revision(b->governor.catalog), 0);
}

static void a_store_that_cannot_write_refuses_and_may_recover(void **state)
{
    struct bench *b = *state;

    commit_answer = -ENOSPC;
    assert_int_equal(put(b, "Service", "tcp", "{}", 0), RHODES_OVER_LIMIT);
    assert_int_equal(b->why.count, 1);
    assert_int_equal(b->why.list[0].problem, PROBLEM_STORE_FAILED);
    assert_non_null(strstr(b->why.list[0].detail, "no room"));
    assert_true(b->governor.store_failed);
    assert_string_equal(b->governor.store_why, "no room");
    assert_int_equal(b->announced, 0);
    assert_null(catalog_resource(b->governor.catalog, "service/tcp"));
    assert_int_equal(catalog_revision(b->governor.catalog), 0);
    assert_int_equal(put(b, "Service", "tcp", "{}", GOVERNOR_DRY_RUN), 0); /* judging goes on */
    commit_answer = 0;
    assert_int_equal(put(b, "Service", "tcp", "{}", 0), 0);
    assert_false(b->governor.store_failed);
    assert_int_equal(b->decision.revision, 1);
}

static void what_was_stored_is_there_after_a_restart(void **state)
{
    struct bench *b = *state;
    struct catalog *first = b->governor.catalog;
    const struct object *o;

    assert_int_equal(put(b, "Driver", "net", "{}", 0), 0);
    assert_int_equal(put(b, "Service", "tcp", "{\"calls\": [{\"to\": \"driver/net\"}]}", 0), 0);
    b->governor.catalog = catalog_new();
    assert_int_equal(governor_restore(&b->governor, b->sentence), 0);
    assert_int_equal(catalog_revision(b->governor.catalog), 2);
    o = catalog_resource(b->governor.catalog, "service/tcp");
    assert_non_null(o);
    assert_int_equal(o->revision, 2);
    assert_int_equal(o->revision_created, 2);
    catalog_free(first);
    assert_int_equal(put(b, "Service", "udp", "{}", 0), 0);
    assert_int_equal(b->decision.revision, 3);
}

static void a_damaged_store_is_refused_with_a_sentence(void **state)
{
    static const char *const bodies[] = {
        "nonsense",
        "{\"apiVersion\": \"rhodes/v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"x\"}, "
        "\"spec\": {\"no\": 1}}",
        "{\"apiVersion\": \"rhodes/v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"x\"}, "
        "\"spec\": {\"calls\": [{\"to\": \"driver/none\"}]}}",
    };
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct catalog *before = b->governor.catalog;

        strange = (struct store_object){ KIND_SERVICE, "x", bodies[i], 1, 1 };
        b->governor.catalog = catalog_new();
        b->sentence[0] = 0;
        assert_int_equal(governor_restore(&b->governor, b->sentence), -EUCLEAN);
        assert_true(strlen(b->sentence) > 10);
        catalog_free(b->governor.catalog);
        b->governor.catalog = before;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test_setup_teardown(a_change_is_stored_kept_and_announced, setup, teardown),
        isolated_test_setup_teardown(those_whose_view_changes_are_named, setup, teardown),
        isolated_test_setup_teardown(a_deleted_resource_is_named_too, setup, teardown),
        isolated_test_setup_teardown(a_dry_run_changes_nothing, setup, teardown),
        isolated_test_setup_teardown(a_change_that_changes_nothing_is_not_stored, setup, teardown),
        isolated_test_setup_teardown(a_refused_change_changes_nothing, setup, teardown),
        isolated_test_setup_teardown(a_store_that_cannot_write_refuses_and_may_recover, setup,
                                     teardown),
        isolated_test_setup_teardown(what_was_stored_is_there_after_a_restart, setup, teardown),
        isolated_test_setup_teardown(a_damaged_store_is_refused_with_a_sentence, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
