# SPDX-License-Identifier: Apache-2.0
"""IPv6, both families at once, pods by their own address, and what is outside:
behind real packet rules, and with explicit listeners."""
import contextlib
import socket

import pytest

import manifests
from pair import NAMESPACE
from peers.http1 import App, ask
from peers.podmesh import APP, metrics
from peers.server import Server
from peers.wire import connect
from programs import free_ports

SHOP = "shop"
IDENTITY = "spiffe://cluster.local/ns/shop/sa/"
MYSQL = 3306  # allow fixed-port: the number is what is looked at, in a namespace


def app_in(pod, answer=None, host="::", port=APP):
    with pod.inside():
        return App(*filter(None, [answer]), host=host, port=port)


def server_in(pod, script, port=APP):
    with pod.inside():
        return Server(script, host="::", port=port)


def ask_from(pod, to, **options):
    with pod.inside():
        return ask(to, **options)


def first_words(pod, to):
    """What a server says before its client does."""
    with pod.inside(), connect(to) as c:
        return c.until(b"\r\n")


def banner(wire):
    wire.send(b"220 ready\r\n")
    wire.to_end()


def counted(pod, name, **labels):
    return sum(v for at, v in metrics(pod).get(name, [])
               if all(at.get(k) == x for k, x in labels.items()))


def only(ip):
    """A pod as the controller sees it when it has this address alone."""
    def change(manifest):
        manifest["status"].update(podIP=ip(manifest), podIPs=[
            {"ip": ip(manifest)}])
    return change


def sixth(manifest):
    return manifest["status"]["podIPs"][1]["ip"]


def service(name, ips, port_name="main", **spec):
    """`ips`: its addresses; none: headless."""
    s = manifests.service(SHOP, name, ips[0] if ips else "None",
                          port_name=port_name)
    s["spec"].update(
        clusterIPs=list(ips) or ["None"], ipFamilies=[
            "IPv6" if ":" in ip else "IPv4" for ip in ips] or ["IPv4"], **spec)
    return s


def endpoints(name, addresses, port=APP, port_name="main"):
    """A slice for each family."""
    out = []
    for kind, v6 in (("IPv4", False), ("IPv6", True)):
        s = manifests.endpoint_slice(
            SHOP, name, {ip: pod for ip, pod in addresses.items()
                         if (":" in ip) == v6}, port, f"{name}-{kind.lower()}",
            port_name)
        s["addressType"] = kind
        out += [s] if s["endpoints"] else []
    return out


# --- Services of one family and of both --------------------------------------

def test_ipv6_alone(pods):
    """Pods and Service have no other address; requests and bytes."""
    client = pods.pod("client", strict=True, change=only(sixth))
    web = pods.pod("web", strict=True, change=only(sixth))
    pods.tell("six", service("web", ["fd96::9"]),
              *endpoints("web", {web.ip6: "web"}))
    pods.await_all()
    with app_in(web) as app:
        r = ask_from(client, "[fd96::9]:80")
        assert (r.status, r.body) == (200, b"ok\n")
        assert app.requests[0].get("tulle-client-identity") == \
            IDENTITY + "client"
    with server_in(web, banner):
        assert first_words(client, "[fd96::9]:80") == b"220 ready\r\n"
    assert counted(web, "proxy_tcp_connections_total", tls="true",
                   peer=IDENTITY + "client") == 1


def test_pods_of_different_families(pods):
    """One Service, one pod of IPv4 alone, one of IPv6 alone, one of both: each
    gets its share, by either address of the Service."""
    client = pods.pod("client", strict=True)
    web = {"four": pods.pod("four", strict=True, change=only(
               lambda m: m["status"]["podIP"])),
           "six": pods.pod("six", strict=True, change=only(sixth)),
           "both": pods.pod("both", strict=True)}
    pods.tell("mixed", service("web", ["10.96.1.9", "fd96::9"]), *endpoints(
        "web", {web["four"].ip: "four", web["six"].ip6: "six",
                web["both"].ip: "both", web["both"].ip6: "both"}))
    pods.await_all()
    with contextlib.ExitStack() as stack:
        apps = {n: stack.enter_context(app_in(p)) for n, p in web.items()}
        for to in ("10.96.1.9:80", "[fd96::9]:80"):
            before = {n: len(a.requests) for n, a in apps.items()}
            for _ in range(30):
                assert ask_from(client, to).status == 200
            for n, a in apps.items():
                assert len(a.requests) > before[n], n
        assert all(m.get("tulle-client-identity") == IDENTITY + "client"
                   for a in apps.values() for m in a.requests)


# --- pods by their own address -----------------------------------------------

def test_peers_of_a_stateful_set(pods):
    """A headless Service: who is asked for answers, as itself, over mTLS, and
    what the Service declares holds."""
    db = [pods.pod(f"db-{n}", strict=True) for n in range(3)]
    pods.tell("db", service("db", [], "tcp-db", publishNotReadyAddresses=True),
              *endpoints("db", {ip: p.name for p in db
                                for ip in (p.ip, p.ip6)}, port_name="tcp-db"))
    pods.await_all()

    def named(pod):
        return lambda w: w.send(pod.name.encode() + b"\r\n") or w.to_end()

    with contextlib.ExitStack() as stack:
        for p in db:
            stack.enter_context(server_in(p, named(p)))
        for a in db:
            for b in db:
                for to in (b.ip, f"[{b.ip6}]"):
                    assert first_words(a, f"{to}:{APP}") == \
                        b.name.encode() + b"\r\n"
        for p in db:
            # declared by the Service: nobody waited
            assert counted(p, "proxy_detect_timeouts_total") == 0
            for other in db:
                assert counted(p, "proxy_tcp_connections_total", tls="true",
                               direction="inbound",
                               peer=IDENTITY + other.name) == \
                    (0 if other is p else 2)


# --- outside -----------------------------------------------------------------

def test_service_without_selector(pods):
    """Addresses that somebody wrote down: no identity, so no mTLS, but a Service
    with its protocol and its balancing; a pod among them keeps its identity."""
    client, web = pods.pod("client"), pods.pod("web", strict=True)
    outside = pods.node.pod()  # of no cluster
    pods.tell("hand-made", service("web", ["10.96.1.9", "fd96::9"]),
              *endpoints("web", {outside.ip: None, web.ip: None}))
    pods.await_all()
    with app_in(outside) as there, app_in(web) as here:
        for _ in range(20):
            assert ask_from(client, "10.96.1.9:80").status == 200
            assert ask_from(client, "[fd96::9]:80").status == 200
        assert there.requests and here.requests
        assert not any(m.all("tulle-client-identity") for m in there.requests)
        assert all(m.get("tulle-client-identity") == IDENTITY + "client"
                   for m in here.requests)
    service_name = {"service": "shop/web:80", "direction": "outbound"}
    assert counted(client, "proxy_requests_total", tls="false",
                   **service_name) > 0


def test_outside_and_by_another_name(pods):
    """What an ExternalName leads to is an address outside: HTTP is found, bytes
    pass, nothing is meshed; and a port known for its server's first word waits
    for nothing."""
    client = pods.pod("client", strict=True)
    outside = pods.node.pod()
    pods.tell("alias", {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "alias", "namespace": SHOP},
        "spec": {"type": "ExternalName", "externalName": "db.example"}})
    pods.await_all()
    with app_in(outside) as app:
        for host in (outside.ip, f"[{outside.ip6}]"):
            assert ask_from(client, f"{host}:{APP}").status == 200
        assert len(app.requests) == 2
        assert not any(m.all("tulle-client-identity") for m in app.requests)
    for host in (outside.ip, f"[{outside.ip6}]"):
        assert counted(client, "proxy_requests_total", tls="false", peer="",
                       service=f"{host}:{APP}") == 1
    with server_in(outside, banner, MYSQL):
        assert first_words(client, f"{outside.ip}:{MYSQL}") == b"220 ready\r\n"
    assert counted(client, "proxy_detect_timeouts_total") == 0
    with server_in(outside, banner):
        assert first_words(client, f"{outside.ip}:{APP}") == b"220 ready\r\n"
    assert counted(client, "proxy_detect_timeouts_total",
                   service=f"{outside.ip}:{APP}") == 1


# --- explicit listeners ------------------------------------------------------

@pytest.fixture
def six(pair):
    """A pair whose backend, listener and link are at ::1."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        s.bind(("::1", 0))

        @contextlib.contextmanager
        def make(app, **more):
            front, port = free_ports(["::1", "::1"])

            def change(p):
                pod = manifests.pod(NAMESPACE, "backend", "backend", "::1",
                                    port)
                svc = manifests.service(NAMESPACE, "backend", "fd96::9")
                svc["spec"]["ipFamilies"] = ["IPv6"]
                ends = manifests.endpoint_slice(NAMESPACE, "backend",
                                                {"::1": "backend"}, port)
                ends["addressType"] = "IPv6"
                p.mesh.write("backend", svc, ends, pod)
            with pair(app, manifests=change, arguments={
                    "inbound": ["--inbound", f"[::1]:{port}={app.address}"],
                    "outbound": ["--outbound",
                                 f"[::1]:{front}=pair/backend:80"]},
                    **more) as p:
                p.six = f"[::1]:{front}"
                yield p
        return make
    pytest.skip("this machine has no IPv6")
    return None


def test_everything_at_ipv6(six):
    with App(host="::1") as app, six(app, access_log="true") as p:
        assert ask(p.six, fields=[("X-Test", "1")]).status == 200
        m, = app.requests
        assert m.get("host") == "test"
        labels, value = p.inbound.metrics()["proxy_requests_total"][0]
        assert (labels["tls"], value) == ("true", 1)


@pytest.mark.parametrize("host", [
    "[::1]", "[::1]:8080",  # allow fixed-port: a word in a field
    "[2001:db8::7]:80", "[::ffff:10.0.0.1]"])
def test_literals_in_host(six, host):
    with App(host="::1") as app, six(app) as p, connect(p.six) as c:
        c.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n"
               "Connection: close\r\n\r\n".encode())
        assert c.to_end().startswith(b"HTTP/1.1 200 ")
        assert app.requests[0].get("host") == host


def test_bytes_at_ipv6(six):
    with Server(banner, host="::1") as app, six(app) as p:
        for _ in range(3):
            with connect(p.six) as c:
                assert c.until(b"\r\n") == b"220 ready\r\n"
        assert app.accepted == 3
