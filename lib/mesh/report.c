/* SPDX-License-Identifier: Apache-2.0 */
/* Reports. Counters that are zero are left out, and so are the zeros at the end
 * of a histogram: most of a report is zeros. */
#include "lib/mesh/identity.h"
#include "lib/mesh/silent.h"
#include "lib/mesh/wire_parts.h"

/* Half a millisecond to half a minute; two or three steps a decade. */
const uint32_t wire_bucket_us[WIRE_BUCKETS] = {
    250,    500,    1000,    2000,    5000,    7500,     10000,    15000,
    20000,  30000,  50000,   75000,   100000,  150000,   200000,   300000,
    500000, 750000, 1000000, 2000000, 5000000, 10000000, 30000000, 0,
};

struct counter {
    const char *name;
    size_t offset; /* of a uint64_t */
};

static const struct counter row_counters[] = {
    {"requests", offsetof(struct report_row, requests)},
    {"failures", offsetof(struct report_row, failures)},
    {"connections", offsetof(struct report_row, connections)},
    {"bytesIn", offsetof(struct report_row, bytes_in)},
    {"bytesOut", offsetof(struct report_row, bytes_out)},
    {"concurrent", offsetof(struct report_row, concurrent)},
    {"secured", offsetof(struct report_row, secured)},
    {"latencySumUs", offsetof(struct report_row, latency_sum_us)},
    {NULL, 0},
};

static const struct counter report_counters[] = {
    {"sequence", offsetof(struct report, sequence)},
    {"detectTimeouts", offsetof(struct report, detect_timeouts)},
    {"rssBytes", offsetof(struct report, rss_bytes)},
    {NULL, 0},
};

/* `at` is the struct that the offsets are of. */
static void counters_write(const struct counter *c, const void *at,
                           struct json_write *w)
{
    for (; c->name; c++) {
        uint64_t n;
        memcpy(&n, (const char *)at + c->offset, sizeof n);
        if (n)
            json_member_u64(w, c->name, n);
    }
}

static enum status counters_read(const struct counter *c, struct json v,
                                 void *at, struct error *e)
{
    for (; c->name; c++) {
        uint64_t n = 0;
        enum status rc = json_opt_u64(v, c->name, &n, e);
        if (rc)
            return rc;
        memcpy((char *)at + c->offset, &n, sizeof n);
    }
    return OK;
}

static void latency_write(const struct report_row *r, struct json_write *w)
{
    int len = WIRE_BUCKETS;

    while (len && !r->latency[len - 1])
        len--;
    if (!len)
        return;
    json_write_name(w, "latency");
    json_write_array(w);
    for (int i = 0; i < len; i++)
        json_write_u64(w, r->latency[i]);
    json_write_array_end(w);
}

static void row_write(const struct report_row *r, struct json_write *w)
{
    json_write_object(w);
    json_member_string(w, "direction",
                       r->inbound ? SLICE("inbound") : SLICE("outbound"));
    json_member_text(w, "service", r->service);
    json_member_text(w, "peer", r->peer);
    counters_write(row_counters, r, w);
    latency_write(r, w);
    json_write_object_end(w);
}

void report_write(const struct report *r, struct json_write *w)
{
    json_member_string(w, "epoch", r->epoch);
    json_member_int(w, "certNotAfter", r->cert_not_after);
    counters_write(report_counters, r, w);
    silent_write(r->silent, r->silent_len, w);
    json_write_name(w, "rows");
    json_write_array(w);
    for (uint32_t i = 0; i < r->rows_len; i++)
        row_write(&r->rows[i], w);
    json_write_array_end(w);
}

static enum status latency_read(struct json row, struct report_row *out,
                                struct error *e)
{
    struct json list, i;
    uint64_t *at = out->latency;
    enum status rc = json_opt_array(row, "latency", &list, e);

    if (rc)
        return rc;
    if (json_count(list) > WIRE_BUCKETS)
        return json_error(list, ERR_TOO_BIG, e, "%zu items, of at most %d",
                          json_count(list), WIRE_BUCKETS);
    for (i = json_first(list); json_present(i); i = json_next(i)) {
        rc = json_as_u64(i, at++, e);
        if (rc)
            return rc;
    }
    return OK;
}

static enum status row_read(struct json v, struct arena *a,
                            struct report_row *out, struct error *e)
{
    static const char *const directions[] = {"outbound", "inbound"};
    int direction;
    enum status rc = read_choice(v, "direction", directions, 2, &direction, e);

    if (rc)
        return rc;
    out->inbound = direction == 1;
    rc = read_text(v, "service", WIRE_KEY_MAX, a, &out->service, e);
    if (rc)
        return rc;
    rc = read_text(v, "peer", WORKLOAD_NAME_MAX, a, &out->peer, e);
    if (rc)
        return rc;
    rc = counters_read(row_counters, v, out, e);
    if (rc)
        return rc;
    return latency_read(v, out, e);
}

static enum status rows_read(struct json obj, struct arena *a,
                             struct report *out, struct error *e)
{
    struct json list, i;
    struct report_row *at;
    void *space;
    enum status rc = json_opt_array(obj, "rows", &list, e);

    if (rc)
        return rc;
    rc = read_space(list, WIRE_SERIES_MAX, sizeof *at, a, &space,
                    &out->rows_len, e);
    if (rc)
        return rc;
    out->rows = at = space;
    for (i = json_first(list); json_present(i); i = json_next(i)) {
        rc = row_read(i, a, at++, e);
        if (rc)
            return rc;
    }
    return OK;
}

static enum status silent_copy(struct json obj, struct arena *a,
                               struct report *out, struct error *e)
{
    enum status rc = silent_read(obj, out->silent, WIRE_SILENT_MAX,
                                 &out->silent_len, e);

    for (uint32_t i = 0; i < out->silent_len && !rc; i++)
        rc = arena_copy(a, out->silent[i].service, &out->silent[i].service);
    return rc;
}

enum status report_read(struct json obj, struct arena *a, struct report *out,
                        struct error *e)
{
    enum status rc;

    rc = read_filled(obj, "epoch", WIRE_NAME_MAX, a, &out->epoch, e);
    if (rc)
        return rc;
    rc = json_opt_int(obj, "certNotAfter", 0, JSON_WHOLE_MAX,
                      &out->cert_not_after, e);
    if (rc)
        return rc;
    rc = counters_read(report_counters, obj, out, e);
    if (rc)
        return rc;
    rc = silent_copy(obj, a, out, e);
    if (rc)
        return rc;
    return rows_read(obj, a, out, e);
}
