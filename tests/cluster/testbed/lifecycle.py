# SPDX-License-Identifier: Apache-2.0
"""Up and down: all of a cluster, in order."""
import concurrent.futures
import json
import os
import re

from . import (addons, certificates, cluster as clusters, containerd,
               control_plane, images, machine, node, tools)
from .cluster import ip, wait_until
from .tools import Missing, say


def up(name, nodes=2, kwok=False, ipv6=True, archives=()):
    """A running cluster: a new one, or the one of that name if it is whole."""
    reason = machine.why_not()
    if reason:
        raise Missing(reason)
    tools.everything()
    store = images.store()
    with one_at_a_time():
        cluster = clusters.load(name)
        if cluster and whole(cluster, nodes):
            say(f"cluster {name} runs already")
        else:
            if name in clusters.names():
                say(f"cluster {name} is not whole: starting anew")
                remove(name)
            cluster = new(name, nodes, ipv6 and machine.has_ipv6(), store,
                          archives)
        if kwok and not cluster.pid("kwok"):
            addons.kwok(cluster)
    return cluster


def one_at_a_time():
    """Up or down: numbers, names and the kernel's settings are shared."""
    return tools.locked("clusters")


def whole(cluster, nodes):
    expected = {"etcd", "kube-apiserver", "kube-controller-manager",
                "kube-scheduler"}
    for n in range(1, cluster.nodes + 1):
        expected |= {cluster.node_name(n), f"{cluster.node_name(n)}-init"}
    return cluster.nodes >= nodes and expected <= set(cluster.running())


def new(name, nodes, ipv6, store, archives):
    kubernetes = tools.kubernetes()
    cluster = clusters.create(name, nodes, ipv6)
    try:
        machine.save_sysctls()
        remove_leftovers(cluster)
        addons.commands(cluster, kubernetes)
        certificates.of_control_plane(cluster)
        control_plane.switch(cluster)
        control_plane.start(cluster, kubernetes)
        say(f"API server of cluster {name} is ready")
        start_nodes(cluster, kubernetes, store, archives)
    except BaseException:
        if os.environ.get("TULLE_KEEP_BROKEN"):
            say(f"left as it is: {cluster.folder}; tests/cluster/down --name {name}")
        else:
            remove(name)
        raise
    return cluster


def start_nodes(cluster, kubernetes, store, archives):
    def one(n):
        node.start(cluster, n, kubernetes, store)
        containerd.wait(cluster.node_name(n),
                        lambda: node.ctr(cluster, n, "version", timeout=5))
        node.load_images(cluster, n, archives)
        node.wait_ready(cluster, n, 120)
        say(f"node {cluster.node_name(n)} is ready")
    on_all_nodes(cluster, one)
    if cluster.nodes:
        addons.dns(cluster)
        addons.wait_dns(cluster)
        say("cluster DNS is ready")


def load_images(cluster, archives):
    on_all_nodes(cluster, lambda n: node.load_images(cluster, n, archives))


def on_all_nodes(cluster, work):
    """At once. When one fails, or a signal comes, the others give up."""
    with concurrent.futures.ThreadPoolExecutor(clusters.NODES_MAX) as pool:
        started = [pool.submit(work, n) for n in range(1, cluster.nodes + 1)]
        try:
            for done in concurrent.futures.as_completed(started):
                done.result()
        except BaseException:
            clusters.GIVE_UP.set()
            raise
        finally:
            pool.shutdown()
            clusters.GIVE_UP.clear()


def down(name):
    """Removes every trace of the cluster; True when there was one."""
    with one_at_a_time():
        if name not in clusters.names():
            return False
        remove(name)
        return True


def remove(name):
    cluster = clusters.load(name)
    if cluster:
        for n in range(1, cluster.nodes + 1):
            node.stop(cluster, n)
        # Nothing is kept, so nobody is asked to end in order.
        for process in cluster.running():
            cluster.kill(process)
        remove_leftovers(cluster)
        clusters.forget(cluster)
    else:
        clusters.forget(clusters.Cluster(name, 0))
    machine.restore_sysctls()
    clusters.forget_all()


def down_orphans():
    """Clusters of test runs that were killed before they could clean up."""
    for name in clusters.names():
        pid = re.fullmatch(r"test-(\d+)", name)
        if pid and not clusters.start_time(int(pid.group(1))):
            say(f"taking cluster {name} away: its test run is gone")
            down(name)


def remove_leftovers(cluster):
    """All that carries the cluster's number, from whatever time."""
    prefix = cluster.prefix
    for space in json.loads(ip("-json", "netns", "list") or "[]"):
        if space["name"].startswith(f"{prefix}-"):
            ip("netns", "del", space["name"])
    ip("link", "del", prefix, check=False)
    wait_until(20, f"the cgroups {prefix}-* to be empty",
               lambda: machine.remove_cgroup(f"{prefix}-*"))

