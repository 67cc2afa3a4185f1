# SPDX-License-Identifier: Apache-2.0
"""etcd, API server, controller manager and scheduler, on the machine itself:
processes that listen on the cluster's own addresses, so no port is taken away
from anybody.

The machine and the nodes are plugged into one switch, a bridge in a network
namespace of its own: what a firewall on the machine does to bridges and to
forwarded packets does not concern it.
"""
from .cluster import API_PORT, ip, wait_until
from .tools import Missing


def switch(cluster):
    """The cable of the machine is called tulle<number>; it goes when the
    switch's namespace goes."""
    name = cluster.prefix
    space = f"{name}-switch"
    ip("netns", "add", space)
    ip("-n", space, "link", "add", "switch", "type", "bridge")
    ip("-n", space, "link", "set", "switch", "up")
    plug(cluster, name, None, cluster.host, cluster.host6)


def plug(cluster, end, space, address, address6):
    """A cable from the switch to `end`, an interface in namespace `space`."""
    port = f"port-{space or 'machine'}"[:15]
    there = ("-n", space) if space else ()
    ip("link", "add", end, *(("netns", space) if space else ()), "type", "veth",
       "peer", "name", port, "netns", f"{cluster.prefix}-switch")
    ip("-n", f"{cluster.prefix}-switch", "link", "set", port,
       "master", "switch", "up")
    ip(*there, "addr", "add", f"{address}/24", "dev", end)
    if cluster.ipv6:
        # nodad: an address to be used at once.
        ip(*there, "addr", "add", f"{address6}/64", "dev", end, "nodad")
    ip(*there, "link", "set", end, "up")


def api_server_arguments(cluster):
    pki = cluster.path("pki")
    return (
        f"--etcd-servers=http://{cluster.loopback}:2379",
        f"--advertise-address={cluster.host}",
        f"--bind-address={cluster.host}", f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={cluster.services}",
        "--allow-privileged=true", "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/service-accounts.pub",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={pki}/front-proxy-client.key",
        # No kube-proxy on the machine: webhooks are dialled at their pods.
        "--enable-aggregator-routing=true")


def start(cluster, kubernetes):
    own = cluster.loopback
    client, peer = f"http://{own}:2379", f"http://{own}:2380"
    cluster.start(
        "etcd", f"{kubernetes}/etcd", "--data-dir", cluster.path("etcd"),
        "--unsafe-no-fsync", "--log-level", "warn",
        "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
        "--initial-cluster", f"default={peer}")
    cluster.start("kube-apiserver", f"{kubernetes}/kube-apiserver",
                  *api_server_arguments(cluster))
    wait_for(cluster, "kube-apiserver", 90,
             lambda: cluster.kubectl("get", "--raw", "/readyz") == "ok")
    config = cluster.path("controller-manager.kubeconfig")
    pki = cluster.path("pki")
    cluster.start(
        "kube-controller-manager", f"{kubernetes}/kube-controller-manager",
        f"--kubeconfig={config}", f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--bind-address={own}", "--leader-elect=false",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials=true",
        "--kube-api-qps=400", "--kube-api-burst=800")
    config = cluster.path("scheduler.kubeconfig")
    cluster.start(
        "kube-scheduler", f"{kubernetes}/kube-scheduler",
        f"--kubeconfig={config}", f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--bind-address={own}", "--leader-elect=false",
        "--kube-api-qps=400", "--kube-api-burst=800")
    # Made by a controller: so they are at work.
    wait_for(cluster, "kube-controller-manager", 60,
             lambda: cluster.kubectl("get", "serviceaccount", "default"))


def wait_for(cluster, name, seconds, condition):
    """Fails at once, with its last words, when the process has ended."""
    def look():
        if not cluster.pid(name):
            raise Ended
        return condition()
    try:
        wait_until(seconds, name, look)
    except Ended:
        raise Missing(f"{name} has ended:\n{cluster.log_tail(name)}") from None
    except Missing as e:
        raise Missing(f"{e}\n{cluster.log_tail(name)}") from None


class Ended(Exception):
    pass

