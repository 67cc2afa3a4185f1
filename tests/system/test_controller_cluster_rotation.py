# SPDX-License-Identifier: Apache-2.0
"""The controller changes its own root: everybody trusts the next one before it
signs, and the old one for as long as what it signed lives."""
import base64
import contextlib
import re

import pytest
from cryptography import x509

from cluster import SYSTEM, Session, cluster, condition, decoded, pems
from peers.authority import Authority
from peers.http1 import App
from peers.traffic import Traffic

SECRET = f"/api/v1/namespaces/{SYSTEM}/secrets/tulle-ca"
PHASE = "tulle.dev/root-phase"
WANTED, DONE = "tulle.dev/rotate-root", "tulle.dev/rotated-root"
# Who hears nothing for so long signs nothing.
STALE = ("--lease-duration", "3s", "--stale-after", "5s")
QUICK = ("--cert-life", "4s", "--root-settle", "1s", *STALE)


@pytest.fixture(name="kube")
def _kube(binaries):
    @contextlib.contextmanager
    def make():
        with cluster(binaries) as c:
            c.kube.bookmark_seconds = 1
            yield c
    return make()


def rotate(c, value="1", name="tulle-ca"):
    c.kube.patch("Secret", SYSTEM, name, {"metadata": {"annotations": {
        WANTED: value}}})


def noted(c, name):
    return c.secret("tulle-ca")["metadata"].get("annotations", {}).get(name)


def phase(c):
    return noted(c, PHASE) or "at rest"


def await_phase(c, *wanted, seconds=30):
    c.wait(f"the root is {wanted}", lambda: phase(c) in wanted, seconds)


def await_rotated(c, old, seconds=30):
    c.wait("another root is at rest", lambda: phase(c) == "at rest" and
           c.root() != old, seconds)


def roots(c):
    return decoded(c.secret("tulle-ca"), "ca.crt")


def gives(c, name="a"):
    """A certificate for a pod that has no proxy."""
    if not c.kube.get("Pod", "shop", "someone"):
        c.add_pod("shop/someone", ready=False)
    status, answer = c.ask(c.token("shop/someone"), c.controllers[name].api)
    assert status == 200, answer
    return answer


def signed_by(answer, root):
    leaf = x509.load_pem_x509_certificate(answer["chain"].encode())
    try:
        leaf.verify_directly_issued_by(
            x509.load_pem_x509_certificate(root.encode()))
    except Exception:  # pylint: disable=broad-exception-caught
        return False
    return True


def patches(c, status=200, by=None):
    return [x for x in c.kube.requests if x.method == "PATCH"
            and x.path == SECRET and x.status == status
            and by in (None, x.user)]


def roots_made(c):
    return [x for x in patches(c) if re.search(b'"next.crt":"', x.body)]


def says(c):
    return condition(c.mesh_config(), "AuthorityValid").get("message")


def ca_bundle(c):
    found = c.kube.get("MutatingWebhookConfiguration", "", "tulle-injector")
    return base64.b64decode(
        found["webhooks"][0]["clientConfig"].get("caBundle", "")).decode()


def add_webhook(c):
    c.kube.put({"apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "tulle-injector"},
                "webhooks": [{"name": "in.tulle.dev", "clientConfig": {}}]})


def mute(c, name):
    """A proxy that has said nothing to the last thing that it was told."""
    folder = c.certificate("shop/mute", api=c.controllers[name].api)
    s = Session(c.controllers[name].api, folder)
    assert s.status() == 200
    s.subscribe()
    return s


# --- step by step -------------------------------------------------------------

def test_requests_flow_through_a_rotation(kube):
    with kube as c, App() as app:
        add_webhook(c)
        c.controller("a", "--cert-life", "10s", "--root-settle", "3s", *STALE)
        front, *_ = c.serve(app.address)
        old = c.root()
        old_key = c.secret("tulle-ca")["data"]["tls.key"]
        with Traffic(front, keep=False) as traffic:
            rotate(c, "2026-11")
            await_phase(c, "distributing")
            new = decoded(c.secret("tulle-ca"), "next.crt")
            assert c.root() == old and roots(c) == old + new
            c.wait("all are told", lambda: c.bundle("shop") == old + new)
            c.wait("also the API server", lambda: ca_bundle(c) == old + new)
            answer = gives(c)
            assert signed_by(answer, old) and answer["bundle"] == old + new

            await_phase(c, "retiring")
            assert c.root() == new and roots(c) == old + new
            data = c.secret("tulle-ca")["data"]
            assert set(data) == {"tls.crt", "tls.key", "ca.crt"}
            assert data["tls.key"] != old_key
            c.wait("it signs", lambda: signed_by(gives(c), new))
            assert gives(c)["bundle"] == new + old
            c.wait("also the injector's", lambda: signed_by(
                {"chain": decoded(c.secret("tulle-injector-serving"),
                                  "tls.crt")}, new))
            # What the API server trusts holds both until the end.
            assert sorted(re.findall("N CERT.*?END", ca_bundle(c), re.S)) == \
                sorted(re.findall("N CERT.*?END", old + new, re.S))

            await_phase(c, "at rest")
            assert c.root() == roots(c) == new
            assert noted(c, DONE) == "2026-11"
            c.wait("the old one is gone", lambda: c.bundle("shop") ==
                   ca_bundle(c) == new, 5)
            assert gives(c)["bundle"] == new
            traffic.go_on(6)
        assert len(roots_made(c)) == 1 and len(patches(c)) == 3
        for secret in (old_key, data["tls.key"]):
            assert secret[60:100] not in c.outputs()
        assert "PRIVATE KEY" not in c.outputs()
        assert {e["reason"] for e in c.kube.all("Event")} >= {
            "RootDistributing", "RootRetiring", "RootRotated"}


def test_it_is_done_once_for_each_word(kube):
    with kube as c:
        c.controller("a", *QUICK)
        first = c.root()
        rotate(c, "1")
        await_rotated(c, first)
        second = c.root()
        c.stays("nothing is asked", lambda: phase(c) == "at rest", 3)
        # Asked again in the middle: again, when this one is done.
        rotate(c, "2")
        await_phase(c, "distributing")
        rotate(c, "3")
        c.wait("both are done", lambda: phase(c) == "at rest" and
               noted(c, DONE) == "3", 40)
        assert c.root() != second and len(roots_made(c)) == 3


def test_a_root_near_its_end_is_changed(kube):
    with kube as c:
        c.controller("a", "--root-life", "15s", "--cert-life", "3s",
                     "--root-settle", "1s", *STALE)
        old = c.root()
        c.stays("it is young", lambda: phase(c) == "at rest", 6)
        await_rotated(c, old)
        assert noted(c, DONE) is None


# --- who must have it first ---------------------------------------------------

def test_a_proxy_of_another_replica_is_waited_for(kube):
    with kube as c:
        c.controller("a", *QUICK)
        c.await_leader("a")
        c.controller("b", *QUICK)
        c.start_proxy("shop/cart")
        s = mute(c, "b")
        rotate(c)
        # New to it: a bundle with both.
        view = s.hear("workload")
        c.stays("it is waited for", lambda: phase(c) == "distributing", 4)
        s.say({"type": "ack", "kind": "workload", "key": "",
               "hash": view["hash"]})
        await_phase(c, "retiring")
        s.close()
        assert len(roots_made(c)) == 1 and not patches(c, by="b")
        assert not any(x.status == 409 for x in c.kube.requests
                       if x.path == SECRET)
        c.wait("both sign with it", lambda: signed_by(
            gives(c, "a"), c.root()) and signed_by(gives(c, "b"), c.root()))


def test_a_pod_that_says_nothing_is_waited_for_until_the_deadline(kube):
    with kube as c:
        c.add_pod("shop/silent")
        c.add_pod("shop/starting", ready=False)
        c.add_pod("shop/stranger", meshed=False)
        c.controller("a", *QUICK, "--root-deadline", "5s")
        rotate(c)
        await_phase(c, "distributing")
        c.stays("it is waited for", lambda: phase(c) == "distributing", 3)
        await_phase(c, "retiring")

        def warned():
            return [e for e in c.kube.all("Event")
                    if e["reason"] == "RootNotEverywhere"]
        event, = c.wait("it is told", warned)
        assert event["type"] == "Warning"
        assert event["message"].startswith("1 did not")
        assert event["message"].endswith(": shop/silent")
        assert 'some="shop/silent"' in c.outputs()


# --- others write, leaders go -------------------------------------------------

def test_a_conflict_is_read_and_decided_again(kube):
    with kube as c:
        c.controller("a", *QUICK)
        old = c.root()

        def meddle(_):
            c.kube.patch("Secret", SYSTEM, "tulle-ca", {"metadata": {
                "labels": {"touched": str(c.mark())}}})
        c.kube.order(meddle, times=2, method="PATCH", path=SECRET)
        rotate(c)
        await_rotated(c, old)
        assert len(patches(c, 409)) == 2 and len(roots_made(c)) == 1
        assert "touched" in c.secret("tulle-ca")["metadata"]["labels"]


def test_what_cannot_be_written_is_tried_again(kube):
    with kube as c:
        c.controller("a", *QUICK)
        old = c.root()
        c.kube.fail(403, times=1, method="PATCH", path=SECRET,
                    message="may not patch secrets")
        rotate(c)
        c.wait("it says so", lambda: "may not patch secrets" in c.outputs())
        assert phase(c) == "at rest" and c.root() == old
        c.wait("also in an Event", lambda: [
            e for e in c.kube.all("Event") if e["reason"] == "RootNotRotated"
            and "may not patch secrets" in e["message"]])
        await_rotated(c, old, 60)


def test_the_next_leader_goes_on(kube):
    with kube as c:
        more = ("--cert-life", "12s", "--root-settle", "4s", *STALE)
        c.controller("a", *more)
        c.await_leader("a")
        rotate(c)
        await_phase(c, "distributing")
        new = decoded(c.secret("tulle-ca"), "next.crt")
        c.kill("a")
        c.controller("b", *more)
        await_phase(c, "retiring", seconds=40)
        assert c.root() == new
        c.kill("b")
        c.controller("a", *more)
        await_phase(c, "at rest", seconds=40)
        assert c.root() == roots(c) == new and len(roots_made(c)) == 1
        assert signed_by(gives(c, "a"), new)


def test_a_secret_deleted_in_the_middle_is_put_back(kube):
    with kube as c:
        c.add_pod("shop/silent")
        c.controller("a", *QUICK)
        old = c.root()
        rotate(c)
        await_phase(c, "distributing")
        c.wait("it is known", lambda: c.bundle("shop") == roots(c))
        was = c.secret("tulle-ca")
        c.kube.delete("Secret", SYSTEM, "tulle-ca")
        now = c.wait("it is there", lambda: c.secret("tulle-ca"))
        assert now["data"] == was["data"]
        assert now["metadata"]["annotations"] == was["metadata"]["annotations"]
        c.kube.delete("Pod", "shop", "silent")
        await_rotated(c, old)
        assert len(roots_made(c)) == 1


# --- what is not to be touched ------------------------------------------------

def test_a_given_issuer_is_never_touched(kube):
    with kube as c:
        c.add_issuer(Authority.stranger())
        was = c.secret("issuer")["data"]
        c.controller("a", "--issuer-secret", "issuer", *QUICK)
        rotate(c, name="issuer")
        c.stays("it is another's", lambda: c.secret("issuer")["data"] == was
                and "root-phase" not in str(c.secret("issuer")["metadata"]), 4)
        assert not c.writes(word="/secrets/issuer")
        assert not c.secret("tulle-ca")


def test_a_root_that_we_did_not_make_is_not_changed(kube):
    with kube as c:
        c.add_issuer(Authority.stranger(), "tulle-ca")
        was = c.root()
        c.controller("a", *QUICK)
        rotate(c)
        c.wait("it says so", lambda: "not ours to change" in (says(c) or ""))
        c.stays("it is another's", lambda: c.root() == was, 3)
        assert gives(c) and not patches(c)


def _unknown(c, _):
    return {"metadata": {"annotations": {PHASE: "dancing"}}}


def _no_date(c, _):
    return {"metadata": {"annotations": {
        PHASE: "retiring", PHASE + "-since": "yesterday"}}}


def _other_key(c, other):
    return {"data": {"next.key": other["data"]["tls.key"]}}


def _no_next(c, _):
    return {"data": {"next.crt": None}}


def _stranger(c, other):
    return {"data": {"next.crt": other["data"]["tls.crt"],
                     "next.key": other["data"]["tls.key"]}}


def _not_in_bundle(c, _):
    return {"data": {"ca.crt": c.secret("tulle-ca")["data"]["tls.crt"]}}


def _no_phase(c, _):
    return {"metadata": {"annotations": {PHASE: None}}}


NONSENSE = {"an unknown phase": (_unknown, PHASE),
            "no date": (_no_date, PHASE + "-since"),
            "another's key": (_other_key, "data.next.crt"),
            "no next root": (_no_next, "next.crt"),
            "a stranger's root": (_stranger, "data.next.crt"),
            "not trusted": (_not_in_bundle, "data.ca.crt"),
            "no phase": (_no_phase, "data.next.crt")}


@pytest.mark.parametrize("what", NONSENSE)
def test_what_makes_no_sense_is_reported_and_left_alone(kube, what):
    spoil, word = NONSENSE[what]
    with kube as c:
        c.add_pod("shop/silent")  # so that it waits
        other = c.add_issuer(Authority.stranger(), "other")
        c.controller("a", *QUICK)
        old = c.root()
        rotate(c)
        await_phase(c, "distributing")
        good = c.secret("tulle-ca")
        c.kube.patch("Secret", SYSTEM, "tulle-ca", spoil(c, other))
        spoilt = c.secret("tulle-ca")["data"]
        c.kube.delete("Pod", "shop", "silent")
        c.wait("it says so", lambda: word in (says(c) or ""))
        assert says(c).startswith(f"Secret {SYSTEM}/tulle-ca: ")
        c.stays("it is left alone", lambda: c.secret("tulle-ca")["data"]
                == spoilt, 3)
        assert signed_by(gives(c), old)
        c.kube.put(good)
        await_rotated(c, old)
        c.wait("all is well", lambda: says(c) == "")
