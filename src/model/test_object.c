/* Manifests: what each kind becomes, how it is normalised, and every way in which one is refused,
 * with its place. */
#include "model/object_field.h"
#include "model/test_help.h"

static void body_is(const struct object *o, const char *text)
{
    json_t *wanted = json_make(text);
    char *found = json_dumps(o->body, 0);

    if (!json_equal(o->body, wanted)) {
        fail_msg("%s, not %s", found, text);
    }
    free(found);
    json_decref(wanted);
}

static void a_driver_is_read_whole(void **state)
{
    struct object *o = object_make(
        "{'apiVersion': 'rhodes/v1', 'kind': 'Driver',"
        " 'metadata': {'name': 'netdriver', 'labels': {'lang': 'c', 'a/b.c_d-e': ''}},"
        " 'spec': {'privilege': 'kernel', 'types': 'type frame = list<u8>',"
        "  'provides': [{'function': 'xmit: func(f: frame) -> s32', 'symbol': 'net_xmit@V1'},"
        "               {'function': 'stop: func()'}],"
        "  'calls': [{'to': 'hardware/nic0', 'protocol': 'shm', 'timeout': '50ms',"
        "             'functions': ['tx: func(frames: list<frame>) -> u32']}],"
        "  'run': {'exec': ['./netdriver', '', '-v'], 'env': {'A_1': 'x=y', 'EMPTY': ''},"
        "          'directory': '/srv', 'restart': 'always'}}}");
    const struct resource *r = &o->resource;
    char id[LINK_NAME_BYTES_MAX + 16];

    object_id(o, id);
    assert_string_equal(id, "driver/netdriver");
    assert_int_equal(o->kind, KIND_DRIVER);
    assert_int_equal(r->layer, LAYER_DRIVER);
    assert_true(r->privilege_kernel);
    assert_int_equal(r->functions_count, 2);
    assert_string_equal(r->functions[0]->signature, "xmit: func(f: list<u8>) -> s32");
    assert_int_equal(r->references_count, 1);
    assert_string_equal(r->references[0].callee, "hardware/nic0");
    assert_int_equal(r->references[0].protocol, PROTOCOL_SHM);
    assert_int_equal(r->references[0].timeout_ns, 50000000);
    assert_string_equal(r->references[0].functions[0]->signature,
                        "tx: func(frames: list<list<u8>>) -> u32");
    assert_int_equal(r->run.arguments_count, 3);
    assert_string_equal(r->run.arguments[1], "");
    assert_int_equal(r->run.environment_count, 2);
    assert_string_equal(r->run.environment[0], "A_1=x=y");
    assert_string_equal(r->run.environment[1], "EMPTY=");
    assert_string_equal(r->run.directory, "/srv");
    assert_int_equal(r->run.restart, RESTART_ALWAYS);
    assert_int_equal(o->revision, 0);
    object_unref(o);
}

static void defaults_are_written_in_and_empty_lists_go(void **state)
{
    struct object *o = object_make(
        "{'apiVersion': 'rhodes/v1', 'kind': 'Service', 'metadata': {'name': 'tcp', 'labels': {},"
        " 'revision': 7, 'createdRevision': 1}, 'spec': {'provides': [],"
        " 'calls': [{'to': 'driver/d', 'functions': []}], 'run': {'exec': ['x']}}}");

    body_is(o, "{'apiVersion': 'rhodes/v1', 'kind': 'Service', 'metadata': {'name': 'tcp'}, 'spec':"
               " {'privilege': 'user', 'calls': [{'to': 'driver/d', 'protocol': 'msgqueue',"
               " 'timeout': '5s'}], 'run': {'exec': ['x'], 'restart': 'on-failure'}}}");
    assert_int_equal(o->resource.references[0].protocol, PROTOCOL_MSGQUEUE);
    assert_int_equal(o->resource.references[0].timeout_ns, CALL_TIMEOUT_NS_DEFAULT);
    assert_int_equal(o->revision, 0);
    object_unref(o);
    o = object_make(
        "{'apiVersion': 'rhodes/v1', 'kind': 'Application', 'metadata': {'name': 'a'}}");
    body_is(o, MANIFEST("Application", "a", "'privilege': 'user'"));
    object_unref(o);
}

static void a_normalised_body_parses_to_itself(void **state)
{
    static const char *const texts[] = {
        MANIFEST("Service", "s", "'calls': [{'to': 'driver/d', 'timeout': '60000ms'}]"),
        MANIFEST("Hardware", "h", DEVICE),
        LINK("'caller': 'service/s', 'callee': 'driver/d', 'timeout': '1000us'"),
        HIERARCHY("'edges': [{'from': 'driver', 'to': 'service/s', 'upcall': false}]"),
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct object *o = object_make(texts[i]), *again;
        char *text = json_dumps(o->body, 0);

        again = object_make(text);
        assert_true(json_equal(again->body, o->body));
        free(text);
        object_unref(o);
        object_unref(again);
    }
}

static void hardware_brings_its_devices_functions(void **state)
{
    struct object *o = object_make(MANIFEST("Hardware", "nic0",
                                            "'device': {'nic': {'interface': "
                                            "'veth-0.1_2'}}"));

    assert_int_equal(o->resource.functions_count, 4);
    assert_string_equal(o->resource.functions[0]->name, "info");
    assert_int_equal(o->resource.device.kind, DEVICE_NIC);
    assert_string_equal(o->resource.device.interface, "veth-0.1_2");
    object_unref(o);
    o = object_make(MANIFEST("Hardware", "nic0", "'device': {'sim': {'peer': '/tmp/wire'}}"));
    assert_int_equal(o->resource.device.kind, DEVICE_SIM);
    assert_string_equal(o->resource.device.peer, "/tmp/wire");
    object_unref(o);
}

static void a_link_is_named_by_its_pair(void **state)
{
    struct object *o = object_make(LINK("'caller': 'application/a', 'callee': 'service/b'"));
    char id[LINK_NAME_BYTES_MAX + 16];

    assert_string_equal(o->name, "application.a:service.b");
    object_id(o, id);
    assert_string_equal(id, "links/application.a:service.b");
    assert_int_equal(o->link.access, LINK_ALLOW);
    assert_int_equal(o->link.protocol, -1);
    assert_int_equal(o->link.timeout_ns, 0);
    object_unref(o);
    o = object_make(MANIFEST("Link", "application.a:service.b",
                             "'caller': 'application/a', 'callee': 'service/b', 'access': 'deny',"
                             " 'protocol': 'shm', 'timeout': '2m'"));
    assert_int_equal(o->link.access, LINK_DENY);
    assert_int_equal(o->link.protocol, PROTOCOL_SHM);
    assert_true(o->link.timeout_ns == 120000000000ULL);
    object_unref(o);
}

static void the_hierarchical_rule_is_read_whole(void **state)
{
    struct object *o = object_make(HIERARCHY("'mode': 'strict', 'edges': [{'from': 'driver', 'to': "
                                             "'service/tcp', 'upcall': true},"
                                             "{'from': 'service', 'to': 'service'}]"));

    assert_true(o->hierarchy.strict);
    assert_int_equal(o->hierarchy.edges_count, 2);
    assert_string_equal(o->hierarchy.edges[0].to, "service/tcp");
    assert_true(o->hierarchy.edges[0].upcall);
    assert_false(o->hierarchy.edges[1].upcall);
    object_unref(o);
}

static void durations_take_their_largest_unit(void **state)
{
    static const struct {
        const char *text, *normal;
        uint64_t ns;
    } cases[] = {
        { "1us", "1us", 1000 },
        { "1000us", "1ms", 1000000 },
        { "1500ms", "1500ms", 1500000000 },
        { "60s", "1m", 60000000000 },
        { "60m", "60m", CALL_TIMEOUT_NS_MAX },
        { "3600000000us", "60m", CALL_TIMEOUT_NS_MAX },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct object *o;

        snprintf(text, sizeof(text),
                 LINK("'caller': 'service/a', 'callee': 'driver/b', 'timeout': '%s'"),
                 cases[i].text);
        o = object_make(text);
        assert_true(o->link.timeout_ns == cases[i].ns);
        assert_string_equal(
            json_string_value(json_object_get(json_object_get(o->body, "spec"), "timeout")),
            cases[i].normal);
        object_unref(o);
    }
}

static void the_same_object_stands_at_other_revisions(void **state)
{
    struct object *o =
        object_make(MANIFEST("Service", "s", "'provides': [{'function': 'f: func()'}]"));
    struct object *at = object_at(o, 5, 2), *later;

    object_unref(o);
    assert_int_equal(at->revision, 5);
    assert_int_equal(at->revision_created, 2);
    later = object_at(at, 6, 2);
    object_unref(at);
    assert_string_equal(later->resource.functions[0]->name, "f");
    object_unref(object_ref(later));
    assert_null(object_unref(later));
    assert_null(object_unref(NULL));
}

#define SPEC(kind, spec) MANIFEST(kind, "a", spec)
#define META(metadata)   "{'apiVersion': 'rhodes/v1', 'kind': 'Service', 'metadata': " metadata "}"

struct refused {
    const char *text;
    enum problem problem;
    const char *pointer, *detail;
};

static void each_is_refused(const struct refused *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct object *o = NULL;
        struct refusal why;

        memset(&why, 0, sizeof(why));
        assert_int_equal(object_try(cases[i].text, &o, &why), problem_verdict(cases[i].problem));
        assert_null(o);
        if (why.problem != cases[i].problem || strcmp(why.pointer, cases[i].pointer) != 0) {
            fail_msg("%s: %s at %s: %s", cases[i].text, problem_code(why.problem), why.pointer,
                     why.detail);
        }
        assert_contains(why.detail, cases[i].detail);
        assert_true(strlen(why.hint) > 0);
    }
}
#define EACH_IS_REFUSED(cases) each_is_refused(cases, sizeof(cases) / sizeof(cases[0]))

static void a_frame_that_is_wrong_is_refused(void **state)
{
    static const struct refused cases[] = {
        { "[]", PROBLEM_WRONG_TYPE, "", "a manifest must be a mapping, but it is a list" },
        { "7", PROBLEM_WRONG_TYPE, "", "a number" },
        { "null", PROBLEM_WRONG_TYPE, "", "empty" },
        { "{}", PROBLEM_MISSING_FIELD, "/apiVersion", "apiVersion is missing" },
        { "{'apiVersion': 'rhodes/v1'}", PROBLEM_MISSING_FIELD, "/kind", "kind is missing" },
        { "{'apiVersion': 'v2', 'kind': 'Service'}", PROBLEM_BAD_VALUE, "/apiVersion", "\"v2\"" },
        { "{'apiVersion': 1, 'kind': 'Service'}", PROBLEM_WRONG_TYPE, "/apiVersion", "a number" },
        { "{'apiVersion': 'rhodes/v1', 'kind': 'service'}", PROBLEM_BAD_VALUE, "/kind",
          "Application, Service, Driver, Hardware, Link or Hierarchy, but it is \"service\"" },
        { "{'apiVersion': 'rhodes/v1', 'kind': true}", PROBLEM_WRONG_TYPE, "/kind",
          "true or false" },
        { "{'apiVersion': 'rhodes/v1', 'kind': 'Rule', 'status': 1}", PROBLEM_UNKNOWN_FIELD,
          "/status", "a manifest has no field \"status\"" },
        { "{'apiVersion': 'rhodes/v1', 'kind': 'Service'}", PROBLEM_MISSING_FIELD, "/metadata",
          "metadata is missing" },
        { META("[]"), PROBLEM_WRONG_TYPE, "/metadata", "metadata must be a mapping" },
        { META("{}"), PROBLEM_MISSING_FIELD, "/metadata/name", "name is missing" },
        { META("{'name': 5}"), PROBLEM_WRONG_TYPE, "/metadata/name", "a number" },
        { META("{'name': ''}"), PROBLEM_BAD_NAME, "/metadata/name", "empty" },
        { META("{'name': '../x'}"), PROBLEM_BAD_NAME, "/metadata/name", "\"../x\"" },
        { META("{'name': 'a\\u001b[2J'}"), PROBLEM_BAD_NAME, "/metadata/name", "\"a\\x1b[2J\"" },
        { META("{'name': 'a\\nb'}"), PROBLEM_BAD_NAME, "/metadata/name", "\"a\\nb\"" },
        { META("{'name': 'a', 'uid': 1}"), PROBLEM_UNKNOWN_FIELD, "/metadata/uid", "\"uid\"" },
        { META("{'name': 'a', 'revision': '1'}"), PROBLEM_WRONG_TYPE, "/metadata/revision",
          "a text" },
        { META("{'name': 'a', 'createdRevision': -1}"), PROBLEM_WRONG_TYPE,
          "/metadata/createdRevision", "negative" },
        { META("{'name': 'a', 'labels': 1}"), PROBLEM_WRONG_TYPE, "/metadata/labels", "a mapping" },
        { META("{'name': 'a', 'labels': {'': 'x'}}"), PROBLEM_BAD_NAME, "/metadata/labels/",
          "name of a label" },
        { META("{'name': 'a', 'labels': {'a/b c': 'x'}}"), PROBLEM_BAD_NAME,
          "/metadata/labels/a~1b c", "name of a label" },
        { META("{'name': 'a', 'labels': {'k': 1}}"), PROBLEM_WRONG_TYPE, "/metadata/labels/k",
          "a number" },
        { META("{'name': 'a', 'labels': {'k': 'a\\tb'}}"), PROBLEM_BAD_VALUE, "/metadata/labels/k",
          "control" },
        { MANIFEST("Hierarchy", "other", ""), PROBLEM_BAD_NAME, "/metadata/name",
          "named default, not \"other\"" },
        { "{'apiVersion': 'rhodes/v1', 'kind': 'Service', 'metadata': {'name': 'a'}, 'spec': []}",
          PROBLEM_WRONG_TYPE, "/spec", "spec of kind Service must be a mapping" },
    };

    EACH_IS_REFUSED(cases);
}

static void a_resource_that_is_wrong_is_refused(void **state)
{
    static const struct refused cases[] = {
        { SPEC("Service", "'cals': []"), PROBLEM_UNKNOWN_FIELD, "/spec/cals",
          "spec of kind Service has no field \"cals\"" },
        { SPEC("Service", DEVICE), PROBLEM_UNKNOWN_FIELD, "/spec/device", "device" },
        { SPEC("Service", "'privilege': 'root'"), PROBLEM_BAD_VALUE, "/spec/privilege",
          "user or kernel, but it is \"root\"" },
        { SPEC("Service", "'privilege': 0"), PROBLEM_WRONG_TYPE, "/spec/privilege", "a number" },
        { SPEC("Service", "'privilege': null"), PROBLEM_WRONG_TYPE, "/spec/privilege", "empty" },
        { SPEC("Service", "'types': ''"), PROBLEM_BAD_VALUE, "/spec/types", "types is empty" },
        { SPEC("Service", "'types': 'type a'"), PROBLEM_BAD_SIGNATURE, "/spec/types",
          "expected '=', found the end (line 1, column 7)" },
        { SPEC("Service", "'types': 'a\\u0000b'"), PROBLEM_BAD_VALUE, "/spec/types", "NUL" },
        { SPEC("Service", "'provides': {}"), PROBLEM_WRONG_TYPE, "/spec/provides", "a list" },
        { SPEC("Service", "'provides': ['f: func()']"), PROBLEM_WRONG_TYPE, "/spec/provides/0",
          "an entry of provides must be a mapping, but it is a text" },
        { SPEC("Service", "'provides': [{}]"), PROBLEM_MISSING_FIELD, "/spec/provides/0/function",
          "function is missing" },
        { SPEC("Service", "'provides': [{'function': 1}]"), PROBLEM_WRONG_TYPE,
          "/spec/provides/0/function", "a number" },
        { SPEC("Service", "'provides': [{'function': 'f()'}]"), PROBLEM_BAD_SIGNATURE,
          "/spec/provides/0/function", "expected ':', found \"(\" (line 1, column 2)" },
        { SPEC("Service", "'provides': [{'function': 'f: func()', 'symbol': 'a b'}]"),
          PROBLEM_BAD_VALUE, "/spec/provides/0/symbol", "\"a b\"" },
        { SPEC("Service", "'provides': [{'function': 'f: func()', 'sym': 'a'}]"),
          PROBLEM_UNKNOWN_FIELD, "/spec/provides/0/sym", "sym" },
        { SPEC("Service",
               "'provides': [{'function': 'f: func()'}, {'function': 'f: func(a: u8)'}]"),
          PROBLEM_DUPLICATE, "/spec/provides/1/function", "the function f stands twice" },
        { SPEC("Service", "'calls': [{}]"), PROBLEM_MISSING_FIELD, "/spec/calls/0/to", "to is" },
        { SPEC("Service", "'calls': [{'to': 'd'}]"), PROBLEM_BAD_NAME, "/spec/calls/0/to",
          "\"d\" is not the id of a resource" },
        { SPEC("Service", "'calls': [{'to': 'driver/../d'}]"), PROBLEM_BAD_NAME, "/spec/calls/0/to",
          "\"driver/../d\"" },
        { SPEC("Service", "'calls': [{'to': 'service/a'}]"), PROBLEM_SELF_REFERENCE,
          "/spec/calls/0/to", "service/a calls itself" },
        { SPEC("Service", "'calls': [{'to': 'driver/d'}, {'to': 'driver/d'}]"), PROBLEM_DUPLICATE,
          "/spec/calls/1/to", "driver/d stands twice" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'protocol': 'pigeon'}]"), PROBLEM_BAD_VALUE,
          "/spec/calls/0/protocol", "msgqueue or shm, but it is \"pigeon\"" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'timeout': 5}]"), PROBLEM_WRONG_TYPE,
          "/spec/calls/0/timeout", "a duration such as" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'timeout': ''}]"), PROBLEM_BAD_VALUE,
          "/spec/calls/0/timeout", "empty" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'timeout': '5'}]"), PROBLEM_BAD_VALUE,
          "/spec/calls/0/timeout", "\"5\"" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'timeout': 'ms'}]"), PROBLEM_BAD_VALUE,
          "/spec/calls/0/timeout", "\"ms\"" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'timeout': '-5s'}]"), PROBLEM_BAD_VALUE,
          "/spec/calls/0/timeout", "\"-5s\"" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'timeout': '1.5s'}]"), PROBLEM_BAD_VALUE,
          "/spec/calls/0/timeout", "\"1.5s\"" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'timeout': '0s'}]"), PROBLEM_BAD_VALUE,
          "/spec/calls/0/timeout", "between 1us and 60m" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'timeout': '61m'}]"), PROBLEM_BAD_VALUE,
          "/spec/calls/0/timeout", "between" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'timeout': '3600000001us'}]"),
          PROBLEM_BAD_VALUE, "/spec/calls/0/timeout", "between" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'timeout': '99999999999999999999999s'}]"),
          PROBLEM_BAD_VALUE, "/spec/calls/0/timeout", "between" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'functions': ['x']}]"),
          PROBLEM_BAD_SIGNATURE, "/spec/calls/0/functions/0", "expected ':'" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'functions': 'x'}]"), PROBLEM_WRONG_TYPE,
          "/spec/calls/0/functions", "a list" },
        { SPEC("Service", "'calls': [{'to': 'driver/d', 'functions': ['f: func()', 'f: func()']}]"),
          PROBLEM_DUPLICATE, "/spec/calls/0/functions/1", "f stands twice" },
    };

    EACH_IS_REFUSED(cases);
}

static void a_program_or_device_that_is_wrong_is_refused(void **state)
{
    static const struct refused cases[] = {
        { SPEC("Service", "'run': 'x'"), PROBLEM_WRONG_TYPE, "/spec/run", "a mapping" },
        { SPEC("Service", "'run': {}"), PROBLEM_MISSING_FIELD, "/spec/run/exec", "exec" },
        { SPEC("Service", "'run': {'exec': []}"), PROBLEM_MISSING_FIELD, "/spec/run/exec", "exec" },
        { SPEC("Service", "'run': {'exec': ['']}"), PROBLEM_BAD_VALUE, "/spec/run/exec/0",
          "empty" },
        { SPEC("Service", "'run': {'exec': ['a', 1]}"), PROBLEM_WRONG_TYPE, "/spec/run/exec/1",
          "a number" },
        { SPEC("Service", "'run': {'exec': ['a'], 'shell': true}"), PROBLEM_UNKNOWN_FIELD,
          "/spec/run/shell", "shell" },
        { SPEC("Service", "'run': {'exec': ['a'], 'env': ['A=1']}"), PROBLEM_WRONG_TYPE,
          "/spec/run/env", "a mapping" },
        { SPEC("Service", "'run': {'exec': ['a'], 'env': {'A': 1}}"), PROBLEM_WRONG_TYPE,
          "/spec/run/env/A", "a number" },
        { SPEC("Service", "'run': {'exec': ['a'], 'env': {'1A': 'x'}}"), PROBLEM_BAD_NAME,
          "/spec/run/env/1A", "\"1A\"" },
        { SPEC("Service", "'run': {'exec': ['a'], 'env': {'A=': 'x'}}"), PROBLEM_BAD_NAME,
          "/spec/run/env/A=", "\"A=\"" },
        { SPEC("Service", "'run': {'exec': ['a'], 'env': {'': 'x'}}"), PROBLEM_BAD_NAME,
          "/spec/run/env/", "\"\"" },
        { SPEC("Service", "'run': {'exec': ['a'], 'env': {'RHODES_HOME': '/x'}}"),
          PROBLEM_BAD_VALUE, "/spec/run/env/RHODES_HOME", "set by the agent" },
        { SPEC("Service", "'run': {'exec': ['a'], 'directory': 'x'}"), PROBLEM_BAD_VALUE,
          "/spec/run/directory", "absolute path, but it is \"x\"" },
        { SPEC("Service", "'run': {'exec': ['a'], 'restart': 'maybe'}"), PROBLEM_BAD_VALUE,
          "/spec/run/restart", "on-failure or always or never" },
        { SPEC("Hardware", ""), PROBLEM_MISSING_FIELD, "/spec/device", "device is missing" },
        { SPEC("Hardware", "'run': {}"), PROBLEM_UNKNOWN_FIELD, "/spec/run", "run" },
        { SPEC("Hardware", "'calls': []"), PROBLEM_UNKNOWN_FIELD, "/spec/calls", "calls" },
        { SPEC("Hardware", "'device': 'nic'"), PROBLEM_WRONG_TYPE, "/spec/device", "a mapping" },
        { SPEC("Hardware", "'device': {}"), PROBLEM_MISSING_FIELD, "/spec/device", "exactly one" },
        { SPEC("Hardware", "'device': {'nic': {}, 'sim': {}}"), PROBLEM_BAD_VALUE, "/spec/device",
          "exactly one" },
        { SPEC("Hardware", "'device': {'gpu': {}}"), PROBLEM_UNKNOWN_FIELD, "/spec/device/gpu",
          "gpu" },
        { SPEC("Hardware", "'device': {'nic': 'lo'}"), PROBLEM_WRONG_TYPE, "/spec/device/nic",
          "a mapping" },
        { SPEC("Hardware", "'device': {'nic': {}}"), PROBLEM_MISSING_FIELD,
          "/spec/device/nic/interface", "interface" },
        { SPEC("Hardware", "'device': {'nic': {'interface': 'a/b'}}"), PROBLEM_BAD_VALUE,
          "/spec/device/nic/interface", "\"a/b\"" },
        { SPEC("Hardware", "'device': {'nic': {'interface': '1234567890123456'}}"),
          PROBLEM_TOO_LARGE, "/spec/device/nic/interface", "16 bytes, 15 are the limit" },
        { SPEC("Hardware", "'device': {'sim': {}}"), PROBLEM_MISSING_FIELD, "/spec/device/sim/peer",
          "peer" },
        { SPEC("Hardware", "'device': {'sim': {'peer': 'x'}}"), PROBLEM_BAD_VALUE,
          "/spec/device/sim/peer", "absolute" },
        { SPEC("Hardware", "'device': {'sim': {'to': 'x'}}"), PROBLEM_UNKNOWN_FIELD,
          "/spec/device/sim/to", "to" },
    };

    EACH_IS_REFUSED(cases);
}

static void a_static_rule_that_is_wrong_is_refused(void **state)
{
    static const struct refused cases[] = {
        { LINK("'caller': 'service/a'"), PROBLEM_MISSING_FIELD, "/spec/callee", "callee" },
        { LINK("'callee': 'service/a'"), PROBLEM_MISSING_FIELD, "/spec/caller", "caller" },
        { LINK("'caller': 1, 'callee': 'service/a'"), PROBLEM_WRONG_TYPE, "/spec/caller",
          "a number" },
        { LINK("'caller': 'service/a', 'callee': 'service/a'"), PROBLEM_SELF_REFERENCE,
          "/spec/callee", "service/a calls itself" },
        { LINK("'caller': 'service/a', 'callee': 'driver/b', 'access': 'maybe'"), PROBLEM_BAD_VALUE,
          "/spec/access", "allow or deny" },
        { LINK("'caller': 'service/a', 'callee': 'driver/b', 'weight': 1"), PROBLEM_UNKNOWN_FIELD,
          "/spec/weight", "weight" },
        { LINK("'caller': 'service/a', 'callee': 'driver/b', 'protocol': 'tcp'"), PROBLEM_BAD_VALUE,
          "/spec/protocol", "\"tcp\"" },
        { MANIFEST("Link", "mine", "'caller': 'service/a', 'callee': 'driver/b'"), PROBLEM_BAD_NAME,
          "/metadata/name", "service.a:driver.b, not \"mine\"" },
        { HIERARCHY("'mode': 'flat'"), PROBLEM_BAD_VALUE, "/spec/mode", "below or strict" },
        { HIERARCHY("'rules': []"), PROBLEM_UNKNOWN_FIELD, "/spec/rules", "rules" },
        { HIERARCHY("'edges': {}"), PROBLEM_WRONG_TYPE, "/spec/edges", "a list" },
        { HIERARCHY("'edges': ['a']"), PROBLEM_WRONG_TYPE, "/spec/edges/0", "a mapping" },
        { HIERARCHY("'edges': [{'from': 'driver'}]"), PROBLEM_MISSING_FIELD, "/spec/edges/0/to",
          "to is missing" },
        { HIERARCHY("'edges': [{'from': 'kernel', 'to': 'driver'}]"), PROBLEM_BAD_NAME,
          "/spec/edges/0/from", "\"kernel\" is neither a layer" },
        { HIERARCHY("'edges': [{'from': 1, 'to': 'driver'}]"), PROBLEM_WRONG_TYPE,
          "/spec/edges/0/from", "a number" },
        { HIERARCHY("'edges': [{'from': 'driver', 'to': 'driver', 'upcall': 'yes'}]"),
          PROBLEM_WRONG_TYPE, "/spec/edges/0/upcall", "a text" },
        { HIERARCHY("'edges': [{'from': 'driver/a', 'to': 'driver/a'}]"), PROBLEM_SELF_REFERENCE,
          "/spec/edges/0", "driver/a would call itself" },
        { HIERARCHY("'edges': [{'from': 'driver', 'to': 'service'}, {'from': 'driver', 'to': "
                    "'service', 'upcall': true}]"),
          PROBLEM_DUPLICATE, "/spec/edges/1", "driver:service stands twice" },
    };

    EACH_IS_REFUSED(cases);
}

static void a_name_of_10000_letters_is_shown_short_and_escaped(void **state)
{
    struct object *o = NULL;
    struct refusal why;
    json_t *document = json_make(MANIFEST("Service", "a", "'calls': [{'to': 'driver/d'}]"));
    json_t *calls = json_object_get(json_object_get(document, "spec"), "calls");
    char name[10001];

    memset(name, 'x', sizeof(name) - 1);
    name[3] = '\x1b';
    name[sizeof(name) - 1] = 0;
    json_object_set_new(json_array_get(calls, 0), "to", json_string(name));
    assert_int_equal(object_parse(document, "/documents/4", &o, &why), RHODES_INVALID);
    assert_int_equal(why.problem, PROBLEM_BAD_NAME);
    assert_string_equal(why.pointer, "/documents/4/spec/calls/0/to");
    assert_contains(why.detail, "\"xxx\\x1bxxx");
    assert_contains(why.detail, "...\"");
    json_object_set_new(json_object_get(document, "metadata"), "name", json_string(name));
    assert_int_equal(object_parse(document, "", &o, &why), RHODES_INVALID);
    assert_string_equal(why.pointer, "/metadata/name");
    assert_contains(why.detail, "...\"");
    json_object_set_new(document, name, json_null());
    assert_int_equal(object_parse(document, "", &o, &why), RHODES_INVALID);
    assert_int_equal(why.problem, PROBLEM_UNKNOWN_FIELD);
    assert_contains(why.detail, "...\"");
    json_decref(document);
}

/* Parses a document whose list or mapping at spec.`field` has `count` entries made by `make`. */
static int parse_many(const char *base, const char *outer, const char *field, size_t count,
                      void (*make)(json_t *to, size_t index), struct refusal *why)
{
    json_t *document = json_make(base),
           *at = json_object_get(document, *outer ? "spec" : "metadata");
    struct object *o = NULL;
    int r;

    if (*outer && strcmp(outer, "spec") != 0) {
        at = json_object_get(at, outer);
    }
    for (size_t i = 0; i < count; i++) {
        make(json_object_get(at, field), i);
    }
    r = object_parse(document, "", &o, why);
    object_unref(o);
    json_decref(document);
    return r;
}

static void make_label(json_t *to, size_t i)
{
    char key[32];

    snprintf(key, sizeof(key), "k%zu", i);
    json_object_set_new(to, key, json_string("v"));
}

static void make_call(json_t *to, size_t i)
{
    json_t *call = json_object();
    char id[32];

    snprintf(id, sizeof(id), "driver/d%zu", i);
    json_object_set_new(call, "to", json_string(id));
    json_array_append_new(to, call);
}

static void make_function(json_t *to, size_t i)
{
    json_t *provided = json_object();
    char text[32];

    snprintf(text, sizeof(text), "f%zu: func()", i);
    json_object_set_new(provided, "function", json_string(text));
    json_array_append_new(to, provided);
}

static void make_argument(json_t *to, size_t i)
{
    (void)i;
    json_array_append_new(to, json_string("x"));
}

static void make_edge(json_t *to, size_t i)
{
    json_t *edge = json_object();
    char id[32];

    snprintf(id, sizeof(id), "driver/d%zu", i);
    json_object_set_new(edge, "from", json_string(id));
    json_object_set_new(edge, "to", json_string("service"));
    json_array_append_new(to, edge);
}

static void every_list_ends_at_its_limit(void **state)
{
    static const struct {
        const char *base, *outer, *field;
        size_t max;
        void (*make)(json_t *to, size_t index);
    } cases[] = {
        { META("{'name': 'a', 'labels': {}}"), "", "labels", 64, make_label },
        { SPEC("Service", "'calls': []"), "spec", "calls", RESOURCE_CALLS_MAX, make_call },
        { SPEC("Service", "'provides': []"), "spec", "provides", RESOURCE_FUNCTIONS_MAX,
          make_function },
        { SPEC("Service", "'run': {'exec': []}"), "run", "exec", RUN_ARGUMENTS_MAX, make_argument },
        { SPEC("Service", "'run': {'exec': ['x'], 'env': {}}"), "run", "env", RUN_ARGUMENTS_MAX,
          make_label },
        { HIERARCHY("'edges': []"), "spec", "edges", HIERARCHY_EDGES_MAX, make_edge },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct refusal why;

        assert_int_equal(parse_many(cases[i].base, cases[i].outer, cases[i].field, cases[i].max,
                                    cases[i].make, &why),
                         0);
        assert_int_equal(parse_many(cases[i].base, cases[i].outer, cases[i].field, cases[i].max + 1,
                                    cases[i].make, &why),
                         RHODES_OVER_LIMIT);
        assert_int_equal(why.problem, PROBLEM_TOO_LARGE);
        assert_contains(why.detail, "limit");
    }
}

static int parse_text(const char *base, const char *const *path, size_t bytes, const char *before,
                      struct refusal *why)
{
    json_t *document = json_make(base), *at = document;
    struct object *o = NULL;
    char *text = malloc(bytes + 1);
    int r;

    memset(text, 'x', bytes);
    text[bytes] = 0;
    memcpy(text, before, strlen(before));
    for (; path[1]; path++) {
        at = json_is_array(at) ? json_array_get(at, 0) : json_object_get(at, *path);
    }
    if (json_is_array(at)) {
        json_array_set_new(at, 0, json_string(text));
    } else {
        json_object_set_new(at, *path, json_string(text));
    }
    r = object_parse(document, "", &o, why);
    object_unref(o);
    json_decref(document);
    free(text);
    return r;
}

static void every_text_ends_at_its_limit(void **state)
{
    static const struct {
        const char *base;
        const char *path[6];
        const char *before;
        size_t max;
    } cases[] = {
        { META("{'name': 'a', 'labels': {}}"), { "metadata", "labels", "k" }, "", 255 },
        { SPEC("Service", "'run': {'exec': ['x']}"),
          { "spec", "run", "exec", "0" },
          "",
          RUN_TEXT_BYTES_MAX },
        { SPEC("Service", "'run': {'exec': ['x'], 'env': {}}"),
          { "spec", "run", "env", "A" },
          "",
          RUN_TEXT_BYTES_MAX },
        { SPEC("Service", "'run': {'exec': ['x']}"),
          { "spec", "run", "directory" },
          "/",
          RUN_TEXT_BYTES_MAX },
        { SPEC("Service", "'provides': [{'function': 'f: func()'}]"),
          { "spec", "provides", "0", "symbol" },
          "",
          255 },
        { SPEC("Service", ""), { "spec", "types" }, "type a=u8//", WIT_TEXT_BYTES_MAX },
        { SPEC("Service", "'provides': [{'function': 'f: func()'}]"),
          { "spec", "provides", "0", "function" },
          "f: func()//",
          WIT_TEXT_BYTES_MAX },
        { SPEC("Hardware", "'device': {'sim': {}}"),
          { "spec", "device", "sim", "peer" },
          "/",
          3071 },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct refusal why;

        if (parse_text(cases[i].base, cases[i].path, cases[i].max, cases[i].before, &why)) {
            fail_msg("%s: %s", why.pointer, why.detail);
        }
        assert_int_equal(
            parse_text(cases[i].base, cases[i].path, cases[i].max + 1, cases[i].before, &why),
            RHODES_OVER_LIMIT);
        assert_int_equal(why.problem, PROBLEM_TOO_LARGE);
    }
}

static void a_signature_that_is_too_deep_is_too_large(void **state)
{
    static const struct refused cases[] = {
        { SPEC("Service", "'provides': [{'function': 'f: func(a: list<list<list<list<list<list<list"
                          "<list<list<list<list<list<list<list<list<list<u8>>>>>>>>>>>>>>>>)'}]"),
          PROBLEM_TOO_LARGE, "/spec/provides/0/function", "deeper than 16" },
        { SPEC("Service",
               "'types': 'type t = list<list<list<list<list<list<list<list<list<list<list"
               "<list<list<list<list<list<u8>>>>>>>>>>>>>>>>'"),
          PROBLEM_TOO_LARGE, "/spec/types", "deeper than 16" },
    };

    EACH_IS_REFUSED(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_driver_is_read_whole),
        cmocka_unit_test(defaults_are_written_in_and_empty_lists_go),
        cmocka_unit_test(a_normalised_body_parses_to_itself),
        cmocka_unit_test(hardware_brings_its_devices_functions),
        cmocka_unit_test(a_link_is_named_by_its_pair),
        cmocka_unit_test(the_hierarchical_rule_is_read_whole),
        cmocka_unit_test(durations_take_their_largest_unit),
        cmocka_unit_test(the_same_object_stands_at_other_revisions),
        cmocka_unit_test(a_frame_that_is_wrong_is_refused),
        cmocka_unit_test(a_resource_that_is_wrong_is_refused),
        cmocka_unit_test(a_program_or_device_that_is_wrong_is_refused),
        cmocka_unit_test(a_static_rule_that_is_wrong_is_refused),
        cmocka_unit_test(a_name_of_10000_letters_is_shown_short_and_escaped),
        cmocka_unit_test(every_list_ends_at_its_limit),
        cmocka_unit_test(every_text_ends_at_its_limit),
        cmocka_unit_test(a_signature_that_is_too_deep_is_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
