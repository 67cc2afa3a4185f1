# SPDX-License-Identifier: Apache-2.0
"""Every way to reach an application, in a namespace that is strict: what
arrives has come through two proxies."""
import pytest

from kube import app_pod
from mesh import INJECT, READY, STRICT, WEB, curl, deployment, fetch, status

POSTGRES = """
cd /tmp && export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
initdb -D data -A trust >initdb.log && echo host all all all trust \
>>data/pg_hba.conf && exec postgres -D data -k /tmp -c listen_addresses='*'
"""
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres",
               "--clear-groups", "sh", "-c", POSTGRES)
# Speaks first, on a port that nothing declares.
BANNER = ("python3", "-c", """
import socketserver
class Greet(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 hello\\n")
        self.wfile.write(b"you said " + self.rfile.readline())
class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 128
Server(("", 7070), Greet).serve_forever()
""")
ITS_IP = {"env": [{"name": "POD_IP", "valueFrom": {
    "fieldRef": {"fieldPath": "status.podIP"}}}]}
DUAL = {"ipFamilyPolicy": "PreferDualStack"}
PODS = ("web", "open", "local", "own", "redis", "postgres", "banner", "client",
        "db-0", "db-1")


def accepts(port):
    return {"readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1}}


def stateful_set():
    db = deployment("db", *WEB, replicas=2, container=READY)
    return {**db, "kind": "StatefulSet",
            "spec": {**db["spec"], "serviceName": "db",
                     "podManagementPolicy": "Parallel"}}


@pytest.fixture(scope="module")
def town(kube, mesh):
    with kube.space(labels=INJECT, annotations=STRICT) as s:
        s.service("web", 80, 8080, **DUAL)
        s.service("open", 80, 8080, type="NodePort")
        s.service("db", 8080, clusterIP="None", **DUAL)
        for name, port in (("redis", 6379), ("postgres", 5432),
                           ("banner", 7070), ("local", 8080), ("own", 8080)):
            s.service(name, port)
        s.apply([
            stateful_set(),
            app_pod("web", *WEB, node="n1", container=READY),
            app_pod("open", *WEB, node="n1", container=READY,
                    annotations={"tulle.dev/mtls": "permissive"}),
            app_pod("local", *WEB, "127.0.0.1", "8080", node="n1"),
            app_pod("own", *WEB, "$(POD_IP)", "8080", node="n1",
                    container={**READY, **ITS_IP}),
            app_pod("redis", "redis-server", "--save", "", "--port", "6379",
                    "--protected-mode", "no", node="n1",
                    container=accepts(6379)),
            app_pod("postgres", *AS_POSTGRES, node="n1",
                    container=accepts(5432)),
            app_pod("banner", *BANNER, node="n1", container=accepts(7070)),
            app_pod("client", node="n2")])
        s.rollout("statefulset/db")
        for name in PODS:
            s.wait_condition(f"pod/{name}", "Ready")
        mesh.wait_in_sync(s, *PODS)
        yield s


def address_of(town, pod, family=4):
    """As a URL has it."""
    for a in town.get("pod", pod)["status"]["podIPs"]:
        if (":" in a["ip"]) == (family == 6):
            return f"[{a['ip']}]" if family == 6 else a["ip"]
    return pytest.skip(f"pods have no IPv{family} here")


def service_ipv6(town):
    addresses = town.get("service", "web")["spec"]["clusterIPs"]
    if len(addresses) < 2:
        pytest.skip("Services have no IPv6 here")
    return f"[{addresses[1]}]"


def took(town, *words):
    """What a command in the client said, and its seconds."""
    out = town.run_in("client", "bash", "-c",
                      'TIMEFORMAT=%R; { time "$@" 2>&1; } 2>&1', "-", *words,
                      container="app")
    said, seconds = out.rstrip().rsplit("\n", 1)
    return said, float(seconds)


def test_stateful_set_by_pod_name(town):
    for pod in ("db-0", "db-1"):
        said = curl(town, "client", f"http://{pod}.db:8080/")
        assert said.split()[0] == pod


def test_headless_service_by_name(town):
    said = {curl(town, "client", "http://db:8080/").split()[0]
            for _ in range(3)}
    assert said and said <= {"db-0", "db-1"}


def test_pod_address(town, mesh):
    before = mesh.count(town, "web", "proxy_requests_total", 'direction="in')
    said = curl(town, "client", f"http://{address_of(town, 'web')}:8080/")
    assert said.split()[0] == "web"
    assert mesh.count(town, "web", "proxy_requests_total",
                      'direction="in') > before


def test_node_port(town):
    port = town.get("service", "open")["spec"]["ports"][0]["nodePort"]
    for node in ("n1", "n2"):
        at = next(a["address"] for a in town.get("node", node)["status"]
                  ["addresses"] if a["type"] == "InternalIP"
                  and ":" not in a["address"])
        assert fetch(f"http://{at}:{port}/").startswith("open")
        assert town.on_node(node, "curl", "-sS", "-m", "5",
                            f"http://{at}:{port}/").startswith("open")
        assert curl(town, "client", f"http://{at}:{port}/").startswith("open")


@pytest.mark.parametrize("host", ["service", "service-ipv6", "pod",
                                  "localhost:8080", "127.0.0.1:8080",
                                  "[::1]:8080"])
def test_calls_itself(town, host):
    if host == "pod":
        host = address_of(town, "web") + ":8080"
    elif host == "service":
        host = f"web.{town.name}"  # `web` is the pod's own hostname
    elif host == "service-ipv6":
        host = service_ipv6(town)
    assert curl(town, "web", f"http://{host}/").split()[0] == "web"


def test_loopback_application_stays_private(town):
    assert curl(town, "local", "http://127.0.0.1:8080/").startswith("local")
    at = address_of(town, "local")
    for url in ("http://local:8080/", f"http://{at}:8080/"):
        assert status(town, "client", url) in (0, 502, 503), url


def test_application_on_the_pod_address_only(town):
    assert curl(town, "client", "http://own:8080/").startswith("own")
    at = address_of(town, "own")
    assert curl(town, "client", f"http://{at}:8080/").startswith("own")
    assert status(town, "own", "http://127.0.0.1:8080/") == 0
    assert curl(town, "own", f"http://{at}:8080/").startswith("own")


def test_redis_without_delay(town):
    said, seconds = took(town, "redis-cli", "-h", "redis", "ping")
    assert said == "PONG"
    assert seconds < 1


def test_postgres_without_delay(town):
    said, seconds = took(town, "psql", "-h", "postgres", "-U", "postgres",
                         "-Atc", "select 6*7")
    assert said == "42"
    assert seconds < 1


def test_server_speaks_first_without_delay(town):
    said, seconds = took(town, "bash", "-c",
                         "exec 3<>/dev/tcp/banner/7070; read -r a <&3; "
                         "echo \"$a\"; echo yes >&3; cat <&3")
    assert said == "220 hello\nyou said yes"
    assert seconds < 1


def test_ipv6(town):
    for host, pod in ((service_ipv6(town), "web"),
                      (address_of(town, "web", 6) + ":8080", "web"),
                      (address_of(town, "db-1", 6) + ":8080", "db-1")):
        assert curl(town, "client", f"http://{host}/").split()[0] == pod
    assert curl(town, "client", "-6", "http://web/").split()[0] == "web"
