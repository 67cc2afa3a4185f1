# SPDX-License-Identifier: Apache-2.0
"""Polite clients that go on while something happens, and keep account."""
import threading
import time

from peers.h2 import Plain, fields
from peers.http1 import ask, read_response, request
from peers.wire import Ended, connect


class Traffic:
    """As a context: `clients` threads ask `to` all the time. `keep`: on kept
    connections; else each request has its own. When the context ends without
    an exception there must have been no failure but those `forgiven`: "502
    upstream-reset"."""

    def __init__(self, to, clients=2, keep=True, pause=0.005, forgiven=None):
        self.to, self.keep, self.pause = to, keep, pause
        self.forgiven = forgiven
        self.done, self.failures, self.slowest = 0, [], 0.0
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True)
                         for _ in range(clients)]

    def __enter__(self):
        for t in self._threads:
            t.start()
        self.wait(5 * len(self._threads))
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        for t in self._threads:
            t.join(30)
        if kind is None:
            assert not self.failures, \
                f"{len(self.failures)} of {self.done} failed: " \
                f"{self.failures[:5]}"
            assert self.done

    def _run(self):
        wire = None
        while not self._stop.is_set():
            start = time.monotonic()
            try:
                wire = self._once(wire)
            except (OSError, Ended, AssertionError) as e:
                wire = None
                self._note(start, repr(e))
            else:
                self._note(start)
            self._stop.wait(self.pause)  # its rate
        if wire:
            wire.close()

    def _once(self, wire):
        if not self.keep:
            self._judge(ask(self.to))
            return None
        wire = wire or connect(self.to)
        wire.send(request())
        answer = read_response(wire)
        self._judge(answer)
        if "close" in (answer.get("connection") or ""):
            wire.close()
            return None
        return wire

    @staticmethod
    def _judge(answer):
        assert answer.status == 200, f"{answer.status} {answer.fault}"

    def _note(self, start, failure=None):
        with self._lock:
            self.done += 1
            self.slowest = max(self.slowest, time.monotonic() - start)
            forgiven = self.forgiven and self.forgiven in (failure or "")
            if failure and not forgiven:
                self.failures.append(failure)

    def wait(self, more, seconds=30):
        """Until so many more requests are done."""
        goal, end = self.done + more, time.monotonic() + seconds
        while self.done < goal:
            assert time.monotonic() < end, \
                f"{self.done} of {goal} requests after {seconds} s"
            assert not self.failures, self.failures[:5]
            time.sleep(0.01)  # allow sleep: the pace of asking

    def go_on(self, seconds):
        """So long, without a failure."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert not self.failures, self.failures[:5]
            self.wait(1)


class Traffic2(Traffic):
    """The same in HTTP/2, a connection for each request."""

    def __init__(self, to, target="/", **options):
        self.target = target
        super().__init__(to, keep=False, **options)

    def _once(self, _):
        with Plain(self.to) as wire:
            wire.begin().send(wire.head(1, fields(path=self.target)))
            status = wire.answer(1)[0]
            assert status == 200, status
