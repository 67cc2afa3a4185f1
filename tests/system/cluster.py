# SPDX-License-Identifier: Apache-2.0
"""Controllers and proxies on a fake API server: what a cluster is to them.

    with cluster(binaries) as c:
        c.start_controller("a")
        c.await_ready("a")
        proxy = c.start_proxy("shop/cart", "cart")
        c.wait("it is shown", lambda: c.mesh_proxy("shop/cart"))

Each controller has a pod, named tulle-controller-NAME, with an address of its
own in 127.3.0.0/24 and the port that all of them share.
"""
import base64
import contextlib
import json
import re
import shutil
import socket
import ssl
import tempfile
import threading
import time
import uuid

from cryptography.hazmat.primitives import serialization

import certificates
import manifests
import metrics
from conftest import SANITIZERS
from fake_kube import FakeKube
from programs import Programs, free_ports, wait_until

SYSTEM = "tulle-system"
ACCOUNT = "tulle-controller"
CONFIGMAPS = "/api/v1/namespaces/{}/configmaps"
WRITES = ("POST", "PUT", "PATCH", "DELETE")
# Not what the leader has to say, but how it stays one.
NOT_COUNTED = ("/leases", "/tokenreviews", "/events")


def condition(obj, kind):
    for c in (obj or {}).get("status", {}).get("conditions", []):
        if c["type"] == kind:
            return c
    return {}


def decoded(secret, name):
    return base64.b64decode(secret["data"][name]).decode()


def pems(signed):
    """Certificate with what is above it but the root, and key."""
    chain = [signed.cert, *signed.above[:-1]]
    return ("".join(c.public_bytes(serialization.Encoding.PEM).decode()
                    for c in chain),
            signed.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()).decode())


class Session:
    """POST /v1/session by hand, over HTTP/1.1. `folder`: of the certificate."""

    def __init__(self, api, folder, path="/v1/session"):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.load_verify_locations(f"{folder}/bundle.pem")
        tls.load_cert_chain(f"{folder}/client.crt", f"{folder}/client.key")
        host, _, port = api.rpartition(":")
        self.sock = tls.wrap_socket(socket.create_connection(
            (host, int(port)), 10))
        self.file = self.sock.makefile("rb")
        self.sock.sendall(b"POST " + path.encode() +
                          b" HTTP/1.1\r\nHost: c\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n")
        self.say({"type": "hello", "version": "0"})

    def say(self, message):
        line = json.dumps(message).encode() + b"\n"
        self.sock.sendall(b"%x\r\n%s\r\n" % (len(line), line))

    def status(self):
        """Of the answer; its head is read."""
        status = int(self.file.readline().split()[1])
        while self.file.readline() != b"\r\n":
            pass
        return status

    def hear(self, *kinds):
        """The next message of one of these kinds."""
        while True:
            size = int(self.file.readline(), 16)
            chunk = self.file.read(size + 2)
            for line in chunk[:-2].splitlines():
                message = json.loads(line)
                if message["type"] in kinds:
                    return message

    def subscribe(self):
        """To its own workload, and says that this is in force: only then is
        anything known of a proxy."""
        self.say({"type": "subscribe", "kind": "workload"})
        self.say({"type": "ack", "kind": "workload", "key": "",
                  "hash": self.hear("workload")["hash"]})

    def close(self):
        self.file.close()
        self.sock.close()


class Forwarder:
    """A TCP address that leads to another one, until it is frozen."""

    def __init__(self, to):
        self.to, self.running = to, threading.Event()
        self.running.set()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self):
        """Nothing is forwarded, nothing is closed."""
        self.running.clear()

    def thaw(self):
        self.running.set()

    def _accept(self):
        while True:
            try:
                near, _ = self.socket.accept()
            except OSError:
                return
            self.running.wait()
            try:
                far = socket.create_connection(self.to)
            except OSError:  # as one that is not there
                near.close()
                continue
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=ends,
                                 daemon=True).start()

    def _pump(self, source, target):
        try:
            while data := source.recv(65536):
                self.running.wait()
                target.sendall(data)
        except OSError:
            pass
        for s in (source, target):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.running.set()
        self.socket.close()


class Controller:
    def __init__(self, name, ip, program, api, admin):
        self.name, self.ip, self.program = name, ip, program
        self.api, self.admin = api, admin

    @property
    def process(self):
        return self.program.process

    def output(self):
        return self.program.output()

    def leads(self):
        """By its own word."""
        words = re.findall('cluster - "(.*?leading.*?)"', self.output())
        return bool(words) and words[-1] == "leading"

    def ready(self):
        try:
            return metrics.get(self.admin, "/ready")[0] == 200
        except OSError:
            return False

    def number(self, name):
        """A metric without labels."""
        (_, value), = metrics.scrape(self.admin)[name]
        return value


# pylint: disable=too-many-instance-attributes,too-many-public-methods
class Cluster:
    def __init__(self, binaries, folder):
        self.binaries, self.folder = binaries, folder
        self.kube = FakeKube(f"{folder}/kube")
        self.programs = Programs(f"{folder}/log")
        self.port, = free_ports(["127.3.0.1"])
        self.controllers, self.expected_dead = {}, []
        self.ways = {}  # name of a controller -> its way to the API server
        self.count = 0
        for name in (SYSTEM, "kube-system", "shop"):
            self.add_namespace(name)

    # --- objects -------------------------------------------------------------

    def add_namespace(self, name, annotations=None, phase="Active"):
        meta = {"name": name, "annotations": annotations or {}}
        if phase == "Terminating":
            meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return self.kube.put({"apiVersion": "v1", "kind": "Namespace",
                              "metadata": meta, "status": {"phase": phase}})

    # pylint: disable=too-many-arguments
    def add_pod(self, pod, account="default", ip="127.4.0.1", meshed=True,
                uid=None, ready=True, annotations=None, **status):
        """`pod`: namespace/name. Another UID each time, unless one is given."""
        namespace, name = pod.split("/")
        obj = manifests.pod(namespace, name, account, ip, meshed=meshed,
                            annotations=annotations)
        obj["metadata"]["uid"] = uid or str(uuid.uuid4())
        obj["status"]["initContainerStatuses"] = [
            {"name": manifests.SIDECAR, "ready": ready}]
        obj["status"].update(status)
        old = self.kube.get("Pod", namespace, name)
        if old and old["metadata"]["uid"] != obj["metadata"]["uid"]:
            self.kube.delete("Pod", namespace, name)
        return self.kube.put(obj)

    def uid(self, pod):
        return self.kube.get("Pod", *pod.split("/"))["metadata"]["uid"]

    def secret(self, name):
        return self.kube.get("Secret", SYSTEM, name)

    def root(self):
        """PEM of the root in the Secret; None: there is none."""
        secret = self.secret("tulle-ca")
        return decoded(secret, "tls.crt") if secret else None

    def add_issuer(self, authority, name="issuer", roots=None):
        """A Secret as cert-manager makes them, of an Authority."""
        cert, key = pems(authority)

        def data(text):
            return base64.b64encode(text.encode()).decode()
        return self.kube.put({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": name, "namespace": SYSTEM},
            "data": {"tls.crt": data(cert), "tls.key": data(key),
                     **({"ca.crt": data(roots)} if roots else {})}})

    def trusted(self):
        """What a pod trusts at first, once somebody has written it."""
        return self.wait("a trust bundle", lambda: self.bundle("shop"))

    def bundle(self, namespace):
        """What the trust bundle of a namespace holds."""
        found = self.kube.get("ConfigMap", namespace, "tulle-trust-bundle")
        return found["data"].get("bundle.pem") if found else None

    def mesh_proxy(self, pod):
        return self.kube.get("MeshProxy", *pod.split("/"))

    def sync(self, pod):
        """The word in the column SYNC; None: not said."""
        return (self.mesh_proxy(pod) or {}).get("status", {}).get("sync")

    def mesh_config(self):
        return self.kube.get("MeshConfig", "", "mesh")

    def leader(self):
        """NAME of who holds the lease, or an empty string."""
        lease = self.kube.get("Lease", SYSTEM, "tulle-controller")
        holder = (lease or {}).get("spec", {}).get("holderIdentity") or ""
        return holder.removeprefix("tulle-controller-")

    def writes(self, since=0, word="", by=None):
        """Requests after the first `since` that changed something, or tried."""
        with self.kube._changed:  # pylint: disable=protected-access
            return [x for x in self.kube.requests[since:]
                    if x.method in WRITES and word in x.path
                    and by in (None, getattr(x, "user", None))
                    and not any(n in x.path for n in NOT_COUNTED)]

    def mark(self):
        return len(self.kube.requests)

    def wait(self, what, until, seconds=15):
        def alive():
            for p in self.programs.all:
                if p not in self.expected_dead:
                    p.must_run()
        return wait_until(what, until, seconds, alive)

    def stays(self, what, holds, seconds):
        """`holds()` all the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert holds(), what
            time.sleep(0.02)  # allow sleep: between looks

    # --- controllers ---------------------------------------------------------

    def api(self, *names):
        """Addresses of controllers, also of those that come later."""
        return ",".join(f"127.3.0.{ord(n) - 96}:{self.port}" for n in names)

    def kubeconfig(self, name):
        """The API server knows its requests as those of user `name`."""
        self.kube.tokens[f"token-of-{name}"] = name
        self.ways[name] = Forwarder(("127.0.0.1", self.kube.port))
        return self.kube.kubeconfig(
            token=f"token-of-{name}",
            cluster={"server": f"https://127.0.0.1:{self.ways[name].port}"})

    def start_controller(self, name="a", *arguments):
        """Does not wait."""
        ip = self.api(name).split(":")[0]
        if name not in self.controllers:
            self.add_pod(f"{SYSTEM}/tulle-controller-{name}", ACCOUNT, ip,
                         meshed=False)
        admin, = free_ports(["127.0.0.1"])
        self.count += 1
        program = self.programs.start(f"{self.count}-controller-{name}", 0, [
            f"{self.binaries}/controller/tulle-controller",
            "--kubeconfig", self.kubeconfig(name),
            "--namespace", SYSTEM, "--pod-name", f"tulle-controller-{name}",
            "--listen", f"{ip}:{self.port}", "--admin", f"127.0.0.1:{admin}",
            *arguments])
        c = Controller(name, ip, program, f"{ip}:{self.port}",
                       f"127.0.0.1:{admin}")
        self.controllers[name] = c
        return c

    def await_ready(self, *names, seconds=30):
        for name in names:
            c = self.controllers[name]
            wait_until(f"controller {name} is ready", c.ready, seconds,
                       c.program.must_run)

    def controller(self, name="a", *arguments):
        c = self.start_controller(name, *arguments)
        self.await_ready(name)
        return c

    def await_leader(self, name=None, seconds=30):
        """Who says that it leads, in the lease and by its log."""
        def leads():
            who = self.leader()
            return who if who and name in (None, who) and \
                self.controllers[who].leads() else None
        return self.wait("somebody leads", leads, seconds)

    def kill(self, name):
        c = self.controllers[name]
        self.expected_dead.append(c.program)
        c.process.kill()
        c.process.wait()

    def terminate(self, name):
        """Asks it to end; it must, with exit code 0."""
        c = self.controllers[name]
        self.expected_dead.append(c.program)
        c.process.terminate()
        assert c.process.wait(20) == 0

    # --- proxies -------------------------------------------------------------

    def token(self, pod, account="default", name=None, uid=None,
              audiences=("tulle",)):
        """A token bound to a pod, which TokenReview knows."""
        namespace, pod_name = pod.split("/")
        token = f"token-of-{pod_name}-{uuid.uuid4()}"
        self.kube.allow_token(token, namespace, account, name or pod_name,
                              uid or self.uid(pod), audiences)
        return token

    def file(self, text):
        self.count += 1
        path = f"{self.folder}/{self.count}.txt"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def launch_proxy(self, pod, *arguments, token=None, api=None, bundle=None):
        """Does not wait. `api`: controllers' addresses."""
        self.count += 1
        ready = f"{self.folder}/{self.count}.ready"
        program = self.programs.start(
            f"{self.count}-proxy-{pod.replace('/', '-')}", 1, [
                f"{self.binaries}/proxy/tulle-proxy", "--controller",
                api or ",".join(c.api for c in self.controllers.values()),
                "--bundle", self.file(bundle or self.trusted()),
                "--token-file", self.file(token + "\n"),
                "--admin", "127.0.0.1:0", "--ready-file", ready,
                "--shutdown-grace", "1s",
                *(arguments or ("--outbound", "127.0.0.1:0=shop/none:80"))])
        program.ready_file = ready
        return program

    def await_proxy(self, program, seconds=30):
        def said():
            try:
                with open(program.ready_file, encoding="utf-8") as f:
                    return json.load(f)
            except (OSError, ValueError):
                return None
        program.admin = wait_until(f"{program.name} is ready", said, seconds,
                                   program.must_run)["admin"]
        return program

    def start_proxy(self, pod, account="default", *arguments, **more):
        """A pod, if there is none, its token, and its proxy, ready."""
        if not self.kube.get("Pod", *pod.split("/")):
            self.add_pod(pod, account)
        more.setdefault("token", self.token(pod, account))
        return self.await_proxy(self.launch_proxy(pod, *arguments, **more))

    def end(self, program):
        """SIGTERM, and it must end well."""
        self.expected_dead.append(program)
        program.process.terminate()
        assert program.process.wait(20) == 0

    def certificate(self, pod, account="default", api=None):
        """A folder with one for this pod, which is there or made."""
        if not self.kube.get("Pod", *pod.split("/")):
            self.add_pod(pod, account)
        status, answer = self.ask(self.token(pod, account), api)
        assert status == 200, answer
        return answer["folder"]

    def ask(self, token, api=None, who=None, **more):
        """POST /v1/certificates as a proxy does: (status, answer). `who`: a
        folder with a certificate to show."""
        folder = tempfile.mkdtemp(dir=self.folder)
        with open(f"{folder}/bundle.pem", "w", encoding="ascii") as f:
            f.write(self.trusted())
        key = certificates.new_key(folder)
        body = {"csr": certificates.new_request(key), "token": token, **more}
        if token is None:
            del body["token"]
        status, said = certificates.ask(
            api or next(iter(self.controllers.values())).api,
            f"{folder}/bundle.pem", body, who)
        answer = json.loads(said)
        if status == 200:
            for name, text in (("client.crt", answer["chain"]),
                               ("bundle.pem", answer["bundle"])):
                with open(f"{folder}/{name}", "w", encoding="ascii") as f:
                    f.write(text)
            answer["folder"] = folder
        return status, answer

    def serve(self, backend, *arguments, **more):
        """A Service shop/web, its proxy in front of `backend`, and a client's
        proxy. Returns "host:port" for clients, and the two proxies."""
        ip = "127.4.0.2"
        port, = free_ports([ip])
        front, = free_ports(["127.0.0.1"])
        for obj in (manifests.service("shop", "web", "127.4.1.1"),
                    manifests.endpoint_slice("shop", "web", {ip: "web"}, port)):
            self.kube.put(obj)
        self.add_pod("shop/web", "web", ip)
        inbound = self.start_proxy(
            "shop/web", "web", "--inbound", f"{ip}:{port}={backend}",
            *arguments, **more)
        outbound = self.start_proxy(
            "shop/client", "client", "--outbound",
            f"127.0.0.1:{front}=shop/web:80", *arguments, **more)
        return f"127.0.0.1:{front}", inbound, outbound

    def thaw(self):
        self.kube.thaw()
        for way in self.ways.values():
            way.thaw()

    # --- the end -------------------------------------------------------------

    def outputs(self):
        return "\n".join(p.output() for p in self.programs.all)

    def problems(self):
        out = [s for s in self.programs.stop() if not s.startswith(tuple(
            f"{p.name} " for p in self.expected_dead) or ("\0",))]
        for p in self.programs.all:
            out += [f"{p.name}: {line}" for line in p.output().splitlines()
                    if any(s in line for s in SANITIZERS)]
        return out

    def show(self):
        for p in self.programs.all:
            print(f"--- {p.name}: {' '.join(p.argv)}\n{p.tail(80)}")
        for x in self.kube.requests[-60:]:
            print(x.method, x.path, getattr(x, "status", ""))


@contextlib.contextmanager
def cluster(binaries):
    folder = tempfile.mkdtemp(prefix="tulle-test-")
    c = Cluster(binaries, folder)
    try:
        yield c
        c.thaw()
        wrong = c.problems()
        assert not wrong, "\n".join(wrong)
    except BaseException:
        c.thaw()
        c.programs.stop()
        c.show()
        raise
    finally:
        c.kube.stop()
        for way in c.ways.values():
            way.close()
        shutil.rmtree(folder, ignore_errors=True)

