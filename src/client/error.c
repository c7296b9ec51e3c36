/* The calling thread's last sentence. Thread-local because a handle is shared by threads that fail
 * for different reasons, and because rhodes_open has no handle to keep it in. */
#include <stdarg.h>
#include <stdio.h>

#include "client/client.h"

static _Thread_local char sentence[CLIENT_TEXT_BYTES];

int error_say(int result, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    return result;
}

const char *error_said(void)
{
    return sentence;
}

int fork_refused(void)
{
    return error_say(-ECHILD, "this process is a fork of the one that opened the session; "
                              "open another one here");
}

const char *rhodes_open_error(void)
{
    return sentence;
}

const char *rhodes_bind_error(const struct rhodes *r)
{
    return sentence;
}
