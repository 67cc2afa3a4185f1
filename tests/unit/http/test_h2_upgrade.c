/* SPDX-License-Identifier: Apache-2.0 */
/* Upgrades on an HTTP/2 stream: request, pieces of a body, tunnel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/http/h2_rig.h"

static void frame_upgrade_with(struct rig *r, const char *protocol,
                               const char *path, const char *name,
                               const char *value)
{
    struct text block;
    text_init(&block, 1 << 12);
    field(&block, ":method", SLICE("CONNECT"));
    field(&block, ":protocol", slice_str(protocol));
    field(&block, ":scheme", SLICE("http"));
    field(&block, ":path", slice_str(path));
    field(&block, ":authority", SLICE("test"));
    if (name)
        field(&block, name, slice_str(value));
    frame(&r->say, F_HEADERS, F_END_HEADERS, 1, text_slice(&block));
    text_fini(&block);
}

static void frame_upgrade(struct rig *r, const char *path, const char *body)
{
    frame_upgrade_with(r, "foo/2", path, body ? "tulle-upgrade-body" : NULL,
                       body);
}

/* A stream that ends in the middle of a request is not a request. */
static void test_upgrade_cut(void **state)
{
    static const slice cuts[] = {
        SLICE_INIT(""), SLICE_INIT("\0\0"), SLICE_INIT("\0\0\0\5abc"),
        SLICE_INIT("\0\0\0\3abc"), SLICE_INIT("\0\0\0\3abc\0\0\0")};
    (void)state;
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct rig r;
        rig_init(&r);
        frame_upgrade(&r, "/hang", "chunked");
        frame(&r.say, F_DATA, F_END_STREAM, 1, cuts[i]);
        frame_request(&r.say, 3, "GET", "/", true);
        rig_say(&r);
        assert_int_equal(r.j.answers.resets, 1);
        assert_int_equal(r.j.answers.done, 1);
        assert_int_equal(frames_seen(&r.peer.got).rst_code, PROTOCOL_ERROR);
        rig_fini(&r);
    }
}

/* Bytes of a tunnel that is not granted yet wait, and so does its end. */
static void test_upgrade_early(void **state)
{
    (void)state;
    for (int body = 0; body < 2; body++) {
        struct rig r;
        struct head h;
        rig_init(&r);
        frame_upgrade(&r, "/hang", body ? "2" : NULL);
        if (body)
            frame(&r.say, F_DATA, 0, 1, SLICE("\0\0\0\2hi\0\0\0\0ea"));
        frame(&r.say, F_DATA, F_END_STREAM, 1, SLICE("ger"));
        rig_say(&r);
        struct exchange *x = r.j.answers.last;
        assert_int_equal(x->bytes_in, body ? 2 : 0);
        assert_true(x->end_in && x->request_over);
        head_init_response(&h, 101, NULL, 0);
        h.upgrade = true;
        h.protocol = SLICE("foo/2");
        exchange_send_head(x, &h, false); /* the handler echoes */
        JOINED_UNTIL(&r.j, r.j.answers.done == 1);
        assert_int_equal(frames_seen(&r.peer.got).data, body ? 5 : 3);
        assert_int_equal(frames_seen(&r.peer.got).rst_code, 999);
        rig_fini(&r);
    }
}

/* Refused, and the peer does not end the stream: it is told to. */
static void test_upgrade_refused(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    frame_upgrade(&r, "/", NULL);
    frame(&r.say, F_DATA, 0, 1, SLICE("eager"));
    rig_say(&r);
    JOINED_UNTIL(&r.j, r.j.answers.done == 1);
    assert_int_equal(frames_seen(&r.peer.got).rst_code, NO_ERROR);
    rig_fini(&r);
}

/* Protocols that hide requests, methods and lengths that mean nothing. */
static void test_upgrade_heads_refused(void **state)
{
    static const char *const rows[][3] = {
        {"foo, h2c", NULL, NULL},
        {"TLS/1.0", NULL, NULL},
        {"a b", NULL, NULL},
        {"foo", "tulle-upgrade-method", "CONNECT"},
        {"foo", "tulle-upgrade-method", "G T"},
        {"foo", "tulle-upgrade-body", "-1"},
        {"foo", "tulle-upgrade-body", "Chunked"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;
        rig_init(&r);
        frame_upgrade_with(&r, rows[i][0], "/", rows[i][1], rows[i][2]);
        frame_request(&r.say, 3, "GET", "/", true);
        rig_say(&r);
        assert_non_null(r.j.server);
        assert_int_equal(r.j.answers.done, 1);
        assert_int_equal(frames_seen(&r.peer.got).rst_code, PROTOCOL_ERROR);
        rig_fini(&r);
    }
}

/* A request that is never ended is not waited for without end. */
static void test_upgrade_stalls(void **state)
{
    struct rig r;
    (void)state;
    rig_init_hasty(&r);
    frame_upgrade(&r, "/hang", "chunked");
    frame(&r.say, F_DATA, 0, 1, SLICE("\0\0\0\5abc"));
    rig_say(&r);
    exchange_consumed(r.j.answers.last, 3);
    rig_wait(&r);
    assert_int_equal(r.j.answers.resets, 1);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgrade_cut),
        cmocka_unit_test(test_upgrade_early),
        cmocka_unit_test(test_upgrade_refused),
        cmocka_unit_test(test_upgrade_heads_refused),
        cmocka_unit_test(test_upgrade_stalls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
