/* SPDX-License-Identifier: Apache-2.0 */
/* Deltas between two backend views. All lists are sorted by address, so making
 * and applying one are merges: linear, and nothing is looked up. A delta that
 * was applied is checked by the hash of the result: the proxy never goes on
 * with a list of endpoints that the controller did not mean. */
#include "lib/mesh/hash.h"
#include "lib/mesh/wire_parts.h"

static bool same_endpoint(const struct backend_endpoint *a,
                          const struct backend_endpoint *b)
{
    return slice_eq(a->address, b->address) &&
           slice_eq(a->identity, b->identity) && slice_eq(a->zone, b->zone) &&
           slice_eq(a->pod, b->pod) && a->weight == b->weight &&
           a->protocol == b->protocol && a->state == b->state;
}

/* About what it takes on the wire. */
static size_t endpoint_size(const struct backend_endpoint *p)
{
    enum { NAMES_AND_QUOTES = 110 };

    return NAMES_AND_QUOTES + p->address.len + p->identity.len + p->zone.len +
           p->pod.len;
}

static size_t endpoints_size(const struct backend_endpoint *at, uint32_t len)
{
    size_t sum = 0;

    for (uint32_t i = 0; i < len; i++)
        sum += endpoint_size(&at[i]);
    return sum;
}

static size_t delta_size(const struct delta *d)
{
    size_t sum = endpoints_size(d->put, d->put_len) + 2 * (size_t)VIEW_HASH;

    for (uint32_t i = 0; i < d->gone_len; i++)
        sum += d->gone[i].len + 3;
    return sum;
}

/* <0: only in `a` (at i), 0: in both, >0: only in `b` (at j). */
static int merge_order(const struct backend_view *a, uint32_t i,
                       const struct backend_view *b, uint32_t j)
{
    if (i == a->endpoints_len)
        return 1;
    if (j == b->endpoints_len)
        return -1;
    return slice_cmp(a->endpoints[i].address, b->endpoints[j].address);
}

static void merge(const struct backend_view *a, const struct backend_view *b,
                  struct delta *out)
{
    uint32_t i = 0, j = 0;

    while (i < a->endpoints_len || j < b->endpoints_len) {
        int order = merge_order(a, i, b, j);
        if (order < 0) {
            out->gone[out->gone_len++] = a->endpoints[i++].address;
            continue;
        }
        if (order > 0 || !same_endpoint(&a->endpoints[i], &b->endpoints[j]))
            out->put[out->put_len++] = b->endpoints[j];
        if (order == 0)
            i++;
        j++;
    }
}

/* A delta says endpoints only: the rest must be equal. */
static bool comparable(const struct view *a, const struct view *b)
{
    if (a->kind != VIEW_BACKEND || b->kind != VIEW_BACKEND)
        return false;
    if (!a->hash[0] || !b->hash[0] || !slice_eq(a->key, b->key))
        return false;
    if (!slice_eq(a->backend.service, b->backend.service) ||
        a->needs_len != b->needs_len)
        return false;
    for (uint32_t i = 0; i < a->needs_len; i++) {
        if (!slice_eq(a->needs[i], b->needs[i]))
            return false;
    }
    return true;
}

bool delta_make(const struct view *old, const struct view *new_,
                struct arena *a, struct delta *out)
{
    const struct backend_view *from = &old->backend, *to = &new_->backend;

    if (!comparable(old, new_))
        return false;
    *out = (struct delta){.base = slice_str(old->hash),
                          .hash = slice_str(new_->hash)};
    out->put = arena_alloc(a, to->endpoints_len * sizeof *out->put);
    out->gone = arena_alloc(a, from->endpoints_len * sizeof *out->gone);
    if (!out->put || !out->gone)
        return false;
    merge(from, to, out);
    return delta_size(out) < endpoints_size(to->endpoints, to->endpoints_len);
}

enum status delta_read(struct json obj, struct arena *a, struct delta *out,
                       struct error *e)
{
    struct json list, i;
    slice *at, before = SLICE("");
    void *space;
    enum status rc = endpoints_read(obj, "put", a, &out->put, &out->put_len, e);

    if (rc)
        return rc;
    rc = json_opt_array(obj, "gone", &list, e);
    if (rc)
        return rc;
    rc = read_space(list, VIEW_ENDPOINTS_MAX, sizeof *at, a, &space,
                    &out->gone_len, e);
    if (rc)
        return rc;
    out->gone = at = space;
    for (i = json_first(list); json_present(i); i = json_next(i)) {
        slice address;
        rc = json_as_string(i, &address, e);
        if (rc)
            return rc;
        rc = check_address(i, address, e);
        if (rc)
            return rc;
        if (slice_cmp(before, address) >= 0)
            return json_error(i, ERR_INVALID, e,
                              "not after the address before it");
        if (arena_copy(a, address, at))
            return json_error(i, ERR_TOO_BIG, e, "too much text in all");
        before = *at++;
    }
    return OK;
}

void delta_write(const struct delta *d, struct json_write *w)
{
    json_member_string(w, "base", d->base);
    json_member_string(w, "hash", d->hash);
    endpoints_write(w, "put", d->put, d->put_len);
    names_write(w, "gone", d->gone, d->gone_len);
}

/* ---- applying ---- */

/* Copies `s`, or shares `before` when it says the same. */
static bool keep(struct arena *a, slice s, slice before, slice *out)
{
    if (before.len && slice_eq(s, before)) {
        *out = before;
        return true;
    }
    return arena_copy(a, s, out) == OK;
}

/* Adds a copy of `p` after the last endpoint of `v`. */
static bool append(struct view *v, const struct backend_endpoint *p)
{
    struct backend_view *b = &v->backend;
    struct backend_endpoint *at = &b->endpoints[b->endpoints_len];
    slice identity = SLICE_NONE, zone = SLICE_NONE;

    if (b->endpoints_len) {
        identity = at[-1].identity;
        zone = at[-1].zone;
    }
    *at = *p;
    b->endpoints_len++;
    return arena_copy(&v->arena, p->address, &at->address) == OK &&
           arena_copy(&v->arena, p->pod, &at->pod) == OK &&
           keep(&v->arena, p->identity, identity, &at->identity) &&
           keep(&v->arena, p->zone, zone, &at->zone);
}

static bool is_gone(const struct delta *d, uint32_t *at, slice address)
{
    while (*at < d->gone_len && slice_cmp(d->gone[*at], address) < 0)
        ++*at;
    return *at < d->gone_len && slice_eq(d->gone[*at], address);
}

/* Old endpoints that are neither gone nor put anew, and those that are put. The
 * lists may be hostile: whatever their order, no more than old + put items are
 * appended, for which there is room. */
static bool merge_into(struct view *v, const struct backend_view *old,
                       const struct delta *d)
{
    const struct backend_view put = {.endpoints = d->put,
                                     .endpoints_len = d->put_len};
    uint32_t i = 0, j = 0, gone = 0;

    while (i < old->endpoints_len || j < put.endpoints_len) {
        int order = merge_order(old, i, &put, j);
        const struct backend_endpoint *p = order < 0 ? &old->endpoints[i]
                                                     : &put.endpoints[j];
        bool skip = order < 0 && is_gone(d, &gone, p->address);
        if (!skip && !append(v, p))
            return false;
        i += order <= 0;
        j += order >= 0;
    }
    return true;
}

static enum status copy_frame(struct view *v, const struct view *old,
                              size_t room)
{
    struct backend_view *b = &v->backend;

    b->endpoints = arena_alloc(&v->arena, room * sizeof *b->endpoints);
    v->needs = arena_alloc(&v->arena, old->needs_len * sizeof *v->needs);
    if (!b->endpoints || !v->needs)
        return ERR_TOO_BIG;
    for (; v->needs_len < old->needs_len; v->needs_len++) {
        if (arena_copy(&v->arena, old->needs[v->needs_len],
                       &v->needs[v->needs_len]))
            return ERR_TOO_BIG;
    }
    return arena_copy(&v->arena, old->backend.service, &b->service);
}

static enum status check_hash(struct view *v, slice announced, struct error *e)
{
    enum status rc = OK;
    struct text canonical;

    text_init(&canonical, VIEW_BYTES_MAX);
    view_encode(v, &canonical);
    if (canonical.failed)
        rc = error_set(e, ERR_TOO_BIG, "more than %d endpoints or %d bytes",
                       VIEW_ENDPOINTS_MAX, VIEW_BYTES_MAX);
    else if (!slice_eq(slice_str(v->hash), announced))
        rc = error_set(e, ERR_INVALID, "the result has hash %s, not %.*s",
                       v->hash, FMT(announced));
    text_fini(&canonical);
    return rc;
}

enum status delta_apply(const struct view *old, const struct delta *d,
                        struct view **out, struct error *e)
{
    size_t room;
    struct view *v;
    enum status rc;

    if (old->kind != VIEW_BACKEND)
        return error_set(e, ERR_INVALID, "a delta for a %s view",
                         view_kind_name(old->kind));
    if (!slice_eq(slice_str(old->hash), d->base))
        return error_set(e, ERR_INVALID, "a delta on %.*s, but %s is here",
                         FMT(d->base), old->hash);
    room = (size_t)old->backend.endpoints_len + d->put_len;
    v = view_new(VIEW_BACKEND, old->key);
    rc = copy_frame(v, old, room);
    if (!rc && !merge_into(v, &old->backend, d))
        rc = ERR_TOO_BIG;
    if (rc)
        error_set(e, rc, "too much text in all");
    else
        rc = check_hash(v, d->hash, e);
    if (rc) {
        view_unref(v);
        return rc;
    }
    *out = v;
    return OK;
}
