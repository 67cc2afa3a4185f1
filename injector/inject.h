/* SPDX-License-Identifier: Apache-2.0 */
/* A pod (or the template of one) -> what is to be done with it. Pure: for the
 * webhook and for files alike. */
#ifndef TULLE_INJECTOR_INJECT_H
#define TULLE_INJECTOR_INJECT_H

#include "injector/eligible.h"
#include "injector/patch.h"
#include "injector/sidecar.h"

struct inject_settings { /* borrowed */
    struct sidecar_site site;
    struct overrides defaults; /* passed overrides_check */
};

struct inject_input {
    const struct inject_settings *settings;
    struct json pod; /* metadata and spec */
    slice ns;
    struct json ns_labels, ns_annotations; /* absent: not known, or none */
    bool asked;                            /* where the pod says nothing */
};

struct inject_result {
    struct arena arena;
    struct patch patch; /* empty: nothing is to be done */
    struct notes notes;
    enum verdict verdict;
    struct error why; /* a sentence for all but VERDICT_INJECT */
};

/* Cannot fail: what cannot be done is VERDICT_REFUSE. The result borrows from
 * the settings and the pod; inject_fini always. */
void inject(const struct inject_input *in, struct inject_result *out);
void inject_fini(struct inject_result *r);

#endif
