# SPDX-License-Identifier: Apache-2.0
"""The contract of a peer.

start() gives a Pair that is ready: an outbound and an inbound proxy, one
worker each, mTLS between them with both sides verified, in front of the
backend. Ports are chosen when it starts.
"""
import dataclasses

from bench import processes, usage

ATTEMPTS = 3  # a port that was free may be taken when it is used
START = 40    # seconds until it must listen


@dataclasses.dataclass
class Setup:
    """What a peer needs to start."""
    backend: str           # address, "127.0.0.1:port"
    certificates: object   # bench.certificates.Certificates
    folder: object         # pathlib.Path, empty, for configuration and logs
    settings: list         # "key=value" for Tulle
    http2: bool = False    # HTTP/2 from the client to the backend


@dataclasses.dataclass
class Pair:
    """A running pair."""
    http: str              # where the load goes, "127.0.0.1:port"
    opaque: str            # the same for opaque bytes; None: cannot
    outbound: list         # pids of each side
    inbound: list
    processes: list        # what stop() stops
    others: list = dataclasses.field(default_factory=list)  # a controller

    def check(self):
        """Fails if a process of the pair has gone away."""
        for pid in (*self.outbound, *self.inbound, *self.others):
            if not usage.alive(pid):
                raise processes.Failed(f"process {pid} of the pair ended")

    def stop(self):
        for process in self.processes:
            processes.stop(process)


class Peer:
    """Base of all peers. A subclass has a name and a start()."""
    name = ""
    tls = ""  # one line for the report: what is encrypted and verified how
    proxies = True  # there are proxies whose memory can be read

    def __init__(self):
        """Raises Failed, with the reason, when it cannot run here."""

    def start(self, setup):
        raise NotImplementedError


class TwoServers(Peer):
    """A peer made of two configured server processes."""
    ports = ("out_http", "out_opaque", "in_http", "in_opaque")

    def configure(self, setup, ports):
        """Writes configurations; gives the two commands, out and in."""
        raise NotImplementedError

    def opaque(self):
        return True

    def start(self, setup):
        for attempt in range(ATTEMPTS):
            folder = setup.folder / f"attempt{attempt}"
            folder.mkdir()
            try:
                return self._start(dataclasses.replace(setup, folder=folder))
            except processes.Failed:
                if attempt + 1 == ATTEMPTS:
                    raise
        raise AssertionError("no attempt")

    def _start(self, setup):
        ports = dict(zip(self.ports, processes.free_ports(len(self.ports))))
        log = setup.folder / "log"
        started = []
        try:
            for command in self.configure(setup, ports):
                started.append(processes.spawn_silent(command, log))
            used = [port for name, port in ports.items()
                    if self.opaque() or "opaque" not in name]
            processes.wait_listening(used, started, START, log)
        except BaseException:
            for process in started:
                processes.stop(process)
            raise
        outbound, inbound = started
        return Pair(http=f"127.0.0.1:{ports['out_http']}",
                    opaque=(f"127.0.0.1:{ports['out_opaque']}"
                            if self.opaque() else None),
                    outbound=[outbound.pid], inbound=[inbound.pid],
                    processes=started)
