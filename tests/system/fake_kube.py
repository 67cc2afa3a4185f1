# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes API server in a process of ours, without the Kubernetes: tables
of objects over HTTPS, and whatever can go wrong with it, on order.

    with FakeKube(folder) as kube:
        kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": {...}, ...})
        start("tulle-controller", "--kubeconfig", kube.kubeconfig())
        kube.delete("Pod", "shop", "cart-1")
        kube.fail(times=3, status=500, path="/api/v1/pods")
        kube.freeze(); ...; kube.thaw()
        assert kube.get("Lease", "tulle-system", "tulle-controller")

What it does as the real one: HTTP/1.1 and HTTP/2, gzip, lists in pages, streamed
lists (sendInitialEvents), watches from a resourceVersion, bookmarks, 410;
create, replace, delete, merge and JSON patches, server-side apply with owners of
fields, /status, optimistic locking, stringData; bearer tokens and client certificates;
TokenReview. What it does not: validation, admission, defaults, garbage
collection, OpenAPI. Anybody may do anything, unless fail(status=403) says so.

Everything may be called from any thread. See the methods of FakeKube.
"""
import base64
import copy
import datetime
import ipaddress
import json
import os
import threading
import time
import uuid
from collections import namedtuple
from urllib.parse import parse_qsl, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fake_kube_http import Gone, Listener, server_tls
from fake_kube_patch import del_leaf, get_leaf, json_patch, leaves, merge, \
    refused, Refused, selects_fields, selects_labels, set_leaf
from fake_kube_watch import Stream, compact
from peers.authority import CLIENT_ONLY, Authority

TOKEN = "a-token-of-the-fake-api-server"

Resource = namedtuple("Resource", "group version plural kind namespaced status")
Event = namedtuple("Event", "version key kind object text")

RESOURCES = [
    Resource("", "v1", "namespaces", "Namespace", False, True),
    Resource("", "v1", "nodes", "Node", False, True),
    Resource("", "v1", "pods", "Pod", True, True),
    Resource("", "v1", "services", "Service", True, True),
    Resource("", "v1", "configmaps", "ConfigMap", True, False),
    Resource("", "v1", "secrets", "Secret", True, False),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True, False),
    Resource("", "v1", "events", "Event", True, False),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", True,
             False),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", True, False),
    Resource("apps", "v1", "deployments", "Deployment", True, True),
    Resource("batch", "v1", "jobs", "Job", True, True),
    Resource("admissionregistration.k8s.io", "v1",
             "mutatingwebhookconfigurations", "MutatingWebhookConfiguration",
             False, False),
    Resource("tulle.dev", "v1alpha1", "meshproxies", "MeshProxy", True, True),
    Resource("tulle.dev", "v1alpha1", "meshconfigs", "MeshConfig", False, True),
]


class Fault:
    """What fail() and others ordered. `left`: how often still."""

    def __init__(self, times, path, method, query, answer):
        self.left, self.answer = times, answer
        self.path, self.method, self.query = path, method, query
        self.hit = 0

    def takes(self, x):
        return self.left > 0 and (not self.path or x.path == self.path) \
            and (not self.method or x.method == self.method) \
            and all(x.query.get(k) == v for k, v in self.query.items())


# pylint: disable=too-many-instance-attributes,too-many-public-methods
class FakeKube:
    """`folder`: for its certificates and kubeconfigs. `http2`: whether it is
    offered. Settings that a test may change at any time:

    watch_lists      streamed lists are known (else 422, as older servers)
    bookmark_seconds between bookmarks on a watch; 60 as the real one
    tokens           token -> user name; others get 401
    review           what TokenReview answers: f(token, audiences) -> status
    version          the last resourceVersion given out
    requests         every Exchange (fake_kube_http), oldest first: method,
                     path, query, headers, body, user, status (0: not yet)
    """

    def __init__(self, folder, http2=True, port=None, host="127.0.0.1"):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.http2, self.host = folder, http2, host
        self.authority = Authority.stranger()
        self.watch_lists, self.bookmark_seconds = True, 60
        self.tokens = {TOKEN: "system:admin"}
        self.reviews, self.review = {}, self._review
        self.version, self.requests = 1000, []
        self.resources = {r.kind: r for r in RESOURCES}
        self._objects = {}  # (kind, namespace, name) -> object
        self._texts = {}    # the same, as bytes
        self._owners = {}   # the same -> {manager: {path, ...}}
        self._history, self._oldest = [], self.version
        self._faults, self._streams = [], set()
        self._changed = threading.Condition(threading.RLock())
        self._names = 0
        self._tls = server_tls(self._write_certificate(host),
                               self._write("ca.pem", self.ca_pem()), http2)
        self._listener = Listener(self._serve, self._tls, host, port)
        self.port = self._listener.port
        self.url = f"https://{host}:{self.port}"

    # --- life ----------------------------------------------------------------

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Nobody listens, all connections are cut. The objects stay."""
        self._listener.stop()

    def restart(self):
        """Listens again on the same port."""
        self.stop()
        self._listener = Listener(self._serve, self._tls, self.host, self.port)

    def freeze(self):
        """As SIGSTOP: connections stay, nothing is read, written, accepted."""
        self._listener.running.clear()

    def thaw(self):
        self._listener.running.set()

    def drop_connections(self):
        self._listener.drop_connections()

    def connections(self):
        """How many are open."""
        return self._listener.connections()

    # --- certificates and kubeconfigs ----------------------------------------

    def _write(self, name, content):
        path = f"{self.folder}/{name}"
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(content)
        os.replace(path + ".new", path)
        return path

    @staticmethod
    def _pems(signed):
        return (signed.cert.public_bytes(serialization.Encoding.PEM).decode(),
                signed.key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption()).decode())

    def ca_pem(self):
        return self._pems(self.authority)[0]

    def _write_certificate(self, host):
        name = x509.IPAddress(ipaddress.ip_address(host))
        return self._write("server.pem", "".join(
            self._pems(self.authority.sign([name]))))

    def client_pems(self, name):
        """Certificate and key of a user who needs no token."""
        return self._pems(self.authority.sign([], common_name=name,
                                              purposes=CLIENT_ONLY))

    def kubeconfig(self, *, token=TOKEN, token_file=None, client=None, ca=None,
                   namespace=None, user=None, cluster=None):
        """Writes one and returns its path. `client`: name of a user with a
        certificate; `user`, `cluster`: more members, or other values."""
        def data(text):
            return base64.b64encode(text.encode()).decode()
        self._names += 1
        who = {}
        if client:
            cert, key = self.client_pems(client)
            who = {"client-certificate-data": data(cert),
                   "client-key-data": data(key)}
        elif token_file:
            who["tokenFile"] = token_file
        elif token:
            who["token"] = token
        where = {"server": self.url,
                 "certificate-authority-data": data(ca or self.ca_pem())}
        context = {"cluster": "fake", "user": "me"}
        if namespace:
            context["namespace"] = namespace
        return self._write(f"kubeconfig-{self._names}", json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "fake", "cluster": {**where,
                                                      **(cluster or {})}}],
            "users": [{"name": "me", "user": {**who, **(user or {})}}],
            "contexts": [{"name": "here", "context": context}]}))

    # --- objects, as tests see them ------------------------------------------

    def put(self, obj):
        """Creates or replaces, whatever is there. Returns what is stored."""
        with self._changed:
            resource = self.resources[obj["kind"]]
            new = copy.deepcopy(obj)
            if resource.namespaced:
                new["metadata"].setdefault("namespace", "default")
            return self._store(self._key(new), new)

    def get(self, kind, namespace, name):
        """None when it is not there. `namespace`: "" for what has none."""
        with self._changed:
            return copy.deepcopy(self._objects.get((kind, namespace, name)))

    def all(self, kind):
        with self._changed:
            return [copy.deepcopy(o) for k, o in sorted(self._objects.items())
                    if k[0] == kind]

    def delete(self, kind, namespace, name):
        with self._changed:
            self._remove((kind, namespace, name))

    def patch(self, kind, namespace, name, change):
        """A merge patch by the test itself."""
        with self._changed:
            key = (kind, namespace, name)
            return self._store(key, merge(self._objects[key], change))

    def wait_for(self, condition, seconds=15):
        """Until condition() is true, looking at every change and request."""
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                value = condition()
                if value:
                    return value
                left = end - time.monotonic()
                assert left > 0, f"not within {seconds} s"
                self._changed.wait(min(left, 0.2))

    def add_resource(self, kind, plural, group="tulle.dev", version="v1alpha1",
                     namespaced=True, status=True):
        self.resources[kind] = Resource(group, version, plural, kind,
                                        namespaced, status)

    def remove_resource(self, kind):
        """404, and its objects are gone without a word."""
        with self._changed:
            del self.resources[kind]
            for key in [k for k in self._objects if k[0] == kind]:
                del self._objects[key], self._texts[key]

    def forget_quietly(self, kind, namespace, name):
        """Deletes without an event: as if all of it was missed."""
        with self._changed:
            key = (kind, namespace, name)
            del self._objects[key], self._texts[key]

    # --- faults --------------------------------------------------------------

    # pylint: disable=too-many-arguments
    def order(self, answer, times=1, path=None, method=None, query=None):
        """The next `times` requests that match get answer(x), which may raise
        Refused, sleep, or speak itself (see Exchange in fake_kube_http). A
        true result: the request is dealt with. Returns the Fault."""
        fault = Fault(times, path, method, query or {}, answer)
        with self._changed:
            self._faults.append(fault)
        return fault

    def fail(self, status=500, times=1, message="ordered by a test",
             reason=None, retry_after=None, **match):
        headers = [("retry-after", str(retry_after))] if retry_after else []

        def answer(_):
            raise refused(status, message, reason, headers)
        return self.order(answer, times, **match)

    def drop(self, times=1, **match):
        """The connection is cut instead of an answer."""
        def answer(x):
            x.cut()
            raise Gone
        return self.order(answer, times, **match)

    def slow(self, seconds, times=1, **match):
        def answer(_):
            time.sleep(seconds)  # allow sleep: it is what was ordered
        return self.order(answer, times, **match)

    def garbage(self, body=b"<html>not Kubernetes</html>", times=1, **match):
        def answer(x):
            x.start(200, [("content-type", "application/json")])
            x.send(body)
            x.end()
            return True
        return self.order(answer, times, **match)

    def heal(self):
        """Forgets what was ordered."""
        with self._changed:
            self._faults.clear()

    def say(self, kind, text):
        """Puts bytes into the open watches of a kind, as they are."""
        with self._changed:
            for s in self._streams:
                if s.kind == kind:
                    s.said.append(text)
            self._changed.notify_all()

    def say_expired(self, kind):
        """ERROR 410 on the open watches of a kind."""
        self.say(kind, compact({"type": "ERROR", "object": refused(
            410, "too old resource version").body()}) + b"\n")

    def compact(self):
        """Watches from an old version get 410 from now on."""
        with self._changed:
            self._history.clear()
            self.version += 1
            self._oldest = self.version

    def end_watches(self, kind=None):
        """As after their timeoutSeconds."""
        with self._changed:
            for s in self._streams:
                if kind in (None, s.kind):
                    s.over = True
            self._changed.notify_all()

    def bookmarked(self, kind):
        """How far bookmarks have told every watch that is open that it is."""
        with self._changed:
            return min((s.bookmarked for s in self._streams if s.kind == kind),
                       default=0)

    def watches(self, kind):
        """How many are open, past their list."""
        with self._changed:
            return sum(s.kind == kind and s.listed for s in self._streams)

    def count(self, path=None, method=None, status=None, **query):
        """Requests so far that match."""
        with self._changed:
            return sum((not path or x.path == path)
                       and (not method or x.method == method)
                       and (not status or x.status == status)
                       and all(x.query.get(k) == v for k, v in query.items())
                       for x in self.requests)

    # --- the store -----------------------------------------------------------

    @staticmethod
    def _key(obj):
        m = obj["metadata"]
        return obj["kind"], m.get("namespace", ""), m["name"]

    def _note(self, key, kind, obj, text):
        self._history.append(Event(self.version, key, kind, obj, text))
        self._changed.notify_all()

    def _store(self, key, obj):
        old = self._objects.get(key)
        meta = obj["metadata"]
        for k, v in obj.pop("stringData", {}).items():  # of a Secret
            obj.setdefault("data", {})[k] = base64.b64encode(
                v.encode()).decode()
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        meta["uid"] = (old or obj)["metadata"].get("uid") or str(uuid.uuid4())
        meta["creationTimestamp"] = (old or obj)["metadata"].get(
            "creationTimestamp") or datetime.datetime.now(
                datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._objects[key] = obj
        self._texts[key] = compact(obj)
        self._note(key, "MODIFIED" if old else "ADDED", obj, self._texts[key])
        return copy.deepcopy(obj)

    def _remove(self, key):
        obj = copy.deepcopy(self._objects.pop(key))
        self._texts.pop(key)
        self._owners.pop(key, None)
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self._note(key, "DELETED", obj, compact(obj))
        return obj

    # --- requests ------------------------------------------------------------

    def _serve(self, x):
        """One request; in a thread of its own."""
        split = urlsplit(x.target)
        x.path, x.query = unquote(split.path), dict(
            parse_qsl(split.query, keep_blank_values=True))
        with self._changed:
            self.requests.append(x)
        try:
            self._authenticate(x)
            if not self._faulty(x):
                self._route(x)
        except Refused as e:
            x.answer(e.code, e.body(), e.headers)
        finally:
            with self._changed:
                self._changed.notify_all()

    def _authenticate(self, x):
        given = x.headers.get("authorization", "")
        if given.startswith("Bearer "):
            x.user = self.tokens.get(given[7:])
        else:
            x.user = x.client_name
        if not x.user:
            raise refused(401, "Unauthorized")

    def _faulty(self, x):
        with self._changed:
            fault = next((f for f in self._faults if f.takes(x)), None)
            if not fault:
                return False
            fault.left -= 1
            fault.hit += 1
            if not fault.left:
                self._faults.remove(fault)
        return fault.answer(x)

    def _route(self, x):
        if x.path in ("/version", "/livez", "/readyz", "/healthz"):
            x.answer(200, {"major": "1", "minor": "36",
                           "gitVersion": "v1.36.0-fake"})
            return
        parts = x.path.strip("/").split("/")
        if parts[0] == "api" and len(parts) > 2:
            group, version, parts = "", parts[1], parts[2:]
        elif parts[0] == "apis" and len(parts) > 3:
            group, version, parts = parts[1], parts[2], parts[3:]
        else:
            raise refused(404, "the server could not find the resource")
        if group == "authentication.k8s.io" and parts == ["tokenreviews"]:
            self._token_review(x)
            return
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        resource = next((r for r in list(self.resources.values()) if
                         (r.group, r.version, r.plural) ==
                         (group, version, parts[0])), None)
        if not resource or len(parts) > 3:
            raise refused(404, "the server could not find the requested "
                          "resource")
        self._verb(x, resource, namespace, *parts[1:])

    def _verb(self, x, resource, namespace, name=None, sub=None):
        if sub not in (None, "status") or (sub and not resource.status):
            raise refused(404, f"there is no {sub}")
        if x.method == "GET" and not name:
            if x.query.get("watch") in ("true", "1"):
                self._watch(x, resource, namespace)
            else:
                self._list(x, resource, namespace)
            return
        with self._changed:
            if x.method == "POST" and not name:
                code, out = 201, self._create(x, resource, namespace)
            else:
                key = (resource.kind, namespace, name)
                verbs = {"GET": self._read, "PUT": self._replace,
                         "PATCH": self._patch, "DELETE": self._delete}
                if x.method not in verbs or not name:
                    raise refused(405, "the method is not allowed")
                code, out = verbs[x.method](x, resource, key, sub)
        x.answer(code, out)

    @staticmethod
    def _body(x):
        try:
            return json.loads(x.body)
        except ValueError as e:
            raise refused(400, f"the body is no JSON: {e}") from e

    def _found(self, key):
        if key not in self._objects:
            resource = self.resources[key[0]]
            raise refused(404, f'{resource.plural} "{key[2]}" not found')
        return self._objects[key]

    def _read(self, x, resource, key, _):
        return 200, self._shape(x, resource, self._found(key))

    def _create(self, x, resource, namespace):
        obj = self._body(x)
        meta = obj.setdefault("metadata", {})
        if resource.namespaced:
            if meta.setdefault("namespace", namespace) != namespace or \
                    not namespace:
                raise refused(400, "the namespace of the object is another")
        if not meta.get("name") and meta.get("generateName"):
            self._names += 1
            meta["name"] = f"{meta['generateName']}{self._names:05x}"
        if obj.get("kind") != resource.kind or not meta.get("name"):
            raise refused(400, f"expected a {resource.kind} with a name")
        key = self._key(obj)
        if key in self._objects:
            raise refused(409, f'{resource.plural} "{key[2]}" already exists',
                          "AlreadyExists")
        if meta.get("resourceVersion"):
            raise refused(400, "resourceVersion should not be set on objects "
                          "to be created", "BadRequest")
        if resource.status:
            obj.pop("status", None)
        return self._store(key, obj)

    def _check_version(self, key, obj):
        given = obj.get("metadata", {}).get("resourceVersion")
        if given and given != self._objects[key]["metadata"]["resourceVersion"]:
            raise refused(409, f'Operation cannot be fulfilled on "{key[2]}": '
                          "the object has been modified; please apply your "
                          "changes to the latest version and try again")

    def _update(self, resource, key, sub, new):
        """Stores `new` but for what this path may not change."""
        old = self._objects[key]
        if sub == "status":
            out = {**copy.deepcopy(old), "status": new.get("status", {})}
        else:
            out = copy.deepcopy(new)
            if resource.status:
                out.pop("status", None)
                if "status" in old:
                    out["status"] = copy.deepcopy(old["status"])
        out["metadata"] = {**out["metadata"]}
        out["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if out == old:
            return copy.deepcopy(old)  # nothing changed: no new version
        return self._store(key, out)

    def _replace(self, x, resource, key, sub):
        new = self._body(x)
        self._found(key)
        if self._key(new) != key:
            raise refused(400, "the name of the object is another")
        self._check_version(key, new)
        return 200, self._update(resource, key, sub, new)

    def _delete(self, x, _, key, sub):
        del sub
        obj = self._found(key)
        wanted = (self._body(x) if x.body else {}).get("preconditions", {})
        for field in ("uid", "resourceVersion"):
            if field in wanted and wanted[field] != obj["metadata"][field]:
                raise refused(409, f"the {field} in the precondition differs")
        self._remove(key)
        return 200, {"kind": "Status", "apiVersion": "v1",
                     "status": "Success"}

    def _patch(self, x, resource, key, sub):
        kind = x.headers.get("content-type", "")
        body = self._body(x)
        if kind == "application/apply-patch+yaml":
            return self._apply(x, resource, key, sub, body)
        old = self._found(key)
        if kind == "application/json-patch+json":
            new = json_patch(old, body)
        elif kind == "application/merge-patch+json":
            new = merge(old, body)
        else:
            raise refused(415, f"the media type {kind} is not supported",
                          "UnsupportedMediaType")
        self._check_version(key, new)
        return 200, self._update(resource, key, sub, new)

    def _apply(self, x, resource, key, sub, body):
        manager = x.query.get("fieldManager")
        force = x.query.get("force") == "true"
        if not manager:
            raise refused(422, "fieldManager is required for apply patch")
        if body.get("kind") != resource.kind or "apiVersion" not in body:
            raise refused(400, "kind and apiVersion must be set")
        created = key not in self._objects
        old = copy.deepcopy(self._objects.get(key) or {
            "apiVersion": body["apiVersion"], "kind": body["kind"],
            "metadata": {"name": key[2], **({"namespace": key[1]}
                                            if key[1] else {})}})
        wanted = {p: v for p, v in leaves(body) if p[0] not in
                  ("apiVersion", "kind") and p[:2] not in
                  (("metadata", "name"), ("metadata", "namespace"))
                  and (not sub or p[0] == sub)}
        owners = self._owners.setdefault(key, {})
        for path, value in wanted.items():
            others = [m for m, p in owners.items() if m != manager
                      and path in p]
            if not others or self._same(old, path, value):
                continue
            if not force:
                raise refused(409, f"Apply failed with 1 conflict: conflict "
                              f"with {others[0]!r}: {path}")
            for m in others:
                owners[m].discard(path)
        for path in owners.get(manager, set()) - set(wanted):
            if not any(path in p for m, p in owners.items() if m != manager):
                del_leaf(old, path)
        for path, value in wanted.items():
            set_leaf(old, path, copy.deepcopy(value))
        owners[manager] = set(wanted)
        if created:
            return 201, self._store(key, old)
        return 200, self._update(resource, key, sub, old)

    @staticmethod
    def _same(document, path, value):
        try:
            return get_leaf(document, path) == value
        except (KeyError, TypeError):
            return False

    # --- tokens --------------------------------------------------------------

    def _review(self, token, audiences):
        del audiences
        return self.reviews.get(token, {"authenticated": False,
                                        "error": "unknown token"})

    def allow_token(self, token, namespace, account, pod=None, uid=None,
                    audiences=("tulle",)):
        """TokenReview knows this one: a projected service account token."""
        extra = {}
        if pod:
            extra = {"authentication.kubernetes.io/pod-name": [pod],
                     "authentication.kubernetes.io/pod-uid": [uid or ""]}
        self.reviews[token] = {
            "authenticated": True, "audiences": list(audiences),
            "user": {"username": f"system:serviceaccount:{namespace}:{account}",
                     "uid": "account-uid", "groups": ["system:serviceaccounts"],
                     "extra": extra}}

    def _token_review(self, x):
        body = self._body(x)
        spec = body.get("spec", {})
        wanted = spec.get("audiences") or []
        status = copy.deepcopy(self.review(spec.get("token", ""), wanted))
        if status.get("authenticated") and wanted:
            both = [a for a in status.get("audiences", []) if a in wanted]
            status = {**status, "audiences": both} if both else {
                "authenticated": False, "error": "token audiences "
                f"{status.get('audiences')} is invalid for {wanted}"}
        x.answer(201, {"kind": "TokenReview", "metadata": {},
                       "apiVersion": "authentication.k8s.io/v1",
                       "spec": spec, "status": status})

    # --- lists and watches ---------------------------------------------------

    @staticmethod
    def _metadata_only(x):
        return "as=PartialObjectMetadata" in x.headers.get("accept", "")

    def _shape(self, x, _, obj):
        if not self._metadata_only(x):
            return obj
        return {"kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}

    def _text(self, x, resource, obj, text):
        return compact(self._shape(x, resource, obj)) \
            if self._metadata_only(x) else text

    @staticmethod
    def _selected(x, obj):
        return selects_fields(x.query.get("fieldSelector", ""), obj) and \
            selects_labels(x.query.get("labelSelector", ""), obj)

    def _matching(self, x, resource, namespace):
        """Their keys, sorted."""
        return sorted(k for k, o in self._objects.items()
                      if k[0] == resource.kind and namespace in ("", k[1])
                      and self._selected(x, o))

    def _list(self, x, resource, namespace):
        limit = int(x.query.get("limit", 0))
        with self._changed:
            keys = self._matching(x, resource, namespace)
            version, after = self.version, None
            if x.query.get("continue"):
                version, *after = json.loads(base64.urlsafe_b64decode(
                    x.query["continue"]))
                if version < self._oldest:
                    raise refused(410, "The provided continue parameter is "
                                  "too old")
                keys = [k for k in keys if list(k) > after]
            meta = {"resourceVersion": str(version)}
            if limit and len(keys) > limit:
                meta["continue"] = base64.urlsafe_b64encode(compact(
                    [version, *keys[limit - 1]])).decode()
                meta["remainingItemCount"] = len(keys) - limit
                keys = keys[:limit]
            items = [self._text(x, resource, self._objects[k], self._texts[k])
                     for k in keys]
        api = "/".join(filter(None, (resource.group, resource.version)))
        head = compact({"kind": resource.kind + "List", "apiVersion": api,
                        "metadata": meta})
        x.answer(200, head[:-1] + b',"items":[' + b",".join(items) + b"]}")

    def _watch(self, x, resource, namespace):
        streamed = x.query.get("sendInitialEvents") == "true"
        if streamed and not self.watch_lists:
            raise refused(422, "ListOptions.meta.k8s.io \"\" is invalid: "
                          "sendInitialEvents: Forbidden: sendInitialEvents is "
                          "forbidden for watch unless the WatchList feature "
                          "gate is enabled")
        since = int(x.query.get("resourceVersion") or 0)
        if not streamed and since and since < self._oldest:
            raise refused(410, f"too old resource version: {since} "
                          f"({self._oldest})")
        stream = Stream(self, x, resource, namespace)
        with self._changed:
            self._streams.add(stream)
        try:
            stream.run(streamed, since)
        finally:
            with self._changed:
                self._streams.discard(stream)
                self._changed.notify_all()

    # What Stream needs.
    def snapshot(self, x, resource, namespace):
        with self._changed:
            return self.version, [
                self._text(x, resource, self._objects[k], self._texts[k])
                for k in self._matching(x, resource, namespace)]

    def events_after(self, version, wait):
        """(newest version, events), waiting for one at most so long."""
        with self._changed:
            if self.version <= version:
                self._changed.wait(wait)
            at = len(self._history)
            while at and self._history[at - 1].version > version:
                at -= 1
            return self.version, self._history[at:]
