# SPDX-License-Identifier: Apache-2.0
"""Two proxies in front of a backend: client -> outbound -> inbound -> backend.

Each has a pod of its own, so nothing here is "the same pod" by accident: the
inbound proxy listens on its pod's address, the outbound one on 127.0.0.1.
"""
import manifests
from mesh import INBOUND, LOCAL, OUTBOUND, Mesh
from programs import Failed, free_ports

NAMESPACE = "pair"
CLIENT_IP, SERVER_IP, CLUSTER_IP = "127.2.0.1", "127.2.0.2", "127.2.1.1"
PROGRAMS = ("controller", "outbound", "inbound")


class Settings:
    """Of `key=value` words: `key` is for both proxies, `outbound.key`,
    `inbound.key` and `controller.key` for one program."""

    def __init__(self, words=()):
        self.of = {program: [] for program in PROGRAMS}
        for word in words:
            self._add(word)

    def _add(self, word):
        key, equals, value = word.partition("=")
        program, dot, name = key.partition(".")
        if not equals or not (name if dot else key):
            raise Failed(f"'{word}' is no setting: key=value")
        if not dot:
            program, name = None, key
        elif program not in PROGRAMS:
            raise Failed(f"'{word}': '{program}' is none of "
                         f"{', '.join(PROGRAMS)}")
        for p in [program] if program else ["outbound", "inbound"]:
            self.of[p] += [f"--{name}", value]


class Pair:
    """`arguments`: {"outbound": [...], ...}, added as they are."""

    def __init__(self, binaries, backend, folder, settings=(), strict=False,
                 app_protocol=None, arguments=None):
        self.mesh = Mesh(binaries, folder)
        self.backend = backend
        self.settings = Settings(settings).of
        for program, more in (arguments or {}).items():
            self.settings[program] += more
        self.strict, self.app_protocol = strict, app_protocol
        self.port = self.front = self.inbound_mesh = self.certs = None
        self.outbound = self.inbound = None

    def start(self):
        front, self.port = free_ports([LOCAL, SERVER_IP])
        self.front = f"{LOCAL}:{front}"
        self.inbound_mesh = f"{SERVER_IP}:{self.port}"
        self.write_manifests()
        self.mesh.start_controller(self.settings["controller"])
        inbound = self.start_inbound()
        outbound = self.start_outbound()
        self.inbound = self.mesh.await_proxy(inbound)
        self.outbound = self.mesh.await_proxy(outbound)
        self.certs = self.mesh.certificate(f"{NAMESPACE}/tester",
                                           f"{self.mesh.folder}/certs")

    def write_manifests(self):
        self.mesh.write(
            "namespace",
            {"apiVersion": "v1", "kind": "Namespace",
             "metadata": {"name": NAMESPACE}})
        self.mesh.write("client", manifests.pod(
            NAMESPACE, "client", "client", CLIENT_IP, annotations=self._mode()))
        self.write_backend()

    def _mode(self):
        return {"tulle.dev/mtls": "strict"} if self.strict else None

    def write_backend(self, port=None, account="backend", meshed=True,
                      addresses=None):
        """The backend as the controller sees it: its Service, its slice, and
        the pod behind the inbound proxy."""
        if addresses is None:
            addresses = {SERVER_IP: "backend"}
        self.mesh.write(
            "backend",
            manifests.service(NAMESPACE, "backend", CLUSTER_IP,
                              app_protocol=self.app_protocol),
            manifests.endpoint_slice(NAMESPACE, "backend", addresses,
                                     port or self.port),
            manifests.pod(NAMESPACE, "backend", account, SERVER_IP,
                          self.port, meshed, self._mode()))

    def start_inbound(self):
        return self.mesh.start_proxy(
            "inbound", INBOUND, f"{NAMESPACE}/backend", f"{NAMESPACE}/backend",
            ["--inbound", f"{self.inbound_mesh}={self.backend}",
             *self.settings["inbound"]])

    def start_outbound(self):
        return self.mesh.start_proxy(
            "outbound", OUTBOUND, f"{NAMESPACE}/client", f"{NAMESPACE}/client",
            ["--outbound", f"{self.front}={NAMESPACE}/backend:80",
             *self.settings["outbound"]])

    def describe(self):
        return {"in": self.front,
                "outbound_admin": self.outbound.admin,
                "inbound_admin": self.inbound.admin,
                "inbound_mesh": self.inbound_mesh,
                "pids": {"controller": self.mesh.controller.pid,
                         "outbound": self.outbound.pid,
                         "inbound": self.inbound.pid},
                "certs": self.certs}

    def stop(self):
        """Sentences about what did not end well."""
        return self.mesh.stop()

    def remove(self):
        self.mesh.remove()
