/* SPDX-License-Identifier: Apache-2.0 */
/* Eligible? -> settings -> probes -> sidecar -> annotations, volumes, containers.
 * Whoever is left alone although it was asked for is told so by an annotation. */
#include "injector/inject.h"

#include <inttypes.h>
#include <stdio.h>

#include "injector/probes.h"
#include "lib/base/clock.h"
#include "lib/mesh/labels.h"

enum { ARENA_MAX = 16 << 20, GRACE_DEFAULT = 30 };

struct injection {
    const struct inject_input *in;
    struct inject_result *out;
    struct overrides settings;
    struct json init, proxy; /* as they are */
    struct json_doc *before; /* TULLE_PROBES as it is */
    int64_t grace;           /* of the pod, seconds */
    char grace_text[24];
};

/* --- what is there --- */

static bool is_text(struct json v, const char *text)
{
    struct error ignored;
    slice s;

    return json_type(v) == JSON_STRING && !json_as_string(v, &s, &ignored) &&
           slice_eq(s, slice_str(text));
}

static struct json by_name(struct json list, const char *name)
{
    struct json i = json_first(list);

    while (json_present(i) && !is_text(json_get(i, "name"), name))
        i = json_next(i);
    return i;
}

static void find_ours(struct injection *i)
{
    const struct json_limits limits = {128 << 10, 20000};
    struct json spec = json_get(i->in->pod, "spec");
    struct json list = json_get(spec, "initContainers"), probes;
    struct error ignored;
    slice text = SLICE_NONE;

    i->init = by_name(list, CONTAINER_INIT);
    i->proxy = by_name(list, CONTAINER_PROXY);
    probes = by_name(json_get(i->proxy, "env"), "TULLE_PROBES");
    if (!json_opt_string(probes, "value", &text, &ignored) && text.ptr &&
        json_parse(text, &limits, &i->before, &ignored))
        i->before = NULL;
}

/* --- what is to be --- */

/* The proxy ends last; what it may take beyond the pod's own time it would not
 * get. */
static enum status fit_grace(struct injection *i, struct error *e)
{
    struct json spec = json_get(i->in->pod, "spec");
    int64_t most;
    enum status rc;

    i->grace = GRACE_DEFAULT;
    rc = json_opt_int(spec, "terminationGracePeriodSeconds", 0, INT32_MAX,
                      &i->grace, e);
    if (rc)
        return rc;
    most = i->grace > 1 ? i->grace - 1 : 1;
    if (overrides_grace(&i->settings) <= most * NSEC_PER_SEC)
        return OK;
    snprintf(i->grace_text, sizeof i->grace_text, "%" PRId64 "s", most);
    notes_add(&i->out->notes, NOTE_WARNING,
              "shutdown-grace %.*s does not fit in the pod's "
              "terminationGracePeriodSeconds %" PRId64 "; %s holds",
              FMT(i->settings.shutdown_grace), i->grace, i->grace_text);
    i->settings.shutdown_grace = slice_str(i->grace_text);
    return OK;
}

static enum status read_settings(struct injection *i, struct error *e)
{
    struct json meta = json_get(i->in->pod, "metadata");
    enum status rc = overrides_read(&i->settings, &i->in->settings->defaults,
                                    json_get(meta, "annotations"),
                                    i->in->ns_annotations, &i->out->notes, e);

    return rc ? rc : fit_grace(i, e);
}

/* One of that name may be ours from before: then our containers are there, too. */
static enum status check_volumes(const struct injection *i, struct error *e)
{
    static const char *const names[] = {VOLUME_TOKEN, VOLUME_BUNDLE};
    struct json spec = json_get(i->in->pod, "spec");

    if (json_present(i->proxy))
        return OK;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        if (json_present(by_name(json_get(spec, "volumes"), names[n])))
            return error_set(e, ERR_INVALID,
                             "volume %s: this name is that of a volume of the "
                             "mesh: give it another one",
                             names[n]);
    return OK;
}

/* Files may say what no API object can: `tulle.dev/workers: 2` is a number. */
static enum status check_texts(struct json map, const char *what,
                               struct error *e)
{
    for (struct json i = json_first(map); json_present(i); i = json_next(i))
        if (slice_starts(json_name(i), SLICE(ANNOTATION_PREFIX)) &&
            json_type(i) != JSON_STRING && json_type(i) != JSON_NULL)
            return error_set(e, ERR_INVALID,
                             "%s %.*s: not a text; put its value in quotes",
                             what, FMT(slice_sub(json_name(i), 0, 100)));
    return OK;
}

/* Only shapes that the API server would refuse too: then our sentence is not the
 * worse one. */
static enum status check_shape(struct json pod, struct error *e)
{
    struct json ignored, spec = json_get(pod, "spec"),
                         meta = json_get(pod, "metadata");
    enum status rc = json_object(pod, "spec", &ignored, e);

    if (!rc)
        rc = json_opt_object(pod, "metadata", &ignored, e);
    if (!rc)
        rc = json_opt_object(meta, "annotations", &ignored, e);
    if (!rc)
        rc = check_texts(json_get(meta, "annotations"), "annotation", e);
    if (!rc)
        rc = check_texts(json_get(meta, "labels"), "label", e);
    if (!rc)
        rc = json_array(spec, "containers", &ignored, e);
    if (!rc)
        rc = json_opt_array(spec, "initContainers", &ignored, e);
    if (!rc)
        rc = json_opt_array(spec, "volumes", &ignored, e);
    return rc;
}

/* --- the patch --- */

static slice first_container(struct json pod)
{
    struct json c = json_first(json_get(json_get(pod, "spec"), "containers"));
    struct error ignored;
    slice name = SLICE_NONE;

    return json_opt_string(c, "name", &name, &ignored) ? SLICE_NONE : name;
}

/* Which ports pass by the proxy is settled with the pod's rules: the controller
 * must not take it from a namespace that changes later, or from a default that it
 * does not know. */
static enum status annotate(struct injection *i, struct error *e)
{
    const struct patch_annotation want[] = {
        {ANNOTATION_INJECTED, i->in->settings->site.version, false},
        {ANNOTATION_DEFAULT_CONTAINER, first_container(i->in->pod), true},
        {ANNOTATION_SKIP_INBOUND_PORTS, i->settings.skip_inbound_ports, true},
        {ANNOTATION_NOT_INJECTED, SLICE_NONE, false},
    };

    return patch_annotations(&i->out->patch, i->in->pod, want,
                             sizeof want / sizeof *want, e);
}

static enum status add_sidecar(struct injection *i, slice probes,
                               struct error *e)
{
    const struct sidecar_input in = {&i->in->settings->site, &i->settings,
                                     probes, i->init, i->proxy};
    struct patch *p = &i->out->patch;
    struct sidecar s = {0};
    enum status rc = sidecar_build(&in, &i->out->arena, &s, e);
    const struct patch_items volumes = {
        .list = "volumes",
        .names = {VOLUME_TOKEN, VOLUME_BUNDLE},
        .values = {s.token, s.bundle},
    };
    const struct patch_items containers = {
        .list = "initContainers",
        .names = {CONTAINER_INIT, CONTAINER_PROXY},
        .values = {s.init, s.proxy},
        .first = true,
    };

    if (!rc)
        rc = patch_items(p, i->in->pod, &volumes, e);
    return rc ? rc : patch_items(p, i->in->pod, &containers, e);
}

static enum status make_patch(struct injection *i, struct error *e)
{
    struct probes_input probes = {
        .pod = i->in->pod,
        .skip_inbound_ports = i->settings.skip_inbound_ports,
        .grace_seconds = i->grace,
    };
    slice table = SLICE_NONE;
    enum status rc = annotate(i, e);

    if (i->before)
        probes.before = json_root(i->before);
    if (!rc)
        rc = probes_rewrite(&probes, &i->out->patch, &table, e);
    return rc ? rc : add_sidecar(i, table, e);
}

/* --- verdicts --- */

static void tell(struct injection *i)
{
    const struct patch_annotation want = {ANNOTATION_NOT_INJECTED,
                                          slice_str(i->out->why.text), false};
    struct error ignored;

    notes_add(&i->out->notes, NOTE_POD, "not injected: %s", i->out->why.text);
    if (patch_annotations(&i->out->patch, i->in->pod, &want, 1, &ignored))
        i->out->patch.ops.len = 0;
}

static void refuse(struct injection *i, const struct error *e)
{
    i->out->verdict = VERDICT_REFUSE;
    i->out->why = *e;
    i->out->patch.ops.len = 0;
}

static void do_it(struct injection *i)
{
    struct error e;
    enum status rc;

    find_ours(i);
    rc = check_volumes(i, &e);
    if (!rc)
        rc = read_settings(i, &e);
    if (!rc)
        rc = make_patch(i, &e);
    if (rc)
        refuse(i, &e);
}

void inject(const struct inject_input *in, struct inject_result *out)
{
    const struct sidecar_site *site = &in->settings->site;
    const struct eligible_pod pod = {in->pod,   in->ns,    site->ns,
                                     in->asked, site->uid, site->gid};
    struct injection i = {.in = in, .out = out};
    struct error e;

    *out = (struct inject_result){.verdict = VERDICT_REFUSE};
    arena_init(&out->arena, ARENA_MAX);
    patch_init(&out->patch, &out->arena);
    notes_init(&out->notes, &out->arena);
    if (check_shape(in->pod, &e)) {
        refuse(&i, &e);
        return;
    }
    out->verdict = eligible(&pod, &out->why);
    if (out->verdict == VERDICT_TELL)
        tell(&i);
    if (out->verdict == VERDICT_INJECT)
        do_it(&i);
    json_free(i.before);
}

void inject_fini(struct inject_result *r)
{
    patch_fini(&r->patch);
    arena_reset(&r->arena);
}
