# SPDX-License-Identifier: Apache-2.0
"""The public conformance suite of HTTP/2, h2spec, with its strict cases: at the
port of an application, and at a mesh port. It is built the first time, with the
Go of the test clusters (tests/cluster/testbed/tools.py)."""
import os
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from conftest import ROOT
from peers.h2app import H2App
from peers.shim import Shim

sys.path.append(f"{ROOT}/tests/cluster")  # behind our own: names are the same
from testbed import tools  # noqa: E402

CASES = 146  # of this version: fewer were not asked


@pytest.fixture(scope="module")
def h2spec():
    try:
        return tools.h2spec()
    except tools.Missing as e:
        pytest.skip(f"h2spec cannot be built here: {e}")


def failures(report):
    """(how many cases there were, a line for each that failed)."""
    cases, failed = 0, []
    for suite in xml.etree.ElementTree.parse(report).iter("testsuite"):
        for case in suite.iter("testcase"):
            cases += 1
            for kind in ("failure", "error"):
                failed += [f"{case.get('package')} ({suite.get('name')}): "
                           f"{case.get('classname')}: "
                           f"{' '.join((wrong.text or '').split())}"
                           for wrong in case.iter(kind)]
    return cases, failed


def conforms(h2spec, to, folder):
    report = os.path.join(folder, "report.xml")
    host, _, port = to.rpartition(":")
    done = subprocess.run(
        [h2spec, "--strict", "-o", "2", "-h", host, "-p", port, "-j", report],
        check=False, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    assert os.path.exists(report), f"no report: {done.stdout[-4000:]}"
    cases, failed = failures(report)
    assert not failed, f"{len(failed)} of {cases}:\n" + "\n".join(failed)
    assert cases == CASES, done.stdout[-4000:]
    assert done.returncode == 0, done.stdout[-4000:]


def test_application_port(pair, h2spec, tmp_path):
    with H2App() as app, pair(app, app_protocol="http2") as p:
        conforms(h2spec, p.front, tmp_path)
        assert app.requests


def test_mesh_port(pair, h2spec, tmp_path):
    with H2App() as app, pair(app, app_protocol="http2") as p, \
            Shim(p.inbound_mesh, p.certs) as shim:
        conforms(h2spec, shim.address, tmp_path)
        assert app.requests
