/* SPDX-License-Identifier: Apache-2.0 */
/* Three chains of one table for both families:
 *
 *   outbound  what a process of the pod sends, and nobody exempted, goes to the
 *             proxy's outbound port on loopback
 *   inbound   what comes from outside, for an address of the pod, goes to the
 *             proxy's inbound port
 *   guard     what comes from outside and was not redirected is dropped
 *
 * NAT looks at the first packet of a connection only, so what is established
 * stays as it is. A connection from before the rules may show up as new with a
 * packet in its middle: hence only a lone SYN is redirected. That would let in who
 * opens with something else, were it not for the guard.
 *
 * A neighbour on the link can send any destination. Redirected, it would have become
 * the proxy's, which dials it: the pod's loopback, or somebody elsewhere. Left alone,
 * the kernel drops it as it does without us.
 *
 * "lo" is where packets to any address of the pod itself go: nothing between
 * processes of one pod is redirected. */
#include "proxy/redirect/rules.h"

#include <arpa/inet.h>

#define SYN "tcp flags & (fin | syn | rst | ack) == syn"
#define NOT_SYN "tcp flags & (fin | syn | rst | ack) != syn"

static void write_ports(const struct port_set *set, struct text *out)
{
    text_add(out, SLICE("{ "));
    for (unsigned i = 0; i < set->len; i++) {
        const struct port_range *r = &set->at[i];

        text_printf(out, i ? ", %u" : "%u", r->first);
        if (r->last != r->first)
            text_printf(out, "-%u", r->last);
    }
    text_add(out, SLICE(" }"));
}

static void skip_ports(const struct port_set *set, struct text *out)
{
    if (set->len == 0)
        return;
    text_add(out, SLICE("\t\ttcp dport "));
    write_ports(set, out);
    text_add(out, SLICE(" accept\n"));
}

static void skip_subnet(const struct subnet *s, struct text *out)
{
    char ip[INET6_ADDRSTRLEN];

    if (!inet_ntop(s->family, s->ip, ip, sizeof ip))
        return;
    /* "::/0" and "0.0.0.0/0" are not addresses for nft, but families. */
    if (s->bits == 0)
        text_printf(out, "\t\tmeta nfproto %s accept\n",
                    s->family == AF_INET ? "ipv4" : "ipv6");
    else
        text_printf(out, "\t\t%s daddr %s/%u accept\n",
                    s->family == AF_INET ? "ip" : "ip6", ip, s->bits);
}

static void write_outbound(const struct rules *r, struct text *out)
{
    text_add(out, SLICE("\tchain outbound {\n"
                        "\t\ttype nat hook output priority -100; "
                        "policy accept;\n"
                        "\t\tmeta l4proto != tcp accept\n"
                        "\t\t" NOT_SYN " accept\n"));
    text_printf(out, "\t\tmeta skuid %u accept\n", r->uid);
    text_printf(out, "\t\tmeta skgid %u accept\n", r->gid);
    text_add(out, SLICE("\t\toifname \"lo\" accept\n"));
    skip_ports(&r->skip_outbound, out);
    for (unsigned i = 0; i < r->skip_subnets.len; i++)
        skip_subnet(&r->skip_subnets.at[i], out);
    text_printf(out, "\t\tmeta l4proto tcp redirect to :%u\n\t}\n",
                r->outbound_port);
}

static void write_inbound(const struct rules *r, struct text *out)
{
    text_add(out, SLICE("\tchain inbound {\n"
                        "\t\ttype nat hook prerouting priority -100; "
                        "policy accept;\n"
                        "\t\tmeta l4proto != tcp accept\n"
                        "\t\t" NOT_SYN " accept\n"
                        "\t\tiifname \"lo\" accept\n"
                        "\t\tip daddr 127.0.0.0/8 accept\n"
                        "\t\tip6 daddr ::1 accept\n"));
    if (!r->without_fib)
        text_add(out, SLICE("\t\tfib daddr type != local accept\n"));
    skip_ports(&r->skip_inbound, out);
    text_printf(out, "\t\tmeta l4proto tcp redirect to :%u\n\t}\n",
                r->inbound_port);
}

/* The inbound port itself: redirected to where it was going anyway, which is no
 * redirection; the proxy refuses it with a reset. */
static void write_guard(const struct rules *r, struct text *out)
{
    text_add(out, SLICE("\tchain guard {\n"
                        "\t\ttype filter hook input priority 0; "
                        "policy accept;\n"
                        "\t\tmeta l4proto != tcp accept\n"
                        "\t\t" NOT_SYN " accept\n"
                        "\t\tiifname \"lo\" accept\n"
                        "\t\tct status & dnat != 0 accept\n"));
    text_printf(out, "\t\ttcp dport %u accept\n", r->inbound_port);
    skip_ports(&r->skip_inbound, out);
    text_add(out, SLICE("\t\tdrop\n\t}\n"));
}

void rules_write(const struct rules *r, struct text *out)
{
    /* To delete what is not there is an error: so it is made first. */
    text_add(out, SLICE("table inet tulle\n"
                        "delete table inet tulle\n"
                        "table inet tulle {\n"));
    write_outbound(r, out);
    write_inbound(r, out);
    write_guard(r, out);
    text_add(out, SLICE("}\n"));
}
