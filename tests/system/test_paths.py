# SPDX-License-Identifier: Apache-2.0
"""The rule for paths: what the application gets, by which version and through
which proxy whatever, is the one reading that the proxies decide by."""
import contextlib

import pytest

from peers.h2app import H2App
from peers.h2client import H2Client
from peers.http1 import App, ask, read_response, request
from peers.wire import connect

SAME = ["/", "/a/b.c/", "/.well-known/x?y=/../z//%2e", "/v/%2F/caf%C3%A9",
        "/a;v=1/b", "/grpc.health.v1.Health/Check", "/x?http://a/../b"]
CHANGED = [("//admin", "/admin"), ("/public/./x", "/public/x"),
           ("/public/../admin?a=../b", "/admin?a=../b"),
           ("/public/%2e%2E/admin", "/admin"), ("/%61%64min", "/admin"),
           ("/a%2fb%c3%a9", "/a%2Fb%C3%A9"), ("/{a}|b", "/%7Ba%7D%7Cb"),
           ("/a/b/..", "/a/"), ("/%7euser//x/", "/~user/x/")]
REFUSED = ["/../admin", "/%2e%2e/admin", "/public/..%2fadmin", "/a%00b",
           "/public/..%5cadmin", "/public/..;/admin", "/public\\..\\admin",
           "/%c0%ae%c0%ae/admin", "/100%", "/%zz", "/%2%66"]
PARTS = ["http1", "http2"]


@contextlib.contextmanager
def asking(version, addr):
    """-> ask(path) -> answer"""
    if version == "http1":
        yield lambda path: ask(addr, target=path)
        return
    with H2Client(addr) as c:
        yield lambda path: c.ask(path=path)


@contextlib.contextmanager
def through(pair, version, by, app_speaks="http1", **settings):
    """A pair of proxies, an application, and how it is asked: through both
    proxies, or as a stranger in plaintext through the inbound one alone."""
    with (App if app_speaks == "http1" else H2App)() as app, \
            pair(app, app_protocol=app_speaks, **settings) as p:
        addr = p.front if by == "both" else p.inbound_mesh
        with asking(version, addr) as say:
            yield app, p, say


@pytest.mark.parametrize("by", ["both", "inbound"])
@pytest.mark.parametrize("version", PARTS)
def test_one_reading(pair, version, by):
    with through(pair, version, by) as (app, _, say):
        for path in SAME:
            assert say(path).status == 200, path
        for path, _ in CHANGED:
            assert say(path).status == 200, path
        for path in REFUSED:
            r = say(path)
            assert (r.status, r.fault) == (400, "bad-path"), path
        assert [m.target for m in app.requests] == SAME + [
            want for _, want in CHANGED]


def test_application_of_http2(pair):
    with through(pair, "http1", "both", "http2") as (app, _, say):
        for path, want in CHANGED:
            assert say(path).status == 200
            assert app.requests[-1].target == want
        assert say(REFUSED[0]).fault == "bad-path"


def test_other_forms(pair):
    """Absolute form has a path, too; the asterisk is none."""
    with App() as app, pair(app) as p, connect(p.front) as c:
        for target, want in [("http://a/b/../c", "http://a/c"),
                             ("http://a//b?x", "http://a/b?x"),
                             ("http://a", "http://a/")]:
            c.send(request(target=target))
            assert read_response(c).status == 200
            assert app.requests[-1].target == want
        c.send(request("OPTIONS", "*"))
        assert read_response(c).status == 200
        assert app.requests[-1].target == "*"
        c.send(request(target="http://a/.."))
        assert read_response(c).fault == "bad-path"
        c.send(request())  # and the connection goes on
        assert read_response(c).status == 200


def test_grpc_is_told_in_its_words(pair):
    with through(pair, "http2", "both", "http2") as (_, p, __):
        with H2Client(p.front) as c:
            r = c.ask("POST", "/a/%2e%2e/..", [
                ("content-type", "application/grpc"), ("te", "trailers")])
            assert (r.status, r.fault) == (200, "bad-path")
            assert r.get("grpc-status") == "13"


@pytest.mark.parametrize("version", PARTS)
@pytest.mark.parametrize("rule,passed,refused", [
    ("none", [(p, p) for p in ("//a/../b", "/%7e/..;/", "/100%", "/..")], []),
    ("base", [("//a/../b", "//b"), ("/a%2fb", "/a%2Fb")], ["/..", "/%"]),
    ("strict", [("//a/../b", "/b")], ["/a%2fb", "/a;b", "/a%25", "/.."]),
])
def test_rules(pair, version, rule, passed, refused):
    with through(pair, version, "both", path_rule=rule) as (app, _, say):
        for path, want in passed:
            assert say(path).status == 200, path
            assert app.requests[-1].target == want
        for path in refused:
            assert say(path).fault == "bad-path", path
        assert len(app.requests) == len(passed)


def test_path_that_grows(pair):
    """A head within the limit of one proxy is so for the next."""
    with through(pair, "http1", "both") as (app, _, say):
        assert say("/" + "|" * 500).status == 200
        assert app.requests[-1].target == "/" + "%7C" * 500
        for _ in range(3):
            r = say("/" + "|" * 60000)
            assert (r.status, r.fault) == (414, "uri-too-long")
        # Almost as long as a head may be, and then more than a field may.
        r = say("/" + "|" * 500 + "a" * 64800)
        assert (r.status, r.fault) == (431, "head-too-large")
        assert len(app.requests) == 1
        assert say("/").status == 200
