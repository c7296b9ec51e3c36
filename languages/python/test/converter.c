/* rhodes_converter, a module for tests only: Python values through a real writer, a body of bytes
 * and a real reader, without any process around them. through() shows that both directions agree;
 * read() shows what hostile bytes do. */
#include "../src/extension.h"

#include "wire/value.h"

static int state_fill(struct extension *e)
{
    PyObject *record = PyImport_ImportModule("rhodes._record");
    PyObject *verdicts = PyImport_ImportModule("rhodes._verdicts");
    if (!record || !verdicts) {
        return -1;
    }
    e->record = PyObject_GetAttrString(record, "Record");
    e->error = PyObject_GetAttrString(verdicts, "Error");
    e->callee_failed = PyObject_GetAttrString(verdicts, "CalleeFailed");
    e->errors_by_number = PyObject_GetAttrString(verdicts, "BY_NUMBER");
    Py_DECREF(record);
    Py_DECREF(verdicts);
    return e->record && e->error && e->callee_failed && e->errors_by_number ? 0 : -1;
}

static struct wit_function *parse(const char *signature, const char *types)
{
    struct wit_function *f = NULL;
    struct wit_error error = { 0 };
    if (wit_function_parse(signature, types, &f, &error)) {
        PyErr_Format(PyExc_SyntaxError, "%s", error.message);
    }
    return f;
}

static PyObject *read_body(const struct wit_function *f, const void *body, size_t bytes,
                           const struct extension *e)
{
    struct rhodes_reader *reader = NULL;
    int r = value_reader_new(&reader);
    r = r ? r : value_reader_reset(reader, f->parameters, body, bytes);
    PyObject *value = r ? error_raise(e, r, NULL) : convert_get(reader, rhodes_get_next(reader), e);
    value_reader_free(reader);
    return value;
}

/* through("f: func(a: u8)", None, {"a": 1}) -> Record(a=1) */
static PyObject *through(PyObject *module, PyObject *args)
{
    const char *signature, *types;
    PyObject *value;
    if (!PyArg_ParseTuple(args, "szO", &signature, &types, &value)) {
        return NULL;
    }
    const struct extension *e = PyModule_GetState(module);
    struct wit_function *f = parse(signature, types);
    struct rhodes_writer *writer = NULL;
    PyObject *back = NULL;
    const void *body;
    size_t bytes;
    int r = f ? value_writer_new(f->parameters, 1u << 20, &writer) : 0;
    if (f && !r && convert_put(writer, rhodes_put_next(writer), value, "argument", e) == 0) {
        r = value_writer_body(writer, &body, &bytes);
        back = r ? NULL : read_body(f, body, bytes, e);
    }
    if (r) {
        error_raise(e, r, NULL);
    }
    value_writer_free(writer);
    wit_function_unref(f);
    return back;
}

/* read("f: func(a: u8)", None, b"\1") -> Record(a=1) */
static PyObject *read_bytes(PyObject *module, PyObject *args)
{
    const char *signature, *types, *body;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "szy#", &signature, &types, &body, &bytes)) {
        return NULL;
    }
    struct wit_function *f = parse(signature, types);
    PyObject *value = f ? read_body(f, body, (size_t)bytes, PyModule_GetState(module)) : NULL;
    wit_function_unref(f);
    return value;
}

static PyMethodDef functions[] = {
    { "through", through, METH_VARARGS, NULL },
    { "read", read_bytes, METH_VARARGS, NULL },
    { 0 },
};

static int module_exec(PyObject *module)
{
    return state_fill(PyModule_GetState(module));
}

static PyModuleDef_Slot slots[] = { { Py_mod_exec, module_exec }, { 0, NULL } };

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "rhodes_converter",
    .m_size = sizeof(struct extension),
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_rhodes_converter(void);

PyMODINIT_FUNC PyInit_rhodes_converter(void)
{
    return PyModuleDef_Init(&module_def);
}
