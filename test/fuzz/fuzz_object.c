/* Documents: any JSON is refused with a code and a sentence, or taken into an object whose
 * normalised body is taken again and stays as it is. */
#include <assert.h>
#include <stdint.h>

#include "model/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    json_t *document = json_loadb((const char *)data, bytes, JSON_REJECT_DUPLICATES, NULL);
    struct object *o = NULL, *again = NULL;
    struct refusal why = { .problem = 0 };

    if (!document) {
        return 0;
    }
    if (object_parse(document, "/documents/0", &o, &why) == 0) {
        assert(object_parse(o->body, "", &again, &why) == 0);
        assert(json_equal(o->body, again->body));
    } else {
        assert(why.problem && why.detail[0]);
    }
    object_unref(o);
    object_unref(again);
    json_decref(document);
    return 0;
}
