/* model/name.h - names: layers, kinds, resource ids and link names. Pure; any thread.
 *
 * A name is 1 to 63 of [a-z0-9-], beginning and ending with a letter or digit. A resource id is LAYER/NAME
 * ("service/tcp"); in file names and REST paths of agents it is written LAYER.NAME ("service.tcp"). The name of a
 * link is CALLER:CALLEE in that form ("application.httpclient:service.tcp"). */
#ifndef MODEL_NAME_H
#define MODEL_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/result.h"

#define NAME_BYTES_MAX        64  /* a name with its NUL */
#define RESOURCE_ID_BYTES_MAX 80  /* LAYER/NAME with its NUL */
#define LINK_NAME_BYTES_MAX   160 /* CALLER:CALLEE with its NUL */

/* The paper's layers, from the top: a layer may call those with a greater number. */
enum layer { LAYER_APPLICATION, LAYER_SERVICE, LAYER_DRIVER, LAYER_HARDWARE, LAYERS_COUNT };

/* What can be registered. The first four are the layers, so a kind below LAYERS_COUNT is its layer. */
enum kind {
    KIND_APPLICATION,
    KIND_SERVICE,
    KIND_DRIVER,
    KIND_HARDWARE,
    KIND_LINK,
    KIND_HIERARCHY,
    KINDS_COUNT
};

const char *layer_name(enum layer layer); /* "application" ... */
char layer_letter(enum layer layer);      /* 'A' 'S' 'D' 'H', the paper's sets */
const char *kind_name(enum kind kind);    /* "Application" ... as in manifests */
/* "applications", "services", "drivers", "hardware", "links", "hierarchies" */
const char *kind_collection(enum kind kind);
int kind_from_name(const char *text, enum kind *ret) MUST_CHECK;       /* NOT_FOUND */
int kind_from_collection(const char *text, enum kind *ret) MUST_CHECK; /* NOT_FOUND */

/* INVALID with a sentence in *ret_why (static) that says what is wrong with it: empty, too long, which character. */
int name_check(const char *name, const char **ret_why) MUST_CHECK;

/* Reads "service/tcp" (or "service.tcp" where `separator` is '.'). INVALID. */
int resource_id_parse(const char *id, char separator, enum layer *ret_layer,
                      char ret_name[NAME_BYTES_MAX]) MUST_CHECK;
void resource_id_make(enum layer layer, const char *name, char separator,
                      char ret[RESOURCE_ID_BYTES_MAX]);
/* CALLER and CALLEE are ids with '/'; the link name has '.'. INVALID when either is none. */
int link_name_make(const char *caller, const char *callee,
                   char ret[LINK_NAME_BYTES_MAX]) MUST_CHECK;
int link_name_parse(const char *name, char ret_caller[RESOURCE_ID_BYTES_MAX],
                    char ret_callee[RESOURCE_ID_BYTES_MAX]) MUST_CHECK;

/* The invocation protocols that exist. */
enum protocol { PROTOCOL_MSGQUEUE, PROTOCOL_SHM, PROTOCOLS_COUNT };
const char *protocol_name(enum protocol protocol); /* "msgqueue", "shm" */
int protocol_from_name(const char *text, enum protocol *ret) MUST_CHECK;

#endif
