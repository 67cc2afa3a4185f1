# SPDX-License-Identifier: Apache-2.0
"""A TCP relay that writes down what passes, and a reader of TLS records."""
import socket
import struct
import threading

KEPT_MAX = 4 << 20  # bytes of each direction of a connection
HANDSHAKE, APPLICATION_DATA = 22, 23


class Recorder:
    """Listens on `listen`, relays to `target`: both (address, port)."""

    def __init__(self, listen, target):
        self.target = target
        self.connections = []  # [(towards target, back)], bytearrays
        self._sockets, self._lock = [], threading.Lock()
        self._listener = socket.create_server(listen)
        self._thread(self._accept)

    def _thread(self, run, *args):
        threading.Thread(target=run, args=args, daemon=True).start()

    def _accept(self):
        while True:
            try:
                down, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                up = socket.create_connection(self.target, timeout=5)
            except OSError:
                down.close()
                continue
            up.settimeout(None)
            kept = (bytearray(), bytearray())
            with self._lock:
                self.connections.append(kept)
                self._sockets += [down, up]
            self._thread(self._pump, down, up, kept[0])
            self._thread(self._pump, up, down, kept[1])

    @staticmethod
    def _pump(source, sink, kept):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                kept += data[:max(KEPT_MAX - len(kept), 0)]
                sink.sendall(data)
        except OSError:
            for s in (source, sink):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def recorded(self):
        with self._lock:
            return [(bytes(up), bytes(down)) for up, down in self.connections]

    def close(self):
        # shutdown wakes the thread in accept(); close alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for s in self._sockets:
                s.close()


def tls_records(data):
    """[type, ...] of the whole records in `data`; the last one may be cut.
    ValueError where the bytes are not TLS."""
    types, at = [], 0
    while at + 5 <= len(data):
        kind, version, length = struct.unpack_from("!BHH", data, at)
        if not 20 <= kind <= 23 or version not in (0x0301, 0x0303) \
                or not 0 < length <= 16384 + 256:
            raise ValueError(f"byte {at} begins no TLS record: "
                             f"{bytes(data[at:at + 16])!r}")
        types.append(kind)
        at += 5 + length
    return types


def is_only_tls(up, down, words):
    """Why a recorded connection is not TLS with data both ways, or None.
    `words` are what must not be readable in it."""
    for way, data in (("towards the server", up), ("back", down)):
        for word in words:
            if word in data:
                return f"readable {way}: {word!r}"
        try:
            types = tls_records(data)
        except ValueError as e:
            return f"{way}: {e}"
        if not types or types[0] != HANDSHAKE:
            return f"{way}: does not begin with a handshake"
        if APPLICATION_DATA not in types:
            return f"{way}: carries no data"
    return None
