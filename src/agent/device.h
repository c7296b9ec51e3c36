/* agent/device.h - the device that a hardware agent is bound to: what serves its calls, in place of
 * a program.
 *
 * Life: device_open, device_call from any number of threads, device_close. An open device mends
 * itself: when its interface (or its peer) goes down or away, calls fail with CALLEE_FAILED and a
 * sentence until it is back; the next call after that opens it anew. The functions of nic and sim
 * are those that model/device.h's device_functions() lists: info: func() -> record{mac: list<u8>,
 * mtu: u32, name: string} rx: func(max: u32, wait-ms: u32) -> list<list<u8>> tx: func(frames:
 * list<list<u8>>) -> u32 stat: func() -> record{rx-frames: u64, rx-bytes: u64, rx-dropped: u64,
 * tx-frames: u64, tx-bytes: u64, tx-dropped: u64} */
#ifndef AGENT_DEVICE_H
#define AGENT_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "rhodes/value.h"

#define DEVICE_WHY_BYTES 256 /* room for any sentence of a device */

struct device_instance;

/* Opens a device of `kind` (enum device_kind: DEVICE_NIC or DEVICE_SIM): `target` is the interface,
 * or the path of the peer's socket. On an error *why is a sentence: INVALID (kind or target),
 * -ENODEV (no such interface), -ENETDOWN (it is down), -EPERM (no CAP_NET_RAW), -ENOENT or
 * -ECONNREFUSED (no peer), other -errno. Does not wait. */
int device_open(uint8_t kind, const char *target, struct device_instance **ret, char *why,
                size_t why_bytes) MUST_CHECK;

/* Wakes calls that wait, and makes them and all later ones end with NOT_EXECUTED. Does not wait:
 * whoever counts the calls itself stops the device, sees them leave, and then closes it. */
void device_stop(struct device_instance *d);

/* Stops it, waits until all calls have left, and frees it. No call may begin once device_close has
 * begun. Accepts NULL; returns NULL. */
struct device_instance *device_close(struct device_instance *d);

/* Runs one function. `arguments` stands at the first parameter; `result` is empty. Any thread; `rx`
 * waits for up to its wait-ms, but never into the last moments before deadline_ns, so that its
 * answer arrives in time; `tx` waits while the device's queue is full. 0; NOT_FOUND (no such
 * function); CALLEE_FAILED (down, away, or arguments out of range); NOT_EXECUTED (being closed);
 * TYPE_MISMATCH, GARBAGE or OVER_LIMIT from the values. Unless 0, *why says why. */
int device_call(struct device_instance *d, const char *function_name,
                struct rhodes_reader *arguments, struct rhodes_writer *result, uint64_t deadline_ns,
                char *why, size_t why_bytes) MUST_CHECK;

#endif
