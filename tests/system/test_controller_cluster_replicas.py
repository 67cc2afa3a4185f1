# SPDX-License-Identifier: Apache-2.0
"""Several controllers: any serves, one writes, the others tell it; and what
happens when one of them, or its way to the API server, is gone."""
import json
import time

import pytest

import metrics
from cluster import Session, cluster
from peers.http1 import App
from peers.process import stopped
from peers.traffic import Traffic

QUICK = ("--lease-duration", "4s")
# Shorter than a proxy takes to notice that its controller hangs.
PROXY_NOTICES = 45


@pytest.fixture(name="kube")
def _kube(binaries):
    return cluster(binaries)


def two(c, *arguments):
    """Two controllers; `a` leads."""
    c.controller("a", *arguments)
    c.await_leader("a")
    c.controller("b", *arguments)


def said_of(c, pod, since=0):
    """What was written of a pod's sync, in order."""
    name = pod.split("/")[1]
    out = []
    for x in c.writes(since, f"/meshproxies/{name}/status"):
        out.append(json.loads(x.body)["status"]["sync"])
    return out


def proxy_at(c, name, pod, account="default"):
    """A proxy that knows this one controller."""
    return c.start_proxy(pod, account, api=c.controllers[name].api)


# --- who writes ---------------------------------------------------------------

def test_only_the_leader_writes(kube):
    with kube as c:
        two(c)
        proxy_at(c, "a", "shop/one")
        proxy_at(c, "b", "shop/two")
        c.add_namespace("more")
        c.wait("all is written", lambda: c.bundle("more") and
               c.sync("shop/one") == c.sync("shop/two") == "yes" and
               c.mesh_config()["status"].get("synced") == 2)
        assert not c.writes(by="b"), [x.path for x in c.writes(by="b")]
        assert len(c.writes(by="a")) > 5


def test_state_of_proxies_at_the_other(kube):
    with kube as c:
        two(c)
        proxy = proxy_at(c, "b", "shop/cart")
        c.wait("it is known", lambda: c.sync("shop/cart") == "yes")
        status = c.mesh_proxy("shop/cart")["status"]
        assert status["identity"].endswith("/ns/shop/sa/default")
        assert status["certExpires"] and status["version"] and status["config"]
        # In sync or not goes on to be told.
        folder = c.certificate("shop/mute", api=c.controllers["b"].api)
        mute = Session(c.controllers["b"].api, folder)
        assert mute.status() == 200
        mute.say({"type": "subscribe", "kind": "workload"})
        mute.hear("workload")
        c.wait("one is behind", lambda: c.sync("shop/mute") == "no")
        mute.close()
        c.end(proxy)
        c.wait("both are gone", lambda: c.sync("shop/cart") == "unknown" and
               c.sync("shop/mute") == "unknown", 40)


def test_silent_ports_are_known_to_the_leader(kube):
    """Whichever controller the proxy reports to."""
    silent = {"inbound": {"6000": 3}, "outbound": {"shop/db:7000": 1}}

    def at(c, name):
        _, body = metrics.get(c.controllers[name].admin, "/v1/proxies")
        return {x["pod"]: (x["detectTimeouts"], x.get("silent"))
                for x in json.loads(body)["proxies"]}

    with kube as c:
        two(c)
        s = Session(c.controllers["b"].api,
                    c.certificate("shop/cart", api=c.controllers["b"].api))
        assert s.status() == 200
        s.subscribe()
        s.say({"type": "report", "epoch": "e", "detectTimeouts": 4,
               "silent": silent})
        for name in "ba":
            c.wait(f"{name} knows",
                   lambda: at(c, name).get("cart") == (4, silent))
        silent["inbound"]["6000"] = 4
        s.say({"type": "report", "epoch": "e", "detectTimeouts": 5,
               "silent": silent})
        c.wait("it is told again",
               lambda: at(c, "a").get("cart") == (5, silent))
        s.close()


def test_a_proxy_that_moves_is_no_news(kube):
    with kube as c:
        two(c)
        folder = c.certificate("shop/cart")
        here = Session(c.controllers["a"].api, folder)
        assert here.status() == 200
        here.subscribe()
        c.wait("it is known", lambda: c.sync("shop/cart") == "yes")
        mark = c.mark()
        for name in "bab":
            here.close()
            time.sleep(1.2)  # allow sleep: a look at the sessions
            here = Session(c.controllers[name].api, folder)
            assert here.status() == 200
            here.subscribe()
        c.stays("nobody noticed", lambda: not said_of(c, "shop/cart", mark), 25)
        assert c.sync("shop/cart") == "yes"
        here.close()


def test_nobody_else_may_speak_for_proxies(kube):
    """With a workload's certificate: also that of the controllers' own pod."""
    with kube as c:
        two(c)
        for pod, account in (("shop/cart", "default"),
                             ("tulle-system/tulle-controller-b",
                              "tulle-controller")):
            folder = c.certificate(pod, account)
            s = Session(c.controllers["a"].api, folder, "/v1/replica")
            assert s.status() == 403
            s.close()


# --- another leader -----------------------------------------------------------

def rewritten(c, mark):
    return [(x.method, x.path) for x in c.writes(mark)
            if "meshconfigs" not in x.path]


def test_leader_ends_in_order(kube):
    """The lease is given back at once, and what was right stays."""
    with kube as c, App() as app:
        two(c)  # with a lease of 15 s
        front, *_ = c.serve(app.address)
        c.wait("both are shown", lambda: c.sync("shop/web") ==
               c.sync("shop/client") == "yes" and
               c.mesh_config()["status"]["synced"] == 2)
        with Traffic(front, keep=False) as traffic:
            mark = c.mark()
            begin = time.monotonic()
            c.terminate("a")
            assert c.leader() in ("", "b")
            c.await_leader("b")
            assert time.monotonic() - begin < 8
            traffic.wait(100)
            c.stays("all is whole", lambda: c.sync("shop/web") ==
                    c.sync("shop/client") == "yes", 40)
        assert not rewritten(c, mark), rewritten(c, mark)
        assert c.mesh_config()["status"]["synced"] == 2


def test_leader_without_sessions_gives_the_lease_back_too(kube):
    with kube as c:
        two(c)
        c.terminate("a")
        assert c.leader() in ("", "b")
        c.await_leader("b", 8)


def test_who_ends_before_it_serves_gives_the_lease_back(kube):
    with kube as c:
        c.start_controller("a", "--issuer-secret", "none")
        c.await_leader("a")
        c.terminate("a")
        assert c.leader() == ""


def test_leader_is_killed(kube):
    with kube as c, App() as app:
        two(c, *QUICK)
        front, *_ = c.serve(app.address)
        c.wait("both are shown", lambda: c.sync("shop/web") ==
               c.sync("shop/client") == "yes")
        with Traffic(front, keep=False) as traffic:
            mark = c.mark()
            begin = time.monotonic()
            c.kill("a")
            c.await_leader("b")
            assert time.monotonic() - begin < 4 + 4
            c.wait("it writes", lambda: c.add_namespace("after") and
                   c.bundle("after"))
            traffic.wait(100)
            c.stays("all is whole", lambda: c.sync("shop/web") ==
                    c.sync("shop/client") == "yes", 40)
        assert not [w for w in rewritten(c, mark) if "after" not in w[1] and
                    "configmaps" not in w[1]]


def test_leader_hangs_and_comes_back(kube):
    """Nobody notices; and it writes nothing when it wakes up."""
    with kube as c, App() as app:
        two(c, *QUICK)
        front, *_ = c.serve(app.address)
        c.wait("both are shown", lambda: c.sync("shop/web") ==
               c.sync("shop/client") == "yes")
        with Traffic(front, keep=False) as traffic:
            mark = c.mark()
            with stopped(c.controllers["a"].process):
                c.await_leader("b", 12)
                traffic.wait(100)
                c.stays("all is whole", lambda: c.sync("shop/web") ==
                        c.sync("shop/client") == "yes", PROXY_NOTICES)
            c.wait("a follows", lambda: not c.controllers["a"].leads())
            c.stays("all is whole", lambda: c.sync("shop/web") ==
                    c.sync("shop/client") == "yes", 5)
            traffic.wait(100)
        assert not rewritten(c, mark), rewritten(c, mark)
        assert not c.writes(mark, by="a")
        assert c.controllers["b"].leads()


def test_follower_hangs(kube):
    """Its proxies go to the leader; what is shown of them stays as it was."""
    with kube as c:
        two(c, *QUICK)
        proxies = [f"shop/cart-{n}" for n in range(6)]
        for pod in proxies:
            c.start_proxy(pod)
        c.wait("all are shown", lambda: all(c.sync(p) == "yes"
                                            for p in proxies))
        before = joined(c, "a")
        with stopped(c.controllers["b"].process):
            c.wait("all are at a", lambda: joined(c, "a") == 6, PROXY_NOTICES)
            c.wait("all is well", lambda: all(c.sync(p) == "yes"
                                              for p in proxies))
        assert before < 6  # else it says nothing, once in 64 times
        assert c.controllers["a"].leads()


def test_leader_loses_the_api_server(kube):
    """It stops leading before another one begins, and follows."""
    with kube as c:
        two(c, *QUICK)
        proxy_at(c, "a", "shop/cart")
        c.wait("it is shown", lambda: c.sync("shop/cart") == "yes")
        mark = c.mark()
        c.ways["a"].freeze()
        c.await_leader("b", 12)
        assert not c.controllers["a"].leads()
        # What is known at a reaches b all the same.
        c.stays("all is whole", lambda: c.sync("shop/cart") == "yes", 40)
        assert not rewritten(c, mark), rewritten(c, mark)
        c.ways["a"].thaw()


# --- who knows less sends its proxies away ------------------------------------

SHEDS = "proxies are sent to other replicas"


def joined(c, name):
    return c.controllers[name].output().count('"proxy joined"')


def two_with_proxies_at_b(c, app):
    """`b` leads. Returns where clients of `app` go."""
    arguments = (*QUICK, "--stale-after", "6s")
    c.kube.bookmark_seconds = 1
    c.controller("b", *arguments)
    c.await_leader("b")
    front, *_ = c.serve(app.address, api=c.api("a", "b"))
    c.controller("a", *arguments)
    assert joined(c, "b") == 2
    return front


def test_who_lost_the_api_server_sheds_its_proxies(kube):
    with kube as c, App() as app:
        front = two_with_proxies_at_b(c, app)
        with Traffic(front, keep=False) as traffic:
            c.ways["b"].freeze()
            c.await_leader("a")
            c.wait("b sheds", lambda: SHEDS in c.controllers["b"].output(), 20)
            assert not c.controllers["b"].ready()
            c.wait("both are at a", lambda: joined(c, "a") == 2)
            traffic.wait(100)
            c.stays("all is whole", lambda: c.sync("shop/web") ==
                    c.sync("shop/client") == "yes", 5)
            folder = c.certificate("shop/cart", api=c.api("a"))
            s = Session(c.api("b"), folder)
            assert s.status() == 503
            s.close()
            c.ways["b"].thaw()
            c.wait("b is back", lambda: "the API server is back"
                   in c.controllers["b"].output(), 60)
            s = Session(c.api("b"), folder)
            assert s.status() == 200
            s.close()


def test_who_sheds_waits_for_another_leader(kube):
    """The one that it had dies: there may be another one soon. When there is
    none, who knows little is better than nobody."""
    with kube as c, App() as app:
        two_with_proxies_at_b(c, app)
        c.ways["b"].freeze()
        c.await_leader("a")
        c.wait("b sheds", lambda: SHEDS in c.controllers["b"].output(), 20)
        folder = c.certificate("shop/cart", api=c.api("a"))

        def answer():
            s = Session(c.api("b"), folder)
            status = s.status()
            s.close()
            return status
        c.kill("a")
        c.stays("b sheds", lambda: answer() == 503, 15)
        c.wait("b serves again", lambda: answer() == 200, 45)
        assert "the API server is back" not in c.controllers["b"].output()


def test_nobody_sheds_when_nobody_knows_more(kube):
    with kube as c, App() as app:
        front = two_with_proxies_at_b(c, app)
        with Traffic(front, keep=False) as traffic:
            for way in c.ways.values():
                way.freeze()
            c.stays("nobody sheds", lambda: SHEDS not in c.outputs(), 25)
            traffic.wait(50)
            assert joined(c, "b") == 2 and joined(c, "a") == 0
            c.thaw()
            c.wait("somebody leads", lambda: c.controllers["a"].leads() or c.controllers["b"].leads(),
                   60)


def test_a_replica_alone_does_not_shed(kube):
    with kube as c:
        c.kube.bookmark_seconds = 1
        c.controller("a", *QUICK, "--stale-after", "6s")
        c.start_proxy("shop/cart")
        c.ways["a"].freeze()
        c.stays("it goes on", lambda: SHEDS not in c.outputs(), 15)
        assert c.controllers["a"].ready()
        c.thaw()
