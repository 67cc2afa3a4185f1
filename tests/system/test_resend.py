# SPDX-License-Identifier: Apache-2.0
"""What was never delivered goes to another endpoint, whatever it is; what may
have been is not sent twice."""
import pytest

from peers import h2
from peers.http1 import App, ask, read_request, read_response, request
from peers.server import Server
from peers.wire import connect
from programs import free_ports
from test_proxy_life import two_backends


def nobody():
    port, = free_ports(["127.0.0.1"])
    return f"127.0.0.1:{port}"


class half_dead(two_backends):  # pylint: disable=invalid-name
    """Two endpoints, and nobody behind the address of the second."""

    def __enter__(self):
        return self.context.__enter__()


def until_retried(p, once):
    """`once()` again and again, until the dead endpoint was tried."""
    def retries():
        return sum(v for _, v in p.outbound.metrics()["proxy_retries_total"])
    begin = retries()
    for _ in range(100):
        once()
        if retries() > begin:
            return
    raise AssertionError("the dead endpoint was never picked")


@pytest.mark.parametrize("size", [0, 1000, 100_000, 500_000])
def test_body_goes_to_the_other(pair, size):
    """Also one that is too large to be kept: nothing of it was sent."""
    with App() as app, half_dead(pair, app, balancer="round-robin") as p:
        body = bytes(range(251)) * (size // 251 + 1)
        until_retried(p, lambda: ask(p.front, "POST", body=body).status == 200
                      or pytest.fail("not sent to the other"))
        assert all(m.body == body for m in app.requests)


def test_upgrade_goes_to_the_other(pair):
    def play(wire):
        wire.until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 101 Now\r\nConnection: upgrade\r\n"
                  b"Upgrade: websocket\r\n\r\n")

    def once():
        with connect(p.front) as c:
            c.send(request(fields=[("Connection", "upgrade"),
                                   ("Upgrade", "websocket")]))
            assert read_response(c).status == 101

    with Server(play) as app, \
            half_dead(pair, app, balancer="round-robin") as p:
        until_retried(p, once)


def test_application_is_not_tried_again_and_again(pair):
    """There is one application behind us: it is down, so say so."""
    with pair(nobody(), attempts=5) as p:
        assert ask(p.front).fault == "connect-failed"
        retries = p.inbound.metrics()["proxy_retries_total"]
        assert sum(v for _, v in retries) == 0


def test_body_after_the_answer_is_dropped(pair):
    """A refused request whose body comes with its head: nothing is kept."""
    def play(wire):
        read_request(wire)
        wire.how_it_ends()

    with Server(play) as app, pair(app, inbound__max_requests=1) as p, \
            h2.Link(p.inbound_mesh, p.certs) as link:
        link.begin()
        link.send(link.head(1))
        app.wait_accepted(1)
        for n in range(20):
            stream = 2 * n + 3
            head = link.head(stream, h2.fields("POST"), end=False)
            link.send(head + h2.frame(h2.DATA, 0, stream, bytes(9000)))
            status, listed, _ = link.answer(stream)
            assert status == 503
            assert dict(listed)["tulle-fault"] == "too-many-requests"


def test_opaque_streams_are_connections(pair):
    """A peer cannot have more of them than connections."""
    def play(wire):
        wire.send(b"in")
        wire.how_it_ends()

    with Server(play) as app, \
            pair(app, app_protocol="tcp", inbound__max_connections=4) as p, \
            h2.Link(p.inbound_mesh, p.certs) as link:
        link.begin()
        faults = []
        for n in range(6):
            stream = 2 * n + 1
            link.send(link.head(stream, h2.fields("CONNECT"), end=False))
            frame = link.until_frame(lambda f, s=stream: f.stream == s
                                     and f.kind == h2.HEADERS)
            faults.append(dict(link.decoder.decode(frame.payload))
                          .get("tulle-fault"))
        assert None in faults
        assert faults[-1] == "too-many-connections"
