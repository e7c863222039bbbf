"""The deployment events that the operator posts itself: when there is one, and everything in it."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from dora_operator.domain.rollout.identity import ById, identify
from dora_operator.domain.rollout.observation import Observation, observe
from dora_operator.domain.rollout.restoration import (
    DeploymentEvent,
    failed_event,
    is_own_id,
    restoration_event,
    restored,
    waits_for_restoration,
)
from dora_operator.domain.rollout.verdict import RestoredVersion, Verdict, VerdictKind
from tests.support.builders import BY_VERSION, DEPLOYMENT_ID, NOW, after, verdict
from tests.unit.rollout.simulator import hash_of
from tests.unit.rollout.stories import observation_of, played

ABORTED = verdict(time=NOW, started_time=after(-600))
RETURNED = RestoredVersion(service="checkout", env="prod", version="1.0.0", time=after(30))


@pytest.mark.parametrize(
    ("failed", "started_at"),
    [
        pytest.param(ABORTED, after(-600), id="aborted"),
        pytest.param(replace(ABORTED, verdict=VerdictKind.UNDONE), after(-600), id="undone"),
        pytest.param(replace(ABORTED, started_time=after(5)), NOW, id="it never starts after its end"),
    ],
)
def test_the_event_of_a_failed_revision(failed: Verdict, started_at: datetime) -> None:
    """Its id follows from the Rollout, the pod template and the revision: a repeated post changes nothing."""
    assert failed_event(failed) == DeploymentEvent(
        "dora-operator-25387a8f0c1afcbdc081c8c59fef6de2e1a5dd64", started_at=started_at, finished_at=NOW, **BY_VERSION
    )


@pytest.mark.parametrize(
    "failed",
    [
        pytest.param(replace(ABORTED, verdict=VerdictKind.ROLLED_BACK), id="promoted: when is not known"),
        pytest.param(replace(ABORTED, verdict=VerdictKind.RECOVERED), id="recovered"),
        pytest.param(replace(ABORTED, time=None), id="no time"),
        pytest.param(replace(ABORTED, started_time=None), id="no start"),
        pytest.param(verdict(deployment_id=DEPLOYMENT_ID, time=NOW, started_time=NOW), id="no service"),
    ],
)
def test_no_event_of_a_failed_revision(failed: Verdict) -> None:
    """Something that Datadog needs is not known."""
    assert failed_event(failed) is None


def test_ids_differ_by_what_they_are_about() -> None:
    """Each of the three parts distinguishes; they have the form that `is_own_id` recognises."""
    variants = [
        ABORTED,
        *(replace(ABORTED, **each) for each in ({"uid": "u"}, {"pod_template_hash": "h"}, {"revision": 9})),
    ]
    ids = [event.deployment_id for each in variants if (event := failed_event(each)) is not None]
    assert len(set(ids)) == 4
    assert all(is_own_id(each) for each in ids)


@pytest.mark.parametrize(
    ("deployment_id", "expected"),
    [
        ("dora-operator-" + "0123456789abcdef" * 2 + "01234567", True),
        ("dora-operator-" + "0" * 39, False),
        ("dora-operator-" + "0" * 41, False),
        ("dora-operator-" + "g" * 40, False),
        ("x-dora-operator-" + "0" * 40, False),
        (DEPLOYMENT_ID, False),
    ],
)
def test_ids_of_our_own(deployment_id: str, *, expected: bool) -> None:
    """A prefix and forty hexadecimal digits, nothing else."""
    assert is_own_id(deployment_id) is expected


def test_the_event_of_a_return_to_the_stable_version() -> None:
    """From the abort until all replicas of the stable version were ready."""
    event = restoration_event(replace(ABORTED, restored=RETURNED))
    assert event is not None
    assert is_own_id(event.deployment_id)
    assert replace(event, deployment_id="") == DeploymentEvent("", "checkout", "prod", "1.0.0", NOW, after(30))
    later = restoration_event(replace(ABORTED, restored=RETURNED, time=after(1)))
    assert later is not None
    assert later.deployment_id != event.deployment_id
    assert restoration_event(ABORTED) is None
    assert restoration_event(replace(ABORTED, restored=RETURNED, time=None)) is None


def aborted_rollout(**stable: Any) -> Observation:
    """Return an aborted Rollout whose stable ReplicaSet has other values."""
    found = observation_of(played("deploy 1.1.0", "abort"))
    rollout = found.rollout
    sets = tuple(
        replace(each, **stable) if each.pod_template_hash == rollout.stable_hash else each
        for each in found.replica_sets
    )
    return observe(rollout, sets, found.events)


OF_ID = ById("another-id-", "checkout", None, None)
WHOLE = {"ready": 100}


@pytest.mark.parametrize(
    ("stable", "expected"),
    [
        pytest.param(
            WHOLE, RestoredVersion(service="checkout", env="prod", version="1.0.0", time=after(60)), id="whole"
        ),
        pytest.param({"ready": 0}, None, id="not all replicas are ready"),
        pytest.param(WHOLE | {"identity": identify({})}, None, id="nothing names the stable version"),
        pytest.param(WHOLE | {"identity": ById("another-id-")}, None, id="an id without a service"),
        pytest.param(
            WHOLE | {"identity": OF_ID}, RestoredVersion(service="checkout", time=after(60)), id="an id with a service"
        ),
    ],
)
def test_when_the_stable_version_is_back(stable: dict[str, Any], expected: RestoredVersion | None) -> None:
    """With all its replicas, and a name that Datadog can have."""
    found = restored(aborted_rollout(**stable), ABORTED, after(60))
    assert found == (None if expected is None else replace(ABORTED, restored=expected))


def test_a_return_is_never_before_the_abort() -> None:
    """Also where clocks differ; in whole seconds."""
    early = restored(aborted_rollout(**WHOLE), ABORTED, after(-60))
    assert early is not None
    assert early.restored is not None
    assert early.restored.time == NOW
    precise = restored(aborted_rollout(**WHOLE), ABORTED, after(60.5))
    assert precise is not None
    assert precise.restored is not None
    assert precise.restored.time == after(60)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"abort": False}, id="tried again"),
        pytest.param({"current_hash": hash_of(("1.0.0", "a"))}, id="back at the stable template"),
        pytest.param({"replicas": 101}, id="scaled beyond what is ready"),
    ],
)
def test_a_rollout_that_is_not_back(changes: dict[str, Any]) -> None:
    """It was aborted, and something has changed since."""
    found = aborted_rollout(**WHOLE)
    assert restored(replace(found, rollout=replace(found.rollout, **changes)), ABORTED, after(60)) is None


def test_an_abort_without_a_time_or_a_stable_version_is_not_back() -> None:
    """Nothing could be posted."""
    found = aborted_rollout(**WHOLE)
    assert restored(found, replace(ABORTED, time=None), after(60)) is None
    assert restored(replace(found, stable=None), ABORTED, after(60)) is None


@pytest.mark.parametrize(
    ("changes", "stable", "expected"),
    [
        pytest.param({}, {}, True, id="aborted"),
        pytest.param({"verdict": VerdictKind.UNDONE}, {}, False, id="undone: no abort"),
        pytest.param({"restored": RETURNED}, {}, False, id="recorded already"),
        pytest.param({"revision": 1}, {}, False, id="another revision"),
        pytest.param({}, {"identity": identify({})}, False, id="nothing names the stable version"),
        pytest.param({}, {"identity": ById("another-id-")}, False, id="an id without a service"),
        pytest.param({}, {"identity": OF_ID}, True, id="an id with a service"),
    ],
)
def test_whether_a_return_is_awaited(changes: dict[str, Any], stable: dict[str, Any], *, expected: bool) -> None:
    """Of the current revision, as long as its abort stands."""
    found = aborted_rollout(**stable)
    assert waits_for_restoration(found, replace(ABORTED, **changes)) is expected
    retried = replace(found, rollout=replace(found.rollout, abort=False))
    assert not waits_for_restoration(retried, replace(ABORTED, **changes))
    assert not waits_for_restoration(replace(found, stable=None), replace(ABORTED, **changes))
