# SPDX-License-Identifier: Apache-2.0
"""Where requests end: Content-Length, Transfer-Encoding, chunks, trailers."""
from made import (CHUNKED, EMPTY_CHUNKS, GET, HOST, REFUSED,
                  REFUSED_OR_ONE, SMUGGLED, case, post)

# --- Content-Length ------------------------------------------------------------

LENGTHS_BAD = {
    "list-three": "5,5,6", "list-space": "5 ,6", "semicolon": "5;", "params": "5;q=1",
    "vtab": "5\x0b", "ff": "5\x0c", "nul": "5\x00", "del": "5\x7f", "nbsp": "5\xa0",
    "arabic": "\xd9\xa5", "binary": "0b101", "letter": "5h", "minus-zero": "-0",
    "plus-zero": "+0", "two-minus": "--5", "tab-inside": "5\t5", "dot": "5.",
    "dot-first": ".5",
    "slash": "5/1", "paren": "(5)", "apostrophe": "'5'", "percent": "%35", "nan": "NaN",
    "words": "five", "colon": ":5", "equals": "=5", "hash": "#5", "dollar": "$5",
    "star": "*",
    "brace": "{5}", "comma-first": ",6", "comma-only": ",", "zero-x": "0x",
    "octal": "0o5",
    "bytes": "5 bytes", "high": "5\xff", "utf-bom": "\xef\xbb\xbf5", "backslash": "\\5",
}


def lengths():
    tail = "hello" + SMUGGLED
    refused = {"status": [400], "close": True}
    for name, value in LENGTHS_BAD.items():
        yield case("cl", f"cl-bad-{name}", "9112 6.3",
                   post(f"Content-Length: {value}\r\n", tail), REFUSED, refused)
    for name, value in (("2-63", 1 << 63), ("2-64", 1 << 64), ("2-65", (1 << 65) + 5),
                        ("30", "9" * 30), ("200", "5" * 200)):
        yield case("cl", f"cl-over-{name}", "9110 8.6",
                   post(f"Content-Length: {value}\r\n", tail),
                   ["reject", "wait"])
    for name, first, second in (
            ("zeros", "5", "05"), ("empty", "5", ""), ("empty-first", "", "5"),
            ("sign", "5", "+5"),
            ("0-5", "0", "5"), ("5-0", "5", "0"), ("list", "5", "5, 6"),
            ("space", "5", "5 5")):
        yield case("cl", f"cl-two-{name}", "9112 6.3",
                   post(f"Content-Length: {first}\r\ncontent-length: {second}\r\n",
                        tail), REFUSED,
                   refused)
    yield case("cl", "cl-three-same", "9112 6.3", post("Content-Length: 5\r\n" * 3),
               REFUSED_OR_ONE, {"count": 1, "body": "hello"})
    yield case("cl", "cl-apart", "9112 6.3",
               post("Content-Length: 5\r\nX-A: v\r\nCONTENT-LENGTH: 0\r\n", tail),
               REFUSED, refused)
    for name, value in (("blank-last", "5 "), ("tabs", "\t5\t"), ("none", "5"),
                        ("many", "   5")):
        yield case("cl", f"cl-ok-{name}", "9110 5.5",
                   f"POST /p HTTP/1.1\r\n{HOST}Content-Length:{value}\r\n\r\nhello",
                   ["forward"],
                   {"count": 1, "body": "hello"})
    for method in ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "FOO"):
        yield case("cl", f"cl-body-of-{method}", "9112 6.3",
                   post(f"Content-Length: {len(SMUGGLED)}\r\n", SMUGGLED,
                        method=method),
                   ["forward", "reject"],
                   {"count": 1, "body": SMUGGLED, "method": method})
    yield case("cl", "cl-none-of-post", "9112 6.3", post("", SMUGGLED), ["forward"],
               {"count": 2, "body": "", "responses": 2})
    yield case("cl", "cl-zero", "9112 6.3", post("Content-Length: 0\r\n", ""),
               ["forward"],
               {"count": 1, "body": ""})
    for name in ("Content_Length", "ContentLength", "X-Content-Length",
                 "Content-Lengths"):
        yield case("cl", f"cl-not-{name}", "9110 8.6",
                   post(f"{name}: 99\r\nContent-Length: 5\r\n"), ["forward", "reject"],
                   {"count": 1, "body": "hello"}, "policy")
    for name, line in (
            ("space", "Content-Length : 5"), ("tab", "Content-Length\t: 5"),
            ("nul", "Content-Length\0: 5"), ("cr", "Content-Length\r: 5"),
            ("first", " Content-Length: 5"), ("no-colon", "Content-Length 5"),
            ("high", "Content-Lengt\xe8: 5"), ("split", "Content-\r\nLength: 5"),
            ("lf", "X: y\nContent-Length: 5"), ("cr-alone", "X: y\rContent-Length: 5"),
            ("equals", "Content-Length= 5")):
        yield case("cl", f"cl-name-{name}", "9112 5.1", post(line + "\r\n", SMUGGLED),
                   REFUSED,
                   {"status": [400]})


# --- Transfer-Encoding ---------------------------------------------------------

CODINGS_BAD = {
    "chunk": "chunk", "chunkedd": "chunkedd", "dash": "chunked-", "space": "chunked x",
    "comma": "chunked,x", "identity-last": "chunked, identity",
    "twice": "chunked,chunked",
    "gzip": "gzip", "quote": "\"chunked\"", "paren": "(chunked)", "ff": "chunked\x0c",
    "vtab": "chunked\x0b", "del": "chunked\x7f", "nbsp": "chunked\xa0",
    "high": "\xffchunked",
    "zero": "0", "semicolon": "chunked;", "equals": "chunked=1", "colon": ":chunked",
    "slash": "chunked/1", "bom": "\xef\xbb\xbfchunked", "dot": "chunked.",
    "under": "_chunked",
    "utf-16": "c\0h\0u\0n\0k\0e\0d\0", "apostrophe": "'chunked'",
    "percent": "%63hunked",
    "compress": "compress, gzip", "kelvin": "chun\xe2\x84\xaaed",
    "long": "chunked" * 20,
}


def codings():
    body = EMPTY_CHUNKS + SMUGGLED
    for name, value in CODINGS_BAD.items():
        yield case("te", f"te-bad-{name}", "9112 6.1/6.3",
                   post(f"Transfer-Encoding: {value}\r\n", body), REFUSED,
                   {"status": [400, 501]})
        yield case("te", f"te-bad-{name}-cl", "9112 6.3",
                   post(f"Content-Length: {len(body)}\r\n"
                        f"Transfer-Encoding: {value}\r\n", body),
                   REFUSED)
    for name, value in (("first", ", chunked"), ("last", "chunked, "), ("only", ",")):
        yield case("te", f"te-comma-{name}", "9110 5.6.1",
                   post(f"Transfer-Encoding: {value}\r\n", "1\r\nZ\r\n0\r\n\r\n"),
                   REFUSED_OR_ONE, {"count": 1, "body": "Z"}, "policy")
    for name, line in (
            ("space", "Transfer-Encoding : chunked"),
            ("tab", "Transfer-Encoding\t: chunked"),
            ("first", " Transfer-Encoding: chunked"),
            ("nul", "Transfer-Encoding\0: chunked"),
            ("nul-first", "\0Transfer-Encoding: chunked"),
            ("cr", "Transfer-Encoding\r: chunked"),
            ("vtab", "Transfer-Encoding\x0b: chunked"),
            ("high", "Transfer-Encodin\xe7: chunked"),
            ("split", "Transfer\r\n-Encoding: chunked"),
            ("no-colon", "Transfer-Encoding chunked"),
            ("fold", "Transfer-Encoding:\r\n chunked"),
            ("fold-tab", "Transfer-Encoding:\r\n\tchunked"),
            ("fold-of-x", "X: y\r\n Transfer-Encoding: chunked"),
            ("lf", "X: y\nTransfer-Encoding: chunked"),
            ("cr-alone", "X: y\rTransfer-Encoding: chunked"),
            ("lf-first", "\nTransfer-Encoding: chunked"),
            ("cr-first", "\rTransfer-Encoding: chunked"),
            ("crlf-cr", "X: y\r\n\rTransfer-Encoding: chunked"),
            ("quote", "\"Transfer-Encoding\": chunked"),
            ("bracket", "[Transfer-Encoding]: chunked")):
        yield case("te", f"te-name-{name}", "9112 5/5.1",
                   post(f"{line}\r\nContent-Length: {len(body)}\r\n", body), REFUSED,
                   {"status": [400]})
    for name in ("Transfer_Encoding", "TransferEncoding", "X-Transfer-Encoding"):
        yield case("te", f"te-not-{name}", "9112 6.1",
                   post(f"{name}: chunked\r\nContent-Length: 5\r\n"),
                   ["forward", "reject"],
                   {"count": 1, "body": "hello"}, "policy")
    for n, length in enumerate(("0", "5", str(len(body)), "6", "99", "-1", "x", "")):
        fields = [f"Content-Length: {length}\r\n", CHUNKED]
        for order, text in (("cl-te", fields), ("te-cl", fields[::-1])):
            yield case("te", f"te-and-cl-{n}-{order}", "9112 6.1/6.3",
                       post("".join(text), body),
                       REFUSED_OR_ONE, {"count": 1, "body": "", "close": True})
    yield case("te", "te-two-other", "9112 6.1",
               post(CHUNKED + "Transfer-Encoding: identity\r\n", body), REFUSED)
    yield case("te", "te-two-empty", "9112 6.1",
               post("Transfer-Encoding:\r\n" + CHUNKED, body), REFUSED_OR_ONE,
               {"count_any": [1, 2], "body": ""}, "policy")
    yield case("te", "te-10-cl", "9112 6.1",
               post(CHUNKED + f"Content-Length: {len(body)}\r\n", body, "1.0"), REFUSED)
    yield case("te", "te-10-keep-alive", "9112 6.1",
               post(CHUNKED + "Connection: keep-alive\r\n", body, "1.0"), REFUSED)
    for name, value in (("mixed", "cHuNkEd"), ("blanks", "  chunked  ")):
        yield case("te", f"te-ok-{name}", "9112 7", post(
            f"Transfer-Encoding:{value}\r\n", "1\r\nZ\r\n0\r\n\r\n"), ["forward"],
            {"count": 1, "body": "Z"})


# --- chunks --------------------------------------------------------------------

SIZES_BAD = {
    "tab": "1\t", "minus": "-1", "minus-zero": "-0", "underscore": "1_", "h": "1h",
    "vtab": "1\x0b", "nbsp": "1\xa0", "cr": "1\r", "cr-first": "\r1", "lf-first": "\n1",
    "two": "1 1", "dot": "1.0", "comma": "1,1", "16-digits": "0000000000000001",
    "17-digits": "10000000000000001", "2-64": "1" + "0" * 16, "f16": "f" * 16,
    "colon": "1:",
    "equals": "1=a", "quote": "\"1\"", "percent": "%31", "X": "X1",
    "nul-first": "\x001",
    "comment": "1(a)", "blank": " ", "high": "1\xff", "dollar": "$1",
}
EXTENSIONS_BAD = {
    "no-name": ";", "no-name-blank": "; ", "two": ";;", "no-value": ";a=",
    "no-value-next": ";a=;b",
    "lf": ";a\n", "lf-in": ";a\nb", "cr-in": ";a\rb", "nul": ";\x00",
    "quoted-lf": ";a=\"\n\"",
    "quoted-cr": ";a=\"\rb\"", "quoted-crlf": ";a=\"\r\n0\r\n\r\n\"", "open": ";a=\"b",
    "escape-end": ";a=\"b\\", "after-quote": ";a=\"b\"c", "comma": ";a,b",
    "space-in": ";a b",
    "value-space": ";a=b c", "high": ";a=\xff", "paren": ";a=(b)",
    "two-equals": ";a==b",
    "ctl": ";a=\x01", "del": ";a=\"\x7f\"", "quoted-name": ";\"a\"=b", "slash": ";a/b",
}
DATA_ENDS = {"lf": "\n", "cr": "\r", "none": "", "cr-cr-lf": "\r\r\n", "blank": " \r\n",
             "lf-cr": "\n\r", "x": "XX", "nul": "\0\r\n", "byte-more": "Z\r\n",
             "crlf-x": "\r\nX"}
LAST_BAD = {"lf": "0\n\r\n", "end-lf": "0\r\n\n", "lf-lf": "0\n\n", "cr": "0\r\r\n\r\n",
            "minus": "-0\r\n\r\n", "0x": "0x0\r\n\r\n", "blank": "0 \r\n\r\n",
            "plus": "+0\r\n\r\n",
            "cr-x": "0\r\n\rX"}


def chunked(name, body, accept=None, want=None, level="SHOULD", best=None):
    return case("chunk", name, "9112 7.1", post(CHUNKED, body),
                accept or ["reject", "close"],
                want, level, best or (None if accept else ["reject"]))


def chunks():
    for name, size in SIZES_BAD.items():
        yield chunked(f"chunk-size-{name}", f"{size}\r\nZ\r\n0\r\n\r\n" + SMUGGLED)
    for name, extension in EXTENSIONS_BAD.items():
        yield chunked(f"chunk-ext-{name}", f"1{extension}\r\nZ\r\n0\r\n\r\n" + SMUGGLED)
        yield chunked(f"chunk-ext-last-{name}",
                      f"1\r\nZ\r\n0{extension}\r\n\r\n" + SMUGGLED)
    for name, end in DATA_ENDS.items():
        yield chunked(f"chunk-end-{name}", f"1\r\nZ{end}0\r\n\r\n" + SMUGGLED)
    for name, last in LAST_BAD.items():
        yield chunked(f"chunk-last-{name}", f"1\r\nZ\r\n{last}" + SMUGGLED)
    for name, extension in (("name", ";a"), ("value", ";a=b"), ("quoted", ";a=\"b;c\""),
                            ("escaped", ";a=\"\\\"\""), ("many", ";a;b;c=d;e=\"f\""),
                            ("empty-quoted", ";a=\"\"")):
        yield chunked(f"chunk-ext-good-{name}",
                      f"1{extension}\r\nZ\r\n0{extension}\r\n\r\n",
                      ["forward"], {"count": 1, "body": "Z"}, "MUST")
    for name, extension in (("before", " ;a"), ("after", "; a"), ("equals", ";a = b")):
        yield chunked(f"chunk-ext-blank-{name}", f"1{extension}\r\nZ\r\n0\r\n\r\n",
                      ["forward", "reject"], {"count": 1, "body": "Z"}, "policy")
    for name, size in (("upper", "A"), ("lower", "a"), ("zeros", "000a")):
        yield chunked(f"chunk-size-good-{name}", f"{size}\r\n0123456789\r\n000\r\n\r\n",
                      ["forward"], {"count": 1, "body": "0123456789"}, "MUST")
    yield chunked("chunk-data-is-chunks",
                  "19\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n!!\r\n0\r\n\r\n",
                  ["forward"], {"count": 1,
                                "body": "0\r\n\r\nGET / HTTP/1.1\r\n\r\n!!"}, "MUST")
    yield chunked("chunk-then-next", "1\r\nZ\r\n0\r\n\r\n" + GET, ["forward"],
                  {"count": 2, "body": "Z", "responses": 2}, "MUST")
    for name, body in (("size", "1"), ("data", "5\r\nhel"), ("crlf", "1\r\nZ\r"),
                       ("last", "1\r\nZ\r\n0\r\n")):
        made = chunked(f"chunk-cut-{name}", body, ["close", "reject", "wait"], None,
                       "MUST")
        made["kind"] = "halfclose"
        yield made


def trailers():
    def trailer(name, lines, accept, level="SHOULD", **want):
        return case("trailer", f"trl-{name}", "9112 7.1.2/9110 6.5",
                    post(CHUNKED, "1\r\nZ\r\n0\r\n" + lines + "\r\n"), accept, want,
                    level)

    refused = ["reject", "close"]
    for name, line in (
            ("space", "X : v"), ("empty", ": v"), ("no-colon", "X"),
            ("fold", "X: v\r\n w"),
            ("fold-first", " X: v"), ("nul", "X: a\0b"), ("cr", "X: a\rb"),
            ("lf", "X: a\nY: b"),
            ("name-nul", "X\0: v"), ("high", "X\xe9: v"), ("ctl", "X: a\x01"),
            ("request", "GET /smuggled HTTP/1.1"), ("name-cr", "X\r: v")):
        yield trailer(f"bad-{name}", line + "\r\n", refused)
    for name in ("Content-Length", "Transfer-Encoding", "Host", "Authorization",
                 "Cookie",
                 "Connection", "Trailer", "Expect", "Tulle-Peer",
                 "X-Forwarded-Client-Cert",
                 "Content-Encoding", "Proxy-Authorization"):
        yield trailer(f"drop-{name}", f"{name}: 5\r\nX-T: v\r\n", REFUSED_OR_ONE[::-1],
                      "MUST",
                      count=1, body="Z", trl_absent=[name.lower()], hdr_absent=["x-t"])
    yield trailer("kept", "X-T: v\r\nX-U:\r\n", ["forward"], "SHOULD", count=1,
                  body="Z")
    yield trailer("many", "X: v\r\n" * 5000, refused)
    yield trailer("huge", "X: " + "v" * 300000 + "\r\n", refused)
