/* SPDX-License-Identifier: Apache-2.0 */
/* What a port is declared to speak. Pure. The first that says something wins:
 * annotation tulle.dev/opaque-ports, appProtocol, the port's name, a port number
 * that is known for a protocol whose server speaks first (or that only wastes
 * time in detection); else PROTOCOL_DETECT. */
#ifndef TULLE_DETECT_DECLARED_H
#define TULLE_DETECT_DECLARED_H

#include "lib/mesh/views.h"

struct declaration {
    bool opaque;        /* an annotation lists the port */
    slice app_protocol; /* empty: none */
    slice port_name;    /* "http", "grpc-api"; empty: none */
    uint16_t port;      /* 0: not known */
};

enum protocol declared_protocol(const struct declaration *d);

/* Lists of ports in annotations: "25,3306,8000-8100", blanks allowed. */
bool declared_ports_have(slice list, uint16_t port);
/* ERR_INVALID with a sentence that quotes the bad part. The empty list is fine. */
CHECKED enum status declared_ports_check(slice list, struct error *e);
/* Walks the ranges of a list that was checked: start with *rest = list. */
bool declared_ports_next(slice *rest, uint16_t *first, uint16_t *last);

#endif
