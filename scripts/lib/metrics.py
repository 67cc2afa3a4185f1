# SPDX-License-Identifier: Apache-2.0
"""Prometheus text: read it, and what the demo wants to know from it."""
import http.client
import re

_LINE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$')
_LABEL = re.compile(r'\s*([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"\s*,?')
_UNESCAPE = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def parse(text):
    """{name: [(labels, value)]}"""
    families = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        m = _LINE.match(line)
        if not m:
            raise ValueError(f"not a line of metrics: {line!r}")
        labels = {k: re.sub(r'\\[\\"n]', lambda e: _UNESCAPE[e.group()], v)
                  for k, v in _LABEL.findall(m.group(2) or "")}
        families.setdefault(m.group(1), []).append((labels, float(m.group(3))))
    return families


def get(address, path, timeout=3):
    """(status, body) of a plain GET; OSError when there is no answer."""
    host, _, port = address.rpartition(":")
    c = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
    try:
        c.request("GET", path, headers={"Connection": "close"})
        r = c.getresponse()
        return r.status, r.read().decode("utf-8", "replace")
    except http.client.HTTPException as e:
        raise OSError(f"{address}{path}: {e!r}") from e
    finally:
        c.close()


def scrape(address):
    status, body = get(address, "/metrics")
    if status != 200:
        raise OSError(f"{address}/metrics: status {status}")
    return parse(body)


class Traffic:
    """What went one way through some proxies: counters that only grow."""

    def __init__(self, requests=0, failed=0, buckets=None):
        self.requests, self.failed = requests, failed
        self.buckets = buckets or {}  # upper bound in seconds -> count

    @classmethod
    def of(cls, families, direction):
        t = cls()
        for labels, value in families.get("proxy_requests_total", []):
            if labels.get("direction") == direction:
                t.requests += value
                if labels.get("status", "").startswith("5"):
                    t.failed += value
        name = "proxy_request_duration_seconds_bucket"
        for labels, value in families.get(name, []):
            if labels.get("direction") == direction:
                bound = float(labels["le"])
                t.buckets[bound] = t.buckets.get(bound, 0) + value
        return t

    def _with(self, other, sign):
        bounds = set(self.buckets) | set(other.buckets)
        return Traffic(self.requests + sign * other.requests,
                       self.failed + sign * other.failed,
                       {b: self.buckets.get(b, 0)
                        + sign * other.buckets.get(b, 0) for b in bounds})

    def __add__(self, other):
        return self._with(other, 1)

    def __sub__(self, other):
        return self._with(other, -1)

    def quantile(self, q):
        """Seconds, straight between the bounds of its bucket; None without
        requests; the last finite bound for what lies above it."""
        bounds = sorted(self.buckets)
        total = self.buckets[bounds[-1]] if bounds else 0
        if total <= 0:
            return None
        below, low = 0, 0.0
        for bound in bounds:
            count = self.buckets[bound]
            if count >= q * total:
                if bound == float("inf"):
                    return low
                share = (q * total - below) / max(count - below, 1e-9)
                return low + (bound - low) * share
            below, low = count, bound
        return low
