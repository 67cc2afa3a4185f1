# SPDX-License-Identifier: Apache-2.0
"""What can be measured: each peer puts a pair of proxies before a backend."""
from bench.peers.direct import Direct
from bench.peers.envoy import Envoy, EnvoyHttp2
from bench.peers.haproxy import Haproxy
from bench.peers.nginx import Nginx
from bench.peers.tulle import Tulle

PEERS = {peer.name: peer
         for peer in (Tulle, Haproxy, Nginx, Envoy, EnvoyHttp2, Direct)}
