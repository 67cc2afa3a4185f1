# SPDX-License-Identifier: Apache-2.0
"""Where requests go: endpoints of all kinds, and names that lead nowhere."""
import socket

import pytest

import manifests
from mesh import INBOUND
from pair import NAMESPACE, SERVER_IP
from peers.http1 import App, ask, response
from peers.process import connections_to
from peers.server import Server
from peers.traffic import Traffic
from peers.wire import connect
from programs import free_ports, wait_until

OTHER_IP = "127.2.0.4"


def nobody(host="127.0.0.1"):
    port, = free_ports([host])
    return f"{host}:{port}"


# --- without a proxy ---------------------------------------------------------

def test_unmeshed_backend_gets_plaintext(pair):
    with App(host=SERVER_IP) as app, pair(
            nobody(), manifests=lambda p: p.write_backend(
                port=app.port, meshed=False)) as p:
        assert ask(p.front).body == b"ok\n"
        assert not app.requests[0].all("tulle-client-identity")


def test_unmeshed_backend_gets_bytes(pair):
    with Server(lambda w: w.send(b"got " + w.to_end()), host=SERVER_IP) as app,\
            pair(nobody(), app_protocol="tcp",
                 manifests=lambda p: p.write_backend(
                     port=app.port, meshed=False)) as p, \
            connect(p.front) as c:
        c.send(b"\x00")
        c.half_close()
        assert c.to_end() == b"got \x00"


def test_unmeshed_backend_keeps_connections(pair):
    with App(host=SERVER_IP) as app, pair(
            nobody(), manifests=lambda p: p.write_backend(
                port=app.port, meshed=False)) as p, connect(p.front):
        for _ in range(20):
            assert ask(p.front).status == 200
        assert app.accepted <= 2


def test_meshed_backend_without_its_proxy_gets_nothing(pair):
    """The app itself listens where its proxy should: never plaintext."""
    with App(host=SERVER_IP) as app, pair(
            nobody(), connect_timeout="1s",
            manifests=lambda p: p.write_backend(port=app.port)) as p:
        r = ask(p.front)
        assert r.status == 503
        assert r.fault in ("tls-failed", "connect-timeout")
        assert not app.requests


# --- nowhere -----------------------------------------------------------------

@pytest.mark.parametrize("name, faults", [
    ("pair/nobody:80", ["unknown-destination"]),
    ("pair/backend:81", ["no-endpoints"]),
    ("other/backend:80", ["unknown-destination"]),
])
def test_names_that_lead_nowhere(pair, name, faults):
    own = nobody()
    with App() as app, pair(app, arguments={
            "outbound": ["--outbound", f"{own}={name}"]}) as p:
        r = ask(own)
        assert r.status == 503
        assert r.fault in faults
        assert ask(p.front).status == 200
        assert len(app.requests) == 1


def test_service_that_appears_later(pair):
    own = nobody()
    with App() as app, pair(app, arguments={
            "outbound": ["--outbound", f"{own}=pair/later:80"]}) as p:
        assert ask(own).status == 503
        p.mesh.write(
            "later",
            manifests.service(NAMESPACE, "later", "127.2.1.9"),
            manifests.endpoint_slice(NAMESPACE, "later",
                                     {SERVER_IP: "backend"}, p.port))
        wait_until("it is known", lambda: ask(own).status == 200, 2)


# --- several -----------------------------------------------------------------

class WithBrokenSecond:
    """A second proxy of the same Service whose app is down."""

    def __init__(self, pair, app):
        self.context = pair(app, manifests=self.both)

    @staticmethod
    def both(p):
        p.mesh.write(
            "second",
            manifests.endpoint_slice(NAMESPACE, "backend",
                                     {OTHER_IP: "second"}, p.port,
                                     name="second"),
            manifests.pod(NAMESPACE, "second", "backend", OTHER_IP, p.port))

    def __enter__(self):
        p = self.context.__enter__()
        try:
            p.mesh.await_proxy(p.mesh.start_proxy(
                "second", INBOUND, f"{NAMESPACE}/backend",
                f"{NAMESPACE}/second",
                ["--inbound", f"{OTHER_IP}:{p.port}={nobody()}"]))
            return p
        except BaseException as e:
            self.context.__exit__(type(e), e, e.__traceback__)
            raise

    def __exit__(self, *what):
        return self.context.__exit__(*what)


def test_never_delivered_goes_elsewhere_whatever_the_method(pair):
    """A POST too: its app never saw it, says the proxy before it."""
    with App(lambda m: response(body=m.body)) as app, \
            WithBrokenSecond(pair, app) as p:
        for n in range(30):
            r = ask(p.front, "POST", body=b"%d" % n)
            assert (r.status, r.body) == (200, b"%d" % n)
        assert len(app.requests) == 30


def test_connections_go_elsewhere(pair):
    with Server(lambda w: w.send(w.some())) as app, \
            WithBrokenSecond(pair, app) as p:
        for _ in range(20):
            with connect(p.front) as c:
                c.send(b"\x00hello")
                assert c.to_end() == b"\x00hello"


# --- ways in -----------------------------------------------------------------

def test_ipv6_listener(pair):
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    port, = free_ports(["127.0.0.1"])
    with App() as app, pair(app, arguments={
            "outbound": ["--outbound", f"[::1]:{port}=pair/backend:80"]}):
        with socket.create_connection(("::1", port), 10) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n"
                      b"Connection: close\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("workers", ["2", "4"])
def test_several_workers(pair, workers):
    with App() as app, pair(app, workers=workers) as p:
        with Traffic(p.front, clients=6, keep=False) as traffic:
            traffic.wait(200)
        counted = sum(v for _, v in
                      p.outbound.metrics()["proxy_requests_total"])
        assert counted >= 200
        assert connections_to(p.inbound_mesh) <= int(workers)


def test_links_are_shared(pair):
    """Many clients, one connection between the proxies."""
    with App() as app, pair(app) as p:
        held = [connect(p.front) for _ in range(50)]
        with Traffic(p.front, clients=8) as traffic:
            traffic.wait(400)
            assert connections_to(p.inbound_mesh) == 1
        for c in held:
            c.close()
