# SPDX-License-Identifier: Apache-2.0
"""The load tools: compiled on first use, then driven line by line."""
import hashlib
import json
import os
import pathlib
import subprocess

from bench import processes

SOURCES = pathlib.Path(__file__).parent / "load"
NAMES = ("backend", "requests", "connections", "bulk", "idle", "soak")
FLAGS = ["-std=c11", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
START = 30  # seconds to connect and warm up


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(base).expanduser() / "tulle"


def build():
    """Folder with the tools, compiled if the sources are new."""
    compiler = os.environ.get("CC", "cc")
    digest = hashlib.sha256(repr([compiler, FLAGS]).encode())
    for source in sorted(SOURCES.glob("*.[ch]")):
        digest.update(source.read_bytes())
    folder = cache() / f"bench-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        program = folder / name
        if program.exists():
            continue
        fresh = folder / f".{name}.{os.getpid()}"
        command = [compiler, *FLAGS, "-o", fresh, SOURCES / f"{name}.c",
                   SOURCES / "load.c"]
        try:
            subprocess.run(command, check=True, timeout=120)
        except (OSError, subprocess.SubprocessError) as problem:
            raise processes.Failed(f"compiling {name}: {problem}") from problem
        fresh.rename(program)
    return folder


class Tool:
    """One running load tool. Use as a context manager: leaving stops it."""

    def __init__(self, program, address, log, **options):
        command = [program, address]
        for name, value in options.items():
            if value is True:
                command.append(f"--{name}")
            elif value is not None and value is not False:
                command += [f"--{name}", value]
        self.log = log
        self.seconds = options.get("seconds", 0)
        self.process = processes.spawn(command, log)
        try:
            self._line(START)
        except processes.Failed:
            processes.stop(self.process)
            raise

    def _line(self, seconds):
        try:
            return processes.read_line(self.process, seconds)
        except processes.Failed as problem:
            raise processes.Failed(
                f"{problem}: {processes.tail(self.log)}") from problem

    @property
    def pid(self):
        return self.process.pid

    def ready(self):
        """Until the load is steady: it is when the tool has started."""

    def go(self):
        self.process.stdin.write(b"go\n")

    def result(self, seconds=None):
        """What it measured. Its connections stay open."""
        line = self._line(seconds or self.seconds + 15)
        return json.loads(line)

    def run(self):
        self.go()
        return self.result()

    def finish(self):
        """Ends the run early and gives the result so far."""
        self.process.stdin.close()
        return self.result()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        processes.stop(self.process)


class Backend:
    """The service behind the proxies."""

    def __init__(self, folder, log):
        self.process = processes.spawn([folder / "backend"], log)
        line = processes.read_line(self.process, START)
        self.address = json.loads(line)["address"]

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        processes.stop(self.process)
