# SPDX-License-Identifier: Apache-2.0
"""Proxies behind real packet rules: what a pod's traffic does as a whole. Each
pod is a network namespace; addresses and ports are those of a cluster."""
import contextlib
import socket
import threading

import pytest

from peers.http1 import App, ask
from peers.pods import LOOPBACK
from peers.podmesh import APP, metrics
from peers.server import Server
from peers.wire import connect
from programs import wait_until

IDENTITY = "spiffe://cluster.local/ns/shop/sa/"


def app_in(pod, host="::", port=APP, **options):
    with pod.inside():
        return App(host=host, port=port, **options)


def server_in(pod, script, host="::", port=APP):
    with pod.inside():
        return Server(script, host=host, port=port)


def ask_from(pod, to, **options):
    with pod.inside():
        return ask(to, **options)


def ends(pod, to):
    """How a connection from the pod to there ends when nothing is sent:
    "refused", "reset" or "fin"."""
    with pod.inside():
        try:
            with connect(to) as wire:
                return wire.how_it_ends()
        except ConnectionRefusedError:
            return "refused"
        except ConnectionResetError:
            return "reset"  # before connect() was done


@pytest.fixture(params=["permissive", "strict"])
def shop(pods, request):
    """A client, a server "web" with a Service, and a stranger without mesh."""
    strict = request.param == "strict"
    pods.strict = strict
    pods.client = pods.pod("client", strict=strict)
    pods.web = pods.pod("web", strict=strict)
    pods.stranger = pods.pod("stranger", meshed=False)
    pods.four, pods.six = pods.service("web", [pods.web], 1)
    pods.await_all()
    return pods


class Wiretap:
    """All that goes over the node's interfaces."""

    def __init__(self, node):
        with node.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                      socket.htons(3))
        self.sock.settimeout(0.1)
        self.seen, self.stopping = b"", False
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while not self.stopping:
            with contextlib.suppress(TimeoutError):
                self.seen += self.sock.recv(65536)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.sock.close()


# --- between pods ------------------------------------------------------------

def test_service(shop):
    """By its address of either family, through two proxies, over mTLS."""
    with app_in(shop.web) as app, Wiretap(shop.node) as tap:
        for to in (shop.four, shop.six):
            r = ask_from(shop.client, to, target="/secret-word")
            assert (r.status, r.body) == (200, b"ok\n")
        wait_until("the tap has heard it", lambda: len(tap.seen) > 2000, 5)
    assert [r.get("tulle-client-identity") for r in app.requests] == \
        [IDENTITY + "client"] * 2
    assert b"secret-word" not in tap.seen


def test_pod_address(shop):
    with app_in(shop.web) as app:
        for ip in (shop.web.ip, f"[{shop.web.ip6}]"):
            assert ask_from(shop.client, f"{ip}:{APP}").status == 200
    assert [r.get("tulle-client-identity") for r in app.requests] == \
        [IDENTITY + "client"] * 2


def test_opaque_bytes(shop):
    """A server that speaks first, and one that waits for the end."""
    with server_in(shop.web, lambda w: w.send(b"hello ") or
                   w.send(w.to_end())):
        for to in (shop.four, shop.six):
            with shop.client.inside(), connect(to) as wire:
                assert wire.exactly(6) == b"hello "
                wire.send(b"\x00there")
                wire.half_close()
                assert wire.to_end() == b"\x00there"


def test_stranger_calls(shop):
    """Without mesh: plaintext, as far as the mode lets it in."""
    with app_in(shop.web) as app:
        for ip in (shop.web.ip, f"[{shop.web.ip6}]"):
            to = f"{ip}:{APP}"
            if shop.strict:
                with pytest.raises(OSError):
                    ask_from(shop.stranger, to)
            else:
                assert ask_from(shop.stranger, to).status == 200
        assert len(app.requests) == (0 if shop.strict else 2)
        assert not any(r.all("tulle-client-identity") for r in app.requests)


def test_stranger_is_called(shop):
    """The controller knows the pod, and that it has no proxy."""
    with app_in(shop.stranger) as app:
        for ip in (shop.stranger.ip, f"[{shop.stranger.ip6}]"):
            assert ask_from(shop.client, f"{ip}:{APP}").status == 200
        assert len(app.requests) == 2


def test_nobody_is_called(shop):
    """Outside of the cluster: passed on, to be refused there."""
    with app_in(shop.node) as app:
        assert ask_from(shop.client, f"{shop.node.ip}:{APP}").status == 200
        assert len(app.requests) == 1
    r = ask_from(shop.client, f"{shop.node.ip}:{APP}")
    assert (r.status, r.fault) == (503, "connect-failed")


# --- where the application listens -------------------------------------------

def test_app_on_pod_address_only(shop):
    with app_in(shop.web, shop.web.ip), app_in(shop.web, shop.web.ip6):
        assert ask_from(shop.client, shop.four).status == 200
        assert ask_from(shop.client, shop.six).status == 200


def test_app_on_loopback_only(shop):
    """Who keeps to himself stays alone."""
    with app_in(shop.web, "127.0.0.1") as app, app_in(shop.web, "::1"):
        for to in (shop.four, shop.six, f"{shop.web.ip}:{APP}"):
            r = ask_from(shop.client, to)
            assert (r.status, r.fault) == (503, "connect-failed")
        if not shop.strict:
            assert ask_from(shop.stranger,
                            f"{shop.web.ip}:{APP}").status == 503
        assert ask_from(shop.web, f"127.0.0.1:{APP}").status == 200
        assert len(app.requests) == 1


@pytest.mark.parametrize("family", ["four", "six"])
def test_app_of_one_family(shop, family):
    """By whichever address it is asked for: of a Service the proxies take one
    family for all, and what is bound to the pod's address is for others."""
    host = shop.web.ip if family == "four" else shop.web.ip6
    asked = (shop.four, shop.six, f"{shop.web.ip}:{APP}",
             f"[{shop.web.ip6}]:{APP}")
    with app_in(shop.web, host) as app:
        for to in asked:
            assert ask_from(shop.client, to).status == 200
        for to in asked[:2]:
            assert ask_from(shop.web, to).status == 200
        assert len(app.requests) == len(asked) + 2
        for to in asked[2:]:
            if not shop.strict:
                assert ask_from(shop.stranger, to).status == 200
            else:
                assert ends(shop.stranger, to) == "reset"
    with server_in(shop.web, lambda w: w.send(w.to_end()), host):
        for to in asked:
            with shop.client.inside(), connect(to) as wire:
                wire.send(b"\x00echo")
                wire.half_close()
                assert wire.to_end() == b"\x00echo"
    for to in asked:
        r = ask_from(shop.client, to)
        assert (r.status, r.fault) == (503, "connect-failed")


# --- a pod that calls itself -------------------------------------------------

def test_itself(shop):
    """By its Service, its addresses and loopback; policy stays in force."""
    with app_in(shop.web) as app:
        for to in (shop.four, shop.six):
            assert ask_from(shop.web, to).status == 200
        assert [r.get("tulle-client-identity") for r in app.requests] == \
            [IDENTITY + "web"] * 2
        for host in (shop.web.ip, f"[{shop.web.ip6}]", "127.0.0.1", "[::1]"):
            assert ask_from(shop.web, f"{host}:{APP}").status == 200
        assert len(app.requests) == 6


def test_itself_without_http(shop):
    with server_in(shop.web, lambda w: w.send(w.to_end())):
        for to in (shop.four, shop.six):
            with shop.web.inside(), connect(to) as wire:
                wire.send(b"\x00echo")
                wire.half_close()
                assert wire.to_end() == b"\x00echo"


# --- loops -------------------------------------------------------------------

def loops(pod, direction):
    return sum(v for labels, v in
               metrics(pod).get("proxy_faults_total", [])
               if labels.get("fault") == "loop" and
               labels.get("direction") == direction)


@pytest.mark.parametrize("port, direction",
                         [(15006, "inbound"), (15001, "outbound")])
def test_own_ports_from_inside(shop, port, direction):
    """Nobody redirected these: they would be sent in circles."""
    hosts = ["127.0.0.1", "[::1]"]
    if direction == "inbound":
        hosts += [shop.web.ip, f"[{shop.web.ip6}]"]
    with app_in(shop.web):
        for n, host in enumerate(hosts):
            assert ends(shop.web, f"{host}:{port}") == "reset"
            assert loops(shop.web, direction) == n + 1
        assert ask_from(shop.client, shop.four).status == 200


def test_own_ports_from_outside(shop):
    with app_in(shop.web):
        for ip in (shop.web.ip, f"[{shop.web.ip6}]"):
            for port in (15001, 15006):
                assert ends(shop.stranger, f"{ip}:{port}") == "reset"
            assert ends(shop.stranger, f"{ip}:15020") == "refused"
        assert loops(shop.web, "inbound") == 4
        assert ask_from(shop.client, shop.four).status == 200


def test_own_ports_of_another_pod(shop):
    """A meshed client that dials them gets an answer, not a circle."""
    with app_in(shop.web):
        for port in (15001, 15006):
            assert ends(shop.client, f"{shop.web.ip}:{port}") in \
                ("reset", "fin")
        assert ask_from(shop.client, shop.four).status == 200


def test_no_relay(shop):
    """Who is on the same link can send any destination. Should the packet rules
    redirect it all the same, the proxy does not dial it."""
    mean = shop.node.neighbour(shop.web)
    foreign = [LOOPBACK, "192.0.2.9", "[2001:db8::9]"]
    with app_in(shop.web, "127.0.0.1") as app:
        shop.web.run("nft", "insert rule inet tulle inbound iifname eth0 tcp "
                     "flags & (fin | syn | rst | ack) == syn redirect to :15006")
        for host in foreign:
            assert ends(mean, f"{host}:{APP}") == "reset"
        refused = sum(v for _, v in metrics(shop.web).get(
            "proxy_connections_refused_total", []))
        assert (refused, app.requests) == (len(foreign), [])


def test_second_address(shop):
    """Redirection gives the first address of the interface to the listener: the
    others must not lead round it."""
    shop.web.run("ip", "address", "add", "10.77.0.200/24", "dev", "eth0")
    with app_in(shop.web) as app:
        assert ends(shop.stranger, "10.77.0.200:15006") == "reset"
        assert loops(shop.web, "inbound") == 1
        if not shop.strict:
            assert ask_from(shop.stranger, f"10.77.0.200:{APP}").status == 200
            assert len(app.requests) == 1


# --- exemptions --------------------------------------------------------------

def test_skipped_ports(pods):
    """The controller is told as tulle-init is: no identity is expected."""
    client = pods.pod("client", strict=True)
    web = pods.pod("web", strict=True, init=["--skip-inbound-ports", str(APP)],
                   annotations={"tulle.dev/skip-inbound-ports": str(APP)})
    stranger = pods.pod("stranger", meshed=False)
    four, _ = pods.service("web", [web], 1)
    pods.await_all()
    with app_in(web) as app:
        assert ask_from(client, four).status == 200
        assert ask_from(stranger, f"{web.ip}:{APP}").status == 200
        assert not any(r.all("tulle-client-identity") for r in app.requests)


def test_without_ipv6(pods):
    """A pod whose kernel gives it no IPv6."""
    client = pods.pod("client")
    bare = pods.pod("bare", prepare=lambda p: p.run(
        "sysctl", "-w", "net.ipv6.conf.all.disable_ipv6=1"))
    pods.await_all()
    with app_in(bare, "0.0.0.0") as app:
        assert ask_from(client, f"{bare.ip}:{APP}").status == 200
        assert ask_from(bare, f"{client.ip}:1").status == 503
        assert app.requests[0].get("tulle-client-identity") == \
            IDENTITY + "client"
