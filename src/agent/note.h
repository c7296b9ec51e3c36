/* agent/note.h - what is written down of the program for the next agent: the file `program` in the
 * agent's directory. It names the process (number, start time, boot) and says how far it came, so
 * that no agent starts a second one, nor one again that its manifest says to run once. A note of
 * another boot is none. Any thread; small files, no fsync: no process outlives what an fsync is
 * for. */
#ifndef AGENT_NOTE_H
#define AGENT_NOTE_H

#include <stdint.h>

#include "base/result.h"

enum note_stage {
    NOTE_MADE = 'm',   /* forked, and not let go yet: nothing of it has run */
    NOTE_RUNS = 'r',   /* let go; or ended while it had no agent */
    NOTE_ENDED = 'e',  /* ended with status 0 */
    NOTE_FAILED = 'f', /* ended otherwise */
};

struct note {
    enum note_stage stage;
    int pid;
    uint64_t start;  /* its start time, see agent/proc.h */
    uint64_t digest; /* of how it was started */
};

int note_write(int dir_fd, const struct note *n) MUST_CHECK;
/* -ENOENT when there is none, or none of this boot; INVALID when it is damaged. */
int note_read(int dir_fd, struct note *ret) MUST_CHECK;
/* The stage alone, in place. Safe between fork and exec. */
void note_move(int dir_fd, enum note_stage stage);
void note_remove(int dir_fd);

#endif
