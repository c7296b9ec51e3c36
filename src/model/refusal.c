/* A "no" with its reasons, in fixed room. Texts that come from outside are quoted before they stand
 * in a detail, so that no manifest can write control characters into a terminal or a log through
 * the sentence that refuses it. */
#include "model/refusal.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct problem_row {
    enum problem problem;
    enum rhodes_verdict verdict;
    const char *code, *title, *hint;
};

static const struct problem_row PROBLEMS[] = {
#define PROBLEM(name, number, verdict, title, hint)                                                \
    { PROBLEM_##name, RHODES_##verdict, "RH" #number, title, hint },
#include "rhodes/problems.def"
#undef PROBLEM
};

static const struct problem_row *row_find(enum problem problem)
{
    for (size_t i = 0; i < sizeof(PROBLEMS) / sizeof(PROBLEMS[0]); i++) {
        if (PROBLEMS[i].problem == problem) {
            return &PROBLEMS[i];
        }
    }
    abort(); /* the enum and the table are made from one list */
}

enum rhodes_verdict problem_verdict(enum problem problem)
{
    return row_find(problem)->verdict;
}

const char *problem_title(enum problem problem)
{
    return row_find(problem)->title;
}

const char *problem_hint(enum problem problem)
{
    return row_find(problem)->hint;
}

const char *problem_code(enum problem problem)
{
    return row_find(problem)->code;
}

static int verdict_status(enum rhodes_verdict verdict)
{
    switch (verdict) {
#define RHODES_VERDICT(name, number, status, sentence)                                             \
    case RHODES_##name:                                                                            \
        return status;
#include "rhodes/verdicts.def"
#undef RHODES_VERDICT
    default:
        return 500;
    }
}

int problem_status(enum problem problem)
{
    static const struct {
        enum problem problem;
        int status;
    } own[] = {
#define PROBLEM(name, number, verdict, title, hint)
#define PROBLEM_STATUS(name, status) { PROBLEM_##name, status },
#include "rhodes/problems.def"
#undef PROBLEM_STATUS
#undef PROBLEM
    };

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (own[i].problem == problem) {
            return own[i].status;
        }
    }
    return verdict_status(problem_verdict(problem));
}

/* Ends a text that did not fit with "...", without leaving half of a UTF-8 sequence before it. */
static void text_cut(char *text, size_t room)
{
    size_t at = room - 4;

    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80) {
        at--;
    }
    strcpy(text + at, "...");
}

__attribute__((format(printf, 3, 0))) static void text_format(char *text, size_t room,
                                                              const char *format, va_list arguments)
{
    int n = vsnprintf(text, room, format, arguments);

    if (n < 0) {
        text[0] = 0;
    } else if ((size_t)n >= room) {
        text_cut(text, room);
    }
}

int refuse(struct refusal *why, enum problem problem, const char *pointer, const char *format, ...)
{
    va_list arguments;

    memset(why, 0, sizeof(*why));
    why->problem = problem;
    if ((size_t)snprintf(why->pointer, sizeof(why->pointer), "%s", pointer) >=
        sizeof(why->pointer)) {
        text_cut(why->pointer, sizeof(why->pointer));
    }
    va_start(arguments, format);
    text_format(why->detail, sizeof(why->detail), format, arguments);
    va_end(arguments);
    snprintf(why->hint, sizeof(why->hint), "%s", problem_hint(problem));
    return (int)problem_verdict(problem);
}

void refusal_hint(struct refusal *why, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    text_format(why->hint, sizeof(why->hint), format, arguments);
    va_end(arguments);
}

/* The length of the valid, printable UTF-8 sequence at `s` (2 to 4), or 0. C1 controls, surrogates,
 * overlong forms and the bidirectional and line-separating signs that could reorder a terminal's
 * line do not count as printable. */
static size_t utf8_printable(const unsigned char *s)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = s[0] >= 0xf0 && s[0] < 0xf8   ? 4
               : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
               : s[0] >= 0xc0 && s[0] < 0xe0 ? 2
                                             : 0;
    uint32_t c = n ? s[0] & (0xffu >> (n + 1)) : 0;

    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (n == 0 || c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || c < 0xa0 ||
        (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
        (c >= 0x2060 && c <= 0x206f) || c == 0xfeff) {
        return 0;
    }
    return n;
}

/* Writes the next letter of *text as it stands in quotes into `out` and moves on. */
static size_t letter_quote(const char **text, char out[8])
{
    const unsigned char *s = (const unsigned char *)*text;
    size_t n = utf8_printable(s);

    *text += n ? n : 1;
    if (n) {
        memcpy(out, s, n);
        return n;
    }
    if (*s == '\n' || *s == '\t' || *s == '\r') {
        return (size_t)snprintf(out, 8, "\\%c", *s == '\n' ? 'n' : *s == '\t' ? 't' : 'r');
    }
    if (*s == '"' || *s == '\\') {
        return (size_t)snprintf(out, 8, "\\%c", *s);
    }
    return (size_t)snprintf(out, 8, *s < 0x20 || *s >= 0x7f ? "\\x%02x" : "%c", *s);
}

const char *text_quote(const char *text, char ret[QUOTED_BYTES_MAX])
{
    size_t used = 0;

    ret[used++] = '"';
    while (*text) {
        char letter[8];
        size_t n = letter_quote(&text, letter);

        if (used + n + 5 > QUOTED_BYTES_MAX) { /* keeps room for the dots, the quote and the end */
            memcpy(ret + used, "...", 3);
            used += 3;
            break;
        }
        memcpy(ret + used, letter, n);
        used += n;
    }
    ret[used++] = '"';
    ret[used] = 0;
    return ret;
}

void pointer_append(char *pointer, size_t room, const char *token)
{
    size_t used = strlen(pointer);

    if (used + 1 < room) {
        pointer[used++] = '/';
    }
    for (; *token && used + 3 < room; token++) {
        if (*token == '~' || *token == '/') {
            pointer[used++] = '~';
            pointer[used++] = *token == '~' ? '0' : '1';
        } else {
            pointer[used++] = *token;
        }
    }
    pointer[used] = 0;
    if (*token && used + 3 >= room) {
        text_cut(pointer, room);
    }
}
