# SPDX-License-Identifier: Apache-2.0
"""Upgrade: after 101 a connection is bytes both ways."""
import base64
import hashlib

from peers.http1 import App, ask, read_head, read_request, request, response
from peers.server import Server
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


def test_h2c_upgrade_makes_no_tunnel(pair):
    """Upgrade: h2c is not offered to apps: it would hide requests."""
    with App(lambda m: response(
            body=(m.get("upgrade") or "none").encode())) as app, \
            pair(app) as p:
        r = ask(p.front, fields=[
            ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")])
        assert r.status == 200
        assert r.body == b"none"
