# SPDX-License-Identifier: Apache-2.0
"""What the leader writes: trust bundles, the webhook's certificate, MeshProxies
and the MeshConfig; and what it does not write."""
import json
import os
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cluster import SYSTEM, Session, cluster, condition, decoded
from peers.authority import Authority
from peers.process import cpu_seconds

BUNDLE = "tulle-trust-bundle"
HOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


@pytest.fixture(name="kube")
def _kube(binaries):
    return cluster(binaries)


def settle(c, seconds=6):
    """Until nothing was written for so long; the MeshConfig is looked at every
    5 s."""
    last = [c.mark(), time.monotonic()]

    def quiet():
        if c.writes(last[0]):
            last[:] = [c.mark(), time.monotonic()]
        return time.monotonic() - last[1] > seconds
    c.wait("no more writes", quiet, 60)


def said(writes):
    return [(x.method, x.path, x.status) for x in writes]


# --- trust bundles ------------------------------------------------------------

def test_bundle_in_every_namespace_but_the_systems(kube):
    with kube as c:
        for name in ("kube-public", "kube-node-lease", "other"):
            c.add_namespace(name)
        c.add_namespace("ending", phase="Terminating")
        c.controller()
        c.wait("bundles", lambda: all(
            c.bundle(n) == c.root() for n in ("shop", "other", SYSTEM)))
        c.add_namespace("new")
        c.wait("one more", lambda: c.bundle("new") == c.root())
        settle(c, 1)
        for name in ("kube-system", "kube-public", "kube-node-lease", "ending"):
            assert c.bundle(name) is None


def test_bundle_is_put_right(kube):
    with kube as c:
        c.controller()
        root = c.trusted()
        right = c.kube.get("ConfigMap", "shop", BUNDLE)["data"]
        for change in ({"data": {"bundle.pem": "-----BEGIN NONSENSE-----"}},
                       {"data": {"more": "x"}},
                       {"data": None},
                       {"binaryData": {"more": "AAAA"}}):
            c.kube.patch("ConfigMap", "shop", BUNDLE, change)
            c.wait(f"right after {change}", lambda: c.kube.get(
                "ConfigMap", "shop", BUNDLE).get("data") == right and not
                c.kube.get("ConfigMap", "shop", BUNDLE).get("binaryData"))
        c.kube.delete("ConfigMap", "shop", BUNDLE)
        c.wait("it is there again", lambda: c.bundle("shop") == root)


def test_bundle_that_somebody_made_immutable(kube):
    with kube as c:
        path = f"/api/v1/namespaces/shop/configmaps/{BUNDLE}"
        c.kube.fail(times=1000, status=422, method="PUT", path=path)
        c.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "immutable": True,
                    "metadata": {"name": BUNDLE, "namespace": "shop"},
                    "data": {"bundle.pem": "-----BEGIN NONSENSE-----"}})
        c.controller()
        c.wait("ours", lambda: c.bundle("shop") == c.root())
        assert "immutable" not in c.kube.get("ConfigMap", "shop", BUNDLE)
        assert not c.writes(0, path, by=None)[1:]  # one DELETE


def test_bundle_of_a_namespace_that_ends(kube):
    """Nothing can be made there any more; nobody tries again and again."""
    with kube as c:
        c.controller()
        c.trusted()
        c.add_namespace("shop", phase="Terminating")
        c.kube.fail(403, times=100, method="POST",
                    path="/api/v1/namespaces/shop/configmaps",
                    message="it is being terminated")
        time.sleep(0.3)  # allow sleep: the watch tells of the namespace first
        mark = c.mark()
        c.kube.delete("ConfigMap", "shop", BUNDLE)
        c.kube.delete("Namespace", "", "shop")
        c.add_namespace("after")
        c.wait("all goes on", lambda: c.bundle("after"))
        settle(c, 1)
        assert not c.writes(mark, "/shop/")


def test_bundle_follows_the_issuer(kube):
    with kube as c:
        old = decoded(c.add_issuer(Authority.stranger()), "tls.crt")
        c.controller("a", "--issuer-secret", "issuer", "--cert-life", "4s")
        assert c.trusted() == old
        new = decoded(c.add_issuer(Authority.stranger()), "tls.crt")
        for want in (new + old, new):
            c.wait("both", lambda want=want: c.bundle("shop") ==
                   c.bundle(SYSTEM) == want)


def test_bundle_that_cannot_be_written_is_tried_again(kube):
    with kube as c:
        fault = c.kube.fail(500, times=2, method="POST",
                            path="/api/v1/namespaces/shop/configmaps")
        c.controller()
        c.wait("it is written", lambda: c.bundle("shop"), 30)
        assert fault.hit == 2
        assert "trust bundle not written" in c.outputs()


# --- the webhook --------------------------------------------------------------

def add_hooks(c, *names, bundle=None):
    def hook(name):
        to = {"service": {"name": "tulle-injector", "namespace": SYSTEM,
                          "path": "/inject", "port": 443}}
        if bundle:
            to["caBundle"] = bundle
        return {"name": name, "clientConfig": to, "failurePolicy": "Fail",
                "sideEffects": "None", "admissionReviewVersions": ["v1"]}
    return c.kube.put({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "tulle-injector", "labels": {"x": "y"}},
        "webhooks": [hook(n) for n in names]})


def ca_bundles(c):
    hooks = c.kube.get("MutatingWebhookConfiguration", "", "tulle-injector")
    return [decoded({"data": {"x": h["clientConfig"].get("caBundle", "")}},
                    "x") for h in hooks["webhooks"]]


def serving(c):
    return c.secret("tulle-injector-serving")


def serving_cert(c):
    secret = serving(c)
    return x509.load_pem_x509_certificate(
        decoded(secret, "tls.crt").encode()) if secret else None


def test_certificate_of_the_injector(kube):
    with kube as c:
        c.controller("a", "--cluster-domain", "k8s.example.org")
        cert = c.wait("it is made", lambda: serving_cert(c))
        names = cert.extensions.get_extension_for_class(
            x509.SubjectAlternativeName).value
        service = f"tulle-injector.{SYSTEM}"
        assert set(names.get_values_for_type(x509.DNSName)) == {
            service, f"{service}.svc", f"{service}.svc.k8s.example.org"}
        secret = serving(c)
        assert secret["type"] == "kubernetes.io/tls"
        assert decoded(secret, "ca.crt") == c.root()
        key = serialization.load_pem_private_key(
            decoded(secret, "tls.key").encode(), None)
        assert key.public_key() == cert.public_key()
        assert secret["data"]["tls.key"][40:80] not in c.outputs()


@pytest.mark.parametrize("names", [["pod.inject.tulle.dev"],
                                   ["namespace.inject.tulle.dev",
                                    "pod.inject.tulle.dev"]], ids=len)
def test_ca_bundle_and_nothing_else(kube, names):
    with kube as c:
        before = add_hooks(c, *names)
        c.controller()
        c.wait("it is set", lambda: ca_bundles(c) == [c.root()] * len(names))
        now = c.kube.get("MutatingWebhookConfiguration", "", "tulle-injector")
        for h in now["webhooks"]:
            del h["clientConfig"]["caBundle"]
        for o in (now, before):
            del o["metadata"]["resourceVersion"]
        assert now == before
        write, = c.writes(0, HOOKS)
        assert write.query == {"fieldManager": "tulle-controller",
                               "force": "true"}
        assert write.headers["content-type"] == "application/apply-patch+yaml"


@pytest.mark.parametrize("at", [0, 1])
def test_ca_bundle_is_put_right(kube, at):
    with kube as c:
        add_hooks(c, "namespace.inject.tulle.dev", "pod.inject.tulle.dev")
        c.controller()
        c.wait("both are set", lambda: ca_bundles(c) == [c.root()] * 2)
        for wrong in ("AAAA", None):
            hooks = c.kube.get("MutatingWebhookConfiguration", "",
                               "tulle-injector")
            to = hooks["webhooks"][at]["clientConfig"]
            to["caBundle"] = wrong
            if not wrong:
                del to["caBundle"]
            c.kube.put(hooks)
            c.wait("right again", lambda: ca_bundles(c) == [c.root()] * 2)


def test_webhook_comes_later_and_follows_the_issuer(kube):
    with kube as c:
        c.add_issuer(Authority.stranger())
        c.controller("a", "--issuer-secret", "issuer")
        first = c.wait("a certificate", lambda: serving_cert(c))
        add_hooks(c, "pod.inject.tulle.dev")
        c.wait("it is set", lambda: ca_bundles(c) == [c.trusted()])
        old = c.trusted()
        new = decoded(c.add_issuer(Authority.stranger()), "tls.crt")
        c.wait("the new root", lambda: ca_bundles(c) == [new + old])
        c.wait("another certificate", lambda: serving_cert(c) != first)
        assert decoded(serving(c), "ca.crt") == new + old


def test_certificate_is_renewed_at_half_of_its_life(kube):
    with kube as c:
        c.controller("a", "--cert-life", "8s")
        begin = time.monotonic()
        first = c.wait("it is made", lambda: serving_cert(c))
        mark = c.mark()
        c.wait("another", lambda: serving_cert(c) != first)
        assert 2 < time.monotonic() - begin < 8
        assert len(c.writes(mark, "/secrets")) == 1


@pytest.mark.parametrize("change", [
    {"data": {"tls.crt": "AAAA"}}, {"data": {"tls.key": None}},
    {"data": {"ca.crt": "AAAA"}},
    {"data": {"tls.key": "bm8ga2V5"}}], ids=str)
def test_certificate_is_put_right(kube, change):
    with kube as c:
        c.controller()
        first = c.wait("it is made", lambda: serving_cert(c))
        c.kube.patch("Secret", SYSTEM, "tulle-injector-serving", change)

        def whole():
            secret = serving(c)
            if not secret:
                return False
            try:
                cert = serving_cert(c)
                key = serialization.load_pem_private_key(
                    decoded(secret, "tls.key").encode(), None)
            except (KeyError, ValueError):
                return False
            return key.public_key() == cert.public_key() and \
                decoded(secret, "ca.crt") == c.root() and cert != first
        c.wait("a new one", whole)
        c.kube.delete("Secret", SYSTEM, "tulle-injector-serving")
        c.wait("and once more", whole)


# --- mesh state ---------------------------------------------------------------

def test_mesh_proxy_of_a_pod(kube):
    with kube as c:
        c.controller()
        c.add_pod("shop/plain", meshed=False)
        c.add_pod("shop/cart-1", "cart", ip="127.4.0.7", ready=False,
                  annotations={"tulle.dev/mtls": "strict"})
        c.wait("it is made", lambda: c.sync("shop/cart-1") == "never")
        made = c.mesh_proxy("shop/cart-1")
        assert made["metadata"]["ownerReferences"] == [{
            "apiVersion": "v1", "kind": "Pod", "name": "cart-1",
            "uid": c.uid("shop/cart-1")}]
        status = made["status"]
        assert (status["ready"], status["mtls"], status["node"],
                status["podIP"]) == ("False", "strict", "local", "127.4.0.7")
        assert status["message"] == "the proxy has not started yet"
        assert condition(made, "Synced")["reason"] == "NeverConnected"

        c.start_proxy("shop/cart-1", "cart")
        c.add_pod("shop/cart-1", "cart", ip="127.4.0.7",
                  uid=c.uid("shop/cart-1"))
        c.wait("it is synced and ready", lambda: c.sync("shop/cart-1") == "yes"
               and c.mesh_proxy("shop/cart-1")["status"]["ready"] == "True")
        status = c.mesh_proxy("shop/cart-1")["status"]
        assert status["identity"] == "spiffe://cluster.local/ns/shop/sa/cart"
        assert status["version"] and status["config"]
        assert status["certExpires"].endswith("Z")
        assert [(k["type"], k["status"]) for k in status["conditions"]] == [
            ("Ready", "True"), ("Synced", "True"), ("CertificateValid",
                                                    "True")]
        assert not c.mesh_proxy("shop/plain")


def test_mesh_config_counts(kube):
    with kube as c:
        c.controller("a", "--default-mtls", "strict")
        c.start_proxy("shop/cart")
        c.add_pod("shop/waits")
        c.wait("two, one in sync", lambda: [
            c.mesh_config().get("status", {}).get(k)
            for k in ("proxies", "synced")] == [2, 1])
        status = c.mesh_config()["status"]
        assert (status["ready"], status["mtls"], status["trustDomain"]) == \
            ("True", "strict", "cluster.local")
        assert status["caExpires"] and status["version"]
        c.kube.delete("Pod", "shop", "waits")
        c.wait("one", lambda: c.mesh_config()["status"]["proxies"] == 1)


def test_disconnected_and_back(kube):
    with kube as c:
        c.controller()
        proxy = c.start_proxy("shop/cart")
        c.wait("synced", lambda: c.sync("shop/cart") == "yes")
        before = condition(c.mesh_proxy("shop/cart"), "Ready")
        c.end(proxy)
        c.wait("it is noticed", lambda: c.sync("shop/cart") == "unknown", 45)
        now = c.mesh_proxy("shop/cart")
        assert condition(now, "Synced")["reason"] == "Disconnected"
        assert condition(now, "Ready") == before  # also its time
        c.start_proxy("shop/cart")
        c.wait("it is back", lambda: c.sync("shop/cart") == "yes")


def test_a_session_that_comes_again_at_once_is_no_news(kube):
    """A blink is not shown: it would be two writes for each pod when a replica
    or a network ends many sessions."""
    with kube as c:
        c.controller()
        folder = c.certificate("shop/cart")
        s = Session(c.controllers["a"].api, folder)
        assert s.status() == 200
        s.subscribe()
        c.wait("synced", lambda: c.sync("shop/cart") == "yes")
        settle(c)
        mark = c.mark()
        for _ in range(3):
            s.close()
            time.sleep(1.5)  # allow sleep: long enough to be looked at
            s = Session(c.controllers["a"].api, folder)
            assert s.status() == 200
            s.subscribe()
        settle(c)
        assert not c.writes(mark), said(c.writes(mark))
        s.close()


def test_two_sessions_of_one_pod(kube):
    """The old one is not known to be dead yet: nothing flaps."""
    with kube as c:
        c.controller()
        folder = c.certificate("shop/cart")
        old = Session(c.controllers["a"].api, folder)
        assert old.status() == 200
        old.subscribe()
        c.wait("synced", lambda: c.sync("shop/cart") == "yes")
        new = Session(c.controllers["a"].api, c.certificate("shop/cart"))
        assert new.status() == 200
        new.say({"type": "subscribe", "kind": "workload"})
        new.hear("workload")  # and it never says that this is in force
        c.wait("it is shown", lambda: c.sync("shop/cart") == "no")
        settle(c)
        assert c.sync("shop/cart") == "no"
        new.close()
        old.close()


def test_last_words_of_what_died(kube):
    with kube as c:
        c.controller()
        dead = {"terminated": {"exitCode": 1, "message":
                               "packet rules: no such table\n"}}
        c.add_pod("shop/cart", ready=False, initContainerStatuses=[
            {"name": "tulle-init", "ready": False,
             "state": {"waiting": {"reason": "CrashLoopBackOff"}},
             "lastState": dead}])
        c.wait("they are shown", lambda: (c.mesh_proxy("shop/cart") or {}).get(
            "status", {}).get("message") == "packet rules: no such table")
        assert condition(c.mesh_proxy("shop/cart"), "Ready")["reason"] == \
            "ProxyFailed"


def test_namespace_says_strict(kube):
    with kube as c:
        c.controller()
        c.add_pod("shop/cart")
        c.wait("permissive", lambda: (c.mesh_proxy("shop/cart") or {}).get(
            "status", {}).get("mtls") == "permissive")
        c.add_namespace("shop", {"tulle.dev/mtls": "strict"})
        c.wait("strict", lambda: c.mesh_proxy("shop/cart")["status"]["mtls"]
               == "strict")


def test_pod_made_again_under_its_name(kube):
    """A StatefulSet's: its MeshProxy is another one, too."""
    with kube as c:
        c.controller()
        proxy = c.start_proxy("shop/db-0")
        c.wait("synced", lambda: c.sync("shop/db-0") == "yes")
        first = c.mesh_proxy("shop/db-0")["metadata"]["uid"]
        # Its proxy has not noticed yet.
        c.add_pod("shop/db-0", ready=False)

        def another():
            now = c.mesh_proxy("shop/db-0")
            return now and now["metadata"]["uid"] != first and \
                now["metadata"]["ownerReferences"][0]["uid"] == \
                c.uid("shop/db-0") and c.sync("shop/db-0")
        assert c.wait("another one", another) == "never"
        settle(c)
        assert c.sync("shop/db-0") == "never"
        assert c.mesh_config()["status"]["synced"] == 0
        c.end(proxy)
        settle(c)
        assert c.sync("shop/db-0") == "never"
        c.start_proxy("shop/db-0")
        c.wait("synced", lambda: c.sync("shop/db-0") == "yes")


def test_pod_goes(kube):
    with kube as c:
        c.controller()
        for name, phase in (("gone", None), ("done", "Succeeded"),
                            ("failed", "Failed")):
            pod = f"shop/{name}"
            c.add_pod(pod)
            c.wait("it is shown", lambda pod=pod: c.sync(pod))
            if phase:
                c.add_pod(pod, uid=c.uid(pod), phase=phase)
            else:
                c.kube.delete("Pod", "shop", name)
            c.wait("no more", lambda pod=pod: not c.mesh_proxy(pod))


def test_mesh_objects_are_put_right(kube):
    with kube as c:
        c.controller()
        c.add_pod("shop/cart")
        c.wait("it is shown", lambda: c.sync("shop/cart"))
        status = c.mesh_proxy("shop/cart")["status"]
        c.kube.patch("MeshProxy", "shop", "cart", {"status": {"message":
                                                           "nonsense"}})
        c.wait("right again", lambda: c.mesh_proxy("shop/cart").get("status")
               == status)
        c.kube.delete("MeshProxy", "shop", "cart")
        c.wait("there again", lambda: c.sync("shop/cart"))
        c.kube.delete("MeshConfig", "", "mesh")
        c.wait("there again", lambda: c.mesh_config() and
               c.mesh_config().get("status"))
        c.kube.put({"apiVersion": "tulle.dev/v1alpha1", "kind": "MeshProxy",
                    "metadata": {"name": "nobody", "namespace": "shop"}})
        c.wait("nobody's is gone", lambda: not c.mesh_proxy("shop/nobody"))


@pytest.mark.parametrize("missing", [["MeshProxy"], ["MeshConfig"],
                                     ["MeshProxy", "MeshConfig"]], ids=str)
def test_without_the_definitions(kube, missing):
    """What can be written is; all else goes on."""
    with kube as c:
        for kind in missing:
            c.kube.remove_resource(kind)
        c.controller()
        c.start_proxy("shop/cart")
        settle(c, 1)
        tried = [w for w in c.writes(0, "tulle.dev") if w.status == 404]
        assert not tried, said(tried)


# --- what is not written ------------------------------------------------------

def test_nothing_is_written_when_all_is_right(kube):
    with kube as c:
        add_hooks(c, "pod.inject.tulle.dev")
        c.controller()
        for n in range(3):
            c.start_proxy(f"shop/cart-{n}")
        c.wait("synced", lambda: c.mesh_config()["status"]["synced"] == 3)
        settle(c)
        mark = c.mark()
        # Lists anew, and reports of proxies, say nothing new.
        c.kube.compact()
        c.kube.end_watches()
        time.sleep(11)  # allow sleep: two reports, two looks at the MeshConfig
        assert not c.writes(mark), said(c.writes(mark))


@pytest.mark.parametrize("slow", ["pods", "namespaces", "secrets",
                                  "meshproxies", None])
def test_who_starts_anew_rewrites_nothing(kube, slow):
    """Also when it leads before it has heard all that there is."""
    with kube as c:
        add_hooks(c, "pod.inject.tulle.dev")
        c.controller()
        folder = c.certificate("shop/cart")
        for n in range(20):
            c.add_pod(f"shop/idle-{n}")
        c.start_proxy("shop/other")
        s = Session(c.controllers["a"].api, folder)
        assert s.status() == 200
        s.subscribe()
        c.wait("all is shown", lambda: c.mesh_config()["status"].get("proxies")
               == 22 and c.mesh_config()["status"]["synced"] == 2)
        settle(c)
        c.terminate("a")
        mark = c.mark()
        if slow:
            paths = {"pods": "/api/v1/pods", "namespaces": "/api/v1/namespaces",
                     "secrets": f"/api/v1/namespaces/{SYSTEM}/secrets",
                     "meshproxies": "/apis/tulle.dev/v1alpha1/meshproxies"}
            c.kube.slow(4, times=2, path=paths[slow])
        c.controller("a")
        again = Session(c.controllers["a"].api, folder)
        assert again.status() == 200
        again.subscribe()
        c.await_leader("a")
        settle(c)
        again.close()
        s.close()
        assert not c.writes(mark), said(c.writes(mark))
        assert c.sync("shop/other") == "yes" and c.sync("shop/cart") == "yes"


def test_a_burst_of_pods_keeps_to_the_budget(kube):
    with kube as c:
        c.controller()
        c.trusted()
        settle(c, 1)
        mark, begin = c.mark(), time.monotonic()
        for n in range(200):
            c.add_pod(f"shop/pod-{n:03}", ip=f"127.4.1.{n + 1}")

        def first():
            with c.kube._changed:  # pylint: disable=protected-access
                times = [x for x in c.kube.requests[mark:]
                         if "/meshproxies" in x.path and x.method != "GET"]
            return len(times)
        c.wait("the first are written", lambda: first() >= 20, 5)
        end = begin + 10
        while time.monotonic() < end:
            allowed = 20 + 5 * (time.monotonic() - begin) + 1
            assert first() <= allowed, (first(), allowed)
            time.sleep(0.1)  # allow sleep: between looks
        assert first() > 20 + 5 * 10 * 0.8
        # Who changes meanwhile is written once, as it is then.
        c.wait("all are shown", lambda: len(c.kube.all("MeshProxy")) == 200
               and all("status" in p for p in c.kube.all("MeshProxy")), 120)
        assert len(c.writes(mark, "/meshproxies")) == 400


def test_leading_for_many_pods_does_not_stall(kube):
    """Thousands of objects that are right are looked at in small pieces."""
    with kube as c:
        first = c.controller()
        c.trusted()
        status = None
        c.add_pod("shop/model")
        c.wait("a model", lambda: c.sync("shop/model"))
        model = c.mesh_proxy("shop/model")
        c.terminate("a")
        for n in range(3000):
            name = f"pod-{n:04}"
            uid = f"uid-{n}"
            c.add_pod(f"shop/{name}", uid=uid)
            obj = json.loads(json.dumps(model))
            obj["metadata"] = {
                "name": name, "namespace": "shop", "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Pod", "name": name,
                    "uid": uid}]}
            c.kube.put(obj)
        assert first and status is None
        mark = c.mark()
        again = c.controller()
        c.await_leader("a")
        settle(c, 1)
        assert not c.writes(mark, "/meshproxies")
        before = cpu_seconds(again.process.pid)
        time.sleep(6)  # allow sleep: a look at the MeshConfig
        assert cpu_seconds(again.process.pid) - before < 3


# --- the end ------------------------------------------------------------------

@pytest.mark.parametrize("when", ["slow writes", "frozen", "down"])
def test_it_ends_while_writes_are_under_way(kube, when):
    with kube as c:
        c.controller("a", "--drain", "1s")
        c.trusted()
        slow = c.kube.slow(2, times=1000, method="POST")
        for n in range(30):
            c.add_pod(f"shop/pod-{n}")
            c.add_namespace(f"more-{n}")
        c.wait("writes are under way", lambda: slow.hit >= 4)
        if when == "frozen":
            c.kube.freeze()
        elif when == "down":
            c.kube.stop()
        begin = time.monotonic()
        c.terminate("a")
        assert time.monotonic() - begin < 6


def test_the_pod_is_told(kube):
    with kube as c:
        c.controller()
        c.start_proxy("shop/cart", "cart")

        def events():
            return [e for e in c.kube.all("Event")
                    if e["reason"] == "Meshed"]
        event, = c.wait("an Event", events)
        assert event["involvedObject"]["uid"] == c.uid("shop/cart")
        said = event.get("message") or event.get("note")
        assert said == "in the mesh as spiffe://cluster.local/ns/shop/sa/cart"


def test_what_the_server_drops_is_not_written_for_ever(kube):
    """A definition that is older, or another, than what we write."""
    with kube as c:
        real = c.kube._update  # pylint: disable=protected-access

        def prune(resource, key, sub, new):
            if sub == "status":
                new = {**new, "status": {**new["status"]}}
                new["status"].pop("podIP", None)
                new["status"].pop("version", None)
            return real(resource, key, sub, new)
        c.kube._update = prune  # pylint: disable=protected-access
        c.controller()
        c.start_proxy("shop/cart")
        c.wait("it is shown", lambda: c.sync("shop/cart") == "yes")
        settle(c)
        assert "podIP" not in c.mesh_proxy("shop/cart")["status"]
        mark = c.mark()
        time.sleep(6)  # allow sleep: a look at the MeshConfig
        assert not c.writes(mark), said(c.writes(mark))
        # What changes is written all the same.
        c.add_pod("shop/cart", uid=c.uid("shop/cart"), ready=False)
        c.wait("it is shown", lambda: c.mesh_proxy("shop/cart")["status"][
            "ready"] == "False")
