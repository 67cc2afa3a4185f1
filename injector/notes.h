/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be told beside the answer: sentences, and to whom. */
#ifndef TULLE_INJECTOR_NOTES_H
#define TULLE_INJECTOR_NOTES_H

#include "lib/base/arena.h"

enum note_kind {
    NOTE_WARNING,   /* to whoever writes the pod */
    NOTE_POD,       /* an Event on the pod or what made it */
    NOTE_NAMESPACE, /* an Event on the namespace */
};

struct note {
    enum note_kind kind;
    slice text;
};

enum { NOTES_MAX = 32 };

/* Beyond the limit nothing is added: the first ones are the ones to mend. */
struct notes {
    struct arena *arena;
    struct note at[NOTES_MAX];
    unsigned len;
};

/* Texts are kept in `arena`, which must outlive it. */
void notes_init(struct notes *n, struct arena *arena);
/* Cut to 500 bytes. */
void notes_add(struct notes *n, enum note_kind kind, const char *fmt, ...)
    PRINTF(3, 4);

#endif
