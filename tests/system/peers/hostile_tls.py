# SPDX-License-Identifier: Apache-2.0
"""What tests of hostile TLS share: who is attacked, what must hold, and
changes: what a Peer sends instead of a message of its handshake."""
import contextlib
import ssl

import pytest
from tlslite.constants import ExtensionType, SignatureScheme
from tlslite.errors import BaseTLSException
from tlslite.extensions import TLSExtension
from tlslite.keyexchange import KeyExchange
from tlslite.messages import CertificateVerify, ClientHello

from peers.abuse import GROWTH
from peers.h2 import MAGIC, SETTINGS, settings, tls_client
from peers.http1 import App, ask
from peers.process import growth_below
from peers.tls13 import Peer, message
from peers.watch import Watch

BEGIN = MAGIC + settings()
FINISHED = 20  # a message

# Reasons in the log. What has no place is called by what OpenSSL stumbles on:
# the record or what is in it.
UNEXPECTED = "unexpected message|bad message|not TLS|record was changed"
BAD = "bad message"
WEAK = "cryptographic failure|bad message"
NO_SUITE, NO_GROUP = "no common cipher suite", "no common group"
NO_SIGNATURE = "no common signature algorithm"
NO_CERTIFICATE, BAD_CERTIFICATE = "no certificate", "bad certificate"
WRONG, CHANGED = "wrong signature", "handshake was changed"
TOO_LONG = "message too long"


@contextlib.contextmanager
def attacked(module_pair):
    """A running strict pair; `app` is behind it."""
    with App() as app, module_pair(app, strict=True) as p:
        p.app = app
        yield p


@contextlib.contextmanager
def unharmed(p):
    """What must hold of each attack."""
    asked, p.polite = len(p.app.requests), 0

    def polite():
        answer = ask(p.front)
        assert (answer.status, answer.body) == (200, b"ok\n")
        p.polite += 1
    p.is_polite = polite
    with growth_below(GROWTH, p.inbound.pid):
        yield p
        polite()
    assert begins(p, Peer.connect(p.inbound_mesh))
    assert len(p.app.requests) == asked + p.polite, \
        "nothing of a hostile peer reaches the application"
    p.inbound.program.must_run()


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


def plaintext_watch(p):
    return Watch(p.inbound, "inbound", "plaintext refused: mTLS is strict",
                 family="proxy_plaintext_connections_total")


def hello_of(certs):
    """A ClientHello of OpenSSL's, and the client that waits for the answer."""
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_client(certs).wrap_bio(came, goes)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return goes.read(), tls, came, goes


# --- changes -----------------------------------------------------------------

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
