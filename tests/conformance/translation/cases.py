# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 requests for an application that speaks HTTP/1: what one can carry and
the other cannot, which is how a request is split or smuggled on the way. See the
README beside this file."""
from dataclasses import dataclass, field

REFUSED, PASSED, EITHER = "refused", "passed", "either"
AUTHORITY = "example.test"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: example.test\r\n\r\n"
SPLIT = "x\r\n\r\n" + SMUGGLED


@dataclass
class Case:
    id: str
    rfc: str
    fields: list
    verdict: str                # REFUSED, PASSED, or EITHER
    data: list = None           # of DATA frames; None: the head ends the stream
    trailers: list = None
    want: dict = field(default_factory=dict)  # of what the application gets


def head(method="GET", path="/t", scheme="http", authority=AUTHORITY, more=()):
    """None leaves a pseudo-field out."""
    listed = [(":method", method), (":scheme", scheme), (":path", path),
              (":authority", authority)]
    return [(n, v) for n, v in listed if v is not None] + list(more)


def with_field(name, value):
    return head(more=[(name, value)])


BYTES = {"cr": "\r", "lf": "\n", "crlf": "\r\n", "nul": "\0", "soh": "\1",
         "esc": "\x1b", "us": "\x1f", "del": "\x7f", "vt": "\x0b", "ff": "\x0c"}
NOT_IN_NAMES = {**BYTES, "space": " ", "tab": "\t", "colon": ":", "comma": ",",
                "high": "\x80", "utf-8": "\xc3\xa9", "quote": "\"", "slash": "/",
                "paren": "(", "at": "@", "brace": "{", "equals": "=",
                "semicolon": ";", "backslash": "\\", "upper": "A"}


def names():
    for word, byte in NOT_IN_NAMES.items():
        yield Case(f"name-{word}", "9113 8.2.1", with_field(f"x{byte}a", "v"), REFUSED)
    yield Case("name-empty", "9110 5.1", with_field("", "v"), REFUSED)
    yield Case("name-lf-first", "9113 8.2.1", with_field("\nx-evil", "v"), REFUSED)
    yield Case("name-space-last", "9113 8.2.1", with_field("host ", "evil"), REFUSED)
    yield Case("name-splits", "9113 8.2.1",
               with_field("x: 1\r\n\r\n" + SMUGGLED + "x", "v"), REFUSED)
    yield Case("name-host-upper", "9113 8.2.1", with_field("Host", "evil"), REFUSED)
    yield Case("name-te-upper", "9113 8.2.1",
               with_field("Transfer-Encoding", "chunked"), REFUSED)
    yield Case("name-with-colon-value", "9113 8.2.1",
               with_field("transfer-encoding: chunked\r\nx", "v"), REFUSED)
    yield Case("name-symbols", "9110 5.1", with_field("!#$%&'*+-.^_`|~", "v"), PASSED,
               want={"present": "!#$%&'*+-.^_`|~"})
    yield Case("name-underscore-length", "9110 5.1",
               with_field("content_length", "5"), EITHER, want={"body": ""})
    yield Case("name-underscore-coding", "9110 5.1",
               with_field("transfer_encoding", "chunked"), EITHER, want={"body": ""})


def values():
    for word, byte in BYTES.items():
        yield Case(f"value-{word}", "9113 8.2.1", with_field("x-a", f"a{byte}b"),
                   REFUSED)
    yield Case("value-splits", "9113 8.2.1", with_field("x-a", SPLIT), REFUSED)
    yield Case("value-field", "9113 8.2.1",
               with_field("x-a", "1\r\nx-evil: 1"), REFUSED)
    yield Case("value-field-by-lf", "9113 8.2.1", with_field("x-a", "1\nx-evil: 1"),
               REFUSED)
    yield Case("value-field-by-cr", "9113 8.2.1", with_field("x-a", "1\rx-evil: 1"),
               REFUSED)
    yield Case("value-fold", "9113 8.2.1", with_field("x-a", "1\r\n x"), REFUSED)
    yield Case("value-lf-last", "9113 8.2.1", with_field("x-a", "1\n"), REFUSED)
    yield Case("value-cr-last", "9113 8.2.1", with_field("x-a", "1\r"), REFUSED)
    yield Case("value-coding-behind-lf", "9113 8.2.1",
               with_field("x-a", "1\ntransfer-encoding: chunked"), REFUSED)
    for word, value in (("first", " v"), ("last", "v "), ("tab", "\tv")):
        yield Case(f"value-blank-{word}", "9113 8.2.1", with_field("x-a", value),
                   EITHER,
                   want={"equals": ("x-a", "v")})
    yield Case("value-empty", "9110 5.5", with_field("x-a", ""), PASSED,
               want={"equals": ("x-a", "")})
    yield Case("value-high", "9110 5.5", with_field("x-a", "caf\xe9"), PASSED,
               want={"equals": ("x-a", "caf\xe9")})
    yield Case("value-tab", "9110 5.5", with_field("x-a", "a\tb"), PASSED,
               want={"equals": ("x-a", "a\tb")})
    yield Case("value-colon", "9110 5.5", with_field("x-a", "a: b"), PASSED,
               want={"equals": ("x-a", "a: b")})
    yield Case("value-20k", "6585 5", with_field("x-a", "v" * 20000), PASSED,
               want={"equals": ("x-a", "v" * 20000)})
    yield Case("value-66k", "6585 5", with_field("x-a", "v" * 66000), REFUSED)
    yield Case("fields-500", "6585 5", head(more=[("x-a", "v")] * 500), REFUSED)
    yield Case("cookies-400", "6585 5",
               head(more=[("cookie", "c" * 300)] * 400), REFUSED)


def pseudo():
    for name, value in head():
        yield Case(f"twice-{name[1:]}", "9113 8.3", head() + [(name, value)], REFUSED)
        yield Case(f"other-{name[1:]}", "9113 8.3", head() + [(name, "/x")], REFUSED)
        late = [f for f in head() if f[0] != name] + [("x-a", "v"), (name, value)]
        yield Case(f"late-{name[1:]}", "9113 8.3", late, REFUSED)
        yield Case(f"upper-{name[1:]}", "9113 8.2.1",
                   [(n.upper() if n == name else n, v) for n, v in head()], REFUSED)
    yield Case("no-method", "9113 8.3.1", head(method=None), REFUSED)
    yield Case("no-path", "9113 8.3.1", head(path=None), REFUSED)
    yield Case("no-scheme", "9113 8.3.1", head(scheme=None), REFUSED)
    yield Case("nothing", "9113 8.3.1", [], REFUSED)
    yield Case("no-pseudo", "9113 8.3.1", [("host", AUTHORITY)], REFUSED)
    for name in (":status", ":host", ":", ":foo", ":path ", ":method\r\nx"):
        yield Case(f"unknown-{name!r}", "9113 8.3", [(name, "200"), *head()], REFUSED)
    yield Case("protocol-h2c", "8441 4", [(":protocol", "h2c"), *head("CONNECT")],
               REFUSED)
    yield Case("protocol-with-get", "8441 4",
               [(":protocol", "websocket"), *head()], REFUSED)
    yield Case("protocol-splits", "8441 4",
               [(":protocol", "websocket\r\nx-evil: 1"), *head("CONNECT")], REFUSED)


def methods():
    for word, method in (
            ("empty", ""), ("space-last", "GET "), ("space-first", " GET"),
            ("tab", "G\tT"),
            ("nul", "GET\0"), ("cr", "GET\r"), ("lf", "GET\n"), ("colon", "G:T"),
            ("high", "GET\xe9"), ("slash", "GET/"), ("target", "GET /smuggled"),
            ("line", "GET /smuggled HTTP/1.1\r\nx-evil: 1\r\nx"),
            ("splits", SMUGGLED + "GET"), ("quote", "\"GET\""), ("pri", "PRI")):
        yield Case(f"method-{word}", "9110 9.1", head(method), REFUSED)
    yield Case("method-lower", "9110 9.1", head("get"), PASSED, want={"method": "get"})
    yield Case("method-own", "9110 9.1", head("M-SEARCH"), PASSED,
               want={"method": "M-SEARCH"})
    yield Case("method-head", "9110 9.3.2", head("HEAD"), PASSED,
               want={"method": "HEAD"})
    yield Case("connect-path", "9113 8.5", head("CONNECT"), REFUSED)
    yield Case("connect-no-authority", "9113 8.5", [(":method", "CONNECT")], REFUSED)


def paths():
    for word, path in (
            ("empty", ""), ("bare", "t"), ("star-get", "*"), ("space", "/a b"),
            ("tab", "/a\tb"),
            ("cr", "/a\rb"), ("lf", "/a\nb"), ("nul", "/a\0b"), ("del", "/a\x7fb"),
            ("high", "/a\x80"), ("fragment", "/a#b"), ("query", "?q"),
            ("space-first", " /a"),
            ("space-last", "/a "), ("version", "/ HTTP/1.1"),
            ("authority", "evil.test:80"),
            ("line", "/ HTTP/1.1\r\nx-evil: 1\r\nx: "),
            ("splits", "/ HTTP/1.1\r\n\r\n" + SMUGGLED),
            ("absolute", "http://evil.test/t"), ("scheme", "javascript:x"),
            ("backslash", "\\t"),
            ("crlf-last", "/a\r\n"), ("utf-8", "/\xc3\xa9")):
        yield Case(f"path-{word}", "9113 8.3.1", head(path=path), REFUSED)
    yield Case("path-absolute-odd-scheme", "9113 8.3.1",
               head(path="http://evil.test/t", scheme="ftp"), REFUSED)
    yield Case("path-star-options", "9113 8.3.1", head("OPTIONS", "*"), PASSED,
               want={"target": "*"})
    yield Case("path-star-and-more", "9113 8.3.1", head("OPTIONS", "*/x"), REFUSED)
    yield Case("path-encoded-crlf", "3986 2.1", head(path="/a%0d%0ax:%20y"), PASSED,
               want={"target": "/a%0D%0Ax:%20y"})
    yield Case("path-and-query", "3986 3.4", head(path="/t?a=b&c=http://d/"), PASSED,
               want={"target": "/t?a=b&c=http://d/"})
    yield Case("path-8000", "9112 3", head(path="/" + "a" * 8000), PASSED,
               want={"target": "/" + "a" * 8000})
    yield Case("path-70000", "9112 3", head(path="/" + "a" * 70000), REFUSED)


def authorities():
    for word, authority in (
            ("userinfo", "user@example.test"), ("space", "a b"), ("cr", "a\rb"),
            ("lf", "a\nb"),
            ("nul", "a\0b"), ("path", "a/b"), ("query", "a?b"), ("fragment", "a#b"),
            ("comma", "a,b"), ("two-ports", "a:1:2"), ("letters", "a:b"),
            ("large-port", "a:65536"),
            ("open", "[::1"), ("high", "\xe9.test"), ("backslash", "a\\b"),
            ("tab", "a\tb"),
            ("field", "a\r\nx-evil: 1"), ("splits", "a\r\n\r\n" + SMUGGLED),
            ("scheme", "http://a")):
        # A comma may stand in a host's name (RFC 3986 section 3.2.2).
        verdict = EITHER if word == "comma" else REFUSED
        yield Case(f"authority-{word}", "9113 8.3.1", head(authority=authority),
                   verdict,
                   want={"hosts": [authority]})
        yield Case(f"host-{word}", "9113 8.3.1",
                   head(authority=None, more=[("host", authority)]), verdict,
                   want={"hosts": [authority]})
    yield Case("authority-other-host", "9113 8.3.1",
               head(more=[("host", "evil.test")]), REFUSED)
    yield Case("authority-other-port", "9113 8.3.1",
               head(more=[("host", AUTHORITY + ":81")]), REFUSED)
    yield Case("authority-host-prefix", "9113 8.3.1",
               head(more=[("host", AUTHORITY + ".evil")]), REFUSED)
    yield Case("authority-empty-host", "9113 8.3.1", head(more=[("host", "")]), REFUSED)
    yield Case("authority-same-host", "9113 8.3.1", head(more=[("host", AUTHORITY)]),
               PASSED,
               want={"hosts": [AUTHORITY]})
    yield Case("authority-host-case", "9113 8.3.1",
               head(more=[("host", AUTHORITY.upper())]), EITHER,
               want={"hosts": [AUTHORITY]})
    yield Case("host-alone", "9113 8.3.1",
               head(authority=None, more=[("host", AUTHORITY)]),
               PASSED, want={"hosts": [AUTHORITY]})
    yield Case("host-twice", "9113 8.3.1",
               head(authority=None, more=[("host", AUTHORITY)] * 2), REFUSED)
    yield Case("host-twice-other", "9113 8.3.1",
               head(authority=None, more=[("host", AUTHORITY), ("host", "evil")]),
               REFUSED)
    yield Case("host-second-other", "9113 8.3.1",
               head(more=[("host", AUTHORITY), ("host", "evil")]), REFUSED)
    yield Case("no-host", "9112 3.2", head(authority=None), REFUSED)
    yield Case("authority-empty", "9113 8.3.1", head(authority=""), REFUSED)


def schemes():
    for word, scheme in (("https", "https"), ("ftp", "ftp"), ("upper", "HTTP"),
                         ("one", "x")):
        yield Case(f"scheme-{word}", "9113 8.3.1", head(scheme=scheme), EITHER,
                   want={"target": "/t", "hosts": [AUTHORITY]})
    for word, scheme in (("empty", ""), ("space", "ht tp"),
                         ("crlf", "http\r\nx-evil: 1"),
                         ("nul", "http\0"), ("url", "http://evil.test/?x="),
                         ("digit", "1http"),
                         ("colon", "http:"), ("line", "http://evil/ HTTP/1.1\r\n\r\n")):
        yield Case(f"scheme-{word}", "3986 3.1", head(scheme=scheme), EITHER,
                   want={"target": "/t", "hosts": [AUTHORITY], "absent": "x-evil"})


def connection_fields():
    for name, value in (
            ("connection", "close"), ("connection", "x-a"), ("connection", "host"),
            ("connection", "keep-alive"), ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"), ("transfer-encoding", "chunked"),
            ("transfer-encoding", "identity"), ("transfer-encoding", ""),
            ("upgrade", "h2c"), ("upgrade", "websocket"), ("te", "gzip"),
            ("te", "trailers, gzip"), ("te", "chunked")):
        yield Case(f"{name}={value}", "9113 8.2.2", with_field(name, value), REFUSED)
    yield Case("te=trailers", "9113 8.2.2", with_field("te", "trailers"), PASSED)
    yield Case("http2-settings", "9113 3.1", with_field("http2-settings", "AAMAAABk"),
               EITHER,
               want={"absent": "http2-settings"})
    yield Case("coding-smuggles", "9113 8.2.2",
               head("POST", more=[("transfer-encoding", "chunked")]), REFUSED,
               ["0\r\n\r\n" + SMUGGLED])


def lengths():
    def post(*fields):
        return head("POST", more=fields)

    def length(text):
        return post(("content-length", text))

    yield Case("length-right", "9113 8.1.1", length("5"), PASSED, ["he", "llo"],
               want={"body": "hello"})
    yield Case("length-none", "9113 8.1.1", post(), PASSED, ["he", "llo"],
               want={"body": "hello"})
    yield Case("length-empty-frames", "9113 6.1", post(), PASSED, ["", "hello", ""],
               want={"body": "hello"})
    yield Case("body-is-a-request", "9113 8.1", post(), PASSED, [SMUGGLED],
               want={"body": SMUGGLED})
    yield Case("body-is-chunks", "9113 8.1", post(), PASSED, ["0\r\n\r\n", SMUGGLED],
               want={"body": "0\r\n\r\n" + SMUGGLED})
    yield Case("length-of-get", "9113 8.1.1",
               with_field("content-length", str(len(SMUGGLED))),
               PASSED, [SMUGGLED], want={"body": SMUGGLED})
    # How far such a request gets hangs on what comes first: never to its end.
    for word, text, data in (
            ("short", "3", ["hello"]), ("zero", "0", [SMUGGLED]),
            ("long", "9", ["hello"]),
            ("no-data", "5", None), ("short-smuggles", "1", ["x" + SMUGGLED]),
            ("second-frame", "2", ["he", SMUGGLED])):
        yield Case(f"length-{word}", "9113 8.1.1", length(text), REFUSED, data)
    for word, text in (
            ("empty", ""), ("plus", "+5"), ("minus", "-5"), ("hex", "0x5"),
            ("list", "5, 5"),
            ("words", "five"), ("space", "5 5"), ("huge", "9" * 30),
            ("over", str(1 << 64)),
            ("dot", "5.0"), ("comma", "5,"), ("quote", "\"5\""), ("high", "5\xb2")):
        yield Case(f"length-bad-{word}", "9110 8.6", length(text), REFUSED, ["hello"])
    yield Case("length-twice", "9110 8.6",
               post(("content-length", "5"), ("content-length", "5")), EITHER,
               ["hello"],
               want={"body": "hello"})
    yield Case("length-twice-other", "9110 8.6",
               post(("content-length", "5"), ("content-length", "0")), REFUSED,
               ["hello"])
    yield Case("length-and-coding", "9112 6.3",
               post(("content-length", "5"), ("transfer-encoding", "chunked")), REFUSED,
               ["0\r\n\r\n" + SMUGGLED])
    yield Case("expect", "9110 10.1.1",
               post(("expect", "100-continue"), ("content-length", "5")), PASSED,
               ["hello"],
               want={"body": "hello"})
    yield Case("expect-other", "9110 10.1.1",
               post(("expect", "200-ok"), ("content-length", "5")), EITHER, ["hello"],
               want={"body": "hello"})


def cookies():
    crumbs = [("cookie", "a=1"), ("x-a", "v"), ("cookie", "b=2"), ("cookie", "c=3")]
    yield Case("cookie-crumbs", "9113 8.2.3", head(more=crumbs), PASSED,
               want={"equals": ("cookie", "a=1; b=2; c=3")})
    yield Case("cookie-crlf", "9113 8.2.1",
               head(more=[*crumbs, ("cookie", "d=4\r\nx-evil: 1")]), REFUSED)
    yield Case("cookie-nul", "9113 8.2.1", head(more=[*crumbs, ("cookie", "d\0")]),
               REFUSED)


def trailers():
    def case(word, rfc, fields, verdict, **want):
        return Case(f"trailer-{word}", rfc, head("POST"), verdict, ["hello"], fields,
                    want)

    yield case("ok", "9113 8.1", [("x-t", "v")], PASSED, trailers=[("x-t", "v")])
    for name, value in head():
        yield case(f"pseudo-{name[1:]}", "9113 8.1", [(name, value)], REFUSED)
    for word, name, value in (
            ("cr", "x-t", "a\rb"), ("lf", "x-t", "a\nb"), ("nul", "x-t", "a\0b"),
            ("name-lf", "x\nt", "v"), ("name-space", "x t", "v"),
            ("name-upper", "X-T", "v"),
            ("name-colon", "x-t:", "v"), ("splits", "x-t", SPLIT),
            ("name-empty", "", "v"),
            ("end", "x-t", "v\r\n\r\n" + SMUGGLED),
            ("connection", "connection", "close"),
            ("coding", "transfer-encoding", "chunked"), ("te", "te", "gzip")):
        yield case(word, "9113 8.1", [(name, value)], REFUSED)
    for name, value in (("content-length", "50"), ("host", "evil.test"),
                        ("authorization", "x"), ("tulle-peer", "x")):
        yield case(f"drops-{name}", "9110 6.5.1", [("x-t", "v"), (name, value)], EITHER,
                   trailers=[("x-t", "v")])


def cases():
    made = [Case("plain", "9113 8.1", head(), PASSED, want={
        "method": "GET", "target": "/t", "hosts": [AUTHORITY], "body": ""})]
    for part in (names, values, pseudo, methods, paths, authorities, schemes,
                 connection_fields, lengths, cookies, trailers):
        made += part()
    return made
