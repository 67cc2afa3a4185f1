# SPDX-License-Identifier: Apache-2.0
"""Certificates and kubeconfigs of a cluster. Elliptic curves: quick to make."""
import base64
import os
import secrets

from .tools import run

DAYS = "3650"
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

# Who talks to the API server with a kubeconfig: file -> subject.
CLIENTS = {
    "kubeconfig": "/O=system:masters/CN=admin",
    "controller-manager.kubeconfig": "/CN=system:kube-controller-manager",
    "scheduler.kubeconfig": "/CN=system:kube-scheduler",
}


def openssl(cluster, *words):
    return run("openssl", *words, cwd=cluster.path("pki"))


def authority(cluster, name, common_name):
    openssl(cluster, "req", "-x509", *CURVE, "-days", DAYS,
            "-subj", f"/CN={common_name}",
            "-addext", "basicConstraints=critical,CA:true", "-addext",
            "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
            "-keyout", f"{name}.key", "-out", f"{name}.crt")


def certificate(cluster, name, subject, alternative_names="", ca="ca"):
    extensions = ["basicConstraints=critical,CA:false",
                  "keyUsage=critical,digitalSignature,keyEncipherment",
                  "extendedKeyUsage=serverAuth,clientAuth"]
    if alternative_names:
        extensions.append(f"subjectAltName={alternative_names}")
    cluster.write(f"pki/{name}.ext", "\n".join(extensions) + "\n")
    openssl(cluster, "req", "-new", *CURVE, "-subj", subject,
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(cluster, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.crt",
            "-CAkey", f"{ca}.key", "-set_serial", f"0x{secrets.token_hex(8)}",
            "-days", DAYS, "-extfile", f"{name}.ext", "-out", f"{name}.crt")


def base64_of(cluster, name):
    with open(cluster.path("pki", name), "rb") as f:
        return base64.b64encode(f.read()).decode()


def kubeconfig(cluster, file, subject):
    name = file.removesuffix(".kubeconfig")
    certificate(cluster, name, subject)
    context = f"tulle-{cluster.name}"
    cluster.write(file, f"""\
apiVersion: v1
kind: Config
clusters:
- name: {context}
  cluster:
    server: {cluster.api}
    certificate-authority-data: {base64_of(cluster, "ca.crt")}
users:
- name: {context}
  user:
    client-certificate-data: {base64_of(cluster, name + ".crt")}
    client-key-data: {base64_of(cluster, name + ".key")}
contexts:
- name: {context}
  context: {{cluster: {context}, user: {context}}}
current-context: {context}
""")


def of_control_plane(cluster):
    os.makedirs(cluster.path("pki"), mode=0o700, exist_ok=True)
    authority(cluster, "ca", f"kubernetes of {cluster.name}")
    authority(cluster, "front-proxy-ca", f"front proxy of {cluster.name}")
    openssl(cluster, "genrsa", "-out", "service-accounts.key", "2048")
    openssl(cluster, "rsa", "-in", "service-accounts.key", "-pubout",
            "-out", "service-accounts.pub")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc",
             "kubernetes.default.svc.cluster.local", "localhost"]
    addresses = [cluster.host, cluster.api_service, "127.0.0.1"]
    certificate(cluster, "apiserver", "/CN=kube-apiserver", ",".join(
        [f"DNS:{n}" for n in names] + [f"IP:{a}" for a in addresses]))
    certificate(cluster, "kubelet-client",
                "/O=system:masters/CN=kube-apiserver-kubelet-client")
    certificate(cluster, "front-proxy-client", "/CN=front-proxy-client",
                ca="front-proxy-ca")
    for file, subject in CLIENTS.items():
        kubeconfig(cluster, file, subject)
    kubeconfig(cluster, "kube-proxy.kubeconfig", "/CN=system:kube-proxy")


def of_node(cluster, n):
    name = cluster.node_name(n)
    certificate(cluster, f"{name}-serving",
                f"/O=system:nodes/CN=system:node:{name}",
                f"DNS:{name},IP:{cluster.node_ip(n)}")
    kubeconfig(cluster, f"{name}.kubeconfig",
               f"/O=system:nodes/CN=system:node:{name}")
