# SPDX-License-Identifier: Apache-2.0
"""What fake_kube.py knows of objects, without any server: refusals, patches,
fields and who owns them, selectors."""
import copy


class Refused(Exception):
    """An answer that is a metav1.Status."""

    def __init__(self, code, reason, message, headers=()):
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.headers = list(headers)

    def body(self):
        return {"kind": "Status", "apiVersion": "v1", "metadata": {},
                "status": "Failure", "message": self.message,
                "reason": self.reason, "code": self.code}


REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden",
           404: "NotFound", 405: "MethodNotAllowed", 409: "Conflict",
           410: "Expired", 422: "Invalid", 429: "TooManyRequests",
           500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}


def refused(code, message, reason=None, headers=()):
    return Refused(code, reason or REASONS.get(code, "Unknown"), message,
                   headers)


# --- patches -----------------------------------------------------------------

def merge(into, patch):
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    out = dict(into) if isinstance(into, dict) else {}
    for k, v in patch.items():
        if v is None:
            out.pop(k, None)
        else:
            out[k] = merge(out.get(k), v)
    return out


def _steps(pointer):
    return [s.replace("~1", "/").replace("~0", "~")
            for s in pointer.split("/")[1:]]


def json_patch(document, operations):
    """RFC 6902: add, replace, remove, test."""
    out = copy.deepcopy(document)
    for op in operations:
        *above, last = _steps(op["path"])
        at = out
        try:
            for s in above:
                at = at[int(s)] if isinstance(at, list) else at[s]
            if isinstance(at, list):
                last = len(at) if last == "-" else int(last)
            if op["op"] == "add" and isinstance(at, list):
                at.insert(last, op["value"])
            elif op["op"] == "add":
                at[last] = op["value"]
            elif op["op"] == "replace":
                at[last]  # pylint: disable=pointless-statement
                at[last] = op["value"]
            elif op["op"] == "remove":
                del at[last]
            elif op["op"] == "test":
                if at[last] != op["value"]:
                    raise refused(422, f"test failed: {op['path']}")
            else:
                raise refused(400, f"unknown operation {op['op']}")
        except (KeyError, IndexError, TypeError, ValueError) as e:
            raise refused(422, f"the path {op['path']} is not there") from e
    return out


def leaves(value, path=()):
    """Every field that is no object, as a path; lists are one field, but lists
    of things with names are as fields by name."""
    if isinstance(value, dict) and value:
        for k, v in value.items():
            yield from leaves(v, path + (k,))
    elif isinstance(value, list) and value and \
            all(isinstance(i, dict) and "name" in i for i in value):
        for i in value:
            yield from leaves(i, path + (("name", i["name"]),))
    else:
        yield path, value


def _item(at, step, make=False):
    if not isinstance(step, tuple):
        return at.setdefault(step, {}) if make else at[step]
    for i in at:
        if i.get("name") == step[1]:
            return i
    if not make:
        raise KeyError(step)
    at.append({"name": step[1]})
    return at[-1]


def set_leaf(document, path, value):
    at = document
    for n, s in enumerate(path[:-1]):
        if isinstance(path[n + 1], tuple) and not isinstance(s, tuple):
            at = at.setdefault(s, [])
        else:
            at = _item(at, s, True)
    at[path[-1]] = value


def get_leaf(document, path):
    at = document
    for s in path[:-1]:
        at = _item(at, s)
    return at[path[-1]]


def del_leaf(document, path):
    try:
        at = document
        for s in path[:-1]:
            at = _item(at, s)
        del at[path[-1]]
    except (KeyError, TypeError):
        pass


# --- selectors ---------------------------------------------------------------

def selects_fields(selector, obj):
    for term in filter(None, selector.split(",")):
        name, _, value = term.partition("!=" if "!=" in term else "=")
        at = obj
        for s in name.split("."):
            at = at.get(s, "") if isinstance(at, dict) else ""
        if (str(at) == value.lstrip("=")) == ("!=" in term):
            return False
    return True


def selects_labels(selector, obj):
    labels = obj["metadata"].get("labels", {})
    for term in filter(None, selector.split(",")):
        if "!=" in term:
            name, _, value = term.partition("!=")
            if labels.get(name) == value:
                return False
        elif "=" in term:
            name, _, value = term.partition("=")
            if labels.get(name) != value.lstrip("="):
                return False
        elif term.startswith("!"):
            if term[1:] in labels:
                return False
        elif term not in labels:
            return False
    return True
