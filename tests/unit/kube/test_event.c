/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "lib/kube/event.h"
#include "tests/unit/kube/api.h"

struct counts {
    unsigned posts, others;
};

static void on_request(struct api *api, struct exchange *x,
                       const struct head *h)
{
    struct counts *c = api->owner;

    if (slice_eq(h->method, SLICE("POST")))
        c->posts++;
    else
        c->others++;
    assert_true(slice_starts(h->path, SLICE("/api/v1/namespaces/shop/events")));
    api_reply(x, 201, "{}");
}

static const struct kube_object cart = {SLICE_INIT("v1"), SLICE_INIT("Pod"),
                                        SLICE_INIT("shop"),
                                        SLICE_INIT("cart-1"), SLICE_INIT("u")};

static void the_same_is_written_once(void **state)
{
    struct counts c = {0};
    struct kube_events *ev;
    struct api api;

    (void)state;
    api_init(&api, on_request, &c);
    api_connect(&api);
    ev = kube_events_new(api.kube, SLICE("tulle-test"));
    for (int i = 0; i < 10; i++)
        kube_events_post(ev, &cart, true, SLICE("Bad"), SLICE("a sentence"));
    kube_events_post(ev, &cart, true, SLICE("Bad"), SLICE("another"));
    TURN_UNTIL(&api.t, c.posts == 2 && api.open == 0);
    assert_int_equal(c.others, 0);
    assert_int_equal(kube_events_dropped(ev), 0);
    kube_events_free(ev);
    api_fini(&api);
}

static void too_many_are_dropped(void **state)
{
    struct counts c = {0};
    struct kube_events *ev;
    struct api api;

    (void)state;
    api_init(&api, on_request, &c);
    api_connect(&api);
    ev = kube_events_new(api.kube, SLICE("tulle-test"));
    for (int i = 0; i < 300; i++) {
        char note[20];

        snprintf(note, sizeof note, "note %d", i);
        kube_events_post(ev, &cart, false, SLICE("Good"), slice_str(note));
    }
    TURN_UNTIL(&api.t, c.posts + kube_events_dropped(ev) == 300 && !api.open);
    assert_true(c.posts >= 60 && c.posts <= 70);
    kube_events_free(ev);
    kube_events_free(NULL);
    api_fini(&api);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_is_written_once),
        cmocka_unit_test(too_many_are_dropped),
    };

    tls_library_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
