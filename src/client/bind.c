/* Functions of other resources. What a function is (name, types) is fixed when it is first bound;
 * where it stands at the agent (the binding's number) belongs to one epoch and is asked again by
 * whoever calls it in the next. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "client/client.h"

struct binding {
    uint32_t number;
    uint64_t function, timeout_ns;
    char signature[WIT_TEXT_BYTES_MAX + 1];
};

static int bind_ask(struct rhodes *r, const char *const text[3], uint64_t epoch,
                    uint64_t deadline_ns, struct binding *ret)
{
    struct session_message *m = session_begin(r, SESSION_BIND, deadline_ns);
    int result;

    ret->function = 0; /* nobody's */
    if (!m) {
        return error_say(RHODES_TIMEOUT, "other requests to the agent of %s did not end in time",
                         r->resource);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(m->text[i], sizeof(m->text[i]), "%s", text[i]);
    }
    result = session_ask(r, epoch, NULL, deadline_ns);
    if (!result) {
        ret->number = (uint32_t)r->answer.number[0];
        ret->function = r->answer.number[1];
        ret->timeout_ns = r->answer.number[2];
        snprintf(ret->signature, sizeof(ret->signature), "%s", r->answer.text[0]);
    }
    session_end(r);
    return result;
}

int function_bind(struct rhodes_function *f, uint64_t epoch, uint64_t deadline_ns)
{
    const char *const text[3] = { f->resource, f->type->signature, "" };
    struct binding b;
    int result;

    if (atomic_load_explicit(&f->epoch, memory_order_acquire) == epoch) {
        return 0;
    }
    result = bind_ask(f->rhodes, text, epoch, deadline_ns, &b);
    if (!result && b.function != f->type->id) {
        result = error_say(RHODES_TYPE_MISMATCH, "%s of %s has other types now", f->type->name,
                           f->resource);
    }
    if (!result) {
        atomic_store(&f->binding, b.number);
        atomic_store_explicit(&f->epoch, epoch, memory_order_release);
    }
    return result;
}

static int texts_check(const char *resource, const char *name, const char *signature,
                       const char *types)
{
    if (strlen(resource) >= RESOURCE_ID_BYTES_MAX) {
        return error_say(RHODES_INVALID, "'%.100s...' is not the id of a resource", resource);
    }
    if ((signature && strlen(signature) > WIT_TEXT_BYTES_MAX) ||
        strlen(name) > WIT_TEXT_BYTES_MAX || (types && strlen(types) > WIT_TEXT_BYTES_MAX)) {
        return error_say(RHODES_OVER_LIMIT, "the signature or the types are longer than %d bytes",
                         WIT_TEXT_BYTES_MAX);
    }
    return 0;
}

/* What the caller expects must be a function of that name; NULL when it expects nothing. */
static int signature_check(const char *name, const char *signature, const char *types)
{
    struct wit_function *type;
    struct wit_error error;
    int result;

    if (!signature) {
        return 0;
    }
    result = wit_function_parse(signature, types, &type, &error);
    if (result) {
        return error_say(result, "%s, line %u, column %u", error.message, error.line, error.column);
    }
    if (strcmp(type->name, name) != 0) {
        result =
            error_say(RHODES_INVALID, "the signature is of '%s', not of '%s'", type->name, name);
    }
    wit_function_unref(type);
    return result;
}

/* Makes the function from what the agent answered. The signature comes from another process: it is
 * parsed like any other text. */
static int function_make(struct rhodes *r, const char *resource, const struct binding *b,
                         uint64_t epoch, struct rhodes_function **ret)
{
    struct rhodes_function *f = calloc(1, sizeof(*f));
    struct wit_error error;
    int result;

    if (!f) {
        return error_say(-ENOMEM, "out of memory");
    }
    result = wit_function_parse(b->signature, NULL, &f->type, &error);
    if (result || f->type->id != b->function) {
        wit_function_unref(f->type);
        free(f);
        return error_say(RHODES_GARBAGE, "the agent of %s answered with a signature that is none",
                         r->resource);
    }
    f->rhodes = r;
    f->timeout_ns = b->timeout_ns ? b->timeout_ns : CLIENT_TIMEOUT_NS;
    snprintf(f->resource, sizeof(f->resource), "%s", resource);
    atomic_store(&f->binding, b->number);
    atomic_store(&f->epoch, epoch);
    pthread_mutex_lock(&r->lock);
    f->next = r->functions;
    r->functions = f;
    pthread_mutex_unlock(&r->lock);
    *ret = f;
    return 0;
}

int rhodes_bind(struct rhodes *r, const char *resource, const char *name, const char *signature,
                const char *types, struct rhodes_function **ret)
{
    const char *const text[3] = { resource, signature ? signature : name, types ? types : "" };
    uint64_t deadline = clock_ns() + CLIENT_TIMEOUT_NS, epoch;
    struct binding b;
    int result;

    if (!own_process(r)) {
        return fork_refused();
    }
    result = texts_check(resource, name, signature, types);
    result = result ? result : signature_check(name, signature, types);
    if (result) {
        return result;
    }
    do {
        result = session_wait(r, deadline, NULL, &epoch);
        if (result) {
            return result;
        }
        result = bind_ask(r, text, epoch, deadline, &b);
    } while (result == -ECANCELED); /* the agent died: ask its successor */
    return result ? result : function_make(r, resource, &b, epoch, ret);
}

const char *rhodes_function_signature(const struct rhodes_function *f)
{
    return f->type->signature;
}

const struct rhodes_type *rhodes_function_parameters(const struct rhodes_function *f)
{
    return (const struct rhodes_type *)f->type->parameters;
}

const struct rhodes_type *rhodes_function_result(const struct rhodes_function *f)
{
    return (const struct rhodes_type *)f->type->result;
}

void functions_free(struct rhodes *r)
{
    while (r->functions) {
        struct rhodes_function *f = r->functions;

        r->functions = f->next;
        wit_function_unref(f->type);
        free(f);
    }
}
