# SPDX-License-Identifier: Apache-2.0
"""The demo's mesh: a controller on demo/mesh, and for each pod a proxy and
an app.

    client -> web-1 -> cart-1 -> catalog-v1, catalog-v2

Each pod has an address of its own in 127.1.0.0/16, where its proxy listens;
its app and the proxy's outbound side are on 127.0.0.1, as inside a pod.
"""
import json
import os
import re
import shutil
import subprocess

import metrics
from programs import Failed, Programs, free_ports, wait_until
from recorder import Recorder

NAMESPACE = "shop"
READY_SECONDS = 30
CONTROLLER, PROXY, APP, LOAD = range(4)  # stages: started up, stopped down
LOCAL = "127.0.0.1"


class Pod:
    def __init__(self, name, service, address, calls=None, version=None):
        self.name, self.service, self.address = name, service, address
        self.calls, self.version = calls, version
        self.variable = "PORT_" + re.sub(r"-1$", "", name).upper().replace("-", "_")
        self.port = self.app_port = self.outbound_port = None
        self.admin = None  # ADDR:PORT of its proxy's admin pages
        self.app = self.proxy = None

    @property
    def inbound(self):
        return f"{self.address}:{self.port}"

    @property
    def spiffe_path(self):
        return f"/ns/{NAMESPACE}/sa/{self.service}"


def pods():
    return [Pod("web-1", "web", "127.1.0.10", calls="cart"),
            Pod("cart-1", "cart", "127.1.0.20", calls="catalog"),
            Pod("catalog-v1", "catalog", "127.1.0.31", version="v1"),
            Pod("catalog-v2", "catalog", "127.1.0.32", version="v2")]


def fill_in(text, ports):
    """Replaces ${PORT_...}; a name that nobody chose is an error."""
    def value(m):
        if m.group(1) not in ports:
            raise Failed(f"demo/mesh: no such port: {m.group()}")
        return str(ports[m.group(1)])
    return re.sub(r"\$\{(PORT_[A-Z0-9_]+)\}", value, text)


class Shop:
    """`binaries` is a build folder, `folder` a new one that start() fills.
    With `record`, what goes to catalog-v1 passes a recorder."""

    def __init__(self, binaries, manifests, folder, record=False):
        self.binaries, self.manifests, self.folder = binaries, manifests, folder
        self.source = f"{folder}/mesh"
        self.state = f"{folder}/state"
        self.bundle = f"{self.state}/bundle.pem"
        self.programs = Programs(f"{folder}/log")
        self.pods = pods()
        self.record, self.recorder, self.via = record, None, None
        self.api = self.admin = self.controller = None

    def pod(self, name):
        return next(p for p in self.pods if p.name == name)

    @property
    def front(self):
        return self.pod("web-1").inbound

    def binary(self, name):
        part = name.removeprefix("tulle-")
        path = f"{self.binaries}/{part}/{name}"
        if not os.access(path, os.X_OK):
            raise Failed(f"{path} is missing: build it first")
        return path

    # --- start ---------------------------------------------------------------

    def start(self):
        self._choose_ports()
        self._write_manifests()
        if self.record:
            v1 = self.pod("catalog-v1")
            self.recorder = Recorder((v1.address, self.via),
                                     (v1.address, v1.port))
        self._start_controller()
        for pod in self.pods:
            self._start_proxy(pod)
        for pod in self.pods:
            self._await_proxy(pod)
            self._start_app(pod)
        for pod in self.pods:
            wait_until(f"{pod.name}'s app serves",
                       lambda p=pod: "listening " in p.app.output(),
                       READY_SECONDS, pod.app.must_run)

    def _choose_ports(self):
        # All in one call, so that they differ.
        chosen = iter(free_ports([a for p in self.pods
                                  for a in (p.address, LOCAL, LOCAL)]
                                 + [self.pod("catalog-v1").address]
                                 + [LOCAL, LOCAL]))
        for pod in self.pods:
            pod.port, pod.app_port = next(chosen), next(chosen)
            pod.outbound_port = next(chosen)
        self.via = next(chosen)
        self.api = f"{LOCAL}:{next(chosen)}"
        self.admin = f"{LOCAL}:{next(chosen)}"

    def _write_manifests(self):
        ports = {pod.variable: pod.port for pod in self.pods}
        ports["PORT_CATALOG_V1_VIA"] = \
            self.via if self.record else self.pod("catalog-v1").port
        os.makedirs(self.source)
        for name in sorted(os.listdir(self.manifests)):
            if not name.endswith(".yaml"):
                continue
            with open(f"{self.manifests}/{name}", encoding="utf-8") as f:
                text = fill_in(f.read(), ports)
            with open(f"{self.source}/{name}", "w", encoding="utf-8") as f:
                f.write(text)

    def _start_controller(self):
        self.controller = self.programs.start("controller", CONTROLLER, [
            self.binary("tulle-controller"), "--source", self.source,
            "--listen", self.api, "--admin", self.admin,
            "--state", self.state])
        wait_until("the controller is ready", self._controller_ready,
                   READY_SECONDS, self.controller.must_run)

    def _controller_ready(self):
        try:
            return metrics.get(self.admin, "/ready")[0] == 200
        except OSError:
            return False

    def _join_token(self, pod):
        made = subprocess.run(
            [self.binary("tulle-controller"), "token", "--state", self.state,
             "--name", f"{NAMESPACE}/{pod.service}",
             "--pod", f"{NAMESPACE}/{pod.name}"],
            capture_output=True, text=True, timeout=10, check=False)
        if made.returncode or not made.stdout.strip():
            raise Failed(f"no join token for {pod.name}: "
                         f"{made.stderr.strip() or 'empty'}")
        path = f"{self.folder}/{pod.name}.token"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(made.stdout)
        return path

    def _start_proxy(self, pod):
        argv = [self.binary("tulle-proxy"), "--controller", self.api,
                "--bundle", self.bundle,
                "--join-token-file", self._join_token(pod),
                "--admin", f"{LOCAL}:0",
                "--ready-file", f"{self.folder}/{pod.name}.ready",
                "--inbound", f"{pod.inbound}={LOCAL}:{pod.app_port}"]
        if pod.calls:
            argv += ["--outbound", f"{LOCAL}:{pod.outbound_port}="
                                   f"{NAMESPACE}/{pod.calls}:80"]
        pod.proxy = self.programs.start(f"{pod.name}-proxy", PROXY, argv)

    def _await_proxy(self, pod):
        def ready():
            try:
                with open(f"{self.folder}/{pod.name}.ready",
                          encoding="utf-8") as f:
                    return json.load(f)
            except (OSError, ValueError):
                return None  # not yet, or not yet whole
        said = wait_until(f"{pod.name}'s proxy is ready", ready,
                          READY_SECONDS, pod.proxy.must_run)
        pod.admin = said["admin"]

    def _start_app(self, pod):
        argv = [self.binary("tulle-demo"), pod.service,
                "--listen", f"{LOCAL}:{pod.app_port}"]
        if pod.calls:
            argv += ["--upstream", f"http://{LOCAL}:{pod.outbound_port}"]
        if pod.version:
            argv += ["--version", pod.version]
        pod.app = self.programs.start(f"{pod.name}-app", APP, argv)

    def start_load(self, rps, seconds=None):
        argv = [self.binary("tulle-demo"), "load",
                "--url", f"http://{self.front}/", "--rps", str(rps)]
        if seconds:
            argv += ["--for", str(seconds)]
        return self.programs.start("load", LOAD, argv)

    # --- look and stop -------------------------------------------------------

    def traffic(self, pod, direction):
        return metrics.Traffic.of(metrics.scrape(pod.admin), direction)

    def addresses(self):
        """Where something listens while the demo runs."""
        out = [self.api, self.admin]
        for pod in self.pods:
            out += [pod.inbound, f"{LOCAL}:{pod.app_port}"]
            out += [f"{LOCAL}:{pod.outbound_port}"] if pod.calls else []
            out += [pod.admin] if pod.admin else []
        return out + ([f"{self.pod('catalog-v1').address}:{self.via}"]
                      if self.record else [])

    def stop(self):
        """Sentences about what did not end well."""
        problems = self.programs.stop()
        if self.recorder:
            self.recorder.close()
            self.recorder = None
        return problems

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
