# SPDX-License-Identifier: Apache-2.0
"""What abusers of HTTP/2 send, to a mesh port or to an application's."""
import contextlib
import struct

from peers.h2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM,
                      GOAWAY, HEADERS, INITIAL_WINDOW, MAGIC, PING, PRIORITY,
                      PUSH_PROMISE, SETTINGS, fields, frame, reset, settings)
from peers.process import growth_below
from peers.wire import Ended

POLITE = 3.0  # seconds: an answer to others, sanitizers and all
GROWTH = 24 << 20  # of a sanitized program; a flood unbound is far more


@contextlib.contextmanager
def abuse(pair, app, connect, traffic, growth=GROWTH, **settings_of_proxies):
    """The abuser that `connect(pair)` makes, while the clients of
    `traffic(pair)` go on; what must hold is asserted at the end."""
    with app, pair(app, **settings_of_proxies) as p:
        proxies = (p.outbound, p.inbound)
        with traffic(p) as polite:
            with growth_below(growth, *(x.pid for x in proxies)), \
                    connect(p) as abuser:
                abuser.pair, abuser.app = p, app
                yield abuser
            polite.wait(5)
        assert polite.slowest < POLITE
        assert all(x.program.running() for x in proxies)


FLOODS = {
    "settings": lambda n: settings({INITIAL_WINDOW: 65535 + n % 2}),
    "pings": lambda n: frame(PING, 0, 0, struct.pack("!Q", n)),
    "settings answers": lambda n: frame(SETTINGS, ACK),
    "goaways": lambda n: frame(GOAWAY, 0, 0, struct.pack("!II", 0, 0)),
    "priorities": lambda n: frame(PRIORITY, 0, 1 + 2 * (n % 1000),
                                  b"\0\0\0\0\x10"),
    "resets of what never was": lambda n: reset(1 + 2 * n),
}

HARMLESS = {  # nothing is done or sent for them, as the standard asks
    "ping answers": lambda n: frame(PING, ACK, 0, struct.pack("!Q", n)),
    "unknown frames": lambda n: frame(0xbb, 0, 0, b"?" * 8),
}


BAD_HEADS = {
    "no pseudo-fields": [("x-a", "b")],
    "no method": fields()[1:],
    "method twice": fields() + [(":method", "POST")],
    "pseudo after plain": [("x-a", "b")] + fields(),
    "unknown pseudo": fields() + [(":status", "200")],
    "upper case": fields(more=[("X-Upper", "b")]),
    "newline in a value": fields(more=[("x-a", "b\r\nx-evil: 1")]),
    "NUL in a value": fields(more=[("x-a", "b\x00c")]),
    "newline in a name": fields(more=[("x-a\r\nx-evil", "1")]),
    "space in a name": fields(more=[("x a", "1")]),
    "newline in the path": fields(path="/ HTTP/1.1\r\nx-evil: 1\r\nx:"),
    "space in the path": fields(path="/a b"),
    "method with a space": fields("GET /evil HTTP/1.1"),
    "transfer-encoding": fields("POST", more=[("transfer-encoding",
                                               "chunked")]),
    "connection": fields(more=[("connection", "close")]),
    "two lengths": fields("POST", more=[("content-length", "1"),
                                        ("content-length", "2")]),
    "two hosts": fields(more=[("host", "a"), ("host", "b")]),
    "authority against host": fields(more=[("host", "other")]),
    "no path": [(":method", "GET"), (":scheme", "http"),
                (":authority", "test")],
    "connect with a path": fields("CONNECT") + [(":path", "/")],
}


BROKEN = {
    "no preface": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "garbage": bytes(range(256)) * 8,
    "no settings": MAGIC + frame(PING, 0, 0, bytes(8)),
    "frame too large": MAGIC + settings() + b"\xff\xff\xff\x00\x00"
                       + bytes(4) + b"x" * 20000,
    "data on stream 0": MAGIC + settings() + frame(DATA, 0, 0, b"x"),
    "data on an idle stream": MAGIC + settings() + frame(DATA, 0, 7, b"x"),
    "headers on stream 2": MAGIC + settings()
                           + frame(HEADERS, END_HEADERS, 2, b"\x82"),
    "push": MAGIC + settings() + frame(PUSH_PROMISE, END_HEADERS, 1,
                                       b"\0\0\0\2\x82"),
    "ping of 7 bytes": MAGIC + settings() + frame(PING, 0, 0, bytes(7)),
    "settings of 5 bytes": MAGIC + frame(SETTINGS, 0, 0, bytes(5)),
    "window of 0 bits": MAGIC + settings({INITIAL_WINDOW: 0xffffffff}),
    "reset of stream 0": MAGIC + settings() + reset(0),
    "continuation of nothing": MAGIC + settings()
                               + frame(CONTINUATION, END_HEADERS, 1, b"\x82"),
}


def head_in_pieces(link, stream, listed):
    # Without Huffman's code, which takes seconds here.
    block = link.encoder.encode(listed, huffman=False)
    pieces = [block[at:at + 16000] for at in range(0, len(block), 16000)]
    last = len(pieces) - 1
    return b"".join(
        frame(CONTINUATION if n else HEADERS,
              (END_HEADERS if n == last else 0)
              | (0 if n else END_STREAM), stream, piece)
        for n, piece in enumerate(pieces))


def refused(link, stream):
    """431, or the stream is reset, or the link cut."""
    try:
        status, _, _ = link.answer(stream)
        return status in (400, 431)
    except (Ended, OSError):
        return True
