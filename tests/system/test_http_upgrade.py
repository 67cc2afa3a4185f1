# SPDX-License-Identifier: Apache-2.0
"""Upgrade: after 101 a connection is bytes both ways, whatever is spoken."""
import base64
import hashlib
import threading

import pytest

from peers.h2 import GOAWAY, SETTINGS
from peers.h2 import frame as frame2
from peers.http1 import (CHUNKED, App, ask, chunk, chunked, read_body,
                         read_head, read_request, read_response, request,
                         response)
from peers.server import Server, shout
from peers.wire import connect

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = base64.b64encode(bytes(range(16))).decode()
ASKED = [("Connection", "Upgrade"), ("Upgrade", "websocket"),
         ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")]


def accept(key):
    return base64.b64encode(
        hashlib.sha1(key.encode() + MAGIC).digest()).decode()


def frame(payload, opcode=1, mask=None):
    """A WebSocket frame of less than 126 bytes."""
    head = bytes([0x80 | opcode, len(payload) | (0x80 if mask else 0)])
    if not mask:
        return head + payload
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def read_frame(wire):
    first, length = wire.exactly(2)
    mask = wire.exactly(4) if length & 0x80 else bytes(4)
    data = wire.exactly(length & 0x7f)
    return first & 0x0f, bytes(b ^ mask[i % 4] for i, b in enumerate(data))


def websocket_app(wire):
    m = read_request(wire)
    assert m.get("upgrade").lower() == "websocket"
    assert "upgrade" in m.get("connection").lower()
    wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
              b"Upgrade: websocket\r\nSec-WebSocket-Accept: "
              + accept(m.get("sec-websocket-key")).encode() + b"\r\n\r\n"
              + frame(b"hello"))
    while True:
        opcode, data = read_frame(wire)
        wire.send(frame(data, opcode))
        if opcode == 8:
            return


def upgrade(wire, first=b""):
    wire.send(request(fields=ASKED) + first)
    head = read_head(wire)
    assert head.status == 101
    assert head.get("upgrade").lower() == "websocket"
    assert "upgrade" in head.get("connection").lower()
    assert head.get("sec-websocket-accept") == accept(KEY)


def test_websocket(pair):
    with Server(websocket_app) as app, pair(app) as p, connect(p.front) as c:
        upgrade(c)
        assert read_frame(c) == (1, b"hello")
        for n in range(100):
            c.send(frame(b"%d" % n, mask=b"abcd"))
            assert read_frame(c) == (1, b"%d" % n)
        c.send(frame(b"\x03\xe8", 8, b"abcd"))
        assert read_frame(c) == (8, b"\x03\xe8")
        assert c.to_end() == b""


def test_client_that_does_not_wait(pair):
    """Bytes right behind the request reach the app after its 101."""
    with Server(websocket_app) as app, pair(app) as p, connect(p.front) as c:
        upgrade(c, first=frame(b"eager", mask=b"abcd"))
        assert read_frame(c) == (1, b"hello")
        assert read_frame(c) == (1, b"eager")


def test_half_close_after_upgrade(pair):
    def play(wire):
        read_request(wire)
        wire.send(b"HTTP/1.1 101 Switching Protocols\r\n"
                  b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        asked = wire.to_end()
        wire.send(b"you said " + asked)

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request(fields=ASKED))
        assert read_head(c).status == 101
        c.send(b"goodbye")
        c.half_close()
        assert c.to_end() == b"you said goodbye"


def test_app_resets_after_upgrade(pair):
    def play(wire):
        read_request(wire)
        wire.send(b"HTTP/1.1 101 Switching Protocols\r\n"
                  b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        wire.exactly(4)
        wire.reset()

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request(fields=ASKED))
        assert read_head(c).status == 101
        c.send(b"bang")
        assert c.how_it_ends() == "reset"


def test_refused_upgrade_is_an_answer(pair):
    with App(lambda m: response(426, body=b"no")) as app, pair(app) as p, \
            connect(p.front) as c:
        c.send(request(fields=ASKED))
        assert read_head(c).status == 426
        assert c.exactly(2) == b"no"
        c.send(request())  # and the connection is HTTP as before
        assert read_head(c).status == 426


# --- any protocol ------------------------------------------------------------

def asking(protocol):
    return [("Connection", "Upgrade"), ("Upgrade", protocol)]


def granting(protocol, fields=()):
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade",
             f"Upgrade: {protocol}", *(f"{k}: {v}" for k, v in fields)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def foo_app(asked):
    """Grants the first of foo/2 and bar; other requests get an answer."""
    def play(wire):
        while True:
            m = read_request(wire)
            asked.append(m)
            offered = [s.strip() for s in (m.get("upgrade") or "").split(",")]
            took = [s for s in offered if s in ("foo/2", "bar")]
            if not took:
                wire.send(response(body=b"plain"))
                continue
            assert "upgrade" in m.get("connection").lower()
            wire.send(granting(took[0], [("X-Hello", "there")]) + b"HELLO\n")
            shout(wire)
    return play


def converse(wire):
    assert wire.until(b"\n") == b"HELLO\n"
    for n in range(20):
        wire.send(b"line %d\n" % n)
        assert wire.until(b"\n") == b"LINE %d\n" % n


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "BREW"])
def test_any_protocol(front, method):
    asked = []
    with Server(foo_app(asked)) as app, connect(front(app)) as c:
        c.send(request(method, "/there?x=1", asking("foo/2")))
        m = read_head(c)
        assert m.status == 101
        assert m.get("upgrade") == "foo/2"
        assert m.get("connection").lower() == "upgrade"
        assert m.get("x-hello") == "there"
        converse(c)
        assert (asked[0].method, asked[0].target) == (method, "/there?x=1")
        assert asked[0].get("upgrade") == "foo/2"
        assert not [k for k, _ in asked[0].fields
                    if k.startswith("tulle-upgrade")]


def test_app_picks_one_of_several(front):
    asked = []
    with Server(foo_app(asked)) as app, connect(front(app)) as c:
        c.send(request(fields=asking("baz, bar, foo/1")))
        m = read_head(c)
        assert (m.status, m.get("upgrade")) == (101, "bar")
        converse(c)
        assert asked[0].get("upgrade") == "baz, bar, foo/1"


def test_early_bytes_of_any_protocol(front):
    """They wait for the 101, and are never read as a request."""
    go = threading.Event()

    def play(wire):
        read_head(wire)
        assert wire.is_quiet(0.3)
        go.set()
        wire.send(granting("foo/2"))
        assert wire.exactly(28) == b"GET /smuggled HTTP/1.1\r\n\r\nab"
        wire.send(b"done")

    with Server(play) as app, connect(front(app)) as c:
        c.send(request(fields=asking("foo/2"))
               + b"GET /smuggled HTTP/1.1\r\n\r\n")
        assert go.wait(10)
        c.send(b"ab")
        assert read_head(c).status == 101
        assert c.exactly(4) == b"done"


@pytest.mark.parametrize("answer", [
    response(426, asking("foo/3"), b"newer"),
    response(200, body=b"plain"),
    response(403, body=b"never"),
    response(204),
    b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunked(b"plain")], ids=["426", "200", "403", "204", "chunked"])
@pytest.mark.parametrize("body", [b"", b"a body"], ids=["empty", "body"])
def test_upgrade_that_is_not_granted(front, answer, body):
    """An answer like any other; what follows is the next request."""
    with App(lambda m: answer) as app:
        with connect(front(app)) as c:
            ask_it = request("POST", fields=asking("foo/2"), body=body)
            c.send(ask_it + request("GET", "/next"))
            for _ in range(2):
                r = read_response(c)
                assert r.status == int(answer.split()[1])
                if r.status == 426:
                    assert r.get("upgrade") == "foo/3"
            c.send(ask_it)
            read_response(c)
        assert [m.target for m in app.requests] == ["/", "/next", "/"]
        assert app.requests[0].body == body
        assert app.accepted <= 2  # connections are used again


@pytest.mark.parametrize("coding", ["sized", "chunked"])
@pytest.mark.parametrize("size", [5, 300000])
def test_upgrade_with_a_body(front, coding, size):
    """The request to its end, then the tunnel."""
    body = bytes(n * 7 % 251 for n in range(size))

    def play(wire):
        m = read_request(wire)
        assert m.body == body
        assert (m.get("content-length") is None) == (coding == "chunked")
        wire.send(granting("foo/2") + b"HELLO\n")
        shout(wire)

    with Server(play) as app, connect(front(app)) as c:
        if coding == "sized":
            c.send(request("POST", fields=asking("foo/2"), body=body))
        else:
            c.send(request("POST", fields=[*asking("foo/2"), CHUNKED])
                   + chunked(body[:3], body[3:]))
        assert read_head(c).status == 101
        converse(c)
        c.half_close()
        assert c.to_end() == b""


def test_upgrade_granted_before_the_body_has_come(front):
    """The app switches at once; the client ends its request first."""
    def play(wire):
        m = read_head(wire)
        wire.send(granting("foo/2") + b"HELLO\n")
        assert read_body(wire, m).body == b"first second"
        shout(wire)

    with Server(play) as app, connect(front(app)) as c:
        c.send(request("POST", fields=[*asking("foo/2"), CHUNKED])
               + chunk(b"first "))
        assert read_head(c).status == 101
        c.send(chunk(b"second") + b"0\r\n\r\n")
        converse(c)


def test_upgrade_that_expects_100(front):
    def play(wire):
        m = read_head(wire)
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert read_body(wire, m).body == b"body"
        wire.send(granting("foo/2") + b"HELLO\n")
        shout(wire)

    with Server(play) as app, connect(front(app)) as c:
        c.send(request("POST", fields=[*asking("foo/2"),
                                       ("Expect", "100-continue"),
                                       ("Content-Length", "4")]))
        assert read_head(c).status == 100
        c.send(b"body")
        assert read_head(c).status == 101
        converse(c)


def test_upgrade_needs_both_fields_and_http_1_1(front):
    asked = []
    with Server(foo_app(asked)) as app:
        to = front(app)
        r = ask(to, fields=[("Upgrade", "foo/2")])
        assert r.body == b"plain"
        with connect(to) as c:
            c.send(request(fields=asking("foo/2"), version="1.0"))
            assert read_response(c).body == b"plain"
        assert [m.get("upgrade") for m in asked] == [None, None]


@pytest.mark.parametrize("offer", [ASKED, asking("foo/2")],
                         ids=["websocket", "foo"])
def test_app_that_speaks_only_http2(pair, offer):
    """It is asked in HTTP/1.1, and answers as to any wrong preface."""
    came = []

    def play(wire):
        came.append(wire.until(b"\r\n"))
        wire.send(frame2(SETTINGS, 0, 0) + frame2(GOAWAY, 0, 0, bytes(7) + b"\1"))
        wire.half_close()
        wire.to_end()

    with Server(play) as app, pair(app, app_protocol="http2") as p, \
            connect(p.front) as c:
        c.send(request(fields=offer))
        r = read_response(c)
        assert (r.status, r.fault) == (502, "upstream-protocol")
        assert came == [b"GET / HTTP/1.1\r\n"]


# --- those that hide requests ------------------------------------------------

@pytest.mark.parametrize("protocol", ["h2c", "H2C", "h2", "TLS/1.2",
                                      "HTTP/2.0", "h2c, TLS/1.0", "h2c-14"])
def test_no_upgrade_to_http_or_tls(front, protocol):
    """They are not offered to apps: requests would pass unseen. The request is
    answered as it is."""
    def answer(m):
        return response(body=f"{m.get('upgrade')} {m.get('http2-settings')} "
                             f"{m.get('connection')}".encode())

    with App(answer) as app, connect(front(app)) as c:
        for _ in range(2):
            c.send(request(fields=[
                ("Connection", "Upgrade, HTTP2-Settings"),
                ("Upgrade", protocol), ("HTTP2-Settings", "AAMAAABkAAQ")]))
            r = read_response(c)
            assert (r.status, r.body) == (200, b"None None None")


def test_others_are_offered_beside_h2c(front):
    asked = []
    with Server(foo_app(asked)) as app, connect(front(app)) as c:
        c.send(request(fields=asking("h2c, foo/2")))
        m = read_head(c)
        assert (m.status, m.get("upgrade")) == (101, "foo/2")
        assert asked[0].get("upgrade") == "foo/2"
        converse(c)


def test_app_that_grants_h2c_is_not_believed(front):
    """Nobody asked for that."""
    with App(lambda m: granting("h2c") + b"PRI * HTTP/2.0") as app, \
            connect(front(app)) as c:
        c.send(request(fields=asking("h2c, foo/2")))
        r = read_response(c)
        assert r.status == 502
        assert r.fault
