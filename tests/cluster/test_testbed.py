# SPDX-License-Identifier: Apache-2.0
"""The cluster itself does what other tests build on."""
import json
import os
import re
import socket
import subprocess
import threading

import pytest

from kube import APP_IMAGE, tulle_image
from testbed import cluster as clusters, machine
from testbed.tools import HERE

WEB = ("python3", "-c", """
import http.server, os, socket
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.uname().nodename} {self.client_address[0]}\\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
Server(("::", 8080), Answer).serve_forever()
""")
READY = {"readinessProbe": {"httpGet": {"path": "/", "port": 8080},
                            "periodSeconds": 1}}


def curl(space, pod, url):
    return space.run_in(pod, "curl", "-sS", "-m", "5", url).split()


def test_nodes_are_ready(kube):
    nodes = [n for n in kube.get("nodes")
             if "type" not in n["metadata"]["labels"]]
    assert len(nodes) >= 2
    for n in nodes:
        ready = {c["type"]: c["status"] for c in n["status"]["conditions"]}
        assert ready["Ready"] == "True", n["metadata"]["name"]


def test_service_names_resolve_in_a_pod(space):
    service = space.service("web", 80, 8080)
    space.app("client")
    said = space.wait_for(10, "the name", lambda: space.run_in(
        "client", "getent", "hosts", f"web.{space.name}.svc.cluster.local"))
    assert said.split()[0] == service["spec"]["clusterIP"]
    # The short name, and one that there is not, at once.
    assert space.run_in("client", "getent", "hosts", "web")
    status, _, _ = space.run_in("client", "getent", "hosts", "nobody.example",
                                check=False, timeout=5)
    assert status == 2


def test_pods_reach_each_other_through_a_cluster_ip(space):
    """From the other node, from the same one (the answer passes a bridge), and
    from the very pod."""
    space.service("web", 80, 8080)
    space.app("web", *WEB, node="n1", container=READY)
    for name, node in (("near", "n1"), ("far", "n2")):
        pod = space.app(name, node=node)
        answer = space.wait_for(10, "an answer",
                                lambda n=name: curl(space, n, "http://web/"))
        # Nobody in between hides who asks.
        assert answer == ["web", "::ffff:" + pod["status"]["podIP"]]
    # Not by its short name, which is the pod's too.
    assert curl(space, "web", f"http://web.{space.name}/")[0] == "web"


def test_both_ip_versions(space):
    if not any(":" in a["ip"] for a in
               space.app("far", node="n2")["status"]["podIPs"]):
        pytest.skip("this cluster has no IPv6")
    service = space.service("web", 80, 8080, ipFamilyPolicy="RequireDualStack")
    pod = space.app("web", *WEB, node="n1", container=READY)
    for address in (service["spec"]["clusterIPs"][1],
                    pod["status"]["podIPs"][1]["ip"]):
        assert ":" in address
        url = f"http://[{address}]:" + (
            "80/" if address in service["spec"]["clusterIPs"] else "8080/")
        answer = space.wait_for(10, url,
                                lambda u=url: curl(space, "far", u))
        assert answer[0] == "web"


def test_native_sidecar(space):
    """Starts before the application, which waits for its start-up probe; and a
    Job with one completes."""
    sidecar = {
        "name": "sidecar", "image": APP_IMAGE, "restartPolicy": "Always",
        "command": [*WEB], "startupProbe": {
            "httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1,
            "failureThreshold": 100000}}
    # allow fixed-port: in a pod
    work = ["sh", "-c", "curl -sS -m 5 http://localhost:8080/ && sleep $0"]
    space.app("web", *work, "infinity", spec={"initContainers": [sidecar]})
    said = space.wait_for(10, "an answer", lambda: space.logs(
        "web", container="app"))
    assert said.startswith("web ")
    assert space.get("pod", "web")["status"]["containerStatuses"][0][
        "restartCount"] == 0
    space.apply({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "terminationGracePeriodSeconds": 1,
            "restartPolicy": "Never", "initContainers": [sidecar],
            "containers": [{"name": "app", "image": APP_IMAGE,
                            "command": [*work, "0"]}]}}}})
    space.wait_condition("job/once", "Complete", 60)


def test_tokens_carry_the_audience(space):
    token = {"serviceAccountToken": {"audience": "tulle", "path": "token",
                                     "expirationSeconds": 3600}}
    space.app("client", spec={"volumes": [
        {"name": "token", "projected": {"sources": [token]}}]},
        container={"volumeMounts": [{"name": "token", "mountPath": "/token"}]})
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
              "spec": {"token": space.run_in("client", "cat", "/token/token"),
                       "audiences": ["tulle"]}}
    status = json.loads(space.kubectl("create", "-f", "-", "-o", "json",
                                      stdin=json.dumps(review)))["status"]
    assert status["authenticated"] and status["audiences"] == ["tulle"]
    assert status["user"]["username"] == \
        f"system:serviceaccount:{space.name}:default"


@pytest.mark.parametrize("version", [3, 4])
def test_helm(space, tmp_path, version):
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(
        "apiVersion: v2\nname: small\nversion: 1.2.3\n"
        "kubeVersion: '>=1.29.0-0'\n")
    (chart / "templates" / "map.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: small}\n"
        "data: {word: {{ .Values.word | quote }}}\n")
    space.helm("install", "small", str(chart), "--set", "word=one",
               version=version)
    space.helm("upgrade", "small", str(chart), "--set", "word=two",
               version=version)
    assert space.get("configmap", "small")["data"] == {"word": "two"}
    space.helm("uninstall", "small", version=version)
    assert not space.exists("configmap", "small")


def test_packets_of_a_node_can_be_captured(kube, space):
    space.app("web", *WEB, node="n2", container=READY)
    pod = space.app("client", node="n1")
    address = space.get("pod", "web")["status"]["podIP"]
    with kube.capture("n1", "port 8080", "eth0") as capture:
        curl(space, "client", f"http://{address}:8080/plain-to-see")
        capture.wait_for(b"GET /plain-to-see HTTP/1.1")
        assert pod["status"]["podIP"] in capture.text()


def test_the_loopback_of_a_pod_can_be_reached(space):
    space.app("web", "python3", "-c", """
import socket
server = socket.create_server(("127.0.0.1", 7000))
while True:
    with server.accept()[0] as c:
        c.sendall(b"hello")
""")
    with space.port_forward("pod/web", 7000) as address:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), 5) as c:
            assert c.recv(100) == b"hello"


def test_pods_reach_the_machine_by_name(kube, space):
    """For servers that a test runs itself."""
    space.app("client")
    with socket.create_server((kube.own_cluster().host, 0)) as server:
        def answer():
            with server.accept()[0] as c:
                c.sendall(b"from the machine\n")
        thread = threading.Thread(target=answer)
        thread.start()
        said = space.run_in("client", "nc", "-w", "5", "machine.test",
                            str(server.getsockname()[1]))
        thread.join(10)
    assert said == "from the machine\n"


def test_images_of_tulle(kube, space):
    kube.own_cluster()
    space.apply({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "version"},
        "spec": {"restartPolicy": "Never", "containers": [
            {"name": name, "image": tulle_image(name), "args": ["--version"],
             "securityContext": {"readOnlyRootFilesystem": True,
                                 "runAsNonRoot": True}}
            for name in ("proxy", "controller")]}})
    space.wait_for(30, "the end of the pod", lambda: space.get(
        "pod", "version")["status"]["phase"] == "Succeeded")
    version = tulle_image("proxy").split(":")[1]
    for name in ("proxy", "controller"):
        assert version in space.logs("version", container=name)


def test_the_image_of_the_application(space):
    postgres = """
cd /tmp && export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
initdb -D data -A trust >initdb.log && exec postgres -D data -k /tmp
"""
    redis = ["redis-server", "--save", "", "--port", "6379"]
    space.app("app", *redis, spec={"initContainers": [{
        "name": "postgres", "image": APP_IMAGE, "restartPolicy": "Always",
        "command": ["setpriv", "--reuid=postgres", "--regid=postgres",
                    "--clear-groups", "sh", "-c", postgres]}]})
    for words, answer in (
            (["redis-cli", "ping"], "PONG\n"),
            (["psql", "-h", "localhost", "-U", "postgres", "-Atc", "select 6*7"],
             "42\n")):
        assert space.wait_for(20, words[0], lambda w=words: space.run_in(
            "app", *w, container="app")) == answer
    assert "roles:" in space.run_in("app", "tulle-demo", "--help",
                                    container="app")


def test_fake_nodes(kube, space):
    if not kube.own_cluster().pid("kwok"):
        pytest.skip("the cluster was brought up without --kwok")
    kube.fake_nodes(2)
    space.apply({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "many"}, "spec": {
            "replicas": 50, "selector": {"matchLabels": {"app": "many"}},
            "template": {"metadata": {"labels": {"app": "many"}}, "spec": {
                "nodeSelector": {"type": "kwok"},
                "tolerations": [{"key": "kwok", "operator": "Exists"}],
                "containers": [{"name": "app", "image": "fake:1"}]}}}})
    space.rollout("deployment/many", 60)
    addresses = {p["status"]["podIP"] for p in space.pods()}
    assert len(addresses) == 50


def traces(cluster):
    """All of a cluster that is to be seen on the machine."""
    seen = machine.cgroups(f"{cluster.prefix}-*")
    if os.path.exists(cluster.folder):
        seen.append(cluster.folder)
    ours = re.compile(rf"\b{cluster.prefix}\b|172\.30\.{cluster.number}\."
                      rf"|fd74:756c:{cluster.number}:|/{cluster.name}/")
    for command in (["ip", "netns"], ["ip", "addr"], ["ip", "route"],
                    ["ip", "-6", "route"], ["cat", "/proc/mounts"],
                    ["ps", "-ewwo", "stat,args"]):
        said = subprocess.run(command, check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        seen += [line for line in said.splitlines()
                 if ours.search(line) and not line.startswith("Z")]
    return seen


def test_a_second_cluster_comes_and_goes_without_trace(kube):
    first = kube.own_cluster()
    name = f"second-{os.getpid()}"
    try:
        said = subprocess.run(
            [f"{HERE}/up", "--name", name, "--nodes", "1"], check=True,
            text=True, stdout=subprocess.PIPE, timeout=200).stdout
        second = clusters.load(name)
        assert second.number != first.number
        assert len(traces(second)) > 20
        assert f"export KUBECONFIG={second.kubeconfig}" in said
        processes = [second.pid(p) for p in second.running()]
        assert "true" in second.kubectl(
            "--namespace=kube-system", "get", "pods",
            "--output=jsonpath={.items[*].status.containerStatuses[*].ready}")
        # Again: nothing to do.
        again = subprocess.run(
            [f"{HERE}/up", "--name", name, "--nodes", "1"], check=True,
            text=True, stdout=subprocess.PIPE, timeout=60).stdout
        assert again == said
        assert [second.pid(p) for p in second.running()] == processes
    finally:
        for _ in range(2):  # the second finds nothing to do
            subprocess.run([f"{HERE}/down", "--name", name], check=True,
                           timeout=60)
    assert traces(second) == []
    assert len(traces(first)) > 20
