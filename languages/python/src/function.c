/* _rhodes.Function: a bound function of another resource, called like any Python function.
 *
 * The GIL is released while the call waits. An interpreter sees a signal only when it is asked, so
 * the wait asks it every 100 ms through rhodes_call_on_wait: ^C ends a call at once and not at its
 * deadline. Calls are kept in the session and used again, so that a call allocates nothing in
 * librhodes once it is warm. */
#include "extension.h"

#include <math.h>
#include <string.h>

struct function {
    PyObject_HEAD struct session *session;
    struct rhodes_function *function;
    PyObject *resource, *name;
};

PyObject *function_new(struct session *s, const char *resource, const char *name,
                       struct rhodes_function *f)
{
    struct function *self = PyObject_New(struct function, s->extension->function_type);
    if (!self) {
        return NULL;
    }
    self->session = (struct session *)Py_NewRef((PyObject *)s);
    self->function = f;
    self->resource = PyUnicode_FromString(resource);
    self->name = PyUnicode_FromString(name);
    if (!self->resource || !self->name) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void function_free(PyObject *object)
{
    struct function *self = (struct function *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->name);
    Py_XDECREF(self->resource);
    Py_DECREF((PyObject *)self->session);
    PyObject_Free(object);
    Py_DECREF(type);
}

/* Takes `timeout` out of the keywords: seconds, or None for what the link says (0). 1 ns stands for
 * "at once". */
static int take_timeout(PyObject *keywords, uint64_t *ret_ns)
{
    PyObject *timeout = keywords ? PyDict_GetItemString(keywords, "timeout") : NULL;
    *ret_ns = 0;
    if (!timeout || timeout == Py_None) {
        return 0;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds >= 0 && seconds <= 1e9)) {
        PyErr_Format(PyExc_ValueError, "timeout: expected 0 to 1e9 seconds, not %R", timeout);
        return -1;
    }
    *ret_ns = seconds < 1e-9 ? 1 : (uint64_t)(seconds * 1e9);
    return 0;
}

/* The argument for parameter i: by position, else by keyword. Borrowed. */
static PyObject *take_argument(struct function *f, const char *parameter, Py_ssize_t i,
                               PyObject *args, PyObject *keywords, Py_ssize_t *used)
{
    if (i < PyTuple_Size(args)) {
        return PyTuple_GetItem(args, i);
    }
    PyObject *snake =
        keywords && strcmp(parameter, "timeout") != 0 ? convert_name(parameter) : NULL;
    PyObject *found = snake ? PyDict_GetItemWithError(keywords, snake) : NULL;
    Py_XDECREF(snake);
    if (found) {
        (*used)++;
    } else if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "%U() lacks the argument '%s'; it is %s", f->name, parameter,
                     rhodes_function_signature(f->function));
    }
    return found;
}

static int put_arguments(struct function *f, struct rhodes_writer *w, PyObject *args,
                         PyObject *keywords)
{
    const struct rhodes_type *parameters = rhodes_function_parameters(f->function);
    Py_ssize_t count = (Py_ssize_t)rhodes_type_count(parameters);
    Py_ssize_t used = PyTuple_Size(args);
    if (used > count) {
        PyErr_Format(PyExc_TypeError, "%U() takes %zd arguments, not %zd; it is %s", f->name, count,
                     used, rhodes_function_signature(f->function));
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *name = rhodes_type_name(parameters, (uint32_t)i);
        PyObject *value = take_argument(f, name, i, args, keywords, &used);
        if (!value) {
            return -1;
        }
        Py_INCREF(value);
        struct session *s = f->session;
        char what[96];
        PyOS_snprintf(what, sizeof(what), "argument %.64s", name);
        int r =
            convert_put(w, rhodes_type_member(parameters, (uint32_t)i), value, what, s->extension);
        Py_DECREF(value);
        if (r < 0) {
            return -1;
        }
    }
    Py_ssize_t given = PyTuple_Size(args) + (keywords ? PyDict_Size(keywords) : 0);
    if (keywords && PyDict_GetItemString(keywords, "timeout")) {
        given--;
    }
    if (given != used) {
        PyErr_Format(PyExc_TypeError,
                     "%U() got a keyword that it does not take, or one twice; it is %s", f->name,
                     rhodes_function_signature(f->function));
        return -1;
    }
    return 0;
}

/* Asked by the waiting thread, which has given the GIL away. */
static bool on_wait(void *data)
{
    PyThreadState **state = data;
    PyEval_RestoreThread(*state);
    bool give_up = PyErr_CheckSignals() < 0;
    *state = PyEval_SaveThread();
    return give_up;
}

static PyObject *take_result(struct function *f, struct rhodes_call *call, int result)
{
    const struct extension *e = f->session->extension;
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (result) {
        return error_raise(e, result, rhodes_call_error(call));
    }
    const struct rhodes_type *type = rhodes_function_result(f->function);
    struct rhodes_reader *reader = rhodes_call_result(call);
    if (!type || !reader) {
        Py_RETURN_NONE;
    }
    return convert_get(reader, type, e);
}

static PyObject *call_run(struct function *f, struct rhodes_call *call, PyObject *args,
                          PyObject *keywords)
{
    uint64_t timeout_ns;
    if (take_timeout(keywords, &timeout_ns) < 0 ||
        put_arguments(f, rhodes_call_begin(call, f->function), args, keywords) < 0) {
        return NULL;
    }
    PyThreadState *state = PyEval_SaveThread();
    rhodes_call_on_wait(call, on_wait, &state);
    int result = rhodes_call_run(call, timeout_ns);
    rhodes_call_on_wait(call, NULL, NULL);
    PyEval_RestoreThread(state);
    return take_result(f, call, result);
}

static PyObject *function_call(PyObject *object, PyObject *args, PyObject *keywords)
{
    struct function *f = (struct function *)object;
    struct session *s = f->session;
    if (session_enter(s) < 0) {
        return NULL;
    }
    struct rhodes_call *call = NULL;
    int r = 0;
    if (s->idle_count > 0) {
        call = s->idle[--s->idle_count];
    } else {
        r = rhodes_call_new(s->rhodes, &call);
    }
    PyObject *result = r ? error_raise(s->extension, r, NULL) : call_run(f, call, args, keywords);
    if (call && s->idle_count < CALLS_IDLE_MAX) {
        s->idle[s->idle_count++] = call;
    } else {
        rhodes_call_free(call);
    }
    session_leave(s);
    return result;
}

static PyObject *function_get_signature(PyObject *object, void *unused)
{
    struct function *f = (struct function *)object;
    if (session_enter(f->session) < 0) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromString(rhodes_function_signature(f->function));
    session_leave(f->session);
    return text;
}

static PyObject *function_get_name(PyObject *object, void *unused)
{
    return Py_NewRef(((struct function *)object)->name);
}

static PyObject *function_get_resource(PyObject *object, void *unused)
{
    return Py_NewRef(((struct function *)object)->resource);
}

static PyObject *function_repr(PyObject *object)
{
    struct function *f = (struct function *)object;
    return PyUnicode_FromFormat("<rhodes.Function %U of %U>", f->name, f->resource);
}

static PyGetSetDef function_members[] = {
    { "signature", function_get_signature, NULL, "The function's type in WIT, with its name.",
      NULL },
    { "name", function_get_name, NULL, "The function's name, as its resource provides it.", NULL },
    { "resource", function_get_resource, NULL, "The resource that provides it: 'service/tcp'.",
      NULL },
    { 0 },
};

static PyType_Slot function_slots[] = {
    { Py_tp_doc,
      "A bound function of another resource. Call it; timeout=SECONDS sets the call's deadline." },
    { Py_tp_dealloc, function_free },
    { Py_tp_call, function_call },
    { Py_tp_repr, function_repr },
    { Py_tp_getset, function_members },
    { 0, NULL },
};

PyType_Spec function_spec = {
    .name = "rhodes.Function",
    .basicsize = sizeof(struct function),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = function_slots,
};
