# SPDX-License-Identifier: Apache-2.0
"""What a cluster gets once its API server is up: DNS, and fake nodes' keeper."""
import os

from . import images, tools
from .cluster import wait_until
from .tools import HERE


def dns(cluster):
    with open(f"{HERE}/dns.yaml", encoding="utf-8") as f:
        text = f.read()
    for word, value in (("DNS_SERVICE", cluster.dns_service),
                        ("DNS_IMAGE", images.COREDNS_IMAGE),
                        ("MACHINE6", cluster.host6), ("MACHINE", cluster.host)):
        text = text.replace(word, value)
    cluster.kubectl("apply", "-f", cluster.write("dns.yaml", text))


def wait_dns(cluster):
    wait_until(90, "cluster DNS", lambda: cluster.kubectl(
        "--namespace=kube-system", "get", "deployment", "coredns",
        "--output=jsonpath={.status.availableReplicas}") == "1")


def kwok(cluster):
    """Plays the kubelets of nodes with the label type=kwok."""
    cluster.start(
        "kwok", tools.go_tool("kwok"), f"--kubeconfig={cluster.kubeconfig}",
        f"--config={tools.kwok_stages()}", "--manage-all-nodes=false",
        "--manage-nodes-with-label-selector=type=kwok",
        f"--cidr=10.{100 + cluster.number}.128.1/17",
        f"--node-ip=172.30.{cluster.number}.250",
        f"--server-address={cluster.loopback}:10247")


def commands(cluster, kubernetes):
    """The folder of commands that fit this cluster."""
    os.makedirs(cluster.path("bin"), exist_ok=True)
    for name in ("kubectl", "helm", "helm3"):
        target = f"{kubernetes}/kubectl" if name == "kubectl" else \
            tools.go_tool(name)
        link = cluster.path("bin", name)
        if not os.path.lexists(link):
            os.symlink(target, link)
    return cluster.path("bin")
