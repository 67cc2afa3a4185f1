# SPDX-License-Identifier: Apache-2.0
"""The origin behind the proxy: strict, and it records all it gets.

It answers every request with a plain 200 that says X-Origin, or the first one
with the bytes of a script. What a strict reader refuses is a violation, and
the end of that connection.
"""
import contextlib
import socket
import struct
import threading

from wire import Bad, Need, Request, parse_request

RAW_MAX = 100_000
GRACE = 0.05  # for a peer to read what was sent, before a reset takes it away


class Script:
    """How the backend behaves during one case."""

    def __init__(self, raw=None, close=False, reset=False, early=False,
                 controls_ok=False):
        self.raw = raw        # the answer to the first request; None: a 200
        self.close = close    # after it
        self.reset = reset    # after it, with RST
        self.early = early    # answer the head, do not wait for the body
        self.controls_ok = controls_ok


class Record:
    """What arrived during one case."""

    def __init__(self, script):
        self.script = script
        self.requests = []
        self.violations = []
        self.raw = []        # one bytearray per connection
        self.conns = set()
        self.over = threading.Event()


class Backend:
    """Listens on `addr` (port 0: any) until closed."""

    def __init__(self, addr):
        self.listener = socket.create_server(addr, backlog=256)
        self.addr = self.listener.getsockname()[:2]
        self.lock = threading.Lock()
        self.record = Record(Script())
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.start(Script())
        self.listener.close()

    def start(self, script):
        """Begins a case: connections of the one before are closed."""
        with self.lock:
            old, self.record = self.record, Record(script)
            conns = list(old.conns)
        old.over.set()
        for s in conns:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                record = self.record
                record.conns.add(s)
            threading.Thread(target=self._serve, args=(s, record),
                             daemon=True).start()

    def _serve(self, s, record):
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Connection(s, record, self.lock).run()
        except OSError:
            pass
        finally:
            with self.lock:
                record.conns.discard(s)
            s.close()


class Connection:
    def __init__(self, sock, record, lock):
        self.sock = sock
        self.record = record
        self.lock = lock
        self.buf = bytearray()
        self.pos = 0
        self.continued = False

    def run(self):
        raw = None
        while not self.record.over.is_set():
            data = self.sock.recv(65536)
            if not data:
                return
            if raw is None:
                raw = bytearray()
                with self.lock:
                    self.record.raw.append(raw)
            raw += data[:max(0, RAW_MAX - len(raw))]
            self.buf += data
            if not self._answer_all():
                return

    def _answer_all(self):
        """False when the connection is to be closed."""
        script = self.record.script
        if script.early and b"\r\n\r\n" in self.buf:
            self._got(Request("POST", "/p", "1", []))
            self.sock.sendall(script.raw)
            self.record.over.wait(GRACE)
            return False
        self._expectation()
        while self.pos < len(self.buf):
            try:
                request, self.pos = parse_request(self.buf, self.pos,
                                                  script.controls_ok)
            except Need:
                return True
            except Bad as e:
                with self.lock:
                    self.record.violations.append(str(e))
                return False
            if not self._answer(request, self._got(request)):
                return False
        return True

    def _expectation(self):
        """An origin answers an expectation whose content has not come yet."""
        rest = bytes(self.buf[self.pos:])
        if (self.continued or b"\r\n\r\n" not in rest
                or b"expect: 100-continue" not in rest.lower()):
            return
        self.continued = True
        try:
            parse_request(self.buf, self.pos, True)
        except Need:
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        except Bad:
            pass

    def _got(self, request):
        with self.lock:
            self.record.requests.append(request)
            return len(self.record.requests)

    def _answer(self, request, count):
        script = self.record.script
        if script.raw is None or count > 1:
            body = b"origin:%d" % count
            self.sock.sendall(
                b"HTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: %d\r\n\r\n"
                % len(body) + (b"" if request.method == "HEAD" else body))
            return True
        self.sock.sendall(script.raw)
        if script.reset:
            self.record.over.wait(GRACE)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
        return not (script.close or script.reset)
