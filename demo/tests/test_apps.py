# SPDX-License-Identifier: Apache-2.0
"""tulle-demo without a mesh: its roles, chained directly."""
import http.client
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.realpath(__file__))))
sys.path.insert(0, f"{ROOT}/scripts/lib")

from programs import Programs, wait_until  # noqa: E402

DEMO = os.environ.get("TULLE_DEMO", f"{ROOT}/build/demo/tulle-demo")


class Upstream:
    """Answers as told; remembers what it was asked; waits on `gate`."""

    def __init__(self, status, headers, body):
        self.asked, self.gate = [], threading.Event()
        self.gate.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.path, dict(self.headers)))
                outer.gate.wait(10)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


class Apps(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.programs = Programs(folder.name)
        self.addCleanup(lambda: self.assertEqual(self.programs.stop(), []))

    def app(self, role, *options):
        name = f"{role}-{len(self.programs.all)}"
        p = self.programs.start(name, 1, [DEMO, role, "--listen",
                                          "127.0.0.1:0", *options])
        said = wait_until(f"{name} serves", lambda: re.search(
            r"listening (\S+:\d+)\n", p.output()), 10, p.must_run)
        return p, "http://" + said.group(1)

    def upstream(self, status=200, headers=None, body=b"{}"):
        u = Upstream(status, headers or {}, body)
        self.addCleanup(u.close)
        return u

    def get(self, url, headers=None, method="GET"):
        host, _, path = url.removeprefix("http://").partition("/")
        c = http.client.HTTPConnection(host, timeout=10)
        try:
            c.request(method, "/" + path, headers=headers or {})
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def test_catalog_versions_differ_by_a_field(self):
        fields = {}
        for version in ("v1", "v2"):
            _, url = self.app("catalog", "--version", version)
            status, headers, body = self.get(url + "/items")
            self.assertEqual(status, 200)
            self.assertEqual(headers["x-served-by"], f"catalog-{version}")
            answer = json.loads(body)
            self.assertEqual(answer["version"], version)
            fields[version] = set(answer["items"][0])
        self.assertEqual(fields["v2"] - fields["v1"], {"stock"})
        self.assertLess(fields["v1"], fields["v2"])

    def test_chain_names_who_served(self):
        _, catalog = self.app("catalog", "--version", "v2")
        _, cart = self.app("cart", "--upstream", catalog)
        _, web = self.app("web", "--upstream", cart)
        status, headers, body = self.get(web + "/")
        self.assertEqual(status, 200)
        self.assertEqual(headers["x-served-by"], "web, cart, catalog-v2")
        self.assertIn(b"served by web, cart, catalog-v2", body)
        status, headers, body = self.get(cart + "/items")
        self.assertEqual(json.loads(body)["catalog"]["version"], "v2")
        status, headers, body = self.get(web, {"accept": "text/html"})
        self.assertTrue(headers["content-type"].startswith("text/html"))
        self.assertIn(b"<pre>", body)

    def test_trace_headers_travel_and_others_do_not(self):
        up = self.upstream()
        _, cart = self.app("cart", "--upstream", up.url)
        sent = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-"
                               "b7ad6b7169203331-01",
                "tracestate": "a=1", "x-request-id": "r1"}
        self.get(cart + "/items", {**sent, "x-other": "1"})
        self.get(cart + "/items")
        (path, got), (_, bare) = up.asked
        self.assertEqual(path, "/items")
        for name, value in sent.items():
            self.assertEqual(got.get(name), value)
            self.assertNotIn(name, bare)
        self.assertNotIn("x-other", got)

    def test_failed_upstream_is_502_and_named(self):
        up = self.upstream(503, {"tulle-fault": 'no-"endpoint"'}, b"<sorry>")
        _, cart = self.app("cart", "--upstream", up.url)
        status, _, body = self.get(cart + "/items")
        said = json.loads(body)
        self.assertEqual((status, said["status"], said["fault"]),
                         (502, 503, 'no-"endpoint"'))
        _, web = self.app("web", "--upstream", up.url)
        status, _, body = self.get(web, {"accept": "text/html"})
        self.assertEqual(status, 502)
        self.assertIn(b'status 503, tulle-fault no-"endpoint"', body)
        self.assertIn(b"&lt;sorry", body)
        self.assertNotIn(b"<sorry", body)

    def test_unreachable_and_oversized_upstreams(self):
        up = self.upstream(body=b"{" + b" " * (65 << 10) + b"}")
        _, cart = self.app("cart", "--upstream", up.url)
        status, _, body = self.get(cart + "/items")
        self.assertEqual((status, json.loads(body)["status"]), (502, 0))
        self.assertTrue(json.loads(body)["problem"])
        gone = self.upstream()
        gone.close()
        _, cart = self.app("cart", "--upstream", gone.url)
        status, _, body = self.get(cart + "/items")
        self.assertEqual((status, json.loads(body)["status"]), (502, 0))

    def test_small_print(self):
        _, url = self.app("catalog", "--fail-percent", "25")
        failed = [self.get(url + "/items")[0] for _ in range(20)].count(500)
        self.assertEqual(failed, 5)
        self.assertEqual(self.get(url + "/healthz")[0], 200)
        self.assertEqual(self.get(url + "/nowhere")[0], 404)
        status, headers, _ = self.get(url + "/items", method="POST")
        self.assertEqual((status, headers["allow"]), (405, "GET, HEAD"))
        status, _, body = self.get(url + "/healthz", method="HEAD")
        self.assertEqual((status, body), (200, b""))

    def test_sigterm_finishes_what_is_in_flight(self):
        up = self.upstream()
        up.gate.clear()
        cart, url = self.app("cart", "--upstream", up.url)
        got = []
        asking = threading.Thread(
            target=lambda: got.append(self.get(url + "/items")))
        asking.start()
        wait_until("the request is in flight", lambda: up.asked, 10)
        cart.process.terminate()
        host, port = url.removeprefix("http://").split(":")

        def refused():
            try:
                socket.create_connection((host, int(port)), 5).close()
            except OSError:
                return True
            return False

        wait_until("cart stops accepting", refused, 10)
        self.assertTrue(cart.running())
        up.gate.set()
        asking.join(10)
        self.assertEqual(got[0][0], 200)
        self.assertEqual(got[0][1]["connection"].lower(), "close")
        self.assertEqual(cart.process.wait(10), 0)

    def test_load_counts_failures(self):
        _, url = self.app("catalog", "--fail-percent", "50")
        done = subprocess.run(
            [DEMO, "load", "--url", url + "/items", "--rps", "50", "--for",
             "1"], capture_output=True, text=True, timeout=20, check=True)
        m = re.fullmatch(r"sent (\d+) ok (\d+) failed (\d+) skipped (\d+)\n",
                         done.stdout)
        self.assertTrue(m, done.stdout)
        sent, ok, failed, skipped = map(int, m.groups())
        self.assertEqual(sent, ok + failed)
        self.assertLessEqual(abs(ok - failed), 1)
        self.assertEqual(sent + skipped, 50)

    def test_load_is_bounded_and_obeys_sigterm(self):
        up = self.upstream()
        up.gate.clear()
        load = self.programs.start("load", 2, [DEMO, "load", "--url", up.url,
                                               "--rps", "1000"])
        wait_until("load asks", lambda: len(up.asked) >= 32, 10, load.must_run)
        load.process.terminate()
        up.gate.set()
        self.assertEqual(load.process.wait(10), 0)
        self.assertRegex(load.output(), r"^sent \d+ ok \d+ failed 0 ")

    def test_wrong_options_end_with_a_sentence(self):
        for argv, words in [
                (["web", "--listen", "127.0.0.1:0"], "--upstream"),
                (["catalog"], "--listen"),
                (["catalog", "--listen", "nonsense"], "ADDR:PORT"),
                (["catalog", "--listen", "127.0.0.1:0", "--delay", "5"],
                 "--delay"),
                (["catalog", "--listen", "127.0.0.1:0", "--version", 'v"'],
                 "--version"),
                (["load", "--url", "http://x"], "--rps"),
                (["shop"], "role"), ([], "role")]:
            done = subprocess.run([DEMO, *argv], capture_output=True,
                                  text=True, timeout=10, check=False)
            self.assertIn(words, done.stderr, argv)
            self.assertNotEqual(done.returncode, 0, argv)


if __name__ == "__main__":
    unittest.main()
