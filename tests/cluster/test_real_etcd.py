# SPDX-License-Identifier: Apache-2.0
"""A cluster of three etcds: peers that keep streams to one another by the names
of their pods, clients that speak gRPC."""
import json

import pytest

from kube import app_pod
from mesh import deployment
from twins import in_client, shell, twins

MEMBERS = ("etcd-0", "etcd-1", "etcd-2")
PUTS = 100

# Slow to believe that a member is gone: tests share a small machine.
ETCD = ("sh", "-c", """
exec etcd --name "$HOSTNAME" --data-dir /data/etcd \
    --initial-cluster-token "$NAMESPACE" --initial-cluster "$(for n in 0 1 2; do
        printf '%setcd-%s=http://etcd-%s.etcd:2380' "$comma" $n $n; comma=,
    done)" \
    --listen-peer-urls http://0.0.0.0:2380 \
    --initial-advertise-peer-urls "http://$HOSTNAME.etcd:2380" \
    --listen-client-urls http://0.0.0.0:2379 \
    --advertise-client-urls "http://$HOSTNAME.etcd:2379" \
    --heartbeat-interval 200 --election-timeout 2000 --logger zap
""")


def stateful_set():
    """Where a member was it starts again, with what it had."""
    spec = deployment("etcd", *ETCD, replicas=3, container={
        "env": [{"name": "NAMESPACE", "valueFrom": {
            "fieldRef": {"fieldPath": "metadata.namespace"}}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 2379},
                           "periodSeconds": 1, "timeoutSeconds": 5}})
    return {**spec, "kind": "StatefulSet", "spec": {
        **spec["spec"], "serviceName": "etcd",
        "podManagementPolicy": "Parallel",
        "volumeClaimTemplates": [{
            "metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                "resources": {"requests": {"storage": "1Gi"}}}}]}}


def volume(space, number, node):
    """A folder of a node, for one member."""
    name = f"{space.name}-etcd-{number}"
    return {
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": name}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "",
            "hostPath": {"path": f"/var/lib/tulle-test/{name}",
                         "type": "DirectoryOrCreate"},
            "claimRef": {"namespace": space.name,
                         "name": f"data-etcd-{number}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{
                "matchExpressions": [{"key": "kubernetes.io/hostname",
                                      "operator": "In",
                                      "values": [node]}]}]}}}}


def put(space):
    space.service("etcd", 2380, clusterIP="None", ports=[
        {"name": "peer", "port": 2380}, {"name": "client", "port": 2379}],
        publishNotReadyAddresses=True)
    space.service("any", 2379, selector={"app": "etcd"})
    space.apply([*(volume(space, n, node) for n, node in
                   enumerate(("n1", "n2", "n1"))),
                 stateful_set(), app_pod("client", node="n2")])
    return ["statefulset/etcd"], ["client"]


@pytest.fixture(scope="module")
def town(kube, mesh):
    with twins(kube, mesh, put) as t:
        yield t
        volumes = [f"{s.name}-etcd-{n}" for s in (t.plain, t.meshed)
                   for n in range(3)]
    kube.kubectl("delete", "persistentvolume", "--wait=false", *volumes)


def etcdctl(space, *words, timeout=60):
    return in_client(space, "etcdctl", "--endpoints=any:2379",
                     "--command-timeout=20s", *words, timeout=timeout)


def all_of_them(*words):
    """To each member by its name. With a scheme before it, etcdctl 3.4 would
    say that for an authority, which it is not."""
    at = ",".join(f"{m}.etcd:2379" for m in MEMBERS)
    return ("etcdctl", f"--endpoints={at}", "--command-timeout=20s", *words)


def healthy(space):
    said = json.loads(in_client(space, *all_of_them(
        "endpoint", "health", "-w", "json")))
    return [(m["health"], m.get("error", "")) for m in said] == \
        [(True, "")] * 3


def leader(space):
    """The pod's name."""
    said = json.loads(in_client(space, *all_of_them(
        "endpoint", "status", "-w", "json")))
    return next(m["Endpoint"].split(".")[0] for m in said
                if m["Status"]["leader"] ==
                m["Status"]["header"]["member_id"])


def test_members_find_each_other(town):
    def members(space):
        space.wait_for(60, "three members in health", lambda: healthy(space))
        said = json.loads(etcdctl(space, "member", "list", "-w", "json"))
        return sorted((m["name"], m["peerURLs"]) for m in said["members"])
    assert [name for name, _ in town.same(members)] == list(MEMBERS)


def test_put_get_and_watch(town):
    """What was written is seen by a reader and, in order, by a watcher of
    another member."""
    def run(space):
        return shell(space, """
            do="etcdctl --endpoints=any:2379" count=$1
            $do del --prefix seen/ >/tmp/said
            etcdctl --endpoints=etcd-1.etcd:2379 watch --prefix seen/ \
                >/tmp/watched &
            id=$!
            # It watches once it tells what was put.
            for n in $(seq 600); do
                $do put seen/start $n >/tmp/said
                [ ! -s /tmp/watched ] || break
            done
            for n in $(seq $count); do
                $do put seen/$n value-$n
            done | sort | uniq -c
            for try in $(seq 600); do
                ! grep -qx value-$count /tmp/watched || break
                sleep 0.05
            done
            kill $id
            [ "$(grep value- /tmp/watched)" = "$(seq -f value-%g $count)" ] &&
                echo in order
            $do get --prefix seen/ --print-value-only | grep -c value-
            $do del --prefix seen/
            $do get --prefix seen/
            """, str(PUTS)).split()
    assert town.same(run) == [str(PUTS), "OK", "in", "order", str(PUTS),
                              str(PUTS + 1)]


def test_large_values_and_transactions(town):
    """A megabyte, and a comparison that holds for one of two."""
    def run(space):
        return shell(space, """
            do="etcdctl --endpoints=any:2379"
            head -c 750000 /dev/zero | openssl enc -aes-128-ctr -K 0 -iv 0 \
                2>/dev/null | base64 -w 0 >/tmp/large
            $do put large </tmp/large
            $do get --print-value-only large | md5sum
            $do put one 1
            for wanted in 1 2; do
                printf 'value("one") = "%s"\n\nput one 3\n\nget one\n\n' \
                    $wanted | $do txn
            done
            """).split()
    said = town.same(run)
    assert "SUCCESS" in said and "FAILURE" in said


def test_lease(town):
    """Kept alive by a stream; with its end the key goes."""
    def run(space):
        return shell(space, """
            do="etcdctl --endpoints=any:2379"
            lease=$($do lease grant 60 | cut -d' ' -f2)
            $do put --lease=$lease leased yes
            $do lease keep-alive --once $lease | sed "s/$lease/it/"
            $do lease timetolive --keys $lease | grep -o 'attached.*'
            $do lease revoke $lease | sed "s/$lease/it/"
            $do get leased
            """).splitlines()
    assert town.same(run) == ["OK", "lease it keepalived with TTL(60)",
                              "attached keys([leased])", "lease it revoked"]


def test_a_lost_leader_is_replaced_and_rejoins(town):
    """What was confirmed meanwhile is there afterwards, in all three."""
    def run(space):
        lost = leader(space)
        before = space.get("pod", lost)["metadata"]["uid"]
        space.kubectl("delete", "pod", lost, "--wait=false")
        kept = 0
        for n in range(20):
            space.wait_for(60, "a put that is confirmed", lambda n=n: etcdctl(
                space, "put", f"kept/{n}", str(n)) == "OK\n")
            kept += 1
        space.wait_for(60, "its successor", lambda: space.get(
            "pod", lost)["metadata"]["uid"] != before)
        space.rollout("statefulset/etcd")
        space.wait_for(60, "three members in health", lambda: healthy(space))
        return kept, [in_client(
            space, "etcdctl", f"--endpoints={m}.etcd:2379", "get", "--prefix",
            "kept/", "--print-value-only").split() for m in MEMBERS]
    kept, values = town.same(run)
    assert values == [sorted(map(str, range(kept)), key=lambda n: f"kept/{n}")
                      ] * 3


def test_etcd_is_carried_by_the_mesh(town):
    """Clients and peers, both as HTTP."""
    etcdctl(town.meshed, "get", "nothing")
    for pod in MEMBERS:
        town.proved(pod, "proxy_requests_total")
