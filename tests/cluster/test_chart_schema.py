"""Values that are mistyped: each is refused before anything is sent, and the message names the value."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from sandbox.cluster import LocalCluster
from tests.support.chart import Helm
from tools.chart.__main__ import CHART

pytestmark = pytest.mark.cluster

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
OPEN = {"commonLabels", "podLabels", "podAnnotations", "deploymentAnnotations", "nodeSelector", "labels", "annotations"}
"""Maps whose keys are the user's."""
Place = tuple[str, ...]


def places(values: dict[str, Any], above: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Iterate over every value of the chart, those that hold others too."""
    for name, value in values.items():
        yield (*above, name), value
        if isinstance(value, dict):
            yield from places(value, (*above, name))


def at(place: Place, value: Any) -> dict[str, Any]:
    """Return values that set one place alone."""
    for name in reversed(place):
        value = {name: value}
    return dict(value)


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return both; maps are joined."""
    joined = dict(one)
    for name, value in other.items():
        both = isinstance(value, dict) and isinstance(joined.get(name), dict)
        joined[name] = merged(joined[name], value) if both else value
    return joined


LEAVES = [(place, value) for place, value in places(VALUES) if not (isinstance(value, dict) and value)]
MAPS = [(), *(place for place, value in places(VALUES) if isinstance(value, dict) and not OPEN & set(place))]
FREE = {("resources", "requests"), ("resources", "limits"), ("extraPodSpec",)}
"""Maps whose keys are Kubernetes' own; which they are, the API server knows."""


@pytest.mark.parametrize("wrong", [pytest.param({"a": [1]}, id="a map"), pytest.param([{"a": [1]}], id="a list")])
def test_a_wrong_type_is_refused_for_every_value(helm: Helm, wrong: Any) -> None:
    """All of them at once: the message names each, in the words of the schema."""
    chosen = [place for place, value in LEAVES if not isinstance(value, type(wrong))]
    values: dict[str, Any] = {}
    for place in chosen:
        values = merged(values, at(place, wrong))
    output = helm.run("template", "x", str(CHART), values=values)
    assert output.returncode != 0
    assert [place for place in chosen if f"at '/{'/'.join(place)}" not in output.stderr] == []
    assert len(chosen) > 60


def test_a_typo_is_refused_in_every_map(helm: Helm) -> None:
    """A name that nobody reads would be a wish that nobody hears."""
    chosen = [place for place in MAPS if place not in FREE]
    values: dict[str, Any] = {}
    for place in chosen:
        values = merged(values, at((*place, "typo"), 1))
    output = helm.run("template", "x", str(CHART), values=values)
    spots = {
        f"at '{''.join(f'/{name}' for name in place)}': additional properties 'typo' not allowed" for place in chosen
    }
    assert {spot for spot in spots if spot not in output.stderr} == set()


@pytest.mark.parametrize("place", [pytest.param(place, id=".".join(place)) for place, _ in places(VALUES)])
def test_null_is_refused_or_does_no_harm(helm: Helm, place: Place) -> None:
    """Helm takes a default away where a value is null: then the schema speaks, and never a template."""
    output = helm.run("template", "x", str(CHART), values=at(place, None))
    assert output.returncode == 0 or f"missing property '{place[-1]}'" in output.stderr, output.stderr


def test_names_of_digits_stay_text(helm: Helm) -> None:
    """Kubernetes allows a namespace that is called 007; YAML would make a number of it."""
    values = {
        "nameOverride": "456",
        "datadog": {"existingSecret": "789"},
        "serviceAccount": {"name": "321"},
        "priorityClassName": "654",
        "settings": {"namespaces": ["111"], "leaseName": "333", "leaseNamespace": "222"},
        "replicaCount": 2,
        "namespaceOverride": "077",
        **{name: {"enabled": True} for name in ("podMonitor", "prometheusRule")},
    }
    text = helm("template", "123", str(CHART), "-n", "007", values=values)
    names = {"name", "namespace", "serviceAccountName", "priorityClassName", "secretName"}
    found = [
        one
        for whole in yaml.safe_load_all(text)
        if whole is not None
        for one in _named(whole, names)
        if "kind" in whole
    ]
    assert {"077", "123", "456", "789", "321", "654", "111", "222"} <= {one for one in found if isinstance(one, str)}
    assert [one for one in found if not isinstance(one, str)] == []


def _named(value: Any, names: set[str]) -> Iterator[Any]:
    """Iterate over what stands under these names, and over all labels."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        if name in names and not isinstance(inner, dict):
            yield inner
        if name in {"labels", "matchLabels"}:
            yield from inner.values()
        yield from _named(inner, names)


CLOSED = [
    ("podSecurityContext", "PodSecurityContext"),
    ("securityContext", "SecurityContext"),
    ("affinity", "Affinity"),
    ("tolerations", "Toleration"),
    ("topologySpreadConstraints", "TopologySpreadConstraint"),
    ("extraVolumeMounts", "VolumeMount"),
]
"""Values whose fields the schema lists, and the type of Kubernetes that they become."""


@pytest.mark.skipif(os.environ.get("DORA_OPERATOR_KUBERNETES") == "oldest", reason="it knows fewer fields")
@pytest.mark.parametrize(("name", "kind"), CLOSED, ids=[name for name, _ in CLOSED])
def test_lists_of_fields_are_kubernetes_own(chart_cluster: LocalCluster, name: str, kind: str) -> None:
    """What the schema allows is what the API server knows: no field too few, after an upgrade of Kubernetes either."""
    known = json.loads(chart_cluster.kubectl("get", "--raw", "/openapi/v3/api/v1"))["components"]["schemas"]
    found = SCHEMA["properties"][name]
    listed = found.get("items", found)["properties"]
    assert set(listed) == set(known[f"io.k8s.api.core.v1.{kind}"]["properties"])
