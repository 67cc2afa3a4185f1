# SPDX-License-Identifier: Apache-2.0
"""The controller on an API server: what it learns, and how it copes with all
that such a server may do to it. See test_kubernetes_faults.py for the latter."""
import contextlib
import os
import subprocess
import tempfile
import time

import pytest

import manifests
from cluster import Session, cluster
from conftest import sanitizer_reports
from fake_kube import FakeKube, refused
from kube_rig import KubeMesh
from peers.http1 import App, ask
from programs import wait_until


def pod(name, ip, annotations=None, meshed=True):
    return manifests.pod("shop", name, "cart", ip, 8080, meshed, annotations)


def fill(kube, pods=3):
    kube.put({"apiVersion": "v1", "kind": "Namespace",
              "metadata": {"name": "shop"}})
    kube.put(manifests.service("shop", "cart", "10.96.0.1"))
    addresses = {f"10.1.0.{i}": f"cart-{i}" for i in range(pods)}
    kube.put(manifests.endpoint_slice("shop", "cart", addresses, 8080))
    for ip, name in addresses.items():
        kube.put(pod(name, ip))


@pytest.fixture
def fake():
    """fake(http2=...) is a running, filled FakeKube."""
    with contextlib.ExitStack() as stack:
        def make(**how):
            folder = stack.enter_context(tempfile.TemporaryDirectory(
                prefix="tulle-kube-"))
            kube = stack.enter_context(FakeKube(folder, **how))
            fill(kube)
            return kube
        yield make


@pytest.fixture
def controller(binaries):
    """controller(kube, *arguments, **config) is a KubeMesh, its controller
    launched; afterwards it must end well."""
    made = []

    def make(kube, *arguments, **config):
        folder = tempfile.mkdtemp(prefix="tulle-test-")
        mesh = KubeMesh(binaries, folder, kube, **config)
        made.append(mesh)
        return mesh.launch(*arguments)
    yield make
    wrong = [s for m in made for s in m.stop() + sanitizer_reports(m)]
    for m in made:
        print(m.log())
        m.remove()
    assert not wrong, "\n".join(wrong)


# --- what it learns ----------------------------------------------------------

@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
def test_lists_and_follows(fake, controller, http2, streamed):
    kube = fake(http2=http2)
    kube.watch_lists = streamed
    c = controller(kube)
    wait_until("ready", c.ready, 15, c.controller.must_run)
    assert c.agrees()
    kube.put(pod("cart-9", "10.1.0.9"))
    kube.delete("Pod", "shop", "cart-0")
    kube.put({"apiVersion": "v1", "kind": "Namespace",
              "metadata": {"name": "other"}})
    kube.delete("Service", "shop", "cart")
    c.await_agreement(3)
    kube.put(pod("cart-9", "10.1.0.77"))
    wait_until("the new address", lambda: any(
        p["ips"] == ["10.1.0.77"] for p in c.registry()["Pod"]), 3)
    lists = "sendInitialEvents" if streamed else "limit"
    for path in ("namespaces", "services", "pods"):
        assert sum(lists in x.query for x in kube.requests
                   if x.path == f"/api/v1/{path}") == 1
    # Over HTTP/1.1 each watch needs one.
    assert kube.connections() in ([1] if http2 else range(4, 17))


def test_is_not_ready_before_it_knows_all(fake, controller):
    kube = fake()
    kube.fail(times=1000, status=503, path="/api/v1/pods")
    c = controller(kube)
    c.wait_log("watch interrupted", "/api/v1/pods", "503")
    wait_until("the others are listed",
               lambda: kube.watches("Service") and kube.watches("Namespace"),
               5)
    assert not c.ready()
    kube.heal()
    wait_until("ready", c.ready, 35, c.controller.must_run)


def test_changed_endpoint_reaches_a_proxy(binaries):
    """Within a second, through source, registry and session."""
    with cluster(binaries) as c, App() as app:
        c.controller()
        front, _, _ = c.serve(app.address)
        c.wait("an answer", lambda: ask(front).status == 200)
        there, = c.kube.all("EndpointSlice")
        for _ in range(3):
            c.kube.put({**there, "endpoints": []})
            c.wait("no endpoint",
                   lambda: ask(front).fault == "no-endpoints", 1)
            c.kube.put(there)
            c.wait("an endpoint", lambda: ask(front).status == 200, 1)


def view(session, kind, key):
    session.say({"type": "subscribe", "kind": kind, "key": key})
    while True:
        got = session.hear(kind)
        if got["key"] == key:
            return got["view"]


def test_families_names_and_hand_made_slices(binaries):
    """What a proxy is told of Services with two addresses, of pods by theirs, of
    what somebody wrote down, and of what is outside."""
    six, four, dual = "fd00::6", "10.1.0.4", ("10.1.0.5", "fd00::5")
    name = "spiffe://cluster.local/ns/shop/sa/"
    with cluster(binaries) as c:
        for pod_name, ips in (("six", [six]), ("four", [four]),
                              ("dual", dual)):
            c.add_pod(f"shop/{pod_name}", pod_name, ips[0],
                      podIPs=[{"ip": ip} for ip in ips])
        svc = manifests.service("shop", "web", "10.96.0.9")
        svc["spec"].update(clusterIPs=["10.96.0.9", "fd96::9"],
                           ipFamilies=["IPv4", "IPv6"])
        c.kube.put(svc)
        for v6 in (False, True):
            ips = [ip for ip in (six, four, *dual, "192.0.2.7")
                   if (":" in ip) == v6]
            listed = manifests.endpoint_slice(
                "shop", "web", dict.fromkeys(ips), 8080, f"web-{6 if v6 else 4}")
            listed["addressType"] = "IPv6" if v6 else "IPv4"
            for e in listed["endpoints"]:
                del e["targetRef"]  # whose they are is known without
            c.kube.put(listed)
        c.kube.put({"apiVersion": "v1", "kind": "Service",
                    "metadata": {"name": "alias", "namespace": "shop"},
                    "spec": {"type": "ExternalName",
                             "externalName": "db.example"}})
        c.controller()
        s = Session(c.controllers["a"].api, c.certificate("shop/client"))
        assert s.status() == 200
        for key in ("10.96.0.9:80", "[fd96::9]:80", "shop/web:80"):
            got = view(s, "destination", key)
            assert (got["resolution"], got["service"]) == \
                ("known", "shop/web:80")
            assert [b["key"] for b in got["backends"]] == ["shop/web:80"]
        ends = {e["address"]: e.get("identity") for e in
                view(s, "backend", "shop/web:80")["endpoints"]}
        assert ends == {f"[{six}]:8080": name + "six",
                        f"{four}:8080": name + "four",
                        f"{dual[0]}:8080": name + "dual",
                        "192.0.2.7:8080": None}
        got = view(s, "destination", f"[{dual[1]}]:8080")
        assert (got["resolution"], got["direct"]) == ("known", True)
        for key in ("192.0.2.7:8080", "[2001:db8::1]:443", "shop/alias:80"):
            assert view(s, "destination", key)["resolution"] == "external"
        s.close()


def test_pages(fake, controller):
    kube = fake()
    kube.watch_lists = False
    for i in range(1200):
        kube.put(pod(f"many-{i}", f"10.2.{i >> 8}.{i & 255}"))
    # In the middle the server forgets where the client was: once more.
    seen = []

    def second(x):
        seen.append(x)
        if len(seen) == 3:  # a stream, a page, and the next one
            raise refused(410, "continue token is too old", "Expired")
    kube.order(second, times=100, path="/api/v1/pods")
    c = controller(kube)
    wait_until("ready", c.ready, 30, c.controller.must_run)
    assert c.agrees()
    assert sum("continue" in x.query for x in kube.requests) == 3


def test_large_objects_make_smaller_pages(fake, controller):
    kube = fake()
    kube.watch_lists = False
    big = "x" * 150000
    for i in range(260):  # 39 MB: more than one answer may have
        kube.put(pod(f"big-{i}", f"10.2.{i >> 8}.{i & 255}",
                     {"note": big}))
    c = controller(kube)
    wait_until("ready", c.ready, 60, c.controller.must_run)
    assert c.agrees()
    limits = {x.query.get("limit") for x in kube.requests
              if x.path == "/api/v1/pods"}
    assert {"500", "125"} <= limits


def test_bookmarks_save_lists(fake, controller):
    """Pods do not change while others do: only bookmarks tell how far the watch
    of pods is, and after a break it goes on from there."""
    kube = fake()
    kube.bookmark_seconds = 0.2
    c = controller(kube)
    wait_until("ready", c.ready, 15, c.controller.must_run)
    for i in range(5):
        kube.put(manifests.service("shop", f"s{i}", f"10.96.0.{i + 10}"))
    c.await_agreement(5)
    kube.compact()
    newest = kube.version
    lists = kube.count("/api/v1/pods", sendInitialEvents="true")

    # Only what has come this far may go on from here.
    wait_until("a bookmark", lambda: kube.bookmarked("Pod") >= newest, 5)
    kube.end_watches("Pod")
    wait_until("a watch from a bookmark", lambda: any(
        int(x.query.get("resourceVersion", 0)) >= newest
        for x in kube.requests if x.path == "/api/v1/pods"), 15)
    assert kube.count("/api/v1/pods", sendInitialEvents="true") == lists == 1
    kube.put(pod("cart-9", "10.1.0.9"))
    c.await_agreement(5)


def test_bad_object_is_told_once(fake, controller):
    kube = fake()
    c = controller(kube)
    wait_until("ready", c.ready, 15, c.controller.must_run)
    for i in range(5):
        kube.patch("Service", "shop", "cart", {
            "metadata": {"labels": {"n": str(i)}},
            "spec": {"ports": [{"port": "http"}]}})
    kube.put(manifests.service("shop", "last", "10.96.0.9"))
    c.await_agreement(5)
    c.wait_log("object not taken", "Service shop/cart", "spec.ports[0].port")
    assert c.log().count("object not taken") == 1
    cart, = [s for s in c.registry()["Service"] if s["name"] == "shop/cart"]
    assert cart["ips"] == ["10.96.0.1"]  # what it said before holds
    # Another mistake is another word; and then it is right again.
    kube.patch("Service", "shop", "cart",
               {"spec": {"ports": [{"port": 70000}]}})
    wait_until("the other one",
               lambda: c.log().count("object not taken") == 2, 5)
    kube.put(manifests.service("shop", "cart", "10.96.0.2"))
    wait_until("it is taken", lambda: any(
        s["ips"] == ["10.96.0.2"] for s in c.registry()["Service"]), 5)
    for i in range(3):
        kube.put(pod("cart-1", "10.1.0.1", {"tulle.dev/mtls": "off",
                                            "n": str(i)}))
    c.wait_log("bad annotation", "Pod shop/cart-1", "tulle.dev/mtls")
    kube.delete("Pod", "shop", "cart-2")
    c.await_agreement(5)
    assert c.log().count("bad annotation") == 1


@pytest.mark.parametrize("streamed", [True, False])
def test_nul_in_one_object(fake, controller, streamed):
    """Kubernetes takes it in an annotation: no other object may be missed."""
    kube = fake()
    kube.watch_lists = streamed
    kube.put(pod("nul-1", "10.1.9.1", {"note": "a\0b"}))
    c = controller(kube)
    wait_until("ready", c.ready, 15, c.controller.must_run)
    assert c.agrees()
    kube.put(pod("nul-2", "10.1.9.2", {"note": "\\\0"}))
    kube.put(pod("cart-9", "10.1.0.9"))
    c.await_agreement(3)
    assert "cannot be read" not in c.log()


def test_identities_come_from_pods(fake, controller):
    """Not from who an EndpointSlice says is there."""
    kube = fake()
    kube.put(pod("ended", "10.1.0.0"))
    kube.patch("Pod", "shop", "ended", {"status": {"phase": "Failed"}})
    c = controller(kube)
    wait_until("ready", c.ready, 15, c.controller.must_run)
    pods = {p["name"]: p for p in c.registry()["Pod"]}
    assert pods["shop/cart-0"]["live"] and pods["shop/cart-0"]["meshed"]
    assert not pods["shop/ended"]["live"]


# --- who we are --------------------------------------------------------------

def test_token_is_read_again(fake, controller):
    kube = fake()
    path = f"{kube.folder}/token"

    def write(token):
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(token + "\n")
        os.replace(path + ".new", path)
    kube.tokens = {"first": "me"}
    write("first")
    c = controller(kube, token_file=path)
    wait_until("ready", c.ready, 15, c.controller.must_run)
    kube.tokens = {"second": "me"}
    kube.end_watches()
    c.wait_log("watch interrupted", "401")
    kube.put(pod("cart-9", "10.1.0.9"))
    assert not c.agrees()
    write("second")
    c.await_agreement(35)


def test_client_certificate(fake, controller):
    kube = fake()
    c = controller(kube, client="tulle-controller")
    wait_until("ready", c.ready, 15, c.controller.must_run)
    assert {x.user for x in kube.requests} == {"tulle-controller"}
    assert not any("authorization" in x.headers for x in kube.requests)


def test_wrong_token(fake, controller):
    c = controller(fake(), token="nonsense")
    c.wait_log("watch interrupted", "401")
    assert not c.ready()


def test_stranger_in_the_place_of_the_server(fake, controller):
    kube, other = fake(), fake()
    c = controller(kube, ca=other.ca_pem())
    c.wait_log("watch interrupted", "certificate")
    assert not c.ready() and not kube.requests


@pytest.mark.parametrize("change, says", [
    ({"user": {"exec": {"command": "x"}}}, ["user.exec"]),
    ({"user": {"token": 7}}, ["user.token"]),
    ({"token_file": "/nowhere/token"}, ["/nowhere/token"]),
    ({"cluster": {"insecure-skip-tls-verify": True}},
     ["insecure-skip-tls-verify"]),
    ({"cluster": {"server": "http://10.0.0.1"}}, ["https://"]),
    ({"cluster": {"certificate-authority-data": "x"}},
     ["certificate-authority-data"]),
])
def test_kubeconfig_errors_name_the_thing(binaries, fake, change, says):
    path = fake().kubeconfig(**change)
    ended = subprocess.run(
        [f"{binaries}/controller/tulle-controller", "--kubeconfig", path,
         "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
         "--state", f"{os.path.dirname(path)}/state"],
        capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert "--kubeconfig" in last
    for word in says:
        assert word in last


def test_no_kubeconfig_and_no_cluster(binaries, tmp_path):
    for arguments, says in ((["--kubeconfig", "/nowhere"], "/nowhere"),
                            (["--kubernetes"], "KUBERNETES_SERVICE_HOST")):
        ended = subprocess.run(
            [f"{binaries}/controller/tulle-controller", *arguments,
             "--admin", "127.0.0.1:0", "--state", f"{tmp_path}/state"],
            capture_output=True, text=True, timeout=20, check=False,
            env={k: v for k, v in os.environ.items()
                 if not k.startswith("KUBERNETES_")})
        assert ended.returncode == 1
        assert says in ended.stderr


# --- how well ----------------------------------------------------------------

def test_speed_and_numbers(fake, controller):
    kube = fake()
    c = controller(kube)
    wait_until("ready", c.ready, 15, c.controller.must_run)
    for i in range(3):
        begin = time.monotonic()
        kube.put(pod("cart-1", f"10.1.1.{i}"))
        wait_until("it is known", lambda n=i: any(
            p["ips"] == [f"10.1.1.{n}"] for p in c.registry()["Pod"]), 1)
        assert time.monotonic() - begin < 1
    assert c.number("controller_objects", kind="Pod") == 3
    assert c.number("controller_watch_interruptions_total", kind="Pod") == 0
    assert 0 <= c.number("controller_watch_silence_seconds", kind="Pod") < 60
