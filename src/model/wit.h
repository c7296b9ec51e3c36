/* model/wit.h - function types in a subset of WIT (WebAssembly Interface Types), and the canonical ABI's layout.
 *
 * Subset: bool, u8 u16 u32 u64, s8 s16 s32 s64, f32 f64, char, string, list<T>, tuple<...>, option<T>, and the named
 * types `record`, `enum`, `type NAME = T`. A function is written NAME: func(PARAM: T, ...) [-> T]. Names are WIT's
 * kebab-case. Anything else of WIT is refused by name ("resource is not supported yet"), never ignored.
 * A signature's canonical text has one space after ':' and ',', none elsewhere but around "->", and every named type
 * expanded in place: record{a: u32, b: string}, enum{x, y}. So two sides agree exactly when the texts are equal, whatever they call
 * their types. Canonical text may be parsed again (inline record{...} and enum{...} are accepted).
 *
 * A parsed function is immutable and shared by reference count; everything is pure and usable from any thread. */
#ifndef MODEL_WIT_H
#define MODEL_WIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

enum wit_kind {
    WIT_BOOL,
    WIT_U8,
    WIT_U16,
    WIT_U32,
    WIT_U64,
    WIT_S8,
    WIT_S16,
    WIT_S32,
    WIT_S64,
    WIT_F32,
    WIT_F64,
    WIT_CHAR,
    WIT_STRING,
    WIT_LIST,
    WIT_RECORD,
    WIT_TUPLE,
    WIT_OPTION,
    WIT_ENUM
};

#define WIT_TEXT_BYTES_MAX 8192 /* one signature, or the types of one resource */
#define WIT_DEPTH_MAX      16   /* nesting of types */
#define WIT_FIELDS_MAX     64   /* fields, tuple members, enum cases, parameters */

struct wit_type {
    enum wit_kind kind;
    /* Canonical ABI with 32-bit offsets: string and list are {u32 offset, u32 count}. */
    uint32_t bytes, align;
    uint32_t members_count; /* record, tuple, enum: members; list, option: 1 */
    /* Types: of record, tuple, list (the element), option (the payload); enum: NULL. */
    struct wit_type **members;
    char **names; /* record, enum: names; else NULL */
    /* Record, tuple: of each member from the start; option: offsets[0] of the payload. */
    uint32_t *offsets;
};

struct wit_function {
    unsigned references;
    char *name;
    char *signature; /* canonical text, with the name */
    uint64_t id;     /* hash_bytes(signature): stands in call headers for name and type */
    struct wit_type *parameters; /* a record of the parameters, in order (0 members for none) */
    struct wit_type *result;     /* NULL for none */
};

/* Where parsing stopped, for a message with line and column (from 1) in the text. */
struct wit_error {
    char message[160];
    unsigned line, column;
};

/* `types` holds zero or more definitions (record/enum/type) or is NULL; `text` one function. On INVALID or
 * OVER_LIMIT *error says where and in which text (error->message names it). The caller owns one reference. */
int wit_function_parse(const char *text, const char *types, struct wit_function **ret,
                       struct wit_error *error) MUST_CHECK;
struct wit_function *wit_function_ref(struct wit_function *f);
struct wit_function *wit_function_unref(struct wit_function *f); /* returns NULL; thread-safe */

#endif
