# SPDX-License-Identifier: Apache-2.0
"""A pod's life in the mesh: probes and hooks, Jobs and init containers, what is
refused, what is left alone, who gets a certificate."""
import json

import pytest

from kube import APP_IMAGE, Failed, app_pod
from mesh import DISABLED, INJECT, READY, STRICT, SYSTEM, WEB, curl

FETCH = ("curl", "-sSf", "-m", "10", "http://web/")
# A certificate of its own, and HTTPS.
HTTPS = ("sh", "-c", """
cd /tmp && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
-subj /CN=app -keyout key -out cert 2>/dev/null && exec python3 -c '
import http.server, ssl
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
c.load_cert_chain("cert", "key")
s = http.server.ThreadingHTTPServer(("", 8443),
                                    http.server.SimpleHTTPRequestHandler)
s.socket = c.wrap_socket(s.socket, server_side=True)
s.serve_forever()'
""")
# Answers every gRPC call with HealthCheckResponse{status: SERVING}.
GRPC = ("python3", "-c", """
import socketserver
def frame(kind, flags, stream, body=b""):
    return (len(body).to_bytes(3, "big") + bytes((kind, flags))
            + stream.to_bytes(4, "big") + body)
def field(name, value):
    return bytes((0, len(name))) + name + bytes((len(value),)) + value
class Call(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.read(24)
        self.wfile.write(frame(4, 0, 0))
        while len(head := self.rfile.read(9)) == 9:
            body = self.rfile.read(int.from_bytes(head[:3], "big"))
            kind, flags = head[3], head[4]
            stream = int.from_bytes(head[5:], "big")
            if kind in (4, 6) and not flags & 1:
                self.wfile.write(frame(kind, 1, 0, body if kind == 6 else b""))
            if kind == 0 and flags & 1:
                self.wfile.write(
                    frame(1, 4, stream, b"\\x88" + field(
                        b"content-type", b"application/grpc"))
                    + frame(0, 0, stream, bytes((0, 0, 0, 0, 2, 8, 1)))
                    + frame(1, 5, stream, field(b"grpc-status", b"0")))
socketserver.ThreadingTCPServer(("", 9090), Call).serve_forever()
""")
# A helper beside the application that logs who asks it.
LISTENER = {"name": "listener", "image": APP_IMAGE, "restartPolicy": "Always",
            "command": ["sh", "-c", "mkdir /tmp/w && touch /tmp/w/started "
                        "/tmp/w/stopping && exec python3 -u -m http.server "
                        "8090 -d /tmp/w"],
            "startupProbe": {"tcpSocket": {"port": 8090}, "periodSeconds": 1}}


def container(name, *command, **more):
    return {"name": name, "image": APP_IMAGE, "command": list(command), **more}


def job_spec():
    """Its init container and its container must get through to `web`."""
    return {"backoffLimit": 0, "template": {
        "metadata": {"labels": {"app": "job"}},
        "spec": {"restartPolicy": "Never",
                 "initContainers": [container("first", *FETCH)],
                 "containers": [container("app", *FETCH)]}}}


@pytest.fixture(scope="module")
def town(kube, mesh):
    """Strict; the server `web`, the pod `outside` that is not meshed."""
    with kube.space(labels=INJECT, annotations=STRICT) as s:
        s.service("web", 80, 8080)
        s.apply([
            # First: a minute may pass before it is due.
            {"apiVersion": "batch/v1", "kind": "CronJob",
             "metadata": {"name": "often"}, "spec": {
                 "schedule": "* * * * *", "concurrencyPolicy": "Forbid",
                 "jobTemplate": {"spec": {**job_spec(), "backoffLimit": 3}}}},
            app_pod("web", *WEB, container=READY),
            app_pod("outside", annotations=DISABLED)])
        for name in ("web", "outside"):
            s.wait_condition(f"pod/{name}", "Ready")
        yield s


def inits(pod):
    return [c["name"] for c in pod["spec"].get("initContainers", [])]


def app_is_ready(space, pod):
    return all(c["ready"] for c in
               space.get("pod", pod)["status"]["containerStatuses"])


def events(kube, kind, name):
    return [e for e in kube.get("events", "-A")
            if e["involvedObject"]["kind"] == kind
            and e["involvedObject"]["name"] == name]


# --- probes and hooks ---

@pytest.mark.parametrize("command, probe", [
    (WEB, {"httpGet": {"path": "/ready", "port": 8080}}),
    (HTTPS, {"httpGet": {"path": "/", "port": 8443, "scheme": "HTTPS"}}),
    (WEB, {"tcpSocket": {"port": 8080}}),
    (WEB, {"exec": {"command": ["curl", "-sf", "http://localhost:8080/"]}}),
    (GRPC, {"grpc": {"port": 9090}}),
], ids=["http", "https", "tcp", "exec", "grpc"])
def test_probes_pass(town, command, probe, request):
    name = "probed-" + request.node.callspec.id
    probe = {**probe, "periodSeconds": 1}
    pod = town.app(name, *command, container={
        "startupProbe": {**probe, "failureThreshold": 60},
        "readinessProbe": probe, "livenessProbe": probe})
    assert inits(pod) == ["tulle-init", "tulle-proxy"]
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    town.kubectl("delete", "pod", name, "--wait=false")


def test_tcp_probe_tells_the_truth(town):
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    town.apply(app_pod("silent", container={"readinessProbe": probe}))
    town.wait_for(30, "a failed probe", lambda: any(
        e["reason"] == "Unhealthy" and "Readiness" in e["message"]
        and "{app}" in e["involvedObject"].get("fieldPath", "")
        for e in events(town, "Pod", "silent")))
    assert not app_is_ready(town, "silent")
    town.run_in("silent", "sh", "-c",
                "setsid python3 -m http.server 8080 >/dev/null 2>&1 &",
                container="app")
    town.wait_condition("pod/silent", "Ready", 20)


def test_lifecycle_hooks(town):
    hook = {event: {"httpGet": {"path": path, "port": 8090}} for event, path in (
        ("postStart", "/started"), ("preStop", "/stopping"))}
    town.app("hooked", container={"lifecycle": hook}, spec={
        "initContainers": [LISTENER], "terminationGracePeriodSeconds": 8})
    assert "GET /started" in town.logs("hooked", container="listener")
    town.kubectl("delete", "pod", "hooked", "--wait=false")
    town.wait_for(8, "the preStop hook", lambda: "GET /stopping" in town.logs(
        "hooked", container="listener"))


# --- Jobs ---

def test_job_with_init_container(town):
    town.apply({"apiVersion": "batch/v1", "kind": "Job",
                "metadata": {"name": "once"}, "spec": job_spec()})
    town.wait_condition("job/once", "Complete", 40)
    pod = town.pods("job-name=once")[0]
    assert inits(pod) == ["tulle-init", "tulle-proxy", "first"]
    for name in ("first", "app"):
        said = town.logs(pod["metadata"]["name"], container=name)
        assert said.startswith("web "), name


def test_cron_job(town):
    town.wait_for(90, "a complete run", lambda: town.get(
        "cronjob", "often")["status"].get("lastSuccessfulTime"))


# --- who gets a certificate ---

def certificate(town, token):
    """What `outside` gets for it from the controller: status and body."""
    script = """
cd /tmp && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
-subj /CN=x -keyout key -out csr 2>/dev/null &&
python3 -c 'import json, sys
print(json.dumps({"csr": open("csr").read(), "token": sys.argv[1]}))' "$1" >body &&
curl -sS -k --http2 -m 10 -o answer -w "%{http_code} " --data-binary @body \
-H "content-type: application/json" "$2" && cat answer
"""
    said = town.run_in(
        "outside", "sh", "-c", script, "-", token,
        f"https://tulle-controller.{SYSTEM}:8443/v1/certificates",
        container="app")
    code, body = said.split(" ", 1)
    return int(code), body


def token_of(town, pod, audience):
    return town.kubectl(
        "create", "token", "default", f"--audience={audience}",
        *(["--bound-object-kind=Pod", f"--bound-object-name={pod}"]
          if pod else [])).strip()


def test_right_token_gets_a_certificate(town):
    """Otherwise those below prove nothing."""
    code, body = certificate(town, token_of(town, "web", "tulle"))
    assert code == 200 and "BEGIN CERTIFICATE" in json.loads(body)["chain"]


@pytest.mark.parametrize("which", ["default audience", "other audience",
                                   "no pod", "deleted pod", "no token at all",
                                   "damaged"])
def test_wrong_token_gets_none(town, which):
    good = token_of(town, "web", "tulle")
    if which == "default audience":
        token = town.run_in(
            "outside", "cat",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
            container="app").strip()
    elif which == "deleted pod":
        town.apply(app_pod("brief", annotations=DISABLED))
        token = token_of(town, "brief", "tulle")
        town.kubectl("delete", "pod", "brief", "--grace-period=0", "--force")
    else:
        token = {"other audience": token_of(town, "web", "vault"),
                 "no pod": token_of(town, None, "tulle"),
                 "no token at all": "",
                 "damaged": good[:-10] + "AAAAAAAAAA"}[which]
    code, body = certificate(town, token)
    assert code in (400, 401, 403), body
    assert "BEGIN CERTIFICATE" not in body


# A session under the certificate that it is given; tells the first workload that
# it hears of. (curl does not always read while what it sends waits.)
SESSION = """
import json, socket, ssl, sys
host, name, chain = sys.argv[1:]
with open("/tmp/chain", "w") as f:
    f.write(chain)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
tls.load_cert_chain("/tmp/chain", "/tmp/key")
with tls.wrap_socket(socket.create_connection((host, 8443), 10)) as sock:
    sock.sendall(b"POST /v1/session HTTP/1.1\\r\\nHost: c\\r\\n"
                 b"Transfer-Encoding: chunked\\r\\n\\r\\n")
    for said in ({"type": "hello", "version": "0", "name": name,
                  "capabilities": []},
                 {"type": "subscribe", "kind": "workload"}):
        line = json.dumps(said).encode() + b"\\n"
        sock.sendall(b"%x\\r\\n%s\\r\\n" % (len(line), line))
    for line in sock.makefile("rb"):
        if line.startswith(b'{"type":"workload"'):
            sys.exit(print(line.decode()))
"""


def test_name_of_another_pod(town):
    """Who has a certificate is told of its own pod, whatever name it says."""
    body = certificate(town, token_of(town, "web", "tulle"))[1]
    said = town.run_in(
        "outside", "python3", "-c", SESSION, f"tulle-controller.{SYSTEM}",
        f"{town.name}/outside", json.loads(body)["chain"], container="app")
    assert json.loads(said)["view"]["pod"].split("/")[-1] == "web"


# --- annotations ---

def test_bad_annotation_on_a_pod(town):
    with pytest.raises(Failed) as said:
        town.apply(app_pod("bad", annotations={"tulle.dev/mtls": "sometimes"}))
    for word in ("tulle.dev/mtls", "sometimes", "permissive or strict"):
        assert word in str(said.value)
    assert not town.exists("pod", "bad")


@pytest.mark.space(annotations={"tulle.dev/workers": "many"})
def test_bad_annotation_on_a_namespace(meshed):
    assert inits(meshed.app("app")) == ["tulle-init", "tulle-proxy"]
    meshed.wait_for(10, "an Event that names it", lambda: any(
        "tulle.dev/workers" in e["message"] and "many" in e["message"]
        for e in events(meshed, "Namespace", meshed.name)))


def test_opted_out_pod_is_untouched(town):
    pod = town.get("pod", "outside")
    assert not inits(pod) and len(pod["spec"]["containers"]) == 1
    assert "tulle.dev/injected" not in pod["metadata"]["annotations"]
    assert not town.exists("meshproxy", "outside")


def test_host_network_pod_is_left_alone(town):
    pod = town.app("host", spec={"hostNetwork": True})
    assert not inits(pod)
    assert "hostNetwork" in pod["metadata"]["annotations"][
        "tulle.dev/not-injected"]
    town.wait_for(10, "an Event that says so", lambda: any(
        e["reason"] == "NotInjected" and "hostNetwork" in e["message"]
        for e in events(town, "Pod", "host")))


# --- without the injector ---

def scale(mesh, count):
    mesh.system.kubectl("scale", "deployment/tulle-injector",
                        f"--replicas={count}")
    mesh.system.rollout("deployment/tulle-injector")
    mesh.kube.wait_for(30, f"{count} injectors", lambda: all(
        len(s.get("endpoints") or []) == count for s in mesh.system.get(
            "endpointslices", "-l",
            "kubernetes.io/service-name=tulle-injector")))


def test_injector_away(town, space, mesh):
    """Pods that did not ask start; those that did wait for it."""
    scale(mesh, 0)
    try:
        space.app("plain")
        town.app("opted-out", annotations=DISABLED)
        with pytest.raises(Failed) as said:
            town.apply(app_pod("waits"))
        assert "inject.tulle.dev" in str(said.value)
        assert not town.exists("pod", "waits")
    finally:
        scale(mesh, 1)
    town.wait_for(20, "the pod to be taken",
                  lambda: town.apply(app_pod("waits")), 1)
    town.wait_condition("pod/waits", "Ready")
    assert curl(town, "waits", "http://web/").startswith("web")
