# SPDX-License-Identifier: Apache-2.0
"""Too much of something: shed with a fault that says so, and recovered from."""
import contextlib
import os
import resource
import threading

from peers.http1 import App, ask, read_request, read_response, request, \
    response
from peers.process import cpu_seconds
from peers.server import Server
from peers.traffic import Traffic
from peers.wire import Ended, connect
from programs import wait_until


@contextlib.contextmanager
def slow_app():
    """Answers when it is told to."""
    go = threading.Event()

    def play(wire):
        while True:
            read_request(wire)
            assert go.wait(20)
            wire.send(response(body=b"ok\n"))

    with Server(play) as app:
        app.go = go
        yield app


def outcome(to):
    try:
        r = ask(to)
        return r.fault or r.status
    except (OSError, Ended):
        return "closed"


def test_too_many_requests(pair):
    with slow_app() as app, pair(app, outbound__max_requests="3") as p:
        held = [connect(p.front) for _ in range(3)]
        for c in held:
            c.send(request())
        app.wait_accepted(3)
        r = ask(p.front)
        assert (r.status, r.fault) == (503, "too-many-requests")
        app.go.set()
        for c in held:
            assert read_response(c).status == 200
            c.close()
        wait_until("others are served again",
                   lambda: outcome(p.front) == 200, 5)


def test_too_many_pending(pair):
    """One connection to the app, one request that waits for it."""
    with slow_app() as app, pair(app, inbound__max_pool="1",
                                 inbound__max_pending="1") as p:
        first, second = connect(p.front), connect(p.front)
        first.send(request())
        app.wait_accepted(1)
        second.send(request())
        wait_until("no more wait", lambda: outcome_now(p.front)
                   == "too-many-pending", 5)
        app.go.set()
        for c in (first, second):
            assert read_response(c).status == 200
            c.close()
        assert app.accepted == 1


def outcome_now(to):
    """Of a request that gives up when it is made to wait."""
    try:
        with connect(to, 1) as c:
            c.send(request())
            return read_response(c).fault
    except (OSError, Ended):
        return None


def test_over_the_memory_budget(pair):
    with App() as app, pair(app, outbound__memory_budget="1Ki") as p:
        assert outcome(p.front) in ("memory-budget", "closed")
        assert p.outbound.get("/live")[0] == 200
        assert not app.requests


def test_out_of_descriptors(pair):
    """It stops accepting, keeps serving, does not spin, and recovers."""
    with App() as app, pair(app) as p, connect(p.front) as kept:
        kept.send(request())
        assert read_response(kept).status == 200
        pid = p.outbound.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 5, limits[1]))
        held = [connect(p.front) for _ in range(40)]
        begin = cpu_seconds(pid)
        for _ in range(20):
            kept.send(request())
            assert read_response(kept).status == 200
        threading.Event().wait(1)  # so long it might spin
        assert cpu_seconds(pid) - begin < 0.7
        for c in held:
            c.close()
        wait_until("others are served again",
                   lambda: outcome(p.front) == 200, 10)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        with Traffic(p.front, keep=False) as traffic:
            traffic.wait(20)
