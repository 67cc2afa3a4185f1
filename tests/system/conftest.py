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

import programs  # noqa: E402
from pair import Pair  # noqa: E402

SANITIZERS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
              "runtime error:", "WARNING: ThreadSanitizer")


# The sanitizer keeps freed memory for a while: little enough that tests can tell
# whether the program does.
os.environ["ASAN_OPTIONS"] = ":".join(
    [os.environ.get("ASAN_OPTIONS", ""), "quarantine_size_mb=8",
     "thread_local_quarantine_size_kb=64"]).lstrip(":")


def pytest_configure(config):
    # Workers take ports from ranges of their own, or they would race for one.
    worker = getattr(config, "workerinput", {}).get("workerid", "gw0")
    number = int(worker.removeprefix("gw")) % 8
    programs.PORTS = range(20000 + 1500 * number, 21500 + 1500 * number)


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


@contextlib.contextmanager
def running(thing, mesh):
    """Starts and stops; afterwards nothing may have gone wrong unseen. A test
    that kills a program puts it in mesh.expected_dead."""
    mesh.expected_dead = []
    stopped = []
    try:
        thing.start()
        yield thing
    except BaseException:
        stopped = thing.stop()
        show_logs(mesh)
        raise
    else:
        dead = tuple(f"{p.name} " for p in mesh.expected_dead)
        stopped = [s for s in thing.stop() if not dead
                   or not s.startswith(dead)]
        stopped += sanitizer_reports(mesh)
        if stopped:
            show_logs(mesh)
        assert not stopped, "\n".join(stopped)
    finally:
        thing.remove()


class ChangedPair(Pair):
    change = None

    def write_manifests(self):
        super().write_manifests()
        if self.change:
            self.change(self)


@pytest.fixture
def pair(binaries):
    """pair(backend, strict=False, app_protocol=None, arguments={},
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
        folder = tempfile.mkdtemp(prefix="tulle-test-")
        p = ChangedPair(binaries, getattr(backend, "address", backend), folder,
                        words, strict, app_protocol, arguments)
        p.change = manifests
        return running(p, p.mesh)
    return make
