/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/http/chars.h"
#include "tests/unit/http/heads.h"

static void token_is_the_grammars(void **state)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    (void)state;
    for (int c = 0; c < 256; c++) {
        bool want = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                    (c >= 'A' && c <= 'Z') ||
                    (c && memchr(others, c, sizeof others - 1));

        assert_int_equal(char_is((char)c, CHAR_TOKEN), want);
    }
}

static void other_classes_are_the_grammars(void **state)
{
    static const char host[] = "-._~!$&'()*+,;=";

    (void)state;
    for (int c = 0; c < 256; c++) {
        bool digit = c >= '0' && c <= '9';
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool hex = digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

        assert_int_equal(char_is((char)c, CHAR_DIGIT), digit);
        assert_int_equal(char_is((char)c, CHAR_HEX), hex);
        assert_int_equal(char_is((char)c, CHAR_TEXT),
                         c == '\t' || (c >= 0x20 && c != 0x7f));
        assert_int_equal(char_is((char)c, CHAR_TARGET),
                         c > 0x20 && c < 0x7f && c != '#');
        assert_int_equal(char_is((char)c, CHAR_HOST),
                         digit || alpha ||
                             (c && memchr(host, c, sizeof host - 1)));
        assert_int_equal(char_is((char)c, CHAR_PATH),
                         char_is((char)c, CHAR_HOST) || c == ':' || c == '@' ||
                             c == '/');
    }
}

/* The word-wise search gives what a byte-wise one would, wherever the byte. */
static void skip_text_stops_at_every_byte(void **state)
{
    (void)state;
    for (size_t len = 0; len < 24; len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++) {
                char text[24];

                memset(text, at % 2 ? 'x' : '\t', sizeof text);
                text[at] = (char)c;
                slice s = exact_copy(slice_of(text, len));
                const char *stop = chars_skip_text(s.ptr, s.ptr + len);
                size_t want = char_is((char)c, CHAR_TEXT) ? len : at;

                assert_int_equal(stop - s.ptr, want);
                exact_free(s);
            }
}

static const struct {
    slice name;
    enum header_id id;
    bool hop;
} names[] = {
    {SLICE_INIT("Connection"), HDR_CONNECTION, true},
    {SLICE_INIT("content-LENGTH"), HDR_CONTENT_LENGTH, false},
    {SLICE_INIT("Content-Type"), HDR_CONTENT_TYPE, false},
    {SLICE_INIT("Date"), HDR_DATE, false},
    {SLICE_INIT("Expect"), HDR_EXPECT, false},
    {SLICE_INIT("Forwarded"), HDR_FORWARDED, false},
    {SLICE_INIT("hOST"), HDR_HOST, false},
    {SLICE_INIT("HTTP2-Settings"), HDR_HTTP2_SETTINGS, true},
    {SLICE_INIT("Keep-Alive"), HDR_KEEP_ALIVE, true},
    {SLICE_INIT("Proxy-Authenticate"), HDR_PROXY_AUTHENTICATE, false},
    {SLICE_INIT("Proxy-Authorization"), HDR_PROXY_AUTHORIZATION, false},
    {SLICE_INIT("Proxy-Connection"), HDR_PROXY_CONNECTION, true},
    {SLICE_INIT("TE"), HDR_TE, true},
    {SLICE_INIT("Traceparent"), HDR_TRACEPARENT, false},
    {SLICE_INIT("Trailer"), HDR_TRAILER, false},
    {SLICE_INIT("Transfer-Encoding"), HDR_TRANSFER_ENCODING, true},
    {SLICE_INIT("Upgrade"), HDR_UPGRADE, true},
    {SLICE_INIT("User-Agent"), HDR_USER_AGENT, false},
    {SLICE_INIT("X-Forwarded-For"), HDR_X_FORWARDED_FOR, false},
    {SLICE_INIT("X-Request-Id"), HDR_X_REQUEST_ID, false},
    {SLICE_INIT("Tulle-Identity"), HDR_TULLE, false},
    {SLICE_INIT("tulle-a"), HDR_TULLE, false},
    {SLICE_INIT("tulle-a-name-longer-than-any-known"), HDR_TULLE, false},
    {SLICE_INIT("tulle-"), HDR_TULLE, false},
    {SLICE_INIT("tulle_x"), HDR_TULLE, false}, /* some applications fold "_" */
    {SLICE_INIT("X-Forwarded-Client-Cert"), HDR_CLIENT_CERT, false},
    {SLICE_INIT("x_forwarded-client_cert"), HDR_CLIENT_CERT, false},
    {SLICE_INIT("x"), HDR_OTHER, false},
    {SLICE_INIT("Tent"), HDR_OTHER, false},
    {SLICE_INIT("Hose"), HDR_OTHER, false},
    {SLICE_INIT("Content_Length"), HDR_OTHER, false},
    {SLICE_INIT("content\rlength"), HDR_OTHER, false},
    {SLICE_INIT("Hos\x54"), HDR_HOST, false},
    {SLICE_INIT(""), HDR_OTHER, false},
};

static void names_are_known_in_any_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct header room[1];
        struct headers h = {.at = room, .cap = 1};

        assert_int_equal(header_id_of(names[i].name), names[i].id);
        assert_int_equal(headers_add(&h, names[i].name, SLICE("v")), OK);
        assert_int_equal(room[0].id, names[i].id);
        assert_int_equal(room[0].hop, names[i].hop);
    }
}

static void every_id_has_a_name(void **state)
{
    (void)state;
    for (int id = HDR_OTHER + 1; id < HDR_COUNT; id++) {
        bool seen = false;

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            seen = seen || names[i].id == (enum header_id)id;
        assert_true(seen);
    }
}

static void lists_find_drop_and_end(void **state)
{
    struct header room[3];
    struct headers h = {.at = room, .cap = 3};

    (void)state;
    assert_null(headers_find(&h, HDR_DATE));
    assert_int_equal(headers_add(&h, SLICE("X-A"), SLICE("1")), OK);
    assert_int_equal(headers_add(&h, SLICE("Date"), SLICE("2")), OK);
    assert_int_equal(headers_add(&h, SLICE("date"), SLICE("3")), OK);
    assert_int_equal(headers_add(&h, SLICE("x-b"), SLICE("4")), ERR_TOO_BIG);
    assert_int_equal(h.len, 3);
    assert_ptr_equal(headers_find(&h, HDR_DATE), &room[1]);
    assert_ptr_equal(headers_find_name(&h, SLICE("x-a")), &room[0]);
    assert_null(headers_find_name(&h, SLICE("x-b")));
    headers_drop(&h, HDR_DATE);
    assert_false(room[0].hop);
    assert_true(room[1].hop && room[2].hop);
}

static void names_and_values_are_checked(void **state)
{
    (void)state;
    assert_true(header_name_valid(SLICE("X-a_1~")));
    assert_false(header_name_valid(SLICE("")));
    assert_false(header_name_valid(SLICE("a b")));
    assert_false(header_name_valid(SLICE("a:")));
    assert_false(header_name_valid(SLICE("caf\xc3\xa9")));
    assert_true(header_value_valid(SLICE("")));
    assert_true(header_value_valid(SLICE_NONE));
    assert_true(header_value_valid(SLICE("caf\xc3\xa9\tand more than a word")));
    assert_false(header_value_valid(SLICE("a\r\nb: c")));
    assert_false(header_value_valid(SLICE("a\0b")));
    assert_false(header_value_valid(SLICE("a long enough value \x7f")));
}

static void tokens_of_lists(void **state)
{
    (void)state;
    assert_true(header_has_token(SLICE("close"), SLICE("close")));
    assert_true(header_has_token(SLICE("a ,\t CLOSE ,b"), SLICE("close")));
    assert_true(header_has_token(SLICE(",,close"), SLICE("close")));
    assert_false(header_has_token(SLICE("closed, clos"), SLICE("close")));
    assert_false(header_has_token(SLICE("a close"), SLICE("close")));
    assert_false(header_has_token(SLICE(""), SLICE("close")));
    assert_false(header_has_token(SLICE_NONE, SLICE("close")));
}

static void methods_are_case_sensitive(void **state)
{
    (void)state;
    assert_int_equal(http_method_id(SLICE("GET")), HTTP_GET);
    assert_int_equal(http_method_id(SLICE("CONNECT")), HTTP_CONNECT);
    assert_int_equal(http_method_id(SLICE("TRACE")), HTTP_TRACE);
    assert_int_equal(http_method_id(SLICE("get")), HTTP_OTHER);
    assert_int_equal(http_method_id(SLICE("GETS")), HTTP_OTHER);
    assert_true(http_method_idempotent(HTTP_PUT));
    assert_false(http_method_idempotent(HTTP_POST));
    assert_false(http_method_idempotent(HTTP_PATCH));
    assert_false(http_method_idempotent(HTTP_OTHER));
}

static void reasons(void **state)
{
    (void)state;
    assert_true(slice_eq(http_reason(200), SLICE("OK")));
    assert_true(
        slice_eq(http_reason(505), SLICE("HTTP Version Not Supported")));
    assert_int_equal(http_reason(299).len, 0);
    assert_non_null(http_reason(299).ptr);
}

static void copies_outlive_the_bytes(void **state)
{
    struct header fields[2];
    struct head from, *to = NULL;
    struct arena a;
    char text[] = "GET example.test /p?q X-A v";

    (void)state;
    arena_init(&a, 4096);
    head_init_request(&from, slice_of(text, 3), slice_of(text + 4, 12),
                      slice_of(text + 17, 4), fields, 2);
    assert_int_equal(headers_add(&from.headers, slice_of(text + 22, 3),
                                 slice_of(text + 26, 1)),
                     OK);
    assert_int_equal(headers_add(&from.headers, SLICE("TE"), SLICE("")), OK);
    assert_int_equal(head_copy(&a, &from, 3, &to), OK);
    assert_true(head_same(&from, to));
    assert_int_equal(to->headers.cap, 5);
    memset(text, '?', sizeof text);
    assert_true(slice_eq(to->method, SLICE("GET")));
    assert_true(slice_eq(to->authority, SLICE("example.test")));
    assert_true(slice_eq(to->path, SLICE("/p?q")));
    assert_true(slice_eq(to->headers.at[0].name, SLICE("X-A")));
    assert_true(slice_eq(to->headers.at[0].value, SLICE("v")));
    assert_true(to->headers.at[1].hop);
    for (int i = 0; i < 3; i++)
        assert_int_equal(headers_add(&to->headers, SLICE("n"), SLICE("v")), OK);
    assert_int_equal(headers_add(&to->headers, SLICE("n"), SLICE("v")),
                     ERR_TOO_BIG);
    arena_reset(&a);
}

static void copies_are_bounded_by_the_arena(void **state)
{
    char text[512] = {0};
    struct head from, *to = NULL;
    struct arena a;

    (void)state;
    arena_init(&a, sizeof(struct head) + 256);
    memset(text, 'a', sizeof text);
    head_init_request(&from, SLICE("GET"), SLICE("a"),
                      slice_of(text, sizeof text), NULL, 0);
    assert_int_equal(head_copy(&a, &from, 0, &to), ERR_TOO_BIG);
    assert_null(to);
    arena_reset(&a);
}

static void heads_of_our_own(void **state)
{
    struct header room[1];
    struct head h;

    (void)state;
    head_init_request(&h, SLICE("POST"), SLICE("a"), SLICE("/"), room, 1);
    assert_int_equal(h.method_id, HTTP_POST);
    assert_int_equal(h.content_length, -1);
    assert_int_equal(h.minor, 1);
    head_init_response(&h, 404, room, 1);
    assert_int_equal(h.status, 404);
    assert_true(slice_eq(h.reason, SLICE("Not Found")));
    assert_int_equal(h.content_length, -1);
    assert_true(h.keep_alive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_is_the_grammars),
        cmocka_unit_test(other_classes_are_the_grammars),
        cmocka_unit_test(skip_text_stops_at_every_byte),
        cmocka_unit_test(names_are_known_in_any_case),
        cmocka_unit_test(every_id_has_a_name),
        cmocka_unit_test(lists_find_drop_and_end),
        cmocka_unit_test(names_and_values_are_checked),
        cmocka_unit_test(tokens_of_lists),
        cmocka_unit_test(methods_are_case_sensitive),
        cmocka_unit_test(reasons),
        cmocka_unit_test(copies_outlive_the_bytes),
        cmocka_unit_test(copies_are_bounded_by_the_arena),
        cmocka_unit_test(heads_of_our_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
