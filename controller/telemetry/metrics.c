/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/telemetry/metrics.h"

#include "lib/base/mem.h"

void controller_metrics(const struct controller_numbers *n, struct text *out)
{
#define X(name, type, help, value)                                         \
    text_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", #name, help, \
                #name, #type, #name, (long long)(value));
#include "controller/telemetry/metrics.def"
#undef X
}
