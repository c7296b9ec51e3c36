/* model/object.h - one registered object: a resource of a layer, a link, or the hierarchical rule. Pure.
 *
 * object_parse() turns a JSON document (the same form as a YAML manifest) into checked, typed fields and a normalised
 * JSON body; unknown fields, wrong types and bad names are refused with a JSON pointer. It judges the document alone;
 * what needs other objects (references, cycles, types of both sides, the hierarchical rule) is model/catalog.h's.
 * An object is immutable once parsed and shared by reference count (any thread). */
#ifndef MODEL_OBJECT_H
#define MODEL_OBJECT_H

#include <jansson.h>

#include "model/device.h"
#include "model/name.h"
#include "model/refusal.h"
#include "model/wit.h"

#define CALL_TIMEOUT_NS_DEFAULT 5000000000ULL    /* 5 s */
#define CALL_TIMEOUT_NS_MAX     3600000000000ULL /* 1 h */
#define RESOURCE_CALLS_MAX      256
#define RESOURCE_FUNCTIONS_MAX  256
#define RUN_ARGUMENTS_MAX       64 /* of exec, and of env */
#define HIERARCHY_EDGES_MAX     256
#define RUN_TEXT_BYTES_MAX      4096 /* each argument, directory or variable */

struct reference { /* one entry of spec.calls */
    char callee[RESOURCE_ID_BYTES_MAX];
    enum protocol protocol; /* default msgqueue, the paper's */
    uint64_t timeout_ns;
    size_t functions_count; /* what the caller expects, checked against what the callee provides */
    struct wit_function **functions;
};

struct run {                /* spec.run: how the agent starts the program */
    size_t arguments_count; /* 0: none, the program is started by `rhodes run` */
    char **arguments;       /* exec: argv, arguments[0] is the program; relative to `directory` */
    size_t environment_count;
    char **environment;   /* env: "NAME=value" */
    char *directory;      /* directory: absolute, NULL for the center's */
    enum restart restart; /* restart: on-failure (default) | always | never */
};

struct device { /* spec.device, hardware only; exactly one of nic and sim */
    enum device_kind kind;
    char *interface; /* nic: {interface: NAME} */
    char *peer; /* sim: {peer: PATH}: a Unix SEQPACKET socket that carries one frame per message */
};

struct resource {
    enum layer layer;
    bool privilege_kernel;  /* spec.privilege: user (default) | kernel */
    size_t functions_count; /* spec.provides: each {function: "...", symbol: "..." (optional)} */
    struct wit_function **functions;
    char *types; /* spec.types: WIT definitions that provides and calls use, or NULL */
    size_t references_count;
    struct reference *references;
    struct run run;
    struct device device;
};

enum link_access { LINK_ALLOW, LINK_DENY };

struct link { /* spec: {caller, callee, access, protocol, timeout} */
    char caller[RESOURCE_ID_BYTES_MAX], callee[RESOURCE_ID_BYTES_MAX];
    enum link_access access; /* default allow */
    int protocol;            /* enum protocol, or -1: as the caller's manifest says */
    uint64_t timeout_ns;     /* 0: as the caller's manifest says */
};

struct
    hierarchy_edge { /* {from, to, upcall}: each end a layer ("driver") or an id ("driver/rogue") */
    char from[RESOURCE_ID_BYTES_MAX], to[RESOURCE_ID_BYTES_MAX];
    bool upcall; /* may close a cycle */
};

struct hierarchy { /* the object of this kind is always named "default" */
    bool strict;   /* spec.mode: below (default) | strict */
    size_t edges_count;
    struct hierarchy_edge *edges;
};

struct object {
    unsigned references;
    enum kind kind;
    char name[LINK_NAME_BYTES_MAX];      /* of a link: CALLER:CALLEE */
    uint64_t revision, revision_created; /* 0 until the catalog commits it */
    struct object *source; /* owns what the fields point to; NULL: this object itself */
    /* Normalised {apiVersion, kind, metadata: {name, labels}, spec}; no revisions in it. */
    json_t *body;
    union {
        struct resource resource;
        struct link link;
        struct hierarchy hierarchy;
    };
};

/* Parses one document. `pointer` is the JSON pointer of the document within the request ("" or "/documents/3").
 * Durations are written 50ms, 5s, 2m or 100us. On a refusal *why is filled and its verdict returned; metadata's
 * revision and createdRevision are checked for their form and left to the caller. */
int object_parse(const json_t *document, const char *pointer, struct object **ret,
                 struct refusal *why) MUST_CHECK;
struct object *object_ref(struct object *o);
/* The same object at other revisions: shares everything with `o`, which it holds a reference to. NULL: no memory. */
struct object *object_at(struct object *o, uint64_t revision, uint64_t revision_created);
struct object *object_unref(struct object *o);

/* The id of a resource object ("service/tcp"); for other kinds "links/NAME", "hierarchies/default". */
void object_id(const struct object *o, char ret[LINK_NAME_BYTES_MAX + 16]);

#endif
