# SPDX-License-Identifier: Apache-2.0
"""Two controllers and two injectors: one of each may die or freeze."""
import contextlib
import signal

import pytest

from mesh import CHART, READY, WEB, curl, deployment, load, process


@pytest.fixture(scope="module")
def ha(mesh):
    mesh.install("-f", f"{CHART}/values-ha.yaml")
    yield mesh
    mesh.install()


def replicas(mesh, what):
    return {p["metadata"]["name"]: p for p in mesh.system.pods(
        f"app.kubernetes.io/component={what}")}


def leader(mesh):
    """The name of the pod that holds the Lease."""
    holder = mesh.system.get("lease", "tulle-controller")["spec"].get(
        "holderIdentity", "")
    return next((name for name in replicas(mesh, "controller")
                 if holder.startswith(name)), None)


@contextlib.contextmanager
def frozen(mesh, pod, program):
    node, pid = process(mesh, pod, program)
    mesh.kube.on_node(node, "kill", f"-{signal.SIGSTOP.name[3:]}", pid)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # the kubelet may have ended it
            mesh.kube.on_node(node, "kill", "-CONT", pid)


def some_pods(space, mesh):
    space.service("web", 80, 8080)
    space.apply(deployment("web", *WEB, replicas=4, container=READY))
    space.rollout("deployment/web")
    asking = load(space)
    names = [p["metadata"]["name"] for p in space.pods()]
    mesh.wait_in_sync(space, *names)
    return asking, names


def another_leads(mesh, old, seconds=60):
    return mesh.kube.wait_for(seconds, "another leader",
                              lambda: leader(mesh) not in (None, old) and
                              leader(mesh))


def whole(mesh, space, names):
    """All proxies are told of, and a pod that comes now is as well."""
    mesh.wait_in_sync(space, *names, seconds=60)
    space.app("late", *WEB, container=READY)
    mesh.wait_in_sync(space, "late", seconds=60)
    mesh.kube.wait_for(30, "the numbers of the mesh", lambda: (
        lambda s: s["proxies"] == s["synced"] >= len(names) + 1)(
            mesh.kube.get("meshconfig", "mesh")["status"]))


def test_leader_is_deleted(meshed, ha):
    asking, names = some_pods(meshed, ha)
    old = leader(ha)
    ha.system.kubectl("delete", "pod", old, "--wait=false")
    another_leads(ha, old)
    whole(ha, meshed, names)
    asking.check()


def test_leader_is_killed(meshed, ha):
    """Without a word: nobody gives the Lease back."""
    asking, names = some_pods(meshed, ha)
    old = leader(ha)
    node, pid = process(ha, old, "tulle-controller")
    ha.kube.on_node(node, "kill", "-KILL", pid)
    before = ha.system.get("lease", "tulle-controller")["spec"]
    ha.kube.wait_for(60, "a leader that renews", lambda: ha.system.get(
        "lease", "tulle-controller")["spec"]["renewTime"]
        != before["renewTime"])
    whole(ha, meshed, names)
    asking.check()


def test_leader_is_frozen(meshed, ha):
    asking, names = some_pods(meshed, ha)
    old = leader(ha)
    with frozen(ha, old, "tulle-controller"):
        another_leads(ha, old)
        whole(ha, meshed, names)
        asking.check()
    ha.system.rollout("deployment/tulle-controller")
    ha.wait_in_sync(meshed, "late", *names, seconds=60)
    assert leader(ha)
    asking.check()


def test_injector_is_frozen(meshed, ha):
    """Pods start, perhaps later: what asked it asks again."""
    asking, names = some_pods(meshed, ha)
    with frozen(ha, next(iter(replicas(ha, "injector"))), "tulle-injector"):
        meshed.kubectl("scale", "deployment/web", "--replicas=6")
        meshed.rollout("deployment/web", 90)
    ha.system.rollout("deployment/tulle-injector")
    ha.wait_in_sync(meshed, *names)
    asking.check()


def test_proxies_are_on_both_controllers(meshed, ha):
    """And both report to the leader: MeshProxies are whole all the same."""
    some_pods(meshed, ha)

    def spread():
        return all(sum(value for name, value in
                       ha.metrics(ha.system, pod, 8081).items()
                       if name.startswith("controller_sessions{") or
                       name == "controller_sessions") > 0
                   for pod in replicas(ha, "controller"))

    for _ in range(6):  # each proxy chooses by chance; again if all agree
        if spread():
            break
        meshed.kubectl("rollout", "restart", "deployment/web")
        meshed.rollout("deployment/web")
    assert spread()
    names = [p["metadata"]["name"] for p in meshed.pods()
             if "deletionTimestamp" not in p["metadata"]]
    ha.wait_in_sync(meshed, *names)
    assert curl(meshed, "load", "http://web/").startswith("web")
