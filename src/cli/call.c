/* rhodes call: one call, typed by what the callee declares. Without --as it goes to the callee's
 * own agent, as an operator's, and asks no rule; with --as it goes out from the agent of another
 * resource, exactly as that resource's program would call. */
#include <string.h>

#include "base/clock.h"
#include "cli/center.h"
#include "cli/kind.h"
#include "cli/options.h"
#include "cli/show.h"
#include "cli/text.h"
#include "cli/value.h"
#include "rhodes/rhodes.h"

#define AGENT_WAIT_NS (2 * NS_PER_S)

struct calling {
    struct cli *cli;
    char *callee, *agent; /* ids */
    const char *function;
    struct rhodes *session;
    struct rhodes_call *call;
    uint64_t timeout_ns, began_ns, shown;
    bool trace, own; /* own: as an operator at the callee's own agent */
};

static int result_exit(int r)
{
    return r == RHODES_DENIED || r == RHODES_NOT_BOUND ? EXIT_REFUSED : EXIT_FAILED;
}

static int call_refused(struct calling *c, int r, const char *sentence)
{
    return complain(c->cli, result_exit(r), "%s %s: %s: %s", c->callee, c->function,
                    rhodes_result_name(r),
                    sentence && *sentence ? sentence : rhodes_result_sentence(r));
}

static int session_open(struct calling *c, const struct named *agent)
{
    CLEANUP(memory_freep) char *dotted = id_dotted(agent);
    CLEANUP(memory_freep) char *path = text_make("%s/agents/%s/agent.sock", c->cli->home, dotted);
    struct rhodes_options options = { .size = sizeof(options),
                                      .agent = path,
                                      .resource = c->agent,
                                      .flags = RHODES_OPEN_OPERATOR,
                                      .timeout_ns = AGENT_WAIT_NS };
    int r;

    if (access(path, F_OK) < 0 && errno != ENOENT && errno != ENOTDIR) {
        return complain(c->cli, EXIT_FAILED, "the agent of %s cannot be reached at %s: %s",
                        c->agent, c->cli->home, rhodes_result_sentence(-errno));
    }
    if (access(path, F_OK) < 0 && !center_ready(c->cli)) {
        return complain(c->cli, EXIT_NO_CENTER, "no center at %s; start one with: rhodes up",
                        c->cli->home);
    }
    r = rhodes_open(&options, &c->session);
    if (r == -ENOENT || r == -ECONNREFUSED || r == -ETIMEDOUT) {
        complain(c->cli, 0, "no agent of %s is running", c->agent);
        say(c->cli->err, "  next: rhodes describe %s", c->agent);
        return EXIT_FAILED;
    }
    return r ? call_refused(c, r, rhodes_open_error()) : 0;
}

static void hops_print(struct cli *cli, const struct rhodes_hops *hops)
{
    static const char *const heads[] = { "HOP", "AT us", "TOOK us" };
    const struct {
        const char *name;
        uint64_t at;
    } rows[] = { { "the caller's agent judged", hops->caller_agent },
                 { "the callee's agent judged", hops->callee_agent },
                 { "the function began", hops->started },
                 { "the function ended", hops->done },
                 { "the callee's agent passed the reply", hops->callee_agent_reply },
                 { "the caller's agent passed the reply", hops->caller_agent_reply },
                 { "the caller has it", hops->total } };
    struct cli to_err = *cli;
    uint64_t before = 0;
    struct table t;

    to_err.out = cli->err; /* the result alone is on standard output */
    to_err.colour = cli->colour_err;
    table_init(&t, heads, 3);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].at) {
            table_put(&t, "%s", rows[i].name);
            table_put(&t, "%.1f", (double)rows[i].at / 1e3);
            table_put(&t, "%.1f",
                      (double)(rows[i].at - (before < rows[i].at ? before : rows[i].at)) / 1e3);
            before = rows[i].at;
        }
    }
    fflush(cli->out);
    table_print(&t, &to_err);
    table_deinit(&t);
    if (hops->protocol && *hops->protocol) {
        say(cli->err, "between the agents: %s", hops->protocol);
    }
}

static int result_print(struct calling *c, struct rhodes_function *f)
{
    const struct rhodes_type *type = rhodes_function_result(f);
    struct rhodes_hops hops = { 0 };
    json_t *value = NULL;
    int r = type ? value_get(rhodes_call_result(c->call), type, &value) : 0;

    if (r) {
        return call_refused(c, r, "the result is not of the type that was bound");
    }
    if (value) {
        show_value(c->cli, value);
    } else {
        report(c->cli, "done");
    }
    json_decref(value);
    if (c->trace && rhodes_call_hops(c->call, &hops) == 0) {
        hops_print(c->cli, &hops);
    }
    return EXIT_DONE;
}

static bool on_wait(void *data)
{
    struct calling *c = data;

    progress_show(c->cli, "waiting for the reply", c->began_ns, &c->shown);
    return false;
}

static int call_make(struct calling *c, const char *const *words, size_t words_count)
{
    struct rhodes_function *f = NULL;
    struct value_why why = { 0 };
    int r = rhodes_bind(c->session, c->own ? "" : c->callee, c->function, NULL, NULL, &f);

    if (r) {
        return call_refused(c, r, rhodes_bind_error(c->session));
    }
    r = rhodes_call_new(c->session, &c->call);
    if (r) {
        return call_refused(c, r, NULL);
    }
    rhodes_call_trace(c->call, c->trace);
    rhodes_call_on_wait(c->call, on_wait, c);
    r = words_put(rhodes_call_begin(c->call, f), rhodes_function_parameters(f), words, words_count,
                  &why);
    if (r) {
        complain(c->cli, 0, "%s%s%s", why.where, *why.where ? ": " : "",
                 *why.text ? why.text : rhodes_result_sentence(r));
        say(c->cli->err, "  %s provides %s", c->callee, rhodes_function_signature(f));
        return EXIT_FAILED;
    }
    c->began_ns = clock_ns();
    r = rhodes_call_run(c->call, c->timeout_ns);
    progress_end(c->cli, c->shown);
    return r ? call_refused(c, r, rhodes_call_error(c->call)) : result_print(c, f);
}

int call_run(struct cli *cli, const struct arguments *arguments)
{
    const char *as = option_value(arguments, "as", NULL),
               *timeout = option_value(arguments, "timeout", "0");
    struct calling c = { .cli = cli,
                         .function = arguments->positional[1],
                         .trace = option_given(arguments, "trace"),
                         .own = !as };
    struct named callee, agent;
    int r = id_parse(cli, arguments->positional[0], &callee);

    r = r ? r : id_parse(cli, as ? as : arguments->positional[0], &agent);
    if (r) {
        return r;
    }
    if (duration_parse(timeout, &c.timeout_ns)) {
        return complain(cli, EXIT_USAGE, "--timeout is a duration such as 50ms, 5s or 2m, not '%s'",
                        timeout);
    }
    if (as && callee.kind == agent.kind && strcmp(callee.name, agent.name) == 0) {
        return complain(cli, EXIT_USAGE,
                        "no resource calls itself; leave --as out to call %s as an operator", as);
    }
    c.callee = id_make(callee.kind, callee.name);
    c.agent = id_make(agent.kind, agent.name);
    r = session_open(&c, &agent);
    r = r ? r : call_make(&c, arguments->positional + 2, arguments->positional_count - 2);
    c.call = rhodes_call_free(c.call);
    c.session = rhodes_close(c.session);
    free(c.callee);
    free(c.agent);
    return r;
}
