# SPDX-License-Identifier: Apache-2.0
"""A controller and two proxies in front of any backend.

Prints one line of JSON when they are ready, and runs until SIGTERM or the end
of standard input; then stops them in order and removes what it made.
"""
import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile

from pair import Pair
from programs import Failed

ROOT = os.path.realpath(f"{os.path.dirname(__file__)}/../..")
RELEASE = f"{ROOT}/build/release"
TARGETS = ["tulle-proxy", "tulle-controller"]


def arguments():
    p = argparse.ArgumentParser(
        prog="scripts/pair", description=__doc__.split("\n\n", 1)[0])
    p.add_argument("--backend", required=True, metavar="ADDR",
                   help="where the inbound proxy forwards to: IP:PORT")
    p.add_argument("--strict", action="store_true",
                   help="the backend's pod takes nothing but mesh TLS")
    p.add_argument("--app-protocol", metavar="NAME",
                   help="declare what the backend speaks (tcp, http ...)")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                   help="a setting of both proxies; outbound.KEY, "
                        "inbound.KEY, controller.KEY: of one program")
    p.add_argument("--build", metavar="DIR",
                   help="use this build folder as it is (default: "
                        "build/release, built when missing)")
    return p.parse_args()


def build():
    """The release build; what this says goes to standard error."""
    if all(os.access(f"{RELEASE}/{t.removeprefix('tulle-')}/{t}", os.X_OK)
           for t in TARGETS):
        return RELEASE
    for argv in (["scripts/deps", "build"],
                 ["cmake", "--preset", "release"],
                 ["cmake", "--build", "--preset", "release", "--target",
                  *TARGETS]):
        print("$", *argv, file=sys.stderr, flush=True)
        done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL,
                              stdout=sys.stderr, check=False)
        if done.returncode:
            raise Failed(f"{' '.join(argv)} failed")
    return RELEASE


class Ended(Exception):
    """SIGTERM or Ctrl-C: stop."""


def on_signal(_number, _frame):
    raise Ended


def until_end_of_input():
    while True:
        select.select([sys.stdin], [], [])
        if not os.read(sys.stdin.fileno(), 4096):
            return


def run(args, binaries, folder):
    pair = Pair(binaries, args.backend, folder, args.set, args.strict,
                args.app_protocol)
    try:
        pair.start()
        print(json.dumps(pair.describe()), flush=True)
        until_end_of_input()
    except Ended:
        pass
    finally:
        # Whoever asks again to stop must wait: it is being done.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        problems = pair.stop()
    for problem in problems:
        print(f"scripts/pair: {problem}", file=sys.stderr)
    return 1 if problems else 0


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        binaries = args.build or build()
        with tempfile.TemporaryDirectory(prefix="tulle-pair-") as folder:
            return run(args, binaries, folder)
    except Failed as e:
        print(f"scripts/pair: {e}", file=sys.stderr)
        return 1
    except Ended:
        return 0


if __name__ == "__main__":
    sys.exit(main())
