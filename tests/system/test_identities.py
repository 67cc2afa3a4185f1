# SPDX-License-Identifier: Apache-2.0
"""Who is let in: one table of certificates, shown by clients of the mesh port
and by servers where the backend should be. Each refusal is one that an
operator sees: a sentence in the log with the reason, a count in the metrics."""
import socket

import pytest
from tlslite.errors import BaseTLSException

from pair import SERVER_IP
from peers.authority import (CLIENT_ONLY, HOUR, SERVER_ONLY, Authority, dns,
                             uri)
from peers.h2 import MAGIC, SETTINGS, Link, fields, settings
from peers.http1 import App, ask
from peers.server import Server
from peers.tls13 import Peer
from peers.watch import Watch

DOMAIN = "spiffe://cluster.local"
CLIENT = f"{DOMAIN}/ns/pair/sa/tester"
SERVER = f"{DOMAIN}/ns/pair/sa/backend"
NOWHERE = "127.0.0.1:1"  # allow fixed-port: nobody is asked

NO_NAME, BAD_NAME = "certificate without name", "name is not valid"
NO_ISSUER, BAD = "unknown issuer", "bad certificate"


def intermediates(a, count):
    for n in range(count):
        a = a.middle(f"middle {n}")
    return a


def of_a_leaf(a, name):
    return a.sign([uri(name)], common_name="leaf").sign([uri(name)])


def many_bytes(a, name):
    """A chain far over 64 KiB."""
    leaf = a.sign([uri(name)])
    return leaf.below(*[leaf.cert] * 200, a.cert)


def name_of(change):
    """A certificate in order, but for its name."""
    return lambda a, name: a.sign([uri(change(name))])


RIGHT = {
    "the right one": lambda a, name: a.sign([uri(name)]),
    "with a DNS name beside it": lambda a, name: a.sign(
        [dns("somebody.else"), uri(name)]),
    "of an intermediate": lambda a, name: intermediates(a, 1).sign(
        [uri(name)]),
}

# What is refused of clients and servers alike, and what the log says.
WRONG = {
    # who issued it
    "of another authority": (lambda a, name: Authority.stranger().sign(
        [uri(name)]), NO_ISSUER),
    "of another authority by the same name": (
        lambda a, name: Authority.stranger(called=a.cert.subject).sign([uri(name)]),
        NO_ISSUER),
    "of another authority which is shown": (
        lambda a, name: Authority.stranger().middle().sign([uri(name)]),
        NO_ISSUER),
    "issued by a leaf": (of_a_leaf, "issuer may not issue"),
    "issued by a leaf that is not shown": (
        lambda a, name: of_a_leaf(a, name).below(a.cert), NO_ISSUER),
    "of six intermediates": (lambda a, name: intermediates(a, 6).sign(
        [uri(name)]), "certificate chain too long"),
    "with 200 others": (many_bytes, "message too long"),
    # when
    "expired": (lambda a, name: a.sign(
        [uri(name)], start=-2 * HOUR, end=-HOUR), "certificate expired"),
    "not yet valid": (lambda a, name: a.sign(
        [uri(name)], start=HOUR, end=2 * HOUR), "certificate not yet valid"),
    # what for
    "an authority": (lambda a, name: a.sign(
        [uri(name)], common_name="x", is_authority=True),
        "certificate is an authority"),
    "an authority that signs nothing": (lambda a, name: a.sign(
        [uri(name)], common_name="x", is_authority=True,
        signs_certificates=False), "certificate is an authority"),
    "no authority, but signs": (lambda a, name: a.sign(
        [uri(name)], signs_certificates=True), BAD),
    "not for signatures": (lambda a, name: a.sign(
        [uri(name)], signs_data=False), "wrong key usage"),
    # where the name is
    "two names": (lambda a, name: a.sign(
        [uri(name), uri(f"{DOMAIN}/ns/pair/sa/other")]), "several names"),
    "two names, the right one last": (lambda a, name: a.sign(
        [uri(f"{DOMAIN}/ns/pair/sa/other"), uri(name)]), "several names"),
    "the same name twice": (lambda a, name: a.sign([uri(name), uri(name)]),
                            "several names"),
    "two lists of names": (lambda a, name: a.sign(
        [uri(name)], second_names=[uri(f"{DOMAIN}/ns/pair/sa/other")]), BAD),
    "two lists of names, the right one last": (lambda a, name: a.sign(
        [uri(f"{DOMAIN}/ns/pair/sa/other")], second_names=[uri(name)]), BAD),
    "a DNS name": (lambda a, name: a.sign([dns("backend.pair")]), NO_NAME),
    "the name as a DNS name": (lambda a, name: a.sign([dns(name)]), NO_NAME),
    "only a common name": (lambda a, name: a.sign([], common_name="tester"),
                           NO_NAME),
    "the name as common name": (lambda a, name: a.sign([], common_name=name),
                                NO_NAME),
    "nothing": (lambda a, name: a.sign([]), BAD),
    # how it is spelt
    "two dots in the path": (name_of(lambda n: n.replace(
        "/sa/", "/sa/../sa/")), BAD_NAME),
    "a dot in the path": (name_of(lambda n: n.replace("/sa/", "/./sa/")),
                          BAD_NAME),
    "two slashes": (name_of(lambda n: n.replace("/sa/", "//sa/")), BAD_NAME),
    "a slash at the end": (name_of(lambda n: n + "/"), BAD_NAME),
    "upper case scheme": (name_of(lambda n: n.replace("spiffe", "SPIFFE")),
                          BAD_NAME),
    "upper case domain": (name_of(lambda n: n.replace(
        "cluster.local", "CLUSTER.LOCAL")), BAD_NAME),
    "another scheme": (name_of(lambda n: n.replace("spiffe", "https")),
                       BAD_NAME),
    "a NUL at the end": (name_of(lambda n: n + "\0"), BAD_NAME),
    "more behind a NUL": (name_of(lambda n: n + "\0.evil"), BAD_NAME),
    "a NUL in the domain": (name_of(lambda n: n.replace(
        "local/", "local\0.evil/")), BAD_NAME),
    "an escape": (name_of(lambda n: n.replace("/sa/", "%2fsa/")), BAD_NAME),
    "a space": (name_of(lambda n: n + " "), BAD_NAME),
    "a query": (name_of(lambda n: n + "?a"), BAD_NAME),
    "a fragment": (name_of(lambda n: n + "#a"), BAD_NAME),
    "a user": (name_of(lambda n: n.replace("//", "//root@")), BAD_NAME),
    "a port": (name_of(lambda n: n.replace("local/", "local:1/")), BAD_NAME),
    "no path": (name_of(lambda n: DOMAIN), BAD_NAME),
    "a long name": (name_of(lambda n: n + "x" * 2048), BAD_NAME),
}


def in_domain(domain):
    return name_of(lambda n: n.replace("cluster.local", domain))


# There is no authorization yet: of clients, every account of our own trust
# domain is taken, as what it is (test_accounts_are_told_apart).
WRONG_CLIENTS = WRONG | {
    "another trust domain": (in_domain("other.local"), "wrong trust domain"),
    "suffix trust domain": (in_domain("cluster.local.evil"),
                            "wrong trust domain"),
    "prefix trust domain": (in_domain("cluster.loca"), "wrong trust domain"),
    "for servers only": (lambda a, name: a.sign(
        [uri(name)], purposes=SERVER_ONLY), "wrong certificate purpose"),
    "no certificate": (None, "no certificate"),
}

# Of servers, exactly one name is.
WRONG_SERVERS = WRONG | {
    "another trust domain": (in_domain("other.local"), "wrong identity"),
    "suffix trust domain": (in_domain("cluster.local.evil"),
                            "wrong identity"),
    "prefix trust domain": (in_domain("cluster.loca"), "wrong identity"),
    "longer account": (name_of(lambda n: n + "2"), "wrong identity"),
    "shorter account": (name_of(lambda n: n[:-1]), "wrong identity"),
    "upper case account": (name_of(lambda n: n.replace("/backend", "/Backend")
                                   ), "wrong identity"),
    "another namespace": (name_of(lambda n: n.replace("/pair/", "/pairs/")),
                          "wrong identity"),
    "the client's": (lambda a, name: a.sign([uri(
        f"{DOMAIN}/ns/pair/sa/client")]), "wrong identity"),
    "the controller's": (lambda a, name: a.sign([uri(
        f"{DOMAIN}/tulle/controller")]), "wrong identity"),
    "for clients only": (lambda a, name: a.sign(
        [uri(name)], purposes=CLIENT_ONLY), "wrong certificate purpose"),
}


def table(wrong):
    """(certificate, reason or None) with the twist as the test's name."""
    return [pytest.param(make, None, id=twist)
            for twist, make in RIGHT.items()] + \
        [pytest.param(make, reason, id=twist)
         for twist, (make, reason) in wrong.items()]


class Mesh:
    """A running pair, and its root's key."""

    def __init__(self, p, app):
        self.pair, self.app = p, app
        self.root = Authority.of_mesh(p.mesh.state)
        with open(p.mesh.bundle, encoding="ascii") as f:
            self.trust = f.read()

    def certs(self, folder, make, name):
        return make(self.root, name).save(folder, self.trust)


# --- clients -----------------------------------------------------------------

@pytest.fixture(scope="module")
def strict(module_pair):
    with App() as app, module_pair(app, strict=True) as p:
        yield Mesh(p, app)


def link_begins(to, certs):
    """The other side lets us in: it sends its settings. The client is not
    OpenSSL, which refuses to show some of these certificates."""
    with Peer.connect(to) as peer:
        if peer.shake(certs):
            return False
        peer.write(MAGIC + settings())
        try:
            return peer.hear(9)[3] == SETTINGS
        except (BaseTLSException, OSError):
            return False


@pytest.mark.parametrize("make, reason", table(WRONG_CLIENTS))
def test_clients(strict, tmp_path, make, reason):
    certs = make and strict.certs(tmp_path, make, CLIENT)
    watch = Watch(strict.pair.inbound, "inbound", "mTLS handshake refused")
    accepted = strict.app.accepted
    assert link_begins(strict.pair.inbound_mesh, certs) == (reason is None)
    if reason:
        watch.refused(reason)
    else:
        watch.let_in()
    assert strict.app.accepted == accepted


@pytest.mark.parametrize("account", ["tester", "tester2", "teste", "Tester"])
def test_accounts_are_told_apart(strict, tmp_path, account):
    """And what the client says itself has no weight."""
    name = f"{DOMAIN}/ns/pair/sa/{account}"
    certs = strict.certs(tmp_path, RIGHT["the right one"], name)
    strict.app.requests.clear()
    with Link(strict.pair.inbound_mesh, certs) as link:
        link.begin().send(link.head(1, fields(
            more=[("tulle-client-identity", CLIENT)])))
        assert link.answer(1)[0] == 200
    assert [m.all("tulle-client-identity") for m in strict.app.requests] == \
        [[name]]


# --- servers -----------------------------------------------------------------

class Impostor(Server):
    """A server at the endpoint's address whose certificate changes."""

    def __init__(self):
        self.certs, self.tunnelled, self.plain = None, 0, 0
        super().__init__(self._meet, host=SERVER_IP)

    def _meet(self, wire):
        if wire.sock.recv(1, socket.MSG_PEEK) != b"\x16":
            self.plain += 1
            return
        peer = Peer(wire.sock)
        try:
            if peer.serve(self.certs) is None:
                peer.hear(24)  # the preface of HTTP/2
                self.tunnelled += 1
        except BaseTLSException:
            pass


@pytest.fixture(scope="module")
def impostor(module_pair):
    with Impostor() as server, module_pair(
            NOWHERE, manifests=lambda p: p.write_backend(
                port=server.port)) as p:
        yield Mesh(p, server)


@pytest.mark.parametrize("make, reason", table(WRONG_SERVERS))
def test_servers(impostor, tmp_path, make, reason):
    server, front = impostor.app, impostor.pair.front
    server.certs = impostor.certs(tmp_path, make, SERVER)
    watch = Watch(impostor.pair.outbound, "outbound", "link failed")
    tunnelled, accepted = server.tunnelled, server.accepted
    answer = ask(front)  # of the right ones, none: they hang up
    assert answer.status in (502, 503)
    if reason:
        assert (answer.status, answer.fault) == (503, "tls-failed")
        watch.refused(reason)
        assert server.accepted > accepted
    else:
        assert answer.fault != "tls-failed"
        watch.let_in()
    assert (server.tunnelled > tunnelled) == (reason is None)
    assert server.plain == 0, "never plaintext after a failed handshake"
