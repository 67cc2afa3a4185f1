/* SPDX-License-Identifier: Apache-2.0 */
#include "injector/file_command.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "injector/file.h"
#include "lib/base/file.h"
#include "lib/yaml/yaml.h"

enum { OUTPUT_MAX = 256 << 20, FILES_MAX = 10000, PATH_BYTES = 4096 };

struct command {
    struct file_options opt;
    struct text out;
    unsigned files;
};

static void report(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static enum status read_all(int fd, slice *out, struct error *e)
{
    char buf[64 << 10];
    struct text t;
    ssize_t n;

    text_init(&t, YAML_BYTES_MAX + 1);
    while ((n = read(fd, buf, sizeof buf)) != 0 && !t.failed) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        text_add(&t, slice_of(buf, (size_t)n));
    }
    if (n != 0 || t.failed) {
        text_fini(&t);
        return n < 0 ? error_set(e, status_from_errno(errno),
                                 "standard input: cannot be read")
                     : error_set(e, ERR_TOO_BIG,
                                 "standard input: more than %d bytes",
                                 YAML_BYTES_MAX);
    }
    out->ptr = text_take(&t, &out->len);
    return OK;
}

/* Texts that follow each other are documents of one. */
static void separate(struct command *c, slice text)
{
    if (c->out.len && c->out.ptr[c->out.len - 1] != '\n')
        text_add_char(&c->out, '\n');
    if (c->out.len && !slice_starts(text, SLICE("---")))
        text_add(&c->out, SLICE("---\n"));
}

static enum status one_text(struct command *c, slice text, slice source,
                            struct error *e)
{
    enum status rc;

    separate(c, text);
    rc = file_inject(text, source, &c->opt, &c->out, e);
    if (!rc && c->out.failed)
        rc = error_set(e, ERR_TOO_BIG, "more than %d bytes", OUTPUT_MAX);
    return rc;
}

static enum status one_file(struct command *c, slice path, struct error *e)
{
    bool standard = slice_eq(path, SLICE("-"));
    slice text = SLICE_NONE;
    enum status rc;

    if (c->files++ == FILES_MAX)
        return error_set(e, ERR_TOO_BIG, "more than %d files", FILES_MAX);
    if (standard)
        rc = read_all(STDIN_FILENO, &text, e);
    else
        rc = file_read(path, YAML_BYTES_MAX, &text, e);
    if (!rc)
        rc = one_text(c, text, standard ? SLICE("standard input") : path, e);
    mem_free((void *)text.ptr);
    return rc;
}

static int is_manifest(const struct dirent *d)
{
    slice name = slice_str(d->d_name);

    return !slice_starts(name, SLICE(".")) &&
           (slice_ends(name, SLICE(".yaml")) ||
            slice_ends(name, SLICE(".yml")) ||
            slice_ends(name, SLICE(".json")));
}

/* The files of one folder in the order of their names; not those below. */
static enum status folder(struct command *c, const char *path, struct error *e)
{
    struct dirent **found = NULL;
    int n = scandir(path, &found, is_manifest, alphasort);
    enum status rc = OK;

    if (n < 0)
        return error_set(e, status_from_errno(errno), "%s: cannot be read",
                         path);
    for (int i = 0; i < n; i++) {
        char full[PATH_BYTES];
        int len = snprintf(full, sizeof full, "%s/%s", path, found[i]->d_name);

        if (!rc && len >= PATH_BYTES)
            rc = error_set(e, ERR_TOO_BIG, "%s: the path is too long", path);
        if (!rc)
            rc = one_file(c, slice_str(full), e);
        /* allow memory: scandir's */
        free(found[i]);
    }
    /* allow memory: scandir's */
    free(found);
    return rc;
}

static enum status one_argument(struct command *c, const char *path,
                                struct error *e)
{
    struct stat st;

    if (strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return folder(c, path, e);
    return one_file(c, slice_str(path), e);
}

static enum status write_out(const struct text *out, struct error *e)
{
    if ((out->len && fwrite(out->ptr, 1, out->len, stdout) != out->len) ||
        fflush(stdout))
        return error_set(e, ERR_IO, "standard output: cannot be written");
    return OK;
}

enum status file_command(struct injector_config *config,
                         const struct injector_arguments *args, int argc,
                         char **argv, struct error *e)
{
    struct command c = {.opt = {.settings = &config->inject,
                                .ns = SLICE("default"),
                                .all = args->all,
                                .report = report}};
    slice bundle = SLICE_NONE;
    enum status rc = OK;

    if (args->files == argc)
        return error_set(e, ERR_INVALID,
                         "no file; - stands for standard input");
    if (!slice_empty(config->bundle))
        rc = file_read(config->bundle, SIDECAR_BUNDLE_MAX, &bundle, e);
    config->inject.site.bundle_pem = bundle;
    text_init(&c.out, OUTPUT_MAX);
    for (int i = args->files; i < argc && !rc; i++)
        rc = one_argument(&c, argv[i], e);
    if (!rc)
        rc = write_out(&c.out, e);
    text_fini(&c.out);
    mem_free((void *)bundle.ptr);
    return rc;
}
