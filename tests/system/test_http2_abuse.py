# SPDX-License-Identifier: Apache-2.0
"""Clients that abuse HTTP/2 without TLS at the outbound proxy, as those of
test_hostile_link.py do at the mesh port. Whatever they do: the proxies live,
others are served meanwhile, memory stays bounded, and what is wrong never
reaches the application."""
import contextlib

import pytest

from peers.abuse import (BAD_HEADS, BROKEN, FLOODS, GROWTH, HARMLESS, POLITE,
                         abuse, head_in_pieces, refused)
from peers.h2 import (ACK, CONTINUATION, DATA, END_STREAM, HEADERS,
                      INITIAL_WINDOW, MAGIC, PING, REFUSED_STREAM, RST_STREAM,
                      SETTINGS, Plain, fields, frame, reset, settings,
                      window_update)
from peers.h2app import Answer, H2App
from peers.process import growth_below
from peers.server import Server
from peers.traffic import Traffic2
from peers.wire import Ended, connect
from programs import wait_until

PROTOCOL_ERROR = 1
LARGE = b"0123456789abcdef" * (1 << 18)  # 4 MiB
POLITE_PATH = "/polite"


def large_or_small(request):
    return Answer(body=LARGE if request.target == "/large" else b"ok\n")


@pytest.fixture
def abused(pair):
    """abused(answer, growth=..., **settings): a client of a pair's outbound
    proxy, on a port of which nothing is declared, while others use it."""
    @contextlib.contextmanager
    def make(answer=large_or_small, growth=GROWTH, **settings_of_proxies):
        with abuse(pair, H2App(answer), lambda p: Plain(p.front),
                   lambda p: Traffic2(p.front, POLITE_PATH, pause=0.02),
                   growth, **settings_of_proxies) as client:
            yield client
    return make


def reached(client):
    """Requests in the application that are not of the polite."""
    return [r for r in client.app.requests if r.target != POLITE_PATH]


def lives_on(client, stream):
    """The connection does: the next request is answered."""
    client.send(client.head(stream))
    return client.answer(stream)[0::2] == (200, b"ok\n")


def test_polite_client(abused):
    """Or the tests below would prove nothing."""
    with abused() as client:
        client.begin()
        assert all(lives_on(client, stream) for stream in (1, 3, 5))
        client.send(frame(PING, 0, 0, b"8 bytes!"))
        client.until_frame(lambda f: f.kind == PING and f.flags & ACK)
        assert len(reached(client)) == 3
        assert not client.cut


# --- floods ------------------------------------------------------------------

def test_rapid_reset(abused):
    """Cut soon after the budget of resets is spent; few of so many get
    through."""
    with abused() as client:
        client.begin()
        client.flood(
            lambda n: client.head(1 + 2 * n) + reset(1 + 2 * n), 20000)
        assert client.is_cut_or_told()
        assert len(reached(client)) < 2000


@pytest.mark.parametrize("kind", FLOODS)
def test_flood_of_control_frames(abused, kind):
    with abused() as client:
        client.begin()
        client.flood(FLOODS[kind], 50000)
        assert client.is_cut_or_told()


@pytest.mark.parametrize("kind", HARMLESS)
def test_flood_of_frames_that_ask_nothing(abused, kind):
    with abused() as client:
        client.begin()
        client.flood(HARMLESS[kind], 50000)


def test_flood_of_empty_data(abused):
    with abused() as client:
        client.begin().send(client.head(1, fields("POST"), end=False))
        client.flood(lambda n: frame(DATA, 0, 1), 50000)
        assert client.is_cut_or_told()
        assert not reached(client)


@pytest.mark.parametrize("more", [b"\x00\x01a\x01b" * 2000, b""],
                         ids=["full", "empty"])
def test_flood_of_continuations(abused, more):
    """A head that never ends."""
    with abused() as client:
        client.begin().send(frame(HEADERS, END_STREAM, 1,
                                  client.encoder.encode(fields())))
        client.flood(lambda n: frame(CONTINUATION, 0, 1, more), 20000)
        assert client.is_cut_or_told()
        assert not reached(client)


@pytest.mark.parametrize("kind", [k for k in BROKEN
                                  if BROKEN[k].startswith(MAGIC)])
def test_broken_frames(abused, kind):
    with abused() as client:
        client.send(BROKEN[kind])
        assert client.is_cut_or_told()
        assert not reached(client)


# --- limits ------------------------------------------------------------------

@pytest.mark.parametrize("more", [
    [(f"x-{n}", "v" * 600) for n in range(90)],
    [(f"x-{n}", "v") for n in range(150)],
], ids=["much", "many"])
def test_large_head(abused, more):
    with abused(max_head_bytes="32Ki") as client:
        client.begin().send(head_in_pieces(client, 1, fields(more=more)))
        assert client.answer(1)[0] == 431
        assert not reached(client)
        assert lives_on(client, 3)


def test_huge_head(abused):
    with abused() as client:
        client.begin().send(head_in_pieces(
            client, 1, fields(more=[("x-large", "v" * 200000)])))
        assert refused(client, 1)
        assert not reached(client)


def test_too_many_streams(abused):
    """Of a client that has not heard of the limit yet: those within it go
    on."""
    with abused(max_streams="10") as client:
        client.begin(agree=False)
        client.send(b"".join(client.head(1 + 2 * n, fields("POST"), end=False)
                             for n in range(30)))
        while len(client.resets) < 20:
            client.read_frame()
        assert client.resets == {1 + 2 * n: REFUSED_STREAM
                                 for n in range(10, 30)}
        client.send(frame(DATA, END_STREAM, 1, b"x"))
        assert client.answer(1)[0] == 200
        assert [r.body for r in reached(client)] == [b"x"]


def test_too_many_streams_of_one_that_knows(abused):
    with abused(max_streams="10") as client:
        client.begin()
        client.flood(lambda n: client.head(1 + 2 * n, fields("POST"),
                                           end=False), 2000)
        assert client.is_cut_or_told() or client.resets
        assert not reached(client)


# --- windows -----------------------------------------------------------------

def ask_and_never_read(client, count):
    """For 4 MiB, so often: what comes as far as the proxies is no more than the
    window of the connection to the application, 16 MiB."""
    client.begin({INITIAL_WINDOW: 0}, window=0)
    client.send(b"".join(client.head(1 + 2 * n, fields(path="/large"))
                         for n in range(count)))


def test_windows_that_never_open(abused):
    """The proxy gives them up."""
    with abused(body_timeout="1s", growth=40 << 20) as client:
        ask_and_never_read(client, 16)
        while len(client.resets) < 16:
            client.until_frame(lambda f: f.kind == RST_STREAM)
        client.send(settings({INITIAL_WINDOW: 65535}))
        assert lives_on(client, 33)


def test_windows_that_never_open_keep_nobody_out(pair):
    """Who comes later does not share what they fill."""
    with H2App(large_or_small) as app, pair(app) as p, \
            growth_below(GROWTH, p.outbound.pid, p.inbound.pid), \
            Plain(p.front) as client:
        ask_and_never_read(client, 60)
        for _ in range(60):
            client.until_frame(lambda f: f.kind == HEADERS)
        before = None
        while app.sent != before:  # until no more of it goes anywhere
            before = app.sent
            assert client.is_quiet(0.3)
        with Traffic2(p.front) as polite:
            polite.wait(50)
        assert polite.slowest < POLITE
        assert not client.cut and not client.resets


def test_windows_that_close_again(abused):
    """All windows go to nothing and back, again and again: nothing is lost."""
    with abused() as client:
        client.begin({INITIAL_WINDOW: 0})
        client.send(client.head(1, fields(path="/large")))
        got, changes, size = b"", 0, 0
        while len(got) < len(LARGE):
            if changes < 200:
                changes, size = changes + 1, size ^ 65535
            else:  # enough: now let all of it come
                changes, size = changes + 1, 1 << 24
            if changes <= 201:
                client.send(settings({INITIAL_WINDOW: size}))
            f = client.until_frame(
                lambda f: f.kind == DATA or f.kind == RST_STREAM
                or f.kind == SETTINGS and f.flags & ACK)
            assert f.kind != RST_STREAM
            got += f.payload if f.kind == DATA else b""
        assert got == LARGE


def test_windows_that_overflow(abused):
    with abused() as client:
        client.begin(window=(1 << 31) - 1 - 65535)
        client.send(window_update(0, (1 << 31) - 1))
        assert client.is_cut_or_told()


def test_window_of_a_stream_that_overflows(abused):
    with abused(lambda r: Answer(after=0 if r.target == POLITE_PATH else 5)) \
            as client:
        client.begin().send(client.head(1) + window_update(1, (1 << 31) - 1))
        client.until_frame(lambda f: f.kind == RST_STREAM and f.stream == 1)


# --- silence -----------------------------------------------------------------

def test_half_a_preface(pair):
    """To a port of which nothing is declared it may be any protocol: the
    application gets it, soon, and its word ends it."""
    came = []

    def play(wire):
        came.append(wire.exactly(10))
        wire.send(b"not mine")

    with Server(play) as app, pair(app) as p, connect(p.front) as client:
        client.send(MAGIC[:10])
        assert client.to_end() == b"not mine"
        assert came == [MAGIC[:10]]


def test_half_a_preface_to_http2(pair):
    with H2App() as app, \
            pair(app, app_protocol="http2", head_timeout="1s") as p, \
            connect(p.front) as client:
        client.send(MAGIC[:10])
        assert client.how_it_ends() in ("fin", "reset")
        assert not app.opened


@pytest.mark.parametrize("more", [b"", frame(CONTINUATION, 0, 1, b"")],
                         ids=["alone", "continued"])
def test_head_that_stalls(abused, more):
    with abused(head_timeout="1s") as client:
        client.begin().send(frame(HEADERS, END_STREAM, 1,
                                  client.encoder.encode(fields())) + more)
        assert client.is_cut()
        assert not reached(client)


def test_frame_that_stalls(abused):
    """A head's frame of which half has come."""
    with abused(head_timeout="1s") as client:
        client.begin().send(client.head(1, fields(
            more=[("x-a", "b" * 1000)]))[:100])
        assert client.is_cut()
        assert not reached(client)


def test_upload_that_stalls(abused):
    with abused(body_timeout="1s") as client:
        client.begin().send(client.head(1, fields("POST"), end=False)
                            + frame(DATA, 0, 1, b"x" * 100))
        client.until_frame(lambda f: f.stream == 1)  # a word of its end
        wait_until("the application is told", lambda: client.app.resets, 10)
        assert not reached(client)
        assert lives_on(client, 3)


def test_connection_without_a_request(abused):
    with abused(http_idle_timeout="1s", head_timeout="1s") as client:
        client.begin()
        assert client.is_cut()


# --- heads -------------------------------------------------------------------

OF_CLIENTS = {
    "te": fields(more=[("te", "gzip")]),
    "keep-alive": fields(more=[("keep-alive", "timeout=5")]),
    "proxy-connection": fields(more=[("proxy-connection", "keep-alive")]),
    "upgrade": fields(more=[("upgrade", "websocket")]),
    "empty path": fields(path=""),
    "path that is none": fields(path="evil"),
    "path of a URL": fields(path="http://evil/"),
    "star for GET": fields(path="*"),
    "path twice": [(":path", "/evil"), *fields()],
    "scheme twice": [(":scheme", "https"), *fields()],
    "authority twice": [(":authority", "evil"), *fields()],
    "no scheme": [f for f in fields() if f[0] != ":scheme"],
    "authority with a space": [(k, "te st" if k == ":authority" else v)
                               for k, v in fields()],
    "authority with a path": [(k, "test/evil" if k == ":authority" else v)
                              for k, v in fields()],
    "length that is none": fields("POST", more=[("content-length", "-1")]),
    "length of a sum": fields("POST", more=[("content-length", "1, 1")]),
}
WRONG = {**BAD_HEADS, **OF_CLIENTS}


@pytest.mark.parametrize("twist", WRONG)
def test_heads_that_are_wrong(abused, twist):
    """The stream alone is refused, and nobody else hears of it."""
    with abused() as client:
        client.begin().send(client.head(1, WRONG[twist]))
        refusal(client, 1)
        assert not reached(client)
        assert lives_on(client, 3)


def refusal(client, stream):
    """400, or RST_STREAM that names the reason."""
    try:
        status = client.answer(stream)[0]
        assert 400 <= status < 500, status
    except Ended:
        assert client.resets.get(stream) == PROTOCOL_ERROR, client.resets


@pytest.mark.parametrize("sent", [b"x" * 100, b"x", b""],
                         ids=["too much", "too little", "nothing"])
def test_body_that_lies_about_its_length(abused, sent):
    with abused() as client:
        client.begin().send(
            client.head(1, fields("POST", more=[("content-length", "10")]),
                        end=not sent)
            + (frame(DATA, END_STREAM, 1, sent) if sent else b""))
        refusal(client, 1)
        assert not reached(client)
        assert lives_on(client, 3)


def test_trailers_with_pseudo_fields(abused):
    with abused() as client:
        client.begin().send(
            client.head(1, fields("POST"), end=False)
            + frame(DATA, 0, 1, b"x")
            + client.head(1, [(":path", "/evil")]))
        refusal(client, 1)
        assert not reached(client)
        assert lives_on(client, 3)
