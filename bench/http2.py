# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by programs of nghttp2: h2load makes the load, nghttpd answers."""
import re
import shutil

from bench import processes
from bench.processes import Failed

ATTEMPTS = 3   # a port that was free may be taken when it is used
START = 10     # seconds until it listens, or has connected
WARM = 300     # milliseconds of load that are not counted
BODY = 1024    # bytes of an answer
MISSING = "h2load, nghttpd: apt-get install nghttp2-client nghttp2-server"


def available():
    return bool(shutil.which("h2load") and shutil.which("nghttpd"))


class Http2Backend:
    """The service behind the proxies, without TLS and with prior knowledge."""

    def __init__(self, folder, log):
        documents = folder / "documents"
        documents.mkdir()
        (documents / "index.html").write_bytes(b"x" * BODY)
        for attempt in range(ATTEMPTS):
            port, = processes.free_ports(1)
            self.process = processes.spawn_silent(
                ["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", documents,
                 port], log)
            try:
                processes.wait_listening([port], [self.process], START, log)
                break
            except Failed:
                processes.stop(self.process)
                if attempt + 1 == ATTEMPTS:
                    raise
        self.address = f"127.0.0.1:{port}"

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        processes.stop(self.process)


class H2load:
    """One run, as a Tool is: it starts with ready(), and counts from then."""

    def __init__(self, address, log, *, seconds, connections, streams):
        self.seconds = seconds
        self.log = log
        self.command = [
            "stdbuf", "-oL", "h2load", "-c", connections, "-m", streams,
            "-D", f"{int(seconds * 1000)}ms", f"--warm-up-time={WARM}ms",
            f"http://{address}/index.html"]
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def _until(self, pattern, seconds):
        for _ in range(200):
            line = processes.read_line(self.process, seconds)
            found = re.match(pattern, line)
            if found:
                return found
        raise Failed(f"h2load: says much, but not {pattern!r}")

    def ready(self):
        self.process = processes.spawn(self.command, self.log)
        self._until("Main benchmark duration is started", START)

    def run(self):
        self._until("Main benchmark duration is over", self.seconds + START)
        found = self._until(
            r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, "
            r"(\d+) errored", START)
        done, good, failed, errored = (int(text) for text in found.groups())
        return {"done": good, "per_second": good / self.seconds,
                "errors": failed + errored + done - good - failed}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process:
            processes.stop(self.process)
