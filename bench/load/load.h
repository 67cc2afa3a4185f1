/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the load tools share: arguments, sockets, the opaque protocol that
 * they speak with the backend, latencies, and how they talk to the driver.
 *
 * A tool connects and warms up, prints "ready", and waits for a line on its
 * standard input. Then it runs, prints its result as one line of JSON, and
 * keeps its connections open until its standard input ends. The driver reads
 * the proxies' CPU time around the run alone, so that handshakes and start-up
 * count only where they are the subject.
 *
 * Opaque protocol: the client opens with OPAQUE_HELLO bytes (mode, seed,
 * length; see opaque_hello), which are neither HTTP nor TLS. Byte `p` of a
 * transfer is pattern_at(seed, p), so both ends can check what arrived.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OPAQUE_HELLO = 16,     /* bytes that open an opaque connection */
    OPAQUE_RECEIPT = 16,   /* bytes that end a counted upload */
    PATTERN_RUN = 262144,  /* bytes readable from any pattern_at() */
    HTTP_BODY = 1024,      /* bytes in each response of the backend */
    LATENCY_BUCKETS = 2304 /* up to 2^40 tenths of a microsecond */
};

enum opaque_mode {
    OPAQUE_ECHO = 'e',     /* sends back what it gets */
    OPAQUE_DOWNLOAD = 'd', /* sends `length` bytes (0: no end), then closes */
    OPAQUE_UPLOAD = 'u',   /* drops `length` bytes, answers with a receipt */
    OPAQUE_CHECK = 'c'     /* the same, and compares them with the pattern */
};

struct hello {
    enum opaque_mode mode;
    uint32_t seed;
    uint64_t length;
};

struct receipt {
    uint64_t received;
    uint64_t wrong; /* pieces that differ from the pattern */
};

/* Times in buckets 1.6 % wide. Zeroed memory is an empty one. */
struct latencies {
    uint64_t total;
    uint32_t count[LATENCY_BUCKETS];
};

/* Prints `message` (and errno, if set) and exits with status 1. */
void load_die(const char *message) __attribute__((noreturn));

/* Value of "--name N" in the arguments, or `otherwise`. Dies on bad ones. */
double load_option(int argc, char **argv, const char *name, double otherwise);
/* True if "--name" is among the arguments. */
bool load_flag(int argc, char **argv, const char *name);
/* Address in argv[1], "a.b.c.d:port". Dies on a bad one. */
struct sockaddr_in load_target(int argc, char **argv);

/* Seconds on the monotonic clock. */
double load_now(void);

/* Connected socket with TCP_NODELAY, or -1. Blocking sockets give up reading
 * and writing after some seconds; a non-blocking one is still connecting. */
int load_dial(const struct sockaddr_in *to, bool blocking);
void load_nonblocking(int fd);
/* All of it on a blocking socket; false on an error or a short count. */
bool load_send(int fd, const void *bytes, size_t size);
bool load_receive(int fd, void *bytes, size_t size);

/* Bytes in the first HTTP response in `bytes` (NUL-terminated), 0 if its head
 * is not complete, -1 if it is not a 200 with a Content-Length. */
long http_response_size(const char *bytes, size_t size);

void opaque_hello(unsigned char out[OPAQUE_HELLO], struct hello h);
bool opaque_read_hello(const unsigned char in[OPAQUE_HELLO], struct hello *h);
void opaque_receipt(unsigned char out[OPAQUE_RECEIPT], struct receipt r);
struct receipt opaque_read_receipt(const unsigned char in[OPAQUE_RECEIPT]);

/* Makes the pattern; call once before pattern_at(). */
void pattern_init(void);
/* PATTERN_RUN readable bytes of the transfer from `position` on. */
const unsigned char *pattern_at(uint32_t seed, uint64_t position);

void latencies_add(struct latencies *l, double seconds);
/* Microseconds below which the share `q` (0..1) of them lies; 0 if none. */
double latencies_at(const struct latencies *l, double q);

/* Says "ready" and waits for the driver's line; exits when input ends. */
void load_ready(void);
/* Prints one line (a JSON object) and waits until standard input ends. */
void load_result(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
