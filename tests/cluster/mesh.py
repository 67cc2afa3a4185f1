# SPDX-License-Identifier: Apache-2.0
"""Tulle in a cluster: installed once by its chart, for all tests; and the
applications that they put into it."""
import json
import os
from urllib.request import urlopen

from kube import Failed, Space
from testbed.tools import HERE

CHART = os.path.abspath(f"{HERE}/../../charts/tulle")
RELEASE, SYSTEM, WEBHOOK = "tulle", "tulle-system", "tulle-injector"
INJECT = {"tulle.dev/inject": "enabled"}
DISABLED = {"tulle.dev/inject": "disabled"}
STRICT = {"tulle.dev/mtls": "strict"}
# A request that must not be seen on the wire carries this.
SECRET = "xyzzy-in-plain-sight"

# A web server: who it is, who asks, by which address it was reached.
WEB = ("python3", "-u", "-c", """
import http.server, os, signal, socket, sys
host, port = sys.argv[1:] if len(sys.argv) > 1 else ("::", "8080")
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
    request_queue_size = 128
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        n = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(n)
        body = f"{os.uname().nodename} {self.client_address[0]} {self.path}\\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    do_POST = do_GET
    def log_message(self, *args):
        pass
if os.environ.get("QUIT_AT_ONCE"):
    signal.signal(signal.SIGTERM, lambda *a: os._exit(0))
Server((host, int(port)), Answer).serve_forever()
""")
READY = {"readinessProbe": {"httpGet": {"path": "/ready", "port": 8080},
                            "periodSeconds": 1}}


def deployment(name, *command, replicas=1, annotations=None, labels=None,
               container=None, spec=None, image="tulle-test/app:1"):
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, **(labels or {})},
                             "annotations": annotations or {}},
                "spec": {"terminationGracePeriodSeconds": 10,
                         "containers": [{"name": "app", "image": image,
                                         **({"command": list(command)}
                                            if command else {}),
                                         **(container or {})}],
                         **(spec or {})}}}}


def fetch(url):
    with urlopen(url, timeout=5) as answer:
        return answer.read().decode()


class Mesh:
    """Tulle, installed in a cluster."""

    def __init__(self, kube):
        self.kube = kube
        self.system = Space(kube, SYSTEM)

    def install(self, *words, version=4):
        """Installs or upgrades, and waits until the control plane is ready. No
        values are those of the chart: by itself Helm takes the last ones then."""
        try:
            self.kube.helm("upgrade", "--install", RELEASE, CHART, "-n", SYSTEM,
                           "--create-namespace", "--reset-values", "--wait",
                           "--timeout", "120s", *words, version=version)
        except Failed as e:
            raise Failed(f"{e}\n{self.system.describe()}") from e
        # Secrets outlive an installation: with the old one an injector is ready
        # before the API server believes it.
        self.kube.wait_for(30, "the API server to know the injector", lambda: all(
            hook["clientConfig"].get("caBundle") for hook in self.kube.get(
                "mutatingwebhookconfiguration", WEBHOOK)["webhooks"]))

    def uninstall(self, version=4):
        self.kube.helm("uninstall", RELEASE, "-n", SYSTEM, "--wait",
                       version=version)

    def proxy(self, space, pod):
        """The status of the MeshProxy of a pod."""
        return space.get("meshproxy", pod).get("status", {})

    def wait_in_sync(self, space, *pods, seconds=30):
        for pod in pods:
            self.kube.wait_for(
                seconds, f"{pod} in sync",
                lambda p=pod: self.proxy(space, p).get("sync") == "yes")

    def metrics(self, space, pod, port=15020):
        """What a pod's proxy counts: {'proxy_requests_total{...}': 12.0}; at
        port 8081, what a controller does."""
        with space.port_forward(f"pod/{pod}", port) as at:
            text = self.kube.wait_for(
                10, "metrics", lambda: fetch(f"http://{at}/metrics"))
        return {name: float(value) for name, value in (
            line.rsplit(" ", 1) for line in text.splitlines()
            if line and not line.startswith("#"))}

    def count(self, space, pod, metric, *having):
        """The sum of the rows of a metric whose labels hold all of `having`."""
        return sum(value for name, value in self.metrics(space, pod).items()
                   if name.startswith(metric)
                   and all(h in name for h in having))


def process(mesh, pod, program):
    """(node, process id there) of the program of a pod of the control plane."""
    said = mesh.system.get("pod", pod)
    node, uid = said["spec"]["nodeName"], said["metadata"]["uid"]
    for pid in mesh.kube.on_node(node, "pgrep", "-f", f"/{program}").split():
        groups = mesh.kube.on_node(node, "cat", f"/proc/{pid}/cgroup")
        if uid in groups or uid.replace("-", "_") in groups:
            return node, pid
    raise AssertionError(f"{program} of {pod} does not run on {node}")


def curl(space, pod, *words, container="app", **options):
    return space.run_in(pod, "curl", "-sS", "-m", "5", *words,
                        container=container, **options)


def status(space, pod, *words, **options):
    """The status of an answer, 0 when there is none."""
    return int(curl(space, pod, "-o", "/dev/null", "-w", "%{http_code}", *words,
                    check=False, **options)[1] or 0)


# Asks a server all the time, by GET and POST, on kept connections and on new
# ones; tells in /load what came of it. SIGTERM ends it once each request that
# was begun is answered.
LOAD = ("python3", "-u", "-c", """
import collections, http.client, json, os, signal, sys, threading, time
host, wanted, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
stop, lock = threading.Event(), threading.Lock()
good, bad, seen, first = collections.Counter(), [], {}, {}
signal.signal(signal.SIGTERM, lambda *a: stop.set())
def ask(number):
    method, kept = ("GET", "POST")[number % 2], number % 4 < 2
    conn, turn = None, 0
    while not stop.is_set():
        began = time.time()
        try:
            if conn is None:
                conn = http.client.HTTPConnection(host, timeout=10)
            conn.request(method, "/load", body="x" * 100,
                         headers={} if kept else {"Connection": "close"})
            r = conn.getresponse()
            body = r.read().decode()
            ok = r.status == 200 and body.startswith(wanted)
            why = f"{r.status} {dict(r.headers)} {body[:100]}"
        except Exception as e:
            ok, why, body = False, repr(e), ""
        with lock:
            if ok:
                good[method] += 1
                seen[body.split()[0]] = time.time()
                first.setdefault(body.split()[0], time.time())
            elif len(bad) < 50:
                bad.append(f"{began:.2f} +{time.time() - began:.2f} {method}"
                           f" kept={kept}: {why}")
        if not ok or not kept or r.will_close:
            conn.close()
            conn = None
        # allow sleep: the pace of the load
        time.sleep(0.005 if ok else 0.1)
def tell():
    with lock:
        text = json.dumps({"good": good, "bad": bad, "seen": seen,
                           "first": first, "now": time.time()})
    with open("/load.new", "w") as f:
        f.write(text)
    os.rename("/load.new", "/load")
    return text
all = [threading.Thread(target=ask, args=(n,)) for n in range(threads)]
for t in all: t.start()
while not stop.wait(0.1):
    tell()
for t in all: t.join()
print(tell())
""")


class Load:
    """A pod that runs LOAD."""

    def __init__(self, space, pod):
        self.space, self.pod = space, pod

    def told(self):
        return json.loads(self.space.run_in(self.pod, "cat", "/load",
                                            container="app"))

    def wait_more(self, requests=50, seconds=30):
        """Waits until that many more requests of each kind were answered."""
        before = self.space.wait_for(seconds, "the first word of the load",
                                     self.told)["good"]
        self.space.wait_for(seconds, "requests that are answered", lambda: all(
            self.told()["good"].get(method, 0) >=
            before.get(method, 0) + requests for method in ("GET", "POST")))

    def check(self):
        """What was told; and nothing may have failed."""
        self.wait_more()
        told = self.told()
        assert not told["bad"], "\n".join(told["bad"])
        return told


def load(space, name="load", host="web", wanted="web", threads=8, node=None):
    """Makes a pod that asks `host`, and waits until it is answered."""
    space.app(name, *LOAD, host, wanted, str(threads), node=node)
    made = Load(space, name)
    made.wait_more()
    return made
