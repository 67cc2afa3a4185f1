# SPDX-License-Identifier: Apache-2.0
"""Every limit that a peer can hit: hit once, and looked for in
proxy_limits_total, where an operator would. What becomes of the abuser, and of
others meanwhile, is in test_faults.py, test_http2_abuse.py,
test_hostile_link.py and test_chaos.py; here a glance is enough."""
import select
import struct

import pytest

from peers.h2 import (CONTINUATION, DATA, END_STREAM, HEADERS,
                      INITIAL_WINDOW, PING, REFUSED_STREAM, RST_STREAM,
                      SETTINGS, Link, Plain, fields, frame, reset)
from peers.abuse import head_in_pieces
from peers.http1 import CHUNKED, App, read_response, request, response
from peers.process import stopped
from peers.wire import connect
from programs import wait_until

LARGE = b"0123456789abcdef" * (1 << 20)  # 16 MiB: more than kernels keep
SETTINGS_OF_BOTH = dict(
    head_timeout="500ms", body_timeout="500ms", http_idle_timeout="1s",
    handshake_timeout="1s", max_head_bytes="16Ki", max_headers="20",
    max_trailer_bytes="1Ki", max_chunk_line="64", max_streams="10",
    max_resets="20", max_controls="100", link_idle="60s",
    inbound__body_timeout="2s")  # so that the outbound one is first


@pytest.fixture(scope="module")
def limited(module_pair):
    """A pair with small limits, in front of an application that answers."""
    def answer(r):
        return response(body=LARGE if r.target == "/large" else b"ok\n")
    with App(answer) as app, \
            module_pair(app, app_protocol="http1", **SETTINGS_OF_BOTH) as p:
        yield p


def hits(proxy):
    """{(direction, limit): count}"""
    return {(labels["direction"], labels["limit"]): value
            for labels, value in proxy.metrics()["proxy_limits_total"]}


def risen(proxy, before):
    now = hits(proxy)
    return {key for key in now if now[key] > before[key]}


def counts(proxy, direction, limit, act):
    """act() hits that limit, in that direction, and no other. (An idle
    connection of a test before may have ended meanwhile.)"""
    before = hits(proxy)
    act()
    wanted = (direction, limit)
    got = wait_until(f"{limit} is counted",
                     lambda: wanted in risen(proxy, before) and
                     risen(proxy, before), 10)
    assert got - {(direction, "http-idle-timeout")} <= {wanted}, got


def ends(wire):
    """The proxy ends it; answers before that are read."""
    assert wire.how_it_ends() in ("fin", "reset")


# --- HTTP/1 ------------------------------------------------------------------

def refused(status, data):
    def act(to):
        with connect(to) as c:
            c.send(data)
            assert read_response(c).status == status
            ends(c)
    return act


def chunks(data):
    return refused(400, request("POST", fields=[CHUNKED]) + data)


def upload_that_stops(to):
    with connect(to) as c:
        c.send(request("POST", fields=[("Content-Length", "10")]) + b"x")
        ends(c)


def reader_that_stops(to):
    with connect(to, receive_buffer=4096) as c:
        c.send(request(target="/large"))
        broken = select.poll()
        broken.register(c.sock, 0)  # its end alone: what came is not read
        assert broken.poll(10000)
        assert c.how_it_ends() == "reset"


def silence_after_an_answer(to):
    with connect(to) as c:
        c.send(request())
        assert read_response(c).status == 200
        ends(c)


HTTP1 = {
    "head": ("max-head-bytes",
             refused(431, request(fields=[("X", "v" * 20000)]))),
    "target": ("max-head-bytes", refused(414, request(target="/" + "a" * 20000))),
    "fields": ("max-headers",
               refused(431, request(fields=[("X", "v")] * 30))),
    "trailers": ("max-trailer-bytes",
                 chunks(b"1\r\nx\r\n0\r\nX: " + b"v" * 2000)),
    "chunk extension": ("max-chunk-line", chunks(b"1;" + b"e" * 100)),
    "chunk extensions": ("max-chunk-line",
                         chunks((b"1;" + b"e" * 50 + b"\r\nx\r\n") * 100)),
    "slow head": ("head-timeout", refused(408, b"GET / HTTP/1.1\r\nHos")),
    "slow body": ("body-timeout", upload_that_stops),
    "slow reader": ("body-timeout", reader_that_stops),
    "idle": ("http-idle-timeout", silence_after_an_answer),
}


@pytest.mark.parametrize("what", HTTP1)
def test_http1_client(limited, what):
    limit, act = HTTP1[what]
    counts(limited.outbound, "outbound", limit, lambda: act(limited.front))


def test_slow_client_is_not_one_that_went(limited):
    """In metrics and log."""
    def timeouts():
        return sum(value for labels, value
                   in limited.outbound.metrics()["proxy_requests_total"]
                   if labels["fault"] == "client-timeout")
    before = timeouts()
    reader_that_stops(limited.front)
    wait_until("it is counted", lambda: timeouts() == before + 1, 5)


def test_http1_client_without_mtls(limited):
    """The same on the way in."""
    limit, act = HTTP1["head"]
    counts(limited.inbound, "inbound", limit,
           lambda: act(limited.inbound_mesh))


# --- HTTP/2 ------------------------------------------------------------------

def flood(make, count=5000):
    def act(client):
        client.begin()
        client.flood(make, count)
        assert client.is_cut_or_told()
    return act


def too_large(listed):
    def act(client):
        client.begin().send(head_in_pieces(client, 1, listed))
        assert client.answer(1)[0] == 431
    return act


def head_without_end(client):
    client.begin().send(frame(HEADERS, END_STREAM, 1,
                              client.encoder.encode(fields())))
    client.flood(lambda n: frame(CONTINUATION, 0, 1, b""), 1000)
    assert client.is_cut_or_told()


def data_without_bytes(client):
    client.begin().send(client.head(1, fields("POST"), end=False))
    client.flood(lambda n: frame(DATA, 0, 1), 5000)
    assert client.is_cut_or_told()


def head_that_stalls(client):
    client.begin().send(frame(HEADERS, END_STREAM, 1,
                              client.encoder.encode(fields())))
    assert client.is_cut()


def body_that_stalls(client):
    client.begin().send(client.head(1, fields("POST"), end=False)
                        + frame(DATA, 0, 1, b"x"))
    client.until_frame(lambda f: f.stream == 1)


def window_that_stays_shut(client):
    client.begin({INITIAL_WINDOW: 0})
    client.send(client.head(1, fields(path="/large")))
    client.until_frame(lambda f: f.kind == RST_STREAM)


def idle(client):
    client.begin()
    assert client.is_cut()


def open_streams(client, agree):
    client.begin(agree=agree)
    client.send(b"".join(client.head(1 + 2 * n, fields("POST"), end=False)
                         for n in range(15)))


def streams_of_one_that_does_not_know(client):
    open_streams(client, False)
    while len(client.resets) < 5:
        client.read_frame()
    assert set(client.resets.values()) == {REFUSED_STREAM}


def streams_of_one_that_knows(client):
    open_streams(client, True)
    assert client.is_cut_or_told()


HTTP2 = {
    "head": ("max-head-bytes",
             too_large(fields(more=[(f"x-{n}", "v" * 5000)
                                    for n in range(5)]))),
    "fields": ("max-headers",
               too_large(fields(more=[(f"x-{n}", "v") for n in range(50)]))),
    "continuations": ("max-head-bytes", head_without_end),
    "slow head": ("head-timeout", head_that_stalls),
    "slow body": ("body-timeout", body_that_stalls),
    "slow reader": ("body-timeout", window_that_stays_shut),
    "idle": ("http-idle-timeout", idle),
    "streams": ("max-streams", streams_of_one_that_does_not_know),
    "streams, known": ("max-streams", streams_of_one_that_knows),
    "pings": ("max-controls",
              flood(lambda n: frame(PING, 0, 0, struct.pack("!Q", n)))),
    "settings": ("max-controls", flood(lambda n: frame(SETTINGS, 0, 0))),
    "empty data": ("max-controls", data_without_bytes),
    "priorities": ("max-controls",
                   flood(lambda n: frame(2, 0, 1, b"\0\0\0\0\x10"))),
}
# A link's head may be larger by what a proxy adds; it is never idle with the
# settings above, and who resets much is many clients.
OF_LINKS = [k for k in HTTP2 if k not in ("idle", "head", "fields")]


@pytest.mark.parametrize("what", HTTP2)
def test_http2_client(limited, what):
    limit, act = HTTP2[what]
    with Plain(limited.front) as client:
        counts(limited.outbound, "outbound", limit, lambda: act(client))


@pytest.mark.parametrize("what", OF_LINKS)
def test_peer_of_a_link(limited, what):
    limit, act = HTTP2[what]
    with Link(limited.inbound_mesh, limited.certs) as link:
        counts(limited.inbound, "inbound", limit, lambda: act(link))


def resets(client):
    client.begin()
    client.flood(lambda n: client.head(1 + 2 * n) + reset(1 + 2 * n), 5000)
    assert client.is_cut_or_told()


def test_resets(limited):
    with Plain(limited.front) as client:
        counts(limited.outbound, "outbound", "max-resets",
               lambda: resets(client))
    with Link(limited.inbound_mesh, limited.certs) as link:
        counts(limited.inbound, "inbound", "max-resets", lambda: resets(link))


def test_application_with_a_large_head(pair):
    with App(lambda _: response(fields=[("X", "v" * 9000)])) as app, \
            pair(app, inbound__max_head_bytes="4Ki") as p:
        counts(p.inbound, "inbound", "max-head-bytes",
               lambda: refused_by_app(p.front))


def refused_by_app(to):
    with connect(to) as c:
        c.send(request())
        assert read_response(c).fault == "upstream-head-too-large"


# --- links -------------------------------------------------------------------

def test_handshake_that_stalls(limited):
    def act():
        with connect(limited.inbound_mesh) as c:
            c.send(b"\x16\x03\x01\x02\x00\x01")  # of a ClientHello
            ends(c)
    counts(limited.inbound, "inbound", "handshake-timeout", act)


def test_peer_that_is_silent(pair):
    with App() as app, pair(app, outbound__link_ping="300ms",
                            outbound__link_dead="1s") as p, \
            connect(p.front) as c:
        c.send(request())
        assert read_response(c).status == 200
        with stopped(p.inbound.program.process):
            counts(p.outbound, "outbound", "link-dead", lambda: None)


# --- opaque connections ------------------------------------------------------

def test_opaque_connection_that_rests(pair):
    with App() as app, pair(app, app_protocol="tcp",
                            outbound__tcp_idle_timeout="500ms") as p, \
            connect(p.front) as c:
        c.send(b"GET / ")
        counts(p.outbound, "outbound", "tcp-idle-timeout", lambda: ends(c))


def test_names_are_those_of_settings(limited):
    """Of each limit an operator finds the setting by its name."""
    status, page = limited.outbound.get("/config")
    assert status == 200
    for _, limit in hits(limited.outbound):
        assert limit == "descriptors" or f"{limit.replace('-', '_')}" in page \
            or limit in page, limit


