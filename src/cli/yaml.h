/* cli/yaml.h - a JSON value as YAML 1.2 that reads back as the same value. No I/O. */
#ifndef CLI_YAML_H
#define CLI_YAML_H

#include <jansson.h>

/* Block style; texts that another reader (YAML 1.1 too) might take for something else are quoted.
 * `value` is an object or a list. The text ends with a newline; the caller frees it. NULL when it
 * cannot be written (out of memory). */
char *yaml_make(const json_t *value);

#endif
