/* Names and sentences of results, from the one list in protocol/verdicts.def; failures take theirs
 * from libc. */
#include "base/result.h"

#include <string.h>

#include "base/log.h"

int result_failed(int r, const char *file, int line)
{
    log_write(LOG_DEBUG, "failed", "result=%s file=%s line=%d", rhodes_result_name(r), file, line);
    return r;
}

__attribute__((visibility("default"))) const char *rhodes_result_name(int result)
{
    if (result < 0) {
        const char *name = strerrorname_np(-result);
        return name ? name : "FAILURE";
    }
    switch (result) {
    case 0:
        return "OK";
#define RHODES_VERDICT(name, number, status, sentence)                                             \
    case number:                                                                                   \
        return #name;
#include "rhodes/verdicts.def"
#undef RHODES_VERDICT
    default:
        return "VERDICT";
    }
}

__attribute__((visibility("default"))) const char *rhodes_result_sentence(int result)
{
    if (result < 0) {
        const char *text = strerrordesc_np(-result);
        return text ? text : "the machine or a peer failed";
    }
    switch (result) {
    case 0:
        return "done";
#define RHODES_VERDICT(name, number, status, sentence)                                             \
    case number:                                                                                   \
        return sentence;
#include "rhodes/verdicts.def"
#undef RHODES_VERDICT
    default:
        return "a verdict that this version does not know";
    }
}
