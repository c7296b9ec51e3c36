/* The store as one SQLite file, center/rhodes.db.
 *
 * Invariants: a commit is on the disk when it returns (WAL, synchronous=FULL: at NORMAL a power cut
 * took every acknowledged write); the revision is a row that is compared and counted up inside the
 * transaction, never an auto-increment, whose gaps would look like lost events; one connection for
 * the life of the process writes and checkpoints, because versions before 3.51.3 have a race
 * between connections when the WAL is reset, and locking_mode=EXCLUSIVE keeps every other process
 * out and the WAL's index in private memory (a full disk cannot fault a mapping that is not there).
 *
 * Failing: a write for which there was no room is rolled back and may be tried again. Any other
 * error, an fsync above all, leaves open what is on the disk, so the driver then refuses all
 * commits until it is opened anew and has read what is there. The `edges` table follows the objects
 * inside the same transaction; opening compares the two. */
#include "center/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x52484f44 /* "RHOD" */

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    REVISION_GET,
    REVISION_SET,
    OBJECT_PUT,
    OBJECT_DELETE,
    LOG_PUT,
    LOG_READ,
    LOG_CUT,
    COMPACTED_GET,
    COMPACTED_SET,
    EDGES_DELETE,
    EDGE_PUT,
    OBJECTS_ALL,
    STATEMENTS_COUNT
};

static const char *const statement_texts[STATEMENTS_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [REVISION_GET] = "SELECT value FROM meta WHERE name = 'revision'",
    [REVISION_SET] = "UPDATE meta SET value = ?1 WHERE name = 'revision' AND value = ?1 - 1",
    [OBJECT_PUT] =
        "INSERT INTO objects(kind, name, revision, created, body) VALUES(?1, ?2, ?3, ?4, ?5) "
        "ON CONFLICT(kind, name) DO UPDATE SET revision = ?3, created = ?4, body = ?5",
    [OBJECT_DELETE] = "DELETE FROM objects WHERE kind = ?1 AND name = ?2",
    [LOG_PUT] = "INSERT INTO log(revision, entry, last, kind, name, created, body, who, at_ms) "
                "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [LOG_READ] = "SELECT revision, last, kind, name, created, body, who, at_ms FROM log "
                 "WHERE revision > ?1 ORDER BY revision, entry",
    [LOG_CUT] = "DELETE FROM log WHERE revision <= ?1",
    [COMPACTED_GET] = "SELECT value FROM meta WHERE name = 'compacted'",
    [COMPACTED_SET] = "UPDATE meta SET value = ?1 WHERE name = 'compacted'",
    [EDGES_DELETE] = "DELETE FROM edges WHERE caller = ?1",
    [EDGE_PUT] = "INSERT INTO edges(caller, callee, protocol, timeout_ns, revision) VALUES(?1, ?2, "
                 "?3, ?4, ?5)",
    [OBJECTS_ALL] = "SELECT kind, name, body, revision, created FROM objects ORDER BY kind, name",
};

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES('revision', 0), ('compacted', 0);"
    "CREATE TABLE objects(kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL,"
    " created INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY(kind, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE log(revision INTEGER NOT NULL, entry INTEGER NOT NULL, last INTEGER NOT NULL,"
    " kind TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL, body TEXT, who TEXT NOT "
    "NULL,"
    " at_ms INTEGER NOT NULL, PRIMARY KEY(revision, entry)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE edges(caller TEXT NOT NULL, callee TEXT NOT NULL, protocol TEXT NOT NULL,"
    " timeout_ns INTEGER NOT NULL, revision INTEGER NOT NULL,"
    " PRIMARY KEY(caller, callee)) STRICT, WITHOUT ROWID;"
    "PRAGMA application_id = 1380470596;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

struct store {
    sqlite3 *db;
    sqlite3_vfs vfs; /* the usual one, but for how it makes paths absolute */
    bool vfs_registered;
    sqlite3_stmt *statements[STATEMENTS_COUNT];
    uint64_t revision, compacted, log_revisions_max;
    int broken; /* not 0: the answer to every commit from now on */
    char broken_why[STORE_WHY_BYTES];
};

static int sqlite_errno(int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_IOERR:
        /* A write that failed is a write that did not happen: RLIMIT_FSIZE and quotas come here as
         * no room. A failed fsync is another thing. */
        return code == SQLITE_IOERR_WRITE ? -ENOSPC : -EIO;
    default:
        return -EIO;
    }
}

/* Turns the last error of the connection into a failure with a sentence. */
static int sqlite_failed(sqlite3 *db, char *why)
{
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;

    if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) {
        code = SQLITE_NOMEM; /* SQLite is content: it was our own text that could not be made */
    }
    snprintf(why, STORE_WHY_BYTES, "%s (SQLite error %d)",
             code == SQLITE_IOERR_WRITE ? "the file may not grow" : sqlite3_errstr(code & 0xff),
             code);
    return failed(sqlite_errno(code));
}

static struct store *sqlite_close(struct store *s)
{
    if (s) {
        for (int i = 0; i < STATEMENTS_COUNT; i++) {
            sqlite3_finalize(s->statements[i]);
        }
        sqlite3_close(s->db);
        if (s->vfs_registered) {
            sqlite3_vfs_unregister(&s->vfs);
        }
        free(s);
    }
    return NULL;
}

static void sqlite_closep(struct store **s)
{
    sqlite_close(*s);
}

/* One number from a pragma or a query without parameters. */
static int number_get(sqlite3 *db, const char *text, int64_t *ret, char *why)
{
    sqlite3_stmt *statement = NULL;
    int r = sqlite3_prepare_v2(db, text, -1, &statement, NULL);

    if (r == SQLITE_OK) {
        r = sqlite3_step(statement);
    }
    if (r == SQLITE_ROW) {
        *ret = sqlite3_column_int64(statement, 0);
        r = 0;
    } else {
        r = sqlite_failed(db, why);
    }
    sqlite3_finalize(statement);
    return r;
}

static int database_configure(sqlite3 *db, char *why)
{
    static const char text[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216;"
                               "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                               "BEGIN IMMEDIATE; COMMIT;"; /* takes the lock for good */

    return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : sqlite_failed(db, why);
}

static int database_check(sqlite3 *db, char *why)
{
    int64_t application = 0, version = 0, tables = 0;
    int r = number_get(db, "PRAGMA application_id", &application, why);

    if (!r) {
        r = number_get(db, "PRAGMA user_version", &version, why);
    }
    if (!r) {
        r = number_get(db, "SELECT count(*) FROM sqlite_schema", &tables, why);
    }
    if (r) {
        return r;
    }
    if (application == 0 && version == 0 && tables == 0) {
        if (sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK) {
            return sqlite_failed(db, why);
        }
        return 0;
    }
    if (application != APPLICATION_ID || version != SCHEMA_VERSION) {
        snprintf(why, STORE_WHY_BYTES,
                 "rhodes.db is not a store of this version (application %lld, version %lld)",
                 (long long)application, (long long)version);
        return failed(-EUCLEAN);
    }
    return 0;
}

/* What SQLite itself can tell, and whether the edges follow from the objects in number. */
static int database_verify(sqlite3 *db, char *why)
{
    int64_t sound = 0, differ = 0;
    int r =
        number_get(db, "SELECT quick_check = 'ok' FROM pragma_quick_check LIMIT 1", &sound, why);

    if (!r) {
        r = number_get(db,
                       "SELECT (SELECT count(*) FROM edges) <> (SELECT coalesce(sum("
                       "json_array_length(body, '$.spec.calls')), 0) FROM objects)",
                       &differ, why);
    }
    if (!r && (!sound || differ)) {
        snprintf(why, STORE_WHY_BYTES, "rhodes.db is damaged: %s",
                 sound ? "its edges do not follow from its objects" : "SQLite's own check fails");
        r = failed(-EUCLEAN);
    }
    return r;
}

static int statements_prepare(struct store *s, char *why)
{
    for (int i = 0; i < STATEMENTS_COUNT; i++) {
        if (sqlite3_prepare_v3(s->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &s->statements[i], NULL) != SQLITE_OK) {
            return sqlite_failed(s->db, why);
        }
    }
    return 0;
}

static int counter_read(struct store *s, enum statement which, uint64_t *ret, char *why)
{
    sqlite3_stmt *statement = s->statements[which];
    int r = sqlite3_step(statement);

    if (r == SQLITE_ROW) {
        *ret = (uint64_t)sqlite3_column_int64(statement, 0);
        r = 0;
    } else {
        r = sqlite_failed(s->db, why);
    }
    sqlite3_reset(statement);
    return r;
}

/* SQLite's own would follow the link, and its result may not be longer than 512 bytes. */
static int path_keep(sqlite3_vfs *vfs, const char *name, int room, char *ret)
{
    return snprintf(ret, (size_t)room, "%s", name) < room ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* Opens DIRECTORY/rhodes.db through /proc/self/fd, so that the home's path may be of any length. */
static int database_open(struct store *s, int directory_fd, char *why)
{
    const sqlite3_vfs *usual;
    char path[64];
    /* SQLite would make it readable for all; its other files take the mode of this one. */
    int fd = openat(directory_fd, "rhodes.db", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        snprintf(why, STORE_WHY_BYTES, "rhodes.db: %s", strerror(errno));
        return failed(-errno);
    }
    close(fd);

    if (sqlite3_initialize() != SQLITE_OK || !(usual = sqlite3_vfs_find(NULL))) {
        return sqlite_failed(NULL, why);
    }
    s->vfs = *usual;
    s->vfs.zName = "rhodes";
    s->vfs.xFullPathname = path_keep;
    if (sqlite3_vfs_register(&s->vfs, 0) != SQLITE_OK) {
        return sqlite_failed(NULL, why);
    }
    s->vfs_registered = true;
    snprintf(path, sizeof(path), "/proc/self/fd/%d/rhodes.db", directory_fd);
    if (sqlite3_open_v2(path, &s->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        s->vfs.zName) != SQLITE_OK) {
        return sqlite_failed(s->db, why);
    }
    sqlite3_extended_result_codes(s->db, 1);
    return 0;
}

static int sqlite_open(const struct store_options *options, struct store **ret, char *why)
{
    CLEANUP(sqlite_closep) struct store *s = calloc(1, sizeof(*s));
    int r;

    if (!s) {
        strcpy(why, "out of memory");
        return failed(-ENOMEM);
    }
    s->log_revisions_max = options->log_revisions_max;
    r = database_open(s, options->directory_fd, why);
    r = r ? r : database_configure(s->db, why);
    r = r ? r : database_check(s->db, why);
    r = r ? r : database_verify(s->db, why);
    r = r ? r : statements_prepare(s, why);
    r = r ? r : counter_read(s, REVISION_GET, &s->revision, why);
    r = r ? r : counter_read(s, COMPACTED_GET, &s->compacted, why);
    if (r == -EBUSY) {
        snprintf(why, STORE_WHY_BYTES, "another process has rhodes.db open");
    }
    if (!r) {
        *ret = s;
        s = NULL;
    }
    return r;
}

static int sqlite_load(struct store *s, uint64_t *ret_revision,
                       int (*on_object)(const struct store_object *object, void *data), void *data)
{
    sqlite3_stmt *all = s->statements[OBJECTS_ALL];
    int r = 0, step;

    while ((step = sqlite3_step(all)) == SQLITE_ROW && !r) {
        struct store_object object = {
            .name = (const char *)sqlite3_column_text(all, 1),
            .body = (const char *)sqlite3_column_text(all, 2),
            .revision = (uint64_t)sqlite3_column_int64(all, 3),
            .revision_created = (uint64_t)sqlite3_column_int64(all, 4),
        };

        r = kind_from_name((const char *)sqlite3_column_text(all, 0), &object.kind);
        r = r || !object.name || !object.body ? failed(-EUCLEAN) : on_object(&object, data);
    }
    if (!r && step != SQLITE_DONE) {
        r = failed(sqlite_errno(step));
    }
    sqlite3_reset(all);
    if (!r) {
        *ret_revision = s->revision;
    }
    return r;
}

/* Runs a statement whose parameters are bound, and clears it. True when it worked. */
static bool run(struct store *s, enum statement which)
{
    sqlite3_stmt *statement = s->statements[which];
    int r = sqlite3_step(statement);

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return r == SQLITE_DONE;
}

/* A failed bind leaves NULL, which the schema refuses; so binds need no check of their own. */
static void bind_text(sqlite3_stmt *statement, int i, const char *text)
{
    sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *statement, int i, uint64_t number)
{
    sqlite3_bind_int64(statement, i, (sqlite3_int64)number);
}

static bool log_put(struct store *s, const struct store_commit *commit, size_t i,
                    const struct object *o, const char *body)
{
    sqlite3_stmt *put = s->statements[LOG_PUT];

    bind_number(put, 1, commit->revision);
    bind_number(put, 2, i);
    bind_number(put, 3, i + 1 == commit->objects_count);
    bind_text(put, 4, kind_name(o->kind));
    bind_text(put, 5, o->name);
    bind_number(put, 6, o->revision_created);
    bind_text(put, 7, body);
    bind_text(put, 8, commit->who);
    bind_number(put, 9, commit->at_ms);
    return run(s, LOG_PUT);
}

static bool object_put(struct store *s, const struct object *o, const char *body)
{
    enum statement which = body ? OBJECT_PUT : OBJECT_DELETE;
    sqlite3_stmt *put = s->statements[which];

    bind_text(put, 1, kind_name(o->kind));
    bind_text(put, 2, o->name);
    if (body) {
        bind_number(put, 3, o->revision);
        bind_number(put, 4, o->revision_created);
        bind_text(put, 5, body);
    }
    return run(s, which);
}

static bool edges_put(struct store *s, const struct object *o, bool present)
{
    char id[RESOURCE_ID_BYTES_MAX];

    if ((int)o->kind >= LAYERS_COUNT) {
        return true;
    }
    resource_id_make(o->resource.layer, o->name, '/', id);
    bind_text(s->statements[EDGES_DELETE], 1, id);
    if (!run(s, EDGES_DELETE)) {
        return false;
    }
    for (size_t i = 0; present && i < o->resource.references_count; i++) {
        const struct reference *reference = &o->resource.references[i];
        sqlite3_stmt *put = s->statements[EDGE_PUT];

        bind_text(put, 1, id);
        bind_text(put, 2, reference->callee);
        bind_text(put, 3, protocol_name(reference->protocol));
        bind_number(put, 4, reference->timeout_ns);
        bind_number(put, 5, o->revision);
        if (!run(s, EDGE_PUT)) {
            return false;
        }
    }
    return true;
}

static bool staged_put(struct store *s, const struct store_commit *commit, size_t i)
{
    const struct staged_object *staged = &commit->objects[i];
    const struct object *o = staged->after ? staged->after : staged->before;
    char *body = NULL;
    bool done;

    if (staged->after) {
        body = json_dumps(o->body, JSON_COMPACT);
        if (!body) {
            return false;
        }
    }
    done = log_put(s, commit, i, o, body) && object_put(s, o, body) &&
           edges_put(s, o, staged->after != NULL);
    free(body);
    return done;
}

/* Everything between BEGIN and COMMIT. */
static bool transaction_fill(struct store *s, const struct store_commit *commit, uint64_t compacted)
{
    bind_number(s->statements[REVISION_SET], 1, commit->revision);
    if (!run(s, REVISION_SET) || sqlite3_changes(s->db) != 1) {
        return false;
    }
    for (size_t i = 0; i < commit->objects_count; i++) {
        if (!staged_put(s, commit, i)) {
            return false;
        }
    }
    if (compacted > s->compacted) {
        bind_number(s->statements[LOG_CUT], 1, compacted);
        bind_number(s->statements[COMPACTED_SET], 1, compacted);
        return run(s, LOG_CUT) && run(s, COMPACTED_SET);
    }
    return true;
}

/* After a failed transaction: is the file certainly as it was? If not, no commit is taken any more.
 */
static int commit_failed(struct store *s, int r, const char *why)
{
    uint64_t revision = 0;
    char ignored[STORE_WHY_BYTES];

    if (!sqlite3_get_autocommit(s->db)) {
        run(s, ROLLBACK);
    }
    if ((r == -ENOSPC || r == -ENOMEM) && sqlite3_get_autocommit(s->db) &&
        counter_read(s, REVISION_GET, &revision, ignored) == 0 && revision == s->revision) {
        return r;
    }
    s->broken = failed(-EIO);
    snprintf(s->broken_why, sizeof(s->broken_why),
             "%s; no more is written until the center is started again", why);
    return s->broken;
}

static int sqlite_commit(struct store *s, const struct store_commit *commit, char *why)
{
    uint64_t compacted =
        commit->revision > s->log_revisions_max ? commit->revision - s->log_revisions_max : 0;
    int r;

    if (s->broken) {
        memcpy(why, s->broken_why, sizeof(s->broken_why));
        return s->broken;
    }
    if (commit->revision != s->revision + 1) {
        strcpy(why, "the store is at another revision");
        return failed(-ESTALE);
    }
    if (!run(s, BEGIN) || !transaction_fill(s, commit, compacted) || !run(s, COMMIT)) {
        r = sqlite_failed(s->db, why);
        r = commit_failed(s, r, why);
        if (s->broken) {
            memcpy(why, s->broken_why, sizeof(s->broken_why));
        }
        return r;
    }
    s->revision = commit->revision;
    s->compacted = compacted > s->compacted ? compacted : s->compacted;
    return 0;
}

static int sqlite_log_read(struct store *s, uint64_t after, size_t limit,
                           void (*on_entry)(const struct store_entry *entry, void *data),
                           void *data)
{
    sqlite3_stmt *read = s->statements[LOG_READ];
    size_t given = 0;
    int r = 0, step = SQLITE_DONE;

    if (after < s->compacted) {
        return RHODES_STALE;
    }
    bind_number(read, 1, after);
    while (!r && (step = sqlite3_step(read)) == SQLITE_ROW) {
        struct store_entry entry = {
            .revision = (uint64_t)sqlite3_column_int64(read, 0),
            .last = sqlite3_column_int64(read, 1) != 0,
            .object = { .name = (const char *)sqlite3_column_text(read, 3),
                        .body = (const char *)sqlite3_column_text(read, 5),
                        .revision_created = (uint64_t)sqlite3_column_int64(read, 4) },
            .who = (const char *)sqlite3_column_text(read, 6),
            .at_ms = (uint64_t)sqlite3_column_int64(read, 7),
        };

        entry.object.revision = entry.revision;
        if (kind_from_name((const char *)sqlite3_column_text(read, 2), &entry.object.kind) != 0) {
            r = failed(-EUCLEAN);
            break;
        }
        on_entry(&entry, data);
        if (++given >= limit && entry.last) {
            step = SQLITE_DONE;
            break;
        }
    }
    if (!r && step != SQLITE_DONE) {
        r = failed(sqlite_errno(step));
    }
    sqlite3_reset(read);
    return r;
}

const struct store_driver store_sqlite = { .name = "sqlite",
                                           .abi = STORE_ABI,
                                           .open = sqlite_open,
                                           .load = sqlite_load,
                                           .commit = sqlite_commit,
                                           .log_read = sqlite_log_read,
                                           .close = sqlite_close };
