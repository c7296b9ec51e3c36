/* rhodes-agent: the one small process beside a resource. This file reads the options; agent/agent.h
 * is the agent. */
#include <getopt.h>
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
    if (given && setenv("RHODES_HOME", given, 1) < 0) {
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
