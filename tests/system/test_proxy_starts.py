# SPDX-License-Identifier: Apache-2.0
"""How a proxy starts, fails to, and is told to go before it has."""
import json
import socket
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization

from mesh import INBOUND
from pair import NAMESPACE, SERVER_IP
from peers.authority import Authority
from peers.http1 import App, ask
from peers.process import stopped
from peers.wire import connect
from programs import free_ports, wait_until


@pytest.fixture
def taken():
    """An address where somebody listens already."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen()
    yield f"127.0.0.1:{s.getsockname()[1]}"
    s.close()


def fails(binaries, folder, arguments, files=(("b.pem", ""), ("token", "x"))):
    """One sentence that tells the whole story."""
    for name, text in files:
        (folder / name).write_text(text)
    done = subprocess.run(
        # allow fixed-port: nobody listens and nothing is dialled
        [f"{binaries}/proxy/tulle-proxy", "--controller", "127.0.0.1:9",
         "--bundle", "b.pem", "--join-token-file", "token",
         "--admin", "127.0.0.1:0", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1, done
    said = [line for line in done.stderr.splitlines()
            if line.startswith("tulle-proxy: ")]
    assert len(said) == 1, done.stderr
    assert "Sanitizer" not in done.stderr
    return said[0]


OUT = ["--outbound", "127.0.0.1:0=a/b:80"]


@pytest.mark.parametrize("workers", ["1", "3"])
def test_port_in_use(binaries, tmp_path, taken, workers):
    said = fails(binaries, tmp_path, [*OUT, "--outbound", f"{taken}=a/b:80",
                                      "--workers", workers])
    assert taken in said


def test_admin_port_in_use(binaries, tmp_path, taken):
    assert taken in fails(binaries, tmp_path, [*OUT, "--admin", taken])


@pytest.mark.parametrize("arguments, word", [
    (["--bundle", "none.pem"], "none.pem"),
    (["--controller", "controller:http"], "controller:http"),
    (["--controller", "contr_oller:80"], "contr_oller:80"),
    # allow fixed-port: nobody listens and nothing is dialled
    (["--controller", ",".join(["127.0.0.1:9"] * 9)], "controller"),
    (["--outbound", "127.0.0.1:0=a:80"], "a:80"),
    (["--health", "15021"], "health: '15021'"),
    (["--probes", "{\"/ready\": {}}"], "probes: /ready: a path begins"),
    (["--probes", "{\"/probe/a/b\": {\"kind\": \"tcp\"}}"],
     "probes: /probe/a/b: "),
    (["--pod-ips", "pod"], "pod-ips: 'pod'"),
    (["--node-ips", "10.0.0.1,"], "node-ips: ''"),
    # allow fixed-port: nobody listens and nothing is dialled
    (["--inbound", "here=127.0.0.1:80"], "here"),
    (["--attempts", "0"], "attempts"),
    (["--max-connections", "1", "--workers", "2"], "max-connections"),
])
def test_what_is_wrong_is_named(binaries, tmp_path, arguments, word):
    assert word in fails(binaries, tmp_path, [*OUT, *arguments])


def test_no_listener(binaries, tmp_path):
    assert "--inbound" in fails(binaries, tmp_path, [])


def test_told_to_go_before_it_has_an_identity(pair):
    with App() as app, pair(app) as p:
        port, = free_ports([SERVER_IP])
        with stopped(p.mesh.controller.process):
            program = p.mesh.start_proxy(
                "early", INBOUND, f"{NAMESPACE}/backend",
                f"{NAMESPACE}/backend",
                ["--inbound", f"{SERVER_IP}:{port}={app.address}"])
            wait_until("it has begun", lambda: listens(SERVER_IP, port), 10,
                       program.must_run)
            with connect(f"{SERVER_IP}:{port}"):  # not accepted yet
                program.process.terminate()
                assert program.process.wait(10) == 0


def listens(host, port):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


def test_two_workers(pair):
    """Each has the port that the first one chose; numbers are summed."""
    with App() as app, pair(app, workers=2) as p:
        for n in range(40):
            assert ask(p.front, target=f"/{n}").status == 200
        count = sum(v for labels, v in
                    p.outbound.metrics()["proxy_requests_total"]
                    if labels.get("direction", "outbound") == "outbound")
        assert count >= 40


def test_workers_share_a_port_that_was_chosen(pair):
    with App() as app, pair(app) as p:
        program = p.mesh.start_proxy(
            "many", INBOUND, f"{NAMESPACE}/client", f"{NAMESPACE}/client",
            ["--outbound", f"127.0.0.1:0={NAMESPACE}/backend:80",
             "--workers", "3"])
        p.mesh.await_proxy(program)
        with open(program.ready_file, encoding="utf-8") as f:
            at = json.load(f)["outbound"]
        assert len(at) == 1
        for _ in range(30):
            assert ask(at[0]).status == 200


# --- the controller by name --------------------------------------------------

def start_late(p, *arguments):
    """Another proxy of the pair's backend; the last setting wins."""
    port, = free_ports([SERVER_IP])
    return p.mesh.start_proxy(
        "late", INBOUND, f"{NAMESPACE}/backend", f"{NAMESPACE}/backend",
        ["--inbound", f"{SERVER_IP}:{port}={p.backend}", *arguments])


def test_controller_by_name(pair):
    """A name beside an address that nobody answers at."""
    with App() as app, pair(app) as p:
        port = p.mesh.api.rpartition(":")[2]
        nobody, = free_ports(["127.0.0.1"])
        late = start_late(p, "--controller",
                          f"localhost:{port},127.0.0.1:{nobody}")
        p.mesh.await_proxy(late)
        assert "in sync with the controller" in late.output()


def test_controller_whose_name_is_nothing(pair):
    """The address beside it is what it is there for."""
    with App() as app, pair(app) as p:
        late = start_late(p, "--controller", f"no..name:1,{p.mesh.api}")
        p.mesh.await_proxy(late)
        assert "does not resolve" in late.output()


def test_controller_that_cannot_be_found(pair):
    with App() as app, pair(app) as p:
        late = start_late(p, "--controller", "no..name:1")
        wait_until("it says so", lambda: "its name does not resolve"
                   in late.output(), 20, late.must_run)
        late.process.terminate()
        assert late.process.wait(10) == 0


# --- roots -------------------------------------------------------------------

def test_roots_as_a_setting(pair):
    """The mount of the file is optional in a pod."""
    with App() as app, pair(app) as p:
        with open(p.mesh.bundle, encoding="ascii") as f:
            pem = f.read()
        p.mesh.await_proxy(start_late(p, "--bundle", "/nowhere/bundle.pem",
                                      "--bundle-pem", pem))
        p.mesh.await_proxy(start_late(p, "--bundle-pem", pem))
        p.mesh.await_proxy(start_late(p, "--bundle", "", "--bundle-pem", pem))


def test_roots_of_the_file_alone(pair, tmp_path):
    """What was stamped when the pod was made may name a root that has gone."""
    gone = Authority.stranger().cert.public_bytes(
        serialization.Encoding.PEM).decode()
    file = tmp_path / "bundle.pem"
    with App() as app, pair(app) as p:
        with open(p.mesh.bundle, encoding="ascii") as f:
            pem = f.read()
        file.write_text(gone)
        late = start_late(p, "--bundle", str(file), "--bundle-pem", pem,
                          "--trust-domain", "cluster.local")
        wait_until("the controller is not believed", lambda:
                   "no certificate yet" in late.output(), 20, late.must_run)
        assert "step=connect" in late.output()
        late.process.terminate()
        assert late.process.wait(10) == 0
        file.write_text("")
        p.mesh.await_proxy(start_late(p, "--bundle", str(file),
                                      "--bundle-pem", pem))


def test_roots_that_are_none(binaries, tmp_path):
    assert "none.pem" in fails(binaries, tmp_path,
                               [*OUT, "--bundle", "none.pem"])
    assert "roots" in fails(binaries, tmp_path,
                            [*OUT, "--bundle-pem", "nonsense"])
