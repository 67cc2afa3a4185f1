/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/mesh/silent.h"

#include "lib/base/mem.h"

static const char *const directions[] = {"outbound", "inbound"};

static bool has_any(const struct silent *at, uint32_t len, bool inbound)
{
    for (uint32_t i = 0; i < len; i++)
        if (at[i].inbound == inbound)
            return true;
    return false;
}

static void write_direction(const struct silent *at, uint32_t len, bool inbound,
                            struct json_write *w)
{
    if (!has_any(at, len, inbound))
        return;
    json_write_name(w, directions[inbound]);
    json_write_object(w);
    for (uint32_t i = 0; i < len; i++) {
        if (at[i].inbound != inbound)
            continue;
        json_write_name_slice(w, at[i].service);
        json_write_u64(w, at[i].connections);
    }
    json_write_object_end(w);
}

void silent_write(const struct silent *at, uint32_t len, struct json_write *w)
{
    if (!len)
        return;
    json_write_name(w, "silent");
    json_write_object(w);
    write_direction(at, len, true, w);
    write_direction(at, len, false, w);
    json_write_object_end(w);
}

/* Names come from a proxy, and go into pages and lines of ours. */
static bool is_service(slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || name.ptr[i] == '"' ||
            name.ptr[i] == '\\')
            return false;
    return name.len && name.len <= SILENT_NAME_MAX;
}

static enum status read_direction(struct json all, bool inbound,
                                  struct silent *at, uint32_t max,
                                  uint32_t *len, struct error *e)
{
    struct json list, i;
    enum status rc = json_opt_object(all, directions[inbound], &list, e);

    if (rc)
        return rc;
    for (i = json_first(list); json_present(i); i = json_next(i)) {
        struct silent one = {.inbound = inbound, .service = json_name(i)};

        rc = json_as_u64(i, &one.connections, e);
        if (rc)
            return rc;
        if (*len < max && is_service(one.service))
            at[(*len)++] = one;
    }
    return OK;
}

enum status silent_read(struct json obj, struct silent *at, uint32_t max,
                        uint32_t *len, struct error *e)
{
    struct json all;
    enum status rc = json_opt_object(obj, "silent", &all, e);

    *len = 0;
    if (rc || !json_present(all))
        return rc;
    rc = read_direction(all, true, at, max, len, e);
    return rc ? rc : read_direction(all, false, at, max, len, e);
}

char *silent_own(struct silent *at, uint32_t len)
{
    size_t size = 0, pos = 0;
    char *memory;

    for (uint32_t i = 0; i < len; i++)
        size += at[i].service.len;
    if (!size)
        return NULL;
    memory = mem_alloc(size);
    for (uint32_t i = 0; i < len; i++) {
        memcpy(memory + pos, at[i].service.ptr, at[i].service.len);
        at[i].service.ptr = memory + pos;
        pos += at[i].service.len;
    }
    return memory;
}
