# SPDX-License-Identifier: Apache-2.0
"""The parts of scripts/demo, against peers that behave and that cheat."""
import os
import re
import signal
import socket
import struct
import sys
import tempfile
import threading
import unittest
from types import SimpleNamespace

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.realpath(__file__))))
sys.path.insert(0, f"{ROOT}/scripts/lib")

import metrics  # noqa: E402
import shop  # noqa: E402
from programs import Failed, Programs, free_ports, wait_until  # noqa: E402
from recorder import Recorder, is_only_tls, tls_records  # noqa: E402
from shop_check import Check, nothing_left  # noqa: E402

TEXT = """# HELP proxy_requests_total Requests.
# TYPE proxy_requests_total counter
proxy_requests_total{direction="inbound",service="a\\"b,c",status="200"} 90
proxy_requests_total{direction="inbound",service="x",status="503"} 10
proxy_requests_total{direction="outbound",service="x",status="200"} 7
proxy_request_duration_seconds_bucket{direction="inbound",le="0.01"} 50
proxy_request_duration_seconds_bucket{direction="inbound",le="0.1"} 100
proxy_request_duration_seconds_bucket{direction="inbound",le="+Inf"} 100
up 1
"""


class Metrics(unittest.TestCase):
    def test_reads_labels_and_values(self):
        families = metrics.parse(TEXT)
        self.assertEqual(families["up"], [({}, 1.0)])
        self.assertEqual(families["proxy_requests_total"][0][0]["service"],
                         'a"b,c')
        with self.assertRaises(ValueError):
            metrics.parse("<html>")

    def test_traffic_of_one_direction(self):
        t = metrics.Traffic.of(metrics.parse(TEXT), "inbound")
        self.assertEqual((t.requests, t.failed), (100, 10))
        self.assertAlmostEqual(t.quantile(0.5), 0.01)
        self.assertAlmostEqual(t.quantile(0.75), 0.055)
        d = (t + t) - t
        self.assertEqual((d.requests, d.buckets), (t.requests, t.buckets))
        self.assertIsNone((t - t).quantile(0.99))
        above = metrics.Traffic(1, 0, {0.1: 0, float("inf"): 1})
        self.assertEqual(above.quantile(0.99), 0.1)


def record(kind, payload):
    return struct.pack("!BHH", kind, 0x0303, len(payload)) + payload


TLS = record(22, b"hello") + record(20, b"\1") + record(23, b"\x8a" * 99)


class Wire(unittest.TestCase):
    def test_tls_is_recognised(self):
        self.assertEqual(tls_records(TLS), [22, 20, 23])
        self.assertEqual(tls_records(TLS[:-5]), [22, 20, 23])
        self.assertIsNone(is_only_tls(TLS, TLS, [b"desk"]))

    def test_everything_else_is_told_apart(self):
        for up, why in [(b"GET /items HTTP/1.1\r\n\r\n", "no TLS record"),
                        (TLS + b"GET / HTTP/1.1\r\n", "no TLS record"),
                        (record(23, b"x"), "handshake"),
                        (record(22, b"x"), "no data"),
                        (b"", "handshake"),
                        (record(22, b"x") + record(23, b"a desk"), "desk")]:
            self.assertIn(why, is_only_tls(up, TLS, [b"desk"]))
            self.assertIn(why, is_only_tls(TLS, up, [b"desk"]))

    def test_recorder_relays_both_ways_and_half_close(self):
        server = socket.create_server(("127.0.0.1", 0))

        def serve():
            c, _ = server.accept()
            with c:
                got = b""
                while data := c.recv(100):
                    got += data
                c.sendall(got.upper())

        threading.Thread(target=serve, daemon=True).start()
        port, = free_ports(["127.0.0.1"])
        r = Recorder(("127.0.0.1", port), server.getsockname())
        with socket.create_connection(("127.0.0.1", port), 5) as c:
            c.sendall(b"hello")
            c.shutdown(socket.SHUT_WR)
            got = b""
            while data := c.recv(100):
                got += data
        self.assertEqual(got, b"HELLO")
        self.assertEqual(r.recorded(), [(b"hello", b"HELLO")])
        r.close()
        server.close()
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", port), 5)


class Manifests(unittest.TestCase):
    def test_every_port_is_chosen_and_fits_its_pod(self):
        ports = {p.variable: 20000 + n for n, p in enumerate(shop.pods())}
        ports["PORT_CATALOG_V1_VIA"] = 20099
        folder = f"{ROOT}/demo/mesh"
        text = ""
        for name in sorted(os.listdir(folder)):
            with open(f"{folder}/{name}", encoding="utf-8") as f:
                text += "\n---\n" + shop.fill_in(f.read(), ports)
        self.assertIsNone(re.search(r"\$\{PORT_[A-Z]", text))
        for pod in shop.pods():
            doc, = [d for d in text.split("\n---\n") if "\nkind: Pod\n" in d
                    and f"\n  name: {pod.name}\n" in d]
            for line in (f"podIP: {pod.address}\n",
                         f"serviceAccountName: {pod.service}\n",
                         f"containerPort: {ports[pod.variable]}\n",
                         "- name: tulle-proxy\n", "restartPolicy: Always\n"):
                self.assertIn(line, doc)
        with self.assertRaises(Failed):
            shop.fill_in("${PORT_NOBODY}", ports)


class Processes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.programs = Programs(folder.name)

    def shell(self, script, ready=True):
        p = self.programs.start(f"p{len(self.programs.all)}", 1,
                                ["/bin/sh", "-c", script])
        if ready:
            wait_until("it runs", lambda: "ready" in p.output(), 10)
        return p

    def test_stops_and_tells(self):
        fine = self.shell("trap 'exit 0' TERM; echo ready; "
                          "while :; do sleep 0.05; done")
        bad = self.shell("trap 'echo leak; exit 7' TERM; echo ready; "
                         "while :; do sleep 0.05; done")
        problems = self.programs.stop()
        self.assertEqual(len(problems), 1)
        self.assertIn("exit code 7", problems[0])
        self.assertIn("leak", problems[0])
        for p in (fine, bad):
            self.assertFalse(os.path.exists(f"/proc/{p.pid}"))

    def test_early_end_quotes_the_log(self):
        p = self.shell("echo no such flag; exit 3", ready=False)
        with self.assertRaisesRegex(Failed, "exit code 3(.|\n)*such flag"):
            wait_until("it is ready", lambda: None, 10, p.must_run)

    def test_what_is_left_is_found(self):
        p = self.shell("echo ready; exec sleep 60")
        server = socket.create_server(("127.0.0.1", 0))
        at = "127.0.0.1:%d" % server.getsockname()[1]
        left = nothing_left(SimpleNamespace(programs=self.programs), [at])
        self.assertEqual(len(left), 2)
        server.close()
        p.process.send_signal(signal.SIGKILL)
        self.programs.stop()
        self.assertEqual(
            nothing_left(SimpleNamespace(programs=self.programs), [at]), [])


class Checks(unittest.TestCase):
    """The checks must fail when a hop was passed by."""

    def check(self, counts):
        class Fake:
            pods = shop.pods()
            recorder = SimpleNamespace(recorded=lambda: [])

            @staticmethod
            def traffic(pod, way):
                return metrics.Traffic(counts.get((pod.name, way), 40))

        c = Check(Fake)
        c.before = {(p.name, d): 0 for p, d in c._ways()}
        return c

    def test_hops(self):
        self.assertIn("cart-1 inbound 40", self.check({}).hops())
        for passed_by in [{("cart-1", "outbound"): 0},
                          {("web-1", "outbound"): 39},
                          {("catalog-v2", "inbound"): 0}]:
            c = self.check(passed_by)
            c.settle_seconds = 0
            with self.assertRaisesRegex(Failed, "counted"):
                c.hops()

    def test_versions(self):
        c = self.check({})
        c.chains = ["web, cart, catalog-v1", "web, cart, catalog-v2"]
        self.assertEqual(c.versions(), "v1 1, v2 1")
        c.chains = ["web, cart, catalog-v1"] * 2
        with self.assertRaises(Failed):
            c.versions()

    def test_silent_recorder(self):
        with self.assertRaises(Failed):
            self.check({}).wire()


if __name__ == "__main__":
    unittest.main()
