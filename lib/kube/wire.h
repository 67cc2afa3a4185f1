/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lib/kube only: libcurl's multi interface on the loop. A wire has
 * connections of its own. When the other side of one looks dead, a new wire is
 * made for new requests, because libcurl would send them on the old connection:
 * the old wire goes on until its last request has ended. */
#ifndef TULLE_KUBE_WIRE_H
#define TULLE_KUBE_WIRE_H

#include <curl/curl.h>

#include "lib/net/loop.h"

struct wire;

struct wire_events {
    /* A transfer has ended; remove it. Inside of the wire: do not. */
    void (*on_end)(CURL *easy, CURLcode code);
    /* libcurl is left: what was noted may be acted upon. The wire may be closed
     * in it. */
    void (*on_left)(void *owner);
};

CHECKED enum status wire_open(struct wire **out, struct loop *l,
                              const struct wire_events *ev, void *owner,
                              struct error *e);
/* Both must not be called by what libcurl calls. */
CHECKED enum status wire_add(struct wire *w, CURL *easy);
void wire_remove(struct wire *w, CURL *easy);
/* All must have been removed. Memory ends by itself. */
void wire_close(struct wire *w);

#endif
