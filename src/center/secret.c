/* 32 random bytes in center/secret, written whole or not at all. An edge's key is BLAKE2b keyed
 * with them over "caller NUL callee": it needs no storage, survives a restart of the center, and
 * tells nothing about another edge. */
#include "center/secret.h"

#include <sodium.h>
#include <string.h>

#include "base/home.h"

int secret_open(int dir_fd, struct secret *ret)
{
    CLEANUP(memory_freep) char *data = NULL;
    size_t bytes = 0;
    int r;

    if (sodium_init() < 0) {
        return failed(-ENOSYS);
    }
    r = file_read_at(dir_fd, "secret", SECRET_BYTES, &data, &bytes);
    if (r == -ENOENT) {
        randombytes_buf(ret->key, sizeof(ret->key));
        return file_write_at(dir_fd, "secret", ret->key, sizeof(ret->key));
    }
    if (r < 0) {
        return r;
    }
    if (r > 0 || bytes != SECRET_BYTES) {
        return failed(-EUCLEAN);
    }
    memcpy(ret->key, data, SECRET_BYTES);
    sodium_memzero(data, SECRET_BYTES);
    return 0;
}

void secret_edge_key(const struct secret *s, const char *caller, const char *callee,
                     uint8_t ret[EDGE_KEY_BYTES])
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, s->key, sizeof(s->key), EDGE_KEY_BYTES);
    crypto_generichash_update(&state, (const uint8_t *)caller, strlen(caller) + 1);
    crypto_generichash_update(&state, (const uint8_t *)callee, strlen(callee));
    crypto_generichash_final(&state, ret, EDGE_KEY_BYTES);
}
