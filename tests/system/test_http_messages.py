# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 messages through two proxies: what must pass, and how."""
import threading

import pytest

from peers.http1 import (CHUNKED, CLOSE, App, ask, chunk, chunked, read_body,
                         read_head, read_request, read_response, request,
                         response)
from peers.process import Background, growth_below
from peers.server import Server
from peers.wire import connect

CLIENT = "spiffe://cluster.local/ns/pair/sa/client"


def echo_target(message):
    return response(body=message.target.encode())


# --- connections -------------------------------------------------------------

def test_keep_alive(pair):
    with App(echo_target) as app, pair(app) as p, connect(p.front) as c:
        for n in range(50):
            c.send(request(target=f"/{n}"))
            assert read_response(c).body == b"/%d" % n
        assert app.accepted <= 2


def test_pipelined_requests_are_answered_in_order(pair):
    with App(echo_target) as app, pair(app) as p, connect(p.front) as c:
        c.send(b"".join(request(target=f"/{n}") for n in range(100)))
        got = [read_response(c).body for _ in range(100)]
        assert got == [b"/%d" % n for n in range(100)]


def test_pipelined_requests_with_bodies(pair):
    with App(lambda m: response(body=m.body)) as app, pair(app) as p, \
            connect(p.front) as c:
        c.send(b"".join(
            request("POST", body=b"%d" % n) if n % 2 else
            request("POST", fields=[CHUNKED]) + chunked(b"%d" % n)
            for n in range(1, 40)))
        got = [read_response(c).body for _ in range(1, 40)]
        assert got == [b"%d" % n for n in range(1, 40)]


def test_connection_close_of_the_client(pair):
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(request(fields=[CLOSE]))
        r = read_response(c)
        assert (r.status, r.body) == (200, b"ok\n")
        assert "close" in (r.get("connection") or "")
        assert c.to_end() == b""


def test_connection_close_of_the_app_stays_between_them(pair):
    """Hop by hop: the client's connection goes on."""
    with App(lambda m: response(fields=[CLOSE], body=b"once")) as app, \
            pair(app) as p, connect(p.front) as c:
        for _ in range(3):
            c.send(request())
            assert read_response(c).body == b"once"


def test_app_closes_idle_connections(pair):
    """A kept connection that ends while idle costs no request."""
    def once(wire):
        read_request(wire)
        wire.send(response(body=b"x"))  # says keep-alive, then closes

    with Server(once) as app, pair(app) as p, connect(p.front) as c:
        for _ in range(20):
            c.send(request())
            r = read_response(c)
            assert (r.status, r.body) == (200, b"x")


# --- bodies ------------------------------------------------------------------

def test_chunked_both_ways(pair):
    def answer(m):
        return response(fields=[CHUNKED]).replace(
            b"Content-Length: 0\r\n", b"") + chunked(b"<", m.body, b">")

    with App(answer) as app, pair(app) as p, connect(p.front) as c:
        for parts in ([b"one"], [b"a", b"bb" * 5000, b"c"], []):
            c.send(request("POST", fields=[CHUNKED]) + chunked(*parts))
            assert read_response(c).body == b"<" + b"".join(parts) + b">"


def test_tiny_chunks(pair):
    """A byte in each costs what it costs to read: all arrive, nothing is kept."""
    count = 300_000

    def play(wire):
        body = read_request(wire).body
        wire.send(response(body=b"%d" % body.count(b"x")))

    with Server(play) as app, pair(app) as p, connect(p.front, 30) as c:
        pids = [proxy.program.process.pid for proxy in (p.inbound, p.outbound)]
        with growth_below(16 << 20, *pids):
            sending = Background(lambda: c.send(
                request("POST", fields=[CHUNKED]) +
                b"1\r\nx\r\n" * count + b"0\r\n\r\n"))
            assert read_response(c).body == b"%d" % count
            sending.get()


def test_chunks_arrive_byte_by_byte(pair):
    with App(lambda m: response(body=m.body)) as app, pair(app) as p, \
            connect(p.front) as c:
        c.send_slowly(request("POST", fields=[CHUNKED])
                      + chunked(b"slow", b"er"))
        assert read_response(c).body == b"slower"


def test_body_streams(pair):
    """A chunk passes before the next one exists, in both directions."""
    def play(wire):
        read_head(wire)
        assert wire.until(b"\r\n") == b"3\r\n"
        assert wire.exactly(5) == b"one\r\n"
        wire.send(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"
                  + chunk(b"got one"))
        assert wire.until(b"\r\n") == b"3\r\n"
        assert wire.exactly(5) == b"two\r\n"
        wire.send(chunk(b"got two"))
        assert wire.until(b"\r\n\r\n") == b"0\r\n\r\n"
        wire.send(b"0\r\n\r\n")

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request("POST", fields=[CHUNKED]) + chunk(b"one"))
        read_head(c)
        assert c.until(b"got one\r\n")
        c.send(chunk(b"two"))
        assert c.until(b"got two\r\n")
        c.send(b"0\r\n\r\n")
        assert c.exactly(5) == b"0\r\n\r\n"


def test_trailers_both_ways(pair):
    def play(wire):
        m = read_request(wire)
        assert [(k.lower(), v) for k, v in m.trailers] == [("x-sum", "42")]
        wire.send(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n"
                  b"Trailer: X-Back\r\n\r\n"
                  + chunked(b"body", trailers=[("X-Back", "7")]))

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request("POST", fields=[CHUNKED, ("Trailer", "X-Sum"),
                                       ("TE", "trailers")])
               + chunked(b"data", trailers=[("X-Sum", "42")]))
        r = read_response(c)
        assert r.body == b"body"
        assert [(k.lower(), v) for k, v in r.trailers] == [("x-back", "7")]


def test_answer_that_ends_with_the_connection(pair):
    def play(wire):
        read_request(wire)
        wire.send(b"HTTP/1.1 200 Fine\r\n\r\n" + b"y" * 100000)

    with Server(play) as app, pair(app) as p:
        assert ask(p.front).body == b"y" * 100000


def test_answer_that_breaks_off_is_never_whole(pair):
    """A lie about the length must reach the client as one."""
    def play(wire):
        read_request(wire)
        wire.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 100\r\n\r\nshort")

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request())
        try:
            if read_head(c).status != 502:
                assert len(c.to_end()) < 100
        except ConnectionError:
            pass


def test_chunked_answer_that_breaks_off_is_never_whole(pair):
    def play(wire):
        read_request(wire)
        wire.send(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"
                  + chunk(b"part"))

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request())
        try:
            if read_head(c).status != 502:
                assert not c.to_end().endswith(b"0\r\n\r\n")
        except ConnectionError:
            pass


def test_request_that_breaks_off_is_never_whole(pair):
    begun, seen = threading.Event(), threading.Event()

    def play(wire):
        m = read_head(wire)
        assert m.get("content-length") == "10"
        begun.set()
        try:
            got = wire.to_end()
        except ConnectionError:
            got = b""
        assert len(got) < 10
        seen.set()

    with Server(play) as app, pair(app) as p:
        with connect(p.front) as c:
            c.send(request("POST", fields=[("Content-Length", "10")])
                   + b"half")
            assert begun.wait(10)
        assert seen.wait(10)


# --- without a body ----------------------------------------------------------

def test_head_204_304(pair):
    def answer(m):
        if m.method == "HEAD":
            return b"HTTP/1.1 200 Fine\r\nContent-Length: 1234\r\n\r\n"
        if m.target == "/204":
            return b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"
        return (b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n"
                b"Content-Length: 999\r\n\r\n")

    with App(answer) as app, pair(app) as p, connect(p.front) as c:
        c.send(request("HEAD"))
        r = read_response(c, "HEAD")
        assert (r.status, r.get("content-length")) == (200, "1234")
        c.send(request(target="/204"))
        r = read_response(c)
        assert (r.status, r.get("x-a")) == (204, "b")
        assert r.get("content-length") is None
        assert r.get("transfer-encoding") is None
        c.send(request(target="/304"))
        r = read_response(c)
        assert (r.status, r.get("etag")) == (304, '"x"')
        c.send(request("HEAD"))
        assert read_response(c, "HEAD").status == 200


# --- 1xx ---------------------------------------------------------------------

def test_expect_100_continue(pair):
    def play(wire):
        m = read_head(wire)
        assert m.get("expect") == "100-continue"
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        read_body(wire, m)
        wire.send(response(body=m.body))

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request("PUT", fields=[("Expect", "100-continue"),
                                      ("Content-Length", "4")]))
        assert read_head(c).status == 100
        c.send(b"body")
        assert read_response(c).body == b"body"


def test_expect_refused(pair):
    """The app says no before the body was sent."""
    def play(wire):
        read_head(wire)
        wire.send(response(417, [CLOSE], b"no"))

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request("PUT", fields=[("Expect", "100-continue"),
                                      ("Content-Length", "4")]))
        r = read_response(c)
        assert (r.status, r.body, r.informational) == (417, b"no", [])


def test_103_early_hints(pair):
    def answer(_):
        return (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n"
                + response(body=b"done"))

    with App(answer) as app, pair(app) as p, connect(p.front) as c:
        c.send(request())
        r = read_response(c)
        assert r.body == b"done"
        assert [(m.status, m.get("link")) for m in r.informational] == \
            [(103, "</a>"), (103, "</b>")]


# --- HTTP/1.0 ----------------------------------------------------------------

def test_http10_client(pair):
    """It gets no chunks, and its connection ends."""
    def answer(_):
        return (b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"
                + chunked(b"some", b"thing"))

    with App(answer) as app, pair(app) as p, connect(p.front) as c:
        c.send(request(version="1.0"))
        r = read_response(c)
        assert r.get("transfer-encoding") is None
        assert r.body == b"something"
        assert c.to_end() == b""


def test_http10_client_gets_no_100(pair):
    def answer(_):
        return (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                + response(body=b"x"))

    with App(answer) as app, pair(app) as p, connect(p.front) as c:
        c.send(request(version="1.0"))
        assert read_response(c).informational == []


@pytest.mark.parametrize("length", [True, False])
def test_http10_server(pair, length):
    def play(wire):
        read_request(wire)
        wire.send(b"HTTP/1.0 200 Fine\r\n"
                  + (b"Content-Length: 3\r\n" if length else b"")
                  + b"\r\nold")

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        for _ in range(3):
            c.send(request())
            r = read_response(c)
            assert (r.status, r.body) == (200, b"old")
            assert r.start[0] == "HTTP/1.1"


# --- order of things ---------------------------------------------------------

def test_early_answer(pair):
    """The app answers while the request still comes, and reads on."""
    def play(wire):
        m = read_head(wire)
        wire.send(response(body=b"early"))
        read_body(wire, m)

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request("POST", fields=[("Content-Length", "20")]) + b"a" * 5)
        assert read_response(c).body == b"early"
        c.send(b"b" * 15)


def test_early_answer_and_close(pair):
    """The app answers and closes in the middle of an upload: the client still
    gets the answer."""
    def play(wire):
        read_head(wire)
        wire.send(response(413, [CLOSE], b"too much"))
        wire.half_close()
        wire.how_it_ends()

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request("POST", fields=[("Content-Length", "100000000")]))

        def upload():
            try:
                while True:
                    c.send(b"x" * 65536)
            except OSError:
                pass

        t = threading.Thread(target=upload)
        t.start()
        try:
            r = read_response(c)
            assert (r.status, r.body) == (413, b"too much")
        finally:
            c.reset()
            t.join(10)


def test_client_goes_away(pair):
    """An abandoned request is given up towards the app."""
    asked, gave_up = threading.Event(), threading.Event()

    def play(wire):
        read_request(wire)
        asked.set()
        wire.how_it_ends()
        gave_up.set()

    with Server(play) as app, pair(app) as p:
        c = connect(p.front)
        c.send(request())
        assert asked.wait(10)
        c.reset()
        assert gave_up.wait(10)


def test_half_closed_client_gets_its_answer(pair):
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(request())
        c.half_close()
        assert read_response(c).body == b"ok\n"
        assert c.to_end() == b""


# --- fields ------------------------------------------------------------------

def test_fields_pass_untouched(pair):
    sent = [("X-Case", "KePt"), ("X-Empty", ""), ("Cookie", "a=1; b=2"),
            ("X-Long", "v" * 4000), ("X-Latin", "caf\xe9")]
    twice = [("X-Twice", "1"), ("X-Twice", "2")]
    back = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Server", "mine"),
            ("Date", "Tue, 01 Jan 2030 00:00:00 GMT")]
    with App(lambda m: response(fields=back, body=b"x")) as app, \
            pair(app) as p:
        r = ask(p.front, target="/p?q=%20&x", fields=sent + twice)
        m, = app.requests
        assert m.target == "/p?q=%20&x"
        for name, value in sent:
            assert m.get(name.lower()) == value
        assert ", ".join(m.all("x-twice")) == "1, 2"
        assert r.all("set-cookie") == ["a=1", "b=2"]
        assert r.get("server") == "mine"
        assert r.get("date") == "Tue, 01 Jan 2030 00:00:00 GMT"


def test_host_passes(pair):
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(request(host="shop.example:8080"))
        assert read_response(c).status == 200
        assert app.requests[0].get("host") == "shop.example:8080"


def test_absolute_form(pair):
    """The authority of the target wins over Host (RFC 9112, 3.2.2)."""
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(request(target="http://real.example/path?q", host="other"))
        assert read_response(c).status == 200
        m, = app.requests
        assert m.get("host") == "real.example"
        assert m.target == "http://real.example/path?q"


@pytest.mark.parametrize("method, asked, got", [
    ("GET", "HTTPS://real.example", "HTTPS://real.example/"),
    ("GET", "http://real.example:8080/a%20b?c=//d", None),
    ("OPTIONS", "http://real.example", None)])
def test_absolute_form_to_a_forward_proxy(pair, method, asked, got):
    """An application that is one needs all of it (RFC 9112, 3.2.2, 3.2.4)."""
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(request(method, target=asked, host="other"))
        assert read_response(c).status == 200
        assert app.requests[0].target == (got or asked)


def test_options_asterisk(pair):
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(request("OPTIONS", "*"))
        assert read_response(c).status == 200
        assert app.requests[0].target == "*"


def test_unknown_method(pair):
    with App() as app, pair(app) as p:
        assert ask(p.front, "PURGE-ALL").status == 200
        assert app.requests[0].method == "PURGE-ALL"


def test_hop_by_hop_fields_end_here(pair):
    back = [("Connection", "x-secret"), ("X-Secret", "1"),
            ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"),
            ("X-Stays", "1")]
    with App(lambda m: response(fields=back, body=b"x")) as app, \
            pair(app) as p, connect(p.front) as c:
        c.send(request(fields=[("Connection", "keep-alive, x-hop"),
                               ("X-Hop", "1"), ("Keep-Alive", "timeout=5"),
                               ("Proxy-Connection", "keep-alive"),
                               ("TE", "gzip"), ("X-Stays", "1")]))
        r = read_response(c)
        m, = app.requests
        for message, gone in ((m, ("x-hop", "keep-alive", "te",
                                   "proxy-connection")),
                              (r, ("x-secret", "keep-alive",
                                   "proxy-connection"))):
            assert message.get("x-stays") == "1"
            for name in gone:
                assert message.all(name) == [], (name, message)


def test_our_own_fields_are_not_believed(pair):
    """tulle-* says who failed and why: an app cannot say it."""
    back = [("tulle-fault", "connect-failed"), ("tulle-undelivered", "1"),
            ("X-Stays", "1")]
    with App(lambda m: response(503, fields=back, body=b"x")) as app, \
            pair(app) as p:
        r = ask(p.front, fields=[("tulle-fault", "none"),
                                 ("Tulle-Client-Identity", "spiffe://x/y"),
                                 ("Tulle-Other", "1"),
                                 ("X-Stays", "1")])
        m, = app.requests
        for message in (m, r):
            assert message.get("x-stays") == "1"
            ours = {k.lower(): v for k, v in message.fields
                    if k.lower().startswith("tulle-")}
            # Who asks is told to the app, by the proxy.
            assert ours.pop("tulle-client-identity", CLIENT) == CLIENT
            assert not ours
        assert r.status == 503
        assert len(app.requests) == 1, "an app's own 503 is not retried"


def test_unasked_101_makes_no_tunnel(pair):
    with App(lambda m: b"HTTP/1.1 101 Switching Protocols\r\n"
             b"Connection: upgrade\r\nUpgrade: chat\r\n\r\nbytes") as app, \
            pair(app) as p:
        r = ask(p.front)
        assert r.status == 502
        assert r.fault


def test_surplus_bytes_after_an_answer_poison_nothing(pair):
    """They belong to no request; the connection is not used again."""
    with App(lambda m: response(body=b"mine")
             + response(body=b"POISON")) as app, pair(app) as p:
        for _ in range(5):
            r = ask(p.front)
            assert r.body in (b"mine",) or r.status == 502


@pytest.mark.parametrize("bad", [
    b"HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 200 Fine\r\nContent-Length: x\r\n\r\nabc",
    b"HTTP/1.1 20 Fine\r\n\r\n",
    b"HTTP/2.0 200 Fine\r\n\r\n",
    b"HTTP/1.1 200 Fine\r\nNo colon\r\n\r\n",
    b"SSH-2.0-OpenSSH\r\n\r\n",
    b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
])
def test_malformed_answers_are_502(pair, bad):
    with App(lambda m: bad) as app, pair(app) as p:
        r = ask(p.front)
        assert r.status == 502
        assert r.fault


@pytest.mark.parametrize("name", ["Tulle-Client-Identity",
                                  "tulle_client_identity",
                                  "X-Forwarded-Client-Cert",
                                  "x_forwarded-Client_cert"])
def test_identity_claims_are_not_believed(pair, name):
    """Many applications read "_" and "-" as one; nobody may speak for TLS."""
    with App() as app, pair(app) as p:
        assert ask(p.front, fields=[(name, "spiffe://x/ns/a/sa/b")]
                   ).status == 200
        assert ask(p.inbound_mesh, fields=[(name, "spiffe://x/ns/a/sa/b")]
                   ).status == 200
        meshed, plain = app.requests
        assert meshed.get("tulle-client-identity").endswith("/ns/pair/sa/client")
        for m in (meshed, plain):
            assert "spiffe://x/ns/a/sa/b" not in [v for _, v in m.fields]


def test_trailers_and_hints_carry_no_claims(pair):
    claim = ("tulle-client-identity", "spiffe://x/ns/a/sa/b")
    seen = []

    def play(wire):
        seen.append(read_request(wire))
        wire.send(response(103, [claim, ("Link", "</a>")]))
        wire.send(response(fields=[CHUNKED]).replace(b"Content-Length: 0\r\n",
                                                     b"")
                  + chunked(b"x", trailers=[claim, ("X-Sum", "1")]))

    with Server(play) as app, pair(app) as p, connect(p.front) as c:
        c.send(request("POST", fields=[CHUNKED, ("TE", "trailers")])
               + chunked(b"y", trailers=[claim, ("X-Sum", "2")]))
        r = read_response(c)
        m, = seen
        assert m.trailers == [("x-sum", "2")] or m.trailers == [("X-Sum", "2")]
        assert [v for k, v in r.trailers] == ["1"]
        hint, = r.informational
        assert hint.get("link") == "</a>"
        assert hint.get("tulle-client-identity") is None


def test_http10_without_host(pair):
    """The name of the service stands for it."""
    with App() as app, pair(app) as p:
        for to in (p.front, p.inbound_mesh):
            with connect(to) as c:
                c.send(b"GET / HTTP/1.0\r\n\r\n")
                assert b" 200 " in c.to_end()[:20]
        assert all(m.get("host") for m in app.requests), app.requests
