# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in the world, while polite clients go on: no crash, no leak, it
recovers, and what is not whole never looks so. More of the kind:
test_proxy_life.py and test_grpc_faults.py (killed and frozen proxies, drains),
test_limits.py (descriptors), test_memory.py (memory), test_threads.py (all at
once), test_controller_life.py (the controller)."""
import contextlib
import glob
import os
import threading
import time

import pytest

from conftest import pairs
from peers.h2 import (DATA, END_STREAM, HEADERS, INITIAL_WINDOW, RST_STREAM,
                      Plain, fields, frame)
from peers.h2app import Answer, H2App
from peers.http1 import (App, ask, chunk, either, read_head, read_request,
                         read_response, request, response)
from peers.process import growth_below, stopped
from peers.server import Server
from peers.traffic import Traffic, Traffic2
from peers.wire import Ended, connect
from programs import wait_until

GROWTH = 24 << 20  # of a sanitized program
WINDOWS = 80 << 20  # the same, when windows are filled
POLITE = 3.0  # seconds: an answer to others, sanitizers and all


def value(proxy, name, **labels):
    return sum(v for found, v in proxy.metrics().get(name, [])
               if labels.items() <= found.items())


def connections(p):
    """Accepted and to the application, of both proxies, but for links."""
    return sum(value(x, name) for x in (p.outbound, p.inbound)
               for name in ("proxy_open_connections",
                            "proxy_app_connections")) \
        - value(p.inbound, "proxy_links_open", direction="inbound")


def nothing_left(p):
    """Of all that happened. A proxy counts four times a second, and keeps idle
    connections for a while."""
    wait_until("no connection is left", lambda: connections(p) == 0, 20)


@contextlib.contextmanager
def unharmed(p, traffic, growth=GROWTH, longest=POLITE):
    """Polite clients of `traffic` go on without a failure or a long wait. (Who
    shares a link with readers that fill its window waits until they are cut.)"""
    pids = [x.pid for x in (p.outbound, p.inbound)]
    with growth_below(growth, *pids), traffic as polite:
        yield polite
        polite.wait(10)
    assert polite.slowest < longest
    assert all(x.program.running() for x in (p.outbound, p.inbound))


# --- slow loris --------------------------------------------------------------

SLOW = {"outbound__head_timeout": "1s", "body_timeout": "1s",
        "pool_idle": "500ms"}


def drip(wires, piece, seconds):
    """A piece to each, again and again; returns those that are still open."""
    end = time.monotonic() + seconds
    while wires and time.monotonic() < end:
        time.sleep(0.2)  # allow sleep: slowness is what is played
        for c in list(wires):
            try:
                c.sock.setblocking(False)
                c.send(piece)
                if c.sock.recv(65536):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            c.close()
            wires.remove(c)
    return wires


LORIS1 = {
    "heads": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-More: a\r\n"),
    "bodies": (request("POST", fields=[("Content-Length", "100000")]), b""),
    "readers": (request(target="/large"), b""),
}


def large_or_small(r):
    return response(body=b"x" * (16 << 20) if r.target == "/large"
                    else b"ok\n")


@pytest.mark.parametrize("what", LORIS1)
def test_slow_loris(pair, what):
    """100 of them: all are cut in time, though heads drip on."""
    begin, more = LORIS1[what]
    with App(large_or_small) as app, pair(app, **SLOW) as p:
        assert ask(p.front).status == 200
        with unharmed(p, Traffic(p.front, keep=False), WINDOWS, 8):
            wires = [connect(p.front, receive_buffer=4096)
                     for _ in range(100)]
            for c in wires:
                c.send(begin)
            if what == "readers":  # who reads a little is cut all the same
                wait_until("they are cut", lambda: value(
                    p.outbound, "proxy_limits_total",
                    limit="body-timeout") >= 100, 20)
                for c in wires:
                    c.close()
            else:
                assert not drip(wires, more, 15)
        nothing_left(p)


@pytest.mark.parametrize("what", ["heads", "bodies", "readers"])
def test_slow_loris_of_http2(pair, what):
    answer = lambda r: Answer(body=b"x" * (4 << 20)
                              if r.target == "/large" else b"ok\n")
    with H2App(answer) as app, pair(app, app_protocol="http2", **SLOW) as p:
        with unharmed(p, Traffic2(p.front, pause=0.02), WINDOWS, 8), \
                contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Plain(p.front)) for _ in range(20)]
            for c in clients:
                c.begin({INITIAL_WINDOW: 0})
                if what == "heads":
                    c.send(frame(HEADERS, END_STREAM, 1,
                                 c.encoder.encode(fields())))
                elif what == "bodies":
                    c.send(c.head(1, fields("POST"), end=False))
                else:
                    c.send(c.head(1, fields(path="/large")))
            limit = "head-timeout" if what == "heads" else "body-timeout"
            wait_until("they are cut", lambda: value(
                p.outbound, "proxy_limits_total", limit=limit) >= 20, 20)


# --- resets ------------------------------------------------------------------

PIECES = [b"", b"GET / HT", request()[:-2], request(),
          request("POST", fields=[("Content-Length", "100")]) + b"x" * 50]


def test_storm_of_resets_by_clients(pair):
    """Connections that break at any point of a request."""
    with App() as app, pair(app, pool_idle="500ms") as p:
        assert ask(p.front).status == 200
        with unharmed(p, Traffic(p.front, keep=False)):
            for n in range(600):
                c = connect(p.front)
                c.send(PIECES[n % len(PIECES)])
                c.reset()
        nothing_left(p)


def test_storm_of_resets_by_the_application(pair):
    """At any point of an answer: the client gets 502 or a cut, nobody else
    anything."""
    parts = [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 Fine\r\n\r\nhalf",
             b"HTTP/1.1 200 Fine\r\nContent-Length: 9\r\n\r\nhalf",
             b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"
             + chunk(b"half")]

    def play(wire):
        while True:
            target = read_request(wire).target
            if target == "/":
                wire.send(response(body=b"ok\n"))
                continue
            wire.send(parts[int(target[1:])])
            wire.reset()
            return

    def outcome(n):
        with connect(p.front) as c:
            c.send(request(target=f"/{n}"))
            try:
                head = read_head(c)
                if head.status == 502:
                    return "502"
                assert head.status == 200
                whole = c.to_end()
                if n in (3, 4):  # a FIN ends them before their time
                    assert len(whole) < 9 or not whole.endswith(b"0\r\n\r\n")
                    return "cut"
                return "whole"
            except (OSError, Ended):
                return "cut"

    with Server(play) as app, pair(app, pool_idle="500ms") as p:
        assert ask(p.front).status == 200
        with unharmed(p, Traffic(p.front)):
            seen = [outcome(n % len(parts)) for n in range(200)]
        assert set(seen) == {"502", "cut"}
        nothing_left(p)


# --- a backend that is killed ------------------------------------------------

def test_application_killed_in_an_answer_of_http2(pair):
    """Its streams are reset: none ends as if it were whole."""
    begun = threading.Event()

    def slow(r):
        begun.set()
        return Answer(body=b"x" * (4 << 20))

    with H2App(slow) as app, pair(app, app_protocol="http2") as p, \
            Plain(p.front) as c:
        c.begin()
        for stream in (1, 3, 5):
            c.send(c.head(stream))
        got = c.until_frame(lambda f: f.kind == DATA)
        assert begun.wait(10) and not got.flags & END_STREAM
        app.close()
        ended = set()
        while len(ended) < 3:
            f = c.until_frame(lambda f: f.stream)
            assert not (f.kind == DATA and f.flags & END_STREAM)
            if f.kind == RST_STREAM:
                ended.add(f.stream)
        assert not c.cut


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("who", ["application", "inbound"])
def test_killed_in_an_answer(pair, framing, who):
    """A cut, never a good end; also of an answer that says its end by nothing
    but the connection's."""
    heads = {"length": b"Content-Length: 10000000\r\n",
             "chunked": b"Transfer-Encoding: chunked\r\n", "close": b""}

    def play(wire):
        read_request(wire)
        wire.send(b"HTTP/1.1 200 Fine\r\n" + heads[framing] + b"\r\n"
                  + (chunk(b"part") if framing == "chunked" else b"part"))
        killed.wait(30)
        wire.reset()  # as the kernel does for the connections of the dead

    killed = threading.Event()
    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request())
        assert read_head(c).status == 200
        c.until(b"part")
        if who == "inbound":
            p.inbound.program.process.kill()
            p.mesh.expected_dead.append(p.inbound.program)
        else:
            killed.set()
        try:
            if framing == "close":
                assert c.how_it_ends() == "reset"
            else:
                with pytest.raises((ConnectionError, Ended)):
                    c.until(b"0\r\n\r\n")
        finally:
            killed.set()


# --- a machine that slept ----------------------------------------------------

def test_both_proxies_sleep(pair):
    """For longer than a silent link may live: what was open goes on."""
    with Server(either) as app, \
            pair(app, link_ping="300ms", link_dead="1s") as p, \
            connect(p.front) as long, connect(p.front) as kept:
        long.send(b"\x00a")
        assert long.exactly(2) == b"\x00a"
        kept.send(request())
        assert read_response(kept).status == 200
        with stopped(p.outbound.program.process), \
                stopped(p.inbound.program.process):
            time.sleep(2)  # allow sleep: it is what is played
        long.send(b"b")
        assert long.exactly(1) == b"b"
        kept.send(request())
        assert read_response(kept).status == 200
        with Traffic(p.front) as traffic:
            traffic.wait(20)


# --- a clock that jumps ------------------------------------------------------

LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1"


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """clock(seconds): from now on the wall clock of programs started since is so
    far off; their monotonic clocks are not, as in the world."""
    found = glob.glob(LIBRARY)
    release = os.environ.get("TULLE_RELEASE", "")
    if not found or not os.access(f"{release}/proxy/tulle-proxy", os.X_OK):
        pytest.skip("needs Debian's faketime and $TULLE_RELEASE: the library "
                    "and a sanitizer do not share a process")
    offset = tmp_path / "offset"

    def jump(seconds):
        new = tmp_path / "new"
        new.write_text(f"{seconds:+d}\n", encoding="ascii")
        new.rename(offset)
    jump(0)
    for name, text in (("LD_PRELOAD", found[0]),
                       ("FAKETIME_TIMESTAMP_FILE", str(offset)),
                       ("FAKETIME_NO_CACHE", "1"),
                       ("FAKETIME_DONT_FAKE_MONOTONIC", "1")):
        monkeypatch.setenv(name, text)
    return jump


DAY = 24 * 3600


@pytest.mark.parametrize("seconds", [3600, -3600, 30 * DAY, -30 * DAY],
                         ids=["hour on", "hour back", "month on",
                              "month back"])
def test_clock_jumps(clock, seconds):
    """The clocks of all programs jump and come back. Certificates live for a day:
    by an hour nobody notices. By a month new connections may fail meanwhile; what
    is open goes on or ends, nothing crashes or spins, and when the clock is right
    again so is all else."""
    with App() as app, pairs(os.environ["TULLE_RELEASE"])(
            app, link_idle="300ms") as p:
        assert ask(p.front).status == 200
        with contextlib.ExitStack() as stack:
            if abs(seconds) < DAY:
                stack.enter_context(Traffic(p.front, keep=False)).wait(20)
            clock(seconds)
            end = time.monotonic() + 4
            while time.monotonic() < end:
                serves(p)
                time.sleep(0.05)  # allow sleep: the pace of asking
            clock(0)
        wait_until("all is as before", lambda: serves(p), 30)
        with Traffic(p.front, keep=False) as traffic:
            traffic.wait(50)
        assert all(x.program.running() for x in (p.outbound, p.inbound))
        assert p.mesh.controller.running()


def serves(p):
    try:
        return ask(p.front).status == 200
    except (OSError, Ended):
        return False
