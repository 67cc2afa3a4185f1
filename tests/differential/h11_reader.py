# SPDX-License-Identifier: Apache-2.0
"""Says how h11 reads the bytes of connections: see the README beside this
file."""
import json
import sys

import h11

METHODS = {"g": b"GET", "h": b"HEAD", "c": b"CONNECT"}
LIMIT = 1 << 20
UPGRADE = [(b"Host", b"test"), (b"Connection", b"upgrade"),
           (b"Upgrade", b"websocket")]


def pairs(fields):
    return [(n.decode("latin-1"), v.decode("latin-1"))
            for n, v in fields.raw_items()]


class Reading:
    def __init__(self):
        self.messages, self.stopped, self.why = [], False, ""

    def begin(self, start, event, end="partial"):
        self.messages.append({"start": start, "fields": pairs(event.headers),
                              "body": "", "end": end})

    def event(self, event):
        """Gives true when the message is complete."""
        if isinstance(event, h11.Request):
            self.begin([event.method.decode("latin-1"),
                        event.target.decode("latin-1")], event)
        elif isinstance(event, h11.InformationalResponse):
            self.begin([event.status_code], event, "complete")
        elif isinstance(event, h11.Response):
            self.begin([event.status_code], event)
        elif isinstance(event, h11.Data):
            self.messages[-1]["body"] += bytes(event.data).decode("latin-1")
        elif isinstance(event, h11.EndOfMessage):
            self.messages[-1]["end"] = "complete"
            self.messages[-1]["trailers"] = pairs(event.headers)
            return True
        return False

    def refuse(self, error):
        self.why = str(error)
        if self.messages and self.messages[-1]["end"] == "partial":
            self.messages[-1]["end"] = "refused"


def goes_on(connection):
    """Answers a request; false when no other can come."""
    try:
        connection.send(h11.Response(status_code=200,
                                     headers=[(b"Content-Length", b"0")]))
        connection.send(h11.EndOfMessage())
        connection.start_next_cycle()
    except h11.LocalProtocolError:
        return False
    return True


def read_events(reading, connection, server):
    """Until more bytes are needed, or there is nothing more to read."""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            return
        done = reading.event(event)
        if event is h11.PAUSED:  # a tunnel: its message has no body
            reading.messages[-1]["end"] = "complete"
        if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed) or (
                done and not (server and goes_on(connection))):
            reading.stopped = True
            return


def read(kind, data):
    server = kind == "q"
    connection = h11.Connection(h11.SERVER if server else h11.CLIENT,
                                max_incomplete_event_size=LIMIT)
    reading = Reading()
    if not server:
        connection.send(h11.Request(method=METHODS[kind], target=b"/",
                                    headers=UPGRADE))
        connection.send(h11.EndOfMessage())
    try:
        if data:
            connection.receive_data(data)
        read_events(reading, connection, server)
        waits = reading.messages and reading.messages[-1]["end"] == "partial"
        if waits and not server and not reading.stopped:
            connection.receive_data(b"")  # may end a body
            read_events(reading, connection, server)
    except h11.RemoteProtocolError as e:
        if "peer closed connection" not in str(e):  # too early: no refusal
            reading.refuse(e)
    return {"messages": reading.messages, "stopped": reading.stopped,
            "why": reading.why}


def main():
    source = sys.stdin.buffer
    while head := source.read(5):
        data = source.read(int.from_bytes(head[1:], "big"))
        print(json.dumps(read(chr(head[0]), data)))


if __name__ == "__main__":
    main()
