# SPDX-License-Identifier: Apache-2.0
"""All that an API server may do to the controller: it goes on serving what it
knows, and when the server is well again it knows all, without having been
started anew."""
import time

import pytest

import manifests
from fake_kube_watch import compact
from programs import wait_until
from test_kubernetes import controller, fake, pod  # noqa: F401

# pylint: disable=redefined-outer-name


def started(fake, controller, *arguments, **how):
    kube = fake(**how)
    c = controller(kube, *arguments)
    wait_until("ready", c.ready, 15, c.controller.must_run)
    return kube, c


def change(kube, n=0):
    """Something new, something gone, something else."""
    kube.put(pod(f"new-{n}", f"10.3.0.{n}"))
    kube.delete("Pod", "shop", f"cart-{n}")
    kube.put(manifests.service("shop", "cart", f"10.96.1.{n}"))


def interruptions(c, kind="Pod"):
    return c.number("controller_watch_interruptions_total", kind=kind)


def drop(kube):
    kube.drop_connections()


def end(kube):
    kube.end_watches()


def refuse_for_a_while(kube):
    kube.fail(times=6, status=500)
    kube.drop_connections()


def cut_answers(kube):
    kube.drop(times=4)
    kube.drop_connections()


def answer_garbage(kube):
    kube.garbage(times=4)
    kube.drop_connections()


def say_garbage(kube):
    kube.say("Pod", b"what is this?\n")


def say_half_an_event(kube):
    kube.say("Pod", b'{"type":"MODIFIED","object":{"metadata":{"na')
    kube.end_watches("Pod")


def say_error(kube):
    kube.say("Pod", compact({"type": "ERROR", "object": {
        "kind": "Status", "code": 500, "message": "etcd is tired"}}) + b"\n")


def say_expired(kube):
    kube.say_expired("Pod")


def forget_history(kube):
    kube.compact()
    kube.drop_connections()


def forget_an_object(kube):
    """It went while nobody could know: only a new list tells."""
    kube.forget_quietly("Pod", "shop", "cart-2")
    kube.compact()
    kube.drop_connections()


def be_slow(kube):
    kube.slow(1, times=4)
    kube.drop_connections()


def start_anew(kube):
    kube.restart()


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("break_it", [
    drop, end, refuse_for_a_while, cut_answers, answer_garbage, say_garbage,
    say_half_an_event, say_error, say_expired, forget_history,
    forget_an_object, be_slow, start_anew], ids=lambda f: f.__name__)
def test_it_is_mended(fake, controller, break_it, http2):
    kube, c = started(fake, controller, http2=http2)
    break_it(kube)
    change(kube)
    assert c.ready() and c.registry()["synced"]  # meanwhile, too
    c.await_agreement(20)
    change(kube, 1)
    c.await_agreement(10)


def test_line_that_is_too_long(fake, controller):
    """It is passed over; what comes after it is not."""
    kube, c = started(fake, controller)
    kube.say("Pod", b'{"type":"MODIFIED","object":"' + b"x" * (9 << 20)
             + b'"}\n')
    change(kube)
    c.await_agreement(20)
    c.wait_log("passed over", "/api/v1/pods")
    assert interruptions(c) == 0


def test_server_away_for_long(fake, controller):
    kube, c = started(fake, controller)
    kube.stop()
    c.wait_log("watch interrupted", "times=4", seconds=20)
    assert c.ready()
    assert c.names("Pod") == {"shop/cart-0", "shop/cart-1", "shop/cart-2"}
    change(kube)
    kube.restart()
    c.await_agreement(35)
    # It asked less and less often.
    assert interruptions(c) < 12


def test_retry_after(fake, controller):
    kube, c = started(fake, controller)
    fault = kube.fail(times=1, status=429, retry_after=3, path="/api/v1/pods")
    kube.drop_connections()
    wait_until("it was refused", lambda: fault.left == 0, 10)
    before = kube.count("/api/v1/pods")
    begin = time.monotonic()
    wait_until("it comes again", lambda: kube.count("/api/v1/pods") > before,
               10)
    assert time.monotonic() - begin > 2
    change(kube)
    c.await_agreement(10)


@pytest.mark.parametrize("http2", [True, False])
def test_frozen_server_is_noticed(fake, controller, http2):
    """It keeps its connections and says nothing, which a quiet one does, too."""
    kube, c = started(fake, controller, http2=http2)
    kube.freeze()
    begin = time.monotonic()
    c.wait_log("the API server does not answer", seconds=35)
    c.wait_log("watch interrupted", "/api/v1/pods", seconds=5)
    assert time.monotonic() - begin < 30
    assert c.ready() and len(c.names("Pod")) == 3
    change(kube)
    kube.thaw()
    c.await_agreement(40)


def test_quiet_server_is_left_alone(fake, controller):
    """No bookmark, no event, for longer than a list may be silent."""
    kube, c = started(fake, controller)
    wait_until("long silence", lambda: c.number(
        "controller_watch_silence_seconds", kind="Pod") >= 35, 60)
    assert interruptions(c) == 0
    change(kube)
    c.await_agreement(3)
    assert c.number("controller_watch_silence_seconds", kind="Pod") < 5


def test_server_that_does_not_end_the_list(fake, controller):
    """Streams, but knows no mark at the end of a list: pages, then."""
    kube = fake()

    def answer(x):
        x.start(200, [("content-type", "application/json")])
        for o in kube.all("Pod"):
            x.send(compact({"type": "ADDED", "object": o}) + b"\n")
        x.send(compact({"type": "BOOKMARK", "object": {"metadata": {
            "resourceVersion": "7"}}}) + b"\n")
        x.end()
        return True
    kube.order(answer, times=100, path="/api/v1/pods",
               query={"sendInitialEvents": "true"})
    c = controller(kube)
    wait_until("ready", c.ready, 15, c.controller.must_run)
    assert c.agrees()
    assert kube.count("/api/v1/pods", limit="500") == 1


def test_resource_that_is_not_there(fake, controller):
    kube = fake()
    endpoint_slices = kube.resources["EndpointSlice"]
    kube.remove_resource("EndpointSlice")
    c = controller(kube)
    wait_until("ready", c.ready, 15, c.controller.must_run)
    c.wait_log("does not know this resource", "endpointslices")
    # It is looked for every 30 s; then it is there.
    kube.resources["EndpointSlice"] = endpoint_slices
    kube.put(manifests.endpoint_slice("shop", "cart", {"10.1.0.1": "x"}, 80))
    c.await_agreement(45)


def test_one_404_is_not_believed(fake, controller):
    """Somebody between us and the server may be confused: what is known is not
    thrown away for it."""
    kube, c = started(fake, controller)
    kube.fail(times=2, status=404, path="/api/v1/pods")
    kube.end_watches("Pod")
    c.wait_log("watch interrupted", "/api/v1/pods", "404")
    assert len(c.names("Pod")) == 3
    change(kube)
    c.await_agreement(10)
    assert "does not know" not in c.log()


def test_nobody_may_list(fake, controller):
    kube = fake()
    kube.fail(times=1000, status=403, message="pods is forbidden: no RBAC",
              path="/api/v1/pods")
    c = controller(kube)
    c.wait_log("watch interrupted", "pods is forbidden: no RBAC")
    assert not c.ready()
    kube.heal()
    wait_until("ready", c.ready, 35, c.controller.must_run)


def test_stops_with_a_frozen_server(fake, controller):
    """In its drain time: it would give its lease back."""
    kube, c = started(fake, controller, "--drain", "1s")
    kube.freeze()
    c.controller.process.terminate()
    assert c.controller.process.wait(5) == 0
