# SPDX-License-Identifier: Apache-2.0
"""What every cluster test has: a cluster, and a namespace of its own in it.

    TULLE_TEST_KUBECONFIG   test in this cluster; it needs Tulle's images and
                            the test application's
    TULLE_TEST_CLUSTER      its name, when it is one of tests/cluster/up
Without them a fresh cluster is brought up, and taken away in the end.
"""
import os
import signal

import pytest

from kube import Kube, Space
from mesh import INJECT, Mesh
from testbed import command, lifecycle


@pytest.fixture(scope="session")
def kube():
    kubeconfig = os.environ.get("TULLE_TEST_KUBECONFIG")
    if kubeconfig:
        yield Kube(kubeconfig, os.environ.get("TULLE_TEST_CLUSTER"))
        return
    # kill must not leave a cluster behind; Ctrl-C does not anyway.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", 143))
    lifecycle.down_orphans()
    name = f"test-{os.getpid()}"
    try:
        cluster = lifecycle.up(name, nodes=2, kwok=True,
                               archives=command.made_images())
        yield Kube(cluster.kubeconfig, name)
    finally:
        lifecycle.down(name)


@pytest.fixture
def space(kube, request):
    """A namespace of the test's own. @pytest.mark.space(labels=..., annotations=
    ...) sets these."""
    mark = request.node.get_closest_marker("space")
    with kube.space(**(mark.kwargs if mark else {})) as s:
        yield s


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure tells what was in the test's namespaces, while it is there."""
    report = yield
    if report.failed and call.when == "call":
        for value in item.funcargs.values():
            if isinstance(value, Space):
                report.sections.append((f"namespace {value.name}",
                                        value.describe()))
    return report


def pytest_configure(config):
    config.addinivalue_line("markers", "space(labels, annotations): what the "
                            "namespace of the test carries")
    config.addinivalue_line("markers", "last: after the tests without it")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def mesh(kube):
    """Tulle, installed by its chart, ready to inject."""
    installed = Mesh(kube)
    installed.install()
    yield installed
    if not os.environ.get("TULLE_TEST_KEEP"):
        installed.uninstall()


@pytest.fixture
def meshed(mesh, kube, request):
    """A namespace of the test's own whose pods are in the mesh.
    @pytest.mark.space(labels=..., annotations=...) adds to it."""
    mark = request.node.get_closest_marker("space")
    more = dict(mark.kwargs) if mark else {}
    more["labels"] = {**INJECT, **more.get("labels", {})}
    with kube.space(**more) as s:
        yield s
