# SPDX-License-Identifier: Apache-2.0
"""tulle-init in pods made of namespaces: it sets rules and proves them."""
import re
import socket
import subprocess

import pytest

from peers.cgroup import rewriting
from peers.pods import LOOPBACK, Node, as_proxy
from peers.server import Server
from peers.wire import connect

CONTROLLER = "10.96.0.5:8443"
OUTBOUND, INBOUND, APP = 15001, 15006, 90


@pytest.fixture
def node():
    with Node() as n:
        yield n


@pytest.fixture
def pod(node):
    return node.pod()


@pytest.fixture
def init(binaries):
    """init(pod, *arguments) runs it there."""
    def run(pod, *arguments):
        return pod.run(f"{binaries}/proxy/tulle-init", *arguments, check=False)
    return run


def rules(pod):
    return pod.run("nft", "-nn", "list", "ruleset").stdout


def dials(pod, to, prefix=(), seconds=1):
    """Where a connection from the pod arrives: the answer of who took it. By a
    program of its own, which may have another user."""
    host, _, port = to.rpartition(":")
    code = ("import socket, sys; "
            "s = socket.create_connection((sys.argv[1], int(sys.argv[2])),"
            " float(sys.argv[3])); print(s.recv(100).decode())")
    done = pod.run(*prefix, "/usr/bin/python3", "-c", code, host.strip("[]"),
                   port, str(seconds), check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def listener(pod, host, port, says):
    with pod.inside():
        return Server(lambda w: w.send(says), host=host, port=port)


# --- good --------------------------------------------------------------------

def test_sets_and_proves(init, pod):
    done = init(pod, "--controller", f"{CONTROLLER},[fd96::5]:8443")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "proof 1 (redirection, IPv4): a connection to 192.0.2.1:80 arrives at "
        "the proxy",
        "proof 1 (redirection, IPv6): a connection to [2001:db8::1]:80 arrives "
        "at the proxy",
        "proof 2 (original destination): a connection to 10.96.0.5:8443 "
        "arrives at the proxy",
        "proof 2 (original destination): a connection to [fd96::5]:8443 "
        "arrives at the proxy",
        "packet rules are set: the pod's TCP goes through the proxy"]


def test_second_run_changes_nothing(init, pod):
    assert init(pod).returncode == 0
    once = rules(pod)
    assert init(pod).returncode == 0
    assert rules(pod) == once
    assert once.count("redirect to") == 2


def test_second_run_replaces(init, pod):
    assert init(pod, "--skip-outbound-ports", "25").returncode == 0
    assert "dport 25 accept" in rules(pod)
    assert init(pod).returncode == 0
    assert "dport 25 accept" not in rules(pod)


def test_other_tables_stay(init, pod):
    pod.run("nft", "add table ip theirs")
    assert init(pod).returncode == 0
    assert "table ip theirs" in rules(pod)


def test_print_sets_nothing(init, pod):
    done = init(pod, "--print")
    assert done.returncode == 0
    assert "redirect to :15006" in done.stdout
    assert rules(pod) == ""


def test_every_setting_is_taken_by_nft(init, pod):
    done = init(pod, "--skip-inbound-ports", "22,8000-8010",
                "--skip-outbound-ports", "80,443,1-10",
                "--skip-subnets", "192.0.2.0/24,2001:db8::/32,10.1.2.3",
                "--controller", CONTROLLER)
    assert done.returncode == 0, done.stderr
    # What is skipped proves nothing: another address and port are taken.
    assert "198.51.100.1:8080 arrives" in done.stdout
    assert "[3fff::1]:8080 arrives" in done.stdout


def test_families_that_are_not_there(init, node):
    pod = node.pod()
    pod.run("ip", "-6", "route", "flush", "default")
    done = init(pod)
    assert done.returncode == 0, done.stderr
    assert "IPv6): left out, the pod has no default route" in done.stdout
    pod.run("sysctl", "-w", "net.ipv6.conf.all.disable_ipv6=1")
    done = init(pod)
    assert done.returncode == 0, done.stderr
    assert "IPv6): left out, the pod has no IPv6" in done.stdout


def test_all_skipped_is_said(init, pod):
    done = init(pod, "--skip-subnets", "::/0,0.0.0.0/0",
                "--controller", CONTROLLER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("left out, all of it is skipped") == 2
    assert "10.96.0.5:8443 is skipped" in done.stdout


# --- what goes where ---------------------------------------------------------

def test_outbound(init, node, pod):
    """Each exemption, and beside it what is not exempted."""
    other = node.pod()
    assert init(pod, "--skip-outbound-ports", "81",
                "--skip-subnets", f"{other.ip}/32").returncode == 0
    with listener(pod, "127.0.0.1", OUTBOUND, b"proxy"), \
            listener(pod, "::1", OUTBOUND, b"proxy six"), \
            listener(pod, "127.0.0.1", 90, b"app on loopback"), \
            listener(pod, pod.ip, 90, b"app on pod"), \
            listener(pod, pod.ip6, 90, b"app on pod six"), \
            listener(other, other.ip, 90, b"other"), \
            listener(other, other.ip6, 90, b"other six"), \
            listener(other, other.ip6, 81, b"other port"):
        assert dials(pod, "192.0.2.9:90") == "proxy"
        assert dials(pod, "[2001:db8::9]:90") == "proxy six"
        assert dials(pod, f"[{other.ip6}]:90") == "proxy six"
        assert dials(pod, f"{other.ip}:90") == "other"  # subnet
        assert dials(pod, f"[{other.ip6}]:81") == "other port"
        assert dials(pod, f"127.0.0.1:{APP}") == "app on loopback"
        assert dials(pod, f"{pod.ip}:90") == "app on pod"
        assert dials(pod, f"[{pod.ip6}]:90") == "app on pod six"
        assert dials(pod, f"[{other.ip6}]:90", as_proxy([])) == "other six"
        for only in ("--reuid=2102", "--regid=2102"):
            assert dials(pod, f"[{other.ip6}]:90",
                         ["setpriv", only, "--clear-groups"]) == "other six"


def test_inbound(init, node, pod):
    other = node.pod()
    assert init(pod, "--skip-inbound-ports", "22").returncode == 0
    with listener(pod, "0.0.0.0", INBOUND, b"proxy"), \
            listener(pod, "0.0.0.0", 90, b"app"), \
            listener(pod, "0.0.0.0", 22, b"skipped"), \
            listener(pod, "0.0.0.0", 15021, b"health"), \
            listener(pod, "127.0.0.1", 15020, b"admin"):
        for of in (other, node):
            assert dials(of, f"{pod.ip}:90") == "proxy"
            assert dials(of, f"{pod.ip}:91") == "proxy"
            assert dials(of, f"{pod.ip}:22") == "skipped"
            assert dials(of, f"{pod.ip}:15021") == "health"
            assert "refused" in dials(of, f"{pod.ip}:15020")


def test_inbound_ipv6(init, node, pod):
    assert init(pod).returncode == 0
    with listener(pod, "::", INBOUND, b"proxy"), \
            listener(pod, "::", 90, b"app"):
        assert dials(node, f"[{pod.ip6}]:90") == "proxy"
        assert dials(node, f"{pod.ip}:90") == "proxy"  # dual-stack


@pytest.mark.parametrize("fib", [True, False])
def test_neighbour_with_a_foreign_destination(init, node, pod, fib, tmp_path):
    """Neither loopback of the pod nor somebody elsewhere is reached through the
    proxy by who is on the same link; without fib the proxy must see to it."""
    arguments = []
    if not fib:
        nft = tmp_path / "nft"
        nft.write_text("#!/bin/sh\nrules=$(cat)\ncase $rules in *fib*)\n"
                       "echo 'Error: Could not process rule: No such file' >&2\n"
                       "exit 1 ;;\nesac\nprintf '%s\\n' \"$rules\" | nft -f -\n")
        nft.chmod(0o755)
        arguments = ["--nft", str(nft)]
    done = init(pod, *arguments)
    assert done.returncode == 0, done.stderr
    assert ("without the rule on foreign" in done.stdout) is not fib
    assert ("fib daddr" in rules(pod)) is fib
    mean = node.neighbour(pod)
    with listener(pod, "::", INBOUND, b"proxy"), \
            listener(pod, "127.0.0.1", 90, b"app on loopback"):
        assert dials(mean, f"{pod.ip}:90") == "proxy"
        assert dials(mean, f"[{pod.ip6}]:90") == "proxy"
        pod.run("ip", "address", "add", "10.77.0.200/24", "dev", "eth0")
        assert dials(mean, "10.77.0.200:90") == "proxy"
        assert "timed out" in dials(mean, f"{LOOPBACK}:90")
        for foreign in ("192.0.2.9:90", "[2001:db8::9]:90"):
            if fib:
                assert "timed out" in dials(mean, foreign)
            else:
                assert dials(mean, foreign) == "proxy"


def test_nobody_comes_in_past_the_rules(init, node, pod):
    """Should the redirection not see a connection begin, the guard does."""
    assert init(pod).returncode == 0
    pod.run("nft", "flush chain inet tulle inbound")
    with listener(pod, "0.0.0.0", 90, b"app"), \
            listener(pod, "0.0.0.0", 15021, b"health"):
        assert "timed out" in dials(node, f"{pod.ip}:90")
        assert dials(node, f"{pod.ip}:15021") == "health"
        assert dials(pod, f"{pod.ip}:90") == "app"


def test_udp_is_not_touched(init, node, pod):
    other = node.pod()
    assert init(pod).returncode == 0
    for here, there in ((pod, other), (other, pod)):
        with there.inside():
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind((there.ip, 53))
        with here.inside():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with server, client:
            server.settimeout(5)
            client.sendto(b"question", (there.ip, 53))
            assert server.recvfrom(100)[0] == b"question"


def test_connections_from_before_live_on(init, node, pod):
    """Both ways, although nothing knew them when the rules came."""
    other = node.pod()

    def echo(wire):
        while True:
            wire.send(wire.some())

    def server(at):
        with at.inside():
            return Server(echo, host="0.0.0.0", port=APP)
    with server(pod), server(other):
        with other.inside():
            inwards = connect(f"{pod.ip}:90")
        with pod.inside():
            outwards = connect(f"{other.ip}:90")
        with inwards, outwards:
            assert init(pod).returncode == 0
            assert init(pod).returncode == 0
            for wire in (inwards, outwards):
                wire.send(b"still there?")
                assert wire.exactly(12) == b"still there?"


# --- bad ---------------------------------------------------------------------

def test_rules_that_somebody_takes_away(init, binaries, pod, tmp_path):
    """An nft that does as told, and then the opposite."""
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\nnft \"$@\" && nft delete table inet tulle\n")
    nft.chmod(0o755)
    log = tmp_path / "termination-log"
    log.write_text("")
    done = init(pod, "--nft", str(nft), "--timeout", "300ms",
                "--termination-log", str(log))
    assert done.returncode == 4
    assert re.fullmatch(
        r"tulle-init: proof 1 \(redirection, IPv4\) failed: a connection to "
        r"192\.0\.2\.1:80 did not arrive at the proxy's port 15001 "
        r"\(nothing happened in time\)\. The packet rules have no effect in "
        r"this pod: see that nothing else sets NAT rules in it, and that the "
        r"node's kernel has nf_tables with NAT\n", done.stderr)
    assert log.read_text() == done.stderr


def test_rules_of_somebody_else_win(init, pod):
    pod.run("nft", "table ip theirs { chain c { type nat hook output priority "
            "-150; ip daddr 10.96.0.0/12 tcp dport 8443 dnat to "
            f"{pod.ip}:99; }}; }}")
    done = init(pod, "--controller", CONTROLLER, "--timeout", "2s")
    assert done.returncode == 4
    assert "proof 2 (original destination) failed: a connection to " \
        "10.96.0.5:8443 did not arrive at the proxy's port 15001 " \
        "(Connection refused)" in done.stderr
    with listener(pod, pod.ip, 99, b"thief"):
        done = init(pod, "--controller", CONTROLLER, "--timeout", "2s")
    assert done.returncode == 4
    assert "(somebody else answered it)" in done.stderr


def test_addresses_replaced_in_connect(init, pod):
    """As a network plugin does that balances Services at the socket."""
    with rewriting("10.96.0.5", "10.77.0.9"):
        done = init(pod, "--controller", CONTROLLER)
    assert done.returncode == 4
    assert done.stderr == (
        "tulle-init: proof 2 (original destination) failed: a connection to "
        "10.96.0.5:8443 arrived as one to 10.77.0.9:8443. The network plugin "
        "replaces addresses of Services in connect(), so no route would "
        "apply: turn its socket load balancing off in pods (Cilium: "
        "socketLB.hostNamespaceOnly=true)\n")
    assert init(pod, "--controller", CONTROLLER).returncode == 0


def test_without_permission(binaries, pod):
    done = pod.run("setpriv", "--bounding-set=-net_admin",
                   f"{binaries}/proxy/tulle-init", check=False)
    assert done.returncode == 3
    assert done.stderr.startswith(
        "tulle-init: the packet rules could not be set: nft may not set "
        "packet rules: the container needs the capability NET_ADMIN")


def test_run_by_the_proxys_user(init, pod):
    done = init(pod, "--proxy-gid", "12345", "--proxy-uid", "0")
    assert done.returncode == 2
    assert "proxy-uid: 0 is not an id" in done.stderr


def test_port_in_use(init, pod):
    with listener(pod, "127.0.0.1", OUTBOUND, b""):
        done = init(pod)
    assert done.returncode == 4
    assert done.stderr == ("tulle-init: the proofs need the proxy's port 15001 "
                           "on loopback: Address already in use\n")


def test_bad_setting_is_named(init, pod, tmp_path):
    log = tmp_path / "log"
    log.write_text("old")
    done = init(pod, "--skip-subnets", "10.0.0.0/40",
                "--termination-log", str(log))
    assert done.returncode == 2
    assert done.stderr == ("tulle-init: skip-subnets: '10.0.0.0/40': the "
                           "length is 0 to 32\n")
    assert log.read_text() == done.stderr


def test_links_nothing_but_libc(binaries):
    with open(f"{binaries}/proxy/tulle-init", "rb") as f:
        sanitized = b"__asan_init" in f.read()
    needed = {"libasan", "libubsan", "libgcc_s"} if sanitized else set()
    out = subprocess.run(["readelf", "-d", f"{binaries}/proxy/tulle-init"],
                         capture_output=True, text=True, check=True).stdout
    libs = {name.split(".")[0] for name in
            re.findall(r"NEEDED.*\[(.*?)\]", out)}
    assert libs - needed <= {"libc", "libm"}, libs
