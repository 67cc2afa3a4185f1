# SPDX-License-Identifier: Apache-2.0
"""A private CA and one P-256 certificate for each side, as a mesh has them."""
import pathlib
import subprocess

from bench.processes import Failed

DOMAIN = "bench.example"
LEAF = """subjectAltName=URI:{uri},DNS:{dns}
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
basicConstraints=critical,CA:FALSE
"""


def spiffe(name):
    return f"spiffe://{DOMAIN}/ns/default/sa/{name}"


def dns(name):
    return f"{name}.{DOMAIN}"


def _openssl(*words):
    command = ["openssl", *(str(word) for word in words)]
    try:
        subprocess.run(command, check=True, timeout=30,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)
    except subprocess.CalledProcessError as problem:
        raise Failed(f"openssl: {problem.stderr.decode()}") from problem
    except (OSError, subprocess.SubprocessError) as problem:
        raise Failed(f"openssl: {problem}") from problem


def _key(path):
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout",
             "-out", path)


class Certificates:
    """ca.pem; client.crt, .key and .pem (both); the same for server."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.ca = self.folder / "ca.pem"
        key = self.folder / "ca.key"
        _key(key)
        _openssl("req", "-x509", "-new", "-key", key, "-sha256", "-days", "2",
                 "-subj", "/CN=bench CA", "-out", self.ca,
                 "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        for name in ("client", "server"):
            self._issue(name, key)

    def _issue(self, name, ca_key):
        request = self.folder / f"{name}.csr"
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(LEAF.format(uri=spiffe(name), dns=dns(name)))
        _key(self.key(name))
        _openssl("req", "-new", "-key", self.key(name), "-subj", "/O=bench",
                 "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey",
                 ca_key, "-CAcreateserial", "-sha256", "-days", "2",
                 "-extfile", extensions, "-out", self.chain(name))
        self.both(name).write_bytes(self.chain(name).read_bytes() +
                                    self.key(name).read_bytes())

    def key(self, name):
        return self.folder / f"{name}.key"

    def chain(self, name):
        return self.folder / f"{name}.crt"

    def both(self, name):
        return self.folder / f"{name}.pem"
