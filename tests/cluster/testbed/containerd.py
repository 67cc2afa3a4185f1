# SPDX-License-Identifier: Apache-2.0
"""containerd: its settings on a node, and a store of images made beforehand."""
import contextlib
import os
import shutil
import subprocess

from .cluster import wait_until
from .tools import find, run

PAUSE_IMAGE = "tulle-test/pause:1"
NETWORK_PLUGINS = os.path.join("/opt", "cni", "bin")  # where all look for them
CRI = 'plugins."io.containerd.grpc.v1.cri"'
UNUSED = [f"io.containerd.snapshotter.v1.{name}"
          for name in ("aufs", "btrfs", "devmapper", "zfs")] + [
    "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]


def basics(root, state, unused):
    return f"""\
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = {unused}
[grpc]
  address = "{state}/containerd.sock"
"""


def settings():
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot lower it.
    return basics("/var/lib/containerd", "/run/containerd", UNUSED) + f"""\
[{CRI}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [{CRI}.cni]
    bin_dir = "{NETWORK_PLUGINS}"
    conf_dir = "/etc/cni/net.d"
  [{CRI}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [{CRI}.containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def ctr(socket, *words, timeout=300):
    return run(find("ctr"), "--address", socket, "--namespace", "k8s.io",
               *words, timeout=timeout)


def wait(what, look):
    wait_until(60, f"containerd of {what}", look)


def fill(root, work, archives):
    """Makes containerd's folder `root` with the images of `archives`."""
    config = f"{work}/containerd.toml"
    with open(config, "w", encoding="utf-8") as f:
        f.write(basics(root, f"{work}/state",
                       [*UNUSED, "io.containerd.grpc.v1.cri"]))
    socket = f"{work}/state/containerd.sock"
    # What it mounts goes with its namespace.
    with subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private",
             find("containerd"), "--config", config, "--log-level", "error"],
            stdin=subprocess.DEVNULL) as child:
        try:
            wait("the store", lambda: ctr(socket, "version", timeout=5))
            for archive in archives:
                ctr(socket, "images", "import", archive)
        finally:
            child.terminate()


def copy(store, root):
    """A node's own copy of a store: links, as containerd never changes a file of
    an image; only its databases are real copies."""
    same_disk = os.stat(store).st_dev == os.stat(os.path.dirname(root)).st_dev
    run("cp", "-a", *(["--link"] if same_disk else []), store, root)
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in ("snapshots", "blobs")]
        for name in names:
            if name.endswith(".db"):
                path = os.path.join(folder, name)
                shutil.copy(path, path + ".new")
                os.rename(path + ".new", path)
    with contextlib.suppress(FileNotFoundError):
        os.remove(f"{root}/lock")
