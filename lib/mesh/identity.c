/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing is exact: the name is cut at its fixed parts, and every part must be
 * a valid name. What is left over is an error, never ignored. */
#include "lib/mesh/identity.h"

#define SCHEME SLICE("spiffe://")
#define CONTROLLER_PATH SLICE("/tulle/controller")

enum { LABEL_MAX = 63, SUBDOMAIN_MAX = 253 };

static bool letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Letters and digits, and '-' between them. */
static bool label_shaped(slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        bool edge = i == 0 || i == s.len - 1;
        if (!letter_or_digit(s.ptr[i]) && (edge || s.ptr[i] != '-'))
            return false;
    }
    return s.len > 0;
}

bool dns_label_valid(slice s)
{
    return s.len <= LABEL_MAX && label_shaped(s);
}

bool dns_subdomain_valid(slice s)
{
    slice label;

    if (s.len < 1 || s.len > SUBDOMAIN_MAX)
        return false;
    while (slice_next(&s, '.', &label)) {
        if (!label_shaped(label))
            return false;
    }
    return true;
}

static bool take(slice *rest, slice prefix)
{
    if (!slice_starts(*rest, prefix))
        return false;
    *rest = slice_sub(*rest, prefix.len, rest->len);
    return true;
}

/* Takes the bytes before the next '/' (or all) off the front. */
static slice take_part(slice *rest)
{
    ptrdiff_t at = slice_find(*rest, '/');
    size_t len = at < 0 ? rest->len : (size_t)at;
    slice part = slice_sub(*rest, 0, len);

    *rest = slice_sub(*rest, len, rest->len);
    return part;
}

static bool valid(const struct workload_name *n)
{
    return dns_subdomain_valid(n->trust_domain) && dns_label_valid(n->ns) &&
           dns_subdomain_valid(n->service_account);
}

static bool parse(slice rest, struct workload_name *out)
{
    if (rest.len > WORKLOAD_NAME_MAX || !take(&rest, SCHEME))
        return false;
    out->trust_domain = take_part(&rest);
    if (!take(&rest, SLICE("/ns/")))
        return false;
    out->ns = take_part(&rest);
    if (!take(&rest, SLICE("/sa/")))
        return false;
    out->service_account = take_part(&rest);
    return rest.len == 0 && valid(out);
}

enum status workload_name_parse(slice name, struct workload_name *out,
                                struct error *e)
{
    struct workload_name n;

    if (!parse(name, &n))
        return error_set(
            e, ERR_INVALID,
            "'%.*s' is not a workload name like spiffe://trust-domain/ns/namespace/sa/service-account",
            FMT(slice_sub(name, 0, 200)));
    *out = n;
    return OK;
}

enum status workload_name_build(const struct workload_name *n, struct text *out,
                                struct error *e)
{
    if (!dns_subdomain_valid(n->trust_domain))
        return error_set(e, ERR_INVALID, "'%.*s' is not a trust domain",
                         FMT(slice_sub(n->trust_domain, 0, 100)));
    if (!dns_label_valid(n->ns))
        return error_set(e, ERR_INVALID, "'%.*s' is not a namespace",
                         FMT(slice_sub(n->ns, 0, 100)));
    if (!dns_subdomain_valid(n->service_account))
        return error_set(e, ERR_INVALID, "'%.*s' is not a service account",
                         FMT(slice_sub(n->service_account, 0, 100)));
    text_add(out, SCHEME);
    text_add(out, n->trust_domain);
    text_add(out, SLICE("/ns/"));
    text_add(out, n->ns);
    text_add(out, SLICE("/sa/"));
    text_add(out, n->service_account);
    return OK;
}

enum status controller_name_build(slice trust_domain, struct text *out,
                                  struct error *e)
{
    if (!dns_subdomain_valid(trust_domain))
        return error_set(e, ERR_INVALID, "'%.*s' is not a trust domain",
                         FMT(slice_sub(trust_domain, 0, 100)));
    text_add(out, SCHEME);
    text_add(out, trust_domain);
    text_add(out, CONTROLLER_PATH);
    return OK;
}

bool controller_name_is(slice name, slice trust_domain)
{
    return take(&name, SCHEME) && take(&name, trust_domain) &&
           slice_eq(name, CONTROLLER_PATH);
}
