/* Frames between center and agent: each type goes there and back, and whatever is not exactly right
 * is refused. */
#include "wire/event.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "test/lib/isolated.h"

static char SIGNATURE[] = "get: func() -> u32", SIGNATURE_2[] = "xmit: func()";
static char *ARGUMENTS[] = { (char[]){ "./tcp" }, (char[]){ "" } };
static char DIRECTORY[] = "/srv", TARGET[] = "lo";
static char *ENVIRONMENT[] = { (char[]){ "A=b" } };

/* A view in static memory: never freed, only written. */
struct sample {
    struct view_function own[1], callee[1];
    struct view_edge edges[3];
    struct view view;
};

static void sample_make(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    s->own[0] = (struct view_function){ SIGNATURE, hash_bytes(SIGNATURE, strlen(SIGNATURE)) };
    s->callee[0] =
        (struct view_function){ SIGNATURE_2, hash_bytes(SIGNATURE_2, strlen(SIGNATURE_2)) };
    strcpy(s->edges[0].peer, "application/http");
    strcpy(s->edges[1].peer, "driver/net");
    strcpy(s->edges[2].peer, "driver/net");
    s->edges[0].allowed = true;
    s->edges[2].outgoing = true;
    s->edges[2].allowed = true;
    s->edges[2].protocol = PROTOCOL_SHM;
    s->edges[2].timeout_ns = 5;
    s->edges[2].revision = 6;
    strcpy(s->edges[2].rule, "links/x");
    memset(s->edges[2].key, 7, EDGE_KEY_BYTES);
    s->edges[2].functions = s->callee;
    s->edges[2].functions_count = 1;
    s->view = (struct view){
        .references = 1,
        .revision = 9,
        .self = { .resource = "service/tcp",
                  .revision = 3,
                  .functions = s->own,
                  .functions_count = 1,
                  .arguments = ARGUMENTS,
                  .arguments_count = 2,
                  .environment = ENVIRONMENT,
                  .environment_count = 1,
                  .directory = DIRECTORY,
                  .restart = 2 },
        .edges = s->edges,
        .edges_count = 3,
    };
}

static struct bytes encoded(const struct event *e)
{
    struct bytes b;

    bytes_init(&b, 0);
    event_encode(&b, e);
    assert_int_equal(b.error, 0);
    return b;
}

/* Encodes, decodes into *ret, and checks that no shorter frame and no frame with a byte more is
 * accepted. */
static void there_and_back(const struct event *e, struct event *ret)
{
    struct bytes b = encoded(e);
    size_t whole = 0;

    for (size_t n = 0; n < b.used; n++) {
        assert_int_equal(event_decode(b.data, n, ret), RHODES_INVALID);
        assert_int_equal(event_head(b.data, n, &whole), n < EVENT_HEAD_BYTES ? -EAGAIN : 0);
    }
    assert_int_equal(event_head(b.data, b.used, &whole), 0);
    assert_int_equal(whole, b.used);
    assert_int_equal(event_decode(b.data, b.used, ret), 0);
    assert_int_equal(ret->type, e->type);
    bytes_put_u8(&b, 0);
    assert_int_equal(event_decode(b.data, b.used, &(struct event){ 0 }), RHODES_INVALID);
    memcpy(b.data, &(uint32_t){ (uint32_t)b.used - 4 }, 4);
    assert_int_equal(event_decode(b.data, b.used, &(struct event){ 0 }), RHODES_INVALID);
    bytes_deinit(&b);
}

static void what_an_agent_says_goes_there_and_back(void **state)
{
    struct event e = { .type = EVENT_HELLO,
                       .resource = (char[]){ "service/tcp" },
                       .pid = 7,
                       .incarnation = 8,
                       .revision = 9,
                       .managed = true };
    struct event out;

    there_and_back(&e, &out);
    assert_string_equal(out.resource, "service/tcp");
    assert_int_equal(out.pid, 7);
    assert_int_equal(out.incarnation, 8);
    assert_int_equal(out.revision, 9);
    assert_true(out.managed);
    event_deinit(&out);
    e = (struct event){ .type = EVENT_APPLIED, .revision = 4, .took_ns = 1800 };
    there_and_back(&e, &out);
    assert_int_equal(out.revision, 4);
    assert_int_equal(out.took_ns, 1800);
    e = (struct event){
        .type = EVENT_REJECTED, .revision = 4, .verdict = -5, .text = (char[]){ "why" }
    };
    there_and_back(&e, &out);
    assert_int_equal(out.verdict, -5);
    assert_string_equal(out.text, "why");
    event_deinit(&out);
    e = (struct event){ .type = EVENT_RESYNC };
    there_and_back(&e, &out);
    e = (struct event){ .type = EVENT_NOTICE, .name = (char[]){ "program.lost" } };
    there_and_back(&e, &out);
    assert_string_equal(out.name, "program.lost");
    assert_string_equal(out.text, "");
    event_deinit(&out);
}

static void a_status_goes_there_and_back(void **state)
{
    struct event out,
        e = { .type = EVENT_STATUS, .status = { 1, 2, PROGRAM_FAILED, 4, 5, 6, 7, 8, 9 } };

    there_and_back(&e, &out);
    assert_int_equal(out.status.revision_applied, 1);
    assert_int_equal(out.status.program_pid, 2);
    assert_int_equal(out.status.program_state, PROGRAM_FAILED);
    assert_int_equal(out.status.calls_out, 4);
    assert_int_equal(out.status.calls_in, 5);
    assert_int_equal(out.status.refused, 6);
    assert_int_equal(out.status.failed, 7);
    assert_int_equal(out.status.timeouts, 8);
    assert_int_equal(out.status.switches, 9);
    assert_string_equal(program_state_name(PROGRAM_READY), "ready");
}

static void what_the_center_says_goes_there_and_back(void **state)
{
    struct event out, e = { .type = EVENT_WELCOME, .revision = 12 };

    there_and_back(&e, &out);
    assert_int_equal(out.revision, 12);
    e = (struct event){ .type = EVENT_REFUSED, .verdict = RHODES_DENIED, .text = (char[]){ "no" } };
    there_and_back(&e, &out);
    assert_int_equal(out.verdict, RHODES_DENIED);
    assert_string_equal(out.text, "no");
    event_deinit(&out);
    e = (struct event){ .type = EVENT_STOP };
    there_and_back(&e, &out);
}

static void sample_matches(const struct view *v)
{
    assert_int_equal(v->revision, 9);
    assert_string_equal(v->self.resource, "service/tcp");
    assert_int_equal(v->self.revision, 3);
    assert_string_equal(v->self.functions[0].signature, SIGNATURE);
    assert_int_equal(v->self.arguments_count, 2);
    assert_string_equal(v->self.arguments[1], "");
    assert_string_equal(v->self.environment[0], "A=b");
    assert_string_equal(v->self.directory, "/srv");
    assert_null(v->self.device_target);
    assert_int_equal(v->self.restart, 2);
    assert_int_equal(v->edges_count, 3);
    assert_string_equal(v->edges[2].peer, "driver/net");
    assert_true(v->edges[2].outgoing && v->edges[2].allowed);
    assert_int_equal(v->edges[2].protocol, PROTOCOL_SHM);
    assert_int_equal(v->edges[2].timeout_ns, 5);
    assert_int_equal(v->edges[2].revision, 6);
    assert_string_equal(v->edges[2].rule, "links/x");
    assert_int_equal(v->edges[2].key[31], 7);
    assert_string_equal(v->edges[2].functions[0].signature, SIGNATURE_2);
}

static void a_snapshot_goes_there_and_back(void **state)
{
    struct sample s;
    struct event out, e = { .type = EVENT_SNAPSHOT, .view = &s.view };
    struct view *v;
    struct bytes b;

    sample_make(&s);
    there_and_back(&e, &out);
    sample_matches(out.view);
    event_deinit(&out);
    bytes_init(&b, 0);
    view_encode(&b, &s.view);
    for (size_t n = 0; n < b.used; n++) {
        assert_int_equal(view_decode(b.data, n, &v), RHODES_INVALID);
    }
    assert_int_equal(view_decode(b.data, b.used, &v), 0);
    sample_matches(v);
    view_unref(v);
    b.data[0] ^= 1;
    assert_int_equal(view_decode(b.data, b.used, &v), RHODES_INVALID);
    bytes_deinit(&b);
}

static void a_delta_goes_there_and_back(void **state)
{
    struct view_removal removals[] = { { "driver/a", false }, { "driver/a", true } };
    struct view_delta d = {
        .revision_from = 8, .revision_to = 9, .removals = removals, .removals_count = 2
    };
    struct event out, e = { .type = EVENT_DELTA, .delta = &d };
    struct sample s;

    sample_make(&s);
    d.upserts = s.edges;
    d.upserts_count = 3;
    for (int with_self = 0; with_self < 2; with_self++) {
        d.self = with_self ? &s.view.self : NULL;
        there_and_back(&e, &out);
        assert_int_equal(out.delta->revision_from, 8);
        assert_int_equal(out.delta->revision_to, 9);
        assert_int_equal(out.delta->upserts_count, 3);
        assert_int_equal(out.delta->removals_count, 2);
        assert_string_equal(out.delta->removals[1].peer, "driver/a");
        assert_true(out.delta->removals[1].outgoing);
        assert_int_equal(out.delta->self != NULL, with_self);
        event_deinit(&out);
    }
}

/* Encodes a snapshot of a sample that `spoil` has made wrong. */
static void spoilt_is_refused(void (*spoil)(struct sample *s))
{
    struct sample s;
    struct event out, e = { .type = EVENT_SNAPSHOT, .view = &s.view };
    struct bytes b;

    sample_make(&s);
    spoil(&s);
    b = encoded(&e);
    assert_int_equal(event_decode(b.data, b.used, &out), RHODES_INVALID);
    bytes_deinit(&b);
}

static void spoil_order(struct sample *s)
{
    struct view_edge first = s->edges[0];

    s->edges[0] = s->edges[1];
    s->edges[1] = first;
}

static void spoil_twice(struct sample *s)
{
    s->edges[1].outgoing = true;
}

static void spoil_peer(struct sample *s)
{
    strcpy(s->edges[0].peer, "application/../x");
}

static void spoil_resource(struct sample *s)
{
    strcpy(s->view.self.resource, "tcp");
}

static void spoil_protocol(struct sample *s)
{
    s->edges[0].protocol = PROTOCOLS_COUNT;
}

static void spoil_incoming_functions(struct sample *s)
{
    s->edges[0].functions = s->callee;
    s->edges[0].functions_count = 1;
}

static void spoil_function_id(struct sample *s)
{
    s->own[0].id++;
}

static void spoil_environment(struct sample *s)
{
    s->view.self.environment = ARGUMENTS;
}

static void spoil_restart(struct sample *s)
{
    s->view.self.restart = 3;
}

static void spoil_device(struct sample *s)
{
    s->view.self.device = 3;
    s->view.self.device_target = TARGET;
}

static void spoil_device_without_target(struct sample *s)
{
    s->view.self.device = 1;
}

static void spoil_target_without_device(struct sample *s)
{
    s->view.self.device_target = TARGET;
}

static void a_view_that_is_wrong_is_refused(void **state)
{
    void (*const spoils[])(struct sample *) = {
        spoil_order,
        spoil_twice,
        spoil_peer,
        spoil_resource,
        spoil_protocol,
        spoil_incoming_functions,
        spoil_function_id,
        spoil_restart,
        spoil_environment,
        spoil_device,
        spoil_device_without_target,
        spoil_target_without_device,
    };

    for (size_t i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
        spoilt_is_refused(spoils[i]);
    }
}

static void a_delta_that_is_wrong_is_refused(void **state)
{
    struct view_removal removals[] = { { "driver/a", true }, { "driver/a", false } };
    struct view_delta d = {
        .revision_from = 8, .revision_to = 9, .removals = removals, .removals_count = 2
    };
    struct event out, e = { .type = EVENT_DELTA, .delta = &d };
    struct bytes b = encoded(&e);

    assert_int_equal(event_decode(b.data, b.used, &out), RHODES_INVALID); /* order */
    bytes_deinit(&b);
    strcpy(removals[1].peer, "nobody");
    b = encoded(&e);
    assert_int_equal(event_decode(b.data, b.used, &out), RHODES_INVALID);
    bytes_deinit(&b);
    d.removals_count = 1;
    d.revision_to = 8;
    b = encoded(&e);
    assert_int_equal(event_decode(b.data, b.used, &out), RHODES_INVALID); /* leads nowhere */
    bytes_deinit(&b);
}

/* A frame by hand. */
static int decode_raw(uint16_t type, uint16_t version, const void *payload, size_t bytes)
{
    struct event out;
    struct bytes b;
    int r;

    bytes_init(&b, 0);
    bytes_put_u32(&b, (uint32_t)bytes + 4);
    bytes_put_u16(&b, type);
    bytes_put_u16(&b, version);
    bytes_put(&b, payload, bytes);
    r = event_decode(b.data, b.used, &out);
    bytes_deinit(&b);
    return r;
}

static void a_head_that_is_wrong_is_refused(void **state)
{
    uint8_t head[EVENT_HEAD_BYTES] = { 4, 0, 0, 0, EVENT_STOP, 0, EVENT_VERSION, 0 };
    struct event out;
    size_t whole;

    assert_int_equal(event_head(head, sizeof(head), &whole), 0);
    assert_int_equal(whole, 8);
    assert_int_equal(decode_raw(0, EVENT_VERSION, "", 0), RHODES_INVALID);
    assert_int_equal(decode_raw(EVENT_STOP + 1, EVENT_VERSION, "", 0), RHODES_INVALID);
    assert_int_equal(decode_raw(EVENT_STOP, EVENT_VERSION + 1, "", 0), RHODES_INVALID);
    assert_int_equal(decode_raw(EVENT_STOP, EVENT_VERSION, "", 0), 0);
    head[0] = 3;
    assert_int_equal(event_head(head, sizeof(head), &whole), RHODES_INVALID);
    memcpy(head, &(uint32_t){ EVENT_BYTES_MAX }, 4);
    assert_int_equal(event_head(head, sizeof(head), &whole), 0);
    memcpy(head, &(uint32_t){ EVENT_BYTES_MAX + 1 }, 4);
    assert_int_equal(event_head(head, sizeof(head), &whole), RHODES_OVER_LIMIT);
    assert_int_equal(event_decode(head, sizeof(head), &out), RHODES_OVER_LIMIT);
}

static void counts_that_cannot_be_are_refused_before_memory_is_taken(void **state)
{
    struct event out, e = { .type = EVENT_DELTA };
    struct view_delta d = { .revision_from = 1, .revision_to = 2 };
    uint32_t counts[] = { 1, VIEW_EDGES_MAX + 1, UINT32_MAX };
    struct bytes b;

    e.delta = &d;
    for (size_t i = 0; i < 3; i++) {
        for (size_t at = 0; at < 2; at++) { /* upserts, removals */
            b = encoded(&e);
            memcpy(b.data + b.used - 8 + at * 4, &counts[i], 4);
            assert_int_equal(event_decode(b.data, b.used, &out), RHODES_INVALID);
            bytes_deinit(&b);
        }
    }
}

static void values_out_of_range_are_refused(void **state)
{
    struct event e = { .type = EVENT_HELLO, .resource = (char[]){ "service/tcp" } }, out;
    struct bytes b = encoded(&e);

    b.data[b.used - 1] = 2; /* managed is 0 or 1 */
    assert_int_equal(event_decode(b.data, b.used, &out), RHODES_INVALID);
    bytes_deinit(&b);
    e.resource = (char[]){ "tcp" };
    b = encoded(&e);
    assert_int_equal(event_decode(b.data, b.used, &out), RHODES_INVALID);
    bytes_deinit(&b);
    e = (struct event){ .type = EVENT_STATUS, .status.program_state = PROGRAM_FAILED + 1 };
    b = encoded(&e);
    assert_int_equal(event_decode(b.data, b.used, &out), RHODES_INVALID);
    bytes_deinit(&b);
    e = (struct event){ .type = EVENT_NOTICE, .name = (char[]){ "ab" } };
    b = encoded(&e);
    b.data[EVENT_HEAD_BYTES + 4] = 0; /* a NUL inside */
    assert_int_equal(event_decode(b.data, b.used, &out), RHODES_INVALID);
    bytes_deinit(&b);
}

static void a_long_text_is_cut_between_letters(void **state)
{
    char text[EVENT_TEXT_BYTES_MAX + 8];
    struct event out, e = { .type = EVENT_NOTICE, .name = (char[]){ "x" }, .text = text };
    struct bytes b;

    memset(text, 'a', sizeof(text));
    text[EVENT_TEXT_BYTES_MAX] = 0;
    there_and_back(&e, &out);
    assert_int_equal(strlen(out.text), EVENT_TEXT_BYTES_MAX);
    event_deinit(&out);
    memcpy(text + EVENT_TEXT_BYTES_MAX - 1, "\xe2\x82\xac", 4);
    there_and_back(&e, &out);
    assert_int_equal(strlen(out.text), EVENT_TEXT_BYTES_MAX - 1);
    event_deinit(&out);
    /* From others, a longer one is refused. */
    bytes_init(&b, 0);
    memset(text, 'a', sizeof(text));
    text[EVENT_TEXT_BYTES_MAX + 1] = 0;
    bytes_put_text(&b, "x");
    bytes_put_text(&b, text);
    assert_int_equal(decode_raw(EVENT_NOTICE, EVENT_VERSION, b.data, b.used), RHODES_INVALID);
    bytes_deinit(&b);
}

static void a_frame_over_the_limit_is_not_written(void **state)
{
    struct view_delta d = { .revision_from = 1, .revision_to = 2 };
    struct event e = { .type = EVENT_DELTA, .delta = &d };
    char *text = malloc(VIEW_TEXT_BYTES_MAX + 1);
    struct view_function *functions = calloc(VIEW_FUNCTIONS_MAX, sizeof(*functions));
    struct bytes b;

    memset(text, 'a', VIEW_TEXT_BYTES_MAX);
    text[VIEW_TEXT_BYTES_MAX] = 0;
    for (size_t i = 0; i < VIEW_FUNCTIONS_MAX; i++) {
        functions[i].signature = text;
    }
    d.upserts_count = 9; /* 9 times 256 signatures of 8 KiB are more than 16 MiB */
    d.upserts = calloc(d.upserts_count, sizeof(*d.upserts));
    for (size_t i = 0; i < d.upserts_count; i++) {
        d.upserts[i].functions = functions;
        d.upserts[i].functions_count = VIEW_FUNCTIONS_MAX;
    }
    bytes_init(&b, 0);
    event_encode(&b, &(struct event){ .type = EVENT_STOP });
    event_encode(&b, &e);
    assert_int_equal(b.error, RHODES_OVER_LIMIT);
    assert_int_equal(b.used, EVENT_HEAD_BYTES);
    bytes_deinit(&b);
    bytes_init(&b, 6);
    event_encode(&b, &(struct event){ .type = EVENT_STOP });
    assert_int_equal(b.error, RHODES_OVER_LIMIT);
    assert_int_equal(b.used, 0);
    bytes_deinit(&b);
    free(d.upserts);
    free(functions);
    free(text);
}

static void no_changed_byte_of_a_snapshot_does_harm(void **state)
{
    struct sample s;
    struct event out, e = { .type = EVENT_SNAPSHOT, .view = &s.view };
    struct bytes b;

    sample_make(&s);
    b = encoded(&e);
    for (size_t i = 0; i < b.used; i++) {
        for (int bit = 0; bit < 8; bit++) {
            b.data[i] ^= (uint8_t)(1 << bit);
            if (event_decode(b.data, b.used, &out) == 0) {
                event_deinit(&out);
            }
            b.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    assert_int_equal(event_decode(b.data, b.used, &out), 0);
    event_deinit(&out);
    bytes_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        isolated_test(what_an_agent_says_goes_there_and_back),
        isolated_test(a_status_goes_there_and_back),
        isolated_test(what_the_center_says_goes_there_and_back),
        isolated_test(a_snapshot_goes_there_and_back),
        isolated_test(a_delta_goes_there_and_back),
        isolated_test(a_view_that_is_wrong_is_refused),
        isolated_test(a_delta_that_is_wrong_is_refused),
        isolated_test(a_head_that_is_wrong_is_refused),
        isolated_test(counts_that_cannot_be_are_refused_before_memory_is_taken),
        isolated_test(values_out_of_range_are_refused),
        isolated_test(a_long_text_is_cut_between_letters),
        isolated_test(a_frame_over_the_limit_is_not_written),
        isolated_test(no_changed_byte_of_a_snapshot_does_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
