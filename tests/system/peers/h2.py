# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frames, well-formed or not: nobody here keeps the rules for you."""
import select
import socket
import ssl
import struct
import time
from collections import namedtuple

import hpack

from peers.wire import SECONDS, Ended, Wire, address

ALPN = "tulle/1"
AUTHORITY = "tulle.link:1"  # of every CONNECT between proxies
MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, \
    WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
INITIAL_WINDOW, MAX_FRAME, TABLE_SIZE = 4, 5, 1
REFUSED_STREAM, CANCEL = 7, 8

NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Frame = namedtuple("Frame", "kind flags stream payload")


def frame(kind, flags=0, stream=0, payload=b""):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags])
            + struct.pack("!I", stream) + payload)


def settings(values=()):
    return frame(SETTINGS, 0, 0, b"".join(
        struct.pack("!HI", k, v) for k, v in dict(values).items()))


def window_update(stream, by):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack("!I", by))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack("!I", code))


def fields(method="GET", path="/", more=()):
    if method == "CONNECT":
        return [(":method", method), (":authority", AUTHORITY), *more]
    return [(":method", method), (":scheme", "http"), (":path", path),
            (":authority", "test"), *more]


def tls_client(certs):
    """A client's context: `certs` is a folder as of scripts/pair."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False  # names are URIs here
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.load_verify_locations(f"{certs}/bundle.pem")
    tls.load_cert_chain(f"{certs}/client.crt", f"{certs}/client.key")
    tls.set_alpn_protocols([ALPN])
    return tls


class Plain(Wire):
    """A client without TLS. `cut`: how it ended, once it did; `goaway`: the
    code of the last; `resets`: codes by stream."""

    def __init__(self, to, seconds=SECONDS):
        super().__init__(self._connect(to, seconds), seconds)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.cut, self.goaway, self.resets = None, None, {}

    def _connect(self, to, seconds):
        return socket.create_connection(address(to), seconds)

    def _pending(self):
        """Bytes that no poll tells of."""
        return 0

    def begin(self, values=(), window=1 << 30, agree=True):
        """Preface and settings; takes theirs, and agrees to them."""
        self.send(MAGIC + settings(values)
                  + (window_update(0, window) if window else b""))
        self.until_frame(lambda f: f.kind == SETTINGS and not f.flags & ACK)
        if agree:
            self.send(frame(SETTINGS, ACK))
        return self

    def head(self, stream, listed=None, end=True):
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0),
                     stream, self.encoder.encode(listed or fields()))

    # --- reading -------------------------------------------------------------

    def read_frame(self):
        head = self.exactly(9)
        got = Frame(head[3], head[4],
                    struct.unpack("!I", head[5:])[0] & 0x7fffffff,
                    self.exactly(int.from_bytes(head[:3], "big")))
        if got.kind == GOAWAY:
            self.goaway = struct.unpack("!I", got.payload[4:8])[0]
        elif got.kind == RST_STREAM:
            self.resets[got.stream] = struct.unpack("!I", got.payload)[0]
        return got

    def until_frame(self, wanted):
        while True:
            got = self.read_frame()
            if got.kind == PING and not got.flags & ACK:
                self.send(frame(PING, ACK, 0, got.payload))
            if wanted(got):
                return got

    def answer(self, stream):
        """(status, fields, body) of a whole response."""
        listed, body = [], b""
        while True:
            f = self.until_frame(lambda g: g.stream == stream
                                 or g.kind == HEADERS)
            if f.kind == HEADERS:  # all of them: the decoder has a memory
                got = self.decoder.decode(f.payload)
                listed = got if f.stream == stream and not listed else listed
            elif f.kind == DATA:
                body += f.payload
                if f.payload:
                    self.send(window_update(stream, len(f.payload)))
            elif f.kind == RST_STREAM:
                raise Ended(f"stream {stream} was reset: {f.payload!r}")
            if f.stream == stream and f.kind in (HEADERS, DATA) \
                    and f.flags & END_STREAM:
                return int(dict(listed)[":status"]), listed, body

    # --- abuse ---------------------------------------------------------------

    def _receive(self):
        """Takes what is there; false at the end."""
        try:
            data = self.sock.recv(65536)
        except NOT_NOW:
            return True
        except OSError as e:
            self.cut = self.cut or f"error: {e}"
            return False
        if not data:
            self.cut = self.cut or "end"
            return False
        self.kept += data
        while len(self.kept) >= 9 and \
                len(self.kept) >= 9 + int.from_bytes(self.kept[:3], "big"):
            self.read_frame()
        return True

    def _write(self, data):
        try:
            return self.sock.send(data)
        except NOT_NOW:
            return 0
        except OSError as e:
            self.cut = f"error: {e}"
            return 0

    def flood(self, make, count, seconds=15):
        """Sends make(0), make(1) ... and reads meanwhile, until it is cut.
        Returns how many were sent."""
        self.sock.setblocking(False)
        end, pending, sent = time.monotonic() + seconds, b"", 0
        while not self.cut and time.monotonic() < end:
            while sent < count and len(pending) < 16384:
                pending += make(sent)
                sent += 1
            if not pending:
                break
            readable, writable, _ = select.select([self.sock], [self.sock],
                                                  [], 0.2)
            if (readable or self._pending()) and not self._receive():
                break
            if writable:
                pending = pending[self._write(pending):]
        return sent

    def is_cut(self, seconds=SECONDS):
        """Within so long the other side ends the connection."""
        self.sock.setblocking(False)
        end = time.monotonic() + seconds
        while not self.cut and time.monotonic() < end:
            if self._pending() or \
                    select.select([self.sock], [], [], 0.2)[0]:
                self._receive()
        return bool(self.cut)

    def is_cut_or_told(self, seconds=SECONDS):
        """Or says GOAWAY with an error."""
        self.is_cut(seconds)
        return bool(self.cut or self.goaway)


class Link(Plain):
    """A client of the mesh port."""

    def __init__(self, to, certs, seconds=SECONDS):
        self.certs = certs
        super().__init__(to, seconds)

    def _connect(self, to, seconds):
        raw = super()._connect(to, seconds)
        try:
            return tls_client(self.certs).wrap_socket(raw)
        except BaseException:
            raw.close()
            raise

    def _pending(self):
        return self.sock.pending()
