/* The log. One write(2) per line, so that lines of several threads and processes do not mix in one
 * file. The level and the part are the only mutable globals outside the main programs: set once,
 * before threads start. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *log_part;
static int log_level_max = -1;

static const char *const log_level_names[] = { "error", "warning", "info", "debug" };

void log_open(const char *part)
{
    const char *wanted = getenv("RHODES_LOG");

    log_part = part;
    log_level_max = LOG_INFO;
    for (int level = LOG_ERROR; wanted && level <= LOG_DEBUG; level++) {
        if (strcmp(wanted, log_level_names[level]) == 0) {
            log_level_max = level;
        }
    }
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    char line[2048], part[128];
    struct timespec now;
    struct tm utc;
    va_list arguments;
    int used, more;

    if ((int)level > log_level_max) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    used = snprintf(line, sizeof(line),
                    "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ level=%s part=%s event=%s ",
                    utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                    utc.tm_sec, now.tv_nsec / 1000000, log_level_names[level],
                    log_quote(log_part, part, sizeof(part)), event);
    va_start(arguments, format);
    more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, arguments);
    va_end(arguments);
    used += more < (int)sizeof(line) - used - 1 ? more : (int)sizeof(line) - used - 2;
    for (int i = 0; i < used; i++) {
        if ((unsigned char)line[i] < ' ') {
            line[i] = ' ';
        }
    }
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)used) < 0) {
        return; /* nowhere left to say it */
    }
}

const char *log_quote(const char *text, char *buffer, size_t buffer_bytes)
{
    size_t used = 0;

    if (text && *text && !strpbrk(text, " \"=\t\n\r\\") && strlen(text) < buffer_bytes) {
        return strcpy(buffer, text);
    }
    buffer[used++] = '"';
    for (; text && *text && used + 4 < buffer_bytes; text++) {
        if (*text == '"' || *text == '\\') {
            buffer[used++] = '\\';
        }
        buffer[used++] = (unsigned char)*text < ' ' ? ' ' : *text;
    }
    buffer[used++] = '"';
    buffer[used] = 0;
    return buffer;
}
