# SPDX-License-Identifier: Apache-2.0
"""Our kinds: columns, schemas, and who keeps them."""
import copy

import jsonschema
import pytest

COLUMNS = {
    "MeshProxy": (["READY", "SYNC", "MTLS", "CERT-EXPIRES"],
                  ["IDENTITY", "VERSION", "CONFIG", "NODE"]),
    "MeshConfig": (["READY", "PROXIES", "SYNCED", "MTLS", "TRUST-DOMAIN",
                    "CA-EXPIRES", "VERSION"], []),
}
CONDITION = {"type": "Ready", "status": "True", "reason": "Ready", "message": "",
             "lastTransitionTime": "2026-11-22T16:00:00Z"}
PROXY = {
    "apiVersion": "tulle.dev/v1alpha1", "kind": "MeshProxy",
    "metadata": {"name": "web-0", "namespace": "shop"},
    "status": {"ready": "True", "sync": "yes", "mtls": "strict",
               "certExpires": "2026-11-23T16:18Z",
               "identity": "spiffe://cluster.local/ns/shop/sa/web",
               "version": "0.1.0", "config": "5f1c", "node": "n1",
               "podIP": "10.1.2.3", "message": "", "conditions": [CONDITION]},
}
MESH = {
    "apiVersion": "tulle.dev/v1alpha1", "kind": "MeshConfig",
    "metadata": {"name": "mesh"},
    "status": {"ready": "True", "proxies": 3, "synced": 2, "mtls": "permissive",
               "trustDomain": "cluster.local", "caExpires": "2036-11-20T16:18Z",
               "version": "0.1.0", "conditions": [CONDITION]},
}


@pytest.fixture
def crds(template):
    return {c["spec"]["names"]["kind"]: c
            for c in template().all("CustomResourceDefinition")}


def version(crd):
    only, = crd["spec"]["versions"]
    assert (only["name"], only["served"], only["storage"]) == ("v1alpha1", True, True)
    return only


def test_names(crds):
    assert crds.keys() == COLUMNS.keys()
    for kind, crd in crds.items():
        names = crd["spec"]["names"]
        assert names["categories"] == ["mesh"]
        assert names["kind"] == kind
        assert crd["spec"]["group"] == "tulle.dev"
        assert crd["metadata"]["name"] == f"{names['plural']}.tulle.dev"
        assert version(crd)["subresources"] == {"status": {}}
    assert crds["MeshProxy"]["spec"]["scope"] == "Namespaced"
    assert crds["MeshProxy"]["spec"]["names"]["shortNames"] == ["mp"]
    assert crds["MeshConfig"]["spec"]["scope"] == "Cluster"


def test_columns(crds):
    """kubectl writes heads in capitals, and a date of the future as <invalid>."""
    for kind, (always, wide) in COLUMNS.items():
        columns = version(crds[kind])["additionalPrinterColumns"]
        assert [c["name"].upper() for c in columns if not c.get("priority")] == always
        assert [c["name"].upper() for c in columns if c.get("priority")] == wide
        assert all(c["type"] in ("string", "integer") for c in columns)
        status = version(crds[kind])["schema"]["openAPIV3Schema"]["properties"][
            "status"]["properties"]
        for c in columns:
            assert c["jsonPath"].removeprefix(".status.") in status


def structural(schema, path=""):
    """Every part has a type, and nothing unknown is kept."""
    assert schema.get("type"), path
    assert "x-kubernetes-preserve-unknown-fields" not in schema, path
    if schema["type"] == "array":
        structural(schema["items"], path + "[]")
    for name, below in schema.get("properties", {}).items():
        structural(below, f"{path}.{name}")


def test_schemas_are_structural_and_bounded(crds):
    def bounded(schema, path):
        if schema["type"] == "string" and path not in (".apiVersion", ".kind"):
            assert "enum" in schema or "maxLength" in schema or \
                schema.get("format") == "date-time", path
        if schema["type"] == "array":
            assert "maxItems" in schema, path
            bounded(schema["items"], path + "[]")
        for name, below in schema.get("properties", {}).items():
            bounded(below, f"{path}.{name}")
    for crd in crds.values():
        schema = version(crd)["schema"]["openAPIV3Schema"]
        structural(schema)
        bounded(schema, "")


@pytest.mark.parametrize("good", [PROXY, MESH], ids=lambda o: o["kind"])
def test_what_the_controller_writes_fits(crds, good):
    schema = version(crds[good["kind"]])["schema"]["openAPIV3Schema"]
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(good)
    # All that the schema knows is in the example.
    assert good["status"].keys() == \
        schema["properties"]["status"]["properties"].keys()
    bad = copy.deepcopy(good)
    bad["status"]["mtls"] = "Strict"
    assert not validator.is_valid(bad)
    bad = copy.deepcopy(good)
    bad["status"]["conditions"][0].pop("reason")
    assert not validator.is_valid(bad)


def test_selectable_fields(crds):
    fields = version(crds["MeshProxy"])["selectableFields"]
    assert [f["jsonPath"] for f in fields] == [
        ".status.ready", ".status.sync", ".status.node"]


def test_one_mesh(crds):
    rules = version(crds["MeshConfig"])["schema"]["openAPIV3Schema"][
        "x-kubernetes-validations"]
    assert rules[0]["rule"] == "self.metadata.name == 'mesh'"


def test_install_and_keep(template):
    for crd in template().all("CustomResourceDefinition"):
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    for crd in template(values={"crds.keep": False}).all("CustomResourceDefinition"):
        assert "annotations" not in crd["metadata"]
    assert not template(values={"crds.install": False}).all(
        "CustomResourceDefinition")
