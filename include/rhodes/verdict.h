/* rhodes/verdict.h - what a Rhodes function can answer.
 *
 * 0 is success; a negative number is -errno, a failure of the machine or of a peer; a positive number is one
 * of these verdicts: the rules, the types or a limit said no. The list is protocol/verdicts.def. */
#ifndef RHODES_VERDICT_H
#define RHODES_VERDICT_H

#ifdef __cplusplus
extern "C" {
#endif

enum rhodes_verdict {
#define RHODES_VERDICT(name, number, status, sentence) RHODES_##name = number,
#include "rhodes/verdicts.def"
#undef RHODES_VERDICT
};

/* The stable name of a result ("OK", "DENIED", "EPIPE"); never NULL. Any thread, does not wait. */
const char *rhodes_result_name(int result);

/* One sentence for a result, without a full stop; never NULL. Any thread, does not wait. */
const char *rhodes_result_sentence(int result);

#ifdef __cplusplus
}
#endif
#endif
