/* A manifest becomes an object: the frame that all kinds share (apiVersion, kind, metadata), then
 * spec by kind. Parsing works on a copy of the document and leaves in it the normalised body, so
 * what the store keeps, what GET shows and what the typed fields say cannot differ. */
#include "model/object.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "model/object_field.h"

#define API_VERSION           "rhodes/v1"
#define LABELS_MAX            64
#define LABEL_KEY_BYTES_MAX   63
#define LABEL_VALUE_BYTES_MAX 255

struct object *object_ref(struct object *o)
{
    __atomic_add_fetch(&o->references, 1, __ATOMIC_RELAXED);
    return o;
}

struct object *object_unref(struct object *o)
{
    /* Pairs with the release of other holders: what they read was read before the memory goes. */
    if (o && __atomic_sub_fetch(&o->references, 1, __ATOMIC_ACQ_REL) == 0) {
        if (o->source) {
            object_unref(o->source); /* which has no source itself */
        } else if (o->kind < (enum kind)LAYERS_COUNT) {
            resource_deinit(&o->resource);
        } else if (o->kind == KIND_HIERARCHY) {
            hierarchy_deinit(&o->hierarchy);
        }
        json_decref(o->body);
        free(o);
    }
    return NULL;
}

struct object *object_at(struct object *o, uint64_t revision, uint64_t revision_created)
{
    struct object *copy = malloc(sizeof(*copy));

    if (!copy) {
        return NULL;
    }
    *copy = *o;
    copy->references = 1;
    copy->revision = revision;
    copy->revision_created = revision_created;
    copy->source = object_ref(o->source ? o->source : o);
    json_incref(copy->body);
    return copy;
}

static void object_unrefp(struct object **o)
{
    object_unref(*o);
}

void object_id(const struct object *o, char ret[LINK_NAME_BYTES_MAX + 16])
{
    if (o->kind < (enum kind)LAYERS_COUNT) {
        resource_id_make((enum layer)o->kind, o->name, '/', ret);
    } else {
        snprintf(ret, LINK_NAME_BYTES_MAX + 16, "%s/%s", kind_collection(o->kind), o->name);
    }
}

static int kind_parse(const struct place *p, json_t *document, enum kind *ret)
{
    struct place at = place_member(p, "apiVersion");
    char quoted[QUOTED_BYTES_MAX];
    const char *version = NULL, *kind = NULL;
    int r = field_text(p, document, "apiVersion", SIZE_MAX, &version);

    r = r ? r : field_text(p, document, "kind", SIZE_MAX, &kind);
    if (r) {
        return r;
    }
    if (!version || !kind) {
        return field_missing(p, version ? "kind" : "apiVersion");
    }
    if (strcmp(version, API_VERSION) != 0) {
        return refuse(p->why, PROBLEM_BAD_VALUE, at.pointer,
                      "apiVersion must be " API_VERSION ", but it is %s",
                      text_quote(version, quoted));
    }
    if (kind_from_name(kind, ret)) {
        at = place_member(p, "kind");
        return refuse(p->why, PROBLEM_BAD_VALUE, at.pointer,
                      "kind must be Application, Service, Driver, Hardware, Link or Hierarchy, "
                      "but it is %s",
                      text_quote(kind, quoted));
    }
    return 0;
}

static int label_check(const struct place *p, const char *key, const json_t *value)
{
    char quoted[QUOTED_BYTES_MAX];
    size_t letters = 0;

    while (isalnum((unsigned char)key[letters]) || (key[letters] && strchr("-_./", key[letters]))) {
        letters++;
    }
    if (letters == 0 || key[letters] || letters > LABEL_KEY_BYTES_MAX) {
        return refuse(p->why, PROBLEM_BAD_NAME, p->pointer,
                      "%s is not the name of a label (1 to %d letters, digits, - _ . /)",
                      text_quote(key, quoted), LABEL_KEY_BYTES_MAX);
    }
    if (!json_is_string(value)) {
        return refuse(p->why, PROBLEM_WRONG_TYPE, p->pointer,
                      "the label %s must be a text, but it is %s", key, json_type_words(value));
    }
    if (json_string_length(value) > LABEL_VALUE_BYTES_MAX) {
        return refuse(p->why, PROBLEM_TOO_LARGE, p->pointer,
                      "the label %s has %zu bytes, %d are the limit", key,
                      json_string_length(value), LABEL_VALUE_BYTES_MAX);
    }
    for (size_t i = 0; i < json_string_length(value); i++) {
        if (iscntrl((unsigned char)json_string_value(value)[i])) {
            return refuse(p->why, PROBLEM_BAD_VALUE, p->pointer,
                          "the label %s has a control character: %s", key,
                          text_quote(json_string_value(value), quoted));
        }
    }
    return 0;
}

static int labels_check(const struct place *p, json_t *metadata)
{
    struct place map = place_member(p, "labels");
    json_t *labels = NULL, *value;
    const char *key;
    int r = field_object(p, metadata, "labels", &labels);

    if (r || !labels) {
        return r;
    }
    if (json_object_size(labels) > LABELS_MAX) {
        return refuse(p->why, PROBLEM_TOO_LARGE, map.pointer,
                      "there are %zu labels, %d are the limit", json_object_size(labels),
                      LABELS_MAX);
    }
    json_object_foreach(labels, key, value)
    {
        struct place at = place_member(&map, key);

        r = label_check(&at, key, value);
        if (r) {
            return r;
        }
    }
    if (json_object_size(labels) == 0) {
        json_object_del(metadata, "labels");
    }
    return 0;
}

/* Revisions are the center's: they are checked and then leave the body. */
static int revision_strip(const struct place *p, json_t *metadata, const char *name)
{
    const json_t *value = json_object_get(metadata, name);

    if (value && (!json_is_integer(value) || json_integer_value(value) < 0)) {
        struct place at = place_member(p, name);

        return refuse(p->why, PROBLEM_WRONG_TYPE, at.pointer,
                      "%s must be a whole number from 0, but it is %s", name,
                      json_is_integer(value) ? "negative" : json_type_words(value));
    }
    if (value) {
        json_object_del(metadata, name);
    }
    return 0;
}

static int name_parse(const struct place *p, const char *name, struct object *o)
{
    struct place at = place_member(p, "name");
    char quoted[QUOTED_BYTES_MAX];
    const char *why;

    if (name_check(name, &why)) {
        return refuse(p->why, PROBLEM_BAD_NAME, at.pointer, "%s is not a valid name: %s",
                      text_quote(name, quoted), why);
    }
    if (o->kind == KIND_HIERARCHY && strcmp(name, "default") != 0) {
        (void)refuse(p->why, PROBLEM_BAD_NAME, at.pointer,
                     "the hierarchical rule is named default, not %s", text_quote(name, quoted));
        refusal_hint(p->why, "write name: default");
        return RHODES_INVALID;
    }
    strcpy(o->name, name);
    return 0;
}

/* Checks metadata and takes the name; a link's is made from its pair later and only compared. */
static int metadata_parse(const struct place *p, json_t *metadata, struct object *o,
                          const char **ret_link_name)
{
    static const char *const fields[] = { "name", "labels", "revision", "createdRevision", NULL };
    const char *name = NULL;
    int r = fields_check(p, metadata, "metadata", fields);

    if (r == 0 && json_object_get(metadata, "name") &&
        !json_is_string(json_object_get(metadata, "name"))) {
        struct place at = place_member(p, "name");

        return refuse(p->why, PROBLEM_WRONG_TYPE, at.pointer, "name must be a text, but it is %s",
                      json_type_words(json_object_get(metadata, "name")));
    }
    r = r ? r : labels_check(p, metadata);
    r = r ? r : revision_strip(p, metadata, "revision");
    r = r ? r : revision_strip(p, metadata, "createdRevision");
    if (r) {
        return r;
    }
    name = json_string_value(json_object_get(metadata, "name"));
    if (o->kind == KIND_LINK) {
        *ret_link_name = name;
        return 0;
    }
    return name ? name_parse(p, name, o) : field_missing(p, "name");
}

/* A link's name, when given, must be the one that its pair makes. */
static int link_name_settle(const struct place *p, json_t *metadata, const char *given,
                            const struct object *o)
{
    struct place at = place_member(p, "name");
    char quoted[QUOTED_BYTES_MAX];

    if (given && strcmp(given, o->name) != 0) {
        (void)refuse(p->why, PROBLEM_BAD_NAME, at.pointer,
                     "the link of this pair is named %s, not %s", o->name,
                     text_quote(given, quoted));
        refusal_hint(p->why, "leave metadata.name away; it is made from the pair");
        return RHODES_INVALID;
    }
    return json_object_set_new(metadata, "name", json_string(o->name)) ? failed(-ENOMEM) : 0;
}

static int spec_parse(const struct place *p, json_t *document, struct object *o)
{
    struct place at = place_member(p, "spec");
    json_t *spec = json_object_get(document, "spec");

    if (!spec) {
        /* A resource may declare nothing at all; a link must name its pair, a device itself. */
        if (json_object_set_new(document, "spec", json_object())) {
            return failed(-ENOMEM);
        }
        spec = json_object_get(document, "spec");
    }
    if (o->kind == KIND_LINK) {
        return link_parse(&at, spec, o);
    }
    if (o->kind == KIND_HIERARCHY) {
        return hierarchy_parse(&at, spec, o);
    }
    return resource_parse(&at, spec, o);
}

static int body_parse(const struct place *p, struct object *o)
{
    static const char *const fields[] = { "apiVersion", "kind", "metadata", "spec", NULL };
    struct place at = place_member(p, "metadata");
    const char *link_name = NULL;
    json_t *metadata;
    enum kind kind = KIND_LINK; /* what has nothing to release, until it is known */
    int r = fields_check(p, o->body, "a manifest", fields);

    r = r ? r : kind_parse(p, o->body, &kind);
    if (r) {
        return r;
    }
    o->kind = kind;
    metadata = json_object_get(o->body, "metadata");
    if (!metadata) {
        if (kind != KIND_LINK) {
            return field_missing(p, "metadata");
        }
        if (json_object_set_new(o->body, "metadata", json_object())) {
            return failed(-ENOMEM);
        }
        metadata = json_object_get(o->body, "metadata");
    }
    r = metadata_parse(&at, metadata, o, &link_name);
    r = r ? r : spec_parse(p, o->body, o);
    if (r == 0 && kind == KIND_LINK) {
        r = link_name_settle(&at, metadata, link_name, o);
    }
    return r;
}

int object_parse(const json_t *document, const char *pointer, struct object **ret,
                 struct refusal *why)
{
    CLEANUP(object_unrefp) struct object *o = calloc(1, sizeof(*o));
    struct place p = { .why = why };
    int r;

    if (!o) {
        return failed(-ENOMEM);
    }
    o->references = 1;
    o->kind = KIND_LINK;
    snprintf(p.pointer, sizeof(p.pointer), "%s", pointer);
    o->body = json_deep_copy(document);
    if (!o->body) {
        return failed(-ENOMEM);
    }
    r = body_parse(&p, o);
    if (r == 0) {
        *ret = o;
        o = NULL;
    }
    return r;
}
