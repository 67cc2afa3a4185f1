# SPDX-License-Identifier: Apache-2.0
"""Services of the rarer kinds, in a namespace that is strict: names for other
names, Services without a selector, one family of addresses or both, and what is
outside the cluster."""
import contextlib
import http.server
import ipaddress
import socket
import threading

import pytest

from kube import app_pod
from mesh import INJECT, READY, STRICT, WEB, curl, status

DUAL = {"ipFamilyPolicy": "RequireDualStack"}
SIX = {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}
TURNS = 40  # as many requests leave out one of two endpoints once in 2^39


@pytest.fixture(scope="module")
def outside(kube):
    """The server `outside`, whose pod is not in the mesh."""
    with kube.space() as s:
        s.app("outside", *WEB, container=READY)
        yield s


@pytest.fixture(scope="module")
def town(kube, mesh):
    with kube.space(labels=INJECT, annotations=STRICT) as s:
        s.service("web", 80, 8080)
        s.service("all", 8080, selector={"app": "web"}, clusterIP="None")
        s.apply([app_pod("web", *WEB, node="n1", container=READY),
                 app_pod("other", *WEB, node="n2", container=READY),
                 app_pod("client", node="n2")])
        for name in ("web", "other", "client"):
            s.wait_condition(f"pod/{name}", "Ready")
        mesh.wait_in_sync(s, "web", "other", "client")
        yield s


@pytest.fixture
def machine(kube):
    """(IPv4 address, port, IPv6 address, port) of a web server on the machine
    that the cluster runs on."""
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"machine {self.headers['Host']}\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def __init__(self, host):
            self.address_family = (socket.AF_INET6 if ":" in host
                                   else socket.AF_INET)
            super().__init__((host, 0), Answer)

    ours = kube.own_cluster()
    if not ours.ipv6:
        pytest.skip("the machine has no IPv6 for this cluster")
    with contextlib.ExitStack() as stack:
        found = []
        for host in (ours.host, ours.host6):
            server = stack.enter_context(Server(host))
            threading.Thread(target=server.serve_forever).start()
            stack.callback(server.shutdown)
            found += [host, server.server_port]
        yield found


def addresses(space, pod, family):
    found = [a["ip"] for a in space.get("pod", pod)["status"]["podIPs"]
             if (":" in a["ip"]) == (family == "IPv6")]
    return found or pytest.skip(f"pods have no {family} here")


def slice_of(service, family, endpoints, port=8080):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": f"{service}-{family.lower()}",
                         "labels": {"kubernetes.io/service-name": service}},
            "addressType": family, "ports": [{"port": port}],
            "endpoints": [{"addresses": [a], "conditions": {"ready": True}}
                          for a in endpoints]}


def without_selector(space, name, *slices, port=80, **spec):
    space.apply([{"apiVersion": "v1", "kind": "Service",
                  "metadata": {"name": name},
                  "spec": {"ports": [{"port": port}], **spec}}, *slices])
    return space.get("service", name)


def who_answer(town, url, times=TURNS):
    """The names of all who answer; each request on a connection of its own."""
    town.wait_for(20, f"an answer from {url}",
                  lambda: curl(town, "client", "-f", url))
    return {line.split()[0] for line in town.run_in(
        "client", "sh", "-ec",
        'for n in $(seq "$1"); do curl -sSf -m 5 "$2"; done', "-", str(times),
        url, container="app").splitlines()}


def said(town, url, *words):
    """Who answers; a name that is new takes a moment to be known."""
    return town.wait_for(20, f"an answer from {url}", lambda: curl(
        town, "client", "-f", *words, url)).split()


# --- names for other names ----------------------------------------------------

def external(space, name, target):
    space.apply({"apiVersion": "v1", "kind": "Service",
                 "metadata": {"name": name},
                 "spec": {"type": "ExternalName", "externalName": target}})


@pytest.mark.parametrize("target, port", [("web", 80), ("all", 8080)])
def test_name_for_a_service(town, target, port):
    """With a port that it need not name itself."""
    external(town, f"for-{target}",
             f"{target}.{town.name}.svc.cluster.local")
    assert said(town, f"http://for-{target}:{port}/")[0] == "web"


def test_name_for_what_is_outside(town, machine):
    external(town, "far", "machine.test")
    for family, port in (("-4", machine[1]), ("-6", machine[3])):
        assert said(town, f"http://far:{port}/", family) == [
            "machine", f"far:{port}"]


def test_outside_by_address(town, machine):
    four, port, six, port6 = machine
    six = ipaddress.ip_address(six).compressed  # as curl writes it
    for host in (f"{four}:{port}", f"[{six}]:{port6}"):
        assert said(town, f"http://{host}/") == ["machine", host]


# --- no selector --------------------------------------------------------------

@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_endpoints_by_hand_lead_to_pods(town, family):
    """Who is in the mesh is reached with mTLS, whoever wrote its address
    down: this namespace takes nothing else."""
    name = f"hand-{family.lower()}"
    without_selector(
        town, name, slice_of(name, family, [
            a for pod in ("web", "other")
            for a in addresses(town, pod, family)]),
        ipFamilyPolicy="SingleStack", ipFamilies=[family])
    assert who_answer(town, f"http://{name}/") == {"web", "other"}


def test_endpoints_by_hand_in_the_mesh_and_not(town, outside):
    without_selector(town, "mixed", slice_of(
        "mixed", "IPv4", [*addresses(town, "web", "IPv4"),
                          *addresses(outside, "outside", "IPv4")]))
    assert who_answer(town, "http://mixed/") == {"web", "outside"}


def test_endpoints_by_hand_outside_the_cluster(town, machine):
    four, port, _, _ = machine
    without_selector(town, "beyond", slice_of("beyond", "IPv4", [four], port))
    assert said(town, "http://beyond/") == ["machine", "beyond"]


def test_endpoints_by_hand_are_followed(town):
    def lead_to(*pods):
        town.apply(slice_of("moving", "IPv4", [
            a for pod in pods for a in addresses(town, pod, "IPv4")]))

    without_selector(town, "moving")
    assert status(town, "client", "http://moving/") in (0, 503)
    for pod in ("web", "other", "web"):
        lead_to(pod)
        town.wait_for(20, f"answers of {pod} alone", lambda p=pod: who_answer(
            town, "http://moving/", 10) == {p})
    town.kubectl("delete", "endpointslice", "moving-ipv4")
    town.wait_for(20, "no endpoints", lambda: status(
        town, "client", "http://moving/") in (0, 503))


def test_endpoints_of_the_old_kind(town):
    """Kubernetes makes slices of them."""
    without_selector(town, "old", {
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "old"},
        "subsets": [{"addresses": [{"ip": addresses(town, "web", "IPv4")[0]}],
                     "ports": [{"port": 8080}]}]})
    assert said(town, "http://old/")[0] == "web"


def test_headless_without_selector(town):
    without_selector(town, "bare", slice_of(
        "bare", "IPv4", addresses(town, "other", "IPv4")), port=8080,
        clusterIP="None")
    assert said(town, "http://bare:8080/")[0] == "other"


# --- both families ------------------------------------------------------------

def test_ipv6_alone(town):
    addresses(town, "web", "IPv6")
    at, = town.service("six", 80, 8080, selector={"app": "web"},
                       **SIX)["spec"]["clusterIPs"]
    assert ":" in at
    for url in (f"http://[{at}]/", "http://six/"):
        assert said(town, url)[0] == "web"


def test_both_families(town):
    """A name with two addresses. Of the endpoints, those of the Service's first
    family are used, or the others when there are none: by either address."""
    half = slice_of("half", "IPv6", addresses(town, "other", "IPv6"))
    town.service("both", 80, 8080, selector={"app": "web"}, **DUAL)
    without_selector(town, "half", half, **DUAL)
    for family in ("-4", "-6"):
        assert said(town, "http://both/", family)[0] == "web"
        assert said(town, "http://half/", family)[0] == "other"


def test_headless_of_both_families(town):
    addresses(town, "other", "IPv6")
    town.service("each", 8080, selector={"app": "other"}, clusterIP="None",
                 **DUAL)
    for family in ("-4", "-6"):
        assert said(town, "http://each:8080/", family)[0] == "other"
