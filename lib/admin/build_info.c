/* SPDX-License-Identifier: Apache-2.0 */
/* Facts that only the compiler knows, in one object file. */
#include "lib/admin/build_info.h"

slice build_version(void)
{
    return SLICE(TULLE_VERSION);
}

slice build_compiler(void)
{
#ifdef __clang__
    return SLICE("clang " __clang_version__);
#else
    return SLICE("gcc " __VERSION__);
#endif
}

static void add_member(struct text *t, const char *before, slice value)
{
    text_add(t, slice_str(before));
    text_add_json(t, value);
    text_add_char(t, '"');
}

void build_info_json(struct text *t, slice program)
{
    add_member(t, "{\"program\":\"", program);
    add_member(t, ",\"version\":\"", build_version());
    add_member(t, ",\"compiler\":\"", build_compiler());
    text_add_char(t, '}');
}
