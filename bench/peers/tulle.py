# SPDX-License-Identifier: Apache-2.0
"""Tulle: `scripts/pair` starts a controller and two proxies of the release
build, and prints one line of JSON when they are ready."""
import json
import os
import pathlib
import signal

from bench import processes
from bench.peers.peer import Pair, Peer

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "pair"
START = 600  # seconds: the first start builds
DRAIN = 20   # seconds for it to stop what it started


class TullePair(Pair):
    def stop(self):
        script, = self.processes
        if processes.stop(script, DRAIN) != -signal.SIGKILL:
            return
        for pid in (*self.outbound, *self.inbound, *self.others):
            try:  # it was killed before it could do this
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Tulle(Peer):
    name = "tulle"
    tls = ("TLS 1.3 as in lib/tls/tls_settings.c, stateful resumption; both "
           "sides verify chain and exact SPIFFE ID")

    def __init__(self):
        super().__init__()
        if not SCRIPT.exists():
            raise processes.Failed(f"{SCRIPT} is missing")

    def start(self, setup):
        command = [SCRIPT, "--backend", setup.backend]
        for setting in setup.settings:
            command += ["--set", setting]
        log = setup.folder / "log"
        process = processes.spawn(command, log)
        try:
            ready = json.loads(processes.read_line(process, START))
            pids = ready["pids"]
            return TullePair(
                http=ready["in"], opaque=ready["in"],
                outbound=[pids["outbound"]], inbound=[pids["inbound"]],
                others=[pids["controller"]], processes=[process])
        except (processes.Failed, ValueError, KeyError, TypeError) as problem:
            processes.stop(process)
            raise processes.Failed(
                f"scripts/pair: {problem!r}: {processes.tail(log)}"
            ) from problem
