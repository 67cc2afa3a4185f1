# SPDX-License-Identifier: Apache-2.0
"""Autobahn's WebSocket suite: its echo server, and its client that asks cases.
Both want Python 2.7, which Debian no longer has; installed the first time.

    python = autobahn.python()
    with autobahn.EchoServer(python) as app:
        results = autobahn.ask_cases(python, app.address, ["1.*"], folder)
"""
import glob
import json
import os
import select
import subprocess
import sys
import tempfile

from testbed import tools

HERE = os.path.dirname(os.path.realpath(__file__))
VIRTUALENV = "virtualenv==20.21.1"  # the last that makes one for 2.7
START_SECONDS = 60

# From the suite's own server, but on a port of the kernel's choice, and the
# port in a request's Host is not looked at: it is that of a proxy.
ECHO_SERVER = """
import sys
from autobahntestsuite import choosereactor
from twisted.internet import reactor
from autobahntestsuite.testee import TesteeServerFactory
factory = TesteeServerFactory("ws://echo")
factory.externalPort = None
factory.reactor = reactor
port = reactor.listenTCP(0, factory, interface="127.0.0.1")
sys.stdout.write("port %d\\n" % port.getHost().port)
sys.stdout.flush()
reactor.run()
"""

# The suite's are a second, which a busy machine may need for itself.
OPTIONS = {"openHandshakeTimeout": 20, "closeHandshakeTimeout": 5,
           "serverConnectionDropTimeout": 5}

# Of a case's report: what the proxies could spoil beside the verdicts.
UNCLEAN = ("wasServerConnectionDropTimeout", "wasCloseHandshakeTimeout",
           "wasOpenHandshakeTimeout")


def _python27():
    """One that runs: a shim of pyenv's may be for a version that is not
    chosen, so pyenv's own folders are looked at, too."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for path in (tools.find("python2.7"),
                 *glob.glob(f"{pyenv}/versions/2.7*/bin/python2.7")):
        if path and subprocess.run(
                [path, "-c", "import ssl, zlib"], check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL).returncode == 0:
            return path
    raise tools.Missing("this machine has no Python 2.7")


def python():
    """The path of a Python that has the suite."""
    with open(f"{HERE}/autobahn.txt", encoding="ascii") as f:
        wanted = f.read()

    def install(folder):
        python27 = _python27()
        tools.say("installing Autobahn's WebSocket suite: a minute, once")
        with tempfile.TemporaryDirectory() as venv:
            tools.run(sys.executable, "-m", "venv", venv)
            tools.run(f"{venv}/bin/pip", "install", "-q",
                      "--disable-pip-version-check", VIRTUALENV)
            tools.run(f"{venv}/bin/virtualenv", "-q", "-p", python27,
                      f"{folder}/venv")
        tools.run(f"{folder}/venv/bin/python", "-m", "pip", "install", "-q",
                  "--disable-pip-version-check", "-r", f"{HERE}/autobahn.txt")
    folder = tools.cached(f"autobahn-{tools.digest(wanted, VIRTUALENV)}",
                          install)
    return f"{folder}/venv/bin/python"


class EchoServer:
    def __init__(self, path):
        self.process = subprocess.Popen(
            [path, "-W", "ignore", "-c", ECHO_SERVER], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.address = None

    def __enter__(self):
        try:
            self.address = f"127.0.0.1:{self._port()}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def _port(self):
        ready, _, _ = select.select([self.process.stdout], [], [],
                                    START_SECONDS)
        assert ready, "the echo server does not start"
        for line in self.process.stdout:
            if line.startswith("port "):
                return int(line.removeprefix("port "))
        raise AssertionError("the echo server ended early")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def ask_cases(path, to, cases, folder, seconds=150):
    """{case: its report} of the cases, asked at "host:port"."""
    os.makedirs(folder)
    spec = f"{folder}/spec.json"
    with open(spec, "w", encoding="ascii") as f:
        json.dump({"options": OPTIONS, "outdir": f"{folder}/reports",
                   "servers": [{"agent": "it", "url": f"ws://{to}"}],
                   "cases": cases, "exclude-cases": [],
                   "exclude-agent-cases": {}}, f)
    done = subprocess.run(  # its script names the folder that was pip's
        [path, "-W", "ignore", "-c",
         "from autobahntestsuite.wstest import run; run()",
         "-m", "fuzzingclient", "-s", spec], check=False, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=seconds, cwd=folder)
    assert done.returncode == 0, done.stdout[-4000:]
    return _reports(f"{folder}/reports", done.stdout)


def _reports(folder, said):
    reports = {}
    for path in glob.glob(f"{folder}/it_case_*.json"):
        with open(path, encoding="utf-8") as f:
            report = json.load(f)
        reports[report["id"]] = report
    assert reports, f"no reports: {said[-4000:]}"
    return reports


def perfect(report):
    return report["behavior"] == report["behaviorClose"] == "OK" and \
        report["wasClean"] and not any(report[key] for key in UNCLEAN)


def worse(report, than):
    """What in a case's report is worse than in another's, in words, or None."""
    order = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED")
    for key in ("behavior", "behaviorClose"):
        ours, theirs = (order.index(r[key]) if r[key] in order else len(order)
                        for r in (report, than))
        if ours > theirs:
            return f"{key} {report[key]}, not {than[key]}: " \
                   f"{report['result']} {report['resultClose']}"
    if than["wasClean"] and not report["wasClean"]:
        return f"unclean: {report['wasNotCleanReason']}"
    if not report["httpResponse"].startswith("HTTP/1.1 101"):
        return f"not opened: {report['httpResponse'][:60]!r}"
    return next((key for key in UNCLEAN if report[key] and not than[key]),
                None)
