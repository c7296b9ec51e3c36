/* Directories, sockets and small files below $RHODES_HOME. A Unix address holds 107 bytes; going
 * through /proc/self/fd/N/NAME makes every path fit, and binding below an open directory cannot be
 * raced by a rename. */
#include "base/home.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

int home_path(char *ret)
{
    const char *home = getenv("RHODES_HOME"), *state = getenv("XDG_STATE_HOME");
    const char *user = getenv("HOME");
    int n = -1;

    if (home && *home) {
        n = *home == '/' ? snprintf(ret, HOME_PATH_BYTES_MAX, "%s", home) : -1;
    } else if (state && *state == '/') {
        n = snprintf(ret, HOME_PATH_BYTES_MAX, "%s/rhodes", state);
    } else if (user && *user == '/') {
        n = snprintf(ret, HOME_PATH_BYTES_MAX, "%s/.local/state/rhodes", user);
    }
    return n > 0 && n < HOME_PATH_BYTES_MAX - 256 ? 0 : RHODES_INVALID;
}

static int directory_make(const char *path)
{
    char part[PATH_MAX];
    size_t n = strlen(path);

    if (n >= sizeof(part)) {
        return failed(-ENAMETOOLONG);
    }
    memcpy(part, path, n + 1);
    for (char *at = part + 1;; at++) {
        if (*at == '/' || *at == 0) {
            char was = *at;

            *at = 0;
            if (mkdir(part, 0700) < 0 && errno != EEXIST) {
                return failed(-errno);
            }
            *at = was;
            if (was == 0) {
                return 0;
            }
        }
    }
}

int home_open_dir(const char *home, const char *below, int *ret_fd)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s%s%s", home, *below ? "/" : "", below), r, fd;

    if (n < 0 || n >= (int)sizeof(path)) {
        return failed(-ENAMETOOLONG);
    }
    r = directory_make(path);
    if (r) {
        return r;
    }
    fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return failed(-errno);
    }
    *ret_fd = fd;
    return 0;
}

static int address_at(int dir_fd, const char *name, struct sockaddr_un *ret)
{
    int n;

    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
    return n > 0 && n < (int)sizeof(ret->sun_path) ? 0 : failed(-ENAMETOOLONG);
}

/* A socket, and the address that it is to be bound or connected to. */
static int socket_at(int dir_fd, const char *name, int type, struct sockaddr_un *ret, int *ret_fd)
{
    int r = address_at(dir_fd, name, ret), fd;

    if (r) {
        return r;
    }
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return failed(-errno);
    }
    *ret_fd = fd;
    return 0;
}

int unix_listen_at(int dir_fd, const char *name, int type, int *ret_fd)
{
    CLEANUP(fd_closep) int fd = -1;
    struct sockaddr_un address;
    int r = socket_at(dir_fd, name, type, &address, &fd);

    if (r) {
        return r;
    }
    if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT) {
        return failed(-errno);
    }
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        fchmodat(dir_fd, name, 0600, 0) < 0 || listen(fd, SOMAXCONN) < 0) {
        return failed(-errno);
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int unix_connect_at(int dir_fd, const char *name, int type, int *ret_fd)
{
    CLEANUP(fd_closep) int fd = -1;
    struct sockaddr_un address;
    int r = socket_at(dir_fd, name, type, &address, &fd);

    if (r) {
        return r;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        return -errno; /* nobody there is an ordinary answer here, not worth a trace */
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int unix_connect_path(const char *path, int type, int *ret_fd)
{
    CLEANUP(fd_closep) int dir = -1;
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path || (size_t)(slash - path) >= sizeof(parent)) {
        return RHODES_INVALID;
    }
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = 0;
    dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -errno : unix_connect_at(dir, slash + 1, type, ret_fd);
}

int unix_send(int fd, const void *data, size_t bytes, const int *fds, size_t fds_count)
{
    union {
        char space[CMSG_SPACE(sizeof(int) * UNIX_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = bytes };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    ssize_t n;

    if (fds_count > UNIX_FDS_MAX) {
        return RHODES_OVER_LIMIT;
    }
    if (fds_count) {
        struct cmsghdr *head;

        memset(&control, 0, sizeof(control));
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fds_count);
        head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * fds_count);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * fds_count);
    }
    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)bytes ? 0 : n < 0 ? -errno : failed(-EMSGSIZE);
}

static void descriptors_take(struct msghdr *message, int *ret_fds, size_t *ret_count)
{
    *ret_count = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
            size_t n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

            for (size_t i = 0; i < n; i++) {
                int fd;

                memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
                if (*ret_count < UNIX_FDS_MAX) {
                    ret_fds[(*ret_count)++] = fd;
                } else {
                    close(fd);
                }
            }
        }
    }
}

int unix_receive(int fd, void *data, size_t room, size_t *ret_bytes, int *ret_fds,
                 size_t *ret_fds_count)
{
    union {
        char space[CMSG_SPACE(sizeof(int) * UNIX_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec part = { .iov_base = data, .iov_len = room };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.space,
                              .msg_controllen = sizeof(control.space) };
    ssize_t n;

    do {
        n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    descriptors_take(&message, ret_fds, ret_fds_count);
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (size_t i = 0; i < *ret_fds_count; i++) {
            close(ret_fds[i]);
        }
        *ret_fds_count = 0;
        return RHODES_INVALID;
    }
    *ret_bytes = (size_t)n;
    return 0;
}

int unix_peer(int fd, struct unix_peer *ret)
{
    struct ucred credentials;
    socklen_t bytes = sizeof(credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) < 0) {
        return failed(-errno);
    }
    *ret = (struct unix_peer){ credentials.pid, credentials.uid, credentials.gid };
    return 0;
}

int file_read_at(int dir_fd, const char *name, size_t limit, char **ret, size_t *ret_bytes)
{
    CLEANUP(fd_closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    CLEANUP(memory_freep) char *data = NULL;
    size_t used = 0;

    if (fd < 0) {
        return -errno;
    }
    data = malloc(limit + 2);
    if (!data) {
        return failed(-ENOMEM);
    }
    for (;;) {
        ssize_t n = read(fd, data + used, limit + 1 - used);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return failed(-errno);
        }
        used += (size_t)n;
        if (used > limit) {
            return RHODES_OVER_LIMIT;
        }
        if (n == 0) {
            break;
        }
    }
    data[used] = 0;
    *ret = data;
    *ret_bytes = used;
    data = NULL;
    return 0;
}

int file_write_at(int dir_fd, const char *name, const void *data, size_t bytes)
{
    char temporary[NAME_MAX + 1];
    const char *at = data;
    int n = snprintf(temporary, sizeof(temporary), ".%s.%d", name, (int)getpid()), r = 0;

    if (n < 0 || n >= (int)sizeof(temporary)) {
        return failed(-ENAMETOOLONG);
    }
    CLEANUP(fd_closep)
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return failed(-errno);
    }
    while (bytes && !r) {
        ssize_t done = write(fd, at, bytes);

        if (done < 0 && errno != EINTR) {
            r = failed(-errno);
        } else if (done > 0) {
            at += done;
            bytes -= (size_t)done;
        }
    }
    if (!r && (fsync(fd) < 0 || renameat(dir_fd, temporary, dir_fd, name) < 0)) {
        r = failed(-errno);
    }
    if (r) {
        unlinkat(dir_fd, temporary, 0);
    }
    return r;
}
