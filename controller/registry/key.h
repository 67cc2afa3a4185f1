/* SPDX-License-Identifier: Apache-2.0 */
/* Names of things in the registry, as text: "shop/cart" (namespace and name),
 * "shop/cart:80" (a port of a Service), "10.0.0.1:80" and "[::1]:80" (a port of
 * an address). Pure. */
#ifndef TULLE_CONTROLLER_REGISTRY_KEY_H
#define TULLE_CONTROLLER_REGISTRY_KEY_H

#include "lib/base/slice.h"

enum {
    NAME_MAX_BYTES = 253, /* of one Kubernetes name; decoders refuse more */
    KEY_TEXT = 2 * NAME_MAX_BYTES + 16,
    IP_TEXT = 46,
};

/* Writes "ns/name" ("name" without a namespace); each part is cut to
 * NAME_MAX_BYTES, which no valid name exceeds. */
slice key_name(char buf[KEY_TEXT], slice ns, slice name);
/* Writes "ns/name:port". */
slice key_service(char buf[KEY_TEXT], slice ns, slice name, uint16_t port);
/* Writes "ip:port", with brackets around IPv6. */
slice key_address(char buf[KEY_TEXT], slice ip, uint16_t port);

/* The one spelling of an IP: "10.0.0.1", "::1"; ::ffff:10.0.0.1 is 10.0.0.1.
 * False when it is none. */
bool ip_canonical(slice text, char buf[IP_TEXT], slice *out);
static inline bool ip_is_v6(slice canonical)
{
    return slice_find(canonical, ':') >= 0;
}

/* False when `key` has another shape. `ip` is canonical, in `buf`; the parts of
 * a service borrow from `key`. Port 0 is no port. */
bool key_split_address(slice key, char buf[IP_TEXT], slice *ip, uint16_t *port);
bool key_split_service(slice key, slice *ns, slice *name, uint16_t *port);

#endif
