# SPDX-License-Identifier: Apache-2.0
"""A node: network, mount, pid, uts and ipc namespaces that look like a machine,
with containerd, kubelet and kube-proxy of their own (node-init starts them).
"""
import json
import os

from . import certificates, containerd, machine
from .cluster import ip, wait_until
from .control_plane import plug
from .tools import Missing, find

HERE = os.path.dirname(os.path.realpath(__file__))


def file(cluster, n, *parts):
    return cluster.path("nodes", cluster.node_name(n), *parts)


def cgroup(cluster, n):
    return f"{cluster.prefix}-{cluster.node_name(n)}"


def start(cluster, n, kubernetes, store):
    name = cluster.node_name(n)
    for folder in ("etc", ".etc", "opt", ".opt", "var", ".var", "cgroup",
                   "kubelet", "log"):
        os.makedirs(file(cluster, n, folder), exist_ok=True)
    containerd.copy(store, file(cluster, n, "containerd"))
    certificates.of_node(cluster, n)
    network(cluster, n)
    machine.make_cgroup(cgroup(cluster, n))
    for config, text in (("containerd.toml", containerd.settings()),
                         ("pods.conflist", pod_network(cluster, n)),
                         ("kubelet.yaml", kubelet(cluster, n)),
                         ("kube-proxy.yaml", kube_proxy(cluster))):
        cluster.write(f"nodes/{name}/{config}", text)
    addresses = cluster.node_ip(n)
    if cluster.ipv6:
        addresses += "," + cluster.node_ip6(n)
    pid = cluster.start(
        name, find("nsenter"),
        f"--net=/run/netns/{cluster.network_namespace(n)}",
        find("unshare"), "--fork", "--kill-child", "--pid", "--mount", "--uts",
        "--ipc", "--propagation", "private",
        f"{HERE}/node-init", file(cluster, n), name, cluster.node_ip(n),
        kubernetes, f"--kubeconfig={cluster.path(name + '.kubeconfig')}",
        f"--hostname-override={name}", f"--node-ip={addresses}",
        f"--node-labels=topology.kubernetes.io/zone=zone-{n},"
        f"topology.kubernetes.io/region={cluster.name}")
    wait_until(20, f"the first process of {name}", lambda: first_process(pid))
    cluster.adopt(f"{name}-init", first_process(pid))


def first_process(parent):
    """The child of `unshare`; 0 while it has none."""
    with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as f:
        return int((f.read().split() or ["0"])[0])


def network(cluster, n):
    space = cluster.network_namespace(n)
    ip("netns", "add", space)
    ip("-n", space, "link", "set", "lo", "up")
    plug(cluster, "eth0", space, cluster.node_ip(n), cluster.node_ip6(n))
    ip("-n", space, "route", "add", "default", "via", cluster.host)
    # From the machine (API server, tests) to this node's pods, and from here
    # to those of other nodes.
    ip("route", "replace", cluster.pods(n), "via", cluster.node_ip(n))
    others = [m for m in range(1, cluster.nodes + 1) if m != n]
    for m in others:
        ip("-n", space, "route", "add", cluster.pods(m),
           "via", cluster.node_ip(m))
    if not cluster.ipv6:
        return
    ip("-n", space, "-6", "route", "add", "default", "via", cluster.host6)
    ip("-6", "route", "replace", cluster.pods6(n), "via", cluster.node_ip6(n))
    for m in others:
        ip("-n", space, "-6", "route", "add", cluster.pods6(m),
           "via", cluster.node_ip6(m))


def pod_network(cluster, n):
    ranges = [[{"subnet": cluster.pods(n)}]]
    routes = [{"dst": "0.0.0.0/0"}]
    if cluster.ipv6:
        ranges.append([{"subnet": cluster.pods6(n)}])
        routes.append({"dst": "::/0"})
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": True,
         "hairpinMode": True, "ipMasq": False,
         "ipam": {"type": "host-local", "dataDir": "/run/pod-addresses",
                  "ranges": ranges, "routes": routes}},
        {"type": "portmap", "capabilities": {"portMappings": True}}]})


def kubelet(cluster, n):
    serving = cluster.path("pki", f"{cluster.node_name(n)}-serving")
    return json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False}, "webhook": {"enabled": True},
            "x509": {"clientCAFile": cluster.path("pki", "ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{serving}.crt", "tlsPrivateKeyFile": f"{serving}.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "clusterDomain": "cluster.local", "clusterDNS": [cluster.dns_service],
        "resolvConf": "/etc/resolv.conf",
        "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{cgroup(cluster, n)}",
        "failCgroupV1": False, "failSwapOn": False,
        "enforceNodeAllocatable": ["pods"],
        # No registry gives an image back that was thrown away.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "200Mi",
                         "nodefs.available": "500Mi",
                         "imagefs.available": "500Mi"},
        "serializeImagePulls": False, "registryPullQPS": 0,
        "eventRecordQPS": 50, "maxPods": 200, "nodeStatusUpdateFrequency": "5s",
    }, indent=1)


def kube_proxy(cluster):
    node_ports = [f"172.30.{cluster.number}.0/24"]
    if cluster.ipv6:
        node_ports.append(f"fd74:756c:{cluster.number}::/64")
    return json.dumps({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration", "mode": "nftables",
        "clientConnection": {"kubeconfig": cluster.path("kube-proxy.kubeconfig")},
        "clusterCIDR": cluster.all_pods, "detectLocalMode": "ClusterCIDR",
        # 0: leave alone what belongs to the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s",
                      "tcpCloseWaitTimeout": "0s"},
        "nodePortAddresses": node_ports,
        # allow fixed-port: the node has a network of its own
        "healthzBindAddress": "0.0.0.0:10256"}, indent=1)


def wait_ready(cluster, n, seconds):
    name = cluster.node_name(n)
    try:
        wait_until(seconds, f"node {name}", lambda: "True" in cluster.kubectl(
            "get", "node", name, "-o", "jsonpath={.status.conditions"
            "[?(@.type=='Ready')].status}"))
    except Missing as e:
        words = [f"{e}", cluster.log_tail(name)]
        for log in ("containerd", "kubelet"):
            with open(file(cluster, n, "log", f"{log}.log"), encoding="utf-8",
                      errors="replace") as f:
                words.append(f"--- {log}:\n" + "".join(f.readlines()[-15:]))
        raise Missing("\n".join(words)) from None


# --- containerd of a node, from outside ---------------------------------------

def ctr(cluster, n, *words, **options):
    pid = cluster.pid(f"{cluster.node_name(n)}-init")
    if not pid:
        raise Missing(f"node {cluster.node_name(n)} does not run")
    return containerd.ctr(f"/proc/{pid}/root/run/containerd/containerd.sock",
                          *words, **options)


def load_images(cluster, n, archives):
    for archive in archives:
        ctr(cluster, n, "images", "import", archive)


def stop(cluster, n):
    name = cluster.node_name(n)
    cluster.kill(name)
    cluster.kill(f"{name}-init")
    ip("netns", "del", cluster.network_namespace(n), check=False)
