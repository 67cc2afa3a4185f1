# SPDX-License-Identifier: Apache-2.0
"""What the scripts up, down, images and run have in common."""
import os
import signal
import subprocess
import sys

from .tools import HERE, Missing, say

DEFAULT_NAME = "tulle"
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "release")
IMAGES = os.path.join(ROOT, "build", "images")


def main(script, body):
    """Runs body(); whatever is missing is said in one line, and a signal ends
    it in order (what was begun is taken away)."""
    def stop(number, _frame):
        # Once is enough: the rest is cleaning up.
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        sys.exit(body())
    except Missing as e:
        print(f"tests/cluster/{script}: {e}", file=sys.stderr)
        sys.exit(1)


def build_release():
    """A no-op when the build is up to date."""
    for command in (["cmake", "--preset", "release"],
                    ["cmake", "--build", "--preset", "release"]):
        say(" ".join(command))
        done = subprocess.run(command, cwd=ROOT, check=False,
                              stdout=sys.stderr)
        if done.returncode:
            raise Missing(f"{' '.join(command)} fails")


def made_images():
    return [os.path.join(IMAGES, name) for name in ("tulle.tar", "app.tar")
            if os.path.exists(os.path.join(IMAGES, name))]
