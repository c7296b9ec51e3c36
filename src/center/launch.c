/* Starts the process of an agent. posix_spawn and not fork, because the center may be large by
 * then. The agent gets a session of its own (setsid), so that a terminal's Ctrl-C at the center
 * does not reach it, nothing to read, its own log, and signals as a new program expects them: the
 * center ignores two. */
#include "center/launch.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/home.h"

int agent_program_find(char *ret, size_t room)
{
    ssize_t n = readlink("/proc/self/exe", ret, room - sizeof("rhodes-agent"));
    char *slash;

    if (n < 0) {
        return failed(-errno);
    }
    ret[n] = 0;
    slash = strrchr(ret, '/');
    strcpy(slash ? slash + 1 : ret, "rhodes-agent");
    return 0;
}

static int actions_make(const char *home, const char *resource, posix_spawn_file_actions_t *ret)
{
    char below[HOME_PATH_BYTES_MAX], log[PATH_MAX];
    int n = snprintf(below, sizeof(below), "agents/%s", resource), r;
    CLEANUP(fd_closep) int directory = -1;

    *strchr(below + sizeof("agents/") - 1, '/') = '.';
    r = home_open_dir(home, below, &directory);
    if (r) {
        return r;
    }
    n = snprintf(log, sizeof(log), "%s/%s/agent.log", home, below);
    if (n < 0 || n >= (int)sizeof(log)) {
        return failed(-ENAMETOOLONG);
    }
    r = posix_spawn_file_actions_init(ret);
    if (!r) {
        r = posix_spawn_file_actions_addopen(ret, 0, "/dev/null", O_RDONLY, 0);
        r = r ? r
              : posix_spawn_file_actions_addopen(ret, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        r = r ? r : posix_spawn_file_actions_adddup2(ret, 1, 2);
        if (r) {
            posix_spawn_file_actions_destroy(ret);
        }
    }
    return r ? failed(-r) : 0;
}

int agent_spawn(const char *program, const char *home, const char *resource, int *ret_pid)
{
    char *arguments[] = { "rhodes-agent",
                          "--home",
                          (char *)(uintptr_t)home,
                          "--resource",
                          (char *)(uintptr_t)resource,
                          "--managed",
                          NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    int r = actions_make(home, resource, &actions);

    if (r) {
        return r;
    }
    sigfillset(&all);
    sigemptyset(&none);
    r = posix_spawnattr_init(&attributes);
    if (!r) {
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
                                                  POSIX_SPAWN_SETSIGMASK);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setsigmask(&attributes, &none);
        r = posix_spawn(ret_pid, program, &actions, &attributes, arguments, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return r ? failed(-r) : 0;
}
