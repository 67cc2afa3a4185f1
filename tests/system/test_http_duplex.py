# SPDX-License-Identifier: Apache-2.0
"""Request and response at once: one may end before the other, in any order."""
import threading

import pytest

from peers.http1 import (CHUNKED, CLOSE, CRLF, App, chunk, read_body,
                         read_head, read_request, read_response, request,
                         response)
from peers.process import Background
from peers.server import Server
from peers.wire import Ended, connect
from programs import wait_until

HEAD_CHUNKED = b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
LARGE = 12 << 20  # more than the kernel keeps for one connection


def read_chunk(wire):
    size = int(wire.until(CRLF)[:-2], 16)
    data = wire.exactly(size)
    assert wire.exactly(2) == CRLF
    return data


# --- conversations -----------------------------------------------------------

def test_conversation(front):
    """A chunk, its answer, the next: nothing waits for an end."""
    def play(wire):
        for _ in range(2):
            read_head(wire)
            wire.send(HEAD_CHUNKED)
            while data := read_chunk(wire):
                wire.send(chunk(b"you said " + data))
            wire.send(LAST)

    with Server(play) as app, connect(front(app)) as c:
        for _ in range(2):
            c.send(request("POST", fields=[CHUNKED]))
            assert read_head(c).status == 200
            for n in range(50):
                c.send(chunk(b"%d" % n))
                assert read_chunk(c) == b"you said %d" % n
            c.send(LAST)
            assert read_chunk(c) == b""
        assert app.accepted == 1


def test_conversation_that_the_app_begins(front):
    def play(wire):
        read_head(wire)
        wire.send(HEAD_CHUNKED)
        for n in range(20):
            wire.send(chunk(b"%d?" % n))
            assert read_chunk(wire) == b"%d!" % n
        wire.send(LAST)
        assert read_chunk(wire) == b""
        wire.send(b"")

    with Server(play) as app, connect(front(app)) as c:
        c.send(request("POST", fields=[CHUNKED]))
        assert read_head(c).status == 200
        for n in range(20):
            assert read_chunk(c) == b"%d?" % n
            c.send(chunk(b"%d!" % n))
        assert read_chunk(c) == b""
        c.send(LAST)


# --- the response ends first -------------------------------------------------

@pytest.mark.parametrize("sized", [True, False], ids=["sized", "chunked"])
def test_request_goes_on_after_the_answer(front, sized):
    """Complete answers; the app reads the request to its end, and both
    connections serve the next one."""
    got = []

    def play(wire):
        while True:
            m = read_head(wire)
            wire.send(response(body=b"early") if sized else
                      HEAD_CHUNKED + chunk(b"early") + LAST)
            got.append(read_body(wire, m).body)

    with Server(play) as app, connect(front(app)) as c:
        for n in range(1, 4):
            if sized:
                c.send(request("POST", fields=[("Content-Length", "10")])
                       + b"first")
            else:
                c.send(request("POST", fields=[CHUNKED]) + chunk(b"first"))
            r = read_response(c)
            assert r.body == b"early"
            assert r.get("connection") is None
            c.send(b"later" if sized else chunk(b"later") + LAST)
            wait_until("the app has it", lambda n=n: len(got) == n, 10)
        c.send(request())
        assert read_response(c).body == b"early"
        assert got[:3] == [b"firstlater"] * 3
        assert app.accepted == 1


def test_large_request_goes_on_after_the_answer(front):
    """Credit for what the app takes still comes when the answer has ended. The
    next request may meet it with the end of the body still to take, and then
    comes on a connection of its own."""
    size = 20 << 20
    got = []

    def play(wire):
        m = read_head(wire)
        if m.method == "PUT":
            wire.send(response(body=b"early"))
            got.append(len(wire.exactly(size)))
            m = read_head(wire)
        wire.send(response(body=b"next") if m else b"")

    with Server(play) as app, connect(front(app), 30) as c:
        c.send(request("PUT", fields=[("Content-Length", str(size))]))
        assert read_response(c).body == b"early"
        for _ in range(size >> 16):
            c.send(b"x" * 65536)
        c.send(request())
        assert read_response(c).body == b"next"
        wait_until("the app has all", lambda: got == [size], 30)


def test_next_request_passes_a_body_that_is_not_taken(pair):
    """The proxy has all of it, the application has not: the next request gets a
    connection of its own. (So who counts connections must let the application
    take the body first.)"""
    go = threading.Event()
    got = []

    def play(wire):
        m = read_head(wire)
        if m.method == "PUT":
            wire.send(response(body=b"early"))
            assert go.wait(30)
            got.append(len(wire.exactly(LARGE)))
        else:
            wire.send(response(body=b"next"))

    with Server(play, receive_buffer=65536) as app, \
            pair(app, stream_window=LARGE, stream_window_max=LARGE,
                 connection_window=2 * LARGE,
                 link_window=2 * LARGE) as p, connect(p.front, 30) as c:
        c.send(request("PUT", fields=[("Content-Length", str(LARGE))]))
        assert read_response(c).body == b"early"
        c.send(b"x" * LARGE + request())
        assert read_response(c).body == b"next"
        assert app.accepted == 2 and not got
        go.set()
        wait_until("the app has all", lambda: got == [LARGE], 30)


def test_pipelined_behind_a_late_end(front):
    """The next request waits for the end of this one, not of its answer."""
    def play(wire):
        while True:
            m = read_head(wire)
            wire.send(response(body=m.target.encode()))
            read_body(wire, m)

    with Server(play) as app, connect(front(app)) as c:
        c.send(request("POST", "/1", [("Content-Length", "4")]) + b"ab")
        assert read_response(c).body == b"/1"
        c.send(b"cd" + request(target="/2"))
        assert read_response(c).body == b"/2"


def test_client_that_stops_after_the_answer(front):
    """It has what it wanted and goes: the app sees that the request broke."""
    ended = []

    def play(wire):
        m = read_head(wire)
        wire.send(response(body=b"early"))
        with pytest.raises((Ended, ConnectionError)):
            read_body(wire, m)
        ended.append(True)

    with Server(play) as app:
        with connect(front(app)) as c:
            c.send(request("POST", fields=[("Content-Length", "10")]) + b"abc")
            assert read_response(c).body == b"early"
        wait_until("the app hears of it", lambda: ended, 10)


# --- the app wants no more ---------------------------------------------------

def upload(wire):
    """Sends until nobody takes it. A client that does not look."""
    def run():
        try:
            while True:
                wire.send(b"x" * 65536)
        except OSError:
            pass
    return Background(run)


@pytest.mark.parametrize("how", ["close", "reset", "linger", "no framing"])
def test_refusal_reaches_a_client_that_still_sends(front, how):
    body = b"too much" * 1000

    def play(wire):
        read_head(wire)
        wire.exactly(100000)
        if how == "no framing":
            wire.send(b"HTTP/1.1 413 Large\r\n\r\n" + body)
            wire.half_close()  # a reset would say that it is not complete
            wire.how_it_ends()
        else:
            wire.send(response(413, [CLOSE], body))
        if how == "reset":
            wire.reset()
        if how == "linger":
            wire.half_close()
            wire.how_it_ends()

    with Server(play) as app:
        to = front(app)
        for _ in range(2):
            with connect(to) as c:
                c.send(request("POST",
                               fields=[("Content-Length", str(1 << 40))]))
                sending = upload(c)
                r = read_response(c)
                assert r.status == 413
                assert r.body == body
                sending.get()  # it is not left hanging


def test_refusal_at_once_reaches_a_client_that_only_sends(front):
    """Everything is sent before anything is read, as simple clients do."""
    def play(wire):
        read_head(wire)
        wire.send(response(413, [CLOSE], b"no"))

    with Server(play) as app:
        to = front(app)
        for _ in range(10):
            with connect(to) as c:
                try:
                    c.send(request("POST", body=b"x" * 300000))
                except OSError:
                    pass
                r = read_response(c)
                assert (r.status, r.body) == (413, b"no")


def test_app_that_closes_after_a_complete_answer(front):
    """No more of the request arrives, the client is told by the close."""
    def play(wire):
        read_head(wire)
        wire.send(response(body=b"enough"))

    with Server(play) as app, connect(front(app)) as c:
        c.send(request("POST", fields=[CHUNKED]) + chunk(b"a"))
        assert read_response(c).body == b"enough"
        assert c.to_end() == b""


def test_answer_that_breaks_breaks(front):
    """Only complete answers are good."""
    def play(wire):
        read_head(wire)
        wire.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 100\r\n\r\nhalf")
        wire.exactly(1)
        wire.reset()

    with Server(play) as app, connect(front(app)) as c:
        c.send(request("POST", fields=[CHUNKED]))
        head = read_head(c)
        assert head.get("content-length") == "100"
        c.send(chunk(b"go on"))
        with pytest.raises((Ended, ConnectionError)):
            c.exactly(100)


# --- nobody moves ------------------------------------------------------------

def test_client_that_never_ends_its_request(front):
    """Answered, and the rest does not come: the body time-out ends it."""
    ended = []

    def play(wire):
        m = read_head(wire)
        wire.send(response(body=b"early"))
        with pytest.raises((Ended, ConnectionError)):
            read_body(wire, m)
        ended.append(True)

    with Server(play) as app, connect(front(app, body_timeout="1s")) as c:
        c.send(request("POST", fields=[("Content-Length", "10")]) + b"abc")
        assert read_response(c).body == b"early"
        assert c.how_it_ends() in ("fin", "reset")
        wait_until("the app hears of it", lambda: ended, 10)


def test_app_that_answers_and_reads_no_more(front):
    """It keeps the connection and takes nothing: the body time-out ends it."""
    go = threading.Event()

    def play(wire):
        read_head(wire)
        wire.send(response(body=b"early"))
        go.wait(30)

    with Server(play, receive_buffer=4096) as app, \
            connect(front(app, body_timeout="1s")) as c:
        c.send(request("POST", fields=[("Content-Length", str(1 << 40))]))
        sending = upload(c)
        assert read_response(c).body == b"early"
        sending.get()
        go.set()


# --- Expect ------------------------------------------------------------------

def test_expectation_that_fails_needs_no_body(front):
    """No 100 came: the client sends no body, and both know that it ends."""
    def play(wire):
        read_head(wire)
        wire.send(response(417, body=b"no"))
        wire.how_it_ends()

    with Server(play) as app, connect(front(app)) as c:
        c.send(request("POST", fields=[("Content-Length", "10"),
                                       ("Expect", "100-continue")]))
        r = read_response(c)
        assert (r.status, r.body) == (417, b"no")
        assert r.get("connection") == "close"
        assert c.to_end() == b""


def test_answer_before_the_expected_body(front):
    """100, an early answer, the body: all of it arrives."""
    got = []

    def play(wire):
        m = read_head(wire)
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        wire.send(response(body=b"early"))
        got.append(read_body(wire, m).body)
        read_request(wire)
        wire.send(response(body=b"next"))

    with Server(play) as app, connect(front(app)) as c:
        c.send(request("POST", fields=[("Content-Length", "4"),
                                       ("Expect", "100-continue")]))
        r = read_response(c)
        assert [m.status for m in r.informational] == [100]
        assert r.body == b"early"
        c.send(b"body" + request())
        assert read_response(c).body == b"next"
        assert got == [b"body"]


# --- the proxy's own answers -------------------------------------------------

def test_fault_ends_an_upload(pair):
    """Nobody is there to take it: the answer comes, then the end."""
    with App() as app, pair(app, connect_timeout="500ms") as p:
        app.close()
        with connect(p.front) as c:
            c.send(request("POST", fields=[("Content-Length", str(1 << 40))]))
            sending = upload(c)
            r = read_response(c)
            assert r.status == 503
            assert r.fault
            sending.get()
