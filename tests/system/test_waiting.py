# SPDX-License-Identifier: Apache-2.0
"""What waits has an end, and what was said meanwhile is not lost: the first look
at a connection, the line before a full pool, links that are being replaced."""
import socket
import ssl
import time

import pytest

from peers import h2
from peers.http1 import (App, ask, read_request, read_response, request,
                         response)
from peers.process import connections_to, stopped
from peers.server import Server
from peers.wire import address, connect
from programs import wait_until


# --- the first look ----------------------------------------------------------

def test_both_speak_during_the_look(pair):
    """The client's one byte may be the beginning of HTTP, so it is kept; when
    the server speaks meanwhile it goes on, first."""
    heard = []

    def play(wire):
        wire.until(b"now")  # of the other connection
        told.send(b"220 ready\r\n")
        wire.send(b"said")

    def quiet(wire):
        nonlocal told
        told = wire
        heard.append(wire.to_end())

    told = None
    scripts = [quiet, play]
    with Server(lambda wire: scripts.pop(0)(wire)) as app, \
            pair(app, detect_timeout="20ms") as p, connect(p.front) as c:
        app.wait_accepted(1)  # dialled while nobody spoke
        c.send(b"G")
        assert c.is_quiet(0.1)
        with connect(app.address) as other:
            other.send(b"now")
            assert other.exactly(4) == b"said"
        assert c.until(b"\r\n") == b"220 ready\r\n"
        c.send(b"ood day")
        c.half_close()
        app.wait_open(0)
        assert heard == [b"Good day"]


def test_server_ends_its_side_first(pair):
    """A server that only listens says so at once: the client may go on."""
    heard = []

    def play(wire):
        wire.half_close()
        heard.append(wire.to_end())

    with Server(play) as app, pair(app, detect_timeout="20ms") as p, \
            connect(p.front) as c:
        assert c.to_end() == b""
        c.send(b"\x00take this")
        c.half_close()
        app.wait_open(0)
        assert heard == [b"\x00take this"]


@pytest.mark.parametrize("protocol", ["tcp", None])
def test_connection_without_a_byte_ends(pair, protocol):
    def play(wire):
        wire.how_it_ends()

    with Server(play) as app, pair(app, app_protocol=protocol,
                                   tcp_idle_timeout="1s") as p, \
            connect(p.front) as c:
        app.wait_accepted(1)
        assert c.how_it_ends() in ("fin", "reset")
        app.wait_open(0)


def handshake(p, pause):
    """mTLS with the mesh port; `pause(sock, hello)` sends the hello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = h2.tls_client(p.certs).wrap_bio(incoming, outgoing)
    with socket.create_connection(address(p.inbound_mesh), 10) as s:
        s.settimeout(10)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        pause(s, outgoing.read())
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                s.sendall(outgoing.read())
                data = s.recv(65536)
                assert data, "ended within the handshake"
                incoming.write(data)
        return tls.selected_alpn_protocol()


def halves(s, hello):
    s.sendall(hello[:100])
    time.sleep(0.3)  # allow sleep: a lost segment is what is played
    s.sendall(hello[100:])


def late(s, hello):
    time.sleep(0.3)  # allow sleep: a lost segment is what is played
    s.sendall(hello)


@pytest.mark.parametrize("pause", [halves, late])
@pytest.mark.parametrize("strict", [False, True])
def test_slow_hello_is_no_plaintext(pair, pause, strict):
    """A segment was lost on the way: the peer still is a proxy."""
    with App() as app, pair(app, strict=strict) as p:
        assert handshake(p, pause) == h2.ALPN


# --- the line before a full pool ---------------------------------------------

def test_waiting_for_a_connection_ends(pair):
    def play(wire):
        read_request(wire)
        wire.how_it_ends()  # never answers

    with Server(play) as app, pair(app, inbound__max_pool=1,
                                   pending_timeout="500ms") as p, \
            connect(p.front) as first:
        first.send(request())
        app.wait_accepted(1)
        begin = time.monotonic()
        r = ask(p.front)
        assert (r.status, r.fault) == (503, "too-many-pending")
        assert time.monotonic() - begin < 5


# --- links -------------------------------------------------------------------

def test_dial_that_fails_beside_a_retired_link(pair):
    """A link that is retired (here: its certificates are short) but still
    carries a stream is no reason to wait for a peer that cannot be reached."""
    def play(wire):
        wire.kept = wire.some()
        if wire.kept == b"\x00":
            wire.send(b"in")
            wire.how_it_ends()
            return
        read_request(wire)
        wire.send(response(body=b"ok\n"))

    with Server(play) as app, \
            pair(app, controller__cert_life="50s", connect_timeout="1s",
                 link_ping="1s", link_dead="60s") as p, \
            connect(p.front) as long:
        long.send(b"\x00")
        assert long.exactly(2) == b"in"
        wait_until("a new link beside the retired one",
                   lambda: ask(p.front).status == 200
                   and connections_to(p.inbound_mesh) > 1, 20)
        wait_until("only the retired one is left",
                   lambda: connections_to(p.inbound_mesh) == 1, 20)
        with stopped(p.inbound.program.process):
            r = ask(p.front)
            assert (r.status, r.fault) == (503, "connect-timeout")


# --- drains ------------------------------------------------------------------

def test_new_connections_are_served_while_it_drains(pair):
    """Each gets its answer, and is told to go."""
    def play(wire):
        wire.kept = wire.some()
        if wire.kept == b"\x00":
            wire.send(b"in")
            wire.how_it_ends()
            return
        read_request(wire)
        wire.send(response(body=b"ok\n"))

    with Server(play) as app, pair(app, shutdown_grace="20s") as p, \
            connect(p.front) as long:
        long.send(b"\x00")
        assert long.exactly(2) == b"in"
        p.outbound.program.process.terminate()
        wait_until("it drains",
                   lambda: p.outbound.get("/ready")[0] == 503, 5)
        for _ in range(5):
            with connect(p.front) as c:
                c.send(request())
                r = read_response(c)
                assert r.status == 200
                assert r.get("connection") == "close"
        long.reset()
        assert p.outbound.program.process.wait(10) == 0
