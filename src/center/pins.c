/* Pins hold references to immutable objects, so one costs a pointer per object. The least recently
 * asked for goes when a new one is needed. */
#include "center/pins.h"

struct pins {
    uint64_t clock;
    struct pin list[PINS_MAX];
};

int pins_new(struct pins **ret)
{
    struct pins *p = calloc(1, sizeof(*p));

    if (!p) {
        return failed(-ENOMEM);
    }
    *ret = p;
    return 0;
}

static void pin_clear(struct pin *pin)
{
    for (size_t i = 0; i < pin->count; i++) {
        object_unref(pin->objects[i]);
    }
    free(pin->objects);
    *pin = (struct pin){ 0 };
}

struct pins *pins_free(struct pins *p)
{
    for (size_t i = 0; p && i < PINS_MAX; i++) {
        pin_clear(&p->list[i]);
    }
    free(p);
    return NULL;
}

int pins_get(struct pins *p, const struct catalog *catalog, enum kind kind, uint64_t revision,
             const struct pin **ret)
{
    struct pin *pin = &p->list[0];
    const struct object *o;

    for (size_t i = 0; i < PINS_MAX; i++) {
        struct pin *other = &p->list[i];

        if (other->used && other->kind == kind && other->revision == revision) {
            other->used = ++p->clock;
            *ret = other;
            return 0;
        }
        pin = other->used < pin->used ? other : pin;
    }
    if (revision != catalog_revision(catalog)) {
        return RHODES_STALE;
    }
    pin_clear(pin);
    pin->objects = calloc(catalog_count(catalog, kind) + 1, sizeof(void *));
    if (!pin->objects) {
        return failed(-ENOMEM);
    }
    pin->kind = kind;
    pin->revision = revision;
    pin->used = ++p->clock;
    for (o = catalog_next(catalog, kind, ""); o; o = catalog_next(catalog, kind, o->name)) {
        pin->objects[pin->count++] = object_ref((struct object *)(uintptr_t)o);
    }
    *ret = pin;
    return 0;
}
