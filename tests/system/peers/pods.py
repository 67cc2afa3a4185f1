# SPDX-License-Identifier: Apache-2.0
"""Pods without Kubernetes: network namespaces that a test makes, joined by a
bridge in one of their own, the node. Nothing of the machine's own network is
touched. Needs root.

    with Node() as node:
        web = node.pod()
        with web.inside():
            ...  # sockets, threads and programs made here are in the pod
"""
import contextlib
import ctypes
import os
import subprocess

import pytest

CLONE_NEWNET = 0x40000000
PROXY_ID = "2102"
LOOPBACK = "192.0.2.127"
_LIBC = ctypes.CDLL(None, use_errno=True)


def need_root():
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")


def _check(code, what):
    if code:
        err = ctypes.get_errno()
        raise OSError(err, f"{what}: {os.strerror(err)}")


class Namespace:
    """Lives as long as somebody is in it; the holder is, until close()."""

    def __init__(self):
        with self._own_thread_back():
            _check(_LIBC.unshare(CLONE_NEWNET), "unshare")
            self.holder = subprocess.Popen(["sleep", "infinity"])
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.run("ip", "link", "set", "lo", "up")

    @staticmethod
    @contextlib.contextmanager
    def _own_thread_back():
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            yield
        finally:
            _check(_LIBC.setns(before, CLONE_NEWNET), "setns")
            os.close(before)

    @contextlib.contextmanager
    def inside(self):
        """For this thread, and what is started in it."""
        with self._own_thread_back():
            _check(_LIBC.setns(self.fd, CLONE_NEWNET), "setns")
            yield self

    def run(self, *argv, check=True, **options):
        with self.inside():
            return subprocess.run(argv, capture_output=True, text=True,
                                  timeout=60, check=check, **options)

    def close(self):
        self.holder.kill()
        self.holder.wait()
        os.close(self.fd)


class Pod(Namespace):
    """Addresses `ip` and `ip6`; the node is its router."""

    def __init__(self, node, number):
        super().__init__()
        self.ip, self.ip6 = f"10.77.0.{number}", f"fd77::{number:x}"
        outer = f"veth{number}"
        node.run("ip", "link", "add", outer, "type", "veth", "peer", "name",
                 "eth0", "netns", str(self.holder.pid))
        node.run("ip", "link", "set", outer, "master", "br0", "up")
        self.run("ip", "address", "add", f"{self.ip}/24", "dev", "eth0")
        self.run("ip", "address", "add", f"{self.ip6}/64", "dev", "eth0",
                 "nodad")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "add", "default", "via", node.ip)
        self.run("ip", "-6", "route", "add", "default", "via", node.ip6)


class Node(Namespace):
    def __init__(self):
        need_root()
        super().__init__()
        self.ip, self.ip6, self.pods = "10.77.0.1", "fd77::1", []
        self.run("ip", "link", "add", "br0", "type", "bridge")
        self.run("ip", "address", "add", f"{self.ip}/24", "dev", "br0")
        self.run("ip", "address", "add", f"{self.ip6}/64", "dev", "br0",
                 "nodad")
        self.run("ip", "link", "set", "br0", "up")

    def pod(self):
        self.pods.append(Pod(self, len(self.pods) + 2))
        return self.pods[-1]

    def neighbour(self, of):
        """A pod that sends what is for these networks to that one, and to its
        loopback what is for LOOPBACK."""
        n = self.pod()
        n.run("ip", "route", "add", "192.0.2.0/24", "via", of.ip)
        n.run("ip", "-6", "route", "add", "2001:db8::/32", "via", of.ip6)
        n.run("nft", "table ip loopback { "
              "chain out { type filter hook postrouting priority 400; "
              f"ip daddr {LOOPBACK} ip daddr set 127.0.0.1; }}; "
              "chain in { type filter hook prerouting priority -400; "
              f"ip saddr 127.0.0.1 ip saddr set {LOOPBACK}; }}; }}")
        return n

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pod in self.pods:
            pod.close()
        self.close()


def as_proxy(argv):
    """The same, run by the proxy's user and group."""
    return ["setpriv", f"--reuid={PROXY_ID}", f"--regid={PROXY_ID}",
            "--clear-groups", "--pdeathsig=TERM", *argv]
