/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests with sidecars: whatever comes out can be read, and nothing is left to
 * do in it. */
#include <stdlib.h>

#include "injector/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct inject_settings settings = {
    .site = {.version = SLICE_INIT("1.0.0"),
             .pull_policy = SLICE_INIT("IfNotPresent"),
             .ns = SLICE_INIT("tulle-system"),
             .cluster_domain = SLICE_INIT("cluster.local"),
             .controller = SLICE_INIT("tulle-controller"),
             .trust_domain = SLICE_INIT("cluster.local"),
             .controller_port = 8443,
             .uid = 2102,
             .gid = 2102},
    .defaults = {.skip_inbound_ports = SLICE_INIT(""),
                 .workers = SLICE_INIT("1"),
                 .proxy_image = SLICE_INIT("tulle/proxy:1.0.0"),
                 .shutdown_grace = SLICE_INIT("25s"),
                 .stop_delay = SLICE_INIT("2s"),
                 .detect_timeout = SLICE_INIT("50ms"),
                 .path_rule = SLICE_INIT("merge-slashes"),
                 .proxy_log_level = SLICE_INIT("info"),
                 .access_log = SLICE_INIT("false")},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct file_options opt = {
        .settings = &settings, .ns = SLICE("default"), .all = true};
    struct text once, twice;
    struct error e;

    text_init(&once, 64 << 20);
    text_init(&twice, 64 << 20);
    if (!file_inject(slice_of(data, size), SLICE("fuzz"), &opt, &once, &e) &&
        once.len <= 4 << 20 &&
        (file_inject(text_slice(&once), SLICE("fuzz"), &opt, &twice, &e) ||
         !slice_eq(text_slice(&once), text_slice(&twice))))
        abort();
    text_fini(&once);
    text_fini(&twice);
    return 0;
}
