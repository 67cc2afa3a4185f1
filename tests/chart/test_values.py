# SPDX-License-Identifier: Apache-2.0
"""values.yaml and values.schema.json say the same, and a typo is refused."""
import copy
import json

import jsonschema
import pytest
import yaml

from conftest import CHART

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


def test_defaults_fit():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(VALUES)
    VALIDATOR.validate(read("values-ha.yaml"))


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


@pytest.mark.parametrize("values, why", [
    ({"proxyy": {}}, "proxyy"),
    ({"controller.replica": 2}, "replica"),
    ({"injector.webhook.failurePolicy": "fail"}, "failurePolicy"),
    ({"mtls.mode": "Strict"}, "mode"),
    ({"image.tag": "latest"}, "tag"),
    ({"controller.image.digest": "sha256:1"}, "digest"),
    ({"proxyInit.skipInboundPorts": 22}, "skipInboundPorts"),
    ({"proxyInit.skipInboundPorts": "22;23"}, "skipInboundPorts"),
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
