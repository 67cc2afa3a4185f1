# SPDX-License-Identifier: Apache-2.0
"""TLS handshakes on the mesh port that no library would make: each is refused
for the reason that the log says, nothing of it reaches the application, memory
stays bounded, and whoever behaves is served meanwhile and afterwards."""
import contextlib
import socket
import ssl

import pytest
from tlslite.api import X509CertChain
from tlslite.constants import (CipherSuite, ExtensionType, GroupName,
                               SignatureScheme)
from tlslite.errors import BaseTLSException
from tlslite.extensions import TLSExtension
from tlslite.keyexchange import KeyExchange
from tlslite.messages import (Certificate, CertificateVerify, ClientHello,
                              CompressedCertificate, EncryptedExtensions,
                              Finished, ServerHello)

from pair import SERVER_IP
from peers.abuse import GROWTH
from peers.authority import Authority, uri
from peers.h2 import ALPN, MAGIC, SETTINGS, settings, tls_client
from peers.http1 import App, ask
from peers.process import connections_to, growth_below
from peers.server import Server
from peers.tls13 import (ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC,
                         HANDSHAKE, Peer, Raw, identity, message, record)
from peers.watch import Watch
from peers.wire import connect
from programs import wait_until

NOWHERE = "127.0.0.1:1"  # allow fixed-port: nobody is asked
BEGIN = MAGIC + settings()
FINISHED = 20


@pytest.fixture(scope="module")
def shared(module_pair):
    """A pair, its app, and the certificate of a good client."""
    with App() as app, module_pair(app, strict=True) as p:
        p.app = app
        yield p


@pytest.fixture
def mesh(shared):
    """What must hold after each test."""
    asked = len(shared.app.requests)
    shared.polite = 0

    def polite():
        answer = ask(shared.front)
        assert (answer.status, answer.body) == (200, b"ok\n")
        shared.polite += 1
    shared.is_polite = polite
    yield shared
    polite()
    assert begins(shared, Peer.connect(shared.inbound_mesh))
    assert len(shared.app.requests) == asked + shared.polite, \
        "nothing of a hostile peer reaches the application"
    shared.inbound.program.must_run()


def begins(p, peer, **values):
    """This peer is let in: the other side sends its settings."""
    with peer:
        if peer.shake(p.certs, **values):
            return False
        return hears_settings(peer)


def hears_settings(peer):
    try:
        peer.write(BEGIN)
        return peer.hear(9)[3] == SETTINGS
    except (BaseTLSException, OSError):
        return False


def watch(p):
    return Watch(p.inbound, "inbound", "mTLS handshake refused")


# --- changes: what is sent instead of a message ------------------------------

def instead(kind, *others):
    return lambda _, m: list(others) if isinstance(m, kind) else [m]


def before(kind, *others):
    return lambda _, m: [*others, m] if isinstance(m, kind) else [m]


def after(kind, *others):
    return lambda _, m: [m, *others] if isinstance(m, kind) else [m]


def twice(kind):
    return lambda _, m: [m, m] if isinstance(m, kind) else [m]


def edited(kind, edit):
    """edit(peer, message) changes it in place."""
    def change(peer, m):
        if isinstance(m, kind):
            edit(peer, m)
        return [m]
    return change


def both(*changes):
    def change(peer, m):
        out = [m]
        for c in changes:
            out = [new for old in out for new in c(peer, old)]
        return out
    return change


def certificates(*entries):
    """The message with these entries, in DER."""
    listed = b"".join(len(e).to_bytes(3, "big") + e + b"\0\0"
                      for e in entries)
    return message(11, b"\0" + len(listed).to_bytes(3, "big") + listed)


# --- the hello ---------------------------------------------------------------

def extension(kind, data=b""):
    return TLSExtension(extType=kind).create(kind, bytearray(data))


def with_extension(kind, data=b""):
    """Instead of the one that is there, if there is one."""
    def edit(_, m):
        at = [n for n, e in enumerate(m.extensions) if e.extType == kind]
        m.extensions[at[0] if at else len(m.extensions):
                     at[0] + 1 if at else None] = [extension(kind, data)]
    return edited(ClientHello, edit)


def without(kind):
    def edit(_, m):
        m.extensions = [e for e in m.extensions if e.extType != kind]
    return edited(ClientHello, edit)


def repeated(kind):
    def edit(_, m):
        m.extensions += [e for e in m.extensions if e.extType == kind]
    return edited(ClientHello, edit)


def fields_of_hello(**values):
    def edit(_, m):
        for name, value in values.items():
            setattr(m, name, value)
    return edited(ClientHello, edit)


def second(edit_second):
    """Only the second hello is changed."""
    def change(peer, m):
        if isinstance(m, ClientHello):
            peer.hellos = getattr(peer, "hellos", 0) + 1
            if peer.hellos == 2:
                return edit_second(peer, m)
        return [m]
    return change


def alpn(*names):
    listed = b"".join(bytes([len(n)]) + n for n in names)
    return with_extension(ExtensionType.alpn,
                          len(listed).to_bytes(2, "big") + listed)


def share(group, data):
    entry = group.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
    return with_extension(ExtensionType.key_share,
                          len(entry).to_bytes(2, "big") + entry)


def unknown_ticket(_, m):
    """A PSK that nobody gave."""
    m.extensions += [
        extension(ExtensionType.psk_key_exchange_modes, b"\1\1"),
        extension(ExtensionType.pre_shared_key,
                  b"\0\x26\0\x20" + bytes(32) + bytes(4)
                  + b"\0\x21\x20" + bytes(32))]


def early(_, m):
    m.extensions.append(extension(ExtensionType.early_data))
    unknown_ticket(_, m)


def only_groups(*groups):
    data = b"".join(g.to_bytes(2, "big") for g in groups)
    return with_extension(ExtensionType.supported_groups,
                          len(data).to_bytes(2, "big") + data)


RETRIED = {"keyShares": ["secp384r1"], "eccCurves": ["secp384r1", "x25519"]}

# Out of the ordinary, and right: let in.
HELLOS = {
    "as it is": ({}, None),
    "one byte in each record": ({"recordSize": 1}, None),
    "our protocol as the last of many": (
        {"alpn": ["h2", "http/1.1", "tulle/2", ALPN]}, None),
    "with a ticket that nobody gave": ({}, edited(ClientHello,
                                                  unknown_ticket)),
    "after a retry": (RETRIED, None),
    "with GREASE": ({}, both(with_extension(0x0a0a),
                             with_extension(0xfafa, b"\0"))),
    "with a spare change of cipher": ({}, before(
        Certificate, Raw(CHANGE_CIPHER_SPEC, b"\1"))),
}


@pytest.mark.parametrize("name", HELLOS)
def test_unusual_but_right(mesh, name):
    """Or the tests below would prove nothing."""
    values, change = HELLOS[name]
    peer = Peer.connect(mesh.inbound_mesh, change or (lambda _, m: [m]))
    values = dict(values)
    if "recordSize" in values:
        peer.recordSize = values.pop("recordSize")
    seen = watch(mesh)
    assert begins(mesh, peer, **values)
    seen.let_in()


NOT_OURS = {
    "no ALPN": {"alpn": []},
    "HTTP/2": {"alpn": ["h2"]},
    "another version": {"alpn": ["tulle/2"]},
    "shorter": {"alpn": ["tulle"]},
    "longer": {"alpn": ["tulle/10"]},
    "upper case": {"alpn": ["TULLE/1"]},
    "a NUL behind it": {"alpn": ["tulle/1\0"]},
    "two names in one": {"alpn": ["tulle/1,h2"]},
    "no names": {"change": with_extension(ExtensionType.alpn, b"\0\0")},
    "an empty name": {"change": alpn(b"", ALPN.encode())},
    "a length that lies": {"change": with_extension(
        ExtensionType.alpn, b"\0\x09\x07tulle/1")},
    "two lists": {"change": repeated(ExtensionType.alpn)},
    "in the server name": {"alpn": [], "serverName": True},
    "behind 70,000 bytes": {"change": edited(
        ClientHello, lambda _, m: m.extensions.insert(
            0, extension(0xfafa, bytes(60000))))},
}


@pytest.mark.parametrize("name", NOT_OURS)
def test_not_a_link(mesh, name):
    """With a good client certificate, but not our ALPN: in strict mode as any
    plaintext."""
    values = dict(NOT_OURS[name])
    change = values.pop("change", lambda _, m: [m])
    if values.pop("serverName", None):
        change = with_extension(ExtensionType.server_name,
                                b"\0\x0a\0\0\x07tulle/1")
    seen = Watch(mesh.inbound, "inbound", "plaintext refused: mTLS is strict",
                 family="proxy_plaintext_connections_total")
    with Peer.connect(mesh.inbound_mesh, change) as peer:
        assert peer.shake(mesh.certs, **values) is not None
    seen.plaintext_refused()


SIGNATURES, GROUPS, SHARES, VERSIONS = (
    ExtensionType.signature_algorithms, ExtensionType.supported_groups,
    ExtensionType.key_share, ExtensionType.supported_versions)
OLD = "TLS version not supported"

BAD_HELLOS = {
    # of another version
    "TLS 1.2": ({"oldest": (3, 3), "newest": (3, 3)}, None, OLD),
    "TLS 1.0 to 1.2": ({"oldest": (3, 1), "newest": (3, 3)}, None, OLD),
    "TLS 1.0": ({"oldest": (3, 1), "newest": (3, 1)}, None, OLD),
    "1.2 in the list of versions": ({}, with_extension(VERSIONS, b"\2\3\3"),
                                    OLD),
    "a draft of 1.3": ({}, with_extension(VERSIONS, b"\2\x7f\x1c"), OLD),
    "no list of versions": ({}, without(VERSIONS), OLD),
    # nothing in common
    "other suites": ({}, fields_of_hello(cipher_suites=[
        CipherSuite.TLS_AES_128_CCM_SHA256,
        CipherSuite.TLS_AES_128_CCM_8_SHA256]), "no common cipher suite"),
    "suites of 1.2": ({}, fields_of_hello(cipher_suites=[
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite.TLS_RSA_WITH_AES_128_CBC_SHA]), "no common cipher suite"),
    "other groups": ({"keyShares": ["secp521r1"], "eccCurves": ["secp521r1"]},
                     None, "no common group"),
    "signatures of SHA-1": ({}, with_extension(SIGNATURES, b"\0\2\2\3"),
                            "no common signature algorithm"),
    "signatures of RSA": ({}, with_extension(SIGNATURES, b"\0\2\x08\4"),
                          "no common signature algorithm"),
    # something is missing, or there twice
    "no shares": ({}, without(SHARES), "?"),
    "no groups": ({}, without(GROUPS), "?"),
    "no signatures": ({}, without(SIGNATURES), "?"),
    "two lists of versions": ({}, repeated(VERSIONS), "?"),
    "shares twice": ({}, repeated(SHARES), "?"),
    "compression": ({}, fields_of_hello(compression_methods=[1, 0]), "?"),
    # keys
    "a share of 31 bytes": ({}, share(GroupName.x25519, bytes(31)), "?"),
    "a share of zeros": ({}, share(GroupName.x25519, bytes(32)), "?"),
    "a point that is on no curve": ({}, share(
        GroupName.secp256r1, b"\4" + b"\1" * 64), "?"),
    # early
    "early data that goes on": ({}, both(edited(ClientHello, early), after(
        ClientHello, Raw(APPLICATION_DATA, BEGIN * 10))), "?"),
    "a ticket without a group": ({}, both(
        edited(ClientHello, unknown_ticket), without(SHARES)), "?"),
    "a ticket in the middle": ({}, both(
        edited(ClientHello, unknown_ticket), with_extension(0xfafa)), "?"),
    # twice
    "ALPN left out of the second": (RETRIED, second(
        without(ExtensionType.alpn)), "no common ALPN"),
    "another ALPN in the second": (RETRIED, second(alpn(b"h2")),
                                   "no common ALPN"),
    "nothing new in the second": (RETRIED, second(
        share(GroupName.secp384r1, b"\4" + bytes(96))), "?"),
    "two at once": ({}, twice(ClientHello), "?"),
    # followed by what has no place
    "application data": ({}, after(ClientHello, Raw(APPLICATION_DATA, BEGIN)),
                         "?"),
    "a finish": ({}, after(ClientHello, message(FINISHED, bytes(32))), "?"),
    "an alert": ({}, after(ClientHello, Raw(ALERT, b"\2\x28")), "?"),
    "a heartbeat": ({}, after(ClientHello, Raw(24, b"\1\xff\xff")), "?"),
    "a flood of warnings": ({}, after(ClientHello, *[
        Raw(ALERT, b"\1\x5a")] * 1000), "?"),
    "a flood of cipher changes": ({}, after(ClientHello, *[
        Raw(CHANGE_CIPHER_SPEC, b"\1")] * 1000), "?"),
    "a flood of nothing": ({}, after(ClientHello, *[
        Raw(HANDSHAKE, b"")] * 1000), "?"),
}


def refused(p, change, reason, values, certs=None, **more):
    seen = watch(p)
    with Peer.connect(p.inbound_mesh, change or (lambda _, m: [m])) as peer:
        how = peer.shake(certs or p.certs, **values, **more)
        if how is None:  # it thinks that all is well
            assert not hears_settings(peer)
    seen.refused(reason)


@pytest.mark.parametrize("name", BAD_HELLOS)
def test_hellos(mesh, name):
    values, change, reason = BAD_HELLOS[name]
    refused(mesh, change, reason, values)


# --- the second flight -------------------------------------------------------

def spoilt(name):
    """The last byte of a field is another."""
    def edit(_, m):
        value = bytearray(getattr(m, name))
        value[-1] ^= 1
        setattr(m, name, value)
    return edit


def signed_as(side=b"client", scheme=None, transcript=None):
    """A signature by the right key of something else."""
    def edit(peer, m):
        hashes = peer._handshake_hash.copy()
        if transcript:
            hashes.update(transcript)
        scheme_ = scheme or m.signatureAlgorithm
        hash_name = SignatureScheme.getHash(SignatureScheme.toRepr(scheme_))
        text = KeyExchange.calcVerifyBytes(
            (3, 4), hashes, m.signatureAlgorithm, None, None, None, "sha256",
            side)
        m.signature = peer.key.sign(text, None, hash_name, None)
        m.signatureAlgorithm = scheme_
    return edited(CertificateVerify, edit)


def claims(scheme):
    def edit(_, m):
        m.signatureAlgorithm = scheme
    return edited(CertificateVerify, edit)


def of_earlier(peer, m):
    """The signature of another handshake by the same client."""
    if isinstance(m, CertificateVerify):
        m.signature = peer.earlier
    return [m]


def as_compressed(_, m):
    if not isinstance(m, Certificate):
        return [m]
    return [message(25, b"\0\1\xff\xff\xff\0\0\x08\x78\x9c" + bytes(6))]


def half(peer, m):
    return [certificates(peer.der[:len(peer.der) // 2])
            if isinstance(m, Certificate) else m]


def and_a_bit(peer, m):
    return [certificates(peer.der + b"!") if isinstance(m, Certificate) else m]


def with_context(_, m):
    m.certificate_request_context = bytearray(b"x")


VERIFY, NO_CERT = (CertificateVerify,), instead(Certificate, certificates())

SECOND_FLIGHTS = {
    # certificates
    "no certificates in the message": (both(NO_CERT, instead(VERIFY)),
                                       "no certificate"),
    "no certificates, but a signature": (NO_CERT, "?"),
    "an empty certificate": (instead(Certificate, certificates(b"")), "?"),
    "garbage for a certificate": (instead(Certificate, certificates(
        bytes(range(200)))), "?"),
    "half a certificate": (half, "?"),
    "bytes behind the certificate": (and_a_bit, "?"),
    "no message of certificates": (instead(Certificate), "?"),
    "nothing but a finish": (instead((Certificate, CertificateVerify)), "?"),
    "certificates twice": (twice(Certificate), "?"),
    "none, then the certificate": (before(Certificate, certificates()), "?"),
    "a context that was not asked for": (edited(Certificate, with_context),
                                         "?"),
    "compressed": (as_compressed, "?"),
    "16 MB to come": (instead(Certificate, message(11, bytes(1000),
                                                   length=0xffffff)), "?"),
    # signatures
    "no signature": (instead(VERIFY), "?"),
    "a signature before the certificate": (both(
        instead(VERIFY), before(Certificate, message(
            15, b"\4\3\0\2\0\0"))), "?"),
    "two signatures": (twice(VERIFY), "?"),
    "a wrong signature": (edited(VERIFY, spoilt("signature")),
                          "wrong signature"),
    "an empty signature": (instead(VERIFY, message(15, b"\4\3\0\0")), "?"),
    "a signature of 16 KB": (instead(VERIFY, message(
        15, b"\4\3\x3f\xff" + bytes(0x3fff))), "?"),
    "a server's signature": (signed_as(b"server"), "wrong signature"),
    "a signature of something else": (signed_as(transcript=b"x"),
                                      "wrong signature"),
    "the signature of another handshake": (of_earlier, "wrong signature"),
    "a signature with SHA-1": (signed_as(
        scheme=SignatureScheme.ecdsa_sha1), "?"),
    "a signature that claims RSA": (claims(
        SignatureScheme.rsa_pss_rsae_sha256), "?"),
    "a signature that claims another curve": (claims(
        SignatureScheme.ecdsa_secp384r1_sha384), "?"),
    "a signature that claims nothing known": (claims((0xfe, 0xfe)), "?"),
    # the end
    "a wrong finish": (edited(Finished, spoilt("verify_data")), "?"),
    "a short finish": (instead(Finished, message(FINISHED, bytes(12))), "?"),
    "an empty finish": (instead(Finished, message(FINISHED)), "?"),
    "a finish first": (before(Certificate, message(FINISHED, bytes(32))),
                       "?"),
    "early data ends": (before(Certificate, message(5)), "?"),
    "a key update": (before(Certificate, message(24, b"\1")), "?"),
    "a new hello": (before(Finished, message(1, bytes(100))), "?"),
    "application data": (before(Certificate, Raw(APPLICATION_DATA, BEGIN)),
                         "?"),
    "application data after the signature": (before(Finished, Raw(
        APPLICATION_DATA, BEGIN)), "?"),
    "empty application data": (before(Certificate, Raw(
        APPLICATION_DATA, b"")), "?"),
    "a wrong change of cipher": (before(Certificate, Raw(
        CHANGE_CIPHER_SPEC, b"\2")), "?"),
    "a flood of cipher changes": (before(Certificate, *[
        Raw(CHANGE_CIPHER_SPEC, b"\1")] * 1000), "?"),
    "a flood of nothing": (before(Certificate, *[Raw(HANDSHAKE, b"")] * 1000),
                           "?"),
    "a flood of warnings": (before(Certificate, *[Raw(ALERT, b"\1\x5a")]
                                   * 1000), "?"),
    "a message over two kinds of records": (instead(
        Certificate, Raw(HANDSHAKE, b"\x0b\0\1"), Raw(ALERT, b"\1\x5a")),
        "?"),
}


@pytest.mark.parametrize("name", SECOND_FLIGHTS)
def test_second_flights(mesh, name):
    change, reason = SECOND_FLIGHTS[name]
    seen = watch(mesh)
    with Peer.connect(mesh.inbound_mesh, change) as peer:
        chain, peer.key = identity(mesh.certs)
        peer.der = bytes(chain.x509List[0].writeBytes())
        peer.earlier = earlier(mesh) if change is of_earlier else None
        if peer.shake(mesh.certs) is None:
            assert not hears_settings(peer)
    seen.refused(reason)


def earlier(p):
    kept = []

    def keep(_, m):
        if isinstance(m, CertificateVerify):
            kept.append(m.signature)
        return [m]
    assert begins(p, Peer.connect(p.inbound_mesh, keep))
    return kept[0]


def test_certificate_of_another(mesh, tmp_path):
    """Copied from the wire: who shows it has not its key."""
    stranger = Authority.stranger().sign([uri("spiffe://x/y")])
    refused(mesh, None, "wrong signature", {},
            key=stranger.save(tmp_path, ""))


# --- bytes before TLS --------------------------------------------------------

def hello_of(certs):
    """A ClientHello of OpenSSL's, and the client that waits for the answer."""
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_client(certs).wrap_bio(came, goes)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return goes.read(), tls, came, goes


def goes_on(wire, tls, came, goes):
    """The handshake after the hello, up to the other side's settings."""
    for step in (tls.do_handshake, lambda: tls.write(BEGIN),
                 lambda: tls.read(9)):
        while True:
            try:
                got = step()
                break
            except ssl.SSLWantReadError:
                wire.send(goes.read())
                came.write(wire.some())
        wire.send(goes.read())
    return got[3] == SETTINGS


def test_hello_split_at_every_byte(mesh):
    """The look that decides and the handshake after it see the same."""
    seen, count = watch(mesh), len(hello_of(mesh.certs)[0])
    for at in range(1, count):
        hello, *rest = hello_of(mesh.certs)
        with connect(mesh.inbound_mesh) as wire:
            wire.send(hello[:at])
            wire.send(hello[at:])
            assert goes_on(wire, *rest), at
    seen.let_in()


def test_hello_byte_by_byte(mesh):
    seen = watch(mesh)
    hello, *rest = hello_of(mesh.certs)
    with connect(mesh.inbound_mesh) as wire:
        wire.send_slowly(hello)
        assert goes_on(wire, *rest)
    seen.let_in()


def in_records(data, size, kind=HANDSHAKE):
    return b"".join(record(kind, data[at:at + size], b"\3\1")
                    for at in range(0, len(data), size))


NO_HELLOS = {
    "a record that is too long": lambda h: record(
        HANDSHAKE, h[5:] + bytes(16384)),
    "a record of length 65535": lambda h: h[:3] + b"\xff\xff" + h[5:],
    "an empty record first": lambda h: record(HANDSHAKE, b"") + h,
    "a change of cipher first": lambda h: record(
        CHANGE_CIPHER_SPEC, b"\1") + h,
    "an alert first": lambda h: record(ALERT, b"\1\x5a") + h,
    "an alert between two records": lambda h: (
        record(HANDSHAKE, h[5:50]) + record(ALERT, b"\1\x5a")
        + record(HANDSHAKE, h[50:])),
    "application data first": lambda h: record(APPLICATION_DATA, b"x") + h,
    "a server's hello": lambda h: h[:5] + b"\2" + h[6:],
    "16 MB to come": lambda h: h[:6] + b"\xff\xff\xff" + h[9:],
    "too short by one byte": lambda h: h[:6] + (
        int.from_bytes(h[6:9], "big") - 1).to_bytes(3, "big") + h[9:],
    "a hello of SSLv2": lambda h: b"\x80\x2e\1\0\2\0\x15\0\0\0\x10"
                                  + bytes(37),
    "HTTP": lambda h: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_HELLOS)
def test_bytes_that_are_no_hello(mesh, name):
    seen = Watch(mesh.inbound, "inbound", "plaintext refused: mTLS is strict",
                 family="proxy_plaintext_connections_total")
    with connect(mesh.inbound_mesh) as wire:
        wire.send(NO_HELLOS[name](hello_of(mesh.certs)[0]))
        with contextlib.suppress(ConnectionError):
            wire.half_close()
        assert wire.how_it_ends() in ("fin", "reset")
    seen.plaintext_refused()


# --- once it is a link -------------------------------------------------------

@contextlib.contextmanager
def link(p, change=lambda _, m: [m]):
    """A peer that was let in."""
    with Peer.connect(p.inbound_mesh, change) as peer:
        assert peer.shake(p.certs) is None
        assert hears_settings(peer)
        sealer = peer.sealer()
        sealer.count = 1  # after the preface
        yield peer, sealer


def handshake_message(kind, body=b""):
    return message(kind, body).data


AFTERWARDS = {
    # a second handshake
    "a hello": lambda s, h: s.seal(HANDSHAKE, h[5:]),
    "a hello in the clear": lambda s, h: h,
    "a request for a hello": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(0)),
    "a certificate": lambda s, h: s.seal(
        HANDSHAKE, certificates(b"").data),
    "a request for a certificate": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(13, b"\0\0\0")),
    "a session": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(4, bytes(20))),
    "a finish": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(FINISHED, bytes(32))),
    "early data ends": lambda s, h: s.seal(HANDSHAKE, handshake_message(5)),
    "a message of no kind": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(0x77, b"?")),
    "a message of 16 MB": lambda s, h: s.seal(
        HANDSHAKE, b"\x18\xff\xff\xff" + bytes(1000)),
    # key updates
    "a key update that asks for what is not": lambda s, h: s.update(2),
    "an empty key update": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(24)),
    "a key update of two bytes": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(24, b"\0\0")),
    "two key updates in a record": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(24, b"\0") * 2),
    "a key update and the old key": lambda s, h: s.seal(
        HANDSHAKE, handshake_message(24, b"\0")) + s.seal(
            APPLICATION_DATA, b"x"),
    # records
    "garbage": lambda s, h: bytes(range(256)) * 80,
    "a record with a wrong tag": lambda s, h: s.seal(
        APPLICATION_DATA, b"x")[:-1] + b"?",
    "a record with a wrong length": lambda s, h: record(
        APPLICATION_DATA, s.seal(APPLICATION_DATA, b"xx")[5:-1]),
    "a record that is left out": lambda s, h: (
        s.seal(APPLICATION_DATA, b"x"), s.seal(APPLICATION_DATA, b"x"))[1],
    "a record that comes twice": lambda s, h: s.seal(
        APPLICATION_DATA, settings()) * 2,
    "a record in the clear": lambda s, h: record(APPLICATION_DATA, b"xyz"),
    "a record of one byte": lambda s, h: record(APPLICATION_DATA, b"x"),
    "a record of zeros": lambda s, h: s.seal(0, bytes(100)),
    "a record of no kind": lambda s, h: s.seal(99, b"x"),
    "a heartbeat": lambda s, h: s.seal(24, b"\1\xff\xff"),
    "a change of cipher": lambda s, h: record(CHANGE_CIPHER_SPEC, b"\1"),
    "a sealed change of cipher": lambda s, h: s.seal(
        CHANGE_CIPHER_SPEC, b"\1"),
    "an oversized record": lambda s, h: s.seal(
        APPLICATION_DATA, bytes(16385)),
    "an oversized record, of padding": lambda s, h: s.seal(
        APPLICATION_DATA, b"", padding=16500),
    "a record of length 65535": lambda s, h: record(
        APPLICATION_DATA, b"", length=65535) + bytes(1000),
    # alerts
    "an alert in the clear": lambda s, h: record(ALERT, b"\2\x28"),
    "an alert of no kind": lambda s, h: s.seal(ALERT, b"\2\xfe"),
    "an alert of one byte": lambda s, h: s.seal(ALERT, b"\1"),
    "a close and then a request": lambda s, h: s.seal(
        ALERT, b"\1\0") + s.seal(APPLICATION_DATA, bytes(16384)) * 5,
    "a close and then garbage": lambda s, h: s.seal(
        ALERT, b"\1\0") + bytes(100000),
}


@pytest.mark.parametrize("name", AFTERWARDS)
def test_afterwards(mesh, name):
    """It is cut."""
    hello = hello_of(mesh.certs)[0]
    with link(mesh) as (peer, sealer):
        with contextlib.suppress(ConnectionError):
            peer.raw.sendall(AFTERWARDS[name](sealer, hello))
        peer.end()
    wait_until("the link is gone", lambda: link_count(mesh) <= 1, 10)


def link_count(p):
    return sum(v for labels, v in p.inbound.metrics()["proxy_links_open"]
               if labels["direction"] == "inbound")


def sealed_ping(sealer):
    return sealer.seal(APPLICATION_DATA, b"\0\0\x08\6\0\0\0\0\0" + b"8 bytes!")


def test_afterwards_what_may_be(mesh):
    """Or the test above would prove nothing: updates of keys, padding, and
    empty records are no offence."""
    with link(mesh) as (peer, sealer):
        peer.raw.sendall(sealer.update(0) + sealer.update(1)
                         + sealer.seal(APPLICATION_DATA, b"")
                         + sealed_ping(sealer))
        while b"8 bytes!" not in peer.heard:
            peer.hear(len(peer.heard) + 1)


FLOODS = {
    "empty records": lambda s: s.seal(APPLICATION_DATA, b""),
    "records of padding": lambda s: s.seal(APPLICATION_DATA, b"",
                                           padding=1000),
    "warnings": lambda s: s.seal(ALERT, b"\1\x5a"),
    "key updates": lambda s: s.update(0),
    "key updates that ask": lambda s: s.update(1),
    "messages of nothing": lambda s: s.seal(HANDSHAKE, b""),
}


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "reads not"])
@pytest.mark.parametrize("name", FLOODS)
def test_floods(mesh, name, reads):
    """20,000 of them: cut, or borne without growing; others are served
    meanwhile."""
    with growth_below(GROWTH, mesh.inbound.pid), link(mesh) as (peer, sealer):
        peer.raw.settimeout(5)
        with contextlib.suppress(OSError):
            for n in range(40):
                peer.raw.sendall(b"".join(FLOODS[name](sealer)
                                          for _ in range(500)))
                if reads:
                    drain(peer.raw)
                if n % 10 == 0:
                    mesh.is_polite()
    wait_until("the link is gone", lambda: link_count(mesh) <= 1, 10)


def drain(sock):
    with contextlib.suppress(BlockingIOError):
        while sock.recv(65536, socket.MSG_DONTWAIT):
            pass


# --- time --------------------------------------------------------------------

def slow_hello(p):
    """A byte now and then: each is progress, none is enough."""
    hello = hello_of(p.certs)[0]
    with connect(p.inbound_mesh) as wire, pytest.raises(OSError):
        for at in range(len(hello)):
            wire.send(hello[at:at + 1])
            if not wire.is_quiet(0.05):
                wire.exactly(1)
        pytest.fail("a hello of 0.05 s a byte came to its end")


class Stalled(Exception):
    pass


def stalls_at(kind):
    """Up to this message, which never comes."""
    def stall(_, m):
        if isinstance(m, kind):
            raise Stalled
        return [m]

    def play(p):
        with Peer.connect(p.inbound_mesh, stall) as peer:
            with pytest.raises(Stalled):
                peer.shake(p.certs)
            with contextlib.suppress(ConnectionError):
                while peer.raw.recv(65536):
                    pass
    return play


STALLS = {"a slow hello": (slow_hello, "ClientHello not complete in time"),
          "no certificate": (stalls_at(Certificate), None),
          "no signature": (stalls_at(CertificateVerify), None),
          "no finish": (stalls_at(Finished), None)}


def test_stalls(pair):
    """The handshake has one deadline, whatever comes meanwhile."""
    with App() as app, pair(app, strict=True, handshake_timeout="1s") as p:
        for play, sentence in STALLS.values():
            seen = Watch(p.inbound, "inbound",
                         sentence or "mTLS handshake refused")
            play(p)
            seen.refused(None if sentence else "handshake timed out")
            assert ask(p.front).status == 200


# --- servers -----------------------------------------------------------------

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


SERVERS = {
    "the right one": ({}, None, None),
    "TLS 1.2": ({"oldest": (3, 3), "newest": (3, 3)}, None, "?"),
    "another protocol": ({}, protocol(b"h2"), "?"),
    "two protocols": ({}, protocol(b"tulle/1", b"h2"), "?"),
    "no protocol": ({}, protocol(), "no common ALPN"),
    "no certificates": ({}, both(instead(
        Certificate, certificates()), instead(VERIFY)), "?"),
    "no message of certificates": ({}, both(instead(
        Certificate), instead(VERIFY)), "?"),
    "no signature": ({}, instead(VERIFY), "?"),
    "a wrong signature": ({}, edited(VERIFY, spoilt("signature")),
                          "wrong signature"),
    "a client's signature": ({}, signed_as(b"client"), "wrong signature"),
    "a signature of something else": ({}, signed_as(transcript=b"x"),
                                      "wrong signature"),
    "a wrong finish": ({}, edited(Finished, spoilt("verify_data")), "?"),
    "no finish": ({}, instead(Finished), "?"),
    "another suite": ({}, hello_of_server(
        cipher_suite=CipherSuite.TLS_AES_128_CCM_SHA256), "?"),
    "another session": ({}, hello_of_server(session_id=bytearray(32)), "?"),
    "a second hello": ({}, twice(ServerHello), "?"),
    "garbage": ({}, instead(ServerHello, Raw(HANDSHAKE, bytes(300))), "?"),
    "plaintext": ({}, instead(ServerHello, Raw(ALERT, b"HTTP/1.1 200")),
                  "?"),
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
