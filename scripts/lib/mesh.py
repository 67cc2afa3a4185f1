# SPDX-License-Identifier: Apache-2.0
"""A controller on a folder of manifests, and proxies that joined it, on this
machine."""
import json
import os
import shutil
import subprocess

import certificates
import manifests
import metrics
from programs import Failed, Programs, free_ports, wait_until

LOCAL = "127.0.0.1"
READY_SECONDS = 30
CONTROLLER, INBOUND, OUTBOUND = range(3)  # stages: started up, stopped down


class Proxy:
    """A running proxy: its program, and ADDR:PORT of its admin pages."""

    def __init__(self, program, admin):
        self.program, self.admin = program, admin

    @property
    def pid(self):
        return self.program.pid

    def get(self, path):
        return metrics.get(self.admin, path)

    def metrics(self):
        return metrics.scrape(self.admin)


class Mesh:
    """`binaries` is a build folder, `folder` a new one that this fills."""

    def __init__(self, binaries, folder):
        self.binaries, self.folder = os.path.abspath(binaries), folder
        self.source, self.state = f"{folder}/mesh", f"{folder}/state"
        self.bundle = f"{self.state}/bundle.pem"
        self.programs = Programs(f"{folder}/log")
        self.controller = self.api = self.admin = None
        self.controller_arguments = []
        self.count = 0  # of programs and tokens, for the names of their files

    def binary(self, name):
        path = f"{self.binaries}/{name.removeprefix('tulle-')}/{name}"
        if not os.access(path, os.X_OK):
            raise Failed(f"{path} is missing: build it first")
        return path

    def write(self, name, *objects):
        manifests.write(self.source, name, objects)

    # --- controller ----------------------------------------------------------

    def start_controller(self, arguments=()):
        api, admin = free_ports([LOCAL, LOCAL])
        self.api, self.admin = f"{LOCAL}:{api}", f"{LOCAL}:{admin}"
        self.controller_arguments = list(arguments)
        self.restart_controller()

    def restart_controller(self):
        """Once more where it was; it must have ended."""
        self.controller = self._start("controller", CONTROLLER, [
            self.binary("tulle-controller"), "--source", self.source,
            "--listen", self.api, "--admin", self.admin,
            "--state", self.state, *self.controller_arguments])
        wait_until("the controller is ready", self._controller_ready,
                   READY_SECONDS, self.controller.must_run)

    def _controller_ready(self):
        try:
            return metrics.get(self.admin, "/ready")[0] == 200
        except OSError:
            return False

    def _start(self, name, stage, argv):
        self.count += 1
        return self.programs.start(f"{self.count}-{name}", stage, argv)

    # --- identities ----------------------------------------------------------

    def token(self, name, pod=None):
        """A join token for `namespace/account`, and maybe `namespace/pod`."""
        argv = [self.binary("tulle-controller"), "token",
                "--state", self.state, "--name", name]
        argv += ["--pod", pod] if pod else []
        made = subprocess.run(argv, capture_output=True, text=True,
                              timeout=20, check=False)
        if made.returncode or not made.stdout.strip():
            raise Failed(f"no join token for {name}: "
                         f"{made.stderr.strip() or 'empty'}")
        return made.stdout.strip()

    def _token_file(self, name, pod):
        self.count += 1
        path = f"{self.folder}/{self.count}.token"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(self.token(name, pod) + "\n")
        return path

    def certificate(self, name, folder):
        return certificates.obtain(self.api, self.bundle, self.token(name),
                                   folder)

    # --- proxies -------------------------------------------------------------

    def start_proxy(self, name, stage, account, pod, arguments):
        """Starts; await_proxy waits. `account`, `pod`: with namespace."""
        program = self._start(name, stage, [
            self.binary("tulle-proxy"), "--controller", self.api,
            "--bundle", self.bundle,
            "--join-token-file", self._token_file(account, pod),
            "--admin", f"{LOCAL}:0",
            "--ready-file", f"{self.folder}/{self.count}.ready", *arguments])
        program.ready_file = program.argv[program.argv.index("--ready-file")
                                          + 1]
        return program

    @staticmethod
    def await_proxy(program):
        def ready():
            try:
                with open(program.ready_file, encoding="utf-8") as f:
                    return json.load(f)
            except (OSError, ValueError):
                return None  # not yet, or not yet whole
        said = wait_until(f"{program.name} is ready", ready, READY_SECONDS,
                          program.must_run)
        return Proxy(program, said["admin"])

    def stop(self):
        """Sentences about what did not end well."""
        return self.programs.stop()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
