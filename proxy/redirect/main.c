/* SPDX-License-Identifier: Apache-2.0 */
/* tulle-init [settings]: sets the packet rules of a pod, proves that they work,
 * ends. Exit codes: 0 done, 2 bad settings, 3 rules not set, 4 not proved. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "proxy/redirect/apply.h"
#include "proxy/redirect/config.h"
#include "proxy/redirect/prove.h"

enum { BAD_SETTINGS = 2, NOT_SET = 3, NOT_PROVED = 4 };
enum { HELP_MAX = 65536, NOTES_MAX = 8192 };

static void print_help(void)
{
    struct text t;

    text_init(&t, HELP_MAX);
    text_add(&t,
             SLICE("tulle-init: sets the packet rules of a pod, so that its "
                   "TCP goes through the\nproxy, and proves that they "
                   "work.\n\n"
                   "    tulle-init [settings]\n"
                   "    tulle-init --print [settings]   shows the rules, "
                   "sets nothing\n\n"
                   "Each setting is a flag and an environment "
                   "variable.\n\n"));
    settings_help(init_rows, init_rows_len, &t);
    fputs(text_cstr(&t), stdout);
    text_fini(&t);
}

/* The kubelet makes the file and shows its text as the reason of the end. */
static void tell_kubelet(slice path, const struct error *e)
{
    char name[PATH_MAX];

    if (slice_empty(path) || slice_to_cstr(path, name, sizeof name))
        return;
    int fd = open(name, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return;
    dprintf(fd, "tulle-init: %s\n", e->text);
    close(fd);
}

static int fail(const struct init_config *c, int code, const struct error *e)
{
    fprintf(stderr, "tulle-init: %s\n", e->text);
    tell_kubelet(c->termination_log, e);
    return code;
}

static enum status set_rules(const struct init_config *c, struct error *e)
{
    struct text script;

    text_init(&script, RULES_TEXT_MAX);
    rules_write(&c->rules, &script);
    enum status rc = apply_rules(c->nft, text_slice(&script), c->timeout, e);
    text_fini(&script);
    return rc;
}

/* A node's kernel may have NAT and yet not the module nft_fib_inet. What that rule
 * keeps out, the proxy refuses, too. */
static enum status set_what_the_kernel_takes(struct init_config *c,
                                             struct error *e)
{
    struct error why;
    enum status rc = set_rules(c, e);

    if (rc != ERR_INVALID) /* nft ran, and did not like it */
        return rc;
    c->rules.without_fib = true;
    if (set_rules(c, &why))
        return rc; /* it was something else */
    printf("without the rule on foreign destinations, which the proxy refuses "
           "by itself: %s\n",
           e->text);
    return OK;
}

static int run(struct init_config *c)
{
    struct error e = {{0}};
    struct text notes;
    struct prove_options opt = {.rules = &c->rules,
                                .controllers = c->controllers,
                                .controllers_len = c->controllers_len,
                                .timeout = c->timeout};

    if (set_what_the_kernel_takes(c, &e)) {
        (void)error_prefix(&e, ERR_IO, "the packet rules could not be set");
        return fail(c, NOT_SET, &e);
    }
    text_init(&notes, NOTES_MAX);
    enum status rc = prove(&opt, &notes, &e);
    fputs(text_cstr(&notes), stdout);
    text_fini(&notes);
    if (rc)
        return fail(c, NOT_PROVED, &e);
    puts("packet rules are set: the pod's TCP goes through the proxy");
    return 0;
}

int main(int argc, char **argv)
{
    struct init_config c;
    struct error e = {{0}};
    struct text script;

    if (init_config_load(&c, argc, (const char *const *)argv, NULL, &e))
        return fail(&c, BAD_SETTINGS, &e);
    if (c.help) {
        print_help();
        return 0;
    }
    if (c.version) {
        puts("tulle-init " TULLE_VERSION);
        return 0;
    }
    if (!c.print)
        return run(&c);
    text_init(&script, RULES_TEXT_MAX);
    rules_write(&c.rules, &script);
    fputs(text_cstr(&script), stdout);
    text_fini(&script);
    return 0;
}
