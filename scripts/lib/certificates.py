# SPDX-License-Identifier: Apache-2.0
"""Gets a workload certificate from the controller, as a proxy does: a key of
our own, POST /v1/certificates with its CSR and a join token."""
import http.client
import json
import os
import re
import ssl
import subprocess

from programs import Failed

CONTROLLER_NAME = re.compile(r"spiffe://[a-z0-9._-]+/tulle/controller")


def _openssl(*argv):
    try:
        done = subprocess.run(["openssl", *argv], capture_output=True,
                              text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Failed(f"openssl: {e}") from e
    if done.returncode:
        raise Failed(f"openssl {argv[0]}: {done.stderr.strip()}")
    return done.stdout


def _connect(api, bundle, who=None):
    """TLS to the controller. Names are URIs here: Python verifies the chain,
    we verify the name. `who`: folder with a certificate to show."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.load_verify_locations(bundle)
    if who:
        tls.load_cert_chain(f"{who}/client.crt", f"{who}/client.key")
    host, _, port = api.rpartition(":")
    c = http.client.HTTPSConnection(host, int(port), timeout=10, context=tls)
    c.connect()
    names = [value for kind, value in
             c.sock.getpeercert().get("subjectAltName", ()) if kind == "URI"]
    if len(names) != 1 or not CONTROLLER_NAME.fullmatch(names[0]):
        c.close()
        raise Failed(f"{api} is not the controller: it is {names}")
    return c


def ask(api, bundle, body, who=None):
    """POST /v1/certificates: (status, what it said)."""
    try:
        c = _connect(api, bundle, who)
        try:
            c.request("POST", "/v1/certificates", json.dumps(body),
                      {"Content-Type": "application/json",
                       "Connection": "close"})
            answer = c.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            c.close()
    except (OSError, http.client.HTTPException) as e:
        raise Failed(f"POST https://{api}/v1/certificates: {e!r}") from e


def new_key(folder):
    """Writes client.key and returns its path."""
    key = f"{folder}/client.key"
    _openssl("genpkey", "-algorithm", "EC",
             "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    os.chmod(key, 0o600)
    return key


def new_request(key):
    """A signing request, as PEM."""
    return _openssl("req", "-new", "-key", key, "-subj", "/")


def obtain(api, bundle, token, folder):
    """Fills `folder` with client.crt (the chain), client.key, bundle.pem."""
    os.makedirs(folder, exist_ok=True)
    csr = new_request(new_key(folder))
    status, said = ask(api, bundle, {"csr": csr, "token": token})
    if status != 200:
        raise Failed(f"the controller gives no certificate: {status} {said}")
    answer = json.loads(said)
    for name, text in (("client.crt", answer["chain"]),
                       ("bundle.pem", answer["bundle"])):
        with open(f"{folder}/{name}", "w", encoding="ascii") as f:
            f.write(text)
    return folder
