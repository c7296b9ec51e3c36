/* bench/rival.h - what a governed call is measured against: a request and a reply over bare pipes
 * or a Unix socket pair, between two processes, with nothing in between. Each rival has its own
 * answering process, forked before any thread exists. */
#ifndef BENCH_RIVAL_H
#define BENCH_RIVAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum rival_kind { RIVAL_SOCKETPAIR, RIVAL_PIPE };

struct rival {
    int to, from; /* our ends */
    pid_t pid;
};

/* Forks the answering process. `others` are rivals that exist already: the child must not keep
 * their ends open. */
int rival_start(enum rival_kind kind, const struct rival *others, size_t others_count,
                struct rival *ret);
/* Sends `bytes` of data and waits for a reply of `reply_bytes` (its beginning when shorter) into
 * `reply`. */
int rival_call(struct rival *r, const void *data, uint32_t bytes, void *reply,
               uint32_t reply_bytes);
/* Closes our ends, which ends the child, and waits for it. */
void rival_stop(struct rival *r);

#endif
