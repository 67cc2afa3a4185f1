# SPDX-License-Identifier: Apache-2.0
"""A polite HTTP/2 client without TLS, of the package `h2`.

    with H2Client(address) as client:
        r = client.ask(path="/x")
        stream = client.begin("POST"); client.send(stream, b"..", end=True)
        client.answer(stream)
"""
import h2.config
import h2.connection
import h2.events
import h2.settings

from peers.wire import Ended, connect


class Response:
    """`reset`: the code of RST_STREAM, else None."""

    def __init__(self):
        self.fields, self.body, self.trailers = [], b"", []
        self.hints, self.ended, self.reset = [], False, None

    @property
    def status(self):
        return int(self.get(":status"))

    def get(self, name):
        values = [v for k, v in self.fields if k == name]
        assert len(values) <= 1, f"{name} twice: {values}"
        return values[0] if values else None

    @property
    def fault(self):
        return self.get("tulle-fault")


class Connection(h2.connection.H2Connection):
    """h2's takes GOAWAY for the end, though what runs may go on."""

    def _receive_goaway_frame(self, frame):
        if frame.error_code:
            return super()._receive_goaway_frame(frame)
        event = h2.events.ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]


class H2Client:
    def __init__(self, to):
        """`to`: an address, or a Wire."""
        self.wire = connect(to) if isinstance(to, str) else to
        self.conn = Connection(h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.responses, self.goaway = {}, None
        self.conn.initiate_connection()
        self._flush()
        while not self._settled():
            self._turn()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

    def _settled(self):
        return h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL in \
            self.conn.remote_settings

    def _flush(self):
        self.wire.send(self.conn.data_to_send())

    def _turn(self):
        data = self.wire.some()
        if not data:
            raise Ended("the connection ended")
        for event in self.conn.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event):
        kind = type(event)
        if kind is h2.events.ConnectionTerminated:
            self.goaway = event.error_code
            return
        r = self.responses.get(getattr(event, "stream_id", None))
        if r is None:
            return
        if kind is h2.events.InformationalResponseReceived:
            r.hints.append(event.headers)
        elif kind is h2.events.ResponseReceived:
            r.fields = event.headers
        elif kind is h2.events.TrailersReceived:
            r.trailers = event.headers
        elif kind is h2.events.DataReceived:
            r.body += event.data
            self.conn.acknowledge_received_data(event.flow_controlled_length,
                                                event.stream_id)
        elif kind is h2.events.StreamEnded:
            r.ended = True
        elif kind is h2.events.StreamReset:
            r.reset = event.error_code

    def begin(self, method="GET", path="/", fields=(), end=False,
              pseudo=()):
        return self.begin_with([
            (":method", method), *pseudo, (":scheme", "http"), (":path", path),
            (":authority", "test"), *fields], end)

    def begin_with(self, listed, end=False):
        stream = self.conn.get_next_available_stream_id()
        self.responses[stream] = Response()
        self.conn.send_headers(stream, listed, end_stream=end)
        self._flush()
        return stream

    def send(self, stream, data=b"", end=False):
        while data and self.responses[stream].reset is None:
            room = min(self.conn.local_flow_control_window(stream),
                       self.conn.max_outbound_frame_size)
            if room:
                self.conn.send_data(stream, data[:room])
                data = data[room:]
                self._flush()
            else:
                self._turn()
        if end:
            self.conn.end_stream(stream)
            self._flush()

    def trail(self, stream, fields):
        self.conn.send_headers(stream, fields, end_stream=True)
        self._flush()

    def reset(self, stream, code=8):
        self.conn.reset_stream(stream, code)
        self._flush()

    def until(self, wanted):
        while not wanted():
            self._turn()

    def answer(self, stream):
        r = self.responses[stream]
        self.until(lambda: r.ended or r.reset is not None)
        return r

    def ask(self, method="GET", path="/", fields=(), body=b""):
        stream = self.begin(method, path, fields, end=not body)
        if body:
            self.send(stream, body, end=True)
        return self.answer(stream)
