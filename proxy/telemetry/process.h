/* SPDX-License-Identifier: Apache-2.0 */
/* What the operating system says of this process. */
#ifndef TULLE_PROXY_TELEMETRY_PROCESS_H
#define TULLE_PROXY_TELEMETRY_PROCESS_H

#include <stdint.h>

struct process_usage {
    uint64_t rss_bytes;
    uint64_t open_fds, max_fds;
    int64_t cpu_ns;        /* user and system */
    int64_t start_seconds; /* since 1970 */
};

/* What cannot be read stays 0. */
void process_usage(struct process_usage *out);
uint64_t process_rss(void);

#endif
