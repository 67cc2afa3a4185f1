/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of small things: each checks a bound before it copies. */
#include "lib/mesh/wire_parts.h"

enum status read_text(struct json obj, const char *name, size_t max,
                      struct arena *a, slice *out, struct error *e)
{
    slice s = SLICE_NONE;
    enum status rc = json_opt_string(obj, name, &s, e);

    if (rc)
        return rc;
    if (s.len > max)
        return json_error(json_get(obj, name), ERR_TOO_BIG, e,
                          "%zu bytes, of at most %zu", s.len, max);
    if (arena_copy(a, s, out))
        return json_error(json_get(obj, name), ERR_TOO_BIG, e,
                          "too much text in all");
    return OK;
}

enum status read_filled(struct json obj, const char *name, size_t max,
                        struct arena *a, slice *out, struct error *e)
{
    slice s;
    enum status rc = json_string(obj, name, &s, e);

    if (rc)
        return rc;
    if (slice_empty(s))
        return json_error(json_get(obj, name), ERR_INVALID, e, "empty");
    return read_text(obj, name, max, a, out, e);
}

enum status read_space(struct json list, size_t max, size_t size,
                       struct arena *a, void **out, uint32_t *len,
                       struct error *e)
{
    size_t n = json_count(list);

    *out = NULL;
    *len = 0;
    if (n > max)
        return json_error(list, ERR_TOO_BIG, e, "%zu items, of at most %zu", n,
                          max);
    if (n == 0)
        return OK;
    *out = arena_alloc(a, n * size);
    if (!*out)
        return json_error(list, ERR_TOO_BIG, e, "too many items in all");
    memset(*out, 0, n * size);
    *len = (uint32_t)n;
    return OK;
}

static enum status read_name(struct json v, struct arena *a, slice *out,
                             struct error *e)
{
    slice s;
    enum status rc = json_as_string(v, &s, e);

    if (rc)
        return rc;
    if (s.len > WIRE_NAME_MAX || arena_copy(a, s, out))
        return json_error(v, ERR_TOO_BIG, e, "%zu bytes, of at most %d", s.len,
                          WIRE_NAME_MAX);
    return OK;
}

enum status read_names(struct json obj, const char *name, struct arena *a,
                       slice **out, uint32_t *len, struct error *e)
{
    struct json list, i;
    slice *at;
    void *space;
    enum status rc = json_opt_array(obj, name, &list, e);

    if (rc)
        return rc;
    rc = read_space(list, WIRE_NAMES_MAX, sizeof **out, a, &space, len, e);
    if (rc)
        return rc;
    *out = at = space;
    for (i = json_first(list); json_present(i); i = json_next(i)) {
        rc = read_name(i, a, at++, e);
        if (rc)
            return rc;
    }
    return OK;
}

static enum status refuse_word(struct json v, slice found,
                               const char *const *words, int n, struct error *e)
{
    struct text list, quoted;

    text_init(&list, 200);
    text_init(&quoted, 60);
    for (int i = 0; i < n; i++)
        text_printf(&list, "%s%s", i ? ", " : "", words[i]);
    text_add_json(&quoted, found);
    json_error(v, ERR_INVALID, e, "expected one of %s, not \"%s\"",
               text_cstr(&list), text_cstr(&quoted));
    text_fini(&list);
    text_fini(&quoted);
    return ERR_INVALID;
}

enum status read_choice(struct json obj, const char *name,
                        const char *const *words, int n, int *out,
                        struct error *e)
{
    slice s;
    enum status rc = json_string(obj, name, &s, e);

    if (rc)
        return rc;
    for (int i = 0; i < n; i++) {
        if (slice_eq(s, slice_str(words[i]))) {
            *out = i;
            return OK;
        }
    }
    return refuse_word(json_get(obj, name), s, words, n, e);
}

enum status read_protocol(struct json obj, enum protocol *out, struct error *e)
{
    const char *words[PROTOCOLS];
    enum status rc;
    int i;

    for (i = 0; i < PROTOCOLS; i++)
        words[i] = protocol_name((enum protocol)i);
    rc = read_choice(obj, "protocol", words, PROTOCOLS, &i, e);
    if (rc)
        return rc;
    *out = (enum protocol)i;
    return OK;
}

static bool is_hash(slice s)
{
    if (s.len != VIEW_HASH)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

enum status read_hash(struct json obj, const char *name, bool optional,
                      struct arena *a, slice *out, struct error *e)
{
    slice s = SLICE_NONE;
    enum status rc = optional ? json_opt_string(obj, name, &s, e)
                              : json_string(obj, name, &s, e);

    if (rc)
        return rc;
    if (!is_hash(s) && !(optional && slice_empty(s)))
        return json_error(json_get(obj, name), ERR_INVALID, e,
                          "expected 32 hexadecimal digits");
    if (arena_copy(a, s, out))
        return json_error(json_get(obj, name), ERR_TOO_BIG, e,
                          "too much text in all");
    return OK;
}

enum status check_address(struct json v, slice address, struct error *e)
{
    enum { ADDRESS_MAX = 64 };
    slice host, port;
    uint64_t n;

    if (address.len <= ADDRESS_MAX && slice_rcut(address, ':', &host, &port) &&
        host.len && slice_to_u64(port, UINT16_MAX, &n) == OK && n > 0)
        return OK;
    return json_error(v, ERR_INVALID, e,
                      "expected an address like 10.1.2.3:8080");
}
