# SPDX-License-Identifier: Apache-2.0
"""Renders the chart with Helm 4 and Helm 3, as users would, without a cluster."""
import functools
import json
import os
import subprocess

import pytest
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
CHART = f"{ROOT}/charts/tulle"
OLDEST = "1.33.0"


def helm(*arguments, major=4):
    return subprocess.run(
        [f"{ROOT}/scripts/helm", *arguments], check=False, text=True,
        capture_output=True, cwd=ROOT, stdin=subprocess.DEVNULL,
        env=dict(os.environ, HELM_MAJOR=str(major)))


class Rendered:
    """The objects of one rendering, by kind and name."""

    def __init__(self, text):
        self.text = text
        self.objects = [o for o in yaml.safe_load_all(text) if o]

    def all(self, kind):
        return [o for o in self.objects if o["kind"] == kind]

    def one(self, kind, name):
        found = [o for o in self.all(kind) if o["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} times {kind} {name}"
        return found[0]

    def pod_spec(self, program):
        return self.one("Deployment", f"tulle-{program}")["spec"]["template"]["spec"]

    def env(self, program):
        """{name: value}; None where it comes from the pod itself."""
        container, = self.pod_spec(program)["containers"]
        names = [e["name"] for e in container["env"]]
        assert len(names) == len(set(names)), "a variable twice"
        return {e["name"]: e.get("value") for e in container["env"]}


@functools.cache
def _template(major, arguments):
    return helm("template", "tulle", CHART, "--namespace", "tulle-system",
                "--kube-version", OLDEST, *arguments, major=major)


def arguments_of(values):
    """Values as a dict go through JSON, so that types arrive as they are."""
    return tuple(f"--set-json={k}={json.dumps(v)}" for k, v in values.items())


@pytest.fixture(params=[4, 3], ids=["helm4", "helm3"], scope="session")
def major(request):
    done = helm("version", "--short", major=request.param)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip().removeprefix("SKIPPED: "))
    return request.param


@pytest.fixture
def template(major):
    """template(arguments..., values={...}) -> Rendered"""
    def render(*arguments, values=()):
        done = _template(major, arguments + arguments_of(dict(values)))
        assert done.returncode == 0, done.stderr
        return Rendered(done.stdout)
    return render


@pytest.fixture
def refused(major):
    """refused(values) -> why Helm does not render that"""
    def render(*arguments, values=()):
        done = _template(major, arguments + arguments_of(dict(values)))
        assert done.returncode != 0, "rendered, although it should not be"
        return done.stderr
    return render
