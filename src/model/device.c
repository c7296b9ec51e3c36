/* What devices offer. A network interface and a simulated one have the same functions, so a driver
 * does not know which of them it drives. Frames travel up as the reply to rx, which waits: the pull
 * side of the paper's interrupt path. */
#include "model/device.h"

static const char *const FRAME_FUNCTIONS[] = {
    "info: func() -> record{mac: list<u8>, mtu: u32, name: string}",
    "rx: func(max: u32, wait-ms: u32) -> list<list<u8>>",
    "tx: func(frames: list<list<u8>>) -> u32",
    ("stat: func() -> record{rx-frames: u64, rx-bytes: u64, rx-dropped: u64, "
     "tx-frames: u64, tx-bytes: u64, tx-dropped: u64}"),
};

const char *restart_name(enum restart restart)
{
    static const char *const names[] = {
        [RESTART_ON_FAILURE] = "on-failure",
        [RESTART_ALWAYS] = "always",
        [RESTART_NEVER] = "never",
    };

    return names[restart];
}

const char *device_kind_name(enum device_kind kind)
{
    static const char *const names[] = {
        [DEVICE_NONE] = "none",
        [DEVICE_NIC] = "nic",
        [DEVICE_SIM] = "sim",
    };

    return names[kind];
}

const char *const *device_functions(enum device_kind kind, size_t *ret_count)
{
    *ret_count = kind == DEVICE_NONE ? 0 : sizeof(FRAME_FUNCTIONS) / sizeof(FRAME_FUNCTIONS[0]);
    return FRAME_FUNCTIONS;
}
