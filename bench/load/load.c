/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* A prime: a block that lands at a wrong place of any usual size shows. */
enum { PATTERN_PERIOD = 1048573, BLOCKING_SECONDS = 10 };

static unsigned char pattern[PATTERN_PERIOD + PATTERN_RUN];

void load_die(const char *message)
{
    if (errno)
        fprintf(stderr, "%s: %s\n", message, strerror(errno));
    else
        fprintf(stderr, "%s\n", message);
    exit(1);
}

double load_option(int argc, char **argv, const char *name, double otherwise)
{
    for (int i = 1; i + 1 < argc; i++) {
        char *end;
        double value;

        if (strcmp(argv[i], name) != 0)
            continue;
        errno = 0;
        value = strtod(argv[i + 1], &end);
        if (errno || end == argv[i + 1] || *end || value < 0)
            load_die("option: not a number");
        return value;
    }
    return otherwise;
}

bool load_flag(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return false;
}

struct sockaddr_in load_target(int argc, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN];
    const char *colon = argc > 1 ? strrchr(argv[1], ':') : NULL;
    char *end;
    long port;

    errno = 0;
    if (!colon || (size_t)(colon - argv[1]) >= sizeof(host))
        load_die("address: want a.b.c.d:port");
    snprintf(host, sizeof(host), "%.*s", (int)(colon - argv[1]), argv[1]);
    port = strtol(colon + 1, &end, 10);
    if (*end || port < 1 || port > 65535 ||
        inet_pton(AF_INET, host, &to.sin_addr) != 1)
        load_die("address: want a.b.c.d:port");
    to.sin_port = htons((uint16_t)port);
    return to;
}

double load_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int load_dial(const struct sockaddr_in *to, bool blocking)
{
    struct timeval limit = {.tv_sec = BLOCKING_SECONDS};
    int type = SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK);
    int fd = socket(AF_INET, type, 0);
    int on = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (blocking) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    }
    if (!connect(fd, (const struct sockaddr *)to, sizeof(*to)) ||
        (!blocking && errno == EINPROGRESS))
        return fd;
    close(fd);
    return -1;
}

void load_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        load_die("fcntl");
}

bool load_send(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

bool load_receive(int fd, void *bytes, size_t size)
{
    return recv(fd, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

long http_response_size(const char *bytes, size_t size)
{
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    const char *line = bytes;

    if (!end)
        return 0;
    if (strncmp(bytes, "HTTP/1.1 200", 12) != 0)
        return -1;
    while ((line = memchr(line, '\n', (size_t)(end - line)))) {
        line++;
        if (!strncasecmp(line, "content-length:", 15))
            return end + 4 - bytes + strtol(line + 15, NULL, 10);
    }
    return -1;
}

static void put_le(unsigned char *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_le(const unsigned char *in, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

void opaque_hello(unsigned char out[OPAQUE_HELLO], struct hello h)
{
    out[0] = 0x01; /* starts no HTTP method and no TLS record */
    out[1] = 'b';
    out[2] = (unsigned char)h.mode;
    out[3] = 0;
    put_le(out + 4, h.seed, 4);
    put_le(out + 8, h.length, 8);
}

bool opaque_read_hello(const unsigned char in[OPAQUE_HELLO], struct hello *h)
{
    h->mode = (enum opaque_mode)in[2];
    h->seed = (uint32_t)get_le(in + 4, 4);
    h->length = get_le(in + 8, 8);
    return in[0] == 0x01 && in[1] == 'b' &&
           (in[2] == OPAQUE_ECHO || in[2] == OPAQUE_DOWNLOAD ||
            in[2] == OPAQUE_UPLOAD || in[2] == OPAQUE_CHECK);
}

void opaque_receipt(unsigned char out[OPAQUE_RECEIPT], struct receipt r)
{
    put_le(out, r.received, 8);
    put_le(out + 8, r.wrong, 8);
}

struct receipt opaque_read_receipt(const unsigned char in[OPAQUE_RECEIPT])
{
    return (struct receipt){get_le(in, 8), get_le(in + 8, 8)};
}

void pattern_init(void)
{
    uint64_t x = 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < PATTERN_PERIOD; i++) {
        x ^= x << 13; /* xorshift64 */
        x ^= x >> 7;
        x ^= x << 17;
        pattern[i] = (unsigned char)(x >> 32);
    }
    memcpy(pattern + PATTERN_PERIOD, pattern, PATTERN_RUN);
}

const unsigned char *pattern_at(uint32_t seed, uint64_t position)
{
    return pattern + (seed + position) % PATTERN_PERIOD;
}

/* 64 buckets for each doubling, in tenths of a microsecond. */
void latencies_add(struct latencies *l, double seconds)
{
    uint64_t value = seconds > 0 ? (uint64_t)(seconds * 1e7) : 0;
    unsigned shift = 0;
    size_t bucket;

    if (value >= 128)
        shift = 57 - (unsigned)__builtin_clzll(value);
    bucket = shift * 64 + (size_t)(value >> shift);
    if (bucket >= LATENCY_BUCKETS)
        bucket = LATENCY_BUCKETS - 1;
    l->count[bucket]++;
    l->total++;
}

double latencies_at(const struct latencies *l, double q)
{
    uint64_t rank = (uint64_t)(q * (double)l->total);
    uint64_t seen = 0;

    if (!l->total)
        return 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        size_t shift = i < 128 ? 0 : i / 64 - 1;
        double low = (double)((i - shift * 64) << shift);

        seen += l->count[i];
        if (seen > rank || seen == l->total)
            return (low + 0.5 * (double)((uint64_t)1 << shift)) / 10;
    }
    return 0;
}

static bool next_line(void)
{
    char c;
    ssize_t n;

    while ((n = read(STDIN_FILENO, &c, 1)) > 0)
        if (c == '\n')
            return true;
    return false;
}

void load_ready(void)
{
    if (puts("ready") < 0 || fflush(stdout))
        load_die("stdout");
    if (!next_line())
        exit(0);
}

void load_result(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    while (next_line())
        continue;
}
