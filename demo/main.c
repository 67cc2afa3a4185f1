/* SPDX-License-Identifier: Apache-2.0 */
/* tulle-demo: three small services and a trickle of load, to have something
 * that a mesh can carry.
 *
 *   load -> web -> cart -> catalog
 *
 * This file reads the command line; serve.c answers requests, call.c asks the
 * next service, load.c is the client. A wrong option ends the program with
 * one sentence and exit code 2. */
#include "demo/demo.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: tulle-demo ROLE [OPTION]...\n"
    "roles:\n"
    "  web      GET /       a page about what cart has\n"
    "  cart     GET /items  JSON: the items of catalog\n"
    "  catalog  GET /items  JSON: items and prices\n"
    "  load     sends requests, then prints how they went\n"
    "services:\n"
    "  --listen ADDR:PORT  where to serve; port 0 takes a free one\n"
    "  --upstream URL      the next service (web, cart)\n"
    "  --version NAME      what to call this version; catalog has v1 and v2\n"
    "  --delay TIME        wait before each answer (20ms, 1s)\n"
    "  --fail-percent N    answer 500 to N of 100 requests\n"
    "load:\n"
    "  --url URL           what to ask for\n"
    "  --rps N             requests a second\n"
    "  --for SECONDS       stop after this time (without: on SIGTERM)\n";

/* A whole number from 0 to max and what follows it; false if there is none. */
static bool number(const char *text, unsigned max, unsigned *out,
                   const char **rest)
{
    char *end;
    unsigned long n;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    n = strtoul(text, &end, 10);
    if (errno || n > max)
        return false;
    *out = (unsigned)n;
    *rest = end;
    return true;
}

static bool whole(const char *text, unsigned max, unsigned *out)
{
    const char *rest;

    return number(text, max, out, &rest) && !*rest;
}

static bool duration_ms(const char *text, unsigned *out)
{
    const char *rest;

    if (!number(text, 60000, out, &rest))
        return false;
    if (!strcmp(rest, "ms"))
        return true;
    if (strcmp(rest, "s") != 0 || *out > 60)
        return false;
    *out *= 1000;
    return true;
}

/* Goes into headers and JSON as it is, so it must be harmless there. */
static bool version_ok(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");

    return n > 0 && n <= 32 && !text[n];
}

static bool set(struct options *o, int option, const char *value)
{
    switch (option) {
    case 'l':
        o->listen = value;
        return true;
    case 'u':
        o->upstream = value;
        return !strncmp(value, "http://", 7);
    case 'v':
        o->version = value;
        return version_ok(value);
    case 'd':
        return duration_ms(value, &o->delay_ms);
    case 'f':
        return whole(value, 100, &o->fail_percent);
    case 'U':
        o->url = value;
        return !strncmp(value, "http://", 7);
    case 'r':
        return whole(value, 10000, &o->rps) && o->rps > 0;
    case 'F':
        return whole(value, 86400, &o->for_seconds) && o->for_seconds > 0;
    default:
        return false;
    }
}

/* What the role needs beyond well-formed options; NULL: nothing. */
static const char *missing(const struct options *o)
{
    bool front = !strcmp(o->role, "web") || !strcmp(o->role, "cart");

    if (!strcmp(o->role, "load"))
        return !o->url   ? "load needs --url"
               : !o->rps ? "load needs --rps"
                         : NULL;
    if (!front && strcmp(o->role, "catalog") != 0)
        return "the role is one of web, cart, catalog, load";
    if (!o->listen)
        return "a service needs --listen";
    if (front && !o->upstream)
        return "web and cart need --upstream";
    return NULL;
}

static int parse(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {
        {"listen", required_argument, NULL, 'l'},
        {"upstream", required_argument, NULL, 'u'},
        {"version", required_argument, NULL, 'v'},
        {"delay", required_argument, NULL, 'd'},
        {"fail-percent", required_argument, NULL, 'f'},
        {"url", required_argument, NULL, 'U'},
        {"rps", required_argument, NULL, 'r'},
        {"for", required_argument, NULL, 'F'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, index = 0;

    while ((option = getopt_long(argc, argv, "", names, &index)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            exit(0);
        }
        if (option == '?')
            return -1; /* getopt has said what is wrong */
        if (!set(o, option, optarg)) {
            fprintf(stderr, "tulle-demo: bad value for --%s: %s\n",
                    names[index].name, optarg);
            return -1;
        }
    }
    if (optind + 1 != argc) {
        fputs("tulle-demo: exactly one role is needed\n", stderr);
        return -1;
    }
    o->role = argv[optind];
    if (missing(o)) {
        fprintf(stderr, "tulle-demo: %s\n", missing(o));
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    sigset_t stop;
    int rc;

    if (parse(&o, argc, argv)) {
        fputs("try: tulle-demo --help\n", stderr);
        return 2;
    }
    /* Blocked here, before any thread exists, so that only the one who asks
     * for them sees them. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return 1;
    rc = !strcmp(o.role, "load") ? load(&o) : serve(&o);
    curl_global_cleanup();
    return rc;
}
