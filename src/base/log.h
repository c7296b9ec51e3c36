/* base/log.h - one event, one line, in logfmt on standard error.
 *
 * log_write(LOG_INFO, "rule.applied", "rule=%s revision=%llu", ...) prints
 *   2026-01-02T03:04:05.678Z level=info part=agent event=rule.applied rule=... revision=...
 * The event name is stable. Values that may hold spaces or quotes go through log_quote(). Only main programs, the
 * governor and the agent's doors speak; the call path counts instead. Any thread. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>

#include "base/result.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Sets the part name of this process ("center", "agent service/tcp") and reads RHODES_LOG
 * (error|warning|info|debug; default info for the main programs). `part` must outlive the process's logging.
 * A process that never calls this (somebody else's program with librhodes in it) logs nothing. */
void log_open(const char *part);

void log_write(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

/* Writes `text` as a logfmt value into `buffer` (quoted and escaped where needed, cut to fit) and returns buffer. */
const char *log_quote(const char *text, char *buffer, size_t buffer_bytes);

#endif
