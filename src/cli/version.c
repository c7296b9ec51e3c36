/* rhodes version. */
#include "cli/options.h"
#include "cli/show.h"
#include "cli/text.h"

int version_run(struct cli *cli, const struct arguments *arguments)
{
    if (cli->output == OUTPUT_JSON || cli->output == OUTPUT_YAML) {
        json_t *value = json_pack("{s:s}", "version", RHODES_VERSION);

        show_value(cli, value);
        json_decref(value);
    } else {
        say(cli->out, "rhodes %s", RHODES_VERSION);
    }
    return EXIT_DONE;
}
