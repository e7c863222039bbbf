"""What the chart makes of values: taken by the real API server, or refused by the chart with the fix."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dora_operator.settings import Settings
from sandbox.cluster import LocalCluster
from tests.support.chart import Helm, container, granted, of_kind
from tests.support.chart_values import REFUSED, TAKEN
from tests.support.promql import selectors
from tools.chart.__main__ import CHART
from tools.chart.settings import settings

pytestmark = pytest.mark.cluster

VERSION = str(yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"])
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize("values", TAKEN)
def test_values_that_the_api_server_takes(chart_cluster: LocalCluster, helm: Helm, values: dict[str, Any]) -> None:
    """A server-side dry run takes every object, and Pod Security's level restricted has nothing to say."""
    objects = helm.template(values, "restricted")
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    arguments = ("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-")
    result = chart_cluster.run_kubectl(*arguments, input=listed)
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    assert len(result.stdout.splitlines()) == len(objects)


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor", "PrometheusRule"])
def test_monitors_are_linted(chart_cluster: LocalCluster, helm: Helm, kind: str) -> None:
    """The CRDs of the Prometheus operator are real ones: they know their fields."""
    name = kind[0].lower() + kind[1:]
    (found,) = of_kind(helm.template({name: {"enabled": True}}, "restricted"), kind)
    wrong = json.dumps(found | {"spec": found["spec"] | {"noSuchField": True}})
    result = chart_cluster.run_kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", input=wrong)
    assert result.returncode != 0
    assert "noSuchField" in result.stderr


def test_pod_security_is_checked(chart_cluster: LocalCluster, helm: Helm) -> None:
    """The namespace of these tests does warn."""
    objects = helm.template({"podSecurityContext": {"runAsNonRoot": None}}, "restricted")
    (deployment,) = of_kind(objects, "Deployment")
    arguments = ("apply", "--server-side", "--dry-run=server", "-n", "restricted", "-f", "-")
    assert "violate PodSecurity" in chart_cluster.run_kubectl(*arguments, input=json.dumps(deployment)).stderr


def test_lint(helm: Helm) -> None:
    """Helm has nothing to say against the chart, warnings included."""
    assert "1 chart(s) linted, 0 chart(s) failed" in helm("lint", "--strict", str(CHART))


@pytest.mark.parametrize(("values", "words"), REFUSED)
def test_values_that_are_refused(helm: Helm, values: dict[str, Any], words: str) -> None:
    """Before anything is sent to a cluster, with a message that says where and what."""
    result = helm.run("template", "x", str(CHART), values=values)
    assert result.returncode != 0
    assert words in result.stderr


def environment(objects: list[dict[str, Any]]) -> dict[str, str]:
    """Return the variables of the operator's container that have a value of their own."""
    (deployment,) = of_kind(objects, "Deployment")
    return {one["name"]: one["value"] for one in container(deployment)["env"] if "value" in one}


OTHER = {"boolean": True, "integer": 7, "number": 7.5, "string": "7", "array": ["a", "b"]}


@pytest.mark.parametrize("name", sorted(settings()))
def test_every_setting_reaches_the_operator(helm: Helm, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another value than the default arrives in the variable that the operator reads, as the operator takes it."""
    default, schema, _ = settings()[name]
    choices = next(one for one in schema.get("anyOf", [schema]) if "const" not in one)
    wanted: Any = (
        next(one for one in choices["enum"] if one != default) if "enum" in choices else OTHER[choices["type"]]
    )
    if choices.get("type") == "boolean":
        wanted = not default
    if name == "datadogUrl":
        wanted = "http://127.0.0.1:1/"
    if name.endswith("Selector"):
        wanted = "team=red"
    if name == "readBackSchedule":
        wanted = [1.0, 2.5]
    found = environment(helm.template({"settings": {name: wanted}}))
    field = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    assert f"DORA_OPERATOR_{field.upper()}" in found
    for variable, one in found.items():
        monkeypatch.setenv(variable, one)
    read = getattr(Settings(), field)
    read = getattr(read, "value", read)
    assert (
        list(read) if isinstance(read, tuple) else type(wanted)(str(read)) if name == "datadogUrl" else read
    ) == wanted


def test_defaults_are_the_operators_own(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a plain installation starts with is what an operator without variables does, but for ports and logs."""
    for variable, text in environment(helm.template({})).items():
        monkeypatch.setenv(variable, text)
    chosen = {"health_port", "metrics_port", "log_format"}
    assert Settings().model_dump(exclude=chosen) == Settings.model_construct().model_dump(exclude=chosen)


def test_with_an_existing_secret_there_is_no_other(helm: Helm) -> None:
    """No Secret, and no key, in what the chart makes."""
    objects = helm.template({"datadog": {"existingSecret": "datadog-keys"}})
    assert of_kind(objects, "Secret") == []
    assert mounted_keys(objects) == ("datadog-keys", {"api-key": "api-key", "app-key": "app-key"})
    assert mounted_keys(helm.template({})) is None


def mounted_keys(objects: list[dict[str, Any]]) -> tuple[str, dict[str, str]] | None:
    """Return which Secret the operator has as files, and the keys by their file; None: it has none."""
    (deployment,) = of_kind(objects, "Deployment")
    found = [one for one in deployment["spec"]["template"]["spec"]["volumes"] if "secret" in one]
    directory = environment(objects).get("DORA_OPERATOR_KEYS_DIR")
    mounts = {one["mountPath"]: one for one in container(deployment)["volumeMounts"]}
    assert (directory is not None) == bool(found)
    assert all("valueFrom" not in one for one in container(deployment)["env"])
    if directory is None:
        return None
    (volume,) = found
    assert mounts[directory] == {"name": volume["name"], "mountPath": directory, "readOnly": True}  # and no subPath
    return volume["secret"]["secretName"], {one["path"]: one["key"] for one in volume["secret"]["items"]}


def test_new_keys_restart_nothing(helm: Helm) -> None:
    """The pod is the same for other keys, so that an upgrade leaves it alone; the names of keys in a Secret count."""
    (one, other) = (
        helm.template({"datadog": {"apiKey": key, "appKey": key, "secretKeys": {"appKey": "APP"}}}) for key in "ab"
    )
    assert of_kind(one, "Secret") != of_kind(other, "Secret")
    assert of_kind(one, "Deployment") == of_kind(other, "Deployment")
    assert mounted_keys(one) == ("dora-operator", {"api-key": "api-key", "app-key": "APP"})


@pytest.mark.parametrize(
    ("values", "where"),
    [
        pytest.param({}, [], id="nowhere by default"),
        pytest.param({"replicaCount": 2, "settings": {"namespaces": ["shop"]}}, [], id="nor in watched namespaces"),
        pytest.param({"credentials": {"fromNamespaces": ["shop", "bank"]}}, ["shop", "bank"], id="in named namespaces"),
        pytest.param({"credentials": {"fromNamespaces": "all"}}, [None], id="in the whole cluster"),
        pytest.param(
            {"credentials": {"fromNamespaces": "all"}, "settings": {"namespaces": ["shop", "bank"]}},
            ["shop", "bank"],
            id="in all namespaces that it watches",
        ),
    ],
)
def test_where_secrets_can_be_read(helm: Helm, values: dict[str, Any], where: list[str | None]) -> None:
    """Only where credentials.fromNamespaces says so, and only by name: never list, never watch."""
    objects = helm.template(values)
    roles = [one for one in objects if "secrets" in json.dumps(one.get("rules"))]
    assert [role["metadata"].get("namespace") for role in roles] == where
    found = granted(objects, "dora-operator")
    assert {verb for _, resource, verb in found if resource == "secrets"} == ({"get"} if where else set())
    assert "*" not in {word for right in found for word in right}


def test_users_get_no_permission_by_default(helm: Helm) -> None:
    """The ClusterRoles for users exist, so that an administrator can bind them; nothing binds or aggregates them."""
    for values, aggregated in (({}, False), ({"rbac": {"aggregateRoles": True}}, True)):
        objects = helm.template(values)
        roles = [one for one in of_kind(objects, "ClusterRole") if one["metadata"]["name"].endswith(("-view", "-edit"))]
        assert len(roles) == 2
        labels = [any("aggregate-to" in label for label in role["metadata"]["labels"]) for role in roles]
        assert labels == [aggregated, aggregated]
        bound = {one["roleRef"]["name"] for one in of_kind(objects, "ClusterRoleBinding")}
        assert bound.isdisjoint(role["metadata"]["name"] for role in roles)


def test_a_policy_allows_helm_test(helm: Helm) -> None:
    """If the NetworkPolicy lists peers, the pod of `helm test` is one of them, and no Service selects it."""
    values = {"networkPolicy": {"ingressFrom": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]}}
    text = helm("template", "mine", str(CHART), "-n", "ops", values=values)
    objects = [found for found in yaml.safe_load_all(text) if found is not None]
    (policy,) = [each for each in of_kind(objects, "NetworkPolicy") if "ingress" in each["spec"]]
    (deployment,) = of_kind(objects, "Deployment")
    (ingress,) = policy["spec"]["ingress"]
    (own,) = [peer["podSelector"]["matchLabels"] for peer in ingress["from"] if "podSelector" in peer]
    assert values["networkPolicy"]["ingressFrom"][0] in ingress["from"]
    assert not own.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    pods = of_kind(objects, "Pod")
    assert len(pods) == 2
    for pod in pods:
        assert own.items() <= pod["metadata"]["labels"].items()
        assert not deployment["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    open_to_all = helm.template({})
    assert "from" not in of_kind(open_to_all, "NetworkPolicy")[0]["spec"]["ingress"][0]


@pytest.mark.parametrize(
    ("values", "added"),
    [
        pytest.param({}, [], id="the defaults"),
        pytest.param({"settings": {"datadogUrl": "http://gateway:3128/datadog"}}, [3128], id="another Datadog URL"),
        pytest.param({"settings": {"datadogUrl": "http://gateway/"}}, [80], id="a URL without a port"),
        pytest.param(
            {
                "extraEnv": [
                    {"name": "HTTPS_PROXY", "value": "http://user:1@proxy.example:8080"},
                    {"name": "OTHER", "value": "http://other:1"},
                    {"name": "http_proxy", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}},
                ]
            },
            [8080],
            id="a proxy",
        ),
    ],
)
def test_the_policy_allows_what_the_values_name(helm: Helm, values: dict[str, Any], added: list[int]) -> None:
    """Egress to DNS, and to the ports of the API server, of Datadog and of the URLs in the values."""
    (policy,) = of_kind(helm.template(values), "NetworkPolicy")
    servers, names = policy["spec"]["egress"]
    assert [port["port"] for port in servers["ports"]] == [443, 6443, 8443, 16443, *added]
    assert {(port["port"], port["protocol"]) for port in names["ports"]} >= {(53, "UDP"), (53, "TCP")}


def test_everything_is_in_the_namespace_of_the_override(helm: Helm) -> None:
    """No object and no subject stays in the release's namespace; the test Pod asks the Service there."""
    values = {"namespaceOverride": "elsewhere", "replicaCount": 2, "serviceMonitor": {"enabled": True}}
    text = helm("template", "mine", str(CHART), "-n", "ops", values=values)
    assert "ops" not in re.findall(r"(?:namespace|value): \"?([\w-]+)", text)
    assert ".elsewhere.svc:" in text


def test_a_digest_and_a_registry_name_the_image(helm: Helm) -> None:
    """The digest takes precedence over the tag."""
    for image, name in (
        ({}, "dora-operator:0.1.0"),
        ({"registry": "ghcr.io", "repository": "a/b", "tag": "v1"}, "ghcr.io/a/b:v1"),
        ({"registry": "ghcr.io", "repository": "a/b", "tag": "v1", "digest": DIGEST}, f"ghcr.io/a/b@{DIGEST}"),
    ):
        (deployment,) = of_kind(helm.template({"image": image}), "Deployment")
        assert container(deployment)["image"] == name.replace("0.1.0", VERSION)


def test_probes_can_be_tuned(helm: Helm) -> None:
    """One field at a time: the others, the path and the port stay."""
    (deployment,) = of_kind(helm.template({"livenessProbe": {"failureThreshold": 9}}), "Deployment")
    probe = container(deployment)["livenessProbe"]
    assert probe["failureThreshold"] == 9
    assert probe["periodSeconds"] == 10
    assert probe["httpGet"] == {"path": "/livez", "port": "probes"}


def test_the_crds_are_the_committed_ones(helm: Helm) -> None:
    """Their specs are those of crds/, and they are kept at the end unless the values say otherwise."""
    committed = [yaml.safe_load(file.read_text()) for file in sorted((CHART.parents[1] / "crds").glob("*.yaml"))]
    kept = of_kind(helm.template({}), "CustomResourceDefinition")
    assert [crd["spec"] for crd in kept] == [crd["spec"] for crd in committed]
    assert all(crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for crd in kept)
    loose = of_kind(helm.template({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert len(loose) == len(kept)
    assert all("annotations" not in crd["metadata"] for crd in loose)


def test_dashboards_come_from_their_files(helm: Helm) -> None:
    """Each file of dashboards/ is a key of the ConfigMap, as it is."""
    (found,) = of_kind(helm.template({"grafanaDashboards": {"enabled": True}}), "ConfigMap")
    files = {file.name: json.loads(file.read_text()) for file in (CHART / "dashboards").glob("*.json")}
    assert {name: json.loads(text) for name, text in found["data"].items()} == files
    assert files


SCOPES = [
    pytest.param({}, "dora-operator", id="a ServiceMonitor or nothing"),
    pytest.param({"podMonitor": {"enabled": True}}, "ops/dora-operator", id="a PodMonitor"),
    pytest.param({"prometheusRule": {"job": "mine"}}, "mine", id="a job of the user's choice"),
]


@pytest.mark.parametrize(("values", "job"), SCOPES)
def test_alerts_are_about_this_release_alone(helm: Helm, values: dict[str, Any], job: str) -> None:
    """Every selector of every rule names the job and the namespace; nothing else of an expression changes."""
    enabled = values | {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}
    enabled["prometheusRule"] |= values.get("prometheusRule", {})
    (found,) = of_kind(helm.template(enabled), "PrometheusRule")
    assert found["metadata"]["labels"]["release"] == "prometheus"
    committed = yaml.safe_load((CHART / "rules" / "dora-operator.yaml").read_text(encoding="utf-8"))
    scope = f'job="{job}",namespace="ops"'
    for group, original in zip(found["spec"]["groups"], committed["groups"], strict=True):
        for rule, before in zip(group["rules"], original["rules"], strict=True):
            for selector in selectors(rule["expr"]):
                named = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
                assert (named["job"], named["namespace"]) == (job, "ops")
            plain = rule["expr"].replace(f"{{{scope}}}", "").replace(f"{scope},", "")
            assert rule | {"expr": plain} == before


def test_runbooks_can_be_elsewhere(helm: Helm) -> None:
    """By default on the project's page; the fragment is the alert's name."""
    for url, start in (("", "https://"), ("https://example.org/runbook", "https://example.org/runbook#")):
        (found,) = of_kind(helm.template({"prometheusRule": {"enabled": True, "runbookUrl": url}}), "PrometheusRule")
        for group in found["spec"]["groups"]:
            for rule in group["rules"]:
                assert rule["annotations"]["runbook_url"].startswith(start)
                assert rule["annotations"]["runbook_url"].endswith(f"#{rule['alert'].lower()}")


def test_without_the_file_of_rules_helm_says_what_to_do(chart_copy: Path, helm: Helm) -> None:
    """The message names the value to change."""
    values = {"prometheusRule": {"enabled": True}}
    (chart_copy / "rules" / "dora-operator.yaml").unlink()
    refused = helm.run("template", "x", str(chart_copy), values=values)
    assert "rules/dora-operator.yaml is missing" in refused.stderr
