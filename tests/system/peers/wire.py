# SPDX-License-Identifier: Apache-2.0
"""One TCP connection of a test. Every wait has a deadline."""
import select
import socket
import struct
import time

SECONDS = 10  # longer than anything takes that works, under sanitizers too


class Ended(Exception):
    """The peer ended its side: what was waited for did not come."""


def address(text):
    """("10.0.0.1", 80) of "10.0.0.1:80", ("fd00::1", 80) of "[fd00::1]:80"."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class Wire:
    """Reads through `self.kept`: bytes that came and were not asked for."""

    def __init__(self, sock, seconds=SECONDS):
        self.sock, self.seconds, self.kept = sock, seconds, b""
        sock.settimeout(seconds)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- writing -------------------------------------------------------------

    def send(self, data):
        self.sock.sendall(data)

    def send_slowly(self, data, size=1, pause=0.002):
        """In pieces that arrive apart. The pause is the behaviour played."""
        for at in range(0, len(data), size):
            self.send(data[at:at + size])
            time.sleep(pause)  # allow sleep: slowness is what is played

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.sock.close()

    # --- reading -------------------------------------------------------------

    def _more(self, wanted=1):
        """At least so many bytes more."""
        parts = [self.kept]
        try:
            while wanted > 0 and (data := self.sock.recv(65536)):
                parts.append(data)
                wanted -= len(data)
        finally:
            self.kept = b"".join(parts)
        if wanted > 0:
            raise Ended(f"the connection ended after {self.kept[-200:]!r}")

    def some(self):
        """At least one byte."""
        if not self.kept:
            self._more()
        data, self.kept = self.kept, b""
        return data

    def exactly(self, n):
        if len(self.kept) < n:
            self._more(n - len(self.kept))
        data, self.kept = self.kept[:n], self.kept[n:]
        return data

    def until(self, mark):
        """Up to and with `mark`."""
        at = self.kept.find(mark)
        while at < 0:
            seen = max(len(self.kept) - len(mark), 0)
            self._more()
            at = self.kept.find(mark, seen)
        end = at + len(mark)
        data, self.kept = self.kept[:end], self.kept[end:]
        return data

    def to_end(self):
        """All that comes until the peer's FIN."""
        parts = [self.kept]
        self.kept = b""
        while True:
            data = self.sock.recv(65536)
            if not data:
                return b"".join(parts)
            parts.append(data)

    def how_it_ends(self):
        """"fin" or "reset"; reads what comes before."""
        try:
            self.to_end()
            return "fin"
        except ConnectionError:
            return "reset"

    def is_quiet(self, seconds):
        """Nothing, not even an end, comes for so long."""
        if self.kept:
            return False
        poll = select.poll()  # many tests later numbers are beyond select()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(seconds * 1000)


def connect(to, seconds=SECONDS, receive_buffer=None):
    """`to`: "host:port"."""
    s = socket.socket(family_of(address(to)[0]))
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.settimeout(seconds)
    try:
        s.connect(address(to))
    except OSError:
        s.close()
        raise
    return Wire(s, seconds)
