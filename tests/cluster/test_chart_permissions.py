"""Each right of the chart by its name: the page on security says what for, and the page on performance counts them.

That none is to spare and none is missing, `test_chart_operator.py` sees in the audit log of the whole work.
"""

import re
from typing import Any

import pytest

from tests.support.chart import RELEASE, Helm, granted
from tests.support.chart_values import REFUSED, TAKEN
from tests.support.pages import ROOT

pytestmark = pytest.mark.cluster

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
FIGURES = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
PAIR = {"replicaCount": 2, "credentials": {"fromNamespaces": "all"}}
"""Values with which every permission is needed."""


def said() -> list[tuple[str, str]]:
    """Return what the page on security lists: verb and resource."""
    verb = r"(?:get|list|watch|create|update|patch|delete)"
    rows = re.findall(rf"(?m)^\| ({verb}(?:, {verb})*)(?:, never [\w ]+)? \| ([\w/, ]+) \|", PAGE)
    return [(verb, resource) for verbs, on in rows for resource in on.split(", ") for verb in verbs.split(", ")]


def allowed(helm: Helm, values: dict[str, Any]) -> set[tuple[str, str]]:
    """Return what the chart grants: verb and resource."""
    return {(verb, resource) for _, resource, verb in granted(helm.template(values), RELEASE)}


@pytest.mark.parametrize(("verb", "resource"), said(), ids=[" ".join(one) for one in said()])
def test_a_right_that_the_work_needs_is_granted(helm: Helm, verb: str, resource: str) -> None:
    """One test for each, so that a right that is taken away has a name."""
    assert (verb, resource) in allowed(helm, PAIR)


def test_no_right_is_left_unsaid(helm: Helm) -> None:
    """What the chart grants is what the page lists, each once."""
    assert sorted(said()) == sorted(allowed(helm, PAIR))


def test_one_replica_has_the_lease_of_two(helm: Helm) -> None:
    """The old pod of one replica knows the Lease that two new ones elect a leader with, and may write it."""
    names = set()
    for replicas in (1, 2):
        objects = helm.template({"replicaCount": replicas})
        (pod,) = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
        names |= {one["value"] for one in pod["containers"][0]["env"] if one["name"] == "DORA_OPERATOR_LEASE_NAME"}
        assert {("get", "leases"), ("create", "leases"), ("update", "leases")} <= allowed(
            helm, {"replicaCount": replicas}
        )
    assert names == {RELEASE}


def test_the_figures_of_the_documentation(helm: Helm) -> None:
    """How many verbs, and how many sets of values are tried."""
    one, two = len(allowed(helm, {})), len(allowed(helm, PAIR))
    print(f"verbs of RBAC: {one}, with two replicas and Secrets {two}")  # noqa: T201 - a figure of docs/performance.md
    print(f"sets of values that the API server takes: {len(TAKEN)}, that the chart refuses: {len(REFUSED)}")  # noqa: T201
    assert f"| {one}, with two replicas and Secrets {two} |" in FIGURES
    assert f"| {len(TAKEN)} and {len(REFUSED)} |" in FIGURES
