/* Directories, sockets and small files below a home directory, each in a directory of its own that
 * setup makes and teardown removes. */
#include "base/home.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "test/lib/isolated.h"

static char root[] = "/tmp/rhodes-test-home-XXXXXX";

static int root_make(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static int root_remove(void **state)
{
    (void)state;
    return nftw(root, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static void environment_set(const char *home, const char *state_home, const char *user)
{
    const char *const names[] = { "RHODES_HOME", "XDG_STATE_HOME", "HOME" };
    const char *const values[] = { home, state_home, user };

    for (int i = 0; i < 3; i++) {
        if (values[i]) {
            setenv(names[i], values[i], 1);
        } else {
            unsetenv(names[i]);
        }
    }
}

static void the_home_comes_from_the_environment_in_order(void **state)
{
    char home[HOME_PATH_BYTES_MAX];

    (void)state;
    environment_set("/a", "/b", "/c");
    assert_int_equal(home_path(home), 0);
    assert_string_equal(home, "/a");
    environment_set("", "/b", "/c");
    assert_int_equal(home_path(home), 0);
    assert_string_equal(home, "/b/rhodes");
    environment_set(NULL, NULL, "/c");
    assert_int_equal(home_path(home), 0);
    assert_string_equal(home, "/c/.local/state/rhodes");
}

static void a_relative_or_missing_home_is_invalid(void **state)
{
    char home[HOME_PATH_BYTES_MAX];

    (void)state;
    environment_set("here", NULL, "/c");
    assert_int_equal(home_path(home), RHODES_INVALID);
    environment_set(NULL, NULL, NULL);
    assert_int_equal(home_path(home), RHODES_INVALID);
    environment_set(NULL, NULL, "c");
    assert_int_equal(home_path(home), RHODES_INVALID);
}

static void a_home_may_be_as_long_as_allowed_and_no_longer(void **state)
{
    char home[HOME_PATH_BYTES_MAX], wanted[HOME_PATH_BYTES_MAX + 100];
    size_t longest = HOME_PATH_BYTES_MAX - 256 - 1;

    (void)state;
    memset(wanted, 'x', sizeof(wanted));
    wanted[0] = '/';
    wanted[longest] = 0;
    environment_set(wanted, NULL, NULL);
    assert_int_equal(home_path(home), 0);
    assert_string_equal(home, wanted);
    wanted[longest] = 'x';
    wanted[longest + 1] = 0;
    environment_set(wanted, NULL, NULL);
    assert_int_equal(home_path(home), RHODES_INVALID);
    wanted[longest + 1] = 'x';
    wanted[sizeof(wanted) - 1] = 0;
    environment_set(wanted, NULL, NULL);
    assert_int_equal(home_path(home), RHODES_INVALID);
}

static void directories_are_made_for_their_owner_only(void **state)
{
    CLEANUP(fd_closep) int fd = -1, again = -1, home = -1;
    struct stat st;

    (void)state;
    assert_int_equal(home_open_dir(root, "agents/service.tcp", &fd), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(home_open_dir(root, "agents/service.tcp", &again), 0);
    assert_int_equal(home_open_dir(root, "", &home), 0);
}

static void a_file_in_the_way_of_a_directory_is_a_failure(void **state)
{
    CLEANUP(fd_closep) int fd = -1, dir = -1;

    (void)state;
    assert_int_equal(home_open_dir(root, "", &dir), 0);
    assert_int_equal(file_write_at(dir, "agents", "x", 1), 0);
    assert_int_equal(home_open_dir(root, "agents/x", &fd), -ENOTDIR);
    assert_int_equal(fd, -1);
}

/* A directory whose path is far longer than the 107 bytes of a Unix address. */
static int deep_dir(char path[4096])
{
    char below[2048] = "";
    int fd = -1;

    for (int i = 0; i < 20; i++) {
        snprintf(below + strlen(below), sizeof(below) - strlen(below),
                 "%sthis-is-a-long-name-%d-%s", i ? "/" : "", i,
                 "0123456789012345678901234567890123456789");
    }
    assert_int_equal(home_open_dir(root, below, &fd), 0);
    snprintf(path, 4096, "%s/%s", root, below);
    assert_true(strlen(path) > 1000);
    return fd;
}

static void a_socket_works_below_a_path_of_any_length(void **state)
{
    char path[4096];
    CLEANUP(fd_closep)
    int dir = deep_dir(path), listener = -1, client = -1, server = -1, other = -1;
    struct stat st;

    (void)state;
    assert_int_equal(unix_listen_at(dir, "center.sock", SOCK_SEQPACKET, &listener), 0);
    assert_int_equal(fstatat(dir, "center.sock", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(unix_connect_at(dir, "center.sock", SOCK_SEQPACKET, &client), 0);
    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    strcat(path, "/center.sock");
    assert_int_equal(unix_connect_path(path, SOCK_SEQPACKET, &other), 0);
}

static void nobody_there_is_told_apart_from_no_socket(void **state)
{
    CLEANUP(fd_closep) int dir = -1, listener = -1, client = -1;

    (void)state;
    assert_int_equal(home_open_dir(root, "", &dir), 0);
    assert_int_equal(unix_connect_at(dir, "s", SOCK_STREAM, &client), -ENOENT);
    assert_int_equal(unix_listen_at(dir, "s", SOCK_STREAM, &listener), 0);
    fd_closep(&listener);
    assert_int_equal(unix_connect_at(dir, "s", SOCK_STREAM, &client), -ECONNREFUSED);
    assert_int_equal(client, -1);
    assert_int_equal(unix_connect_path("no-slash", SOCK_STREAM, &client), RHODES_INVALID);
    assert_int_equal(unix_connect_path("/nowhere/at/all", SOCK_STREAM, &client), -ENOENT);
}

static void a_stale_socket_is_replaced(void **state)
{
    CLEANUP(fd_closep) int dir = -1, first = -1, second = -1, client = -1;

    (void)state;
    assert_int_equal(home_open_dir(root, "", &dir), 0);
    assert_int_equal(unix_listen_at(dir, "s", SOCK_STREAM, &first), 0);
    fd_closep(&first);
    assert_int_equal(unix_listen_at(dir, "s", SOCK_STREAM, &second), 0);
    assert_int_equal(unix_connect_at(dir, "s", SOCK_STREAM, &client), 0);
}

static void a_socket_name_that_does_not_fit_is_a_failure(void **state)
{
    CLEANUP(fd_closep) int dir = -1, fd = -1;
    char name[120];

    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    assert_int_equal(home_open_dir(root, "", &dir), 0);
    assert_int_equal(unix_listen_at(dir, name, SOCK_STREAM, &fd), -ENAMETOOLONG);
    assert_int_equal(unix_connect_at(dir, name, SOCK_STREAM, &fd), -ENAMETOOLONG);
}

static void descriptors_travel_with_a_message(void **state)
{
    int pair[2], sent[UNIX_FDS_MAX], got[UNIX_FDS_MAX];
    char data[16];
    size_t bytes, count;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    for (int i = 0; i < UNIX_FDS_MAX; i++) {
        sent[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    assert_int_equal(unix_send(pair[0], "hello", 5, sent, UNIX_FDS_MAX), 0);
    assert_int_equal(unix_receive(pair[1], data, sizeof(data), &bytes, got, &count), 0);
    assert_int_equal(bytes, 5);
    assert_memory_equal(data, "hello", 5);
    assert_int_equal(count, UNIX_FDS_MAX);
    for (int i = 0; i < UNIX_FDS_MAX; i++) {
        assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
        close(got[i]);
    }
    assert_int_equal(unix_send(pair[0], "x", 1, sent, UNIX_FDS_MAX + 1), RHODES_OVER_LIMIT);
    for (int i = 0; i < UNIX_FDS_MAX; i++) {
        close(sent[i]);
    }
    close(pair[0]);
    assert_int_equal(unix_receive(pair[1], data, sizeof(data), &bytes, got, &count), 0);
    assert_int_equal(bytes, 0); /* the end of the stream */
    close(pair[1]);
}

static void a_message_that_is_cut_is_invalid_and_keeps_no_descriptor(void **state)
{
    int pair[2], sent = open("/dev/null", O_RDONLY | O_CLOEXEC), got[UNIX_FDS_MAX];
    char data[4];
    size_t bytes, count;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(unix_send(pair[0], "four", 4, &sent, 1), 0);
    assert_int_equal(unix_receive(pair[1], data, sizeof(data), &bytes, got, &count), 0);
    assert_int_equal(count, 1);
    close(got[0]);
    assert_int_equal(unix_send(pair[0], "five!", 5, &sent, 1), 0);
    assert_int_equal(unix_receive(pair[1], data, sizeof(data), &bytes, got, &count),
                     RHODES_INVALID);
    assert_int_equal(count, 0);
    close(sent);
    close(pair[0]);
    close(pair[1]);
}

static void an_empty_socket_says_again_and_a_closed_one_raises_nothing(void **state)
{
    int pair[2], got[UNIX_FDS_MAX];
    char data[4];
    size_t bytes, count;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                     0);
    assert_int_equal(unix_receive(pair[1], data, sizeof(data), &bytes, got, &count), -EAGAIN);
    close(pair[1]);
    assert_int_equal(unix_send(pair[0], "x", 1, NULL, 0), -EPIPE);
    close(pair[0]);
}

static void the_kernel_says_who_the_peer_is(void **state)
{
    struct unix_peer peer;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(unix_peer(pair[0], &peer), 0);
    assert_int_equal(peer.pid, getpid());
    assert_int_equal(peer.uid, getuid());
    close(pair[0]);
    close(pair[1]);
}

static void a_file_is_written_whole_and_read_back(void **state)
{
    CLEANUP(fd_closep) int dir = -1;
    CLEANUP(memory_freep) char *data = NULL;
    struct stat st;
    size_t bytes;

    (void)state;
    assert_int_equal(home_open_dir(root, "", &dir), 0);
    assert_int_equal(file_write_at(dir, "view", "first", 5), 0);
    assert_int_equal(file_write_at(dir, "view", "again!", 6), 0);
    assert_int_equal(file_read_at(dir, "view", 6, &data, &bytes), 0);
    assert_int_equal(bytes, 6);
    assert_string_equal(data, "again!");
    assert_int_equal(fstatat(dir, "view", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_file_over_the_limit_is_not_read(void **state)
{
    CLEANUP(fd_closep) int dir = -1;
    CLEANUP(memory_freep) char *data = NULL;
    size_t bytes;

    (void)state;
    assert_int_equal(home_open_dir(root, "", &dir), 0);
    assert_int_equal(file_write_at(dir, "view", "12345678", 8), 0);
    assert_int_equal(file_read_at(dir, "view", 7, &data, &bytes), RHODES_OVER_LIMIT);
    assert_null(data);
    assert_int_equal(file_read_at(dir, "view", 8, &data, &bytes), 0);
}

static void a_missing_file_and_a_symbolic_link_are_failures(void **state)
{
    CLEANUP(fd_closep) int dir = -1;
    char *data = NULL;
    size_t bytes;

    (void)state;
    assert_int_equal(home_open_dir(root, "", &dir), 0);
    assert_int_equal(file_read_at(dir, "none", 10, &data, &bytes), -ENOENT);
    assert_int_equal(symlinkat("/etc/passwd", dir, "link"), 0);
    assert_int_equal(file_read_at(dir, "link", 10, &data, &bytes), -ELOOP);
    assert_null(data);
}

static void a_write_that_cannot_be_finished_leaves_the_old_file(void **state)
{
    CLEANUP(fd_closep) int dir = -1;
    char name[300];

    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    assert_int_equal(home_open_dir(root, "", &dir), 0);
    assert_int_equal(file_write_at(dir, name, "x", 1), -ENAMETOOLONG);
    assert_int_equal(mkdirat(dir, "view", 0700), 0);
    assert_int_equal(file_write_at(dir, "view", "x", 1), -EISDIR);
    assert_int_equal(unlinkat(dir, "view", AT_REMOVEDIR), 0); /* and no temporary file is left: */
    assert_int_equal(rmdir(root), 0);
    assert_int_equal(mkdir(root, 0700), 0);
}

#define test(fn) isolated_test_setup_teardown(fn, root_make, root_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(the_home_comes_from_the_environment_in_order),
        isolated_test(a_relative_or_missing_home_is_invalid),
        isolated_test(a_home_may_be_as_long_as_allowed_and_no_longer),
        test(directories_are_made_for_their_owner_only),
        test(a_file_in_the_way_of_a_directory_is_a_failure),
        test(a_socket_works_below_a_path_of_any_length),
        test(nobody_there_is_told_apart_from_no_socket),
        test(a_stale_socket_is_replaced),
        test(a_socket_name_that_does_not_fit_is_a_failure),
        isolated_test(descriptors_travel_with_a_message),
        isolated_test(a_message_that_is_cut_is_invalid_and_keeps_no_descriptor),
        isolated_test(an_empty_socket_says_again_and_a_closed_one_raises_nothing),
        isolated_test(the_kernel_says_who_the_peer_is),
        test(a_file_is_written_whole_and_read_back),
        test(a_file_over_the_limit_is_not_read),
        test(a_missing_file_and_a_symbolic_link_are_failures),
        test(a_write_that_cannot_be_finished_leaves_the_old_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
