/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lib/json only: what a document is made of. */
#ifndef TULLE_JSON_JSON_DOC_H
#define TULLE_JSON_JSON_DOC_H

#include <cjson/cJSON.h>

#include "lib/json/json.h"

/* cJSON keeps an int beside the double of a number, for old callers. We never
 * read it as a number: in a document with lines it holds the line, of every
 * type of value. */
struct json_doc {
    cJSON *root;
    char *source; /* NULL: no name and no lines */
};

/* Sets cJSON's allocator; once in the process, from any thread. */
void json_doc_setup(void);
/* ERR_INVALID when an object has two members of one name. */
CHECKED enum status json_doc_check_names(const struct json_doc *doc,
                                         struct error *e);

#endif
