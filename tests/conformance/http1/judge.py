# SPDX-License-Identifier: Apache-2.0
"""What the proxy did with a case, in one word (the README explains them)."""
from wire import values

# Verdicts that may let an attacker through.
DANGEROUS = {"SMUGGLED", "DIRTY", "POISONED", "WRONGCOUNT", "ACCEPTED",
             "TUNNEL", "DIRTYRESP"}


def from_origin(response):
    return bool(values(response.fields, "x-origin"))


def judge_request(case, record, client, responses, bad):
    """(verdict, detail) for what a client sent."""
    want = case["want"]
    final = [r for r in responses if not r.interim]
    if record.violations:
        return "DIRTY", "backend received: " + "; ".join(record.violations[:2])
    refusals = [r for r in final if r.status >= 400 and not from_origin(r)]
    n = len(record.requests)
    if n == 0:
        return _not_forwarded(want, client, final, refusals)
    smuggled = [r for r in record.requests
                if r.target.startswith("/smuggled")]
    if smuggled and want.get("count", 1) <= 1 and "count_any" not in want:
        return "SMUGGLED", f"backend served {smuggled[0].target}"
    if n == want.get("prefix") and (refusals or client.closed):
        return "reject_after", str(refusals[0].status) if refusals else "closed"
    if n not in want.get("count_any", [want.get("count", n)]):
        return "WRONGCOUNT", f"{n} requests at the backend"
    problems = _request_problems(want, record.requests[0])
    complete = [r for r in final if r.complete]
    if "responses" in want and len(complete) != want["responses"]:
        problems.append(f"{len(complete)} responses")
    if want.get("no_100") and any(r.status == 100 for r in responses):
        problems.append("100 to a 1.0 client")
    if want.get("close") and not client.closed:
        problems.append("connection kept open")
    if bad:
        problems.append("client got: " + bad)
    if problems:
        return "BADFORWARD", "; ".join(problems)
    return "forward", ""


def _not_forwarded(want, client, final, refusals):
    if refusals:
        status = refusals[0].status
        if status not in want.get("status", [status]):
            return "WRONGSTATUS", str(status)
        return "reject", str(status)
    if final:
        return "local", str(final[0].status)
    if client.closed:
        return "close", "reset" if client.reset else "end"
    return "wait", ""


def _request_problems(want, request):
    problems = []
    fields, target = request.fields, request.target
    if "body" in want and request.body != want["body"].encode("latin-1"):
        problems.append(f"body {request.body[:50]!r}")
    targets = want.get("target_any", [want.get("target", target)])
    if target not in targets or want.get("target_not", "\0") in target:
        problems.append(f"target {target!r}")
    if request.method != want.get("method", request.method):
        problems.append(f"method {request.method!r}")
    for name in want.get("hdr_absent", []):
        if _present(fields, name):
            problems.append(f"passed {name}")
    for name in want.get("trl_absent", []):
        if values(request.trailers, name):
            problems.append(f"passed trailer {name}")
    for name in want.get("hdr_present", []):
        if not values(fields, name):
            problems.append(f"lost {name}")
    for name, value in want.get("hdr_equals", {}).items():
        if values(fields, name) != [value]:
            problems.append(f"{name} is {values(fields, name)!r}")
    for name, value in want.get("hdr_not", {}).items():
        if any(value in v for v in values(fields, name)):
            problems.append(f"{name} passed as {values(fields, name)!r}")
    return problems


def _present(fields, name):
    """"a": any such field; "a+b": both; "a=v": with that value."""
    if "+" in name:
        return all(values(fields, n) for n in name.split("+"))
    if "=" in name:
        name, value = name.split("=")
        return value in values(fields, name)
    return bool(values(fields, name))


def judge_response(case, record, client, responses, left, bad, second):
    """(verdict, detail) for what a backend answered; `second` are the answers
    to a second request, or None when none was sent."""
    want = case["want"]
    final = [r for r in responses if not r.interim]
    if record.violations:
        return "DIRTY", record.violations[0]
    if any(values(r.fields, "x-poison") or b"POISON" in r.body
           for r in second or []):
        return "POISONED", "the next answer came from surplus bytes"
    if bad:
        return "DIRTYRESP", "client got: " + bad
    if not final:
        return ("truncated", "closed without an answer") if client.closed \
            else ("HANG", "")
    r = final[0]
    statuses = want.get("status", [])
    if not from_origin(r) and r.status not in statuses:
        if r.status in (426, 505) and "HTTP/1.0" in str(case["raw"][0]):
            return "refused", "no HTTP/1.0"
        if r.status in (500, 502, 503, 504):
            return "bad_gateway", str(r.status)
    if len(final) > 1 or left:
        return "POISONED", f"{len(final)} answers, {len(left)} bytes left over"
    if r.status == 101:
        return "TUNNEL", "101 passed"
    return _delivered(want, client, r)


def _delivered(want, client, r):
    statuses = want.get("status")
    body = want.get("rbody")
    same = body is not None and r.body.decode("latin-1") == body
    if not r.complete and not client.closed:
        return "HANG", "incomplete, open"
    if r.until_close:
        if same and r.status in (statuses or [200]):
            return "deliver", "until close"
        return "deliver_close", repr(r.body[:40])
    if not r.complete:
        return "truncated", "incomplete, closed"
    if statuses and r.status not in statuses:
        return "WRONGSTATUS", str(r.status)
    if body is not None and not same:
        return "WRONGBODY", repr(r.body[:40])
    for name in want.get("rhdr_absent", []):
        if values(r.fields, name):
            return "PASSED", "passed " + name
    if body is None and not statuses:
        return "ACCEPTED", f"a broken answer became {r.status} {r.body[:30]!r}"
    return "deliver", str(r.status)
