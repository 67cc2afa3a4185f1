/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/address.h"

#include <arpa/inet.h>
#include <stdio.h>

static void set_v4(struct address *out, struct in_addr ip, uint16_t port_be)
{
    memset(out, 0, sizeof *out);
    out->in.sin_family = AF_INET;
    out->in.sin_addr = ip;
    out->in.sin_port = port_be;
}

void address_from(struct address *out, const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        set_v4(out, in->sin_addr, in->sin_port);
        return;
    }
    const struct sockaddr_in6 *in6 = (const void *)sa;
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        struct in_addr ip;
        memcpy(&ip, &in6->sin6_addr.s6_addr[12], 4);
        set_v4(out, ip, in6->sin6_port);
        return;
    }
    memset(out, 0, sizeof *out);
    out->in6.sin6_family = AF_INET6;
    out->in6.sin6_addr = in6->sin6_addr;
    out->in6.sin6_port = in6->sin6_port;
    out->in6.sin6_scope_id = in6->sin6_scope_id;
}

enum status address_parse(slice text, struct address *out)
{
    slice ip, port_text;
    uint64_t port;
    char buf[INET6_ADDRSTRLEN];

    if (!slice_rcut(text, ':', &ip, &port_text))
        return ERR_INVALID;
    if (slice_to_u64(port_text, 65535, &port))
        return ERR_INVALID;
    bool v6 = ip.len >= 2 && ip.ptr[0] == '[' && ip.ptr[ip.len - 1] == ']';
    if (v6)
        ip = slice_sub(ip, 1, ip.len - 1);
    if (slice_to_cstr(ip, buf, sizeof buf))
        return ERR_INVALID;
    if (!v6) {
        struct in_addr in;
        if (inet_pton(AF_INET, buf, &in) != 1)
            return ERR_INVALID;
        set_v4(out, in, htons((uint16_t)port));
        return OK;
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET6, buf, &in6.sin6_addr) != 1)
        return ERR_INVALID;
    address_from(out, (struct sockaddr *)&in6);
    return OK;
}

slice address_format_ip(const struct address *a, char buf[ADDRESS_TEXT])
{
    const void *ip = a->sa.sa_family == AF_INET
                         ? (const void *)&a->in.sin_addr
                         : (const void *)&a->in6.sin6_addr;
    if (!inet_ntop(a->sa.sa_family, ip, buf, ADDRESS_TEXT))
        return SLICE("?");
    return slice_str(buf);
}

slice address_format(const struct address *a, char buf[ADDRESS_TEXT])
{
    char ip[ADDRESS_TEXT];
    slice s = address_format_ip(a, ip);
    bool v6 = a->sa.sa_family == AF_INET6;
    int n = snprintf(buf, ADDRESS_TEXT, "%s%.*s%s:%u", v6 ? "[" : "", FMT(s),
                     v6 ? "]" : "", address_port(a));
    return slice_of(buf, (size_t)n);
}

uint16_t address_port(const struct address *a)
{
    return ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port
                                            : a->in6.sin6_port);
}

void address_set_port(struct address *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET)
        a->in.sin_port = htons(port);
    else
        a->in6.sin6_port = htons(port);
}

socklen_t address_len(const struct address *a)
{
    return a->sa.sa_family == AF_INET ? sizeof a->in : sizeof a->in6;
}

bool address_ip_eq(const struct address *a, const struct address *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr,
                  sizeof a->in6.sin6_addr) == 0;
}

bool address_eq(const struct address *a, const struct address *b)
{
    return address_ip_eq(a, b) && address_port(a) == address_port(b);
}

bool address_is_loopback(const struct address *a)
{
    if (a->sa.sa_family == AF_INET)
        return ntohl(a->in.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

bool address_is_any(const struct address *a)
{
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}
