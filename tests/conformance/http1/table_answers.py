# SPDX-License-Identifier: Apache-2.0
"""What an application may answer."""
from table_framing import (CODINGS_BAD, DATA_ENDS, EXTENSIONS_BAD, LAST_BAD,
                           LENGTHS_BAD, SIZES_BAD)
from made import BROKEN, CHUNKED, GET, HOST, answer, case, post

OK = "HTTP/1.1 200 OK\r\n"
POISON = OK + "Content-Length: 6\r\nX-Poison: 1\r\n\r\nPOISON"
FINE = {"status": [200], "rbody": "hi"}


def answers_framed():
    gone = {"backend_close": True}
    for name, value in LENGTHS_BAD.items():
        yield answer(f"cl-bad-{name}", "9112 6.3",
                     f"{OK}Content-Length: {value}\r\n\r\nhi",
                     ["bad_gateway"], gone)
    for name, value in (("2-63", 1 << 63), ("2-64", (1 << 64) + 2), ("30", "9" * 30)):
        yield answer(f"cl-over-{name}", "9112 6.3",
                     f"{OK}Content-Length: {value}\r\n\r\nhi", BROKEN, gone)
    for name, first, second in (("0-2", "0", "2"), ("2-0", "2", "0"),
                                ("empty", "2", ""), ("sign", "2", "+2"),
                                ("list", "2", "2, 3")):
        yield answer(f"cl-two-{name}", "9112 6.3",
                     f"{OK}Content-Length: {first}\r\n"
                     f"Content-Length: {second}\r\n\r\nhi", ["bad_gateway"], gone)
    yield answer("cl-list-same", "9112 6.3", f"{OK}Content-Length: 2, 2\r\n\r\nhi",
                 BROKEN[:1] + ["deliver"], FINE)
    for name, value in CODINGS_BAD.items():
        yield answer(f"te-bad-{name}", "9112 6.3",
                     f"{OK}Transfer-Encoding: {value}\r\n\r\nhi",
                     [*BROKEN, "deliver_close"], {**gone, "rbody": ""}, "SHOULD")
        yield answer(f"te-bad-{name}-cl", "9112 6.3",
                     f"{OK}Transfer-Encoding: {value}\r\n"
                     "Content-Length: 2\r\n\r\nhi" + POISON,
                     [*BROKEN, "deliver_close"], {**gone, "twice": True}, "SHOULD")
    for name, fields in (("cl-te", "Content-Length: 2\r\n" + CHUNKED),
                         ("te-cl", CHUNKED + "Content-Length: 12\r\n"),
                         ("te-te", CHUNKED * 2)):
        yield answer(f"both-{name}", "9112 6.3",
                     f"{OK}{fields}\r\n2\r\nhi\r\n0\r\n\r\n",
                     ["bad_gateway", "deliver"],
                     {**FINE, "twice": True}, "SHOULD")
    for name, size in SIZES_BAD.items():
        yield answer(f"chunk-size-{name}", "9112 7.1/8",
                     f"{OK}{CHUNKED}\r\n{size}\r\nZ\r\n0\r\n\r\n", BROKEN, gone,
                     best=BROKEN)
    for name, extension in EXTENSIONS_BAD.items():
        yield answer(f"chunk-ext-{name}", "9112 7.1",
                     f"{OK}{CHUNKED}\r\n1{extension}\r\nZ\r\n0\r\n\r\n", BROKEN, gone,
                     "SHOULD", BROKEN)
    for name, end in DATA_ENDS.items():
        yield answer(f"chunk-end-{name}", "9112 7.1/8",
                     f"{OK}{CHUNKED}\r\n1\r\nZ{end}0\r\n\r\n", BROKEN, gone,
                     best=BROKEN)
    for name, last in LAST_BAD.items():
        yield answer(f"chunk-last-{name}", "9112 7.1",
                     f"{OK}{CHUNKED}\r\n1\r\nZ\r\n{last}", BROKEN, gone, "SHOULD",
                     BROKEN)
    for name, body in (("size", "1"), ("data", "5\r\nhel"), ("crlf", "1\r\nZ"),
                       ("last", "1\r\nZ\r\n0\r\n"),
                       ("none", ""), ("trailer", "0\r\nX: v\r\n")):
        for how in ("backend_close", "backend_rst"):
            yield answer(f"chunk-cut-{name}-{how[8:]}", "9112 8",
                         f"{OK}{CHUNKED}\r\n{body}", BROKEN, {how: True},
                         best=BROKEN)
    for name, line in (("space", "X : v"), ("no-colon", "X"), ("fold", "X: v\r\n w"),
                       ("nul", "X: a\0b"),
                       ("cr", "X: a\rb"), ("lf", "X: a\nb: c")):
        yield answer(f"trl-{name}", "9112 7.1.2",
                     f"{OK}{CHUNKED}\r\n1\r\nZ\r\n0\r\n{line}\r\n\r\n", BROKEN, gone,
                     "SHOULD", BROKEN)


def answers_headed():
    gone = {"backend_close": True}
    rest = "Content-Length: 2\r\n\r\nhi"
    for name, status in (("000", "000"), ("099", "099"), ("99", "99"), ("600", "600"),
                         ("999", "999"), ("1000", "1000"),
                         ("20", "20"), ("space", "2 00"), ("dot", "200.0"),
                         ("minus", "-200"), ("plus", "+200"),
                         ("hex", "0xC8"), ("letters", "2OO"), ("word", "two"),
                         ("glued", "200OK"), ("high", "\xb200"),
                         ("zeros", "0200"), ("none", "")):
        yield answer(f"status-{name}", "9112 4/9110 15",
                     f"HTTP/1.1 {status} OK\r\n{rest}",
                     ["bad_gateway"], gone, "SHOULD")
    for name, line in (
            ("2.0", "HTTP/2.0 200 OK"), ("0.9", "HTTP/0.9 200 OK"),
            ("1.10", "HTTP/1.10 200 OK"), ("lower", "http/1.1 200 OK"),
            ("tab", "HTTP/1.1\t200 OK"), ("two-spaces", "HTTP/1.1  200 OK"),
            ("icy", "ICY 200 OK"), ("blank", " HTTP/1.1 200 OK"),
            ("nul", "\0HTTP/1.1 200 OK"), ("bom", "\xef\xbb\xbfHTTP/1.1 200 OK"),
            ("short", "HTTP/1.1"), ("word", "hello"),
            ("request", "GET / HTTP/1.1"), ("cr", "HTTP/1.1 200 OK\r"),
            ("reason-nul", "HTTP/1.1 200 O\0K"),
            ("reason-cr", "HTTP/1.1 200 O\rK"), ("reason-ctl", "HTTP/1.1 200 O\x01K"),
            ("slash", "HTTP//1.1 200 OK")):
        yield answer(f"line-{name}", "9112 4", f"{line}\r\n{rest}", ["bad_gateway"],
                     gone, "SHOULD")
    for name, line in (("empty-reason", "HTTP/1.1 200 "),
                       ("long-reason", "HTTP/1.1 200 " + "r" * 500),
                       ("high-reason", "HTTP/1.1 200 caf\xe9"),
                       ("tab-reason", "HTTP/1.1 200 a\tb"), ("10", "HTTP/1.0 200 OK")):
        yield answer(f"ok-{name}", "9112 4", f"{line}\r\n{rest}", ["deliver"], FINE)
    yield answer("ok-no-reason", "9112 4", f"HTTP/1.1 200\r\n{rest}",
                 ["deliver", "bad_gateway"], FINE, "policy",
                 ["deliver", "bad_gateway"])
    yield answer("minor-1.2", "9110 2.5", f"HTTP/1.2 200 OK\r\n{rest}",
                 ["deliver", "bad_gateway"], FINE, "policy")
    for name, line in (
            ("space", "X : v"), ("tab", "X\t: v"), ("empty", ": v"), ("no-colon", "X"),
            ("blank", " X: v"),
            ("fold", "X: v\r\n w"), ("nul", "X: a\0b"), ("name-nul", "X\0: v"),
            ("cr", "X: a\rb"),
            ("lf", "X: a\nSet-Cookie: b=c"), ("ctl", "X: a\x01"), ("high", "X\xe9: v"),
            ("esc", "X: \x1b[2J"),
            ("split", "X: a\r\r\nY: b"), ("name-space", "X A: v"),
            ("cl-space", "Content-Length : 9"),
            ("te-space", "Transfer-Encoding : chunked"),
            ("te-fold", "Transfer-Encoding:\r\n chunked")):
        yield answer(f"field-{name}", "9112 5/9110 5.5", f"{OK}{line}\r\n{rest}",
                     ["bad_gateway", "deliver"],
                     {**FINE, "twice": True}, "SHOULD")
    for name, text in (("lf", OK.replace("\r", "") + rest.replace("\r", "")),
                       ("lf-end", OK + "Content-Length: 2\r\n\nhi")):
        yield answer(f"{name}-alone", "9112 2.2", text, ["bad_gateway", "deliver"],
                     FINE, "SHOULD")
    yield answer("fields-5000", "policy", OK + "X: v\r\n" * 5000 + rest,
                 ["bad_gateway", "deliver"], FINE, "policy")
    for name, fields in (("close", "Connection: close\r\n"),
                         ("named", "Connection: x-a\r\nX-A: 1\r\n"),
                         ("named-case", "CONNECTION: X-A\r\nx-a: 1\r\n"),
                         ("keep-alive", "Keep-Alive: timeout=9\r\nX-A2: 1\r\n"),
                         ("proxy", "Proxy-Connection: close\r\n"),
                         ("two", "Connection: a\r\nConnection: x-a\r\nX-A: 1\r\n")):
        yield answer(f"hop-{name}", "9110 7.6.1", OK + fields + rest, ["deliver"],
                     {**FINE, "rhdr_absent": ["x-a", "keep-alive", "proxy-connection"]})
    for name, fields in (("length", "Connection: content-length\r\n"),
                         ("close-case", "Connection: Close\r\n")):
        yield answer(f"hop-{name}", "9110 7.6.1", OK + fields + rest,
                     ["deliver", "bad_gateway"], {**FINE, "twice": True})
    for cut in ("HTTP", "HTTP/1.1 2", "HTTP/1.1 200 OK", OK, OK + "X", OK + "X: v\r\n",
                OK + "Content-Length: 2\r\n\r"):
        for how in ("backend_close", "backend_rst"):
            yield answer(f"cut-{len(cut)}-{how[8:]}", "9112 8", cut, BROKEN,
                         {how: True}, best=BROKEN)
    for n, body in ((0, ""), (1, "h")):
        yield answer(f"cut-body-{n}", "9112 8", OK + f"Content-Length: 2\r\n\r\n{body}",
                     BROKEN, gone, best=BROKEN)


def answers_surplus():
    """What comes after an answer, or beside it, is nobody's."""
    for name, first, status, body in (
            ("length", OK + "Content-Length: 2\r\n\r\nhi", 200, "hi"),
            ("zero", OK + "Content-Length: 0\r\n\r\n", 200, ""),
            ("chunked", OK + CHUNKED + "\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi"),
            ("204", "HTTP/1.1 204 None\r\n\r\n", 204, ""),
            ("304", "HTTP/1.1 304 Same\r\n\r\n", 304, ""),
            ("close", OK + "Connection: close\r\nContent-Length: 2\r\n\r\nhi",
                                                            200, "hi"),
            ("404", "HTTP/1.1 404 No\r\nContent-Length: 0\r\nX-Origin: 1\r\n\r\n", 404,
             "")):
        for what, surplus in (("answer", POISON), ("byte", "P"), ("crlf", "\r\n"),
                              ("100", "HTTP/1.1 100 Continue\r\n\r\n" + POISON)):
            yield answer(f"surplus-{name}-{what}", "9112 6.3/9.2", first + surplus,
                         ["deliver", "bad_gateway"],
                         {"status": [status], "rbody": body, "twice": True})
    for status in (204, 304):
        for name, fields, body in (("cl", "Content-Length: 6\r\n", "POISON"),
                                   ("te", CHUNKED, "6\r\nPOISON\r\n0\r\n\r\n"),
                                   ("answer", f"Content-Length: {len(POISON)}\r\n",
                                    POISON), ("nothing", "", "POISON")):
            yield answer(f"{status}-{name}-body", "9112 6.3",
                         f"HTTP/1.1 {status} X\r\n{fields}\r\n{body}",
                         ["deliver", "bad_gateway"],
                         {"status": [status], "rbody": "", "twice": True})
    head = GET.replace("GET", "HEAD", 1)
    for name, fields, body in (("cl", "Content-Length: 6\r\n", "POISON"),
                               ("te", CHUNKED, "6\r\nPOISON\r\n0\r\n\r\n"),
                               ("nothing", "", "POISON"),
                               ("answer", "Content-Length: 0\r\n", POISON)):
        yield answer(f"head-{name}-body", "9112 6.3", f"{OK}{fields}\r\n{body}",
                     ["deliver", "bad_gateway"],
                     {"status": [200], "rbody": "", "head": True, "twice": True},
                     request=head)
    yield answer("head-length", "9110 9.3.2", f"{OK}Content-Length: 6\r\n\r\n",
                 ["deliver"],
                 {"status": [200], "rbody": "", "head": True}, request=head)
    for name, so_far in (("100", "HTTP/1.1 100 Continue\r\n\r\n"),
                         ("103s", "HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" * 5),
                         ("199", "HTTP/1.1 199 X\r\n\r\n"),
                         ("length", "HTTP/1.1 102 X\r\nContent-Length: 0\r\n\r\n"),
                         ("coding",
                          "HTTP/1.1 102 X\r\nTransfer-Encoding: chunked\r\n\r\n"),
                         ("close", "HTTP/1.1 102 X\r\nConnection: close\r\n\r\n")):
        yield answer(f"1xx-{name}", "9110 15.2",
                     f"{so_far}{OK}Content-Length: 2\r\n\r\nhi",
                     ["deliver", "bad_gateway"], FINE)
        yield answer(f"1xx-{name}-alone", "9112 8", so_far, BROKEN,
                     {"backend_close": True}, best=BROKEN)
    yield answer("1xx-body", "9112 6.3",
                 "HTTP/1.1 103 X\r\nContent-Length: 6\r\n\r\nPOISON"
                 + OK + "Content-Length: 2\r\n\r\nhi",
                 ["bad_gateway", "truncated"], {"backend_close": True})
    yield answer("1xx-flood", "policy", [{"r": "HTTP/1.1 102 X\r\n\r\n", "n": 20000},
                                         OK + "Content-Length: 2\r\n\r\nhi"],
                 ["deliver", *BROKEN], {**FINE, "backend_close": True}, "policy",
                 ["deliver", *BROKEN])
    for name, fields in (("bare", ""), 
                         ("websocket", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
                         ("h2c", "Connection: upgrade\r\nUpgrade: h2c\r\n"),
                         ("length", "Content-Length: 3\r\n"),
                         ("tls", "Connection: upgrade\r\nUpgrade: TLS/1.3\r\n"),
                         ("two", "Connection: upgrade\r\nUpgrade: a, b\r\n")):
        for how, before in (("", ""), ("-after-100", "HTTP/1.1 100 Continue\r\n\r\n")):
            yield answer(f"101-{name}{how}", "9110 15.2.2",
                         f"{before}HTTP/1.1 101 Switching\r\n{fields}\r\nRAW", BROKEN)
    yield answer("101-then-200", "9110 15.2.2",
                 "HTTP/1.1 101 Switching\r\n\r\n" + OK + "Content-Length: 2\r\n\r\nhi",
                 BROKEN)
    asks = HOST + "Connection: upgrade\r\nUpgrade: websocket\r\n"
    yield answer("101-other", "9110 7.8",
                 "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n"
                 "Upgrade: evil\r\n\r\nRAW", BROKEN, request=GET.replace(HOST, asks))
    slow = post("Content-Length: 50\r\n", "hello")
    for status in (200, 400, 401, 413, 500):
        for how in ("close", "keep-alive"):
            yield answer(f"early-{status}-{how}", "9110 15.5/9112 9.3",
                         f"HTTP/1.1 {status} X\r\nX-Origin: 1\r\n"
                         f"Connection: {how}\r\nContent-Length: 2\r\n\r\nhi",
                         ["deliver", "bad_gateway", "truncated"],
                         {"status": [status], "rbody": "hi", "early": True}, "SHOULD",
                         request=slow)
    yield answer("close-delimited-10", "9112 6.3", "HTTP/1.0 200 OK\r\n\r\nhi",
                 ["deliver"], {**FINE, "backend_close": True})
    yield answer("close-delimited-rst", "9112 8", OK + "\r\nhi",
                 [*BROKEN, "deliver_close"], {"backend_rst": True, "rbody": ""},
                 "SHOULD")
    yield answer("10-coding", "9112 6.1",
                 "HTTP/1.0 200 OK\r\n" + CHUNKED + "\r\n2\r\nhi\r\n0\r\n\r\n",
                 ["bad_gateway", "deliver", "truncated"],
                 {**FINE, "backend_close": True})
    for name, line in (("chunked", CHUNKED + "\r\n2\r\nhi\r\n0\r\n\r\n"),
                       ("length", "Content-Length: 2\r\n\r\nhi")):
        yield answer(f"to-10-{name}", "9112 6.1", OK + line, ["deliver", "refused"],
                     {**FINE, "rhdr_absent": ["transfer-encoding"]},
                     request=GET.replace("1.1", "1.0"))
