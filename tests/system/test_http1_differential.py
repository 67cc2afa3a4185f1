# SPDX-License-Identifier: Apache-2.0
"""Our HTTP/1 parser against Node's and h11, on generated and mutated input
(tests/differential): what we take, nobody may read in another way.

    TULLE_DIFFERENTIAL_SEED    another seed than that of every day
    TULLE_DIFFERENTIAL_COUNT   how many connections"""
import importlib.machinery
import importlib.util
import os
import sys

import pytest
from conftest import ROOT

FOLDER = f"{ROOT}/tests/differential"
SEED = int(os.environ.get("TULLE_DIFFERENTIAL_SEED", "20260101"))
COUNT = int(os.environ.get("TULLE_DIFFERENTIAL_COUNT", "24000"))


@pytest.fixture(scope="module")
def differential():
    """tests/differential/run as a module."""
    sys.path.insert(0, FOLDER)
    loader = importlib.machinery.SourceFileLoader("differential",
                                                  f"{FOLDER}/run")
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("differential", loader))
    loader.exec_module(module)
    return module


def test_nothing_is_read_in_two_ways(differential, binaries):
    found = differential.check(binaries, SEED, COUNT)
    differential.show(found)
    assert not found.differences
    assert not found.unexplained
    # Or little would have been compared.
    assert found.taken > COUNT / 2
    assert all(n > COUNT / 3 for n in found.same.values())
    assert found.refused > COUNT / 4


def reading(kind, data, **changes):
    message = {"at": 0, "to": len(data), "start": ["GET", "/"], "fields": [],
               "body": "", "trailers": [], "end": "complete", **changes}
    return {"messages": [message], "stopped": False, "why": ""}


@pytest.mark.parametrize("other", [
    {"start": ["GET", "/other"]}, {"fields": [["x", "y"]]}, {"body": "x"},
    {"end": "partial"}])
def test_other_readings_are_found(differential, other):
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    ours, same, differs = (reading("q", data, **c) for c in ({}, {}, other))
    found = differential.compare.report(
        [("q", data)] * 2,
        {"ours": [ours] * 2, "node": [same] * 2, "h11": [same, differs]})
    assert [d[0] for d in found.differences] == ["h11"]


def test_refusals_of_both_are_found(differential):
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    refused = {"messages": [], "stopped": False, "why": "something new"}
    found = differential.compare.report(
        [("q", data)],
        {"ours": [reading("q", data)], "node": [refused], "h11": [refused]})
    assert not found.differences
    assert len(found.unexplained) == 2
