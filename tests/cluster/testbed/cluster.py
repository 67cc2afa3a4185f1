# SPDX-License-Identifier: Apache-2.0
"""One cluster: its name and number, its addresses, its folder, its processes.

Everything a cluster has carries its number: links and network namespaces
`tulle<number>...`, addresses 172.30.<number>.x and fd74:756c:<number>::, cgroups
/tulle<number>-<node>. So several can run at once, and `down` finds what a
cluster left even when its folder tells nothing any more.
"""
import ipaddress
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

from .tools import Missing, find, run

STATE = os.path.join(
    os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"),
    "tulle", "clusters")
NUMBERS = range(10)
API_PORT = 6443
GIVE_UP = threading.Event()  # set while threads end early
NODES_MAX = 9


def wait_until(seconds, what, condition, interval=0.1):
    """What condition() gives as soon as it is true; Missing after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        last = None
        if GIVE_UP.is_set():
            raise Missing(f"gave up waiting for {what}")
        try:
            result = condition()
            if result:
                return result
        except (Missing, OSError) as e:
            last = e
        if time.monotonic() > deadline:
            raise Missing(f"waited {seconds} s for {what}"
                          + (f": {last}" if last else ""))
        time.sleep(interval)  # allow sleep: between two looks at a condition


def ip(*words, check=True):
    """The `ip` program: quiet, and a failure only when `check`."""
    try:
        return run(find("ip") or "ip", *words)
    except Missing:
        if check:
            raise
        return ""


class Cluster:
    def __init__(self, name, number, nodes=0, ipv6=True):
        self.name = name
        self.number = number
        self.nodes = nodes
        self.ipv6 = ipv6
        self.folder = os.path.join(STATE, name)
        self.prefix = f"tulle{number}"

    # --- addresses ---

    # The machine has one end of a cable, .1; nodes have .11, .12 and so on.
    @property
    def host(self):
        return f"172.30.{self.number}.1"

    @property
    def host6(self):
        return f"fd74:756c:{self.number}::1"

    def node_name(self, n):
        return f"n{n}"

    def node_ip(self, n):
        return f"172.30.{self.number}.{10 + n}"

    def node_ip6(self, n):
        return f"fd74:756c:{self.number}::{10 + n}"

    def pods(self, n):
        return f"10.{100 + self.number}.{n}.0/24"

    def pods6(self, n):
        return f"fd74:756c:{self.number}:{n}::/64"

    @property
    def all_pods(self):
        six = f",fd74:756c:{self.number}::/48" if self.ipv6 else ""
        return f"10.{100 + self.number}.0.0/16{six}"

    @property
    def services(self):
        six = f",fd74:756c:{self.number}:ffff::/112" if self.ipv6 else ""
        return f"10.{200 + self.number}.0.0/16{six}"

    @property
    def api_service(self):
        return f"10.{200 + self.number}.0.1"

    @property
    def dns_service(self):
        return f"10.{200 + self.number}.0.10"

    @property
    def loopback(self):
        """For what only the control plane itself talks to."""
        return f"127.30.{self.number}.1"

    @property
    def api(self):
        return f"https://{self.host}:{API_PORT}"

    def network_namespace(self, n):
        return f"{self.prefix}-{self.node_name(n)}"

    # --- files ---

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    @property
    def kubeconfig(self):
        return self.path("kubeconfig")

    def write(self, name, text, mode=0o600):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8",
                  opener=lambda p, flags: os.open(p, flags, mode)) as f:
            f.write(text)
        return path

    def save(self):
        self.write("cluster.json", json.dumps(
            {"number": self.number, "nodes": self.nodes, "ipv6": self.ipv6}))

    # --- processes: "pid start-time" in a file, so that no pid used again by
    # somebody else is ever taken for ours ---

    def start(self, name, *command):
        os.makedirs(self.path("log"), exist_ok=True)
        with open(self.path("log", f"{name}.log"), "ab") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log, cwd="/",
                                     start_new_session=True)
        self.adopt(name, child.pid)
        return child.pid

    def adopt(self, name, pid):
        self.write(f"pid/{name}", f"{pid} {start_time(pid)}\n")

    def pid(self, name):
        """None when it does not run."""
        try:
            with open(self.path("pid", name), encoding="ascii") as f:
                pid, started = map(int, f.read().split())
        except (OSError, ValueError):
            return None
        return pid if started and start_time(pid) == started else None

    def running(self):
        try:
            names = os.listdir(self.path("pid"))
        except FileNotFoundError:
            return []
        return sorted(name for name in names if self.pid(name))

    def kill(self, name):
        pid = self.pid(name)
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            wait_until(20, f"the end of {name} (pid {pid})",
                       lambda: not self.pid(name), 0.02)

    def log_tail(self, name, lines=15):
        try:
            with open(self.path("log", f"{name}.log"), encoding="utf-8",
                      errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return ""

    def environment(self):
        """For kubectl and helm. What they know of a server is kept with the
        cluster: the next one has the same address."""
        return {"KUBECONFIG": self.kubeconfig,
                "KUBECACHEDIR": self.path("kubectl-cache"),
                "HELM_CACHE_HOME": self.path("helm", "cache"),
                "HELM_CONFIG_HOME": self.path("helm", "config"),
                "HELM_DATA_HOME": self.path("helm", "data")}

    def kubectl(self, *words, timeout=20, **options):
        return run(self.path("bin", "kubectl"), *words, timeout=timeout,
                   env=dict(os.environ, **self.environment()), **options)


def start_time(pid):
    """In ticks since boot; 0 when there is no such process, or a dead one that
    nobody has collected."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8",
                  errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


# --- all clusters of this machine ---------------------------------------------

def names():
    try:
        return sorted(n for n in os.listdir(STATE)
                      if os.path.isdir(os.path.join(STATE, n)))
    except FileNotFoundError:
        return []


def load(name):
    """None when there is no cluster of that name."""
    try:
        with open(os.path.join(STATE, name, "cluster.json"),
                  encoding="utf-8") as f:
            return Cluster(name, **json.load(f))
    except FileNotFoundError:
        return None


def create(name, nodes, ipv6):
    """With a number that nobody has and networks that nobody is in."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise Missing(f"'{name}' is no name for a cluster: small letters, "
                      "digits and dashes, at most 32")
    if not 0 <= nodes <= NODES_MAX:
        raise Missing(f"a cluster has 0 to {NODES_MAX} nodes, not {nodes}")
    if (STATE + "/").startswith(("/etc/", "/opt/", "/var/", "/run/")):
        raise Missing(f"{STATE} is no place for a cluster: nodes have an /etc, "
                      "/opt, /var and /run of their own: set XDG_STATE_HOME")
    taken = {load(n).number for n in names() if load(n)}
    networks = networks_in_use()
    for number in NUMBERS:
        cluster = Cluster(name, number, nodes, ipv6)
        ours = [f"172.30.{number}.0/24",
                *(r for r in (cluster.all_pods + "," +
                              cluster.services).split(",") if "." in r)]
        if number not in taken and not any(
                ipaddress.ip_network(a).overlaps(b)
                for a in ours for b in networks):
            os.makedirs(cluster.folder, mode=0o700)
            cluster.save()
            return cluster
    raise Missing("all ten numbers for clusters are taken, or their networks "
                  "172.30.x.0/24, 10.10x.0.0/16 and 10.20x.0.0/16 are in use")


def networks_in_use():
    found = []
    for route in json.loads(ip("-json", "-4", "route") or "[]"):
        if route["dst"] != "default":
            found.append(ipaddress.ip_network(route["dst"]))
    return found


def forget(cluster):
    shutil.rmtree(cluster.folder, ignore_errors=True)
    if os.path.exists(cluster.folder):
        raise Missing(f"{cluster.folder} cannot be removed")


def forget_all():
    """The folders above, when they are empty."""
    for folder in (STATE, os.path.dirname(STATE)):
        try:
            os.rmdir(folder)
        except OSError:
            return
