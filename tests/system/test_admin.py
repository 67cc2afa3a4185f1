# SPDX-License-Identifier: Apache-2.0
"""The admin pages of a proxy, and numbers that agree with what was sent."""
import http.client
import json
import subprocess

import pytest

import metrics
from peers.http1 import App, ask, read_response, request, response
from peers.server import Server
from peers.wire import address, connect
from programs import free_ports, wait_until

FAMILIES = """
    proxy_requests_total proxy_request_duration_seconds_bucket
    proxy_request_duration_seconds_count proxy_request_duration_seconds_sum
    proxy_concurrent_requests proxy_tcp_connections_total
    proxy_tcp_bytes_total proxy_connections_accepted_total
    proxy_open_connections proxy_links_open proxy_tls_handshakes_total
    proxy_faults_total proxy_certificate_expiry_timestamp_seconds
    proxy_session_up proxy_build_info process_resident_memory_bytes
""".split()
BACKEND, CLIENT = (f"spiffe://cluster.local/ns/pair/sa/{n}"
                   for n in ("backend", "client"))


def total(families, name, **wanted):
    return sum(value for labels, value in families.get(name, ())
               if wanted.items() <= labels.items())


def soon(p, what, condition):
    """A count may follow its answer by a moment."""
    try:
        wait_until(what, condition, 5)
    except Exception:
        print(p.outbound.get("/metrics")[1], p.inbound.get("/metrics")[1])
        raise


def put(to, path, body, method="PUT"):
    host, port = address(to)
    c = http.client.HTTPConnection(host, port, timeout=5)
    try:
        c.request(method, path, body)
        r = c.getresponse()
        return r.status, r.read().decode()
    finally:
        c.close()


# --- numbers -----------------------------------------------------------------

def test_requests_are_counted(pair):
    def answer(m):
        return response(int(m.target[1:]), body=b"x")

    with App(answer) as app, pair(app) as p:
        sent = {"200": 7, "404": 3, "500": 2}
        for status, times in sent.items():
            for _ in range(times):
                assert ask(p.front, target=f"/{status}").status == int(status)
        sides = [(p.outbound, {"direction": "outbound",
                               "service": "pair/backend:80",
                               "peer": BACKEND}),
                 (p.inbound, {"direction": "inbound",
                              "service": p.inbound_mesh.split(":")[1],
                              "peer": CLIENT})]
        for proxy, labels in sides:
            soon(p, f"12 requests {labels}", lambda: total(
                proxy.metrics(), "proxy_requests_total", **labels) == 12)
            seen = proxy.metrics()
            for status, times in sent.items():
                assert total(seen, "proxy_requests_total", status=status,
                             **labels) == times
            assert total(seen, "proxy_request_duration_seconds_count",
                         **labels) == 12
            assert total(seen, "proxy_request_duration_seconds_bucket",
                         le="+Inf", **labels) == 12
            assert total(seen, "proxy_concurrent_requests", **labels) == 0
            assert total(seen, "proxy_faults_total") == 0


def test_all_families_are_there(pair):
    with App() as app, pair(app) as p:
        ask(p.front)
        with connect(p.inbound_mesh) as c:  # plaintext bytes
            c.send(b"\x00")
        for proxy in (p.outbound, p.inbound):
            text = proxy.get("/metrics")[1]
            # A family without a series still says what it is.
            missing = [name for name in FAMILIES
                       if name not in text
                       and name.rsplit("_", 1)[0] not in text]
            assert not missing
            assert text.count("# TYPE ") == text.count("# HELP ")


def test_concurrent_requests(pair):
    def play(wire):
        wire.until(b"\r\n\r\n")
        wire.exactly(1)

    with Server(play) as app, pair(app) as p:
        held = [connect(p.front) for _ in range(5)]
        for c in held:
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        app.wait_accepted(5)
        for proxy in (p.outbound, p.inbound):
            assert total(proxy.metrics(), "proxy_concurrent_requests") == 5
        for c in held:
            c.reset()
        for proxy in (p.outbound, p.inbound):
            soon(p, "none is under way", lambda: total(
                proxy.metrics(), "proxy_concurrent_requests") == 0)


def test_tcp_is_counted(pair):
    with Server(lambda w: w.send(b"y" * 500 + w.exactly(1000))) as app, \
            pair(app, app_protocol="tcp") as p:
        for _ in range(3):
            with connect(p.front) as c:
                c.send(b"\x00" * 1000)
                assert len(c.to_end()) == 1500
        # Bytes are seen from the pod.
        for proxy, asked, got in ((p.outbound, "out", "in"),
                                  (p.inbound, "in", "out")):
            soon(p, "3 connections", lambda: total(
                proxy.metrics(), "proxy_tcp_closed_total") == 3)
            seen = proxy.metrics()
            assert total(seen, "proxy_tcp_connections_total") == 3
            assert total(seen, "proxy_tcp_open_connections") == 0
            assert total(seen, "proxy_tcp_bytes_total", flow=asked) == 3000
            assert total(seen, "proxy_tcp_bytes_total", flow=got) == 4500


def test_faults_are_counted(pair):
    port, = free_ports(["127.0.0.1"])
    with pair(f"127.0.0.1:{port}") as p:
        for _ in range(4):
            assert ask(p.front).fault == "connect-failed"
        soon(p, "4 faults", lambda: total(
            p.outbound.metrics(), "proxy_requests_total", status="503",
            fault="connect-failed") == 4)
        assert total(p.inbound.metrics(), "proxy_faults_total",
                     fault="connect-failed") > 0


def test_links_and_certificates(pair):
    with App() as app, pair(app) as p:
        for _ in range(5):
            ask(p.front)
        for proxy, way in ((p.outbound, "outbound"), (p.inbound, "inbound")):
            soon(p, f"one link {way}", lambda: total(
                proxy.metrics(), "proxy_links_open", direction=way) == 1)
        out, in_ = p.outbound.metrics(), p.inbound.metrics()
        assert total(in_, "proxy_tls_handshakes_total", direction="inbound",
                     result="ok") == 1
        for seen in (out, in_):
            left = total(seen, "proxy_certificate_expiry_timestamp_seconds") \
                - total(seen, "process_start_time_seconds")
            assert 23 * 3600 < left < 25 * 3600


def test_access_log(pair):
    with App() as app, pair(app, access_log="true") as p:
        ask(p.front, target="/logged?secret")
        for proxy in (p.outbound, p.inbound):
            def lines():
                return [json.loads(line) for line in
                        proxy.program.output().splitlines()
                        if line.startswith("{") and "/logged" in line]
            wait_until("a line", lines, 5)
            assert len(lines()) == 1
            assert lines()[0]["status"] == 200


def test_no_access_log_by_default(pair):
    with App() as app, pair(app) as p:
        ask(p.front, target="/logged")
        soon(p, "counted", lambda: total(
            p.outbound.metrics(), "proxy_requests_total") == 1)
        assert "/logged" not in p.outbound.program.output()


# --- pages -------------------------------------------------------------------

def test_live_and_ready(pair):
    with App() as app, pair(app) as p:
        for proxy in (p.outbound, p.inbound):
            assert proxy.get("/live")[0] == 200
            assert proxy.get("/ready")[0] == 200
            assert proxy.get("/nonsense")[0] == 404


def test_config_is_json(pair):
    with App() as app, pair(app) as p:
        ask(p.front)
        status, body = p.outbound.get("/config")
        assert status == 200
        shown = json.loads(body)
        assert isinstance(shown, dict)
        assert "pair/backend:80" in body, "what it knows"
        assert p.inbound_mesh in body
        assert "50ms" in body or "detect" in body, "its settings"
        assert "PRIVATE" not in body


def test_log_level_at_run_time(pair):
    with App() as app, pair(app) as p:
        to = p.outbound.admin
        assert "debug" not in p.outbound.program.output()
        assert put(to, "/log-level", "debug")[0] == 200
        assert "debug" in metrics.get(to, "/log-level")[1]
        with connect(p.front) as c:
            c.send(request())
            assert read_response(c).status == 200
        wait_until("debug lines",
                   lambda: "debug" in p.outbound.program.output(), 5)
        assert put(to, "/log-level", "loud")[0] == 400
        assert "debug" in metrics.get(to, "/log-level")[1]
        assert put(to, "/log-level", "info")[0] == 200


def test_pages_change_nothing_by_get(pair):
    with App() as app, pair(app) as p:
        assert put(p.outbound.admin, "/metrics", "x", "POST")[0] == 405
        assert p.outbound.get("/ready")[0] == 200


@pytest.mark.parametrize("program", ["proxy/tulle-proxy",
                                     "controller/tulle-controller"])
def test_admin_is_on_loopback_only(binaries, tmp_path, program):
    """Pages that reveal and change things: another address is refused."""
    done = subprocess.run(
        [f"{binaries}/{program}", "--admin", "0.0.0.0:0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=20,
        check=False)
    assert done.returncode not in (0, None)
    assert "loopback" in done.stdout + done.stderr


NEEDED = {"proxy/tulle-proxy": ["--controller", "127.0.0.1:0", "--bundle",
                                "bundle.pem", "--token-file", "token"],
          "controller/tulle-controller": ["--source", "mesh"]}


@pytest.mark.parametrize("program", NEEDED)
@pytest.mark.parametrize("arguments, word", [
    (["--nonsense", "1"], "nonsense"),
    (["--admin"], "admin"),
    (["--admin", "not-an-address"], "not-an-address"),
    (["--log-level", "loud"], "loud"),
    (["stray"], "stray"),
])
def test_bad_settings_are_a_sentence(binaries, tmp_path, program, arguments,
                                     word):
    done = subprocess.run(
        [f"{binaries}/{program}", *NEEDED[program], *arguments], cwd=tmp_path,
        capture_output=True, text=True, timeout=20, check=False)
    said = done.stdout + done.stderr
    assert done.returncode > 0, said
    assert word in said
    assert "Sanitizer" not in said
    assert len(said.splitlines()) <= 5


@pytest.mark.parametrize("program", ["proxy/tulle-proxy",
                                     "controller/tulle-controller"])
def test_help_and_version(binaries, program):
    for flag, word in (("--help", "--admin"), ("--version", "tulle")):
        done = subprocess.run([f"{binaries}/{program}", flag],
                              capture_output=True, text=True, timeout=20,
                              check=True)
        assert word in done.stdout


# --- who has no shell --------------------------------------------------------

def run_ready(p, *arguments, **environment):
    return subprocess.run([p.mesh.binary("tulle-proxy"), "ready", *arguments],
                          check=False, capture_output=True, text=True,
                          timeout=20, env=environment)


def test_ready_command(pair):
    with App() as app, pair(app) as p:
        done = run_ready(p, p.inbound.admin)
        assert (done.returncode, done.stdout) == (0, "ready\n"), done
        done = run_ready(p, TULLE_ADMIN=p.inbound.admin)
        assert (done.returncode, done.stdout) == (0, "ready\n"), done
    nobody, = free_ports(["127.0.0.1"])
    done = run_ready(p, f"127.0.0.1:{nobody}")
    assert done.returncode == 1
    assert "cannot reach" in done.stderr
    done = run_ready(p, "localhost")
    assert done.returncode == 1
    assert "IP:port" in done.stderr


def test_health_address_of_the_controller(pair):
    port, = free_ports(["127.0.0.1"])
    at = f"127.0.0.1:{port}"
    with App() as app, pair(app, controller__health=at):
        assert metrics.get(at, "/live")[0] == 200
        assert metrics.get(at, "/ready")[0] == 200
        for page in ("/metrics", "/v1/registry", "/v1/sessions", "/log-level"):
            assert metrics.get(at, page)[0] == 404
