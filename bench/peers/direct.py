# SPDX-License-Identifier: Apache-2.0
"""No proxy at all: what the load tools and the backend can do."""
from bench.peers.peer import Pair, Peer


class Direct(Peer):
    name = "direct"
    tls = "no proxy, no TLS"
    proxies = False

    def start(self, setup):
        return Pair(http=setup.backend, opaque=setup.backend, outbound=[],
                    inbound=[], processes=[])
