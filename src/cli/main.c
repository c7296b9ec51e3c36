/* rhodes, the one command that people type. This file turns the command line and the environment
 * into a struct cli, runs the verb, and makes sure that what could not be printed does not end in
 * success. */
#include <curl/curl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cli/help.h"
#include "cli/options.h"
#include "cli/text.h"

static bool wants_colour(FILE *out)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");

    return isatty(fileno(out)) && !(none && *none) && terminal && strcmp(terminal, "dumb") != 0;
}

static unsigned width_find(FILE *out)
{
    struct winsize size = { 0 };

    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 100;
}

static enum output output_from(const char *text)
{
    static const char *const names[] = { "table", "json", "yaml", "name" };

    for (unsigned i = 0; text && i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum output)i;
        }
    }
    return OUTPUT_TABLE;
}

/* --home into the environment, absolute, so that programs started from here find the same. */
static int home_set(struct cli *cli, const char *given)
{
    CLEANUP(memory_freep) char *path = NULL;
    char here[PATH_MAX];

    if (given) {
        if (*given == 0) {
            return complain(cli, EXIT_USAGE, "--home needs a directory");
        }
        if (*given != '/' && !getcwd(here, sizeof(here))) {
            return complain(cli, EXIT_FAILED, "the working directory is gone: %s",
                            rhodes_result_sentence(-errno));
        }
        path = *given == '/' ? text_copy(given) : text_make("%s/%s", here, given);
        if (setenv("RHODES_HOME", path, 1) < 0) {
            return complain(cli, EXIT_FAILED, "%s", rhodes_result_sentence(-errno));
        }
    }
    if (home_path(cli->home)) {
        return complain(cli, EXIT_USAGE,
                        "RHODES_HOME must be an absolute path of less than %d bytes",
                        HOME_PATH_BYTES_MAX - 256);
    }
    return 0;
}

static int usage_error(struct cli *cli, const struct arguments *arguments, const char *why)
{
    complain(cli, 0, "%s", why);
    if (arguments->verb) {
        usage_print(cli->err, arguments->verb);
    } else {
        say(cli->err, "usage: rhodes VERB [OPTION]... [ARGUMENT]...; rhodes help lists the verbs");
    }
    return EXIT_USAGE;
}

static int verb_run(struct cli *cli, const struct arguments *arguments)
{
    int r;

    if (arguments->help && arguments->verb) {
        help_verb_print(cli->out, arguments->verb);
        return EXIT_DONE;
    }
    if (!arguments->verb && arguments->help) {
        help_list_print(cli->out, arguments->group);
        return EXIT_DONE;
    }
    if (!arguments->verb) {
        help_list_print(cli->err, NULL);
        return EXIT_USAGE;
    }
    r = home_set(cli, arguments->home);
    r = r ? r : arguments->verb->run(cli, arguments);
    if (r == EXIT_USAGE) {
        usage_print(cli->err, arguments->verb);
    }
    return r;
}

int main(int argc, char **argv)
{
    struct cli cli = { .out = stdout, .err = stderr };
    struct arguments arguments;
    CLEANUP(memory_freep) char *why = NULL;
    int r;

    if (curl_global_init(CURL_GLOBAL_NOTHING)) {
        return complain(&cli, EXIT_FAILED, "HTTP cannot be set up");
    }
    cli.colour = wants_colour(stdout);
    cli.colour_err = wants_colour(stderr);
    cli.width = width_find(stdout);
    r = arguments_parse(argc, argv, verbs, &arguments, &why);
    cli.output = output_from(arguments.output);
    cli.quiet = arguments.quiet;
    r = r ? usage_error(&cli, &arguments, why) : verb_run(&cli, &arguments);
    if ((fflush(stdout) || ferror(stdout)) && r == EXIT_DONE) {
        r = complain(&cli, EXIT_FAILED, "standard output cannot be written: %s",
                     rhodes_result_sentence(-errno));
    }
    arguments_deinit(&arguments);
    curl_global_cleanup();
    return r;
}
