# SPDX-License-Identifier: Apache-2.0
"""The public WebSocket suite, Autobahn's, through proxies: every case as good
as without one, every closing handshake as clean. Its cases of compression (12,
13) are left out: to a proxy they are bytes like others."""
import sys

import pytest

from conftest import ROOT

sys.path.append(f"{ROOT}/tests/cluster")  # behind our own: names are the same
from testbed import tools  # noqa: E402
from peers import autobahn  # noqa: E402

# name -> (cases, how many that are)
GROUPS = {"messages": ([f"{n}.*" for n in (1, 2, 3, 4, 5, 6, 7, 10)], 247),
          "large": (["9.*"], 54)}
# So many may lose a race against the suite's own deadline of a second; they are
# asked once more.
AGAIN = 5


@pytest.fixture(scope="module")
def python():
    try:
        return autobahn.python()
    except tools.Missing as e:
        pytest.skip(f"Autobahn's suite cannot be installed here: {e}")


@pytest.fixture(scope="module")
def served(module_pair, python):  # pylint: disable=redefined-outer-name
    with autobahn.EchoServer(python) as app, module_pair(app) as p:
        p.app = app
        yield p


def compare(path, to, direct, cases, folder):
    """(reports of the cases asked at `to`, {case: what is worse}). Those that
    could not be better are not asked directly."""
    ours = autobahn.ask_cases(path, to, cases, f"{folder}/proxied")
    doubtful = [c for c, r in ours.items() if not autobahn.perfect(r)]
    if not doubtful:
        return ours, {}
    plain = autobahn.ask_cases(path, direct, doubtful, f"{folder}/direct")
    assert sorted(plain) == sorted(doubtful)
    wrong = {c: autobahn.worse(ours[c], plain[c]) for c in doubtful}
    return ours, {c: why for c, why in wrong.items() if why}


@pytest.mark.parametrize("front, group", [
    ("front", "messages"), ("front", "large"), ("inbound_mesh", "messages")],
    ids=["link", "link-large", "plain"])
def test_as_good_as_without(served, python, tmp_path, front, group):
    """By a link, or by the inbound proxy alone: HTTP/1 at both of its ends."""
    cases, count = GROUPS[group]
    ends = (getattr(served, front), served.app.address)
    ours, wrong = compare(python, *ends, cases, f"{tmp_path}/all")
    assert len(ours) == count
    if 0 < len(wrong) <= AGAIN:
        print(f"asked again: {wrong}")
        _, wrong = compare(python, *ends, sorted(wrong), f"{tmp_path}/again")
    assert not wrong, f"{len(wrong)} worse: {list(wrong.items())[:5]}"
    # Nor are both as bad.
    assert sum(r["behavior"] == "OK" for r in ours.values()) >= count - 3


def test_the_suite_can_fail(served, python, tmp_path):
    """At a server that knows no WebSocket."""
    reports = autobahn.ask_cases(python, served.inbound.admin, ["1.1.1"],
                                 str(tmp_path / "none"))
    assert reports["1.1.1"]["behavior"] == "FAILED"
