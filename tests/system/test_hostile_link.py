# SPDX-License-Identifier: Apache-2.0
"""A peer with a good certificate that abuses the link. Whatever it does: the
proxy lives, others are served meanwhile, memory stays bounded."""
import contextlib
import socket
import ssl
import struct
import threading

import pytest

from peers.abuse import (BAD_HEADS, BROKEN, FLOODS, GROWTH, HARMLESS, abuse,
                         head_in_pieces, refused)
from peers.h2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM,
                      GOAWAY, HEADERS, INITIAL_WINDOW, MAGIC, PING,
                      RST_STREAM, Link, fields, frame, reset, tls_client,
                      window_update)
from peers.http1 import App, ask, read_head, response
from peers.server import Server
from peers.traffic import Traffic
from peers.wire import Ended, connect

HUGE = 64 << 20


def large_or_small(wire):
    """GET /large never ends by itself; anything else is small."""
    while True:
        if read_head(wire).target == "/large":
            wire.send(b"HTTP/1.1 200 Fine\r\nContent-Length: %d\r\n\r\n"
                      % HUGE)
            for _ in range(HUGE >> 16):
                wire.send(b"x" * 65536)
        else:
            wire.send(response(body=b"ok\n"))


@pytest.fixture
def abused(pair):
    """abused(script, growth=..., **settings): a link to a pair's inbound proxy
    while others use it; what must hold is asserted at the end."""
    @contextlib.contextmanager
    def make(script=None, growth=GROWTH, **settings_of_proxies):
        app = Server(script) if script else App()
        with abuse(pair, app, lambda p: Link(p.inbound_mesh, p.certs),
                   lambda p: Traffic(p.front, keep=False, pause=0.02),
                   growth, **settings_of_proxies) as link:
            yield link
    return make


def test_polite_peer(abused):
    """Or the tests below would prove nothing."""
    with abused() as link:
        link.begin()
        for stream in (1, 3, 5):
            link.send(link.head(stream))
            assert link.answer(stream)[0::2] == (200, b"ok\n")
        link.send(frame(PING, 0, 0, b"8 bytes!"))
        link.until_frame(lambda f: f.kind == PING and f.flags & ACK)
        assert not link.cut


# --- windows -----------------------------------------------------------------

def test_windows_that_never_open(abused):
    """100 downloads that nobody reads."""
    with abused(large_or_small, body_timeout="2s",
                growth=48 << 20) as link:
        link.begin({INITIAL_WINDOW: 0}, window=0)
        link.send(b"".join(link.head(1 + 2 * n, fields(path="/large"))
                           for n in range(100)))
        # They wait for windows, until the proxy gives them up.
        ended = set()
        while len(ended) < 100:
            try:
                f = link.until_frame(lambda g: g.kind in (RST_STREAM, GOAWAY))
            except (Ended, OSError):
                break
            ended.add(f.stream)
        assert ended or link.is_cut()


def test_windows_of_one_byte(abused):
    with abused(large_or_small) as link:
        link.begin({INITIAL_WINDOW: 1}, window=0)
        link.send(link.head(1, fields(path="/large")))
        for _ in range(500):
            link.until_frame(lambda f: f.kind == DATA)
            link.send(window_update(1, 1))


def test_windows_that_overflow(abused):
    with abused() as link:
        link.begin(window=(1 << 31) - 1 - 65535)
        link.send(window_update(0, (1 << 31) - 1))
        assert link.is_cut_or_told()


def test_windows_that_grow_by_nothing(abused):
    with abused() as link:
        link.begin().send(window_update(0, 0))
        assert link.is_cut_or_told()


def test_data_beyond_the_window(abused):
    """An upload that asks nobody, to an app that does not read: the stream is
    reset, or the link cut."""
    def play(wire):
        if read_head(wire).method == "POST":
            wire.sock.settimeout(20)
            wire.sock.recv(1, socket.MSG_PEEK)
            stalled.wait(20)
        else:
            wire.send(response(body=b"ok\n", fields=[("Connection",
                                                      "close")]))

    stalled = threading.Event()
    with abused(play) as link:
        link.begin()
        piece = frame(DATA, 0, 1, b"x" * 16384)
        opened = link.head(1, fields("POST"), end=False)
        link.flood(lambda n: piece if n else opened, 4096)
        link.is_cut(1)
        stalled.set()
        assert link.cut or link.goaway or 1 in link.resets


# --- floods ------------------------------------------------------------------

def test_flood_of_opens(abused):
    """Beyond the limit they are refused; those that wait cost little."""
    with abused(max_streams="100") as link:
        link.begin()
        link.flood(lambda n: link.head(1 + 2 * n, fields("POST"), end=False),
                   5000)


def test_flood_of_requests(abused):
    with abused() as link:
        link.begin()
        link.flood(lambda n: link.head(1 + 2 * n), 3000)


def test_rapid_reset(abused):
    """Open and reset: cut soon after the budget of resets is spent."""
    with abused() as link:
        link.begin()
        link.flood(
            lambda n: link.head(1 + 2 * n) + reset(1 + 2 * n), 20000)
        assert link.is_cut_or_told()


def test_resets_that_we_are_made_to_send(abused):
    """Errors of streams that make the proxy reset them: the same budget."""
    with abused() as link:
        link.begin()
        sent = link.flood(
            lambda n: link.head(1 + 2 * n, fields("POST"), end=False)
            + window_update(1 + 2 * n, 0), 20000)
        assert link.is_cut_or_told()
        assert sent < 20000


@pytest.mark.parametrize("kind", FLOODS)
def test_flood_of_control_frames(abused, kind):
    with abused() as link:
        link.begin()
        link.flood(FLOODS[kind], 50000)
        assert link.is_cut_or_told()


@pytest.mark.parametrize("kind", HARMLESS)
def test_flood_of_frames_that_ask_nothing(abused, kind):
    with abused() as link:
        link.begin()
        link.flood(HARMLESS[kind], 50000)


def test_flood_of_empty_data(abused):
    def play(wire):
        if read_head(wire).method == "POST":
            wire.to_end()
        else:
            wire.send(response(body=b"ok\n", fields=[("Connection",
                                                      "close")]))

    with abused(play) as link:
        link.begin().send(link.head(1, fields("POST"), end=False))
        link.flood(lambda n: frame(DATA, 0, 1), 50000)
        assert link.is_cut_or_told()


def test_flood_of_continuations(abused):
    """A head that never ends."""
    with abused() as link:
        link.begin().send(frame(HEADERS, END_STREAM, 1,
                                link.encoder.encode(fields())))
        more = frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 2000)
        link.flood(lambda n: more, 5000)
        assert link.is_cut_or_told()


def test_flood_of_empty_continuations(abused):
    with abused() as link:
        link.begin().send(frame(HEADERS, END_STREAM, 1,
                                link.encoder.encode(fields())))
        link.flood(lambda n: frame(CONTINUATION, 0, 1), 20000)
        assert link.is_cut_or_told()


# --- heads -------------------------------------------------------------------

@pytest.mark.parametrize("more", [
    [("x-large", "v" * 200000)],
    [(f"x-{n}", "v" * 100) for n in range(1500)],
], ids=["one field", "many fields"])
def test_huge_head(abused, more):
    with abused() as link:
        link.begin().send(head_in_pieces(link, 1, fields(more=more)))
        assert refused(link, 1)
        assert all(m.target == "/" and not m.all("x-large")
                   for m in link.app.requests)


def test_small_head_that_unpacks_to_a_huge_one(abused):
    """4 KB in the table, named thousands of times: the limit is on what comes
    out."""
    with abused() as link:
        link.begin()
        link.send(link.head(1, fields(more=[("x-bomb", "v" * 3900)])))
        assert link.answer(1)[0] == 200
        bomb = link.encoder.encode(fields()) + b"\xbe" * 15000
        link.flood(lambda n: frame(HEADERS, END_HEADERS | END_STREAM,
                                   3 + 2 * n, bomb), 50)
        assert not [m for m in link.app.requests
                    if len(m.all("x-bomb")) > 1]


def test_broken_compression(abused):
    with abused() as link:
        link.begin().send(frame(HEADERS, END_HEADERS | END_STREAM, 1,
                                b"\xff\xff\xff\xff\xff\xff\xff"))
        assert link.is_cut_or_told()


@pytest.mark.parametrize("twist", BAD_HEADS)
def test_heads_that_would_split_a_request(abused, twist):
    """HTTP/2 can carry what HTTP/1 cannot: none of it reaches the app."""
    with abused() as link:
        link.begin().send(link.head(1, BAD_HEADS[twist]))
        try:
            status, _, _ = link.answer(1)
            assert status >= 400 or twist == "authority against host"
        except (Ended, OSError):
            pass
        for m in link.app.requests:
            assert not m.all("x-evil") and m.target == "/"
            assert len(m.all("host")) == 1
            assert m.get("host") != "other"


def test_body_that_lies_about_its_length(abused):
    def play(wire):
        m = read_head(wire)
        if m.method == "POST":
            assert len(wire.to_end()) <= 10
        else:
            wire.send(response(body=b"ok\n", fields=[("Connection",
                                                      "close")]))

    with abused(play) as link:
        link.begin().send(
            link.head(1, fields("POST", more=[("content-length", "10")]),
                      end=False)
            + frame(DATA, END_STREAM, 1, b"x" * 100))
        assert refused(link, 1)


# --- order -------------------------------------------------------------------

@pytest.mark.parametrize("kind", BROKEN)
def test_broken_frames(abused, kind):
    with abused() as link:
        link.send(BROKEN[kind])
        assert link.is_cut_or_told()


def test_frame_between_head_and_continuation(abused):
    with abused() as link:
        link.begin().send(frame(HEADERS, END_STREAM, 1,
                                link.encoder.encode(fields()))
                          + frame(PING, 0, 0, bytes(8)))
        assert link.is_cut_or_told()


# --- stalls ------------------------------------------------------------------

def test_frame_that_breaks_off(abused):
    with abused() as link:
        link.begin().send(link.head(1, fields("POST"), end=False)
                          + frame(DATA, 0, 1, b"x" * 16000)[:100])


def test_frame_that_stalls(abused):
    """Pings go unanswered: the link is dead."""
    with abused(link_ping="300ms", link_dead="1s") as link:
        link.begin().send(frame(DATA, 0, 1, b"x" * 16000)[:100])
        assert link.is_cut()


def test_peer_that_falls_silent(abused):
    with abused(link_ping="300ms", link_dead="1s") as link:
        link.begin()
        assert link.is_cut()


def test_link_without_streams_is_let_go(abused):
    with abused(link_idle="500ms") as link:
        link.begin()
        assert link.is_cut()


def test_preface_that_stalls(abused):
    with abused(link_ping="300ms", link_dead="1s", link_idle="1s",
                handshake_timeout="1s") as link:
        link.send(MAGIC[:10])
        assert link.is_cut()


def client_hello(certs):
    """The first flight of a peer, which could go on and does not."""
    out = ssl.MemoryBIO()
    tls = tls_client(certs).wrap_bio(ssl.MemoryBIO(), out)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_handshakes_that_stall(abused, share):
    """200 handshakes that begin (with nothing, half a ClientHello, or a whole
    one) and never end keep nobody out."""
    with abused(strict=True, handshake_timeout="1s") as link:
        hello = client_hello(link.pair.certs)
        held = [connect(link.pair.inbound_mesh) for _ in range(200)]
        for c in held:
            c.send(hello[:int(len(hello) * share)])
        assert ask(link.pair.front).status == 200
        for c in held:
            assert c.how_it_ends() in ("fin", "reset")
            c.close()


def test_peer_that_does_not_read(abused):
    """It asks for answers to pings and settings and never takes one."""
    with abused(link_ping="300ms", link_dead="1s") as link:
        link.begin()
        link.sock.settimeout(5)
        try:
            for n in range(200000):
                link.send(frame(PING, 0, 0, struct.pack("!Q", n)) * 100)
        except OSError:
            pass
        assert link.is_cut()
