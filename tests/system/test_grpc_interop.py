# SPDX-License-Identifier: Apache-2.0
"""gRPC's own interoperability tests, in Go, through two proxies: its client,
the outbound proxy, a link, the inbound proxy, its server. Both are built the
first time, with the Go of the test clusters (tests/cluster/testbed/tools.py)."""
import os
import re
import subprocess
import sys
import threading

import pytest

from conftest import ROOT
from peers.wire import connect
from programs import Failed, free_ports, wait_until
from test_proxy_life import two_backends, until_drains

sys.path.append(f"{ROOT}/tests/cluster")  # behind our own: names are the same
from testbed import tools  # noqa: E402

CASES = [
    "empty_unary", "large_unary", "client_streaming", "server_streaming",
    "ping_pong", "empty_stream", "timeout_on_sleeping_server",
    "cancel_after_begin", "cancel_after_first_response",
    "status_code_and_message", "special_status_message",
    "unimplemented_method", "unimplemented_service", "custom_metadata",
    "rpc_soak", "channel_soak"]

# The client may have left before its request is anywhere.
GIVEN_UP_AT_ONCE = ("cancel_after_begin", "timeout_on_sleeping_server")

# Nothing is said about speed: only about what arrives.
PATIENT = ("-soak_per_iteration_max_acceptable_latency_ms", "30000",
           "-soak_overall_timeout_seconds", "120")
SOAKS = {"rpc_soak": ("-soak_iterations", "60", "-soak_num_threads", "3"),
         "channel_soak": ("-soak_iterations", "20")}

# Without those of the machine, which would send the client elsewhere.
ENVIRONMENT = {k: v for k, v in os.environ.items()
               if not k.lower().endswith("_proxy")}


@pytest.fixture(scope="module")
def programs():
    """Paths of (client, server)."""
    try:
        return tools.grpc_interop()
    except tools.Missing as e:
        pytest.skip(f"gRPC's interoperability tests cannot be built here: {e}")


class InteropServer:
    """gRPC's, on a port of its own."""

    def __init__(self, path):
        self.port, = free_ports(["127.0.0.1"])
        self.address = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [path, "-port", str(self.port)], stdin=subprocess.DEVNULL,
            env=ENVIRONMENT)

    def _listens(self):
        try:
            connect(self.address).close()
            return True
        except OSError:
            return False

    def __enter__(self):
        try:
            wait_until("the server listens", self._listens, 30, self._alive)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _alive(self):
        if self.process.poll() is not None:
            raise Failed("the server ended early")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def interop(client, to, case, *arguments):
    """(exit status, what it said) of a case."""
    host, _, port = to.rpartition(":")
    done = subprocess.run(
        [client, "-server_host", host, "-server_port", port,
         "-test_case", case, *PATIENT, *arguments],
        check=False, text=True, stdin=subprocess.DEVNULL, env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150)
    return done.returncode, done.stdout


def passes(client, to, case, *arguments):
    status, said = interop(client, to, case, *arguments)
    assert status == 0, f"{case}: {said[-4000:]}"


def requests(proxy):
    return sum(v for _, v in proxy.metrics().get("proxy_requests_total", []))


@pytest.fixture(scope="module", params=["grpc", None],
                ids=["grpc", "undeclared"])
def served(request, module_pair, programs):  # pylint: disable=redefined-outer-name
    with InteropServer(programs[1]) as server, \
            module_pair(server, app_protocol=request.param) as p:
        yield p


@pytest.mark.parametrize("case", CASES)
def test_case(served, programs, case):
    both = (served.outbound, served.inbound)
    before = [requests(proxy) for proxy in both]
    passes(programs[0], served.front, case, *SOAKS.get(case, ()))
    if case not in GIVEN_UP_AT_ONCE:
        assert all(requests(proxy) > n for proxy, n in zip(both, before))


def test_client_can_fail(served, programs):
    """That it says so when it does."""
    nobody, = free_ports(["127.0.0.1"])
    for to, case in ((f"127.0.0.1:{nobody}", "empty_unary"),
                     (served.front, "no_such_case")):
        assert interop(programs[0], to, case)[0] != 0


# --- while proxies are restarted ---------------------------------------------

class Soaking:
    """As a context: soaks, one after another, each on one connection. What
    they said is in `said`."""
    ITERATIONS = 300

    def __init__(self, client, to, failures=0):
        self.arguments = (client, to, "rpc_soak", "-soak_iterations",
                          str(self.ITERATIONS), "-soak_num_threads", "3",
                          "-soak_min_time_ms_between_rpcs", "10",
                          "-soak_max_failures", str(failures))
        self.said, self.statuses = [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.is_set():
            status, said = interop(*self.arguments)
            self.said.append(said)
            self.statuses.append(status)

    def __enter__(self):
        self._thread.start()
        return self

    def finish(self):
        """Ends after the soak that is under way; what they said."""
        self._stop.set()
        self._thread.join(160)
        assert not self._thread.is_alive()
        assert not any(self.statuses), "\n".join(self.said)[-8000:]
        return "\n".join(self.said)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(160)


NEVER_DELIVERED = re.compile(
    r"rpc error: code = Unavailable desc = tulle: "
    r"(no-endpoints|connect-failed|refused)$")


def more_requests(proxy, count):
    goal = requests(proxy) + count
    wait_until(f"{count} more requests", lambda: requests(proxy) >= goal, 60)


def leaves(proxy, forget):
    """As in a rolling update: SIGTERM, the slice forgets it, it drains and
    ends."""
    proxy.program.process.terminate()
    forget()
    until_drains(proxy)
    assert proxy.program.process.wait(30) == 0


def test_soak_across_restarts_of_both_backends(pair, programs):
    """One after the other: no call fails."""
    client, server = programs
    with InteropServer(server) as app, \
            two_backends(pair, app, app_protocol="grpc",
                         shutdown_grace="20s") as p, \
            Soaking(client, p.front) as soaking:
        for proxy in (p.second, p.inbound):
            more_requests(proxy, 20)
        leaves(p.second, lambda: p.write_second(False))
        more_requests(p.inbound, 50)
        p.second = p.start_second()
        p.write_second()
        more_requests(p.second, 20)
        leaves(p.inbound, lambda: p.write_backend(addresses={}))
        more_requests(p.second, 50)
        p.inbound = p.mesh.await_proxy(p.start_inbound())
        p.write_backend()
        more_requests(p.inbound, 20)
        soaking.finish()


def test_soak_across_a_restart_of_the_only_backend(pair, programs):
    """While nobody is there, calls are UNAVAILABLE for reasons that leave no
    doubt that no server saw them; a call that was under way ends well."""
    client, server = programs
    with InteropServer(server) as app, \
            pair(app, app_protocol="grpc", shutdown_grace="20s") as p, \
            Soaking(client, p.front, failures=Soaking.ITERATIONS) as soaking:
        more_requests(p.inbound, 50)
        leaves(p.inbound, lambda: p.write_backend(addresses={}))
        p.inbound = p.mesh.await_proxy(p.start_inbound())
        p.write_backend()
        more_requests(p.inbound, 50)
        said = soaking.finish()
    wrong = [line for line in said.splitlines()
             if " failed: " in line and not NEVER_DELIVERED.search(line)]
    assert not wrong, wrong[:5]
    assert said.count(" succeeded") >= 100
