# SPDX-License-Identifier: Apache-2.0
"""The controller changes its own root: everybody trusts the next one before it
signs, and the old one for as long as what it signed lives."""
import base64
import contextlib
import datetime
import hashlib
import re
import signal
import time

import pytest
from cryptography import x509

from cluster import SYSTEM, Session, cluster, condition, decoded, pems
from peers.authority import Authority
from peers.http1 import App
from peers.traffic import Traffic

SECRETS = f"/api/v1/namespaces/{SYSTEM}/secrets"
SECRET = f"{SECRETS}/tulle-ca"
PHASE, MADE = "tulle.dev/root-phase", "tulle.dev/made-roots"
OLD, UNTIL = "tulle.dev/old-root", "tulle.dev/old-root-until"
WANTED, DONE = "tulle.dev/rotate-root", "tulle.dev/rotated-root"
# Who hears nothing for so long signs nothing; the next root is told of for a
# second more.
STALE = ("--lease-duration", "3s", "--stale-after", "4s")
QUICK = ("--cert-life", "2s", "--root-settle", "1s", *STALE)
# For those with proxies.
CALM = ("--cert-life", "8s", "--root-settle", "1s", *STALE)


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


def events(c):
    return {e["reason"]: e for e in c.kube.all("Event")}


def mark(pem):
    return hashlib.sha256(pem.strip().encode()).hexdigest()[:16]


# --- step by step -------------------------------------------------------------

def test_requests_flow_through_a_rotation(kube):
    with kube as c, App() as app:
        add_webhook(c)
        c.controller("a", *CALM)
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
            assert noted(c, MADE) == mark(new) and noted(c, OLD) == mark(old)
            c.wait("it signs", lambda: signed_by(gives(c), new))
            assert gives(c)["bundle"] == new + old
            c.wait("also the injector's", lambda: signed_by(
                {"chain": decoded(c.secret("tulle-injector-serving"),
                                  "tls.crt")}, new))
            # What the API server trusts holds both until the end.
            assert sorted(re.findall("N CERT.*?END", ca_bundle(c), re.S)) == \
                sorted(re.findall("N CERT.*?END", old + new, re.S))
            # Asked again in the middle: again, when this one is done.
            rotate(c, "2026-12")

            await_phase(c, "at rest")
            assert c.root() == roots(c) == new
            assert noted(c, DONE) == "2026-11" and not noted(c, UNTIL)
            c.wait("the old one is gone", lambda: c.bundle("shop") ==
                   ca_bundle(c) == new, 5)
            assert len(roots_made(c)) == 1 and len(patches(c)) == 3
            await_phase(c, "distributing")
            assert noted(c, DONE) == "2026-12"
            traffic.go_on(3)
        for secret in (old_key, data["tls.key"]):
            assert secret[60:100] not in c.outputs()
        assert "PRIVATE KEY" not in c.outputs()
        assert set(events(c)) >= {"RootDistributing", "RootRetiring",
                                  "RootRotated"}


def test_a_root_near_its_end_is_changed(kube):
    """And what somebody put beside it stays."""
    seconds = datetime.timedelta(seconds=1)
    root = Authority.stranger(9000 * seconds, 1000 * seconds,
                              "spiffe://cluster.local")
    beside = pems(Authority.stranger())[0]
    with kube as c:
        secret = c.add_issuer(root, "tulle-ca", beside)
        old = c.root()
        secret["metadata"]["annotations"] = {MADE: mark(old)}
        c.kube.put(secret)
        c.controller("a", *QUICK)
        await_phase(c, "at rest", "distributing")
        c.wait("another root is at rest", lambda: phase(c) == "at rest" and
               c.root() != old, 40)
        assert noted(c, DONE) is None
        assert roots(c) in (beside + c.root(), c.root() + beside)


# --- who must have it first ---------------------------------------------------

def test_a_proxy_of_another_replica_is_waited_for(kube):
    with kube as c:
        c.controller("a", *CALM)
        c.await_leader("a")
        c.controller("b", *CALM)
        c.start_proxy("shop/cart")
        s = mute(c, "b")
        rotate(c)
        # New to it: a bundle with both.
        view = s.hear("workload")
        c.stays("it is waited for", lambda: phase(c) == "distributing", 6)
        s.say({"type": "ack", "kind": "workload", "key": "",
               "hash": view["hash"]})
        await_phase(c, "retiring")
        s.close()
        assert len(roots_made(c)) == 1 and not patches(c, by="b")
        assert not any(x.status == 409 for x in c.kube.requests
                       if x.path == SECRET)
        c.wait("both sign with it", lambda: signed_by(
            gives(c, "a"), c.root()) and signed_by(gives(c, "b"), c.root()))


def test_a_replica_that_hears_nothing_is_waited_for(kube):
    """It signs no more, and tells its proxies of no bundle, before the next root
    signs."""
    with kube as c:
        c.controller("a", *CALM)
        c.await_leader("a")
        c.controller("b", *CALM)
        c.add_pod("shop/cart", ready=False)
        folder = c.certificate("shop/cart", api=c.api("b"))
        c.ways["b"].freeze()
        rotate(c)
        await_phase(c, "distributing")
        c.wait("it signs no more", lambda: c.ask(
            c.token("shop/cart"), c.api("b"))[0] == 503)

        def answer():
            s = Session(c.api("b"), folder)
            status = s.status()
            s.close()
            return status
        c.wait("it takes no session", lambda: answer() == 503)
        c.stays("it is waited for", lambda: phase(c) == "distributing", 5)
        c.thaw()
        await_phase(c, "retiring")


def test_few_proxies_are_waited_for_until_the_deadline(kube):
    with kube as c:
        c.add_pod("shop/silent")
        c.add_pod("shop/starting", ready=False)
        c.add_pod("shop/stranger", meshed=False)
        c.controller("a", *CALM, "--root-deadline", "12s")
        c.start_proxy("shop/cart")
        frozen = c.start_proxy("shop/frozen")
        frozen.process.send_signal(signal.SIGSTOP)
        rotate(c)
        await_phase(c, "distributing")
        waits = c.wait("it says that it waits", lambda: events(c).get(
            "RootWaiting"))
        assert phase(c) == "distributing"
        await_phase(c, "retiring")
        late = c.wait("it is told", lambda: events(c).get("RootNotEverywhere"))
        assert waits["type"] == late["type"] == "Warning"
        assert re.search('proxies=2 of=3 old=0 some="shop/(frozen|silent), '
                         'shop/(frozen|silent)"', c.outputs())
        # Its certificate has ended, and it knows no controller any more.
        c.wait("the mount follows", lambda: c.bundle("shop").startswith(
            c.root()))
        with open(frozen.argv[frozen.argv.index("--bundle") + 1], "w",
                  encoding="ascii") as f:
            f.write(c.bundle("shop"))
        frozen.process.send_signal(signal.SIGCONT)
        c.wait("it is back", lambda: c.sync("shop/frozen") == "yes", 40)


def test_objects_have_no_deadline(kube):
    with kube as c:
        c.controller("a", *QUICK, "--root-deadline", "5s")
        c.trusted()
        c.kube.fail(403, times=1000, method="PUT",
                    path="/api/v1/namespaces/shop/configmaps/tulle-trust-bundle")
        rotate(c)
        await_phase(c, "distributing")
        c.stays("it is waited for", lambda: phase(c) == "distributing", 8)
        c.kube.heal()
        await_phase(c, "retiring")


def test_new_namespaces_are_waited_for_but_do_not_begin_it_anew(kube):
    """They come all the time, and hold nothing that is to be replaced."""
    def add(n, failures):
        c.kube.fail(503, times=failures, method="POST",
                    path=f"/api/v1/namespaces/new-{n}/configmaps")
        c.add_namespace(f"new-{n}")

    with kube as c:
        c.controller("a", *QUICK)
        c.trusted()
        rotate(c)
        await_phase(c, "distributing")
        add(0, 3)  # for 7 s
        while not c.bundle("new-0"):
            assert phase(c) == "distributing"
        for n in range(1, 9):
            # Shorter than the settle time.
            until = time.monotonic() + 2
            while time.monotonic() < until and phase(c) == "distributing":
                time.sleep(0.02)  # allow sleep: between looks
            if phase(c) == "retiring":
                return
            add(n, 2)
            c.wait("it has it", lambda n=n: c.bundle(f"new-{n}"))
        raise AssertionError("the next root does not sign")


# --- others write, leaders go -------------------------------------------------

def test_a_conflict_is_read_and_decided_again(kube):
    with kube as c:
        c.controller("a", *QUICK)

        def meddle(_):
            c.kube.patch("Secret", SYSTEM, "tulle-ca", {"metadata": {
                "labels": {"touched": str(c.mark())}}})
        c.kube.order(meddle, times=2, method="PATCH", path=SECRET)
        rotate(c)
        await_phase(c, "distributing")
        assert len(patches(c, 409)) == 2 and len(roots_made(c)) == 1
        assert "touched" in c.secret("tulle-ca")["metadata"]["labels"]


def test_what_cannot_be_written_is_tried_again(kube):
    with kube as c:
        c.controller("a", *QUICK)
        old = c.root()
        c.kube.fail(403, times=2, method="PATCH", path=SECRET,
                    message="may not patch secrets")
        rotate(c)
        c.wait("it says so", lambda: "may not patch secrets" in c.outputs())
        assert phase(c) == "at rest" and c.root() == old
        c.wait("also in an Event", lambda: "RootNotRotated" in events(c))
        await_phase(c, "distributing")


def test_nothing_is_done_by_a_wrong_clock(kube):
    """What it would write down (when the next root begins, when the old one may
    go) cuts off everybody, and cannot be taken back."""
    def another_date(x):
        date = datetime.datetime.now(datetime.timezone.utc) - \
            datetime.timedelta(days=2)
        x.answer(200, c.secret("tulle-ca"), [
            ("date", date.strftime("%a, %d %b %Y %H:%M:%S GMT"))])
        return True

    with kube as c:
        c.controller("a", *QUICK)
        c.kube.order(another_date, times=3, method="GET", path=SECRET)
        rotate(c)
        c.wait("it says so", lambda: "for the API server: is a clock wrong" in
               c.outputs())
        assert phase(c) == "at rest" and not patches(c)
        c.wait("also in an Event", lambda: "RootNotRotated" in events(c))
        await_phase(c, "distributing")


def test_what_is_undone_is_not_done_again_and_again(kube):
    """A tool that knows another Secret puts that back."""
    with kube as c:
        c.controller("a", *QUICK)
        rotate(c)
        good = c.secret("tulle-ca")
        await_phase(c, "distributing")
        c.kube.put(good)
        c.stays("no other root", lambda: phase(c) == "at rest", 10)
        assert len(roots_made(c)) == 1


def test_the_next_leader_goes_on(kube):
    with kube as c:
        c.controller("a", *QUICK)
        c.await_leader("a")
        rotate(c)
        await_phase(c, "distributing")
        new = decoded(c.secret("tulle-ca"), "next.crt")
        c.kill("a")
        c.kube.delete("Pod", SYSTEM, "tulle-controller-a")
        c.controller("b", *QUICK)
        await_phase(c, "retiring", seconds=40)
        assert c.root() == new
        await_phase(c, "at rest", seconds=40)
        assert c.root() == roots(c) == new and len(roots_made(c)) == 1


# --- deleted ------------------------------------------------------------------

def test_a_secret_deleted_in_the_middle_is_put_back(kube):
    with kube as c:
        c.add_pod("shop/silent")
        c.controller("a", *QUICK)
        rotate(c)
        await_phase(c, "distributing")
        was = c.secret("tulle-ca")
        c.kube.delete("Secret", SYSTEM, "tulle-ca")
        now = c.wait("it is there", lambda: c.secret("tulle-ca"), 3)
        assert now["data"] == was["data"]
        assert now["metadata"]["annotations"] == was["metadata"]["annotations"]
        c.kube.delete("Pod", "shop", "silent")
        await_phase(c, "retiring")
        assert len(roots_made(c)) == 1


def test_who_did_not_see_the_end_waits_for_who_did(kube):
    with kube as c:
        c.controller("a", "--lease-duration", "3s", "--stale-after", "18s")
        was = c.secret("tulle-ca")
        c.kube.forget_quietly("Secret", SYSTEM, "tulle-ca")
        c.kube.say_expired("Secret")
        c.wait("it has heard", lambda: "was deleted" in c.outputs())
        c.stays("it waits", lambda: not c.secret("tulle-ca"), 2)
        now = c.wait("it is there", lambda: c.secret("tulle-ca"))
        assert now["data"] == was["data"]


def test_what_was_long_ago_is_not_put_back(kube):
    with kube as c:
        c.controller("a", *QUICK)
        root = c.root()
        c.kube.fail(503, times=1000, method="GET", path=SECRETS)
        c.kube.say_expired("Secret")
        c.wait("it signs no more", lambda: "nothing is signed" in c.outputs())
        c.kube.forget_quietly("Secret", SYSTEM, "tulle-ca")
        c.kube.heal()
        c.wait("it says so", lambda: "may be older" in (says(c) or ""), 30)
        c.stays("it is left to people", lambda: not c.secret("tulle-ca"), 3)
        assert signed_by(gives(c), root)


# --- what is not to be touched ------------------------------------------------

def test_a_given_issuer_is_never_touched(kube):
    with kube as c:
        c.add_issuer(Authority.stranger())
        was = c.secret("issuer")["data"]
        c.controller("a", "--issuer-secret", "issuer", *QUICK)
        rotate(c, name="issuer")
        c.stays("it is another's", lambda: c.secret("issuer")["data"] == was
                and "root-phase" not in str(c.secret("issuer")["metadata"]), 3)
        assert not c.writes(word="/secrets/issuer")
        assert not c.secret("tulle-ca")


def test_a_root_that_we_did_not_make_is_not_changed(kube):
    with kube as c:
        c.add_issuer(Authority.stranger(), "tulle-ca")
        was = c.root()
        c.controller("a", *QUICK)
        rotate(c)
        c.wait("it says so", lambda: "not ours to change" in (says(c) or ""))
        c.stays("it is another's", lambda: c.root() == was, 2)
        assert gives(c) and not patches(c)


def _in_hours(n):
    at = datetime.datetime.now(datetime.timezone.utc) + \
        datetime.timedelta(hours=n)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _noted(**notes):
    return {"metadata": {"annotations": {
        "tulle.dev/" + k.replace("_", "-"): v for k, v in notes.items()}}}


def said(c, word):
    """How often the log has called the Secret wrong, with this word."""
    return len(re.findall(
        f"Secret {SYSTEM}/tulle-ca: [^\n]*{re.escape(word)}", c.outputs()))


def nonsense(c, other):
    """(word, what to change): a rotation in the middle, spoilt."""
    data = other["data"]
    return [
        (PHASE, _noted(root_phase="dancing")),
        (PHASE + "-since", _noted(root_phase="retiring",
                                  root_phase_since="yesterday")),
        ("is a clock wrong", _noted(root_phase_since=_in_hours(2))),
        ("data.next.crt", {"data": {"next.key": data["tls.key"]}}),
        ("next.crt", {"data": {"next.crt": None}}),
        ("data.next.crt", {"data": {"next.crt": data["tls.crt"],
                                    "next.key": data["tls.key"]}}),
        ("data.next.crt: is no root that we made",
         _noted(made_roots=mark(c.root()))),
        ("data.ca.crt", {"data": {
            "ca.crt": c.secret("tulle-ca")["data"]["tls.crt"]}}),
        ("data.next.crt", _noted(root_phase=None)),
    ]


def test_what_makes_no_sense_is_reported_and_left_alone(kube):
    with kube as c:
        other = c.add_issuer(Authority.stranger(), "other")
        c.add_pod("shop/silent")  # so that it waits
        c.controller("a", *QUICK)
        old = c.root()
        rotate(c)
        await_phase(c, "distributing")
        good = c.secret("tulle-ca")
        written = len(patches(c))
        for word, change in nonsense(c, other):
            before = said(c, word)
            c.kube.patch("Secret", SYSTEM, "tulle-ca", change)
            spoilt = c.secret("tulle-ca")
            c.wait(f"it says {word}", lambda w=word, n=before: said(c, w) > n)
            assert signed_by(gives(c), old)
            assert c.secret("tulle-ca") == spoilt
            c.kube.put(good)
        c.kube.delete("Pod", "shop", "silent")
        c.kube.patch("Secret", SYSTEM, "tulle-ca", nonsense(c, other)[2][1])
        c.wait("also in the MeshConfig", lambda: "is a clock wrong" in (
            says(c) or ""))
        c.stays("it is left alone", lambda: phase(c) == "distributing", 5)
        assert len(patches(c)) == written
        c.kube.put(good)
        await_phase(c, "retiring")
