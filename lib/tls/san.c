/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/san.h"

#include <limits.h>

GENERAL_NAMES *san_new(void)
{
    return sk_GENERAL_NAME_new_null();
}

bool san_add(GENERAL_NAMES *names, int type, slice value)
{
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    GENERAL_NAME *name = GENERAL_NAME_new();

    if (!text || !name || value.len > INT_MAX ||
        !ASN1_STRING_set(text, value.ptr, (int)value.len))
        goto fail;
    GENERAL_NAME_set0_value(name, type, text);
    text = NULL; /* moved */
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
fail:
    ASN1_IA5STRING_free(text);
    GENERAL_NAME_free(name);
    return false;
}

int san_uri(const GENERAL_NAMES *names, slice *uri)
{
    int found = 0;

    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        int type = 0;
        const ASN1_STRING *s =
            GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type != GEN_URI)
            continue;
        found++;
        *uri = slice_of(ASN1_STRING_get0_data(s),
                        (size_t)ASN1_STRING_length(s));
    }
    return found;
}
