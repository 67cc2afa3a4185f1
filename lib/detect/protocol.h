/* SPDX-License-Identifier: Apache-2.0 */
/* What the first bytes of a connection speak. Pure.
 *
 * The answer depends on the bytes, not on how they arrive: for every prefix it
 * is DETECTED_NEED_MORE or the answer that all longer inputs get. A client that
 * stays silent, or stops in the middle, is the caller's: it has a timeout and
 * then treats NEED_MORE as DETECTED_OPAQUE. */
#ifndef TULLE_DETECT_PROTOCOL_H
#define TULLE_DETECT_PROTOCOL_H

#include "lib/base/slice.h"

enum detected {
    DETECTED_NEED_MORE, /* never for DETECT_MAX bytes or more */
    DETECTED_TLS,       /* a record that starts a ClientHello */
    DETECTED_HTTP1,     /* a request line, maybe malformed: the HTTP/1 parser
                           decides, and refuses with a 400 */
    DETECTED_HTTP2,     /* the whole client preface (RFC 9113 section 3.4) */
    DETECTED_OPAQUE,
};

enum { DETECT_MAX = 8192 }; /* the longest line whose end is waited for */

/* "need-more", "tls", "http1", "http2", "opaque". */
const char *detected_name(enum detected d);

enum detected protocol_detect(slice first);
/* Of what is declared to be HTTP: NEED_MORE, HTTP2, or HTTP1 for all else. */
enum detected protocol_detect_http(slice first);

#endif
