/* SPDX-License-Identifier: Apache-2.0 */
/* The folder source over a real folder: each change is waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/registry/registry.h"
#include "controller/watch/source.h"
#include "lib/base/log.h"
#include "tests/unit/http/talk.h"

struct place {
    struct turner t;
    struct registry *registry;
    struct source *source;
    char path[64];
    bool synced;
    char last_error[2000];
};

static void on_put(void *owner, struct record *rec)
{
    registry_put(((struct place *)owner)->registry, rec);
}

static void on_gone(void *owner, enum record_kind kind, slice ns, slice name)
{
    registry_del(((struct place *)owner)->registry, kind, ns, name);
}

static void on_synced(void *owner)
{
    ((struct place *)owner)->synced = true;
}

static const struct source_events events = {on_put, on_gone, on_synced};

static void on_log(void *arg, slice line)
{
    struct place *p = arg;

    if (memmem(line.ptr, line.len, " error ", 7))
        snprintf(p->last_error, sizeof p->last_error, "%.*s", FMT(line));
}

static void write_file(const struct place *p, const char *name,
                       const char *text)
{
    char path[200];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", p->path, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void in_folder(const struct place *p, const char *name,
                      int (*does)(const char *))
{
    char path[200];

    snprintf(path, sizeof path, "%s/%s", p->path, name);
    assert_int_equal(does(path), 0);
}

static int make(const char *path)
{
    return mkdir(path, 0700);
}

#define SPACE(name) \
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: " name "}\n"

static void place_init(struct place *p)
{
    struct error e;

    *p = (struct place){.registry = registry_new()};
    snprintf(p->path, sizeof p->path, "/tmp/tulle-test-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    turner_init(&p->t);
    log_set_sink(on_log, p);
    write_file(p, "one.yaml", SPACE("one"));
    write_file(p, "ignored.txt", "nonsense: [");
    write_file(p, ".hidden.yaml", "nonsense: [");
    in_folder(p, "below", make);
    write_file(p, "below/two.yml", SPACE("two"));
    write_file(p, "below/three.json",
               "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\","
               "\"metadata\":{\"name\":\"three\"}}");
    assert_int_equal(folder_start(&p->source, &p->t.loop, slice_str(p->path),
                                  &events, p, &e),
                     OK);
}

static void place_fini(struct place *p)
{
    char command[100];

    source_close(p->source);
    turner_fini(&p->t);
    log_set_sink(NULL, NULL);
    registry_free(p->registry);
    snprintf(command, sizeof command, "rm -rf '%s'", p->path);
    assert_int_equal(system(command), 0);
}

static bool has(const struct place *p, const char *name)
{
    return registry_find(p->registry, RECORD_NAMESPACE, SLICE_NONE,
                         slice_str(name)) != NULL;
}

static void all_is_told_and_followed(void **state)
{
    struct place p;

    (void)state;
    place_init(&p);
    assert_false(p.synced);
    TURN_UNTIL(&p.t, p.synced);
    assert_int_equal(registry_count(p.registry, RECORD_NAMESPACE), 3);
    write_file(&p, "below/two.yml", SPACE("four"));
    TURN_UNTIL(&p.t, has(&p, "four") && !has(&p, "two"));
    in_folder(&p, "one.yaml", unlink);
    TURN_UNTIL(&p.t, !has(&p, "one"));
    in_folder(&p, "new", make);
    write_file(&p, "new/five.yaml", SPACE("five"));
    TURN_UNTIL(&p.t, has(&p, "five"));
    assert_string_equal(p.last_error, "");
    place_fini(&p);
}

static void a_bad_file_changes_nothing(void **state)
{
    struct place p;

    (void)state;
    place_init(&p);
    TURN_UNTIL(&p.t, p.synced);
    write_file(&p, "one.yaml", SPACE("other") "---\nkind: [\n");
    TURN_UNTIL(&p.t, p.last_error[0]);
    assert_non_null(strstr(p.last_error, "one.yaml:6:"));
    assert_true(has(&p, "one"));
    assert_false(has(&p, "other"));
    write_file(&p, "one.yaml", SPACE("other"));
    TURN_UNTIL(&p.t, has(&p, "other") && !has(&p, "one"));
    place_fini(&p);
}

static void two_files_with_one_object(void **state)
{
    struct place p;

    (void)state;
    place_init(&p);
    TURN_UNTIL(&p.t, p.synced);
    write_file(&p, "a.yaml", SPACE("one"));
    TURN_UNTIL(&p.t, p.last_error[0]);
    assert_non_null(strstr(p.last_error, "Namespace /one"));
    assert_non_null(strstr(p.last_error, "/one.yaml"));
    assert_non_null(strstr(p.last_error, "/a.yaml"));
    place_fini(&p);
}

/* Closed after the Nth turn, whatever it was doing. */
static void close_at_every_turn(void **state)
{
    (void)state;
    for (int n = 0; n < 8; n++) {
        struct place p;

        place_init(&p);
        for (int i = 0; i < n; i++)
            turn(&p.t);
        place_fini(&p);
    }
}

static void no_folder_no_start(void **state)
{
    struct source *s = NULL;
    struct turner t;
    struct error e;

    (void)state;
    turner_init(&t);
    assert_int_not_equal(
        folder_start(&s, &t.loop, SLICE("/nowhere/at/all"), &events, NULL, &e),
        OK);
    assert_non_null(strstr(e.text, "/nowhere/at/all"));
    turner_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_told_and_followed),
        cmocka_unit_test(a_bad_file_changes_nothing),
        cmocka_unit_test(two_files_with_one_object),
        cmocka_unit_test(close_at_every_turn),
        cmocka_unit_test(no_folder_no_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
