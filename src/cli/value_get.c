/* Results as JSON, by their types. What JSON cannot carry is written as a text that value_put()
 * takes back: integers beyond 2^63-1, floats that are no number, bytes that are no text. */
#include "cli/value.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/text.h"

static bool bytes_are_text(const char *data, size_t bytes)
{
    if (bytes && (data[0] == '@' || (bytes >= 4 && memcmp(data, "hex:", 4) == 0))) {
        return false;
    }
    for (size_t i = 0; i < bytes;) {
        uint32_t point = 0;
        size_t n = text_point(data + i, bytes - i, &point);

        if (n == 0 || (point < 0x20 && point != '\n' && point != '\t' && point != '\r') ||
            (point >= 0x7f && point < 0xa0)) {
            return false;
        }
        i += n;
    }
    return true;
}

static json_t *bytes_json(const char *data, size_t bytes)
{
    CLEANUP(memory_freep) char *hex = NULL;

    if (bytes_are_text(data, bytes)) {
        return json_stringn(data, bytes);
    }
    hex = memory_make(bytes * 2 + 5);
    strcpy(hex, "hex:");
    for (size_t i = 0; i < bytes; i++) {
        sprintf(hex + 4 + 2 * i, "%02x", (unsigned char)data[i]);
    }
    return json_string(hex);
}

static int any_get(struct rhodes_reader *r, const struct rhodes_type *type, unsigned depth,
                   json_t **ret);

static int list_get(struct rhodes_reader *reader, const struct rhodes_type *type, unsigned depth,
                    json_t **ret)
{
    const struct rhodes_type *element = rhodes_type_member(type, 0);
    uint32_t count = 0;
    json_t *list;
    int r;

    if (rhodes_type_kind(element) == RHODES_U8) {
        const void *data = NULL;
        size_t bytes = 0;

        r = rhodes_get_bytes(reader, &data, &bytes);
        *ret = r ? NULL : bytes_json(data, bytes);
        return r;
    }
    r = rhodes_get_list(reader, &count);
    list = json_array();
    for (uint32_t i = 0; !r && i < count; i++) {
        json_t *value = NULL;

        r = any_get(reader, element, depth, &value);
        if (!r && json_array_append_new(list, value)) {
            r = failed(-ENOMEM);
        }
    }
    *ret = list;
    return r ? r : rhodes_get_end(reader);
}

static int members_get(struct rhodes_reader *reader, const struct rhodes_type *type, unsigned depth,
                       json_t **ret)
{
    bool record = rhodes_type_kind(type) == RHODES_RECORD;
    int r = rhodes_get_begin(reader);

    *ret = record ? json_object() : json_array();
    for (uint32_t i = 0; !r && i < rhodes_type_count(type); i++) {
        json_t *value = NULL;

        r = any_get(reader, rhodes_type_member(type, i), depth, &value);
        if (!r && (record ? json_object_set_new(*ret, rhodes_type_name(type, i), value)
                          : json_array_append_new(*ret, value))) {
            r = failed(-ENOMEM);
        }
    }
    return r ? r : rhodes_get_end(reader);
}

static int option_get(struct rhodes_reader *reader, const struct rhodes_type *type, unsigned depth,
                      json_t **ret)
{
    const struct rhodes_type *payload = rhodes_type_member(type, 0);
    bool present = false;
    int r = rhodes_get_option(reader, &present);

    if (r || !present) {
        *ret = r ? NULL : json_null();
        return r;
    }
    r = any_get(reader, payload, depth, ret);
    if (!r && rhodes_type_kind(payload) == RHODES_OPTION) {
        *ret = json_pack("{s:o}", "some", *ret);
    }
    return r;
}

static json_t *float_json(double v)
{
    return isfinite(v) ? json_real(v) : json_string(isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

/* The nearest f64 to the shortest decimal that is this f32, so that 0.1 stays 0.1. */
static double float_widen(float v)
{
    char text[32];

    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v) {
            break;
        }
    }
    return strtod(text, NULL);
}

static json_t *char_json(uint32_t point)
{
    char text[5] = { 0 };

    if (point < 0x80) {
        text[0] = (char)point;
    } else if (point < 0x800) {
        text[0] = (char)(0xc0 | point >> 6);
        text[1] = (char)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        text[0] = (char)(0xe0 | point >> 12);
        text[1] = (char)(0x80 | (point >> 6 & 0x3f));
        text[2] = (char)(0x80 | (point & 0x3f));
    } else {
        text[0] = (char)(0xf0 | point >> 18);
        text[1] = (char)(0x80 | (point >> 12 & 0x3f));
        text[2] = (char)(0x80 | (point >> 6 & 0x3f));
        text[3] = (char)(0x80 | (point & 0x3f));
    }
    return json_stringn(text, point ? strlen(text) : 1);
}

static int any_get(struct rhodes_reader *reader, const struct rhodes_type *type, unsigned depth,
                   json_t **ret)
{
    union {
        bool boolean;
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        int8_t s8;
        int16_t s16;
        int32_t s32;
        int64_t s64;
        float f32;
        double f64;
    } v = { 0 };
    const char *text = NULL;
    size_t bytes = 0;
    char digits[24];
    int r;

/* One kind: gets it, and turns it into JSON when that went well. */
#define GET(kind, member, json)                                                                    \
    case kind:                                                                                     \
        r = rhodes_get_##member;                                                                   \
        *ret = r ? NULL : (json);                                                                  \
        break
    if (depth == VALUE_DEPTH_MAX) {
        return RHODES_OVER_LIMIT;
    }
    switch (rhodes_type_kind(type)) {
        GET(RHODES_BOOL, bool(reader, &v.boolean), json_boolean(v.boolean));
        GET(RHODES_U8, u8(reader, &v.u8), json_integer(v.u8));
        GET(RHODES_U16, u16(reader, &v.u16), json_integer(v.u16));
        GET(RHODES_U32, u32(reader, &v.u32), json_integer(v.u32));
        GET(RHODES_S8, s8(reader, &v.s8), json_integer(v.s8));
        GET(RHODES_S16, s16(reader, &v.s16), json_integer(v.s16));
        GET(RHODES_S32, s32(reader, &v.s32), json_integer(v.s32));
        GET(RHODES_S64, s64(reader, &v.s64), json_integer(v.s64));
        GET(RHODES_F32, f32(reader, &v.f32), float_json(float_widen(v.f32)));
        GET(RHODES_F64, f64(reader, &v.f64), float_json(v.f64));
        GET(RHODES_CHAR, char(reader, &v.u32), char_json(v.u32));
        GET(RHODES_STRING, string(reader, &text, &bytes), json_stringn(text, bytes));
        GET(RHODES_ENUM, enum(reader, &v.u32), json_string(rhodes_type_name(type, v.u32)));
    case RHODES_U64:
        r = rhodes_get_u64(reader, &v.u64);
        snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v.u64);
        *ret = r ? NULL : v.u64 > INT64_MAX ? json_string(digits) : json_integer((json_int_t)v.u64);
        break;
    case RHODES_LIST:
        r = list_get(reader, type, depth + 1, ret);
        break;
    case RHODES_OPTION:
        r = option_get(reader, type, depth + 1, ret);
        break;
    case RHODES_RECORD:
    case RHODES_TUPLE:
        r = members_get(reader, type, depth + 1, ret);
        break;
    default:
        return RHODES_GARBAGE;
    }
#undef GET
    if (!r && !*ret) {
        r = failed(-ENOMEM);
    }
    if (r) {
        json_decref(*ret);
        *ret = NULL;
    }
    return r;
}

int value_get(struct rhodes_reader *reader, const struct rhodes_type *type, json_t **ret)
{
    json_t *value = NULL;
    int r = any_get(reader, type, 0, &value);

    if (!r) {
        *ret = value;
    }
    return r;
}
