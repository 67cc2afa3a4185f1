# SPDX-License-Identifier: Apache-2.0
"""What the scanners testssl.sh and sslscan of Debian say about the ports that
speak TLS to programs not ours: the controller's API and the injector's webhook.
Neither can speak to a mesh port, which test_hostile_tls.py is for.

testssl.sh takes its time, nearly all of it in waiting: about 40 s. It is asked
for protocols, forward secrecy, its own view of the certificate, GREASE and all
vulnerabilities; the list of suites is sslscan's part, which takes none."""
import contextlib
import json
import shutil
import subprocess
import xml.etree.ElementTree as xml

import pytest

from peers.http1 import App
from peers.injector import HOST, Injector, pem
from peers.wire import address

SUITES = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
          "TLS_CHACHA20_POLY1305_SHA256"}
GROUPS = {"x25519", "secp256r1 (NIST P-256)"}
POST_QUANTUM = "X25519MLKEM768"  # where OpenSSL has it
FINE = ("OK", "INFO")

# Findings that are no faults, and why.
EXPLAINED = {
    "engine_problem": "about testssl.sh's own OpenSSL: no GOST",
    "cert_expirationStatus": "certificates live for hours and are renewed",
    "cert_notAfter": "the same",
    "cert_revocation": "there is none: a certificate lives for hours",
}
OF_CONTROLLER = {
    "cert_trust": "its name is a SPIFFE URI, which clients of ours compare",
}


@pytest.fixture(scope="module", params=["controller", "webhook"])
def port(request, module_pair, binaries, tmp_path_factory):
    """(where, roots in PEM, findings that are explained)"""
    roots = tmp_path_factory.mktemp("roots") / "roots.pem"
    with contextlib.ExitStack() as stack:
        if request.param == "controller":
            app = stack.enter_context(App())
            p = stack.enter_context(module_pair(app, strict=True))
            shutil.copy(p.mesh.bundle, roots)
            yield p.mesh.api, p.mesh.api, roots, EXPLAINED | OF_CONTROLLER
        else:
            hook = stack.enter_context(Injector(binaries)).wait_listening()
            roots.write_text(pem(hook.authority.cert), encoding="ascii")
            where = hook.where["listen"]
            yield where, f"{HOST}:{address(where)[1]}", roots, EXPLAINED


def tool(name):
    if not shutil.which(name):
        pytest.skip(f"no {name} here: run scripts/deps test")
    return name


def scanned(where):
    """What sslscan says, as XML."""
    done = subprocess.run(
        [tool("sslscan"), "--show-sigs", "--xml=-", where],
        capture_output=True, timeout=120, check=True)
    return xml.fromstring(done.stdout).find("ssltest")


def test_sslscan(port):
    found = scanned(port[0])
    enabled = [(p.get("type"), p.get("version"))
               for p in found.iter("protocol") if p.get("enabled") != "0"]
    assert enabled == [("tls", "1.3")]
    assert {c.get("cipher") for c in found.iter("cipher")} == SUITES
    assert {g.get("name") for g in found.iter("group")} - {POST_QUANTUM} == \
        GROUPS
    assert [r.get("supported") for r in found.iter("renegotiation")] == ["0"]
    assert not [h for h in found.iter("heartbleed")
                if h.get("vulnerable") != "0"]
    assert not [c for c in found.iter("compression")
                if c.get("supported") != "0"]
    algorithms = {a.text for a in found.iter("signature-algorithm")}
    assert algorithms == {"ecdsa-with-SHA256"}


def test_testssl(port, tmp_path):
    where, name, roots, explained = port
    out = tmp_path / "findings.json"
    done = subprocess.run(
        [tool("testssl"), "--quiet", "--color", "0", "--warnings", "off",
         "--nodns", "none", "--ip", address(where)[0], "--add-ca", roots,
         "-p", "-f", "-S", "-g", "-U", "--jsonfile", out, name],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=170,
        check=False)
    assert out.exists(), done.stdout + done.stderr
    findings = json.loads(out.read_text(encoding="utf-8"))
    said = {f["id"]: f["finding"] for f in findings}
    wrong = [f"{f['severity']} {f['id']}: {f['finding']}" for f in findings
             if f["severity"] not in FINE and f["id"] not in explained]
    assert not wrong, "\n".join(wrong)
    # It has looked, and seen what is there.
    assert said["TLS1_3"].startswith("offered")
    assert [said[v] for v in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2")] \
        == ["not offered"] * 5
    assert said["cert_chain_of_trust"] == "passed."
    for attack in ("heartbleed", "CCS", "ROBOT", "secure_renego",
                   "secure_client_renego", "CRIME_TLS", "BREACH", "POODLE_SSL",
                   "FREAK", "DROWN", "LOGJAM", "BEAST", "LUCKY13",
                   "RC4", "GREASE"):
        assert attack in said, f"{attack}: not looked for"


def test_mesh_port_shows_no_tls(module_pair):
    """Nobody without our ALPN gets as far as a handshake."""
    with App() as app, module_pair(app, strict=True) as p:
        found = scanned(p.inbound_mesh)
        assert not [x for x in found.iter("protocol")
                    if x.get("enabled") != "0"]
        assert not list(found.iter("cipher"))
        assert not list(found.iter("certificate"))
        assert app.accepted == 0
