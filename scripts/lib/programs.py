# SPDX-License-Identifier: Apache-2.0
"""Starts programs with a log each, and stops them by pid, in stages."""
import ctypes
import itertools
import os
import random
import signal
import socket
import subprocess
import time

STOP_SECONDS = 15
# Below the range from which the kernel takes ports for outgoing connections.
PORTS = range(20000, 32000)
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """Something that a person should read, without a traceback."""


BLOCK = 50  # of ports, reserved together: a descriptor each
_reserved = []


def _reserve(block):
    """Among all scripts on this machine, until this process ends: a name in the
    kernel's abstract namespace can be taken once."""
    s = socket.socket(socket.AF_UNIX)
    try:
        s.bind(f"\0tulle-ports-{block}")
    except OSError:
        s.close()
        return False
    _reserved.append(s)
    return True


def _ports():
    """Those of this process, in turn; when nothing is left, its own again."""
    mine = []
    blocks = list(PORTS[::BLOCK])
    random.shuffle(blocks)
    for block in blocks:
        if _reserve(block):
            ports = range(block, min(block + BLOCK, PORTS.stop))
            mine += ports
            yield from ports
    while mine:
        yield from mine


_next_port = _ports()


def free_ports(addresses):
    """A free TCP port for each address, from PORTS: nobody takes them before
    the program binds them."""
    ports = []
    for address in addresses:
        for port in itertools.islice(_next_port, 200):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family) as s:
                try:
                    s.bind((address, port))
                except OSError:
                    continue
            ports.append(port)
            break
        else:
            raise Failed(f"no free port on {address}")
    return ports


def wait_until(what, condition, seconds, alive=lambda: None):
    """Returns the first true value of condition(); asks alive() meanwhile,
    which raises when there is nothing left to wait for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        alive()
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def _die_with_parent():
    # Even a parent that is killed leaves nothing running.
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Program:
    def __init__(self, name, stage, argv, log):
        self.name, self.stage, self.argv, self.log = name, stage, argv, log
        with open(log, "wb") as out:
            # A session of its own: Ctrl-C is for us; we stop it in order.
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=_die_with_parent)
        self.pid = self.process.pid

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def tail(self, lines=15):
        return "\n".join("    " + line
                         for line in self.output().splitlines()[-lines:])

    def running(self):
        return self.process.poll() is None

    def must_run(self):
        if not self.running():
            raise Failed(f"{self.name} ended early (exit code "
                         f"{self.process.returncode}); its last words:\n"
                         f"{self.tail()}")


class Programs:
    """Lower stages start first and stop last."""

    def __init__(self, folder):
        self.folder, self.all = folder, []
        os.makedirs(folder, exist_ok=True)

    def start(self, name, stage, argv):
        try:
            p = Program(name, stage, argv, f"{self.folder}/{name}.log")
        except OSError as e:
            raise Failed(f"cannot start {name}: {e}") from e
        self.all.append(p)
        return p

    def stop(self):
        """Stops all. Returns sentences about what did not end well."""
        problems = []
        for stage in sorted({p.stage for p in self.all}, reverse=True):
            now = [p for p in self.all if p.stage == stage]
            for p in now:
                if p.running():
                    p.process.terminate()
            for p in now:
                problems += self._reap(p)
        return problems

    @staticmethod
    def _reap(p):
        try:
            code = p.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            p.process.kill()
            p.process.wait()
            return [f"{p.name} did not stop within {STOP_SECONDS} s of "
                    f"SIGTERM and was killed"]
        if code:
            return [f"{p.name} ended with exit code {code}; its last words:\n"
                    f"{p.tail()}"]
        return []
