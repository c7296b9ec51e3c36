/* model/device.h - the devices a hardware resource can be bound to, the functions that each offers, and when an agent
 * starts its program again: the words that the center's manifests and the agents share. Pure; any thread. */
#ifndef MODEL_DEVICE_H
#define MODEL_DEVICE_H

#include <stddef.h>

enum restart { RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_NEVER };

enum device_kind { DEVICE_NONE, DEVICE_NIC, DEVICE_SIM };

const char *restart_name(enum restart restart);      /* "on-failure" ... */
const char *device_kind_name(enum device_kind kind); /* "none", "nic", "sim" */

/* The signatures of what such a device offers, in canonical text; a manifest need not list them. Static. */
const char *const *device_functions(enum device_kind kind, size_t *ret_count);

#endif
