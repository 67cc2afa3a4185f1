# SPDX-License-Identifier: Apache-2.0
"""Tulle in a cluster: installed once by its chart, for all tests; and the
applications that they put into it."""
import os
from urllib.request import urlopen

from kube import Failed, Space
from testbed.tools import HERE

CHART = os.path.abspath(f"{HERE}/../../charts/tulle")
RELEASE, SYSTEM = "tulle", "tulle-system"
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
        """Installs or upgrades, and waits until the control plane is ready."""
        try:
            self.kube.helm("upgrade", "--install", RELEASE, CHART, "-n", SYSTEM,
                           "--create-namespace", "--wait", "--timeout", "120s",
                           *words, version=version)
        except Failed as e:
            raise Failed(f"{e}\n{self.system.describe()}") from e

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

    def metrics(self, space, pod):
        """What a pod's proxy counts: {'proxy_requests_total{...}': 12.0}."""
        with space.port_forward(f"pod/{pod}", 15020) as at:
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


def curl(space, pod, *words, container="app", **options):
    return space.run_in(pod, "curl", "-sS", "-m", "5", *words,
                        container=container, **options)


def status(space, pod, *words, **options):
    """The status of an answer, 0 when there is none."""
    return int(curl(space, pod, "-o", "/dev/null", "-w", "%{http_code}", *words,
                    check=False, **options)[1] or 0)
