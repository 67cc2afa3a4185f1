# SPDX-License-Identifier: Apache-2.0
"""gRPC while something breaks or goes: a client gets a status of gRPC's, soon,
and its channel goes on. Calls in peace are in test_grpc.py."""
import threading
import time

import grpc
import pytest

from peers.grpc_app import Channel, GrpcApp, Talk, failure
from peers.process import stopped
from programs import free_ports, wait_until
from test_proxy_life import two_backends, until_drains

Code = grpc.StatusCode
# The time in which a broken call must have ended; calls have 30 s.
SOON = 10


@pytest.fixture(params=["grpc", None], ids=["grpc", "undeclared"])
def app_protocol(request):
    return request.param


class Nobody:
    """Where nothing listens."""

    def __init__(self):
        self.port, = free_ports(["127.0.0.1"])
        self.address = f"127.0.0.1:{self.port}"


class Calls:
    """As a context: makes calls all the time, one after another on `channel`.
    None may fail."""

    def __init__(self, channel):
        self.call = channel.unary("Who")
        self.done, self.failed = [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.is_set():
            try:
                self.done.append(self.call(b""))
            except grpc.RpcError as e:
                self.failed.append(f"{e.code()} {e.details()}")

    def wait(self, more):
        goal = len(self.done) + more
        wait_until(f"{more} more calls", lambda: len(self.done) >= goal, 30,
                   self.judge)

    def judge(self):
        assert not self.failed, self.failed[:5]

    def __enter__(self):
        self._thread.start()
        self.wait(10)
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join(40)
        if kind is None:
            self.judge()


def begun(channel, count=1):
    """Conversations under way."""
    talks = [Talk(channel.both("Both")) for _ in range(count)]
    for talk in talks:
        talk.echo(b"begin")
    return talks


def go_on_and_end(talks):
    for talk in talks:
        talk.echo(b"go on")
        talk.end()
        assert not list(talk.call)


def serves(channel):
    """A call succeeds again, soon."""
    def served():
        try:
            return channel.unary("Unary")(b"again", timeout=2) == b"again"
        except grpc.RpcError:
            return False
    wait_until("calls are served again", served, 20)


# --- faults ------------------------------------------------------------------

def test_server_down(pair, app_protocol):
    nobody = Nobody()
    with pair(nobody, app_protocol=app_protocol) as p, \
            Channel(p.front) as channel:
        for _ in range(3):
            e = failure(channel.unary("Unary"), b"")
            assert e.code() == Code.UNAVAILABLE
            assert e.details() == "tulle: connect-failed"
            assert ("tulle-fault", "connect-failed") in [
                tuple(m) for m in (*e.initial_metadata(),
                                   *e.trailing_metadata())]
        e = failure(next, channel.down("Hold")(b""))
        assert (e.code(), e.details()) == (Code.UNAVAILABLE,
                                           "tulle: connect-failed")
        with GrpcApp(port=nobody.port):
            serves(channel)


@pytest.mark.parametrize("kind", ["down", "both"])
def test_server_killed_in_a_stream(pair, app_protocol, kind):
    with GrpcApp() as app, pair(app, app_protocol=app_protocol) as p, \
            Channel(p.front) as channel:
        if kind == "down":
            call = channel.down("Hold")(b"")
            assert next(call) == b"first"
        else:
            call = begun(channel)[0].call
        start = time.monotonic()
        app.kill()
        e = failure(next, call)
        assert e.code() == Code.UNAVAILABLE
        assert e.details().startswith("tulle: "), e.details()
        assert time.monotonic() - start < SOON
        assert failure(channel.unary("Unary"), b"").code() == Code.UNAVAILABLE
        with GrpcApp(port=app.port):
            serves(channel)


def test_server_killed_before_it_answers(pair):
    with GrpcApp() as app, pair(app, app_protocol="grpc") as p, \
            Channel(p.front) as channel:
        call = channel.unary("Sleep").future(b"")
        app.heard("began Sleep")
        app.kill()
        assert call.code() == Code.UNAVAILABLE
        assert call.details().startswith("tulle: ")
        assert app.lines.count("began Sleep") == 1


def test_inbound_killed_in_a_stream(pair):
    with GrpcApp() as app, pair(app, app_protocol="grpc") as p, \
            Channel(p.front) as channel:
        talk, = begun(channel)
        start = time.monotonic()
        kill(p, p.inbound)
        e = failure(next, talk.call)
        assert e.code() == Code.UNAVAILABLE
        assert e.details().startswith("tulle: ")
        assert time.monotonic() - start < SOON
        app.heard("over Both")
        e = failure(channel.unary("Unary"), b"")
        assert (e.code(), e.details()) == (Code.UNAVAILABLE,
                                           "tulle: connect-failed")
        p.inbound = p.mesh.await_proxy(p.start_inbound())
        serves(channel)


def test_outbound_killed_in_a_stream(pair):
    with GrpcApp() as app, pair(app, app_protocol="grpc") as p, \
            Channel(p.front) as channel:
        talk, = begun(channel)
        kill(p, p.outbound)
        assert failure(next, talk.call).code() == Code.UNAVAILABLE
        app.heard("over Both")  # the server hears of it
        p.outbound = p.mesh.await_proxy(p.start_outbound())
        serves(channel)


def kill(p, proxy):
    p.mesh.expected_dead.append(proxy.program)
    proxy.program.process.kill()
    proxy.program.process.wait()


def test_frozen_inbound_in_a_stream(pair):
    with GrpcApp() as app, pair(
            app, app_protocol="grpc", link_ping="300ms", link_dead="1s",
            connect_timeout="1s") as p, Channel(p.front) as channel:
        talk, = begun(channel)
        with stopped(p.inbound.program.process):
            start = time.monotonic()
            e = failure(next, talk.call)
            assert e.code() == Code.UNAVAILABLE
            assert time.monotonic() - start < SOON
        serves(channel)


# --- rests -------------------------------------------------------------------

@pytest.mark.parametrize("name", ["Up", "Both", "Sleep"])
def test_streams_may_rest(pair, name):
    """Longer than a body or a connection may: a client that waits for what
    happens is not slow, nor a server that has nothing to say yet."""
    with GrpcApp() as app, pair(
            app, app_protocol="grpc", body_timeout="300ms",
            http_idle_timeout="300ms", pool_idle="300ms",
            link_idle="300ms") as p, Channel(p.front) as channel:
        if name == "Sleep":  # and the client has ended
            e = failure(channel.unary("Sleep"), b"", timeout=2)
            assert e.code() == Code.DEADLINE_EXCEEDED
            return
        said = threading.Event()

        def messages():
            yield b"one"
            said.wait(2)  # allow sleep: this is the rest
            yield b"two"
        method = channel.up("Up") if name == "Up" else channel.both("Both")
        got = method(messages())
        if name == "Up":
            assert got == b"[2, 6]"
        else:
            assert list(got) == [b"one", b"two"]


# --- several servers ---------------------------------------------------------

def test_calls_of_a_channel_go_to_both(pair, app_protocol):
    """Not each connection, which there is but one of: each call."""
    with GrpcApp("one") as one, GrpcApp("two") as two, \
            two_backends(pair, one, two, app_protocol=app_protocol) as p, \
            Channel(p.front) as channel:
        who = channel.unary("Who")
        calls = [who.future(b"") for _ in range(200)]
        served = [c.result(30) for c in calls]
        served += [who(b"") for _ in range(100)]
        for name in (b"one", b"two"):
            assert served.count(name) >= 50, served.count(name)


def test_never_delivered_goes_elsewhere(pair):
    """No call fails though one of two servers is down."""
    with GrpcApp("one") as one, \
            two_backends(pair, one, Nobody(), app_protocol="grpc") as p, \
            Channel(p.front) as channel:
        for _ in range(50):
            assert channel.unary("Who")(b"") == b"one"
        talk, = begun(channel)
        go_on_and_end([talk])


def test_killed_inbound_costs_only_its_calls(pair):
    with GrpcApp("one") as one, GrpcApp("two") as two, \
            two_backends(pair, one, two, app_protocol="grpc") as p, \
            Channel(p.front) as channel:
        talks = begun(channel, 20)
        kill(p, p.second)
        lost = 0
        for talk in talks:
            try:
                talk.echo(b"still there")
            except grpc.RpcError as e:
                assert e.code() == Code.UNAVAILABLE
                lost += 1
        assert 0 < lost < 20
        for _ in range(50):
            assert channel.unary("Who")(b"") == b"one"


# --- those that go -----------------------------------------------------------

def test_inbound_drains(pair):
    """As in a rolling update: what runs there ends there, and nothing fails."""
    with GrpcApp("one") as one, GrpcApp("two") as two, \
            two_backends(pair, one, two, app_protocol="grpc",
                         shutdown_grace="20s") as p, \
            Channel(p.front) as channel:
        talks = begun(channel, 20)
        with Calls(channel) as calls:
            p.second.program.process.terminate()
            p.write_second(False)
            until_drains(p.second)
            calls.wait(200)
            assert set(calls.done[-50:]) == {b"one"}
            assert p.second.program.running()
            go_on_and_end(talks)
            assert p.second.program.process.wait(15) == 0
            calls.wait(50)


def test_only_inbound_drains(pair):
    """Nobody else is there: new calls are served while it is."""
    with GrpcApp() as app, pair(app, app_protocol="grpc",
                                shutdown_grace="20s") as p, \
            Channel(p.front) as channel:
        talks = begun(channel, 3)
        with Calls(channel) as calls:
            p.inbound.program.process.terminate()
            until_drains(p.inbound)
            calls.wait(100)
        go_on_and_end(talks)
        assert p.inbound.program.process.wait(15) == 0


def test_outbound_drains(pair):
    """The client is told to connect anew, and may, as long as the proxy is
    there; and to the next that listens."""
    with GrpcApp() as app, pair(app, app_protocol="grpc",
                                shutdown_grace="20s") as p, \
            Channel(p.front) as channel:
        talks = begun(channel, 3)
        with Calls(channel) as calls:
            p.outbound.program.process.terminate()
            until_drains(p.outbound)
            calls.wait(100)
        go_on_and_end(talks)
        assert p.outbound.program.process.wait(15) == 0
        p.outbound = p.mesh.await_proxy(p.start_outbound())
        assert channel.unary("Unary")(b"x", wait_for_ready=True) == b"x"


@pytest.mark.parametrize("who", ["inbound", "outbound"])
def test_grace_ends(pair, who):
    """A call that never ends is cut, with a status."""
    with GrpcApp() as app, pair(app, app_protocol="grpc",
                                shutdown_grace="1s") as p, \
            Channel(p.front) as channel:
        talk, = begun(channel)
        process = getattr(p, who).program.process
        process.terminate()
        e = failure(next, talk.call)
        assert e.code() == Code.UNAVAILABLE
        app.heard("over Both")
        assert process.wait(10) == 0


def test_server_leaves(pair, app_protocol):
    """Its GOAWAY means: no more on this connection. What runs there goes on,
    and what is new goes to who listens then."""
    with GrpcApp("old") as old, pair(old, app_protocol=app_protocol) as p, \
            Channel(p.front) as channel:
        talks = begun(channel, 3)
        old.leave()
        e = failure(channel.unary("Who"), b"")
        assert (e.code(), e.details()) == (Code.UNAVAILABLE,
                                           "tulle: connect-failed")
        with GrpcApp("new", port=old.port):
            for _ in range(20):
                assert channel.unary("Who")(b"") == b"new"
            go_on_and_end(talks)
            assert old.process.wait(10) == 0


def test_server_that_wants_new_connections(pair, app_protocol):
    """max_connection_age: a GOAWAY now and then, and no call fails."""
    with GrpcApp(life=200) as app, pair(app, app_protocol=app_protocol) as p, \
            Channel(p.front) as channel, Calls(channel) as calls, \
            Calls(channel), Calls(channel):
        talk, = begun(channel)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            calls.wait(1)
        go_on_and_end([talk])
