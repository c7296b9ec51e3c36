/* Python objects to typed values and back, by walking the type that librhodes gives.
 *
 * Nothing is guessed: an int must fit its width, a list is a sequence and never a text, and an enum
 * is the name of one of its cases; so a wrong argument is refused here, with its place ("argument
 * to.ports[2]"), and not at the other end of a call. Recursion is bounded by the type's depth,
 * which the parser of types limits to 16, never by the value's. */
#include "extension.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Where in the value we are, for messages: a list from the innermost place outwards, on the stack.
 */
struct place {
    const struct place *up;
    const char *name; /* a member; NULL: element `index` */
    Py_ssize_t index;
};

struct putter {
    struct rhodes_writer *writer;
    const struct extension *extension;
};

static const char *const kind_names[] = {
    [RHODES_BOOL] = "bool",     [RHODES_U8] = "u8",         [RHODES_U16] = "u16",
    [RHODES_U32] = "u32",       [RHODES_U64] = "u64",       [RHODES_S8] = "s8",
    [RHODES_S16] = "s16",       [RHODES_S32] = "s32",       [RHODES_S64] = "s64",
    [RHODES_F32] = "f32",       [RHODES_F64] = "f64",       [RHODES_CHAR] = "char",
    [RHODES_STRING] = "string", [RHODES_LIST] = "list",     [RHODES_RECORD] = "record",
    [RHODES_TUPLE] = "tuple",   [RHODES_OPTION] = "option", [RHODES_ENUM] = "enum",
};

static PyObject *place_text(const struct place *p)
{
    if (!p->up) {
        return PyUnicode_FromString(p->name);
    }
    PyObject *up = place_text(p->up);
    PyObject *text = NULL;
    if (up && p->name) {
        text = PyUnicode_FromFormat(p->up->up ? "%U.%s" : "%U %s", up, p->name);
    } else if (up) {
        text = PyUnicode_FromFormat("%U[%zd]", up, p->index);
    }
    Py_XDECREF(up);
    return text;
}

/* Raises `class` with "PLACE: what was expected, not VALUE". */
static int refuse(const struct place *p, PyObject *class, const char *expected, PyObject *value)
{
    PyErr_Clear();
    PyObject *where = place_text(p);
    if (where) {
        PyErr_Format(class, "%U: %s, not %.80R", where, expected, value);
        Py_DECREF(where);
    }
    return -1;
}

static int put_result(const struct putter *q, const struct place *p, int result)
{
    if (result == 0) {
        return 0;
    }
    PyObject *where = place_text(p);
    if (where) {
        PyObject *text = PyUnicode_FromFormat("%U: %s", where, rhodes_result_sentence(result));
        const char *utf8 = text ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
        if (utf8 && result == RHODES_INVALID) {
            PyErr_SetString(PyExc_ValueError, utf8);
        } else if (utf8) {
            error_raise(q->extension, result, utf8);
        }
        Py_XDECREF(text);
        Py_DECREF(where);
    }
    return -1;
}

/* Takes an integer between min and max (as s64; max as u64) out of `value`; *ret holds its two's
 * complement. */
static int take_integer(const struct place *p, PyObject *value, enum rhodes_kind kind, int64_t min,
                        uint64_t max, uint64_t *ret)
{
    PyObject *index = PyNumber_Index(value);
    if (!index) {
        char expected[32];
        PyOS_snprintf(expected, sizeof(expected), "expected an int (%s)", kind_names[kind]);
        return PyErr_ExceptionMatches(PyExc_TypeError) ? refuse(p, PyExc_TypeError, expected, value)
                                                       : -1;
    }
    int overflow = 0;
    long long narrow = PyLong_AsLongLongAndOverflow(index, &overflow);
    bool fits = !overflow && narrow >= min && (narrow < 0 || (uint64_t)narrow <= max);
    *ret = (uint64_t)narrow;
    if (overflow > 0 && max == UINT64_MAX) {
        *ret = PyLong_AsUnsignedLongLong(index);
        fits = !PyErr_Occurred();
    }
    Py_DECREF(index);
    if (fits) {
        return 0;
    }
    char expected[80];
    PyOS_snprintf(expected, sizeof(expected), "%s is %lld to %llu", kind_names[kind],
                  (long long)min, (unsigned long long)max);
    return refuse(p, PyExc_OverflowError, expected, value);
}

static int put_integer(const struct putter *q, const struct place *p, enum rhodes_kind kind,
                       PyObject *value)
{
    static const struct {
        int64_t min;
        uint64_t max;
    } ranges[] = {
        [RHODES_U8] = { 0, UINT8_MAX },          [RHODES_U16] = { 0, UINT16_MAX },
        [RHODES_U32] = { 0, UINT32_MAX },        [RHODES_U64] = { 0, UINT64_MAX },
        [RHODES_S8] = { INT8_MIN, INT8_MAX },    [RHODES_S16] = { INT16_MIN, INT16_MAX },
        [RHODES_S32] = { INT32_MIN, INT32_MAX }, [RHODES_S64] = { INT64_MIN, INT64_MAX },
    };
    uint64_t v;
    if (take_integer(p, value, kind, ranges[kind].min, ranges[kind].max, &v) < 0) {
        return -1;
    }
    struct rhodes_writer *w = q->writer;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum" /* the caller sends integers only */
    switch (kind) {
    case RHODES_U8:
        return put_result(q, p, rhodes_put_u8(w, (uint8_t)v));
    case RHODES_U16:
        return put_result(q, p, rhodes_put_u16(w, (uint16_t)v));
    case RHODES_U32:
        return put_result(q, p, rhodes_put_u32(w, (uint32_t)v));
    case RHODES_U64:
        return put_result(q, p, rhodes_put_u64(w, v));
    case RHODES_S8:
        return put_result(q, p, rhodes_put_s8(w, (int8_t)(int64_t)v));
    case RHODES_S16:
        return put_result(q, p, rhodes_put_s16(w, (int16_t)(int64_t)v));
    case RHODES_S32:
        return put_result(q, p, rhodes_put_s32(w, (int32_t)(int64_t)v));
    default:
        return put_result(q, p, rhodes_put_s64(w, (int64_t)v));
    }
#pragma GCC diagnostic pop
}

static int put_bool(const struct putter *q, const struct place *p, PyObject *value)
{
    if (value != Py_True && value != Py_False) {
        return refuse(p, PyExc_TypeError, "expected True or False", value);
    }
    return put_result(q, p, rhodes_put_bool(q->writer, value == Py_True));
}

static int put_float(const struct putter *q, const struct place *p, enum rhodes_kind kind,
                     PyObject *value)
{
    double v = PyFloat_AsDouble(value);
    if (v == -1.0 && PyErr_Occurred()) {
        return PyErr_ExceptionMatches(PyExc_TypeError)
                   ? refuse(p, PyExc_TypeError, "expected a float", value)
                   : -1;
    }
    if (kind == RHODES_F64) {
        return put_result(q, p, rhodes_put_f64(q->writer, v));
    }
    float narrow = (float)v;
    if (isinf(narrow) && !isinf(v)) {
        return refuse(p, PyExc_OverflowError, "too large for f32", value);
    }
    return put_result(q, p, rhodes_put_f32(q->writer, narrow));
}

static int put_char(const struct putter *q, const struct place *p, PyObject *value)
{
    if (!PyUnicode_Check(value)) {
        return refuse(p, PyExc_TypeError, "expected a str of one character", value);
    }
    if (PyUnicode_GetLength(value) != 1) {
        return refuse(p, PyExc_ValueError, "expected one character", value);
    }
    Py_UCS4 c = PyUnicode_ReadChar(value, 0);
    if (c >= 0xd800 && c <= 0xdfff) {
        return refuse(p, PyExc_ValueError, "a surrogate is no character", value);
    }
    return put_result(q, p, rhodes_put_char(q->writer, c));
}

static int put_string(const struct putter *q, const struct place *p, PyObject *value)
{
    if (!PyUnicode_Check(value)) {
        return refuse(p, PyExc_TypeError, "expected a str", value);
    }
    Py_ssize_t bytes;
    const char *text = PyUnicode_AsUTF8AndSize(value, &bytes);
    if (!text) {
        return refuse(p, PyExc_ValueError, "expected text without surrogates", value);
    }
    return put_result(q, p, rhodes_put_string(q->writer, text, (size_t)bytes));
}

static int put_enum(const struct putter *q, const struct place *p, const struct rhodes_type *type,
                    PyObject *value)
{
    const char *text = PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, NULL) : NULL;
    if (!text) {
        return refuse(p, PyExc_TypeError, "expected the name of an enum's case", value);
    }
    for (uint32_t i = 0; i < rhodes_type_count(type); i++) {
        if (strcmp(rhodes_type_name(type, i), text) == 0) {
            return put_result(q, p, rhodes_put_enum(q->writer, i));
        }
    }
    char expected[512];
    size_t used = (size_t)PyOS_snprintf(expected, sizeof(expected), "expected one of");
    for (uint32_t i = 0; i < rhodes_type_count(type) && used + 70 < sizeof(expected); i++) {
        used += (size_t)PyOS_snprintf(expected + used, sizeof(expected) - used, " %s",
                                      rhodes_type_name(type, i));
    }
    return refuse(p, PyExc_ValueError, expected, value);
}

static int put_value(const struct putter *q, const struct place *p, const struct rhodes_type *type,
                     PyObject *value);

static int put_bytes(const struct putter *q, const struct place *p, PyObject *value)
{
    Py_buffer view;
    if (PyObject_GetBuffer(value, &view, PyBUF_SIMPLE) < 0) {
        return refuse(p, PyExc_TypeError, "expected bytes or a contiguous buffer (list<u8>)",
                      value);
    }
    int r = rhodes_put_bytes(q->writer, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return put_result(q, p, r);
}

/* A tuple of the elements: a copy of a list, because converting an element may run code that
 * changes the list. */
static PyObject *take_sequence(const struct place *p, const char *expected, PyObject *value)
{
    if (PyUnicode_Check(value) || !PySequence_Check(value)) {
        refuse(p, PyExc_TypeError, expected, value);
        return NULL;
    }
    return PySequence_Tuple(value);
}

static int put_list(const struct putter *q, const struct place *p, const struct rhodes_type *type,
                    PyObject *value)
{
    const struct rhodes_type *element = rhodes_type_member(type, 0);
    if (rhodes_type_kind(element) == RHODES_U8) {
        return put_bytes(q, p, value);
    }
    PyObject *items = take_sequence(p, "expected a list", value);
    if (!items) {
        return -1;
    }
    Py_ssize_t count = PyTuple_Size(items);
    int r = put_result(
        q, p, count > UINT32_MAX ? RHODES_OVER_LIMIT : rhodes_put_list(q->writer, (uint32_t)count));
    for (Py_ssize_t i = 0; r == 0 && i < count; i++) {
        struct place below = { .up = p, .index = i };
        r = put_value(q, &below, element, PyTuple_GetItem(items, i));
    }
    Py_DECREF(items);
    return r < 0 ? r : put_result(q, p, rhodes_put_end(q->writer));
}

static int put_tuple(const struct putter *q, const struct place *p, const struct rhodes_type *type,
                     PyObject *value)
{
    PyObject *items = take_sequence(p, "expected a tuple", value);
    if (!items) {
        return -1;
    }
    uint32_t count = rhodes_type_count(type);
    int r = 0;
    if (PyTuple_Size(items) != (Py_ssize_t)count) {
        char expected[48];
        PyOS_snprintf(expected, sizeof(expected), "expected a tuple of %u", (unsigned)count);
        r = refuse(p, PyExc_ValueError, expected, value);
    } else {
        r = put_result(q, p, rhodes_put_begin(q->writer));
    }
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        struct place below = { .up = p, .index = (Py_ssize_t)i };
        r = put_value(q, &below, rhodes_type_member(type, i),
                      PyTuple_GetItem(items, (Py_ssize_t)i));
    }
    Py_DECREF(items);
    return r < 0 ? r : put_result(q, p, rhodes_put_end(q->writer));
}

PyObject *convert_name(const char *name)
{
    char snake[128];
    size_t i = 0;
    for (; name[i] && i + 1 < sizeof(snake); i++) {
        snake[i] = name[i] == '-' ? '_' : name[i];
    }
    snake[i] = '\0';
    return PyUnicode_InternFromString(snake);
}

/* The member of a dict under its WIT name or in snake_case; NULL without an exception when it has
 * none. */
static PyObject *dict_member(PyObject *dict, const char *name)
{
    PyObject *snake = convert_name(name);
    PyObject *found = snake ? PyDict_GetItemWithError(dict, snake) : NULL;
    Py_XDECREF(snake);
    if (!found && !PyErr_Occurred() && strchr(name, '-')) {
        PyObject *exact = PyUnicode_FromString(name);
        found = exact ? PyDict_GetItemWithError(dict, exact) : NULL;
        Py_XDECREF(exact);
    }
    Py_XINCREF(found);
    return found;
}

static PyObject *take_member(const struct place *p, PyObject *value, const char *name)
{
    PyObject *member;
    if (PyDict_Check(value)) {
        member = dict_member(value, name);
    } else {
        PyObject *snake = convert_name(name);
        member = snake ? PyObject_GetAttr(value, snake) : NULL;
        Py_XDECREF(snake);
    }
    if (!member && (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_AttributeError))) {
        char expected[160];
        PyOS_snprintf(expected, sizeof(expected), "expected a record with '%.64s'", name);
        refuse(p, PyExc_TypeError, expected, value);
    }
    return member;
}

static int put_record(const struct putter *q, const struct place *p, const struct rhodes_type *type,
                      PyObject *value)
{
    uint32_t count = rhodes_type_count(type);
    if (PyDict_Check(value) && PyDict_Size(value) > (Py_ssize_t)count) {
        return refuse(p, PyExc_TypeError, "a dict with more members than the record", value);
    }
    int r = put_result(q, p, rhodes_put_begin(q->writer));
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        const char *name = rhodes_type_name(type, i);
        PyObject *member = take_member(p, value, name);
        if (!member) {
            return -1;
        }
        struct place below = { .up = p, .name = name };
        r = put_value(q, &below, rhodes_type_member(type, i), member);
        Py_DECREF(member);
    }
    return r < 0 ? r : put_result(q, p, rhodes_put_end(q->writer));
}

static int put_option(const struct putter *q, const struct place *p, const struct rhodes_type *type,
                      PyObject *value)
{
    int r = put_result(q, p, rhodes_put_option(q->writer, value != Py_None));
    return r < 0 || value == Py_None ? r : put_value(q, p, rhodes_type_member(type, 0), value);
}

static int put_value(const struct putter *q, const struct place *p, const struct rhodes_type *type,
                     PyObject *value)
{
    enum rhodes_kind kind = rhodes_type_kind(type);
    switch (kind) {
    case RHODES_BOOL:
        return put_bool(q, p, value);
    case RHODES_U8:
    case RHODES_U16:
    case RHODES_U32:
    case RHODES_U64:
    case RHODES_S8:
    case RHODES_S16:
    case RHODES_S32:
    case RHODES_S64:
        return put_integer(q, p, kind, value);
    case RHODES_F32:
    case RHODES_F64:
        return put_float(q, p, kind, value);
    case RHODES_CHAR:
        return put_char(q, p, value);
    case RHODES_STRING:
        return put_string(q, p, value);
    case RHODES_LIST:
        return put_list(q, p, type, value);
    case RHODES_RECORD:
        return put_record(q, p, type, value);
    case RHODES_TUPLE:
        return put_tuple(q, p, type, value);
    case RHODES_OPTION:
        return put_option(q, p, type, value);
    case RHODES_ENUM:
        return put_enum(q, p, type, value);
    }
    PyErr_SetString(PyExc_SystemError, "librhodes knows a kind of type that this module does not");
    return -1;
}

int convert_put(struct rhodes_writer *w, const struct rhodes_type *type, PyObject *value,
                const char *what, const struct extension *e)
{
    struct putter q = { .writer = w, .extension = e };
    struct place top = { .name = what };
    return put_value(&q, &top, type, value);
}
