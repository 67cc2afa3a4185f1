/* SPDX-License-Identifier: Apache-2.0 */
/* A scan: walk the folder, read the files that look different from last time
 * (date, size, inode), hand what they declare to the manifest_set, which tells
 * the owner what changed. Scans come 50 ms after the last sign of a change, and
 * every few seconds without one, because not every file system gives signs.
 *
 * A file that cannot be taken is reported once per version of it; what it
 * declared before stays. A folder that cannot be read changes nothing. */
#include "controller/watch/source.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "controller/watch/manifest_set.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/net/fs_watch.h"
#include "lib/yaml/yaml.h"

enum { DEPTH_MAX = 8, FILES_MAX = 10000, FOLDERS_MAX = 1000 };
#define QUIET (50 * NSEC_PER_MSEC)
#define MOST (500 * NSEC_PER_MSEC)
#define RESCAN (3 * NSEC_PER_SEC)

static struct log_area area = LOG_AREA("watch");
static struct log log_ = {&area, 0};

/* What a file or folder looked like at the last scan. */
struct seen_file {
    int64_t modified, changed;
    uint64_t size, inode;
    uint64_t scan; /* when it was last there */
};

struct seen_folder {
    struct fs_watch *watch; /* may be NULL */
    uint64_t scan;
};

struct folder {
    struct source source;
    struct loop *loop;
    char *root;
    struct map files;   /* path -> seen_file */
    struct map folders; /* path -> seen_folder */
    struct manifest_set *set;
    struct timer timer;
    struct reap reap;
    int64_t looked; /* when last all was read */
    int64_t since;  /* first sign of a change that no scan has seen; 0: none */
    uint64_t scans;
    bool changed, full, unread, synced, closed;
};

static void on_sign(void *arg)
{
    struct folder *f = arg;
    int64_t now = loop_now(f->loop);
    int64_t at = now + QUIET;

    if (!f->since)
        f->since = now;
    if (at > f->since + MOST)
        at = f->since + MOST;
    timer_set(&f->loop->timers, &f->timer, at);
}

/* --- files --- */

static bool is_manifest(slice name)
{
    return slice_ends(name, SLICE(".yaml")) ||
           slice_ends(name, SLICE(".yml")) || slice_ends(name, SLICE(".json"));
}

static void look(struct seen_file *out, const struct stat *st)
{
    out->modified = st->st_mtim.tv_sec * NSEC_PER_SEC + st->st_mtim.tv_nsec;
    out->changed = st->st_ctim.tv_sec * NSEC_PER_SEC + st->st_ctim.tv_nsec;
    out->size = (uint64_t)st->st_size;
    out->inode = st->st_ino;
}

static bool looks_same(const struct seen_file *a, const struct seen_file *b)
{
    return a->modified == b->modified && a->changed == b->changed &&
           a->size == b->size && a->inode == b->inode;
}

static void tell_problems(slice path, const record_vec *objects)
{
    for (size_t i = 0; i < objects->len; i++) {
        const struct record *r = objects->at[i];

        if (!slice_empty(r->problem))
            log_error(&log_, "bad annotation",
                      "file=\"%.*s\" object=\"%s %.*s/%.*s\" why=" LOG_QUOTED,
                      FMT(path), record_kind_name(r->kind), FMT(r->ns),
                      FMT(r->name), FMT(r->problem));
    }
}

static void read_manifest(struct folder *f, const char *path)
{
    record_vec objects = {0};
    slice content = SLICE_NONE;
    struct error e;
    enum status rc = file_read(slice_str(path), YAML_BYTES_MAX, &content, &e);

    if (!rc)
        rc = manifest_read(content, slice_str(path), &objects, &e);
    mem_free((char *)(uintptr_t)content.ptr);
    if (rc) {
        log_error(&log_, "file not taken, what it said before holds",
                  "why=" LOG_QUOTED, FMT(slice_str(e.text)));
        return;
    }
    tell_problems(slice_str(path), &objects);
    manifest_set_put(f->set, slice_str(path), &objects);
    f->changed = true;
}

static void visit_file(struct folder *f, const char *path,
                       const struct stat *st)
{
    struct seen_file now = {0};
    struct seen_file *known = map_get(&f->files, slice_str(path));
    bool same;

    if (!known && f->files.len >= FILES_MAX) {
        f->full = true;
        return;
    }
    look(&now, st);
    same = known && looks_same(known, &now);
    if (!known) {
        known = MEM_NEW(struct seen_file);
        (void)map_put(&f->files, slice_str(path), known);
    }
    *known = now;
    known->scan = f->scans;
    if (!same)
        read_manifest(f, path);
}

/* --- folders --- */

static bool know_folder(struct folder *f, const char *path)
{
    struct seen_folder *known = map_get(&f->folders, slice_str(path));
    struct error e;

    if (!known && f->folders.len >= FOLDERS_MAX) {
        f->full = true;
        return false;
    }
    if (!known) {
        known = MEM_NEW(struct seen_folder);
        if (fs_watch_open(&known->watch, f->loop, path, on_sign, f, &e))
            log_warn(&log_, "changes will be seen late", "why=" LOG_QUOTED,
                     FMT(slice_str(e.text)));
        (void)map_put(&f->folders, slice_str(path), known);
    }
    known->scan = f->scans;
    return true;
}

static bool visit_folder(struct folder *f, const char *path, unsigned depth);

static void visit_entry(struct folder *f, const char *path, const char *name,
                        unsigned depth)
{
    char full[PATH_MAX];
    struct stat st;
    int n = snprintf(full, sizeof full, "%s/%s", path, name);

    if (n >= (int)sizeof full || stat(full, &st))
        return; /* gone again */
    if (S_ISREG(st.st_mode) && is_manifest(slice_str(name)))
        visit_file(f, full, &st);
    if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
        f->unread |= !visit_folder(f, full, depth + 1);
}

/* False when it cannot be read. Names that start with a dot are other people's
 * (editors, git, the data folders of mounted ConfigMaps). */
static bool visit_folder(struct folder *f, const char *path, unsigned depth)
{
    struct dirent *entry;
    DIR *d;

    /* Watched before it is read: nothing falls between. */
    if (!know_folder(f, path))
        return false;
    d = opendir(path);
    if (!d)
        return false;
    while ((entry = readdir(d)))
        if (entry->d_name[0] != '.')
            visit_entry(f, path, entry->d_name, depth);
    closedir(d);
    return true;
}

static void forget_folder(struct seen_folder *known)
{
    fs_watch_close(known->watch);
    mem_free(known);
}

static void forget_missing(struct folder *f)
{
    void *value;
    slice path;

    for (size_t i = 0; map_next(&f->files, &i, &path, &value);) {
        struct seen_file *known = value;

        if (known->scan == f->scans)
            continue;
        manifest_set_del(f->set, path);
        f->changed = true;
        mem_free(map_del(&f->files, path));
    }
    for (size_t i = 0; map_next(&f->folders, &i, &path, &value);) {
        struct seen_folder *known = value;

        if (known->scan != f->scans)
            forget_folder(map_del(&f->folders, path));
    }
}

/* --- scan --- */

static void on_put(void *owner, struct record *rec)
{
    struct folder *f = owner;

    f->source.events->on_put(f->source.owner, rec);
}

static void on_gone(void *owner, enum record_kind kind, slice ns, slice name)
{
    struct folder *f = owner;

    f->source.events->on_gone(f->source.owner, kind, ns, name);
}

static void on_clash(void *owner, const struct record *rec, slice used,
                     slice ignored)
{
    (void)owner;
    log_error(&log_, "two files declare one object",
              "object=\"%s %.*s/%.*s\" used=\"%.*s\" ignored=\"%.*s\"",
              record_kind_name(rec->kind), FMT(rec->ns), FMT(rec->name),
              FMT(used), FMT(ignored));
}

static const struct manifest_set_events set_events = {on_put, on_gone,
                                                      on_clash};

static void scan(struct folder *f)
{
    bool was_full = f->full, was_unread = f->unread;

    f->scans++;
    f->changed = f->full = f->unread = false;
    f->unread |= !visit_folder(f, f->root, 0);
    if (f->unread && !f->full && !was_unread)
        log_error(&log_, "folder cannot be read, what it said before holds",
                  "folder=\"%s\"", f->root);
    /* What was not looked at is not missing. */
    if (!f->unread && !f->full)
        forget_missing(f);
    if (f->full && !was_full)
        log_error(&log_, "too many files, the rest is not read",
                  "folder=\"%s\" most=%d", f->root, FILES_MAX);
    if (f->changed)
        manifest_set_settle(f->set, &set_events, f);
    if (!f->unread && !f->full)
        f->looked = loop_now(f->loop);
}

static void on_timer(struct timer *t)
{
    struct folder *f = CONTAINER_OF(t, struct folder, timer);

    f->since = 0;
    scan(f);
    timer_set(&f->loop->timers, &f->timer, loop_now(f->loop) + RESCAN);
    if (f->synced)
        return;
    f->synced = true;
    f->source.events->on_synced(f->source.owner);
}

/* --- life --- */

static void folder_free(struct reap *r)
{
    struct folder *f = CONTAINER_OF(r, struct folder, reap);
    void *value;
    slice path;

    for (size_t i = 0; map_next(&f->files, &i, &path, &value);)
        mem_free(value);
    map_fini(&f->files);
    map_fini(&f->folders);
    manifest_set_free(f->set);
    mem_free(f->root);
    mem_free(f);
}

static void folder_close(struct source *s)
{
    struct folder *f = CONTAINER_OF(s, struct folder, source);
    void *value;
    slice path;

    if (f->closed)
        return;
    f->closed = true;
    timer_stop(&f->loop->timers, &f->timer);
    for (size_t i = 0; map_next(&f->folders, &i, &path, &value);)
        forget_folder(value);
    loop_reap(f->loop, &f->reap, folder_free);
}

static void folder_refresh(struct source *s)
{
    on_sign(CONTAINER_OF(s, struct folder, source));
}

static void folder_health(const struct source *s, enum record_kind kind,
                          struct source_health *out)
{
    const struct folder *f = CONTAINER_OF(s, struct folder, source);

    (void)kind;
    *out = (struct source_health){f->synced, f->looked, 0};
}

static const struct source_type folder_type = {"folder", folder_health,
                                               folder_refresh, folder_close};

enum status folder_start(struct source **out, struct loop *l, slice path,
                         const struct source_events *ev, void *owner,
                         struct error *e)
{
    char *root = mem_str(path);
    struct folder *f;
    DIR *d = opendir(root);

    if (!d) {
        enum status rc = error_set(e, status_from_errno(errno),
                                   "cannot read the folder '%.*s': %s",
                                   FMT(path), strerror(errno));
        mem_free(root);
        return rc;
    }
    closedir(d);
    f = MEM_NEW(struct folder);
    f->source = (struct source){&folder_type, ev, owner};
    f->loop = l;
    f->root = root;
    map_init(&f->files);
    map_init(&f->folders);
    f->set = manifest_set_new();
    timer_init(&f->timer, on_timer);
    timer_set(&l->timers, &f->timer, loop_now(l));
    *out = &f->source;
    return OK;
}
