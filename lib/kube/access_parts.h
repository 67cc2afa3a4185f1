/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lib/kube only: what an access is made of. */
#ifndef TULLE_KUBE_ACCESS_PARTS_H
#define TULLE_KUBE_ACCESS_PARTS_H

#include "lib/kube/access.h"

/* Something secret or trusted: given once, or kept in a file that others may
 * replace at any time. */
struct credential {
    char *path;    /* NULL: given once */
    slice content; /* heap; empty: there is none */
    int64_t modified, checked;
    uint64_t inode, size;
};

struct kube_access {
    char *server, *ns;
    struct credential ca; /* PEM; empty: the system's */
    struct credential cert, key;
    struct credential token;
};

struct kube_access *kube_access_new(slice server, slice ns);
/* Takes `content` (heap). */
void credential_set(struct credential *c, slice content);
/* Reads the file, which must not be empty. */
CHECKED enum status credential_open(struct credential *c, slice path,
                                    struct error *e);
/* Without white space at the end: how tokens are used. */
slice credential_text(slice s);
/* Reads files that have changed, looking at most once a second (`now`:
 * monotonic ns). A file that cannot be read changes nothing: kubelets replace
 * them, and what we have may be good for some time. */
void kube_access_refresh(struct kube_access *a, int64_t now);

/* The content of a kubeconfig. Pure but for the files that it names, which are
 * looked for beside `path`. */
CHECKED enum status kubeconfig_read(slice text, slice path,
                                    struct kube_access **out, struct error *e);

#endif
