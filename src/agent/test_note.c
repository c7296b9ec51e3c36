/* The note of the program: what is written is read again, and everything else is none. */
#include "agent/note.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/home.h"
#include "test/lib/isolated.h"

#define NOTE_FILE "program"

struct folder {
    char path[32];
    int fd;
};

static int folder_make(void **state)
{
    struct folder *f = malloc(sizeof(*f));

    assert_non_null(f);
    strcpy(f->path, "/tmp/test_note.XXXXXX");
    assert_non_null(mkdtemp(f->path));
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->fd >= 0);
    *state = f;
    return 0;
}

static int folder_drop(void **state)
{
    struct folder *f = *state;

    note_remove(f->fd);
    assert_int_equal(rmdir(f->path), 0); /* nothing else was left in it */
    close(f->fd);
    free(f);
    return 0;
}

static const struct note sample = { NOTE_MADE, 4711, 123456789, 0xfedcba9876543210 };

static void what_is_written_is_read(void **state)
{
    const struct folder *f = *state;
    struct note got;

    assert_int_equal(note_read(f->fd, &got), -ENOENT);
    assert_int_equal(note_write(f->fd, &sample), 0);
    assert_int_equal(note_read(f->fd, &got), 0);
    assert_int_equal(got.stage, sample.stage);
    assert_int_equal(got.pid, sample.pid);
    assert_int_equal(got.start, sample.start);
    assert_int_equal(got.digest, sample.digest);
    note_remove(f->fd);
    assert_int_equal(note_read(f->fd, &got), -ENOENT);
}

static void the_stage_moves_in_place(void **state)
{
    static const enum note_stage stages[] = { NOTE_RUNS, NOTE_ENDED, NOTE_FAILED };
    const struct folder *f = *state;
    struct note got;

    note_move(f->fd, NOTE_RUNS); /* there is none to move: none is made */
    assert_int_equal(note_read(f->fd, &got), -ENOENT);
    assert_int_equal(note_write(f->fd, &sample), 0);
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        note_move(f->fd, stages[i]);
        assert_int_equal(note_read(f->fd, &got), 0);
        assert_int_equal(got.stage, stages[i]);
        assert_int_equal(got.pid, sample.pid);
    }
}

static void a_note_of_another_boot_is_none(void **state)
{
    const struct folder *f = *state;
    CLEANUP(memory_freep) char *text = NULL;
    struct note got;
    size_t bytes;

    assert_int_equal(note_write(f->fd, &sample), 0);
    assert_int_equal(file_read_at(f->fd, NOTE_FILE, 256, &text, &bytes), 0);
    text[bytes - 2] = text[bytes - 2] == '0' ? '1' : '0';
    assert_int_equal(file_write_at(f->fd, NOTE_FILE, text, bytes), 0);
    assert_int_equal(note_read(f->fd, &got), -ENOENT);
}

static void a_damaged_note_is_invalid(void **state)
{
    static const char *const texts[] = { "",
                                         "\n",
                                         "r",
                                         "x 4711 1 1 1\n",
                                         "r 1 1 1 1\n",
                                         "r -5 1 1 1\n",
                                         "r 4711 0 1 1\n",
                                         "r 4711 1 1\n",
                                         "4711 1 1\n" };
    const struct folder *f = *state;
    struct note got;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(file_write_at(f->fd, NOTE_FILE, texts[i], strlen(texts[i])), 0);
        assert_int_equal(note_read(f->fd, &got), RHODES_INVALID);
    }
}

#define TEST(name) isolated_test_setup_teardown(name, folder_make, folder_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(the_stage_moves_in_place),
        TEST(a_note_of_another_boot_is_none),
        TEST(a_damaged_note_is_invalid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
