# SPDX-License-Identifier: Apache-2.0
"""The health port: what the kubelet is told, and what it asks the application
through the proxy."""
import contextlib
import http.client
import http.server
import json
import ssl
import subprocess
import threading

import pytest

from metrics import get
from pair import NAMESPACE
from peers.http1 import App, ask, read_head, request, response
from peers.podmesh import APP as APP_PORT
from peers.server import Server
from peers.wire import connect
from programs import free_ports, wait_until

APP_IP = "127.2.0.9"  # the pod's, where its application listens


@pytest.fixture
def probed(pair):
    """probed(probes, **settings): a pair whose inbound proxy has them;
    `p.health` is its health port."""
    def make(probes, **settings):
        port, = free_ports(["127.0.0.1"])
        health = f"127.0.0.1:{port}"
        backend = free_ports([APP_IP])[0]
        context = pair(f"{APP_IP}:{backend}", arguments={"inbound": [
            "--health", health, "--pod-ips", APP_IP,
            "--probes", json.dumps(probes)]}, **settings)
        return Probed(context, health)
    return make


class Probed:
    def __init__(self, context, health):
        self.context, self.health = context, health

    def __enter__(self):
        self.pair = self.context.__enter__()
        return self

    def __exit__(self, *exc):
        return self.context.__exit__(*exc)

    def get(self, path):
        """(status, body) as the kubelet sees it; OSError without answer."""
        return get(self.health, path, timeout=10)


def unused():
    return free_ports([APP_IP])[0]


def probe(kind, port, **more):
    return {"kind": kind, "port": port, "timeout": "5s", **more}


# --- the proxy itself --------------------------------------------------------

def test_live_and_ready(probed):
    with probed({}) as p:
        assert p.get("/live") == (200, "live\n")
        assert p.get("/ready") == (200, "ready\n")
        head = ask(p.health, "HEAD", "/ready")
        assert (head.status, head.body) == (200, b"")


def test_ready_waits_for_the_first_view(pair):
    """Then it stays, whatever becomes of the controller."""
    with App() as app, pair(app) as p:
        assert ask(p.front).status == 200
        p.mesh.controller.process.terminate()
        p.mesh.controller.process.wait(20)
        port, = free_ports(["127.0.0.1"])
        health = f"127.0.0.1:{port}"
        late = p.mesh.start_proxy(
            "late", 1, f"{NAMESPACE}/backend", f"{NAMESPACE}/backend",
            # allow fixed-port: nobody listens and nothing is dialled
            ["--inbound", "127.0.0.1:0=127.0.0.1:9", "--health", health])
        wait_until("it is there", lambda: answers(health), 10, late.must_run)
        assert get(health, "/live") == (200, "live\n")
        assert get(health, "/ready") == (503, "waiting for a certificate\n")
        p.mesh.restart_controller()
        wait_until("it is ready", lambda: get(health, "/ready")[0] == 200, 20)
        p.mesh.await_proxy(late)
        p.mesh.controller.process.terminate()
        p.mesh.controller.process.wait(20)
        assert get(health, "/ready") == (200, "ready\n")
        assert ask(p.front).status == 200
        p.mesh.restart_controller()


def answers(address):
    try:
        return get(address, "/live")[0] == 200
    except OSError:
        return False


def test_reveals_and_changes_nothing(probed):
    with probed({}) as p:
        for path in ("/", "/metrics", "/config", "/version", "/log-level",
                     "/probe/app/liveness", "/ready/", "//ready", "/READY"):
            assert p.get(path)[0] == 404, path
        for method in ("POST", "PUT", "DELETE"):
            assert ask(p.health, method, "/ready", body=b"x").status == 405
        assert ask(p.health, "PUT", "/log-level", body=b"trace").status == 404


# --- tcp ---------------------------------------------------------------------

@pytest.mark.parametrize("strict", [False, True])
def test_tcp_tells_the_truth(probed, strict):
    port = unused()
    with probed({"/probe/app/readiness": probe("tcp", port)},
                strict=strict) as p:
        status, why = p.get("/probe/app/readiness")
        assert status == 503
        assert f"no connection to {APP_IP}:{port}" in why
        with Server(lambda w: None, host=APP_IP, port=port):
            assert p.get("/probe/app/readiness")[0] == 200
        assert p.get("/probe/app/readiness")[0] == 503


def test_tcp_asks_the_address_of_the_pod(probed):
    """As the kubelet would: who listens on loopback only is not there."""
    port = unused()
    with probed({"/probe/app/readiness": probe("tcp", port)}) as p, \
            Server(lambda w: None, host="127.0.0.1", port=port):
        assert p.get("/probe/app/readiness")[0] == 503


# --- http --------------------------------------------------------------------

@pytest.mark.parametrize("answer, want", [
    (200, 200), (204, 200), (302, 200), (399, 200), (400, 503), (404, 503),
    (500, 503), (503, 503)])
def test_http_status(probed, answer, want):
    fields = [("Location", "http://elsewhere/")] if answer == 302 else []
    with App(lambda _: response(answer, fields), host=APP_IP) as app, probed(
            {"/probe/app/liveness": probe("http", app.port)}) as p:
        assert p.get("/probe/app/liveness") == (
            want, f"the application answered with status {answer}\n")
        assert len(app.requests) == 1


def test_http_request_is_the_kubelets(probed):
    with App(host=APP_IP) as app, probed(
            {"/probe/app/liveness": probe(
                "http", app.port, path="/healthz?deep=1",
                headers=[["X-Probe", "yes"], ["X-Probe", "indeed"]]),
             "/probe/app/startup": probe(
                 "http", app.port, path="up",
                 host="me.example", headers=[["User-Agent", "mine"],
                                             ["Accept", "text/plain"]])}) as p:
        assert p.get("/probe/app/liveness?ignored")[0] == 200
        assert p.get("/probe/app/startup")[0] == 200
        plain, own = app.requests
    assert plain.start == ["GET", "/healthz?deep=1", "HTTP/1.1"]
    assert plain.all("x-probe") == ["yes", "indeed"]
    assert plain.get("host") == f"{APP_IP}:{app.port}"
    assert plain.get("user-agent").startswith("kube-probe/")
    assert plain.get("accept") == "*/*"
    assert plain.get("connection") == "close"
    assert own.target == "/up"
    assert own.get("host") == "me.example"
    assert own.get("user-agent") == "mine"
    assert own.get("accept") == "text/plain"


def test_http_body_does_not_matter(probed):
    """A status is enough; nobody waits for the rest."""
    def serve(wire):
        read_head(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        wire.how_it_ends()
    with Server(serve, host=APP_IP) as app, probed(
            {"/probe/app/liveness": probe("http", app.port)}) as p:
        assert p.get("/probe/app/liveness")[0] == 200
        app.wait_open(0)


@pytest.mark.parametrize("script, word", [
    (lambda w: w.send(b"SSH-2.0-x\r\n") or w.how_it_ends(), "no answer"),
    (lambda w: read_head(w) and None, "no answer"),
    (lambda w: w.reset(), "no answer"),
])
def test_http_that_is_none(probed, script, word):
    with Server(script, host=APP_IP) as app, probed(
            {"/probe/app/liveness": probe("http", app.port)}) as p:
        status, why = p.get("/probe/app/liveness")
        assert status == 503
        assert word in why


@pytest.mark.parametrize("kind", ["http", "https"])
def test_silence_has_an_end(probed, kind):
    with Server(lambda w: w.how_it_ends(), host=APP_IP) as app, probed(
            {"/probe/app/liveness": probe(kind, app.port,
                                          timeout="300ms")}) as p:
        assert p.get("/probe/app/liveness") == (503, "no answer in time\n")
        app.wait_open(0)


def test_who_leaves_takes_the_question_along(probed):
    with Server(lambda w: w.how_it_ends(), host=APP_IP) as app, probed(
            {"/probe/app/liveness": probe("http", app.port,
                                          timeout="1h")}) as p:
        kubelet = connect(p.health)
        kubelet.send(request(target="/probe/app/liveness"))
        app.wait_open(1)
        kubelet.reset()
        app.wait_open(0)


def test_only_some_at_once(probed):
    """Anybody may ask: it must not cost more than so much."""
    with Server(lambda w: w.how_it_ends(), host=APP_IP) as app, probed(
            {"/probe/app/liveness": probe("http", app.port, timeout="1h"),
             "/probe/app/readiness": probe("tcp", app.port)}) as p:
        waiting = [connect(p.health) for _ in range(4)]
        for wire in waiting:
            wire.send(request(target="/probe/app/liveness"))
        app.wait_open(4)
        assert p.get("/probe/app/liveness") == (503, "too many ask at once\n")
        assert p.get("/probe/app/readiness")[0] == 200
        for wire in waiting:
            wire.reset()
        app.wait_open(0)


# --- https -------------------------------------------------------------------

class Secure:
    """An application with TLS of its own, and a certificate nobody signed."""

    def __init__(self, folder, version, key):
        subprocess.run(
            ["openssl", "req", "-x509", "-nodes", "-newkey", *key, "-subj",
             "/CN=nobody", "-days", "1", "-keyout", f"{folder}/k",
             "-out", f"{folder}/c"], check=True, capture_output=True)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(f"{folder}/c", f"{folder}/k")
        tls.minimum_version = tls.maximum_version = version
        self.paths = paths = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                paths.append(self.path)
                self.send_response(http.client.NO_CONTENT)
                self.end_headers()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer((APP_IP, 0), Handler)
        self.server.socket = tls.wrap_socket(self.server.socket,
                                             server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2,
                                     ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("key", [
    ["rsa:2048"], ["ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"]])
def test_https_asks_for_no_name(probed, tmp_path, version, key):
    with Secure(tmp_path, version, key) as app, probed(
            {"/probe/app/liveness": probe("https", app.port,
                                          path="/healthz")}) as p:
        assert p.get("/probe/app/liveness")[0] == 200
        assert app.paths == ["/healthz"]


def test_https_to_one_without(probed):
    """It does not wait for a whole request, as some do: or it would be a matter of
    which time is over first."""
    with Server(lambda w: w.some() and w.send(b"HTTP/1.1 400 Bad\r\n\r\n"),
                host=APP_IP) as app, probed(
            {"/probe/app/liveness": probe("https", app.port)}) as p:
        status, why = p.get("/probe/app/liveness")
        assert status == 503
        assert why.startswith("TLS: ")


# --- hooks -------------------------------------------------------------------

def test_hook(probed):
    """Any answer is one; none is an error of the connection, because a status
    is nothing to the kubelet."""
    port = unused()
    with probed({"/hook/app/preStop": probe("http", port,
                                            path="/stop")}) as p:
        with pytest.raises(OSError):
            p.get("/hook/app/preStop")
        with App(lambda _: response(500), host=APP_IP, port=port) as app:
            assert p.get("/hook/app/preStop")[0] == 200
            assert app.requests[0].target == "/stop"
        with pytest.raises(OSError):
            p.get("/hook/app/preStop")
        assert p.get("/live")[0] == 200


def test_hook_that_is_refused(probed):
    """Were it a status, the kubelet would take it for done."""
    port = unused()
    with probed({"/hook/app/preStop": probe("http", port)}) as p, \
            App(host=APP_IP, port=port) as app:
        for how in ("POST /hook/app/preStop", "GET /hook/app/other"):
            with connect(p.health) as wire:
                wire.send(f"{how} HTTP/1.1\r\nHost: a\r\n"
                          "Content-Length: 0\r\n\r\n".encode())
                with contextlib.suppress(ConnectionError):
                    assert wire.to_end() == b""
        assert not app.requests
        with connect(p.health) as wire:
            wire.send(b"POST /live HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b" 405 " in wire.some()


# --- in a pod ----------------------------------------------------------------

HEALTH = 15021


@pytest.fixture
def web(pods):
    """A strict pod whose health port the whole cluster can reach."""
    probes = {"/probe/app/readiness": probe("tcp", APP_PORT),
              "/hook/app/preStop": probe("http", APP_PORT, path="/stop")}
    p = pods.pod("web", strict=True, proxy=[
        "--health", f"0.0.0.0:{HEALTH},[::]:{HEALTH}",
        "--probes", json.dumps(probes)])
    p.stranger = pods.pod("stranger", meshed=False)
    p.node = pods.node
    pods.await_all()
    return p


def get_from(namespace, pod, path):
    with namespace.inside():
        return [get(f"{ip}:{HEALTH}", path, timeout=10)[0]
                for ip in (pod.ip, f"[{pod.ip6}]")]


def test_health_port_of_a_pod(web):
    with web.inside():
        app = App(host="::", port=APP_PORT)
    with app:
        for of in (web.node, web.stranger, web):
            assert get_from(of, web, "/live") == [200, 200]
            assert get_from(of, web, "/ready") == [200, 200]
            assert get_from(of, web, "/probe/app/readiness") == [200, 200]
        assert not app.requests


def test_hooks_are_for_the_node(web):
    """Whoever could call it could stop the application."""
    with web.inside():
        app = App(host="::", port=APP_PORT)
    with app:
        for ip in (web.ip, f"[{web.ip6}]"):
            with web.stranger.inside(), pytest.raises(OSError):
                get(f"{ip}:{HEALTH}", "/hook/app/preStop", timeout=10)
        assert not app.requests
        assert web.program.output().count("hooks are for the node alone") == 1
        assert get_from(web.node, web, "/hook/app/preStop") == [200, 200]
        assert [r.target for r in app.requests] == ["/stop", "/stop"]


def test_strangers_keep_nobody_out(web):
    with web.stranger.inside():
        held = [connect(f"{web.ip}:{HEALTH}") for _ in range(64)]
        with connect(f"{web.ip}:{HEALTH}") as one_more:
            assert one_more.how_it_ends() in ("fin", "reset")
    assert get_from(web.node, web, "/live") == [200, 200]
    for wire in held:
        wire.close()

    def free():
        try:
            return get_from(web.stranger, web, "/live") == [200, 200]
        except OSError:
            return False
    wait_until("there is room again", free, 10)
