# SPDX-License-Identifier: Apache-2.0
"""The injector, started with files of its own, and the API server's side of a
review."""
import base64
import http.client
import json
import os
import ssl
import subprocess
import tempfile

from cryptography.hazmat.primitives import serialization

from fake_kube import json_patch
from peers.authority import SERVER_ONLY, Authority, dns
from programs import Program, free_ports, wait_until

HOST = "tulle-injector.tulle-system.svc"


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()).decode()


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(path + ".new", path)
    return path


def review(pod, namespace="shop", uid="u1", **request):
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": uid, "operation": "CREATE",
                        "namespace": namespace,
                        "name": pod.get("metadata", {}).get("name", ""),
                        "kind": {"group": "", "version": "v1", "kind": "Pod"},
                        "resource": {"group": "", "version": "v1",
                                     "resource": "pods"},
                        "object": pod, **request}}


def patched(pod, response):
    """The pod as the API server would make it."""
    if "patch" not in response:
        return pod
    assert response["patchType"] == "JSONPatch"
    return json_patch(json.loads(json.dumps(pod)),
                      json.loads(base64.b64decode(response["patch"])))


class Injector:
    """A context: runs until the end of it, and must then end by itself."""

    def __init__(self, binaries, arguments=(), files=True):
        self.folder = tempfile.mkdtemp(prefix="tulle-injector-")
        self.authority = Authority.stranger()
        self.program, self.where, self.expected_code = None, None, 0
        self.certificate()
        own = ["--cert", f"{self.folder}/tls.crt",
               "--key", f"{self.folder}/tls.key"] if files else []
        listen, admin, health = free_ports(["127.0.0.1"] * 3)
        self.argv = [f"{binaries}/injector/tulle-injector",
                     "--listen", f"127.0.0.1:{listen}",
                     "--admin", f"127.0.0.1:{admin}",
                     "--health", f"127.0.0.1:{health}",
                     "--ready-file", f"{self.folder}/ready",
                     "--linger", "0s", *own, *arguments]
        self.health = health
        self.admin = admin

    def certificate(self, name=HOST):
        """Writes a new one. Gives the certificate."""
        leaf = self.authority.sign([dns(name)], purposes=SERVER_ONLY)
        write(f"{self.folder}/tls.key", key_pem(leaf.key))
        write(f"{self.folder}/tls.crt", pem(leaf.cert))
        return leaf

    def __enter__(self):
        self.program = Program("injector", 1, self.argv,
                               f"{self.folder}/log")
        return self

    def __exit__(self, kind, *_):
        try:
            if self.program.running():
                self.program.process.terminate()
            code = self.program.process.wait(15)
        except subprocess.TimeoutExpired:
            self.program.process.kill()
            code = self.program.process.wait()
        if kind or code != self.expected_code:
            print(self.program.tail(60))
        if not kind:
            assert code == self.expected_code
            assert "ERROR: " not in self.program.output()
            assert "runtime error:" not in self.program.output()

    # --- asking ---

    def wait_listening(self):
        def listens():
            try:
                with open(f"{self.folder}/ready", encoding="utf-8") as f:
                    return json.load(f)
            except FileNotFoundError:
                return None
        self.where = wait_until("the webhook listens", listens, 15,
                                self.program.must_run)
        return self

    def tls(self):
        context = ssl.create_default_context(cadata=pem(self.authority.cert))
        context.check_hostname = False
        return context

    def connect(self):
        host, port = self.where["listen"].rsplit(":", 1)
        c = http.client.HTTPSConnection(host, int(port), timeout=10,
                                        context=self.tls())
        c.connect()
        return c

    def post(self, body, path="/inject?timeout=5s", connection=None,
             content_type="application/json", method="POST"):
        """(status, body)"""
        c = connection or self.connect()
        c.request(method, path, body,
                  {"content-type": content_type} if content_type else {})
        answer = c.getresponse()
        out = answer.status, answer.read()
        if not connection:
            c.close()
        return out

    def ask(self, pod, namespace="shop", connection=None, **request):
        """The response of a review."""
        status, body = self.post(
            json.dumps(review(pod, namespace, **request)),
            connection=connection)
        assert status == 200, body
        answer = json.loads(body)
        assert answer["apiVersion"] == "admission.k8s.io/v1"
        assert answer["kind"] == "AdmissionReview"
        assert answer["response"]["uid"] == request.get("uid", "u1")
        return answer["response"]

    def page(self, path, port=None):
        c = http.client.HTTPConnection("127.0.0.1", port or self.admin,
                                       timeout=10)
        c.request("GET", path)
        answer = c.getresponse()
        out = answer.status, answer.read().decode()
        c.close()
        return out

    def metric(self, name):
        for line in self.page("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise KeyError(name)


def inject_files(binaries, *arguments, text=None):
    """(exit code, standard output, standard error) of tulle-injector file."""
    done = subprocess.run(
        [f"{binaries}/injector/tulle-injector", "file", *arguments],
        input=text, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr.decode()
