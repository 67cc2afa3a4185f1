# SPDX-License-Identifier: Apache-2.0
"""Upgraded connections live long: a proxy that drains keeps them, until they
end or its grace is over, and then it ends them."""
import contextlib
import time

import pytest

import manifests
from pair import CLIENT_IP, CLUSTER_IP, NAMESPACE, SERVER_IP
from peers.h2 import GOAWAY, Link, Plain
from peers.h2client import H2Client
from peers.http1 import (App, ask, read_head, read_request, read_response,
                         request, response)
from peers.server import Server
from peers.wire import Ended, connect
from programs import wait_until
from test_http_upgrade import ASKED, KEY, accept, asking, granting
from test_proxy_life import until_drains

PROTOCOLS = ["websocket", "foo/2", "websocket over HTTP/2"]


def echo_app(wire):
    """Grants any upgrade and echoes bytes; other requests get an answer."""
    while True:
        m = read_request(wire)
        if m.get("upgrade"):
            break
        wire.send(response(body=b"plain"))
    key = m.get("sec-websocket-key")
    wire.send(granting(m.get("upgrade"), [
        ("Sec-WebSocket-Accept", accept(key))] if key else []))
    while True:
        wire.send(wire.some())


class Upgraded:
    """A client of HTTP/1.1 whose connection was upgraded."""

    def __init__(self, to, protocol):
        self.wire = connect(to, 30)
        self.wire.send(request(fields=ASKED if protocol == "websocket"
                               else asking(protocol)))
        head = read_head(self.wire)
        assert head.status == 101
        if protocol == "websocket":
            assert head.get("sec-websocket-accept") == accept(KEY)

    def echo(self, data):
        self.wire.send(data)
        assert self.wire.exactly(len(data)) == data

    def leave(self):
        self.wire.half_close()
        assert self.wire.to_end() == b""

    def await_end(self):
        assert self.wire.how_it_ends() in ("fin", "reset")

    def close(self):
        self.wire.close()


class UpgradedStream:
    """One of HTTP/2."""

    def __init__(self, to, _protocol):
        self.client = H2Client(connect(to, 30))
        self.stream = self.client.begin(
            "CONNECT", pseudo=[(":protocol", "websocket")])
        self.got = self.client.responses[self.stream]
        self.client.until(lambda: self.got.fields)
        assert self.got.status == 200

    def echo(self, data):
        self.got.body = b""
        self.client.send(self.stream, data)
        self.client.until(lambda: len(self.got.body) >= len(data))
        assert self.got.body == data

    def leave(self):
        self.client.send(self.stream, end=True)
        assert self.client.answer(self.stream).reset is None

    def await_end(self):
        with contextlib.suppress(Ended, ConnectionError):
            assert self.client.answer(self.stream).reset is not None

    def close(self):
        self.client.wire.close()


def upgraded(to, protocol):
    kind = UpgradedStream if "HTTP/2" in protocol else Upgraded
    return contextlib.closing(kind(to, protocol))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("who", ["inbound", "outbound"])
def test_kept_until_the_grace_ends(pair, who, protocol):
    grace = 1
    with Server(echo_app) as app, pair(app, shutdown_grace=f"{grace}s") as p, \
            upgraded(p.front, protocol) as tunnel:
        tunnel.echo(b"before")
        proxy = getattr(p, who)
        start = time.monotonic()
        proxy.program.process.terminate()
        until_drains(proxy)
        tunnel.echo(b"meanwhile")
        tunnel.await_end()
        assert time.monotonic() - start >= grace
        assert proxy.program.process.wait(15) == 0
        assert "grace period is over" in proxy.program.output()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("who", ["inbound", "outbound"])
def test_not_waited_for_longer_than_it_lives(pair, who, protocol):
    with Server(echo_app) as app, pair(app, shutdown_grace="60s") as p, \
            upgraded(p.front, protocol) as tunnel:
        proxy = getattr(p, who)
        proxy.program.process.terminate()
        until_drains(proxy)
        tunnel.echo(b"meanwhile")
        tunnel.leave()
        tunnel.close()
        assert proxy.program.process.wait(20) == 0
        assert "grace period is over" not in proxy.program.output()


def deleted(pod):
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return pod


def write_leaving(p):
    """The backend's pod is being deleted, as Kubernetes shows it."""
    pod = deleted(manifests.pod(NAMESPACE, "backend", "backend", SERVER_IP,
                                p.port))
    ends = manifests.endpoint_slice(NAMESPACE, "backend",
                                    {SERVER_IP: "backend"}, p.port)
    ends["endpoints"][0]["conditions"] = {"ready": False, "serving": True,
                                          "terminating": True}
    p.mesh.write("backend", manifests.service(NAMESPACE, "backend", CLUSTER_IP,
                                              app_protocol=p.app_protocol),
                 ends, pod)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pod_that_is_deleted(pair, protocol):
    """Others are told to go elsewhere; a tunnel outlives that, by as much as
    the proxy lives: it is the application's to end."""
    with Server(echo_app) as app, pair(app, shutdown_grace="2s") as p, \
            upgraded(p.front, protocol) as tunnel, \
            upgraded(p.inbound_mesh, protocol) as plain, \
            connect(p.inbound_mesh) as other:
        other.send(request())
        read_response(other)
        write_leaving(p)

        def told():
            other.send(request())
            return "close" in (read_response(other).get("connection") or "")
        wait_until("clients are told to go", told, 20)
        for n in range(20):
            tunnel.echo(b"%d" % n)
            plain.echo(b"%d" % n)
        p.inbound.program.process.terminate()
        until_drains(p.inbound)
        tunnel.echo(b"still")
        plain.echo(b"there")
        tunnel.await_end()
        plain.await_end()
        assert p.inbound.program.process.wait(15) == 0


def is_told(wire):
    """Whether an answer on this connection of HTTP/1 says that it is the last."""
    wire.send(request())
    r = read_response(wire)
    assert r.status == 200
    return "close" in (r.get("connection") or "")


def until_leaving(p):
    with connect(p.inbound_mesh) as old:
        write_leaving(p)
        wait_until("clients are told to go", lambda: is_told(old), 20)


def test_who_comes_to_a_deleted_pod_is_told(pair):
    """Its proxy lives on, so that the drain has not begun yet: who connects
    meanwhile is served, and shall not stay either."""
    with App() as app, pair(app, app_protocol="http1") as p:
        until_leaving(p)
        with connect(p.inbound_mesh) as c:
            assert is_told(c)
            assert c.to_end() == b""
        with Plain(p.inbound_mesh) as c:
            c.begin().send(c.head(1))
            c.until_frame(lambda f: f.kind == GOAWAY)
            assert c.how_it_ends() == "fin"
        with Link(p.inbound_mesh, p.certs) as link:
            link.begin().send(link.head(1))
            assert link.answer(1)[0] == 200
            link.until_frame(lambda f: f.kind == GOAWAY)
            assert link.how_it_ends() == "fin"
        for _ in range(20):  # and links come and go without an error
            assert ask(p.front).status == 200


def test_deleted_pod_may_still_ask(pair):
    """Whoever it talks to shall stay: its application has things to finish."""
    with App() as app, pair(app) as p, connect(p.front) as old:
        assert not is_told(old)
        p.mesh.write("client", deleted(manifests.pod(
            NAMESPACE, "client", "client", CLIENT_IP)))
        wait_until("the proxy knows", lambda: knows(p.outbound), 20)
        assert not is_told(old)
        with connect(p.front) as c:
            assert not is_told(c)
            assert not is_told(c)


def knows(proxy):
    status, page = proxy.get("/config")
    return status == 200 and '"terminating":true' in page.replace(" ", "")
