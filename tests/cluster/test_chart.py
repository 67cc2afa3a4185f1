# SPDX-License-Identifier: Apache-2.0
"""What the chart does in a real cluster: come, change, go back and go away."""
import json

import pytest

from kube import Failed
from mesh import (CHART, INJECT, READY, RELEASE, SYSTEM, WEB, curl, deployment)


def ca_bundles(mesh):
    return [w["clientConfig"].get("caBundle") for w in mesh.kube.get(
        "mutatingwebhookconfiguration", "tulle-injector")["webhooks"]]


def wait_ca_bundle(mesh):
    return mesh.kube.wait_for(30, "the caBundle", lambda: all(
        ca_bundles(mesh)) and ca_bundles(mesh))


@pytest.mark.parametrize("version", (4, 3))
def test_upgrade_and_rollback(meshed, mesh, version):
    """The caBundle, which the controller sets, is no field of the chart's: no
    conflict, and it stays."""
    try:
        before = wait_ca_bundle(mesh)
        mesh.install("--set", "logLevel=debug", version=version)
        assert ca_bundles(mesh) == before
        revision = json.loads(mesh.kube.helm(
            "history", RELEASE, "-n", SYSTEM, "-o", "json",
            version=version))[-1]["revision"]
        mesh.install("--set", "injector.webhook.timeoutSeconds=7",
                     version=version)
        mesh.kube.helm("rollback", RELEASE, str(revision), "-n", SYSTEM,
                       "--wait", version=version)
        assert ca_bundles(mesh) == before
        hook = mesh.kube.get("mutatingwebhookconfiguration", "tulle-injector")
        assert hook["webhooks"][0]["timeoutSeconds"] == 5
        meshed.app("web", *WEB, container=READY)
        mesh.wait_in_sync(meshed, "web")
    finally:
        mesh.install(version=version)


@pytest.mark.parametrize("version", (4, 3))
def test_helm_test(mesh, version):
    said = mesh.kube.helm("test", RELEASE, "-n", SYSTEM, "--timeout", "90s",
                          version=version)
    assert "Succeeded" in said


def bundle(space):
    return space.get("configmap", "tulle-trust-bundle")


def test_trust_bundle_is_repaired(meshed, mesh):
    before = mesh.kube.wait_for(20, "a bundle", lambda: bundle(meshed))
    meshed.kubectl("delete", "configmap", "tulle-trust-bundle")
    after = mesh.kube.wait_for(20, "another bundle", lambda: bundle(meshed))
    assert after["data"] == before["data"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


def test_nobody_else_writes_the_trust_bundle(meshed, mesh):
    mesh.kube.wait_for(20, "a bundle", lambda: bundle(meshed))
    with pytest.raises(Failed, match="only the Tulle controller writes it"):
        meshed.kubectl("patch", "configmap", "tulle-trust-bundle", "-p",
                       '{"data": {"bundle.pem": "mine"}}')
    # What leaves the contents alone is nobody's business.
    meshed.kubectl("label", "configmap", "tulle-trust-bundle", "a=b")
    with mesh.kube.space() as other, \
            pytest.raises(Failed, match="only the Tulle controller writes it"):
        mesh.kube.wait_for(20, "a bundle", lambda: bundle(other))
        other.kubectl("patch", "configmap", "tulle-trust-bundle", "--type=json",
                      "-p", '[{"op": "remove", "path": "/data/bundle.pem"}]')


def test_namespace_goes(mesh, kube):
    """With everything in it, while its pods run."""
    with kube.space(labels=INJECT) as space:
        space.service("web", 80, 8080)
        space.apply(deployment("web", *WEB, replicas=2, container=READY))
        space.rollout("deployment/web")
        mesh.wait_in_sync(space, *(p["metadata"]["name"]
                                   for p in space.pods()))
        kube.kubectl("delete", "namespace", space.name, "--timeout=90s",
                     timeout=100)
        # The Space deletes it once more.
        kube.apply({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": space.name}})


def test_uninstall_and_install(meshed, mesh):
    """Nothing blocks the cluster afterwards: pods that ask for a proxy start
    without one, and what runs goes on; then the mesh is back."""
    meshed.service("web", 80, 8080)
    meshed.app("web", *WEB, container=READY)
    meshed.app("client")
    mesh.wait_in_sync(meshed, "web", "client")
    mesh.uninstall()
    try:
        left = mesh.kube.kubectl(
            "get", "mutatingwebhookconfigurations,clusterroles,"
            "clusterrolebindings,validatingadmissionpolicies,"
            "validatingadmissionpolicybindings", "-o", "name")
        assert "tulle" not in left
        assert curl(meshed, "client", "http://web/").startswith("web")
        meshed.app("plain", *WEB, container=READY, annotations=INJECT)
        assert len(meshed.get("pod", "plain")["spec"]["containers"]) == 1
        assert not meshed.get("pod", "plain")["spec"].get("initContainers")
        # The bundles stay, for they are nobody's; they can be deleted.
        meshed.kubectl("delete", "configmap", "tulle-trust-bundle",
                       "--ignore-not-found")
        meshed.kubectl("delete", "pod", "plain")
    finally:
        mesh.install()
    mesh.kube.wait_for(30, "an injector", lambda: meshed.apply(
        deployment("late", *WEB, annotations=INJECT, container=READY)))
    meshed.rollout("deployment/late")
    late = meshed.pods("app=late")[0]["metadata"]["name"]
    mesh.wait_in_sync(meshed, late, "web", "client", seconds=60)
    assert curl(meshed, "client", "http://web/").startswith("web")


def test_two_of_everything(mesh):
    """values-ha.yaml is taken, and back again."""
    try:
        mesh.install("-f", f"{CHART}/values-ha.yaml")
        for what in ("controller", "injector"):
            pods = mesh.system.pods(f"app.kubernetes.io/component={what}")
            nodes = {p["spec"]["nodeName"] for p in pods
                     if "deletionTimestamp" not in p["metadata"]}
            assert len(nodes) == 2
    finally:
        mesh.install()
