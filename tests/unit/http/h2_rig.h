/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: an HTTP/2 server and a peer who says what it likes. */
#ifndef TULLE_TESTS_H2_RIG_H
#define TULLE_TESTS_H2_RIG_H

#include "tests/unit/http/h2_frames.h"
#include "tests/unit/http/joined.h"

enum {
    NO_ERROR = 0,
    PROTOCOL_ERROR = 1,
    CLOSED = 5,
    REFUSED_STREAM = 7,
    CALM = 11
};

/* A server and a peer who speaks bytes. */
struct rig {
    struct joined j;
    struct raw peer;
    struct text say;
};

UNUSED static void rig_start(struct rig *r)
{
    joined_serve(&r->j, H2);
    raw_init(&r->peer, r->j.client_end);
    text_init(&r->say, 1 << 24);
    frame_preface(&r->say);
}

UNUSED static void rig_init(struct rig *r)
{
    joined_streams(&r->j, 1 << 20, 0);
    rig_start(r);
}

/* Nothing may take longer than 20 ms. */
UNUSED static void rig_init_hasty(struct rig *r)
{
    joined_streams(&r->j, 1 << 20, 0);
    r->j.limits.head_timeout = r->j.limits.body_timeout = 20 * NSEC_PER_MSEC;
    rig_start(r);
}

/* Passes of 100 ms, or until the server has closed. */
UNUSED static void rig_wait(struct rig *r)
{
    int64_t end = clock_mono_ns() + 100 * NSEC_PER_MSEC;
    while (r->j.server && clock_mono_ns() < end)
        joined_turn(&r->j);
}

UNUSED static void rig_say(struct rig *r)
{
    stream_write(r->peer.s, r->say.ptr, r->say.len);
    text_clear(&r->say);
    joined_turns(&r->j, 3);
}

UNUSED static void rig_fini(struct rig *r)
{
    text_fini(&r->say);
    if (r->j.server)
        http_conn_close(r->j.server, OK);
    joined_turns(&r->j, 3);
    raw_fini(&r->peer);
    joined_fini(&r->j);
}

#endif
