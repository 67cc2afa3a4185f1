# SPDX-License-Identifier: Apache-2.0
"""tests/conformance/http1 through a pair of proxies: nothing that the standard
says MUST may fail, and nothing dangerous may pass."""
import json
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)),
                                os.pardir, "conformance", "http1"))

import runner  # noqa: E402
import table  # noqa: E402
from backend import Backend  # noqa: E402

HARDENED = 0.94  # of what a standard speaks about, as a hardened proxy does

PARTS = {
    "heads": ["baseline", "request-line", "host", "fields"],
    "framing": ["cl", "te", "chunk", "trailer"],
    "connections": ["hop", "upgrade", "expect", "pipeline", "path", "spoof"],
    "responses": ["response"],
}


def test_every_case_has_a_part():
    known = {cat for cats in PARTS.values() for cat in cats}
    assert {c["cat"] for c in runner.load()} == known


OPAQUE = {"rl-garbage-tls"}  # to an undeclared port TLS may pass as TLS


@pytest.mark.parametrize("declared", ["http", None])
@pytest.mark.parametrize("part", PARTS)
def test_corpus(pair, part, declared):
    passes(pair, [c for c in runner.load() if c["cat"] in PARTS[part]
                  and (declared or c["id"] not in OPAQUE)], declared)


@pytest.mark.parametrize("part", table.PARTS)
def test_table(pair, part):
    passes(pair, table.cases(part), "http", settle=0.05)


def test_table_is_no_repetition():
    made = [c for part in table.PARTS for c in table.cases(part)]
    bytes_of = {json.dumps([c["raw"], c.get("backend_raw"), c["kind"], c["want"]])
                for c in made}
    assert len({c["id"] for c in made}) == len(made) == len(bytes_of)


def passes(pair, cases, declared, settle=0.12):
    backend = Backend(("127.0.0.1", 0))
    try:
        host, port = backend.addr
        with pair(f"{host}:{port}", app_protocol=declared) as p:
            front, _, front_port = p.front.rpartition(":")
            addr = front, int(front_port)
            assert runner.alive(addr, backend)
            results = runner.run(cases, addr, backend, settle=settle)
    finally:
        backend.close()
    print(runner.summary(results))
    for r in results:
        if not r.ok or not r.best:
            print(f"{r.id} ({r.level}): {r.verdict} {r.detail}")
    assert not [f"{r.id}: {r.verdict} {r.detail}"
                for r in runner.failures(results)]
    judged = [r for r in results if r.level != "policy"]
    assert sum(r.best for r in judged) >= HARDENED * len(judged)
