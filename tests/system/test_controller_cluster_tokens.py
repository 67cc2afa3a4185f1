# SPDX-License-Identifier: Apache-2.0
"""In a cluster a certificate follows from a token that the API server reviews:
who gets which, who does not, and what both sides say then."""
import contextlib
import json
import socket
import ssl

import pytest
from cryptography import x509

import certificates
from cluster import Session, cluster
from peers.process import Background

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
POD_OID = x509.ObjectIdentifier("1.3.6.1.4.1.62851.1.1")


@pytest.fixture(name="kube")
def _kube(binaries):
    return cluster(binaries)


def leaf_of(answer):
    return x509.load_pem_x509_certificate(answer["chain"].encode())


def names_of(cert):
    return cert.extensions.get_extension_for_class(
        x509.SubjectAlternativeName).value.get_values_for_type(
            x509.UniformResourceIdentifier)


def pod_of(cert):
    value = cert.extensions.get_extension_for_oid(POD_OID).value.value
    assert value[0] == 0x0c  # a UTF8String
    return value[2:].decode()


# --- who gets one -------------------------------------------------------------

def test_certificate_follows_from_the_token(kube):
    with kube as c:
        c.controller("a", "--log-level", "trace")
        c.add_pod("shop/cart-1", "cart")
        token = c.token("shop/cart-1", "cart")
        status, answer = c.ask(token)
        assert status == 200
        cert = leaf_of(answer)
        assert names_of(cert) == ["spiffe://cluster.local/ns/shop/sa/cart"]
        assert pod_of(cert) == f"shop/cart-1/{c.uid('shop/cart-1')}"
        review, = (json.loads(x.body) for x in c.kube.requests
                   if x.path == REVIEWS)
        assert review["spec"] == {"token": token, "audiences": ["tulle"]}
        # Each certificate costs a review, the same token or not.
        assert c.ask(token)[0] == 200
        assert c.kube.count(REVIEWS) == 2
        assert token not in c.outputs()


def test_a_pod_that_the_controller_does_not_know_yet(kube):
    """The kubelet may be quicker than our watch."""
    with kube as c:
        c.controller()
        c.add_namespace("new")
        token = c.token("new/cart", "cart", uid="not-yet-seen")
        status, answer = c.ask(token)
        assert status == 200
        assert pod_of(leaf_of(answer)) == "new/cart/not-yet-seen"


# --- who does not -------------------------------------------------------------

def _unknown(_):
    return "nonsense"


def _other_audience(c):
    return c.token("shop/cart", "cart", audiences=("vault",))


def _no_audiences(c):
    """A server that ignores what it was asked about."""
    def careless(x):
        body = json.loads(x.body)
        body["status"] = {**c.kube.reviews[body["spec"]["token"]]}
        del body["status"]["audiences"]
        x.answer(201, body)
        return True
    c.kube.order(careless, times=1000, path=REVIEWS)
    return c.token("shop/cart", "cart")


def _no_pod(c):
    c.kube.allow_token("t", "shop", "cart")
    return "t"


def _other_uid(c):
    return c.token("shop/cart", "cart", uid="another-uid")


def _other_account(c):
    return c.token("shop/cart", "somebody-else")


def _a_person(c):
    c.kube.allow_token("t", "shop", "cart", "cart", c.uid("shop/cart"))
    c.kube.reviews["t"]["user"]["username"] = "admin@example.com"
    return "t"


def _a_node(c):
    c.kube.allow_token("t", "shop", "cart", "cart", c.uid("shop/cart"))
    c.kube.reviews["t"]["user"]["username"] = "system:node:n1"
    return "t"


REFUSED = {
    "unknown": (_unknown, "the token is not valid"),
    "other audience": (_other_audience, "the token is not valid"),
    "no audiences": (_no_audiences, "the token is not for the audience"),
    "no pod": (_no_pod, "the token is not bound to a pod"),
    "other uid": (_other_uid, "pod 'shop/cart' is another one now"),
    "other account": (_other_account,
                      "pod 'shop/cart' runs as 'cart', not as"),
    "a person": (_a_person, "the token is not a service account's"),
    "a node": (_a_node, "the token is not a service account's"),
}


@pytest.mark.parametrize("who", REFUSED)
def test_refused_with_a_reason_on_both_sides(kube, who):
    make, says = REFUSED[who]
    with kube as c:
        c.controller()
        c.add_pod("shop/cart", "cart")
        assert c.ask(c.token("shop/cart", "cart"))[0] == 200
        token = make(c)
        status, answer = c.ask(token)
        assert status == 403 and says in answer["error"], answer
        proxy = c.launch_proxy("shop/cart", token=token)
        c.wait("the proxy says so", lambda: says in proxy.output())
        assert '"no certificate yet, will try again"' in proxy.output()
        assert says in c.controllers["a"].output()
        assert token == "t" or token not in c.outputs()


def test_renewal_by_certificate_alone_is_refused(kube):
    with kube as c:
        c.controller()
        folder = c.certificate("shop/cart", "cart")
        status, answer = c.ask(None, who=folder)
        assert status == 403
        assert answer["error"] == "renewal needs a token here"
        status, answer = c.ask(None)
        assert status == 403
        assert "neither a token nor" in answer["error"]
        # The token alone is what counts.
        assert c.ask(c.token("shop/cart", "cart"), who=folder)[0] == 200


def test_nothing_is_asked_for_a_bad_signing_request(kube):
    with kube as c:
        c.controller()
        c.add_pod("shop/cart", "cart")
        status, _ = c.ask(c.token("shop/cart", "cart"), csr="no request")
        assert status == 400
        status, _ = c.ask("x" * 20000)
        assert status == 400
        assert c.kube.count(REVIEWS) == 0


def test_a_controllers_own_account_is_no_controllers_name(kube):
    with kube as c:
        c.controller()
        token = c.token("tulle-system/tulle-controller-a", "tulle-controller")
        status, answer = c.ask(token)
        assert status == 200
        assert names_of(leaf_of(answer)) == [
            "spiffe://cluster.local/ns/tulle-system/sa/tulle-controller"]


# --- when the API server is not well ------------------------------------------

TROUBLE = {
    "500": lambda k: k.fail(500, times=2, path=REVIEWS),
    "429": lambda k: k.fail(429, times=2, path=REVIEWS, retry_after=1),
    "we may not": lambda k: k.fail(403, times=2, path=REVIEWS),
    "garbage": lambda k: k.garbage(times=2, path=REVIEWS),
    "cut": lambda k: k.drop(times=2, path=REVIEWS),
    "slow": lambda k: k.slow(7, times=2, path=REVIEWS),
}


@pytest.mark.parametrize("what", TROUBLE)
def test_trouble_is_not_the_callers_fault(kube, what):
    with kube as c:
        c.controller()
        c.add_pod("shop/cart", "cart")
        token = c.token("shop/cart", "cart")
        c.trusted()
        TROUBLE[what](c.kube)
        status, answer = c.ask(token)
        assert status in (503, 429), answer
        assert "the API server did not review the token" in answer["error"] \
            or status == 429
        # The proxy comes again.
        proxy = c.await_proxy(c.launch_proxy("shop/cart", token=token))
        assert "status 503" in proxy.output() or \
            "status 429" in proxy.output() or what == "cut"


def test_the_api_server_is_down(kube):
    with kube as c:
        c.controller()
        c.add_pod("shop/cart", "cart")
        token = c.token("shop/cart", "cart")
        c.trusted()
        c.kube.stop()
        status, answer = c.ask(token)
        assert status == 503, answer
        proxy = c.launch_proxy("shop/cart", token=token)
        c.wait("it is told", lambda: "status 503" in proxy.output(), 30)
        c.kube.restart()
        c.await_proxy(proxy, 60)


def test_too_many_reviews_at_once(kube):
    with kube as c:
        c.controller()
        c.add_pod("shop/cart", "cart")
        token = c.token("shop/cart", "cart")
        slow = c.kube.slow(4, times=1000, path=REVIEWS)
        folder = c.folder + "/many"
        import os  # pylint: disable=import-outside-toplevel
        os.makedirs(folder)
        body = {"csr": certificates.new_request(certificates.new_key(folder)),
                "token": token}
        trusted = c.file(c.trusted())
        api = c.controllers["a"].api

        def one():
            return certificates.ask(api, trusted, body)[0]
        asking = [Background(one) for _ in range(70)]
        got = sorted(a.get() for a in asking)
        assert slow.hit <= 64
        assert set(got) == {200, 429}
        assert got.count(429) >= 6
        c.kube.heal()
        assert c.ask(token)[0] == 200


@contextlib.contextmanager
def half_asked(c, token):
    """A caller whose token is being reviewed."""
    slow = c.kube.slow(1, times=10, path=REVIEWS)
    folder = c.file("") + ".d"
    import os  # pylint: disable=import-outside-toplevel
    os.makedirs(folder)
    body = json.dumps({"token": token, "csr": certificates.new_request(
        certificates.new_key(folder))}).encode()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.load_verify_locations(c.file(c.trusted()))
    host, _, port = c.controllers["a"].api.rpartition(":")
    with tls.wrap_socket(socket.create_connection((host, int(port)))) as s:
        s.sendall(b"POST /v1/certificates HTTP/1.1\r\nHost: c\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        c.wait("it is being reviewed", lambda: slow.hit)
        yield s
    c.kube.heal()


def test_the_caller_goes_meanwhile(kube):
    with kube as c:
        c.controller()
        c.add_pod("shop/cart", "cart")
        token = c.token("shop/cart", "cart")
        for _ in range(3):
            with half_asked(c, token):
                pass
        c.kube.heal()
        assert c.ask(token)[0] == 200


def test_the_controller_ends_meanwhile(kube):
    with kube as c:
        c.controller("a", "--drain", "100ms")
        c.add_pod("shop/cart", "cart")
        with half_asked(c, c.token("shop/cart", "cart")):
            c.terminate("a")


# --- what a certificate is good for -------------------------------------------

def workload(c, folder, key=None):
    """The view that is told to who subscribes to it; None: there is none."""
    s = Session(c.controllers["a"].api, folder)
    assert s.status() == 200
    s.say({"type": "subscribe", "kind": "workload",
           **({"key": key} if key else {})})
    # What is told comes first.
    s.say({"type": "subscribe", "kind": "destination", "key": "10.9.9.9:80"})
    said = s.hear("workload", "destination")
    s.close()
    return said["view"] if said["type"] == "workload" else None


def test_the_view_of_another_pod_cannot_be_had(kube):
    with kube as c:
        c.controller()
        c.add_pod("shop/other", "cart")
        folder = c.certificate("shop/cart", "cart")
        assert workload(c, folder)["pod"] == "cart"
        assert workload(c, folder, "shop/other") is None


def test_the_certificate_of_an_earlier_pod_of_that_name(kube):
    with kube as c:
        c.controller()
        folder = c.certificate("shop/cart-0", "cart")
        assert workload(c, folder)["pod"] == "cart-0"
        c.kube.delete("Pod", "shop", "cart-0")
        fresh = c.certificate("shop/cart-0", "cart")
        c.wait("the new one is known", lambda: workload(c, fresh))
        assert workload(c, folder) is None
