/* rhodes demo: becomes the demonstration that is installed with this program. */
#include <string.h>

#include "cli/companion.h"
#include "cli/options.h"
#include "cli/text.h"

int demo_run(struct cli *cli, const struct arguments *arguments)
{
    CLEANUP(memory_freep) char *path = NULL;
    CLEANUP(memory_freep) const char **argv = NULL;
    int r = companion_find(cli, "../share/rhodes/demo/demo.py", R_OK, &path);

    if (r) {
        return r;
    }
    argv = memory_make((arguments->positional_count + 3) * sizeof(*argv));
    argv[0] = "python3";
    argv[1] = path;
    memcpy(argv + 2, arguments->positional, arguments->positional_count * sizeof(*argv));
    fflush(NULL);
    execvp("python3", (char *const *)(uintptr_t)argv);
    return complain(cli, EXIT_FAILED, "python3 cannot be started: %s",
                    rhodes_result_sentence(-errno));
}
