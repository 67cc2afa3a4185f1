/* SPDX-License-Identifier: Apache-2.0 */
/* A line of the session, and the content of a view: what a proxy may send to
 * the controller, and the reverse. What is understood must survive being
 * written and read again. */
#include <stdlib.h>

#include "lib/mesh/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any base will do: the delta only has to name it. */
static void apply(const struct delta *d)
{
    struct view *old = view_new(VIEW_BACKEND, SLICE("shop/cart:80"));
    struct view *result = NULL;
    struct error e = {""};

    memcpy(old->hash, d->base.ptr, VIEW_HASH);
    if (delta_apply(old, d, &result, &e) && (result || !e.text[0]))
        abort();
    view_unref(result);
    view_unref(old);
}

static void check_line(slice line, struct text *again, bool must)
{
    struct error e = {""};
    struct msg m;

    if (msg_decode(line, &m, &e)) {
        if (must || m.view || !e.text[0])
            abort();
        msg_fini(&m);
        return;
    }
    msg_encode(&m, again);
    if (m.type == MSG_DELTA)
        apply(&m.delta);
    msg_fini(&m);
}

static void check_msg(slice input)
{
    struct text first, second;

    text_init(&first, WIRE_LINE_MAX);
    text_init(&second, WIRE_LINE_MAX);
    check_line(input, &first, false);
    if (first.len && !first.failed) {
        check_line(slice_sub(text_slice(&first), 0, first.len - 1), &second,
                   true);
        if (!slice_eq(text_slice(&first), text_slice(&second)))
            abort();
    }
    text_fini(&first);
    text_fini(&second);
}

static void check_view(enum view_kind kind, slice input)
{
    struct view *v = NULL, *again = NULL;
    struct error e = {""};
    struct text canonical;

    if (view_decode(kind, SLICE("k"), input, &v, &e)) {
        if (v || !e.text[0])
            abort();
        return;
    }
    text_init(&canonical, VIEW_BYTES_MAX);
    view_encode(v, &canonical);
    if (view_decode(kind, v->key, text_slice(&canonical), &again, &e) ||
        strcmp(v->hash, again->hash) != 0)
        abort();
    text_fini(&canonical);
    view_unref(again);
    view_unref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice input = slice_of(data, size);

    check_msg(input);
    for (int kind = 0; kind < VIEW_KINDS; kind++)
        check_view((enum view_kind)kind, input);
    return 0;
}
