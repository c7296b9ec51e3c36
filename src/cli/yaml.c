/* Through libfyaml's documents, with the style of every text chosen here: left to itself an emitter
 * writes the text "no" plain, and the next reader takes it for false. A text that needs quotes is
 * given as the YAML that it shall be, so that its style is kept. (The emitter's event interface,
 * 0.7.12, writes a list of mappings that does not read back.) */
#include "cli/yaml.h"

#include <libfyaml.h>
#include <stdint.h>
#include <string.h>

#include "cli/scalar.h"
#include "cli/text.h"

/* Letters, digits and a few signs that mean nothing anywhere; YAML 1.1's other words for true and
 * false do. */
static bool text_is_plain(const char *text, size_t bytes)
{
    static const char *const words[] = { "yes", "no", "on", "off", "y", "n", NULL };
    static const char safe[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-+()<>; ";

    if (bytes == 0 || scalar_kind(text, bytes) != SCALAR_TEXT || text[bytes - 1] == ' ' ||
        !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_./", text[0])) {
        return text[0] >= '0' && text[0] <= '9' && scalar_kind(text, bytes) == SCALAR_TEXT &&
               bytes > 1 && strspn(text, "0123456789") > 0 &&
               strspn(text + strspn(text, "0123456789"), "umsh") > 0 &&
               strspn(text, "0123456789umsh") == bytes; /* a duration */
    }
    for (size_t i = 0; words[i]; i++) {
        if (strcasecmp(words[i], text) == 0) {
            return false;
        }
    }
    return strspn(text, safe) == bytes && memcmp(text, "...", bytes < 3 ? bytes : 3) != 0;
}

/* Text of several lines of printable ASCII, without blanks at the ends of lines: shown as it is. */
static bool text_is_literal(const char *text, size_t bytes)
{
    if (bytes < 3 || text[0] == ' ' || text[0] == '\n' || text[bytes - 1] != '\n' ||
        text[bytes - 2] == '\n') {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if ((text[i] < ' ' && text[i] != '\n') || text[i] > '~' ||
            (text[i] == ' ' && text[i + 1] == '\n')) {
            return false;
        }
    }
    return true;
}

static struct fy_node *plain_make(struct fy_document *d, const char *text, size_t bytes)
{
    return fy_node_create_scalar_copy(d, text, bytes);
}

/* Every line indented below a '|', as the literal style wants it. */
static struct fy_node *literal_make(struct fy_document *d, const char *text, size_t bytes)
{
    size_t lines = 0;
    char *yaml, *to;

    for (size_t i = 0; i < bytes; i++) {
        lines += text[i] == '\n';
    }
    yaml = memory_make(bytes + lines + 4);
    to = stpcpy(yaml, "|\n ");
    for (size_t i = 0; i < bytes; i++) {
        *to++ = text[i];
        if (text[i] == '\n' && i + 1 < bytes) {
            *to++ = ' ';
        }
    }
    return fy_node_build_from_malloc_string(d, yaml, (size_t)(to - yaml)); /* which takes it */
}

/* JSON's quoted form is YAML's. */
static struct fy_node *quoted_make(struct fy_document *d, const char *text, size_t bytes)
{
    json_t *value = json_stringn(text, bytes);
    char *yaml = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;

    json_decref(value);
    return yaml ? fy_node_build_from_malloc_string(d, yaml, FY_NT) : NULL;
}

static struct fy_node *text_node(struct fy_document *d, const char *text, size_t bytes, bool key)
{
    return text_is_plain(text, bytes)             ? plain_make(d, text, bytes)
           : !key && text_is_literal(text, bytes) ? literal_make(d, text, bytes)
                                                  : quoted_make(d, text, bytes);
}

static struct fy_node *number_node(struct fy_document *d, const json_t *value)
{
    CLEANUP(memory_freep)
    char *text = json_is_real(value) ? text_real(json_real_value(value))
                                     : json_dumps(value, JSON_ENCODE_ANY);

    return text ? plain_make(d, text, strlen(text)) : NULL;
}

static struct fy_node *value_node(struct fy_document *d, const json_t *value);

static struct fy_node *mapping_node(struct fy_document *d, const json_t *value)
{
    struct fy_node *node = fy_node_create_mapping(d);
    const char *name;
    json_t *member;

    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        struct fy_node *key = text_node(d, name, strlen(name), true),
                       *of_key = key ? value_node(d, member) : NULL;

        if (!node || !of_key || fy_node_mapping_append(node, key, of_key)) {
            return NULL; /* the document owns what was made so far */
        }
    }
    return node;
}

static struct fy_node *list_node(struct fy_document *d, const json_t *value)
{
    struct fy_node *node = fy_node_create_sequence(d);
    json_t *member;
    size_t i;

    json_array_foreach(value, i, member)
    {
        struct fy_node *item = value_node(d, member);

        if (!node || !item || fy_node_sequence_append(node, item)) {
            return NULL;
        }
    }
    return node;
}

/* Recursion: the value came through a decoder with a bound on depth. */
static struct fy_node *value_node(struct fy_document *d, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return mapping_node(d, value);
    case JSON_ARRAY:
        return list_node(d, value);
    case JSON_STRING:
        return text_node(d, json_string_value(value), json_string_length(value), false);
    case JSON_INTEGER:
    case JSON_REAL:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return number_node(d, value);
}

char *yaml_make(const json_t *value)
{
    struct fy_parse_cfg options = { .flags =
                                        FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE };
    struct fy_document *d = fy_document_create(&options);
    struct fy_node *root = d ? value_node(d, value) : NULL;
    char *text = NULL;

    if (root && fy_document_set_root(d, root) == 0) {
        text = fy_emit_document_to_string(d, FYECF_MODE_BLOCK | FYECF_WIDTH_INF | FYECF_INDENT_2 |
                                                 FYECF_DOC_START_MARK_OFF);
    }
    fy_document_destroy(d);
    return text;
}
