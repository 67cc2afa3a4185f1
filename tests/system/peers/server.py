# SPDX-License-Identifier: Apache-2.0
"""A server that runs a script for each connection, in a thread."""
import socket
import threading

from peers.wire import Ended, Wire, family_of
from programs import free_ports


class Server:
    """`script(wire)` plays one connection; when it returns the connection is
    closed. What it asserts wrongly fails the test, at close()."""

    def __init__(self, script, host="127.0.0.1", port=None,
                 receive_buffer=None):
        self.script, self.accepted, self.wrong = script, 0, []
        self._changed = threading.Condition()
        self._threads, self._wires = [], set()
        self.port = port or free_ports([host])[0]
        self._listener = socket.socket(family_of(host))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:  # inherited by what is accepted
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                      receive_buffer)
        self._listener.bind((host, self.port))
        self._listener.listen(512)
        self.address = f"[{host}]:{self.port}" if ":" in host \
            else f"{host}:{self.port}"
        self._start(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()
        if kind is None:
            self.check()

    def _start(self, run, *args):
        t = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(t)
        t.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # closed
            wire = Wire(sock)
            with self._changed:
                self.accepted += 1
                self._wires.add(wire)
                self._changed.notify_all()
            self._start(self._play, wire)

    def _play(self, wire):
        try:
            self.script(wire)
        except (Ended, OSError):
            pass  # the other end is gone, or we are closing
        except Exception as e:  # pylint: disable=broad-except
            self.wrong.append(e)
        finally:
            with self._changed:
                self._wires.discard(wire)
                self._changed.notify_all()
            wire.close()

    def _wait(self, what, condition, seconds):
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise AssertionError(
                    f"{what}: not within {seconds} s ({self.accepted} "
                    f"accepted, {len(self._wires)} open)")

    def wait_accepted(self, count, seconds=10):
        self._wait(f"{count} connections", lambda: self.accepted >= count,
                   seconds)

    def wait_open(self, count, seconds=10):
        """Until exactly `count` scripts are under way."""
        self._wait(f"{count} open connections",
                   lambda: len(self._wires) == count, seconds)

    def stop_listening(self):
        # shutdown wakes the thread in accept(); close alone would not.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def close(self):
        self.stop_listening()
        with self._changed:
            wires = list(self._wires)
        for wire in wires:
            try:
                wire.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for t in self._threads:
            t.join(5)

    def check(self):
        if self.wrong:
            raise self.wrong[0]


def shout(wire):
    """A protocol of our own: lines come back in capitals."""
    while True:
        wire.send(wire.until(b"\n").upper())
