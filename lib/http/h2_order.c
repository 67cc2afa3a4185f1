/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/http/h2_order.h"

enum { PREFACE = 24, DATA = 0, HEADERS = 1, PROTOCOL_ERROR = 1, CLOSED = 5 };

void h2_order_init(struct h2_order *o)
{
    *o = (struct h2_order){.skip = PREFACE};
}

void h2_order_gone(struct h2_order *o, int32_t id)
{
    o->gone[o->gone_at++ % H2_ORDER_GONE] = id;
}

static bool is_gone(const struct h2_order *o, int32_t id)
{
    for (unsigned i = 0; i < H2_ORDER_GONE; i++)
        if (o->gone[i] == id)
            return true;
    return false;
}

static void note(struct h2_order *o, int32_t id)
{
    int32_t next;

    if (id <= o->last) /* else there is a next one: ids are odd */
        return;
    next = o->last ? o->last + 2 : 1;
    if (id > next) {
        o->gap_first = next;
        o->gap_last = id - 2;
    }
    o->last = id;
}

static uint32_t check(struct h2_order *o, uint8_t type, int32_t id)
{
    if (id % 2 == 0 || (type != HEADERS && type != DATA))
        return 0;
    if (id >= o->gap_first && id <= o->gap_last)
        return PROTOCOL_ERROR;
    if (is_gone(o, id))
        return CLOSED;
    if (type == HEADERS)
        note(o, id);
    return 0;
}

static uint32_t take_head(struct h2_order *o)
{
    const uint8_t *h = o->head;
    uint32_t id = (uint32_t)(h[5] & 0x7f) << 24 | (uint32_t)h[6] << 16 |
                  (uint32_t)h[7] << 8 | h[8];

    o->skip = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
    o->had = 0;
    return check(o, h[3], (int32_t)id);
}

size_t h2_order_next(struct h2_order *o, slice data, uint32_t *code)
{
    size_t used = 0, rest;

    *code = 0;
    if (o->skip == 0) {
        while (used < data.len && o->had < H2_FRAME_HEAD)
            o->head[o->had++] = (uint8_t)data.ptr[used++];
        if (o->had == H2_FRAME_HEAD)
            *code = take_head(o);
    }
    rest = o->skip < data.len - used ? o->skip : data.len - used;
    o->skip -= (uint32_t)rest;
    return used + rest;
}
