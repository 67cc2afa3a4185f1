/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/accept/orig_dst.h"

#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

static enum status ask_kernel(int fd, const struct address *local,
                              struct address *out)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    int rc = local->sa.sa_family == AF_INET
                 ? getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &sa, &len)
                 : getsockopt(fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &sa, &len);
    if (rc)
        return ERR_NOT_FOUND;
    address_from(out, (struct sockaddr *)&sa);
    return OK;
}

enum status orig_dst(int fd, uint16_t own, struct address *out)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct address local;
    if (getsockname(fd, (struct sockaddr *)&sa, &len))
        return ERR_NOT_FOUND;
    address_from(&local, (struct sockaddr *)&sa);
    enum status rc = ask_kernel(fd, &local, out);
    if (rc)
        return rc;
    /* Connected to the listener directly: the kernel then gives the local
     * address, or one that leads here again. */
    if (address_eq(out, &local) ||
        (address_port(out) == own && address_ip_eq(out, &local)))
        return ERR_DENIED;
    if (address_port(out) == own && address_is_loopback(out))
        return ERR_DENIED;
    return OK;
}
