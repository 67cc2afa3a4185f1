# SPDX-License-Identifier: Apache-2.0
"""Rollouts under load: whoever is started anew, no request fails."""
import json
import subprocess

import pytest

from mesh import LOAD, READY, WEB, Load, deployment, load


def servers(space, mesh, replicas=2, **container):
    space.service("web", 80, 8080)
    space.apply(deployment("web", *WEB, replicas=replicas,
                           container={**READY, **container}))
    space.rollout("deployment/web")
    mesh.wait_in_sync(space, *(p["metadata"]["name"]
                               for p in space.pods("app=web")))


def restart(kube, what, seconds=120):
    """A rolling restart, until the old pods are gone."""
    name = what.split("/")[1]
    mine = "app=" + name if not name.startswith("tulle-") else \
        "app.kubernetes.io/component=" + name.removeprefix("tulle-")
    old = {p["metadata"]["uid"] for p in kube.pods(mine)}
    kube.kubectl("rollout", "restart", what)
    kube.rollout(what, seconds)
    kube.wait_for(60, "the old pods to be gone", lambda: not old & {
        p["metadata"]["uid"] for p in kube.pods(mine)})


@pytest.mark.parametrize("replicas", (1, 3))
def test_restart_of_the_server(meshed, mesh, replicas):
    """It ends its requests when it is told to stop, as servers should; here
    by being slow to stop."""
    servers(meshed, mesh, replicas,
            lifecycle={"preStop": {"sleep": {"seconds": 1}}})
    asking = load(meshed)
    restart(meshed, "deployment/web")
    told = asking.check()
    now = {p["metadata"]["name"] for p in meshed.pods("app=web")}
    assert now & set(told["seen"]) and set(told["seen"]) - now


def test_restart_of_a_server_that_quits_at_once(meshed, mesh):
    """Its SIGTERM comes before anybody knows that it is going."""
    servers(meshed, mesh, 3, env=[{"name": "QUIT_AT_ONCE", "value": "1"}])
    asking = load(meshed)
    for _ in range(2):
        restart(meshed, "deployment/web")
    asking.check()


def test_restart_of_the_client(meshed, mesh):
    """What it asks while it is stopped is answered too: its proxy goes last."""
    servers(meshed, mesh)
    meshed.apply(deployment("load", *LOAD, "web", "web", "8", replicas=2))
    meshed.rollout("deployment/load")
    old = [p["metadata"]["name"] for p in meshed.pods("app=load")]
    for pod in old:
        Load(meshed, pod).wait_more()
    words = [meshed.program("kubectl"), *meshed.scope(), "logs", "-f", "-c",
             "app"]
    ends = [subprocess.Popen([*words, pod], env=meshed.environment(), text=True,
                             stdout=subprocess.PIPE) for pod in old]
    restart(meshed, "deployment/load")
    for child in ends:
        told = json.loads(child.communicate(timeout=60)[0])
        assert not told["bad"], "\n".join(told["bad"])
        assert told["good"]["POST"] > 50
    for pod in meshed.pods("app=load"):
        Load(meshed, pod["metadata"]["name"]).check()


@pytest.mark.parametrize("what", ("controller", "injector"))
def test_restart_of_the_control_plane(meshed, mesh, what):
    servers(meshed, mesh)
    asking = load(meshed)
    restart(mesh.system, f"deployment/tulle-{what}")
    asking.check()
    meshed.app("late", *WEB, container=READY)
    mesh.wait_in_sync(meshed, "load", "late")
    asking.check()


def test_controller_is_away(meshed, mesh):
    """Traffic goes on with what is known; what is new is learnt afterwards."""
    servers(meshed, mesh, 1)
    asking = load(meshed)
    mesh.system.kubectl("scale", "deployment/tulle-controller", "--replicas=0")
    try:
        mesh.system.wait_for(60, "the controller to be gone", lambda: not
                             mesh.system.pods(
                                 "app.kubernetes.io/component=controller"))
        before = asking.told()["now"]
        meshed.kubectl("scale", "deployment/web", "--replicas=2")
        meshed.wait_for(90, "a minute without a controller", lambda:
                        asking.told()["now"] > before + 60, 2)
        told = asking.check()
        assert len(told["seen"]) == 1
    finally:
        mesh.system.kubectl("scale", "deployment/tulle-controller",
                            "--replicas=1")
    mesh.system.rollout("deployment/tulle-controller")
    meshed.rollout("deployment/web")
    meshed.wait_for(30, "requests to the new endpoint",
                    lambda: len(asking.told()["seen"]) == 2)
    mesh.wait_in_sync(meshed, "load", *(p["metadata"]["name"]
                                        for p in meshed.pods("app=web")))
    asking.check()
