# SPDX-License-Identifier: Apache-2.0
"""Too much of something: shed with a fault that says so, and recovered from."""
import contextlib
import json
import os
import resource
import threading
import time

import pytest

import manifests
import metrics
from pair import NAMESPACE, SERVER_IP
from peers.http1 import App, ask, read_request, read_response, request, \
    response
from peers.process import cpu_seconds, stopped
from peers.server import Server
from peers.traffic import Traffic
from peers.wire import Ended, connect
from programs import free_ports, wait_until


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


def hits(proxy, limit):
    """As an operator sees it."""
    return sum(value for labels, value in proxy.metrics()["proxy_limits_total"]
               if labels["limit"] == limit)


def test_too_many_requests(pair):
    with slow_app() as app, pair(app, outbound__max_requests="3") as p:
        held = [connect(p.front) for _ in range(3)]
        for c in held:
            c.send(request())
        app.wait_accepted(3)
        r = ask(p.front)
        assert (r.status, r.fault) == (503, "too-many-requests")
        assert hits(p.outbound, "max-requests") == 1
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
        assert hits(p.inbound, "max-pending") >= 1


def outcome_now(to):
    """Of a request that gives up when it is made to wait."""
    try:
        with connect(to, 1) as c:
            c.send(request())
            return read_response(c).fault
    except (OSError, Ended):
        return None


def test_pending_for_too_long_before_an_application(pair):
    """Who waits for the one connection to it is refused after a while; others
    go on."""
    with slow_app() as app, pair(app, inbound__max_pool="1",
                                 inbound__pending_timeout="500ms",
                                 attempts="1") as p:
        with connect(p.front) as first:
            first.send(request())
            app.wait_accepted(1)
            assert hits(p.inbound, "pending-timeout") == 0
            for n in range(1, 3):
                r = ask(p.front)
                assert (r.status, r.fault) == (503, "too-many-pending")
                assert hits(p.inbound, "pending-timeout") == n
            app.go.set()
            assert read_response(first).status == 200
        wait_until("others are served again",
                   lambda: outcome(p.front) == 200, 5)
        assert app.accepted == 1
        assert hits(p.inbound, "max-pending") == 0
        assert hits(p.outbound, "pending-timeout") == 0


def test_pending_for_too_long_before_a_link(pair):
    """It is being dialled, but the other proxy does not answer yet."""
    with App() as app, pair(app, outbound__pending_timeout="500ms",
                            outbound__connect_timeout="60s",
                            attempts="1") as p:
        with stopped(p.inbound.program.process):
            for n in range(1, 3):
                r = ask(p.front)
                assert (r.status, r.fault) == (503, "too-many-pending")
                assert hits(p.outbound, "pending-timeout") == n
        wait_until("others are served", lambda: outcome(p.front) == 200, 10)
        assert hits(p.inbound, "pending-timeout") == 0


def test_over_the_memory_budget(pair):
    with App() as app, pair(app, outbound__memory_budget="1Ki") as p:
        assert outcome(p.front) in ("memory-budget", "closed")
        assert p.outbound.get("/live")[0] == 200
        assert not app.requests
        assert hits(p.outbound, "memory-budget") >= 1


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
        assert hits(p.outbound, "descriptors") >= 1
        assert counted(p.outbound, "proxy_accept_pauses_total") >= 1


# --- more destinations than may be known -------------------------------------

class Many:
    """`count` Services of the one backend, with a listener for each."""

    def __init__(self, count):
        self.count, self.to, self.arguments = count, [], []
        for n, port in enumerate(free_ports(["127.0.0.1"] * count)):
            self.to.append(f"127.0.0.1:{port}")
            self.arguments += ["--outbound",
                               f"127.0.0.1:{port}={NAMESPACE}/many{n}:80"]

    def write(self, p):
        for n in range(self.count):
            p.mesh.write(
                f"many{n}",
                manifests.service(NAMESPACE, f"many{n}", f"127.2.1.{10 + n}"),
                manifests.endpoint_slice(NAMESPACE, f"many{n}",
                                         {SERVER_IP: "backend"}, p.port))

    def settings(self, **more):
        return {"manifests": self.write,
                "arguments": {"outbound": self.arguments}, **more}

    def ask(self):
        return [outcome(to) for to in self.to]


def sessions_begun(p):
    return p.mesh.controller.output().count("proxy joined")


def counted(proxy, name):
    return sum(value for _, value in proxy.metrics()[name])


@pytest.mark.parametrize("setting", ["controller__max_subscriptions",
                                     "outbound__max_destinations"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_too_many_destinations(pair, setting, workers):
    """What was known goes on; what is beyond is refused at once with a fault
    that says so, and the session does not suffer."""
    many = Many(12)
    with App() as app, pair(app, **many.settings(
            **{setting: "9"}, outbound__resolve_timeout="8s",
            outbound__workers=workers)) as p:
        assert ask(p.front).status == 200
        joined = sessions_begun(p)
        begin = time.monotonic()
        first = many.ask()
        assert time.monotonic() - begin < 7  # nobody waited for an answer
        assert set(first) == {200, "too-many-destinations"}
        # A backend of each is known, too.
        assert 3 <= first.count(200) <= 8
        if workers == "1":  # each has a table of its own
            assert many.ask() == first
            assert ask(p.front).status == 200
        refused = first.count("too-many-destinations")
        assert counted(p.outbound,
                       "proxy_over_limit_destinations_total") >= refused
        assert hits(p.outbound, "max-destinations") >= refused
        assert counted(p.outbound, "proxy_session_up") == 1
        assert sessions_begun(p) == joined
        assert "over the limit" not in p.mesh.controller.output()
        assert "too many addresses" in p.outbound.program.output()


def test_controller_that_takes_less(pair):
    """It comes back with a lower limit: nothing that was known is lost."""
    many = Many(8)
    with App() as app, pair(app, **many.settings()) as p:
        assert many.ask() == [200] * 8
        p.mesh.controller.process.terminate()
        assert p.mesh.controller.process.wait(20) == 0
        p.mesh.controller_arguments += ["--max-subscriptions", "5"]
        p.mesh.restart_controller()
        wait_until("both are back", lambda: sessions_begun(p) == 2, 20)

        def asked():
            listed = json.loads(metrics.get(p.mesh.admin, "/v1/sessions")[1])
            return max(sum(sub["asked"] for sub in s["subscriptions"])
                       for s in listed["sessions"])
        wait_until("it has subscribed", lambda: asked() == 5, 10)
        assert many.ask() == [200] * 8
        assert sessions_begun(p) == 2
        assert "over the limit" not in p.mesh.controller.output()
