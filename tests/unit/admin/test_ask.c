/* SPDX-License-Identifier: Apache-2.0 */
/* A peer on loopback that answers one connection with given bytes; ask() blocks,
 * so the peer is a thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/admin/ask.h"

struct peer {
    struct address at;
    const char *answer;
    size_t times; /* the answer, repeated */
    char asked[512];
    int fd;
    pthread_t thread;
};

static void *answer(void *arg)
{
    struct peer *p = arg;
    int fd = accept(p->fd, NULL, NULL);
    ssize_t n = recv(fd, p->asked, sizeof p->asked - 1, 0);

    for (size_t i = 0; n > 0 && i < p->times; i++)
        n = send(fd, p->answer, strlen(p->answer), MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static void peer_start(struct peer *p, const char *text, size_t times)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    *p = (struct peer){.answer = text, .times = times};
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &p->at), OK);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->fd, &p->at.sa, address_len(&p->at)), 0);
    assert_int_equal(listen(p->fd, 1), 0);
    assert_int_equal(getsockname(p->fd, (struct sockaddr *)&sa, &len), 0);
    address_from(&p->at, (struct sockaddr *)&sa);
    assert_int_equal(pthread_create(&p->thread, NULL, answer, p), 0);
}

static enum status ask(const char *text, size_t times, unsigned *http,
                       struct text *body, struct error *e)
{
    struct peer p;
    enum status rc;

    text_init(body, 1 << 20);
    peer_start(&p, text, times);
    rc = admin_ask(&p.at, "/ready", 5, http, body, e);
    pthread_join(p.thread, NULL);
    close(p.fd);
    assert_non_null(strstr(p.asked, "GET /ready HTTP/1.1\r\n"));
    return rc;
}

static void answers(void **state)
{
    struct error e = {{0}};
    struct text body;
    unsigned http = 0;

    (void)state;
    assert_int_equal(ask("HTTP/1.1 503 Service Unavailable\r\n"
                         "content-length: 4\r\n\r\nwhy\n",
                         1, &http, &body, &e),
                     OK);
    assert_int_equal(http, 503);
    assert_string_equal(text_cstr(&body), "why\n");
    text_fini(&body);
}

static void not_http(void **state)
{
    static const char *const bad[] = {
        "",
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 \r\n\r\n",
    };
    struct error e = {{0}};
    struct text body;
    unsigned http = 0;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ask(bad[i], 1, &http, &body, &e), ERR_IO);
        text_fini(&body);
    }
}

static void too_long(void **state)
{
    struct error e = {{0}};
    struct text body;
    unsigned http = 0;

    (void)state;
    assert_int_equal(ask("HTTP/1.1 200 OK\r\n\r\n0123456789abcdef", 1 << 16,
                         &http, &body, &e),
                     ERR_TOO_BIG);
    text_fini(&body);
}

static void nobody_there(void **state)
{
    struct error e = {{0}};
    struct text body;
    unsigned http = 0;
    struct peer p;

    (void)state;
    peer_start(&p, "", 0);
    shutdown(p.fd, SHUT_RDWR); /* the thread's accept fails */
    pthread_join(p.thread, NULL);
    close(p.fd);
    text_init(&body, 64);
    assert_int_equal(admin_ask(&p.at, "/ready", 5, &http, &body, &e), ERR_IO);
    assert_non_null(strstr(e.text, "cannot reach 127.0.0.1:"));
    text_fini(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(not_http),
        cmocka_unit_test(too_long),
        cmocka_unit_test(nobody_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
