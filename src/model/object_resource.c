/* What stands under spec of a resource: its functions, whom it calls, how its program starts, what
 * device it is. */
#include "model/object_field.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define SYMBOL_BYTES_MAX    255
#define INTERFACE_BYTES_MAX 15   /* IFNAMSIZ without its NUL */
#define SIM_PEER_BYTES_MAX  3071 /* sockets are reached whatever the length of their path */

void resource_deinit(struct resource *r)
{
    for (size_t i = 0; i < r->functions_count; i++) {
        wit_function_unref(r->functions[i]);
    }
    for (size_t i = 0; i < r->references_count; i++) {
        for (size_t f = 0; f < r->references[i].functions_count; f++) {
            wit_function_unref(r->references[i].functions[f]);
        }
        free(r->references[i].functions);
    }
    for (size_t i = 0; i < r->run.arguments_count; i++) {
        free(r->run.arguments[i]);
    }
    for (size_t i = 0; i < r->run.environment_count; i++) {
        free(r->run.environment[i]);
    }
    free(r->functions);
    free(r->references);
    free(r->run.arguments);
    free(r->run.environment);
    free(r->run.directory);
    free(r->types);
    free(r->device.interface);
    free(r->device.peer);
}

static int text_keep(const char *text, char **ret)
{
    *ret = strdup(text);
    return *ret ? 0 : failed(-ENOMEM);
}

/* The first of `count` functions with f's name, or NULL. */
static const struct wit_function *function_named(struct wit_function *const *list, size_t count,
                                                 const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i]->name, name) == 0) {
            return list[i];
        }
    }
    return NULL;
}

static int function_add(const struct place *p, const json_t *text, const char *types,
                        struct wit_function **list, size_t *count)
{
    int r = value_signature(p, text, types, &list[*count]);

    if (r) {
        return r;
    }
    if (function_named(list, *count, list[*count]->name)) {
        r = refuse(p->why, PROBLEM_DUPLICATE, p->pointer, "the function %s stands twice",
                   list[*count]->name);
        list[*count] = wit_function_unref(list[*count]);
        return r;
    }
    (*count)++;
    return 0;
}

/* A symbol of an object file: letters, digits and the signs that compilers add for versions and
 * clones. */
static int symbol_check(const struct place *p, json_t *entry)
{
    char quoted[QUOTED_BYTES_MAX];
    const char *text = NULL;
    struct place at;
    int r = field_text(p, entry, "symbol", SYMBOL_BYTES_MAX, &text);

    for (const char *c = text; r == 0 && c && *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("_$.@", *c)) {
            at = place_member(p, "symbol");
            return refuse(p->why, PROBLEM_BAD_VALUE, at.pointer, "%s is not the name of a symbol",
                          text_quote(text, quoted));
        }
    }
    return r;
}

static int provides_parse(const struct place *spec, json_t *body, struct resource *to)
{
    static const char *const fields[] = { "function", "symbol", NULL };
    struct place list = place_member(spec, "provides");
    json_t *array = NULL, *entry;
    size_t i;
    int r = field_array(spec, body, "provides", RESOURCE_FUNCTIONS_MAX, &array);

    if (r || !array) {
        return r;
    }
    to->functions = calloc(json_array_size(array), sizeof(struct wit_function *));
    if (!to->functions) {
        return failed(-ENOMEM);
    }
    json_array_foreach(array, i, entry)
    {
        struct place at = place_element(&list, i), text = place_member(&at, "function");

        r = fields_check(&at, entry, "an entry of provides", fields);
        if (r == 0 && !json_object_get(entry, "function")) {
            r = field_missing(&at, "function");
        }
        r = r ? r : symbol_check(&at, entry);
        r = r ? r
              : function_add(&text, json_object_get(entry, "function"), to->types, to->functions,
                             &to->functions_count);
        if (r) {
            return r;
        }
    }
    return 0;
}

static int expected_parse(const struct place *p, json_t *entry, const char *types,
                          struct reference *to)
{
    struct place list = place_member(p, "functions");
    json_t *array = NULL, *text;
    size_t i;
    int r = field_array(p, entry, "functions", RESOURCE_FUNCTIONS_MAX, &array);

    if (r || !array) {
        return r;
    }
    to->functions = calloc(json_array_size(array), sizeof(struct wit_function *));
    if (!to->functions) {
        return failed(-ENOMEM);
    }
    json_array_foreach(array, i, text)
    {
        struct place at = place_element(&list, i);

        r = function_add(&at, text, types, to->functions, &to->functions_count);
        if (r) {
            return r;
        }
    }
    return 0;
}

/* That the newest reference names neither its own resource nor one that an earlier entry names. */
static int callee_check(const struct place *p, const struct resource *to, const char *self)
{
    const struct reference *last = &to->references[to->references_count - 1];
    struct place at = place_member(p, "to");

    if (strcmp(last->callee, self) == 0) {
        return refuse(p->why, PROBLEM_SELF_REFERENCE, at.pointer, "%s calls itself", self);
    }
    for (const struct reference *r = to->references; r < last; r++) {
        if (strcmp(r->callee, last->callee) == 0) {
            return refuse(p->why, PROBLEM_DUPLICATE, at.pointer, "the callee %s stands twice",
                          last->callee);
        }
    }
    return 0;
}

static int reference_parse(const struct place *p, json_t *entry, const char *self,
                           struct resource *to)
{
    static const char *const fields[] = { "to", "protocol", "timeout", "functions", NULL };
    struct reference *ref = &to->references[to->references_count];
    int protocol = PROTOCOL_MSGQUEUE;
    int r = fields_check(p, entry, "an entry of calls", fields);

    ref->timeout_ns = CALL_TIMEOUT_NS_DEFAULT;
    r = r ? r : field_resource(p, entry, "to", ref->callee);
    if (r) {
        return r;
    }
    to->references_count++;
    r = callee_check(p, to, self);
    r = r ? r : field_word(p, entry, "protocol", PROTOCOL_WORDS, PROTOCOLS_COUNT, &protocol);
    r = r ? r : field_duration(p, entry, "timeout", &ref->timeout_ns);
    ref->protocol = (enum protocol)protocol;
    return r ? r : expected_parse(p, entry, to->types, ref);
}

static int calls_parse(const struct place *spec, json_t *body, const char *self,
                       struct resource *to)
{
    struct place list = place_member(spec, "calls");
    json_t *array = NULL, *entry;
    size_t i;
    int r = field_array(spec, body, "calls", RESOURCE_CALLS_MAX, &array);

    if (r || !array) {
        return r;
    }
    to->references = calloc(json_array_size(array), sizeof(*to->references));
    if (!to->references) {
        return failed(-ENOMEM);
    }
    json_array_foreach(array, i, entry)
    {
        struct place at = place_element(&list, i);

        r = reference_parse(&at, entry, self, to);
        if (r) {
            return r;
        }
    }
    return 0;
}

static int arguments_parse(const struct place *p, json_t *run, struct run *to)
{
    struct place list = place_member(p, "exec");
    json_t *array = NULL, *entry;
    size_t i;
    int r = field_array(p, run, "exec", RUN_ARGUMENTS_MAX, &array);

    if (r) {
        return r;
    }
    if (!array) {
        return field_missing(p, "exec");
    }
    to->arguments = calloc(json_array_size(array) + 1, sizeof(char *));
    if (!to->arguments) {
        return failed(-ENOMEM);
    }
    json_array_foreach(array, i, entry)
    {
        struct place at = place_element(&list, i);
        const char *text = "";

        /* An argument may be empty, the program may not. */
        if (i == 0 || !json_is_string(entry) || json_string_length(entry) > 0) {
            r = value_text(&at, entry, RUN_TEXT_BYTES_MAX, &text);
        }
        r = r ? r : text_keep(text, &to->arguments[to->arguments_count]);
        if (r) {
            return r;
        }
        to->arguments_count++;
    }
    return 0;
}

/* The agent sets these itself; a manifest's value would be lost without a word. */
static bool is_agents_own(const char *name)
{
    return strcmp(name, "RHODES_AGENT") == 0 || strcmp(name, "RHODES_RESOURCE") == 0 ||
           strcmp(name, "RHODES_HOME") == 0;
}

static int variable_check(const struct place *p, const char *name)
{
    size_t letters =
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    char quoted[QUOTED_BYTES_MAX];

    if (letters == 0 || name[letters] || isdigit((unsigned char)*name) || letters > 255) {
        return refuse(p->why, PROBLEM_BAD_NAME, p->pointer,
                      "%s is not the name of an environment variable", text_quote(name, quoted));
    }
    if (is_agents_own(name)) {
        return refuse(p->why, PROBLEM_BAD_VALUE, p->pointer, "%s is set by the agent itself", name);
    }
    return 0;
}

static int environment_parse(const struct place *p, json_t *run, struct run *to)
{
    struct place map = place_member(p, "env");
    json_t *object = NULL, *value;
    const char *name;
    int r = field_object(p, run, "env", &object);

    if (r || !object) {
        return r;
    }
    if (json_object_size(object) > RUN_ARGUMENTS_MAX) {
        return refuse(p->why, PROBLEM_TOO_LARGE, map.pointer,
                      "env has %zu entries, %d are the limit", json_object_size(object),
                      RUN_ARGUMENTS_MAX);
    }
    to->environment = calloc(json_object_size(object) + 1, sizeof(char *));
    if (!to->environment) {
        return failed(-ENOMEM);
    }
    json_object_foreach(object, name, value)
    {
        struct place at = place_member(&map, name);
        const char *text = "";

        r = variable_check(&at, name);
        if (r == 0 && (!json_is_string(value) || json_string_length(value) > 0)) {
            r = value_text(&at, value, RUN_TEXT_BYTES_MAX, &text);
        }
        if (r) {
            return r;
        }
        if (asprintf(&to->environment[to->environment_count], "%s=%s", name, text) < 0) {
            to->environment[to->environment_count] = NULL;
            return failed(-ENOMEM);
        }
        to->environment_count++;
    }
    return 0;
}

static int absolute_path(const struct place *p, json_t *o, const char *name, size_t max,
                         const char **ret)
{
    char quoted[QUOTED_BYTES_MAX];
    int r = field_text(p, o, name, max, ret);

    if (r == 0 && *ret && **ret != '/') {
        struct place at = place_member(p, name);

        return refuse(p->why, PROBLEM_BAD_VALUE, at.pointer,
                      "%s must be an absolute path, but it is %s", name, text_quote(*ret, quoted));
    }
    return r;
}

static int run_parse(const struct place *spec, json_t *body, struct run *to)
{
    static const char *const fields[] = { "exec", "env", "directory", "restart", NULL };
    static const char *const restarts[] = { "on-failure", "always", "never" };
    struct place p = place_member(spec, "run");
    json_t *run = json_object_get(body, "run");
    const char *directory = NULL;
    int restart = RESTART_ON_FAILURE;
    int r;

    if (!run) {
        return 0;
    }
    r = fields_check(&p, run, "run", fields);
    r = r ? r : arguments_parse(&p, run, to);
    r = r ? r : environment_parse(&p, run, to);
    r = r ? r : absolute_path(&p, run, "directory", RUN_TEXT_BYTES_MAX, &directory);
    r = r ? r : field_word(&p, run, "restart", restarts, 3, &restart);
    to->restart = (enum restart)restart;
    return r || !directory ? r : text_keep(directory, &to->directory);
}

static int nic_parse(const struct place *p, json_t *nic, struct device *to)
{
    static const char *const fields[] = { "interface", NULL };
    char quoted[QUOTED_BYTES_MAX];
    const char *text = NULL;
    int r = fields_check(p, nic, "nic", fields);

    r = r ? r : field_text(p, nic, "interface", INTERFACE_BYTES_MAX, &text);
    if (r == 0 && !text) {
        return field_missing(p, "interface");
    }
    for (const char *c = text; r == 0 && *c; c++) {
        if (!isgraph((unsigned char)*c) || *c == '/' || *c == ':') {
            struct place at = place_member(p, "interface");

            return refuse(p->why, PROBLEM_BAD_VALUE, at.pointer,
                          "%s is not the name of a network interface", text_quote(text, quoted));
        }
    }
    to->kind = DEVICE_NIC;
    return r ? r : text_keep(text, &to->interface);
}

static int sim_parse(const struct place *p, json_t *sim, struct device *to)
{
    static const char *const fields[] = { "peer", NULL };
    const char *text = NULL;
    int r = fields_check(p, sim, "sim", fields);

    r = r ? r : absolute_path(p, sim, "peer", SIM_PEER_BYTES_MAX, &text);
    if (r == 0 && !text) {
        return field_missing(p, "peer");
    }
    to->kind = DEVICE_SIM;
    return r ? r : text_keep(text, &to->peer);
}

/* A device brings its functions with it. */
static int device_functions_fill(struct resource *to)
{
    size_t count;
    const char *const *signatures = device_functions(to->device.kind, &count);
    struct wit_error error;

    to->functions = calloc(count, sizeof(struct wit_function *));
    if (!to->functions) {
        return failed(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        int r = wit_function_parse(signatures[i], NULL, &to->functions[i], &error);

        if (r) {
            return r;
        }
        to->functions_count++;
    }
    return 0;
}

static int device_parse(const struct place *spec, json_t *body, struct resource *to)
{
    static const char *const fields[] = { "nic", "sim", NULL };
    struct place p = place_member(spec, "device");
    json_t *device = json_object_get(body, "device");
    int r;

    if (!device) {
        return field_missing(spec, "device");
    }
    r = fields_check(&p, device, "device", fields);
    if (r) {
        return r;
    }
    if (json_object_size(device) != 1) {
        return refuse(p.why, json_object_size(device) ? PROBLEM_BAD_VALUE : PROBLEM_MISSING_FIELD,
                      p.pointer, "device takes exactly one of nic and sim");
    }
    if (json_object_get(device, "nic")) {
        struct place at = place_member(&p, "nic");

        r = nic_parse(&at, json_object_get(device, "nic"), &to->device);
    } else {
        struct place at = place_member(&p, "sim");

        r = sim_parse(&at, json_object_get(device, "sim"), &to->device);
    }
    return r ? r : device_functions_fill(to);
}

/* Reads spec.types and judges it once by itself, so that a fault in it is reported at its own
 * place. */
static int types_parse(const struct place *spec, json_t *body, struct resource *to)
{
    struct place at = place_member(spec, "types");
    struct wit_function *probe = NULL;
    struct wit_error error;
    const char *text = NULL;
    int r = field_text(spec, body, "types", WIT_TEXT_BYTES_MAX, &text);

    if (r || !text) {
        return r;
    }
    r = wit_function_parse("probe: func()", text, &probe, &error);
    if (r > 0) {
        return refuse(spec->why, r == RHODES_OVER_LIMIT ? PROBLEM_TOO_LARGE : PROBLEM_BAD_SIGNATURE,
                      at.pointer, "%s (line %u, column %u)", error.message, error.line,
                      error.column);
    }
    wit_function_unref(probe);
    return r ? r : text_keep(text, &to->types);
}

int resource_parse(const struct place *spec, json_t *body, struct object *o)
{
    static const char *const fields[] = { "privilege", "types", "provides", "calls", "run", NULL };
    static const char *const hardware_fields[] = { "privilege", "device", NULL };
    static const char *const privileges[] = { "user", "kernel" };
    bool hardware = o->kind == KIND_HARDWARE;
    struct resource *to = &o->resource;
    char self[RESOURCE_ID_BYTES_MAX], what[64];
    int kernel = 0;
    int r;

    to->layer = (enum layer)o->kind;
    resource_id_make(to->layer, o->name, '/', self);
    snprintf(what, sizeof(what), "spec of kind %s", kind_name(o->kind));
    r = fields_check(spec, body, what, hardware ? hardware_fields : fields);
    r = r ? r : field_word(spec, body, "privilege", privileges, 2, &kernel);
    to->privilege_kernel = kernel == 1;
    if (r || hardware) {
        return r ? r : device_parse(spec, body, to);
    }
    r = types_parse(spec, body, to);
    r = r ? r : provides_parse(spec, body, to);
    r = r ? r : calls_parse(spec, body, self, to);
    return r ? r : run_parse(spec, body, &to->run);
}
