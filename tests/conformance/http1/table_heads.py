# SPDX-License-Identifier: Apache-2.0
"""Hosts, targets, request lines, field lines."""
from made import GET, HOST, REFUSED, REFUSED_OR_ONE, SMUGGLED, case


def hosts():
    for name, host in (
            ("tab", "a\tb"), ("userinfo", "u:p@a"), ("at", "@a"), ("path", "a/"),
            ("query", "a?"),
            ("fragment", "a#"), ("port-large", "a:65536"), ("port-sign", "a:+1"),
            ("port-hex", "a:0x50"),
            ("port-space", "a: 80"), ("open", "[::1"), ("close", "::1]"),
            ("bare-v6", "::1"),
            ("v6-name", "[a.test]"), ("v6-more", "[::1]x"), ("empty-v6", "[]"),
            ("high", "\xe9.test"),
            ("backslash", "a\\b"), ("quote", "\"a\""), ("brace", "{a}"), ("lt", "<a>"),
            ("pipe", "a|b"),
            ("percent", "a%"), ("percent-half", "a%4"), ("percent-bad", "a%zz"),
            ("scheme", "http://a"),
            ("colon", ":80"), ("colons", "a::80"), ("space-in", "a .test"),
            ("caret", "a^b")):
        yield case("host", f"host-bad-{name}", "9112 3.2",
                   f"GET /p HTTP/1.1\r\nHost: {host}\r\n\r\n",
                   REFUSED, {"status": [400]})
    # A comma is a sub-delim: a registered name may have it (RFC 3986 section 3.2.2).
    yield case("host", "host-comma", "3986 3.2.2",
               "GET /p HTTP/1.1\r\nHost: a,b\r\n\r\n",
               REFUSED_OR_ONE, {"count": 1, "hdr_equals": {"host": "a,b"}}, "policy",
               REFUSED_OR_ONE)
    yield case("host", "host-empty", "9112 3.2", "GET /p HTTP/1.1\r\nHost:\r\n\r\n",
               REFUSED_OR_ONE, {"count": 1}, "policy")
    for name, lines in (
            ("case", "Host: a.test\r\nHOST: a.test\r\n"),
            ("empty-second", "Host: a.test\r\nHost:\r\n"),
            ("empty-first", "Host:\r\nHost: a.test\r\n"),
            ("apart", "Host: a.test\r\nX: y\r\nHost: b\r\n"),
            ("three", "Host: a\r\n" * 3), ("space", "Host: a.test\r\nHost : b\r\n"),
            ("fold", "Host: a.test\r\n b.test\r\n"),
            ("fold-host", "X: y\r\n Host: b\r\nHost: a.test\r\n"),
            ("lf", "Host: a.test\nHost: b\r\n"),
            ("nul", "Host: a.test\r\nHost\0: b\r\n"),
            ("first-blank", " Host: b\r\nHost: a.test\r\n")):
        yield case("host", f"host-two-{name}", "9112 3.2",
                   f"GET /p HTTP/1.1\r\n{lines}\r\n", REFUSED,
                   {"status": [400]})
    for name, host in (("v4", "192.0.2.1:80"), ("v6", "[2001:db8::1]"),
                       ("port-empty", "a.test:"),
                       ("upper", "A.TEST"), ("dash", "a-b_c.test"),
                       ("escape", "a%41.test"),
                       ("dot", "a.test."), ("port-zero", "a.test:0"),
                       ("digits", "1234")):
        yield case("host", f"host-ok-{name}", "3986 3.2.2",
                   f"GET /p HTTP/1.1\r\nHost: {host}\r\n\r\n",
                   ["forward"], {"count": 1, "hdr_equals": {"host": host}})
    for name in ("X-Host", "X-Forwarded-Host", "Host-", "Hostname",
                 "X-HTTP-Host-Override"):
        yield case("host", f"host-only-{name}", "9112 3.2",
                   f"GET /p HTTP/1.1\r\n{name}: a\r\n\r\n",
                   REFUSED, {"status": [400]})


def targets():
    def target(name, text, accept, level="SHOULD", method="GET", **want):
        return case("request-line", f"target-{name}", "9112 3.2",
                    f"{method} {text} HTTP/1.1\r\n{HOST}\r\n", accept, want, level)

    for name, text in (
            ("empty", ""), ("authority", "example.test:80"), ("host", "example.test"),
            ("query", "?q"), ("fragment-only", "#f"), ("fragment", "/p?q#f"),
            ("backslash", "\\p"),
            ("nul", "/p\0"), ("cr", "/p\rx"), ("vtab", "/p\x0bx"), ("ff", "/p\x0cx"),
            ("ctl", "/p\x01"),
            ("del", "/p\x7f"), ("two", "/p /q"), ("nbsp", "/p\xa0x"),
            ("utf-8", "/\xc3\xa9"),
            ("overlong", "/\xc0\xaf"), ("ftp", "ftp://example.test/p"),
            ("file", "file:///etc/passwd"),
            ("javascript", "javascript:x"), ("no-scheme", "://example.test/p"),
            ("one-slash", "http:/p"), ("no-authority", "http:///p"),
            ("no-slashes", "http:p"),
            ("star-path", "*/p"), ("star-get", "*"), ("two-stars", "**"), ("dot", "."),
            ("quote", "\"/p\""),
            ("abs-userinfo", "http://u@example.test/p"), ("abs-space", "http://a b/p"),
            ("abs-port", "http://a:b/p"), ("abs-fragment", "http://example.test/p#f"),
            ("abs-high", "http://\xe9/p"), ("abs-query", "http://example.test?q"),
            ("abs-open", "http://[::1/p"), ("abs-backslash", "http://example.test\\p")):
        # Refused; who repairs some of these is not wrong, but must be consistent.
        yield target(f"bad-{name}", text, ["reject"])
    for method in ("POST", "HEAD", "DELETE", "TRACE", "FOO", "options"):
        yield target(f"star-{method}", "*", ["reject"], method=method)
    for name, text, to in (
            ("abs", "http://example.test/q", "/q"),
            ("abs-upper", "HTTP://example.test/q", "/q"),
            ("abs-https", "https://example.test/q", "/q"),
            ("abs-none", "http://example.test", "/"),
            ("abs-port", "http://example.test:81/q", "/q"),
            ("abs-in-query", "/q?u=http://a/", "/q?u=http://a/"),
            ("colon", "/a:b@c", "/a:b@c"), ("escapes", "/%41%2f?%23", "/A%2F?%23"),
            ("semicolon", "/a;b", "/a;b")):
        yield target(f"ok-{name}", text, ["forward"], "MUST", count=1,
                     target_any=[to, text, text + "/"]
                     if name.startswith("abs") else [to])
    for name, other in (("port", "http://other.test:81/q"),
                        ("upper", "http://OTHER.test/q"),
                        ("v6", "http://[2001:db8::1]:81/q")):
        host = other[7:-2]
        yield target(f"abs-wins-{name}", other, ["forward", "reject"], "MUST", count=1,
                     hdr_equals={"host": host})
    yield case("request-line", "target-abs-two-hosts", "9112 3.2",
               f"GET http://example.test/p HTTP/1.1\r\n{HOST}{HOST}\r\n", REFUSED,
               {"status": [400]})
    yield case("request-line", "target-abs-bad-host", "9112 3.2",
               "GET http://example.test/p HTTP/1.1\r\nHost: a b\r\n\r\n", REFUSED,
               {"status": [400]})
    for name, text in (("slash", "/p"),
                       ("none", "example.test"),
                       ("abs", "http://example.test:443/"), ("bad", "a:b:c"),
                       ("user", "u@a:1"),
                       ("port-large", "a:65536"), ("star", "*"),
                       ("empty-host", ":443")):
        yield target(f"connect-{name}", text, ["reject"], method="CONNECT")
    # The backend grants it, as a forward proxy may: what follows is the tunnel's.
    yield case("request-line", "target-connect", "9110 9.3.6",
               f"CONNECT example.test:443 HTTP/1.1\r\n{HOST}\r\n",
               ["forward", "reject"], {"count": 1, "target": "example.test:443"})
    yield case("request-line", "target-connect-length", "9110 9.3.6",
               f"CONNECT example.test:443 HTTP/1.1\r\n{HOST}"
               f"Content-Length: 5\r\n\r\nhello{SMUGGLED}",
               REFUSED)


def request_lines():
    def line(name, text, accept=None, level="SHOULD", rfc="9112 3", **want):
        return case("request-line", f"line-{name}", rfc, f"{text}{HOST}\r\n",
                    accept or ["reject"],
                    want, level)

    for name, version in (
            ("0.9", "HTTP/0.9"), ("2", "HTTP/2"), ("2.0", "HTTP/2.0"),
            ("3.0", "HTTP/3.0"),
            ("1", "HTTP/1"), ("1-dot", "HTTP/1."), ("dot-1", "HTTP/.1"),
            ("01.1", "HTTP/01.1"),
            ("1.01", "HTTP/1.01"), ("1.x", "HTTP/1.x"), ("x.1", "HTTP/x.1"),
            ("1-1", "HTTP/1-1"),
            ("minus", "HTTP/-1.1"), ("space", "HTTP /1.1"), ("space-2", "HTTP/ 1.1"),
            ("lower", "http/1.1"),
            ("mixed", "Http/1.1"), ("https", "HTTPS/1.1"), ("none", "1.1"),
            ("slash", "HTTP//1.1"),
            ("more", "HTTP/1.1 x"), ("nul", "HTTP/1.1\0"), ("tab", "HTTP/1.1\t"),
            ("vtab", "HTTP/1.1\x0b"),
            ("cr", "HTTP/1.1\r"), ("superscript", "HTTP/1.\xb9"), ("rtsp", "RTSP/1.0"),
            ("icy", "ICE/1.1")):
        yield line(f"version-{name}", f"GET /p {version}\r\n")
    yield line("version-1.9", "GET /p HTTP/1.9\r\n", ["forward", "reject"], count=1)
    for name, text in (
            ("tab", "GET\t/p HTTP/1.1\r\n"), ("tab-2", "GET /p\tHTTP/1.1\r\n"),
            ("vtab", "GET\x0b/p HTTP/1.1\r\n"),
            ("nbsp", "GET\xa0/p HTTP/1.1\r\n"), ("cr", "GET\r/p HTTP/1.1\r\n"),
            ("lf", "GET /p HTTP/1.1\n"),
            ("lf-inside", "GET /p\nHTTP/1.1\r\n"),
            ("crlf-inside", "GET /p\r\nHTTP/1.1\r\n"),
            ("no-method", "/p HTTP/1.1\r\n"), ("only-method", "GET\r\n"),
            ("no-version", "GET /p\r\n"), ("no-target", "GET HTTP/1.1\r\n"),
            ("nul-first", "\0GET /p HTTP/1.1\r\n"),
            ("bom", "\xef\xbb\xbfGET /p HTTP/1.1\r\n"),
            ("response", "HTTP/1.1 200 OK\r\n"),
            ("cr-first", "\rGET /p HTTP/1.1\r\n"),
            ("lf-first", "\nGET /p HTTP/1.1\r\n"),
            ("tab-first", "\tGET /p HTTP/1.1\r\n"),
            ("fold", "GET /p HTTP/1.1\r\n x\r\n")):
        yield line(name, text)
    yield line("many-empty", "\r\n" * 200 + "GET /p HTTP/1.1\r\n",
               ["reject", "forward"], "policy",
               count=1)
    for name, method in (
            ("colon", "G:T"), ("at", "G@T"), ("slash", "G/T"), ("comma", "G,T"),
            ("brace", "{GET}"),
            ("high", "G\xcb T"), ("nul", "G\0T"), ("ctl", "G\x01T"), ("del", "GET\x7f"),
            ("quote", "\"GET\""),
            ("paren", "(GET)"), ("equals", "G=T"), ("pri", "PRI"),
            ("backslash", "G\\T"), ("lt", "<GET>")):
        yield line(f"method-{name}", f"{method} /p HTTP/1.1\r\n", rfc="9110 9.1")
    for method in ("PROPFIND", "get", "Get", "X", "A" * 40, "!#$%&'*+-.^_`|~"):
        yield line(f"method-ok-{method}", f"{method} /p HTTP/1.1\r\n",
                   ["forward", "reject"], "MUST",
                   "9110 9.1", count=1, method=method)


def fields():
    def lines(name, text, accept=None, level="SHOULD", rfc="9112 5", **want):
        return case("fields", f"field-{name}", rfc,
                    f"GET /p HTTP/1.1\r\n{HOST}{text}\r\n",
                    accept or ["reject"], want, level)

    for name, text in (
            ("space-name", "X A: v\r\n"), ("tab-name", "X\tA: v\r\n"),
            ("cr-name", "X\rA: v\r\n"),
            ("comma-name", "X,A: v\r\n"), ("at-name", "X@A: v\r\n"),
            ("slash-name", "X/A: v\r\n"),
            ("quote-name", "\"X\": v\r\n"), ("brace-name", "{X}: v\r\n"),
            ("bracket-name", "[X]: v\r\n"),
            ("equals-name", "X=A: v\r\n"), ("semicolon-name", "X;A: v\r\n"),
            ("utf-name", "\xc3\xa9: v\r\n"),
            ("del-name", "X\x7f: v\r\n"), ("only-blank", " \r\n"),
            ("only-tab", "\t\r\n"), ("only-x", "x\r\n"),
            ("colon-first", ":X: v\r\n"), ("request", "GET /smuggled HTTP/1.1\r\n")):
        yield lines(f"bad-{name}", text)
    for name, text in (
            ("space", "X : v\r\n"), ("tab", "X\t: v\r\n"), ("spaces", "X  : v\r\n")):
        yield lines(f"colon-{name}", text, level="MUST", rfc="9112 5.1", status=[400])
    for name, text in (
            ("space", "X: a\r\n b\r\n"), ("tab", "X: a\r\n\tb\r\n"),
            ("twice", "X: a\r\n b\r\n c\r\n"), ("host", "X: a\r\n Host: evil\r\n"),
            ("last", "X: a\r\n \r\n"), ("of-none", "X:\r\n v\r\n")):
        yield lines(f"fold-{name}", text, REFUSED_OR_ONE, "MUST", "9112 5.2", count=1,
                    status=[400])
    for byte in (0, 1, 8, 0xb, 0xc, 0xe, 0x1b, 0x1f, 0x7f):
        yield lines(f"value-{byte:02x}", f"X: a{chr(byte)}b\r\n", REFUSED_OR_ONE,
                    "MUST" if byte == 0 else "SHOULD", "9110 5.5", count=1,
                    allow_ctl=byte != 0)
    for name, text in (("cr", "X: a\rb\r\n"), ("cr-first", "X: \ra\r\n"),
                       ("cr-cr-lf", "X: a\r\r\n"), ("lf", "X: a\nY: b\r\n"),
                       ("lf-last", "X: a\n"),
                       ("lf-cr", "X: a\n\r")):
        yield lines(f"value-{name}", text, REFUSED_OR_ONE, "MUST", "9110 5.5/9112 2.2",
                    count=1)
    for name, end in (("lf", "\n"), ("cr-x", "\rX"), ("cr-cr", "\r\r"),
                      ("lf-cr-lf", "\n\r\n")):
        yield case("fields", f"field-head-end-{name}", "9112 2.2",
                   f"GET /p HTTP/1.1\r\n{HOST}X: a\r\n{end}{SMUGGLED}",
                   ["reject", "forward"],
                   {"prefix": 1, "count_any": [1, 2]}, "SHOULD")
    yield lines("high", "X: \x80\xff\r\n", ["forward", "reject"], rfc="9110 5.5",
                count=1,
                hdr_equals={"x": "\x80\xff"})
    yield lines("order", "X: 1\r\nY: 2\r\nX: 3\r\n", ["forward"], "MUST", "9110 5.3",
                count=1,
                hdr_present=["x", "y"])
    yield lines("many", "X: v\r\n" * 400, ["reject", "forward"], "policy", "6585 5",
                count=1)
