"""The deployment events that the operator posts itself: when there is one, and everything in it."""

from dataclasses import replace
from datetime import datetime

import pytest

from dora_operator.domain.rollout.posted_events import (
    DeploymentEvent,
    failed_event,
    is_own_id,
)
from dora_operator.domain.rollout.verdict import Verdict, VerdictKind
from tests.support.builders import BY_VERSION, DEPLOYMENT_ID, NOW, after, verdict

ABORTED = verdict(time=NOW, started_time=after(-600))


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
