/* SPDX-License-Identifier: Apache-2.0 */
/* A series belongs to one thread. That thread alone changes its cells, with
 * relaxed loads and stores, so that a scraper may read them at any time; it
 * alone looks into its map without the lock, and takes the registry's lock to
 * add or drop an entry, because a scraper walks the map under that lock. */
#include "lib/admin/metrics.h"

#include <assert.h>

#include "lib/admin/metrics_internal.h"
#include "lib/base/mem.h"

enum { LABELS_TEXT_MAX = 8192, BOUNDS_DEFAULT = 14 };

const struct metrics_limits metrics_limits_default = {
    .family_series = 1000,
    .total_series = 10000,
};

static const double bounds_default[BOUNDS_DEFAULT] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1,    0.25,  0.5,    1,     2.5,  5,     10,
};

/* Prometheus' grammar of label names; with `colon`, of metric names. */
static bool name_valid(slice name, bool colon)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool first = c == '_' || (c >= 'a' && c <= 'z') ||
                     (c >= 'A' && c <= 'Z') || (colon && c == ':');

        if (!first && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.len > 0;
}

static void set_bounds(struct family *f, const double *bounds, unsigned n)
{
    assert(f->def->kind == METRIC_HISTOGRAM && n > 0 && n <= METRIC_BOUNDS_MAX);
    for (unsigned i = 0; i < n; i++) {
        assert(i == 0 || bounds[i] > bounds[i - 1]);
        f->bound[i] = bounds[i];
    }
    f->bounds = n;
}

static void family_init(struct family *f, const struct metric_family *def)
{
    slice rest = slice_str(def->labels), name;

    f->def = def;
    assert(name_valid(slice_str(def->name), true) && def->help);
    while (rest.len && slice_next(&rest, ',', &name)) {
        assert(f->labels < METRIC_LABELS_MAX && name_valid(name, false));
        assert(!slice_eq(name, SLICE("le")));
        f->label[f->labels++] = name;
    }
    if (def->kind == METRIC_HISTOGRAM)
        set_bounds(f, bounds_default, BOUNDS_DEFAULT);
}

struct metrics_registry *metrics_registry_new(
    const struct metric_family *families, unsigned n,
    const struct metrics_limits *limits)
{
    struct metrics_registry *r =
        mem_zalloc(sizeof *r + n * sizeof r->families[0]);

    pthread_mutex_init(&r->lock, NULL);
    list_init(&r->threads);
    r->limits = limits ? *limits : metrics_limits_default;
    r->n = n;
    for (unsigned i = 0; i < n; i++)
        family_init(&r->families[i], &families[i]);
    return r;
}

void metrics_registry_free(struct metrics_registry *r)
{
    if (!r)
        return;
    assert(list_empty(&r->threads));
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

void metrics_set_bounds(struct metrics_registry *r, unsigned family,
                        const double *bounds, unsigned n)
{
    assert(list_empty(&r->threads) && family < r->n);
    set_bounds(&r->families[family], bounds, n);
}

static void add_value(struct text *t, slice value)
{
    value = slice_sub(value, 0, METRIC_VALUE_MAX);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '\n')
            text_add(t, SLICE("\\n"));
        else if (c == '"' || c == '\\')
            text_printf(t, "\\%c", c);
        else
            text_add_char(t, c >= 0x20 && c < 0x7f ? c : '?');
    }
}

/* Four bytes of the family, then a="x",b="y". `values` NULL: all "other". */
static void make_key(struct text *t, const struct family *f, unsigned id,
                     const slice *values)
{
    text_init(t, LABELS_TEXT_MAX);
    text_add(t, slice_of(&id, sizeof id));
    for (unsigned i = 0; i < f->labels; i++) {
        text_printf(t, "%s%.*s=\"", i ? "," : "", FMT(f->label[i]));
        add_value(t, values ? values[i] : SLICE("other"));
        text_add_char(t, '"');
    }
    assert(!t->failed); /* names are ours, values are cut */
}

static struct series *add_series(struct metrics *m, unsigned family, slice key,
                                 bool fixed)
{
    const struct family *f = &m->registry->families[family];
    slice labels = slice_sub(key, sizeof family, key.len);
    unsigned cells = family_cells(f);
    struct series *s =
        mem_zalloc(sizeof *s + cells * sizeof s->cell[0] + labels.len);
    char *copy = (char *)&s->cell[cells];

    if (labels.len)
        memcpy(copy, labels.ptr, labels.len);
    s->owner = m;
    s->family = family;
    s->labels = slice_of(copy, labels.len);
    s->cells = cells;
    s->fixed = fixed;
    if (!fixed) {
        m->total++;
        m->of[family].series++;
    }
    pthread_mutex_lock(&m->registry->lock);
    map_put(&m->series, key, s);
    pthread_mutex_unlock(&m->registry->lock);
    return s;
}

static struct series *overflow(struct metrics *m, unsigned family)
{
    _Atomic uint64_t *count = &m->of[family].overflow;
    struct series *s;
    struct text key;

    cell_set(count, cell_get(count) + 1);
    make_key(&key, &m->registry->families[family], family, NULL);
    s = map_get(&m->series, text_slice(&key));
    if (!s)
        s = add_series(m, family, text_slice(&key), true);
    text_fini(&key);
    return s;
}

struct series *metrics_series(struct metrics *m, unsigned family,
                              const slice *values, unsigned n)
{
    const struct metrics_limits *limits = &m->registry->limits;
    struct series *s;
    struct text key;

    assert(family < m->registry->n &&
           n == m->registry->families[family].labels);
    make_key(&key, &m->registry->families[family], family, values);
    s = map_get(&m->series, text_slice(&key));
    if (!s && n &&
        (m->total >= limits->total_series ||
         m->of[family].series >= limits->family_series))
        s = overflow(m, family);
    if (!s)
        s = add_series(m, family, text_slice(&key), n == 0);
    text_fini(&key);
    return series_ref(s);
}

struct metrics *metrics_new(struct metrics_registry *r)
{
    struct metrics *m = mem_zalloc(sizeof *m + r->n * sizeof m->of[0]);

    m->registry = r;
    map_init(&m->series);
    pthread_mutex_lock(&r->lock);
    list_push_back(&r->threads, &m->node);
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->n; i++) {
        if (r->families[i].labels == 0)
            series_unref(metrics_series(m, i, NULL, 0));
    }
    return m;
}

void metrics_free(struct metrics *m)
{
    size_t i = 0;
    slice key;
    void *s;

    if (!m)
        return;
    pthread_mutex_lock(&m->registry->lock);
    list_remove(&m->node);
    pthread_mutex_unlock(&m->registry->lock);
    while (map_next(&m->series, &i, &key, &s))
        mem_free(s);
    map_fini(&m->series);
    mem_free(m);
}

struct series *series_ref(struct series *s)
{
    s->refs++;
    s->idle = false;
    return s;
}

void series_unref(struct series *s)
{
    if (!s)
        return;
    assert(s->refs > 0);
    s->refs--;
}

void series_add(struct series *s, uint64_t n)
{
    cell_set(&s->cell[0], cell_get(&s->cell[0]) + n);
}

void series_set(struct series *s, int64_t value)
{
    cell_set(&s->cell[0], (uint64_t)value);
}

void series_move(struct series *s, int64_t by)
{
    cell_set(&s->cell[0], cell_get(&s->cell[0]) + (uint64_t)by);
}

void series_observe(struct series *s, double value)
{
    const struct family *f = &s->owner->registry->families[s->family];
    _Atomic uint64_t *sum = &s->cell[f->bounds + 1];
    unsigned at = 0;

    if (!(value > 0)) /* not a number either */
        value = 0;
    if (value > 1e15) /* an infinite sum would stay so for ever */
        value = 1e15;
    while (at < f->bounds && value > f->bound[at])
        at++;
    cell_set(&s->cell[at], cell_get(&s->cell[at]) + 1);
    cell_set(sum, double_bits(bits_double(cell_get(sum)) + value));
}

int64_t series_value(const struct series *s)
{
    uint64_t sum = 0;

    if (s->cells == 1)
        return (int64_t)cell_get(&s->cell[0]);
    for (unsigned i = 0; i + 1 < s->cells; i++)
        sum += cell_get(&s->cell[i]);
    return (int64_t)sum;
}

unsigned metrics_drop_idle(struct metrics *m)
{
    unsigned dropped = 0;
    size_t i = 0;
    slice key;
    void *value;

    pthread_mutex_lock(&m->registry->lock);
    while (map_next(&m->series, &i, &key, &value)) {
        struct series *s = value;

        if (s->refs || s->fixed)
            continue;
        if (!s->idle) {
            s->idle = true;
            continue;
        }
        map_del(&m->series, key);
        m->total--;
        m->of[s->family].series--;
        mem_free(s);
        dropped++;
    }
    pthread_mutex_unlock(&m->registry->lock);
    return dropped;
}

unsigned metrics_count(const struct metrics *m)
{
    return (unsigned)m->series.len;
}
