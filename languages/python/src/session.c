/* _rhodes.Session: this program's session with its agent, and the functions that it serves.
 *
 * Life: open -> (serve*, start)? -> closed. Librhodes frees everything at its close, so close first
 * refuses new uses, then waits for the threads inside (`uses`), and only then closes; a served
 * function that wants to close its own session would wait for itself and is refused. Once started,
 * the session holds a reference to itself: its serving threads may come at any moment, and letting
 * it die by reference count on one of them would be the same wait. */
#include "extension.h"

#include <signal.h>

/* One served function; owned by a capsule in session.served, which lives until the session is
 * closed. */
struct served {
    struct session *session;
    PyObject *callable;
};

/* A served function that is running now, on the stack of its thread. */
struct serving {
    struct serving *next;
    unsigned long thread;
};

int session_enter(struct session *s)
{
    if (s->closing || !s->rhodes) {
        PyErr_SetString(PyExc_ValueError, "the session is closed");
        return -1;
    }
    pthread_mutex_lock(&s->lock);
    s->uses++;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

void session_leave(struct session *s)
{
    pthread_mutex_lock(&s->lock);
    if (--s->uses == 0) {
        pthread_cond_broadcast(&s->unused);
    }
    pthread_mutex_unlock(&s->lock);
}

static void session_wait_unused(struct session *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->uses > 0) {
        pthread_cond_wait(&s->unused, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Threads that librhodes starts inherit this mask: Python's handlers then run on the main thread,
 * which looks for them. */
static void signals_block(sigset_t *ret_before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, ret_before);
}

static struct session *session_new(struct extension *e)
{
    struct session *s = PyObject_GC_New(struct session, e->session_type);
    if (!s) {
        return NULL;
    }
    s->extension = e;
    s->rhodes = NULL;
    s->serving = NULL;
    s->idle_count = 0;
    s->started = s->closing = false;
    s->uses = 0;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->unused, NULL);
    s->served = PyList_New(0);
    PyObject_GC_Track((PyObject *)s);
    if (!s->served) {
        Py_DECREF((PyObject *)s);
        return NULL;
    }
    return s;
}

PyObject *session_open(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = { "resource", "agent", "operator", "timeout_ns", NULL };
    struct rhodes_options o = { .size = sizeof(o) };
    int as_operator = 0;
    unsigned long long timeout_ns = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|zzpK:open", names, &o.resource, &o.agent,
                                     &as_operator, &timeout_ns)) {
        return NULL;
    }
    o.flags = as_operator ? RHODES_OPEN_OPERATOR : 0;
    o.timeout_ns = timeout_ns;
    struct extension *e = PyModule_GetState(module);
    struct session *s = session_new(e);
    if (!s) {
        return NULL;
    }
    int r;
    Py_BEGIN_ALLOW_THREADS sigset_t before;
    signals_block(&before);
    r = rhodes_open(&o, &s->rhodes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    Py_END_ALLOW_THREADS if (r)
    {
        s->rhodes = NULL;
        Py_DECREF((PyObject *)s);
        return error_raise(e, r, rhodes_open_error());
    }
    return (PyObject *)s;
}

static PyObject *session_bind(PyObject *object, PyObject *args)
{
    struct session *s = (struct session *)object;
    const char *resource, *name, *signature, *types;
    if (!PyArg_ParseTuple(args, "sszz:bind", &resource, &name, &signature, &types) ||
        session_enter(s) < 0) {
        return NULL;
    }
    struct rhodes_function *f = NULL;
    int r;
    Py_BEGIN_ALLOW_THREADS r = rhodes_bind(s->rhodes, resource, name, signature, types, &f);
    Py_END_ALLOW_THREADS PyObject *result =
        r ? error_raise(s->extension, r, rhodes_bind_error(s->rhodes))
          : function_new(s, resource, name, f);
    session_leave(s);
    return result;
}

static PyObject *take_arguments(struct rhodes_reader *reader, const struct extension *e)
{
    PyObject *list = PyList_New(0);
    const struct rhodes_type *type;
    while (list && (type = rhodes_get_next(reader))) {
        PyObject *value = convert_get(reader, type, e);
        if (!value || PyList_Append(list, value) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(value);
    }
    PyObject *arguments = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return arguments;
}

static int serve_one(struct served *f, struct rhodes_reader *reader, struct rhodes_writer *writer)
{
    const struct extension *e = f->session->extension;
    PyObject *arguments = take_arguments(reader, e);
    PyObject *value = arguments ? PyObject_Call(f->callable, arguments, NULL) : NULL;
    Py_XDECREF(arguments);
    int r = value ? 0 : -1;
    if (value && writer) {
        r = convert_put(writer, rhodes_put_next(writer), value, "result", e);
    }
    Py_XDECREF(value);
    return r;
}

/* Runs on a serving thread of librhodes. */
static int on_request(struct rhodes_request *request, struct rhodes_reader *reader,
                      struct rhodes_writer *writer, void *data)
{
    struct served *f = data;
    struct session *s = f->session;
    PyGILState_STATE state = PyGILState_Ensure();
    struct serving self = { .next = s->serving, .thread = PyThread_get_thread_ident() };
    s->serving = &self;
    int r = serve_one(f, reader, writer);
    if (r < 0) {
        PyObject *text = error_take_text(s->extension);
        const char *utf8 = text ? PyBytes_AsString(text) : "no memory";
        r = rhodes_request_fail(request, RHODES_CALLEE_FAILED, "%s", utf8);
        Py_XDECREF(text);
    }
    for (struct serving **at = &s->serving; *at; at = &(*at)->next) {
        if (*at == &self) {
            *at = self.next;
            break;
        }
    }
    PyGILState_Release(state);
    return r;
}

static void served_free(PyObject *capsule)
{
    struct served *f = PyCapsule_GetPointer(capsule, NULL);
    Py_DECREF(f->callable);
    PyMem_Free(f);
}

/* Adds the callable to session.served, which keeps it until the session is closed. */
static struct served *served_new(struct session *s, PyObject *callable)
{
    struct served *f = PyMem_Malloc(sizeof(*f));
    if (!f) {
        PyErr_NoMemory();
        return NULL;
    }
    *f = (struct served){ .session = s, .callable = callable };
    PyObject *capsule = PyCapsule_New(f, NULL, served_free);
    if (!capsule) {
        PyMem_Free(f);
        return NULL;
    }
    Py_INCREF(callable);
    int r = PyList_Append(s->served, capsule);
    Py_DECREF(capsule);
    return r < 0 ? NULL : f;
}

static PyObject *session_serve(PyObject *object, PyObject *args)
{
    struct session *s = (struct session *)object;
    const char *signature, *types;
    PyObject *callable;
    if (!PyArg_ParseTuple(args, "szO:serve", &signature, &types, &callable)) {
        return NULL;
    }
    if (!PyCallable_Check(callable)) {
        PyErr_SetString(PyExc_TypeError, "serve: expected a callable");
        return NULL;
    }
    if (s->started) {
        PyErr_SetString(PyExc_RuntimeError,
                        "serve: the session serves already; name all functions before start");
        return NULL;
    }
    if (session_enter(s) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    struct served *f = served_new(s, callable);
    if (f) {
        int r;
        Py_BEGIN_ALLOW_THREADS r = rhodes_serve(s->rhodes, signature, types, on_request, f);
        Py_END_ALLOW_THREADS result =
            r ? error_raise(s->extension, r, rhodes_bind_error(s->rhodes)) : Py_NewRef(Py_None);
    }
    session_leave(s);
    return result;
}

static PyObject *session_start(PyObject *object, PyObject *args)
{
    struct session *s = (struct session *)object;
    int threads;
    if (!PyArg_ParseTuple(args, "i:start", &threads)) {
        return NULL;
    }
    if (threads < 1 || threads > 64) {
        PyErr_Format(PyExc_ValueError, "threads: expected 1 to 64, not %d", threads);
        return NULL;
    }
    if (s->started) {
        PyErr_SetString(PyExc_RuntimeError, "start: the session serves already");
        return NULL;
    }
    if (session_enter(s) < 0) {
        return NULL;
    }
    s->started = true;
    Py_INCREF(object);
    int r;
    Py_BEGIN_ALLOW_THREADS sigset_t before;
    signals_block(&before);
    r = rhodes_serve_start(s->rhodes, (unsigned)threads);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    Py_END_ALLOW_THREADS session_leave(s);
    if (r) {
        s->started = false;
        error_raise(s->extension, r, rhodes_bind_error(s->rhodes));
        Py_DECREF(object);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *session_wait(PyObject *object, PyObject *unused)
{
    struct session *s = (struct session *)object;
    if (session_enter(s) < 0) {
        return NULL;
    }
    int r;
    Py_BEGIN_ALLOW_THREADS r = rhodes_serve_wait(s->rhodes);
    Py_END_ALLOW_THREADS session_leave(s);
    if (r) {
        return error_raise(s->extension, r, NULL);
    }
    Py_RETURN_NONE;
}

static PyObject *session_stop(PyObject *object, PyObject *unused)
{
    struct session *s = (struct session *)object;
    if (s->rhodes && !s->closing) {
        rhodes_serve_stop(s->rhodes);
    }
    Py_RETURN_NONE;
}

/* The second half of close: nobody is inside, and nobody comes any more. */
static void session_end(struct session *s)
{
    struct rhodes *r = s->rhodes;
    Py_BEGIN_ALLOW_THREADS rhodes_serve_stop(r);
    session_wait_unused(s);
    Py_END_ALLOW_THREADS while (s->idle_count > 0)
    {
        rhodes_call_free(s->idle[--s->idle_count]);
    }
    Py_BEGIN_ALLOW_THREADS rhodes_close(r);
    Py_END_ALLOW_THREADS s->rhodes = NULL;
}

static PyObject *session_close(PyObject *object, PyObject *unused)
{
    struct session *s = (struct session *)object;
    for (const struct serving *at = s->serving; at; at = at->next) {
        if (at->thread == PyThread_get_thread_ident()) {
            PyErr_SetString(PyExc_RuntimeError,
                            "close: a served function cannot close its own session; use stop()");
            return NULL;
        }
    }
    if (!s->rhodes || s->closing) {
        Py_RETURN_NONE;
    }
    s->closing = true;
    session_end(s);
    PyList_SetSlice(s->served, 0, PyList_Size(s->served), NULL);
    if (s->started) {
        Py_DECREF(object);
    }
    Py_RETURN_NONE;
}

static int session_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct session *s = (struct session *)object;
    Py_VISIT((PyObject *)Py_TYPE(object));
    Py_VISIT(s->served);
    return 0;
}

static void session_free(PyObject *object)
{
    struct session *s = (struct session *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (s->rhodes) {
        session_end(s);
    }
    Py_XDECREF(s->served);
    pthread_cond_destroy(&s->unused);
    pthread_mutex_destroy(&s->lock);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyObject *session_get_resource(PyObject *object, void *unused)
{
    struct session *s = (struct session *)object;
    if (session_enter(s) < 0) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromString(rhodes_resource(s->rhodes));
    session_leave(s);
    return text;
}

static PyObject *session_get_closed(PyObject *object, void *unused)
{
    struct session *s = (struct session *)object;
    return PyBool_FromLong(!s->rhodes || s->closing);
}

static PyMethodDef session_methods[] = {
    { "bind", session_bind, METH_VARARGS, "bind(resource, name, signature, types) -> Function" },
    { "serve", session_serve, METH_VARARGS, "serve(signature, types, callable)" },
    { "start", session_start, METH_VARARGS,
      "start(threads): serve on that many threads; returns at once" },
    { "wait", session_wait, METH_NOARGS, "wait(): until stop() or until the agent says stop" },
    { "stop", session_stop, METH_NOARGS, "stop(): ends wait(); from any thread" },
    { "close", session_close, METH_NOARGS,
      "close(): stops, waits for calls and served functions, and ends" },
    { 0 },
};

static PyGetSetDef session_members[] = {
    { "resource", session_get_resource, NULL, "What this program is: 'application/httpclient'.",
      NULL },
    { "closed", session_get_closed, NULL, "True once close() was called.", NULL },
    { 0 },
};

static PyType_Slot session_slots[] = {
    { Py_tp_doc, "This program's session with its agent; see rhodes.Session." },
    { Py_tp_dealloc, session_free },
    { Py_tp_traverse, session_traverse },
    { Py_tp_methods, session_methods },
    { Py_tp_getset, session_members },
    { 0, NULL },
};

PyType_Spec session_spec = {
    .name = "_rhodes.Session",
    .basicsize = sizeof(struct session),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = session_slots,
};
