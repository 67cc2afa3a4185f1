# SPDX-License-Identifier: Apache-2.0
"""Applications' HTTP/2 through two proxies: carried as it is, and translated where
client and application differ."""
import hashlib

import pytest

import metrics
from peers.h2app import Answer, H2App
from peers.h2client import H2Client
from peers.http1 import (CHUNKED, CLOSE, App, ask, chunk, chunked, read_response,
                         request, response)
from peers.server import Server
from peers.wire import connect
from programs import wait_until
from test_http_upgrade import frame, read_frame, websocket_app

CANCEL, REFUSED_STREAM = 8, 7
BIG = bytes(range(256)) * 16384  # 4 MiB: more than all windows
WEBSOCKET = [(":protocol", "websocket")]


def echo(r):
    return Answer(body=r.body)


def requests_counted(p, **labels):
    text = metrics.get(p.outbound.admin, "/metrics")[1]
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("proxy_requests_total")
               and all(f'{k}="{v}"' in line for k, v in labels.items()))


# --- HTTP/2 on both sides ----------------------------------------------------

@pytest.mark.parametrize("declared", [None, "http", "http2", "grpc"])
def test_both_speak_it(pair, declared):
    with H2App(echo) as app, pair(app, app_protocol=declared) as p, \
            H2Client(p.front) as c:
        for n in range(20):
            r = c.ask("POST", f"/{n}?x", [("k", "v")], b"%d" % n)
            assert (r.status, r.body) == (200, b"%d" % n)
        assert app.accepted == 1
        got = app.requests[3]
        assert (got.method, got.target) == ("POST", "/3?x")
        assert got.get(":scheme") == "http" and got.get("k") == "v"
        assert got.get(":authority") == "test" and not got.all("host")
        assert not got.all("tulle-http2")
        assert requests_counted(p, status="200") == 20


def test_many_at_once(pair):
    """A slow one keeps none waiting; each is a request of its own."""
    def answer(r):
        return Answer(after=60 if r.target == "/slow" else 0,
                      body=r.target.encode())
    with H2App(answer) as app, pair(app) as p, H2Client(p.front) as c:
        slow = c.begin(path="/slow", end=True)
        quick = [c.begin(path=f"/{n}", end=True) for n in range(100)]
        for n, stream in enumerate(quick):
            assert c.answer(stream).body == b"/%d" % n
        c.reset(slow)
        assert app.accepted <= 2


def test_big_bodies_both_ways(pair):
    with H2App(echo) as app, pair(app) as p, H2Client(p.front) as c:
        r = c.ask("POST", body=BIG)
        assert hashlib.sha256(r.body).digest() == \
            hashlib.sha256(BIG).digest()


def test_trailers_both_ways(pair):
    def answer(r):
        return Answer(body=r.body, trailers=(("k", dict(r.trailers)["t"]),))
    with H2App(answer) as app, pair(app) as p, H2Client(p.front) as c:
        stream = c.begin("POST", fields=[("te", "trailers")])
        c.send(stream, b"body")
        c.trail(stream, [("t", "a trailer")])
        r = c.answer(stream)
        assert r.body == b"body" and r.trailers == [("k", "a trailer")]
        assert app.requests[0].get("te") == "trailers"


def test_answer_of_a_head_alone(pair):
    with H2App(lambda r: Answer(status=204, body=b"")) as app, \
            pair(app) as p, H2Client(p.front) as c:
        assert c.ask().status == 204
        r = c.ask("HEAD")
        assert (r.status, r.body) == (204, b"")


def test_cookies_are_joined(pair):
    with H2App() as app, pair(app) as p, H2Client(p.front) as c:
        c.ask(fields=[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"),
                      ("cookie", ""), ("cookie", "c=3"), ("cookie", "")])
        assert app.requests[0].get("cookie") == "a=1; b=2; c=3"


def test_cancelled_by_the_client(pair):
    """The application hears of it; the connections go on."""
    with H2App(lambda r: Answer(after=30 if r.target == "/x" else 0)) as app, \
            pair(app) as p, H2Client(p.front) as c:
        stream = c.begin(path="/x", end=True)
        wait_until("the application has it", lambda: app.requests, 10)
        c.reset(stream)
        wait_until("it hears of the end", lambda: app.resets == [CANCEL], 10)
        assert c.ask(path="/y").status == 200
        assert app.accepted == 1


def test_reset_by_the_application(pair):
    with H2App(lambda r: Answer(reset=CANCEL)) as app, pair(app) as p, \
            H2Client(p.front) as c:
        r = c.ask("POST", body=b"x")
        assert (r.status, r.fault) == (502, "upstream-reset")


def test_never_begun_goes_again(pair):
    """REFUSED_STREAM says that it was not looked at."""
    def answer(r):
        return Answer(reset=REFUSED_STREAM if len(app.requests) == 1 else None)
    app = H2App(answer)
    with app, pair(app) as p, H2Client(p.front) as c:
        assert c.ask("POST", body=b"once more").status == 200


def test_goaway_of_the_application(pair):
    """What it let in is answered, the rest goes to a new connection."""
    with H2App(lambda r: Answer(goaway=r.target == "/last")) as app, \
            pair(app) as p, H2Client(p.front) as c:
        assert c.ask(path="/1").status == 200
        assert c.ask(path="/last").status == 200
        for n in range(5):
            assert c.ask(path=f"/{n}").status == 200
        assert app.accepted == 2


def test_more_streams_than_the_application_takes(pair):
    """It takes 4 at once (SETTINGS_MAX_CONCURRENT_STREAMS = 3)."""
    with H2App(lambda r: Answer(after=0.05), settings={3: 4}) as app, \
            pair(app) as p, H2Client(p.front) as c:
        streams = [c.begin(path=f"/{n}", end=True) for n in range(40)]
        assert [c.answer(s).status for s in streams] == [200] * 40


def test_head_that_the_application_does_not_take(pair):
    """Refused before it is sent: the connection has other requests on it."""
    with H2App(lambda r: Answer(after=1 if r.target == "/slow" else 0),
               settings={6: 4096}) as app, pair(app) as p, \
            H2Client(p.front) as c:
        slow = c.begin(path="/slow", end=True)
        wait_until("the application has it", lambda: app.requests, 10)
        r = c.ask(fields=[("large", "x" * 5000)])
        assert (r.status, r.fault) == (431, "head-too-large")
        assert c.answer(slow).status == 200
        assert app.accepted == 1


def test_application_that_resets_many(pair):
    """It does no harm: the others on the connection go on."""
    def answer(r):
        return Answer(reset=CANCEL) if r.target == "/no" else \
            Answer(after=1)
    with H2App(answer) as app, pair(app) as p, H2Client(p.front) as c:
        slow = c.begin(path="/slow", end=True)
        for _ in range(6):
            for s in [c.begin(path="/no", end=True) for _ in range(60)]:
                assert c.answer(s).status == 502
        assert c.answer(slow).status == 200
        assert app.accepted <= 2


def test_clients_that_cancel_much_at_once(pair):
    """Together more than one may, over one link."""
    with H2App(lambda r: Answer(after=1 if r.target == "/slow" else 60)) as \
            app, pair(app) as p, H2Client(p.front) as other:
        slow = other.begin(path="/slow", end=True)
        clients = [H2Client(p.front) for _ in range(4)]
        for c in clients:
            streams = [c.begin(path="/x", end=True) for _ in range(90)]
            for s in streams:
                c.reset(s)
        assert other.answer(slow).status == 200
        for c in clients:
            c.wire.close()


def test_application_that_says_nothing(pair):
    """Not even SETTINGS: given up, and asked again by who comes next."""
    def mute(wire):
        while app.accepted == 1 and wire.some():
            pass
    with Server(mute) as app, \
            pair(app, connect_timeout="500ms", attempts="1") as p, \
            H2Client(p.front) as c:
        r = c.ask()
        assert (r.status, r.fault) == (503, "connect-timeout")


def test_application_that_takes_none_for_a_while(pair):
    """SETTINGS_MAX_CONCURRENT_STREAMS of 0: no second connection is tried, and
    the first is given up."""
    with H2App(settings={3: 0}) as app, \
            pair(app, connect_timeout="500ms", attempts="1") as p, \
            H2Client(p.front) as c:
        r = c.ask()
        assert (r.status, r.fault) == (503, "connect-timeout")
        assert app.accepted == 1


# --- translation -------------------------------------------------------------

def test_client_of_http1(pair):
    with H2App(echo) as app, pair(app, app_protocol="http2") as p:
        r = ask(p.front, "POST", "/a?b", [("Connection", "x"), ("X", "1"),
                                          ("Y", "2"), ("Cookie", "a=1")],
                body=b"hello")
        assert (r.status, r.body) == (200, b"hello")
        got = app.requests[0]
        assert (got.method, got.target) == ("POST", "/a?b")
        assert got.get(":authority") == p.front or got.get(":authority")
        assert got.get("content-length") == "5" and got.get("y") == "2"
        for name in ("host", "connection", "x", "transfer-encoding"):
            assert not got.all(name), name


def test_client_of_http1_with_chunks_and_trailers(pair):
    def answer(r):
        return Answer(body=r.body, trailers=(("k", "v"),))
    with H2App(answer) as app, pair(app, app_protocol="http2") as p, \
            connect(p.front) as c:
        c.send(request("POST", fields=[CHUNKED, ("TE", "trailers"),
                                       ("Connection", "te")])
               + chunk(b"one") + chunk(b"two") + b"0\r\nt: 1\r\n\r\n")
        r = read_response(c)
        assert r.body == b"onetwo" and ("k", "v") in r.trailers
        assert app.requests[0].trailers == [("t", "1")]


@pytest.mark.parametrize("declared", ["http1", "http/1.1"])
def test_application_of_http1(pair, declared):
    with App(lambda m: response(body=m.body)) as app, \
            pair(app, app_protocol=declared) as p, H2Client(p.front) as c:
        assert c.ask("POST", "/a?b", [("x", "1"), ("cookie", "a=1"),
                                      ("cookie", "b=2")], b"hi").body == b"hi"
        got = app.requests[0]
        assert got.start[:2] == ["POST", "/a?b"] and got.get("host") == "test"
        assert got.get("cookie") == "a=1; b=2" and got.get("x") == "1"
        stream = c.begin("POST", fields=[("te", "trailers")])
        c.send(stream, b"body")
        c.trail(stream, [("t", "1")])
        assert c.answer(stream).body == b"body"
        assert app.requests[1].trailers == [("t", "1")]


def test_undeclared_application_gets_what_its_client_speaks(pair):
    with H2App() as app, pair(app) as p:
        with H2Client(p.front) as c:
            assert c.ask().status == 200
    def refuses(wire):
        wire.some()
        wire.send(response(400, [CLOSE]))
    with Server(refuses) as app, pair(app) as p, H2Client(p.front) as c:
        for _ in range(2):
            r = c.ask()
            assert (r.status, r.fault) == (502, "upstream-protocol")


def test_informational_heads(pair):
    def early(m):
        return (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                + response(body=b"ok"))
    with App(early) as app, pair(app, app_protocol="http1") as p, \
            H2Client(p.front) as c:
        r = c.ask()
        assert (r.status, r.body) == (200, b"ok")
        assert [dict(h)[":status"] for h in r.hints] == ["103"]


def test_preface_in_pieces(pair):
    magic = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4]) + bytes(5)
    for declared in (None, "http"):
        with H2App() as app, pair(app, app_protocol=declared) as p, \
                connect(p.front) as c:
            c.send_slowly(magic)
            assert c.exactly(9)[3:5] == b"\x04\x00"  # SETTINGS


def test_what_declared_http2_cannot_be(pair):
    """Neither of its versions: closed, and nothing gets through."""
    with H2App() as app, pair(app, app_protocol="http2") as p, \
            connect(p.front) as c:
        c.send(b"\x01\x02\x03 nonsense")
        assert c.how_it_ends() in ("fin", "reset")
        assert app.accepted == 0


# --- marks between proxies are nobody else's ---------------------------------

def test_marks_of_ours_from_a_client(pair):
    with App() as app, pair(app) as p:
        assert ask(p.front, fields=[("tulle-http2", "1")]).status == 200
        assert not app.requests[0].all("tulle-http2")
    with App(websocket_app_is_asked) as app, \
            pair(app, app_protocol="http1") as p, H2Client(p.front) as c:
        stream = c.begin("CONNECT", pseudo=WEBSOCKET, fields=[
            ("tulle-upgrade-method", "DELETE"),
            ("tulle-upgrade-body", "chunked")])
        assert c.answer(stream).status == 403
        got = app.requests[0]
        assert got.method == "GET" and not got.all("transfer-encoding")
        assert not [k for k, _ in got.fields if k.startswith("tulle-upgrade")]


def websocket_app_is_asked(_):
    return response(403, body=b"no")


# --- one reading -------------------------------------------------------------

def ask_with(c, *fields, authority="test"):
    pseudo = [(":method", "GET"), (":scheme", "http"), (":path", "/")]
    if authority is not None:
        pseudo.append((":authority", authority))
    return c.answer(c.begin_with([*pseudo, *fields], end=True))


@pytest.mark.parametrize("name", ["tulle-client-identity",
                                  "tulle_client_identity",
                                  "x-forwarded-client-cert",
                                  "x_forwarded-client_cert"])
def test_identity_claims_are_not_believed(pair, name):
    """As over HTTP/1, in trailers, too."""
    claim = (name, "spiffe://x/ns/a/sa/b")
    with H2App(echo) as app, pair(app, app_protocol="http2") as p:
        for to in (p.front, p.inbound_mesh):
            with H2Client(to) as c:
                assert c.ask(fields=[claim]).status == 200
                stream = c.begin("POST")
                c.send(stream, b"x")
                c.trail(stream, [claim, ("t", "1")])
                assert c.answer(stream).status == 200
        meshed, trailing, plain, _ = app.requests
        assert meshed.get("tulle-client-identity").endswith("/sa/client")
        assert trailing.trailers == [("t", "1")]
        assert not plain.all("tulle-client-identity")
        for m in app.requests:
            assert claim[1] not in [v for _, v in [*m.fields, *m.trailers]]


def test_host_beside_authority(pair):
    """Two names are refused, one in two spellings is the authority's."""
    with App() as app, pair(app, app_protocol="http1") as p, \
            H2Client(p.front) as c:
        for authority, host in [("Shop", "shop"), ("shop:80", "SHOP"),
                                ("shop", "shop:"), ("shop:8080", "shop:8080"),
                                (None, "other:80")]:
            assert ask_with(c, ("host", host),
                            authority=authority).status == 200
            assert app.requests[-1].all("host") == [authority or host]
        asked = len(app.requests)
        for authority, hosts in [("shop", ["other"]), ("shop", ["shop:8080"]),
                                 ("shop", ["shop", "shop"]),
                                 ("shop", ["shop", "other"]), ("shop", [""]),
                                 (None, ["a", "b"]), (None, []),
                                 ("u@shop", []), (None, ["a/b"])]:
            r = ask_with(c, *(("host", h) for h in hosts), authority=authority)
            assert r.reset == 1, (authority, hosts)
        assert len(app.requests) == asked
        assert c.ask().status == 200


@pytest.mark.parametrize("field", [
    ("connection", "x"), ("keep-alive", "timeout=1"), ("upgrade", "chat"),
    ("proxy-connection", "x"), ("transfer-encoding", "chunked"),
    ("te", "gzip"), ("te", "trailers, gzip"), ("Upper", "x"), ("a b", "x")])
def test_fields_of_one_connection_are_refused(pair, field):
    """RFC 9113, 8.2.2; and the next request is served."""
    with H2App() as app, pair(app) as p, H2Client(p.front) as c:
        assert c.ask(fields=[field]).reset == 1
        assert c.ask(fields=[("te", "trailers")]).status == 200
        assert len(app.requests) == 1


# --- WebSocket over HTTP/2 (RFC 8441) ----------------------------------------

def test_websocket(pair):
    with Server(websocket_app) as app, pair(app) as p, \
            H2Client(p.front) as c:
        stream = c.begin("CONNECT", "/chat", [("sec-websocket-version", "13")],
                         pseudo=WEBSOCKET)
        r = c.responses[stream]
        c.until(lambda: r.fields and len(r.body) >= 7)
        assert r.status == 200
        assert r.get("sec-websocket-accept") is None
        assert r.body == frame(b"hello")
        r.body = b""
        c.send(stream, frame(b"ping", mask=b"abcd"))
        c.until(lambda: len(r.body) >= 6)
        assert read_frame_of(r.body) == (1, b"ping")


def read_frame_of(data):
    class Bytes:
        def __init__(self):
            self.rest = data

        def exactly(self, n):
            part, self.rest = self.rest[:n], self.rest[n:]
            return part
    return read_frame(Bytes())


@pytest.mark.parametrize("answer, status", [
    (b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", 403),
    (b"HTTP/1.1 200 Ok\r\nContent-Length: 2\r\n\r\nok", 502),
    (b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
     b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", None),
    (b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
     None),
])
def test_websocket_that_is_none(pair, answer, status):
    """Not opened, or without the proof: the client does not believe it is."""
    with App(lambda m: answer) as app, pair(app, app_protocol="http") as p, \
            H2Client(p.front) as c:
        r = c.answer(c.begin("CONNECT", pseudo=WEBSOCKET))
        if status:
            assert r.status == status
        else:
            assert not r.fields and r.reset is not None
        assert app.requests[0].get("upgrade") == "websocket"
