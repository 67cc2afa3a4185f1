/* SPDX-License-Identifier: Apache-2.0 */
/* Names of servers, as a stranger may write them, and however they arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/detect/client_hello.h"
#include "proxy/accept/passage.h"

static void names_are_dns_or_nothing(void **state)
{
    static char longest[SERVER_NAME_TEXT + 1];
    static const struct {
        const char *sni, *want;
    } rows[] = {
        {"", ""},
        {"db.example", "db.example"},
        {"DB.Example", "db.example"},
        {"_mongo-1.x", "_mongo-1.x"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"db.example.", "invalid"}, /* RFC 6066 section 3: without the dot */
        {".db", "invalid"},
        {"a..b", "invalid"},
        {".", "invalid"},
        {"a b", "invalid"},
        {"a\"b", "invalid"},
        {"a\nb", "invalid"},
        {"b\xc3\xbc"
         "cher",
         "invalid"},
        {"[::1]", "invalid"},
        {"10.0.0.1", "10.0.0.1"},
    };
    char buf[SERVER_NAME_TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        slice got = server_name(slice_str(rows[i].sni), buf);

        if (!slice_eq(got, slice_str(rows[i].want)))
            fail_msg("\"%s\" became \"%.*s\"", rows[i].sni, FMT(got));
    }
    memset(longest, 'a', sizeof longest - 1);
    assert_true(
        slice_eq(server_name(slice_str(longest), buf), SLICE("invalid")));
    longest[SERVER_NAME_TEXT - 1] = 0;
    assert_int_equal(server_name(slice_str(longest), buf).len,
                     SERVER_NAME_TEXT - 1);
}

/* --- what passes --- */

struct world {
    struct worker w;
    struct target target;
    struct passage p;
};

static void world_init(struct world *t)
{
    struct error e;
    memset(t, 0, sizeof *t);
    assert_int_equal(loop_init(&t->w.loop, 8, &e), OK);
    t->w.telemetry = telemetry_new(&t->w.loop, false);
    t->target.worker = &t->w;
    passage_init(&t->p, &t->w);
}

static void world_fini(struct world *t)
{
    passage_fini(&t->p);
    telemetry_free(t->w.telemetry);
    loop_fini(&t->w.loop);
}

/* A ClientHello for "Db.x", in one record or cut into two after `cut` bytes. */
static size_t make_hello(char *out, size_t cut)
{
    static const unsigned char tail[] = {
        0, 0,  2, 0x13, 1, 1, 0, /* session, suite, null */
        0, 13, 0, 0,    0, 9, 0, 7, 0, 0, 4, 'D', 'b', '.', 'x'};
    unsigned char body[64] = {1, 0, 0, 0, 3, 3};
    size_t len = 6 + 32, parts[2], at = 0, n = 0;

    memcpy(body + len, tail, sizeof tail);
    len += sizeof tail;
    body[3] = (unsigned char)(len - 4);
    parts[0] = cut ? cut : len;
    parts[1] = len - parts[0];
    for (int i = 0; i < 2 && parts[i]; i++) {
        const char head[] = {0x16, 3, 1, 0, (char)parts[i]};

        memcpy(out + n, head, sizeof head);
        memcpy(out + n + sizeof head, body + at, parts[i]);
        n += sizeof head + parts[i];
        at += parts[i];
    }
    return n;
}

static void a_name_in_any_pieces(void **state)
{
    char hello[128];
    (void)state;
    for (size_t cut = 0; cut < 50; cut++) {
        size_t len = make_hello(hello, cut);

        for (size_t step = 1; step <= len; step++) {
            struct world t;

            world_init(&t);
            for (size_t at = 0; at < len; at += step) {
                assert_null(t.p.sni);
                size_t n = len - at < step ? len - at : step;
                bool more = passage_see(&t.p, &t.target,
                                        slice_of(hello + at, n));

                assert_int_equal(more, at + n < len);
            }
            assert_string_equal(t.p.sni, "db.x");
            assert_null(t.p.hello);
            world_fini(&t);
        }
    }
}

/* Nothing is kept of what is no ClientHello, and little of one without end. */
static void other_bytes_have_no_name(void **state)
{
    static char much[CLIENT_HELLO_MAX] = {0x16, 3, 1, 0x40, 0, 1, 0, 0x3f};
    struct world t;
    (void)state;
    world_init(&t);
    assert_true(passage_see(&t.p, &t.target, SLICE_NONE));
    assert_false(passage_see(&t.p, &t.target, SLICE("SSH-2.0-x")));
    assert_null(t.p.sni);
    assert_null(t.p.hello);
    world_fini(&t);
    world_init(&t);
    assert_true(passage_see(&t.p, &t.target, slice_of(much, 1000)));
    assert_int_equal(t.p.hello_len, 1000);
    assert_false(passage_see(&t.p, &t.target, slice_of(much, sizeof much)));
    assert_null(t.p.sni);
    assert_null(t.p.hello);
    world_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_dns_or_nothing),
        cmocka_unit_test(a_name_in_any_pieces),
        cmocka_unit_test(other_bytes_have_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
