# SPDX-License-Identifier: Apache-2.0
"""What a cluster needs of the machine, and what it changes there."""
import contextlib
import glob
import json
import os

from . import cluster as clusters
from .tools import Missing, find, run

CGROUPS = "/sys/fs/cgroup"
# The kubelet sets these, for the whole machine; the last cluster puts them back.
SYSCTLS = ("vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic",
           "kernel.panic_on_oops", "kernel.keys.root_maxkeys",
           "kernel.keys.root_maxbytes")


def why_not():
    """Why this machine cannot run a cluster; None when it can."""
    if os.uname().sysname != "Linux":
        return "clusters need Linux"
    if os.geteuid() != 0:
        return "clusters need root: nodes are namespaces, with containerd"
    if os.uname().machine != "x86_64":
        return f"images are made for x86_64 only, this is {os.uname().machine}"
    with open("/proc/filesystems", encoding="ascii") as f:
        if "\toverlay\n" not in f.read() and not loaded("overlay"):
            return "this kernel has no overlay file system"
    if not os.path.exists("/proc/self/ns/net"):
        return "this kernel has no network namespaces"
    if not bridge_netfilter():
        return "this kernel has no br_netfilter, which Services need"
    if not controllers_v1() and not controllers_v2():
        return f"no cgroup controllers for cpu, memory and pids in {CGROUPS}"
    return None


def loaded(module):
    with contextlib.suppress(Missing):
        run(find("modprobe") or "modprobe", module)
        return True
    return False


def bridge_netfilter():
    """When a Service's pod is on the client's node, its answers pass a bridge
    and must have their address put back there."""
    setting = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    return os.path.exists(setting) or (loaded("br_netfilter") and
                                       os.path.exists(setting))


def has_ipv6():
    try:
        with open("/proc/sys/net/ipv6/conf/all/disable_ipv6",
                  encoding="ascii") as f:
            return f.read().strip() == "0"
    except OSError:
        return False


# --- cgroups ------------------------------------------------------------------

def controllers_v1():
    names = {os.path.basename(d) for d in glob.glob(f"{CGROUPS}/*")
             if os.path.exists(f"{d}/tasks")}
    return {"cpu", "memory", "pids"} <= {n for s in names
                                         for n in s.split(",")} and names


def controllers_v2():
    try:
        with open(f"{CGROUPS}/cgroup.controllers", encoding="ascii") as f:
            names = set(f.read().split())
    except OSError:
        return None
    return {"cpu", "memory", "pids"} <= names and names


def make_cgroup(name):
    """The root of a node's pods, in every hierarchy."""
    two = controllers_v2()
    if two:
        with open(f"{CGROUPS}/cgroup.subtree_control", "w",
                  encoding="ascii") as f:
            f.write(" ".join(f"+{c}" for c in sorted(two)))
        os.makedirs(f"{CGROUPS}/{name}", exist_ok=True)
        return
    for hierarchy in controllers_v1():
        os.makedirs(f"{CGROUPS}/{hierarchy}/{name}", exist_ok=True)
        if "cpuset" in hierarchy.split(","):
            for what in ("cpuset.cpus", "cpuset.mems"):
                with open(f"{CGROUPS}/{hierarchy}/{what}",
                          encoding="ascii") as f:
                    value = f.read()
                with open(f"{CGROUPS}/{hierarchy}/{name}/{what}", "w",
                          encoding="ascii") as f:
                    f.write(value)


def cgroups(pattern):
    return [d for d in glob.glob(f"{CGROUPS}/{pattern}") +
            glob.glob(f"{CGROUPS}/*/{pattern}") if os.path.isdir(d)]


def remove_cgroup(pattern):
    """False while there is still a process in one."""
    for top in cgroups(pattern):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
    return not cgroups(pattern)


# --- settings of the kernel ---------------------------------------------------

def saved_sysctls():
    return os.path.join(clusters.STATE, "sysctls.json")


def save_sysctls():
    if os.path.exists(saved_sysctls()):
        return
    values = {}
    for name in SYSCTLS:
        with contextlib.suppress(OSError):
            with open(sysctl_path(name), encoding="ascii") as f:
                values[name] = f.read().strip()
    os.makedirs(clusters.STATE, mode=0o700, exist_ok=True)
    with open(saved_sysctls(), "w", encoding="ascii") as f:
        json.dump(values, f)


def restore_sysctls():
    """When no cluster is left."""
    if clusters.names() or not os.path.exists(saved_sysctls()):
        return
    with open(saved_sysctls(), encoding="ascii") as f:
        values = json.load(f)
    for name, value in values.items():
        with contextlib.suppress(OSError):
            with open(sysctl_path(name), "w", encoding="ascii") as f:
                f.write(value)
    os.remove(saved_sysctls())


def sysctl_path(name):
    return "/proc/sys/" + name.replace(".", "/")
