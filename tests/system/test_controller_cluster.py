# SPDX-License-Identifier: Apache-2.0
"""A controller in a cluster: where its root comes from, and what happens when
that changes."""
import re

import pytest
from cryptography import x509

from cluster import SYSTEM, cluster, condition, pems
from peers.authority import HOUR, Authority
from peers.http1 import App
from peers.traffic import Traffic

SECRETS = f"/api/v1/namespaces/{SYSTEM}/secrets"


@pytest.fixture(name="kube")
def _kube(binaries):
    return cluster(binaries)


def made(c):
    """How often a Secret was created that is not the webhook's."""
    return sum(x.method == "POST" and x.path == SECRETS and x.status == 201
               and b'"tulle-ca"' in x.body for x in c.kube.requests)


def certificates_in(pem):
    return re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----",
                      pem, re.S)


def gives(c, name="a"):
    """A certificate for a pod of ours, from this controller."""
    if not c.kube.get("Pod", "shop", "someone"):
        c.add_pod("shop/someone")
    status, answer = c.ask(c.token("shop/someone"), c.controllers[name].api)
    return answer if status == 200 else None


def intermediate(root, **more):
    return root.sign([], is_authority=True, signs_data=False, purposes=None,
                     common_name="an issuer", **more)


def authority_says(c):
    return condition(c.mesh_config(), "AuthorityValid")


def well(c):
    return authority_says(c).get("status") == "True" and \
        authority_says(c)["message"] == ""


# --- a root of its own --------------------------------------------------------

def test_a_root_is_made_and_used(kube):
    with kube as c:
        c.controller()
        assert made(c) == 1
        secret = c.secret("tulle-ca")
        assert secret["type"] == "kubernetes.io/tls"
        answer = gives(c)
        assert answer["bundle"] == c.root()
        assert len(certificates_in(answer["chain"])) == 1
        c.wait("the condition", lambda: authority_says(c).get("status")
               == "True")
        key = secret["data"]["tls.key"]
        assert key[40:80] not in c.outputs()
        assert "PRIVATE KEY" not in c.outputs()


def test_two_controllers_make_one_root(kube):
    with kube as c:
        # Both have seen that there is none before either may write.
        wait = c.kube.slow(1, times=2, method="POST", path=SECRETS)
        c.start_controller("a")
        c.start_controller("b")
        c.await_ready("a", "b")
        assert wait.hit >= 2 and made(c) == 1
        assert gives(c, "a")["bundle"] == gives(c, "b")["bundle"] == c.root()


def test_a_root_that_is_there_is_read(kube):
    with kube as c:
        root = Authority.stranger()
        c.add_issuer(root, "tulle-ca")
        c.controller()
        assert made(c) == 0
        assert gives(c)["bundle"] == pems(root)[0]


def test_the_root_cannot_be_written_at_first(kube):
    with kube as c:
        c.kube.fail(403, times=1, method="POST", path=SECRETS,
                    message="may not create secrets")
        c.start_controller()
        c.wait("it says why", lambda: "may not create secrets"
               in authority_says(c).get("message", ""))
        assert not c.controllers["a"].ready()
        c.await_ready("a")
        c.wait("all is well", lambda: well(c))


def test_a_deleted_root_is_put_back(kube):
    """By who has it; a replica that starts would make another one."""
    with kube as c:
        c.controller()
        old = c.secret("tulle-ca")["data"]
        c.kube.delete("Secret", SYSTEM, "tulle-ca")
        c.wait("it is there", lambda: c.secret("tulle-ca"))
        assert c.secret("tulle-ca")["data"] == old
        c.wait("all is well", lambda: well(c))
        assert gives(c)["bundle"] == c.root()
        assert "root put back" in c.outputs()
        # What cannot be put back is tried again.
        c.kube.fail(times=1, status=500, method="POST",
                    path=f"/api/v1/namespaces/{SYSTEM}/secrets")
        c.kube.delete("Secret", SYSTEM, "tulle-ca")
        c.wait("it is there", lambda: c.secret("tulle-ca"))
        assert c.secret("tulle-ca")["data"] == old


def test_a_deleted_issuer_of_somebody_is_missed(kube):
    with kube as c:
        root = Authority.stranger()
        c.add_issuer(root)
        c.controller("a", "--issuer-secret", "issuer")
        c.kube.delete("Secret", SYSTEM, "issuer")
        c.wait("it says so", lambda: "was deleted"
               in authority_says(c).get("message", ""))
        assert authority_says(c)["status"] == "True"
        assert gives(c)
        c.add_issuer(root)
        c.wait("all is well", lambda: well(c))


# --- an issuer that somebody gives --------------------------------------------

def test_issuer_given(kube):
    with kube as c:
        root = Authority.stranger()
        # As cert-manager writes it: a root is its own ca.crt.
        c.add_issuer(root, roots=pems(root)[0])
        c.controller("a", "--issuer-secret", "issuer")
        answer = gives(c)
        assert answer["bundle"] == pems(root)[0]
        assert len(certificates_in(answer["chain"])) == 1
        c.start_proxy("shop/cart")
        assert not c.secret("tulle-ca")


def test_intermediate_with_its_root(kube):
    with kube as c:
        root = Authority.stranger()
        middle = intermediate(root)
        c.add_issuer(middle, roots=pems(root)[0])
        c.controller("a", "--issuer-secret", "issuer")
        answer = gives(c)
        assert answer["bundle"] == pems(root)[0]
        leaf, above = certificates_in(answer["chain"])
        assert above + "\n" == pems(middle)[0]
        cert = x509.load_pem_x509_certificate(leaf.encode())
        assert cert.not_valid_after_utc <= middle.cert.not_valid_after_utc
        c.start_proxy("shop/cart", bundle=pems(root)[0])
        c.wait("synced", lambda: c.sync("shop/cart") == "yes")


def test_the_issuer_comes_later(kube):
    with kube as c:
        c.start_controller("a", "--issuer-secret", "issuer")
        c.wait("it says so", lambda: authority_says(c).get("message")
               == f"the issuer Secret {SYSTEM}/issuer is not there")
        assert authority_says(c)["status"] == "False"
        assert condition(c.mesh_config(), "Ready")["status"] == "False"
        assert not c.controllers["a"].ready()
        c.add_issuer(Authority.stranger())
        c.await_ready("a")
        c.wait("all is well", lambda: well(c))


def _no_key(c):
    del c["data"]["tls.key"]


def _other_key(c):
    c["data"]["tls.key"] = OTHER["data"]["tls.key"]


def _no_base64(c):
    c["data"]["tls.crt"] = "%%%"


def _junk(c):
    c["data"]["tls.crt"] = "bm8gY2VydGlmaWNhdGU="


def _no_data(c):
    del c["data"]


def _too_long(c):
    c["data"]["ca.crt"] = "A" * 400000


OTHER = {}
BAD = {"no key": (_no_key, 'data["tls.key"]: missing'),
       "another's key": (_other_key, "key"),
       "no base64": (_no_base64, "data.tls.crt: is not base64"),
       "no certificate": (_junk, "certificate"),
       "nothing": (_no_data, "data: missing"),
       "too long": (_too_long, "data.ca.crt: is too long")}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_issuer_is_reported_and_the_last_good_one_stays(kube, bad):
    spoil, says = BAD[bad]
    with kube as c:
        good = c.add_issuer(Authority.stranger())
        OTHER.update(c.add_issuer(Authority.stranger(), "other"))
        c.controller("a", "--issuer-secret", "issuer")
        was = gives(c)["bundle"]
        spoilt = c.kube.get("Secret", SYSTEM, "issuer")
        spoil(spoilt)
        c.kube.put(spoilt)
        said = c.wait("it says so", lambda: authority_says(c).get("message"))
        assert said.startswith(f"Secret {SYSTEM}/issuer: ") and says in said
        assert said in c.outputs()
        assert authority_says(c)["status"] == "True"
        assert gives(c)["bundle"] == was
        c.kube.put(good)
        c.wait("all is well", lambda: well(c))


@pytest.mark.parametrize("what", ["leaf", "no root", "another root", "expired"])
def test_what_cannot_sign_is_no_issuer(kube, what):
    with kube as c:
        root, other = Authority.stranger(), Authority.stranger()
        issuer, roots = intermediate(root), pems(root)[0]
        if what == "leaf":
            issuer = root.sign([])
        elif what == "no root":
            roots = None
        elif what == "another root":
            roots = pems(other)[0]
        else:
            issuer = intermediate(root, start=-2 * HOUR, end=-HOUR)
        c.add_issuer(issuer, roots=roots)
        c.start_controller("a", "--issuer-secret", "issuer")
        said = c.wait("it says so", lambda: authority_says(c).get("message"))
        assert said.startswith(f"Secret {SYSTEM}/issuer: ")
        assert not c.controllers["a"].ready()
        c.add_issuer(intermediate(root), roots=pems(root)[0])
        c.await_ready("a")


# --- another issuer, while traffic goes on ------------------------------------

def test_a_renewed_issuer_is_taken_over(kube):
    """An intermediate below the same root: nobody notices."""
    with kube as c, App() as app:
        root = Authority.stranger()
        c.add_issuer(intermediate(root), roots=pems(root)[0])
        c.controller("a", "--issuer-secret", "issuer", "--cert-life", "6s")
        front, *_ = c.serve(app.address)
        with Traffic(front, keep=False) as traffic:
            second = intermediate(root)
            c.add_issuer(second, roots=pems(root)[0])
            c.wait("it signs", lambda: certificates_in(
                gives(c)["chain"])[1] + "\n" == pems(second)[0])
            issued = c.outputs().count("certificate in force")
            c.wait("both have new ones", lambda: c.outputs().count(
                "certificate in force") >= issued + 4, 30)
            traffic.wait(100)
        assert c.outputs().count("session ended") <= 8


def test_another_root_with_the_old_one_beside_it(kube):
    """What a person does who changes the root: ca.crt holds both."""
    with kube as c, App() as app:
        old, new = Authority.stranger(), Authority.stranger()
        c.add_issuer(old)
        c.controller("a", "--issuer-secret", "issuer", "--cert-life", "10s")
        front, *_ = c.serve(app.address)
        with Traffic(front, keep=False) as traffic:
            # First all must trust it, then it may sign.
            c.add_issuer(old, roots=pems(old)[0] + pems(new)[0])
            c.wait("all are told", lambda: c.bundle("shop") ==
                   pems(old)[0] + pems(new)[0])
            traffic.wait(100)
            c.add_issuer(new, roots=pems(new)[0] + pems(old)[0])
            c.wait("it signs", lambda: gives(c)["bundle"] ==
                   pems(new)[0] + pems(old)[0])
            issued = c.outputs().count("certificate in force")
            c.wait("both have new ones", lambda: c.outputs().count(
                "certificate in force") >= issued + 4, 30)
            c.add_issuer(new)
            c.wait("the old one is gone", lambda: c.bundle("shop") ==
                   pems(new)[0], 30)
            traffic.wait(100)


def test_another_root_at_once(kube):
    """As when cert-manager makes a self-signed issuer anew: the one before stays
    trusted for as long as its certificates live."""
    with kube as c, App() as app:
        old, new = Authority.stranger(), Authority.stranger()
        c.add_issuer(old)
        c.controller("a", "--issuer-secret", "issuer", "--cert-life", "10s")
        front, *_ = c.serve(app.address)
        with Traffic(front, keep=False) as traffic:
            c.add_issuer(new)
            both = pems(new)[0] + pems(old)[0]
            c.wait("all are told", lambda: c.bundle("shop") == both)
            assert gives(c)["bundle"] == both
            issued = c.outputs().count("certificate in force")
            c.wait("both have new ones", lambda: c.outputs().count(
                "certificate in force") >= issued + 4, 30)
            c.wait("the old one is gone", lambda: c.bundle("shop") ==
                   pems(new)[0], 30)
            traffic.wait(100)


# --- the API server is out of reach -------------------------------------------

def test_who_has_not_heard_of_the_issuer_signs_nothing(kube):
    with kube as c:
        c.kube.bookmark_seconds = 1
        c.controller("a", "--stale-after", "5s",
                     "--lease-duration", "3s")
        assert gives(c)
        c.kube.freeze()
        c.add_pod("shop/late")
        token = c.token("shop/late")

        def refused():
            status, answer = c.ask(token)
            return status == 503 and "not sure of the issuer" in \
                answer["error"]
        c.wait("it is not sure", refused, 20)
        c.kube.thaw()
        c.wait("it is again", lambda: gives(c), 60)
