/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/kube/watch_event.h"

/* The lines of `bytes`, given in pieces of `step`, joined by '|'; a line that is
 * too long shows as '!'. */
static void split(slice bytes, size_t step, size_t max, struct text *out)
{
    struct lines l;

    lines_init(&l, max);
    for (size_t i = 0; i < bytes.len; i += step) {
        /* A copy of its own, so that reading beyond is seen. */
        slice part = slice_sub(bytes, i, i + step);
        char *copy = mem_alloc(part.len);
        slice rest = slice_of(memcpy(copy, part.ptr, part.len), part.len);
        slice line;
        enum line got;

        while ((got = lines_next(&l, &rest, &line)) != LINE_NONE) {
            text_add(out, got == LINE_WHOLE ? line : SLICE("!"));
            text_add_char(out, '|');
        }
        assert_int_equal(rest.len, 0);
        mem_free(copy);
    }
    lines_fini(&l);
}

static void lines_in_any_pieces(void **state)
{
    static const struct {
        const char *bytes, *lines;
    } rows[] = {
        {"", ""},
        {"a\nbb\nccc\n", "a|bb|ccc|"},
        {"\n\na\n\n", "a|"},
        {"12345678\n", "12345678|"},
        {"123456789\nx\n", "!|x|"},
        {"a\n1234567890123456789012345\n\nb\n123456789\n", "a|!|b|!|"},
        {"incomplete", ""},
        {"a\nincomplete", "a|"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t step = 1; step < 12; step++) {
            struct text out;

            text_init(&out, 1000);
            split(slice_str(rows[i].bytes), step, 8, &out);
            /* Ten without an end may be too many, or not, yet. */
            if (i == 6 && out.len)
                assert_string_equal(text_cstr(&out), "!|");
            else if (i == 7 && out.len > 2)
                assert_string_equal(text_cstr(&out), "a|!|");
            else
                assert_string_equal(text_cstr(&out), rows[i].lines);
            text_fini(&out);
        }
}

static enum status read_event(const char *quoted, struct watch_event *ev,
                              struct json_doc **doc, struct error *e)
{
    static const struct json_limits limits = {1 << 20, 1000};
    char *json = mem_str(slice_str(quoted));
    enum status rc;

    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    rc = json_parse(slice_str(json), &limits, doc, e);
    mem_free(json);
    assert_int_equal(rc, OK);
    return watch_event_read(json_root(*doc), ev, e);
}

static void events(void **state)
{
    static const struct {
        const char *text;
        enum watch_type type;
        const char *ns, *name, *version;
        bool listed, expired;
    } rows[] = {
        {"{'type':'ADDED','object':{'metadata':{'name':'a','namespace':'n',"
         "'resourceVersion':'7'}}}",
         WATCH_PUT, "n", "a", "7", false, false},
        {"{'type':'MODIFIED','object':{'metadata':{'name':'a',"
         "'resourceVersion':'8'}}}",
         WATCH_PUT, "", "a", "8", false, false},
        {"{'type':'DELETED','object':{'metadata':{'name':'a','namespace':'n',"
         "'resourceVersion':'9'}}}",
         WATCH_GONE, "n", "a", "9", false, false},
        {"{'type':'BOOKMARK','object':{'metadata':{'resourceVersion':'10',"
         "'creationTimestamp':null}}}",
         WATCH_BOOKMARK, "", "", "10", false, false},
        {"{'type':'BOOKMARK','object':{'metadata':{'resourceVersion':'11',"
         "'annotations':{'k8s.io/initial-events-end':'true'}}}}",
         WATCH_BOOKMARK, "", "", "11", true, false},
        {"{'type':'ERROR','object':{'kind':'Status','code':410,"
         "'reason':'Gone','message':'m'}}",
         WATCH_FAILED, "", "", "", false, true},
        {"{'type':'ERROR','object':{'kind':'Status','reason':'Expired'}}",
         WATCH_FAILED, "", "", "", false, true},
        {"{'type':'ERROR','object':{'kind':'Status','code':500,"
         "'reason':'InternalError'}}",
         WATCH_FAILED, "", "", "", false, false},
        {"{'type':'ERROR','object':{}}", WATCH_FAILED, "", "", "", false,
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_doc *doc = NULL;
        struct watch_event ev;
        struct error e;

        assert_int_equal(read_event(rows[i].text, &ev, &doc, &e), OK);
        assert_int_equal(ev.type, rows[i].type);
        assert_true(slice_eq(ev.ns, slice_str(rows[i].ns)));
        assert_true(slice_eq(ev.name, slice_str(rows[i].name)));
        assert_true(slice_eq(ev.version, slice_str(rows[i].version)));
        assert_int_equal(ev.listed, rows[i].listed);
        assert_int_equal(ev.expired, rows[i].expired);
        json_free(doc);
    }
}

static void what_is_no_event(void **state)
{
    static const char *const rows[] = {
        "{}",
        "[]",
        "7",
        "{'type':'NEWS','object':{}}",
        "{'type':7,'object':{}}",
        "{'type':'ADDED'}",
        "{'type':'ADDED','object':{}}",
        "{'type':'ADDED','object':{'metadata':{'name':'a'}}}",
        "{'type':'ADDED','object':{'metadata':{'resourceVersion':'1'}}}",
        "{'type':'ADDED','object':{'metadata':{'name':'',"
        "'resourceVersion':'1'}}}",
        "{'type':'ADDED','object':{'metadata':{'name':7,"
        "'resourceVersion':'1'}}}",
        "{'type':'BOOKMARK','object':{'metadata':{}}}",
        "{'type':'ERROR','object':{'code':'410'}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_doc *doc = NULL;
        struct watch_event ev;
        struct error e = {""};

        assert_int_equal(read_event(rows[i], &ev, &doc, &e), ERR_INVALID);
        assert_true(e.text[0]);
        json_free(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_in_any_pieces),
        cmocka_unit_test(events),
        cmocka_unit_test(what_is_no_event),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
