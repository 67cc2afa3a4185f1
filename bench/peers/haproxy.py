# SPDX-License-Identifier: Apache-2.0
"""HAProxy, from Debian: one thread a side."""
import shutil

from bench import certificates
from bench.peers.peer import TwoServers
from bench.processes import Failed

COMMON = """global
 nbthread 1
 maxconn 8000
 ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
 ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
 ssl-default-bind-curves X25519
 ssl-default-bind-options ssl-min-ver TLSv1.3
 ssl-default-server-options ssl-min-ver TLSv1.3
defaults
 timeout connect 5s
 timeout client 1h
 timeout server 1h
 timeout http-keep-alive 1h
 http-reuse always
 option http-keep-alive
"""

OUTBOUND = """listen http
 mode http
 bind 127.0.0.1:{out_http} {proto}
 server s 127.0.0.1:{in_http} pool-max-conn -1 {tls} {alpn}
listen opaque
 mode tcp
 bind 127.0.0.1:{out_opaque}
 server s 127.0.0.1:{in_opaque} {tls}
"""

INBOUND = """listen http
 mode http
 bind 127.0.0.1:{in_http} {tls} {alpn}
 server s {backend} pool-max-conn -1 {proto}
listen opaque
 mode tcp
 bind 127.0.0.1:{in_opaque} {tls}
 server s {backend}
"""


class Haproxy(TwoServers):
    name = "haproxy"
    tls = ("TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, tickets; outbound "
           "verifies chain and DNS name, inbound the chain")

    def __init__(self):
        super().__init__()
        self.program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
        if not self.program:
            raise Failed("haproxy is missing: apt-get install haproxy")

    def configure(self, setup, ports):
        certs = setup.certificates
        outbound = (f"ssl verify required ca-file {certs.ca} crt "
                    f"{certs.both('client')} "
                    f"sni str({certificates.dns('server')})")
        inbound = (f"ssl crt {certs.both('server')} ca-file {certs.ca} "
                   "verify required")
        speaks = ({"proto": "proto h2", "alpn": "alpn h2"} if setup.http2
                  else {"proto": "", "alpn": "alpn http/1.1"})
        texts = {
            "out.cfg": OUTBOUND.format(tls=outbound, **speaks, **ports),
            "in.cfg": INBOUND.format(tls=inbound, backend=setup.backend,
                                     **speaks, **ports)}
        for name, text in texts.items():
            (setup.folder / name).write_text(COMMON + text)
        return [[self.program, "-db", "-f", setup.folder / name]
                for name in texts]
