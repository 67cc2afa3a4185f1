# SPDX-License-Identifier: Apache-2.0
"""What every system test has: the programs, and pairs of proxies made of them.

    TULLE_BUILD    build folder with the programs (default build/dev)
"""
import contextlib
import os
import sys
import tempfile

import pytest

TESTS = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(TESTS))
sys.path[:0] = [TESTS, f"{ROOT}/scripts/lib", f"{ROOT}/scripts"]

from pair import Pair  # noqa: E402

SANITIZERS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
              "runtime error:", "ThreadSanitizer: ")


# The sanitizer keeps freed memory for a while: little enough that tests can tell
# whether the program does.
os.environ["ASAN_OPTIONS"] = ":".join(
    [os.environ.get("ASAN_OPTIONS", ""), "quarantine_size_mb=8",
     "thread_local_quarantine_size_kb=64"]).lstrip(":")

# Before anybody imports grpc: else, while a channel is open, it starts threads in
# the programs that we are about to start.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "threads: runs in the thread sanitizer's build, too")
    config.addinivalue_line(  # tlslite-ng imports it for a feature nobody uses
        "filterwarnings", "ignore:The asyncore module:DeprecationWarning")


@pytest.fixture(scope="session")
def binaries():
    return os.path.abspath(os.environ.get("TULLE_BUILD", f"{ROOT}/build/dev"))


def sanitizer_reports(mesh):
    return [f"{p.name}: {line}" for p in mesh.programs.all
            for line in p.output().splitlines()
            if any(s in line for s in SANITIZERS)]


def show_logs(mesh):
    for p in mesh.programs.all:
        print(f"--- {p.name}: {' '.join(p.argv)}\n{p.tail(60)}")


def port_was_taken(mesh):
    return any("Address already in use" in p.output()
               for p in mesh.programs.all)


def started(make):
    """What `make()` gives, started: with other ports when somebody else on
    this machine was quicker to take one."""
    for attempts_left in (2, 1, 0):
        p = make()
        try:
            p.start()
            return p
        except BaseException:
            p.stop()
            show_logs(p.mesh)
            taken = port_was_taken(p.mesh)
            p.remove()
            if not taken or not attempts_left:
                raise
    return None


@contextlib.contextmanager
def running(make):
    """Starts and stops; afterwards nothing may have gone wrong unseen. A test
    that kills a program puts it in mesh.expected_dead."""
    p = started(make)
    p.mesh.expected_dead = []
    try:
        yield p
        dead = tuple(f"{x.name} " for x in p.mesh.expected_dead)
        wrong = [s for s in p.stop() if not dead or not s.startswith(dead)]
        wrong += sanitizer_reports(p.mesh)
        assert not wrong, "\n".join(wrong)
    except BaseException:
        p.stop()
        show_logs(p.mesh)
        raise
    finally:
        p.remove()


class ChangedPair(Pair):
    change = None

    def write_manifests(self):
        super().write_manifests()
        if self.change:
            self.change(self)


def pairs(binaries):
    """make(backend, strict=False, app_protocol=None, arguments={},
    manifests=None, **settings) as a context: two running proxies in front of
    `backend`, "host:port" or something with an address. `manifests(pair)` may
    change them before anybody reads them. Settings are those of scripts/pair
    --set: `link_ping="1s"` or `controller__cert_life="20s"`."""
    def make(backend, strict=False, app_protocol=None, arguments=None,
             manifests=None, **settings):
        # Some tests end with connections open; nobody waits for these.
        settings.setdefault("shutdown_grace", "2s")
        words = [f"{k.replace('__', '.').replace('_', '-')}={v}"
                 for k, v in settings.items()]
        address = getattr(backend, "address", backend)

        def new():
            folder = tempfile.mkdtemp(prefix="tulle-test-")
            p = ChangedPair(binaries, address, folder, words, strict,
                            app_protocol, arguments)
            p.change = manifests
            return p
        return running(new)
    return make


@pytest.fixture
def pair(binaries):
    """pair(backend, ...) as a context, as of pairs()."""
    return pairs(binaries)


@pytest.fixture(params=["link", "plain"])
def front(request, pair):  # pylint: disable=redefined-outer-name
    """front(app, **settings): the address at which a client reaches the app, by
    both proxies with a link between them, or by the inbound one alone: HTTP/1 at
    both of its ends. `front.pair`: the latest."""
    opened = []

    def make(app, **settings):
        context = pair(app, **settings)
        p = context.__enter__()
        opened.append(context)
        make.pair = p
        return p.front if request.param == "link" else p.inbound_mesh

    yield make
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def module_pair(binaries):
    """As `pair`, for fixtures that many tests of a module share."""
    return pairs(binaries)


@pytest.fixture
def pods(binaries):
    """A PodMesh with a running controller; it ends as a pair does."""
    from peers.podmesh import PodMesh  # needs sys.path of above
    mesh = PodMesh(binaries)
    try:
        mesh.start_controller()
        yield mesh
        dead = tuple(f"{x.name} " for x in mesh.expected_dead)
        wrong = [s for s in mesh.stop() if not dead or not s.startswith(dead)]
        wrong += sanitizer_reports(mesh)
        assert not wrong, "\n".join(wrong)
    finally:
        mesh.stop()
        show_logs(mesh)  # shown when the test has failed
        mesh.remove()
