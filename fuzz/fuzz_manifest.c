/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: YAML documents to JSON values. What YAML gives must be JSON that
 * the strict parser takes and that reads back the same. */
#include <stdlib.h>

#include "lib/json/json_write.h"
#include "lib/yaml/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write(struct json v, struct text *out)
{
    struct json_write w;

    json_write_init(&w, out);
    json_write_value(&w, v);
}

/* The path of every value can be said. */
static void name_all(struct json v)
{
    struct error e = {""};

    if (json_error(v, ERR_INVALID, &e, "x") != ERR_INVALID || !e.text[0])
        abort();
    for (struct json i = json_first(v); json_present(i); i = json_next(i))
        name_all(i);
}

static void check(const struct json_doc *doc)
{
    const struct json_limits limits = {64 << 20, YAML_VALUES_MAX};
    struct json_doc *again = NULL;
    struct text first, second;

    text_init(&first, limits.bytes);
    text_init(&second, limits.bytes);
    write(json_root(doc), &first);
    if (first.len < 4096)
        name_all(json_root(doc));
    if (first.failed || json_parse(text_slice(&first), &limits, &again, NULL))
        abort();
    write(json_root(again), &second);
    if (!slice_eq(text_slice(&first), text_slice(&second)))
        abort();
    json_free(again);
    text_fini(&first);
    text_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yaml_documents docs;
    struct error e = {""};

    if (yaml_read(slice_of(data, size), SLICE("f.yaml"), &docs, &e)) {
        if (docs.len || !e.text[0])
            abort();
    }
    for (size_t i = 0; i < docs.len; i++)
        check(docs.at[i]);
    yaml_documents_fini(&docs);
    return 0;
}
