/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that did one exchange and then stay silent.
 *
 *   idle ADDRESS [--connections N] [--opaque]
 *
 * Says "ready" once all of them are idle and holds them until its standard
 * input ends.
 */
#include "load.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>

static const char request[] = "GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n";

static bool exchange_http(int fd)
{
    char in[HTTP_BODY + 4096];
    size_t held = 0;
    long size = 0;

    if (!load_send(fd, request, sizeof(request) - 1))
        return false;
    while (!size || held < (size_t)size) {
        ssize_t n = recv(fd, in + held, sizeof(in) - 1 - held, 0);

        if (n <= 0)
            return false;
        held += (size_t)n;
        in[held] = 0;
        size = http_response_size(in, held);
        if (size < 0)
            return false;
    }
    return true;
}

static bool exchange_opaque(int fd)
{
    unsigned char hello[OPAQUE_HELLO];
    char word[] = "are you there?";
    char back[sizeof(word)];

    opaque_hello(hello, (struct hello){OPAQUE_ECHO, 0, 0});
    return load_send(fd, hello, sizeof(hello)) &&
           load_send(fd, word, sizeof(word)) &&
           load_receive(fd, back, sizeof(back)) &&
           !memcmp(word, back, sizeof(word));
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = load_target(argc, argv);
    size_t count = (size_t)load_option(argc, argv, "--connections", 1000);
    bool opaque = load_flag(argc, argv, "--opaque");

    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < count; i++) {
        int fd = load_dial(&to, true);

        if (fd < 0 || !(opaque ? exchange_opaque(fd) : exchange_http(fd)))
            load_die("exchange");
    }
    load_ready();
    load_result("{\"idle\": %zu}", count);
    return 0;
}
