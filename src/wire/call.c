/* The check of a call's head. It is the first thing that is believed of a message, so it bounds
 * everything that the message layer computes with: the body's length above all. Flags and stamps
 * are passed on as they came. */
#include "wire/call.h"

int call_head_check(const struct call_head *head)
{
    if (head->magic != CALL_MAGIC || head->type < CALL_REQUEST || head->type > CALL_FENCE) {
        return RHODES_INVALID;
    }
    if (head->flags & ~(CALL_TRACE | CALL_REPEAT | CALL_OPERATOR)) {
        return RHODES_INVALID;
    }
    return head->body_bytes > CALL_BODY_BYTES_MAX ? RHODES_OVER_LIMIT : 0;
}
