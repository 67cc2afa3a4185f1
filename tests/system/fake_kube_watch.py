# SPDX-License-Identifier: Apache-2.0
"""One watch of fake_kube.py: the list before it, events, bookmarks, and what a
test puts in between."""
import json
import time

LISTED = "k8s.io/initial-events-end"


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


class Stream:
    """One watch."""

    def __init__(self, kube, x, resource, namespace):
        self.kube, self.x = kube, x
        self.resource, self.namespace = resource, namespace
        self.kind = resource.kind
        self.said, self.over, self.listed = [], False, False
        self.bookmarked = 0

    def _wrap(self, kind, text):
        return b'{"type":"' + kind.encode() + b'","object":' + text + b"}\n"

    def _bookmark(self, version, annotations=None):
        meta = {"resourceVersion": str(version), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        api = "/".join(filter(None, (self.resource.group,
                                     self.resource.version)))
        self.x.send(self._wrap("BOOKMARK", compact(
            {"kind": self.kind, "apiVersion": api, "metadata": meta})))
        self.bookmarked = int(version)

    def _concerns(self, event):
        return event.key[0] == self.kind and \
            self.namespace in ("", event.key[1]) and \
            self.kube._selected(self.x, event.object)  # pylint: disable=W0212

    def _initial(self):
        version, texts = self.kube.snapshot(self.x, self.resource,
                                            self.namespace)
        batch = b""
        for text in texts:
            batch += self._wrap("ADDED", text)
            if len(batch) > 60000:
                self.x.send(batch)
                batch = b""
        self.x.send(batch)
        self._bookmark(version, {LISTED: "true"})
        return version

    def run(self, streamed, version):
        x, kube = self.x, self.kube
        end = time.monotonic() + int(x.query.get("timeoutSeconds", 1800))
        x.start(200, [("content-type", "application/json")])
        if streamed:
            version = self._initial()
        elif not version:
            version = kube.version
        self.listed = True
        last = time.monotonic()
        while not self.over and time.monotonic() < end and not x.gone():
            newest, events = kube.events_after(version, 0.2)
            for e in events:
                if self._concerns(e):
                    # pylint: disable=protected-access
                    x.send(self._wrap(e.kind, kube._text(x, self.resource,
                                                         e.object, e.text)))
            version = newest
            while self.said:
                x.send(self.said.pop(0))
            now = time.monotonic()
            if now - last >= kube.bookmark_seconds and \
                    x.query.get("allowWatchBookmarks") == "true":
                self._bookmark(version)
                last = now
        x.end()

