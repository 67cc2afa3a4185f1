# SPDX-License-Identifier: Apache-2.0
"""tulle-injector file: manifests in, manifests out. tests/golden/injector/ has
what goes in, and below out/ what comes out; TULLE_GOLDEN=write writes it anew."""
import difflib
import glob
import json
import os
import re

import pytest
import yaml

from peers.injector import Injector, inject_files, patched

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(
    os.path.realpath(__file__))), "golden", "injector")
CASES = sorted(os.path.basename(p) for p in glob.glob(f"{GOLDEN}/*.*"))
VERSION = re.compile(rb"0\.1\.0")
PODS = {"Pod": (), "Job": ("spec", "template"),
        "CronJob": ("spec", "jobTemplate", "spec", "template"),
        **{k: ("spec", "template") for k in (
            "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet",
            "ReplicationController")}}


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Loader(yaml.SafeLoader):
    pass


Loader.add_multi_constructor("!", lambda loader, suffix, node: str(node))
# Kubernetes reads no dates.
Loader.yaml_implicit_resolvers = {
    c: [(tag, r) for tag, r in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for c, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def documents(text):
    return list(yaml.load_all(text, Loader))


def pods_of(document, kind=None):
    """[(namespace, pod)], and takes them out."""
    kind = document.get("kind", kind)
    if kind and kind.endswith("List"):
        return [p for item in document["items"]
                for p in pods_of(item, kind[:-4])]
    group = document.get("apiVersion", "v1").rpartition("/")[0]
    if kind not in PODS or "." in group:
        return []
    pod, at = document, None
    for at in PODS[kind]:
        pod, above = pod.get(at, {}), pod
    if "containers" not in pod.get("spec", {}):
        return []
    ns = document["metadata"].get("namespace", "default")
    copy = {k: v for k, v in pod.items() if k not in ("apiVersion", "kind",
                                                      "status")}
    if at:
        above[at] = "the pod"
    else:
        del pod["metadata"], pod["spec"]
    return [(ns, copy)]


def namespaces_of(documents_):
    for d in documents_:
        if d and d.get("kind", "").endswith("List"):
            yield from namespaces_of(d["items"])
        elif d and d.get("kind") == "Namespace":
            yield d


@pytest.mark.parametrize("case", CASES)
def test_golden(binaries, case):
    code, out, err = inject_files(binaries, f"{GOLDEN}/{case}")
    assert code == 0, err
    out, err = VERSION.sub(b"VERSION", out), err.encode()
    want = f"{GOLDEN}/out/{case}"
    if os.environ.get("TULLE_GOLDEN") == "write":
        os.makedirs(f"{GOLDEN}/out", exist_ok=True)
        for path, text in ((want, out), (want + ".log", err)):
            with open(path, "wb") as f:
                f.write(text)
    assert out.decode() == read(want).decode()
    assert err == read(want + ".log")


def variants(text):
    """The same in other clothes."""
    yield text
    yield text.replace(b"\n", b"\r\n")
    yield text.rstrip(b"\n")
    yield b"\n\n" + text + b"\n\n"
    if not text.lstrip().startswith(b"{"):
        yield b"\xef\xbb\xbf" + text  # a byte order mark
        yield b"--- # begin\n" + text + b"\n... \n"


# What goes when something comes: handlers of probes, empty collections.
MAY_GO = re.compile(
    r"^\s*$|periodSeconds\": 5$|tcpSocket|httpGet|port\b|path\b|scheme|host\b|[Hh]ost$|httpHeaders"
    r"|name: X-Probe|name: Host|value: (shop.test|\"a)|\[\]|\{\}|[{\[]|[}\]]")


def check_lines(before, after):
    a, b = (t.decode("utf-8-sig").splitlines() for t in (before, after))
    for tag, i, j, _, _ in difflib.SequenceMatcher(
            None, a, b, autojunk=False).get_opcodes():
        if tag != "insert":
            for line in a[i:j]:
                assert tag == "equal" or MAY_GO.search(line), line


@pytest.mark.parametrize("case", [c for c in CASES if c != "already.yaml"])
def test_other_lines_stay(binaries, case):
    for text in variants(read(f"{GOLDEN}/{case}")):
        code, out, err = inject_files(binaries, "-", text=text)
        assert code == 0, err
        check_lines(text, out)


@pytest.mark.parametrize("case", CASES)
def test_again_changes_nothing(binaries, case):
    for text in variants(read(f"{GOLDEN}/{case}")):
        code, once, err = inject_files(binaries, "-", text=text)
        assert code == 0, err
        code, twice, err = inject_files(binaries, "-", text=once)
        assert code == 0, err
        assert once == twice


@pytest.fixture(scope="module")
def webhooks(binaries):
    """An injector for each file's Namespaces."""
    running = {}

    def get(text):
        spaces = list(namespaces_of(documents(text)))
        key = json.dumps(spaces)
        if key not in running:
            injector = Injector(binaries)
            path = f"{injector.folder}/namespaces.yaml"
            with open(path, "w", encoding="utf-8") as f:
                yaml.safe_dump_all(spaces, f)
            injector.argv += ["--namespaces", path]
            running[key] = injector.__enter__().wait_listening()
        return running[key]
    yield get
    for injector in running.values():
        injector.__exit__(None)


def asks(pod, ns, spaces):
    """What the webhook configuration asks."""
    said = [pod.get("metadata", {}).get(k, {}).get("tulle.dev/inject")
            for k in ("annotations", "labels")]
    if any(said):
        return "enabled" in said
    return any(s["metadata"]["name"] == ns and
               s["metadata"].get("labels", {}).get("tulle.dev/inject") ==
               "enabled" for s in spaces)


@pytest.mark.parametrize("case", CASES)
def test_the_webhook_says_the_same(binaries, webhooks, case):
    """The patch of the API server's way, on each pod, is what came out of the
    file; and what is not a pod stays as it was."""
    text = read(f"{GOLDEN}/{case}")
    code, out, err = inject_files(binaries, "-", text=text)
    assert code == 0, err
    before, after = documents(text), documents(out)
    assert len(before) == len(after)
    spaces = list(namespaces_of(documents(text)))
    webhook = webhooks(text)
    for was, now in zip(before, after):
        pods, made = pods_of(was), pods_of(now)
        assert was == now
        assert len(pods) == len(made)
        for (ns, pod), (_, got) in zip(pods, made):
            want = pod
            if asks(pod, ns, spaces):
                want = patched(pod, webhook.ask(pod, ns))
            assert got == want


def test_json_stays_json(binaries):
    for case in (c for c in CASES if c.endswith(".json")):
        for text in (read(f"{GOLDEN}/{case}"),
                     json.dumps(json.loads(read(f"{GOLDEN}/{case}"))).encode(),
                     json.dumps(json.loads(read(f"{GOLDEN}/{case}")),
                                indent="\t").encode()):
            code, out, err = inject_files(binaries, "-", text=text)
            assert code == 0, err
            assert json.loads(out) != json.loads(text)


POD = b"""\
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {tulle.dev/inject: enabled}}
spec:
  containers: [{name: a}]
"""


@pytest.mark.parametrize("text, sentence", [
    (POD + b"  x: [", "standard input:7:1: did not find expected node content"),
    (POD.replace(b"enabled", b"yes"),
     "standard input:1: Pod a: label tulle.dev/inject: 'yes' is not valid"),
    (b"a: b\n---\n" + POD.replace(b"}]", b", ports: [{containerPort: 15001}]}]"),
     "standard input:3: Pod a: container a: port 15001 is the proxy's"),
    (POD.replace(b"{name: a, l", b"{annotations: {tulle.dev/workers: x}, l"),
     "annotation tulle.dev/workers: 'x' is not valid; expected a number from 1 "
     "to 64"),
    (POD.replace(b"metadata:", b"x: &m {a: b}\nmetadata: &n")
     .replace(b"spec:", b"spec: *n\ny:"), "spec.containers: missing"),
    (b"x: &s\n  containers: [{name: a}]\n" +
     POD.replace(b"spec:\n  containers: [{name: a}]", b"spec: *s"),
     "an alias (*) stands where something is to be added: write it out"),
    (POD.replace(b"  containers", b"  ? initContainers\n  : []\n  containers"),
     "standard input:5: a key written like this cannot be edited"),
    (POD.replace(b"containers", b"initContainers: []\n  initContainers: []\n"
                 b"  containers"), "given twice"),
    (b"x: &a [*a]\n" + POD, "an alias inside of what it stands for"),
    (b"x: *a\n" + POD, "an alias of what is not there"),
    (b"kind: Deployment\nspec: {template: 3}\n",
     "no spec/template of a Deployment"),
    (POD + b"  a: !!binary aGk=\n", "tags other than !!str"),
    (b"\x00", "control characters"),
    (b"\xff\xfe\xfd", ""),
], ids=range(14))
def test_refused(binaries, text, sentence):
    """With a sentence, and nothing comes out."""
    code, out, err = inject_files(binaries, "-", text=text)
    assert code == 1
    assert out == b""
    assert err.splitlines()[-1].startswith("tulle-injector: ")
    assert sentence in err, err


def test_bombs(binaries):
    """What grows when it is read is stopped in good time."""
    laughs = b"a0: &a0 [x, x]\n" + b"".join(
        b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10))
        for i in range(1, 20))
    merges = b"m0: &m0 {x: 1}\n" + b"".join(
        b"m%d: &m%d {<<: [%s]}\n" % (i, i, b", ".join([b"*m%d" % (i - 1)] * 10))
        for i in range(1, 20))
    chain = b"m0: &m0 {x: 1}\n" + b"".join(
        b"m%d: &m%d {<<: *m%d}\n" % (i, i, i - 1) for i in range(1, 50000))
    for bomb in (laughs, merges, chain, b"[" * 100000,
                 b"x: " + b"{a: " * 1000,
                 b"%TAG ! x\n" * 10000, b"a: b\n---\n" * 6000,
                 b"# " + b"x" * (5 << 20)):
        code, out, err = inject_files(binaries, "-", text=POD + bomb)
        assert code == 1 and out == b"", err
        assert len(err) < 2000


def test_many_at_once(binaries):
    """A list of a thousand is read a few times, not a few thousand."""
    item = b"""\
- kind: Pod
  apiVersion: v1
  metadata: {name: p%d, labels: {tulle.dev/inject: enabled}}
  spec:
    containers:
    - name: a
      livenessProbe:
        tcpSocket:
          port: 80
"""
    text = b"kind: List\napiVersion: v1\nitems:\n" + b"".join(
        item % i for i in range(1000))
    code, out, err = inject_files(binaries, "-", text=text)
    assert code == 0, err
    assert err.count(": injected\n") == 1000
    assert out.count(b"- name: tulle-proxy\n") == 1000


def test_files_and_folders(binaries, tmp_path):
    (tmp_path / "b.yaml").write_bytes(POD.replace(b"name: a,", b"name: b,"))
    (tmp_path / "a.yml").write_bytes(POD.rstrip(b"\n"))
    (tmp_path / "c.json").write_bytes(b'{"kind":"Service"}')
    (tmp_path / "d.txt").write_bytes(b"{{ no yaml")
    (tmp_path / ".e.yaml").write_bytes(b"{{ no yaml")
    (tmp_path / "f").mkdir()
    code, out, err = inject_files(binaries, str(tmp_path), "-",
                                  text=b"---\nkind: ConfigMap\n")
    assert code == 0, err
    assert [d["kind"] for d in documents(out)] == ["Pod", "Pod", "Service",
                                                   "ConfigMap"]
    assert err.splitlines() == ["default/Pod/a: injected",
                                "default/Pod/b: injected"]
    code, out, err = inject_files(binaries, str(tmp_path / "nothing"))
    assert code == 1 and "nothing" in err
    code, out, err = inject_files(binaries)
    assert code == 1 and "no file" in err


def test_all(binaries):
    """--all takes those that did not ask, and not those that declined."""
    silent = POD.replace(b"labels: {tulle.dev/inject: enabled}", b"labels: {}")
    declined = POD.replace(b"enabled", b"disabled")
    code, out, _ = inject_files(binaries, "--all", "-", text=silent)
    assert code == 0 and b"tulle-proxy" in out
    code, out, _ = inject_files(binaries, "-", text=silent)
    assert code == 0 and out == silent
    code, out, _ = inject_files(binaries, "--all", "-", text=declined)
    assert code == 0 and out == declined


def test_settings(binaries, tmp_path):
    (tmp_path / "roots.pem").write_text("-----BEGIN\nx\n-----END\n")
    code, out, err = inject_files(
        binaries, "--bundle", str(tmp_path / "roots.pem"), "--proxy-image",
        "r/p:1", "--proxy-cpu-request=0.5", "--controller-ip", "fd00::1",
        "--proxy-uid", "3000", "-", text=POD)
    assert code == 0, err
    pod, = documents(out)
    init, proxy = pod["spec"]["initContainers"]
    env = {e["name"]: e.get("value") for e in proxy["env"] + init["env"]}
    assert env["TULLE_BUNDLE_PEM"] == "-----BEGIN\nx\n-----END\n"
    assert env["TULLE_INIT_CONTROLLER"] == "[fd00::1]:8443"
    assert env["TULLE_INIT_PROXY_UID"] == "3000"
    assert proxy["image"] == init["image"] == "r/p:1"
    assert proxy["resources"]["requests"]["cpu"] == "500m"
    assert proxy["securityContext"]["runAsUser"] == 3000
    for bad in ("--proxy-uid=0", "--workers=0", "--proxy-image=x:latest",
                "--skip-subnets=x", "--nothing=1", "--proxy-pull-policy=No"):
        code, out, err = inject_files(binaries, bad, "-", text=POD)
        assert code == 1 and out == b""
        assert bad.lstrip("-").split("=", maxsplit=1)[0] in err
