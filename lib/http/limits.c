/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/http/limits.h"

#define SECONDS(n) ((n)*INT64_C(1000000000))

const struct http_limits http_limits_default = {
    .head_bytes = 64 * 1024,
    .max_headers = 100,
    .trailer_bytes = 16 * 1024,
    /* Room for a signature per chunk; not for a flood of extensions. */
    .chunk_line = 512,
    .head_timeout = SECONDS(10),
    .idle_timeout = SECONDS(60),
    .body_timeout = SECONDS(300),
    .body_window = 128 * 1024,
    .max_streams = 1024,
    .stream_window = 128 * 1024,
    .stream_window_max = 1024 * 1024,
    .session_window = 4 * 1024 * 1024,
    .max_resets = 100,
    .max_controls = 1000,
};
