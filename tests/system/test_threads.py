# SPDX-License-Identifier: Apache-2.0
"""Proxies of several workers while everything that threads share changes at
once. The thread sanitizer's build runs these (`scripts/test tsan`): a data race
is a report in a log, and `pair` fails. Other builds prove that nothing is lost.
"""
import contextlib
import threading

import pytest

import metrics
from peers.http1 import App, ask, either, request
from peers.process import Background
from peers.server import Server
from peers.traffic import Traffic
from peers.wire import Ended, connect
from programs import free_ports, wait_until
from test_admin import put
from test_proxy_life import two_backends, until_drains

pytestmark = pytest.mark.threads

WORKERS = "3"
NAMES = 12


class Repeated:
    """As a context: does `work()` again and again, in a thread of its own."""

    def __init__(self, work, pause=0.02):
        self.work, self.pause, self.done = work, pause, 0
        self._stop = threading.Event()

    def _run(self):
        while not self._stop.is_set():
            self.work()
            self.done += 1
            self._stop.wait(self.pause)  # its rate

    def __enter__(self):
        self.thread = Background(self._run)
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        if kind is None:
            self.thread.get(30)
            assert self.done
        else:
            self.thread.join(30)


def echo(to, size):
    def work():
        with connect(to) as c:
            said = b"\x00" + bytes(size)
            c.send(said)
            assert c.exactly(len(said)) == said
            c.half_close()
    return work


def look(p):
    """Everything that an admin page collects from workers."""
    levels = iter(["debug", "info"] * 100000)

    def work():
        for proxy in (p.outbound, p.inbound):
            assert proxy.metrics()["proxy_session_up"]
            for page in ("/config", "/ready", "/version"):
                assert proxy.get(page)[0] == 200
            assert put(proxy.admin, "/log-level", next(levels))[0] == 200
        for page in ("/metrics", "/v1/registry", "/v1/sessions"):
            assert metrics.get(p.mesh.admin, page)[0] == 200
    return work


def certificates_issued(p):
    (_, value), = metrics.scrape(p.mesh.admin)[
        "controller_certificates_issued_total"]
    return value


def in_vain(nowhere):
    """A fault, or a reset when the client was slow to speak."""
    def work():
        for to in nowhere:
            with contextlib.suppress(OSError, Ended):
                assert ask(to).fault
    return work


def outbound_names(names):
    """Listeners for Services that there are not: keys that come and go."""
    ports = free_ports(["127.0.0.1"] * names)
    flags = []
    for n, port in enumerate(ports):
        flags += ["--outbound", f"127.0.0.1:{port}=pair/nobody{n}:80"]
    return [f"127.0.0.1:{port}" for port in ports], flags


# --- everything at once ------------------------------------------------------

def test_everything_changes_under_load(pair):
    """Requests and bytes on kept and on new connections, while endpoints come
    and go, modes change, certificates are renewed, and everybody looks."""
    nowhere, flags = outbound_names(NAMES)

    with Server(either) as app, two_backends(
            pair, app, workers=WORKERS, controller__cert_life="10s",
            access_log="true", arguments={"outbound": flags}) as p, \
            Traffic(p.front, clients=4) as kept, \
            Traffic(p.front, clients=3, keep=False) as fresh, \
            Repeated(echo(p.front, 100)), Repeated(echo(p.front, 300000)), \
            Repeated(look(p), pause=0.1), \
            Repeated(in_vain(nowhere), pause=0.5):
        before = certificates_issued(p)
        there = True
        for n in range(12):
            there = not there
            p.write_second(there)
            p.strict = n % 3 == 0
            p.write_manifests()  # the proxies' own pods change, too
            kept.wait(40)
            fresh.wait(10)
        wait_until("all proxies have renewed twice",
                   lambda: certificates_issued(p) >= before + 6, 40)
        kept.wait(40)


def test_controller_comes_back_under_load(pair):
    with Server(either) as app, pair(app, workers=WORKERS) as p, \
            Traffic(p.front, clients=4) as traffic, \
            Repeated(echo(p.front, 100)):
        for _ in range(2):
            p.mesh.controller.process.terminate()
            assert p.mesh.controller.process.wait(20) == 0
            traffic.wait(100)
            p.mesh.restart_controller()
            p.write_backend(addresses={})
            p.write_backend()
            traffic.wait(100)


# --- the end of workers ------------------------------------------------------

def test_drains_under_load(pair):
    """The inbound side first, then the other, with requests and connections of
    every worker under way."""
    with Server(either) as app, two_backends(
            pair, app, workers=WORKERS, shutdown_grace="5s") as p:
        held = [connect(p.front) for _ in range(9)]
        for c in held:
            c.send(b"\x00")
            assert c.exactly(1) == b"\x00"
        with Traffic(p.front, clients=4) as kept:
            kept.wait(40)
            p.second.program.process.terminate()
            p.write_second(False)
            kept.wait(100)
            for c in held:
                c.close()
            assert p.second.program.process.wait(20) == 0
        asking = Background(lambda: ask_until_it_ends(p.front))
        wait_until("requests", lambda: app.accepted > 0, 10)
        p.outbound.program.process.terminate()
        until_drains(p.outbound)
        asking.get(20)
        assert p.outbound.program.process.wait(20) == 0


def ask_until_it_ends(to):
    try:
        while True:
            ask(to)
    except (OSError, Ended):
        pass


def test_killed_peers_and_clients(pair):
    """Resets from both sides, on all workers. Requests that the killed proxy
    had are lost; those that come later are not."""
    with App() as app, two_backends(pair, app, workers=WORKERS) as p:
        def rude():
            for data in (b"", b"\x00", request(), b"POST / HTTP/1.1\r\nHost: "
                         b"a\r\nContent-Length: 1000\r\n\r\nxx"):
                c = connect(p.front)
                c.send(data)
                c.reset()
        def polite():
            with contextlib.suppress(OSError, Ended):
                ask(p.front)
        with Repeated(rude), Repeated(polite, 0), Repeated(polite, 0) as more:
            wait_until("traffic", lambda: more.done > 50, 20)
            p.mesh.expected_dead.append(p.second.program)
            p.second.program.process.kill()
            p.second.program.process.wait()
            done = more.done
            wait_until("traffic", lambda: more.done > done + 50, 20)
            for _ in range(20):
                assert ask(p.front).status == 200
