/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/discovery/apply.h"

static bool has_hash(const struct view *v, slice hash)
{
    return v && slice_eq(slice_str(v->hash), hash);
}

static enum apply apply_view(struct msg *m, const struct view *current,
                             struct view **view, struct error *why)
{
    for (uint32_t i = 0; i < m->view->needs_len; i++) {
        slice need = m->view->needs[i];
        if (wire_capable(need))
            continue;
        (void)error_set(why, ERR_DENIED,
                        "needs %.*s, which this version does not have",
                        FMT(need));
        return APPLY_NACK;
    }
    if (has_hash(current, slice_str(m->view->hash)))
        return APPLY_KEEP;
    *view = m->view;
    m->view = NULL; /* moved */
    return APPLY_PUT;
}

static enum apply apply_delta(const struct msg *m, const struct view *current,
                              struct view **view, struct error *why)
{
    if (has_hash(current, m->delta.hash))
        return APPLY_KEEP;
    if (!has_hash(current, m->delta.base)) {
        (void)error_set(why, ERR_INVALID, "the delta is for another base");
        return APPLY_RESUBSCRIBE;
    }
    if (delta_apply(current, &m->delta, view, why))
        return APPLY_RESUBSCRIBE;
    return APPLY_PUT;
}

enum apply apply_message(struct msg *m, const struct view *current,
                         struct view **view, struct error *why)
{
    *view = NULL;
    switch (m->type) {
    case MSG_VIEW:
        return apply_view(m, current, view, why);
    case MSG_DELTA:
        return apply_delta(m, current, view, why);
    case MSG_SAME:
        if (has_hash(current, m->hash))
            return APPLY_KEEP;
        (void)error_set(why, ERR_INVALID, "there is no such view here");
        return APPLY_RESUBSCRIBE;
    case MSG_REMOVE:
        return APPLY_REMOVE;
    default:
        return APPLY_IGNORE;
    }
}
