/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/redirect/skip.h"

#include <arpa/inet.h>

/* ---- ports ---- */

static enum status port_parse(slice text, uint16_t *out)
{
    uint64_t n;

    if (slice_to_u64(text, UINT16_MAX, &n) || n == 0)
        return ERR_INVALID;
    *out = (uint16_t)n;
    return OK;
}

static enum status range_parse(slice item, struct port_range *out,
                               struct error *e)
{
    slice first = item, last = item;

    (void)slice_cut(item, '-', &first, &last);
    if (port_parse(slice_trim(first), &out->first) ||
        port_parse(slice_trim(last), &out->last))
        return error_set(e, ERR_INVALID,
                         "'%.*s' is neither a port (1 to 65535) nor a range "
                         "like 8000-8010",
                         FMT(item));
    if (out->first > out->last)
        return error_set(e, ERR_INVALID, "'%.*s' ends before it begins",
                         FMT(item));
    return OK;
}

/* The first range that ends at or behind `first`, or touches it. */
static unsigned place_of(const struct port_set *set, uint16_t first)
{
    unsigned i = 0;

    while (i < set->len && (uint32_t)set->at[i].last + 1 < first)
        i++;
    return i;
}

enum status port_set_add(struct port_set *set, uint16_t first, uint16_t last,
                         struct error *e)
{
    unsigned from = place_of(set, first), to = from;
    struct port_range r = {first, last};

    while (to < set->len && set->at[to].first <= (uint32_t)last + 1) {
        if (set->at[to].first < r.first)
            r.first = set->at[to].first;
        if (set->at[to].last > r.last)
            r.last = set->at[to].last;
        to++;
    }
    if (from == to && set->len == SKIP_PORTS_MAX)
        return error_set(e, ERR_TOO_BIG, "more than %d ports and ranges",
                         SKIP_PORTS_MAX);
    memmove(&set->at[from + 1], &set->at[to],
            (set->len - to) * sizeof set->at[0]);
    set->at[from] = r;
    set->len = set->len - (to - from) + 1;
    return OK;
}

enum status port_set_parse(slice list, struct port_set *out, struct error *e)
{
    slice item;
    enum status rc = OK;

    out->len = 0;
    if (slice_empty(slice_trim(list)))
        return OK;
    while (!rc && slice_next(&list, ',', &item)) {
        struct port_range r = {0};

        rc = range_parse(slice_trim(item), &r, e);
        if (!rc)
            rc = port_set_add(out, r.first, r.last, e);
    }
    return rc;
}

bool port_set_has(const struct port_set *set, uint16_t port)
{
    for (unsigned i = 0; i < set->len; i++)
        if (port >= set->at[i].first && port <= set->at[i].last)
            return true;
    return false;
}

/* ---- networks ---- */

static bool bit_of(const uint8_t *ip, unsigned i)
{
    return ip[i / 8] & (0x80u >> (i % 8));
}

static enum status subnet_parse(slice item, struct subnet *out, struct error *e)
{
    char text[INET6_ADDRSTRLEN];
    slice ip = item, length = SLICE_NONE;
    bool cut = slice_cut(item, '/', &ip, &length);
    uint64_t bits;

    *out = (struct subnet){.family = AF_INET};
    if (slice_find(ip, ':') >= 0)
        out->family = AF_INET6;
    unsigned most = out->family == AF_INET ? 32 : 128;
    if (slice_to_cstr(ip, text, sizeof text) ||
        inet_pton(out->family, text, out->ip) != 1)
        return error_set(e, ERR_INVALID,
                         "'%.*s' is no network like 10.1.0.0/16 or fd00::/8",
                         FMT(item));
    if (cut && slice_to_u64(length, most, &bits))
        return error_set(e, ERR_INVALID, "'%.*s': the length is 0 to %u",
                         FMT(item), most);
    out->bits = cut ? (unsigned)bits : most;
    for (unsigned i = out->bits; i < most; i++)
        if (bit_of(out->ip, i))
            return error_set(e, ERR_INVALID,
                             "'%.*s' is no network: bits behind the first %u "
                             "are set",
                             FMT(item), out->bits);
    return OK;
}

enum status subnet_set_parse(slice list, struct subnet_set *out,
                             struct error *e)
{
    slice item;
    enum status rc = OK;

    out->len = 0;
    if (slice_empty(slice_trim(list)))
        return OK;
    while (!rc && slice_next(&list, ',', &item)) {
        if (out->len == SKIP_SUBNETS_MAX)
            return error_set(e, ERR_TOO_BIG, "more than %d networks",
                             SKIP_SUBNETS_MAX);
        rc = subnet_parse(slice_trim(item), &out->at[out->len], e);
        if (!rc)
            out->len++;
    }
    return rc;
}

static bool holds(const struct subnet *s, const uint8_t *ip)
{
    for (unsigned i = 0; i < s->bits; i++)
        if (bit_of(s->ip, i) != bit_of(ip, i))
            return false;
    return true;
}

bool subnet_set_has(const struct subnet_set *set, const struct address *a)
{
    const void *ip = a->sa.sa_family == AF_INET
                         ? (const void *)&a->in.sin_addr
                         : (const void *)&a->in6.sin6_addr;

    for (unsigned i = 0; i < set->len; i++)
        if (set->at[i].family == a->sa.sa_family && holds(&set->at[i], ip))
            return true;
    return false;
}
