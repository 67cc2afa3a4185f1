# SPDX-License-Identifier: Apache-2.0
"""TLS that is not OpenSSL's and keeps no rules for you: tlslite-ng's, whose
messages a test changes on their way out, and records sealed by hand."""
import hmac
import socket

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tlslite.constants import AlertDescription
from tlslite.errors import BaseTLSException, TLSRemoteAlert
from tlslite.handshakesettings import HandshakeSettings
from tlslite.mathtls import HKDF_expand_label
from tlslite.tlsconnection import TLSConnection
from tlslite.utils.keyfactory import parsePEMKey
from tlslite.x509certchain import X509CertChain

from peers.h2 import ALPN
from peers.wire import SECONDS, address

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = range(20, 24)
KEY_UPDATE = 24  # a message of HANDSHAKE


def settings(oldest=(3, 4), newest=(3, 4), **values):
    """Of TLS 1.3 with one suite and one group, when nothing else is said."""
    s = HandshakeSettings()
    s.minVersion, s.maxVersion = oldest, newest
    if newest == (3, 4):
        s.cipherNames, s.keyShares = ["aes128gcm"], ["x25519"]
    s.use_heartbeat_extension = False
    # Else it sends a compressed one, whoever asks for what.
    s.certificate_compression_send = s.certificate_compression_receive = []
    for name, value in values.items():
        setattr(s, name, value)
    return s


def as_it_is(_, message):
    return [message]


class Peer(TLSConnection):
    """One end over `sock`. `change(peer, message)` gives the messages to send
    instead of each of the handshake's: of tlslite, or Raw ones."""

    def __init__(self, sock, change=as_it_is):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw, self.change, self.heard = sock, change, b""
        super().__init__(sock)
        self.closeSocket = False  # whoever gave it does that

    @classmethod
    def connect(cls, to, change=as_it_is, seconds=SECONDS):
        return cls(socket.create_connection(address(to), seconds), change)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    # --- the handshake -------------------------------------------------------

    def _sendMsg(self, msg, randomizeFirstBlock=True, update_hashes=True):
        for m in self.change(self, msg):
            yield from super()._sendMsg(m, randomizeFirstBlock, update_hashes)

    def _queue_message(self, msg):
        for m in self.change(self, msg):
            super()._queue_message(m)

    def _goes(self, handshake):
        """None when it is done, else how the other side ended it."""
        try:
            handshake()
        except TLSRemoteAlert as e:
            return AlertDescription.toStr(e.description)
        except (BaseTLSException, ConnectionError) as e:
            return type(e).__name__
        return None

    def shake(self, certs=None, alpn=(ALPN,), key=None, **values):
        """As a client. `certs`: a folder as of scripts/pair; `key`: of another,
        whose key it takes."""
        chain, own = identity(certs, key) if certs else (None, None)
        names = [bytearray(name, "latin-1") for name in alpn]
        return self._goes(lambda: self.handshakeClientCert(
            chain, own, settings=settings(**values), alpn=names or None))

    def serve(self, certs, alpn=(ALPN,), key=None, ask=True, **values):
        """As a server."""
        chain, own = identity(certs, key)
        return self._goes(lambda: self.handshakeServer(
            certChain=chain, privateKey=own, settings=settings(**values),
            reqCert=ask, alpn=[bytearray(name, "latin-1") for name in alpn]))

    # --- afterwards ----------------------------------------------------------

    def sealer(self):
        """For records by hand: from then on, only such ones."""
        return Sealer(self.raw, bytes(self.session.cl_app_secret))

    def hear(self, count):
        """So many bytes of application data."""
        while len(self.heard) < count:
            self.heard += self.read(min=1, max=65536)
        return self.heard[:count]

    def end(self):
        """How the other side ends it: its alert, or what came instead."""
        while True:
            try:
                data = self.read(min=1, max=65536)
            except TLSRemoteAlert as e:
                return AlertDescription.toStr(e.description)
            except TimeoutError:
                raise
            except (BaseTLSException, OSError, ValueError) as e:
                return type(e).__name__
            if not data:
                return "closed"
            self.heard += data


class Raw:
    """A message, byte by byte."""

    def __init__(self, kind, data):
        self.contentType, self.data = kind, data

    def write(self):
        return bytearray(self.data)


def message(kind, body=b"", length=None):
    """Of the handshake; `length`: the one that it claims."""
    size = len(body) if length is None else length
    return Raw(HANDSHAKE, bytes([kind]) + size.to_bytes(3, "big") + body)


def identity(certs, key=None):
    chain = X509CertChain()
    with open(f"{certs}/client.crt", encoding="ascii") as f:
        chain.parsePemList(f.read())
    with open(f"{key or certs}/client.key", encoding="ascii") as f:
        return chain, parsePEMKey(f.read(), private=True)


def record(kind, data, version=b"\3\3", length=None):
    """In the clear; `length`: the one that it claims."""
    size = len(data) if length is None else length
    return bytes([kind]) + version + size.to_bytes(2, "big") + data


class Sealer:
    """Records of TLS_AES_128_GCM_SHA256, in order or not."""

    def __init__(self, sock, secret):
        self.sock, self.secret, self.count = sock, secret, 0
        self._keys()

    def _keys(self):
        def expand(label, size):
            return bytes(HKDF_expand_label(bytearray(self.secret), label,
                                           bytearray(), size, "sha256"))
        self.count = 0
        self.aead, self.iv = AESGCM(expand(b"key", 16)), expand(b"iv", 12)

    def seal(self, kind, data, padding=0):
        inner = data + bytes([kind]) + bytes(padding)
        head = record(APPLICATION_DATA, b"", length=len(inner) + 16)
        nonce = (int.from_bytes(self.iv, "big") ^ self.count).to_bytes(12,
                                                                       "big")
        self.count += 1
        return head + self.aead.encrypt(nonce, inner, head)

    def update(self, asks):
        """A KeyUpdate; what follows has the new key."""
        sealed = self.seal(HANDSHAKE, bytes([KEY_UPDATE, 0, 0, 1, asks]))
        # HKDF-Expand-Label(secret, "traffic upd", "", 32) is one block.
        info = b"\x00\x20\x11tls13 traffic upd\x00\x01"
        self.secret = hmac.digest(self.secret, info, "sha256")
        self._keys()
        return sealed

    def send(self, kind, data, padding=0):
        self.sock.sendall(self.seal(kind, data, padding))
