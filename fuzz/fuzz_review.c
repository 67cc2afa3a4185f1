/* SPDX-License-Identifier: Apache-2.0 */
/* Reviews: what is done to a pod can be done, and is done once. */
#include <stdlib.h>

#include "injector/apply.h"
#include "injector/review.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct inject_settings settings = {
    .site = {.version = SLICE_INIT("1.0.0"),
             .pull_policy = SLICE_INIT("IfNotPresent"),
             .ns = SLICE_INIT("tulle-system"),
             .cluster_domain = SLICE_INIT("cluster.local"),
             .controller = SLICE_INIT("tulle-controller"),
             .controller_ip = SLICE_INIT("10.96.0.9"),
             .trust_domain = SLICE_INIT("cluster.local"),
             .bundle_pem = SLICE_INIT("PEM"),
             .controller_port = 8443,
             .uid = 2102,
             .gid = 2102},
    .defaults = {.skip_inbound_ports = SLICE_INIT(""),
                 .proxy_cpu_request = SLICE_INIT("10m"),
                 .workers = SLICE_INIT("1"),
                 .proxy_image = SLICE_INIT("tulle/proxy:1.0.0"),
                 .shutdown_grace = SLICE_INIT("25s"),
                 .stop_delay = SLICE_INIT("2s"),
                 .detect_timeout = SLICE_INIT("50ms"),
                 .path_rule = SLICE_INIT("merge-slashes"),
                 .proxy_log_level = SLICE_INIT("info"),
                 .access_log = SLICE_INIT("false")},
};

static void again(const struct inject_input *in)
{
    struct inject_result r;

    inject(in, &r);
    if (r.verdict != VERDICT_INJECT || r.patch.ops.len)
        abort();
    inject_fini(&r);
}

static void try_pod(const struct review *review)
{
    struct inject_input in = {
        .settings = &settings, .pod = review->pod, .ns = review->ns};
    struct json_doc *after = NULL;
    struct inject_result r;
    struct text answer;
    struct error e;

    in.asked = true;
    inject(&in, &r);
    text_init(&answer, 16 << 20);
    review_answer(review, &r, &answer);
    text_fini(&answer);
    if (r.verdict == VERDICT_INJECT) {
        enum status rc = patch_apply(&r.patch, review->pod, &after, &e);

        if (rc && rc != ERR_TOO_BIG)
            abort();
        if (!rc) {
            in.pod = json_root(after);
            again(&in);
        }
        json_free(after);
    }
    inject_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct review review;
    struct error e;

    if (!review_read(slice_of(data, size), &review, &e) &&
        json_present(review.pod))
        try_pod(&review);
    review_fini(&review);
    return 0;
}
