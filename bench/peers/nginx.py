# SPDX-License-Identifier: Apache-2.0
"""nginx, from Debian: one process a side, without a master."""
import os
import pathlib
import shutil

from bench import certificates
from bench.peers.peer import TwoServers
from bench.processes import Failed

MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")

COMMON = """{load}daemon off;
master_process off;
worker_processes 1;
{user}worker_rlimit_nofile 20000;
error_log stderr warn;
pid {folder}/{side}.pid;
events {{ worker_connections 16000; multi_accept on; use epoll; }}
"""

HTTP = """access_log off;
keepalive_timeout 1h;
keepalive_requests 1000000000;
tcp_nodelay on;
proxy_http_version 1.1;
proxy_set_header Connection '';
proxy_set_header Host $host;
proxy_read_timeout 1h;
server_tokens off;
types {}
default_type text/plain;
"""

TEMPORARY = "".join(f"{kind}_temp_path {{folder}}/{{side}}-{kind};\n"
                    for kind in ("client_body", "proxy", "fastcgi", "uwsgi",
                                 "scgi"))

POOL = "keepalive 4096; keepalive_requests 1000000000; keepalive_timeout 1h;"

CLIENT_TLS = """proxy_ssl_protocols TLSv1.3;
proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
proxy_ssl_conf_command Groups X25519;
proxy_ssl_certificate {chain};
proxy_ssl_certificate_key {key};
proxy_ssl_trusted_certificate {ca};
proxy_ssl_verify on;
proxy_ssl_name {name};
proxy_ssl_server_name on;
proxy_ssl_session_reuse on;
"""

SERVER_TLS = """ssl_protocols TLSv1.3;
ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
ssl_ecdh_curve X25519;
ssl_certificate {chain};
ssl_certificate_key {key};
ssl_client_certificate {ca};
ssl_verify_client on;
ssl_session_cache shared:{cache}:4m;
ssl_session_tickets on;
"""

STREAM = "proxy_buffer_size 64k;\nproxy_timeout 1h;\ntcp_nodelay on;\n"


class Nginx(TwoServers):
    name = "nginx"
    tls = ("TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, tickets; outbound "
           "verifies chain and DNS name, inbound the chain")

    def __init__(self):
        super().__init__()
        self.program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        if not self.program:
            raise Failed("nginx is missing: apt-get install nginx-light "
                         "libnginx-mod-stream")
        if not self.opaque():
            print("nginx: without opaque bytes: apt-get install "
                  "libnginx-mod-stream", flush=True)

    def opaque(self):
        return MODULE.exists()

    def _head(self, folder, side):
        load = f"load_module {MODULE};\n" if self.opaque() else ""
        user = "user root;\n" if os.geteuid() == 0 else ""
        return COMMON.format(load=load, user=user, folder=folder, side=side)

    def _stream(self, body):
        return f"stream {{\n{STREAM}{body}}}\n" if self.opaque() else ""

    def _outbound(self, setup, ports):
        certs = setup.certificates
        tls = CLIENT_TLS.format(chain=certs.chain("client"), ca=certs.ca,
                                key=certs.key("client"),
                                name=certificates.dns("server"))
        temporary = TEMPORARY.format(folder=setup.folder, side="out")
        to, listen = "proxy_pass https", ""
        if setup.http2:
            to, listen = "grpc_pass grpcs", " http2"
        http_tls = tls.replace("proxy_", "grpc_") if setup.http2 else tls
        return (
            self._head(setup.folder, "out") +
            f"http {{\n{HTTP}{temporary}"
            f"upstream u {{ server 127.0.0.1:{ports['in_http']}; {POOL} }}\n"
            f"server {{ listen 127.0.0.1:{ports['out_http']}{listen};\n"
            f"location / {{ {to}://u;\n{http_tls} }} }} }}\n" +
            self._stream(
                f"server {{ listen 127.0.0.1:{ports['out_opaque']};\n"
                f"proxy_pass 127.0.0.1:{ports['in_opaque']};\n"
                f"proxy_ssl on;\n{tls} }}\n"))

    def _inbound(self, setup, ports):
        certs = setup.certificates

        def tls(cache):
            return SERVER_TLS.format(chain=certs.chain("server"), ca=certs.ca,
                                     key=certs.key("server"), cache=cache)

        temporary = TEMPORARY.format(folder=setup.folder, side="in")
        to, listen = "proxy_pass http", ""
        if setup.http2:
            to, listen = "grpc_pass grpc", " http2"
        return (
            self._head(setup.folder, "in") +
            f"http {{\n{HTTP}{temporary}{tls('http')}ssl_buffer_size 16k;\n"
            f"upstream u {{ server {setup.backend}; {POOL} }}\n"
            f"server {{ listen 127.0.0.1:{ports['in_http']} ssl{listen};\n"
            f"location / {{ {to}://u; }} }} }}\n" +
            self._stream(
                f"{tls('opaque')}"
                f"server {{ listen 127.0.0.1:{ports['in_opaque']} ssl;\n"
                f"proxy_pass {setup.backend}; }}\n"))

    def configure(self, setup, ports):
        texts = {"out.conf": self._outbound(setup, ports),
                 "in.conf": self._inbound(setup, ports)}
        for name, text in texts.items():
            (setup.folder / name).write_text(text)
        return [[self.program, "-p", setup.folder, "-e", "stderr", "-c",
                 setup.folder / name] for name in texts]
