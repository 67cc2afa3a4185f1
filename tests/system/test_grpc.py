# SPDX-License-Identifier: Apache-2.0
"""gRPC through two proxies: grpcio on both ends, and the cases of gRPC's own
interoperability tests. Faults and drains are in test_grpc_faults.py."""
import json
import threading

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import \
    ProtoReflectionDescriptorDatabase

from peers.grpc_app import (SERVICE, Channel, GrpcApp, Talk, ask, failure)
from peers.process import connections_to, growth_below
from peers.wire import connect
from programs import wait_until

Code = grpc.StatusCode


# --- one pair for all that leave it as it was --------------------------------

@pytest.fixture(scope="module", params=["grpc", None],
                ids=["grpc", "undeclared"])
def app_protocol(request):
    return request.param


@pytest.fixture(scope="module")
def served(module_pair, app_protocol):
    """A pair in front of `p.app`."""
    with GrpcApp() as app, module_pair(app, app_protocol=app_protocol) as p:
        p.app = app
        yield p


@pytest.fixture
def channel(served):
    with Channel(served.front) as c:
        yield c


# --- messages ----------------------------------------------------------------

def test_empty_unary(channel):
    assert channel.unary("Unary")(b"") == b""


def test_large_unary(channel):
    message = bytes(range(256)) * 4096
    assert channel.unary("Unary")(message) == message


def test_one_channel_is_one_connection(served, channel):
    before = connections_to(served.front)
    for n in range(20):
        assert channel.unary("Unary")(b"%d" % n) == b"%d" % n
    assert connections_to(served.front) - before <= 1


def test_compressed_messages(channel):
    message = b"z" * 300000
    assert channel.unary("Unary")(
        message, compression=grpc.Compression.Gzip) == message


def test_client_streaming(channel):
    sizes = [27182, 8, 1828, 45904, 0, 1 << 20]
    got = channel.up("Up")(iter([b"u" * n for n in sizes]))
    assert json.loads(got) == [len(sizes), sum(sizes)]


def test_answer_before_the_client_has_ended(channel):
    """The rest of the request is stopped, and nothing waits for it."""
    done = threading.Event()

    def messages():
        yield b"first"
        done.wait(20)
    try:
        assert channel.up("UpSome")(messages(), timeout=10) == b"first"
    finally:
        done.set()


def test_server_streaming(channel):
    got = list(channel.down("Down")(ask(count=1000, size=40)))
    assert [int(m.split()[0]) for m in got] == list(range(1000))


def test_ping_pong(channel):
    talk = Talk(channel.both("Both"))
    for size in (1, 31415, 9, 2653, 58979, 500000):
        talk.echo(b"p" * size)
    talk.end()
    assert not list(talk.call)
    assert talk.call.code() == Code.OK


def test_empty_stream(channel):
    talk = Talk(channel.both("Both"))
    talk.end()
    assert not list(talk.call)
    assert talk.call.code() == Code.OK


def test_slow_reader_holds_the_server_back(served, channel):
    """Far more than all windows together: it waits at the server, not in
    between, and other calls pass it by."""
    count, size = 1200, 65536
    produced = served.app.channel().unary("Produced")

    def stands(last=[0, 0]):
        now = int(produced(b""))
        last[:] = [now, last[1] + 1 if now == last[0] else 0]
        return last[1] >= 10
    with growth_below(24 << 20, served.inbound.pid, served.outbound.pid):
        call = channel.down("Down")(ask(count=count, size=size))
        assert next(call).startswith(b"0 ")
        wait_until("the server is held back", stands, 10)
        assert int(produced(b"")) < count / 2
        for n in range(50):
            assert channel.unary("Unary")(b"%d" % n) == b"%d" % n
        for n, message in enumerate(call, 1):
            assert int(message.split()[0]) == n
            assert len(message) == size
    assert n == count - 1


# --- many --------------------------------------------------------------------

def test_many_calls_at_once_on_a_channel(channel):
    calls = [channel.unary("Unary").future(b"%d" % n) for n in range(500)]
    assert [c.result(30) for c in calls] == [b"%d" % n for n in range(500)]


def test_many_streams_open_on_a_channel(channel):
    talks = [Talk(channel.both("Both")) for _ in range(200)]
    for _ in range(2):  # all are there before one has ended
        for n, talk in enumerate(talks):
            talk.echo(b"%d" % n)
    for talk in talks:
        talk.end()
        assert not list(talk.call)


def requests_of(proxy, direction):
    """Done by status and fault."""
    done = {}
    for labels, value in proxy.metrics().get("proxy_requests_total", []):
        if labels["direction"] == direction:
            key = labels["status"], labels["fault"]
            done[key] = done.get(key, 0) + value
    return done


def test_each_call_counts(served, channel):
    ok = ("200", "none")
    sides = ((served.outbound, "outbound"), (served.inbound, "inbound"))
    before = [requests_of(*side).get(ok, 0) for side in sides]
    for _ in range(30):
        channel.unary("Unary")(b"x")
    list(channel.down("Down")(ask(count=10, size=10)))
    for side, start in zip(sides, before):
        wait_until("31 calls are counted", lambda s=side, n=start:
                   requests_of(*s).get(ok, 0) == n + 31, 5)


# --- the end of a call -------------------------------------------------------

def test_deadline(served, channel):
    e = failure(channel.unary("Sleep"), b"", timeout=0.5)
    assert e.code() == Code.DEADLINE_EXCEEDED
    served.app.heard("over Sleep")


@pytest.mark.parametrize("after", ["begin", "first message"])
def test_cancel(served, channel, after):
    """The server hears of it, though no deadline is near."""
    served.app.lines.clear()
    if after == "begin":
        name, call = "Sleep", channel.unary("Sleep").future(b"", timeout=60)
    else:
        name, call = "Hold", channel.down("Hold")(b"", timeout=60)
        assert next(call) == b"first"
    served.app.heard(f"began {name}")
    call.cancel()
    assert call.code() == Code.CANCELLED
    served.app.heard(f"over {name}")
    assert channel.unary("Unary")(b"x") == b"x"


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_many_ends_at_once_are_no_flood(channel, how):
    """A server that hangs is left by all at once."""
    with channel_in_use(channel):
        talks = [Talk(channel.both("Both"), timeout=60 if how == "cancel"
                      else 3) for _ in range(250)]
        for talk in talks:
            talk.echo(b"begin")
        if how == "cancel":
            for talk in talks:
                talk.call.cancel()
        for talk in talks:
            assert talk.call.code() == (
                Code.CANCELLED if how == "cancel" else
                Code.DEADLINE_EXCEEDED), talk.call.details()
            talk.end()


@pytest.mark.parametrize("code", [c for c in Code if c != Code.OK])
def test_status(channel, code):
    e = failure(channel.unary("Fail"), ask(code=code.value[0], details="why"))
    assert (e.code(), e.details()) == (code, "why")


@pytest.mark.parametrize("details", [
    "", "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n",
    "100%", "é" * 1000])
def test_status_message(channel, details):
    e = failure(channel.unary("Fail"), ask(code=2, details=details))
    assert (e.code(), e.details()) == (Code.UNKNOWN, details)


def test_status_after_a_message(channel):
    call = channel.down("FailLate")(b"")
    assert next(call) == b"first"
    e = failure(next, call)
    assert (e.code(), e.details()) == (Code.DATA_LOSS, "later")


@pytest.mark.parametrize("name, service", [("Nope", SERVICE),
                                           ("Unary", "test.Nobody")])
def test_unimplemented(channel, name, service):
    e = failure(channel.unary(name, service=service), b"")
    assert e.code() == Code.UNIMPLEMENTED


def events_of(to, path):
    """The answer to a call without a message, as HTTP/2 has it."""
    with connect(to) as wire:
        c = h2.connection.H2Connection(h2.config.H2Configuration())
        c.initiate_connection()
        c.send_headers(1, [
            (":method", "POST"), (":scheme", "http"), (":path", path),
            (":authority", "test"), ("te", "trailers"),
            ("content-type", "application/grpc")])
        c.send_data(1, b"\0\0\0\0\0", end_stream=True)
        wire.send(c.data_to_send())
        seen = []
        while "end" not in seen:
            for event in c.receive_data(wire.some()):
                if isinstance(event, h2.events.ResponseReceived):
                    seen.append(("head", dict(event.headers)))
                elif isinstance(event, h2.events.DataReceived) and event.data:
                    seen.append(("data", event.data))
                elif isinstance(event, h2.events.TrailersReceived):
                    seen.append(("trailers", dict(event.headers)))
                elif isinstance(event, h2.events.StreamEnded):
                    seen.append("end")
            wire.send(c.data_to_send())
        return seen


@pytest.mark.parametrize("name, pieces", [
    ("Nope", ["head", "end"]),
    ("Unary", ["head", "data", "trailers", "end"])])
def test_trailers_only_stay_that(served, name, pieces):
    direct = events_of(served.app.address, f"/{SERVICE}/{name}")
    passed = events_of(served.front, f"/{SERVICE}/{name}")
    assert [p if p == "end" else p[0] for p in direct] == pieces
    assert passed == direct


# --- metadata ----------------------------------------------------------------

def test_metadata(channel):
    """Both ways, several of a name, and bytes that are no text."""
    anything = bytes(range(256))
    sent = [("initial-one", "first"), ("initial-bin", anything),
            ("initial-two", "a"), ("initial-two", "b"),
            ("trailing-one", "last"), ("trailing-bin", anything),
            ("trailing-bin", b"")]
    answer, call = channel.unary("Unary").with_call(b"m", metadata=sent)
    assert answer == b"m"
    assert [tuple(m) for m in call.initial_metadata()
            if m.key.startswith("initial-")] == sent[:4]
    assert [tuple(m) for m in call.trailing_metadata()
            if m.key.startswith("trailing-")] == sent[4:]


def test_large_metadata(channel):
    """Within the limit of the proxies."""
    text = "v" * 50000
    _, call = channel.unary("Unary").with_call(
        b"", metadata=[("initial-large", text)])
    assert ("initial-large", text) in [tuple(m) for m in
                                       call.initial_metadata()]
    e = failure(channel.unary("Fail"), ask(code=3, trailing=50000))
    assert e.code() == Code.INVALID_ARGUMENT
    assert ("trailing-large", text) in [tuple(m) for m in
                                        e.trailing_metadata()]


@pytest.mark.parametrize("metadata", [
    [("seen-a", "v" * 40000), ("seen-b", "v" * 40000)],
    [(f"seen-{n}", "v") for n in range(200)]], ids=["bytes", "fields"])
def test_too_much_metadata_of_a_client(channel, metadata):
    with channel_in_use(channel):
        e = failure(channel.unary("Unary"), b"", metadata=metadata)
        assert (e.code(), e.details()) == (Code.RESOURCE_EXHAUSTED,
                                           "tulle: head-too-large")


def test_one_field_that_is_too_large(channel):
    """More than 64 KiB in one is an error of the whole connection: its calls
    end with it, but the channel goes on."""
    for _ in range(2):
        e = failure(channel.unary("Unary"), b"",
                    metadata=[("seen-large", "v" * 70000)])
        assert e.code() in (Code.UNAVAILABLE, Code.INTERNAL), e
        assert channel.unary("Unary")(b"x", wait_for_ready=True) == b"x"


@pytest.mark.parametrize("where", ["initial", "trailing"])
def test_too_much_metadata_of_a_server(channel, where):
    with channel_in_use(channel):
        e = failure(channel.unary("Fail"), ask(code=3, **{where: 80000}))
        assert e.code() in (Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED), e


class channel_in_use:  # pylint: disable=invalid-name
    """Meanwhile a call is under way, which goes on; and so may the next."""

    def __init__(self, channel):
        self.channel, self.talk = channel, Talk(channel.both("Both"))

    def __enter__(self):
        self.talk.echo(b"before")

    def __exit__(self, kind, *_):
        if kind is None:
            self.talk.echo(b"after")
            assert self.channel.unary("Unary")(b"x") == b"x"
        self.talk.end()


# --- services that come with gRPC --------------------------------------------

def test_health(channel):
    health = health_pb2_grpc.HealthStub(channel.grpc)
    status = health_pb2.HealthCheckResponse.ServingStatus
    asked = health_pb2.HealthCheckRequest()
    assert health.Check(asked, timeout=10).status == status.SERVING
    watch = health.Watch(asked, timeout=20)
    assert next(watch).status == status.SERVING
    for name in ("NOT_SERVING", "SERVING"):
        channel.unary("Health")(name.encode())
        assert next(watch).status == status.Value(name)
    watch.cancel()


def test_health_of_nobody(channel):
    health = health_pb2_grpc.HealthStub(channel.grpc)
    e = failure(health.Check, health_pb2.HealthCheckRequest(service="nobody"),
                timeout=10)
    assert e.code() == Code.NOT_FOUND


def test_reflection(channel):
    seen = ProtoReflectionDescriptorDatabase(channel.grpc)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(seen.get_services())
    found = seen.FindFileContainingSymbol("grpc.health.v1.Health")
    assert found.name == "grpc_health/v1/health.proto"
