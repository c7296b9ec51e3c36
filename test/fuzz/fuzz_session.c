/* The agent's socket: any bytes are refused or decoded, and what was decoded encodes to the same
 * bytes again. */
#include <assert.h>
#include <string.h>

#include "wire/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct session_message message;
    uint8_t again[SESSION_BYTES_MAX];
    size_t again_bytes;

    if (session_decode(data, bytes, &message)) {
        return 0;
    }
    assert(session_encode(&message, again, sizeof(again), &again_bytes) == 0);
    assert(again_bytes == bytes && memcmp(again, data, bytes) == 0);
    return 0;
}
