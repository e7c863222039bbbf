"""A raw DoraDeployment as a value: metadata, and what is left of a spec or status that cannot be read."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dora_operator.domain.fields import ObjectKey, to_api
from dora_operator.domain.resource import EMPTY_STATUS, DoraDeployment, MarkState, parse
from tests.support.builders import after, deployment, spec, verdict

CREATED = after(-7200)


def test_every_field() -> None:
    """As the API server writes them."""
    found = deployment(
        {"changeFailure": True},
        {"observedGeneration": 3},
        generation=4,
        resourceVersion="9",
        annotations={"dora-operator.io/force-sync": "now\n"},
        deletionTimestamp="2026-11-23T11:00:00Z",
    )
    assert found == DoraDeployment(
        key=ObjectKey("shop", "mine"),
        uid="uid-mine",
        generation=4,
        resource_version="9",
        created_time=CREATED,
        spec=spec(changeFailure=True),
        status=replace(EMPTY_STATUS, observed_generation=3),
        force_sync="now",
        is_deleted=True,
    )


def test_an_object_without_a_generation() -> None:
    """Stored before the CRD had a status subresource; nothing else is known of it."""
    body: dict[str, Any] = {
        "metadata": {
            "namespace": "shop",
            "name": "mine",
            "uid": "uid-mine",
            "resourceVersion": "1",
            "creationTimestamp": "2026-11-23T10:00:00Z",
        }
    }
    assert parse(body) == DoraDeployment(ObjectKey("shop", "mine"), "uid-mine", 0, "1", CREATED, None)


@pytest.mark.parametrize("value", ["", " \n"])
def test_an_empty_force_sync_asks_for_nothing(value: str) -> None:
    """As no annotation."""
    assert deployment(annotations={"dora-operator.io/force-sync": value}).force_sync is None


def test_a_status_that_cannot_be_read_is_empty() -> None:
    """The spec counts as new then."""
    assert deployment({}, {"attempts": "many"}).status == EMPTY_STATUS


@pytest.mark.parametrize(
    ("unknown", "kept"),
    [
        pytest.param({"conditions": [{"type": "Ready", "status": "Perhaps"}]}, {}, id="a status of a condition"),
        pytest.param({"source": {"verdict": "Exploded"}}, {"attempts": 2}, id="a verdict"),
        pytest.param({"target": {"by": "Name", "site": "datadoghq.com"}}, {}, id="a kind of target"),
    ],
)
def test_a_value_that_only_a_newer_version_knows_costs_one_field(unknown: dict[str, Any], kept: dict[str, Any]) -> None:
    """After a downgrade, what Datadog has accepted is still known."""
    known = {
        "observedGeneration": 3,
        "accepted": {"changeFailure": True},
        "acceptedTime": "2026-11-23T11:00:00Z",
        "history": [{"time": "2026-11-23T11:00:00Z", "reason": "Accepted"}],
    } | kept
    assert deployment({}, known | unknown).status == deployment({}, known).status
    assert deployment({}, known).status.accepted == MarkState(change_failure=True)


def test_an_annotation_is_no_verdict() -> None:
    """Everybody who may write the resource could write it. The label alone makes a record."""
    forged = {"dora-operator.io/verdict": json.dumps(to_api(verdict()))}
    assert deployment(annotations=forged) == deployment()
    assert not deployment().is_record
    assert deployment(labels={"dora-operator.io/rollout": "checkout"}).is_record
