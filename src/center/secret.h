/* center/secret.h - the key that only this center has, and the keys of edges made from it. A
 * caller's agent shows the callee's agent the key of their edge; nobody else on the machine can
 * know it. */
#ifndef CENTER_SECRET_H
#define CENTER_SECRET_H

#include <stdint.h>

#include "base/result.h"
#include "model/view.h"

#define SECRET_BYTES 32

struct secret {
    uint8_t key[SECRET_BYTES];
};

/* Reads `secret` in directory dir_fd, making it (mode 0600) when there is none. -EUCLEAN when it
 * has another size. */
int secret_open(int dir_fd, struct secret *ret) MUST_CHECK;
void secret_edge_key(const struct secret *s, const char *caller, const char *callee,
                     uint8_t ret[EDGE_KEY_BYTES]);

#endif
