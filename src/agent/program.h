/* agent/program.h - the program of the resource: started, watched, started again, stopped, and
 * adopted when it outlived an earlier agent. Main thread, but for `state`, which any thread may
 * read. Its life is the table in agent/life.h.
 *
 * A note in the agent's directory (agent/note.h) says which process runs, how it was started and how
 * it ended. A program is let go past its start only when that is written, so no agent ever starts a
 * second one, nor one again that its manifest says to start once. An agent that is told to stop
 * takes the note away: the next one begins anew. */
#ifndef AGENT_PROGRAM_H
#define AGENT_PROGRAM_H

#include <sys/resource.h>
#include <uv.h>

#include "agent/life.h"

struct agent;

struct program {
    struct agent *agent;
    _Atomic enum program_state state;
    int pid;         /* 0: none runs */
    uint64_t start;  /* its start time, see agent/proc.h */
    uint64_t digest; /* of how it was started */
    bool child;      /* started by this agent (else adopted: its status cannot be known) */
    bool stopping;   /* it was asked to end */
    bool wanted;     /* the first start or adoption has been done */
    bool spared;     /* what an earlier agent left is another one's to end */
    int pidfd, start_fd;
    uv_poll_t poll;
    uv_timer_t restart_timer, kill_timer;
    uint64_t started_ns;
    unsigned deaths;     /* quick ones in a row */
    int error_fd;        /* --run: the standard error that is the program's, -1 else */
    struct rlimit files; /* what the program gets */
};

void program_init(struct program *p, struct agent *a);
/* Brings the program in line with the rules in force: adopts it or starts it, starts it anew when
 * the manifest's `run` changed. */
void program_want(struct program *p);
/* Asks it to end (SIGTERM, after 2 s SIGKILL), also one that an earlier agent left and that was not
 * adopted yet. False when none runs. */
bool program_stop(struct program *p);
/* One step in its life; a step that the table does not have changes nothing. */
void program_moved(struct program *p, enum program_event event);

/* How long to wait before the next start, when the last `deaths` lives (this one included) were
 * shorter than 1 s. Pure. */
uint64_t program_pause_ms(unsigned deaths);
/* Shall a program that ended so be started again (policy: enum restart)? Pure. */
bool program_again(unsigned policy, bool good);

#endif
