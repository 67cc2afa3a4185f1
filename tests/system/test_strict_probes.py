# SPDX-License-Identifier: Apache-2.0
"""Strict mTLS and the kubelet's plain probes: let in by exact port, path and the
node's address, and nothing beside them."""
import socket

import pytest

import manifests
from pair import NAMESPACE, SERVER_IP
from peers.h2app import H2App
from peers.h2client import H2Client
from peers.http1 import (App, CHUNKED, CLOSE, ask, read_response, request,
                         response)
from peers.podmesh import APP, IN
from peers.server import Server
from peers.wire import Wire, address, connect
from programs import free_ports, wait_until

NODE, STRANGER = "127.2.0.77", "127.2.0.78"


def with_probes(*probes, host_ips=(NODE,)):
    """Changes a pair's manifests: the backend's app has these probes."""
    def change(p):
        pod = manifests.pod(NAMESPACE, "backend", "backend", SERVER_IP, p.port,
                            annotations={"tulle.dev/mtls": "strict"})
        kinds = ["livenessProbe", "readinessProbe", "startupProbe"]
        for kind, probe in zip(kinds, probes):
            pod["spec"]["containers"][0][kind] = probe
        pod["status"]["hostIPs"] = [{"ip": ip} for ip in host_ips]
        p.mesh.write(
            "backend",
            manifests.service(NAMESPACE, "backend", "127.2.1.1"),
            manifests.endpoint_slice(NAMESPACE, "backend",
                                     {SERVER_IP: "backend"}, p.port),
            pod)
    return change


def http(path, port="main"):
    return {"httpGet": {"path": path, "port": port}}


def grpc(port):
    return {"grpc": {"port": port}}


def connect_from(source, to):
    s = socket.socket()
    s.bind((source, 0))
    s.settimeout(10)
    s.connect(address(to))
    return Wire(s)


def status_from(source, to, method="GET", target="/healthz", fields=(),
                body=b""):
    """The status, or "reset" when the connection is not taken."""
    try:
        with connect_from(source, to) as wire:
            wire.send(request(method, target, [CLOSE, *fields], body))
            r = read_response(wire, method)
            return r.status if r.status == 200 else (r.status, r.fault)
    except ConnectionError:
        return "reset"


REFUSED = (403, "unauthenticated")


def test_http_probe(pair):
    with App() as app, pair(
            app, strict=True,
            manifests=with_probes(http("/healthz"), http("/r?deep=1"))) as p:
        to = p.inbound_mesh
        assert status_from(NODE, to) == 200
        assert status_from(NODE, to, target="/r?deep=1") == 200
        assert status_from(STRANGER, to) == "reset"
        for target in ("/", "/healthz/", "/healthz?x", "/r", "/r?deep=2",
                       "//healthz", "/healthz/../secret", "/%68ealthz",
                       "http://test/healthz"):
            assert status_from(NODE, to, target=target) == REFUSED, target
        for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get"):
            assert status_from(NODE, to, method) == REFUSED, method
        assert status_from(NODE, to, body=b"x") == REFUSED
        assert status_from(NODE, to, fields=[CHUNKED]) == REFUSED
        assert status_from(NODE, to, fields=[
            ("Upgrade", "websocket"), ("Connection", "upgrade")]) == REFUSED
        assert [r.target for r in app.requests] == ["/healthz", "/r?deep=1"]
        assert not any(r.all("tulle-client-identity") for r in app.requests)
        assert ask(p.front).status == 200  # who has mTLS is let in as ever


def test_each_request_is_judged(pair):
    """A connection that began with a probe is no way in."""
    with App() as app, pair(app, strict=True,
                            manifests=with_probes(http("/healthz"))) as p:
        with connect_from(NODE, p.inbound_mesh) as wire:
            for target, want in (("/healthz", 200), ("/secret", 403),
                                 ("/healthz", 200)):
                wire.send(request(target=target))
                assert read_response(wire).status == want
            wire.send(request(target="/healthz") + request(target="/secret"))
            assert read_response(wire).status == 200
            assert read_response(wire).status == 403
        assert {r.target for r in app.requests} == {"/healthz"}


@pytest.mark.parametrize("first", [b"\x00\x01", b"SSH-2.0-x\r\n",
                                   b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                   b"\x16\x03\x01\x00\x05hello"])
def test_other_bytes_go_nowhere(pair, first):
    with Server(lambda w: w.to_end()) as app, pair(
            app, strict=True, manifests=with_probes(http("/healthz"))) as p:
        with connect_from(NODE, p.inbound_mesh) as wire:
            wire.send(first)
            wire.half_close()
            assert b" 200 " not in read_all(wire)
        assert app.accepted == 0


def read_all(wire):
    try:
        return wire.to_end()
    except ConnectionError:
        return b""


def test_opaque_port_with_http_probe(pair):
    """The declaration says opaque, the probe HTTP: still nothing but it."""
    def change(p):
        with_probes(http("/healthz"))(p)
        p.mesh.write("backend-service", manifests.service(
            NAMESPACE, "backend", "127.2.1.1", app_protocol="tcp"))
    with App() as app, pair(app, strict=True, manifests=change) as p:
        assert status_from(NODE, p.inbound_mesh) == 200
        assert status_from(NODE, p.inbound_mesh, target="/x") == REFUSED
        assert len(app.requests) == 1


CHECK = "/grpc.health.v1.Health/Check"
GRPC = [("content-type", "application/grpc"), ("te", "trailers")]
EMPTY = bytes(5)  # a message without content


def test_grpc_probe(pair):
    """Of the node, and nothing but it."""
    with H2App() as app:
        def change(p):
            with_probes(grpc(p.port), http("/healthz"))(p)
        with pair(app, strict=True, manifests=change) as p:
            with H2Client(connect_from(NODE, p.inbound_mesh)) as c:
                assert c.ask("POST", CHECK, GRPC, EMPTY).status == 200
                for path, fields in (("/grpc.health.v1.Health/Watch", GRPC),
                                     (CHECK + "/", GRPC), (CHECK + "?x", GRPC),
                                     ("/shop.Cart/Check", GRPC)):
                    r = c.ask("POST", path, fields, EMPTY)
                    assert (r.status, r.get("grpc-status")) == (200, "7"), path
                    assert r.fault == "unauthenticated"
                for method, path in (("GET", CHECK), ("PUT", CHECK),
                                     ("POST", CHECK), ("GET", "/healthz")):
                    r = c.ask(method, path, body=b"x")
                    assert (r.status, r.fault) == (403, "unauthenticated")
                r = c.answer(c.begin("CONNECT", CHECK, GRPC, pseudo=[
                    (":protocol", "websocket")]))
                assert r.fault == "unauthenticated"
            assert status_from(NODE, p.inbound_mesh, "POST", CHECK,
                               GRPC[:1], EMPTY) == REFUSED
            assert len(app.requests) == 1
            with connect_from(STRANGER, p.inbound_mesh) as wire:
                wire.send(b"PRI")
                assert wire.how_it_ends() == "reset"


def test_no_probe_no_exemption(pair):
    port, = free_ports(["127.0.0.1"])
    with App() as app, pair(app, strict=True,
                            manifests=with_probes(http("/healthz", port))) as p:
        assert status_from(NODE, p.inbound_mesh) == "reset"
        assert not app.requests


def test_probes_that_come_later(pair):
    """A view that changes under an open connection."""
    with App() as app, pair(app, strict=True) as p:
        assert status_from(NODE, p.inbound_mesh) == "reset"
        with_probes(http("/healthz"))(p)
        wait_until("it is let in",
                   lambda: status_from(NODE, p.inbound_mesh) == 200, 5)
        with connect_from(NODE, p.inbound_mesh) as wire:
            wire.send(request(target="/healthz"))
            assert read_response(wire).status == 200
            with_probes(http("/other"))(p)
            wait_until("it is another",
                       lambda: status_from(NODE, p.inbound_mesh,
                                           target="/other") == 200, 5)
            wire.send(request(target="/healthz"))
            assert read_response(wire).status == 403
        assert ask(p.front).status == 200
        del app


# --- behind packet rules -----------------------------------------------------

def probed_pod(pods, host_ips):
    def change(manifest):
        manifest["spec"]["containers"][0]["livenessProbe"] = http("/healthz")
        manifest["status"]["hostIPs"] = [{"ip": ip} for ip in host_ips]
    # Both families by name, as somebody may write it: they share the port.
    web = pods.pod("web", strict=True, change=change, proxy=[
        "--inbound-transparent", f"0.0.0.0:{IN},[::]:{IN}"])
    pods.await_all()
    return web


def app_in(pod):
    with pod.inside():
        return App(lambda _: response(body=b"fine\n"), host="::", port=APP)


@pytest.mark.parametrize("host_ips", [
    ["10.77.0.1", "fd77::1"],  # the API says where the kubelet comes from
    ["203.0.113.1"],           # it does not: then the pod's gateway is known
])
def test_kubelet_and_neighbours(pods, host_ips):
    web = probed_pod(pods, host_ips)
    other = pods.pod("other", meshed=False)
    with app_in(web) as app:
        for ip in (web.ip, f"[{web.ip6}]"):
            with pods.node.inside():
                assert ask(f"{ip}:{APP}", target="/healthz").status == 200
                assert ask(f"{ip}:{APP}", target="/").fault == \
                    "unauthenticated"
            with other.inside(), pytest.raises(OSError):
                ask(f"{ip}:{APP}", target="/healthz")
        assert [r.target for r in app.requests] == ["/healthz"] * 2


def test_node_address_as_a_setting(pair):
    """For a pod whose controller does not know its node."""
    with App() as app, pair(
            app, strict=True, inbound__node_ips=NODE,
            manifests=with_probes(http("/healthz"), host_ips=())) as p:
        assert status_from(NODE, p.inbound_mesh) == 200
        assert status_from(STRANGER, p.inbound_mesh) == "reset"
        with connect(p.front):
            pass
        assert len(app.requests) == 1
