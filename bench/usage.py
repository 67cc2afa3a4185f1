# SPDX-License-Identifier: Apache-2.0
"""What processes used: CPU time, resident memory, and the noise of others."""
import os
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")


def _thread_seconds(pid, thread):
    folder = f"/proc/{pid}/task/{thread}"
    try:
        with open(f"{folder}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e9
    except OSError:  # the kernel has none, or the thread ended
        pass
    try:
        with open(f"{folder}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) * TICK
    except OSError:
        return 0


def cpu(pids):
    """Seconds on a CPU of all threads of these processes."""
    total = 0
    for pid in pids:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        total += sum(_thread_seconds(pid, thread) for thread in threads)
    return total


def alive(pid):
    """Whether the process exists and has not ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def resident(pids):
    """Resident memory (RSS) of these processes, in bytes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Rss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _machine():
    """Seconds all CPUs were busy, and seconds the host kept to itself."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq) * TICK, steal * TICK


class Meter:
    """Reads the clocks at start() and again at stop()."""

    def __init__(self, groups):
        """`groups`: name -> pids. CPU of each is told apart."""
        self.groups = groups
        self.before = None

    def _read(self):
        used = {name: cpu(pids) for name, pids in self.groups.items()}
        return used, _machine(), time.monotonic(), cpu([os.getpid()])

    def start(self):
        self.before = self._read()

    def stop(self):
        """Seconds each group used, and `noise`: cores that others used."""
        used, (busy, steal), now, own = self._read()
        used0, (busy0, steal0), began, own0 = self.before
        spent = {name: used[name] - used0[name] for name in used}
        ours = sum(spent.values()) + own - own0
        foreign = busy - busy0 - ours + steal - steal0
        seconds = now - began
        return spent, max(0, foreign) / seconds


def settle(limit):
    """Waits, at most `limit` seconds, until others leave the CPUs alone."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        busy, steal = _machine()
        time.sleep(0.1)
        busy1, steal1 = _machine()
        if busy1 - busy + steal1 - steal < 0.025:
            return
