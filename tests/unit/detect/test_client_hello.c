/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/text.h"
#include "lib/detect/client_hello.h"

static void put(struct text *t, size_t value, int bytes)
{
    while (bytes-- > 0)
        text_add_char(t, (char)(value >> 8 * bytes & 0xff));
}

static void put_extension(struct text *t, size_t type, slice content)
{
    put(t, type, 2);
    put(t, content.len, 2);
    text_add(t, content);
}

/* A hello around the given extensions (NULL: none at all), in records of at most
 * `piece` bytes. */
static void build(struct text *out, const struct text *extensions, size_t piece)
{
    struct text body, hello;
    slice rest;

    text_init(&body, 1 << 20);
    text_init(&hello, 1 << 20);
    text_clear(out);
    put(&body, 0x0303, 2);
    for (int i = 0; i < 32; i++)
        put(&body, 0xaa, 1);
    put(&body, 0, 1); /* session */
    put(&body, 2, 2); /* suites */
    put(&body, 0x1301, 2);
    put(&body, 1, 1); /* compression */
    put(&body, 0, 1);
    if (extensions) {
        put(&body, extensions->len, 2);
        text_add(&body, text_slice(extensions));
    }
    put(&hello, 1, 1);
    put(&hello, body.len, 3);
    text_add(&hello, text_slice(&body));
    for (rest = text_slice(&hello); rest.len;
         rest = slice_sub(rest, piece, rest.len)) {
        slice part = slice_sub(rest, 0, piece);

        put(out, 0x160301, 3);
        put(out, part.len, 2);
        text_add(out, part);
    }
    text_fini(&body);
    text_fini(&hello);
}

/* Reads all prefixes: each waits, or says what the whole says. */
static enum status reads(slice bytes, struct client_hello *h)
{
    enum status whole = client_hello_read(bytes, h);
    struct client_hello part;

    for (size_t n = 0; n < bytes.len; n++) {
        enum status rc = client_hello_read(slice_sub(bytes, 0, n), &part);

        if (rc != ERR_AGAIN)
            assert_int_equal(rc, whole);
    }
    return whole;
}

static const char sni_web[] = "\0\0\0\x0a\0\x08\0\0\5a.com";

static void add_raw(struct text *t, const char *ptr, size_t len)
{
    text_add(t, slice_of(ptr, len));
}

static void reads_name_and_alpn(void **state)
{
    struct text ext, bytes;
    struct client_hello h;

    (void)state;
    text_init(&ext, 1 << 20);
    text_init(&bytes, 1 << 20);
    put_extension(&ext, 43, SLICE("\2\3\4"));
    add_raw(&ext, sni_web, sizeof sni_web - 1);
    put_extension(&ext, 16, SLICE("\0\x0b\7tulle/1\2h2"));
    put_extension(&ext, 21, SLICE("\0\0\0"));
    for (size_t piece = 1; piece < 200; piece += 7) {
        build(&bytes, &ext, piece);
        assert_int_equal(reads(text_slice(&bytes), &h), OK);
        assert_true(slice_eq(client_hello_name(&h), SLICE("a.com")));
        assert_true(client_hello_has_alpn(&h, SLICE("tulle/1")));
        assert_true(client_hello_has_alpn(&h, SLICE("h2")));
        assert_false(client_hello_has_alpn(&h, SLICE("tulle/")));
        assert_false(client_hello_has_alpn(&h, SLICE("Tulle/1")));
        assert_false(client_hello_has_alpn(&h, SLICE("")));
    }
    add_raw(&bytes, "\x17\3\3", 3); /* what follows is not ours */
    assert_int_equal(reads(text_slice(&bytes), &h), OK);
    text_fini(&ext);
    text_fini(&bytes);
}

static void reads_a_bare_hello(void **state)
{
    struct text ext, bytes;
    struct client_hello h;

    (void)state;
    text_init(&ext, 1 << 20);
    text_init(&bytes, 1 << 20);
    build(&bytes, NULL, 1000);
    assert_int_equal(reads(text_slice(&bytes), &h), OK);
    assert_true(slice_empty(client_hello_name(&h)));
    assert_false(client_hello_has_alpn(&h, SLICE("tulle/1")));
    assert_int_equal(
        client_hello_read(slice_sub(text_slice(&bytes), 0, bytes.len - 1), &h),
        ERR_AGAIN);
    build(&bytes, &ext, 1000); /* an empty list of extensions */
    assert_int_equal(reads(text_slice(&bytes), &h), OK);
    text_fini(&ext);
    text_fini(&bytes);
}

static enum status with(slice extensions)
{
    struct text ext, bytes;
    struct client_hello h;
    enum status rc;

    text_init(&ext, 1 << 20);
    text_init(&bytes, 1 << 20);
    text_add(&ext, extensions);
    build(&bytes, &ext, 4000);
    rc = reads(text_slice(&bytes), &h);
    if (rc) {
        assert_int_equal(h.name_len, 0);
        assert_int_equal(h.alpn_len, 0);
    }
    text_fini(&ext);
    text_fini(&bytes);
    return rc;
}

static void lengths_must_agree(void **state)
{
    static const slice bad[] = {
        SLICE_INIT("\0"),
        SLICE_INIT("\0\x2b\0\1"),                             /* past the end */
        SLICE_INIT("\0\0\0\x0a\0\x07\0\0\5a.com"),            /* list shorter */
        SLICE_INIT("\0\0\0\x0a\0\x09\0\0\5a.com"),            /* list longer */
        SLICE_INIT("\0\0\0\x0a\0\x08\0\0\4a.com"),            /* name shorter */
        SLICE_INIT("\0\0\0\x0a\0\x08\0\0\6a.com"),            /* name longer */
        SLICE_INIT("\0\0\0\0"),                               /* no list */
        SLICE_INIT("\0\0\0\2\0\0"),                           /* empty list */
        SLICE_INIT("\0\0\0\5\0\3\0\0\0"),                     /* empty name */
        SLICE_INIT("\0\0\0\x0a\0\x08\0\0\5a\0com"),           /* NUL */
        SLICE_INIT("\0\0\0\x0a\0\x08\0\0\1a\0\0\1b"),         /* two names */
        SLICE_INIT("\0\0\0\6\0\4\0\0\1a\0\0\0\6\0\4\0\0\1a"), /* twice */
        SLICE_INIT("\0\x10\0\0"),
        SLICE_INIT("\0\x10\0\2\0\0"),
        SLICE_INIT("\0\x10\0\3\0\1\0"),                   /* empty protocol */
        SLICE_INIT("\0\x10\0\5\0\3\3h2"),                 /* protocol longer */
        SLICE_INIT("\0\x10\0\5\0\2\2h2"),                 /* list shorter */
        SLICE_INIT("\0\x10\0\4\0\2\1a\0\x10\0\4\0\2\1a"), /* twice */
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (with(bad[i]) != ERR_PROTOCOL)
            fail_msg("case %zu: %s", i, status_name(with(bad[i])));
    }
    assert_int_equal(with(SLICE("\0\0\0\6\0\4\0\0\1a")), OK);
    assert_int_equal(with(SLICE("\0\x10\0\4\0\2\1a")), OK);
    /* A name of a type that nobody knows is stepped over. */
    assert_int_equal(with(SLICE("\0\0\0\x0a\0\x08\1\0\1a\0\0\1b")), OK);
}

static void sizes_are_bounded(void **state)
{
    static char big[70000];
    struct text ext, bytes;
    struct client_hello h;

    (void)state;
    text_init(&ext, 1 << 20);
    text_init(&bytes, 1 << 20);
    memset(big, 'a', sizeof big);
    /* A name of 256 bytes. */
    put(&ext, 0, 2);
    put(&ext, 256 + 5, 2);
    put(&ext, 256 + 3, 2);
    put(&ext, 0, 1);
    put(&ext, 256, 2);
    add_raw(&ext, big, 256);
    assert_int_equal(with(text_slice(&ext)), ERR_TOO_BIG);
    /* An ALPN list of 1025 bytes. */
    text_clear(&ext);
    put(&ext, 16, 2);
    put(&ext, CLIENT_HELLO_ALPN_MAX + 3, 2);
    put(&ext, CLIENT_HELLO_ALPN_MAX + 1, 2);
    add_raw(&ext, big, CLIENT_HELLO_ALPN_MAX + 1);
    assert_int_equal(with(text_slice(&ext)), ERR_TOO_BIG);
    /* Fits as a message, not with the headers of tiny records. */
    text_clear(&ext);
    put_extension(&ext, 21, slice_of(big, 12000));
    build(&bytes, &ext, 16000);
    assert_int_equal(client_hello_read(text_slice(&bytes), &h), OK);
    build(&bytes, &ext, 10);
    assert_int_equal(client_hello_read(text_slice(&bytes), &h), ERR_TOO_BIG);
    /* The announced length alone is enough to refuse. */
    assert_int_equal(client_hello_read(SLICE("\x16\3\1\x40\0\1\0\x40\0"), &h),
                     ERR_TOO_BIG);
    text_fini(&ext);
    text_fini(&bytes);
}

static void other_bytes_are_refused(void **state)
{
    static const slice bad[] = {
        SLICE_INIT("GET / HTTP/1.1\r\n"),
        SLICE_INIT("\x17\3\1\0\1\1"),
        SLICE_INIT("\x16\2\1\0\1\1"),
        SLICE_INIT("\x16\3\5\0\1\1"),
        SLICE_INIT("\x16\3\1\0\0\1"),
        SLICE_INIT("\x16\3\1\x40\1\1"),
        SLICE_INIT("\x16\3\1\0\1\2"),
        SLICE_INIT("\x16\3\1\0\1\1\x15\3\1\0\2"), /* an alert in between */
        SLICE_INIT("\x16\3\1\0\x0a\1\0\0\x05\3\3\1\1\1"), /* ends in random */
        SLICE_INIT("\x16\3\1\0\x06\1\0\0\x29\2\3"),       /* SSL 2 inside */
    };
    struct client_hello h;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (reads(bad[i], &h) != ERR_PROTOCOL)
            fail_msg("case %zu: %s", i, status_name(reads(bad[i], &h)));
    }
    assert_int_equal(client_hello_read(SLICE_NONE, &h), ERR_AGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_name_and_alpn),
        cmocka_unit_test(reads_a_bare_hello),
        cmocka_unit_test(lengths_must_agree),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(other_bytes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
