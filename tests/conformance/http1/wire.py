# SPDX-License-Identifier: Apache-2.0
"""A strict reader of HTTP/1: what the recording backend and the client use.

It repairs nothing. Bytes that two readers could understand differently are
Bad; bytes that end too early Need more.
"""
import re
from dataclasses import dataclass, field

TCHAR = frozenset(b"!#$%&'*+-.^_`|~0123456789"
                  b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
REQUEST_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\S+) HTTP/1\.([01])")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: ([^\r\n]*))?")
CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")
LENGTH = re.compile(r"[0-9]{1,19}")


class Bad(Exception):
    """The stream is not what a strict reader accepts."""


class Need(Exception):
    """More bytes are needed."""


@dataclass
class Request:
    method: str
    target: str
    version: str
    fields: list
    body: bytes = b""
    trailers: list = field(default_factory=list)


@dataclass
class Response:
    status: int
    fields: list
    body: bytes = b""
    complete: bool = True
    interim: bool = False
    until_close: bool = False


def expand(parts):
    """The bytes of a case: texts (latin-1) and {"r": text, "n": times}."""
    return b"".join(
        p.encode("latin-1") if isinstance(p, str)
        else p["r"].encode("latin-1") * p["n"] for p in parts)


def values(fields, name):
    return [v for n, v in fields if n == name]


def take_line(buf, pos):
    """(line, position after it): CRLF alone ends a line."""
    end = buf.find(b"\r\n", pos)
    if end < 0:
        if b"\n" in buf[pos:]:
            raise Bad("bare LF")
        raise Need
    line = bytes(buf[pos:end])
    for byte, name in ((b"\n", "bare LF"), (b"\r", "bare CR"), (b"\0", "NUL")):
        if byte in line:
            raise Bad(name)
    return line, end + 2


def parse_field(line, controls_ok):
    if line[:1] in b" \t":
        raise Bad("folded line")
    name, colon, value = line.partition(b":")
    if not colon:
        raise Bad("field line without colon")
    if not name or not TCHAR.issuperset(name):
        raise Bad(f"bad field name {name[:40]!r}")
    value = value.strip(b" \t")
    if not controls_ok and any(
            (c < 32 and c != 9) or c == 127 for c in value):
        raise Bad("control byte in value")
    return name.decode("latin-1").lower(), value.decode("latin-1")


def parse_fields(buf, pos, controls_ok=False):
    fields = []
    while True:
        line, pos = take_line(buf, pos)
        if not line:
            return fields, pos
        fields.append(parse_field(line, controls_ok))


def framing(fields):
    """"chunked", a length, or None."""
    codings = values(fields, "transfer-encoding")
    lengths = values(fields, "content-length")
    if codings and lengths:
        raise Bad("both Content-Length and Transfer-Encoding")
    if codings:
        if [c.lower() for c in codings] != ["chunked"]:
            raise Bad(f"Transfer-Encoding {codings!r}")
        return "chunked"
    if len(lengths) > 1:
        raise Bad(f"repeated Content-Length {lengths!r}")
    if not lengths:
        return None
    if not LENGTH.fullmatch(lengths[0]):
        raise Bad(f"Content-Length {lengths[0]!r}")
    return int(lengths[0])


def parse_chunked(buf, pos, controls_ok=False):
    """(body, trailers, position after them)"""
    body = bytearray()
    while True:
        line, pos = take_line(buf, pos)
        size, extended, _ = line.partition(b";")
        if extended:
            size = size.rstrip(b" \t")
        if not CHUNK_SIZE.fullmatch(size):
            raise Bad(f"chunk size {line[:40]!r}")
        n = int(size, 16)
        if n == 0:
            break
        if len(buf) < pos + n + 2:
            raise Need
        body += buf[pos:pos + n]
        if buf[pos + n:pos + n + 2] != b"\r\n":
            raise Bad("chunk data not ended by CRLF")
        pos += n + 2
    trailers, pos = parse_fields(buf, pos, controls_ok)
    return bytes(body), trailers, pos


def parse_request(buf, pos, controls_ok=False):
    line, pos = take_line(buf, pos)
    m = REQUEST_LINE.fullmatch(line)
    if not m:
        raise Bad(f"request line {line[:60]!r}")
    if any(b < 33 or b == 127 for b in m.group(2)):
        raise Bad("control byte in target")
    fields, pos = parse_fields(buf, pos, controls_ok)
    r = Request(m.group(1).decode(), m.group(2).decode("latin-1"),
                m.group(3).decode(), fields)
    length = framing(fields)
    if length == "chunked":
        r.body, r.trailers, pos = parse_chunked(buf, pos, controls_ok)
    elif length:
        if len(buf) < pos + length:
            raise Need
        r.body = bytes(buf[pos:pos + length])
        pos += length
    hosts = values(fields, "host")
    if r.version == "1" and len(hosts) != 1:
        raise Bad(f"{len(hosts)} Host fields")
    return r, pos


def parse_response(buf, pos, to_head):
    """One response; what is there of its body when it is incomplete."""
    line, pos = take_line(buf, pos)
    m = STATUS_LINE.fullmatch(line)
    if not m:
        raise Bad(f"status line {line[:50]!r}")
    fields, pos = parse_fields(buf, pos)
    r = Response(int(m.group(2)), fields)
    if 100 <= r.status < 200 and r.status != 101:
        r.interim = True
        return r, pos
    if to_head or r.status in (101, 204, 304):
        if r.status == 204 and values(fields, "transfer-encoding"):
            raise Bad("Transfer-Encoding on 204")
        return r, pos
    length = framing(fields)
    if length == "chunked":
        try:
            r.body, _, pos = parse_chunked(buf, pos)
        except Need:
            r.complete, pos = False, len(buf)
    elif length is None:
        r.body, r.until_close, r.complete = bytes(buf[pos:]), True, False
        pos = len(buf)
    else:
        r.body = bytes(buf[pos:pos + length])
        r.complete = len(r.body) == length
        pos += len(r.body)
    return r, pos


def parse_responses(buf, to_head=False):
    """(responses, bytes left over, what is bad or None). Only the first
    response answers the request that `to_head` tells of."""
    out, pos = [], 0
    try:
        while pos < len(buf):
            r, pos = parse_response(buf, pos, to_head)
            out.append(r)
            to_head = to_head and r.interim
            if r.status == 101 or not (r.complete or r.interim):
                break
    except Need:
        pass
    except Bad as e:
        return out, bytes(buf[pos:]), str(e)
    return out, bytes(buf[pos:]), None
