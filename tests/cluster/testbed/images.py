# SPDX-License-Identifier: Apache-2.0
"""Makes container images without a registry: archives as `docker save` writes
them, which containerd imports.

    system   pause, cluster DNS, and the Debian of the application; every node
             has them from the start
    tulle    proxy, controller and injector of one build: the programs, the
             libraries they load, nft
    app      Debian with what tests need in a pod (curl, nc, Redis, PostgreSQL,
             etcd, nginx, Python with gRPC) and the demo application of one
             build
"""
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile

from . import containerd, versions
from .containerd import PAUSE_IMAGE
from .tools import (HERE, Missing, cached, digest, find, go_tool, run,
                    say)

COREDNS_IMAGE = f"tulle-test/coredns:{versions.COREDNS}"
DEBIAN_IMAGE = "tulle-test/debian:1"
APP_IMAGE = "tulle-test/app:1"
APP_CONFIG = {"Cmd": ["sleep", "infinity"], "Env": [
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]}
APP_PACKAGES = ("ca-certificates", "curl", "etcd-client", "etcd-server",
                "iproute2", "netcat-openbsd", "nftables", "nghttp2-client",
                "nginx", "openssl", "postgresql", "postgresql-client", "procps",
                "python3", "redis-server", "redis-tools", "tcpdump")
# Of PyPI, at the versions of tests/requirements.txt.
APP_PYTHON = ("grpcio", "grpcio-health-checking", "grpcio-reflection",
              "protobuf")
# What nobody in a pod misses; PostgreSQL's compiler is a third of it all.
APP_WITHOUT = ("dev/*", "proc/*", "sys/*", "usr/share/doc/*", "usr/share/man/*",
               "usr/share/info/*", "usr/share/locale/*", "usr/share/i18n/*",
               "usr/lib/*/libLLVM*", "usr/lib/*/libz3*",
               "usr/lib/postgresql/*/lib/llvmjit*",
               "usr/lib/postgresql/*/lib/bitcode/*", "var/cache/*/*",
               "var/lib/apt/lists/*", "var/lib/postgresql/*/*", "var/log/*")
OWNED_BY_ROOT = ("--owner=0", "--group=0")
PROXY_USER, OTHER_USER = "2102:2102", "65532:65532"
EPOCH = "1970-01-01T00:00:00Z"

PAUSE = """
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int number)
{
    (void)number;
    _exit(0);
}

static void collect(int number)
{
    (void)number;
    while (waitpid(-1, 0, WNOHANG) > 0)
        ;
}

int main(void)
{
    signal(SIGINT, end);
    signal(SIGTERM, end);
    signal(SIGCHLD, collect);
    for (;;)
        pause();
}
"""


# --- layers and archives ------------------------------------------------------

class Layer:
    def __init__(self, path, known=None):
        self.path = path
        with open(path, "rb") as f:
            self.digest = known or hashlib.file_digest(f, "sha256").hexdigest()


def layer(folder, path, *options):
    """A layer of all below `folder`; the same content, the same bytes."""
    run("tar", "--sort=name", "--mtime=@0", "--numeric-owner", *options,
        "-C", folder, "-cf", path, ".")
    return Layer(path)


def archive(path, images):
    """images: [(name, configuration, [Layer])]. Layers are stored once."""
    manifest, done = [], set()
    with tempfile.TemporaryDirectory() as work, \
            tarfile.open(path + ".new", "w") as tar:
        for name, config, layers in images:
            text = json.dumps({
                "architecture": "amd64", "os": "linux", "created": EPOCH,
                "config": config, "rootfs": {
                    "type": "layers",
                    "diff_ids": [f"sha256:{x.digest}" for x in layers]},
                "history": [{"created": EPOCH} for _ in layers]})
            file = digest(text) + ".json"
            with open(f"{work}/{file}", "w", encoding="ascii") as f:
                f.write(text)
            tar.add(f"{work}/{file}", file)
            for x in layers:
                if x.digest not in done:
                    tar.add(x.path, x.digest + ".tar")
                    done.add(x.digest)
            manifest.append({"Config": file, "RepoTags": [name],
                             "Layers": [x.digest + ".tar" for x in layers]})
        with open(f"{work}/manifest.json", "w", encoding="ascii") as f:
            json.dump(manifest, f)
        tar.add(f"{work}/manifest.json", "manifest.json")
    os.rename(path + ".new", path)
    return path


def add_program(root, program, target):
    """Copies a program, and the libraries it loads that `root` lacks."""
    copy(program, root + target)
    for library in libraries(program):
        if not os.path.exists(root + library):
            copy(library, root + library)


def copy(source, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(source, target)


def libraries(program):
    said = run("ldd", program)
    if "not found" in said:
        raise Missing(f"{program} lacks a library:\n{said}")
    return re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.M)


# --- system -------------------------------------------------------------------

def system(path):
    """The archive of what every node needs."""
    with tempfile.TemporaryDirectory() as work:
        pause, dns = f"{work}/pause", f"{work}/dns"
        os.mkdir(pause)
        with open(f"{work}/pause.c", "w", encoding="ascii") as f:
            f.write(PAUSE)
        run("gcc", "-static", "-Os", "-s", "-o", f"{pause}/pause",
            f"{work}/pause.c")
        copy(go_tool("coredns"), f"{dns}/coredns")
        return archive(path, [
            (PAUSE_IMAGE, {"Entrypoint": ["/pause"], "User": OTHER_USER},
             [layer(pause, f"{work}/pause.tar", *OWNED_BY_ROOT)]),
            (COREDNS_IMAGE, {"Entrypoint": ["/coredns"]},
             [layer(dns, f"{work}/dns.tar", *OWNED_BY_ROOT)]),
            (DEBIAN_IMAGE, APP_CONFIG, [debian()])])


def store():
    """The cached folder with containerd's files once it has the images of
    system(): to put them into every new node would take longer than all else."""
    def make(folder):
        with tempfile.TemporaryDirectory() as work:
            system(f"{work}/system.tar")
            containerd.fill(f"{folder}/containerd", work,
                            [f"{work}/system.tar"])
    name = "node-images-" + digest(PAUSE, versions.COREDNS, debian().digest)
    return os.path.join(cached(name, make), "containerd")


# --- Tulle --------------------------------------------------------------------

def built(build, program):
    """None when that build has no such program."""
    found = glob.glob(f"{build}/*/{program}")
    return found[0] if found else None


def version_of(build):
    try:
        with open(f"{build}/CMakeCache.txt", encoding="utf-8") as f:
            return re.search(r"^CMAKE_PROJECT_VERSION:\w+=(\S+)$", f.read(),
                             re.M).group(1)
    except (OSError, AttributeError) as e:
        raise Missing(f"{build} is no configured build: cmake --preset release "
                      "&& cmake --build --preset release") from e


def tulle(build, folder):
    """The archive of Tulle's own images, the names of these, and which programs
    the build does not have."""
    version = version_of(build)
    wanted = {"proxy": (["tulle-proxy", "tulle-init"], PROXY_USER),
              "controller": (["tulle-controller"], OTHER_USER),
              "injector": (["tulle-injector"], OTHER_USER)}
    images, absent = [], []
    with tempfile.TemporaryDirectory() as work:
        for image, (programs, user) in wanted.items():
            root = f"{work}/{image}"
            for program in programs:
                path = built(build, program)
                if path:
                    add_program(root, path, f"/usr/bin/{program}")
                else:
                    absent.append(program)
            if not os.path.exists(root):
                continue
            if image == "proxy":
                add_program(root, find("nft"), "/usr/sbin/nft")
            finish_root(root, user)
            images.append((
                f"tulle/{image}:{version}",
                {"Entrypoint": [f"/usr/bin/{programs[0]}"], "User": user,
                 "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
                [layer(root, f"{work}/{image}.tar", *OWNED_BY_ROOT)]))
        if not images:
            raise Missing(f"{build} has none of Tulle's programs: "
                          "cmake --build --preset release")
        archive(f"{folder}/tulle.tar", images)
    return f"{folder}/tulle.tar", [name for name, _, _ in images], absent


def finish_root(root, user):
    number = user.split(":")[0]
    os.makedirs(f"{root}/etc")
    os.makedirs(f"{root}/tmp")
    os.chmod(f"{root}/tmp", 0o1777)
    for file, text in (
            ("passwd", "root:x:0:0::/:\n"
                       f"tulle:x:{number}:{number}::/:\n"),
            ("group", f"root:x:0:\ntulle:x:{number}:\n"),
            ("nsswitch.conf", "hosts: files dns\n")):
        with open(f"{root}/etc/{file}", "w", encoding="ascii") as f:
            f.write(text)


# --- the application ----------------------------------------------------------

def debian():
    """The cached layer of a small Debian of this machine's release, from where
    this machine gets its packages."""
    with open("/etc/os-release", encoding="utf-8") as f:
        release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', f.read(), re.M))
    if release.get("ID") != "debian":
        raise Missing("the image of the test application is made on Debian "
                      f"only; this is {release.get('PRETTY_NAME')}")
    suite, python = release["VERSION_CODENAME"], python_packages()

    def make(folder):
        say(f"making a Debian {suite} with {' '.join(APP_PACKAGES)}, once")
        with tempfile.TemporaryDirectory(dir=folder) as work:
            root = f"{work}/root"
            # What it mounts goes with its namespace, also when it is killed.
            run("unshare", "--mount", "--propagation", "private",
                find("debootstrap"), "--variant=minbase",
                f"--include={','.join(APP_PACKAGES)}", suite, root,
                apt_source(suite), timeout=900)
            install_python(f"{root}/usr/lib/python3/dist-packages", python)
            made = layer(root, f"{folder}/layer.tar",
                         *(f"--exclude=./{path}" for path in APP_WITHOUT))
        with open(f"{folder}/digest", "w", encoding="ascii") as f:
            f.write(made.digest)
    what = digest(*APP_PACKAGES, *APP_WITHOUT, *python)
    name = f"debian-{suite}-{what}"
    folder = cached(name, make)
    with open(f"{folder}/digest", encoding="ascii") as f:
        return Layer(f"{folder}/layer.tar", f.read())


def python_packages():
    """["grpcio==1.2.3", ...]"""
    with open(f"{HERE}/../requirements.txt", encoding="utf-8") as f:
        pinned = [line.strip() for line in f
                  if line.partition("==")[0] in APP_PYTHON]
    if len(pinned) != len(APP_PYTHON):
        raise Missing("tests/requirements.txt names not all of "
                      f"{' '.join(APP_PYTHON)}")
    return pinned


def install_python(folder, packages):
    """With the Python of this machine's Debian, which is the image's."""
    with tempfile.TemporaryDirectory() as venv:
        run("/usr/bin/python3", "-m", "venv", venv)
        run(f"{venv}/bin/pip", "install", "-q", "--no-compile",
            "--disable-pip-version-check", "--target", folder, *packages,
            timeout=300)


def apt_source(suite):
    said = run("apt-get", "indextargets", "--format",
               "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    for line in said.splitlines():
        release, component, uri = line.split(" ", 2)
        if release == suite and component == "main":
            return uri
    raise Missing(f"apt on this machine has no source for {suite} main")


def app(build, folder):
    """The archive of the test application's image."""
    base = debian()
    demo = built(build, "tulle-demo")
    if not demo:
        raise Missing(f"{build} has no tulle-demo: cmake --build --preset "
                      "release")
    with tempfile.TemporaryDirectory() as work:
        root = f"{work}/root"
        copy(demo, f"{root}/usr/bin/tulle-demo")
        have = names_in(base.path)
        for library in libraries(demo):
            # Debian's /lib is a link to /usr/lib: a layer must not replace it.
            path = re.sub(r"^/(lib\w*)/", r"/usr/\1/", library)
            if "." + path not in have:
                copy(library, root + path)
        top = layer(root, f"{work}/demo.tar", *OWNED_BY_ROOT)
        archive(f"{folder}/app.tar", [
            (APP_IMAGE, APP_CONFIG, [base, top])])
    return f"{folder}/app.tar"


def names_in(path):
    return set(subprocess.run(["tar", "-tf", path], check=True, text=True,
                              stdout=subprocess.PIPE).stdout.splitlines())
