/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses as values, and their text: "10.0.0.1:80", "[::1]:80". */
#ifndef TULLE_NET_ADDRESS_H
#define TULLE_NET_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/base/slice.h"

struct address {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
};

enum { ADDRESS_TEXT = 56 };

/* Numeric only; ERR_INVALID. IPv4-mapped IPv6 becomes IPv4. */
CHECKED enum status address_parse(slice text, struct address *out);
/* From a sockaddr of the kernel; maps ::ffff:a.b.c.d to IPv4. */
void address_from(struct address *out, const struct sockaddr *sa);
/* Writes "ip:port" and returns it as a slice of `buf`. */
slice address_format(const struct address *a, char buf[ADDRESS_TEXT]);
/* Only the IP, without brackets. */
slice address_format_ip(const struct address *a, char buf[ADDRESS_TEXT]);
uint16_t address_port(const struct address *a);
void address_set_port(struct address *a, uint16_t port);
socklen_t address_len(const struct address *a);
bool address_eq(const struct address *a, const struct address *b);
bool address_ip_eq(const struct address *a, const struct address *b);
bool address_is_loopback(const struct address *a);
bool address_is_any(const struct address *a);

#endif
