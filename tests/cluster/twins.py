# SPDX-License-Identifier: Apache-2.0
"""The same real applications twice, in the mesh and without it: what a client
gets must be equal. In the mesh all is strict, so that what arrives has come
through two proxies, over mTLS."""
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

from mesh import INJECT, STRICT

CLIENT = "client"


class Twins:
    def __init__(self, mesh, plain, meshed):
        self.mesh, self.plain, self.meshed = mesh, plain, meshed

    def each(self, do):
        """What do(space) gives without and with the mesh, one after the other;
        the seconds that each took are only told."""
        results, seconds = [], []
        for space in (self.plain, self.meshed):
            began = time.monotonic()
            results.append(do(space))
            seconds.append(time.monotonic() - began)
        print(f"plain {seconds[0]:.2f} s, meshed {seconds[1]:.2f} s: "
              f"{seconds[1] / seconds[0]:.2f} times that")
        return results

    def same(self, do):
        """That, which must be equal."""
        plain, meshed = self.each(do)
        assert meshed == plain, f"meshed {meshed!r}\nplain  {plain!r}"
        return meshed

    def proved(self, pod, metric):
        """That a pod's proxy has counted this: inbound, with mTLS, from an
        application of the namespace."""
        assert self.mesh.count(
            self.meshed, pod, metric + "{", 'direction="inbound"',
            'tls="true"', f'/ns/{self.meshed.name}/sa/default"') > 0


@contextlib.contextmanager
def twins(kube, mesh, put):
    """put(space) makes Services and applications in a namespace and tells
    which Deployments and StatefulSets to wait for, and for which pods."""
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(kube.space())
        meshed = stack.enter_context(kube.space(labels=INJECT,
                                                annotations=STRICT))
        waits = [(space, put(space)) for space in (plain, meshed)]
        with ThreadPoolExecutor() as pool:
            for future in [pool.submit(wait, space, what, mesh, meshed)
                           for space, what in waits]:
                future.result()
        yield Twins(mesh, plain, meshed)


def wait(space, what, mesh, meshed):
    sets, pods = what
    for name in sets:
        space.rollout(name, 120)
    for name in pods:
        space.wait_condition(f"pod/{name}", "Ready", 120)
    if space is meshed:
        mesh.wait_in_sync(space, *(p["metadata"]["name"]
                                   for p in space.pods()))


def in_client(space, *words, timeout=120):
    """What a program in the client said on stdout; it must end well."""
    return space.run_in(CLIENT, *words, container="app", timeout=timeout)


def shell(space, script, *words, timeout=120):
    return in_client(space, "bash", "-euo", "pipefail", "-c", script, "-",
                     *words, timeout=timeout)
