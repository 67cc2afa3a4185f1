# SPDX-License-Identifier: Apache-2.0
"""The webhooks: whom they ask, and what the chart leaves to the controller."""
import pytest
import yaml

ANNOTATION = "object.metadata.?annotations[?'tulle.dev/inject'].orValue('')"
LABEL = "object.metadata.?labels[?'tulle.dev/inject'].orValue('')"
ASKS = f"!({ANNOTATION} in ['', 'disabled'] && {LABEL} in ['', 'disabled'])"
SILENT = f"({ANNOTATION} == '' && {LABEL} == '')"


@pytest.fixture
def webhooks(template):
    def get(**values):
        r = template(values=values)
        found = r.one("MutatingWebhookConfiguration", "tulle-injector")["webhooks"]
        return {w["name"]: w for w in found}
    return get


def expected(name, operator, condition):
    return yaml.safe_load(f"""
name: {name}
admissionReviewVersions: [v1]
clientConfig:
  service: {{name: tulle-injector, namespace: tulle-system, path: /inject, port: 443}}
rules:
  - operations: [CREATE]
    apiGroups: [""]
    apiVersions: [v1]
    resources: [pods]
    scope: Namespaced
namespaceSelector:
  matchExpressions:
    - {{key: tulle.dev/inject, operator: {operator}, values: [enabled]}}
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: [kube-system, kube-public, kube-node-lease, tulle-system]
matchPolicy: Equivalent
failurePolicy: Fail
timeoutSeconds: 5
sideEffects: NoneOnDryRun
reinvocationPolicy: IfNeeded
""") | {"matchConditions": [condition]}


def test_golden(webhooks):
    assert webhooks() == {
        "namespace.inject.tulle.dev": expected(
            "namespace.inject.tulle.dev", "In",
            {"name": "not-opted-out", "expression": f"{ASKS} || {SILENT}"}),
        "pod.inject.tulle.dev": expected(
            "pod.inject.tulle.dev", "NotIn",
            {"name": "opted-in", "expression": ASKS}),
    }


def test_missing_keys_cannot_fail(webhooks):
    """An error in a condition counts as a failure: every access is optional."""
    for w in webhooks().values():
        for condition in w["matchConditions"]:
            e = condition["expression"]
            for part in ("annotations", "labels"):
                assert f"metadata.?{part}[?'" in e
                assert f"metadata.{part}" not in e
            # namespaceObject does not exist there: it would refuse every pod.
            assert "namespaceObject" not in e


def test_values(webhooks):
    for w in webhooks(**{
            "injector.webhook.failurePolicy": "Ignore",
            "injector.webhook.timeoutSeconds": 10,
            "injector.webhook.excludedNamespaces": ["legacy", "kube-system"],
    }).values():
        assert w["failurePolicy"] == "Ignore"
        assert w["timeoutSeconds"] == 10
        assert w["namespaceSelector"]["matchExpressions"][1]["values"] == [
            "kube-system", "kube-public", "kube-node-lease", "tulle-system",
            "legacy"]


def test_what_the_controller_writes_is_not_here(template):
    """caBundle is the controller's; a chart that sets it takes it away with every
    upgrade. Secrets and ConfigMaps are its own, too."""
    r = template()
    assert "caBundle" not in str(r.objects)
    assert not r.all("Secret") and not r.all("ConfigMap")
    assert not r.all("Lease") and not r.all("MeshConfig")


def test_the_name_of_the_trust_roots_is_reserved(template):
    r = template("--namespace", "mesh",
                 values={"controller.serviceAccount.name": "mine"})
    policy = r.one("ValidatingAdmissionPolicy", "tulle-trust-bundle")["spec"]
    assert policy["matchConstraints"]["resourceRules"] == [{
        "operations": ["CREATE", "UPDATE"], "apiGroups": [""],
        "apiVersions": ["v1"], "resources": ["configmaps"],
        "resourceNames": ["tulle-trust-bundle"]}]
    variables = {v["name"]: v["expression"] for v in policy["variables"]}
    assert variables["isController"] == \
        "request.userInfo.username == 'system:serviceaccount:mesh:mine'"
    assert [v["expression"] for v in policy["validations"]] == [
        "variables.isController || variables.sameContents"]
    binding = r.one("ValidatingAdmissionPolicyBinding", "tulle-trust-bundle")
    assert binding["spec"] == {"policyName": "tulle-trust-bundle",
                               "validationActions": ["Deny"]}


# --- rights ------------------------------------------------------------------------

READ = "get list watch"


def rights(role):
    """{"group/resource[names]": "verbs"}: what one reads to judge them."""
    out = {}
    for rule in role["rules"]:
        names = ",".join(rule.get("resourceNames", []))
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                key = f"{group}/{resource}" + (f"[{names}]" if names else "")
                assert key not in out
                out[key] = " ".join(rule["verbs"])
    return out


def test_only_its_own_root_is_the_controllers_to_change(template):
    own = rights(template().one("Role", "tulle-controller"))
    assert own["/secrets[tulle-ca]"] == f"{READ} patch"


def test_rights(template):
    r = template(values={"identity.issuerSecret": "issuer"})
    assert rights(r.one("ClusterRole", "tulle-controller")) == {
        "/namespaces": READ, "/pods": READ, "/services": READ,
        "discovery.k8s.io/endpointslices": READ,
        "authentication.k8s.io/tokenreviews": "create",
        "/configmaps": "create",
        "/configmaps[tulle-trust-bundle]": f"{READ} update delete",
        "tulle.dev/meshproxies": f"{READ} create delete",
        "tulle.dev/meshconfigs": f"{READ} create",
        "tulle.dev/meshproxies/status": "patch",
        "tulle.dev/meshconfigs/status": "patch",
        "/events": "create patch",
        "admissionregistration.k8s.io/mutatingwebhookconfigurations"
        "[tulle-injector]": f"{READ} patch",
    }
    assert rights(r.one("Role", "tulle-controller")) == {
        "/secrets": "create",
        "/secrets[tulle-ca,issuer]": READ,
        "/secrets[tulle-injector-serving]": f"{READ} update",
        "coordination.k8s.io/leases": "create",
        "coordination.k8s.io/leases[tulle-controller]": "get patch",
    }
    assert rights(r.one("ClusterRole", "tulle-injector")) == {
        "/namespaces": READ, "/events": "create patch",
    }
    assert rights(r.one("Role", "tulle-injector")) == {
        "/secrets[tulle-injector-serving]": READ,
        "/configmaps[tulle-trust-bundle]": READ,
        "/services[tulle-controller]": READ,
    }
    assert "*" not in str([o for o in r.objects if o["kind"].endswith("Role")])
