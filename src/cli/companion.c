/* Programs are found beside /proc/self/exe and nowhere else: a PATH could hold those of another
 * version, and the parts of Rhodes speak to each other in the form of their own. */
#include "cli/companion.h"

#include <limits.h>
#include <string.h>

#include "cli/text.h"

int companion_find(struct cli *cli, const char *name, int access_mode, char **ret)
{
    char own[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *slash, *path;

    if (n <= 0) {
        return complain(cli, EXIT_FAILED, "cannot tell where this program is: %s",
                        rhodes_result_sentence(-errno));
    }
    own[n] = 0;
    slash = strrchr(own, '/');
    *(slash ? slash : own) = 0;
    path = text_make("%s/%s", own, name);
    if (access(path, access_mode) < 0) {
        complain(cli, 0, "%s is missing: %s", path, rhodes_result_sentence(-errno));
        free(path);
        return EXIT_FAILED;
    }
    *ret = path;
    return 0;
}
