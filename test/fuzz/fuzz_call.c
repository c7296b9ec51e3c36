/* The call slot: chunks as a peer may put them into a conduit (u16 length with the top bit for
 * "more", then the bytes, repeated) are received as whole messages, dropped, or relayed, or the
 * conduit is given up. The first byte chooses which. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "transmitter/transmitter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct script { /* a conduit whose peer is the input, and whose sent chunks are counted */
    struct conduit conduit;
    const uint8_t *at, *end;
    size_t sent;
    uint8_t room[4096];
};

static int script_get(struct conduit *c, const void **ret, uint32_t *ret_bytes, bool *ret_more,
                      uint64_t deadline_ns)
{
    struct script *s = (struct script *)c;
    uint16_t length;

    (void)deadline_ns;
    if (s->end - s->at < 2) {
        return -EPIPE;
    }
    memcpy(&length, s->at, 2);
    *ret_more = length & 0x8000;
    length &= 0x7fff;
    s->at += 2;
    *ret = s->at;
    *ret_bytes = length <= s->end - s->at ? length : (uint32_t)(s->end - s->at);
    s->at += *ret_bytes;
    return 0;
}

static void script_get_done(struct conduit *c)
{
    (void)c;
}

static int script_put(struct conduit *c, void **ret, uint64_t deadline_ns)
{
    (void)deadline_ns;
    *ret = ((struct script *)c)->room;
    return 0;
}

static int script_put_done(struct conduit *c, uint32_t bytes, bool more, uint64_t deadline_ns)
{
    (void)more;
    (void)deadline_ns;
    assert(bytes <= sizeof(((struct script *)c)->room));
    ((struct script *)c)->sent += bytes;
    return 0;
}

static const struct transmitter transmitter_script = {
    .name = "script",
    .abi = TRANSMITTER_ABI,
    .chunk_bytes = 4096,
    .put = script_put,
    .put_done = script_put_done,
    .get = script_get,
    .get_done = script_get_done,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct conduit conduit = { .transmitter = &transmitter_script, .chunk_bytes = 4096 };
    struct script from = { .conduit = conduit }, to = { .conduit = conduit };
    struct call_head head;
    struct bytes body;
    int r = 0, side;

    if (bytes == 0) {
        return 0;
    }
    from.at = data + 1;
    from.end = data + bytes;
    bytes_init(&body, CALL_BODY_BYTES_MAX);
    while (r == 0) {
        switch (data[0] % 3) {
        case 0:
            r = message_receive(&from.conduit, &head, &body, 0);
            assert(r || body.used == head.body_bytes);
            break;
        case 1:
            r = message_head(&from.conduit, &head, 0);
            r = r ? r : message_drop(&from.conduit, &head, 0);
            break;
        default:
            r = message_head(&from.conduit, &head, 0);
            to.sent = 0;
            r = r ? r : message_relay(&from.conduit, &to.conduit, &head, 0, &side);
            assert(r || to.sent == sizeof(head) + head.body_bytes);
        }
    }
    bytes_deinit(&body);
    return 0;
}
