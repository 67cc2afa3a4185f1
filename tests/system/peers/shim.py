# SPDX-License-Identifier: Apache-2.0
"""Lets programs that know neither our ALPN name nor client certificates talk to
a mesh port: plain TCP on one side, TLS 1.3 as a proxy's on the other."""
import contextlib
import select
import socket
import ssl

from peers.h2 import tls_client
from peers.server import Server
from peers.wire import SECONDS, Wire, address


class Shim(Server):
    """Bytes, ends and resets of either side become the other's: FIN is
    close_notify and back."""

    def __init__(self, to, certs, **options):
        self.to, self.tls = to, tls_client(certs)
        super().__init__(self._carry, **options)

    def _carry(self, plain):
        with socket.create_connection(address(self.to), SECONDS) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far = _Far(sock, self.tls)
            try:
                far.handshake()
                _Pair(plain.sock, far).run()
            except ConnectionError:
                Wire(sock).reset()  # both; whoever was reset does not mind
                plain.reset()


class _Far:
    """TLS that can end one direction: Python's own sockets cannot."""

    def __init__(self, sock, context):
        self.sock = sock
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.goes)

    def flush(self):
        self.sock.sendall(self.goes.read())

    def receive(self):
        data = self.sock.recv(65536)
        if data:
            self.came.write(data)
        else:
            self.came.write_eof()

    def handshake(self):
        while True:
            try:
                self.tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                self.flush()
                self.receive()
            finally:
                self.flush()

    def read(self):
        """What has come, b"" at the end, None when more is needed."""
        try:
            return self.tls.read(65536)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def write(self, data):
        self.tls.write(data)
        self.flush()

    def end(self):
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLSyscallError):
            self.tls.unwrap()
        self.flush()
        self.sock.shutdown(socket.SHUT_WR)


class _Pair:
    def __init__(self, near, far):
        self.near, self.far = near, far
        self.reading = {near, far.sock}

    def run(self):
        self._to_near()  # what came with the handshake
        while self.reading:
            poll = select.poll()
            for sock in self.reading:
                poll.register(sock, select.POLLIN)
            for number, _ in poll.poll():
                if number == self.near.fileno():
                    self._to_far()
                else:
                    self.far.receive()
                    self._to_near()

    def _to_far(self):
        data = self.near.recv(65536)
        if data:
            self.far.write(data)
        else:
            self.far.end()
            self.reading.discard(self.near)

    def _to_near(self):
        data = self.far.read()
        while data:
            self.near.sendall(data)
            data = self.far.read()
        if data == b"":
            self.near.shutdown(socket.SHUT_WR)
            self.reading.discard(self.far.sock)
