# SPDX-License-Identifier: Apache-2.0
"""Answers that a proxy makes itself, and limits: each says tulle-fault."""
import threading

import pytest

from peers.http1 import (App, ask, read_head, read_request,
                         read_response, request, response)
from peers.process import growth_below
from peers.server import Server
from peers.wire import Ended, connect
from programs import free_ports, wait_until


def nobody():
    port, = free_ports(["127.0.0.1"])
    return f"127.0.0.1:{port}"


def test_backend_down(pair):
    with pair(nobody()) as p:
        r = ask(p.front)
        assert (r.status, r.fault) == (503, "connect-failed")
        assert r.get("content-type"), "people read it"
        assert r.body


def test_backend_comes_back(pair):
    """And the proxies find out by themselves."""
    with App() as first, pair(first) as p:
        assert ask(p.front).status == 200
        first.close()
        assert ask(p.front).status == 503
        with App(lambda m: response(body=b"again"), port=first.port):
            wait_until("the backend is found again",
                       lambda: ask(p.front).status == 200, 10)


def test_app_closes_without_answer(pair):
    def play(wire):
        read_request(wire)

    with Server(play) as app, pair(app) as p:
        r = ask(p.front)
        assert r.status == 502
        assert r.fault


def test_app_resets_without_answer(pair):
    def play(wire):
        read_request(wire)
        wire.reset()

    with Server(play) as app, pair(app) as p:
        r = ask(p.front, "POST", body=b"x")
        assert r.status == 502
        assert r.fault
        assert app.accepted == 1, "a POST that may have arrived is not sent " \
                                  "again"


def test_fault_leaves_the_connection_usable(pair):
    with pair(nobody()) as p, connect(p.front) as c:
        for _ in range(5):
            c.send(request())
            assert read_response(c).status == 503


def test_client_head_too_large(pair):
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(request(fields=[("X-Large", "v" * 66000)]))
        r = read_response(c)
        assert r.status == 431
        assert r.fault
        assert not app.requests


def test_client_head_within_limit(pair):
    with App() as app, pair(app) as p:
        r = ask(p.front, fields=[("X-Large", "v" * 60000)])
        assert r.status == 200
        assert app.requests[0].get("x-large") == "v" * 60000


@pytest.mark.parametrize("whose", ["client", "app"])
def test_one_field_that_the_link_cannot_carry(pair, whose):
    """HTTP/2 between the proxies bears no field of more than 64 KiB: that fails
    one request, not those beside it on the link."""
    go = threading.Event()
    large = [("X-Large", "~" * 70000)]

    def answer(m):
        if m.target == "/slow":
            go.wait(60)
        return response(fields=large if m.target == "/large" else [],
                        body=b"ok")

    with App(answer) as app, pair(app, max_head_bytes="256Ki") as p, \
            connect(p.front) as c:
        c.send(request(target="/slow"))
        wait_until("the slow one is there", lambda: app.requests, 20)
        for _ in range(3):
            r = ask(p.front, target="/" if whose == "client" else "/large",
                    fields=large if whose == "client" else [])
            assert (r.status, bool(r.fault)) == (
                431 if whose == "client" else 502, True)
        assert ask(p.front).status == 200
        go.set()
        assert read_response(c).status == 200


def test_client_sends_too_many_fields(pair):
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(request(fields=[(f"X-{n}", "v") for n in range(300)]))
        r = read_response(c)
        assert r.status == 431
        assert r.fault
        assert not app.requests


def test_client_target_too_long(pair):
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(request(target="/" + "a" * 70000))
        r = read_response(c)
        assert r.status in (414, 431)
        assert r.fault
        assert not app.requests


def test_app_head_too_large(pair):
    with App(lambda m: response(fields=[("X", "v" * 70000)])) as app, \
            pair(app) as p:
        r = ask(p.front)
        assert r.status == 502
        assert r.fault


def test_app_never_ends_its_head(pair):
    def play(wire):
        read_request(wire)
        wire.send(b"HTTP/1.1 200 Fine\r\n")
        while True:
            wire.send(b"X-More: more\r\n" * 1000)

    with Server(play) as app, pair(app) as p:
        r = ask(p.front)
        assert r.status == 502
        assert r.fault


def test_app_never_ends_its_1xx(pair):
    """They pass, and nobody keeps them."""
    def play(wire):
        read_request(wire)
        while True:
            wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100)

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        with growth_below(24 << 20, p.inbound.pid, p.outbound.pid):
            c.send(request())
            for _ in range(5000):
                assert read_head(c).status == 103
        c.reset()
        app.wait_open(0)


@pytest.mark.parametrize("bad", [
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n folded: y\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
])
def test_ambiguous_requests_are_400_and_the_end(pair, bad):
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(bad + request(target="/smuggled"))
        r = read_response(c)
        assert r.status in (400, 501), r
        assert r.fault
        assert "close" in r.get("connection")
        assert c.how_it_ends() in ("fin", "reset")
        assert not app.requests


def test_bad_chunk_in_a_request(pair):
    """The head may have gone on; the body must never look whole."""
    def play(wire):
        m = read_head(wire)
        assert m.get("transfer-encoding") == "chunked"
        try:
            assert not wire.to_end().endswith(b"0\r\n\r\n")
        except ConnectionError:
            pass

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request("POST", fields=[("Transfer-Encoding", "chunked")])
               + b"5\r\nhello\r\nZZ\r\n\r\n")
        r = read_response(c)
        assert r.status == 400
        assert r.fault


def test_slow_head_is_cut(pair):
    with App() as app, pair(app, head_timeout="300ms") as p, \
            connect(p.front) as c:
        c.send(b"GET / HTTP/1.1\r\nHost: te")
        r = read_response(c)
        assert r.status == 408
        assert c.how_it_ends() in ("fin", "reset")


def test_idle_client_is_let_go(pair):
    with App() as app, pair(app, http_idle_timeout="300ms") as p, \
            connect(p.front) as c:
        c.send(request())
        assert read_response(c).status == 200
        assert c.to_end() == b""


def test_too_many_connections(pair):
    """Refused or made to wait, and served again when others leave."""
    with App() as app, pair(app, outbound__max_connections="10") as p:
        held = [connect(p.front) for _ in range(10)]
        for c in held:
            c.send(request())
            assert read_response(c).status == 200
        assert outcome(p.front) in (503, "closed")
        assert sum(value for labels, value
                   in p.outbound.metrics()["proxy_limits_total"]
                   if labels["limit"] == "max-connections") == 1
        for c in held:
            c.close()
        wait_until("others are served again",
                   lambda: outcome(p.front) == 200, 5)


def outcome(to):
    try:
        return ask(to).status
    except (OSError, Ended):
        return "closed"
