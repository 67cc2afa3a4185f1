# SPDX-License-Identifier: Apache-2.0
"""A mesh on this machine: a controller, three services behind their proxies,
and a trickle of load. No root, no cluster; Ctrl-C ends it.

With --check it drives itself instead: asks, measures, listens on the wire,
stops, and says what holds. Exit code 0 means that everything did.
"""
import argparse
import collections
import os
import signal
import subprocess
import sys
import tempfile
import time

import metrics
from programs import Failed
from shop import Shop
from shop_check import ALPN, Check, nothing_left

ROOT = os.path.realpath(f"{os.path.dirname(__file__)}/../..")
WINDOW = 5  # seconds that a live line looks back
TARGETS = ["tulle-proxy", "tulle-controller", "tulle-demo"]


def arguments():
    p = argparse.ArgumentParser(
        prog="scripts/demo", description=__doc__.split("\n\n", 1)[0])
    p.add_argument("--check", action="store_true",
                   help="drive it, verify it, stop, exit 0 if all holds")
    p.add_argument("--rps", type=int, default=20, metavar="N",
                   help="requests a second (default 20)")
    p.add_argument("--build", metavar="DIR",
                   help="use this build folder as it is, build nothing")
    p.add_argument("--keep", action="store_true",
                   help="keep logs, state and manifests at the end")
    return p.parse_args()


def build():
    """Installs what is missing, builds, returns the build folder."""
    for argv in (["scripts/deps", "build"],
                 ["cmake", "--preset", "release"],
                 ["cmake", "--build", "--preset", "release", "--target",
                  *TARGETS]):
        print("$", *argv, flush=True)
        done = subprocess.run(argv, cwd=ROOT, text=True, check=False,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode:
            raise Failed(f"{' '.join(argv)} failed:\n{done.stdout[-6000:]}")
    return f"{ROOT}/build/release"


# --- the demo for people -----------------------------------------------------

def where_to_look(shop):
    cart, v1 = shop.pod("cart-1"), shop.pod("catalog-v1")
    print(f"""
The shop is open:  you -> web-1 -> cart-1 -> catalog-v1, catalog-v2

Look
  curl http://{shop.front}/
      the page, and who served it
  curl -s http://{shop.admin}/v1/registry
      what the controller knows
  curl -s http://{cart.admin}/metrics | grep ^proxy_requests_total
      what cart's proxy counted; /config is what it was told""")
    for pod in shop.pods:
        print(f"      {pod.name:<11} takes http://{pod.inbound}"
              f"   admin http://{pod.admin}")
    print(f"""
Try
  openssl s_client -connect {cart.inbound} -alpn {ALPN} -CAfile \\
      {shop.bundle} </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName
      who cart-1 proves to be
  kill {v1.app.pid}
      ends the app of catalog-v1: watch catalog's success
  edit {shop.source}/catalog.yaml
      take the endpoint of catalog-v2 away: its proxy falls silent at once
  logs are in {shop.programs.folder}

Ctrl-C ends it. Requests a second, success and p99, seen by the inbound
proxies over the last {WINDOW} s:""", flush=True)


def sample(shop):
    """{service: Traffic}; a pod that does not answer counts as before."""
    total = {}
    for pod in shop.pods:
        try:
            pod.last = shop.traffic(pod, "inbound")
        except (OSError, ValueError):
            pod.last = getattr(pod, "last", metrics.Traffic())
        total[pod.service] = (total.get(pod.service, metrics.Traffic())
                              + pod.last)
    return total


def live_line(old, new, seconds):
    parts = []
    for service in new:
        t = new[service] - old[service]
        if t.requests <= 0:
            parts.append(f"{service:<8}{'no requests':<28}")
            continue
        p99 = t.quantile(0.99)
        shown = "" if p99 is None else f"p99 {p99 * 1000:.1f} ms"
        parts.append(f"{service:<8}{t.requests / seconds:6.1f}/s "
                     f"{100 * (1 - t.failed / t.requests):5.1f}%  {shown:<13}")
    return time.strftime("%H:%M:%S  ") + " ".join(parts)


def watch(shop):
    seen = collections.deque(maxlen=WINDOW + 1)
    gone = set()
    while True:
        seen.append((time.monotonic(), sample(shop)))
        if len(seen) > 1:
            print(live_line(seen[0][1], seen[-1][1],
                            seen[-1][0] - seen[0][0]), flush=True)
        for p in shop.programs.all:
            if not p.running() and p.name not in gone:
                gone.add(p.name)
                print(f"          {p.name} has ended (exit code "
                      f"{p.process.returncode})", flush=True)
        time.sleep(1)


def run_live(shop, rps):
    try:
        shop.start()
        shop.start_load(rps)
        where_to_look(shop)
        watch(shop)
    except KeyboardInterrupt:
        print("\nstopping")
    finally:
        uninterrupted()
        problems = shop.stop()
    for problem in problems:
        print(problem)
    load = [p for p in shop.programs.all if p.name == "load"]
    if load:
        print("load:", load[0].output().strip())
    return 0


# --- the demo for machines ---------------------------------------------------

def run_check(shop):
    wrong, addresses = [], []
    name = "the mesh starts"
    try:
        shop.start()
        print(f"ok    {name}", flush=True)
        addresses = shop.addresses()
        for name, check in Check(shop).all():
            print(f"ok    {name}: {check()}", flush=True)
    except (Failed, OSError, ValueError) as e:
        wrong.append(f"{name}: {e}")
    finally:
        uninterrupted()
        stopped = shop.stop()
    stopped += nothing_left(shop, addresses)
    wrong += [f"everything stops cleanly: {s}" for s in stopped]
    for sentence in wrong:
        print(f"FAIL  {sentence}")
    if not wrong:
        print(f"ok    everything stops cleanly: {len(shop.programs.all)} "
              f"programs, nothing left")
    return 1 if wrong else 0


def uninterrupted():
    """Whoever asks again to stop must wait: it is being done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def on_term(_signal, _frame):
    raise KeyboardInterrupt


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, on_term)
    folder, code = None, 1
    try:
        binaries = args.build or build()
        folder = tempfile.mkdtemp(prefix="tulle-demo-")
        shop = Shop(os.path.abspath(binaries), f"{ROOT}/demo/mesh", folder,
                    record=args.check)
        code = run_check(shop) if args.check else run_live(shop, args.rps)
    except Failed as e:
        print(f"scripts/demo: {e}", file=sys.stderr)
    except KeyboardInterrupt:
        code = 130
    if folder and not args.keep and not code:
        shop.remove()
    elif folder:
        print(f"kept: {folder}")
    return code


if __name__ == "__main__":
    sys.exit(main())
