/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/discovery/letter.h"

#include "lib/base/mem.h"

static void free_mail(struct mail *m)
{
    letter_free(CONTAINER_OF(m, struct letter, mail));
}

struct letter *letter_new(enum letter_type type, enum view_kind kind, slice key,
                          struct view *view)
{
    struct letter *l = mem_alloc(sizeof *l + key.len);
    *l = (struct letter){.type = type, .kind = kind, .key_len = key.len};
    l->mail.free = free_mail;
    l->view = view ? view_ref(view) : NULL;
    if (key.len)
        memcpy(l->key, key.ptr, key.len);
    return l;
}

void letter_free(struct letter *l)
{
    view_unref(l->view);
    mem_free(l);
}
