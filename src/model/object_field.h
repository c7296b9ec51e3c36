/* model/object_field.h - reading the fields of a manifest: each getter checks the type and the bounds of one field and
 * refuses with its JSON pointer. Internal to the model.
 *
 * They work on the parser's own copy of the document and normalise it in place: a default is written in, a duration gets
 * its shortest form, an empty list goes away. So two manifests that mean the same have equal bodies. */
#ifndef MODEL_OBJECT_FIELD_H
#define MODEL_OBJECT_FIELD_H

#include "model/object.h"

struct place { /* where in the request we are */
    char pointer[256];
    struct refusal *why;
};

struct place place_member(const struct place *p, const char *name);
struct place place_element(const struct place *p, size_t index);

/* "a text", "a list" ...: what a value is, for a sentence. */
const char *json_type_words(const json_t *value);

/* That `value` is a mapping with no other fields than `names` (NULL at the end); `what` names it in a sentence. */
int fields_check(const struct place *p, const json_t *value, const char *what,
                 const char *const *names) MUST_CHECK;

/* A refusal for a required field that is not there. */
int field_missing(const struct place *p, const char *name);

/* Each sets *ret when the field is there and right; when it is absent *ret stays as it is. */
int field_object(const struct place *p, json_t *o, const char *name, json_t **ret) MUST_CHECK;
int field_array(const struct place *p, json_t *o, const char *name, size_t max,
                json_t **ret) MUST_CHECK;
int field_bool(const struct place *p, json_t *o, const char *name, bool *ret) MUST_CHECK;
/* A text of 1 to `max` bytes. */
int field_text(const struct place *p, json_t *o, const char *name, size_t max,
               const char **ret) MUST_CHECK;
/* One of `words`; its index. When absent and *ret >= 0, words[*ret] is written in as the default. */
int field_word(const struct place *p, json_t *o, const char *name, const char *const *words,
               size_t count, int *ret) MUST_CHECK;
/* 1us to CALL_TIMEOUT_NS_MAX. When absent and *ret > 0, that is written in as the default. */
int field_duration(const struct place *p, json_t *o, const char *name, uint64_t *ret) MUST_CHECK;
/* Required: a resource id with '/'. */
int field_resource(const struct place *p, json_t *o, const char *name,
                   char ret[RESOURCE_ID_BYTES_MAX]) MUST_CHECK;

/* A text value that stands at `p` itself. */
int value_text(const struct place *p, const json_t *value, size_t max, const char **ret) MUST_CHECK;
int value_signature(const struct place *p, const json_t *value, const char *types,
                    struct wit_function **ret) MUST_CHECK;

/* The protocols' names as field_word() takes them. */
extern const char *const PROTOCOL_WORDS[PROTOCOLS_COUNT];

/* What stands under spec, by kind. */
int resource_parse(const struct place *spec, json_t *body, struct object *o) MUST_CHECK;
void resource_deinit(struct resource *r);
int link_parse(const struct place *spec, json_t *body, struct object *o) MUST_CHECK;
int hierarchy_parse(const struct place *spec, json_t *body, struct object *o) MUST_CHECK;
void hierarchy_deinit(struct hierarchy *h);

#endif
