/* SPDX-License-Identifier: Apache-2.0 */
/* The rule for paths, row by row, and what must hold for every path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/http/chars.h"
#include "lib/http/path.h"
#include "tests/unit/http/heads.h"

static enum path_rule rule_of(const char *word)
{
    enum path_rule rule = PATH_NONE;

    assert_int_equal(path_rule_find(slice_str(word), &rule), OK);
    return rule;
}

/* The normal form of `path`, in memory of its own and of the exact size; without
 * a pointer when it is refused. */
static slice normal(enum path_rule rule, slice path)
{
    slice in = exact_copy(path), out = in;
    size_t room = path_room(rule, in);
    char *buf;

    if (!room)
        return in;
    assert_true(room >= path.len && room <= 3 * path.len);
    buf = mem_alloc(room);
    if (path_normalise(rule, in, buf, &out)) {
        assert_ptr_equal(out.ptr, in.ptr); /* untouched */
        out = SLICE_NONE;
    } else {
        out = exact_copy(out);
    }
    mem_free(buf);
    exact_free(in);
    return out;
}

/* `want` NULL: refused. What is normal needs no room, and stays as it is. */
static void check(const char *word, const char *path, const char *want)
{
    enum path_rule rule = rule_of(word);
    slice got = normal(rule, slice_str(path));

    if (!slice_eq(got, slice_str(want)) || !got.ptr != !want)
        fail_msg("%s: '%s' gives '%.*s', not '%s'", word, path, FMT(got),
                 want ? want : "(refused)");
    if (!got.ptr)
        return;
    slice again = normal(rule, got);
    assert_true(slice_eq(got, again));
    exact_free(again);
    exact_free(got);
}

static void words(void **state)
{
    enum path_rule rule = PATH_BASE;

    (void)state;
    assert_int_equal(rule_of("none"), PATH_NONE);
    assert_int_equal(rule_of("base"), PATH_BASE);
    assert_int_equal(rule_of("merge-slashes"), PATH_MERGE);
    assert_int_equal(rule_of("strict"), PATH_STRICT);
    assert_int_equal(path_rule_find(SLICE("Strict"), &rule), ERR_INVALID);
    assert_int_equal(path_rule_find(SLICE(""), &rule), ERR_INVALID);
    assert_int_equal(rule, PATH_BASE);
}

/* The same for all rules that change anything. */
static const struct {
    const char *path, *want;
} rows[] = {
    /* as it is */
    {"/", "/"},
    {"*", "*"},
    {"", ""},
    {"/a/b/c", "/a/b/c"},
    {"/a/", "/a/"},
    {"/.well-known/x", "/.well-known/x"},
    {"/...", "/..."},
    {"/a../..b/c.d/.e/f.", "/a../..b/c.d/.e/f."},
    {"/a-._~!$&'()*+,=:@b", "/a-._~!$&'()*+,=:@b"},
    {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Check"},
    /* the query is nobody's */
    {"/a?b=/../c//d%zz%2e\\|", "/a?b=/../c//d%zz%2e\\|"},
    {"/a/../b?x/../y", "/b?x/../y"},
    {"/?", "/?"},
    {"/%61?%61", "/a?%61"},
    {"/a/..?", "/?"},
    /* spelling */
    {"/%41%5a%61%7A%30%39%2D%2e%5F%7e", "/AZaz09-._~"},
    {"/caf%c3%a9", "/caf%C3%A9"},
    {"/%3a%40%21", "/%3A%40%21"},
    {"/a%20b%3fc%23", "/a%20b%3Fc%23"},
    {"/%e2%82%ac/%f0%9f%98%80", "/%E2%82%AC/%F0%9F%98%80"},
    {"/\"<>[]^`{|}", "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D"},
    {"/caf%E9", "/caf%E9"},         /* Latin-1 */
    {"/%C0%20/%C1", "/%C0%20/%C1"}, /* too: no sequence begins */
    {"/%E0%A0%80/%F0%90%80%80", "/%E0%A0%80/%F0%90%80%80"},
    {"/%C0x%AF", "/%C0x%AF"},
    /* dot segments: RFC 3986 section 5.2.4 */
    {"/./a", "/a"},
    {"/a/.", "/a/"},
    {"/a/./b", "/a/b"},
    {"/a/..", "/"},
    {"/a/../", "/"},
    {"/a/b/../c", "/a/c"},
    {"/a/b/..", "/a/"},
    {"/a/b/../../c/./d/..", "/c/"},
    {"/a/b/c/./../../g", "/a/g"},
    {"/.", "/"},
    {"/./", "/"},
    {"/././.", "/"},
    {"/%2e/a/%2E%2e/b/.%2e/c", "/c"},
    {"/public/%2e%2E/admin", "/admin"},
    /* above the root */
    {"/..", NULL},
    {"/../a", NULL},
    {"/a/../..", NULL},
    {"/./../a", NULL},
    {"/%2e%2e/a", NULL},
    {"/a/../../a", NULL},
    {"/..?x", NULL},
    /* dots that show later */
    {"/public/..;/admin", NULL},
    {"/public/..;x=1;y/admin", NULL},
    {"/public/.;/admin", NULL},
    {"/public/..%3b/admin", NULL},
    {"/public/%2e%2e;/admin", NULL},
    {"/public/..%5cadmin", NULL},
    {"/public/..%2fadmin", NULL},
    {"/public%2F..%2fadmin", NULL},
    {"/public%5C..", NULL},
    {"/public%2f.", NULL},
    {"/%2f..", NULL},
    {"/%2F..;x/", NULL},
    {"/a%2f;x%2f../b", NULL},
    /* what cannot be read */
    {"/%", NULL},
    {"/%2", NULL},
    {"/%zz", NULL},
    {"/%2%65", NULL},
    {"/a%2gb", NULL},
    {"/% 20", NULL},
    {"/%?41", NULL},
    {"/a%00", NULL},
    {"/a\\b", NULL},
    {"/public/..\\admin", NULL},
    {"/%c0%af", NULL},
    {"/%c0%ae%c0%ae/x", NULL},
    {"/%C1%9C", NULL},
    {"/%e0%80%af", NULL},
    {"/%e0%9f%bf", NULL},
    {"/%f0%80%80%af", NULL},
    {"/%f0%8f%bf%bf", NULL},
    {"/%f8%80%80%80%af", NULL},
    {"/%fc%80%80%80%80%af", NULL},
    /* which no parser of ours lets through */
    {"/a b", NULL},
    {"/a#b", NULL},
    {"/a\x01", NULL},
    {"/a\x7f", NULL},
    {"/caf\xc3\xa9", NULL},
    {"/a\r\nb", NULL},
};

static void every_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *path = rows[i].path;

        check("none", path, path);
        check("base", path, rows[i].want);
        check("merge-slashes", path, rows[i].want);
        check("strict", path, rows[i].want);
    }
}

/* Refused by "strict" alone. */
static void strict_refuses_more(void **state)
{
    static const char *const same[] = {
        "/group%2Fproject/x",
        "/api/queues/%2F/name",
        "/a%5Cb",
        "/100%25",
        "/a%252fb",
        "/a%0Ab",
        "/%7F",
        "/a;x=1/b",
        "/;",
        "/a;..",
        "/a%3Bb",
        "/%1F",
        "/...;x",
        "/.a%2Fb..",
        NULL,
    };

    (void)state;
    for (const char *const *p = same; *p; p++) {
        check("base", *p, *p);
        check("merge-slashes", *p, *p);
        check("strict", *p, NULL);
    }
    check("strict", "/a?b;c%2F%00%zz", "/a?b;c%2F%00%zz");
}

static void slashes(void **state)
{
    static const struct {
        const char *path, *base, *merged;
    } table[] = {
        {"//", "//", "/"},
        {"//admin", "//admin", "/admin"},
        {"///a////b//", "///a////b//", "/a/b/"},
        {"/a//../b", "/a/b", "/a/b"},
        {"/a//..", "/a/", "/a/"},
        {"//..", "/", "/"},
        {"//../..", NULL, NULL},
        {"//..//b", "//b", "/b"},
        {"/a/..//b", "//b", "/b"},
        {"/.//a", "//a", "/a"},
        {"/a//./b", "/a//b", "/a/b"},
        {"/a/...//..", "/a/.../", "/a/.../"},
        {"/p/http://x/?q=//", "/p/http://x/?q=//", "/p/http:/x/?q=//"},
        {"//%2F", "//%2F", "/%2F"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        check("base", table[i].path, table[i].base);
        check("merge-slashes", table[i].path, table[i].merged);
    }
    check("strict", "//a///b", "/a/b");
}

/* Every byte, plain and as a triplet in either case, against the grammar. */
static void every_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char path[16], want[16];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9');
        bool unreserved = alnum || (c && strchr("-._~", c));

        (void)snprintf(want, sizeof want, unreserved ? "/x%c" : "/x%%%02X", c);
        for (int upper = 0; upper < 2; upper++) {
            (void)snprintf(path, sizeof path, upper ? "/x%%%02X" : "/x%%%02x",
                           c);
            check("merge-slashes", path, c ? want : NULL);
        }
        if (c == 0 || c == '%' || c == '?')
            continue;
        (void)snprintf(path, sizeof path, "/x%c", c);
        if (c == '\\' || !char_is((char)c, CHAR_TARGET))
            check("merge-slashes", path, NULL);
        else if (char_is((char)c, CHAR_PATH))
            check("merge-slashes", path, path);
        else
            check("merge-slashes", path, want);
    }
}

/* ---- what holds for every path ---- */

static void assert_normal(enum path_rule rule, slice p)
{
    slice rest, segment;

    assert_true(p.len && p.ptr[0] == '/');
    for (size_t i = 0; i < p.len; i++)
        assert_true(p.ptr[i] == '%' || char_is(p.ptr[i], CHAR_PATH));
    rest = slice_sub(p, 1, p.len);
    while (slice_next(&rest, '/', &segment)) {
        assert_false(slice_eq(segment, SLICE(".")));
        assert_false(slice_eq(segment, SLICE("..")));
        if (rule != PATH_BASE && rest.ptr)
            assert_true(segment.len);
    }
}

/* All paths of up to five pieces: normal, and the same when done again. */
static void all_short_paths(void **state)
{
    static const char *const pieces[] = {"/",   ".",  "a", "%2e", "%2F",
                                         "%5c", "..", ";", "//"};
    enum { PIECES = sizeof pieces / sizeof pieces[0], MOST = 5 };

    (void)state;
    for (size_t n = 1, all = PIECES; n <= MOST; n++, all *= PIECES)
        for (size_t i = 0; i < all; i++) {
            char path[64] = "/";
            size_t len = 1, pick = i;

            for (size_t at = 0; at < n; at++, pick /= PIECES) {
                const char *piece = pieces[pick % PIECES];

                memcpy(path + len, piece, strlen(piece));
                len += strlen(piece);
            }
            for (enum path_rule r = PATH_BASE; r <= PATH_STRICT; r++) {
                char room[192], again[192];
                slice in = slice_of(path, len), out = in, twice;

                if (path_room(r, in) && path_normalise(r, in, room, &out))
                    continue;
                assert_normal(r, out);
                twice = out;
                assert_int_equal(path_room(r, out)
                                     ? path_normalise(r, out, again, &twice)
                                     : OK,
                                 OK);
                assert_true(slice_eq(out, twice));
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(every_row),
        cmocka_unit_test(strict_refuses_more),
        cmocka_unit_test(slashes),
        cmocka_unit_test(every_byte),
        cmocka_unit_test(all_short_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
