/* Printing, with nothing trusted. The escape works on code points rather than bytes, because C1
 * controls (U+0080 to U+009F) and the bidirectional overrides are valid UTF-8 and still move what a
 * person sees; bytes that are not UTF-8 are shown as \xNN. Colours are written around cells, after
 * their width is known. */
#include "cli/text.h"

#include <stdarg.h>
#include <string.h>

static _Noreturn void memory_out(void)
{
    static const char sentence[] = "rhodes: out of memory\n";

    if (write(STDERR_FILENO, sentence, sizeof(sentence) - 1) < 0) {
        _exit(EXIT_FAILED);
    }
    _exit(EXIT_FAILED);
}

void *memory_make(size_t bytes)
{
    void *at = calloc(1, bytes ? bytes : 1);

    if (!at) {
        memory_out();
    }
    return at;
}

void *memory_resize(void *old, size_t bytes)
{
    void *at = realloc(old, bytes ? bytes : 1);

    if (!at) {
        memory_out();
    }
    return at;
}

char *text_copy(const char *text)
{
    size_t bytes = strlen(text) + 1;

    return memcpy(memory_make(bytes), text, bytes);
}

PRINTF_LIKE(1, 0) static char *text_vmake(const char *format, va_list arguments)
{
    char *text = NULL;

    if (vasprintf(&text, format, arguments) < 0) {
        memory_out();
    }
    return text;
}

char *text_make(const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = text_vmake(format, arguments);
    va_end(arguments);
    return text;
}

size_t text_point(const char *text, size_t left, uint32_t *ret)
{
    const unsigned char *at = (const unsigned char *)text;
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = at[0] < 0x80   ? 1
               : at[0] < 0xc2 ? 0
               : at[0] < 0xe0 ? 2
               : at[0] < 0xf0 ? 3
               : at[0] < 0xf5 ? 4
                              : 0;
    uint32_t point;

    if (n == 0 || n > left) {
        return 0;
    }
    point = n == 1 ? at[0] : at[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        point = point << 6 | (at[i] & 0x3fu);
    }
    if (point < least[n] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
        return 0;
    }
    *ret = point;
    return n;
}

bool point_is_plain(uint32_t point)
{
    return point >= 0x20 && !(point >= 0x7f && point < 0xa0) &&
           !(point >= 0x202a && point <= 0x202e) && !(point >= 0x2066 && point <= 0x2069) &&
           point != 0x200e && point != 0x200f && point != 0x2028 && point != 0x2029 &&
           point != 0xfeff;
}

char *text_escape(const char *text, size_t bytes)
{
    char *escaped = memory_make(bytes * 8 + 1), *to = escaped;

    for (size_t i = 0; i < bytes;) {
        uint32_t point = 0;
        size_t n = text_point(text + i, bytes - i, &point);

        if (n == 0) {
            to += sprintf(to, "\\x%02x", (unsigned char)text[i]);
            n = 1;
        } else if (point_is_plain(point)) {
            memcpy(to, text + i, n);
            to += n;
        } else {
            to += point < 0x80 ? sprintf(to, "\\x%02x", point) : sprintf(to, "\\u{%x}", point);
        }
        i += n;
    }
    *to = 0;
    return escaped;
}

PRINTF_LIKE(2, 0) static void line_put(FILE *out, const char *format, va_list arguments)
{
    CLEANUP(memory_freep) char *text = text_vmake(format, arguments);
    CLEANUP(memory_freep) char *escaped = text_escape(text, strlen(text));

    fputs(escaped, out);
    fputc('\n', out);
}

char *text_real(double number)
{
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        if (strtod(text, NULL) == number) {
            break;
        }
    }
    return text_make("%s%s", text, text[strcspn(text, ".e")] ? "" : ".0");
}

void say(FILE *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    line_put(out, format, arguments);
    va_end(arguments);
}

int complain(struct cli *cli, int code, const char *format, ...)
{
    va_list arguments;

    fflush(cli->out);
    fputs(cli->colour_err ? "\033[31mrhodes:\033[0m " : "rhodes: ", cli->err);
    va_start(arguments, format);
    line_put(cli->err, format, arguments);
    va_end(arguments);
    return code;
}

void report(struct cli *cli, const char *format, ...)
{
    va_list arguments;

    if (cli->quiet) {
        return;
    }
    va_start(arguments, format);
    line_put(cli->out, format, arguments);
    va_end(arguments);
}

size_t text_columns(const char *text)
{
    size_t columns = 0;

    for (; *text; text++) {
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return columns;
}

static char **cell_add(struct table *t)
{
    if (t->used == t->room) {
        t->room = t->room ? t->room * 2 : 64;
        t->cells = memory_resize(t->cells, t->room * sizeof(*t->cells));
        t->inks = memory_resize(t->inks, t->room * sizeof(*t->inks));
    }
    t->inks[t->used] = INK_NONE;
    return &t->cells[t->used++];
}

void table_init(struct table *t, const char *const *heads, size_t columns)
{
    *t = (struct table){ .columns = columns };
    for (size_t i = 0; heads && i < columns; i++) {
        *cell_add(t) = text_copy(heads[i]);
        table_ink(t, INK_DIM);
    }
}

void table_deinit(struct table *t)
{
    for (size_t i = 0; i < t->used; i++) {
        free(t->cells[i]);
    }
    free(t->cells);
    free(t->inks);
    *t = (struct table){ 0 };
}

void table_put(struct table *t, const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = text_vmake(format, arguments);
    va_end(arguments);
    *cell_add(t) = text_escape(text, strlen(text));
    free(text);
}

void table_ink(struct table *t, enum ink ink)
{
    t->inks[t->used - 1] = ink;
}

static const char *ink_begin(enum ink ink)
{
    static const char *const codes[] = { "",         "\033[31m", "\033[32m",
                                         "\033[33m", "\033[2m",  "\033[1m" };

    return codes[ink];
}

void table_print(const struct table *t, struct cli *cli)
{
    CLEANUP(memory_freep) size_t *widths = memory_make(t->columns * sizeof(*widths));

    for (size_t i = 0; i < t->used; i++) {
        size_t columns = text_columns(t->cells[i]);

        widths[i % t->columns] =
            columns > widths[i % t->columns] ? columns : widths[i % t->columns];
    }
    for (size_t i = 0; i < t->used; i++) {
        bool last = (i + 1) % t->columns == 0, inked = cli->colour && t->inks[i] != INK_NONE;
        size_t gap = widths[i % t->columns] + 2 - text_columns(t->cells[i]);

        fprintf(cli->out, "%s%s%s", inked ? ink_begin(t->inks[i]) : "", t->cells[i],
                inked ? "\033[0m" : "");
        for (; !last && gap > 0; gap--) {
            fputc(' ', cli->out);
        }
        if (last) {
            fputc('\n', cli->out);
        }
    }
}
