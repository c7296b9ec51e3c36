/* center/launch.h - starts an agent's process:
 *   rhodes-agent --home HOME --resource LAYER/NAME --managed      its words go to
 * agents/LAYER.NAME/agent.log */
#ifndef CENTER_LAUNCH_H
#define CENTER_LAUNCH_H

#include <stddef.h>

#include "base/result.h"

/* The path of rhodes-agent: beside the program that runs here. */
int agent_program_find(char *ret, size_t room) MUST_CHECK;
/* The caller waits for *ret_pid when it has ended. */
int agent_spawn(const char *program, const char *home, const char *resource,
                int *ret_pid) MUST_CHECK;

#endif
