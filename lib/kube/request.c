/* SPDX-License-Identifier: Apache-2.0 */
/* What libcurl calls here only takes note: it must not be entered again from
 * inside of it, and owners may do anything when they are told. */
#include "lib/kube/request.h"

#include <assert.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/kube/access_parts.h"

#define TIMEOUT (10 * NSEC_PER_SEC)
#define CONNECT_MS 5000L
/* How long what was sent may stay unacknowledged, and keep-alives unanswered. */
#define SILENT_PEER_MS 20000U

enum { VALUES_MAX = 4000000, SMALL = 256 << 10 };

static const struct {
    const char *name, *type;
} methods[] = {
    [KUBE_GET] = {"GET", NULL},
    [KUBE_POST] = {"POST", "application/json"},
    [KUBE_PUT] = {"PUT", "application/json"},
    [KUBE_DELETE] = {"DELETE", "application/json"},
    [KUBE_MERGE_PATCH] = {"PATCH", "application/merge-patch+json"},
    [KUBE_JSON_PATCH] = {"PATCH", "application/json-patch+json"},
    [KUBE_APPLY] = {"PATCH", "application/apply-patch+yaml"},
};

struct kube_request *request_new(const struct kube_call *call,
                                 const struct request_options *opt,
                                 kube_done_fn *done, void *owner)
{
    struct kube_request *r = MEM_NEW(struct kube_request);

    list_init(&r->node);
    list_init(&r->fresh);
    r->method = call->method;
    r->path = mem_str(call->path);
    r->body = mem_str(call->body);
    r->body_len = call->body.len;
    r->timeout = call->timeout ? call->timeout : TIMEOUT;
    r->accept = opt->accept ? opt->accept : "application/json";
    r->stream = opt->stream;
    r->answer_max = opt->answer_max ? opt->answer_max : KUBE_ANSWER_MAX;
    r->done = done;
    r->owner = owner;
    text_init(&r->in, r->answer_max);
    return r;
}

static void free_headers(struct curl_slist *list)
{
    for (struct curl_slist *h = list; h; h = h->next)
        mem_wipe(h->data, strlen(h->data)); /* one of them is the token */
    curl_slist_free_all(list);
}

void request_free(struct kube_request *r)
{
    if (r->easy)
        curl_easy_cleanup(r->easy);
    free_headers(r->headers);
    mem_free(r->path);
    mem_wipe_free(r->body, r->body_len); /* it may have been a Secret */
    text_fini(&r->in);
    mem_free(r);
}

/* --- what libcurl calls --- */

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct kube_request *r = arg;
    slice line = slice_of(data, size * n);
    long status = 0;

    request_heard(r);
    if (!slice_eq(line, SLICE("\r\n")))
        return line.len;
    (void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200) /* 1xx: another head follows */
        r->http_status = (unsigned)status;
    return line.len;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct kube_request *r = arg;
    slice bytes = slice_of(data, size * n);

    request_heard(r);
    if (bytes.len > r->answer_max - r->in.len) {
        r->full = true;
        return 0;
    }
    text_add(&r->in, bytes);
    return bytes.len;
}

static int on_new_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    unsigned ms = SILENT_PEER_MS;

    (void)arg;
    (void)purpose;
    /* Not everywhere allowed; then keep-alives take a minute. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    return CURL_SOCKOPT_OK;
}

/* --- the handle --- */

#define SET(r, option, value) \
    ((void)curl_easy_setopt((r)->easy, (option), (value)))

static void add_header(struct kube_request *r, const char *name, slice value)
{
    struct curl_slist *more;
    struct text line;

    text_init(&line, 64 << 10);
    text_printf(&line, "%s: %.*s", name, FMT(value));
    more = curl_slist_append(r->headers, text_cstr(&line));
    if (more)
        r->headers = more;
    mem_wipe(line.ptr, line.len);
    text_fini(&line);
}

static void set_headers(struct kube_request *r, const struct kube_access *a)
{
    slice token = credential_text(a->token.content);

    add_header(r, "Accept", slice_str(r->accept));
    if (r->body_len) {
        add_header(r, "Content-Type", slice_str(methods[r->method].type));
        add_header(r, "Expect", SLICE_NONE); /* do not ask before */
    }
    if (!slice_empty(token)) {
        struct text bearer;

        text_init(&bearer, 60 << 10);
        text_printf(&bearer, "Bearer %.*s", FMT(token));
        add_header(r, "Authorization", text_slice(&bearer));
        mem_wipe(bearer.ptr, bearer.len);
        text_fini(&bearer);
    }
    SET(r, CURLOPT_HTTPHEADER, r->headers);
}

static void set_blob(struct kube_request *r, CURLoption option, slice content)
{
    struct curl_blob blob = {(void *)(uintptr_t)content.ptr, content.len,
                             CURL_BLOB_COPY};

    if (!slice_empty(content))
        (void)curl_easy_setopt(r->easy, option, &blob);
}

static void set_tls(struct kube_request *r, const struct kube_access *a)
{
    SET(r, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(r, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(r, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    set_blob(r, CURLOPT_CAINFO_BLOB, a->ca.content);
    set_blob(r, CURLOPT_SSLCERT_BLOB, a->cert.content);
    set_blob(r, CURLOPT_SSLKEY_BLOB, a->key.content);
}

static void set_url(struct kube_request *r, const struct kube_access *a)
{
    struct text url;

    text_init(&url, KUBE_PATH_MAX + 2048);
    text_add(&url, kube_access_server(a));
    text_add(&url, slice_str(r->path));
    SET(r, CURLOPT_URL, text_cstr(&url));
    text_fini(&url);
    SET(r, CURLOPT_PATH_AS_IS, 1L);
    SET(r, CURLOPT_PROTOCOLS_STR, "https");
    SET(r, CURLOPT_FOLLOWLOCATION, 0L);
    SET(r, CURLOPT_PROXY, ""); /* not even when the environment says so */
    SET(r, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(r, CURLOPT_PIPEWAIT, 1L); /* rather wait than connect once more */
    SET(r, CURLOPT_ACCEPT_ENCODING, "gzip");
}

static void set_times(struct kube_request *r)
{
    SET(r, CURLOPT_NOSIGNAL, 1L);
    SET(r, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    if (!r->stream)
        SET(r, CURLOPT_TIMEOUT_MS, (long)(r->timeout / NSEC_PER_MSEC));
    SET(r, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(r, CURLOPT_TCP_KEEPIDLE, 10L);
    SET(r, CURLOPT_TCP_KEEPINTVL, 5L);
    SET(r, CURLOPT_SOCKOPTFUNCTION, on_new_socket);
}

static void set_callbacks(struct kube_request *r)
{
    SET(r, CURLOPT_PRIVATE, r);
    SET(r, CURLOPT_ERRORBUFFER, r->why);
    SET(r, CURLOPT_HEADERFUNCTION, on_header);
    SET(r, CURLOPT_HEADERDATA, r);
    SET(r, CURLOPT_WRITEFUNCTION, on_body);
    SET(r, CURLOPT_WRITEDATA, r);
}

enum status request_prepare(struct kube_request *r, const struct kube_access *a,
                            const char *agent)
{
    r->easy = curl_easy_init();
    if (!r->easy)
        return ERR_RESOURCES;
    set_url(r, a);
    set_tls(r, a);
    set_times(r);
    set_headers(r, a);
    set_callbacks(r);
    SET(r, CURLOPT_USERAGENT, agent);
    if (r->method != KUBE_GET)
        SET(r, CURLOPT_CUSTOMREQUEST, methods[r->method].name);
    if (r->body_len) {
        SET(r, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
        SET(r, CURLOPT_POSTFIELDS, r->body);
        if (r->method == KUBE_GET)
            return ERR_INVALID;
    }
    return OK;
}

/* --- the answer --- */

static enum status status_of_code(const struct kube_request *r)
{
    if (r->full)
        return ERR_TOO_BIG;
    switch (r->code) {
    case CURLE_OK:
        return OK;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return ERR_REFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return ERR_TLS;
    default:
        return ERR_IO;
    }
}

static enum status status_of_http(unsigned status, slice reason)
{
    switch (status) {
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return slice_eq(reason, SLICE("AlreadyExists")) ? ERR_EXISTS
                                                        : ERR_AGAIN;
    case 401:
    case 403:
        return ERR_DENIED;
    case 413:
        return ERR_TOO_BIG;
    case 429:
    case 503:
        return ERR_RESOURCES;
    case 504:
        return ERR_TIMEOUT;
    default:
        return status < 300   ? OK
               : status < 400 ? ERR_PROTOCOL
               : status < 500 ? ERR_INVALID
                              : ERR_IO;
    }
}

/* "GET https://10.0.0.1/api/v1/pods: no" */
static enum status blame(const struct kube_request *r, enum status rc,
                         struct error *e)
{
    slice path = slice_str(r->path), rest;

    (void)slice_cut(path, '?', &path, &rest);
    return error_prefix(e, rc, "%s %.*s", methods[r->method].name,
                        FMT(slice_sub(path, 0, 200)));
}

static int64_t read_date(const struct kube_request *r)
{
    struct curl_header *h = NULL;
    time_t date = -1;

    if (!curl_easy_header(r->easy, "date", 0, CURLH_HEADER, -1, &h))
        date = curl_getdate(h->value, NULL);
    return date > 0 ? date : 0;
}

/* The body, and what a refusal says of itself (metav1.Status). */
static enum status read_answer(struct kube_request *r, struct kube_answer *a,
                               struct json_doc **doc, struct error *e)
{
    struct json_limits limits = {r->answer_max, VALUES_MAX};
    bool good = r->http_status >= 200 && r->http_status < 300;
    slice message = SLICE_NONE;
    curl_off_t seconds = 0;
    enum status rc;

    (void)curl_easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &seconds);
    a->date = read_date(r);
    if (seconds > 0)
        a->retry_after = (seconds < 3600 ? seconds : 3600) * NSEC_PER_SEC;
    if (r->in.len) {
        rc = json_parse_defused(text_slice(&r->in), &limits, doc, e);
        if (rc && good)
            return error_prefix(e, rc == ERR_INVALID ? ERR_PROTOCOL : rc,
                                "the answer");
    }
    if (*doc)
        a->body = json_root(*doc);
    if (good)
        return OK;
    rc = json_opt_string(a->body, "reason", &a->reason, NULL);
    if (!rc)
        rc = json_opt_string(a->body, "message", &message, NULL);
    if (rc)
        message = SLICE_NONE; /* not a Status: a page of some proxy */
    rc = status_of_http(r->http_status, a->reason);
    if (slice_empty(message))
        return error_set(e, rc, "HTTP status %u", r->http_status);
    return error_set(e, rc, "%.*s (HTTP status %u)",
                     FMT(slice_sub(message, 0, 400)), r->http_status);
}

static enum status read_result(struct kube_request *r, struct kube_answer *a,
                               struct json_doc **doc, struct error *e)
{
    enum status rc = status_of_code(r);

    if (r->full)
        return error_set(e, rc, "the answer is larger than %zu bytes",
                         r->answer_max);
    if (rc)
        return error_set(e, rc, "%s",
                         r->why[0] ? r->why : curl_easy_strerror(r->code));
    a->http_status = r->http_status;
    if (r->opened)
        return OK; /* all was told already */
    return read_answer(r, a, doc, e);
}

void request_answer(struct kube_request *r, enum status rc)
{
    struct json_doc *doc = NULL;
    struct error e = {""};
    struct kube_answer a = {.e = &e};

    a.rc = rc ? error_set(&e, rc, "%s", status_name(rc))
              : read_result(r, &a, &doc, &e);
    if (a.rc)
        (void)blame(r, a.rc, &e);
    if (r->in.ptr)
        mem_wipe(r->in.ptr, r->in.cap); /* a Secret, or a token, perhaps */
    text_fini(&r->in);
    if (r->stream)
        r->stream->on_end(r->owner, &a);
    else
        r->done(r->owner, &a);
    json_free(doc);
}

/* --- paths --- */

void kube_path_add(struct text *path, slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                     (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                     c == '_' || c == '~';

        if (plain)
            text_add_char(path, (char)c);
        else
            text_printf(path, "%%%02X", c);
    }
}
