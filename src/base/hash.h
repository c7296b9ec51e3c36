/* base/hash.h - FNV-1a, 64 bit: ids of functions (name and canonical signature). Not for secrets: where two texts
 * must be the same, the texts are compared once at bind time and the id only stands for that. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t hash_bytes(const void *data, size_t bytes)
{
    const unsigned char *at = data;
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ at[i]) * 0x100000001b3ULL;
    }
    return hash;
}

#endif
