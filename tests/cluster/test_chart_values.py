"""What the chart makes of values: taken by the real API server, or refused by the chart with the mend."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dora_operator.settings import Settings
from sandbox.cluster import LocalCluster
from tests.support.chart import Helm, container, granted, of_kind
from tests.support.chart_values import REFUSED, TAKEN
from tools.chart.__main__ import CHART
from tools.chart.settings import settings

pytestmark = pytest.mark.cluster


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
def test_monitors_are_looked_at(chart_cluster: LocalCluster, helm: Helm, kind: str) -> None:
    """The CRDs of the Prometheus operator are real ones: they know their fields."""
    name = kind[0].lower() + kind[1:]
    (found,) = of_kind(helm.template({name: {"enabled": True}}, "restricted"), kind)
    wrong = json.dumps(found | {"spec": found["spec"] | {"noSuchField": True}})
    result = chart_cluster.run_kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", input=wrong)
    assert result.returncode != 0
    assert "noSuchField" in result.stderr


def test_pod_security_is_looked_at(chart_cluster: LocalCluster, helm: Helm) -> None:
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
    wanted = next(one for one in choices["enum"] if one != default) if "enum" in choices else OTHER[choices["type"]]
    if choices.get("type") == "boolean":
        wanted = not default
    if name == "datadogUrl":
        wanted = "http://127.0.0.1:1/"
    if name == "deploymentSelector":
        wanted = "team=red"
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
    """No Secret, and no key, in what the chart makes; without any key there is no variable for one either."""
    objects = helm.template({"datadog": {"existingSecret": "datadog-keys"}})
    assert of_kind(objects, "Secret") == []
    (deployment,) = of_kind(objects, "Deployment")
    references = {one["name"]: one["valueFrom"] for one in container(deployment)["env"] if "valueFrom" in one}
    assert references == {
        "DD_API_KEY": {"secretKeyRef": {"name": "datadog-keys", "key": "api-key"}},
        "DD_APP_KEY": {"secretKeyRef": {"name": "datadog-keys", "key": "app-key"}},
    }
    (bare,) = of_kind(helm.template({}), "Deployment")
    assert [one for one in container(bare)["env"] if "valueFrom" in one] == []


def test_secrets_are_never_listed(helm: Helm) -> None:
    """In the whole cluster and in namespaces the only verb on Secrets is get; it can be limited and taken away."""
    for values in ({}, {"settings": {"namespaces": ["default"]}}, {"replicas": 2}):
        found = granted(helm.template(values), "dora-operator")
        assert {verb for _, resource, verb in found if resource == "secrets"} == {"get"}
        assert "*" not in {word for right in found for word in right}
    limited = helm.template({"rbac": {"secrets": {"namespaces": ["shop"]}}})
    where = [role["metadata"].get("namespace") for role in limited if "secrets" in json.dumps(role.get("rules"))]
    assert where == ["shop"]
    none = granted(helm.template({"rbac": {"secrets": {"enabled": False}}}), "dora-operator")
    assert "secrets" not in {resource for _, resource, _ in none}


def test_a_policy_lets_helm_test_in(helm: Helm) -> None:
    """Where a NetworkPolicy names who may connect, the pod of `helm test` is among them, and no Service finds it."""
    values = {"networkPolicy": {"enabled": True, "ingressFrom": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]}}
    text = helm("template", "mine", str(CHART), "-n", "ops", values=values)
    objects = [found for found in yaml.safe_load_all(text) if found is not None]
    (policy,), (pod,), (deployment,) = (of_kind(objects, kind) for kind in ("NetworkPolicy", "Pod", "Deployment"))
    (ingress,) = policy["spec"]["ingress"]
    (own,) = [peer["podSelector"]["matchLabels"] for peer in ingress["from"] if "podSelector" in peer]
    assert own.items() <= pod["metadata"]["labels"].items()
    assert values["networkPolicy"]["ingressFrom"][0] in ingress["from"]
    assert not own.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert not deployment["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    open_to_all = helm.template({"networkPolicy": {"enabled": True}})
    assert "from" not in of_kind(open_to_all, "NetworkPolicy")[0]["spec"]["ingress"][0]


def test_the_crd_is_the_committed_one(helm: Helm) -> None:
    """Its spec is that of crds/, and it is kept at the end unless somebody wants otherwise."""
    (committed,) = [yaml.safe_load(file.read_text()) for file in (CHART.parents[1] / "crds").glob("*.yaml")]
    (found,) = of_kind(helm.template({}), "CustomResourceDefinition")
    assert found["spec"] == committed["spec"]
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    (loose,) = of_kind(helm.template({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert "annotations" not in loose["metadata"]


def test_dashboards_come_from_their_files(helm: Helm) -> None:
    """Each file of dashboards/ is a key of the ConfigMap, as it is."""
    (found,) = of_kind(helm.template({"grafanaDashboards": {"enabled": True}}), "ConfigMap")
    files = {file.name: json.loads(file.read_text()) for file in (CHART / "dashboards").glob("*.json")}
    assert {name: json.loads(text) for name, text in found["data"].items()} == files
    assert files


def test_rules_come_from_their_file(chart_copy: Path, helm: Helm) -> None:
    """The PrometheusRule holds rules/dora-operator.yaml as it is, template signs included; without it Helm says so."""
    rules = {"groups": [{"name": "a", "rules": [{"alert": "A", "annotations": {"x": "{{ $value }}"}}]}]}
    file = chart_copy / "rules" / "dora-operator.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("# A comment.\n" + yaml.safe_dump(rules))
    values = {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}
    (found,) = of_kind(yaml.safe_load_all(helm("template", "x", str(chart_copy), values=values)), "PrometheusRule")
    assert found["spec"] == rules
    assert found["metadata"]["labels"]["release"] == "prometheus"
    file.unlink()
    refused = helm.run("template", "x", str(chart_copy), values=values)
    assert "rules/dora-operator.yaml is missing" in refused.stderr
