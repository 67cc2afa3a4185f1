# SPDX-License-Identifier: Apache-2.0
"""Starting programs, talking with them, stopping them: all of it bounded."""
import ctypes
import os
import selectors
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Failed(Exception):
    """Something could not be started or measured; the text says what."""


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def spawn(command, log):
    """Starts `command` with pipes for input and output, errors to `log`."""
    with open(log, "ab") as errors:
        try:
            return subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, bufsize=0,
                preexec_fn=_die_with_parent)
        except OSError as problem:
            raise Failed(f"{command[0]}: {problem}") from problem


def spawn_silent(command, log):
    """Starts a server that needs no input: all it prints goes to `log`."""
    with open(log, "ab") as output:
        try:
            return subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, preexec_fn=_die_with_parent)
        except OSError as problem:
            raise Failed(f"{command[0]}: {problem}") from problem


def read_line(process, seconds):
    """One line of the process' output, waiting at most so long."""
    line = bytearray()
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0, end - time.monotonic())):
                raise Failed(f"{process.args[0]}: silent for {seconds:.0f} s")
            byte = os.read(process.stdout.fileno(), 1)
            if not byte:
                raise Failed(f"{process.args[0]}: ended unexpectedly")
            line += byte
    return line.decode().strip()


def stop(process, seconds=5):
    """Ends its input, then SIGTERM, then SIGKILL. Gives the exit status."""
    for stream in (process.stdin, process.stdout):
        if stream:
            try:
                stream.close()
            except OSError:
                pass
    for end in (process.terminate, process.kill):
        if process.poll() is None:
            end()
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    raise Failed(f"{process.args[0]}: pid {process.pid} cannot be stopped")


def free_ports(count):
    """So many free loopback ports. Another program may take one before it is
    used: whoever asks must be ready to start again with others."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def wait_listening(ports, processes, seconds, log):
    """Until all ports accept. Fails if a process ends or time is over."""
    end = time.monotonic() + seconds
    for port in ports:
        while True:
            with socket.socket() as probe:
                probe.settimeout(0.5)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            ended = [p for p in processes if p.poll() is not None]
            if ended or time.monotonic() > end:
                why = "ended" if ended else "does not listen"
                name = (ended or processes)[0].args[0]
                raise Failed(f"{name} {why}: {tail(log)}")
            time.sleep(0.02)


def tail(path, size=600):
    """The end of a log, for error messages."""
    try:
        with open(path, "rb") as log:
            return log.read()[-size:].decode(errors="replace").strip()
    except OSError:
        return "(no log)"
