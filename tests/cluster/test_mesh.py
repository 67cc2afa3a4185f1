# SPDX-License-Identifier: Apache-2.0
"""The main story: install, annotate, and a pod's traffic is in the mesh."""
from mesh import (INJECT, READY, SECRET, STRICT, WEB, curl, deployment, status)


def two_pods(space, mesh, **server):
    """A server behind a Service, a client, each on a node of its own."""
    space.service("web", 80, 8080)
    space.app("web", *WEB, node="n1", container=READY, **server)
    space.app("client", node="n2")
    mesh.wait_in_sync(space, "web", "client")


def test_client_to_server_by_service_name(meshed, mesh):
    two_pods(meshed, mesh)
    with meshed.capture("n1", "tcp port 8080", "eth0") as packets:
        said = curl(meshed, "client", f"http://web/{SECRET}")
        assert said.split()[0] == "web" and said.split()[2] == f"/{SECRET}"
        # What travels is a TLS handshake that offers the mesh's protocol.
        packets.wait_for(b"tulle")
        assert SECRET.encode() not in packets.bytes()
    assert mesh.count(meshed, "web", "proxy_requests_total", 'direction="in',
                      f"ns/{meshed.name}/sa/default") >= 1
    assert mesh.count(meshed, "client", "proxy_requests_total",
                      'direction="out', "web:80") >= 1


def test_one_annotation_is_enough(space, mesh):
    """No label on the namespace: the pod's own word."""
    space.apply(deployment("web", *WEB, annotations=INJECT, container=READY))
    space.rollout("deployment/web")
    pod = space.pods("app=web")[0]
    inits = [c["name"] for c in pod["spec"]["initContainers"]]
    assert inits[:2] == ["tulle-init", "tulle-proxy"]
    mesh.wait_in_sync(space, pod["metadata"]["name"])
    state = mesh.proxy(space, pod["metadata"]["name"])
    assert state["ready"] == "True" and state["mtls"] == "permissive"
    assert state["identity"] == \
        f"spiffe://cluster.local/ns/{space.name}/sa/default"


def test_unmeshed_to_meshed_and_back(meshed, space, mesh):
    two_pods(meshed, mesh)
    space.service("outside", 80, 8080)
    space.app("outside", *WEB, container=READY)
    assert curl(space, "outside", f"http://web.{meshed.name}/").startswith("web")
    assert curl(meshed, "client", f"http://outside.{space.name}/").startswith(
        "outside")


def test_strict_refuses_plaintext(meshed, space, mesh):
    """And the probe of the application, which is plaintext, passes."""
    two_pods(meshed, mesh, annotations=STRICT)
    space.app("outside")
    address = meshed.get("pod", "web")["status"]["podIP"]
    for url in (f"http://web.{meshed.name}/", f"http://{address}:8080/",
                f"http://{address}:8080/ready"):
        assert status(space, "outside", url) in (0, 403), url
    assert curl(meshed, "client", "http://web/").startswith("web")
    assert mesh.proxy(meshed, "web")["mtls"] == "strict"


def test_kubectl_shows_the_mesh(meshed, mesh):
    two_pods(meshed, mesh)
    table = [line.split() for line in meshed.kubectl(
        "get", "meshproxies").splitlines()]
    assert table[0] == ["NAME", "READY", "SYNC", "MTLS", "CERT-EXPIRES"]
    assert [row[:4] for row in table[1:]] == [
        ["client", "True", "yes", "permissive"],
        ["web", "True", "yes", "permissive"]]
    wide = meshed.kubectl("get", "meshproxies", "-o", "wide").split("\n")[0]
    assert wide.split()[5:] == ["IDENTITY", "VERSION", "CONFIG", "NODE"]
    mesh.kube.wait_for(20, "the MeshConfig", lambda: mesh.kube.get(
        "meshconfig", "mesh")["status"]["proxies"] >= 2)
    table = [line.split() for line in mesh.kube.kubectl(
        "get", "meshconfigs").splitlines()]
    assert table[0] == ["NAME", "READY", "PROXIES", "SYNCED", "MTLS",
                        "TRUST-DOMAIN", "CA-EXPIRES", "VERSION"]
    assert table[1][:2] == ["mesh", "True"]
    assert "meshproxy.tulle.dev/web" in mesh.kube.kubectl("get", "mesh", "-A")
