/* A parser for the part of WIT that Rhodes types functions with: recursive descent over the text
 * itself, one token ahead.
 *
 * Named types may be used before they are defined, as in WIT: a first pass only notes where each
 * definition stands; the second parses them all, and one that is needed earlier is parsed out of
 * turn by moving the cursor there and back. Recursion is bounded by WIT_DEPTH_MAX levels of the
 * expanded type, counted across names, so neither nesting nor chains of names can exhaust the
 * stack. The other way, a table of unresolved names and a resolver, takes a second tree and says
 * less about where an error is. */
#include "model/wit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "model/refusal.h"
#include "model/wit_type.h"

#define WIT_NAME_BYTES_MAX 64 /* letters of a name, without NUL */

enum token_kind { TOKEN_END, TOKEN_BAD, TOKEN_NAME, TOKEN_SIGN, TOKEN_ARROW };

struct token {
    enum token_kind kind;
    const char *at;
    size_t bytes;
};

enum definition_state { DEFINITION_NOTED, DEFINITION_OPEN, DEFINITION_DONE };

struct definition {
    struct token keyword, name;
    enum definition_state state;
    struct wit_type *type;
    unsigned height; /* levels of the expanded type, names counted */
};

struct source {
    const char *what; /* "types" or "function" */
    const char *text;
};

struct parser {
    struct wit_arena *arena;
    struct wit_error *error;
    struct source source;
    const char *at;     /* behind `token` */
    struct token token; /* the next one, not yet taken */
    const char *types;
    struct definition *definitions;
    size_t definitions_count;
};

/* The memory of a function: what callers see stands first. */
struct function {
    struct wit_function seen;
    struct wit_arena arena;
};

__attribute__((format(printf, 4, 5))) static int fail(struct parser *p, int verdict, const char *at,
                                                      const char *format, ...)
{
    va_list arguments;
    size_t used;

    p->error->line = p->error->column = 1;
    for (const char *c = p->source.text; c < at; c++) {
        if (*c == '\n') {
            p->error->line++;
            p->error->column = 1;
        } else if (((unsigned char)*c & 0xc0) != 0x80) {
            p->error->column++;
        }
    }
    used = (size_t)snprintf(p->error->message, sizeof(p->error->message), "%s: ", p->source.what);
    va_start(arguments, format);
    vsnprintf(p->error->message + used, sizeof(p->error->message) - used, format, arguments);
    va_end(arguments);
    return verdict;
}

static int fail_memory(struct parser *p)
{
    snprintf(p->error->message, sizeof(p->error->message), "out of memory");
    return failed(-ENOMEM);
}

/* The token as it stands in a message: quoted, escaped, short. */
static const char *token_quote(const struct token *t, char ret[QUOTED_BYTES_MAX])
{
    char text[40] = "";

    if (t->kind == TOKEN_END) {
        return "the end";
    }
    memcpy(text, t->at, t->bytes < sizeof(text) - 1 ? t->bytes : sizeof(text) - 1);
    return text_quote(text, ret);
}

static int fail_expected(struct parser *p, const char *what)
{
    char found[QUOTED_BYTES_MAX];

    return fail(p, RHODES_INVALID, p->token.at, "expected %s, found %s", what,
                token_quote(&p->token, found));
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Behind blanks and comments; at the start of a comment that does not end. */
static const char *blanks_skip(const char *at)
{
    for (;;) {
        const char *end;

        at += strspn(at, " \t\r\n");
        if (at[0] != '/' || (at[1] != '/' && at[1] != '*')) {
            return at;
        }
        if (at[1] == '/') {
            at += strcspn(at, "\n");
            continue;
        }
        end = strstr(at + 2, "*/");
        if (!end) {
            return at;
        }
        at = end + 2;
    }
}

/* Takes the current token: reads the next. */
static void advance(struct parser *p)
{
    const char *at = blanks_skip(p->at), *end = at;
    enum token_kind kind = TOKEN_BAD;

    if (*at == 0) {
        kind = TOKEN_END;
    } else if (is_letter(*at) || (*at == '%' && is_letter(at[1]))) {
        kind = TOKEN_NAME;
        for (end++;
             is_letter(*end) || (*end >= '0' && *end <= '9') || (*end == '-' && end[1] != '>');
             end++) {
        }
    } else if (at[0] == '-' && at[1] == '>') {
        kind = TOKEN_ARROW;
        end += 2;
    } else {
        kind = strchr("{}<>():,=;", *at) ? TOKEN_SIGN : TOKEN_BAD;
        end++;
    }
    p->token = (struct token){ kind, at, (size_t)(end - at) };
    p->at = end;
}

static void source_enter(struct parser *p, const char *what, const char *text, const char *at)
{
    p->source = (struct source){ what, text };
    p->at = at;
    advance(p);
}

static bool token_is(const struct token *t, const char *word)
{
    return (t->kind == TOKEN_NAME || t->kind == TOKEN_SIGN) && strlen(word) == t->bytes &&
           memcmp(t->at, word, t->bytes) == 0;
}

/* Takes the token when it is `word`. */
static bool accept(struct parser *p, const char *word)
{
    if (!token_is(&p->token, word)) {
        return false;
    }
    advance(p);
    return true;
}

static int expect(struct parser *p, const char *sign)
{
    char what[8];

    if (accept(p, sign)) {
        return 0;
    }
    snprintf(what, sizeof(what), "'%s'", sign);
    return fail_expected(p, what);
}

/* Words of WIT that this subset leaves out. */
static bool is_left_out(const struct token *t)
{
    static const char *const words[] = {
        "resource", "variant", "flags",   "result", "own",     "borrow",  "stream",
        "future",   "async",   "static",  "use",    "import",  "export",  "interface",
        "world",    "package", "include", "union",  "float32", "float64", "error-context",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (token_is(t, words[i])) {
            return true;
        }
    }
    return false;
}

static int fail_left_out(struct parser *p)
{
    return fail(p, RHODES_INVALID, p->token.at, "%.*s is not supported yet", (int)p->token.bytes,
                p->token.at);
}

/* Kebab-case: words of one case, joined by single '-', each beginning with a letter. */
static bool is_kebab(const char *at, size_t bytes)
{
    bool begin = true, upper = false;

    for (size_t i = 0; i < bytes; i++) {
        char c = at[i];

        if (c == '-') {
            if (begin) {
                return false;
            }
            begin = true;
        } else if (begin) {
            if (!is_letter(c)) {
                return false;
            }
            upper = c <= 'Z';
            begin = false;
        } else if (is_letter(c) && (c <= 'Z') != upper) {
            return false;
        }
    }
    return !begin;
}

/* Takes a name; the '%' that lets a keyword be one is left away. */
static int parse_name(struct parser *p, const char *what, struct token *ret)
{
    struct token t = p->token;
    char text[QUOTED_BYTES_MAX];

    if (t.kind != TOKEN_NAME) {
        return fail_expected(p, what);
    }
    if (*t.at == '%') {
        t.at++;
        t.bytes--;
    }
    if (t.bytes > WIT_NAME_BYTES_MAX) {
        return fail(p, RHODES_OVER_LIMIT, t.at, "the name %s is longer than %d letters",
                    token_quote(&t, text), WIT_NAME_BYTES_MAX);
    }
    if (!is_kebab(t.at, t.bytes)) {
        return fail(p, RHODES_INVALID, t.at,
                    "%s is not kebab-case (words of letters and digits, joined by '-')",
                    token_quote(&t, text));
    }
    advance(p);
    *ret = t;
    return 0;
}

/* Members while they are collected; they move to the arena when their count is known. */
struct members {
    size_t count;
    char *names[WIT_FIELDS_MAX];
    struct wit_type *types[WIT_FIELDS_MAX];
};

static int parse_type(struct parser *p, unsigned depth, struct wit_type **ret,
                      unsigned *ret_height);

/* A name that no other of the members has; WIT compares them without case. */
static int parse_member_name(struct parser *p, const char *what, struct members *m)
{
    struct token name;
    int r = parse_name(p, what, &name);

    if (r) {
        return r;
    }
    for (size_t i = 0; i < m->count; i++) {
        if (strlen(m->names[i]) == name.bytes &&
            strncasecmp(m->names[i], name.at, name.bytes) == 0) {
            return fail(p, RHODES_INVALID, name.at, "%s stands twice", m->names[i]);
        }
    }
    m->names[m->count] = wit_arena_text(p->arena, name.at, name.bytes);
    return m->names[m->count] ? 0 : fail_memory(p);
}

/* What stands between a pair of brackets: "NAME: TYPE", "NAME" or "TYPE", joined by commas; one may
 * follow the last. */
struct list_form {
    const char *what, *end;
    bool names, types;
};

static int parse_members(struct parser *p, const struct list_form *form, unsigned depth,
                         struct members *m, unsigned *height)
{
    int r = 0;

    while (r == 0 && !accept(p, form->end)) {
        unsigned h = 0;

        if (m->count == WIT_FIELDS_MAX) {
            return fail(p, RHODES_OVER_LIMIT, p->token.at, "more than %d %ss", WIT_FIELDS_MAX,
                        form->what);
        }
        r = form->names ? parse_member_name(p, form->what, m) : 0;
        if (r == 0 && form->names && form->types) {
            r = expect(p, ":");
        }
        if (r == 0 && form->types) {
            r = parse_type(p, depth, &m->types[m->count], &h);
        }
        m->count += r == 0;
        *height = h > *height ? h : *height;
        if (r == 0 && !accept(p, ",")) {
            return expect(p, form->end);
        }
    }
    return r;
}

/* Makes the type of collected members. */
static int type_make(struct parser *p, enum wit_kind kind, const struct members *m,
                     const struct list_form *form, const char *at, struct wit_type **ret)
{
    struct wit_type *t = wit_arena_get(p->arena, sizeof(*t));
    size_t bytes = (m ? m->count : 0) * sizeof(void *);
    int r;

    if (!t) {
        return fail_memory(p);
    }
    t->kind = kind;
    if (m) {
        t->members_count = (uint32_t)m->count;
        t->names = form->names ? wit_arena_get(p->arena, bytes + 1) : NULL;
        t->members = form->types ? wit_arena_get(p->arena, bytes + 1) : NULL;
        if ((form->names && !t->names) || (form->types && !t->members)) {
            return fail_memory(p);
        }
        if (t->names) {
            memcpy(t->names, m->names, bytes);
        }
        if (t->members) {
            memcpy(t->members, m->types, bytes);
        }
    }
    r = wit_type_layout(p->arena, t);
    if (r > 0) {
        return fail(p, r, at, "one value would take more than %d bytes", WIT_TYPE_BYTES_MAX);
    }
    *ret = t;
    return r < 0 ? fail_memory(p) : 0;
}

/* The bracketed part of a composite; the opening bracket is the current token. */
static int parse_composite(struct parser *p, enum wit_kind kind, unsigned depth,
                           struct wit_type **ret, unsigned *ret_height)
{
    static const struct list_form forms[] = {
        [WIT_RECORD] = { "field", "}", true, true }, [WIT_ENUM] = { "case", "}", true, false },
        [WIT_TUPLE] = { "type", ">", false, true },  [WIT_LIST] = { "type", ">", false, true },
        [WIT_OPTION] = { "type", ">", false, true },
    };
    const struct list_form *form = &forms[kind];
    struct members *m;
    const char *at = p->token.at;
    unsigned height = 0;
    int r = expect(p, *form->end == '}' ? "{" : "<");

    if (r) {
        return r;
    }
    m = calloc(1, sizeof(*m)); /* too large for the stack of a recursion */
    if (!m) {
        return fail_memory(p);
    }
    r = parse_members(p, form, depth + 1, m, &height);
    if (r == 0 && m->count == 0) {
        r = fail(p, RHODES_INVALID, at, "%s without a %s", wit_kind_name(kind), form->what);
    } else if (r == 0 && m->count > 1 && (kind == WIT_LIST || kind == WIT_OPTION)) {
        r = fail(p, RHODES_INVALID, at, "%s takes one type", wit_kind_name(kind));
    }
    r = r ? r : type_make(p, kind, m, form, at, ret);
    free(m);
    *ret_height = height + 1;
    return r;
}

static int kind_find(const struct token *t, enum wit_kind *ret)
{
    for (enum wit_kind k = WIT_BOOL; k <= WIT_ENUM; k++) {
        if (token_is(t, wit_kind_name(k))) {
            *ret = k;
            return 0;
        }
    }
    return RHODES_NOT_FOUND;
}

static int fail_deep(struct parser *p, const char *at)
{
    return fail(p, RHODES_OVER_LIMIT, at, "types nest deeper than %d", WIT_DEPTH_MAX);
}

/* Parses the body of a definition; the cursor stands behind its name. */
static int parse_definition(struct parser *p, struct definition *d, unsigned depth)
{
    int r;

    d->state = DEFINITION_OPEN;
    if (token_is(&d->keyword, "type")) {
        r = expect(p, "=");
        r = r ? r : parse_type(p, depth + 1, &d->type, &d->height);
        d->height++;
    } else {
        r = parse_composite(p, token_is(&d->keyword, "enum") ? WIT_ENUM : WIT_RECORD, depth,
                            &d->type, &d->height);
    }
    d->state = DEFINITION_DONE;
    return r;
}

/* A definition that is needed now is parsed now, and the cursor comes back. */
static int definition_need(struct parser *p, struct definition *d, unsigned depth)
{
    struct source source = p->source;
    const char *at = p->at;
    struct token token = p->token;
    int r;

    source_enter(p, "types", p->types, d->name.at + d->name.bytes);
    r = parse_definition(p, d, depth);
    if (r == 0) {
        p->source = source;
        p->at = at;
        p->token = token;
    }
    return r;
}

static struct definition *definition_find(struct parser *p, const struct token *name)
{
    for (size_t i = 0; i < p->definitions_count; i++) {
        struct definition *d = &p->definitions[i];

        if (d->name.bytes == name->bytes && strncasecmp(d->name.at, name->at, name->bytes) == 0) {
            return d;
        }
    }
    return NULL;
}

static int parse_type_name(struct parser *p, unsigned depth, struct wit_type **ret,
                           unsigned *ret_height)
{
    const char *at = p->token.at;
    char text[QUOTED_BYTES_MAX];
    struct definition *d;
    struct token name;
    int r;

    if (is_left_out(&p->token)) {
        return fail_left_out(p);
    }
    r = parse_name(p, "a type", &name);
    if (r) {
        return r;
    }
    d = definition_find(p, &name);
    if (!d) {
        return fail(p, RHODES_INVALID, at, "there is no type %s", token_quote(&name, text));
    }
    if (d->state == DEFINITION_OPEN) {
        return fail(p, RHODES_INVALID, at, "the type %s contains itself", token_quote(&name, text));
    }
    r = d->state == DEFINITION_NOTED ? definition_need(p, d, depth) : 0;
    if (r == 0 && depth + d->height - 1 > WIT_DEPTH_MAX) {
        return fail_deep(p, at);
    }
    *ret = d->type;
    *ret_height = d->height;
    return r;
}

static int parse_type(struct parser *p, unsigned depth, struct wit_type **ret, unsigned *ret_height)
{
    enum wit_kind kind;
    const char *at = p->token.at;

    if (depth > WIT_DEPTH_MAX) {
        return fail_deep(p, at);
    }
    if (kind_find(&p->token, &kind)) {
        return parse_type_name(p, depth, ret, ret_height);
    }
    advance(p);
    if (kind >= WIT_LIST) {
        return parse_composite(p, kind, depth, ret, ret_height);
    }
    *ret_height = 1;
    return type_make(p, kind, NULL, NULL, at, ret);
}

/* Moves behind a definition's body without judging it: to the end of its brackets, then of what may
 * follow. */
static void body_skip(struct parser *p)
{
    int depth = 0;

    if (accept(p, "=") && p->token.kind == TOKEN_NAME) {
        advance(p);
        if (!token_is(&p->token, "{") && !token_is(&p->token, "<")) {
            accept(p, ";");
            return;
        }
    }
    do {
        depth += token_is(&p->token, "{") || token_is(&p->token, "<");
        depth -= token_is(&p->token, "}") || token_is(&p->token, ">");
        if (p->token.kind == TOKEN_END) {
            return;
        }
        advance(p);
    } while (depth > 0);
    accept(p, ";");
}

static int definition_note(struct parser *p)
{
    struct definition *d = &p->definitions[p->definitions_count];
    enum wit_kind kind;
    char text[QUOTED_BYTES_MAX];
    int r;

    d->keyword = p->token;
    if (is_left_out(&p->token)) {
        return fail_left_out(p);
    }
    if (!accept(p, "record") && !accept(p, "enum") && !accept(p, "type")) {
        return fail_expected(p, "record, enum or type");
    }
    r = parse_name(p, "a name", &d->name);
    if (r) {
        return r;
    }
    if (kind_find(&d->name, &kind) == 0 || is_left_out(&d->name)) {
        return fail(p, RHODES_INVALID, d->name.at, "%s is a word of WIT",
                    token_quote(&d->name, text));
    }
    if (definition_find(p, &d->name)) {
        return fail(p, RHODES_INVALID, d->name.at, "the type %s stands twice",
                    token_quote(&d->name, text));
    }
    p->definitions_count++;
    body_skip(p);
    return 0;
}

static int parse_definitions(struct parser *p)
{
    int r = 0;

    source_enter(p, "types", p->types, p->types);
    while (r == 0 && p->token.kind != TOKEN_END) {
        r = definition_note(p);
    }
    for (size_t i = 0; i < p->definitions_count && r == 0; i++) {
        if (p->definitions[i].state == DEFINITION_NOTED) {
            r = definition_need(p, &p->definitions[i], 1);
        }
    }
    return r;
}

static int parse_function(struct parser *p, const char *text, struct wit_function *f)
{
    static const struct list_form form = { "parameter", ")", true, true };
    CLEANUP(memory_freep) struct members *m = calloc(1, sizeof(*m));
    struct token name;
    unsigned height = 0;
    int r;

    if (!m) {
        return fail_memory(p);
    }
    source_enter(p, "function", text, text);
    r = parse_name(p, "the function's name", &name);
    r = r ? r : expect(p, ":");
    if (r == 0 && is_left_out(&p->token)) {
        return fail_left_out(p);
    }
    if (r == 0 && !accept(p, "func")) {
        return fail_expected(p, "func");
    }
    r = r ? r : expect(p, "(");
    r = r ? r : parse_members(p, &form, 1, m, &height);
    r = r ? r : type_make(p, WIT_RECORD, m, &form, text, &f->parameters);
    if (r == 0 && p->token.kind == TOKEN_ARROW) {
        advance(p);
        r = parse_type(p, 1, &f->result, &height);
    }
    if (r) {
        return r;
    }
    accept(p, ";");
    if (p->token.kind != TOKEN_END) {
        return fail_expected(p, "the end");
    }
    f->name = wit_arena_text(p->arena, name.at, name.bytes);
    return f->name ? 0 : fail_memory(p);
}

static int signature_make(struct parser *p, struct wit_function *f)
{
    struct bytes b;
    int r;

    bytes_init(&b, WIT_TEXT_BYTES_MAX);
    wit_function_write(&b, f);
    r = b.error;
    if (r == RHODES_OVER_LIMIT) {
        fail(p, r, p->source.text, "the signature is longer than %d bytes with its types expanded",
             WIT_TEXT_BYTES_MAX);
    } else if (r == 0) {
        f->signature = wit_arena_text(p->arena, (const char *)b.data, b.used);
        f->id = hash_bytes(b.data, b.used);
    }
    bytes_deinit(&b);
    return r == RHODES_OVER_LIMIT || f->signature ? r : fail_memory(p);
}

static int text_bound(struct parser *p, const char *what, const char *text)
{
    p->source = (struct source){ what, text };
    if (strnlen(text, WIT_TEXT_BYTES_MAX + 1) > WIT_TEXT_BYTES_MAX) {
        return fail(p, RHODES_OVER_LIMIT, text, "longer than %d bytes", WIT_TEXT_BYTES_MAX);
    }
    return 0;
}

static int parse_all(struct parser *p, const char *text, struct wit_function *f)
{
    int r = text_bound(p, "types", p->types);

    r = r ? r : text_bound(p, "function", text);
    if (r) {
        return r;
    }
    /* Noting one takes a keyword, a blank and a name, 6 bytes or more; so many fit at most. */
    p->definitions = calloc(strlen(p->types) / 6 + 1, sizeof(*p->definitions));
    if (!p->definitions) {
        return fail_memory(p);
    }
    r = parse_definitions(p);
    r = r ? r : parse_function(p, text, f);
    r = r ? r : signature_make(p, f);
    free(p->definitions);
    return r;
}

int wit_function_parse(const char *text, const char *types, struct wit_function **ret,
                       struct wit_error *error)
{
    struct function *f = calloc(1, sizeof(*f));
    struct parser p = { .error = error, .types = types ? types : "" };
    int r;

    *error = (struct wit_error){ .line = 1, .column = 1 };
    if (!f) {
        return fail_memory(&p);
    }
    f->seen.references = 1;
    p.arena = &f->arena;
    r = parse_all(&p, text, &f->seen);
    if (r) {
        wit_function_unref(&f->seen);
        return r;
    }
    *ret = &f->seen;
    return 0;
}

struct wit_function *wit_function_ref(struct wit_function *f)
{
    __atomic_add_fetch(&f->references, 1, __ATOMIC_RELAXED);
    return f;
}

struct wit_function *wit_function_unref(struct wit_function *f)
{
    /* Pairs with the release of other holders: what they read was read before the memory goes. */
    if (f && __atomic_sub_fetch(&f->references, 1, __ATOMIC_ACQ_REL) == 0) {
        struct function *whole = (struct function *)f;

        wit_arena_deinit(&whole->arena);
        free(whole);
    }
    return NULL;
}
