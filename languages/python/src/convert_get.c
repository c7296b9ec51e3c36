/* Typed values to Python objects. The reader has checked the body's offsets and texts or says
 * GARBAGE; nothing here trusts a count before the reader has, and lists grow as elements arrive, so
 * that a lie about a count costs no memory. */
#include "extension.h"

static PyObject *got(const struct extension *e, int result, PyObject *value)
{
    return result == 0 ? value : error_raise(e, result, "the value that arrived is not valid");
}

/* One reader function, its C type, and how Python makes an object of it. */
#define GET(ctype, getter, maker, cast)                                                            \
    {                                                                                              \
        ctype v;                                                                                   \
        int result = getter(r, &v);                                                                \
        return result ? got(e, result, NULL) : maker((cast)v);                                     \
    }

static PyObject *get_integer(struct rhodes_reader *r, enum rhodes_kind kind,
                             const struct extension *e)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum" /* the caller sends integers only */
    switch (kind) {
    case RHODES_U8:
        GET(uint8_t, rhodes_get_u8, PyLong_FromUnsignedLong, unsigned long)
    case RHODES_U16:
        GET(uint16_t, rhodes_get_u16, PyLong_FromUnsignedLong, unsigned long)
    case RHODES_U32:
        GET(uint32_t, rhodes_get_u32, PyLong_FromUnsignedLong, unsigned long)
    case RHODES_U64:
        GET(uint64_t, rhodes_get_u64, PyLong_FromUnsignedLongLong, unsigned long long)
    case RHODES_S8:
        GET(int8_t, rhodes_get_s8, PyLong_FromLong, long)
    case RHODES_S16:
        GET(int16_t, rhodes_get_s16, PyLong_FromLong, long)
    case RHODES_S32:
        GET(int32_t, rhodes_get_s32, PyLong_FromLong, long)
    default:
        GET(int64_t, rhodes_get_s64, PyLong_FromLongLong, long long)
    }
#pragma GCC diagnostic pop
}

static PyObject *get_float(struct rhodes_reader *r, enum rhodes_kind kind,
                           const struct extension *e)
{
    if (kind == RHODES_F32) {
        GET(float, rhodes_get_f32, PyFloat_FromDouble, double)
    }
    GET(double, rhodes_get_f64, PyFloat_FromDouble, double)
}

static PyObject *get_char(struct rhodes_reader *r, const struct extension *e)
{
    uint32_t v;
    int result = rhodes_get_char(r, &v);
    if (result) {
        return got(e, result, NULL);
    }
    char little_endian[4] = { (char)(v & 0xff), (char)(v >> 8 & 0xff), (char)(v >> 16 & 0xff),
                              (char)(v >> 24) };
    int order = -1;
    return PyUnicode_DecodeUTF32(little_endian, sizeof(little_endian), NULL, &order);
}

static PyObject *get_string(struct rhodes_reader *r, const struct extension *e)
{
    const char *text;
    size_t bytes;
    int result = rhodes_get_string(r, &text, &bytes);
    return result ? got(e, result, NULL) : PyUnicode_FromStringAndSize(text, (Py_ssize_t)bytes);
}

static PyObject *get_bytes(struct rhodes_reader *r, const struct extension *e)
{
    const void *block;
    size_t bytes;
    int result = rhodes_get_bytes(r, &block, &bytes);
    return result ? got(e, result, NULL) : PyBytes_FromStringAndSize(block, (Py_ssize_t)bytes);
}

static PyObject *get_enum(struct rhodes_reader *r, const struct rhodes_type *type,
                          const struct extension *e)
{
    uint32_t which;
    int result = rhodes_get_enum(r, &which);
    return result ? got(e, result, NULL)
                  : PyUnicode_InternFromString(rhodes_type_name(type, which));
}

static PyObject *get_list(struct rhodes_reader *r, const struct rhodes_type *type,
                          const struct extension *e)
{
    const struct rhodes_type *element = rhodes_type_member(type, 0);
    if (rhodes_type_kind(element) == RHODES_U8) {
        return get_bytes(r, e);
    }
    uint32_t count;
    int result = rhodes_get_list(r, &count);
    if (result) {
        return got(e, result, NULL);
    }
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < count; i++) {
        PyObject *item = convert_get(r, element, e);
        if (!item || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    result = list ? rhodes_get_end(r) : 0;
    if (result) {
        Py_CLEAR(list);
        return got(e, result, NULL);
    }
    return list;
}

static PyObject *get_tuple(struct rhodes_reader *r, const struct rhodes_type *type,
                           const struct extension *e)
{
    int result = rhodes_get_begin(r);
    if (result) {
        return got(e, result, NULL);
    }
    uint32_t count = rhodes_type_count(type);
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (uint32_t i = 0; tuple && i < count; i++) {
        PyObject *item = convert_get(r, rhodes_type_member(type, i), e);
        if (!item || PyTuple_SetItem(tuple, (Py_ssize_t)i, item) < 0) {
            Py_CLEAR(tuple);
        }
    }
    result = tuple ? rhodes_get_end(r) : 0;
    if (result) {
        Py_CLEAR(tuple);
        return got(e, result, NULL);
    }
    return tuple;
}

static int get_member(struct rhodes_reader *r, const struct rhodes_type *type, uint32_t i,
                      PyObject *members, const struct extension *e)
{
    PyObject *name = convert_name(rhodes_type_name(type, i));
    PyObject *item = name ? convert_get(r, rhodes_type_member(type, i), e) : NULL;
    int set = item ? PyDict_SetItem(members, name, item) : -1;
    Py_XDECREF(item);
    Py_XDECREF(name);
    return set;
}

static PyObject *get_record(struct rhodes_reader *r, const struct rhodes_type *type,
                            const struct extension *e)
{
    int result = rhodes_get_begin(r);
    if (result) {
        return got(e, result, NULL);
    }
    PyObject *members = PyDict_New();
    for (uint32_t i = 0; members && i < rhodes_type_count(type); i++) {
        if (get_member(r, type, i, members, e) < 0) {
            Py_CLEAR(members);
        }
    }
    PyObject *record = NULL;
    result = members ? rhodes_get_end(r) : 0;
    if (result) {
        got(e, result, NULL);
    } else if (members) {
        PyObject *none = PyTuple_New(0);
        record = none ? PyObject_Call(e->record, none, members) : NULL;
        Py_XDECREF(none);
    }
    Py_XDECREF(members);
    return record;
}

static PyObject *get_option(struct rhodes_reader *r, const struct rhodes_type *type,
                            const struct extension *e)
{
    bool present;
    int result = rhodes_get_option(r, &present);
    if (result) {
        return got(e, result, NULL);
    }
    if (!present) {
        Py_RETURN_NONE;
    }
    return convert_get(r, rhodes_type_member(type, 0), e);
}

PyObject *convert_get(struct rhodes_reader *r, const struct rhodes_type *type,
                      const struct extension *e)
{
    enum rhodes_kind kind = rhodes_type_kind(type);
    switch (kind) {
    case RHODES_BOOL:
        GET(bool, rhodes_get_bool, PyBool_FromLong, long)
    case RHODES_U8:
    case RHODES_U16:
    case RHODES_U32:
    case RHODES_U64:
    case RHODES_S8:
    case RHODES_S16:
    case RHODES_S32:
    case RHODES_S64:
        return get_integer(r, kind, e);
    case RHODES_F32:
    case RHODES_F64:
        return get_float(r, kind, e);
    case RHODES_CHAR:
        return get_char(r, e);
    case RHODES_STRING:
        return get_string(r, e);
    case RHODES_LIST:
        return get_list(r, type, e);
    case RHODES_RECORD:
        return get_record(r, type, e);
    case RHODES_TUPLE:
        return get_tuple(r, type, e);
    case RHODES_OPTION:
        return get_option(r, type, e);
    case RHODES_ENUM:
        return get_enum(r, type, e);
    }
    PyErr_SetString(PyExc_SystemError, "librhodes knows a kind of type that this module does not");
    return NULL;
}
