# SPDX-License-Identifier: Apache-2.0
"""A raw client: sends the bytes of a case, reads until nothing more comes."""
import contextlib
import select
import socket
import time

from wire import parse_responses

CHUNK = 65536


class Client:
    def __init__(self, addr):
        self.sock = socket.create_connection(addr, 2)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.buf = bytearray()
        self.closed = False
        self.reset = False

    def close(self):
        self.sock.close()

    def send(self, data, end=False, limit=3.0):
        """Sends all it can while reading; `end` half-closes after it."""
        deadline = time.monotonic() + limit
        view = memoryview(data)
        while view and time.monotonic() < deadline and not self.closed:
            readable, writable, _ = select.select([self.sock], [self.sock],
                                                  [], 0.2)
            if readable:
                self._read()
            if writable and not self.closed:
                view = view[self._write(view[:CHUNK]):]
        if end and not self.closed:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    def _write(self, view):
        try:
            return self.sock.send(view)
        except BlockingIOError:
            return 0
        except OSError:  # refused before all was sent: what did it say?
            self.reset = True
            while not self.closed:
                self._read()
            return 0

    def _read(self):
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
            self.reset = True
        if not data:
            self.closed = True
        self.buf += data

    def wait(self, responses, to_head=False, limit=1.6, settle=0.12,
             for_close=False, close_wait=1.7):
        """Reads until so many responses came and the line was quiet for
        `settle`, or (with `for_close`) was not closed for `close_wait`; until
        it is closed or `limit` passed in any case."""
        deadline = time.monotonic() + limit
        heard, done = time.monotonic(), None
        while not self.closed and time.monotonic() < deadline:
            if select.select([self.sock], [], [], 0.03)[0]:
                self._read()
                heard = time.monotonic()
            got, _, bad = parse_responses(self.buf, to_head)
            complete = [r for r in got if r.complete and not r.interim]
            if len(complete) < responses and not bad:
                continue
            now = time.monotonic()
            done = done or now
            if now - heard > settle and not (
                    for_close and now - done <= close_wait):
                break
        return parse_responses(self.buf, to_head)

    def wait_more(self, start, limit=1.6):
        """The complete response behind byte `start`, if it comes in time."""
        deadline = time.monotonic() + limit
        while not self.closed and time.monotonic() < deadline:
            if select.select([self.sock], [], [], 0.05)[0]:
                self._read()
            if any(r.complete for r in parse_responses(self.buf[start:])[0]):
                break
        return parse_responses(self.buf[start:])[0]
