# SPDX-License-Identifier: Apache-2.0
"""What is between the proxies: TLS, with exactly the right identities."""
import datetime
import ssl
import time

import pytest

import recorder
from pair import SERVER_IP
from peers.authority import (CLIENT_ONLY, SERVER_ONLY, Authority, dns, uri)
from peers.h2 import (ALPN, DATA, Link, fields, frame, tls_server)
from peers.http1 import App, ask, read_response, request, response
from peers.process import connections_to, stopped
from peers.server import Server
from peers.wire import Ended, Wire, connect
from programs import free_ports, wait_until

DOMAIN = "spiffe://cluster.local"
NOWHERE = "127.0.0.1:1"  # allow fixed-port: nobody is asked
HOUR = datetime.timedelta(hours=1)
HOUR_AGO = -HOUR


# --- on the wire -------------------------------------------------------------

def test_bytes_between_proxies_are_tls(pair):
    """A recorder stands where the slice says that the backend is."""
    via, = free_ports([SERVER_IP])
    words = [b"secret-word", b"GET /", b"HTTP/1.1"]
    taped = []

    def through_recorder(p):
        p.write_backend(port=via)
        taped.append(recorder.Recorder((SERVER_IP, via), (SERVER_IP, p.port)))

    with App(lambda m: response(body=b"secret-word")) as app, \
            pair(app, manifests=through_recorder) as p:
        assert ask(p.front, target="/secret-word").body == b"secret-word"
        kept = [c for c in taped[0].recorded() if any(c)]
        taped[0].close()
    assert kept
    for up, down in kept:
        assert recorder.is_only_tls(up, down, words) is None
        assert bytes([len(ALPN)]) + ALPN.encode() in up[:2048]


# --- who is the backend? -----------------------------------------------------

def test_backend_with_another_name_is_refused(pair):
    """Its certificate is good, but the pod there should be another."""
    with App() as app, pair(app) as p:
        assert ask(p.front).status == 200
        p.write_backend(account="other")
        wait_until("the other name is asked for",
                   lambda: ask(p.front).status != 200, 5)
        app.requests.clear()
        accepted = app.accepted
        for _ in range(3):
            r = ask(p.front)
            assert (r.status, r.fault) == (503, "tls-failed")
        assert not app.requests, "never plaintext after a failed handshake"
        assert app.accepted == accepted


def good(authority):
    return authority.sign([uri(f"{DOMAIN}/ns/pair/sa/backend")])


SERVERS = {
    "another service account":
        lambda a: a.sign([uri(f"{DOMAIN}/ns/pair/sa/backend2")]),
    "another namespace":
        lambda a: a.sign([uri(f"{DOMAIN}/ns/pairs/sa/backend")]),
    "another trust domain":
        lambda a: a.sign([uri("spiffe://cluster.local.evil/ns/pair/sa/backend"
                              )]),
    "two names":
        lambda a: a.sign([uri(f"{DOMAIN}/ns/pair/sa/backend"),
                          uri(f"{DOMAIN}/ns/pair/sa/other")]),
    "a DNS name": lambda a: a.sign([dns("backend.pair")]),
    "only a common name":
        lambda a: a.sign([], common_name=f"{DOMAIN}/ns/pair/sa/backend"),
    "an authority":
        lambda a: a.sign([uri(f"{DOMAIN}/ns/pair/sa/backend")],
                         is_authority=True),
    "for clients only":
        lambda a: a.sign([uri(f"{DOMAIN}/ns/pair/sa/backend")],
                         purposes=CLIENT_ONLY),
    "expired":
        lambda a: a.sign([uri(f"{DOMAIN}/ns/pair/sa/backend")],
                         start=2 * HOUR_AGO, end=HOUR_AGO),
    "of another authority": lambda a: good(Authority.stranger()),
    "issued by a leaf": lambda a: good(good(a)),
    "the controller's": lambda a: a.sign([uri(f"{DOMAIN}/tulle/controller")]),
}


@pytest.fixture(scope="module")
def impostor():
    """A server at an endpoint's address whose certificate changes."""
    class Impostor:
        context, tunnelled = None, 0

        def play(self, wire):
            try:
                tls = Wire(self.context.wrap_socket(wire.sock,
                                                    server_side=True))
                tls.exactly(24)  # the preface of HTTP/2
                self.tunnelled += 1
                tls.to_end()
            except ssl.SSLError:
                pass

    fake = Impostor()
    with Server(fake.play, host=SERVER_IP) as fake.server:
        yield fake


def mesh_root(p):
    with open(p.mesh.bundle, encoding="ascii") as f:
        return Authority.of_mesh(p.mesh.state), f.read()


@pytest.mark.parametrize("twist", SERVERS)
def test_impostor_is_refused(pair, impostor, tmp_path, twist):
    with pair(NOWHERE, manifests=lambda p: p.write_backend(
            port=impostor.server.port)) as p:
        root, trust = mesh_root(p)
        impostor.context = tls_server(
            SERVERS[twist](root).save(tmp_path, trust))
        before = impostor.tunnelled
        r = ask(p.front)
        assert (r.status, r.fault) == (503, "tls-failed")
        assert impostor.tunnelled == before


def test_the_right_name_is_let_in(pair, impostor, tmp_path):
    """Or the tests above would prove nothing."""
    with pair(NOWHERE, manifests=lambda p: p.write_backend(
            port=impostor.server.port)) as p:
        root, trust = mesh_root(p)
        impostor.context = tls_server(good(root).save(tmp_path, trust))
        before = impostor.tunnelled
        with connect(p.front) as c:
            c.send(request())
            wait_until("a link", lambda: impostor.tunnelled > before, 10)


# --- who is the client? ------------------------------------------------------

def link_begins(to, certs):
    """The other side lets us in: it sends its settings."""
    try:
        with Link(to, certs, 5) as link:
            link.begin()
            return True
    except (ssl.SSLError, ConnectionError, Ended):
        return False


CLIENTS = {
    "another trust domain": lambda a: a.sign(
        [uri("spiffe://cluster.local.evil/ns/pair/sa/tester")]),
    "two names": lambda a: a.sign([uri(f"{DOMAIN}/ns/pair/sa/tester"),
                                   uri(f"{DOMAIN}/ns/pair/sa/other")]),
    "the name twice over": lambda a: a.sign(
        [uri(f"{DOMAIN}/ns/pair/sa/tester")],
        second_names=[uri(f"{DOMAIN}/ns/pair/sa/other")]),
    "a DNS name": lambda a: a.sign([dns("tester.pair")]),
    "a name in a DNS name": lambda a: a.sign(
        [dns(f"{DOMAIN}/ns/pair/sa/tester")]),
    "only a common name": lambda a: a.sign(
        [], common_name=f"{DOMAIN}/ns/pair/sa/tester"),
    "dots in the path": lambda a: a.sign(
        [uri(f"{DOMAIN}/ns/pair/sa/../sa/tester")]),
    "upper case": lambda a: a.sign(
        [uri("SPIFFE://CLUSTER.LOCAL/ns/pair/sa/tester")]),
    "a NUL": lambda a: a.sign([uri(f"{DOMAIN}/ns/pair/sa/tester\x00evil")]),
    "an authority": lambda a: a.sign(
        [uri(f"{DOMAIN}/ns/pair/sa/tester")], is_authority=True),
    "wrong key usage": lambda a: a.sign(
        [uri(f"{DOMAIN}/ns/pair/sa/tester")], signs_data=False),
    "for servers only": lambda a: a.sign(
        [uri(f"{DOMAIN}/ns/pair/sa/tester")], purposes=SERVER_ONLY),
    "expired": lambda a: a.sign([uri(f"{DOMAIN}/ns/pair/sa/tester")],
                                start=2 * HOUR_AGO, end=HOUR_AGO),
    "not yet valid": lambda a: a.sign([uri(f"{DOMAIN}/ns/pair/sa/tester")],
                                      start=HOUR, end=2 * HOUR),
    "of another authority": lambda a: Authority.stranger().sign(
        [uri(f"{DOMAIN}/ns/pair/sa/tester")]),
    "issued by a leaf": lambda a: a.sign(
        [uri(f"{DOMAIN}/ns/pair/sa/tester")]).sign(
            [uri(f"{DOMAIN}/ns/pair/sa/tester")]),
}


def test_bad_clients_are_refused(pair, tmp_path):
    with App() as app, pair(app) as p:
        root, trust = mesh_root(p)
        assert link_begins(p.inbound_mesh, p.certs)
        right = root.sign([uri(f"{DOMAIN}/ns/pair/sa/tester")])
        assert link_begins(p.inbound_mesh,
                           right.save(tmp_path / "right", trust))
        let_in = [twist for n, (twist, make) in enumerate(CLIENTS.items())
                  if link_begins(p.inbound_mesh,
                                 make(root).save(tmp_path / str(n), trust))]
        assert not let_in
        assert ask(p.front).status == 200


def test_client_without_certificate_is_refused(pair):
    with App() as app, pair(app) as p:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.load_verify_locations(p.mesh.bundle)
        tls.set_alpn_protocols([ALPN])
        with connect(p.inbound_mesh) as raw:
            try:
                with tls.wrap_socket(raw.sock) as s:
                    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                              + frame(4))
                    assert s.recv(100) == b""
            except (ssl.SSLError, ConnectionError):
                pass


def test_old_tls_is_refused(pair):
    with App() as app, pair(app) as p:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.load_verify_locations(p.mesh.bundle)
        tls.load_cert_chain(f"{p.certs}/client.crt", f"{p.certs}/client.key")
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
        tls.set_alpn_protocols([ALPN])
        with connect(p.inbound_mesh) as raw, \
                pytest.raises((ssl.SSLError, ConnectionError)):
            tls.wrap_socket(raw.sock)


# --- plaintext ---------------------------------------------------------------

def test_permissive_takes_plaintext(pair):
    with App() as app, pair(app) as p:
        assert ask(p.inbound_mesh).body == b"ok\n"
        assert ask(p.front).body == b"ok\n"


def test_permissive_takes_plaintext_bytes(pair):
    with Server(lambda w: w.send(w.exactly(5))) as app, pair(app) as p, \
            connect(p.inbound_mesh) as c:
        c.send(b"\x00abcd")
        assert c.to_end() == b"\x00abcd"


def test_strict_refuses_plaintext(pair):
    with App() as app, pair(app, strict=True) as p:
        assert ask(p.front).status == 200
        app.requests.clear()
        try:
            r = ask(p.inbound_mesh)
            assert (r.status, r.fault) == (403, "unauthenticated")
        except (Ended, ConnectionError):
            pass
        with connect(p.inbound_mesh) as c:
            try:
                c.send(b"\x00abcd")
                assert c.to_end() == b""
            except ConnectionError:
                pass
        assert not app.requests
        assert ask(p.front).status == 200


def test_strict_refuses_tls_of_others(pair):
    """A ClientHello without our ALPN is not mesh TLS."""
    with Server(lambda w: w.send(w.some())) as app, \
            pair(app, strict=True) as p, connect(p.inbound_mesh) as c:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        tls.set_alpn_protocols(["h2"])
        with pytest.raises((ssl.SSLError, OSError)):
            tls.wrap_socket(c.sock)
        assert app.accepted == 0


def test_strict_ends_plaintext_that_was_let_in(pair):
    """Requests on a connection that is kept, and bytes of an opaque one."""
    with App() as app, Server(lambda w: w.to_end()) as opaque, \
            pair(app) as p, pair(opaque) as q, \
            connect(p.inbound_mesh) as kept, connect(q.inbound_mesh) as raw:
        kept.send(request())
        assert read_response(kept).status == 200
        raw.send(b"\x00abcd")
        wait_until("the opaque one is carried", lambda: opaque.accepted, 5)
        for one in (p, q):
            one.strict = True
            one.write_manifests()
        for c in (kept, raw):
            with pytest.raises((Ended, ConnectionError)):
                c.exactly(1)
        assert ask(p.front).status == 200


def test_mode_changes_while_running(pair):
    with App() as app, pair(app) as p:
        assert ask(p.inbound_mesh).status == 200
        p.strict = True
        p.write_manifests()

        def refused():
            try:
                return ask(p.inbound_mesh).status == 403
            except (Ended, ConnectionError):
                return True
        wait_until("plaintext is refused", refused, 5)
        assert ask(p.front).status == 200


# --- before anything is known ------------------------------------------------

def test_inbound_waits_for_its_first_view(pair):
    """A proxy that cannot reach the controller forwards nothing."""
    with App() as app, pair(app) as p:
        first = p.inbound.program
        first.process.terminate()
        assert first.process.wait(15) == 0
        with stopped(p.mesh.controller.process):
            starting = p.start_inbound()
            for _ in range(20):
                starting.must_run()
                try:
                    with connect(p.inbound_mesh, 0.2) as c:
                        c.send(request())
                        assert not c.some().startswith(b"HTTP/1.1 2")
                except (OSError, Ended):
                    pass  # not listening, or silent, or cut
                assert app.accepted == 0
                time.sleep(0.05)  # allow sleep: so long nothing passes
        p.inbound = p.mesh.await_proxy(starting)
        assert ask(p.inbound_mesh).status == 200
        wait_until("the pair works again",
                   lambda: ask(p.front).status == 200, 10)


# --- one proxy, both ways ----------------------------------------------------

@pytest.fixture
def own():
    """An outbound listener for the backend's own proxy."""
    port, = free_ports(["127.0.0.1"])
    return f"127.0.0.1:{port}"


def test_service_calls_itself(pair, own):
    """In-process: no link, but the inbound side's policy and numbers."""
    with App() as app, pair(app, strict=True, arguments={
            "inbound": ["--outbound", f"{own}=pair/backend:80"]}) as p:
        for n in range(5):
            assert ask(own, target=f"/{n}").status == 200
        assert [m.target for m in app.requests] == \
            [f"/{n}" for n in range(5)]
        assert not connections_to(p.inbound_mesh)


def test_service_calls_itself_with_bytes(pair, own):
    with Server(lambda w: w.send(b"220 " + w.to_end())) as app, \
            pair(app, arguments={
                "inbound": ["--outbound", f"{own}=pair/backend:80"]}), \
            connect(own) as c:
        c.send(b"\x00me")
        c.half_close()
        assert c.to_end() == b"220 \x00me"


# --- the inbound side judges for itself --------------------------------------

def tunnel(link, data):
    """Opens a CONNECT stream with first bytes; what comes back."""
    link.send(link.head(1, fields("CONNECT"), end=False)
              + frame(DATA, 1, 1, data))
    return link.answer(1)


def test_http_in_an_opaque_stream_is_http(pair):
    """A peer says "bytes": the inbound side looks, and strips and counts."""
    with App() as app, pair(app) as p, \
            Link(p.inbound_mesh, p.certs) as link:
        status, _, body = tunnel(link.begin(), request(fields=[
            ("tulle-peer", "somebody"), ("Connection", "close")]))
        assert status == 200
        assert body.startswith(b"HTTP/1.1 200 "), body
        m, = app.requests
        assert m.all("tulle-peer") == []


def test_bad_http_in_an_opaque_stream_is_refused(pair):
    with App() as app, pair(app) as p, \
            Link(p.inbound_mesh, p.certs) as link:
        _, _, body = tunnel(link.begin(),
                            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert body.startswith(b"HTTP/1.1 400 "), body
        assert not app.requests


def test_destination_is_never_named_in_band(pair):
    """A CONNECT to anywhere else goes nowhere else."""
    with App() as app, Server(lambda w: w.send(b"wrong")) as other, \
            pair(app) as p, Link(p.inbound_mesh, p.certs) as link:
        link.begin().send(link.head(1, [(":method", "CONNECT"),
                                        (":authority", other.address)],
                                    end=False)
                          + frame(DATA, 1, 1, b"\x00"))
        try:
            link.answer(1)
        except (Ended, TimeoutError):
            pass
        assert other.accepted == 0


def test_plain_client_cannot_connect_elsewhere(pair):
    """A CONNECT goes to the application, as any request."""
    with App(lambda m: response(405)) as app, \
            Server(lambda w: w.send(b"wrong")) as other, \
            pair(app) as p, connect(p.front) as c:
        c.send(f"CONNECT {other.address} HTTP/1.1\r\n"
               f"Host: {other.address}\r\n\r\n".encode())
        assert read_response(c).status == 405
        assert app.requests[0].target == other.address
        assert other.accepted == 0
