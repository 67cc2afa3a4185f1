# SPDX-License-Identifier: Apache-2.0
"""Proxies that hang, renew their certificates, and go."""
import queue
import signal
import threading
import time

import pytest

from mesh import INBOUND
from pair import NAMESPACE
from peers.http1 import (App, ask, either, read_head, read_request,
                         read_response, request, response)
from peers.process import Background, stopped
from peers.server import Server
from peers.traffic import Traffic
from peers.wire import connect
from programs import wait_until

OTHER_IP = "127.2.0.3"


# --- a frozen peer -----------------------------------------------------------

def test_frozen_peer_is_noticed(pair):
    """With the settings of production: within 30 s a request that hangs on a
    frozen proxy gets its answer, and an opaque connection its end."""
    def play(wire):
        if wire.some() == b"\x00":
            wire.send(b"in")
            wire.to_end()

    with Server(play) as app, pair(app) as p, connect(p.front, 40) as opaque, \
            connect(p.front, 40) as http:
        opaque.send(b"\x00")
        assert opaque.exactly(2) == b"in"
        http.send(request())
        app.wait_accepted(2)
        begin = time.monotonic()
        with stopped(p.inbound.program.process):
            answer = Background(lambda: read_response(http))
            assert opaque.how_it_ends() in ("fin", "reset")
            r = answer.get()
            assert r.status in (502, 503, 504)
            assert r.fault
            assert time.monotonic() - begin < 32


def test_new_requests_do_not_wait_for_a_frozen_peer(pair):
    with App() as app, pair(app, link_ping="300ms", link_dead="1s",
                            connect_timeout="1s") as p:
        assert ask(p.front).status == 200
        with stopped(p.inbound.program.process):
            r = ask(p.front, "POST", body=b"x")
            assert r.status in (502, 503, 504)
            r = ask(p.front)  # not on the dead link
            assert r.fault in ("connect-timeout", "connect-failed",
                               "tls-failed", "upstream-reset")
        wait_until("it is found again", lambda: ask(p.front).status == 200,
                   15)


def test_frozen_peer_is_left_for_another(pair):
    with App() as app, two_backends(pair, app, link_ping="300ms",
                                    link_dead="1s",
                                    connect_timeout="500ms") as p:
        for _ in range(20):
            assert ask(p.front).status == 200
        with stopped(p.inbound.program.process):
            wait_until("only the other is used",
                       lambda: all(ask(p.front).status == 200
                                   for _ in range(10)), 30)


# --- two backends ------------------------------------------------------------

class two_backends:  # pylint: disable=invalid-name
    """A pair with a second inbound proxy, `p.second`, before the same app or
    one of its own."""

    def __init__(self, pair, app, second_app=None, **settings):
        self.second_app = second_app or app
        self.context = pair(app, manifests=self.both, **settings)

    def both(self, p):
        # Slices have one port for all their addresses.
        p.write_second = lambda there=True: self.write(p, there)
        p.write_second()

    @staticmethod
    def write(p, there):
        import manifests  # pylint: disable=import-outside-toplevel
        p.mesh.write(
            "second",
            manifests.endpoint_slice(NAMESPACE, "backend",
                                     {OTHER_IP: "second"} if there else {},
                                     p.port, name="second"),
            manifests.pod(NAMESPACE, "second", "backend", OTHER_IP, p.port))

    def __enter__(self):
        p = self.context.__enter__()
        p.start_second = lambda: p.mesh.await_proxy(p.mesh.start_proxy(
            "second", INBOUND, f"{NAMESPACE}/backend", f"{NAMESPACE}/second",
            ["--inbound", f"{OTHER_IP}:{p.port}={self.second_app.address}",
             *p.settings["inbound"]]))
        try:
            p.second = p.start_second()
            return p
        except BaseException as e:
            self.context.__exit__(type(e), e, e.__traceback__)
            raise

    def __exit__(self, *what):
        return self.context.__exit__(*what)


def test_backend_that_dies_costs_nothing(pair):
    """Killed: requests that were never delivered go to the other."""
    with App() as app, two_backends(pair, app) as p:
        assert ask(p.front).status == 200
        p.mesh.expected_dead.append(p.second.program)
        p.second.program.process.kill()
        p.second.program.process.wait()
        for _ in range(50):
            assert ask(p.front).status == 200


def test_both_backends_are_used(pair):
    with App() as app, two_backends(pair, app) as p:
        with Traffic(p.front, clients=4) as traffic:
            traffic.wait(300)
        for proxy in (p.inbound, p.second):
            served = sum(v for labels, v in
                         proxy.metrics()["proxy_requests_total"]
                         if labels["direction"] == "inbound")
            assert served > 30


def until_drains(proxy):
    wait_until("it drains", lambda: "draining" in proxy.program.output(), 5)


# --- drain -------------------------------------------------------------------

def test_inbound_drains_without_an_error(pair):
    """As in a rolling update: SIGTERM, and the slice forgets it meanwhile."""
    with App() as app, two_backends(pair, app, shutdown_grace="10s") as p, \
            Traffic(p.front, clients=4) as kept, \
            Traffic(p.front, clients=2, keep=False) as fresh:
        kept.wait(50)
        p.second.program.process.terminate()
        p.write_second(False)
        kept.wait(200)
        fresh.wait(50)
        assert p.second.program.process.wait(20) == 0
        kept.wait(50)


def test_inbound_drains_though_the_slice_still_names_it(pair):
    with App() as app, two_backends(pair, app) as p, \
            Traffic(p.front, clients=4) as traffic:
        traffic.wait(50)
        p.second.program.process.terminate()
        traffic.wait(200)
        assert p.second.program.process.wait(20) == 0
        traffic.wait(50)


def test_inbound_drains_under_new_traffic(pair):
    """There is no moment without a connection, as nobody has heard that the pod
    goes: when those that were there have gone, new ones are refused."""
    arrived = queue.Queue()

    def play(wire):
        read_request(wire)
        go = threading.Event()
        arrived.put(go)
        assert go.wait(30)
        wire.send(response(body=b"ok\n"))

    def begin():
        wire = connect(p.inbound_mesh)
        wire.send(request())
        return wire, arrived.get(timeout=10)

    def end(begun):
        wire, go = begun
        go.set()
        r = read_response(wire)
        wire.close()
        return r.status

    with Server(play) as app, pair(app, shutdown_grace="10s") as p:
        last = begin()
        p.inbound.program.process.terminate()
        until_drains(p.inbound)
        with pytest.raises(ConnectionRefusedError):
            while True:
                new = begin()
                assert end(last) == 200
                last = new
        assert end(last) == 200
        assert p.inbound.program.process.wait(15) == 0
        assert "grace period is over" not in p.inbound.program.output()


def test_request_in_flight_survives_the_drain_of_inbound(pair):
    go, waiting = threading.Event(), threading.Event()

    def play(wire):
        read_request(wire)
        waiting.set()
        assert go.wait(20)
        wire.send(response(body=b"at last"))

    with Server(play) as app, pair(app, shutdown_grace="10s") as p, \
            connect(p.front) as c:
        c.send(request())
        assert waiting.wait(10)
        p.inbound.program.process.terminate()
        until_drains(p.inbound)
        go.set()
        assert read_response(c).body == b"at last"
        assert p.inbound.program.process.wait(15) == 0


def test_request_in_flight_survives_the_drain_of_outbound(pair):
    go, waiting = threading.Event(), threading.Event()

    def play(wire):
        while True:
            read_head(wire)
            waiting.set()
            assert go.wait(20)
            wire.send(response(body=b"at last"))

    with Server(play) as app, pair(app, shutdown_grace="10s") as p, \
            connect(p.front) as c, connect(p.front) as idle:
        go.set()
        idle.send(request())
        assert read_response(idle).status == 200
        go.clear()
        waiting.clear()
        c.send(request())
        assert waiting.wait(10)
        p.outbound.program.process.terminate()
        # Idle clients may still ask: they are told to go.
        until_drains(p.outbound)
        go.set()
        r = read_response(c)
        assert r.body == b"at last"
        assert "close" in r.get("connection")
        assert c.to_end() == b""
        idle.close()
        assert p.outbound.program.process.wait(15) == 0


def test_outbound_drains_under_load(pair):
    """Whoever is told to close, and does, loses nothing until it is gone."""
    with App() as app, pair(app, shutdown_grace="10s") as p:
        c = connect(p.front)
        answers = []

        def ask_until_told():
            while True:
                c.send(request())
                r = read_response(c)
                answers.append(r.status)
                if "close" in (r.get("connection") or ""):
                    return
        asking = Background(ask_until_told)
        wait_until("traffic", lambda: len(answers) > 20, 10)
        p.outbound.program.process.terminate()
        asking.get(15)
        c.close()
        assert set(answers) == {200}
        assert p.outbound.program.process.wait(15) == 0


def test_opaque_connections_may_end_by_themselves(pair):
    def play(wire):
        while True:
            wire.send(wire.some())

    with Server(play) as app, pair(app, app_protocol="tcp",
                                   shutdown_grace="10s") as p, \
            connect(p.front) as c:
        c.send(b"\x00a")
        assert c.exactly(2) == b"\x00a"
        p.inbound.program.process.terminate()
        until_drains(p.inbound)
        c.send(b"still there")
        assert c.exactly(11) == b"still there"
        c.half_close()
        assert c.to_end() == b""
        assert p.inbound.program.process.wait(15) == 0


def test_grace_ends(pair):
    """Whoever never ends is cut when the grace is over."""
    with Server(lambda w: w.to_end()) as app, \
            pair(app, app_protocol="tcp", shutdown_grace="1s") as p, \
            connect(p.front) as c:
        c.send(b"\x00")
        app.wait_accepted(1)
        begin = time.monotonic()
        p.outbound.program.process.terminate()
        assert c.how_it_ends() in ("fin", "reset")
        assert p.outbound.program.process.wait(10) == 0
        assert time.monotonic() - begin < 6


def test_second_sigterm_leaves_at_once(pair):
    with Server(lambda w: w.to_end()) as app, \
            pair(app, app_protocol="tcp", shutdown_grace="30s") as p, \
            connect(p.front) as c:
        c.send(b"\x00")
        app.wait_accepted(1)
        process = p.outbound.program.process
        process.terminate()
        until_drains(p.outbound)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0  # long before the grace is over
        assert "leaving at once" in p.outbound.program.output()


# --- certificates ------------------------------------------------------------

def expiry(proxy):
    (_, value), = proxy.metrics()[
        "proxy_certificate_expiry_timestamp_seconds"]
    return value


def test_certificates_are_renewed_under_load(pair):
    """Half-lives pass while requests go on: links with old certificates are
    left for new ones."""
    with Server(either) as app, pair(app, controller__cert_life="20s", log_level="debug") as p, \
            connect(p.front) as long, Traffic(p.front, clients=3) as traffic:
        long.send(b"\x00before")
        assert long.exactly(7) == b"\x00before"
        first = {proxy: expiry(proxy) for proxy in (p.inbound, p.outbound)}

        def renewed(seconds):
            traffic.wait(1)
            return all(expiry(proxy) >= old + seconds
                       for proxy, old in first.items())
        wait_until("both renew", lambda: renewed(5), 20)
        # A link outlives the renewal, though not the certificate itself.
        long.send(b"\x00after")
        assert long.exactly(6) == b"\x00after"
        wait_until("both renew again", lambda: renewed(15), 20)
        traffic.wait(50)
