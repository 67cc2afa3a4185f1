# SPDX-License-Identifier: Apache-2.0
"""What proxies do when the controller dies, hangs, comes back, or reads
something bad; and how fast they learn."""
import json
import os
import time

import pytest

import metrics
from pair import SERVER_IP
from peers.http1 import App, ask, response
from peers.process import stopped
from peers.traffic import Traffic
from programs import wait_until


def kill_controller(p):
    p.mesh.expected_dead.append(p.mesh.controller)
    p.mesh.controller.process.kill()
    p.mesh.controller.process.wait()


def has_endpoints(p):
    r = ask(p.front)
    assert r.status == 200 or r.fault == "no-endpoints", r
    return r.status == 200


def session_up(proxy):
    (_, value), = proxy.metrics()["proxy_session_up"]
    return value == 1


# --- changes -----------------------------------------------------------------

def test_changes_arrive_within_a_second(pair):
    with App() as app, pair(app) as p:
        assert has_endpoints(p)
        for _ in range(3):
            p.write_backend(addresses={})
            wait_until("no endpoint", lambda: not has_endpoints(p), 1)
            p.write_backend()
            wait_until("an endpoint", lambda: has_endpoints(p), 1)


def test_file_that_vanishes(pair):
    with App() as app, pair(app) as p:
        assert has_endpoints(p)
        os.remove(f"{p.mesh.source}/backend.yaml")
        wait_until("the Service is gone", lambda: ask(p.front).status == 503,
                   2)
        p.write_backend()
        wait_until("the Service is back", lambda: ask(p.front).status == 200,
                   2)


@pytest.mark.parametrize("bad, line", [
    ("apiVersion: v1\nkind: Service\n\tmetadata: {name: x}\n", 3),
    ("apiVersion: v1\nkind: Service\nmetadata:\n  name: backend\n"
     "  namespace: pair\nspec:\n  ports: [{port: 99999}]\n", 7),
    ("apiVersion: v1\nkind: [", 3),
], ids=["syntax", "value", "half"])
def test_bad_manifest_keeps_the_last_good_state(pair, bad, line):
    with App() as app, pair(app) as p:
        assert has_endpoints(p)
        path = f"{p.mesh.source}/backend.yaml"
        with open(path, "w", encoding="utf-8") as f:
            f.write(bad)
        wait_until("it is reported",
                   lambda: f"backend.yaml:{line}"
                   in p.mesh.controller.output(), 5)
        assert has_endpoints(p)
        p.write_backend(addresses={})  # a good file counts again
        wait_until("no endpoint", lambda: not has_endpoints(p), 2)


def test_registry_is_shown(pair):
    with App() as app, pair(app) as p:
        status, body = metrics.get(p.mesh.admin, "/v1/registry")
        assert status == 200
        shown = json.loads(body)
        assert shown["version"] > 0
        assert SERVER_IP in body
        p.write_backend(addresses={})
        wait_until("a newer version", lambda: json.loads(
            metrics.get(p.mesh.admin, "/v1/registry")[1])["version"]
            > shown["version"], 2)
        assert metrics.get(p.mesh.admin, "/live")[0] == 200
        assert metrics.scrape(p.mesh.admin)


# --- without a controller ----------------------------------------------------

def test_controller_dies_and_comes_back(pair):
    with App() as app, pair(app) as p, Traffic(p.front) as traffic:
        kill_controller(p)
        wait_until("it is noticed", lambda: not session_up(p.outbound), 5)
        p.write_backend(addresses={})  # nobody can tell
        traffic.wait(100)
        p.write_backend()
        p.mesh.restart_controller()
        wait_until("sessions are back",
                   lambda: session_up(p.outbound) and session_up(p.inbound),
                   30)
        traffic.wait(50)
        p.write_backend(addresses={SERVER_IP: "backend", "127.2.0.9": "x"})
        traffic.wait(50)
        assert metrics.get(p.outbound.admin, "/ready")[0] == 200


def test_new_state_is_learnt_after_a_restart(pair):
    with App() as app, pair(app) as p:
        assert has_endpoints(p)
        kill_controller(p)
        p.write_backend(addresses={})
        assert has_endpoints(p)
        p.mesh.restart_controller()
        wait_until("no endpoint", lambda: not has_endpoints(p), 30)


def test_frozen_controller_is_noticed(pair):
    """It keeps its sockets open and says nothing: within 30 s the session
    counts as gone, and traffic never notices."""
    with App() as app, pair(app) as p, Traffic(p.front) as traffic:
        begin = time.monotonic()
        with stopped(p.mesh.controller.process):
            wait_until("it is noticed", lambda: not session_up(p.outbound)
                       and not session_up(p.inbound), 35)
            assert time.monotonic() - begin < 33
            traffic.wait(20)
        wait_until("sessions are back",
                   lambda: session_up(p.outbound) and session_up(p.inbound),
                   30)


def test_proxy_starts_before_the_controller_answers(pair):
    """It waits, and is ready when it may be."""
    with App(lambda m: response(body=b"x")) as app, pair(app) as p:
        p.outbound.program.process.terminate()
        assert p.outbound.program.process.wait(15) == 0
        with stopped(p.mesh.controller.process):
            starting = p.start_outbound()
            time.sleep(0.5)  # allow sleep: so long it may not give up
            starting.must_run()
            assert not os.path.exists(starting.ready_file)
        p.outbound = p.mesh.await_proxy(starting)
        assert ask(p.front).status == 200


def test_session_is_refused_without_certificate(pair):
    """Only the issuing call takes strangers."""
    import ssl  # pylint: disable=import-outside-toplevel
    from peers.wire import connect  # pylint: disable=import-outside-toplevel
    with App() as app, pair(app) as p, connect(p.mesh.api) as raw:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.load_verify_locations(p.mesh.bundle)
        with tls.wrap_socket(raw.sock) as s:
            s.sendall(b"POST /v1/session HTTP/1.1\r\nHost: c\r\n"
                      b"Content-Length: 0\r\n\r\n")
            assert s.recv(100).split(b" ")[1][:1] == b"4"


def test_join_token_is_for_once(pair):
    with App() as app, pair(app) as p:
        import certificates  # pylint: disable=import-outside-toplevel
        token = p.mesh.token("pair/once")
        folder = f"{p.mesh.folder}/once"
        certificates.obtain(p.mesh.api, p.mesh.bundle, token, folder)
        for bad in (token, "nonsense", token[:-2], ""):
            with pytest.raises(certificates.Failed, match=" 40[013] "):
                certificates.obtain(p.mesh.api, p.mesh.bundle, bad, folder)
