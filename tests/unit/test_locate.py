"""Which deployment a mark of a workload is sent to, or why to none; and which one it is linked to."""

from typing import Any

import pytest

from dora_operator.domain.outcome import Pace, TryAgain
from dora_operator.domain.posted_events import own_id
from dora_operator.domain.read_back import find_link, locate
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import MarkState
from dora_operator.domain.stored import NOT_READ, ReadProblem, Stored, StoredDeployment
from tests.support.builders import FAILURE, FORBIDDEN, NOW, TAGS, TARGET, UNAVAILABLE, after, link, stored, verdict

CLEARED = MarkState(change_failure=False)
TIMES = {"started_time": after(-60), "ended_time": NOW}
FIRST = verdict(**TAGS, **TIMES)
AGAIN = verdict(**TAGS, **TIMES, is_first=False, earlier_ended_time=after(-3600))
RETRIED = verdict(**TAGS, **TIMES, next_started_time=after(600))
EARLIER = stored("earlier", -3700, started_at=after(-4000))
FAILED = stored("failed", 0, started_at=after(-50))
RETRY = stored("retry", 900, started_at=after(610))
OWN = stored(own_id(FIRST), started_at=NOW)
SECOND = stored("second", 5, started_at=after(-40))


def located(rows: Stored | ReadProblem, about: Any, state: MarkState = FAILURE) -> str | None:
    """Return the id of the deployment, the reason why there is none, or None: by version."""
    found = locate(rows, TARGET, about, state, after(60))
    if isinstance(found, StoredDeployment):
        return found.id
    return found.reason.value if found is not None else None


@pytest.mark.parametrize(
    ("rows", "about", "expected"),
    [
        pytest.param((EARLIER, FAILED), AGAIN, "failed", id="an earlier revision's is passed over"),
        pytest.param((FAILED, RETRY), RETRIED, "failed", id="a retry's is passed over"),
        pytest.param((EARLIER,), AGAIN, Reason.DEPLOYMENT_MISSING, id="only that of an earlier revision: nothing"),
        pytest.param((RETRY,), RETRIED, Reason.DEPLOYMENT_MISSING, id="only that of a retry: nothing"),
        pytest.param((FAILED, SECOND), FIRST, Reason.AMBIGUOUS, id="two from the time of the revision: nothing"),
        pytest.param((OWN,), FIRST, Reason.DEPLOYMENT_MISSING, id="never an own event"),
        pytest.param((), FIRST, Reason.DEPLOYMENT_MISSING, id="none"),
    ],
)
def test_the_deployment_from_the_time_of_the_revision_is_marked(rows: Stored, about: Any, expected: str) -> None:
    """Where it is not certain which one that is, nothing is sent."""
    assert located(rows, about) == expected


@pytest.mark.parametrize("problem", [FORBIDDEN, NOT_READ], ids=["no permission", "read-back is off"])
def test_without_a_read_only_a_version_that_ran_once_is_marked(problem: ReadProblem) -> None:
    """By version. A withdrawal by version can mark none."""
    assert located(problem, FIRST) is None
    assert located(problem, AGAIN) == Reason.AMBIGUOUS
    assert located(problem, RETRIED) == Reason.AMBIGUOUS
    assert located(problem, AGAIN, CLEARED) is None


def test_an_outage_of_reading_is_waited_for() -> None:
    """It will end."""
    found = locate(UNAVAILABLE, TARGET, FIRST, FAILURE, NOW)
    assert isinstance(found, TryAgain)
    assert (found.reason, found.pace) == (Reason.DATADOG_UNAVAILABLE, Pace.BACKOFF)


OLD_TARGET = stored("old", -900, version="1", started_at=after(-950))
NEW_TARGET = stored("new", 890, version="1", started_at=after(650))
FIXED = {"remediation_started_time": after(600), "remediation_ended_time": after(900)}


@pytest.mark.parametrize(
    ("rows", "times", "expected"),
    [
        pytest.param(
            (OLD_TARGET, NEW_TARGET),
            FIXED,
            "new",
            id="the deployment from the time of the remediation's revision",
        ),
        pytest.param(
            (OLD_TARGET,),
            FIXED,
            Reason.DEPLOYMENT_MISSING,
            id="never an older one of the version: the recovery time would be negative",
        ),
        pytest.param(
            (stored("near", -70, version="1", started_at=after(-80)),),
            {"remediation_started_time": after(10), "remediation_ended_time": after(20)},
            Reason.DEPLOYMENT_MISSING,
            id="nor one that began shortly before the failed one: clocks differ by less",
        ),
        pytest.param(
            (NEW_TARGET,),
            {},
            Reason.DEPLOYMENT_MISSING,
            id="none where the time of the remediation is not known",
        ),
    ],
)
def test_which_deployment_a_failure_is_linked_to(rows: Stored, times: dict[str, Any], expected: str) -> None:
    """That of the revision that ended the failure."""
    about = verdict(**TAGS, **TIMES, **times, remediation=link(version="1"))
    found = find_link(rows, about, link(version="1"))
    assert (found.id if isinstance(found, StoredDeployment) else found) == expected
