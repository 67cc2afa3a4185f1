/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/watch/decode.h"

enum status decode_namespace(struct json obj, struct record **out,
                             struct error *e)
{
    struct record *r = NULL;
    enum status rc = decode_begin(obj, RECORD_NAMESPACE, &r, e);

    if (!rc)
        rc = decode_settings(r, json_get(obj, "metadata"), &r->space.settings,
                             e);
    if (rc) {
        record_unref(r);
        return rc;
    }
    r->space.terminating =
        json_present(json_get(json_get(obj, "metadata"), "deletionTimestamp"));
    *out = r;
    return OK;
}
