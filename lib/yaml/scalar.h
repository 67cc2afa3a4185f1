/* SPDX-License-Identifier: Apache-2.0 */
/* What a plain scalar means. */
#ifndef TULLE_YAML_SCALAR_H
#define TULLE_YAML_SCALAR_H

#include "lib/base/slice.h"

enum scalar_type {
    SCALAR_NULL,
    SCALAR_BOOL,
    SCALAR_NUMBER,
    SCALAR_STRING,
};

struct scalar {
    enum scalar_type type;
    bool boolean;
    double number;
};

/* On error `*why` is a constant sentence: a number that JSON cannot say. */
CHECKED enum status scalar_resolve(slice text, struct scalar *out,
                                   const char **why);

#endif
