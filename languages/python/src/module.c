/* The _rhodes module: its state, which ties the C types to the Python classes of the package around
 * it. */
#include "extension.h"

static int import_into(PyObject **ret, const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    *ret = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return *ret ? 0 : -1;
}

static int module_exec(PyObject *module)
{
    struct extension *e = PyModule_GetState(module);
    e->session_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &session_spec, NULL);
    e->function_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &function_spec, NULL);
    if (!e->session_type || !e->function_type ||
        import_into(&e->record, "rhodes._record", "Record") < 0 ||
        import_into(&e->error, "rhodes._verdicts", "Error") < 0 ||
        import_into(&e->callee_failed, "rhodes._verdicts", "CalleeFailed") < 0 ||
        import_into(&e->errors_by_number, "rhodes._verdicts", "BY_NUMBER") < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "Session", (PyObject *)e->session_type) < 0 ||
                   PyModule_AddObjectRef(module, "Function", (PyObject *)e->function_type) < 0
               ? -1
               : 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct extension *e = PyModule_GetState(module);
    Py_VISIT(e->record);
    Py_VISIT(e->error);
    Py_VISIT(e->callee_failed);
    Py_VISIT(e->errors_by_number);
    Py_VISIT((PyObject *)e->session_type);
    Py_VISIT((PyObject *)e->function_type);
    return 0;
}

static PyMethodDef module_functions[] = {
    { "open", (PyCFunction)(void (*)(void))session_open, METH_VARARGS | METH_KEYWORDS,
      "open(resource=None, agent=None, operator=False, timeout_ns=0) -> Session" },
    { 0 },
};

static PyModuleDef_Slot module_slots[] = {
    { Py_mod_exec, module_exec },
    { 0, NULL },
};

/* The state is never cleared: a session may outlive the module's dictionary, and it looks at the
 * state until it is closed. */
static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_rhodes",
    .m_doc = "Rhodes for Python: sessions, bound and served functions. Use the package rhodes.",
    .m_size = sizeof(struct extension),
    .m_methods = module_functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
};

PyMODINIT_FUNC PyInit__rhodes(void);

PyMODINIT_FUNC PyInit__rhodes(void)
{
    return PyModuleDef_Init(&module_def);
}
