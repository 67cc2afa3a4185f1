/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/accept/orig_dst.h"

#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <unistd.h>

static bool local_address(int fd, struct address *out)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    if (getsockname(fd, (struct sockaddr *)&sa, &len))
        return false;
    address_from(out, (struct sockaddr *)&sa); /* a mapped IPv4 is IPv4 */
    return true;
}

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

enum status orig_dst_of(int fd, struct address *out)
{
    struct address local;

    return local_address(fd, &local) ? ask_kernel(fd, &local, out)
                                     : ERR_NOT_FOUND;
}

enum status orig_dst(int fd, uint16_t own, struct address *out)
{
    struct address local;

    if (!local_address(fd, &local))
        return ERR_NOT_FOUND;
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

bool orig_dst_is_own(const struct address *to)
{
    struct address at = *to;
    int fd, on = 1;

    if (address_is_loopback(to) || address_is_any(to))
        return false;
    fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    address_set_port(&at, 0);
    /* No port is wanted, so that none need be free. */
    setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    int rc = bind(fd, &at.sa, address_len(&at));
    close(fd);
    return rc == 0;
}
