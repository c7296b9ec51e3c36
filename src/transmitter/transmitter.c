/* Which transmitter carries which protocol. */
#include "transmitter/transmitter.h"

const struct transmitter *transmitter_for(enum protocol protocol)
{
    switch (protocol) {
    case PROTOCOL_MSGQUEUE:
        return &transmitter_msgqueue;
    case PROTOCOL_SHM:
        return &transmitter_shm;
    case PROTOCOLS_COUNT:
        break;
    }
    return NULL;
}
