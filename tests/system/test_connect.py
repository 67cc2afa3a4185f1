# SPDX-License-Identifier: Apache-2.0
"""CONNECT (RFC 9110, 9.3.6): pods that are forward proxies, and their clients.
The application decides where a tunnel leads; Tulle never does."""
import http.server
import shutil
import ssl
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from peers.authority import Authority, dns
from peers.h2client import H2Client
from peers.http1 import App, read_head, read_request, request, response
from peers.server import Server, shout
from peers.wire import connect
from programs import Failed, free_ports, wait_until

WHERE = "db.example:5432"
CONNECT = request("CONNECT", WHERE, host=WHERE)
GRANTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def granting(asked, end=shout):
    def play(wire):
        asked.append(read_request(wire))
        wire.send(GRANTED)
        end(wire)
    return play


def converse(wire):
    for n in range(20):
        wire.send(b"line %d\n" % n)
        assert wire.until(b"\n") == b"LINE %d\n" % n


def test_tunnel(front):
    asked = []
    with Server(granting(asked)) as app, connect(front(app)) as c:
        c.send(request("CONNECT", WHERE, [("Proxy-Authorization", "Basic eA=="),
                                          ("tulle-connect", "1")], host=WHERE))
        m = read_head(c)
        assert m.status == 200
        assert not {"content-length", "transfer-encoding", "connection"} & {
            k.lower() for k, _ in m.fields}
        converse(c)
        m, = asked
        assert (m.method, m.target, m.get("host")) == ("CONNECT", WHERE, WHERE)
        assert m.get("proxy-authorization") == "Basic eA=="
        assert not [k for k, _ in m.fields if k.startswith("tulle-connect")]


def test_early_bytes_wait(front):
    """They are never read as a request, nor before the answer."""
    asked, go = [], threading.Event()

    def play(wire):
        asked.append(read_request(wire))
        assert go.wait(20)
        wire.send(GRANTED)
        shout(wire)

    with Server(play) as app, connect(front(app)) as c:
        c.send(CONNECT + b"get / http/1.1\n")
        go.set()
        assert read_head(c).status == 200
        assert c.until(b"\n") == b"GET / HTTP/1.1\n"
        assert len(asked) == 1


def test_server_speaks_first(front):
    def play(wire):
        read_request(wire)
        wire.send(GRANTED + b"hello\n")
        shout(wire)

    with Server(play) as app, connect(front(app)) as c:
        c.send(CONNECT)
        assert read_head(c).status == 200
        assert c.until(b"\n") == b"hello\n"
        converse(c)


def test_half_close(front):
    def play(wire):
        read_request(wire)
        wire.send(GRANTED)
        wire.send(b"you said " + wire.to_end())

    with Server(play) as app, connect(front(app)) as c:
        c.send(CONNECT)
        assert read_head(c).status == 200
        c.send(b"goodbye")
        c.half_close()
        assert c.to_end() == b"you said goodbye"


def test_reset_in_a_tunnel(front):
    def play(wire):
        read_request(wire)
        wire.send(GRANTED)
        wire.exactly(4)
        wire.reset()

    with Server(play) as app, connect(front(app)) as c:
        c.send(CONNECT)
        assert read_head(c).status == 200
        c.send(b"bang")
        assert c.how_it_ends() == "reset"


def test_refused(front):
    """An answer as any other, and the end of the connection: what a client sent
    behind its CONNECT was meant for the tunnel, and is no request."""
    fields = [("Proxy-Authenticate", "Basic")]
    with App(lambda m: response(407, fields, b"who?")) as app:
        to = front(app)
        for behind in (b"", b"bytes", request("GET", "/smuggled")):
            with connect(to) as c:
                c.send(CONNECT + behind)
                m = read_head(c)
                assert m.status == 407
                assert m.get("proxy-authenticate") == "Basic"
                assert m.get("connection") == "close"
                assert c.exactly(4) == b"who?"
                assert c.how_it_ends() in ("fin", "reset")
                assert not c.kept
        assert [m.method for m in app.requests] == ["CONNECT"] * 3


@pytest.mark.parametrize("target", ["/", "db.example", "http://db.example/",
                                    "user@db.example:1", "db.example:70000"])
def test_bad_target(pair, target):
    with App() as app, pair(app) as p, connect(p.front) as c:
        c.send(request("CONNECT", target, host="db.example"))
        assert read_head(c).status == 400
        assert not app.requests


# --- HTTP/2 ------------------------------------------------------------------

ASKED2 = [(":method", "CONNECT"), (":authority", WHERE)]


def converse2(c, stream):
    r = c.responses[stream]
    c.until(lambda: r.fields or r.reset is not None)
    assert dict(r.fields)[":status"] == "200"
    c.send(stream, b"line 1\n")
    c.until(lambda: r.body == b"LINE 1\n")
    c.send(stream, b"line 2\n")
    c.until(lambda: r.body == b"LINE 1\nLINE 2\n")


def test_http2_client(pair):
    asked = []
    with Server(granting(asked)) as app, \
            pair(app, app_protocol="http1") as p, H2Client(p.front) as c:
        for _ in range(2):  # two tunnels on one connection
            converse2(c, c.begin_with(ASKED2))
        assert [(m.method, m.target) for m in asked] == [("CONNECT", WHERE)] * 2


def test_http2_client_is_refused(pair):
    with App(lambda m: response(403, body=b"no")) as app, \
            pair(app, app_protocol="http1") as p, H2Client(p.front) as c:
        r = c.answer(c.begin_with(ASKED2))
        assert (r.status, r.body) == (403, b"no")
        assert c.ask(fields=[]).status == 403  # the connection goes on
        assert [m.method for m in app.requests] == ["CONNECT", "GET"]


def shouting2(asked):
    def play(wire):
        conn = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8"))
        conn.initiate_connection()
        wire.send(conn.data_to_send())
        while True:
            data = wire.some()
            if not data:
                return
            for event in conn.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    asked.append(dict(event.headers))
                    conn.send_headers(event.stream_id, [(":status", "200")])
                elif isinstance(event, h2.events.DataReceived):
                    conn.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id)
                    conn.send_data(event.stream_id, event.data.upper())
                elif isinstance(event, h2.events.StreamEnded):
                    conn.end_stream(event.stream_id)
            wire.send(conn.data_to_send())
    return play


def test_http2_all_the_way(pair):
    asked = []
    with Server(shouting2(asked)) as app, \
            pair(app, app_protocol="http2") as p, H2Client(p.front) as c:
        stream = c.begin_with(ASKED2)
        converse2(c, stream)
        c.send(stream, end=True)
        assert c.answer(stream).ended
        assert {k: v for k, v in asked[0].items() if k[0] == ":"} == {
            ":method": "CONNECT", ":authority": WHERE}


def test_http2_app(pair):
    asked = []
    with Server(shouting2(asked)) as app, \
            pair(app, app_protocol="http2") as p, connect(p.front) as c:
        c.send(CONNECT)
        assert read_head(c).status == 200
        converse(c)
        c.half_close()
        assert c.to_end() == b""
        assert asked[0][":authority"] == WHERE
        assert ":scheme" not in asked[0] and ":path" not in asked[0]


# --- a forward proxy and a client that others wrote --------------------------

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{self.command} {self.path} of {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(name="sites")
def sites_(tmp_path):
    """An HTTP and an HTTPS server: their ports, and the CA's file."""
    ca = Authority.stranger()
    trust = ca.cert.public_bytes(Encoding.PEM).decode()
    folder = ca.sign([dns("localhost")]).save(tmp_path / "site", trust)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/client.crt", f"{folder}/client.key")
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
               for _ in range(2)]
    servers[1].socket = context.wrap_socket(servers[1].socket,
                                            server_side=True)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield *(s.server_address[1] for s in servers), f"{folder}/bundle.pem"
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(name="tinyproxy")
def tinyproxy_(tmp_path):
    """Its address."""
    if not shutil.which("tinyproxy"):
        pytest.skip("tinyproxy is missing: apt-get install tinyproxy-bin")
    port, = free_ports(["127.0.0.1"])
    conf = tmp_path / "tinyproxy.conf"
    conf.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 60\n"
                    "Allow 127.0.0.1\nMaxClients 20\n"
                    f"PidFile \"{tmp_path}/pid\"\n"
                    f"LogFile \"{tmp_path}/log\"\n")
    with subprocess.Popen(["tinyproxy", "-d", "-c", conf],
                          stdout=subprocess.DEVNULL) as process:
        try:
            wait_until("tinyproxy listens", lambda: listens(port, process), 20)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def listens(port, process):
    if process.poll() is not None:
        raise Failed("tinyproxy ended")
    try:
        with connect(f"127.0.0.1:{port}"):
            return True
    except OSError:
        return False


def curl(front, *words):
    return subprocess.run(
        ["curl", "-sS", "--max-time", "30", "--noproxy", "", "-x",
         f"http://{front}", *words], capture_output=True, text=True,
        timeout=60, check=True).stdout


def test_curl_through_tinyproxy(pair, tinyproxy, sites):
    plain, tls, ca = sites
    with pair(tinyproxy) as p:
        assert curl(p.front, f"http://localhost:{plain}/a?b") == \
            f"GET /a?b of localhost:{plain}"
        assert curl(p.front, "--cacert", ca,
                    f"https://localhost:{tls}/a?b") == \
            f"GET /a?b of localhost:{tls}"
        assert curl(p.front, "-p", f"http://localhost:{plain}/tunnel") == \
            f"GET /tunnel of localhost:{plain}"
