/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/settings.h"

#include <stdlib.h>

static const struct {
    const char *metavar, *like;
} kinds[] = {
    [SETTINGS_TEXT] = {"TEXT", "text"},
    [SETTINGS_BOOL] = {"BOOL", "a switch (true or false)"},
    [SETTINGS_UINT] = {"NUMBER", "a whole number (like 100)"},
    [SETTINGS_SIZE] = {"SIZE", "a size (like 64Ki)"},
    [SETTINGS_MSEC] = {"DURATION", "a duration (like 50ms)"},
    [SETTINGS_DOUBLE] = {"NUMBER", "a number (like 0.5)"},
};

#define STORE(out, row, value) \
    memcpy((char *)(out) + (row)->offset, &(value), sizeof(value))
#define FETCH(in, row, value) \
    memcpy(&(value), (const char *)(in) + (row)->offset, sizeof(value))

static enum status store_u64(const struct settings_row *row, void *out,
                             slice text)
{
    uint64_t value;
    enum status rc = row->kind == SETTINGS_SIZE
                         ? slice_to_size(text, &value)
                         : slice_to_u64(text, UINT64_MAX, &value);

    if (rc == OK)
        STORE(out, row, value);
    return rc;
}

static enum status store(const struct settings_row *row, void *out, slice text)
{
    enum status rc = OK;
    bool flag;
    int64_t ns;
    double number;

    switch (row->kind) {
    case SETTINGS_TEXT:
        STORE(out, row, text);
        break;
    case SETTINGS_BOOL:
        rc = slice_to_bool(text, &flag);
        if (rc == OK)
            STORE(out, row, flag);
        break;
    case SETTINGS_UINT:
    case SETTINGS_SIZE:
        rc = store_u64(row, out, text);
        break;
    case SETTINGS_MSEC:
        rc = slice_to_duration(text, &ns);
        if (rc == OK)
            STORE(out, row, ns);
        break;
    case SETTINGS_DOUBLE:
        rc = slice_to_double(text, &number);
        if (rc == OK)
            STORE(out, row, number);
        break;
    }
    return rc;
}

static enum status explain(const struct settings_row *row, enum status rc,
                           slice text, struct error *e)
{
    if (rc == ERR_TOO_BIG)
        return error_set(e, rc, "'%.*s' is too large", FMT(text));
    return error_set(e, rc, "'%.*s' is not %s", FMT(text),
                     kinds[row->kind].like);
}

static const char *own_env(const char *name)
{
    return getenv(name);
}

enum status settings_load(const struct settings_row *rows, size_t n, void *out,
                          const char *(*env)(const char *name), struct error *e)
{
    if (!env)
        env = own_env;
    for (size_t i = 0; i < n; i++) {
        const char *set = rows[i].env ? env(rows[i].env) : NULL;
        slice text = slice_str(set ? set : rows[i].def);
        enum status rc = store(&rows[i], out, text);

        if (rc) {
            rc = explain(&rows[i], rc, text, e);
            return error_prefix(e, rc, "%s", set ? rows[i].env : rows[i].name);
        }
    }
    return OK;
}

/* Names are compared with every dash taken for an underscore. */
static bool same_name(const char *name, slice given)
{
    if (strlen(name) != given.len)
        return false;
    for (size_t i = 0; i < given.len; i++) {
        char c = given.ptr[i] == '-' ? '_' : given.ptr[i];

        if (c != name[i])
            return false;
    }
    return true;
}

enum status settings_set(const struct settings_row *rows, size_t n, void *out,
                         slice name, slice value, struct error *e)
{
    for (size_t i = 0; i < n; i++) {
        enum status rc;

        if (!same_name(rows[i].name, name))
            continue;
        rc = store(&rows[i], out, value);
        if (rc) {
            rc = explain(&rows[i], rc, value, e);
            rc = error_prefix(e, rc, "--%.*s", FMT(name));
        }
        return rc;
    }
    return error_set(e, ERR_NOT_FOUND, "--%.*s: there is no such setting",
                     FMT(name));
}

void settings_help(const struct settings_row *rows, size_t n, struct text *out)
{
    for (size_t i = 0; i < n; i++) {
        text_add(out, SLICE("  --"));
        for (const char *c = rows[i].name; *c; c++)
            text_add_char(out, *c == '_' ? '-' : *c);
        text_printf(out, " %s\n", kinds[rows[i].kind].metavar);
        if (rows[i].env)
            text_printf(out, "      %s, default '%s'\n", rows[i].env,
                        rows[i].def);
        else
            text_printf(out, "      default '%s'\n", rows[i].def);
        text_printf(out, "      %s\n", rows[i].help);
    }
}

/* In the largest unit that leaves no fraction, as the parsers read it. */
static void add_duration(struct text *out, int64_t ns)
{
    static const struct {
        int64_t ns;
        const char *name;
    } units[] = {{INT64_C(3600000000000), "h"}, {INT64_C(60000000000), "m"},
                 {INT64_C(1000000000), "s"},    {INT64_C(1000000), "ms"},
                 {INT64_C(1000), "us"},         {1, "ns"}};
    size_t i = 0;

    if (ns == 0) {
        text_add_char(out, '0');
        return;
    }
    while (ns % units[i].ns)
        i++;
    text_printf(out, "%lld%s", (long long)(ns / units[i].ns), units[i].name);
}

static void add_size(struct text *out, uint64_t bytes)
{
    static const char *const names[] = {"", "Ki", "Mi", "Gi", "Ti"};
    size_t i = 0;

    while (bytes && bytes % 1024 == 0 && i + 1 < sizeof names / sizeof *names) {
        bytes /= 1024;
        i++;
    }
    text_printf(out, "%llu%s", (unsigned long long)bytes, names[i]);
}

static void add_value(struct text *out, const struct settings_row *row,
                      const void *in)
{
    slice text;
    bool flag;
    uint64_t count;
    int64_t ns;
    double number;

    switch (row->kind) {
    case SETTINGS_TEXT:
        FETCH(in, row, text);
        text_add_json(out, text);
        break;
    case SETTINGS_BOOL:
        FETCH(in, row, flag);
        text_add(out, flag ? SLICE("true") : SLICE("false"));
        break;
    case SETTINGS_UINT:
        FETCH(in, row, count);
        text_printf(out, "%llu", (unsigned long long)count);
        break;
    case SETTINGS_SIZE:
        FETCH(in, row, count);
        add_size(out, count);
        break;
    case SETTINGS_MSEC:
        FETCH(in, row, ns);
        add_duration(out, ns);
        break;
    case SETTINGS_DOUBLE:
        FETCH(in, row, number);
        text_printf(out, "%.12g", number);
        break;
    }
}

void settings_json(const struct settings_row *rows, size_t n, const void *in,
                   struct text *out)
{
    for (size_t i = 0; i < n; i++) {
        text_printf(out, "%s\"%s\": \"", i ? ", " : "", rows[i].name);
        add_value(out, &rows[i], in);
        text_add_char(out, '"');
    }
}
