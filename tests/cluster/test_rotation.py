# SPDX-License-Identifier: Apache-2.0
"""The mesh changes its root while it works: one word on a Secret, and some time
later nobody knows the old one, and no request has failed."""
import base64
import contextlib
import re
import secrets
import threading

import pytest
import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from kube import Failed, app_pod
from mesh import (CHART, READY, SYSTEM, WEB, WEBHOOK, curl, deployment,
                  load)
from test_ha import another_leads, leader

PHASE = "tulle.dev/root-phase"
# A minute instead of a day. Who hears nothing for nine seconds signs nothing, so
# the next root is told of for eleven; what the old one signed has ended after 33.
QUICK = {"identity.certificateLife": "24s",
         "controller.extraArgs": "{--lease-duration=4s,--stale-after=9s,"
                                 "--root-settle=2s,--root-deadline=1h}"}


def quickly(mesh):
    mesh.install("-f", f"{CHART}/values-ha.yaml", *(
        word for name, value in QUICK.items()
        for word in ("--set", f"{name}={value}")))


def followed(meshed, outside):
    """One object of each kind that a controller follows."""
    def named(kind, name, ns=None, api="v1"):
        return {"apiVersion": api, "kind": kind,
                "metadata": {"name": name, **({"namespace": ns} if ns else {})}}

    part = meshed.get("endpointslices")[0]["metadata"]["name"]
    return [named("Namespace", meshed.name),
            named("Service", "web", meshed.name),
            named("EndpointSlice", part, meshed.name, "discovery.k8s.io/v1"),
            named("Pod", "outside", outside.name),
            named("ConfigMap", "tulle-trust-bundle", meshed.name),
            named("Secret", "tulle-ca", SYSTEM),
            named("Secret", "tulle-injector-serving", SYSTEM),
            named("MutatingWebhookConfiguration", WEBHOOK,
                  api="admissionregistration.k8s.io/v1")]


@contextlib.contextmanager
def busy(mesh, things):
    """Lets these change all the time: where nothing does, an API server says only
    once a minute that it is up to date."""
    objects, over = yaml.safe_dump_all(things), threading.Event()

    def stir():
        turn = 0
        while not over.wait(1):
            turn += 1
            with contextlib.suppress(Failed):
                mesh.kube.kubectl("annotate", "--overwrite", "-f", "-",
                                  f"test/turn={turn}", stdin=objects)

    thread = threading.Thread(target=stir)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def secret(mesh):
    """(phase, what is in it) of the root."""
    found = mesh.system.get("secret", "tulle-ca")
    return (found["metadata"].get("annotations", {}).get(PHASE),
            {name: base64.b64decode(value).decode()
             for name, value in found["data"].items()})


def certificates(text):
    return re.findall("-----BEGIN CERT.*?-----END CERTIFICATE-----\n", text,
                      re.S)


def await_phase(mesh, phase, seconds):
    def look():
        now, data = secret(mesh)
        return data if now == phase else None
    return mesh.kube.wait_for(seconds, f"the phase {phase}", look)


def trusted(mesh, space):
    """What new pods and the API server are told to trust."""
    said = space.get("configmap", "tulle-trust-bundle")["data"]
    hooks = mesh.kube.get("mutatingwebhookconfiguration", WEBHOOK)["webhooks"]
    return [set(certificates(text)) for text in (
        *said.values(), *(base64.b64decode(
            h["clientConfig"]["caBundle"]).decode() for h in hooks))]


def await_trust(mesh, space, *roots):
    mesh.kube.wait_for(20, f"{len(roots)} roots everywhere", lambda: all(
        t == set(roots) for t in trusted(mesh, space)))


def proves(outside, pod, root):
    """Does the proxy of a pod show a certificate of this root?"""
    address = pod["status"]["podIP"]
    _, said, _ = outside.run_in(
        "outside", "openssl", "s_client", "-connect", f"{address}:8080",
        "-alpn", "tulle/1", "-tls1_3", "-showcerts", check=False)
    shown = [x509.load_pem_x509_certificate(c.encode()) for c in (
        certificates(said))]
    try:
        shown[0].verify_directly_issued_by(
            x509.load_pem_x509_certificate(root.encode()))
    except (IndexError, InvalidSignature, ValueError):
        return False
    return True


def restarts(space):
    return {(p["metadata"]["name"], c["name"], c["restartCount"])
            for p in space.pods() for c in (
                p["status"]["containerStatuses"] +
                p["status"]["initContainerStatuses"])}


@pytest.fixture(name="ready")
def _ready(mesh, meshed, space):
    """Two servers, and one that asks them all the time; one outside the mesh."""
    meshed.service("web", 80, 8080)
    space.app("outside")
    quickly(mesh)
    with busy(mesh, followed(meshed, space)):
        meshed.apply(deployment("web", *WEB, replicas=2, container=READY))
        meshed.rollout("deployment/web")
        yield load(meshed)
    mesh.install()


def begin(meshed, name):
    """One more server. It is not waited for: no phase may pass meanwhile."""
    meshed.apply(app_pod(name, *WEB, container=READY, labels={"app": "web"}))


def joined(mesh, meshed, asking, name):
    meshed.wait_condition(f"pod/{name}", "Ready")
    mesh.wait_in_sync(meshed, name)
    assert curl(meshed, name, "http://web/").startswith("web")
    meshed.wait_for(30, f"requests at {name}",
                    lambda: name in asking.told()["seen"])


def test_root_is_rotated(mesh, meshed, space, ready):
    before, pods = restarts(meshed), meshed.pods("app=web")
    _, data = secret(mesh)
    old, old_key = data["tls.crt"], data["tls.key"]
    assert all(proves(space, pod, old) for pod in pods)
    mesh.system.kubectl("annotate", "secret", "tulle-ca", "--overwrite",
                        f"tulle.dev/rotate-root={secrets.token_hex(4)}")
    new = await_phase(mesh, "distributing", 30)["next.crt"]
    await_trust(mesh, meshed, old, new)
    # Whoever leads next goes on.
    gone = leader(mesh)
    mesh.system.kubectl("delete", "pod", gone, "--wait=false")
    another_leads(mesh, gone)
    begin(meshed, "web-1")

    data = await_phase(mesh, "retiring", 90)
    assert data["tls.crt"] == new and data["tls.key"] != old_key
    assert set(data) == {"tls.crt", "tls.key", "ca.crt"}
    assert set(certificates(data["ca.crt"])) == {old, new}
    begin(meshed, "web-2")
    for pod in pods:
        mesh.kube.wait_for(40, "a certificate of the new root",
                           lambda p=pod: proves(space, p, new))

    data = await_phase(mesh, None, 90)
    assert data["tls.crt"] == data["ca.crt"] == new
    await_trust(mesh, meshed, new)
    begin(meshed, "web-3")
    for name in ("web-1", "web-2", "web-3"):
        joined(mesh, meshed, ready, name)
        assert proves(space, meshed.get("pod", name), new)
    ready.check()
    assert before <= restarts(meshed)
    assert {e["reason"] for e in mesh.system.get("events")} >= {
        "RootDistributing", "RootRetiring", "RootRotated"}
