# SPDX-License-Identifier: Apache-2.0
"""How the cases of table.py are made."""
HOST = "Host: example.test\r\n"
SMUGGLED = "GET /smuggled HTTP/1.1\r\n" + HOST + "\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
EMPTY_CHUNKS = "0\r\n\r\n"
REFUSED = ["reject"]
REFUSED_OR_ONE = ["reject", "forward"]
BROKEN = ["bad_gateway", "truncated"]
GET = "GET /p HTTP/1.1\r\n" + HOST + "\r\n"


def case(cat, name, rfc, raw, accept, want=None, level="MUST", best=None,
         kind="request"):
    return {"id": f"t-{name}", "cat": cat, "rfc": rfc, "level": level, "kind": kind,
            "raw": raw if isinstance(raw, list) else [raw], "accept": accept,
            "best": best or accept[:1], "want": want or {}}


def post(fields, body="hello", version="1.1", method="POST"):
    return f"{method} /p HTTP/{version}\r\n{HOST}{fields}\r\n{body}"


def answer(name, rfc, raw, accept, want=None, level="MUST", best=None, request=GET):
    made = case("response", f"rsp-{name}", rfc, request, accept, want, level, best,
                "response")
    made["backend_raw"] = raw if isinstance(raw, list) else [raw]
    return made
