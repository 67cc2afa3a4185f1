/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/identity/root_patch.h"

#include <stdio.h>

#include "controller/identity/ca_secret.h"
#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/json/json_write.h"
#include "lib/tls/cert.h"

enum { PART_MAX = 256 << 10 };

static void add_base64(struct json_write *w, const char *name, slice bytes)
{
    struct text t;

    text_init_secret(&t, 2 * PART_MAX);
    base64_encode(bytes, &t);
    json_member_string(w, name, text_slice(&t));
    text_fini(&t);
}

static void remove_member(struct json_write *w, const char *name)
{
    json_write_name(w, name);
    json_write_null(w);
}

/* The root that signs, whatever is trusted beside, and `more`; not the one with the
 * mark `without`. Either may be empty. */
static enum status add_roots(struct json secret, slice more, slice without,
                             struct json_write *w, struct error *e)
{
    struct text cert, roots, bundle;
    char *all = NULL;
    enum status rc;

    text_init(&cert, PART_MAX);
    text_init(&roots, PART_MAX);
    text_init(&bundle, PART_MAX);
    rc = ca_secret_part(secret, "tls.crt", true, &cert, e);
    if (!rc)
        rc = ca_secret_part(secret, "ca.crt", false, &roots, e);
    if (!rc) {
        slice pems[] = {text_slice(&cert), text_slice(&roots), more};

        rc = certs_merge(pems, 3, &all, e);
    }
    if (!rc) {
        root_bundle_without(slice_str(all), without, &bundle);
        add_base64(w, "ca.crt", text_slice(&bundle));
    }
    mem_free(all);
    text_fini(&cert);
    text_fini(&roots);
    text_fini(&bundle);
    return rc;
}

static enum status make_next(const struct root_change *c, struct json secret,
                             struct json_write *w, char mark[ROOT_MARK + 1],
                             struct error *e)
{
    struct ca *ca = NULL;
    enum status rc = ca_new(&ca, c->trust_domain, c->now, c->rules->life, e);

    if (rc)
        return rc;
    rc = add_roots(secret, ca_cert_pem(ca), SLICE_NONE, w, e);
    if (!rc)
        rc = root_mark_of(ca_cert_pem(ca), mark, e);
    add_base64(w, "next.crt", ca_cert_pem(ca));
    add_base64(w, "next.key", ca_key_pem(ca));
    ca_free(ca);
    return rc;
}

/* With this the key of the old one is gone. */
static enum status sign_with_next(struct json data, struct json_write *w,
                                  struct error *e)
{
    slice cert = SLICE_NONE, key = SLICE_NONE;
    enum status rc = json_string(data, "next.crt", &cert, e);

    if (!rc)
        rc = json_string(data, "next.key", &key, e);
    json_member_string(w, "tls.crt", cert);
    json_member_string(w, "tls.key", key);
    remove_member(w, "next.crt");
    remove_member(w, "next.key");
    return rc;
}

static void add_date(struct json_write *w, const char *name, int64_t date)
{
    char text[21];

    clock_format_rfc3339(date, text);
    json_member_string(w, name, slice_str(text));
}

static void begin_phase(struct json_write *w, const char *phase, int64_t now)
{
    json_member_string(w, ROOT_PHASE, slice_str(phase));
    add_date(w, ROOT_PHASE_SINCE, now);
}

/* `made`: the mark of the root that was just made. */
static void add_notes(const struct root_change *c, struct json annotations,
                      const char *made, struct json_write *w)
{
    const struct root_state *s = c->state;
    slice wanted = SLICE_NONE;
    char both[2 * ROOT_MARK + 2];
    struct error e;

    switch (c->step) {
    case ROOT_WAIT:
        return;
    case ROOT_MAKE:
        begin_phase(w, "distributing", c->now);
        snprintf(both, sizeof both, "%s,%s", s->signs, made);
        json_member_string(w, ROOT_MADE, slice_str(both));
        /* What is asked for from now on is another rotation. */
        if (json_opt_string(annotations, ROOT_WANTED, &wanted, &e) == OK)
            json_member_text(w, ROOT_DONE, wanted);
        return;
    case ROOT_SIGN:
        begin_phase(w, "retiring", c->now);
        json_member_string(w, ROOT_MADE, slice_str(s->next));
        json_member_string(w, ROOT_OLD, slice_str(s->signs));
        /* Whatever the settings are by then. */
        add_date(w, ROOT_OLD_UNTIL, root_retire_at(c->rules, c->now));
        return;
    case ROOT_DROP:
        remove_member(w, ROOT_PHASE);
        remove_member(w, ROOT_PHASE_SINCE);
        remove_member(w, ROOT_OLD);
        remove_member(w, ROOT_OLD_UNTIL);
        return;
    }
}

static enum status add_data(const struct root_change *c, struct json secret,
                            struct json_write *w, char made[ROOT_MARK + 1],
                            struct error *e)
{
    if (c->step == ROOT_MAKE)
        return make_next(c, secret, w, made, e);
    if (c->step == ROOT_SIGN)
        return sign_with_next(json_get(secret, "data"), w, e);
    /* Nothing but the old one: whatever else is trusted is somebody's. */
    return add_roots(secret, SLICE_NONE, slice_str(c->state->old), w, e);
}

enum status root_patch(const struct root_change *c, struct json secret,
                       struct text *out, struct error *e)
{
    struct json meta = json_get(secret, "metadata");
    slice version = SLICE_NONE;
    char made[ROOT_MARK + 1] = "";
    struct json_write w;
    enum status rc = json_string(meta, "resourceVersion", &version, e);

    if (rc)
        return rc;
    json_write_init(&w, out);
    json_write_object(&w);
    json_write_name(&w, "data");
    json_write_object(&w);
    rc = add_data(c, secret, &w, made, e);
    json_write_object_end(&w);
    json_write_name(&w, "metadata");
    json_write_object(&w);
    json_member_string(&w, "resourceVersion", version);
    json_write_name(&w, "annotations");
    json_write_object(&w);
    add_notes(c, json_get(meta, "annotations"), made, &w);
    json_write_object_end(&w);
    json_write_object_end(&w);
    json_write_object_end(&w);
    if (!rc && out->failed)
        rc = error_set(e, ERR_TOO_BIG, "the Secret would be too long");
    return rc;
}
