# SPDX-License-Identifier: Apache-2.0
"""Kubernetes objects as the controller reads them from a folder. They are
written as JSON, which is YAML too."""
import json
import os

SIDECAR = "tulle-proxy"  # the container that makes a pod meshed


def _metadata(namespace, name, annotations=None, labels=None):
    out = {"name": name, "namespace": namespace}
    if annotations:
        out["annotations"] = annotations
    if labels:
        out["labels"] = labels
    return out


def service(namespace, name, cluster_ip, port=80, app_protocol=None,
            annotations=None, port_name="main"):
    listed = {"name": port_name, "protocol": "TCP", "port": port,
              "targetPort": port}
    if app_protocol:
        listed["appProtocol"] = app_protocol
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": _metadata(namespace, name, annotations),
            "spec": {"type": "ClusterIP", "clusterIP": cluster_ip,
                     "clusterIPs": [cluster_ip], "ipFamilies": ["IPv4"],
                     "ports": [listed]}}


def endpoint_slice(namespace, service_name, addresses, port, name=None,
                   port_name="main"):
    """`addresses`: {IP: name of its pod}; several slices need names."""
    ready = {"ready": True, "serving": True, "terminating": False}
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": _metadata(
                namespace, name or service_name,
                labels={"kubernetes.io/service-name": service_name}),
            "addressType": "IPv4",
            "ports": [{"name": port_name, "protocol": "TCP", "port": port}],
            "endpoints": [{"addresses": [ip], "conditions": ready,
                           "targetRef": {"kind": "Pod", "name": pod_name,
                                         "namespace": namespace}}
                          for ip, pod_name in addresses.items()]}


def pod(namespace, name, account, ip, port=None, meshed=True,
        annotations=None):
    """`port`: where its app is reached, when others call it."""
    container = {"name": "app", "image": "app"}
    if port:
        container["ports"] = [{"name": "main", "protocol": "TCP",
                               "containerPort": port}]
    spec = {"serviceAccountName": account, "nodeName": "local",
            "containers": [container]}
    if meshed:
        spec["initContainers"] = [{"name": SIDECAR, "image": SIDECAR,
                                   "restartPolicy": "Always"}]
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": _metadata(namespace, name, annotations),
            "spec": spec,
            "status": {"phase": "Running", "podIP": ip,
                       "podIPs": [{"ip": ip}],
                       "conditions": [{"type": "Ready", "status": "True"}]}}


def write(folder, name, objects):
    """Replaces folder/name.yaml at once: nobody reads half of it."""
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/.{name}.new"
    with open(temporary, "w", encoding="utf-8") as f:
        f.write("---\n".join(json.dumps(o, indent=2) + "\n"
                             for o in objects))
    os.replace(temporary, f"{folder}/{name}.yaml")
