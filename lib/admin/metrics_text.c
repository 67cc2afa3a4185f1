/* SPDX-License-Identifier: Apache-2.0 */
/* Sums the threads' series under the registry's lock, then, without it, sorts
 * and writes them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/admin/metrics_internal.h"
#include "lib/base/mem.h"
#include "lib/base/vec.h"

struct sum {
    unsigned family;
    slice labels; /* allocated behind the cells */
    uint64_t cell[];
};

struct sums {
    struct map by_key;
    VEC(struct sum *) all;
    uint64_t *overflow; /* by family */
};

static struct sum *sum_of(struct sums *sums, slice key, const struct series *s)
{
    struct sum *sum = map_get(&sums->by_key, key);
    char *labels;

    if (sum)
        return sum;
    sum = mem_zalloc(sizeof *sum + s->cells * sizeof sum->cell[0] +
                     s->labels.len);
    labels = (char *)&sum->cell[s->cells];
    memcpy(labels, s->labels.ptr, s->labels.len);
    sum->family = s->family;
    sum->labels = slice_of(labels, s->labels.len);
    map_put(&sums->by_key, key, sum);
    VEC_PUSH(&sums->all, sum);
    return sum;
}

static void add_series(struct sums *sums, const struct family *f, slice key,
                       const struct series *s)
{
    struct sum *sum = sum_of(sums, key, s);

    for (unsigned i = 0; i < s->cells; i++) {
        uint64_t v = cell_get(&s->cell[i]);

        if (f->def->kind == METRIC_HISTOGRAM && i + 1 == s->cells)
            sum->cell[i] =
                double_bits(bits_double(sum->cell[i]) + bits_double(v));
        else
            sum->cell[i] += v;
    }
}

static void gather(struct metrics_registry *r, struct sums *sums)
{
    pthread_mutex_lock(&r->lock);
    LIST_EACH(node, &r->threads) {
        struct metrics *m = CONTAINER_OF(node, struct metrics, node);
        size_t at = 0;
        slice key;
        void *value;

        while (map_next(&m->series, &at, &key, &value)) {
            const struct series *s = value;

            add_series(sums, &r->families[s->family], key, s);
        }
        for (unsigned i = 0; i < r->n; i++)
            sums->overflow[i] += cell_get(&m->of[i].overflow);
    }
    pthread_mutex_unlock(&r->lock);
}

static int by_family_and_labels(const void *a, const void *b)
{
    const struct sum *x = *(struct sum *const *)a;
    const struct sum *y = *(struct sum *const *)b;

    if (x->family != y->family)
        return x->family < y->family ? -1 : 1;
    return slice_cmp(x->labels, y->labels);
}

static void write_head(struct text *t, const char *name, const char *kind,
                       const char *help)
{
    text_printf(t, "# HELP %s ", name);
    for (const char *c = help; *c; c++) {
        if (*c == '\n')
            text_add(t, SLICE("\\n"));
        else if (*c == '\\')
            text_add(t, SLICE("\\\\"));
        else
            text_add_char(t, *c);
    }
    text_printf(t, "\n# TYPE %s %s\n", name, kind);
}

/* name<suffix>{labels} without the value; `le` may be empty. */
static void write_name(struct text *t, const char *name, const char *suffix,
                       slice labels, slice le)
{
    text_printf(t, "%s%s", name, suffix);
    if (slice_empty(labels) && slice_empty(le)) {
        text_add_char(t, ' ');
        return;
    }
    text_add_char(t, '{');
    text_add(t, labels);
    if (le.len)
        text_printf(t, "%sle=\"%.*s\"", labels.len ? "," : "", FMT(le));
    text_add(t, SLICE("} "));
}

/* As short as it reads back well enough: "0.0005", "10". */
static slice format_double(double d, char buf[32])
{
    return slice_of(buf, (size_t)snprintf(buf, 32, "%.15g", d));
}

static void write_histogram(struct text *t, const struct family *f,
                            const struct sum *s)
{
    uint64_t count = 0;
    char buf[32];

    for (unsigned i = 0; i <= f->bounds; i++) {
        count += s->cell[i];
        write_name(t, f->def->name, "_bucket", s->labels,
                   i < f->bounds ? format_double(f->bound[i], buf)
                                 : SLICE("+Inf"));
        text_printf(t, "%" PRIu64 "\n", count);
    }
    write_name(t, f->def->name, "_sum", s->labels, SLICE_NONE);
    text_add(t, format_double(bits_double(s->cell[f->bounds + 1]), buf));
    text_add_char(t, '\n');
    write_name(t, f->def->name, "_count", s->labels, SLICE_NONE);
    text_printf(t, "%" PRIu64 "\n", count);
}

static void write_sum(struct text *t, const struct family *f,
                      const struct sum *s)
{
    switch (f->def->kind) {
    case METRIC_HISTOGRAM:
        write_histogram(t, f, s);
        return;
    case METRIC_COUNTER:
        write_name(t, f->def->name, "", s->labels, SLICE_NONE);
        text_printf(t, "%" PRIu64 "\n", s->cell[0]);
        return;
    case METRIC_GAUGE:
        write_name(t, f->def->name, "", s->labels, SLICE_NONE);
        text_printf(t, "%" PRId64 "\n", (int64_t)s->cell[0]);
        return;
    }
}

static void write_overflow(struct text *t, const struct metrics_registry *r,
                           const uint64_t *overflow)
{
    static const char name[] = "tulle_metrics_overflow_total";

    write_head(t, name, "counter",
               "Look-ups that were given the series \"other\" because there "
               "were too many series.");
    for (unsigned i = 0; i < r->n; i++) {
        if (overflow[i])
            text_printf(t, "%s{family=\"%s\"} %" PRIu64 "\n", name,
                        r->families[i].def->name, overflow[i]);
    }
}

static void write_all(struct text *t, const struct metrics_registry *r,
                      const struct sums *sums)
{
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_HISTOGRAM] = "histogram",
    };
    unsigned last = r->n;

    for (size_t i = 0; i < sums->all.len && !t->failed; i++) {
        const struct sum *s = sums->all.at[i];
        const struct family *f = &r->families[s->family];

        if (s->family != last)
            write_head(t, f->def->name, kinds[f->def->kind], f->def->help);
        last = s->family;
        write_sum(t, f, s);
    }
    write_overflow(t, r, sums->overflow);
}

enum status metrics_render(struct metrics_registry *r, struct text *out)
{
    struct sums sums = {.overflow = mem_array(r->n, sizeof(uint64_t))};

    map_init(&sums.by_key);
    gather(r, &sums);
    if (sums.all.len)
        qsort(sums.all.at, sums.all.len, sizeof sums.all.at[0],
              by_family_and_labels);
    write_all(out, r, &sums);
    for (size_t i = 0; i < sums.all.len; i++)
        mem_free(sums.all.at[i]);
    VEC_FINI(&sums.all);
    map_fini(&sums.by_key);
    mem_free(sums.overflow);
    return out->failed ? ERR_TOO_BIG : OK;
}
