# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 application without TLS (prior knowledge), of the package `h2`: it
keeps the rules, and does badly only what it is told to.

    with H2App() as app: ...                    # 200 "ok\\n" to everything
    with H2App(lambda r: Answer(body=r.body)):  # an echo
    Answer(after=1)                 # slowly
    Answer(reset=CANCEL)            # RST_STREAM instead of an answer
    Answer(goaway=True)             # GOAWAY before it; no streams after it
"""
import struct
import time
from dataclasses import dataclass, field, replace

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from peers.h2 import GOAWAY, frame
from peers.server import Server

IDLE = 60  # seconds that a connection may rest


@dataclass
class Answer:
    """`after`: seconds from the end of the request."""
    status: int = 200
    fields: tuple = ()
    body: bytes = b"ok\n"
    trailers: tuple = ()
    after: float = 0
    reset: int = None
    goaway: bool = False


@dataclass
class Request:
    """As it came; `connection` numbers the connections from 1."""
    stream: int
    connection: int
    fields: list
    body: bytes = b""
    trailers: list = field(default_factory=list)

    def all(self, name):
        return [v for k, v in self.fields if k == name]

    def get(self, name):
        """The one value of a field, or None; twice is wrong."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} twice: {values}"
        return values[0] if values else None

    @property
    def method(self):
        return self.get(":method")

    @property
    def target(self):
        return self.get(":path")


class H2App(Server):
    """`answer(request)` gives an Answer, once the request is whole. Remembers
    `requests` (whole ones), `opened` (how many began), `resets` (codes of
    streams that the client ended) and `sent` (bytes of bodies). `settings`:
    {code: value} of its own."""

    def __init__(self, answer=lambda _: Answer(), settings=None, **options):
        self.answer, self.settings = answer, settings or {}
        self.requests, self.resets, self.opened, self.sent = [], [], 0, 0
        super().__init__(lambda wire: _Connection(self, wire).run(), **options)


class _Connection:
    def __init__(self, app, wire):
        self.app, self.wire, self.number = app, wire, app.accepted
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="latin-1"))
        self.coming, self.due, self.sending = {}, [], {}
        self.last = None  # the last stream that a GOAWAY has let in

    def run(self):
        # Not update(): that would hold only once the client agrees.
        self.h2.local_settings = h2.settings.Settings(
            client=False, initial_values={**self.h2.local_settings,
                                          **self.app.settings})
        self.h2.initiate_connection()
        self._flush()
        while not self._over():
            self.wire.sock.settimeout(self._patience())
            try:
                data = self.wire.sock.recv(65536)
            except TimeoutError:
                data = None
            if data == b"" or data is None and not self.due:
                return
            if data:
                self._take(data)
            self._answer_due()
            self._go_on()
            self._flush()

    def _over(self):
        return self.last is not None and \
            not (self.coming or self.due or self.sending)

    def _patience(self):
        if not self.due:
            return IDLE
        return max(min(d[0] for d in self.due) - time.monotonic(), 0.001)

    def _flush(self):
        self.wire.sock.settimeout(IDLE)
        self.wire.send(self.h2.data_to_send())

    # --- requests ------------------------------------------------------------

    def _take(self, data):
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as e:
            self._flush()  # its GOAWAY
            raise AssertionError(f"the client broke the rules: {e!r}") from e
        for event in events:
            self._note(event)

    def _note(self, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.ConnectionTerminated):
            return  # it ends the connection when it has its answers
        if isinstance(event, h2.events.RequestReceived):
            if self.last is None or stream <= self.last:
                self.app.opened += 1
                self.coming[stream] = Request(stream, self.number,
                                              list(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length,
                                              stream)
            if stream in self.coming:
                self.coming[stream].body += event.data
        elif isinstance(event, h2.events.TrailersReceived):
            if stream in self.coming:
                self.coming[stream].trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamReset):
            self.app.resets.append(event.error_code)
            self.coming.pop(stream, None)
            self.sending.pop(stream, None)
            self.due = [d for d in self.due if d[1] != stream]
        elif isinstance(event, h2.events.StreamEnded):
            if stream in self.coming:
                request = self.coming.pop(stream)
                self.app.requests.append(request)
                answer = self.app.answer(request)
                if request.method == "HEAD":
                    answer = replace(answer, body=b"", trailers=())
                self.due.append((time.monotonic() + answer.after, stream,
                                 answer))

    # --- answers -------------------------------------------------------------

    def _answer_due(self):
        now = time.monotonic()
        ready = [d for d in self.due if d[0] <= now]
        self.due = [d for d in self.due if d[0] > now]
        for _, stream, answer in ready:
            self._answer(stream, answer)

    def _answer(self, stream, answer):
        if answer.goaway:  # by hand: h2's own ends its connection
            self._flush()
            self.last = max([stream, *self.coming, *self.sending,
                             *(d[1] for d in self.due)])
            self.wire.send(frame(GOAWAY, 0, 0,
                                 struct.pack("!II", self.last, 0)))
        if answer.reset is not None:
            self.h2.reset_stream(stream, answer.reset)
            return
        bare = not answer.body and not answer.trailers
        self.h2.send_headers(stream, [(":status", str(answer.status)),
                                      *answer.fields], end_stream=bare)
        if not bare:
            self.sending[stream] = (memoryview(answer.body), answer)

    def _go_on(self):
        """As far as the windows allow."""
        for stream in list(self.sending):
            rest, answer = self.sending[stream]
            while rest:
                n = min(self.h2.local_flow_control_window(stream),
                        self.h2.max_outbound_frame_size, len(rest))
                if n <= 0:
                    break
                last = n == len(rest) and not answer.trailers
                self.h2.send_data(stream, rest[:n].tobytes(), end_stream=last)
                rest = rest[n:]
                self.app.sent += n
                self._flush()
            if rest:
                self.sending[stream] = (rest, answer)
                continue
            del self.sending[stream]
            if answer.trailers:
                self.h2.send_headers(stream, answer.trailers, end_stream=True)
