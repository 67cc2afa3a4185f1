# SPDX-License-Identifier: Apache-2.0
"""What `scripts/demo --check` asks of a running shop. Each check returns what
it saw, in a few words, or raises Failed with what is wrong."""
import http.client
import os
import re
import secrets
import socket
import ssl

import recorder
from programs import Failed, wait_until

REQUESTS = 40
ALPN = "tulle/1"
GOODS = b"Walnut desk"  # in every answer of catalog
LOAD_RPS, LOAD_SECONDS = 50, 3


class Check:
    settle_seconds = 5

    def __init__(self, shop):
        self.shop = shop
        self.mark = "demo-check-" + secrets.token_hex(8)  # x-request-id
        self.chains = []
        self.before = {}

    def all(self):
        return [("web answers through the mesh", self.answers),
                ("cart reaches both versions of catalog", self.versions),
                ("each hop passed two proxies", self.hops),
                ("a trickle of load succeeds", self.load),
                ("each proxy proves its own identity", self.identities),
                ("a stranger without certificate gets nothing", self.stranger),
                ("bytes between proxies are TLS", self.wire)]

    # --- requests ------------------------------------------------------------

    def _ways(self):
        """Every (pod, direction) that a request from outside may pass."""
        return [(p, d) for p in self.shop.pods
                for d in ("inbound", "outbound") if d == "inbound" or p.calls]

    def _counts(self):
        return {(p.name, d): self.shop.traffic(p, d).requests
                for p, d in self._ways()}

    def _ask(self, n):
        host, port = self.shop.front.rsplit(":", 1)
        c = http.client.HTTPConnection(host, int(port), timeout=15)
        try:
            c.request("GET", "/", headers={"x-request-id": f"{self.mark}-{n}"})
            r = c.getresponse()
            return r.status, r.headers, r.read()
        except (OSError, http.client.HTTPException) as e:
            raise Failed(f"request {n} to http://{self.shop.front}/: "
                         f"{e!r}") from e
        finally:
            c.close()

    def answers(self):
        self.before = self._counts()
        for n in range(1, REQUESTS + 1):
            status, headers, body = self._ask(n)
            if status != 200:
                raise Failed(f"request {n}: status {status}, tulle-fault "
                             f"{headers.get('tulle-fault')}, "
                             f"body {body[:300]!r}")
            if GOODS not in body:
                raise Failed(f"request {n}: nothing from catalog in "
                             f"{body[:300]!r}")
            self.chains.append(headers.get("x-served-by", ""))
        return f"{REQUESTS} of {REQUESTS}"

    def versions(self):
        seen = {v: self.chains.count(f"web, cart, catalog-{v}")
                for v in ("v1", "v2")}
        if not all(seen.values()) or sum(seen.values()) != len(self.chains):
            raise Failed(f"{seen} of {len(self.chains)}; served by: "
                         f"{sorted(set(self.chains))}")
        return ", ".join(f"{v} {n}" for v, n in seen.items())

    def hops(self):
        last = {}

        def passed():
            # A count may follow its answer by a moment.
            now = self._counts()
            last.update({k: now[k] - self.before[k] for k in now})
            catalog = [last["catalog-v1", "inbound"],
                       last["catalog-v2", "inbound"]]
            rest = [n for k, n in last.items() if "catalog" not in k[0]]
            return (min(rest) >= REQUESTS and min(catalog) > 0
                    and sum(catalog) >= REQUESTS)

        try:
            wait_until("", passed, self.settle_seconds)
        except Failed:
            raise Failed(f"of {REQUESTS} requests the proxies' "
                         f"proxy_requests_total counted "
                         + self._say(last)) from None
        return self._say(last)

    @staticmethod
    def _say(counts):
        return ", ".join(f"{name} {way} {n:g}"
                         for (name, way), n in counts.items())

    def load(self):
        program = self.shop.start_load(LOAD_RPS, LOAD_SECONDS)
        wait_until("load ends", lambda: not program.running(),
                   LOAD_SECONDS + 15)
        said = re.search(r"sent (\d+) ok (\d+) failed (\d+) skipped (\d+)",
                         program.output())
        if not said:
            raise Failed(f"load said: {program.tail()}")
        sent, ok, _, _ = map(int, said.groups())
        # Correct, not fast: a busy machine may skip requests, and the line
        # says so; but none may fail, or be stuck until its timeout.
        if ok != sent or sent < REQUESTS:
            raise Failed(said.group())
        return said.group()

    # --- TLS -----------------------------------------------------------------

    def _connect(self, pod):
        """A TLS client like another proxy, but without a certificate."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False  # names are URIs here, checked by us
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        tls.load_verify_locations(self.shop.bundle)
        tls.set_alpn_protocols([ALPN])
        raw = socket.create_connection((pod.address, pod.port), timeout=10)
        try:
            return tls.wrap_socket(raw)
        except (ssl.SSLError, OSError) as e:
            raw.close()
            raise Failed(f"{pod.name} on {pod.inbound}: {e}") from e

    def identities(self):
        domains = set()
        for pod in self.shop.pods:
            with self._connect(pod) as s:
                names = [v for kind, v in s.getpeercert()["subjectAltName"]
                         if kind == "URI"]
                alpn = s.selected_alpn_protocol()
            ours = re.fullmatch(r"spiffe://([a-z0-9._-]+)"
                                + re.escape(pod.spiffe_path), "".join(names))
            if not ours or len(names) != 1:
                raise Failed(f"{pod.name} shows {names}, not "
                             f"spiffe://...{pod.spiffe_path}")
            if alpn != ALPN:
                raise Failed(f"{pod.name} agreed to ALPN {alpn}, not {ALPN}")
            domains.add(ours.group(1))
        if len(domains) != 1:
            raise Failed(f"more than one trust domain: {domains}")
        return f"spiffe://{domains.pop()}/ns/shop/sa/web, cart, catalog"

    def stranger(self):
        got = b""
        with self._connect(self.shop.pod("cart-1")) as s:
            try:
                s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                          b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
                got = s.recv(4096)
                why = "connection ended"
            except TimeoutError as e:
                raise Failed("the connection was left open") from e
            except ssl.SSLError as e:
                why = e.reason or str(e)
            except OSError as e:
                why = str(e)
        if got:
            raise Failed(f"it was sent {got[:64]!r}")
        return why.lower().replace("_", " ")

    def wire(self):
        """On the way from cart's proxy to catalog-v1's."""
        kept = [c for c in self.shop.recorder.recorded() if any(c)]
        size = sum(len(up) + len(down) for up, down in kept)
        if not kept:
            raise Failed("the recorder before catalog-v1 saw nothing")
        words = [GOODS, b"price_cents", b"GET /items", self.mark.encode()]
        for up, down in kept:
            why = recorder.is_only_tls(up, down, words)
            if why:
                raise Failed(why)
            if bytes([len(ALPN)]) + ALPN.encode() not in up[:2048]:
                raise Failed(f"the ClientHello does not offer {ALPN}")
        return f"{len(kept)} connections, {size} bytes, none readable"


def nothing_left(shop, addresses):
    """After stop(): sentences about what is still there."""
    left = []
    for p in shop.programs.all:
        if os.path.exists(f"/proc/{p.pid}"):
            left.append(f"{p.name} (pid {p.pid}) still runs")
    for address in addresses:
        host, port = address.rsplit(":", 1)
        try:
            with socket.create_connection((host.strip("[]"), int(port)),
                                          1) as s:
                # Among many ports a socket may happen to meet itself.
                if s.getsockname() != s.getpeername():
                    left.append(f"something still listens on {address}")
        except OSError:
            pass
    return left
