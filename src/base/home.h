/* base/home.h - where state lives, and Unix sockets below it whatever the length of its path.
 *
 *   $RHODES_HOME/center/          rhodes.db  secret  center.sock (REST)  watch.sock (agents)  center.log
 *   $RHODES_HOME/agents/ID/       agent.sock  view  program  agent.log  program.log      (ID = "service.tcp")
 *
 * RHODES_HOME defaults to $XDG_STATE_HOME/rhodes, else ~/.local/state/rhodes. Every directory is made with mode 0700.
 * No mutable state here; any thread. */
#ifndef BASE_HOME_H
#define BASE_HOME_H

#include <stddef.h>

#include "base/result.h"

#define HOME_PATH_BYTES_MAX 3072

/* Writes the absolute home directory into `ret` (HOME_PATH_BYTES_MAX bytes). RHODES_INVALID when RHODES_HOME is
 * relative or too long, or when neither it nor HOME is set. Makes nothing. */
int home_path(char *ret) MUST_CHECK;

/* Makes $RHODES_HOME/`below` with all its parents (mode 0700) and returns an O_PATH|O_DIRECTORY descriptor to it.
 * `below` may be "" or nested ("agents/service.tcp"). */
int home_open_dir(const char *home, const char *below, int *ret_fd) MUST_CHECK;

/* Binds and listens on a Unix socket `name` inside directory `dir_fd`, replacing a stale one; mode 0600. `type` is
 * SOCK_STREAM or SOCK_SEQPACKET (close-on-exec is added; add SOCK_NONBLOCK yourself). The path may be of any
 * length: the address goes through /proc/self/fd. */
int unix_listen_at(int dir_fd, const char *name, int type, int *ret_fd) MUST_CHECK;

/* Connects to such a socket; -ENOENT or -ECONNREFUSED when nobody is there. */
int unix_connect_at(int dir_fd, const char *name, int type, int *ret_fd) MUST_CHECK;

/* The same for an absolute path of any length. */
int unix_connect_path(const char *path, int type, int *ret_fd) MUST_CHECK;

/* Sends one message with up to UNIX_FDS_MAX descriptors (borrowed) on a SEQPACKET socket. Does not raise SIGPIPE. */
#define UNIX_FDS_MAX 4
int unix_send(int fd, const void *data, size_t bytes, const int *fds, size_t fds_count) MUST_CHECK;

/* Receives one message into `data`; descriptors arrive close-on-exec in ret_fds[UNIX_FDS_MAX], the caller owns them.
 * *ret_bytes is 0 at the end of the stream. A message that was cut (too long, too many descriptors) is RHODES_INVALID
 * and its descriptors are closed. -EAGAIN when the socket is non-blocking and empty. */
int unix_receive(int fd, void *data, size_t room, size_t *ret_bytes, int *ret_fds,
                 size_t *ret_fds_count) MUST_CHECK;

/* Who is at the other end, as the kernel recorded it at connect time. */
struct unix_peer {
    int pid;
    unsigned uid, gid;
};
int unix_peer(int fd, struct unix_peer *ret) MUST_CHECK;

/* Reads a whole small file below dir_fd (at most `limit` bytes) into malloc'ed, NUL-terminated memory. */
int file_read_at(int dir_fd, const char *name, size_t limit, char **ret,
                 size_t *ret_bytes) MUST_CHECK;

/* Writes a file whole or not at all: temporary name, fsync, rename. Mode 0600. */
int file_write_at(int dir_fd, const char *name, const void *data, size_t bytes) MUST_CHECK;

#endif
