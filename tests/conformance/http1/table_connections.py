# SPDX-License-Identifier: Apache-2.0
"""What concerns the connection, not the message alone."""
from made import (CHUNKED, EMPTY_CHUNKS, GET, HOST, REFUSED, SMUGGLED,
                  case, post)


def hops():
    def hop(name, text, accept=None, level="MUST", body="", **want):
        want = {"count": 1, "body": body, **want}
        return case("hop", f"hop-{name}", "9110 7.6.1", post(text, body),
                    accept or ["forward"], want,
                    level)

    yield hop("identity", "Connection: close, x-identity\r\nX-Identity: me\r\n",
              hdr_absent=["x-identity"])
    yield hop("case", "Connection: X-IDENTITY\r\nx-identity: me\r\n",
              hdr_absent=["x-identity"])
    yield hop("two-lines", "Connection: x-a\r\nConnection: x-b\r\nX-A: 1\r\nX-B: 1\r\n",
              hdr_absent=["x-a", "x-b"])
    yield hop("commas", "Connection: ,, x-a ,,\r\nX-A: 1\r\n", hdr_absent=["x-a"])
    yield hop("before", "X-A: 1\r\nConnection: x-a\r\nX-A: 2\r\n", hdr_absent=["x-a"])
    yield hop("not-named", "Connection: x-a\r\nX-AB: 1\r\n", hdr_present=["x-ab"])
    for name in ("authorization", "cookie", "via", "forwarded", "x-forwarded-for"):
        yield hop(f"named-{name}", f"Connection: {name}\r\n{name}: a\r\n",
                  ["forward", "reject"], "policy")
    yield hop("host", "Connection: host\r\n", ["forward", "reject"],
              hdr_equals={"host": "example.test"})
    yield hop("length", "Connection: content-length\r\nContent-Length: 5\r\n",
              ["forward", "reject"],
              body="hello")
    yield hop("coding",
              "Connection: transfer-encoding\r\nTransfer-Encoding: identity\r\n",
              ["reject"])
    yield case("hop", "hop-chunked", "9110 7.6.1",
               post("Connection: transfer-encoding\r\n" + CHUNKED,
                    "1\r\nZ\r\n0\r\n\r\n"),
               ["forward", "reject"], {"count": 1, "body": "Z"})
    for name, text, gone in (
            ("keep-alive", "Keep-Alive: timeout=5\r\n", "keep-alive"),
            ("proxy-connection", "Proxy-Connection: keep-alive\r\n",
             "proxy-connection"),
            ("te", "TE: gzip\r\n", "te"), ("upgrade", "Upgrade: foo\r\n", "upgrade"),
            ("http2-settings", "HTTP2-Settings: AAMAAABk\r\n", "http2-settings")):
        yield hop(f"drops-{name}", text, ["forward"], "SHOULD", hdr_absent=[gone])
    yield hop("close-and-keep", "Connection: close, keep-alive\r\n", close=True)
    yield hop("close-upper", "Connection: CLOSE\r\n", close=True)
    yield hop("close-second", "Connection: x\r\nConnection: close\r\n", close=True)
    yield hop("not-close", "Connection: closed\r\n")
    yield hop("bad", "Connection: a b\r\n", ["forward", "reject"], "policy")
    yield hop("nul", "Connection: a\0\r\n", ["reject"])
    yield hop("many", "Connection: " + "x," * 1000 + "\r\n", ["forward", "reject"],
              "policy")
    yield case("hop", "hop-max-forwards-0", "9110 7.6.2",
               f"OPTIONS /p HTTP/1.1\r\n{HOST}Max-Forwards: 0\r\n\r\n",
               ["local", "reject"], best=["local", "reject"])
    yield case("hop", "hop-max-forwards-3", "9110 7.6.2",
               f"OPTIONS /p HTTP/1.1\r\n{HOST}Max-Forwards: 3\r\n\r\n", ["forward"],
               {"count": 1, "hdr_equals": {"max-forwards": "2"}})


def spoofs():
    for name in ("Tulle-Peer", "tulle-identity", "TULLE-FAULT", "Tulle_Peer",
                 "tulle-http2",
                 "tulle-upgrade-method", "tulle-", "X-Forwarded-Client-Cert",
                 "X_FORWARDED_CLIENT_CERT", "x-forwarded_client-cert"):
        for how, text in (("", ""), ("-named", f"Connection: {name}\r\n")):
            yield case("spoof", f"spoof-{name}{how}", "policy",
                       post(f"{text}{name}: spoofed\r\n", ""),
                       ["forward", "reject"],
                       {"count": 1, "hdr_not": {name.lower(): "spoofed"}}, "MUST")


def upgrades():
    def upgrade(name, text, level="MUST", accept=None, body="", **want):
        return case("upgrade", f"upg-{name}", "9110 7.8/9113 3.1",
                    post(text, body, method="GET"),
                    accept or ["forward", "reject"], {"count": 1, "body": body, **want},
                    level)

    settings = "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    for name, text in (
            ("h2c",
             "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" + settings),
            ("h2c-upper",
             "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: H2C\r\n" + settings),
            ("h2c-not-named", "Connection: Upgrade\r\nUpgrade: h2c\r\n" + settings),
            ("h2c-not-upgrade",
             "Connection: HTTP2-Settings\r\nUpgrade: h2c\r\n" + settings),
            ("h2c-alone", "Upgrade: h2c\r\n" + settings),
            ("h2c-second", "Connection: Upgrade, HTTP2-Settings\r\n"
             "Upgrade: websocket\r\nUpgrade: h2c\r\n" + settings),
            ("h2c-list",
             "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: foo, h2c\r\n" + settings),
            ("h2c-tab",
             "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: \th2c\t\r\n" + settings)):
        yield upgrade(name, text, hdr_absent=["http2-settings"],
                      hdr_not={"upgrade": "h2c"})
    for protocol in ("h2", "HTTP/2.0", "TLS/1.0", "HTTP/1.1", ""):
        yield upgrade(f"to-{protocol}",
                      f"Connection: upgrade\r\nUpgrade: {protocol}\r\n",
                      hdr_absent=["upgrade"])
    yield case("upgrade", "upg-smuggles", "9110 7.8",
               post("Connection: upgrade\r\nUpgrade: h2c\r\n", SMUGGLED, method="GET"),
               ["forward", "reject"], {"count_any": [1, 2], "responses": 2})
    yield upgrade("with-body",
                  "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n",
                  body="hello")
    yield case("upgrade", "upg-10", "9110 7.8",
               post("Connection: upgrade\r\nUpgrade: websocket\r\n", "", "1.0", "GET"),
               ["forward", "reject"], {"count": 1, "hdr_absent": ["upgrade"]})


def expectations():
    for name, value in (("upper", "100-Continue"), ("blanks", " 100-continue ")):
        made = case("expect", f"expect-{name}", "9110 10.1.1",
                    post(f"Expect:{value}\r\nContent-Length: 5\r\n", ""), ["continue"],
                    {"count": 1, "body": "hello", "delayed": "hello"}, kind="expect")
        yield made
    made = case("expect", "expect-chunked", "9110 10.1.1",
                post("Expect: 100-continue\r\n" + CHUNKED, ""), ["continue"],
                {"count": 1, "body": "Z", "delayed": "1\r\nZ\r\n0\r\n\r\n"},
                kind="expect")
    yield made
    for name, value in (("other", "200-ok"), ("list", "100-continue, x"),
                        ("params", "100-continue;q=1"),
                        ("empty", "")):
        yield case("expect", f"expect-{name}", "9110 10.1.1",
                   post(f"Expect: {value}\r\nContent-Length: 5\r\n"),
                   ["reject", "forward"],
                   {"count": 1, "body": "hello"}, "policy")
    yield case("expect", "expect-no-body", "9110 10.1.1",
               post("Expect: 100-continue\r\n", ""),
               ["forward"], {"count": 1, "body": "", "hdr_absent": ["expect"]},
               "SHOULD")
    yield case("expect", "expect-body-at-once", "9110 10.1.1",
               post("Expect: 100-continue\r\nContent-Length: 5\r\n") + GET, ["forward"],
               {"count": 2, "body": "hello", "responses": 2})
    yield case("expect", "expect-smuggles", "9110 10.1.1",
               post(f"Expect: 100-continue\r\nContent-Length: {len(SMUGGLED)}\r\n",
                    SMUGGLED),
               ["forward"], {"count": 1, "body": SMUGGLED})
    yield case("expect", "expect-10-chunked", "9112 6.1",
               post("Expect: 100-continue\r\n" + CHUNKED, EMPTY_CHUNKS, "1.0"), REFUSED)


def pipelines():
    def pipe(name, raw, accept=None, level="MUST", rfc="9112 9.3", **want):
        return case("pipeline", f"pipe-{name}", rfc, raw, accept or ["forward"], want,
                    level)

    yield pipe("five", GET * 5, count=5, responses=5)
    yield pipe("head-get", post("", "", method="HEAD") + GET, count=2, head=True,
               responses=2)
    yield pipe("empty-line", GET + "\r\n" + GET, level="SHOULD", count=2, responses=2)
    yield pipe("10-keep-alive", post("Connection: keep-alive\r\n", "", "1.0",
                                     "GET") + SMUGGLED,
               ["forward", "reject"], count_any=[1, 2])
    for name, last in (("post", post("Connection: close\r\nContent-Length: 5\r\n")),
                       ("chunked", post("Connection: close\r\n" + CHUNKED,
                                        "1\r\nZ\r\n0\r\n\r\n"))):
        yield pipe(f"close-{name}", last + SMUGGLED, count=1, close=True)
    for name, bad in (
            ("line", "GET\r\n\r\n"), ("no-host", "GET /2 HTTP/1.1\r\n\r\n"),
            ("length", post("Content-Length: x\r\n")),
            ("both", post("Content-Length: 5\r\n" + CHUNKED)),
            ("lf", "GET /2 HTTP/1.1\nHost: a\n\n"),
            ("blank", " " + GET), ("nul", "\0" + GET),
            ("tls", "\x16\x03\x01\x00\x05hello\r\n\r\n"),
            ("preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("target", "GET p HTTP/1.1\r\n" + HOST + "\r\n"),
            ("fold", "GET /2 HTTP/1.1\r\n Host: a\r\n\r\n"),
            ("version", "GET /2 HTTP/2.0\r\n" + HOST + "\r\n")):
        yield pipe(f"then-{name}", GET + bad + SMUGGLED, ["reject_after"], "SHOULD",
                   prefix=1)
    for name, junk in (("x", "X"), ("cr", "\r"), ("lf", "\n"), ("tab", "\t"),
                       ("zero", "0\r\n\r\n"),
                       ("crlf-x", "\r\nX ")):
        yield pipe(f"junk-{name}", post("Content-Length: 5\r\n") + junk + GET,
                   ["reject_after", "forward"],
                   "policy", prefix=1, count_any=[1, 2])
    yield pipe("bodies", post("Content-Length: 5\r\n")
               + post(CHUNKED, "1\r\nZ\r\n0\r\n\r\n") + GET,
               count=3, responses=3, body="hello")
