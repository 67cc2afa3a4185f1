/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes quantities of CPU and memory, in the spelling that the API server
 * gives them: so that what it hands back is what was written. Pure. */
#ifndef TULLE_INJECTOR_QUANTITY_H
#define TULLE_INJECTOR_QUANTITY_H

#include "lib/base/slice.h"

enum { QUANTITY_TEXT = 32 };

/* "100m", "0.5", "2": thousandths of a core, from 1 to 1,024,000. ERR_INVALID. */
CHECKED enum status quantity_cpu(slice text, uint64_t *milli);
/* "64Mi", "1.5Gi", "100M", "1000000": bytes, from 1 Mi to 1 Ti. ERR_INVALID.
 * `binary`: written with a suffix like Ki. */
CHECKED enum status quantity_memory(slice text, uint64_t *bytes, bool *binary);

/* Their one spelling, in `buf`. */
slice quantity_cpu_format(uint64_t milli, char buf[QUANTITY_TEXT]);
slice quantity_memory_format(uint64_t bytes, bool binary,
                             char buf[QUANTITY_TEXT]);

#endif
