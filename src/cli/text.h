/* cli/text.h - texts and tables on a terminal that others may have had a hand in.
 *
 * Whatever comes from a center, a program or a file is printed through here: control characters, C1
 * included, and the bidirectional overrides leave as \xNN or \u{NNNN}, so that no name can move the
 * cursor or forge a line. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include "cli/cli.h"

/* A formatted text for the caller to free; ends the process (exit code 1) when memory is out. Never
 * NULL. */
char *text_make(const char *format, ...) PRINTF_LIKE(1, 2);
char *text_copy(const char *text);
void *memory_make(size_t bytes); /* zeroed; the same way out */
void *memory_resize(void *old, size_t bytes);

/* Decodes one code point of valid, shortest-form UTF-8 from `left` > 0 bytes; returns its length, 0
 * when it is none. */
size_t text_point(const char *text, size_t left, uint32_t *ret);

/* Neither a control character nor one that changes the direction or the breaks of text. */
bool point_is_plain(uint32_t point);

/* The escaped form of `text`, for the caller to free. */
char *text_escape(const char *text, size_t bytes);

/* A decimal of 15 to 17 digits, as few as read back as this finite number, with a '.' or an 'e' in it; for the
 * caller to free. */
char *text_real(double number);

/* Prints one line: formats, escapes everything in it, adds the newline. */
void say(FILE *out, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same on cli->err after "rhodes: ", the first word in red on a terminal; returns `code`. */
int complain(struct cli *cli, int code, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same on cli->out, unless -q. */
void report(struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);

enum ink { INK_NONE, INK_RED, INK_GREEN, INK_YELLOW, INK_DIM, INK_BOLD };

/* Rows of cells, aligned when printed; the last column is not padded. Cells are escaped. */
struct table {
    size_t columns, used, room;
    char **cells;
    enum ink *inks;
};

void table_init(struct table *t, const char *const *heads, size_t columns);
void table_deinit(struct table *t);
void table_put(struct table *t, const char *format, ...)
    PRINTF_LIKE(2, 3);                         /* the next cell, row by row */
void table_ink(struct table *t, enum ink ink); /* colours the last cell put */
void table_print(const struct table *t, struct cli *cli);

/* How many columns a UTF-8 text takes, each code point counted as one. */
size_t text_columns(const char *text);

#endif
