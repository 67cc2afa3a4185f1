# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 as the tests read and write it: strict, small, byte by byte."""
from peers.server import Server
from peers.wire import Ended, connect

CRLF = b"\r\n"


class Message:
    """A request or response that was read. `start`: its three parts."""

    def __init__(self, start, fields):
        self.start, self.fields = start, fields
        self.body, self.trailers, self.chunks = b"", [], []

    @property
    def status(self):
        return int(self.start[1])

    @property
    def method(self):
        return self.start[0]

    @property
    def target(self):
        return self.start[1]

    def all(self, name):
        return [v for k, v in self.fields if k.lower() == name]

    def get(self, name):
        """The one value of a field, or None; twice is wrong."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} twice: {values}"
        return values[0] if values else None

    @property
    def fault(self):
        return self.get("tulle-fault")

    def __repr__(self):
        return f"<{' '.join(self.start)} {self.fields} {self.body[:200]!r}>"


def _fields(block):
    out = []
    for line in block.split(CRLF):
        if line:
            name, colon, value = line.partition(b":")
            assert colon and name == name.strip(), f"not a field: {line!r}"
            out.append((name.decode("latin-1"),
                        value.strip(b" \t").decode("latin-1")))
    return out


def read_head(wire):
    line, _, rest = wire.until(CRLF * 2)[:-2].partition(CRLF)
    start = line.decode("latin-1").split(" ", 2)
    assert len(start) == 3 or start[0].startswith("HTTP/"), f"bad: {line!r}"
    return Message(start, _fields(rest))


def _read_chunks(wire, message):
    while True:
        size = int(wire.until(CRLF)[:-2].split(b";")[0], 16)
        if not size:
            break
        message.chunks.append(wire.exactly(size))
        assert wire.exactly(2) == CRLF, "a chunk that does not end"
    message.body = b"".join(message.chunks)
    line = wire.until(CRLF)
    while line != CRLF:
        message.trailers += _fields(line)
        line = wire.until(CRLF)


def read_body(wire, message, to_end=False):
    """`to_end`: without a length the body ends with the connection."""
    length = message.get("content-length")
    if message.get("transfer-encoding") == "chunked":
        assert length is None, "both lengths"
        _read_chunks(wire, message)
    elif length is not None:
        message.body = wire.exactly(int(length))
    elif to_end:
        message.body = wire.to_end()
    return message


def read_request(wire):
    return read_body(wire, read_head(wire))


def read_response(wire, method="GET"):
    """The final one; 1xx before it are in `informational`."""
    before = []
    message = read_head(wire)
    while 100 <= message.status < 200 and message.status != 101:
        before.append(message)
        message = read_head(wire)
    message.informational = before
    bodiless = method == "HEAD" or message.status in (101, 204, 304)
    return message if bodiless else read_body(wire, message, True)


def request(method="GET", target="/", fields=(), body=b"", host="test",
            version="1.1"):
    """Bytes; a body gets its Content-Length."""
    lines = [f"{method} {target} HTTP/{version}"]
    lines += [f"Host: {host}"] if host is not None else []
    lines += [f"{k}: {v}" for k, v in fields]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join(lines).encode("latin-1") + CRLF * 2 + body


def response(status=200, fields=(), body=b"", version="1.1", reason="Fine"):
    lines = [f"HTTP/{version} {status} {reason}"]
    lines += [f"{k}: {v}" for k, v in fields]
    if 200 <= status < 300 and status != 204 or status >= 400 or body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + CRLF * 2 + body


def chunk(data):
    return b"%x\r\n" % len(data) + data + CRLF


def chunked(*parts, trailers=()):
    end = b"".join(f"{k}: {v}\r\n".encode() for k, v in trailers)
    return b"".join(map(chunk, filter(None, parts))) + b"0\r\n" + end + CRLF


CHUNKED = ("Transfer-Encoding", "chunked")
CLOSE = ("Connection", "close")


def ask(to, method="GET", target="/", fields=(), body=b""):
    """One request on a connection of its own."""
    with connect(to) as wire:
        wire.send(request(method, target, [CLOSE, *fields], body))
        return read_response(wire, method)


class App(Server):
    """An HTTP/1.1 application: `answer(request)` gives the bytes of a
    response. Keeps connections and remembers requests."""

    def __init__(self, answer=lambda _: response(body=b"ok\n"), **options):
        self.answer, self.requests = answer, []
        super().__init__(self._serve, **options)

    def _serve(self, wire):
        while True:
            try:
                message = read_request(wire)
            except Ended:
                return
            self.requests.append(message)
            wire.send(self.answer(message))
            if message.get("connection") == "close":
                return


def either(wire):
    """An application of both kinds: echoes what begins with a NUL, and answers
    HTTP."""
    first = wire.exactly(1)
    wire.kept = first + wire.kept
    while True:
        if first == b"\x00":
            wire.send(wire.some())
        else:
            read_request(wire)
            wire.send(response(body=b"ok\n"))
