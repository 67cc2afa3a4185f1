# SPDX-License-Identifier: Apache-2.0
"""What our parser takes must be read in the same way by every other parser that
takes it."""
import re
from collections import Counter

BLANKS = " \t"
# To Node's client any answer to CONNECT opens a tunnel.
COMPARED = {"node": "qgh", "h11": "qghc"}


def plain(fields):
    """As all show them: h11 gives codings in lower case, and one Content-Length
    where it was given twice."""
    out = []
    for name, value in fields:
        field = name.lower(), value.strip(BLANKS)
        if field[0] == "transfer-encoding":
            field = field[0], field[1].lower()
        if field[0] != "content-length" or field not in out:
            out.append(field)
    return out


def is_part(some, whole):
    """In order. We leave out trailers that may not be ones."""
    rest = iter(whole)
    return all(x in rest for x in some)


def in_message(ours, theirs):
    """How two readings of one message differ, or None."""
    if ours["start"] != theirs["start"]:
        return f"start {theirs['start']}"
    if plain(ours["fields"]) != plain(theirs["fields"]):
        return "fields"
    if "refused" in (ours["end"], theirs["end"]):
        return None
    if ours["end"] != theirs["end"]:
        return f"end: {ours['end']}, {theirs['end']}"
    if ours["body"] != theirs["body"]:
        return "body"
    if not is_part(plain(ours.get("trailers", [])), plain(theirs.get("trailers", []))):
        return "trailers"
    return None


def difference(ours, theirs):
    """(message, how they read it otherwise) of the first that we took, or None."""
    for n, message in enumerate(ours["messages"]):
        if n == len(theirs["messages"]):
            if theirs["why"] or theirs["stopped"]:
                return None  # they take less
            return n, "not seen"
        found = in_message(message, theirs["messages"][n])
        if found:
            return n, found
        if "complete" not in (message["end"], theirs["messages"][n]["end"]):
            return None
    more = theirs["messages"][len(ours["messages"]):]
    if more and not ours["stopped"] and ours["why"] == "partial" \
            and more[0]["end"] == "complete":
        return len(ours["messages"]), "they see a message where we wait for more"
    return None


def refused(ours, theirs):
    """The first of the messages that we took whole and they refuse, or None."""
    for n, message in enumerate(ours["messages"]):
        if message["end"] != "complete":
            return None
        if n == len(theirs["messages"]):
            return message if theirs["why"] else None
        if theirs["messages"][n]["end"] == "refused":
            return message
    return None


# What we take although the other parser refuses it: name -> (how it says so, what
# the message has then, why we take it).
NODE_METHODS = set("""ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK
    M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH POST
    PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE
    UNBIND UNLINK UNLOCK UNSUBSCRIBE""".split())
EXTENSION_BLANKS = re.compile(
    rb"\r\n[0-9A-Fa-f]+(?:[ \t]+;|[^\r]*;[^\r=]*[ \t;=][^\r]*)")
TAB_AFTER_CODING = re.compile(
    rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\t[ \t]*\r\n", re.I)
CLOSED_SO_FAR = re.compile(rb"HTTP/1.1 1\d\d [^\0]*connection:[^\r]*close[^\0]*HTTP/1",
                           re.I)
FRAMING_IN_TRAILERS = re.compile(
    rb"\r\n0+[ \t]*(?:;[^\r]*)?\r\n(?:[^\r]*\r\n)*"
    rb"(?:content-length|transfer-encoding):", re.I)
OTHER_MINOR = re.compile(rb"HTTP/1\.[2-9]")

CHUNK_BLANKS = (
    "blanks in a chunk extension", EXTENSION_BLANKS,
    "RFC 9112 section 7.1.1: a recipient takes such blanks; we drop extensions")
TRAILER_FRAMING = (
    "framing field in trailers", FRAMING_IN_TRAILERS,
    "RFC 9110 section 6.5.1: dropped there, never merged nor passed on")
EXPLAINED = {
    "node": [
        (r"HPE_INVALID_CHUNK_SIZE|HPE_STRICT", *CHUNK_BLANKS),
        (r"HPE_(INVALID|UNEXPECTED)_(CONTENT_LENGTH|TRANSFER_ENCODING)",
         *TRAILER_FRAMING),
        (r"HPE_INVALID_TRANSFER_ENCODING", "a tab after the coding", TAB_AFTER_CODING,
         "RFC 9112 section 5.1: blanks around a value are no part of it"),
        (r"HPE_INVALID_VERSION", "a minor version above 1", OTHER_MINOR,
         "RFC 9110 section 2.5: read as 1.1"),
        (r"HPE_CLOSED_CONNECTION", "close in an informational head", CLOSED_SO_FAR,
         "the final answer must follow: RFC 9110 section 15.2"),
    ],
    "h11": [
        (r"illegal chunk header", *CHUNK_BLANKS),
        (r"bad Content-Length|conflicting Content-Length|Only Transfer-Encoding"
         r"|multiple Transfer-Encoding", *TRAILER_FRAMING),
        (r"no request line received", "an empty line before the request",
         re.compile(rb"\A\r\n"), "RFC 9112 section 2.2: should be skipped"),
    ],
}


# What the other parser reads in another way than the standard says, on which we
# have no choice: name -> (what the message has, what it makes of it). Everything
# behind it on that connection it reads otherwise, too.
FAULTS = {
    "node": [
        (TAB_AFTER_CODING,
         "a tab after the coding is taken for a part of it: RFC 9112 section 5.1 "
         "has it stripped, and the coding goes on without it"),
    ],
    "h11": [],
}


def faulty(name, found, ours, data):
    """Whether a difference comes from a fault that is known."""
    at = ours["messages"][found[0]]["at"] if found[0] < len(ours["messages"]) else 0
    return any(has.search(data, at) for has, _ in FAULTS[name])


def explanation(name, message, theirs, data):
    """Why `name` refuses a message that we take, or None."""
    raw = data[0 if "closed" in theirs["why"].lower() else message["at"]:message["to"]]
    if name == "node" and theirs["why"] == "HPE_INVALID_METHOD" and \
            message["start"][0] not in NODE_METHODS:
        return "a method that Node does not know"
    for says, title, has, _ in EXPLAINED[name]:
        if re.match(says, theirs["why"]) and has.search(raw):
            return title
    return None


class Report:
    def __init__(self):
        self.taken = self.refused = 0     # by us: messages, connections
        self.same = Counter()             # by peer: messages read alike
        self.explained = Counter()        # both refuse, and why
        self.faults = Counter()           # by peer: read otherwise, and known why
        self.differences, self.unexplained = [], []

    def add(self, kind, data, ours, others):
        self.taken += sum(m["end"] == "complete" for m in ours["messages"])
        self.refused += bool(ours["why"])
        refusals = {}
        for name, theirs in others.items():
            if kind not in COMPARED[name]:
                continue
            found = difference(ours, theirs)
            if found and faulty(name, found, ours, data):
                self.faults[name] += 1
            elif found:
                self.differences.append((name, f"message {found[0]}: {found[1]}", kind,
                                         data, ours, theirs))
            self.same[name] += alike(ours, theirs)
            message = refused(ours, theirs)
            if message:
                refusals[name] = explanation(name, message, theirs, data) or \
                    (theirs["why"], data)
        if len(refusals) == len(others):
            for name, why in refusals.items():
                if isinstance(why, str):
                    self.explained[f"{name}: {why}"] += 1
                else:
                    self.unexplained.append((name, *why))

    def summary(self):
        alike_by = ", ".join(f"{n} as {p}" for p, n in sorted(self.same.items()))
        lines = [f"{self.taken} messages taken, read alike: {alike_by}; "
                 f"{self.refused} connections refused",
                 f"{len(self.differences)} read differently, "
                 f"{len(self.unexplained)} refused by both without a known reason"]
        lines += [f"  {n} read otherwise for a known fault of {p}"
                  for p, n in sorted(self.faults.items())]
        lines += [f"  {n} refused by {why}" for why,
                  n in sorted(self.explained.items())]
        return "\n".join(lines)


def alike(ours, theirs):
    return sum(a["end"] == b["end"] == "complete"
               for a, b in zip(ours["messages"], theirs["messages"]))


def report(connections, readings):
    out = Report()
    for n, (kind, data) in enumerate(connections):
        out.add(kind, data, readings["ours"][n],
                {name: readings[name][n] for name in COMPARED})
    return out
