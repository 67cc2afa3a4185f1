/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lib/kube only: when may a lease be taken? Pure. */
#ifndef TULLE_KUBE_LEASE_RULES_H
#define TULLE_KUBE_LEASE_RULES_H

#include "lib/base/text.h"
#include "lib/json/json.h"

/* What a Lease object says. Borrows. */
struct lease_record {
    slice version, holder;
    int64_t duration; /* ns; 0: not said */
    int64_t transitions;
};
CHECKED enum status lease_read(struct json object, struct lease_record *out,
                               struct error *e);

/* What was seen of it, and when. */
struct lease_seen {
    bool read;                   /* its state is known */
    struct text version, holder; /* version empty: there is no such object */
    int64_t duration, transitions;
    int64_t changed; /* our monotonic clock, when it was first seen so */
};

enum lease_step {
    LEASE_READ,   /* it must be read first */
    LEASE_CREATE, /* there is none */
    LEASE_TAKE,   /* nobody's, or expired: for our clock it has not changed for
                     as long as it is good for */
    LEASE_RENEW,  /* ours */
    LEASE_WAIT,   /* another's */
};

void lease_seen_init(struct lease_seen *s);
void lease_seen_fini(struct lease_seen *s);
/* NULL: the object does not exist. */
void lease_see(struct lease_seen *s, const struct lease_record *r, int64_t now);
/* It may have changed (a conflict, an error): read again. What was seen and when
 * stays. */
void lease_doubt(struct lease_seen *s);
enum lease_step lease_next(const struct lease_seen *s, slice self, int64_t now);

/* Who renewed at `sent` leads until then, at most: two thirds of the duration.
 * Others wait for all of it, and begin to count after the renewal arrived. */
int64_t lease_good_until(int64_t sent, int64_t duration);

#endif
