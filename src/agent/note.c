/* The note of the program. One line, replaced by a rename, so a reader finds a whole one or none.
 * The stage stands first and is one byte: the child moves it by itself, as its last act before it
 * becomes the program, so that "it has run" and "it was let go" cannot come apart when the agent
 * dies between the two.
 *
 * The boot is part of the name of a process: numbers and start times begin anew with each. */
#include "agent/note.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/home.h"

#define NOTE_FILE      "program"
#define NOTE_TEMPORARY ".program"
#define NOTE_BYTES_MAX 128
#define BOOT_FILE      "/proc/sys/kernel/random/boot_id"

static int boot_read(uint64_t *ret)
{
    CLEANUP(memory_freep) char *text = NULL;
    size_t bytes;
    int r = file_read_at(AT_FDCWD, BOOT_FILE, 64, &text, &bytes);

    if (!r) {
        *ret = hash_bytes(text, bytes);
    }
    return r;
}

int note_write(int dir_fd, const struct note *n)
{
    CLEANUP(fd_closep) int fd = -1;
    char text[NOTE_BYTES_MAX];
    uint64_t boot;
    int bytes, r = boot_read(&boot);

    if (r) {
        return r;
    }
    bytes = snprintf(text, sizeof(text), "%c %d %" PRIu64 " %016" PRIx64 " %016" PRIx64 "\n",
                     (char)n->stage, n->pid, n->start, n->digest, boot);
    fd =
        openat(dir_fd, NOTE_TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return failed(-errno);
    }
    if (write(fd, text, (size_t)bytes) != bytes ||
        renameat(dir_fd, NOTE_TEMPORARY, dir_fd, NOTE_FILE) < 0) {
        r = failed(errno ? -errno : -EIO);
        unlinkat(dir_fd, NOTE_TEMPORARY, 0);
    }
    return r;
}

int note_read(int dir_fd, struct note *ret)
{
    CLEANUP(memory_freep) char *text = NULL;
    struct note n = { 0 };
    uint64_t then, boot;
    size_t bytes;
    char stage;
    int r = file_read_at(dir_fd, NOTE_FILE, NOTE_BYTES_MAX, &text, &bytes);

    r = r ? r : boot_read(&boot);
    if (r) {
        return r;
    }
    if (sscanf(text, "%c %d %" SCNu64 " %" SCNx64 " %" SCNx64, &stage, &n.pid, &n.start, &n.digest,
               &then) != 5 ||
        !strchr("mref", stage) || n.pid <= 1 || n.start == 0) {
        return RHODES_INVALID;
    }
    n.stage = (enum note_stage)stage;
    *ret = n;
    return then == boot ? 0 : -ENOENT;
}

void note_move(int dir_fd, enum note_stage stage)
{
    int fd = openat(dir_fd, NOTE_FILE, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    char byte = (char)stage;

    if (fd >= 0) {
        if (pwrite(fd, &byte, 1, 0) != 1) {
            unlinkat(dir_fd, NOTE_FILE, 0); /* better none than one that says too little */
        }
        close(fd);
    }
}

void note_remove(int dir_fd)
{
    unlinkat(dir_fd, NOTE_FILE, 0);
}
