# SPDX-License-Identifier: Apache-2.0
"""A mesh of pods as on Kubernetes, without it: namespaces for pods, tulle-init in
each, a proxy with another user, a controller with a folder of manifests."""
import json
import os
import shutil
import tempfile

import manifests
from mesh import INBOUND, Mesh
from metrics import get as get_page
from peers.pods import Node, PROXY_ID, as_proxy
from programs import wait_until

NAMESPACE = "shop"
APP = 8080  # where apps listen, when nothing else is said
IN, OUT, ADMIN = 15006, 15001, 15020  # each pod has a namespace of its own
LISTEN = ["--inbound-transparent", f"[::]:{IN}",
          "--outbound-transparent", f"127.0.0.1:{OUT},[::1]:{OUT}",
          "--admin", f"127.0.0.1:{ADMIN}", "--shutdown-grace", "2s"]


class PodMesh(Mesh):
    """The controller has a pod of its own, without proxy."""

    def __init__(self, binaries):
        super().__init__(binaries, tempfile.mkdtemp(prefix="tulle-test-"))
        self.node = Node()
        self.control = self.node.pod()
        self.pods, self.expected_dead = {}, []
        os.chmod(self.folder, 0o755)
        # The build may lie where other users cannot go.
        self.proxy_binary = shutil.copy(self.binary("tulle-proxy"),
                                        self.folder)
        self.run_folder = f"{self.folder}/run"
        os.mkdir(self.run_folder)
        os.chown(self.run_folder, int(PROXY_ID), int(PROXY_ID))

    # --- controller ----------------------------------------------------------

    def start_controller(self, arguments=()):
        self.api = f"{self.control.ip}:8443"
        self.admin = "127.0.0.1:8081"  # allow fixed-port: its own namespace
        self.controller_arguments = list(arguments)
        os.makedirs(self.source, exist_ok=True)
        self.restart_controller()
        os.chmod(self.state, 0o755)

    def restart_controller(self):
        with self.control.inside():
            super().restart_controller()

    def tell(self, name, *objects):
        """Returns when the controller knows them: before that it would call
        their addresses strangers."""
        self.write(name, *objects)
        want = {(o["kind"], f"{NAMESPACE}/{o['metadata']['name']}")
                for o in objects}

        def known():
            with self.control.inside():
                status, body = get_page(self.admin, "/v1/registry")
            assert status == 200, body
            said = json.loads(body)
            return want <= {(kind, r["name"]) for kind in said
                            if isinstance(said[kind], list)
                            for r in said[kind]}
        wait_until(f"the controller knows {name}", known, 10)

    # --- pods ----------------------------------------------------------------

    def pod(self, name, meshed=True, strict=False, annotations=None,
            init=(), proxy=(), change=None, prepare=None):
        """A new one, also for the controller; meshed with `init` and `proxy` as
        arguments. `change(manifest)` may change what the controller is told,
        `prepare(pod)` the pod, before its rules are set."""
        p = self.node.pod()
        p.name = name
        if prepare:
            prepare(p)
        annotations = dict(annotations or {})
        if strict:
            annotations["tulle.dev/mtls"] = "strict"
        p.manifest = manifests.pod(NAMESPACE, name, name, p.ip, APP, meshed,
                                   annotations)
        p.manifest["status"]["podIPs"] = [{"ip": p.ip}, {"ip": p.ip6}]
        p.manifest["status"]["hostIPs"] = [{"ip": self.node.ip},
                                           {"ip": self.node.ip6}]
        if change:
            change(p.manifest)
        self.tell(name, p.manifest)
        self.pods[name] = p
        if meshed:
            self._set_rules(p, init)
            self.start_pod_proxy(p, proxy)
        return p

    def _set_rules(self, p, arguments):
        done = p.run(self.init_binary(), *arguments, check=False)
        assert done.returncode == 0, done.stderr

    def init_binary(self):
        return f"{self.binaries}/proxy/tulle-init"

    def start_pod_proxy(self, p, arguments=()):
        token = self._token_file(f"{NAMESPACE}/{p.name}",
                                 f"{NAMESPACE}/{p.name}")
        os.chown(token, int(PROXY_ID), int(PROXY_ID))
        self.count += 1
        ready = f"{self.run_folder}/{self.count}.ready"
        with p.inside():
            p.program = self._start(p.name, INBOUND, as_proxy([
                self.proxy_binary, "--controller", self.api,
                "--bundle", self.bundle, "--join-token-file", token,
                "--ready-file", ready, *LISTEN, *arguments]))
        p.program.ready_file = ready
        p.proxy = None

    def await_all(self):
        for p in self.pods.values():
            if getattr(p, "proxy", True) is None:
                p.proxy = self.await_proxy(p.program)

    # --- services ------------------------------------------------------------

    def service(self, name, pods, number, app_protocol=None, port=APP):
        """With a cluster IP of each family, for port 80. Returns both as
        "IP:80"."""
        v4, v6 = f"10.96.1.{number}", f"fd96::1:{number}"
        s = manifests.service(NAMESPACE, name, v4, app_protocol=app_protocol)
        s["spec"].update(clusterIPs=[v4, v6], ipFamilies=["IPv4", "IPv6"])
        s["spec"]["ports"][0]["targetPort"] = port
        four = manifests.endpoint_slice(NAMESPACE, name,
                                        {p.ip: p.name for p in pods}, port)
        six = manifests.endpoint_slice(NAMESPACE, name,
                                       {p.ip6: p.name for p in pods}, port,
                                       name=f"{name}-6")
        six["addressType"] = "IPv6"
        self.tell(f"service-{name}", s, four, six)
        return f"{v4}:80", f"[{v6}]:80"

    def remove(self):
        for p in self.node.pods:
            p.close()
        self.node.close()
        super().remove()


def get(pod, path):
    """A page of the pod's admin address."""
    with pod.inside():
        return pod.proxy.get(path)


def metrics(pod):
    with pod.inside():
        return pod.proxy.metrics()
