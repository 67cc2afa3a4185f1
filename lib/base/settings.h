/* SPDX-License-Identifier: Apache-2.0 */
/* Turns a config .def into a struct, a parser and a help text.
 *
 * The program has `config.def` with one row per setting:
 *     X(MSEC, detect_timeout, "TULLE_DETECT_TIMEOUT", "50ms", "How long ...")
 * KIND is one of TEXT (slice), BOOL (bool), UINT (uint64_t), SIZE (uint64_t
 * bytes: "64Ki"), MSEC (int64_t nanoseconds from a duration text), DOUBLE.
 * In config.h:
 *     struct config {
 *     #define X(kind, name, env, def, help) SETTINGS_FIELD_##kind(name)
 *     #include "proxy/config.def"
 *     #undef X
 *     };
 * and in config.c a table with SETTINGS_ROW. Values come, in rising order of
 * precedence, from the default, the environment variable, and `--name value`
 * (dashes for underscores). */
#ifndef TULLE_BASE_SETTINGS_H
#define TULLE_BASE_SETTINGS_H

#include "lib/base/slice.h"
#include "lib/base/text.h"

enum settings_kind {
    SETTINGS_TEXT,
    SETTINGS_BOOL,
    SETTINGS_UINT,
    SETTINGS_SIZE,
    SETTINGS_MSEC,
    SETTINGS_DOUBLE,
};

#define SETTINGS_FIELD_TEXT(name) slice name;
#define SETTINGS_FIELD_BOOL(name) bool name;
#define SETTINGS_FIELD_UINT(name) uint64_t name;
#define SETTINGS_FIELD_SIZE(name) uint64_t name;
#define SETTINGS_FIELD_MSEC(name) int64_t name;
#define SETTINGS_FIELD_DOUBLE(name) double name;

struct settings_row {
    const char *name, *env, *def, *help;
    enum settings_kind kind;
    size_t offset;
};
#define SETTINGS_ROW(type, kind_, name_, env_, def_, help_) \
    {.name = #name_,                                        \
     .env = (env_),                                         \
     .def = (def_),                                         \
     .help = (help_),                                       \
     .kind = SETTINGS_##kind_,                              \
     .offset = offsetof(type, name_)},

/* Fills `out` (the struct) with defaults, then the environment (`getenv`
 * shaped, NULL for the process's own). TEXT values borrow from the default or
 * the environment. Sentence: "TULLE_X: 'abc' is not a duration (like 50ms)". */
CHECKED enum status settings_load(const struct settings_row *rows, size_t n,
                                  void *out,
                                  const char *(*env)(const char *name),
                                  struct error *e);
/* Sets one by name ("detect-timeout" or "detect_timeout"); ERR_NOT_FOUND when
 * there is none. Borrows `value`. */
CHECKED enum status settings_set(const struct settings_row *rows, size_t n,
                                 void *out, slice name, slice value,
                                 struct error *e);
/* One paragraph a setting: --name, variable, default, help. */
void settings_help(const struct settings_row *rows, size_t n, struct text *out);
/* The values in force as `"name": "value"` JSON members. */
void settings_json(const struct settings_row *rows, size_t n, const void *in,
                   struct text *out);

#endif
