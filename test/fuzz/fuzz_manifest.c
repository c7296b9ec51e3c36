/* Any bytes as a manifest: the decoder neither crashes nor hangs, what it takes can be written as
 * YAML, and that reads back as the same value. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "cli/manifest.h"
#include "cli/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 loses its own stacks when a text ends in the middle of a deep nesting. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct manifests first = { 0 }, second = { 0 };
    struct manifest_error why;

    if (manifests_decode(&first, "fuzz", (const char *)data, bytes, &why) == 0) {
        for (size_t i = 0; i < first.count; i++) {
            char *yaml = yaml_make(first.documents[i].json);
            size_t before = second.count;
            unsigned line = 0, column = 0;
            int r;

            assert(yaml);
            document_place(&first.documents[i], "/a/0", false, &line, &column);
            assert(line > 0 && column > 0);
            r = manifests_decode(&second, "again", yaml, strlen(yaml), &why);
            assert(r == 0 ||
                   r == RHODES_OVER_LIMIT); /* aliases may expand past the limit of a text */
            assert(r || json_equal(second.documents[before].json, first.documents[i].json));
            free(yaml);
        }
    }
    manifests_deinit(&first);
    manifests_deinit(&second);
    return 0;
}
