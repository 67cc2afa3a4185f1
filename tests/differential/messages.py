# SPDX-License-Identifier: Apache-2.0
"""Connections to read: messages after the grammar of RFC 9112 whose parts are
often wrong, and the same, or messages of the conformance cases, with bytes
changed. All that is random hangs on the seed."""
import random

CRLF = b"\r\n"
SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: sentinel\r\n\r\n"
METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH",
           b"TRACE", b"CONNECT", b"PROPFIND", b"M-SEARCH")
BAD_METHODS = (b"get", b"G ET", b"GET\t", b"", b"GE\x00T", b"G(T", b"BREW",
               b"GET\xe9", b"PRI", b"!#$%&'*+-.^_`|~")
TARGETS = (b"/", b"/p", b"/a/b?c=d&e", b"/%2e%2E/%00", b"//a", b"/a;b=c",
           b"http://test/p", b"http://other:81/p?q", b"HTTP://test", b"/*",
           b"/a'b\"c<d>|^`{}\\", b"/?", b"/a:b@c", b"http://[::1]/", b"/!$()*+,")
BAD_TARGETS = (b"*", b"", b"p", b"/a b", b"/a\tb", b"/a#b", b"/\xff", b"/\x00",
               b"/\x7f", b"test:80", b"test", b"http:///p", b"http://u@test/",
               b"ftp://test/", b"http://te st/", b"/a\rb", b"http://test?q",
               b"http://test#f", b"://test/", b"http:/p", b"?q", b"\\p")
BAD_VERSIONS = (b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/0.9",
                b"http/1.1", b"HTTP/1.10", b"HTTP/1", b"HTTP/11", b"HTP/1.1",
                b"HTTP/1.1 ", b"", b"HTTP/ 1.1", b"HTTP/1,1", b"ICE/1.0",
                b"RTSP/1.0", b"HTTP/01.1")
BAD_LINE_ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\t\r\n",
                 b"\r\n ", b"\r\n\t", b"\x00\r\n", b"\x0b\r\n", b"\x0c\r\n",
                 b"\x85\r\n", b"")
SEPARATORS = (b": ", b":", b":\t", b":  \t ")
BAD_SEPARATORS = (b" : ", b"\t:", b" ", b"", b":\r\n ", b"=", b"::", b":\x00")
NAMES = (b"X-A", b"x-b", b"A", b"X_C", b"Accept", b"Cookie", b"1", b"!#$%&'*+-.^_`|~",
         b"Content-Type", b"Date", b"Via", b"Authorization")
BAD_NAMES = (b"", b"X A", b"X\tA", b"(X)", b"X\x00A", b"X\xe9", b"X/A", b"\"X\"",
             b" X", b"\tX", b"X\r", b"X\n", b"X\x7f", b"X,A", b"{X}", b"X@")
VALUES = (b"", b"v", b"a b", b"a\tb", b"caf\xe9", b"\xff\x80", b"\"q, \\\"x\"",
          b"a,b", b"a:b", b";", b"v  \t", b"x" * 300, b"=?utf-8?q?a?=")
BAD_VALUES = (b"a\x00b", b"a\rb", b"a\nb", b"a\x01b", b"a\x7fb", b"a\x1fb",
              b"a\r\n b", b"a\x0bb", b"a\x08b")
CODINGS = (b"chunked", b"Chunked", b"CHUNKED", b"chunked\t", b"chunked ", b"\tchunked",
           b"chunked \t ")
BAD_CODINGS = (b"chunked, chunked", b"gzip, chunked", b"chunked, gzip",
               b"identity", b"xchunked", b"chunkedx", b"chunked;q=1", b"\"chunked\"",
               b"\x0bchunked", b"chunked,", b",chunked", b"", b"chunked identity",
               b"cow", b"chunked\x00", b"identity, chunked", b"c hunked")
BAD_CODING_NAMES = (b"Transfer-Encoding ", b"Transfer_Encoding",
                    b"Transfer-Encoding\t", b" Transfer-Encoding",
                    b"X: y\r\n Transfer-Encoding", b"X: y\nTransfer-Encoding",
                    b"X: y\rTransfer-Encoding", b"Transfer-Encodin\xc7",
                    b"transfer-encodinG", b"Transfer\r\n-Encoding",
                    b"\x00Transfer-Encoding")
HOSTS = (b"test", b"TEST:80", b"[2001:db8::1]:80", b"1.2.3.4", b"a.b.c", b"test:")
BAD_HOSTS = (b"", b"a b", b"a,b", b"u@a", b"a/b", b"a:b", b"[::1", b"a#b", b"a?b",
             b"a\x00", b"\xe9", b"a:99999", b"a:80:80", b"http://a")
CONNECTIONS = (b"close", b"keep-alive", b"Close", b"close, x-a", b"x-a", b"upgrade",
               b"host", b"content-length", b"transfer-encoding", b"closed", b",close",
               b"keep-alive, close", b"\"close\"", b"close;x", b"TE, close",
               b"close\t", b"\tclose ", b"close\t, x")
EXTENSIONS = (b";a", b";a=b", b"; a = b", b";a=\"b\"", b";a=\"b;c\\\"\"", b" ;a",
              b";a;b=c", b"\t;\ta")
BAD_EXTENSIONS = (b" ", b"\t", b";", b"; ", b";a=", b";\x00", b";a=\"b", b";a\n",
                  b";a\r",
                  b"x", b",a", b" a", b";a=b\xff", b";\"a\"", b";a=\"\n\"",
                  b";a=\"\x7f\"")
BAD_SIZES = (b"", b"+1", b"-1", b"0x1", b"1_", b" 1", b"1g", b"00000000000000001",
             b"FFFFFFFFFFFFFFFF", b"10000000000000000", b"1.0", b"\t1", b"1 1",
             b"\x001",
             b"ffffffff", b"100000000")
STATUSES = (b"200", b"201", b"204", b"304", b"301", b"404", b"500", b"206", b"205",
            b"226", b"299", b"451", b"599")
BAD_STATUSES = (b"99", b"600", b"2000", b"20", b"", b"2x0", b"-20", b"000", b"999",
                b"0200", b"+20", b"1e2", b"2 0")
INFORMATIONAL = (b"100", b"102", b"103", b"199")
REASONS = (b" OK", b" ", b"", b" a b", b" \xe9", b" a\tb", b"  two")
BAD_REASONS = (b" a\x00", b" a\r", b" a\x01", b"\tOK", b" a\x7f", b"OK")
MUTANTS = (b"\r", b"\n", b"\r\n", b"\x00", b" ", b"\t", b":", b";", b",", b"\x0b",
           b"\x0c",
           b"\x7f", b"\x80", b"\xff", b"0", b"1", b"5", b"a", b"F", b"\"", b"\\", b"/",
           b"-",
           b"_", b"#", b"%", b"HTTP/1.1", b"chunked", b"Content-Length: 1\r\n", b"+",
           b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"close",
           b"\xa0")


class Maker:
    """One connection after the other. Most parts are right: else no message
    would be taken, and nothing compared."""

    def __init__(self, seed, bases):
        self.random = random.Random(seed)
        self.bases = bases  # (kind, bytes) to change

    def some(self, good, bad, rarely=30):
        return self.random.choice(good if self.random.randrange(rarely) else bad)

    def end(self):
        return self.some((CRLF,), BAD_LINE_ENDS, 120)

    def field(self, name=None, value=None):
        if name is None:
            name = self.some(NAMES, BAD_NAMES, 40)
        if value is None:
            value = self.some(VALUES, BAD_VALUES, 40)
        return name + self.some(SEPARATORS, BAD_SEPARATORS, 60) + value + self.end()

    def bad_length(self, n):
        n = str(n).encode()
        return self.random.choice((
            b"", b"+" + n, b"-" + n, b"0x" + n, n + b", " + n, n + b",0", b" 1 1",
            n + b".0", b"\"" + n + b"\"", n + b"\x00", n + b"x", b"9" * 19, b"9" * 20,
            b"18446744073709551616", n + b";", n + b"\x0b", b"\xb2", n + b"_0"))

    def length_fields(self, n):
        """Content-Length of a body of `n` bytes, rarely another."""
        dice = self.random.randrange(60)
        text = str(n).encode()
        name = self.random.choice((b"Content-Length", b"content-length",
                                   b"CONTENT-LENGTH"))
        if dice == 0:
            return [self.field(name, self.bad_length(n))]
        if dice == 1:
            return [self.field(name, text), self.field(name, text)]
        if dice == 2:
            return [self.field(name, text),
                    self.field(name, str(self.random.randrange(12)).encode())]
        if dice == 3:
            return [self.field(name, str(max(0,
                                             n + self.random.randint(-3, 3))).encode())]
        if dice == 4:
            return [self.field(self.random.choice((b"Content_Length",
                                                   b"Content-Length ",
                                                   b" Content-Length",
                                                   b"Content-Lengt\xe8")),
                               text)]
        if dice == 5:
            text = b"00" + text
        if dice == 6:
            text += self.random.choice((b" ", b"\t", b" \t ", b"\t\t"))
        return [self.field(name, text)]

    def coding_fields(self):
        dice = self.random.randrange(30)
        name = self.random.choice((b"Transfer-Encoding", b"transfer-encoding"))
        if dice == 0:
            return [self.field(name, self.random.choice(BAD_CODINGS))]
        if dice == 1:
            return [self.field(self.random.choice(BAD_CODING_NAMES), b"chunked")]
        if dice == 2:
            return [self.field(name, self.random.choice(CODINGS)),
                    self.field(name, self.random.choice(CODINGS + BAD_CODINGS))]
        return [self.field(name, self.random.choice(CODINGS))]

    def data(self):
        """A body, often one that looks like a message."""
        return self.random.choice((
            b"", b"x", b"hello", b"0\r\n\r\n", SENTINEL, b"\r\n", b"a\x00\xff\n",
            b"y" * 40,
            b"GET /smuggled HTTP/1.1\r\nHost: s\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"))

    def extension(self):
        if self.random.randrange(6):
            return b""
        return self.some(EXTENSIONS, BAD_EXTENSIONS, 6)

    def size(self, n):
        text = b"%x" % n
        text = self.random.choice((text, text.upper(), text.rjust(4, b"0")))
        return text if self.random.randrange(60) else self.random.choice(BAD_SIZES)

    def chunked(self, data):
        out, at = [], 0
        while at < len(data):
            n = self.random.randint(1, len(data) - at)
            out += [self.size(n), self.extension(), self.end(), data[at:at + n],
                    self.end()]
            at += n
        out += [self.some((b"0", b"000"), BAD_SIZES, 60), self.extension(), self.end()]
        for _ in range(self.random.choice((0, 0, 0, 1, 2))):
            out.append(self.trailer())
        return b"".join(out) + self.end()

    def trailer(self):
        return self.field(self.random.choice(
            (None, b"X-T", b"Content-Length", b"Host", b"Transfer-Encoding")),
            self.random.choice((None, b"1", b"chunked")))

    def body(self):
        """(framing fields, bytes)"""
        dice = self.random.randrange(20)
        data = self.data()
        if dice < 8:
            return [], b""
        if dice < 13:
            return self.length_fields(len(data)), data
        if dice < 19:
            return self.coding_fields(), self.chunked(data)
        fields = self.length_fields(len(data)) + self.coding_fields()
        return fields, self.random.choice((data, self.chunked(data)))

    def rest(self, fields):
        """The fields of a head in any order, and the empty line."""
        fields += [self.field() for _ in range(self.random.choice((0, 0, 1, 1, 2, 4)))]
        if not self.random.randrange(8):
            fields.append(self.field(b"Connection", self.random.choice(CONNECTIONS)))
        if not self.random.randrange(20):
            fields.append(self.field(b"Upgrade", self.random.choice(
                (b"websocket", b"h2c", b"foo/1", b"", b"TLS/1.0"))))
        self.random.shuffle(fields)
        return b"".join(fields) + self.end()

    def host_fields(self):
        dice = self.random.randrange(60)
        if dice == 0:
            return []
        if dice == 1:
            return [self.field(b"Host", b"test"), self.field(b"Host", b"test")]
        return [self.field(b"Host", self.some(HOSTS, BAD_HOSTS, 40))]

    def request(self):
        method = self.some(METHODS, BAD_METHODS, 40)
        target = self.some(TARGETS, BAD_TARGETS, 25)
        if method == b"CONNECT" and self.random.randrange(4):
            target = self.some((b"test:443", b"[2001:db8::1]:1"),
                               (b"test", b"test:", b":1", b"/"), 3)
        if method == b"OPTIONS" and self.random.randrange(2):
            target = b"*"
        fields, data = self.body()
        if method == b"CONNECT" and self.random.randrange(8):
            fields, data = [], b""
        if not self.random.randrange(30):
            fields.append(self.field(b"Expect", self.some((b"100-continue",),
                                                          (b"200-ok",
                                                           b"100-continue, x"), 4)))
        space = self.some((b" ",), (b"  ", b"\t", b"", b" \t", b"\x0b", b"\xa0"), 120)
        return b"".join((
            self.some((b"",), (CRLF, b"\n", b" ", b"\r\n\r\n", b"\x00", b"\r"), 40),
            method, space, target, b" ", self.some((b"HTTP/1.1",), BAD_VERSIONS, 25),
            self.end(), self.rest(self.host_fields() + fields), data))

    def response(self):
        out = []
        for _ in range(self.random.choice((0, 0, 0, 0, 1, 2))):
            out += [b"HTTP/1.1 ", self.random.choice(INFORMATIONAL), b" So far",
                    self.end(),
                    self.rest([])]
        status = self.some(STATUSES, BAD_STATUSES, 40)
        fields, data = self.body()
        if not self.random.randrange(25):
            status = b"101"
            fields += [self.field(b"Upgrade", b"websocket"),
                       self.field(b"Connection", b"upgrade")]
        out += [self.some((b"HTTP/1.1",), BAD_VERSIONS, 25),
                self.some((b" ",), (b"  ", b"\t"), 120),
                status, self.some(REASONS, BAD_REASONS, 40), self.end(),
                self.rest(fields), data,
                self.random.choice((b"", b"", b"surplus", b"HTTP/1.1 200 OK\r\n\r\n"))]
        return b"".join(out)

    def changed(self, data):
        data = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2, 3))):
            at = self.random.randrange(len(data) + 1)
            to = min(len(data), at + self.random.choice((0, 1, 1, 1, 2, 5)))
            dice = self.random.randrange(8)
            if dice == 0:    # twice
                data[at:at] = data[at:at + self.random.randrange(1, 40)]
            elif dice == 1:  # gone
                del data[at:to]
            elif dice == 2:  # any byte
                data[at:to] = bytes([self.random.randrange(256)])
            else:
                data[at:to] = self.random.choice(MUTANTS)
        return bytes(data)

    def connection(self):
        """(kind, bytes): `q` requests, else answers to one, `g`, `h` or `c`."""
        dice = self.random.randrange(10)
        if dice == 0 and self.bases:
            kind, data = self.random.choice(self.bases)
        elif dice < 7:
            kind, data = "q", b"".join(self.request() for _ in range(
                self.random.choice((1, 1, 1, 2))))
        else:
            kind, data = self.random.choice("ggghc"), self.response()
        if self.random.randrange(2):
            data = self.changed(data)
        if kind == "q":
            data += SENTINEL
        return kind, data


def connections(seed, count, bases=()):
    maker = Maker(seed, bases)
    return [maker.connection() for _ in range(count)]
