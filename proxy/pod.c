/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/pod.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/route.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"

enum { ROUTES_MAX = 1 << 20 };

static bool has(const struct address *list, unsigned n, const struct address *a)
{
    for (unsigned i = 0; i < n; i++)
        if (address_ip_eq(&list[i], a))
            return true;
    return false;
}

static void add(struct address *list, unsigned *n, unsigned max,
                const struct address *a)
{
    if (*n < max && !has(list, *n, a))
        list[(*n)++] = *a;
}

bool pod_owns(const struct pod *p, const struct address *a)
{
    return has(p->own, p->own_len, a);
}

static bool is_of_link(const struct address *a)
{
    return a->sa.sa_family == AF_INET6 &&
           IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr);
}

bool pod_sibling(const struct pod *p, const struct address *of,
                 struct address *out)
{
    sa_family_t family = of->sa.sa_family;
    uint16_t port = address_port(of);
    for (unsigned i = 0; i < p->own_len; i++) {
        if (p->own[i].sa.sa_family == family || is_of_link(&p->own[i]))
            continue;
        *out = p->own[i];
        address_set_port(out, port);
        return true;
    }
    return false;
}

bool pod_is_node(const struct pod *p, const struct address *a)
{
    return has(p->node, p->node_len, a);
}

/* ---- settings ---- */

static bool parse_ip(slice text, struct address *out)
{
    char buf[INET6_ADDRSTRLEN];
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (slice_to_cstr(text, buf, sizeof buf))
        return false;
    if (inet_pton(AF_INET, buf, &in.sin_addr) == 1)
        address_from(out, (struct sockaddr *)&in);
    else if (inet_pton(AF_INET6, buf, &in6.sin6_addr) == 1)
        address_from(out, (struct sockaddr *)&in6);
    else
        return false;
    return true;
}

static enum status add_list(slice list, const char *name, struct address *out,
                            unsigned *n, unsigned max, struct error *e)
{
    slice item;

    if (slice_empty(slice_trim(list)))
        return OK;
    while (slice_next(&list, ',', &item)) {
        struct address a;

        if (!parse_ip(slice_trim(item), &a))
            return error_set(e, ERR_INVALID, "%s: '%.*s' is not an IP address",
                             name, FMT(item));
        add(out, n, max, &a);
    }
    return OK;
}

/* ---- interfaces ---- */

static void add_interfaces(struct pod *p)
{
    struct ifaddrs *all;

    if (getifaddrs(&all))
        return;
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct address a;

        if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET &&
                             i->ifa_addr->sa_family != AF_INET6))
            continue;
        address_from(&a, i->ifa_addr);
        if (!address_is_loopback(&a))
            add(p->own, &p->own_len, POD_OWN_MAX, &a);
    }
    freeifaddrs(all);
}

static bool have_ipv6(void)
{
    struct sockaddr_in6 own = {.sin6_family = AF_INET6,
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    int rc = bind(fd, (struct sockaddr *)&own, sizeof own);
    close(fd);
    return rc == 0;
}

/* ---- default routes ---- */

/* The next word of a line, whatever separates it. */
static bool next_word(slice *line, slice *out)
{
    size_t from = 0, to;

    while (from < line->len &&
           (line->ptr[from] == ' ' || line->ptr[from] == '\t'))
        from++;
    for (to = from;
         to < line->len && line->ptr[to] != ' ' && line->ptr[to] != '\t';)
        to++;
    *out = slice_sub(*line, from, to);
    *line = slice_sub(*line, to, line->len);
    return out->len > 0;
}

static bool words(slice line, slice *out, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!next_word(&line, &out[i]))
            return false;
    return true;
}

/* Iface Destination Gateway Flags RefCnt Use Metric Mask ...; numbers are as the
 * machine keeps them, which is the order of the network. */
unsigned pod_gateways_v4(slice text, struct address *out, unsigned max)
{
    unsigned n = 0;
    slice line;

    while (slice_next(&text, '\n', &line)) {
        struct sockaddr_in in = {.sin_family = AF_INET};
        uint64_t to, via, flags, mask;
        struct address a;
        slice w[8];

        if (!words(line, w, 8) || slice_to_hex64(w[1], &to) ||
            slice_to_hex64(w[2], &via) || slice_to_hex64(w[3], &flags) ||
            slice_to_hex64(w[7], &mask) || to || mask || !(flags & RTF_GATEWAY))
            continue;
        in.sin_addr.s_addr = (in_addr_t)via;
        address_from(&a, (struct sockaddr *)&in);
        add(out, &n, max, &a);
    }
    return n;
}

static bool parse_hex_ip(slice text, struct in6_addr *out)
{
    if (text.len != 32)
        return false;
    for (size_t i = 0; i < 16; i++) {
        uint64_t byte;

        if (slice_to_hex64(slice_sub(text, 2 * i, 2 * i + 2), &byte))
            return false;
        out->s6_addr[i] = (uint8_t)byte;
    }
    return true;
}

/* destination length source length next-hop metric refs uses flags device */
unsigned pod_gateways_v6(slice text, struct address *out, unsigned max)
{
    unsigned n = 0;
    slice line;

    while (slice_next(&text, '\n', &line)) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        uint64_t length, flags;
        struct address a;
        slice w[10];

        if (!words(line, w, 10) || slice_to_hex64(w[1], &length) ||
            slice_to_hex64(w[8], &flags) || length || !(flags & RTF_GATEWAY) ||
            !parse_hex_ip(w[4], &in6.sin6_addr))
            continue;
        address_from(&a, (struct sockaddr *)&in6);
        add(out, &n, max, &a);
    }
    return n;
}

typedef unsigned gateways_fn(slice text, struct address *out, unsigned max);

static void add_gateways(struct pod *p, slice path, gateways_fn *parse)
{
    struct address found[POD_NODE_MAX];
    slice text;

    if (file_read(path, ROUTES_MAX, &text, NULL))
        return; /* no such family, or no such view: then none */
    unsigned n = parse(text, found, POD_NODE_MAX);
    for (unsigned i = 0; i < n; i++)
        add(p->node, &p->node_len, POD_NODE_MAX, &found[i]);
    mem_free((void *)(uintptr_t)text.ptr);
}

enum status pod_find(struct pod *out, const struct config *c, struct error *e)
{
    *out = (struct pod){.ipv6 = have_ipv6()};
    enum status rc = add_list(c->pod_ips, "pod-ips", out->own, &out->own_len,
                              POD_OWN_MAX, e);
    if (!rc)
        rc = add_list(c->node_ips, "node-ips", out->node, &out->node_len,
                      POD_NODE_MAX, e);
    if (rc)
        return rc;
    add_interfaces(out);
    if (slice_empty(c->inbound_transparent))
        return OK;
    add_gateways(out, SLICE("/proc/net/route"), pod_gateways_v4);
    add_gateways(out, SLICE("/proc/net/ipv6_route"), pod_gateways_v6);
    return OK;
}
