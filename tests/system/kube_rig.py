# SPDX-License-Identifier: Apache-2.0
"""The controller alone on a fake API server. See cluster.py for more."""
import json

import metrics
from mesh import CONTROLLER, LOCAL, READY_SECONDS, Mesh
from programs import free_ports, wait_until


class KubeMesh(Mesh):
    """As Mesh, but manifests go to `kube`, a FakeKube. `config`: arguments of
    FakeKube.kubeconfig()."""

    def __init__(self, binaries, folder, kube, **config):
        super().__init__(binaries, folder)
        self.kube, self.config = kube, config
        self.expected_dead, self.written = [], {}

    def write(self, name, *objects):
        keys = set()
        for o in objects:
            self.kube.put(o)
            keys.add((o["kind"], o["metadata"].get("namespace", ""),
                      o["metadata"]["name"]))
        for key in self.written.get(name, set()) - keys:
            self.kube.delete(*key)
        self.written[name] = keys

    def launch(self, *arguments):
        """Starts the controller without waiting for anything."""
        api, admin = free_ports([LOCAL, LOCAL])
        self.api, self.admin = f"{LOCAL}:{api}", f"{LOCAL}:{admin}"
        self.controller = self._start("controller", CONTROLLER, [
            self.binary("tulle-controller"),
            "--kubeconfig", self.kube.kubeconfig(**self.config),
            "--listen", self.api, "--admin", self.admin,
            "--state", self.state, *arguments])
        return self

    def ready(self):
        return self._controller_ready()

    def start_controller(self, arguments=()):
        self.launch(*arguments)
        wait_until("the controller is ready", self.ready, READY_SECONDS,
                   self.controller.must_run)

    restart_controller = start_controller

    def log(self):
        return self.controller.output()

    def wait_log(self, *words, seconds=15):
        """A line that holds all the words."""
        return wait_until(
            f"a line with {words}", lambda: next(
                (line for line in self.log().splitlines()
                 if all(w in line for w in words)), None),
            seconds, self.controller.must_run)

    # --- what it knows -------------------------------------------------------

    def registry(self):
        status, body = metrics.get(self.admin, "/v1/registry", timeout=30)
        assert status == 200
        return json.loads(body)

    def names(self, kind):
        return {o["name"] for o in self.registry()[kind]}

    def expected(self, kind):
        return {"/".join(filter(None, (o["metadata"].get("namespace"),
                                       o["metadata"]["name"])))
                for o in self.kube.all(kind)}

    def agrees(self):
        """It knows all that there is, and nothing else."""
        got = self.registry()
        return got["synced"] and all(
            {o["name"] for o in got[kind]} == self.expected(kind)
            for kind in ("Namespace", "Service", "EndpointSlice", "Pod"))

    def await_agreement(self, seconds=15):
        wait_until("the controller knows what there is", self.agrees, seconds,
                   self.controller.must_run)

    def number(self, name, **labels):
        return next(v for at, v in metrics.scrape(self.admin)[name]
                    if all(at.get(k) == x for k, x in labels.items()))
