/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lib/yaml only: libyaml's events of a text, within its limits. */
#ifndef TULLE_YAML_EVENTS_H
#define TULLE_YAML_EVENTS_H

#include <yaml.h>

#include "lib/yaml/yaml.h"

/* An error ends the reading. */
typedef enum status yaml_event_fn(void *arg, const yaml_event_t *ev);

/* ERR_INVALID and ERR_TOO_BIG (more than `max` bytes) with a sentence
 * "mesh/cart.yaml:3:7: ...". */
CHECKED enum status yaml_events_read(slice text, slice source, size_t max,
                                     yaml_event_fn *fn, void *arg,
                                     struct error *e);

/* Makes the parser read `text` (borrowed), behind a byte order mark. Gives the
 * length of that; marks count from there. */
size_t yaml_events_input(yaml_parser_t *p, slice text);

/* The text itself cannot be read; `p` says why. */
enum status yaml_events_refuse(slice source, const yaml_parser_t *p,
                               struct error *e);

#endif
