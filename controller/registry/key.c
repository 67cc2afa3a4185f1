/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/registry/key.h"

#include <arpa/inet.h>
#include <stdio.h>

static slice cut(slice s)
{
    return slice_sub(s, 0, NAME_MAX_BYTES);
}

slice key_name(char buf[KEY_TEXT], slice ns, slice name)
{
    int n;

    ns = cut(ns);
    name = cut(name);
    if (slice_empty(ns))
        n = snprintf(buf, KEY_TEXT, "%.*s", FMT(name));
    else
        n = snprintf(buf, KEY_TEXT, "%.*s/%.*s", FMT(ns), FMT(name));
    return slice_of(buf, (size_t)n);
}

slice key_service(char buf[KEY_TEXT], slice ns, slice name, uint16_t port)
{
    int n;

    ns = cut(ns);
    name = cut(name);
    n = snprintf(buf, KEY_TEXT, "%.*s/%.*s:%u", FMT(ns), FMT(name), port);
    return slice_of(buf, (size_t)n);
}

slice key_address(char buf[KEY_TEXT], slice ip, uint16_t port)
{
    int n;

    ip = slice_sub(ip, 0, IP_TEXT);
    if (ip_is_v6(ip))
        n = snprintf(buf, KEY_TEXT, "[%.*s]:%u", FMT(ip), port);
    else
        n = snprintf(buf, KEY_TEXT, "%.*s:%u", FMT(ip), port);
    return slice_of(buf, (size_t)n);
}

bool ip_canonical(slice text, char buf[IP_TEXT], slice *out)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    char given[IP_TEXT];
    unsigned char ip[16];
    int family = slice_find(text, ':') >= 0 ? AF_INET6 : AF_INET;
    const void *at = ip;

    if (slice_to_cstr(text, given, sizeof given) ||
        inet_pton(family, given, ip) != 1)
        return false;
    if (family == AF_INET6 && memcmp(ip, mapped, sizeof mapped) == 0) {
        family = AF_INET;
        at = ip + sizeof mapped;
    }
    if (!inet_ntop(family, at, buf, IP_TEXT))
        return false;
    *out = slice_str(buf);
    return true;
}

static bool to_port(slice text, uint16_t *port)
{
    uint64_t n;

    /* "080" and "80" must not be two keys of one thing. */
    if (slice_starts(text, SLICE("0")) || slice_to_u64(text, UINT16_MAX, &n))
        return false;
    *port = (uint16_t)n;
    return true;
}

bool key_split_address(slice key, char buf[IP_TEXT], slice *ip, uint16_t *port)
{
    slice host, number;

    if (!slice_rcut(key, ':', &host, &number) || !to_port(number, port))
        return false;
    if (slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]")))
        host = slice_sub(host, 1, host.len - 1);
    else if (slice_find(host, ':') >= 0)
        return false; /* "::1:80" could be read in two ways */
    return ip_canonical(host, buf, ip);
}

bool key_split_service(slice key, slice *ns, slice *name, uint16_t *port)
{
    slice path, number;

    return slice_rcut(key, ':', &path, &number) && to_port(number, port) &&
           slice_cut(path, '/', ns, name) && !slice_empty(*ns) &&
           !slice_empty(*name) && slice_find(*name, '/') < 0 &&
           ns->len <= NAME_MAX_BYTES && name->len <= NAME_MAX_BYTES;
}
