"""A raw DoraDeployment as a value: metadata, and what is left of a spec, status or annotation that cannot be read."""

from dataclasses import replace
from typing import Any

import pytest

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.resource import EMPTY_STATUS, DoraDeployment, parse
from dora_operator.domain.rollout.verdict import Verdict, record_manifest
from tests.support.builders import BY_VERSION, DEPLOYMENT_ID, OTHER_ID, after, deployment, spec, verdict

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


BY_TAGS = verdict()
OF_AN_ID = verdict(deployment_id=DEPLOYMENT_ID)


@pytest.mark.parametrize(
    ("written", "chosen", "is_believed"),
    [
        pytest.param(BY_TAGS, BY_VERSION, True, id="by service, env and version"),
        pytest.param(BY_TAGS, BY_VERSION | {"version": "2"}, False, id="another version"),
        pytest.param(BY_TAGS, BY_VERSION | {"env": "staging"}, False, id="another env"),
        pytest.param(BY_TAGS, BY_VERSION | {"id": DEPLOYMENT_ID}, False, id="an id beside the tags"),
        pytest.param(OF_AN_ID, {"id": DEPLOYMENT_ID}, True, id="by id"),
        pytest.param(OF_AN_ID, {"id": OTHER_ID}, False, id="another id"),
    ],
)
def test_a_record_is_believed_about_its_own_deployment(
    written: Verdict, chosen: dict[str, str], *, is_believed: bool
) -> None:
    """The spec is immutable and decides what is marked; the annotation is not."""
    annotations = record_manifest("shop", written)["metadata"]["annotations"]
    found = deployment({"deployment": chosen}, annotations=annotations)
    assert found.is_record
    assert found.record == (written if is_believed else None)


def test_a_record_that_cannot_be_read_stays_a_record() -> None:
    """The operator created it, so it is never taken for a user's."""
    found = deployment(annotations={"dora-operator.io/verdict": "{"})
    assert (found.is_record, found.record) == (True, None)
    annotations = record_manifest("shop", BY_TAGS)["metadata"]["annotations"]
    broken = deployment({"deployment": 7}, annotations=annotations)
    assert (broken.spec, broken.is_record, broken.record) == (None, True, None)
    assert (deployment().is_record, deployment().record) == (False, None)
