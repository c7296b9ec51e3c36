/* model/refusal.h - why the governor says no: what, where, by which rule, and what to do next. Pure.
 *
 * A refusal holds copies of its texts in fixed room (long ones are cut with "..."), so it can be filled on any path
 * without memory that could fail. `code` is one of protocol/problems.def. */
#ifndef MODEL_REFUSAL_H
#define MODEL_REFUSAL_H

#include <stdint.h>

#include "base/result.h"

enum problem {
#define PROBLEM(name, number, verdict, title, hint) PROBLEM_##name = number,
#include "rhodes/problems.def"
#undef PROBLEM
};

struct refusal {
    enum problem problem;
    char pointer[256]; /* JSON pointer into the document (RFC 6901), "" for the whole */
    char detail[512];  /* one sentence: what was refused and why, naming the pair or the value */
    char rule[192];    /* "hierarchies/default", "links/..." or "" */
    uint64_t revision; /* of that rule, 0 when none */
    char hint[256];    /* what to type or change next */
};

/* Fills *why and returns the problem's verdict. `format` makes the detail. The hint starts as the problem's own. */
int refuse(struct refusal *why, enum problem problem, const char *pointer, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* Replaces the hint by a command to type. */
void refusal_hint(struct refusal *why, const char *format, ...) PRINTF_LIKE(2, 3);

/* Room for a quoted text that stands in a detail. */
#define QUOTED_BYTES_MAX 96
/* Writes foreign text for a detail: in quotes, what is not printable ASCII escaped (\n, \xHH; UTF-8 that is valid stays),
 * more than fits cut with "...". Returns `ret`. */
const char *text_quote(const char *text, char ret[QUOTED_BYTES_MAX]);

/* Appends "/TOKEN" to a JSON pointer in `pointer` (of `room` bytes), with ~ and / escaped; cut with "..." when it does not fit. */
void pointer_append(char *pointer, size_t room, const char *token);

enum rhodes_verdict problem_verdict(enum problem problem);
const char *problem_title(enum problem problem);
const char *problem_hint(enum problem problem);
const char *problem_code(enum problem problem); /* "RH1003" */
/* HTTP status of its verdict, or its own where the table says. */
int problem_status(enum problem problem);

#endif
