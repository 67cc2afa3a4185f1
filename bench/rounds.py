# SPDX-License-Identifier: Apache-2.0
"""Runs the cases. Peers take turns inside each round, in rotating order, so
that whatever disturbs the machine disturbs all of them."""
import sys

from bench.cases import MEMORY, memory
from bench.processes import Failed
from bench.rig import OutOfTime

MEMORY_SECONDS = 15  # about what one peer's memory takes
START_SECONDS = 3


def say(text):
    print(text, file=sys.stderr, flush=True)


class Rounds:
    """`results`: one entry for each measurement; `failures`: peer -> why."""

    def __init__(self, rig, peers, cases, seconds):
        self.rig = rig
        self.peers = list(peers)
        self.cases = cases
        self.seconds = seconds
        self.results = []
        self.failures = {}

    def run(self, count, with_memory):
        for peer in list(self.peers):
            self._try(peer)
        self.rig.begin()
        try:
            if with_memory:
                for peer in [peer for peer in self.peers if peer.proxies]:
                    self._memory(peer)
            for number in range(count):
                turn = number % max(1, len(self.peers))
                order = self.peers[turn:] + self.peers[:turn]
                for peer in order if self.cases else ():
                    say(f"round {number + 1}/{count}: {peer.name}")
                    self._round(peer, number)
        except OutOfTime:
            say("time is over: reporting what there is")

    def _add(self, peer, case, number, values):
        self.results.append({"peer": peer.name, "case": case.name,
                             "round": number, **values})

    def _fail(self, peer, why):
        say(f"{peer.name}: {why}")
        self.failures.setdefault(peer.name, []).append(str(why))

    def _drop(self, peer, why):
        self._fail(peer, why)
        self.peers = [other for other in self.peers if other is not peer]

    def _try(self, peer):
        """Starts it once: a first start may take long, because it builds."""
        try:
            self.rig.start(peer).stop()
        except Failed as problem:
            self._drop(peer, problem)

    def _memory(self, peer):
        self.rig.need(MEMORY_SECONDS)
        say(f"memory: {peer.name}")
        try:
            self._add(peer, MEMORY, 0, memory(self.rig, peer))
        except Failed as problem:
            self._drop(peer, problem)

    def _round(self, peer, number):
        for speaks2 in (False, True):
            cases = [case for case in self.cases if case.http2 == speaks2]
            if cases and peer in self.peers:
                self._cases(peer, number, cases, speaks2)

    def _cases(self, peer, number, cases, speaks2):
        pair = None
        try:
            for case in cases:
                self.rig.need(self.seconds + START_SECONDS)
                try:
                    pair = pair or self.rig.start(peer, speaks2)
                except Failed as problem:
                    self._drop(peer, problem)
                    return
                try:
                    values = case.run(self.rig, pair, self.seconds)
                    pair.check()
                    if values:
                        self._add(peer, case, number, values)
                except Failed as problem:
                    self._fail(peer, f"{case.name}: {problem}")
                    pair.stop()
                    pair = None
        finally:
            if pair:
                pair.stop()
