/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of an opaque connection for its line in the access log, and the
 * name of the server that the application's TLS asks for (SNI): read as the bytes
 * pass, which wait for nothing. */
#ifndef TULLE_PROXY_ACCEPT_PASSAGE_H
#define TULLE_PROXY_ACCEPT_PASSAGE_H

#include "proxy/accept/target.h"

struct passage {
    int64_t started;
    unsigned attempts;
    char *endpoint; /* the last one tried; NULL: none, or there is no log */
    char *sni;      /* NULL: no ClientHello; "": it names nobody */
    bool looked;    /* there is nothing more to find */
    char *hello;    /* a ClientHello so far */
    size_t hello_len;
};

enum { SERVER_NAME_TEXT = 254 };

/* Pure: a server's name as metrics and logs have it. Lower case; "invalid" where
 * it is no DNS name; empty stays empty. */
slice server_name(slice sni, char buf[SERVER_NAME_TEXT]);

void passage_init(struct passage *p, const struct worker *w);
void passage_fini(struct passage *p);
/* `ep` is dialled. */
void passage_try(struct passage *p, const struct worker *w,
                 const struct endpoint *ep);
/* Bytes of the client, in order, from its first. False: no more are wanted. */
bool passage_see(struct passage *p, const struct target *t, slice bytes);
/* It has ended: writes the line, if anybody wants one. */
void passage_log(const struct passage *p, const struct target *t, enum fault f,
                 uint64_t bytes_in, uint64_t bytes_out);

#endif
