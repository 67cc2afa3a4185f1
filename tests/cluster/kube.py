# SPDX-License-Identifier: Apache-2.0
"""What a test does with a cluster: kubectl, helm, waiting, looking at nodes.

Kube talks to one cluster; Space is Kube inside one namespace. All waits have a
deadline and say what they waited for and what was there instead.
"""
import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time

import pytest
import yaml

from testbed import cluster as clusters, node as nodes, tools
from testbed.images import APP_IMAGE
from testbed.tools import HERE

__all__ = ["APP_IMAGE", "Failed", "Kube", "Space", "tulle_image"]

# What a failure shows.
TAIL = 80    # lines of each log
LINES = 100  # of each list
PODS = 20


class Failed(AssertionError):
    """A command that failed, or a wait that ended, with what was said."""


def tulle_image(name):
    """tulle/proxy:0.1.0 for "proxy"."""
    with open(f"{HERE}/../../CMakeLists.txt", encoding="utf-8") as f:
        version = re.search(r"project\(tulle VERSION (\S+)", f.read()).group(1)
    return f"tulle/{name}:{version}"


def wait_for(seconds, what, look, interval=0.2):
    """What look() gives as soon as it is true. An error counts as not yet, and
    is told at the end."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            result, instead = look(), None
        except (Failed, KeyError, IndexError, OSError) as e:
            result, instead = None, e
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s for {what}"
                         + (f"; at last: {instead}" if instead else ""))
        time.sleep(interval)  # allow sleep: between two looks at a condition


class Kube:
    """kubectl and helm with the administrator's rights in one cluster. `name`
    is set when it is a cluster of tests/cluster/up on this machine."""

    def __init__(self, kubeconfig, name=None):
        self.kubeconfig = os.path.abspath(kubeconfig)
        self.ours = clusters.load(name) if name else None

    # --- commands ---

    def program(self, name):
        """Of the cluster's own version when it is ours."""
        if self.ours:
            return self.ours.path("bin", name)
        return shutil.which(name) or (
            f"{tools.kubernetes()}/kubectl" if name == "kubectl" else
            tools.go_tool(name))

    def environment(self):
        return {**os.environ, **(self.ours.environment() if self.ours else {}),
                "KUBECONFIG": self.kubeconfig}

    def command(self, name, *words, stdin=None, timeout=60, check=True):
        """What it said on stdout; with check=False, (status, stdout, stderr)."""
        try:
            done = subprocess.run(
                [self.program(name), *words], env=self.environment(), text=True,
                input=stdin if stdin is not None else "", timeout=timeout,
                capture_output=True, check=False)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"{name} {' '.join(words)}: took more than "
                         f"{timeout} s; it said {e.stdout} {e.stderr}") from e
        if not check:
            return done.returncode, done.stdout, done.stderr
        if done.returncode:
            raise Failed(f"{name} {' '.join(words)}: exit status "
                         f"{done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def kubectl(self, *words, **options):
        return self.command("kubectl", *words, **options)

    def helm(self, *words, version=4, **options):
        options.setdefault("timeout", 180)
        return self.command("helm" if version == 4 else "helm3", *words,
                            **options)

    def apply(self, manifest, *words, **options):
        """`manifest`: YAML text, an object, or a list of objects."""
        if not isinstance(manifest, str):
            many = manifest if isinstance(manifest, list) else [manifest]
            manifest = yaml.safe_dump_all(many)
        return self.kubectl("apply", "-f", "-", *words, stdin=manifest,
                            **options)

    def get(self, *words, **options):
        """The object, or the items of a list."""
        found = json.loads(self.kubectl("get", *words, "-o", "json", **options))
        return found["items"] if found["kind"].endswith("List") and \
            "items" in found else found

    def exists(self, *words):
        return bool(self.kubectl("get", *words, "--ignore-not-found",
                                 "-o", "name").strip())

    def raw(self, path):
        """What the API server answers to GET `path`."""
        return json.loads(self.kubectl("get", "--raw", path))

    def wait_for(self, seconds, what, look, interval=0.2):
        return wait_for(seconds, what, look, interval)

    def wait_condition(self, what, condition, seconds=60):
        """wait_condition("deployment/web", "Available")."""
        self.kubectl("wait", what, f"--for=condition={condition}",
                     f"--timeout={seconds}s", timeout=seconds + 20)

    def rollout(self, what, seconds=90):
        """Waits until all pods of `deployment/web` are of its newest kind."""
        self.kubectl("rollout", "status", what, f"--timeout={seconds}s",
                     timeout=seconds + 20)

    def run_in(self, pod, *command, container=None, timeout=20, **options):
        """Runs a command in a pod, or in `deployment/web`."""
        words = ["exec", pod] + (["-c", container] if container else [])
        return self.kubectl(*words, "--", *command, timeout=timeout, **options)

    def logs(self, pod, *words, container=None):
        which = ("-c", container) if container else ("--all-containers",)
        return self.kubectl("logs", pod, *which, *words)

    @contextlib.contextmanager
    def port_forward(self, what, port):
        """"127.0.0.1:<free port>" that leads to a port of a pod, also to one on
        the pod's loopback."""
        words = [self.program("kubectl"), *self.scope(), "port-forward",
                 "--address", "127.0.0.1", what, f":{port}"]
        with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
                words, env=self.environment(), text=True, stderr=errors,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
            try:
                said = child.stdout.readline()
                m = re.match(r"Forwarding from (127\.0\.0\.1:\d+) ->", said)
                if not m:
                    errors.seek(0)
                    raise Failed(f"{' '.join(words)}: {said}{errors.read()}")
                yield m.group(1)
            finally:
                child.terminate()

    def scope(self):
        return ()

    # --- nodes ---

    def own_cluster(self):
        if not self.ours:
            pytest.skip("only a cluster of tests/cluster/up has nodes that "
                        "can be looked into")
        return self.ours

    def node_number(self, node):
        cluster = self.own_cluster()
        for n in range(1, cluster.nodes + 1):
            if cluster.node_name(n) == node:
                return n
        raise Failed(f"this cluster has no node {node}")

    def on_node(self, node, *command, timeout=30):
        """Runs a command in all namespaces of a node, as root."""
        cluster = self.own_cluster()
        pid = cluster.pid(f"{cluster.node_name(self.node_number(node))}-init")
        return tools.run("nsenter", "-t", str(pid), "-a", *command,
                         timeout=timeout)

    @contextlib.contextmanager
    def capture(self, node, rules="tcp", interface="any"):
        """A Capture of the packets of a node that match `rules` (as tcpdump
        takes them): `eth0` is the way to other nodes, `any` all there is."""
        cluster = self.own_cluster()
        space = cluster.network_namespace(self.node_number(node))
        with tempfile.TemporaryDirectory() as folder:
            capture = Capture(f"{folder}/packets", space, interface, rules)
            with capture.running():
                yield capture

    def load_images(self, *archives):
        """Gives all nodes the images of `docker save` archives."""
        cluster = self.own_cluster()
        for n in range(1, cluster.nodes + 1):
            nodes.load_images(cluster, n, archives)

    def fake_nodes(self, count, pods=250):
        """Makes nodes fake-1, fake-2 ... that kwok keeps (up --kwok). Pods get
        there with nodeSelector type=kwok and a toleration of kwok."""
        size = {"cpu": "64", "memory": "256Gi", "pods": str(pods)}
        self.apply([{
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": f"fake-{n}",
                "labels": {"type": "kwok", "kubernetes.io/os": "linux",
                           "kubernetes.io/hostname": f"fake-{n}",
                           "topology.kubernetes.io/zone": f"fake-{n % 3}"},
                "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "spec": {"taints": [{"key": "kwok", "value": "fake",
                                 "effect": "NoSchedule"}]},
            "status": {"capacity": size, "allocatable": size}}
            for n in range(1, count + 1)])

    @contextlib.contextmanager
    def space(self, labels=None, annotations=None):
        """A Space in a new namespace, which goes afterwards."""
        name = f"test-{secrets.token_hex(3)}"
        self.apply({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": name, "labels": labels or {},
                                 "annotations": annotations or {}}})
        try:
            yield Space(self, name)
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")


class Space(Kube):
    """Kube, with every command in one namespace."""

    def __init__(self, kube, name):
        super().__init__(kube.kubeconfig)
        self.ours = kube.ours
        self.name = name

    def scope(self):
        return ("--namespace", self.name)

    def command(self, name, *words, **options):
        return super().command(name, *self.scope(), *words, **options)

    def pods(self, selector=None):
        return self.get("pods", *(["-l", selector] if selector else []))

    def app(self, name, *command, node=None, spec=None, container=None,
            labels=None, annotations=None):
        """Makes a pod of the test application and waits until it is Ready.
        `spec` and `container` add to the pod's and its container's fields."""
        self.apply(app_pod(name, *command, node=node, spec=spec,
                           container=container, labels=labels,
                           annotations=annotations))
        self.wait_condition(f"pod/{name}", "Ready")
        return self.get("pod", name)

    def service(self, name, port, target_port=None, selector=None, **spec):
        """Makes a Service over the pods with the label app=<name>."""
        spec = {"selector": selector or {"app": name}, "ports": [
            {"port": port, "targetPort": target_port or port}], **spec}
        self.apply({"apiVersion": "v1", "kind": "Service",
                    "metadata": {"name": name}, "spec": spec})
        return self.get("service", name)

    def describe(self):
        """All that helps to understand a failure, as text."""
        parts = [(what, "\n".join(text.splitlines()[-LINES:])) for what, text in (
            ("pods", self.try_kubectl("get", "pods", "-o", "wide")),
            ("events", self.try_kubectl(
                "get", "events", "--sort-by=.lastTimestamp")))]
        with contextlib.suppress(Failed):
            for pod in self.pods()[:PODS]:
                parts += self.describe_pod(pod)
        return "\n".join(f"--- {what}\n{text.rstrip()}"
                         for what, text in parts)

    def describe_pod(self, pod):
        name = pod["metadata"]["name"]
        status = pod["status"]
        parts = []
        for c in (status.get("initContainerStatuses", []) +
                  status.get("containerStatuses", [])):
            which = f"{name}/{c['name']}"
            if not c["ready"]:
                parts.append((which, json.dumps(c["state"])))
            tail = ("-c", c["name"], f"--tail={TAIL}")
            parts.append((f"log of {which}",
                          self.try_kubectl("logs", name, *tail)))
            if c["restartCount"]:
                parts.append((f"log of {which} before it was started again",
                              self.try_kubectl("logs", name, "-p", *tail)))
        return parts

    def try_kubectl(self, *words):
        try:
            _, out, err = self.kubectl(*words, check=False)
            return out + err
        except Failed as e:
            return str(e)


def app_pod(name, *command, node=None, spec=None, container=None, labels=None,
            annotations=None):
    """The manifest of a pod of the test application."""
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name, **(labels or {})},
                     "annotations": annotations or {}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            **({"nodeName": node} if node else {}),
            "containers": [{
                "name": "app", "image": APP_IMAGE,
                **({"command": list(command)} if command else {}),
                **(container or {})}],
            **(spec or {})}}


class Capture:
    """Packets of one interface in a network namespace, as tcpdump writes them."""

    def __init__(self, path, space, interface, rules):
        self.path = path
        self.argv = [tools.find("tcpdump"), "-i", interface, "-w", path, "-U",
                     "--immediate-mode", "-n", "-s", "0", "-Z", "root", rules]
        if space:
            self.argv[:0] = ["nsenter", f"--net=/run/netns/{space}"]

    @contextlib.contextmanager
    def running(self):
        with subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as child:
            try:
                said = ""
                while "listening on" not in said:
                    line = child.stderr.readline()
                    if not line:
                        raise Failed(f"{' '.join(self.argv)}: {said}")
                    said += line
                yield
            finally:
                child.terminate()

    def bytes(self):
        """All packets so far; packets come in a moment after they were sent,
        so wait for one that must be there before one looks for what must not."""
        with open(self.path, "rb") as f:
            return f.read()

    def wait_for(self, wanted, seconds=10):
        return wait_for(seconds, f"{wanted!r} among the packets",
                        lambda: wanted in self.bytes(), 0.05)

    def text(self):
        return subprocess.run(
            ["tcpdump", "-n", "-A", "-r", self.path], check=False, text=True,
            errors="replace", stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL).stdout
