# SPDX-License-Identifier: Apache-2.0
"""What a run shares: tools, backend, certificates, time; and one measurement
of one tool against one pair."""
import pathlib
import resource
import shutil
import tempfile
import time

from bench import certificates, http2, tools, usage
from bench.peers.peer import Setup

OPEN_FILES = 20000


class OutOfTime(Exception):
    """The run's time is over: report what there is."""


def _allow_many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES,
                                                                 hard)
    if soft < want:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))


class Rig:
    """Use as a context manager: leaving stops the backend and removes files."""

    def __init__(self, settings=(), budget=None, quiet=0):
        """`budget`: seconds until OutOfTime; `quiet`: seconds to wait for
        other programs to leave the CPUs alone before each measurement."""
        _allow_many_files()
        self.settings = list(settings)
        self.quiet = quiet
        self.budget = budget
        self.end = None
        self.programs = tools.build()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tulle-bench-"))
        self.log = self.folder / "tools.log"
        self.starts = 0
        try:
            self.certificates = certificates.Certificates(
                self.folder / "certificates")
            self.backend = tools.Backend(self.programs, self.log)
            self.backend2 = (http2.Http2Backend(self.folder, self.log)
                             if http2.available() else None)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.backend.stop()
        if self.backend2:
            self.backend2.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def begin(self):
        """The time of the run counts from now on."""
        self.end = time.monotonic() + self.budget if self.budget else None

    def need(self, seconds):
        """Raises OutOfTime unless so many seconds are left."""
        if self.end and time.monotonic() + seconds > self.end:
            raise OutOfTime()

    def start(self, peer, speaks2=False):
        """`speaks2`: HTTP/2 from the client to the backend."""
        self.starts += 1
        folder = self.folder / f"{self.starts}-{peer.name}"
        folder.mkdir()
        backend = self.backend2 if speaks2 else self.backend
        return peer.start(Setup(backend=backend.address, folder=folder,
                                certificates=self.certificates,
                                settings=self.settings, http2=speaks2))

    def tool(self, name, address, **options):
        return tools.Tool(self.programs / name, address, self.log, **options)

    def warm(self, name, address, **options):
        """The same load for a moment, not measured."""
        options["seconds"] = 0.2
        with self.tool(name, address, **options) as tool:
            tool.run()

    def _backends(self):
        return [one.pid for one in (self.backend, self.backend2) if one]

    def measure(self, pair, tool, others=(), settle=True):
        """Runs a tool that is ready. Gives its result with the CPU seconds
        of each party under "cpu" and the cores others used as "noise"."""
        if settle:
            usage.settle(self.quiet)
        tool.ready()
        meter = usage.Meter({
            "outbound": pair.outbound, "inbound": pair.inbound,
            "controller": pair.others, "backend": self._backends(),
            "load": [tool.pid, *others]})
        meter.start()
        result = tool.run()
        spent, noise = meter.stop()
        return {**result, "cpu": spent, "noise": round(noise, 3)}
