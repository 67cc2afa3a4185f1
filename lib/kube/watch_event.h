/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lib/kube only: the text of a watch. One JSON object a line. Pure. */
#ifndef TULLE_KUBE_WATCH_EVENT_H
#define TULLE_KUBE_WATCH_EVENT_H

#include "lib/base/text.h"
#include "lib/json/json.h"

/* Bytes as they come -> lines. */
struct lines {
    struct text kept; /* the beginning of a line */
    bool whole;       /* `kept` was given out as a line */
    bool skipping;    /* the rest of a line that is too long */
};

enum line {
    LINE_NONE, /* more bytes are needed; `rest` is used up */
    LINE_WHOLE,
    LINE_TOO_LONG, /* told once; what remains of it is passed over */
};

void lines_init(struct lines *l, size_t max);
void lines_fini(struct lines *l);
/* Takes the next line off the front of `rest`. `*line` is without its end and
 * borrows from `rest` or from `l`, until the next call. Empty lines are passed
 * over. */
enum line lines_next(struct lines *l, slice *rest, slice *line);

enum watch_type {
    WATCH_PUT, /* ADDED, MODIFIED */
    WATCH_GONE,
    WATCH_BOOKMARK,
    WATCH_FAILED, /* ERROR: the stream is of no use any more */
};

struct watch_event {
    enum watch_type type;
    struct json object;
    slice ns, name; /* of WATCH_PUT and WATCH_GONE */
    slice version;  /* metadata.resourceVersion */
    bool listed;    /* WATCH_BOOKMARK: the list is complete */
    bool expired;   /* WATCH_FAILED: list again */
    slice message;  /* WATCH_FAILED */
};

/* ERR_INVALID when it is no event. Borrows from `root`. */
CHECKED enum status watch_event_read(struct json root, struct watch_event *out,
                                     struct error *e);
/* metadata of an object: `ns` may be empty, `name` may not. */
CHECKED enum status object_names(struct json object, slice *ns, slice *name,
                                 struct error *e);

#endif
