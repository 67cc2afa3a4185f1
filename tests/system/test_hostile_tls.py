# SPDX-License-Identifier: Apache-2.0
"""TLS handshakes on the mesh port that no library would make: each is refused
for the reason that the log says, nothing of it reaches the application, memory
stays bounded, and whoever behaves is served afterwards."""
import pytest
from tlslite.constants import (CipherSuite, ExtensionType, GroupName,
                               SignatureScheme)
from tlslite.messages import (Certificate, CertificateVerify, ClientHello,
                              Finished)

from peers.authority import Authority, uri
from peers.h2 import ALPN
from peers.hostile_tls import (BAD, BAD_CERTIFICATE, BEGIN, CHANGED, FINISHED,
                               NO_CERTIFICATE, NO_GROUP, NO_SIGNATURE,
                               NO_SUITE, TOO_LONG, UNEXPECTED, WEAK, WRONG, after,
                               alpn, attacked, before, begins, both,
                               certificates, edited, extension,
                               fields_of_hello, hears_settings, instead,
                               plaintext_watch, repeated, second, share,
                               signed_as, spoilt, twice, unharmed, watch,
                               with_extension, without)
from peers.tls13 import (ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC,
                         HANDSHAKE, Peer, Raw, identity, message)


@pytest.fixture(scope="module")
def shared(module_pair):
    with attacked(module_pair) as p:
        yield p


@pytest.fixture
def mesh(shared):
    with unharmed(shared) as p:
        yield p


# --- the hello ---------------------------------------------------------------

def unknown_ticket(_, m):
    """A PSK that nobody gave."""
    m.extensions = [e for e in m.extensions if e.extType !=
                    ExtensionType.psk_key_exchange_modes] + [
        extension(ExtensionType.psk_key_exchange_modes, b"\1\1"),
        extension(ExtensionType.pre_shared_key,
                  b"\0\x26\0\x20" + bytes(32) + bytes(4)
                  + b"\0\x21\x20" + bytes(32))]


def early(_, m):
    m.extensions.append(extension(ExtensionType.early_data))
    unknown_ticket(_, m)


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
    seen = plaintext_watch(mesh)
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
        CipherSuite.TLS_AES_128_CCM_8_SHA256]), NO_SUITE),
    "suites of 1.2": ({}, fields_of_hello(cipher_suites=[
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite.TLS_RSA_WITH_AES_128_CBC_SHA]), NO_SUITE),
    "other groups": ({"keyShares": ["secp521r1"], "eccCurves": ["secp521r1"]},
                     None, NO_GROUP),
    "signatures of SHA-1": ({}, with_extension(SIGNATURES, b"\0\2\2\3"),
                            NO_SIGNATURE),
    "signatures of RSA": ({}, with_extension(SIGNATURES, b"\0\2\x08\4"),
                          NO_SIGNATURE),
    # something is missing, or there twice
    "no shares": ({}, without(SHARES), NO_GROUP),
    "no groups": ({}, without(GROUPS), NO_GROUP),
    "no signatures": ({}, without(SIGNATURES), NO_SIGNATURE),
    "two lists of versions": ({}, repeated(VERSIONS), BAD),
    "shares twice": ({}, repeated(SHARES), BAD),
    "compression": ({}, fields_of_hello(compression_methods=[1, 0]), BAD),
    # keys
    "a share of 31 bytes": ({}, share(GroupName.x25519, bytes(31)), BAD),
    "a share of zeros": ({}, share(GroupName.x25519, bytes(32)), WEAK),
    "a point that is on no curve": ({}, share(
        GroupName.secp256r1, b"\4" + b"\1" * 64), WEAK),
    # early
    "early data that goes on": ({}, both(edited(ClientHello, early), after(
        ClientHello, Raw(APPLICATION_DATA, BEGIN * 10))), UNEXPECTED),
    "a ticket without a group": ({}, both(
        edited(ClientHello, unknown_ticket), without(SHARES)), NO_GROUP),
    "a ticket in the middle": ({}, both(
        edited(ClientHello, unknown_ticket), with_extension(0xfafa)), BAD),
    # twice
    "ALPN left out of the second": (RETRIED, second(
        without(ExtensionType.alpn)), "no common ALPN"),
    "another ALPN in the second": (RETRIED, second(alpn(b"h2")),
                                   "no common ALPN"),
    "nothing new in the second": (RETRIED, second(
        share(GroupName.secp384r1, b"\4" + bytes(96))), BAD),
    "two at once": ({}, twice(ClientHello), UNEXPECTED),
    # followed by what has no place
    "application data": ({}, after(ClientHello, Raw(APPLICATION_DATA, BEGIN)),
                         UNEXPECTED),
    "a finish": ({}, after(ClientHello, message(
        FINISHED, bytes(32))), UNEXPECTED),
    "an alert": ({}, after(ClientHello, Raw(ALERT, b"\2\x28")), UNEXPECTED),
    "a heartbeat": ({}, after(ClientHello, Raw(
        24, b"\1\xff\xff")), UNEXPECTED),
    "a flood of warnings": ({}, after(ClientHello, *[
        Raw(ALERT, b"\1\x5a")] * 1000), UNEXPECTED),
    "a flood of cipher changes": ({}, after(ClientHello, *[
        Raw(CHANGE_CIPHER_SPEC, b"\1")] * 1000), UNEXPECTED),
    "a flood of nothing": ({}, after(ClientHello, *[
        Raw(HANDSHAKE, b"")] * 1000), UNEXPECTED),
}


def refused(p, change, reason, values, **more):
    seen = watch(p)
    with Peer.connect(p.inbound_mesh, change or (lambda _, m: [m])) as peer:
        how = peer.shake(p.certs, **values, **more)
        if how is None:  # it thinks that all is well
            assert not hears_settings(peer)
    seen.refused(reason)


@pytest.mark.parametrize("name", BAD_HELLOS)
def test_hellos(mesh, name):
    values, change, reason = BAD_HELLOS[name]
    refused(mesh, change, reason, values)


# --- the second flight -------------------------------------------------------

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
                                       NO_CERTIFICATE),
    "no certificates, but a signature": (NO_CERT, NO_CERTIFICATE),
    "an empty certificate": (instead(Certificate, certificates(b"")),
                             BAD_CERTIFICATE),
    "garbage for a certificate": (instead(Certificate, certificates(
        bytes(range(200)))), BAD_CERTIFICATE),
    "half a certificate": (half, BAD_CERTIFICATE),
    "bytes behind the certificate": (and_a_bit, BAD),
    "no message of certificates": (instead(Certificate), UNEXPECTED),
    "nothing but a finish": (instead((Certificate, CertificateVerify)),
                             UNEXPECTED),
    "certificates twice": (twice(Certificate), UNEXPECTED),
    "none, then the certificate": (before(Certificate, certificates()),
                                   NO_CERTIFICATE),
    "a context that was not asked for": (edited(Certificate, with_context),
                                         BAD),
    "compressed": (as_compressed, UNEXPECTED),
    "16 MB to come": (instead(Certificate, message(
        11, bytes(1000), length=0xffffff)), TOO_LONG),
    # signatures
    "no signature": (instead(VERIFY), UNEXPECTED),
    "a signature before the certificate": (both(
        instead(VERIFY), before(Certificate, message(
            15, b"\4\3\0\2\0\0"))), UNEXPECTED),
    "two signatures": (twice(VERIFY), UNEXPECTED),
    "a wrong signature": (edited(VERIFY, spoilt("signature")),
                          WRONG),
    "an empty signature": (instead(VERIFY, message(15, b"\4\3\0\0")), WRONG),
    "a signature of 16 KB": (instead(VERIFY, message(
        15, b"\4\3\x3f\xff" + bytes(0x3fff))), TOO_LONG),
    "a server's signature": (signed_as(b"server"), WRONG),
    "a signature of something else": (signed_as(transcript=b"x"),
                                      WRONG),
    "the signature of another handshake": (of_earlier, WRONG),
    "a signature with SHA-1": (signed_as(
        scheme=SignatureScheme.ecdsa_sha1), WRONG),
    "a signature that claims RSA": (claims(
        SignatureScheme.rsa_pss_rsae_sha256), WRONG),
    "a signature that claims another curve": (claims(
        SignatureScheme.ecdsa_secp384r1_sha384), WRONG),
    "a signature that claims nothing known": (claims((0xfe, 0xfe)), WRONG),
    # the end
    "a wrong finish": (edited(Finished, spoilt("verify_data")), CHANGED),
    "a short finish": (instead(Finished, message(FINISHED, bytes(12))), BAD),
    "an empty finish": (instead(Finished, message(FINISHED)), BAD),
    "a finish first": (before(Certificate, message(FINISHED, bytes(32))),
                       UNEXPECTED),
    "early data ends": (before(Certificate, message(5)), UNEXPECTED),
    "a key update": (before(Certificate, message(24, b"\1")), UNEXPECTED),
    "a new hello": (before(Finished, message(1, bytes(100))), UNEXPECTED),
    "application data": (before(Certificate, Raw(APPLICATION_DATA, BEGIN)),
                         UNEXPECTED),
    "application data after the signature": (before(Finished, Raw(
        APPLICATION_DATA, BEGIN)), UNEXPECTED),
    "empty application data": (before(Certificate, Raw(
        APPLICATION_DATA, b"")), UNEXPECTED),
    "a wrong change of cipher": (before(Certificate, Raw(
        CHANGE_CIPHER_SPEC, b"\2")), BAD),
    "a flood of cipher changes": (before(Certificate, *[
        Raw(CHANGE_CIPHER_SPEC, b"\1")] * 1000), UNEXPECTED),
    "a flood of nothing": (before(Certificate, *[Raw(HANDSHAKE, b"")] * 1000),
                           UNEXPECTED),
    "a flood of warnings": (before(Certificate, *[Raw(ALERT, b"\1\x5a")]
                                   * 1000), UNEXPECTED),
    "a message over two kinds of records": (instead(
        Certificate, Raw(HANDSHAKE, b"\x0b\0\1"), Raw(ALERT, b"\1\x5a")),
        UNEXPECTED),
}


@pytest.mark.parametrize("name", SECOND_FLIGHTS)
def test_second_flights(mesh, name):
    change, reason = SECOND_FLIGHTS[name]
    before_it = earlier(mesh) if change is of_earlier else None
    seen = watch(mesh)
    with Peer.connect(mesh.inbound_mesh, change) as peer:
        chain, peer.key = identity(mesh.certs)
        peer.der = bytes(chain.x509List[0].writeBytes())
        peer.earlier = before_it
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
    refused(mesh, None, WRONG, {},
            key=stranger.save(tmp_path, ""))
