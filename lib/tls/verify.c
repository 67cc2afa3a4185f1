/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/verify.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "lib/tls/cert.h"
#include "lib/tls/san.h"
#include "lib/tls/tls_internal.h"

/* A leaf proves one name. The checks go from the certificate's uses to the one
 * URI in its one SAN extension to the characters of that URI. What cannot be
 * read is refused: a certificate with a broken or repeated extension proves
 * nothing. */

enum {
    SCHEME_LEN = 9, /* "spiffe://" */
    NAME_MAX_LEN = 2048,
    DOMAIN_MAX_LEN = 255,
    POD_MAX_LEN = 1024,
};

static bool domain_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

static bool path_char(char c)
{
    return domain_char(c) || (c >= 'A' && c <= 'Z');
}

bool tls_trust_domain_valid(slice domain)
{
    if (domain.len == 0 || domain.len > DOMAIN_MAX_LEN)
        return false;
    for (size_t i = 0; i < domain.len; i++)
        if (!domain_char(domain.ptr[i]))
            return false;
    return true;
}

static bool segment_valid(slice part)
{
    if (slice_empty(part) || slice_eq(part, SLICE(".")) ||
        slice_eq(part, SLICE("..")))
        return false;
    for (size_t i = 0; i < part.len; i++)
        if (!path_char(part.ptr[i]))
            return false;
    return true;
}

/* Splits a valid name; false when it is not one. */
static bool name_split(slice name, slice *domain, slice *path)
{
    slice rest;

    if (name.len > NAME_MAX_LEN || !slice_starts(name, SLICE("spiffe://")))
        return false;
    rest = slice_sub(name, SCHEME_LEN, name.len);
    if (!slice_cut(rest, '/', domain, path) || !tls_trust_domain_valid(*domain))
        return false;
    rest = *path;
    for (;;) {
        /* a final slash leaves an empty segment, as an empty path does */
        ptrdiff_t slash = slice_find(rest, '/');
        if (slash < 0)
            return segment_valid(rest);
        if (!segment_valid(slice_sub(rest, 0, (size_t)slash)))
            return false;
        rest = slice_sub(rest, (size_t)slash + 1, rest.len);
    }
}

bool verify_spiffe_name(slice name)
{
    slice domain, path;
    return name_split(name, &domain, &path);
}

slice verify_trust_domain(slice name)
{
    slice domain, path;
    return name_split(name, &domain, &path) ? domain : SLICE_NONE;
}

/* NULL when the uses fit. */
static const char *check_uses(X509 *leaf, bool server)
{
    uint32_t flags = X509_get_extension_flags(leaf);
    uint32_t usage = X509_get_key_usage(leaf);
    uint32_t extended = X509_get_extended_key_usage(leaf);
    uint32_t wanted = server ? XKU_SSL_SERVER : XKU_SSL_CLIENT;

    if (flags & EXFLAG_INVALID)
        return "bad certificate";
    if (flags & EXFLAG_CA)
        return "certificate is an authority";
    /* UINT32_MAX stands for an absent extension */
    if (usage != UINT32_MAX && (!(usage & KU_DIGITAL_SIGNATURE) ||
                                (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN))))
        return "wrong key usage";
    if (extended != UINT32_MAX && !(extended & wanted))
        return "wrong certificate purpose";
    return NULL;
}

static const char *check_one_extension(const X509 *leaf)
{
    int nid = NID_subject_alt_name;
    int first = X509_get_ext_by_NID(leaf, nid, -1);

    if (first < 0)
        return "certificate without name";
    if (X509_get_ext_by_NID(leaf, nid, first) >= 0)
        return "several name extensions";
    return NULL;
}

/* The one URI. Borrows from `names`. */
static const char *find_uri(const GENERAL_NAMES *names, slice *uri)
{
    int found = san_uri(names, uri);

    if (found == 0)
        return "certificate without name";
    if (found > 1)
        return "several names";
    return verify_spiffe_name(*uri) ? NULL : "name is not valid";
}

enum status verify_leaf(struct x509_st *leaf, bool server, struct arena *a,
                        slice *name, const char **reason)
{
    GENERAL_NAMES *names = NULL;
    const char *why;
    slice uri = SLICE_NONE;
    enum status rc = ERR_DENIED;

    *name = SLICE_NONE;
    why = check_uses(leaf, server);
    if (why)
        goto out;
    why = check_one_extension(leaf);
    if (why)
        goto out;
    names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    if (!names) {
        why = "bad certificate";
        goto out;
    }
    why = find_uri(names, &uri);
    if (why)
        goto out;
    rc = arena_copy(a, uri, name);
    if (rc)
        why = "name is too long";
out:
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    *reason = why;
    return rc;
}

bool tls_pod_valid(slice value)
{
    if (value.len == 0 || value.len > POD_MAX_LEN)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] <= 0x20 || value.ptr[i] >= 0x7f)
            return false;
    return true;
}

enum status verify_pod_extension(struct x509_st *leaf, struct arena *a,
                                 slice *value)
{
    ASN1_OBJECT *oid = NULL;
    ASN1_UTF8STRING *text = NULL;
    const ASN1_OCTET_STRING *bytes;
    const unsigned char *at;
    enum status rc = OK;
    slice found;
    int i;

    *value = SLICE_NONE;
    oid = OBJ_txt2obj(CERT_POD_OID, 1);
    if (!oid)
        return ERR_RESOURCES;
    i = X509_get_ext_by_OBJ(leaf, oid, -1);
    if (i < 0)
        goto out;
    rc = ERR_DENIED;
    if (X509_get_ext_by_OBJ(leaf, oid, i) >= 0)
        goto out; /* two: which one is meant? */
    bytes = X509_EXTENSION_get_data(X509_get_ext(leaf, i));
    at = ASN1_STRING_get0_data(bytes);
    text = d2i_ASN1_UTF8STRING(NULL, &at, ASN1_STRING_length(bytes));
    if (!text || at != ASN1_STRING_get0_data(bytes) + ASN1_STRING_length(bytes))
        goto out;
    found = slice_of(ASN1_STRING_get0_data(text),
                     (size_t)ASN1_STRING_length(text));
    if (tls_pod_valid(found))
        rc = arena_copy(a, found, value);
out:
    ASN1_UTF8STRING_free(text);
    ASN1_OBJECT_free(oid);
    ERR_clear_error();
    return rc;
}
