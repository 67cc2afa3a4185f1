# SPDX-License-Identifier: Apache-2.0
"""scripts/pair itself: what it prints, and that it leaves nothing."""
import json
import os
import signal
import ssl
import stat
import subprocess
import tempfile

import pytest

from conftest import ROOT
from pair import Settings
from peers.http1 import App, ask
from peers.process import gone
from programs import Failed, wait_until

NOWHERE = "127.0.0.1:1"  # allow fixed-port: nobody is asked


class Script:
    def __init__(self, binaries, tmp_path, *arguments):
        self.tmp = tmp_path
        self.process = subprocess.Popen(
            [f"{ROOT}/scripts/pair", "--build", binaries, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        if not self.process.stdin.closed:
            self.process.communicate(timeout=40)

    def ready(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def left(self):
        return os.listdir(self.tmp)


def test_prints_one_line_and_serves(binaries, tmp_path):
    with App() as app, Script(binaries, tmp_path, "--backend",
                              app.address) as s:
        said = s.ready()
        assert set(said) == {"in", "outbound_admin", "inbound_admin",
                             "inbound_mesh", "pids", "certs"}
        assert set(said["pids"]) == {"controller", "outbound", "inbound"}
        assert ask(said["in"]).body == b"ok\n"
        for admin in ("outbound_admin", "inbound_admin"):
            assert ask(said[admin], target="/ready").status == 200
        s.process.send_signal(signal.SIGTERM)
        out, err = s.process.communicate(timeout=40)
        assert (s.process.returncode, out, err) == (0, "", "")
        assert s.left() == []
        assert all(gone(pid) for pid in said["pids"].values())


def test_certificate_folder(binaries, tmp_path):
    with App() as app, Script(binaries, tmp_path, "--backend",
                              app.address) as s:
        certs = s.ready()["certs"]
        assert sorted(os.listdir(certs)) == ["bundle.pem", "client.crt",
                                             "client.key"]
        mode = os.stat(f"{certs}/client.key").st_mode
        assert not stat.S_IMODE(mode) & 0o077
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.load_verify_locations(f"{certs}/bundle.pem")
        tls.load_cert_chain(f"{certs}/client.crt", f"{certs}/client.key")
        shown = subprocess.run(
            ["openssl", "x509", "-in", f"{certs}/client.crt", "-noout",
             "-ext", "subjectAltName"], capture_output=True, text=True,
            check=True).stdout
        assert "URI:spiffe://cluster.local/ns/pair/sa/tester" in shown


def test_end_of_input_ends_it(binaries, tmp_path):
    with App() as app, Script(binaries, tmp_path, "--backend",
                              app.address) as s:
        pids = s.ready()["pids"]
        s.process.stdin.close()
        assert s.process.wait(40) == 0
        assert s.left() == []
        assert all(gone(pid) for pid in pids.values())


def test_settings_reach_the_programs(binaries, tmp_path):
    with App() as app, Script(
            binaries, tmp_path, "--backend", app.address, "--strict",
            "--set", "max-headers=20", "--set", "outbound.workers=2") as s:
        pids = s.ready()["pids"]

        def words(name):
            with open(f"/proc/{pids[name]}/cmdline", "rb") as f:
                return f.read().decode().split("\0")
        assert "--max-headers" in words("inbound")
        assert "--max-headers" in words("outbound")
        assert "--max-headers" not in words("controller")
        assert "--workers" in words("outbound")
        assert "--workers" not in words("inbound")


def test_bad_setting_is_a_sentence(binaries, tmp_path):
    for setting, word in (("nonsense=1", "nonsense"),
                          ("connect-timeout=soon", "soon"),
                          ("other.workers=1", "other"),
                          ("workers", "workers")):
        with Script(binaries, tmp_path, "--backend", NOWHERE,
                    "--set", setting) as s:
            out, err = s.process.communicate(timeout=60)
            assert s.process.returncode == 1
            assert out == ""
            assert word in err
            assert "Traceback" not in err
            assert s.left() == []


def test_a_program_that_is_missing(tmp_path):
    with tempfile.TemporaryDirectory() as empty, \
            Script(empty, tmp_path, "--backend", NOWHERE) as s:
        _, err = s.process.communicate(timeout=20)
        assert s.process.returncode == 1
        assert "is missing: build it first" in err
        assert s.left() == []


def test_killed_pair_leaves_no_programs(binaries, tmp_path):
    with App() as app, Script(binaries, tmp_path, "--backend",
                              app.address) as s:
        pids = s.ready()["pids"]
        s.process.kill()
        s.process.wait()
        wait_until("its programs end",
                   lambda: all(gone(pid) for pid in pids.values()), 20)


def test_settings():
    s = Settings(["a=1", "inbound.b=2=3", "controller.c="]).of
    assert s == {"outbound": ["--a", "1"],
                 "inbound": ["--a", "1", "--b", "2=3"],
                 "controller": ["--c", ""]}
    for bad in ("a", "=1", "outbound.=1", "nobody.a=1"):
        with pytest.raises(Failed, match="setting|none of"):
            Settings([bad])
