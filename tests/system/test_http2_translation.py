# SPDX-License-Identifier: Apache-2.0
"""tests/conformance/translation: HTTP/2 requests that HTTP/1 cannot carry, at an
application's port and at a mesh port, in front of an HTTP/1 application that
records every byte. Each is refused, or rightly passed; none is dangerous."""
import os
import sys
from collections import Counter

import pytest
from conftest import TESTS

sys.path[:0] = [os.path.join(TESTS, os.pardir, "conformance", folder)
                for folder in ("translation", "http1")]

from backend import Backend, Script  # noqa: E402
from cases import PASSED, REFUSED, cases  # noqa: E402
from wire import values  # noqa: E402

from peers.h2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM,  # noqa: E402
                      GOAWAY, HEADERS, RST_STREAM, Link, Plain, frame)
from peers.wire import Ended  # noqa: E402

AT_LEAST = 64
PROBE = "/probe"
PIECE = 16000


def number(n, bits, first=0):
    """An integer of HPACK (RFC 7541 section 5.1)."""
    most = (1 << bits) - 1
    if n < most:
        return bytes([first | n])
    out, n = [first | most], n - most
    while n >= 128:
        out.append(n % 128 + 128)
        n //= 128
    return bytes([*out, n])


def block(fields):
    """Literals without an index, so that nobody's table changes (6.2.2)."""
    out = b""
    for pair in fields:
        out += b"\0" + b"".join(
            number(len(text), 7) + text.encode("latin-1") for text in pair)
    return out


def head_frames(stream, fields, end):
    data = block(fields)
    pieces = [data[at:at + PIECE] for at in range(0, len(data), PIECE)] or [b""]
    return b"".join(
        frame(CONTINUATION if n else HEADERS,
              (END_HEADERS if n == len(pieces) - 1 else 0)
              | (END_STREAM if end and not n else 0), stream, piece)
        for n, piece in enumerate(pieces))


def frames(case, stream):
    more = case.data is not None
    out = head_frames(stream, case.fields, not more)
    for n, text in enumerate(case.data or []):
        last = n == len(case.data) - 1 and case.trailers is None
        out += frame(DATA, END_STREAM if last else 0, stream, text.encode("latin-1"))
    if case.trailers is not None:
        out += head_frames(stream, case.trailers, True)
    return out


def outcome(client, stream):
    """Status of the answer, "reset", "goaway", or "closed"."""
    status = None
    try:
        while True:
            f = client.until_frame(lambda g: g.stream == stream or g.kind in
                                   (GOAWAY, HEADERS))
            if f.kind == GOAWAY:
                return "goaway"
            if f.kind == RST_STREAM:
                return "reset" if status is None else status
            if f.kind == HEADERS:
                listed = client.decoder.decode(f.payload)
                if f.stream == stream:
                    status = int(dict(listed).get(":status", status or 0))
            if f.stream == stream and f.flags & END_STREAM and f.kind in (HEADERS,
                                                                          DATA):
                return status
    except (Ended, OSError):
        return "closed"


def probe(client, stream):
    client.send(head_frames(stream, [(":method", "GET"), (":scheme", "http"),
                                     (":path", PROBE), (":authority", "probe")], True))
    return outcome(client, stream)


class Judge:
    def __init__(self):
        self.wrong, self.dangerous, self.counts = [], [], Counter()

    def judge(self, case, got, after, record):
        danger = list(record.violations)
        requests = [r for r in record.requests if r.target != PROBE]
        probes = len(record.requests) - len(requests)
        if len(requests) > 1 or probes > 1:
            danger.append(f"{len(record.requests)} requests")
        danger += [f"x-evil of {r.target}" for r in record.requests
                   if values(r.fields, "x-evil")]
        danger += ["smuggled" for r in requests if r.target.startswith("/smuggled")]
        if requests and case.verdict != REFUSED:
            danger += different(case.want, requests[0])
        where = f"{case.id} (RFC {case.rfc})"
        if danger:
            self.dangerous.append(f"{where}: {danger}")
        if after != 200:
            self.wrong.append(f"{where}: then a plain request got {after}")
        if got == 200 and not requests:
            self.wrong.append(f"{where}: answered, not passed on")
        passed = bool(requests) and got == 200
        if case.verdict == REFUSED and (requests or passed):
            self.wrong.append(f"{where}: passed, {got}")
        if case.verdict == PASSED and not passed:
            self.wrong.append(f"{where}: refused, {got}")
        self.counts["passed" if passed else "refused"] += 1

    def summary(self, where):
        total = sum(self.counts.values())
        return (f"{where}: {total - len(self.wrong)} of {total} right "
                f"({self.counts['passed']} passed, {self.counts['refused']} refused), "
                f"{len(self.dangerous)} dangerous")


def different(want, request):
    got = {"method": request.method, "target": request.target,
           "body": request.body.decode("latin-1"), "trailers": request.trailers,
           "hosts": values(request.fields, "host")}
    out = [f"{k} is {got[k]!r}" for k, v in want.items() if k in got and got[k] != v]
    if "present" in want and not values(request.fields, want["present"]):
        out.append(f"lost {want['present']}")
    if "absent" in want and values(request.fields, want["absent"]):
        out.append(f"passed {want['absent']}")
    if "equals" in want and values(request.fields,
                                   want["equals"][0]) != [want["equals"][1]]:
        out.append(f"{want['equals'][0]} is "
                   f"{values(request.fields, want['equals'][0])!r}")
    return out


def play(case, connect, backend):
    """(what came of it, what came of a plain request after it, the record)"""
    backend.start(Script())
    record = backend.record
    with connect() as client:
        try:
            client.begin(window=0)
            client.send(frames(case, 1))
        except OSError:
            got = "closed"
        else:
            got = outcome(client, 1)
        after = probe(client, 3) if got not in ("closed", "goaway") else got
    if after in ("closed", "goaway"):
        with connect() as client:
            client.begin(window=0)
            after = probe(client, 1)
    return got, after, record


CLIENTS = {"application": lambda p: Plain(p.front),
           "mesh": lambda p: Link(p.inbound_mesh, p.certs)}


@pytest.mark.parametrize("where", CLIENTS)
def test_translation(pair, where):
    table = cases()
    backend, judge = Backend(("127.0.0.1", 0)), Judge()
    try:
        host, port = backend.addr
        with pair(f"{host}:{port}", app_protocol="http1") as p:
            for case in table:
                judge.judge(case, *play(case, lambda: CLIENTS[where](p), backend))
    finally:
        backend.close()
    print(judge.summary(where))
    assert len({c.id for c in table}) == len(table) >= AT_LEAST
    for line in judge.dangerous + judge.wrong:
        print(line)
    assert not judge.dangerous
    assert not judge.wrong
