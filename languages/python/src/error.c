/* Results of librhodes as Python exceptions, and exceptions of served functions as the text that
 * their callers read.
 *
 * A verdict (the rules said no) becomes the class of its name below rhodes.Error; a failure of the
 * machine becomes OSError, whose constructor picks ConnectionResetError and its like by errno, so
 * Python programs handle them as they always do. */
#include "extension.h"

#include <string.h>

#define TEXT_CHARACTERS_MAX 500

static PyObject *text_object(int result, const char *text)
{
    if (!text || !*text) {
        text = rhodes_result_sentence(result);
    }
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

PyObject *error_raise(const struct extension *e, int result, const char *text)
{
    if (PyErr_Occurred()) {
        return NULL;
    }
    PyObject *sentence = text_object(result, text);
    if (!sentence) {
        return NULL;
    }
    if (result < 0) {
        PyObject *arguments = Py_BuildValue("iO", -result, sentence);
        if (arguments) {
            PyErr_SetObject(PyExc_OSError, arguments);
            Py_DECREF(arguments);
        }
    } else {
        PyObject *number = PyLong_FromLong(result);
        PyObject *class = number ? PyDict_GetItemWithError(e->errors_by_number, number) : NULL;
        if (!PyErr_Occurred()) {
            PyErr_SetObject(class ? class : e->error, sentence);
        }
        Py_XDECREF(number);
    }
    Py_DECREF(sentence);
    return NULL;
}

/* "ValueError: text", or the text alone for a CalleeFailed that the function raised to say just
 * that. */
static PyObject *describe(const struct extension *e, PyObject *type, PyObject *value)
{
    PyObject *text = value ? PyObject_Str(value) : PyUnicode_FromString("");
    if (!text || PyObject_IsSubclass(type, e->callee_failed) == 1) {
        return text;
    }
    PyObject *name = PyType_GetName((PyTypeObject *)type);
    PyObject *whole = NULL;
    if (name) {
        whole = PyUnicode_FromFormat(PyUnicode_GetLength(text) > 0 ? "%U: %U" : "%U", name, text);
    }
    Py_XDECREF(name);
    Py_DECREF(text);
    return whole;
}

PyObject *error_take_text(const struct extension *e)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *text = type ? describe(e, type, value) : NULL;
    PyObject *part = text ? PyUnicode_Substring(text, 0, TEXT_CHARACTERS_MAX) : NULL;
    PyObject *utf8 = part ? PyUnicode_AsEncodedString(part, "utf-8", "backslashreplace") : NULL;
    PyErr_Clear();
    Py_XDECREF(part);
    Py_XDECREF(text);
    Py_XDECREF(traceback);
    Py_XDECREF(value);
    Py_XDECREF(type);
    return utf8;
}
