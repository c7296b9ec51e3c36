/* model/hierarchy.h - the hierarchical rule: which layer may call which. Pure data and one judgement.
 *
 * `below` (default): a layer calls any layer below it, never its own or one above. `strict`: only the next layer. Added
 * edges allow what the mode forbids, between layers or single resources. */
#ifndef MODEL_HIERARCHY_H
#define MODEL_HIERARCHY_H

#include "model/object.h"

/* 0, or DENIED. *ret_edge is the added edge that allows the pair, NULL when the mode itself does. Ids with '/'. */
int hierarchy_judge(const struct hierarchy *h, const char *caller, const char *callee,
                    const struct hierarchy_edge **ret_edge) MUST_CHECK;

#endif
