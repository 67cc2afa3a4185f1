# SPDX-License-Identifier: Apache-2.0
"""What the kernel says about a process."""
import contextlib
import os
import signal
import threading

from programs import wait_until


def _status(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith(name + ":"):
                return int(line.split()[1]) << 10
    raise KeyError(name)


def resident(pid):
    """Bytes of memory now."""
    return _status(pid, "VmRSS")


def resident_peak(pid):
    """The most since the last forget_peak()."""
    return _status(pid, "VmHWM")


def forget_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
        f.write("5")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gone(pid):
    """No such process, or a dead one that nobody has fetched yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def connections_to(to):
    """How many TCP connections are established to "host:port" (IPv4)."""
    host, port = to.split(":")
    packed = "".join(f"{int(b):02X}" for b in reversed(host.split(".")))
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return sum(row[3] == "01" and row[2] == f"{packed}:{int(port):04X}"
               for row in rows)


def _stands_still(pid):
    """Each thread is stopped, or has ended."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                open(f"/proc/{pid}/task/{thread}/stat",
                     encoding="ascii") as f:
            if f.read().rsplit(")", 1)[1].split()[0] not in "TtZX":
                return False
    return True


@contextlib.contextmanager
def stopped(process):
    """SIGSTOP meanwhile. On a busy machine threads still run for a while after
    the signal was sent: none does within the context."""
    process.send_signal(signal.SIGSTOP)
    try:
        wait_until("it stands still", lambda: _stands_still(process.pid), 10)
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def growth_below(limit, *pids):
    """No process may grow by more than `limit` bytes at any moment."""
    for pid in pids:
        forget_peak(pid)
    before = {pid: resident(pid) for pid in pids}
    yield
    for pid, start in before.items():
        grown = resident_peak(pid) - start
        assert grown <= limit, \
            f"pid {pid} grew by {grown >> 10} KiB, over {limit >> 10} KiB"


class Background(threading.Thread):
    """Runs `work()` meanwhile; join() raises what it raised."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self._work, self.result, self.failure = work, None, None
        self.start()

    def run(self):
        try:
            self.result = self._work()
        except BaseException as e:  # pylint: disable=broad-except
            self.failure = e

    def get(self, seconds=60):
        self.join(seconds)
        assert not self.is_alive(), f"still at it after {seconds} s"
        if self.failure:
            raise self.failure
        return self.result
