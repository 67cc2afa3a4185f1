# SPDX-License-Identifier: Apache-2.0
"""Large bodies: every byte arrives, and nobody keeps them."""
import hashlib
import random
import threading
import time

import pytest

from peers.http1 import (CHUNKED, App, chunk, read_head, read_response,
                         request, response)
from peers.process import Background, growth_below
from peers.server import Server
from peers.wire import connect

SIZE = 50 << 20
PIECE = random.Random(1).randbytes(1 << 20)
# Windows, socket and TLS buffers; a sanitizer's quarantine needs more than
# the proxy. Far from SIZE in any case.
GROWTH = 24 << 20


def pieces():
    """50 MB in which no two places look alike."""
    for n in range(SIZE // len(PIECE)):
        yield n.to_bytes(8, "big") + PIECE[8:]


def digest_of_all():
    h = hashlib.sha256()
    for piece in pieces():
        h.update(piece)
    return h.hexdigest()


DIGEST = digest_of_all()


def read_all(wire, size, pause=0):
    """The digest of `size` bytes; `pause` after each half megabyte."""
    h, left, until_pause = hashlib.sha256(), size, 1 << 19
    while left:
        data = wire.some()[:left]
        h.update(data)
        left -= len(data)
        until_pause -= len(data)
        if pause and until_pause < 0:
            time.sleep(pause)  # allow sleep: slowness is what is played
            until_pause = 1 << 19
    return h.hexdigest()


def send_all(wire):
    for piece in pieces():
        wire.send(piece)


def send_all_chunked(wire, before_end=lambda: None):
    for piece in pieces():
        wire.send(chunk(piece))
    before_end()
    wire.send(b"0\r\n\r\n")


def sized(start):
    return f"{start}\r\nContent-Length: {SIZE}\r\n\r\n".encode()


@pytest.mark.parametrize("pause", [0, 0.02], ids=["fast", "slow"])
def test_download(pair, pause):
    def play(wire):
        read_head(wire)
        wire.send(sized("HTTP/1.1 200 Fine"))
        send_all(wire)

    with Server(play) as app, pair(app) as p, \
            connect(p.front, 30, receive_buffer=65536) as c:
        with growth_below(GROWTH, p.inbound.pid, p.outbound.pid):
            c.send(request())
            assert read_head(c).get("content-length") == str(SIZE)
            assert read_all(c, SIZE, pause) == DIGEST


@pytest.mark.parametrize("pause", [0, 0.02], ids=["fast", "slow"])
def test_upload(pair, pause):
    def play(wire):
        head = read_head(wire)
        got = read_all(wire, int(head.get("content-length")), pause)
        wire.send(response(body=got.encode()))

    with Server(play, receive_buffer=65536) as app, pair(app) as p, \
            connect(p.front, 30) as c:
        with growth_below(GROWTH, p.inbound.pid, p.outbound.pid):
            c.send(sized("POST / HTTP/1.1\r\nHost: test"))
            send_all(c)
            assert read_response(c).body.decode() == DIGEST


def test_both_ways_at_once_chunked(pair):
    def play(wire):
        read_head(wire)
        wire.send(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n")
        # The answer ends last: one that ends before its request ends it too.
        sending = Background(lambda: send_all_chunked(wire, read.wait))
        assert read_chunked(wire) == DIGEST
        read.set()
        sending.get()

    read = threading.Event()
    with Server(play) as app, pair(app) as p, connect(p.front, 30) as c:
        with growth_below(GROWTH, p.inbound.pid, p.outbound.pid):
            c.send(request("POST", fields=[CHUNKED]))
            sending = Background(lambda: send_all_chunked(c))
            assert read_head(c).status == 200
            assert read_chunked(c) == DIGEST
            sending.get()


def read_chunked(wire):
    h = hashlib.sha256()
    while size := int(wire.until(b"\r\n")[:-2], 16):
        h.update(wire.exactly(size))
        assert wire.exactly(2) == b"\r\n"
    assert wire.exactly(2) == b"\r\n"
    return h.hexdigest()


def test_reader_that_stops_stops_the_app(pair):
    """Back-pressure reaches the app: it cannot send without bound."""
    sent = []

    def play(wire):
        read_head(wire)
        wire.send(sized("HTTP/1.1 200 Fine"))
        wire.sock.settimeout(2)
        for piece in pieces():
            at = 0
            while at < len(piece):
                n = wire.sock.send(piece[at:at + 65536])
                sent.append(n)
                at += n

    with Server(play) as app, pair(app) as p, \
            connect(p.front, receive_buffer=65536) as c:
        c.send(request())
        read_head(c)
        app.wait_open(0, 30)  # its send timed out
        assert sum(sent) < 24 << 20
        c.reset()


def test_stalled_stream_does_not_stall_others(pair):
    """Windows are per stream: one client that does not read is alone."""
    def answer(wire):
        while True:
            if read_head(wire).target == "/large":
                wire.send(sized("HTTP/1.1 200 Fine"))
                send_all(wire)
            else:
                wire.send(response(body=b"small"))

    with Server(answer) as app, pair(app) as p, \
            connect(p.front, receive_buffer=65536) as stalled, \
            connect(p.front) as c:
        stalled.send(request(target="/large"))
        read_head(stalled)
        for _ in range(200):
            c.send(request())
            assert read_response(c).body == b"small"
        stalled.reset()


def test_many_clients_at_once(pair):
    """Answers never mix on the shared link."""
    with App(lambda m: response(body=m.target.encode() * 500)) as app, \
            pair(app) as p:
        def client(number):
            with connect(p.front, 30) as c:
                for n in range(30):
                    target = f"/{number}-{n}"
                    c.send(request(target=target))
                    assert read_response(c).body == target.encode() * 500

        clients = [Background(lambda k=k: client(k)) for k in range(32)]
        for c in clients:
            c.get()
