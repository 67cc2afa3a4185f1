/* SPDX-License-Identifier: Apache-2.0 */
#include "injector/notes.h"

#include <stdarg.h>
#include <stdio.h>

void notes_init(struct notes *n, struct arena *arena)
{
    n->arena = arena;
    n->len = 0;
}

void notes_add(struct notes *n, enum note_kind kind, const char *fmt, ...)
{
    char text[501];
    slice kept;
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n->len == NOTES_MAX || arena_copy(n->arena, slice_str(text), &kept))
        return;
    n->at[n->len++] = (struct note){kind, kept};
}
