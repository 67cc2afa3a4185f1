# SPDX-License-Identifier: Apache-2.0
"""What the operator of a proxy sees: counters and sentences in the log."""
from programs import wait_until


class Watch:
    """From now on. `sentence`: the message in the log."""

    def __init__(self, proxy, direction, sentence,
                 family="proxy_tls_handshakes_total"):
        self.proxy, self.direction, self.family = proxy, direction, family
        self.sentence = f'"{sentence}"'
        self.before = self._counts()
        self.read = len(self._lines())

    def _lines(self):
        return [line for line in self.proxy.program.output().splitlines()
                if self.sentence in line]

    def _counts(self):
        return {labels["result"]: value for labels, value
                in self.proxy.metrics()[self.family]
                if labels.get("direction", self.direction) == self.direction}

    def news(self):
        """({result: how many more}, new sentences)"""
        return ({result: value - self.before[result]
                 for result, value in self._counts().items()},
                self._lines()[self.read:])

    def refused(self, reason):
        """One handshake failed, or several for the same reason: one of
        "one|another", or None where the sentence has none."""
        def is_told():
            counts, lines = self.news()
            return counts["failed"] and lines
        wait_until("the refusal is counted and told", is_told, 10)
        counts, lines = self.news()
        assert counts["ok"] == 0
        assert not reason or all(
            line.rpartition('reason="')[2].rstrip('"') in reason.split("|")
            for line in lines), lines

    def let_in(self):
        wait_until("the handshake is counted",
                   lambda: self.news()[0]["ok"], 10)
        counts, lines = self.news()
        assert (counts["failed"], lines) == (0, [])

    def plaintext_refused(self):
        wait_until("the refusal is counted and told",
                   lambda: self.news()[0]["refused"] and self.news()[1], 10)
        assert self.news()[0]["accepted"] == 0
