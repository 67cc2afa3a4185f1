# SPDX-License-Identifier: Apache-2.0
"""Opaque connections: bytes, ends and resets as without proxies."""
import hashlib
import time

import pytest

from peers.http1 import App, ask
from peers.process import Background
from peers.server import Server
from peers.wire import connect
from programs import free_ports

DETECT = 0.050  # seconds that an undeclared silent connection is looked at


@pytest.fixture(params=["tcp", None], ids=["declared", "undeclared"])
def protocol(request):
    return request.param


def echo(wire):
    while True:
        wire.send(wire.some())


def banner(wire):
    wire.send(b"220 ready\r\n")
    while True:
        wire.send(b"you said " + wire.until(b"\n"))


def first_byte(to):
    """Seconds until a server that speaks first was heard."""
    start = time.monotonic()
    with connect(to) as c:
        assert c.until(b"\r\n") == b"220 ready\r\n"
        return time.monotonic() - start


# --- who speaks first --------------------------------------------------------

def test_server_speaks_first(pair, protocol):
    limit = 0.040 + (0 if protocol else DETECT)
    with Server(banner) as app, pair(app, app_protocol=protocol) as p:
        first_byte(p.front)  # handshakes: a link costs once
        fastest = min(first_byte(p.front) for _ in range(5))
        assert fastest < limit


def test_server_speaks_first_then_talks(pair, protocol):
    with Server(banner) as app, pair(app, app_protocol=protocol) as p, \
            connect(p.front) as c:
        assert c.until(b"\r\n") == b"220 ready\r\n"
        for n in range(20):
            c.send(b"%d\n" % n)
            assert c.until(b"\n") == b"you said %d\n" % n


def test_client_speaks_first(pair, protocol):
    with Server(echo) as app, pair(app, app_protocol=protocol) as p, \
            connect(p.front) as c:
        for n in range(20):
            c.send(b"\x00\x01ping %d" % n)
            assert c.exactly(len(b"\x00\x01ping %d" % n)) == \
                b"\x00\x01ping %d" % n


def test_client_speaks_after_the_look(pair):
    """HTTP that comes late, on a stream dialled meanwhile, is HTTP still."""
    with App() as app, pair(app, detect_timeout="20ms") as p, \
            connect(p.front) as c:
        assert c.is_quiet(0.3)
        c.send(b"GET / HTTP/1.1\r\nHost: late\r\nConnection: close\r\n\r\n")
        assert c.to_end().startswith(b"HTTP/1.1 200 ")


def test_first_bytes_one_by_one(pair):
    with Server(echo) as app, pair(app) as p, connect(p.front) as c:
        c.send_slowly(b"GEX nothing of HTTP\r\n")
        assert c.exactly(21) == b"GEX nothing of HTTP\r\n"


def test_tls_of_the_app_passes(pair):
    """A ClientHello is bytes like others: TLS inside mesh TLS."""
    hello = bytes.fromhex("160301002f0100002b0303") + bytes(range(32)) + \
        bytes.fromhex("000002130101000000")
    with Server(echo) as app, pair(app) as p, connect(p.front) as c:
        c.send(hello)
        assert c.exactly(len(hello)) == hello


def test_http2_of_an_opaque_port_passes_as_it_is(pair):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + \
        bytes(5)
    with Server(echo) as app, pair(app, app_protocol="tcp") as p, \
            connect(p.front) as c:
        c.send(preface)
        assert c.exactly(len(preface)) == preface


# --- ends --------------------------------------------------------------------

def test_client_half_closes(pair, protocol):
    def play(wire):
        wire.send(b"got " + wire.to_end())

    with Server(play) as app, pair(app, app_protocol=protocol) as p, \
            connect(p.front) as c:
        c.send(b"\x00all I have")
        c.half_close()
        assert c.to_end() == b"got \x00all I have"


def test_client_half_closes_at_once(pair, protocol):
    def play(wire):
        assert wire.to_end() == b""
        wire.send(b"nothing came")

    with Server(play) as app, pair(app, app_protocol=protocol) as p, \
            connect(p.front) as c:
        c.half_close()
        assert c.to_end() == b"nothing came"


def test_server_half_closes(pair, protocol):
    heard = []

    def play(wire):
        wire.send(b"that is all")
        wire.half_close()
        heard.append(wire.to_end())

    with Server(play) as app, pair(app, app_protocol=protocol) as p, \
            connect(p.front) as c:
        assert c.to_end() == b"that is all"
        c.send(b"\x00but I go on")
        c.half_close()
        app.wait_open(0)
        assert heard == [b"\x00but I go on"]


def test_client_resets(pair, protocol):
    ends = []

    def play(wire):
        wire.send(b"hello")
        ends.append(wire.how_it_ends())

    with Server(play) as app, pair(app, app_protocol=protocol) as p:
        c = connect(p.front)
        c.send(b"\x00")
        assert c.exactly(5) == b"hello"
        c.reset()
        app.wait_open(0)
        assert ends == ["reset"]


def test_server_resets(pair, protocol):
    def play(wire):
        wire.exactly(4)
        wire.reset()

    with Server(play) as app, pair(app, app_protocol=protocol) as p, \
            connect(p.front) as c:
        c.send(b"\x00die")
        assert c.how_it_ends() == "reset"


def test_nobody_listens(pair, protocol):
    """As without proxies the connection ends; it says why in the metrics."""
    port, = free_ports(["127.0.0.1"])
    with pair(f"127.0.0.1:{port}", app_protocol=protocol) as p, \
            connect(p.front) as c:
        try:
            c.send(b"\x00\x01\x02")
            c.to_end()
        except ConnectionError:
            pass
        families = p.outbound.metrics()
        faults = [labels for name in families if "fault" in name
                  for labels, value in families[name] if value]
        assert faults


# --- many and much -----------------------------------------------------------

def test_many_connections(pair):
    """500 at once, each with its own bytes."""
    with Server(echo) as app, pair(app, app_protocol="tcp") as p:
        held = [connect(p.front, 30) for _ in range(500)]
        for n, c in enumerate(held):
            c.send(b"\x00%5d" % n)
        for n, c in enumerate(held):
            assert c.exactly(6) == b"\x00%5d" % n
        app.wait_open(500)
        for c in held:
            c.close()
        app.wait_open(0, 30)


def test_many_short_connections(pair):
    with Server(lambda w: w.send(w.exactly(3))) as app, \
            pair(app, app_protocol="tcp") as p:
        for _ in range(300):
            with connect(p.front) as c:
                c.send(b"\x00ab")
                assert c.to_end() == b"\x00ab"
        assert app.accepted == 300


def test_bulk_both_ways(pair, protocol):
    """16 MB each way at once; first byte 0 so that it is not HTTP."""
    size = 16 << 20
    data = b"\x00" + bytes(range(255)) * 257
    data = (data * (size // len(data) + 1))[:size]
    want = hashlib.sha256(data).hexdigest()

    def take(wire):
        h = hashlib.sha256()
        left = size
        while left:
            got = wire.some()
            h.update(got)
            left -= len(got)
        return h.hexdigest()

    def play(wire):
        sending = Background(lambda: wire.send(data))
        assert take(wire) == want
        sending.get()

    with Server(play) as app, pair(app, app_protocol=protocol) as p, \
            connect(p.front, 30) as c:
        sending = Background(lambda: c.send(data))
        assert take(c) == want
        sending.get()


def test_bulk_does_not_starve_requests(pair):
    """One saturating stream and small requests beside it."""
    def play(wire):
        first = wire.some()
        if first.startswith(b"GET"):
            wire.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n"
                      b"Connection: close\r\n\r\nok")
            return
        while True:
            wire.some()

    with Server(play) as app, pair(app) as p, connect(p.front, 30) as c:
        c.send(b"\x00")

        def flood():
            try:
                while True:
                    c.send(b"x" * (1 << 20))
            except OSError:
                pass

        flooding = Background(flood)
        for _ in range(20):
            start = time.monotonic()
            assert ask(p.front).body == b"ok"
            # A sanitizer's pace; the benchmark measures.
            assert time.monotonic() - start < 2
        c.sock.shutdown(2)
        flooding.get()
