/* One suite for every store driver, then what only the driver with a file must withstand: being
 * killed between two commits, a second process, a file that may not grow, a damaged file. */
#include "center/store.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <sqlite3.h>

#include "test/lib/isolated.h"

struct bench {
    const struct store_driver *driver;
    char directory[64];
    int directory_fd;
    struct store *store;
    uint64_t log_revisions_max;
};

static void directory_remove(const char *path)
{
    static const char *const names[] = { "rhodes.db", "rhodes.db-wal", "rhodes.db-shm",
                                         "rhodes.db-journal" };
    char file[128];

    for (size_t i = 0; i < 4; i++) {
        snprintf(file, sizeof(file), "%s/%s", path, names[i]);
        unlink(file);
    }
    rmdir(path);
}

static int bench_open(struct bench *b, char *why)
{
    struct store_options options = { .directory_fd = b->directory_fd,
                                     .log_revisions_max = b->log_revisions_max };

    return b->driver->open(&options, &b->store, why);
}

static int setup(void **state, const struct store_driver *driver)
{
    struct bench *b = calloc(1, sizeof(*b));
    char why[STORE_WHY_BYTES];

    b->driver = driver;
    b->log_revisions_max = 1000;
    strcpy(b->directory, "/tmp/rhodes-store-XXXXXX");
    *state = b;
    if (!mkdtemp(b->directory)) {
        return -1;
    }
    b->directory_fd = open(b->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return bench_open(b, why);
}

static int setup_memory(void **state)
{
    return setup(state, &store_memory);
}

static int setup_sqlite(void **state)
{
    return setup(state, &store_sqlite);
}

static int teardown(void **state)
{
    struct bench *b = *state;

    b->driver->close(b->store);
    close(b->directory_fd);
    directory_remove(b->directory);
    free(b);
    return 0;
}

static struct object *service_make(const char *name, uint64_t revision, uint64_t created,
                                   size_t padding)
{
    struct refusal why;
    struct object *o = NULL;
    char *label = malloc(padding + 1);
    json_t *document;

    memset(label, 'x', padding);
    label[padding] = 0;
    document =
        json_pack("{s:s, s:s, s:{s:s}, s:{s:{s:[s, s]}}}", "apiVersion", "rhodes/v1", "kind",
                  "Service", "metadata", "name", name, "spec", "run", "exec", "/bin/true", label);
    assert_non_null(document);
    if (object_parse(document, "", &o, &why) != 0) {
        print_error("%s: %s\n", why.pointer, why.detail);
    }
    assert_non_null(o);
    o->revision = revision;
    o->revision_created = created;
    json_decref(document);
    free(label);
    return o;
}

static int commit(struct bench *b, uint64_t revision, struct object *before, struct object *after)
{
    char why[STORE_WHY_BYTES] = "";
    struct staged_object staged = { before, after };
    struct store_commit c = { .revision = revision,
                              .at_ms = 1000 + revision,
                              .who = "uid 7",
                              .objects = &staged,
                              .objects_count = 1 };
    int r = b->driver->commit(b->store, &c, why);

    assert_true(r == 0 || *why);
    return r;
}

/* Puts service/NAME at `revision`. */
static int put(struct bench *b, const char *name, uint64_t revision)
{
    struct object *o = service_make(name, revision, revision, 10);
    int r = commit(b, revision, NULL, o);

    object_unref(o);
    return r;
}

/* What came back, as one text per entry: "revision kind name body? last" */
struct seen {
    size_t count;
    char lines[64][256];
    uint64_t revisions[4096];
};

static int on_object(const struct store_object *o, void *data)
{
    struct seen *seen = data;

    snprintf(seen->lines[seen->count++ % 64], 256, "%s %s %llu %llu", kind_name(o->kind), o->name,
             (unsigned long long)o->revision, (unsigned long long)o->revision_created);
    return 0;
}

static void on_entry(const struct store_entry *e, void *data)
{
    struct seen *seen = data;

    seen->revisions[seen->count % 4096] = e->revision;
    snprintf(seen->lines[seen->count++ % 64], 256, "%llu %s %s %s%s %s %llu",
             (unsigned long long)e->revision, kind_name(e->object.kind), e->object.name,
             e->object.body ? "put" : "delete", e->last ? " last" : "", e->who,
             (unsigned long long)e->at_ms);
}

static void an_empty_store_is_at_revision_0(void **state)
{
    struct bench *b = *state;
    struct seen seen = { 0 };
    uint64_t revision = 9;

    assert_int_equal(b->driver->load(b->store, &revision, on_object, &seen), 0);
    assert_int_equal(revision, 0);
    assert_int_equal(seen.count, 0);
    assert_int_equal(b->driver->log_read(b->store, 0, 10, on_entry, &seen), 0);
    assert_int_equal(seen.count, 0);
}

static void what_was_committed_is_loaded(void **state)
{
    struct bench *b = *state;
    struct object *first = service_make("tcp", 1, 1, 3), *second = service_make("tcp", 2, 1, 4);
    struct seen seen = { 0 };
    uint64_t revision = 0;

    assert_int_equal(commit(b, 1, NULL, first), 0);
    assert_int_equal(commit(b, 2, first, second), 0);
    assert_int_equal(b->driver->load(b->store, &revision, on_object, &seen), 0);
    assert_int_equal(revision, 2);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.lines[0], "Service tcp 2 1");
    assert_int_equal(commit(b, 3, second, NULL), 0);
    seen.count = 0;
    assert_int_equal(b->driver->load(b->store, &revision, on_object, &seen), 0);
    assert_int_equal(seen.count, 0);
    assert_int_equal(revision, 3);
    object_unref(first);
    object_unref(second);
}

static void the_log_tells_every_change_in_order(void **state)
{
    struct bench *b = *state;
    struct object *o = service_make("tcp", 1, 1, 3);
    struct seen seen = { 0 };

    assert_int_equal(commit(b, 1, NULL, o), 0);
    assert_int_equal(commit(b, 2, o, NULL), 0);
    assert_int_equal(put(b, "udp", 3), 0);
    assert_int_equal(b->driver->log_read(b->store, 0, 10, on_entry, &seen), 0);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.lines[0], "1 Service tcp put last uid 7 1001");
    assert_string_equal(seen.lines[1], "2 Service tcp delete last uid 7 1002");
    assert_string_equal(seen.lines[2], "3 Service udp put last uid 7 1003");
    seen.count = 0;
    assert_int_equal(b->driver->log_read(b->store, 2, 10, on_entry, &seen), 0);
    assert_int_equal(seen.count, 1);
    object_unref(o);
}

static void reading_never_stops_inside_a_revision(void **state)
{
    struct bench *b = *state;
    struct object *o[3] = { service_make("a", 1, 1, 1), service_make("b", 1, 1, 1),
                            service_make("c", 1, 1, 1) };
    struct staged_object staged[3] = { { NULL, o[0] }, { NULL, o[1] }, { NULL, o[2] } };
    struct store_commit c = {
        .revision = 1, .who = "uid 7", .objects = staged, .objects_count = 3
    };
    struct seen seen = { 0 };
    char why[STORE_WHY_BYTES];

    assert_int_equal(b->driver->commit(b->store, &c, why), 0);
    assert_int_equal(put(b, "d", 2), 0);
    assert_int_equal(b->driver->log_read(b->store, 0, 1, on_entry, &seen), 0);
    assert_int_equal(seen.count, 3);
    assert_null(strstr(seen.lines[1], "last"));
    assert_non_null(strstr(seen.lines[2], "last"));
    for (size_t i = 0; i < 3; i++) {
        object_unref(o[i]);
    }
}

static void a_commit_that_does_not_continue_changes_nothing(void **state)
{
    struct bench *b = *state;
    struct seen seen = { 0 };
    uint64_t revision = 0;

    assert_int_equal(put(b, "tcp", 1), 0);
    assert_true(put(b, "udp", 1) < 0);
    assert_true(put(b, "udp", 3) < 0);
    assert_int_equal(b->driver->load(b->store, &revision, on_object, &seen), 0);
    assert_int_equal(revision, 1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(put(b, "udp", 2), 0);
}

static void a_cut_log_says_so(void **state)
{
    struct bench *b = *state;
    struct seen seen = { 0 };

    b->driver->close(b->store);
    b->store = NULL;
    b->log_revisions_max = 3;
    assert_int_equal(bench_open(b, (char[STORE_WHY_BYTES]){ 0 }), 0);
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(put(b, "tcp", i), 0);
    }
    assert_int_equal(b->driver->log_read(b->store, 0, 10, on_entry, &seen), RHODES_STALE);
    assert_int_equal(b->driver->log_read(b->store, 1, 10, on_entry, &seen), RHODES_STALE);
    assert_int_equal(seen.count, 0);
    assert_int_equal(b->driver->log_read(b->store, 2, 10, on_entry, &seen), 0);
    assert_int_equal(seen.count, 3);
}

static int on_object_refuse(const struct store_object *o, void *data)
{
    return -EUCLEAN;
}

static void loading_ends_when_the_reader_says_so(void **state)
{
    struct bench *b = *state;
    uint64_t revision = 77;

    assert_int_equal(put(b, "tcp", 1), 0);
    assert_int_equal(b->driver->load(b->store, &revision, on_object_refuse, NULL), -EUCLEAN);
    assert_int_equal(revision, 77);
}

static void drivers_are_found_by_name(void **state)
{
    assert_ptr_equal(store_driver_find("sqlite"), &store_sqlite);
    assert_ptr_equal(store_driver_find("memory"), &store_memory);
    assert_null(store_driver_find("oracle"));
    assert_int_equal(store_sqlite.abi, STORE_ABI);
}

/* The child commits as fast as it can and writes each acknowledged revision down a pipe. */
static void child_commits(struct bench *b, int acknowledge)
{
    uint64_t revision = 0;
    char why[STORE_WHY_BYTES];

    if (bench_open(b, why) ||
        b->driver->load(b->store, &revision, on_object_refuse, NULL) == -EIO) {
        _exit(1);
    }
    b->driver->load(b->store, &revision, on_object, &(struct seen){ 0 });
    for (revision++;; revision++) {
        char name[32];
        struct object *o;

        snprintf(name, sizeof(name), "s%llu", (unsigned long long)revision % 7);
        o = service_make(name, revision, 1, 2000);
        if (commit(b, revision, NULL, o) != 0 || write(acknowledge, &revision, 8) != 8) {
            _exit(2);
        }
        object_unref(o);
    }
}

static void nothing_acknowledged_is_lost_by_kill_9(void **state)
{
    struct bench *b = *state;
    uint64_t acknowledged = 0, revision = 0;

    b->store = b->driver->close(b->store);
    for (int round = 0; round < 8; round++) {
        struct seen *seen = calloc(1, sizeof(*seen));
        char why[STORE_WHY_BYTES];
        int pipes[2], status;
        pid_t child;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        if (child == 0) {
            child_commits(b, pipes[1]);
        }
        close(pipes[1]);
        for (int i = 0; i < 3 + 5 * round; i++) {
            assert_int_equal(read(pipes[0], &acknowledged, 8), 8);
        }
        kill(child, SIGKILL);
        while (read(pipes[0], &acknowledged, 8) == 8) {
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        close(pipes[0]);
        assert_int_equal(bench_open(b, why), 0);
        assert_int_equal(b->driver->load(b->store, &revision, on_object, seen), 0);
        assert_in_range(revision, acknowledged, acknowledged + 1);
        seen->count = 0;
        assert_int_equal(b->driver->log_read(b->store, 0, 4096, on_entry, seen), 0);
        assert_int_equal(seen->count, revision);
        for (size_t i = 0; i < seen->count; i++) {
            assert_int_equal(seen->revisions[i], i + 1);
        }
        b->store = b->driver->close(b->store);
        free(seen);
    }
}

static void its_files_are_for_its_owner_only(void **state)
{
    static const char *const names[] = { "rhodes.db", "rhodes.db-wal" };
    struct bench *b = *state;

    assert_int_equal(put(b, "tcp", 1), 0);
    for (size_t i = 0; i < 2; i++) {
        struct stat info;

        assert_int_equal(fstatat(b->directory_fd, names[i], &info, 0), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
}

static void a_second_process_is_kept_out(void **state)
{
    struct bench *b = *state;
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct store *other = NULL;
        struct store_options options = { b->directory_fd, 10 };
        char why[STORE_WHY_BYTES] = "";
        int r = b->driver->open(&options, &other, why);

        _exit(r == -EBUSY && strstr(why, "another process") && !other ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(put(b, "tcp", 1), 0);
}

static off_t wal_bytes(const struct bench *b)
{
    char path[128];
    struct stat info;

    snprintf(path, sizeof(path), "%s/rhodes.db-wal", b->directory);
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

static void a_full_disk_changes_nothing_and_may_be_tried_again(void **state)
{
    struct bench *b = *state;
    struct object *big = service_make("big", 2, 2, 4000);
    struct rlimit limit, small;
    struct seen seen = { 0 };
    uint64_t revision = 0;

    assert_int_equal(put(b, "tcp", 1), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    small = (struct rlimit){ (rlim_t)wal_bytes(b) + 100, limit.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(commit(b, 2, NULL, big), -ENOSPC);
    assert_int_equal(commit(b, 2, NULL, big), -ENOSPC);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(b->driver->load(b->store, &revision, on_object, &seen), 0);
    assert_int_equal(revision, 1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(commit(b, 2, NULL, big), 0);
    b->store = b->driver->close(b->store);
    assert_int_equal(bench_open(b, (char[STORE_WHY_BYTES]){ 0 }), 0);
    seen.count = 0;
    assert_int_equal(b->driver->load(b->store, &revision, on_object, &seen), 0);
    assert_int_equal(revision, 2);
    assert_int_equal(seen.count, 2);
    object_unref(big);
}

static void a_damaged_file_is_refused_with_a_sentence(void **state)
{
    struct bench *b = *state;
    char path[128], why[STORE_WHY_BYTES] = "";
    int fd;

    assert_int_equal(put(b, "tcp", 1), 0);
    b->store = b->driver->close(b->store);
    snprintf(path, sizeof(path), "%s/rhodes.db", b->directory);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "not a database at all, no, no", 29, 0), 29);
    close(fd);
    assert_int_equal(bench_open(b, why), -EUCLEAN);
    assert_true(strlen(why) > 10);
    assert_null(b->store);
}

static void a_file_of_another_program_is_refused(void **state)
{
    struct bench *b = *state;
    char path[128], why[STORE_WHY_BYTES] = "";
    sqlite3 *db = NULL;

    b->store = b->driver->close(b->store);
    snprintf(path, sizeof(path), "%s/rhodes.db", b->directory);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(bench_open(b, why), -EUCLEAN);
    assert_non_null(strstr(why, "version 99"));
}

static void edges_that_do_not_follow_from_the_objects_are_refused(void **state)
{
    struct bench *b = *state;
    char path[128], why[STORE_WHY_BYTES] = "";
    sqlite3 *db = NULL;

    b->store = b->driver->close(b->store);
    snprintf(path, sizeof(path), "%s/rhodes.db", b->directory);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "INSERT INTO edges VALUES('service/a', 'driver/b', 'shm', 1, 1)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(bench_open(b, why), -EUCLEAN);
    assert_non_null(strstr(why, "edges"));
}

static void a_path_of_any_length_will_do(void **state)
{
    struct bench *b = *state;
    int fds[8] = { dup(b->directory_fd) };
    char name[201];

    b->store = b->driver->close(b->store);
    memset(name, 'p', 200);
    name[200] = 0;
    for (int i = 1; i < 8; i++) {
        assert_int_equal(mkdirat(fds[i - 1], name, 0700), 0);
        fds[i] = openat(fds[i - 1], name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    assert_int_equal(dup3(fds[7], b->directory_fd, O_CLOEXEC), b->directory_fd);
    assert_int_equal(bench_open(b, (char[STORE_WHY_BYTES]){ 0 }), 0);
    assert_int_equal(put(b, "tcp", 1), 0);
    b->store = b->driver->close(b->store);
    assert_int_equal(unlinkat(fds[7], "rhodes.db", 0), 0);
    for (int i = 7; i > 0; i--) {
        close(fds[i]);
        assert_int_equal(unlinkat(fds[i - 1], name, AT_REMOVEDIR), 0);
    }
    close(fds[0]);
}

#define SUITE(driver)                                                                              \
    isolated_test_setup_teardown(an_empty_store_is_at_revision_0, setup_##driver, teardown),       \
        isolated_test_setup_teardown(what_was_committed_is_loaded, setup_##driver, teardown),      \
        isolated_test_setup_teardown(the_log_tells_every_change_in_order, setup_##driver,          \
                                     teardown),                                                    \
        isolated_test_setup_teardown(reading_never_stops_inside_a_revision, setup_##driver,        \
                                     teardown),                                                    \
        isolated_test_setup_teardown(a_commit_that_does_not_continue_changes_nothing,              \
                                     setup_##driver, teardown),                                    \
        isolated_test_setup_teardown(a_cut_log_says_so, setup_##driver, teardown),                 \
        isolated_test_setup_teardown(loading_ends_when_the_reader_says_so, setup_##driver,         \
                                     teardown)
#define ALONE(test) isolated_test_setup_teardown(test, setup_sqlite, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SUITE(memory),
        SUITE(sqlite),
        isolated_test(drivers_are_found_by_name),
        ALONE(nothing_acknowledged_is_lost_by_kill_9),
        ALONE(its_files_are_for_its_owner_only),
        ALONE(a_second_process_is_kept_out),
        ALONE(a_full_disk_changes_nothing_and_may_be_tried_again),
        ALONE(a_damaged_file_is_refused_with_a_sentence),
        ALONE(a_file_of_another_program_is_refused),
        ALONE(edges_that_do_not_follow_from_the_objects_are_refused),
        ALONE(a_path_of_any_length_will_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
