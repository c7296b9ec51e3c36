/* The messages on an agent's own socket, to bytes and back. One form for every type keeps this to
 * one encoder and one decoder: there is a single place where a length from another process is
 * believed, and it is checked against what is left before it is used. A decoded text has no NUL
 * inside, so what is compared and logged as a C string is the whole of what was sent.
 *
 * Packets, not a stream: the kernel keeps the borders of a SEQPACKET message, so a message has no
 * length of its own and must be used up exactly. */
#include "wire/session.h"

#include <string.h>

#define TEXTS 4

_Static_assert(sizeof(((struct session_message *)0)->text) / sizeof(char[8193]) == TEXTS,
               "the decoder knows how many texts there are");
_Static_assert(80 + TEXTS * (4 + 8192) <= SESSION_BYTES_MAX, "the largest message fits");

static uint8_t *put(uint8_t *at, const void *data, size_t bytes)
{
    memcpy(at, data, bytes);
    return at + bytes;
}

int session_encode(const struct session_message *m, void *data, size_t room, size_t *ret_bytes)
{
    const uint16_t version = SESSION_VERSION;
    size_t lengths[TEXTS], bytes = 80;
    uint8_t *at = data;

    for (int i = 0; i < TEXTS; i++) {
        lengths[i] = strnlen(m->text[i], sizeof(m->text[i]));
        bytes += 4 + lengths[i];
        if (lengths[i] == sizeof(m->text[i])) {
            return RHODES_OVER_LIMIT;
        }
    }
    if (bytes > room) {
        return RHODES_OVER_LIMIT;
    }
    at = put(at, &version, sizeof(version));
    at = put(at, &m->type, sizeof(m->type));
    at = put(at, &m->tag, sizeof(m->tag));
    at = put(at, &m->result, sizeof(m->result));
    at = put(at, &m->flags, sizeof(m->flags));
    at = put(at, m->number, sizeof(m->number));
    at = put(at, m->key, sizeof(m->key));
    for (int i = 0; i < TEXTS; i++) {
        const uint32_t length = (uint32_t)lengths[i];

        at = put(at, &length, sizeof(length));
        at = put(at, m->text[i], length);
    }
    *ret_bytes = bytes;
    return 0;
}

static void text_get(struct reader *r, char *ret, size_t room)
{
    const struct span s = reader_span(r);

    if (!r->error && (s.bytes >= room || memchr(s.data, 0, s.bytes))) {
        r->error = RHODES_INVALID;
    }
    if (!r->error) {
        memcpy(ret, s.data, s.bytes);
        ret[s.bytes] = 0;
    }
}

int session_decode(const void *data, size_t bytes, struct session_message *ret)
{
    struct reader r = reader_make(data, bytes);
    const uint16_t version = reader_u16(&r), type = reader_u16(&r);
    const uint16_t kind = type & (uint16_t)~SESSION_ANSWER;
    const void *key;

    if (version != SESSION_VERSION || kind < SESSION_HELLO || kind >= SESSION_TYPES_END) {
        return RHODES_INVALID;
    }
    ret->type = type;
    ret->tag = reader_u32(&r);
    ret->result = (int32_t)reader_u32(&r);
    ret->flags = reader_u32(&r);
    for (size_t i = 0; i < sizeof(ret->number) / sizeof(ret->number[0]); i++) {
        ret->number[i] = reader_u64(&r);
    }
    key = reader_get(&r, sizeof(ret->key));
    if (key) {
        memcpy(ret->key, key, sizeof(ret->key));
    }
    for (int i = 0; i < TEXTS; i++) {
        text_get(&r, ret->text[i], sizeof(ret->text[i]));
    }
    return reader_end(&r);
}
