# SPDX-License-Identifier: Apache-2.0
"""What is judged as opaque, by whom, and what is told of it."""
import json
import ssl
import time

import hpack
import pytest

import metrics
from peers.authority import Authority, dns
from peers.h2 import (DATA, END_HEADERS, END_STREAM, HEADERS, MAGIC,
                      RST_STREAM, Link, Plain, fields, frame, settings)
from peers.h2app import H2App
from peers.http1 import App, request
from peers.server import Server
from peers.wire import connect
from programs import wait_until

NAMES = 100  # of servers, that a worker counts one by one


def client_hello(name, more=b""):
    """A ClientHello in one record; `name` as bytes, None: without."""
    extensions = more
    if name is not None:
        entry = b"\0" + len(name).to_bytes(2, "big") + name
        listed = len(entry).to_bytes(2, "big") + entry
        extensions += b"\0\0" + len(listed).to_bytes(2, "big") + listed
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + \
        len(extensions).to_bytes(2, "big") + extensions
    shake = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(shake).to_bytes(2, "big") + shake


def echo(wire):
    while True:
        wire.send(wire.some())


def values(proxy, name, **labels):
    """Of all series with these labels."""
    return [v for at, v in proxy.metrics().get(name, [])
            if all(at.get(k) == x for k, x in labels.items())]


def counted(proxy, name, **labels):
    return sum(values(proxy, name, **labels))


def opaque_lines(proxy):
    """Of the access log; the proxy writes them to its output."""
    return [o for o in (json.loads(line) for line in
                        proxy.program.output().splitlines()
                        if line.startswith('{"time"'))
            if o["protocol"] == "tcp"]


# --- found from the first bytes, however they arrive -------------------------

GET = request(fields=[("Connection", "close")])
KINDS = {
    "http1": GET,
    "http1 behind an empty line": b"\r\n" + GET,
    "http2": MAGIC,
    "tls": client_hello(b"db.example"),
    "binary": b"\0\1\2\3",
    "text": b"EHLO there\r\n",
    "almost http1": b"GEX nothing\r\n",
    "almost http2": b"PRI * HTCPCP/2.0\r\n\r\nSM\r\n\r\n",
    "almost tls": b"\x16\3\5\0\5 nothing",
}
HTTP1 = [k for k in KINDS if k.startswith("http1")]
OPAQUE = [k for k in KINDS if not k.startswith("http")]
PAUSE = 0.003  # between two pieces


def pieces(data):
    return [(data[:n], data[n:]) for n in range(1, len(data))]


def send_apart(send, first, rest):
    send(first)
    time.sleep(PAUSE)  # allow sleep: pieces that arrive apart
    send(rest)


def judged_as_http(p, n):
    assert counted(p.inbound, "proxy_requests_total", status="200") == n
    assert counted(p.inbound, "proxy_tcp_connections_total") == 0


def judged_as_opaque(p, n):
    assert counted(p.inbound, "proxy_tcp_connections_total") == n
    assert counted(p.inbound, "proxy_requests_total") == 0


@pytest.mark.parametrize("kind", HTTP1)
def test_http1_cut_anywhere(pair, kind):
    with App() as app, pair(app) as p:
        for first, rest in pieces(KINDS[kind]):
            with connect(p.front) as c:
                send_apart(c.send, first, rest)
                assert c.to_end().startswith(b"HTTP/1.1 200 "), (first, rest)
        judged_as_http(p, len(KINDS[kind]) - 1)


def test_http2_cut_anywhere(pair):
    with H2App() as app, pair(app) as p:
        for first, rest in pieces(MAGIC):
            with Plain(p.front) as c:
                send_apart(c.send, first, rest + settings())
                c.send(c.head(1))
                assert c.answer(1)[0] == 200, (first, rest)
        judged_as_http(p, len(MAGIC) - 1)


@pytest.mark.parametrize("kind", OPAQUE)
def test_others_cut_anywhere(pair, kind):
    with Server(echo) as app, pair(app) as p:
        for first, rest in pieces(KINDS[kind]):
            with connect(p.front) as c:
                send_apart(c.send, first, rest)
                assert c.exactly(len(KINDS[kind])) == KINDS[kind]
        judged_as_opaque(p, len(KINDS[kind]) - 1)


class Tunnels:
    """Opaque streams to the mesh port, cut wherever one likes."""

    def __init__(self, p):
        self.link, self.next = Link(p.inbound_mesh, p.certs).begin(), 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()

    def open(self, first, rest, end=False):
        n, self.next = self.next, self.next + 2
        send_apart(self.link.send,
                   self.link.head(n, fields("CONNECT"), end=False)
                   + frame(DATA, 0, n, first),
                   frame(DATA, END_STREAM if end else 0, n, rest))
        return n

    def bytes_of(self, stream, enough):
        """What comes on it, until enough(bytes) of it has come."""
        body = b""
        while not enough(body):
            f = self.link.until_frame(lambda g: g.kind == HEADERS
                                      or g.stream == stream)
            if f.kind == HEADERS:
                self.link.decoder.decode(f.payload)
            if f.kind == DATA and f.stream == stream:
                body += f.payload
            if f.stream == stream and (
                    f.kind == RST_STREAM or
                    f.kind in (DATA, HEADERS) and f.flags & END_STREAM):
                break
        return body


@pytest.mark.parametrize("kind", HTTP1)
def test_http1_in_a_tunnel_cut_anywhere(pair, kind):
    with App() as app, pair(app) as p, Tunnels(p) as t:
        for first, rest in pieces(KINDS[kind]):
            got = t.bytes_of(t.open(first, rest), lambda b: b"ok\n" in b)
            assert got.startswith(b"HTTP/1.1 200 "), (first, rest)
        judged_as_http(p, len(KINDS[kind]) - 1)


def test_http2_in_a_tunnel_cut_anywhere(pair):
    with H2App() as app, pair(app) as p, Tunnels(p) as t:
        for first, rest in pieces(MAGIC):
            head = frame(HEADERS, END_HEADERS | END_STREAM, 1,
                         hpack.Encoder().encode(fields()))
            got = t.bytes_of(t.open(first, rest + settings() + head),
                             lambda b: b"ok\n" in b)
            assert got[3] == 4, got  # SETTINGS come first
        judged_as_http(p, len(MAGIC) - 1)


@pytest.mark.parametrize("kind", OPAQUE)
def test_others_in_a_tunnel_cut_anywhere(pair, kind):
    data = KINDS[kind]
    with Server(lambda w: w.send(w.to_end())) as app, pair(app) as p, \
            Tunnels(p) as t:
        for first, rest in pieces(data):
            n = t.open(first, rest, end=True)
            assert t.bytes_of(n, lambda b: len(b) == len(data)) == data
        judged_as_opaque(p, len(data) - 1)


# --- the peer's word ---------------------------------------------------------

@pytest.mark.parametrize("kind", [*OPAQUE, "silence"])
def test_bytes_for_a_port_that_is_http(pair, kind):
    """Who opens an opaque stream to a port declared as HTTP, to get round what
    holds for requests, meets the parser: nothing of it reaches the app."""
    with App() as app, pair(app, app_protocol="http", http_idle_timeout="1s") as p, Tunnels(p) as t:
        data = KINDS.get(kind, b"")
        n = t.open(data, b"\r\n\r\n" if data else b"")
        got = t.bytes_of(n, lambda b: b"\r\n\r\n" in b)
        if data:
            assert got.startswith(b"HTTP/1.1 400 "), got
            assert counted(p.inbound, "proxy_faults_total",
                           fault="bad-request") == 1
        else:
            assert got == b""
        assert app.accepted == 0
        assert counted(p.inbound, "proxy_tcp_connections_total") == 0


def test_bytes_for_a_port_that_is_http2(pair):
    """Which has no words for it: the stream ends."""
    with H2App() as app, pair(app, app_protocol="kubernetes.io/h2c") as p, \
            Tunnels(p) as t:
        n = t.open(b"\0\1", b"\2\3")
        assert t.bytes_of(n, lambda b: False) == b""
        assert app.accepted == 0


def test_opaque_is_counted_as_its_peers(pair):
    """Undeclared: bytes are bytes, with the identity of who sent them."""
    with Server(lambda w: w.send(w.to_end())) as app, pair(app) as p, \
            Tunnels(p) as t:
        n = t.open(b"\0", b"\1", end=True)
        assert t.bytes_of(n, lambda b: len(b) == 2) == b"\0\1"
        assert counted(
            p.inbound, "proxy_tcp_connections_total", tls="true",
            peer="spiffe://cluster.local/ns/pair/sa/tester") == 1


# --- silence -----------------------------------------------------------------

def banner(wire):
    wire.send(b"220 ready\r\n")
    wire.to_end()


def page(p, path):
    status, body = metrics.get(p.mesh.admin, path)
    assert status == 200
    return json.loads(body)


def test_silence_is_counted(pair):
    """By both proxies, by port; and the controller knows of whom."""
    with Server(banner) as app, pair(app) as p:
        for _ in range(3):
            with connect(p.front) as c:
                assert c.until(b"\r\n")
        port = p.inbound_mesh.split(":")[1]
        name = "proxy_detect_timeouts_total"
        assert values(p.outbound, name, direction="outbound",
                      service="pair/backend:80") == [3]
        assert values(p.inbound, name, direction="inbound",
                      service=port) == [3]

        def told(path, listed, at):
            return {x["pod"]: at(x) for x in page(p, path)[listed]}

        want = {"client": {"outbound": {"pair/backend:80": 3}},
                "backend": {"inbound": {port: 3}}}
        wait_until("the controller is told", lambda: told(
            "/v1/proxies", "proxies", lambda x: x.get("silent")) == want, 20)
        assert told("/v1/sessions", "sessions",
                    lambda x: x["report"].get("silent")) == want


def test_silence_of_a_declared_port_is_none(pair):
    with Server(banner) as app, pair(app, app_protocol="tcp") as p:
        with connect(p.front) as c:
            assert c.until(b"\r\n")
        for proxy in (p.outbound, p.inbound):
            assert counted(proxy, "proxy_detect_timeouts_total") == 0


# --- time, and ends of plaintext ---------------------------------------------

def test_idle_connections_end(pair):
    """Whoever says a byte now and then stays."""
    with Server(echo) as app, pair(app, app_protocol="tcp",
                                   tcp_idle_timeout="2s") as p, \
            connect(p.front) as idle, connect(p.front) as busy:
        idle.send(b"\0")
        assert idle.exactly(1) == b"\0"
        for _ in range(16):
            busy.send(b"\0")
            assert busy.exactly(1) == b"\0"
            assert busy.is_quiet(0.25)
        assert idle.how_it_ends() == "fin"
        busy.send(b"\1")
        assert busy.exactly(1) == b"\1"
        assert sum(counted(proxy, "proxy_tcp_closed_total",
                           fault="upstream-timeout")
                   for proxy in (p.inbound, p.outbound)) >= 1


def test_ends_of_plaintext(pair):
    """Without the outbound proxy: half-close and reset, both ways."""
    ends = []

    def play(wire):
        first = wire.exactly(2)
        if first == b"\0r":
            wire.reset()
        elif first == b"\0e":
            wire.send(b"now you")
            ends.append(wire.how_it_ends())
        else:
            wire.send(b"that is all")
            wire.half_close()
            ends.append(wire.to_end())

    with Server(play) as app, pair(app) as p:
        with connect(p.inbound_mesh) as c:
            c.send(b"\0r")
            assert c.how_it_ends() == "reset"
        c = connect(p.inbound_mesh)
        c.send(b"\0e")
        assert c.exactly(7) == b"now you"
        c.reset()
        with connect(p.inbound_mesh) as c:
            c.send(b"\0h")
            assert c.to_end() == b"that is all"
            c.send(b"but I go on")
            c.half_close()
            app.wait_open(0)
        assert sorted(ends, key=str) == [b"but I go on", "reset"]


# --- names of TLS servers ----------------------------------------------------

@pytest.fixture
def tls_app(tmp_path):
    """A context for a server with a certificate of its own for db.example."""
    folder = Authority.stranger().sign([dns("db.example")]).save(
        str(tmp_path), "")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(f"{folder}/client.crt", f"{folder}/client.key")
    return server


def names(proxy):
    return {at["sni"]: v for at, v in
            proxy.metrics().get("proxy_tls_server_names_total", [])}


def test_server_name_is_shown(pair, tls_app):
    """The app's own TLS, end to end, inside of the mesh's."""
    def play(wire):
        with tls_app.wrap_socket(wire.sock, server_side=True) as s:
            s.sendall(b"hello " + s.recv(100))

    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with Server(play) as app, pair(app, access_log="true") as p:
        with connect(p.front) as c, client.wrap_socket(
                c.sock, server_hostname="DB.Example") as s:
            s.sendall(b"you")
            assert s.recv(100) == b"hello you"
        for proxy in (p.outbound, p.inbound):
            line = wait_until("a line", lambda: opaque_lines(proxy)[:1],
                              10)[0]
            assert line["sni"] == "db.example"
            assert line["tls"] is True
            assert "fault" not in line and line["attempts"] == 1
            assert line["bytesIn"] > 100 and line["bytesOut"] > 100
            assert names(proxy) == {"db.example": 1}
        assert line["peer"].endswith("/sa/client")
        assert line["endpoint"] == app.address


HELLOS = {
    "one": ([client_hello(b"a.example")], "a.example"),
    "bytes": ([client_hello(b"a.example")[n:n + 1] for n in
               range(len(client_hello(b"a.example")))], "a.example"),
    "long": ([client_hello(b"a.example", b"\0\x15\x10\0" + bytes(4096))],
             "a.example"),
    "none": ([client_hello(None)], ""),
    "no name": ([client_hello(b'a"b\n{}')], "invalid"),
    "not utf-8": ([client_hello(b"\xff\xfe")], "invalid"),
}


@pytest.mark.parametrize("kind", HELLOS)
@pytest.mark.parametrize("declared", ["tcp", "https", None])
def test_hellos(pair, kind, declared):
    sent, want = HELLOS[kind]
    with Server(echo) as app, pair(app, app_protocol=declared,
                                   access_log="true") as p:
        with connect(p.front) as c:
            for piece in sent:
                c.send(piece)
            size = sum(map(len, sent))
            assert c.exactly(size) == b"".join(sent)
        for proxy in (p.outbound, p.inbound):
            line = wait_until("a line", lambda: opaque_lines(proxy)[:1],
                              10)[0]
            assert line.get("sni", "") == want
            assert (line["bytesIn"], line["bytesOut"]) == (size, size)
            assert names(proxy) == {want: 1}


def test_names_are_bounded(pair):
    """Who chooses them makes no metrics grow; none is lost from the sum."""
    with Server(echo) as app, pair(app, app_protocol="tcp",
                                   workers="1") as p:
        for n in range(NAMES + 20):
            hello = client_hello(b"n%d.example" % n)
            with connect(p.front) as c:
                c.send(hello)
                c.exactly(len(hello))
        for proxy in (p.outbound, p.inbound):
            got = names(proxy)
            assert len(got) == NAMES + 1
            assert got["other"] == 20
            assert sum(got.values()) == NAMES + 20


# --- lines of what failed ----------------------------------------------------

def test_line_of_a_refusal(pair):
    with App() as app, pair(app, app_protocol="tcp",
                            access_log="true") as p:
        app.stop_listening()
        with connect(p.front) as c:
            c.send(b"\0")
            assert c.how_it_ends() == "reset"
        line = wait_until("a line", lambda: opaque_lines(p.outbound)[:1],
                          10)[0]
        assert line["fault"] == "connect-failed"
        assert line["service"] == "pair/backend:80"
        assert (line["bytesIn"], line["bytesOut"]) == (0, 0)


def test_no_line_of_http(pair):
    """It has lines for its requests."""
    with App() as app, pair(app, access_log="true") as p:
        with connect(p.front) as c:
            c.send(GET)
            assert c.to_end()
        for proxy in (p.outbound, p.inbound):
            wait_until("a line of the request", lambda: '"protocol":"http"'
                       in proxy.program.output(), 10)
            assert opaque_lines(proxy) == []
