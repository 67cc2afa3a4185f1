# SPDX-License-Identifier: Apache-2.0
"""A cluster of many: what it costs the controller, and how soon a change is
where it is needed. The many are kwok's: pods without containers that run.

    TULLE_TEST_SCALE=200    Services, ten pods each; 1000 when it is not set
"""
import concurrent.futures
import http.client
import json
import os
import ssl
import tempfile
import time
from base64 import b64decode
from urllib.parse import urlparse

import pytest
import yaml

from mesh import READY, WEB, load, process

SERVICES = int(os.environ.get("TULLE_TEST_SCALE", "1000"))
EACH = 10       # pods of a Service
ON_NODE = 1000  # of the fake kind
MEMORY_MAX = 100 << 20
CONTROLLER = "app.kubernetes.io/component=controller"
ARRIVES = 10    # seconds that are not exceeded on a slow machine either


class Api:
    """The API server without kubectl, over kept connections: thousands of
    objects in a minute."""

    def __init__(self, kubeconfig, connections=8):
        with open(kubeconfig, encoding="utf-8") as f:
            said = yaml.safe_load(f)
        self.server = urlparse(said["clusters"][0]["cluster"]["server"])
        cluster, user = said["clusters"][0]["cluster"], said["users"][0]["user"]
        self.tls = ssl.create_default_context(cadata=b64decode(
            cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as f:
            f.write(b64decode(user["client-certificate-data"]) + b"\n" +
                    b64decode(user["client-key-data"]))
            f.flush()
            self.tls.load_cert_chain(f.name)
        self.idle = [self.connect() for _ in range(connections)]
        self.pool = concurrent.futures.ThreadPoolExecutor(connections)

    def connect(self):
        return http.client.HTTPSConnection(
            self.server.hostname, self.server.port, context=self.tls,
            timeout=120)

    def ask(self, method, path, body=None, kind="application/json"):
        conn = self.idle.pop()
        try:
            conn.request(method, path, json.dumps(body) if body else None,
                         {"Content-Type": kind})
            answer = conn.getresponse()
            text = answer.read()
            assert answer.status < 300, f"{method} {path}: {text[:500]}"
            return json.loads(text)
        finally:
            self.idle.append(conn)

    def make(self, path, objects):
        list(self.pool.map(lambda o: self.ask("POST", path, o), objects))


def name(n):
    return f"many-{n}"


def address(service, pod):
    n = service * EACH + pod
    return f"10.250.{n >> 8}.{n & 255}"


def service(n):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name(n)},
            "spec": {"ports": [{"name": "http", "port": 80}]}}


def endpoint(at, pod, namespace):
    return {"addresses": [at], "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace}}


def slice_of(n, endpoints):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name(n), "labels": {
                "kubernetes.io/service-name": name(n)}},
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8080}]}


def pod(n, k, nodes):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": f"{name(n)}-{k}",
                         "labels": {"app": name(n), "tier": "many"}},
            "spec": {"nodeName": f"fake-{(n * EACH + k) % nodes + 1}",
                     "automountServiceAccountToken": False,
                     "terminationGracePeriodSeconds": 0,
                     "tolerations": [{"operator": "Exists"}],
                     "containers": [{"name": "app", "image": "fake:1"}]}}


def make_many(api, space, nodes):
    """SERVICES Services with EACH pods, which go with their namespace."""
    core = f"/api/v1/namespaces/{space.name}"
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{space.name}/endpointslices"
    api.make(f"{core}/services", map(service, range(SERVICES)))
    api.make(slices, (slice_of(n, [
        endpoint(address(n, k), f"{name(n)}-{k}", space.name)
        for k in range(EACH)]) for n in range(SERVICES)))
    api.make(f"{core}/pods", (pod(n, k, nodes) for n in range(SERVICES)
                              for k in range(EACH)))
    space.wait_for(60 + SERVICES * EACH // 20, "the many pods to run",
                   lambda: not waiting(api, core), 2)
    return slices


def waiting(api, core):
    """A pod that does not run yet, if any."""
    return api.ask("GET", f"{core}/pods?limit=1&fieldSelector="
                   "status.phase%21%3DRunning")["items"]


def resident(mesh):
    pod_name = mesh.system.pods(CONTROLLER)[0]["metadata"]["name"]
    node, pid = process(mesh, pod_name, "tulle-controller")
    said = mesh.kube.on_node(node, "cat", f"/proc/{pid}/status")
    return {line.split(":")[0]: int(line.split()[1]) << 10
            for line in said.splitlines() if line.startswith(("VmRSS", "VmHWM"))}


def knows(mesh, space_pods):
    """All pods are known to the controller."""
    leader = mesh.system.pods(CONTROLLER)[0]
    counted = mesh.metrics(mesh.system, leader["metadata"]["name"], 8081)
    return sum(v for k, v in counted.items() if k.startswith(
        "controller_objects") and '"pod' in k.lower()) >= space_pods


@pytest.mark.last  # its namespace is long in going
@pytest.mark.timeout(900)
def test_many_services(meshed, space, mesh, kube, capsys):
    if not kube.own_cluster().pid("kwok"):
        pytest.skip("the cluster was brought up without --kwok")
    nodes = SERVICES * EACH // ON_NODE + 1
    kube.fake_nodes(nodes, pods=2 * ON_NODE)
    api = Api(kube.kubeconfig)
    ip = {n: meshed.app(n, *WEB, container=READY)["status"]["podIP"]
          for n in ("web-a", "web-b")}
    mesh.wait_in_sync(meshed, *ip)
    before = resident(mesh)
    began = time.monotonic()
    slices = make_many(api, space, nodes)
    mesh.kube.wait_for(60, "the controller to know the pods",
                       lambda: knows(mesh, SERVICES * EACH), 1)
    made = time.monotonic() - began

    def point_to(*names):
        api.ask("PATCH", f"{slices}/{name(0)}", {"endpoints": [
            endpoint(ip[n], n, meshed.name) for n in names]},
            "application/merge-patch+json")
    point_to("web-a")
    asking = load(meshed, host=f"{name(0)}.{space.name}", threads=2)
    changed = time.time()
    point_to("web-a", "web-b")
    first = meshed.wait_for(ARRIVES, "the changed endpoint", lambda:
                            asking.told()["first"].get("web-b"))
    asking.check()
    after = resident(mesh)
    with capsys.disabled():
        print(f"\n{SERVICES} Services, {SERVICES * EACH} pods, made in "
              f"{made:.0f} s: controller resident {after['VmRSS'] / 2**20:.1f}"
              f" MiB, at most {after['VmHWM'] / 2**20:.1f} MiB (before "
              f"{before['VmRSS'] / 2**20:.1f} MiB); a changed endpoint was used"
              f" after {1000 * (first - changed):.0f} ms")
    assert after["VmHWM"] < MEMORY_MAX
