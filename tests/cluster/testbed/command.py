# SPDX-License-Identifier: Apache-2.0
"""What the scripts up, down, images and run have in common."""
import os
import re
import signal
import sys

from . import images
from .tools import HERE, Missing, run, say

DEFAULT_NAME = "tulle"
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "release")
PROGRAMS = ("tulle-proxy", "tulle-init", "tulle-controller", "tulle-injector",
            "tulle-demo")
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
    except (Missing, OSError) as e:
        print(f"tests/cluster/{script}: {e}", file=sys.stderr)
        sys.exit(1)


def build_release():
    """The programs that go into images."""
    run("cmake", "--preset", "release", cwd=ROOT)
    build = ("cmake", "--build", "--preset", "release", "--target")
    known = set(re.findall(r"^([\w-]+):", run(*build, "help", cwd=ROOT), re.M))
    say("building Tulle's programs")
    run(*build, *(p for p in PROGRAMS if p in known), cwd=ROOT)


def make_images(build):
    """The archives of Tulle's images and the test application's."""
    os.makedirs(IMAGES, exist_ok=True)
    archive, names, absent = images.tulle(build, IMAGES)
    archives = [archive, images.app(build, IMAGES)]
    say(f"made {' '.join(names)} {images.APP_IMAGE}")
    if absent:
        say(f"left out, as {build} has not got them: {' '.join(absent)}")
    return archives


def made_images():
    return [os.path.join(IMAGES, name) for name in ("tulle.tar", "app.tar")
            if os.path.exists(os.path.join(IMAGES, name))]
