# SPDX-License-Identifier: Apache-2.0
"""The stages of scripts/test: runs them in order, counts, sums up.

The output of each stage goes to build/test-logs; a failing stage shows its
end. A stage counts as one test, or, where it runs tests, as those tests.
"""
import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import house

FUZZ_SECONDS = 15
FUZZ_SEED = "1"  # nearly the same inputs each time: see scripts/fuzz
SHOWN_LINES = 120


class Run:
    def __init__(self):
        self.passed = 0
        self.failed = []   # "stage: test"
        self.skipped = []  # "stage: test: why"
        self.built = {}    # preset -> did it build?
        self.logs = os.path.join(house.ROOT, "build", "test-logs")
        os.makedirs(self.logs, exist_ok=True)
        self.start = time.monotonic()

    def stage(self, name, command, minutes, tests=None):
        """True when the command succeeded. `tests`: who counts its tests
        (ctest, pytest: JUnit files; plain: `N passed, N failed, N skipped`)."""
        slug = re.sub(r"\W+", "-", name)
        log, junit = (os.path.join(self.logs, slug + s)
                      for s in (".log", ".xml"))
        if os.path.exists(junit):
            os.remove(junit)
        if tests in ("ctest", "pytest"):
            option = "--output-junit" if tests == "ctest" else "--junitxml"
            command = command + [option, junit]
        print(f"==> {name}: {' '.join(command)}", flush=True)
        begin = time.monotonic()
        status = run_logged(command, log, minutes * 60)
        took = time.monotonic() - begin
        before = self.passed, len(self.failed), len(self.skipped)
        self.count(name, status, tests, junit, log)
        good = status in (0, 77) and len(self.failed) == before[1]
        if not good:
            show_end(log)
        print(f"<== {name}: {'ok' if good else 'FAILED'} in {took:.0f} s: "
              f"{self.passed - before[0]} passed, "
              f"{len(self.failed) - before[1]} failed, "
              f"{len(self.skipped) - before[2]} skipped", flush=True)
        return good

    def count(self, name, status, tests, junit, log):
        known_failures = len(self.failed)
        if status == 77:
            self.skip(name, last_line(log))
        elif tests in ("ctest", "pytest") and os.path.exists(junit):
            self.count_junit(name, junit)
        elif tests == "plain":
            self.count_plain(name, log)
        elif status == 0:
            self.passed += 1
        # A failure that no test reported (a crash of the runner).
        if status == "time-out":
            self.failed.append(f"{name}: took too long and was stopped")
        elif status not in (0, 77) and len(self.failed) == known_failures:
            self.failed.append(f"{name}: exit status {status}")

    def count_junit(self, name, junit):
        for case in ET.parse(junit).getroot().iter("testcase"):
            title = f"{name}: {case.get('name')}"
            skipped = case.find("skipped")
            failure = next((f for f in map(case.find, ("failure", "error"))
                            if f is not None), None)
            if failure is not None:
                self.failed.append(f"{title}: {why_failed(failure)}")
            elif skipped is not None or case.get("status") == "notrun":
                self.skip(title, why_skipped(case, skipped))
            else:
                self.passed += 1

    def count_plain(self, name, log):
        m = re.search(r"^(\d+) passed, (\d+) failed, (\d+) skipped$",
                      house.read(log), re.M)
        if m:
            self.passed += int(m.group(1))
            self.failed += [f"{name}: see {log}"] * int(m.group(2))

    def skip(self, title, why):
        self.skipped.append(f"{title}: {why}")
        print(f"    SKIPPED {title}: {why}", flush=True)

    def finish(self):
        print(f"\n==> all stages took {time.monotonic() - self.start:.0f} s")
        for kind, titles in (("FAILED", self.failed),
                             ("SKIPPED", self.skipped)):
            for title in titles:
                print(f"{kind} {title}")
        print(f"{self.passed} passed, {len(self.failed)} failed, "
              f"{len(self.skipped)} skipped", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def run_logged(command, log, seconds):
    with open(log, "wb") as out:
        try:
            with subprocess.Popen(command, stdout=out, stderr=out,
                                  stdin=subprocess.DEVNULL,
                                  start_new_session=True) as child:
                try:
                    return child.wait(timeout=seconds)
                except subprocess.TimeoutExpired:
                    stop(child)
                    out.write(f"\nstopped after {seconds} s\n".encode())
                    return "time-out"
        except OSError as e:
            out.write(f"{command[0]}: {e}\n".encode())
            return 127


def stop(child):
    """As Ctrl-C would: pytest then ends its programs and reports its tests."""
    for number, patience in ((signal.SIGINT, 30), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=patience)
            return


def show_end(log):
    lines = house.read(log).split("\n")
    print(f"--- the end of {log}:")
    print("\n".join(lines[-SHOWN_LINES:]), flush=True)


def last_line(log):
    lines = house.read(log).strip().split("\n")
    return lines[-1].removeprefix("SKIPPED: ")


def why_failed(failure):
    """In a line; the log says more."""
    why = failure.get("message") or failure.text or "?"
    return " ".join(why.split())[:400]


def why_skipped(case, skipped):
    said = re.search(r"SKIPPED: (.*)", case.findtext("system-out") or "")
    if said:
        return said.group(1)
    return (skipped.get("message") if skipped is not None else "") or "not run"


def build(run, preset):
    """Configures and builds, once."""
    if preset not in run.built:
        run.built[preset] = run.stage(
            f"configure {preset}", ["cmake", "--preset", preset], 5
        ) and run.stage(
            f"build {preset}", ["cmake", "--build", "--preset", preset], 20)
    return run.built[preset]


def ctest(run, preset, label, minutes, prefix=()):
    run.stage(f"{label} tests {preset}",
              [*prefix, "ctest", "--preset", preset, "-L", f"^{label}$"],
              minutes, tests="ctest")


def house_checks(run):
    # clang-tidy wants the compile commands, the chart's tests the injector; and
    # they build Helm, which a house check needs.
    if build(run, "dev"):
        run.stage("chart tests", ["scripts/test-chart"], 20, tests="pytest")
        ctest(run, "check", "house", 15)


def unit(run):
    for preset in ("dev", "asan", "release"):
        if build(run, preset):
            ctest(run, preset, "unit", 10)


def tsan(run):
    if build(run, "tsan"):
        ctest(run, "tsan", "unit", 10, prefix=low_entropy())
        run.stage("threads under load",
                  [*low_entropy(), "scripts/test-system", "build/tsan",
                   "-m", "threads"], 10, tests="pytest")


def low_entropy():
    """clang 14's thread sanitizer cannot map its shadow where the kernel
    spreads addresses over more than 28 bits: no randomisation, then."""
    try:
        bits = int(house.read("/proc/sys/vm/mmap_rnd_bits"))
    except OSError:
        return ()
    fixed = ("setarch", os.uname().machine, "-R")
    if bits > 28 and subprocess.run([*fixed, "true"], check=False,
                                    capture_output=True).returncode == 0:
        return fixed
    return ()


def system(run):
    if not any(p.startswith("tests/system/") for p in house.files(".py")):
        run.skip("system tests", "tests/system has no tests")
        return
    if build(run, "asan") and build(run, "release"):
        run.stage("demo parts",
                  ["ctest", "--preset", "asan", "-R", "^demo_parts$"], 3,
                  tests="ctest")
        run.stage("system tests", ["scripts/test-system", "build/asan"], 40,
                  tests="pytest")


def fuzz(run):
    if not any(p.startswith("fuzz/fuzz_") for p in house.files(".c")):
        run.skip("fuzz", "fuzz/ has no targets")
        return
    if build(run, "fuzz"):
        run.stage("fuzz", ["scripts/fuzz", "all", str(FUZZ_SECONDS), FUZZ_SEED], 10,
                  tests="plain")


def script(run, name, command, minutes, tests=None):
    if os.access(command[0], os.X_OK):
        run.stage(name, command, minutes, tests)
    else:
        run.skip(name, f"{command[0]} is not there")


def demo(run):
    script(run, "demo", ["scripts/demo", "--check"], 10)


def cluster(run):
    script(run, "cluster tests", ["tests/cluster/run"], 55, tests="pytest")


GROUPS = {"house": house_checks, "unit": unit, "tsan": tsan, "system": system,
          "fuzz": fuzz, "demo": demo, "cluster": cluster}


def main():
    parser = argparse.ArgumentParser(prog="scripts/test")
    parser.add_argument("--deps", help=argparse.SUPPRESS)
    parser.add_argument("groups", nargs="*", metavar="GROUP",
                        help=f"all (the default), {', '.join(GROUPS)}")
    args = parser.parse_args()
    unknown = set(args.groups) - {*GROUPS, "all"}
    if unknown:
        parser.error(f"unknown group: {', '.join(sorted(unknown))}")
    os.chdir(house.ROOT)
    run = Run()
    if args.deps:
        status, started = map(int, args.deps.split(":"))
        print(f"==> deps: {'FAILED' if status else 'ok'} "
              f"in {time.time() - started:.0f} s", flush=True)
        if status:
            run.failed.append("deps: something could not be installed")
        else:
            run.passed += 1
    wanted = args.groups or ["all"]
    for name, group in GROUPS.items():
        if name in wanted or "all" in wanted:
            group(run)
    run.finish()


main()
