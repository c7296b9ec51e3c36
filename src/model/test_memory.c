/* Memory that runs out: each piece of work is repeated with the first allocation failing, then the
 * second, and so on until none fails. Every time it must say -ENOMEM, leave what it worked on as it
 * was, and leak nothing (the leak sanitizer looks). */
#include "model/test_help.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
char *__wrap_strdup(const char *text);
int __wrap_asprintf(char **ret, const char *format, ...) PRINTF_LIKE(2, 3);

static long allocations_left = -1; /* negative: memory never runs out */
static bool ran_out;

static bool runs_out(void)
{
    if (allocations_left < 0) {
        return false;
    }
    if (allocations_left == 0) {
        ran_out = true;
        return true;
    }
    allocations_left--;
    return false;
}

void *__wrap_malloc(size_t bytes)
{
    return runs_out() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return runs_out() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return runs_out() ? NULL : __real_realloc(old, bytes);
}

char *__wrap_strdup(const char *text)
{
    return runs_out() ? NULL : __real_strdup(text);
}

int __wrap_asprintf(char **ret, const char *format, ...)
{
    va_list arguments;
    int n = -1;

    va_start(arguments, format);
    if (!runs_out()) {
        n = vasprintf(ret, format, arguments);
    }
    va_end(arguments);
    return n;
}

/* Runs `work` until it gets all the memory that it asks for. */
static void with_little_memory(int (*work)(void *data), void *data)
{
    for (long n = 0;; n++) {
        int r;

        ran_out = false;
        allocations_left = n;
        r = work(data);
        allocations_left = -1;
        if (!ran_out) {
            assert_int_equal(r, 0);
            assert_true(n > 0);
            return;
        }
        if (r != -ENOMEM) {
            fail_msg("%d, when allocation %ld failed", r, n);
        }
    }
}

#define RICH                                                                                       \
    "{'apiVersion': 'rhodes/v1', 'kind': 'Service', 'metadata': {'name': 'tcp', 'labels': {}},"    \
    " 'spec': {'types': 'record t { x: list<u8> } enum e { a, b }',"                               \
    " 'provides': [{'function': 'get: func(a: t) -> e'}, {'function': 'put: func()'}],"            \
    " 'calls': [{'to': 'driver/net', 'functions': ['xmit: func()']}],"                             \
    " 'run': {'exec': ['./tcp', ''], 'env': {'A': 'b'}, 'directory': '/srv'}}}"
#define NET MANIFEST("Driver", "net", "'provides': [{'function': 'xmit: func()'}]")

static int parse(void *data)
{
    struct object *o;
    struct refusal why;
    int r = object_parse(data, "", &o, &why);

    if (r == 0) {
        object_unref(o);
    }
    return r;
}

static void manifests(void **state)
{
    static const char *const texts[] = {
        RICH,
        "{'apiVersion': 'rhodes/v1', 'kind': 'Application', 'metadata': {'name': 'a'}}",
        MANIFEST("Hardware", "h", DEVICE),
        MANIFEST("Hardware", "h", "'device': {'sim': {'peer': '/x'}}"),
        "{'apiVersion': 'rhodes/v1', 'kind': 'Link', 'spec': {'caller': 'service/a', 'callee': "
        "'driver/b', 'timeout': '1s'}}",
        HIERARCHY("'edges': [{'from': 'driver', 'to': 'service'}]"),
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *document = json_make(texts[i]);

        with_little_memory(parse, document);
        json_decref(document);
    }
}

static int parse_type(void *data)
{
    struct wit_function *f;
    struct wit_error error;
    int r = wit_function_parse("f: func(a: r) -> r", data, &f, &error);

    if (r == 0) {
        wit_function_unref(f);
    }
    return r;
}

/* A record so large that each of its parts takes memory of its own. */
static void large_types(void **state)
{
    char types[4096] = "record r {";

    for (unsigned i = 0; i < WIT_FIELDS_MAX; i++) {
        size_t used = strlen(types);

        snprintf(types + used, sizeof(types) - used, "field-with-a-long-name-a%u: tuple<u8, u64>,",
                 i);
    }
    strcat(types, "}");
    with_little_memory(parse_type, types);
}

static int revision(void *data)
{
    struct object *at = object_at(data, 1, 1);

    object_unref(at);
    return at ? 0 : -ENOMEM;
}

static void objects_at_revisions(void **state)
{
    struct object *o = object_make(NET);

    with_little_memory(revision, o);
    object_unref(o);
}

static int make_catalog(void *data)
{
    struct catalog *c = catalog_new();

    (void)data;
    catalog_free(c);
    return c ? 0 : -ENOMEM;
}

static void new_catalogs(void **state)
{
    with_little_memory(make_catalog, NULL);
}

struct set {
    struct catalog *c;
    struct change changes[16];
    size_t count;
};

static int stage_and_undo(void *data)
{
    static struct refusals why;
    struct set *set = data;
    struct staging *s;
    struct edge edge;
    int r = catalog_stage(set->c, set->changes, set->count, &s, &why);

    if (r == 0) {
        catalog_undo(set->c, s);
    }
    /* Whatever happened, it is as it was. */
    assert_int_equal(catalog_revision(set->c), 2);
    assert_int_equal(catalog_count(set->c, KIND_SERVICE), 1);
    assert_int_equal(catalog_count(set->c, KIND_APPLICATION), 1);
    assert_int_equal(catalog_count(set->c, KIND_LINK), 1);
    assert_int_equal(catalog_edge(set->c, "application/a", "service/tcp", &edge), 0);
    assert_string_equal(edge.rule, "links/application.a:service.tcp");
    assert_int_equal(catalog_edge(set->c, "service/tcp", "driver/net", &edge), 0);
    return r;
}

static struct catalog *catalog_rich(void)
{
    static struct refusals why;
    struct catalog *c = catalog_new();
    struct staging *s;

    assert_int_equal(stage(c,
                           SET(MANIFEST("Application", "a", "'calls': [{'to': 'service/tcp'}]"),
                               RICH, NET, MANIFEST("Hardware", "h", DEVICE)),
                           &s, &why),
                     0);
    catalog_keep(c, s);
    assert_int_equal(
        stage(c, SET(LINK("'caller': 'application/a', 'callee': 'service/tcp'")), &s, &why), 0);
    catalog_keep(c, s);
    return c;
}

/* Sixteen changes, so that the seventeenth, the link that goes with its edge, needs more room in
 * the list. */
static void sets_of_changes(void **state)
{
    static const char *const texts[] = {
        MANIFEST("Hardware", "f0", DEVICE),
        RICH, /* unchanged */
        MANIFEST("Application", "a", ""),
        MANIFEST("Application", "b", "'calls': [{'to': 'service/new'}]"),
        MANIFEST("Service", "new", ""),
        HIERARCHY("'mode': 'strict', 'edges': [{'from': 'service', 'to': 'service'}]"),
        MANIFEST("Hardware", "f1", DEVICE),
        MANIFEST("Hardware", "f2", DEVICE),
        MANIFEST("Hardware", "f3", DEVICE),
        MANIFEST("Hardware", "f4", DEVICE),
        MANIFEST("Hardware", "f5", DEVICE),
        MANIFEST("Hardware", "f6", DEVICE),
        MANIFEST("Hardware", "f7", DEVICE),
        MANIFEST("Hardware", "f8", DEVICE),
        MANIFEST("Hardware", "f9", DEVICE),
        "-hardware/h",
    };
    struct set set = { .c = catalog_rich(), .count = sizeof(texts) / sizeof(texts[0]) };

    for (size_t i = 0; i < set.count; i++) {
        set.changes[i] = change_make(texts[i], i);
    }
    with_little_memory(stage_and_undo, &set);
    for (size_t i = 0; i < set.count; i++) {
        object_unref(set.changes[i].object);
    }
    catalog_free(set.c);
}

static int restore(void *data)
{
    struct object **objects = data;
    struct catalog *c;
    struct refusal why;
    int r = 0;
    long left = allocations_left;

    allocations_left = -1;
    c = catalog_new();
    allocations_left = left;
    for (size_t i = 0; objects[i] && r == 0; i++) {
        r = catalog_restore(c, objects[i]);
    }
    r = r ? r : catalog_restored(c, 3, &why);
    catalog_free(c);
    return r;
}

static void restored_catalogs(void **state)
{
    struct object *objects[] = { object_make(RICH), object_make(NET), object_make(HIERARCHY("")),
                                 NULL };

    with_little_memory(restore, objects);
    for (size_t i = 0; i < 3; i++) {
        object_unref(objects[i]);
    }
}

static int read_views(void *data)
{
    static const char *const ids[] = { "service/tcp", "application/a", "hardware/h" };
    int r = 0;

    for (size_t i = 0; i < 3 && r == 0; i++) {
        struct view *v;

        r = catalog_view(data, ids[i], &v);
        if (r == 0) {
            view_unref(v);
        }
    }
    return r;
}

static void views_of_a_catalog(void **state)
{
    struct catalog *c = catalog_rich();

    with_little_memory(read_views, c);
    catalog_free(c);
}

static int diff_and_patch(void *data)
{
    struct view **views = data, *patched;
    struct view_delta *d;
    int r = view_diff(views[0], views[1], &d);

    if (r) {
        return r;
    }
    r = view_patch(views[0], d, &patched);
    if (r == 0) {
        view_unref(patched);
    }
    view_delta_free(d);
    return r;
}

static void deltas(void **state)
{
    struct catalog *c = catalog_rich();
    struct view *views[2];

    assert_int_equal(catalog_view(c, "application/a", &views[0]), 0);
    assert_int_equal(catalog_view(c, "service/tcp", &views[1]), 0);
    views[1]->revision = 3;
    with_little_memory(diff_and_patch, views);
    view_unref(views[0]);
    view_unref(views[1]);
    catalog_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifests),
        cmocka_unit_test(large_types),
        cmocka_unit_test(objects_at_revisions),
        cmocka_unit_test(new_catalogs),
        cmocka_unit_test(sets_of_changes),
        cmocka_unit_test(restored_catalogs),
        cmocka_unit_test(views_of_a_catalog),
        cmocka_unit_test(deltas),
    };

    json_set_alloc_funcs(__wrap_malloc, free);
    json_object_seed(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
