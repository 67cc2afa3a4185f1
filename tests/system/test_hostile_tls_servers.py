# SPDX-License-Identifier: Apache-2.0
"""Servers with the backend's own certificate that shake hands as no library
would: a request never reaches them, and never in the clear."""
import socket

import pytest
from tlslite.constants import CipherSuite, ExtensionType
from tlslite.errors import BaseTLSException
from tlslite.messages import (Certificate, CertificateVerify,
                              EncryptedExtensions, Finished, ServerHello)

from pair import SERVER_IP
from peers.authority import Authority, uri
from peers.hostile_tls import (BAD, CHANGED, UNEXPECTED, WRONG, both,
                               certificates, edited, extension, instead,
                               signed_as, spoilt, twice)
from peers.http1 import ask
from peers.server import Server
from peers.tls13 import ALERT, HANDSHAKE, Peer, Raw, identity
from peers.watch import Watch

NOWHERE = "127.0.0.1:1"  # allow fixed-port: nobody is asked


class HostileServer(Server):
    """Where the backend's proxy should be, with its certificate."""

    def __init__(self):
        self.certs, self.change, self.values = None, None, {}
        self.tunnelled = self.plain = 0
        super().__init__(self._meet, host=SERVER_IP)

    def _meet(self, wire):
        if wire.sock.recv(1, socket.MSG_PEEK) != b"\x16":
            self.plain += 1
            return
        peer = Peer(wire.sock, self.change)
        peer.key = identity(self.certs)[1]
        try:
            if peer.serve(self.certs, **self.values) is None:
                peer.hear(24)  # the preface of HTTP/2
                self.tunnelled += 1
        except BaseTLSException:
            pass


@pytest.fixture(scope="module")
def hostile(module_pair, tmp_path_factory):
    with HostileServer() as server, module_pair(
            NOWHERE, manifests=lambda p: p.write_backend(
                port=server.port)) as p:
        with open(p.mesh.bundle, encoding="ascii") as f:
            server.certs = Authority.of_mesh(p.mesh.state).sign(
                [uri("spiffe://cluster.local/ns/pair/sa/backend")]).save(
                    tmp_path_factory.mktemp("certs"), f.read())
        p.server = server
        yield p


def hello_of_server(**values):
    def edit(_, m):
        for name, value in values.items():
            setattr(m, name, value)
    return edited(ServerHello, edit)


def protocol(*names):
    """The server's choice; none when there are no names."""
    listed = b"".join(bytes([len(n)]) + n for n in names)

    def edit(_, m):
        m.extensions = [e for e in m.extensions
                        if e.extType != ExtensionType.alpn]
        if names:
            m.extensions.append(extension(
                ExtensionType.alpn, len(listed).to_bytes(2, "big") + listed))
    return edited(EncryptedExtensions, edit)


OLD = "peer: TLS version not supported"
SERVERS = {
    "the right one": ({}, None, None),
    "TLS 1.2": ({"oldest": (3, 3), "newest": (3, 3)}, None, OLD),
    "another protocol": ({}, protocol(b"h2"), BAD),
    "two protocols": ({}, protocol(b"tulle/1", b"h2"), BAD),
    "no protocol": ({}, protocol(), "no common ALPN"),
    "no certificates": ({}, both(instead(
        Certificate, certificates()), instead(CertificateVerify)), BAD),
    "no message of certificates": ({}, both(instead(
        Certificate), instead(CertificateVerify)), UNEXPECTED),
    "no signature": ({}, instead(CertificateVerify), UNEXPECTED),
    "a wrong signature": ({}, edited(CertificateVerify, spoilt("signature")),
                          WRONG),
    "a client's signature": ({}, signed_as(b"client"), WRONG),
    "a signature of something else": ({}, signed_as(transcript=b"x"),
                                      WRONG),
    "a wrong finish": ({}, edited(Finished, spoilt("verify_data")), CHANGED),
    "another suite": ({}, hello_of_server(
        cipher_suite=CipherSuite.TLS_AES_128_CCM_SHA256), BAD),
    "another session": ({}, hello_of_server(session_id=bytearray(32)), BAD),
    "a second hello": ({}, twice(ServerHello), UNEXPECTED),
    "garbage": ({}, instead(ServerHello, Raw(
        HANDSHAKE, bytes(300))), UNEXPECTED),
    "plaintext": ({}, instead(ServerHello, Raw(ALERT, b"HTTP/1.1 200")),
                  BAD),
}


@pytest.mark.parametrize("name", SERVERS)
def test_servers(hostile, name):
    """With the right certificate even: the request never reaches it, and never
    in the clear."""
    server = hostile.server
    server.values, change, reason = SERVERS[name]
    server.change = change or (lambda _, m: [m])
    seen = Watch(hostile.outbound, "outbound", "link failed")
    tunnelled = server.tunnelled
    answer = ask(hostile.front)
    if reason:
        assert (answer.status, answer.fault) == (503, "tls-failed")
        seen.refused(reason)
    else:
        seen.let_in()
    assert (server.tunnelled > tunnelled) == (reason is None)
    assert server.plain == 0
