# SPDX-License-Identifier: Apache-2.0
"""The webhook as API servers meet it: TLS, reviews good and bad, many at once, a
new certificate, an end in order; and what it learns from and tells a cluster."""
import base64
import concurrent.futures
import datetime
import json
import socket
import ssl
import subprocess
import threading

import pytest

from fake_kube import FakeKube
from peers.authority import SERVER_ONLY, dns
from peers.injector import HOST, Injector, key_pem, patched, pem, review, write
from programs import wait_until

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
       "spec": {"containers": [{"name": "app", "image": "a"}]}}


def sidecars(pod):
    return [c["name"] for c in pod["spec"].get("initContainers", [])]


def env_of(pod, container="tulle-proxy"):
    c, = [c for c in pod["spec"]["initContainers"] if c["name"] == container]
    return {e["name"]: e.get("value", "") for e in c["env"]}


@pytest.fixture
def injector(binaries):
    with Injector(binaries) as i:
        yield i.wait_listening()


# --- the API server's side ---------------------------------------------------

def test_a_review(injector):
    response = injector.ask(POD)
    assert response["allowed"]
    assert sidecars(patched(POD, response)) == ["tulle-init", "tulle-proxy"]
    assert injector.metric("injector_reviews_total") == 1
    assert injector.metric('injector_pods_total{verdict="injected"}') == 1


def test_refused_with_a_sentence(injector):
    pod = json.loads(json.dumps(POD))
    pod["metadata"]["annotations"] = {"tulle.dev/workers": "lots"}
    response = injector.ask(pod)
    assert not response["allowed"] and "patch" not in response
    assert response["status"]["code"] == 422
    assert response["status"]["message"] == (
        "annotation tulle.dev/workers: 'lots' is not valid; expected a number "
        "from 1 to 64")


def test_warnings(injector):
    pod = json.loads(json.dumps(POD))
    pod["metadata"]["annotations"] = {"tulle.dev/wokers": "2"}
    response = injector.ask(pod)
    assert response["allowed"]
    assert response["warnings"] == [
        "tulle: annotation tulle.dev/wokers: there is no such setting"]


def test_http2(injector):
    """API servers choose it."""
    with open(f"{injector.folder}/ca.pem", "w", encoding="utf-8") as f:
        f.write(pem(injector.authority.cert))
    done = subprocess.run(
        ["curl", "-sS", "--http2", "--cacert", f"{injector.folder}/ca.pem",
         "--resolve", f"{HOST}:{injector.where['listen'].rsplit(':')[-1]}:"
         "127.0.0.1", "-H", "content-type: application/json",
         "-w", "\n%{http_version} %{http_code}", "--data-binary", "@-",
         f"https://{HOST}:{injector.where['listen'].rsplit(':')[-1]}"
         "/inject?timeout=5s"],
        input=json.dumps(review(POD)).encode(), capture_output=True,
        timeout=30, check=True)
    body, status = done.stdout.decode().rsplit("\n", 1)
    assert status == "2 200"
    assert json.loads(body)["response"]["allowed"]


def test_only_tls_1_3(injector):
    context = injector.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    host, port = injector.where["listen"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as s, \
            pytest.raises(ssl.SSLError):
        context.wrap_socket(s)


def test_no_plain_text(injector):
    host, port = injector.where["listen"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as s:
        s.sendall(b"POST /inject HTTP/1.1\r\nhost: x\r\n\r\n")
        assert not s.recv(100).startswith(b"HTTP")


@pytest.mark.parametrize("body, status, sentence", [
    ("", 400, "not an AdmissionReview"),
    ("{", 400, "not an AdmissionReview: line 1"),
    ("[]", 400, "not an AdmissionReview"),
    ('{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}', 400,
     "apiVersion: expected admission.k8s.io/v1, not 'admission.k8s.io/v1beta1'"),
    ('{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', 400,
     "request: missing"),
    (json.dumps(review(POD)).replace('"u1"', "1"), 400, "request.uid: expected"),
    (json.dumps(review(POD)).replace('"web"', '"\\ud800"'), 400, "surrogate"),
    ("[" * 1000, 413, "more than 64 levels deep"),
], ids=range(8))
def test_bad_bodies(injector, body, status, sentence):
    answer = injector.post(body)
    assert answer[0] == status, answer
    assert sentence in answer[1].decode()
    assert injector.metric("injector_bad_requests_total") == 1
    assert injector.ask(POD)["allowed"]


def test_a_body_that_is_too_large(injector):
    """Refused by its head: who then goes on sending does it for nothing."""
    c = injector.connect()
    c.putrequest("POST", "/inject")
    c.putheader("content-type", "application/json")
    c.putheader("content-length", str((3 << 20) + 1))
    c.endheaders()
    answer = c.getresponse()
    assert answer.status == 413
    assert b"larger than 3 MiB" in answer.read()
    c.close()


def test_bad_requests(injector):
    body = json.dumps(review(POD))
    assert injector.post(body, path="/")[0] == 404
    assert injector.post(body, path="/inject/")[0] == 404
    assert injector.post(None, method="GET")[0] == 405
    assert injector.post(body, content_type=None)[0] == 415
    assert injector.post(body, content_type="text/plain")[0] == 415
    assert injector.post(
        body, content_type="application/json; charset=utf-8")[0] == 200
    # Pages are elsewhere.
    assert injector.post(None, path="/metrics", method="GET")[0] == 404


def test_what_is_no_pod_passes(injector):
    for request in ({"operation": "DELETE"}, {"operation": "UPDATE"},
                    {"subResource": "ephemeralcontainers"},
                    {"kind": {"group": "apps", "version": "v1",
                              "kind": "Deployment"}}):
        response = injector.ask(POD, **request)
        assert response == {"uid": "u1", "allowed": True}


def test_a_chunked_body(injector):
    c = injector.connect()
    c.request("POST", "/inject", iter([json.dumps(review(POD)).encode()]),
              {"content-type": "application/json"}, encode_chunked=True)
    assert c.getresponse().status == 200
    c.close()


def test_a_large_pod(injector):
    pod = json.loads(json.dumps(POD))
    pod["spec"]["containers"] = [
        {"name": f"c{i}", "image": "a" * 1000,
         "livenessProbe": {"tcpSocket": {"port": 80}}} for i in range(500)]
    response = injector.ask(pod)
    assert response["allowed"]
    assert len(json.loads(env_of(patched(pod, response))["TULLE_PROBES"])) == 500


def test_many_at_once(injector):
    def one(n):
        with_name = json.loads(json.dumps(POD))
        with_name["spec"]["containers"][0]["name"] = f"c{n}"
        c = injector.connect()
        out = [patched(with_name, injector.ask(with_name, connection=c,
                                               uid=f"u{n}-{i}"))
               for i in range(10)]
        c.close()
        return n, out

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for n, out in pool.map(one, range(64)):
            for pod in out:
                assert pod["metadata"]["annotations"][
                    "kubectl.kubernetes.io/default-container"] == f"c{n}"
    assert injector.metric("injector_reviews_total") == 640
    wait_until("none is running", lambda: injector.metric(
        "injector_reviews_running") == 0, 5)


def test_those_who_say_nothing(injector):
    """Connections that never ask, or stop in the middle, are in nobody's way."""
    host, port = injector.where["listen"].rsplit(":", 1)
    silent = [socket.create_connection((host, int(port)), 10)
              for _ in range(50)]
    half = []
    for _ in range(20):
        c = injector.connect()
        c.putrequest("POST", "/inject")
        c.putheader("content-type", "application/json")
        c.putheader("content-length", "1000")
        c.endheaders(b"{")
        half.append(c)
    assert injector.ask(POD)["allowed"]
    for c in silent + half:
        c.close()
    wait_until("they are forgotten", lambda: injector.metric(
        "injector_reviews_running") == 0, 10)
    assert injector.ask(POD)["allowed"]


# --- its certificate ---------------------------------------------------------

def serial(injector):
    host, port = injector.where["listen"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as s, \
            injector.tls().wrap_socket(s) as t:
        return int(t.getpeercert()["serialNumber"], 16)


def test_a_new_certificate(injector):
    """Is shown as soon as it is there; those who are connected stay."""
    c = injector.connect()
    before = serial(injector)
    leaf = injector.certificate()
    wait_until("the new one", lambda: serial(injector) == leaf.cert.serial_number,
               10)
    assert before != leaf.cert.serial_number
    assert injector.ask(POD, connection=c)["allowed"]
    # What does not fit together is not taken.
    write(f"{injector.folder}/tls.key", key_pem(
        injector.authority.sign([dns(HOST)]).key))
    wait_until("it is said", lambda: "certificate not read" in
               injector.program.output(), 10)
    assert serial(injector) == leaf.cert.serial_number
    c.close()


def test_its_expiry_is_a_metric(injector):
    end = injector.metric("injector_certificate_expiry_seconds")
    left = end - datetime.datetime.now().timestamp()
    assert 3000 < left < 3700


# --- its end -----------------------------------------------------------------

def test_the_end(binaries):
    """First not ready and still serving, then without those who are connected."""
    with Injector(binaries, ["--linger", "2s"]) as injector:
        injector.wait_listening()
        assert injector.page("/ready")[0] == 200
        assert injector.page("/ready", injector.health)[0] == 200
        assert injector.page("/live", injector.health)[0] == 200
        assert injector.page("/metrics", injector.health)[0] == 404
        c = injector.connect()
        assert injector.ask(POD, connection=c)["allowed"]
        injector.program.process.terminate()
        wait_until("not ready", lambda: injector.page(
            "/ready", injector.health)[0] == 503, 5)
        assert injector.ask(POD)["allowed"]
        assert injector.ask(POD, connection=c)["allowed"]
        assert injector.program.process.wait(10) == 0
        c.close()


def test_a_second_signal_ends_it(binaries):
    with Injector(binaries, ["--linger", "60s"]) as injector:
        injector.wait_listening()
        injector.program.process.terminate()
        wait_until("draining", lambda: "draining" in
                   injector.program.output(), 5)
        injector.program.process.terminate()
        assert injector.program.process.wait(5) == 0


# --- in a cluster ------------------------------------------------------------

def secret(leaf):
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"namespace": "tulle-system",
                         "name": "tulle-injector-serving"},
            "data": {"tls.crt": base64.b64encode(pem(leaf.cert).encode())
                     .decode(),
                     "tls.key": base64.b64encode(key_pem(leaf.key).encode())
                     .decode()}}


def bundle(text):
    return {"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "tulle-system",
                         "name": "tulle-trust-bundle"},
            "data": {"bundle.pem": text}}


def service(ip):
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": "tulle-system",
                         "name": "tulle-controller"},
            "spec": {"clusterIP": ip, "ports": [{"port": 8443}]}}


def space(name, annotations=None, labels=None):
    return {"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "annotations": annotations or {},
                         "labels": labels or {}}}


@pytest.fixture
def kube(tmp_path):
    with FakeKube(str(tmp_path / "kube")) as k:
        k.put(space("tulle-system"))
        yield k


@pytest.fixture
def in_cluster(binaries, kube):
    """Running, with everything there."""
    with Injector(binaries, ["--kubeconfig", kube.kubeconfig()],
                  files=False) as i:
        leaf = i.authority.sign([dns(HOST)], purposes=SERVER_ONLY)
        for obj in (secret(leaf), bundle("ROOTS 1"), service("10.96.0.9")):
            kube.put(obj)
        i.wait_listening()
        wait_until("ready", lambda: i.page("/ready")[0] == 200, 10)
        yield i


def test_ready_when_all_is_known(binaries, kube):
    """The chart starts it before the controller has made anything."""
    with Injector(binaries, ["--kubeconfig", kube.kubeconfig()],
                  files=False) as i:
        def says(what):
            return lambda: what in i.page("/ready")[1]

        def up():
            try:
                return i.page("/live", i.health)[0] == 200
            except ConnectionRefusedError:
                return False
        wait_until("alive", up, 10, i.program.must_run)
        wait_until("no certificate", says("the serving certificate is not"), 10)
        leaf = i.authority.sign([dns(HOST)], purposes=SERVER_ONLY)
        kube.put(secret(leaf))
        i.wait_listening()
        wait_until("no roots", says("the trust bundle is not there yet"), 10)
        kube.put(bundle("ROOTS"))
        wait_until("ready", lambda: i.page("/ready")[0] == 200, 10)


def test_what_the_cluster_says_is_in_pods(in_cluster, kube):
    env = env_of(patched(POD, in_cluster.ask(POD)))
    assert env["TULLE_BUNDLE_PEM"] == "ROOTS 1"
    assert env["TULLE_CONTROLLER"].endswith(",10.96.0.9:8443")
    kube.put(bundle("ROOTS 1 and 2"))
    kube.put(service("fd00::9"))

    def changed():
        e = env_of(patched(POD, in_cluster.ask(POD)))
        return e["TULLE_BUNDLE_PEM"] == "ROOTS 1 and 2" and \
            e["TULLE_CONTROLLER"].endswith(",[fd00::9]:8443")
    wait_until("both changed", changed, 10)
    # What is deleted will be written again; until then it holds.
    kube.delete("ConfigMap", "tulle-system", "tulle-trust-bundle")
    wait_until("it is said", lambda: "deleted; what it said holds" in
               in_cluster.program.output(), 10)
    assert changed()


def test_a_new_certificate_from_the_secret(in_cluster, kube):
    leaf = in_cluster.authority.sign([dns(HOST)], purposes=SERVER_ONLY)
    kube.put(secret(leaf))
    wait_until("the new one", lambda: serial(in_cluster) ==
               leaf.cert.serial_number, 10)
    broken = secret(leaf)
    broken["data"]["tls.crt"] = "!"
    kube.put(broken)
    wait_until("it is said", lambda: "serving certificate not read" in
               in_cluster.program.output(), 10)
    assert serial(in_cluster) == leaf.cert.serial_number


def test_namespaces(in_cluster, kube):
    kube.put(space("shop", {"tulle.dev/workers": "7"}))

    def workers(ns="shop"):
        return env_of(patched(POD, in_cluster.ask(POD, ns)))["TULLE_WORKERS"]
    wait_until("7", lambda: workers() == "7", 10)
    kube.put(space("shop", {"tulle.dev/workers": "8"}))
    wait_until("8", lambda: workers() == "8", 10)
    kube.delete("Namespace", "", "shop")
    wait_until("forgotten", lambda: in_cluster.metric(
        "injector_namespaces") == 1, 10)


def test_a_namespace_that_is_not_known_is_asked_for(in_cluster, kube):
    """A pod may come before the watch tells of its namespace."""
    kube.freeze()
    asked = concurrent.futures.ThreadPoolExecutor(1).submit(
        in_cluster.ask, POD, "fresh")
    wait_until("it waits", lambda: in_cluster.metric(
        "injector_reviews_running") == 1, 5)
    assert not asked.done()
    kube.put(space("fresh", {"tulle.dev/workers": "9"}))
    kube.thaw()
    assert env_of(patched(POD, asked.result(10)))["TULLE_WORKERS"] == "9"
    # One that is nowhere has the defaults.
    assert env_of(patched(POD, in_cluster.ask(POD, "nowhere")))[
        "TULLE_WORKERS"] == "1"


def test_who_goes_while_the_namespace_is_asked_for(in_cluster, kube):
    kube.freeze()
    c = in_cluster.connect()
    c.request("POST", "/inject", json.dumps(review(POD, "fresh")),
              {"content-type": "application/json"})
    wait_until("it waits", lambda: in_cluster.metric(
        "injector_reviews_running") == 1, 5)
    c.close()
    c.sock = None
    kube.thaw()
    wait_until("forgotten", lambda: in_cluster.metric(
        "injector_reviews_running") == 0, 10)
    assert in_cluster.ask(POD)["allowed"]


def test_it_ends_while_a_namespace_is_asked_for(in_cluster, kube):
    kube.freeze()
    c = in_cluster.connect()
    c.request("POST", "/inject", json.dumps(review(POD, "fresh")),
              {"content-type": "application/json"})
    wait_until("it waits", lambda: in_cluster.metric(
        "injector_reviews_running") == 1, 5)
    in_cluster.program.process.terminate()
    wait_until("draining", lambda: "draining" in
               in_cluster.program.output(), 5)
    in_cluster.program.process.terminate()
    assert in_cluster.program.process.wait(5) == 0
    kube.thaw()
    c.close()


def events(kube, reason):
    return [e for e in kube.all("Event") if e.get("reason") == reason]


def test_events(in_cluster, kube):
    kube.put(space("shop", {"tulle.dev/workers": "none"}))
    wait_until("known", lambda: in_cluster.metric("injector_namespaces") == 2,
               10)
    host = json.loads(json.dumps(POD))
    host["spec"]["hostNetwork"] = True
    # What a dry run would do is not told.
    assert in_cluster.ask(host, dryRun=True)["allowed"]
    # By its name, or by what makes it.
    assert in_cluster.ask(host)["allowed"]
    made = json.loads(json.dumps(host))
    made["metadata"] = {"generateName": "web-", "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1",
         "uid": "u-1"}]}
    assert in_cluster.ask(made, name="")["allowed"]
    bad = json.loads(json.dumps(POD))
    bad["metadata"]["annotations"] = {"tulle.dev/mtls": "none"}
    assert not in_cluster.ask(bad)["allowed"]
    assert in_cluster.ask(POD)["allowed"]
    wait_until("events", lambda: len(events(kube, "NotInjected")) >= 2 and
               events(kube, "InjectionRefused") and events(kube, "BadSetting"),
               10)
    about = {(e["involvedObject"]["kind"], e["involvedObject"]["name"])
             for e in events(kube, "NotInjected")}
    assert about == {("Pod", "web"), ("ReplicaSet", "web-1")}
    refused, = events(kube, "InjectionRefused")
    assert "tulle.dev/mtls: 'none' is not valid" in refused["message"]
    wrong, = events(kube, "BadSetting")
    assert wrong["involvedObject"]["kind"] == "Namespace"
    assert "tulle.dev/workers: 'none' is not valid" in wrong["message"]


def test_the_api_server_is_away(in_cluster, kube):
    """What is known goes on."""
    kube.stop()
    env = env_of(patched(POD, in_cluster.ask(POD)))
    assert env["TULLE_BUNDLE_PEM"] == "ROOTS 1"
    assert in_cluster.page("/ready")[0] == 200


def test_no_certificate_in_the_beginning(binaries):
    """Bad files stop the start with a sentence."""
    with Injector(binaries) as i:
        i.wait_listening()
    broken = Injector(binaries)
    write(f"{broken.folder}/tls.crt", "x")
    broken.expected_code = 1
    with broken as i:
        assert i.program.process.wait(10) == 1
        assert "tulle-injector: " in i.program.output()


def test_reviews_while_it_is_stopped_hard(injector):
    """Nothing hangs."""
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            try:
                injector.ask(POD)
            except (OSError, ssl.SSLError, ConnectionError):
                return
            except Exception:  # pylint: disable=broad-except
                return
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    wait_until("reviews", lambda: injector.metric(
        "injector_reviews_total") > 20, 10)
    injector.program.process.terminate()
    injector.program.process.terminate()
    assert injector.program.process.wait(10) == 0
    stop.set()
    for t in threads:
        t.join(10)
        assert not t.is_alive()
