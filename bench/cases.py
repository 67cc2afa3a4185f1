# SPDX-License-Identifier: Apache-2.0
"""What is measured. A case loads a running pair and gives its values, or None
if the pair cannot carry such load. Each metric is a row of the table."""
import dataclasses
import time
import typing

from bench import http2, usage

RAMP = 0.3         # seconds a bulk stream runs before requests join it
BESIDE_RATE = 200  # requests a second beside the bulk stream
FIRST_IDLE = 200   # idle clients that pay what is paid once
MORE_IDLE = 1000   # idle clients that are counted
REST = 1.0         # seconds before resident memory is read


@dataclasses.dataclass(frozen=True)
class Metric:
    key: str
    label: str


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    title: str
    metrics: tuple
    run: typing.Callable   # (rig, pair, seconds) -> values or None
    quick: bool = True     # part of a quick run
    http2: bool = False    # needs a pair that speaks HTTP/2 all the way


def _cpu(values, count, unit):
    """CPU of each side for each of `count` things, in 1/unit seconds."""
    for side in ("outbound", "inbound", "backend", "load"):
        spent = values["cpu"][side]
        if count and spent:
            values[f"cpu_{side}"] = spent * unit / count
    return values


def _requests(**options):
    def run(rig, pair, seconds):
        if not options.get("rate"):
            rig.warm("requests", pair.http, **options)
        with rig.tool("requests", pair.http, seconds=seconds,
                      **options) as tool:
            values = rig.measure(pair, tool)
        return _cpu(values, values["done"], 1e6)
    return run


def _http2(**options):
    def run(rig, pair, seconds):
        with http2.H2load(pair.http, rig.log, seconds=seconds,
                          **options) as tool:
            values = rig.measure(pair, tool)
        return _cpu(values, values["done"], 1e6)
    return run


def _bulk(**options):
    def run(rig, pair, seconds):
        if not pair.opaque:
            return None
        with rig.tool("bulk", pair.opaque, seconds=seconds, **options) as tool:
            values = rig.measure(pair, tool)
        return _cpu(values, values["gbytes"], 1)
    return run


def _connections(opaque):
    def run(rig, pair, seconds):
        address = pair.opaque if opaque else pair.http
        if not address:
            return None
        rig.warm("connections", address, opaque=opaque)
        with rig.tool("connections", address, seconds=seconds,
                      opaque=opaque) as tool:
            values = rig.measure(pair, tool)
        return _cpu(values, values["done"], 1e6)
    return run


def _beside_bulk(rig, pair, seconds):
    if not pair.opaque:
        return None
    usage.settle(rig.quiet)
    with rig.tool("bulk", pair.opaque, seconds=seconds + 30) as bulk:
        bulk.go()
        time.sleep(RAMP)
        with rig.tool("requests", pair.http, seconds=seconds, connections=8,
                      rate=BESIDE_RATE) as tool:
            values = rig.measure(pair, tool, [bulk.pid], settle=False)
        moved = bulk.finish()
    values["p50_ms"] = values["p50_us"] / 1e3
    values["p99_ms"] = values["p99_us"] / 1e3
    values["gbytes_per_second"] = moved["gbytes_per_second"]
    values["errors"] += moved["errors"]
    return values


CPU_REQUEST = (Metric("cpu_outbound", "CPU µs/request, outbound"),
               Metric("cpu_inbound", "CPU µs/request, inbound"))
CPU_GBYTE = (Metric("cpu_outbound", "CPU s/GB, outbound"),
             Metric("cpu_inbound", "CPU s/GB, inbound"))
CPU_CONNECTION = (Metric("cpu_outbound", "CPU µs/connection, outbound"),
                  Metric("cpu_inbound", "CPU µs/connection, inbound"))
PER_SECOND = Metric("per_second", "per second")
GBYTES = Metric("gbytes_per_second", "GB/s")
LATENCY = (Metric("p50_us", "p50 µs"), Metric("p99_us", "p99 µs"))

CASES = (
    Case("h1-64", "HTTP/1.1, 64 connections",
         (*CPU_REQUEST, PER_SECOND, *LATENCY), _requests(connections=64)),
    Case("h1-1", "HTTP/1.1, 1 connection",
         (*CPU_REQUEST, PER_SECOND, *LATENCY), _requests(connections=1)),
    Case("h1-head", "HTTP/1.1, 64 connections, 1 KB of request fields",
         (*CPU_REQUEST, PER_SECOND), _requests(connections=64, head=1024),
         quick=False),
    Case("latency-1k", "HTTP/1.1, 1,000 requests/s over 64 connections",
         (*LATENCY, *CPU_REQUEST), _requests(connections=64, rate=1000)),
    Case("latency-4k", "HTTP/1.1, 4,000 requests/s over 64 connections",
         (*LATENCY, *CPU_REQUEST), _requests(connections=64, rate=4000),
         quick=False),
    Case("h2-64", "HTTP/2 all the way, 4 connections of 16 streams",
         (*CPU_REQUEST, PER_SECOND), _http2(connections=4, streams=16),
         http2=True),
    Case("tcp-down", "TCP, one stream, to the client", (GBYTES, *CPU_GBYTE),
         _bulk()),
    Case("tcp-up", "TCP, one stream, from the client", (GBYTES, *CPU_GBYTE),
         _bulk(up=True), quick=False),
    Case("new-tcp", "New opaque TCP connections",
         (PER_SECOND, *CPU_CONNECTION), _connections(True)),
    Case("new-http", "New HTTP/1.1 connections, one request each",
         (PER_SECOND, *CPU_CONNECTION), _connections(False)),
    Case("beside-bulk", "200 small requests/s beside a saturating TCP stream",
         (Metric("p50_ms", "p50 ms"), Metric("p99_ms", "p99 ms"), GBYTES),
         _beside_bulk),
)

MEMORY = Case(
    "memory", "Resident memory (RSS)",
    (Metric("start_outbound", "idle after start, MB, outbound"),
     Metric("start_inbound", "idle after start, MB, inbound"),
     Metric("http_outbound", "KB per idle HTTP/1.1 client, outbound"),
     Metric("http_inbound", "KB per idle HTTP/1.1 client, inbound"),
     Metric("opaque_outbound", "KB per idle TCP stream, outbound"),
     Metric("opaque_inbound", "KB per idle TCP stream, inbound")),
    None)

SIDES = ("outbound", "inbound")


def _resident(pair):
    time.sleep(REST)
    pair.check()
    return {side: usage.resident(getattr(pair, side)) for side in SIDES}


def _per_idle(rig, pair, kind):
    """KB for each idle client beyond the first ones."""
    options = {"opaque": kind == "opaque"}
    address = getattr(pair, kind)
    with rig.tool("idle", address, connections=FIRST_IDLE, **options):
        before = _resident(pair)
        with rig.tool("idle", address, connections=MORE_IDLE, **options):
            after = _resident(pair)
    return {f"{kind}_{side}": (after[side] - before[side]) / MORE_IDLE / 1024
            for side in SIDES}


def memory(rig, peer):
    """Starts pairs of its own: what earlier load left would count, too."""
    values = {}
    for kind in ("http", "opaque"):
        pair = rig.start(peer)
        try:
            if kind == "http":
                start = _resident(pair)
                values.update({f"start_{side}": start[side] / 2**20
                               for side in SIDES})
            if getattr(pair, kind):
                values.update(_per_idle(rig, pair, kind))
        finally:
            pair.stop()
    return values
