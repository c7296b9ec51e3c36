/* The one table of verbs: what is parsed, the usage lines, --help and docs/cli.md all come from it.
 */
#include "cli/change.h"
#include "cli/cli.h"

/* clang-format off */
#define PROTOCOL_OPTION { 0, "protocol", "PROTOCOL", "invocation protocol between the two agents: msgqueue or shm", false }
#define TIMEOUT_OPTION  { 0, "timeout", "D", "deadline of a call that names none: 50ms, 5s, 2m", false }

const struct verb verbs[] = {
    { "up", "", 0, 0, 0, "Start the center and wait until it is ready",
      "The center runs as a daemon and logs to center/center.log below the home directory. When one is up already, nothing\n"
      "happens. With --store memory everything is forgotten when the center ends.",
      "rhodes up",
      { { 0, "store", "sqlite|memory", "where objects are kept (default sqlite)", false } }, up_run },
    { "down", "", 0, 0, 0, "Stop the center, its agents and their programs",
      "Waits until the center's process is gone. No center is no error.", "rhodes down", { { 0 } }, down_run },
    { "status", "", 0, 0, VERB_OUTPUT, "Show the center: store, revision, agents in sync", NULL, "rhodes status", { { 0 } },
      status_run },
    { "apply", "", 0, 0, VERB_OUTPUT, "Register or change what manifests say, in one transaction",
      "Manifests are YAML 1.2 or JSON, one or several documents in a file. Either all of them take effect, under one\n"
      "revision, or none. Then it waits until the connected agents have the change in force, and says which have not.",
      "rhodes apply -f web.yaml -f net.yaml --delete link/application.a:service.b\n"
      "rhodes get -o yaml | sed s/50ms/20ms/ | rhodes apply -f -",
      { { 'f', "file", "FILE", "a manifest; - for standard input", true },
        { 0, "delete", "KIND/NAME", "delete this in the same transaction", true },
        CHANGE_OPTIONS }, apply_run },
    { "get", "[KIND [NAME]]", 0, 2, VERB_OUTPUT, "List objects, or print one",
      "KIND is application, service, driver, hardware, link or hierarchy; KIND/NAME is the same as KIND NAME. What -o yaml\n"
      "prints can be applied again, and is then refused when the object has changed meanwhile.",
      "rhodes get services\nrhodes get driver/netdriver -o yaml", { { 0 } }, get_run },
    { "describe", "KIND NAME", 1, 2, VERB_OUTPUT, "Show an object, its functions, callers, callees and agent",
      "KIND/NAME is the same as KIND NAME.", "rhodes describe service tcp", { { 0 } }, describe_run },
    { "delete", "KIND NAME...", 1, -1, VERB_OUTPUT, "Delete objects, in one transaction",
      "KIND/NAME... is the same. What others still refer to is not deleted.", "rhodes delete service tcp\n"
      "rhodes delete application/httpclient service/tcp", { CHANGE_OPTIONS }, delete_run },
    { "link set", "CALLER CALLEE", 2, 2, VERB_OUTPUT, "Set protocol or deadline of one pair",
      "The link is made when there is none. What is not named stays as it is.",
      "rhodes link set service/tcp driver/netdriver --protocol shm --timeout 50ms",
      { PROTOCOL_OPTION, TIMEOUT_OPTION, CHANGE_OPTIONS }, link_set_run },
    { "link allow", "CALLER CALLEE", 2, 2, VERB_OUTPUT, "Let this pair call again", NULL,
      "rhodes link allow service/tcp driver/netdriver", { PROTOCOL_OPTION, TIMEOUT_OPTION, CHANGE_OPTIONS }, link_allow_run },
    { "link deny", "CALLER CALLEE", 2, 2, VERB_OUTPUT, "Refuse the calls of this pair", NULL,
      "rhodes link deny service/tcp driver/netdriver", { CHANGE_OPTIONS }, link_deny_run },
    { "link show", "CALLER CALLEE", 2, 2, VERB_OUTPUT, "Show what is in force for one pair, and by which rule", NULL,
      "rhodes link show service/tcp driver/netdriver", { { 0 } }, link_show_run },
    { "layer show", "", 0, 0, VERB_OUTPUT, "Show the hierarchical rule: which layer calls which", NULL, "rhodes layer show",
      { { 0 } }, layer_show_run },
    { "layer set", "", 0, 0, VERB_OUTPUT, "Change the hierarchical rule",
      "An edge is CALLER:CALLEE, each end a layer (driver) or a resource (driver/netdriver). The center refuses a rule that\n"
      "references which are registered already would break.",
      "rhodes layer set --mode strict --add-edge driver/netdriver:service/tcp --upcall",
      { { 0, "mode", "below|strict", "a layer calls any layer below it, or only the next", false },
        { 0, "add-edge", "A:B", "allow A to call B as well", true },
        { 0, "remove-edge", "A:B", "take an added edge back", true },
        { 0, "upcall", NULL, "the added edges are upcalls: they may close a cycle", false },
        CHANGE_OPTIONS }, layer_set_run },
    { "matrix", "", 0, 0, VERB_OUTPUT, "Show the invocation matrix over the sets A, S, D and H",
      "1 is allowed, x is denied by a link, . is no reference. A matrix wider than the terminal becomes a list of edges.",
      "rhodes matrix", { { 0, "edges", NULL, "print the list of edges", false } }, matrix_run },
    { "call", "RESOURCE FUNCTION [ARGS]", 2, -1, VERB_OUTPUT, "Call a function of a resource",
      "ARGS is one JSON object or list, or for each parameter its value in order or NAME=VALUE. A list of u8 is given as a\n"
      "text, as hex:00ff, or as @FILE. Without --as the call goes to the resource's own agent as an operator's; with --as\n"
      "it goes out from that resource, so that the rules apply to it. The result is printed as JSON, the time per hop with\n"
      "--trace.",
      "rhodes call service/calculator add 2 3\n"
      "rhodes call driver/netdriver xmit frame=@frame.bin queue=0 --as service/tcp --trace",
      { { 0, "as", "RESOURCE", "call in the name of this resource, under its rules", false },
        { 0, "timeout", "D", "deadline of the call (default: what the link says)", false },
        { 0, "trace", NULL, "show the time per hop", false } }, call_run },
    { "run", "-- COMMAND [ARGUMENT]...", 1, -1, VERB_REST | VERB_NEEDS, "Run a command as the program of a resource",
      "Starts the agent of the resource, which starts the command. The exit status is the command's; 127 when there is no\n"
      "such command. Without a center it goes on by the rules that the agent kept from the last time.",
      "rhodes run --as application/httpclient -- ./httpclient --url /",
      { { 0, "as", "RESOURCE", "the resource that the command is", false } }, run_run },
    { "agent list", "", 0, 0, VERB_OUTPUT, "List the agents, and whether they have the rules in force", NULL,
      "rhodes agent list", { { 0 } }, agent_list_run },
    { "events", "", 0, 0, VERB_OUTPUT, "Show what happened", "With -o json each event of -f is one line.",
      "rhodes events -f", { { 'f', "follow", NULL, "go on as events happen", false },
        { 0, "limit", "N", "the last N events, up to 1000 (default 100)", false } }, events_run },
    { "explain", "CODE", 1, 1, VERB_OUTPUT, "Explain a code (RH1013) or a verdict (DENIED)", NULL, "rhodes explain RH1013",
      { { 0 } }, explain_run },
    { "api", "METHOD PATH", 2, 2, 0, "Send one request to the REST API and print the answer as it is", NULL,
      "rhodes api GET /v1/matrix\nrhodes api DELETE /v1/services/tcp -H 'If-Match: \"12\"'",
      { { 'd', "data", "BODY", "the body; @FILE or - for a file or standard input", false },
        { 'H', "header", "NAME: VALUE", "one more header", true } }, api_run },
    { "demo", "[ARGUMENT]...", 0, -1, VERB_PASS, "Run the demonstration",
      "It has a center and a home of its own and leaves nothing behind. Options that this verb does not have are the\n"
      "demonstration's: --simulated-nic does without network namespaces.", "rhodes demo\nrhodes demo --simulated-nic", { { 0 } },
      demo_run },
    { "version", "", 0, 0, VERB_OUTPUT, "Print the version", NULL, "rhodes version", { { 0 } }, version_run },
    { "help", "[VERB]", 0, 2, 0, "List the verbs, or explain one", NULL, "rhodes help link set",
      { { 0, "markdown", NULL, NULL, false } }, help_run },
    { .name = NULL },
};
/* clang-format on */
