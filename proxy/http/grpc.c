/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/grpc.h"

#include <assert.h>

#define GRPC_TYPE SLICE("application/grpc")

enum { FIELDS = 4 };

bool grpc_is(const struct head *request)
{
    const struct header *type = headers_find(&request->headers,
                                             HDR_CONTENT_TYPE);
    slice rest;

    if (!type ||
        !slice_eq_nocase(slice_sub(type->value, 0, GRPC_TYPE.len), GRPC_TYPE))
        return false;
    rest = slice_sub(type->value, GRPC_TYPE.len, type->value.len);
    return rest.len == 0 || rest.ptr[0] == '+' || rest.ptr[0] == ';';
}

/* "HTTP to gRPC Status Code Mapping"; messages over a limit are
 * RESOURCE_EXHAUSTED. */
static unsigned status_of(unsigned http)
{
    enum {
        UNKNOWN = 2,
        PERMISSION_DENIED = 7,
        RESOURCE_EXHAUSTED = 8,
        UNIMPLEMENTED = 12,
        INTERNAL = 13,
        UNAVAILABLE = 14,
        UNAUTHENTICATED = 16,
    };

    switch (http) {
    case 400:
        return INTERNAL;
    case 401:
        return UNAUTHENTICATED;
    case 403:
        return PERMISSION_DENIED;
    case 404:
        return UNIMPLEMENTED;
    case 413:
    case 414:
    case 431:
        return RESOURCE_EXHAUSTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return UNAVAILABLE;
    default:
        return UNKNOWN;
    }
}

static void add(struct headers *list, slice name, slice value)
{
    enum status rc = headers_add(list, name, value);

    assert(rc == OK); /* FIELDS are enough */
    (void)rc;
}

/* `list` has room for FIELDS. */
static void add_fault(struct headers *list, enum fault f, bool trailers)
{
    static __thread char status[12], message[64];
    const struct fault_row *row = fault_row(f);
    int n = snprintf(status, sizeof status, "%u", status_of(row->status));
    int m = snprintf(message, sizeof message, "tulle: %.*s", FMT(row->name));

    if (!trailers)
        add(list, SLICE("content-type"), GRPC_TYPE);
    add(list, SLICE("grpc-status"), slice_of(status, (size_t)n));
    add(list, SLICE("grpc-message"), slice_of(message, (size_t)m));
    if (!trailers)
        add(list, SLICE(FAULT_HEADER), row->name);
}

const struct headers *grpc_fault_fields(enum fault f)
{
    static __thread struct header storage[FIELDS];
    static __thread struct headers list;

    list = (struct headers){.at = storage, .cap = FIELDS};
    add_fault(&list, f, false);
    return &list;
}

void grpc_refuse(struct exchange *x, enum fault f)
{
    struct header storage[FIELDS];
    struct head h;

    head_init_response(&h, 200, storage, FIELDS);
    add_fault(&h.headers, f, x->head_out);
    if (x->head_out)
        exchange_send_trailers(x, &h.headers);
    else
        exchange_send_head(x, &h, true);
}
