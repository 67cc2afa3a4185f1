/* SPDX-License-Identifier: Apache-2.0 */
/* The same for manifests: pods and what makes pods, in YAML or JSON, one or many
 * documents. Everything that is not ours stays as it is written: comments, order,
 * quotes, anchors. */
#ifndef TULLE_INJECTOR_FILE_H
#define TULLE_INJECTOR_FILE_H

#include "injector/inject.h"

struct file_options {
    const struct inject_settings *settings;
    slice ns; /* of objects that name none */
    bool all; /* also what did not ask; but not what declined */
    /* One line for each pod or template: "shop/deployment/web: injected". May be
     * NULL. */
    void (*report)(void *arg, const char *line);
    void *arg;
};

/* Appends `text` with what is to be added. Namespaces among its documents count.
 * ERR_INVALID with file and line for what cannot be read, what is refused, or
 * what is written in a way that cannot be changed in place: then nothing is
 * appended. What comes out was read again and compared. */
CHECKED enum status file_inject(slice text, slice source,
                                const struct file_options *opt,
                                struct text *out, struct error *e);

#endif
