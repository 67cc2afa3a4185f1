/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/mesh/probe_path.h"

void probe_path_write(slice path, struct text *out)
{
    slice rest;

    (void)slice_cut(path, '#', &path, &rest);
    if (!slice_starts(path, SLICE("/")))
        text_add_char(out, '/');
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];

        if (c <= ' ' || c >= 0x7f)
            text_printf(out, "%%%02X", c);
        else
            text_add_char(out, (char)c);
    }
}
