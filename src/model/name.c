/* Names and the few words that everything else is spelled with: layers, kinds, protocols. Names go
 * into file names, REST paths and log lines unescaped, so the alphabet is the smallest that people
 * accept (a DNS label): no dot, so LAYER.NAME splits in one way; no slash, so no name leaves its
 * directory; no colon, so CALLER:CALLEE splits in one way. */
#include "model/name.h"

#include <stdio.h>
#include <string.h>

static const char *const LAYERS[LAYERS_COUNT] = { "application", "service", "driver", "hardware" };

static const struct {
    const char *name, *collection;
} KINDS[KINDS_COUNT] = {
    [KIND_APPLICATION] = { "Application", "applications" },
    [KIND_SERVICE] = { "Service", "services" },
    [KIND_DRIVER] = { "Driver", "drivers" },
    [KIND_HARDWARE] = { "Hardware", "hardware" },
    [KIND_LINK] = { "Link", "links" },
    [KIND_HIERARCHY] = { "Hierarchy", "hierarchies" },
};

static const char *const PROTOCOLS[PROTOCOLS_COUNT] = {
    [PROTOCOL_MSGQUEUE] = "msgqueue",
    [PROTOCOL_SHM] = "shm",
};

const char *layer_name(enum layer layer)
{
    return LAYERS[layer];
}

char layer_letter(enum layer layer)
{
    return "ASDH"[layer];
}

const char *kind_name(enum kind kind)
{
    return KINDS[kind].name;
}

const char *kind_collection(enum kind kind)
{
    return KINDS[kind].collection;
}

int kind_from_name(const char *text, enum kind *ret)
{
    for (enum kind k = 0; k < KINDS_COUNT; k++) {
        if (strcmp(text, KINDS[k].name) == 0) {
            *ret = k;
            return 0;
        }
    }
    return RHODES_NOT_FOUND;
}

int kind_from_collection(const char *text, enum kind *ret)
{
    for (enum kind k = 0; k < KINDS_COUNT; k++) {
        if (strcmp(text, KINDS[k].collection) == 0) {
            *ret = k;
            return 0;
        }
    }
    return RHODES_NOT_FOUND;
}

const char *protocol_name(enum protocol protocol)
{
    return PROTOCOLS[protocol];
}

int protocol_from_name(const char *text, enum protocol *ret)
{
    for (enum protocol p = 0; p < PROTOCOLS_COUNT; p++) {
        if (strcmp(text, PROTOCOLS[p]) == 0) {
            *ret = p;
            return 0;
        }
    }
    return RHODES_NOT_FOUND;
}

static bool is_name_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* Why a letter that is_name_letter() refuses does not belong into a name. */
static const char *letter_why(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return "it has a capital letter";
    }
    if ((unsigned char)c < 0x20 || c == 0x7f) {
        return "it has a control character";
    }
    if ((unsigned char)c >= 0x80) {
        return "it has a letter that is not ASCII";
    }
    switch (c) {
    case ' ':
        return "it has a space";
    case '_':
        return "it has a '_'";
    case '.':
        return "it has a '.'";
    case '/':
        return "it has a '/'";
    case ':':
        return "it has a ':'";
    default:
        return "it has a sign other than a-z, 0-9 and '-'";
    }
}

int name_check(const char *name, const char **ret_why)
{
    size_t n = strnlen(name, NAME_BYTES_MAX);

    *ret_why = NULL;
    if (n == 0) {
        *ret_why = "it is empty";
        return RHODES_INVALID;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_name_letter(name[i])) {
            *ret_why = letter_why(name[i]);
            return RHODES_INVALID;
        }
    }
    if (n == NAME_BYTES_MAX) {
        *ret_why = "it is longer than 63 letters";
    } else if (name[0] == '-') {
        *ret_why = "it begins with '-'";
    } else if (name[n - 1] == '-') {
        *ret_why = "it ends with '-'";
    }
    return *ret_why ? RHODES_INVALID : 0;
}

int resource_id_parse(const char *id, char separator, enum layer *ret_layer,
                      char ret_name[NAME_BYTES_MAX])
{
    const char *cut = memchr(id, separator, strnlen(id, RESOURCE_ID_BYTES_MAX));
    const char *why;

    if (!cut || name_check(cut + 1, &why)) {
        return RHODES_INVALID;
    }
    for (enum layer l = 0; l < LAYERS_COUNT; l++) {
        if (strlen(LAYERS[l]) == (size_t)(cut - id) &&
            memcmp(id, LAYERS[l], (size_t)(cut - id)) == 0) {
            *ret_layer = l;
            strcpy(ret_name, cut + 1); /* name_check() found its end within the room */
            return 0;
        }
    }
    return RHODES_INVALID;
}

void resource_id_make(enum layer layer, const char *name, char separator,
                      char ret[RESOURCE_ID_BYTES_MAX])
{
    snprintf(ret, RESOURCE_ID_BYTES_MAX, "%s%c%.*s", LAYERS[layer], separator, NAME_BYTES_MAX - 1,
             name);
}

int link_name_make(const char *caller, const char *callee, char ret[LINK_NAME_BYTES_MAX])
{
    enum layer from, to;
    char from_name[NAME_BYTES_MAX], to_name[NAME_BYTES_MAX];

    if (resource_id_parse(caller, '/', &from, from_name) ||
        resource_id_parse(callee, '/', &to, to_name)) {
        return RHODES_INVALID;
    }
    snprintf(ret, LINK_NAME_BYTES_MAX, "%s.%s:%s.%s", LAYERS[from], from_name, LAYERS[to], to_name);
    return 0;
}

int link_name_parse(const char *name, char ret_caller[RESOURCE_ID_BYTES_MAX],
                    char ret_callee[RESOURCE_ID_BYTES_MAX])
{
    const char *cut = memchr(name, ':', strnlen(name, LINK_NAME_BYTES_MAX));
    char first[RESOURCE_ID_BYTES_MAX];
    enum layer from, to;
    char from_name[NAME_BYTES_MAX], to_name[NAME_BYTES_MAX];

    if (!cut || (size_t)(cut - name) >= sizeof(first)) {
        return RHODES_INVALID;
    }
    memcpy(first, name, (size_t)(cut - name));
    first[cut - name] = 0;
    if (resource_id_parse(first, '.', &from, from_name) ||
        resource_id_parse(cut + 1, '.', &to, to_name)) {
        return RHODES_INVALID;
    }
    resource_id_make(from, from_name, '/', ret_caller);
    resource_id_make(to, to_name, '/', ret_callee);
    return 0;
}
