/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/kube/lease_rules.h"

#include "lib/base/clock.h"

enum { NAME_MAX_BYTES = 256, SECONDS_MAX = 86400 };

enum status lease_read(struct json object, struct lease_record *out,
                       struct error *e)
{
    struct json metadata = {0}, spec = {0};
    int64_t seconds = 0;
    enum status rc = json_object(object, "metadata", &metadata, e);

    *out = (struct lease_record){0};
    if (!rc)
        rc = json_string(metadata, "resourceVersion", &out->version, e);
    if (!rc)
        rc = json_opt_object(object, "spec", &spec, e);
    if (!rc)
        rc = json_opt_string(spec, "holderIdentity", &out->holder, e);
    if (!rc)
        rc = json_opt_int(spec, "leaseDurationSeconds", 0, SECONDS_MAX,
                          &seconds, e);
    if (!rc)
        rc = json_opt_int(spec, "leaseTransitions", 0, INT32_MAX,
                          &out->transitions, e);
    out->duration = seconds * NSEC_PER_SEC;
    if (!rc && (out->holder.len > NAME_MAX_BYTES ||
                out->version.len > NAME_MAX_BYTES || slice_empty(out->version)))
        rc = error_set(e, ERR_INVALID, "the lease's holder or version is none");
    return rc;
}

void lease_seen_init(struct lease_seen *s)
{
    *s = (struct lease_seen){0};
    text_init(&s->version, NAME_MAX_BYTES);
    text_init(&s->holder, NAME_MAX_BYTES);
}

void lease_seen_fini(struct lease_seen *s)
{
    text_fini(&s->version);
    text_fini(&s->holder);
}

void lease_see(struct lease_seen *s, const struct lease_record *r, int64_t now)
{
    static const struct lease_record none = {0};

    if (!r)
        r = &none;
    s->read = true;
    if (s->changed && slice_eq(text_slice(&s->version), r->version))
        return; /* as it was: the clock runs on */
    text_clear(&s->version);
    text_add(&s->version, r->version);
    text_clear(&s->holder);
    text_add(&s->holder, r->holder);
    s->duration = r->duration;
    s->transitions = r->transitions;
    s->changed = now;
}

void lease_doubt(struct lease_seen *s)
{
    s->read = false;
}

enum lease_step lease_next(const struct lease_seen *s, slice self, int64_t now)
{
    if (!s->read)
        return LEASE_READ;
    if (s->version.len == 0)
        return LEASE_CREATE;
    if (s->holder.len == 0)
        return LEASE_TAKE;
    if (slice_eq(text_slice(&s->holder), self))
        return LEASE_RENEW;
    return now - s->changed > s->duration ? LEASE_TAKE : LEASE_WAIT;
}

int64_t lease_good_until(int64_t sent, int64_t duration)
{
    return sent + duration / 3 * 2;
}
