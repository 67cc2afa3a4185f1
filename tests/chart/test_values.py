# SPDX-License-Identifier: Apache-2.0
"""values.yaml and values.schema.json say the same, and a typo is refused."""
import copy
import json
import os
import subprocess

import jsonschema
import pytest
import yaml

from conftest import CHART, ROOT

# Objects whose keys are the user's own.
OPEN = {"nodeSelector", "affinity", "annotations", "podLabels", "podAnnotations",
        "commonLabels", "podSecurityContext", "securityContext",
        "deploymentStrategy", "resources", "requests", "limits"}


def read(name):
    with open(f"{CHART}/{name}", encoding="utf-8") as f:
        return yaml.safe_load(f)


VALUES = read("values.yaml")
with open(f"{CHART}/values.schema.json", encoding="utf-8") as schema_file:
    SCHEMA = json.load(schema_file)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def places(value, path=()):
    """Paths of all objects with keys of our own."""
    yield path
    for key, below in value.items():
        if isinstance(below, dict) and key not in OPEN:
            yield from places(below, path + (key,))


def at(values, path):
    for key in path:
        values = values[key]
    return values


def merged(values, more):
    both = dict(values)
    for key, value in more.items():
        both[key] = merged(values[key], value) \
            if isinstance(value, dict) and key in values else value
    return both


def test_defaults_fit():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(VALUES)
    VALIDATOR.validate(merged(VALUES, read("values-ha.yaml")))


@pytest.mark.parametrize("path", list(places(VALUES)), ids=".".join)
def test_typos_are_refused_everywhere(path):
    values = copy.deepcopy(VALUES)
    at(values, path)["typpo"] = {}
    errors = list(VALIDATOR.iter_errors(values))
    assert errors and "typpo" in errors[0].message


def test_every_value_has_a_default():
    """The schema knows nothing that values.yaml does not show."""
    def check(schema, values, path):
        while "$ref" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
        for key, below in schema.get("properties", {}).items():
            if not path and key == "global" or path and path[-1] in OPEN:
                continue
            assert key in values, ".".join((*path, key))
            if isinstance(values[key], dict):
                check(below, values[key], (*path, key))
    check(SCHEMA, VALUES, ())


def test_every_value_is_explained():
    """A comment above each group; of the rest, names that speak."""
    with open(f"{CHART}/values.yaml", encoding="utf-8") as f:
        lines = f.read().split("\n")
    assert sum(line.strip().startswith("#") for line in lines) > len(lines) / 4


# What the injector and the controller take and refuse when they start.
STARTS = [
    ("proxy.detectTimeout", ["1ms", "50ms", "10s", "10000ms"],
     ["0s", "0ms", "11s", "10001ms", "1.5s", "1h", "50", ""]),
    ("proxy.pathRule", ["none", "base", "merge-slashes", "strict"],
     ["Strict", "merge", ""]),
    ("proxy.shutdownGrace", ["0s", "25s", "1h", "60m", "3600s"],
     ["2h", "61m", "3601s", "1.5h", "25", ""]),
    ("identity.certificateLife", ["2s", "24h", "90m"], ["1s", "1.5h", "0h", ""]),
    ("clusterDomain", ["cluster.local", "a.b-c.d"],
     ["a..b", ".a", "a.", "-a", "a-.b", "A", ""]),
    ("proxyInit.skipInboundPorts",
     ["", "22", "65535", "22,8000-8010", "1 , 2", ",".join(["1"] * 64)],
     ["0", "99999", "65536", "99999,0", "1-", "1;2", ",".join(["1"] * 65)]),
    ("proxyInit.skipSubnets",
     ["", "10.0.0.0/8,fd00::/8", "0.0.0.0/0, ::/0", "192.0.2.7/32"],
     ["10.0.0.0/33", "10.0.0/8", "256.0.0.0/8", "fd00::/129", "a"]),
    ("proxy.resources.limits.cpu",
     ["", "0.5", "100m", "1", "1024", 0.5, 2], ["0", "0.0", "0m", "1500u", "1.0001",
                                          "1025", "1Gi", 0, 1025]),
    ("proxy.resources.limits.memory",
     ["", "64Mi", "1024Ki", "1Ti", "0.5Gi", "1.25Gi", "1.5G", "1048576", "268435456",
      268435456],
     ["512Ki", "1023Ki", "0", "1M", "0.1Gi", "2Ti", "64m", "1000", "64MiB", 1000,
      1048576.5]),
]
VARIABLES = {
    "proxy.detectTimeout": "DETECT_TIMEOUT", "proxy.pathRule": "PATH_RULE",
    "proxy.shutdownGrace": "SHUTDOWN_GRACE",
    "clusterDomain": "CLUSTER_DOMAIN",
    "proxyInit.skipInboundPorts": "SKIP_INBOUND_PORTS",
    "proxyInit.skipSubnets": "SKIP_SUBNETS",
    "proxy.resources.limits.cpu": "PROXY_CPU_LIMIT",
    "proxy.resources.limits.memory": "PROXY_MEMORY_LIMIT",
}


def with_value(path, value):
    *above, last = path.split(".")
    values = copy.deepcopy(VALUES)
    at(values, above)[last] = value
    return values


@pytest.mark.parametrize("path, good, bad", STARTS, ids=[r[0] for r in STARTS])
def test_what_does_not_start_is_refused(path, good, bad):
    assert [v for v in good if not VALIDATOR.is_valid(with_value(path, v))] == []
    assert [v for v in bad if VALIDATOR.is_valid(with_value(path, v))] == []


@pytest.mark.parametrize("path, good, bad",
                         [r for r in STARTS if r[0] in VARIABLES],
                         ids=[r[0] for r in STARTS if r[0] in VARIABLES])
def test_the_injector_agrees(template, path, good, bad):
    """It starts with all that the schema takes, as the chart says it."""
    build = os.environ.get("TULLE_BUILD", f"{ROOT}/build/dev")
    injector = f"{build}/injector/tulle-injector"
    if not os.path.exists(injector):
        pytest.skip("no tulle-injector is built: TULLE_BUILD says where")

    def run(value):
        return subprocess.run([injector, "file", "-"], input="", text=True,
                              capture_output=True, check=False, env={
                                  f"TULLE_INJECTOR_{VARIABLES[path]}": value})
    for value in good:
        env = template(values={path: value}).env("injector")
        done = run(env[f"TULLE_INJECTOR_{VARIABLES[path]}"])
        assert done.returncode == 0, f"{value}: {done.stderr}"
    for value in bad:
        # Empty is its own default; a number is spelled by the chart.
        if isinstance(value, str) and value not in ("", "1;2"):
            assert run(value).returncode != 0, value


@pytest.mark.parametrize("values, why", [
    ({"proxyy": {}}, "proxyy"),
    ({"controller.replica": 2}, "replica"),
    ({"injector.webhook.failurePolicy": "fail"}, "failurePolicy"),
    ({"mtls.mode": "Strict"}, "mode"),
    ({"image.tag": "latest"}, "tag"),
    ({"controller.image.digest": "sha256:1"}, "digest"),
    ({"proxyInit.skipInboundPorts": 22}, "skipInboundPorts"),
    ({"proxyInit.skipInboundPorts": "22;23"}, "skipInboundPorts"),
    ({"proxyInit.skipInboundPorts": "22,9-8"}, "9-8 ends before it begins"),
    ({"identity": None}, "identity"),
    ({"proxy": None}, "proxy"),
    ({"injector.webhook": None}, "webhook"),
    ({"proxy.uid": None}, "uid"),
    ({"podDisruptionBudget.maxUnavailable": None}, "give maxUnavailable or minAvail"),
    ({"proxyInit.skipSubnets": "10.0.0.0"}, "skipSubnets"),
    ({"proxy.uid": 0}, "uid"),
    ({"proxy.shutdownGrace": "25"}, "shutdownGrace"),
    ({"identity.trustDomain": "Cluster.Local"}, "trustDomain"),
    ({"logFormat": "yaml"}, "logFormat"),
    ({"controller.logLevel": "chatty"}, "logLevel"),
    ({"proxy.resources": {"limits": {"gpu": 1}}}, "gpu"),
    ({"injector.webhook.timeoutSeconds": 31}, "timeoutSeconds"),
], ids=lambda v: next(iter(v)) if isinstance(v, dict) else None)
def test_helm_refuses(refused, values, why):
    assert why in refused(values=values)
