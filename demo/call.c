/* SPDX-License-Identifier: Apache-2.0 */
/* One upstream, many threads: a thread takes an idle curl handle (and with it
 * a warm connection), asks, and puts it back. A call that fails says so in
 * the answer; a body over the limit is such a failure. */
#include "demo/demo.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MAX 16
#define BODY_MAX ((size_t)64 << 10)
#define HEADER_MAX 4096
#define TIMEOUT_MS 10000L

struct calls {
    const char *url;
    pthread_mutex_t lock; /* guards idle and idle_len */
    CURL *idle[IDLE_MAX];
    size_t idle_len;
};

struct calls *calls_new(const char *url)
{
    struct calls *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->url = url;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void calls_free(struct calls *c)
{
    if (!c)
        return;
    while (c->idle_len)
        curl_easy_cleanup(c->idle[--c->idle_len]);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static CURL *take(struct calls *c)
{
    CURL *curl = NULL;

    pthread_mutex_lock(&c->lock);
    if (c->idle_len)
        curl = c->idle[--c->idle_len];
    pthread_mutex_unlock(&c->lock);
    return curl ? curl : curl_easy_init();
}

static void put(struct calls *c, CURL *curl)
{
    pthread_mutex_lock(&c->lock);
    if (c->idle_len < IDLE_MAX) {
        c->idle[c->idle_len++] = curl;
        curl = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    curl_easy_cleanup(curl); /* NULL is fine */
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
    struct answer *a = arg;
    char *more;

    (void)one; /* always 1 */
    if (len > BODY_MAX - a->body_len)
        return 0; /* curl gives up: CURLE_WRITE_ERROR */
    more = realloc(a->body, a->body_len + len + 1);
    if (!more)
        return 0;
    a->body = more;
    memcpy(a->body + a->body_len, data, len);
    a->body_len += len;
    a->body[a->body_len] = '\0';
    return len;
}

/* Copies the value if the line is this header, cut to what fits. */
static void keep(const char *line, size_t len, const char *name, char *out,
                 size_t size)
{
    size_t n = strlen(name);

    if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return;
    for (line += n + 1, len -= n + 1; len && *line == ' '; line++)
        len--;
    while (len && (line[len - 1] == '\r' || line[len - 1] == '\n'))
        len--;
    snprintf(out, size, "%.*s", (int)len, line);
}

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
    struct answer *a = arg;

    (void)one;
    if (len > HEADER_MAX)
        return len;
    keep(line, len, "tulle-fault", a->fault, sizeof a->fault);
    keep(line, len, "x-served-by", a->served_by, sizeof a->served_by);
    return len;
}

/* Without memory a header is left out: tracing is no reason to fail. */
static struct curl_slist *append(struct curl_slist *list, const char *name,
                                 const char *value)
{
    char line[HEADER_MAX];
    struct curl_slist *longer = NULL;
    int n;

    if (!value)
        return list;
    /* An empty value is spelt "name;": "name:" would mean none at all. */
    n = *value ? snprintf(line, sizeof line, "%s: %s", name, value)
               : snprintf(line, sizeof line, "%s;", name);
    if (n > 0 && (size_t)n < sizeof line)
        longer = curl_slist_append(list, line);
    return longer ? longer : list;
}

static void ask(CURL *curl, const char *url, struct curl_slist *headers,
                struct answer *a)
{
    CURLcode rc;

    curl_easy_reset(curl); /* keeps the connections */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, a);
    rc = curl_easy_perform(curl);
    if (rc) {
        snprintf(a->problem, sizeof a->problem, "%s", curl_easy_strerror(rc));
        return; /* half an answer is none: status stays 0 */
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a->status);
}

void calls_get(struct calls *c, const struct trace *t, struct answer *a)
{
    struct curl_slist *headers = NULL;
    CURL *curl = take(c);

    memset(a, 0, sizeof *a);
    if (!curl) {
        snprintf(a->problem, sizeof a->problem, "out of memory");
        return;
    }
    headers = append(headers, "traceparent", t->traceparent);
    headers = append(headers, "tracestate", t->tracestate);
    headers = append(headers, "x-request-id", t->request_id);
    ask(curl, c->url, headers, a);
    curl_slist_free_all(headers);
    /* A handle that outlives its header list must not point to it. */
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    put(c, curl);
}

void answer_fini(struct answer *a)
{
    free(a->body);
    a->body = NULL;
}
