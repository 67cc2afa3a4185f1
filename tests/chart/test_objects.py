# SPDX-License-Identifier: Apache-2.0
"""What the chart renders is what Kubernetes takes, and nothing more than meant."""
import glob
import re

import kubernetes_validate
import pytest
import yaml

from conftest import CHART, ROOT, helm

HA = ("--values", f"{CHART}/values-ha.yaml")
EVERYTHING = {
    "imageRegistry": "registry.example.com/mirror/",
    "imagePullSecrets": [{"name": "pull"}],
    "commonLabels": {"team": "platform"},
    "podLabels": {"cost": "shared"},
    "podAnnotations": {"example.com/scrape": "true"},
    "mtls.mode": "strict",
    "identity.trustDomain": "mesh.example.com",
    "identity.issuerSecret": "issuer",
    "clusterDomain": "k8s.example.com",
    "logFormat": "json",
    "networkPolicy.enabled": True,
    "priorityClassName": "system-cluster-critical",
    "runtimeClassName": "fast",
    "controller.extraArgs": ["--issue-rate=10"],
    "controller.extraEnv": [{"name": "A", "value": "b"}],
    "injector.extraArgs": ["--log-level=debug"],
    "injector.extraEnv": [{"name": "A", "value": "b"}],
    "injector.webhook.failurePolicy": "Ignore",
    "injector.webhook.excludedNamespaces": ["legacy"],
    "injector.webhook.annotations": {"admissions.enforcer/disabled": "true"},
    "controller.tolerations": [{"operator": "Exists"}],
    "injector.affinity": {"nodeAffinity": {}},
    "controller.serviceAccount.annotations": {"example.com/role": "r"},
    "podDisruptionBudget.minAvailable": "50%",
    "topologySpreadConstraints": [
        {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
         "labelSelector": {"matchLabels": {"own": "selector"}}}],
    "proxyInit.skipInboundPorts": "22,8000-8010",
    "proxy.resources": {"requests": {"cpu": 0.1, "memory": "30Mi"}},
}
NOTHING = {
    "crds.install": False, "rbac.create": False, "admissionPolicy.enabled": False,
    "podDisruptionBudget.enabled": False,
    "controller.serviceAccount.create": False,
    "controller.serviceAccount.name": "mine",
    "injector.serviceAccount.create": False, "nodeSelector": {},
    "topologySpreadConstraints": [], "podSecurityContext": {},
    "securityContext": {}, "deploymentStrategy": {}, "controller.resources": {},
}
RENDERINGS = {
    "default": ((), {}), "ha": (HA, {}), "everything": ((), EVERYTHING),
    "everything-ha": (HA, EVERYTHING), "nothing": ((), NOTHING),
    "elsewhere": (("--namespace", "mesh"), {}),
}


@pytest.fixture(params=RENDERINGS, ids=list(RENDERINGS))
def rendered(request, template):
    arguments, values = RENDERINGS[request.param]
    return template(*arguments, values=values)


def test_lint(major):
    for values in ((), HA):
        done = helm("lint", "--strict", CHART, *values, major=major)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["1.33", "1.37"])
def test_every_object_validates(rendered, version):
    for o in rendered.objects:
        if o["kind"] == "CustomResourceDefinition":
            continue  # test_crds.py
        try:
            kubernetes_validate.validate(o, version, strict=True)
        except kubernetes_validate.ValidationError as e:
            pytest.fail(f"{o['kind']} {o['metadata']['name']}: {e}")


def test_all_in_the_release_namespace(template):
    r = template("--namespace", "mesh")
    cluster_wide = {
        ("ClusterRole", "tulle-controller"), ("ClusterRole", "tulle-injector"),
        ("ClusterRoleBinding", "tulle-controller"),
        ("ClusterRoleBinding", "tulle-injector"),
        ("CustomResourceDefinition", "meshconfigs.tulle.dev"),
        ("CustomResourceDefinition", "meshproxies.tulle.dev"),
        ("MutatingWebhookConfiguration", "tulle-injector"),
        ("ValidatingAdmissionPolicy", "tulle-trust-bundle"),
        ("ValidatingAdmissionPolicyBinding", "tulle-trust-bundle"),
        ("Namespace", "mesh-test"),
    }
    assert cluster_wide == {
        (o["kind"], o["metadata"]["name"]) for o in r.objects
        if "namespace" not in o["metadata"]}
    assert {o["metadata"]["namespace"] for o in r.objects
            if "namespace" in o["metadata"]
            and "helm.sh/hook" not in o["metadata"].get("annotations", {})} == {"mesh"}
    assert "tulle-system" not in r.text


def test_labels(template):
    for o in template(values={"commonLabels": {"team": "platform"}}).objects:
        labels = o["metadata"]["labels"]
        assert labels["team"] == "platform", o
        assert labels["app.kubernetes.io/part-of"] == "tulle"


def test_commonlabels_do_not_reach_selectors(template):
    """A Deployment's selector cannot be changed by an upgrade."""
    r = template(values={"commonLabels": {"team": "platform"}})
    for program in ("controller", "injector"):
        d = r.one("Deployment", f"tulle-{program}")
        selector = {"app.kubernetes.io/name": "tulle",
                    "app.kubernetes.io/component": program}
        assert d["spec"]["selector"] == {"matchLabels": selector}
        assert selector.items() <= d["spec"]["template"]["metadata"]["labels"].items()
        assert r.one("Service", f"tulle-{program}")["spec"]["selector"] == selector
        pdb = r.one("PodDisruptionBudget", f"tulle-{program}")
        assert pdb["spec"]["selector"] == {"matchLabels": selector}


# --- images ----------------------------------------------------------------------

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize("values, controller, proxy", [
    ({}, "tulle/controller:0.1.0", "tulle/proxy:0.1.0"),
    ({"image.tag": "1.2"}, "tulle/controller:1.2", "tulle/proxy:1.2"),
    ({"image.tag": "1.2", "proxy.image.tag": "1.3"},
     "tulle/controller:1.2", "tulle/proxy:1.3"),
    ({"imageRegistry": "r.example.com"},
     "r.example.com/tulle/controller:0.1.0", "r.example.com/tulle/proxy:0.1.0"),
    ({"controller.image.digest": DIGEST, "controller.image.tag": "x",
      "proxy.image.repository": "me/p"},
     f"tulle/controller@{DIGEST}", "me/p:0.1.0"),
])
def test_images(template, values, controller, proxy):
    r = template(values=values)
    assert r.pod_spec("controller")["containers"][0]["image"] == controller
    assert r.env("injector")["TULLE_INJECTOR_PROXY_IMAGE"] == proxy


def test_one_version():
    """The chart, the programs and the images."""
    with open(f"{CHART}/Chart.yaml", encoding="utf-8") as f:
        chart = yaml.safe_load(f)
    with open(f"{ROOT}/CMakeLists.txt", encoding="utf-8") as f:
        version, = re.findall(r"project\(tulle VERSION ([\d.]+)", f.read())
    assert (chart["version"], chart["appVersion"]) == (version, version)


# --- pods of the control plane -----------------------------------------------------

@pytest.mark.parametrize("program", ["controller", "injector"])
def test_restricted(template, program):
    """What the restricted Pod Security standard asks for."""
    spec = template().pod_spec(program)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & spec.keys()
    container, = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]}}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


def test_probes_have_an_address(template):
    """The admin pages are on loopback, where no kubelet gets."""
    r = template()
    for program in ("controller", "injector"):
        container, = r.pod_spec(program)["containers"]
        ports = {p["name"]: p["containerPort"] for p in container["ports"]}
        assert r.env(program)[f"TULLE_{program.upper()}_HEALTH"] == \
            f"[::]:{ports['health']}"
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] == "health"


def test_pods_leave_before_they_end(template):
    """Their images have no `sleep` to run."""
    for program in ("controller", "injector"):
        spec = template().pod_spec(program)
        pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert 0 < pause < spec["terminationGracePeriodSeconds"] / 2


def test_ha(template):
    r = template(*HA)
    for program in ("controller", "injector"):
        d = r.one("Deployment", f"tulle-{program}")
        assert d["spec"]["replicas"] == 2
        assert d["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        spec = r.pod_spec(program)
        assert spec["priorityClassName"] == "system-cluster-critical"
        spread = spec["topologySpreadConstraints"]
        assert [(s["topologyKey"], s["whenUnsatisfiable"]) for s in spread] == [
            ("kubernetes.io/hostname", "DoNotSchedule"),
            ("topology.kubernetes.io/zone", "ScheduleAnyway")]
        for s in spread:
            assert s["labelSelector"]["matchLabels"][
                "app.kubernetes.io/component"] == program
            assert s["matchLabelKeys"] == ["pod-template-hash"]
        terms = spec["affinity"]["podAntiAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"]
        assert terms[0]["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
        assert r.one("PodDisruptionBudget", f"tulle-{program}")["spec"][
            "maxUnavailable"] == 1


def test_own_values_win(template):
    r = template(values={"nodeSelector": {"a": "b"}, "injector.nodeSelector": {"c": "d"},
                         "priorityClassName": "x",
                         "controller.priorityClassName": "y"})
    own = r.pod_spec("controller")["nodeSelector"]
    assert own == {"kubernetes.io/os": "linux", "a": "b"}  # maps are merged
    assert r.pod_spec("injector")["nodeSelector"] == {"c": "d"}
    assert r.pod_spec("controller")["priorityClassName"] == "y"
    assert r.pod_spec("injector")["priorityClassName"] == "x"


# --- settings ----------------------------------------------------------------------

def known_variables(program):
    with open(f"{ROOT}/{program}/config.def", encoding="utf-8") as f:
        return set(re.findall(r'"(TULLE_[A-Z0-9_]+)"', f.read()))


@pytest.mark.parametrize("program, marker", [
    ("injector", "TULLE_INJECTOR_PROXY_IMAGE"),
])
def test_programs_know_their_variables(template, program, marker):
    """A variable that a program does not know would be ignored."""
    if not glob.glob(f"{ROOT}/{program}/config.def") or \
            marker not in known_variables(program):
        pytest.skip(f"the {program}'s part for Kubernetes is not there yet")
    set_here = {n for n in template().env(program) if n.startswith("TULLE_")}
    assert set_here <= known_variables(program)


def test_settings_of_the_mesh(template):
    r = template(values={
        "mtls.mode": "strict", "identity.trustDomain": "mesh.example.com",
        "clusterDomain": "k8s.example.com", "identity.issuerSecret": "issuer",
        "identity.certificateLife": "12h", "logLevel": "warn",
        "controller.logLevel": "info,session=debug", "logFormat": "json"})
    controller, injector = r.env("controller"), r.env("injector")
    assert controller["TULLE_CONTROLLER_DEFAULT_MTLS"] == "strict"
    assert controller["TULLE_CONTROLLER_TRUST_DOMAIN"] == "mesh.example.com"
    assert controller["TULLE_CONTROLLER_CLUSTER_DOMAIN"] == "k8s.example.com"
    assert controller["TULLE_CONTROLLER_ISSUER_SECRET"] == "issuer"
    assert controller["TULLE_CONTROLLER_CERT_LIFE"] == "12h"
    assert controller["TULLE_CONTROLLER_LOG_LEVEL"] == "info,session=debug"
    assert controller["TULLE_CONTROLLER_LOG_JSON"] == "true"
    assert injector["TULLE_INJECTOR_LOG_LEVEL"] == "warn"
    assert injector["TULLE_INJECTOR_TRUST_DOMAIN"] == "mesh.example.com"


def test_settings_of_sidecars(template):
    env = template(values={
        "proxy.uid": 5000, "proxy.resources": {"limits": {"memory": "1Gi"}},
        "proxy.workers": 2, "proxy.accessLog": True,
        "proxyInit.skipOutboundPorts": "3306", "proxy.image.pullPolicy": "Always",
    }).env("injector")
    assert env["TULLE_INJECTOR_PROXY_UID"] == "5000"
    assert env["TULLE_INJECTOR_PROXY_GID"] == "2102"
    assert env["TULLE_INJECTOR_PROXY_MEMORY_LIMIT"] == "1Gi"
    assert env["TULLE_INJECTOR_WORKERS"] == "2"
    assert env["TULLE_INJECTOR_ACCESS_LOG"] == "true"
    assert env["TULLE_INJECTOR_SKIP_OUTBOUND_PORTS"] == "3306"
    assert env["TULLE_INJECTOR_PROXY_PULL_POLICY"] == "Always"


# --- tests, notes, versions ----------------------------------------------------------

def test_helm_test_needs_a_proxy(template):
    """Its application is our own program, as another user than the proxy, and only
    a proxy beside it can make it succeed."""
    pod = template().one("Pod", "tulle-test")
    assert pod["metadata"]["annotations"]["tulle.dev/inject"] == "enabled"
    assert pod["spec"]["restartPolicy"] == "Never"
    container, = pod["spec"]["containers"]
    assert container["command"] == ["/usr/bin/tulle-proxy", "ready"]
    assert pod["spec"]["securityContext"]["runAsUser"] != 2102
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    namespace = template().one("Namespace", pod["metadata"]["namespace"])
    for o in (pod, namespace):
        assert o["metadata"]["annotations"]["helm.sh/hook"] == "test"
        assert "hook-succeeded" in \
            o["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


def test_helm_test_in_a_namespace_that_is_there(template):
    """With a registry that asks for a password, and numbers of users that the
    cluster gives."""
    r = template(values={"test.namespace": "mine",
                         "imagePullSecrets": [{"name": "registry"}],
                         "podSecurityContext": {"runAsUser": None}})
    pod = r.one("Pod", "tulle-test")
    assert pod["metadata"]["namespace"] == "mine"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert "runAsUser" not in str(pod)
    assert r.all("Namespace") == []


def test_recreate(template):
    for name in ("controller", "injector"):
        d = template(values={"deploymentStrategy.type": "Recreate"}).one(
            "Deployment", f"tulle-{name}")
        assert d["spec"]["strategy"] == {"type": "Recreate"}


def test_what_is_taken_away(template):
    """null takes a default away, as everywhere in Helm."""
    r = template(values={"proxy.resources": None, "proxyInit.skipSubnets": None,
                         "injector.webhook.excludedNamespaces": None,
                         "commonLabels": None, "podLabels": None})
    env = r.env("injector")
    for name in ("PROXY_CPU_REQUEST", "PROXY_MEMORY_LIMIT", "SKIP_SUBNETS"):
        assert env[f"TULLE_INJECTOR_{name}"] == ""
    env = template(values={"proxy.resources.limits": None}).env("injector")
    assert env["TULLE_INJECTOR_PROXY_MEMORY_LIMIT"] == ""
    assert env["TULLE_INJECTOR_PROXY_MEMORY_REQUEST"] == "20Mi"


def test_numbers_of_resources(template):
    env = template(values={"proxy.resources.limits": {
        "memory": 268435456, "cpu": 0.5}}).env("injector")
    assert env["TULLE_INJECTOR_PROXY_MEMORY_LIMIT"] == "268435456"
    assert env["TULLE_INJECTOR_PROXY_CPU_LIMIT"] == "500m"


def test_common_labels_do_not_replace_ours(template):
    r = template(values={"commonLabels": {"app.kubernetes.io/name": "theirs",
                                          "team": "mesh"}})
    assert r.text.count("theirs") == 0
    for o in r.objects:
        assert o["metadata"]["labels"]["app.kubernetes.io/name"] == "tulle"
        assert o["metadata"]["labels"]["team"] == "mesh"


def test_notes(major):
    if major == 3:
        pytest.skip("Helm 3 renders notes with a cluster only")
    done = helm("install", "tulle", CHART, "--namespace", "mesh", "--dry-run=client",
                "--set=injector.webhook.failurePolicy=Ignore", major=major)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert "kubectl label namespace my-app tulle.dev/inject=enabled" in notes
    assert "kubectl get mesh -A" in notes
    assert "helm test tulle -n mesh" in notes
    assert "WARNING" in notes


def test_old_kubernetes_is_refused(refused):
    assert "kubeVersion" in refused("--kube-version", "1.32.9")
