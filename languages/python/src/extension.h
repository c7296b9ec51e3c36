/* extension.h - what the files of the _rhodes extension module share.
 *
 * The module is a thin, typed face of librhodes: it opens sessions, binds and serves functions, and
 * converts values. What is convenience (proxies, decorators, the classes of exceptions) is Python,
 * in the package around it. Only Python's limited API is used, so that one binary serves every
 * CPython from 3.11 on. Functions that return PyObject * return a new reference, or NULL with an
 * exception set; those that return int return 0, or -1 with an exception set. All of them need the
 * GIL. */
#ifndef EXTENSION_H
#define EXTENSION_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>

#include "rhodes/rhodes.h"

struct extension {              /* the module's state */
    PyObject *record;           /* class rhodes.Record */
    PyObject *error;            /* class rhodes.Error */
    PyObject *callee_failed;    /* class rhodes.CalleeFailed */
    PyObject *errors_by_number; /* dict: number of a verdict -> class */
    PyTypeObject *session_type, *function_type;
};

#define CALLS_IDLE_MAX 64

/* _rhodes.Session. `uses` counts threads inside librhodes; close waits until there are none,
 * because the handle dies with it. */
struct session {
    PyObject_HEAD struct extension *extension; /* owned by the module, which the type keeps alive */
    struct rhodes *rhodes;                     /* NULL once closed */
    PyObject *served;                          /* list of capsules of struct served */
    struct serving *serving;                   /* the running functions; guarded by the GIL */
    struct rhodes_call *idle[CALLS_IDLE_MAX];  /* calls to use again; guarded by the GIL */
    unsigned idle_count;
    bool started, closing;
    pthread_mutex_t lock; /* guards uses */
    pthread_cond_t unused;
    unsigned uses;
};

/* Enter before librhodes is used without the GIL, leave afterwards. ValueError once the session is
 * closed. */
int session_enter(struct session *s);
void session_leave(struct session *s);
PyObject *session_open(PyObject *module, PyObject *args, PyObject *keywords);

/* _rhodes.Function, a bound function. Keeps its session alive. */
PyObject *function_new(struct session *s, const char *resource, const char *name,
                       struct rhodes_function *f);

extern PyType_Spec session_spec, function_spec;

/* Raises what `result` stands for: the class of a verdict, or OSError for -errno. Keeps an
 * exception that is set already. `text` may be NULL or empty. */
PyObject *error_raise(const struct extension *e, int result, const char *text);
/* Takes the exception that is set and returns what the caller of a served function reads, as bytes
 * in UTF-8. */
PyObject *error_take_text(const struct extension *e);

/* Writes `value` as the next value of w. Errors name the place below `what`. */
int convert_put(struct rhodes_writer *w, const struct rhodes_type *type, PyObject *value,
                const char *what, const struct extension *e);
/* Reads the next value of r. */
PyObject *convert_get(struct rhodes_reader *r, const struct rhodes_type *type,
                      const struct extension *e);
/* "wait-ms" -> "wait_ms". */
PyObject *convert_name(const char *name);

#endif
