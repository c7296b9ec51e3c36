/* rhodes-agent: the one small process beside a resource. This file reads the options; agent/agent.h
 * is the agent. */
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "base/home.h"
#include "base/log.h"

static const char usage[] =
    "Usage: rhodes-agent --resource LAYER/NAME [--home DIR] [--managed]\n"
    "       rhodes-agent --resource LAYER/NAME [--home DIR] --run -- COMMAND [ARGUMENT...]\n"
    "\n"
    "Keeps the rules of the center in force for one resource.\n"
    "\n"
    "  --resource ID  the resource this agent is bound to, for example service/tcp\n"
    "  --home DIR     where the center's state lives (default: $RHODES_HOME, see rhodes help)\n"
    "  --managed      started by the center, which starts it again when it ends\n"
    "  --run          run COMMAND as the program of the resource, in the foreground, and end with\n"
    "                 its status; else the program is the one that the manifest names\n"
    "  --help, --version\n";

static int wrong_use(const char *what)
{
    fprintf(stderr, "rhodes-agent: %s\n\n%s", what, usage);
    return 2;
}

/* Programs in Python find the package `rhodes` of this installation, PREFIX/lib/python3 for an
 * agent in PREFIX/bin, without a word in their manifests. It goes into our own environment, which
 * they inherit, so that a manifest's PYTHONPATH still replaces it. */
static int python_path_set(void)
{
    char own[PATH_MAX], packages[PATH_MAX + 32];
    CLEANUP(memory_freep) char *found = NULL;
    CLEANUP(memory_freep) char *both = NULL;
    const char *before = getenv("PYTHONPATH");
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
    size_t bytes;

    if (n <= 0) {
        return 0;
    }
    own[n] = 0;
    *(strrchr(own, '/') + 1) = 0;
    snprintf(packages, sizeof(packages), "%s../lib/python3", own);
    found = realpath(packages, NULL);
    if (!found) {
        return 0; /* an installation without Python */
    }
    bytes = strlen(found);
    if (!before || !*before) {
        return setenv("PYTHONPATH", found, 1);
    }
    if (strncmp(before, found, bytes) == 0 && (before[bytes] == ':' || !before[bytes])) {
        return 0; /* this agent was started by a program of another one */
    }
    if (asprintf(&both, "%s:%s", found, before) < 0) {
        both = NULL;
        return -1;
    }
    return setenv("PYTHONPATH", both, 1);
}

int main(int count, char **arguments)
{
    static const struct option options[] = {
        { "resource", required_argument, NULL, 'r' },
        { "home", required_argument, NULL, 'H' },
        { "managed", no_argument, NULL, 'm' },
        { "run", no_argument, NULL, 'x' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { NULL, 0, NULL, 0 },
    };
    static char home[HOME_PATH_BYTES_MAX], part[RESOURCE_ID_BYTES_MAX + 8];
    struct agent_options wanted = { .home = home };
    const char *given = NULL;
    enum layer layer;
    char name[NAME_BYTES_MAX];
    bool run = false;
    int option;

    while ((option = getopt_long(count, arguments, "+", options, NULL)) != -1) {
        switch (option) {
        case 'r':
            wanted.resource = optarg;
            break;
        case 'H':
            given = optarg;
            break;
        case 'm':
            wanted.managed = true;
            break;
        case 'x':
            run = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'V':
            puts("rhodes-agent " RHODES_VERSION);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (!wanted.resource || resource_id_parse(wanted.resource, '/', &layer, name)) {
        return wrong_use("--resource needs an id such as service/tcp");
    }
    if (run != (optind < count)) {
        return wrong_use(run ? "--run needs a command" : "a command needs --run");
    }
    if (run && (layer == LAYER_HARDWARE || wanted.managed)) {
        return wrong_use("--run is not for hardware, nor for an agent that the center started");
    }
    if ((given && setenv("RHODES_HOME", given, 1) < 0) || python_path_set() < 0) {
        return wrong_use("out of memory");
    }
    if (home_path(home)) {
        return wrong_use("--home needs an absolute path that is not too long");
    }
    wanted.run = run ? arguments + optind : NULL;
    snprintf(part, sizeof(part), "agent %s", wanted.resource);
    log_open(part);
    signal(SIGPIPE, SIG_IGN);
    return agent_run(&wanted);
}
