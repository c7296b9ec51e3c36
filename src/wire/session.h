/* wire/session.h - the messages on an agent's own socket ($RHODES_HOME/agents/ID/agent.sock, SEQPACKET, one message
 * a packet, descriptors beside it): programs, operators and other agents talk to the agent through it. Calls themselves
 * do not travel here; they go through the conduits that this socket hands over. No I/O in this file.
 *
 * Every message has the same form, so there is one decoder to trust:
 *   u16 version  u16 type  u32 tag  i32 result  u32 flags  u64 number[4]  32 bytes key  text[4] (u32 length, bytes)
 * A request carries a tag that its answer repeats. An answer has the request's type with SESSION_ANSWER added; when
 * result is not 0, text[0] says why and text[1] what to do.
 *
 *  type    | from             | request                                        | answer
 *  HELLO   | program,operator | flags: SESSION_OPERATOR; number: client id;    | number: agent's incarnation, revision;
 *          |                  | text: resource it believes to be, or ""        | text: resource
 *  SERVE   | program          | text: signature, types or ""                   | number: function id
 *  READY   | program          | -                                              | -   (from now on calls may come)
 *  CHANNEL | program,operator | number: channel id, role (enum channel_role);  | fd: the agent's ring memory
 *          |                  | fd: the program's ring memory                  |
 *  BIND    | program,operator | text: callee id, function name or signature,   | number: binding, function id, timeout
 *          |                  | types or ""                                    | ns; text: canonical signature
 *  PEER    | agent            | number: sender's incarnation; key: the edge's; | number: incarnation
 *          |                  | text: caller id, callee id                     |
 *  LANE    | agent            | number: lane, protocol, epoch; fds: caller's   | number: executor's incarnation; fds: callee's
 *  CLOSE   | agent            | number: lane                                   | -
 */
#ifndef WIRE_SESSION_H
#define WIRE_SESSION_H

#include "base/bytes.h"

#define SESSION_VERSION   1
#define SESSION_BYTES_MAX 65536
#define SESSION_ANSWER    0x8000

enum session_type {
    SESSION_HELLO = 1,
    SESSION_SERVE,
    SESSION_READY,
    SESSION_CHANNEL,
    SESSION_BIND,
    SESSION_PEER,
    SESSION_LANE,
    SESSION_CLOSE,
    SESSION_TYPES_END
};

#define SESSION_OPERATOR 1u /* HELLO: a person's tool, not the program of this agent */

enum channel_role { CHANNEL_CALLER = 1, CHANNEL_SERVER = 2 };

struct session_message {
    uint16_t type; /* enum session_type, with SESSION_ANSWER in answers */
    uint32_t tag;
    int32_t result;
    uint32_t flags;
    uint64_t number[4];
    uint8_t key[32];
    char text[4][8193]; /* NUL-terminated; WIT_TEXT_BYTES_MAX each */
};

/* Writes the message into `room` bytes at `data`; *ret_bytes is its length. OVER_LIMIT when it does not fit. */
int session_encode(const struct session_message *m, void *data, size_t room,
                   size_t *ret_bytes) MUST_CHECK;
/* INVALID for anything that is not exactly right: version, type, length, a NUL inside a text, left-over bytes. */
int session_decode(const void *data, size_t bytes, struct session_message *ret) MUST_CHECK;

#endif
