# SPDX-License-Identifier: Apache-2.0
"""The memory budget: who fills it with what he does not read is cut, others are
served again, and after a burst memory goes back to the system."""
import contextlib
import os
import threading

import pytest

from conftest import pairs
from peers.h2 import INITIAL_WINDOW, RST_STREAM, Plain, fields
from peers.h2app import Answer, H2App
from peers.http1 import App, ask, read_head, request, response
from peers.process import resident, resident_peak, forget_peak
from peers.server import Server
from peers.wire import Ended, connect
from programs import wait_until

LARGE = b"0123456789abcdef" * (1 << 19)  # 8 MiB
BUDGET = 24 << 20
READERS = 150
# Windows so large that they alone are no bound.
WIDE = {"stream_window": "512Ki", "link_window": "256Mi"}
INTERNAL_ERROR = 2


def value(proxy, name, **labels):
    return sum(v for found, v in proxy.metrics().get(name, [])
               if labels.items() <= found.items())


def times_shed(proxy):
    return value(proxy, "proxy_limits_total", limit="memory-budget")


def large_or_small(r):
    return response(body=LARGE if r.target == "/large" else b"ok\n")


@contextlib.contextmanager
def many(count, make):
    """`count` of what `make()` opens; they close together."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(make()) for _ in range(count)]


def reader(to, fields_=()):
    """Asks for much and reads none of it."""
    c = connect(to, receive_buffer=4096)
    c.send(request(target="/large", fields=fields_))
    return c


def serves(p):
    try:
        return ask(p.front).status == 200
    except (OSError, Ended):
        return False


def shed_and_recovered(p, proxy, before):
    """Slow readers were cut, and counted; there is room, and it is used."""
    wait_until("slow readers are cut", lambda: times_shed(proxy) > before, 20)
    wait_until("there is room again", lambda: value(
        proxy, "proxy_memory_bytes") < BUDGET, 20)
    # Those who were left fill it again, and are cut in their turn.
    wait_until("others are served again",
               lambda: all(serves(p) for _ in range(20)), 30)


@pytest.mark.parametrize("more", [(), [("Connection", "close")]],
                         ids=["kept", "closing"])
def test_readers_that_stop(pair, more):
    """HTTP/1: cut by a reset, never as if all had come."""
    with App(large_or_small) as app, \
            pair(app, outbound__memory_budget=str(BUDGET), **WIDE) as p:
        forget_peak(p.outbound.pid)
        start = resident(p.outbound.pid)
        with many(READERS, lambda: reader(p.front, more)) as readers:
            shed_and_recovered(p, p.outbound, 0)
            # Never far above it, sanitizers and all.
            assert resident_peak(p.outbound.pid) - start < 3 * BUDGET
            ends = [how_it_ends(c) for c in readers]
            assert "whole" not in ends[:10], ends
            assert ends.count("cut") > 5, ends
        assert value(p.outbound, "proxy_faults_total",
                     fault="memory-shed") > 0


def how_it_ends(c):
    """"cut" when that is known by now, "refused" if it never began, "open"
    if it may still become whole; "whole" would be a lie."""
    c.sock.settimeout(0.05)
    got = 0
    try:
        head = read_head(c)
        if head.status == 503:
            return "refused"
        got = len(c.kept)
        while got < len(LARGE):
            data = c.sock.recv(65536)
            if not data:
                return "cut"
            got += len(data)
        return "open"  # it had been left alone
    except TimeoutError:
        return "open"
    except (OSError, Ended):
        return "cut"


def test_streams_that_nobody_reads(pair):
    """HTTP/2: the streams that hold most are reset, not their connection."""
    answer = lambda r: Answer(body=LARGE if r.target == "/large" else b"ok\n")
    with H2App(answer) as app, \
            pair(app, outbound__memory_budget=str(BUDGET), **WIDE) as p, \
            Plain(p.front) as client:
        client.begin({INITIAL_WINDOW: 0})
        for n in range(READERS):
            client.send(client.head(1 + 2 * n, fields(path="/large")))
        client.until_frame(lambda f: f.kind == RST_STREAM)
        with Plain(p.front) as other:
            other.begin().send(other.head(1))
            assert other.answer(1)[0::2] == (200, b"ok\n")
        assert set(client.resets.values()) == {INTERNAL_ERROR}
        assert times_shed(p.outbound) > 0
        assert not client.cut


def test_opaque_connections_that_nobody_reads(pair):
    def play(wire):
        if wire.exactly(1) == b"L":
            wire.send(LARGE)
        wire.send(b"small")

    with Server(play) as app, \
            pair(app, app_protocol="tcp",
                 outbound__memory_budget=str(BUDGET), **WIDE) as p:
        def open_one():
            c = connect(p.front, receive_buffer=4096)
            c.send(b"L")
            return c

        def small():
            try:
                with connect(p.front) as c:
                    c.send(b"S")
                    return c.to_end() == b"small"
            except OSError:
                return False
        with many(READERS, open_one):
            wait_until("slow readers are cut",
                       lambda: times_shed(p.outbound) > 0, 20)
            wait_until("others are served again", small, 20)
            assert value(p.outbound, "proxy_tcp_closed_total",
                         fault="memory-shed") > 0


def test_uploads_that_the_application_does_not_read(pair):
    """On the way in: the memory of the inbound proxy. They get 503."""
    def play(wire):
        if read_head(wire).target == "/upload":
            wire.is_quiet(30)  # it is never read
            wire.sock.recv(1)
            app.done.wait(30)
        else:
            wire.send(response(body=b"ok\n"))

    with Server(play, receive_buffer=4096) as app, \
            pair(app, inbound__memory_budget=str(BUDGET), **WIDE) as p:
        app.done = threading.Event()
        try:
            def upload():
                c = connect(p.front)
                c.send(request("POST", "/upload",
                               fields=[("Content-Length", str(len(LARGE)))]))
                c.sock.setblocking(False)
                return c
            with many(READERS, upload) as uploads:
                def push():
                    for c in uploads:
                        with contextlib.suppress(OSError):
                            c.sock.send(LARGE[:1 << 20])
                    return times_shed(p.inbound) > 0
                wait_until("uploads are cut", push, 30)
                app.done.set()
        finally:
            app.done.set()
        wait_until("others are served again", lambda: serves(p), 20)


def test_memory_goes_back(tmp_path):
    """After a burst. Of the programs as they are shipped: a sanitizer keeps
    what was freed."""
    release = os.environ.get("TULLE_RELEASE", "")
    if not os.access(f"{release}/proxy/tulle-proxy", os.X_OK):
        pytest.skip(f"no programs in {release or '$TULLE_RELEASE'}")
    with App(large_or_small) as app, pairs(release)(app, **WIDE) as p:
        assert serves(p)
        pid = p.outbound.pid
        before = resident(pid)
        forget_peak(pid)
        with many(READERS, lambda: reader(p.front)) as readers:
            wait_until("they have filled it",
                       lambda: resident(pid) > before + (12 << 20), 30)
            for c in readers:
                c.reset()
        # A little stays: tables, the next connections' buffers.
        wait_until("memory goes back",
                   lambda: resident(pid) < before + (6 << 20), 20)
        assert resident_peak(pid) > before + (12 << 20)
        assert serves(p)
