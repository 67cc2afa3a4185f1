# SPDX-License-Identifier: Apache-2.0
"""Runs cases against a proxy between a Client and a Backend, one at a time."""
import contextlib
import json
import os
from dataclasses import asdict, dataclass

from backend import Script
from client import Client
from judge import DANGEROUS, judge_request, judge_response
from wire import expand

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases.json")
SECOND = b"GET /second HTTP/1.1\r\nHost: example.test\r\n\r\n"
ALIVE = (b"GET /alive HTTP/1.1\r\nHost: example.test\r\n"
         b"Connection: close\r\n\r\n")


@dataclass
class Result:
    id: str
    level: str
    verdict: str
    detail: str
    ok: bool        # a verdict that the standard allows
    best: bool      # the verdict of a hardened proxy
    dangerous: bool
    crashed: bool
    backend_saw: str
    client_got: str


def load(path=CASES):
    with open(path, encoding="utf-8") as f:
        return json.load(f)["cases"]


def alive(addr, backend, tries=8):
    """The proxy answers a plain request."""
    for _ in range(tries):
        backend.start(Script())
        with contextlib.suppress(OSError):
            client = Client(addr)
            try:
                client.send(ALIVE)
                responses, _, _ = client.wait(1, settle=0.02, limit=2)
            finally:
                client.close()
            if responses and responses[-1].status == 200:
                return True
        backend.record.over.wait(0.2)
    return False


def _script(case):
    want = case["want"]
    script = Script(controls_ok=bool(want.get("allow_ctl")))
    if case["kind"] == "response":
        script.raw = expand(case["backend_raw"])
        script.close = bool(want.get("backend_close"))
        script.reset = bool(want.get("backend_rst"))
        script.early = bool(want.get("early"))
    return script


def _run_expect(case, client, record, responses):
    """The body comes when a 100 (Continue) had time to come."""
    continued = any(r.status == 100 for r in responses)
    final = [r for r in responses if not r.interim]
    if final:
        refused = final[0].status >= 400
        return "reject" if refused else "local", str(final[0].status)
    client.send(case["want"]["delayed"].encode())
    responses, _, bad = client.wait(1)
    verdict, detail = judge_request(case, record, client, responses, bad)
    if verdict == "forward":
        verdict = "continue" if continued else "NO100"
    return verdict, detail


def run_case(case, addr, backend, settle, gap=0.03):
    """(verdict, detail, what the client got)"""
    want, kind = case["want"], case["kind"]
    backend.start(_script(case))
    record = backend.record
    record.over.wait(gap)  # the proxy sees its old connections end
    client = Client(addr)
    try:
        client.send(expand(case["raw"]), end=kind == "halfclose")
        responses, left, bad = client.wait(
            want.get("responses", want.get("prefix", 0) + 1), settle=settle,
            to_head=bool(want.get("head")), for_close=bool(want.get("close")))
        if kind == "expect":
            verdict = _run_expect(case, client, record, responses)
        elif kind == "response":
            second = None
            if want.get("twice") and not client.closed:
                start = len(client.buf)
                client.send(SECOND)
                second = client.wait_more(start)
            verdict = judge_response(case, record, client, responses, left,
                                     bad, second)
        else:
            record.over.wait(0.05)  # what was smuggled may be under way
            verdict = judge_request(case, record, client, responses, bad)
        return *verdict, bytes(client.buf[:300])
    finally:
        client.close()


def _result(case, addr, backend, settle):
    try:
        verdict, detail, got = run_case(case, addr, backend, settle)
    except OSError as e:
        verdict, detail, got = "ERROR", str(e), b""
    saw = b" || ".join(bytes(raw[:400]) for raw in backend.record.raw[:4])
    ok = verdict in case["accept"]
    crashed = (not ok and verdict in ("ERROR", "HANG", "close", "wait")
               and not alive(addr, backend))
    return Result(case["id"], case["level"], verdict, detail, ok,
                  verdict in case["best"], verdict in DANGEROUS and not ok,
                  crashed, saw.decode("latin-1"), got.decode("latin-1"))


def run(cases, addr, backend, show=None, settle=0.12):
    """Results of all cases; `show(result)` is called after each. `settle`: after
    so long without a byte nothing more is expected."""
    results = []
    for case in cases:
        results.append(_result(case, addr, backend, settle))
        if show:
            show(results[-1])
    return results


def summary(results):
    levels = []
    for level in ("MUST", "SHOULD", "policy"):
        of = [r for r in results if r.level == level]
        levels.append(f"{level} {sum(r.ok for r in of)}/{len(of)}")
    return (f"{'  '.join(levels)}  "
            f"hardened {sum(r.best for r in results)}/{len(results)}  "
            f"dangerous {sum(r.dangerous for r in results)}  "
            f"crashed {sum(r.crashed for r in results)}")


def failures(results):
    """Those that no proxy may show."""
    return [r for r in results if r.dangerous or r.crashed
            or (r.level == "MUST" and not r.ok)]


def save(path, results, seconds):
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"summary": summary(results), "seconds": round(seconds, 1),
                   "results": [asdict(r) for r in results]}, f, indent=1)
