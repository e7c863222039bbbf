"""What an answer to a probe says about an assumption: the result, and the words that are printed."""

import json
from typing import Any

import pytest

from dora_operator.domain.outcome import Answer
from dora_operator.domain.stored import Stored
from kubectl_dora.probe import predicates as are
from kubectl_dora.probe.model import Result, Scope
from tests.support.builders import NOW, after, stored

CONFIRMED, CONTRADICTED, NOT_CLEAR = Result.CONFIRMED, Result.CONTRADICTED, Result.NOT_CLEAR
OLDEST = (stored("deployment-old", started_at=after(-60)), stored("deployment-new", started_at=NOW))
SCOPE = Scope(service="checkout", env="prod", now=NOW, known=OLDEST)


def answer(status: int, *deployments: dict[str, Any], body: bytes | None = None) -> Answer:
    """Return an answer with these deployments."""
    return Answer(status, {}, json.dumps({"data": deployments}).encode() if body is None else body)


def item(deployment_id: str, **attributes: Any) -> dict[str, Any]:
    """Return a deployment as Datadog returns it."""
    return {"id": deployment_id, "attributes": attributes}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(answer(202), (CONFIRMED, "202"), id="the expected status"),
        pytest.param(
            answer(404, body=b'{"errors":["not found"]}'), (CONTRADICTED, "404: not found"), id="another, with words"
        ),
        pytest.param(answer(404, body=b""), (CONTRADICTED, "404"), id="another, without words"),
        pytest.param(
            answer(202, body=b'{"errors":["odd"]}'),
            (CONFIRMED, "202"),
            id="the words of an expected status are left out",
        ),
    ],
)
def test_a_status(found: Answer, expected: tuple[Result, str]) -> None:
    """One of several is expected."""
    assert are.has_status(200, 202)(found, SCOPE) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(answer(403, body=b'{"errors":["no"]}'), (CONTRADICTED, "403: no"), id="no list"),
        pytest.param(
            answer(200),
            (NOT_CLEAR, "no deployments: name a service and env that was deployed in the last 30 days"),
            id="an empty list",
        ),
        pytest.param(answer(200, item("deployment-one")), (CONFIRMED, "seen"), id="confirmed"),
        pytest.param(
            answer(200, item("deployment-one"), item("deployment-two")), (CONTRADICTED, "seen"), id="contradicted"
        ),
        pytest.param(answer(200, *[item("deployment-one")] * 3), (NOT_CLEAR, "seen"), id="not clear"),
    ],
)
def test_a_list(found: Answer, expected: tuple[Result, str]) -> None:
    """The predicate of a list sees its deployments and the scope."""

    def predicate(deployments: Stored, scope: Scope) -> tuple[bool | None, str]:
        assert scope is SCOPE
        return {1: True, 2: False}.get(len(deployments)), "seen"

    assert are.of_list(predicate)(found, SCOPE) == expected


MARKED = stored("deployment-one", 0, recovery_time_seconds=60.0, remediation_id="deployment-two")
FIXED = stored("deployment-two", 60)


@pytest.mark.parametrize(
    ("predicate", "found", "expected"),
    [
        pytest.param(
            are.only_asked_for,
            (stored(),),
            (True, "1 deployments, 0 of them of another service or env"),
            id="asked",
        ),
        pytest.param(
            are.only_asked_for,
            (stored(), stored(service="cart"), stored(env="staging")),
            (False, "3 deployments, 2 of them of another service or env"),
            id="of another service or env",
        ),
        pytest.param(
            are.newest_first,
            (stored(started_at=after(1)), stored(), stored(started_at=NOW)),
            (True, "2 start times"),
            id="the newest first",
        ),
        pytest.param(
            are.newest_first,
            (stored(started_at=NOW), stored(started_at=after(1))),
            (False, "2 start times"),
            id="the oldest first",
        ),
        pytest.param(are.newest_first, (stored(started_at=NOW),), (None, "1 start times"), id="one has no order"),
        pytest.param(
            are.has_oldest,
            (stored("deployment-old"),),
            (True, "1 deployments that started not later than deployment-old"),
            id="the oldest is there",
        ),
        pytest.param(
            are.has_oldest,
            (stored("deployment-new"),),
            (False, "1 deployments that started not later than deployment-old"),
            id="the oldest is not there",
        ),
        pytest.param(
            are.has_marks,
            (stored(),),
            (True, "1 of 1 deployments have the field change_failure"),
            id="all have marks",
        ),
        pytest.param(
            are.has_marks,
            (stored(), stored(has_mark=False)),
            (False, "1 of 2 deployments have the field change_failure"),
            id="one has no field",
        ),
        pytest.param(
            are.has_nulls,
            (stored(change_failure=None), stored(), stored(has_mark=False, change_failure=None)),
            (True, "1 of 3 deployments have change_failure: null"),
            id="one is null",
        ),
        pytest.param(
            are.has_nulls, (stored(),), (None, "0 of 1 deployments have change_failure: null"), id="none is null"
        ),
        pytest.param(
            are.recovery_times,
            (MARKED, FIXED),
            (True, "1 linked deployments with a recovery time, 0 of them differ"),
            id="the recovery time is the difference",
        ),
        pytest.param(
            are.recovery_times,
            (MARKED, stored("deployment-two", 62)),
            (False, "1 linked deployments with a recovery time, 1 of them differ"),
            id="it differs by two seconds",
        ),
        pytest.param(
            are.recovery_times,
            (MARKED, stored("deployment-two", 61), stored("deployment-x", None, recovery_time_seconds=1.0)),
            (True, "1 linked deployments with a recovery time, 0 of them differ"),
            id="it differs by a second",
        ),
        pytest.param(
            are.recovery_times,
            (stored("deployment-one", 100, recovery_time_seconds=60.0, remediation_id="deployment-two"), MARKED, FIXED),
            (False, "2 linked deployments with a recovery time, 1 of them differ"),
            id="one of two differs",
        ),
        pytest.param(
            are.recovery_times,
            (stored(),),
            (None, "0 linked deployments with a recovery time, 0 of them differ"),
            id="nothing is linked",
        ),
        pytest.param(are.one_source, (stored(source="ci"),), (True, "ci: 1"), id="one source"),
        pytest.param(
            are.one_source,
            (stored(source="ci"), stored(), stored()),
            (False, "ci: 1, none: 2"),
            id="two sources",
        ),
        pytest.param(
            are.versions_once,
            (stored(version="1"), stored(version="2")),
            (True, "2 versions, 0 of them have several deployments"),
            id="each version once",
        ),
        pytest.param(
            are.versions_once,
            (stored(version="1"), stored(version="1")),
            (False, "1 versions, 1 of them have several deployments"),
            id="a version twice",
        ),
    ],
)
def test_deployments(predicate: are.Predicate, found: Stored, expected: tuple[bool | None, str]) -> None:
    """True confirms, false contradicts, None is not clear."""
    assert predicate(found, SCOPE) == expected


@pytest.mark.parametrize(
    ("failure", "expected"), [(True, (True, "change_failure is true")), (False, (False, "change_failure is true"))]
)
def test_a_mark(failure: bool, expected: tuple[bool, str]) -> None:  # noqa: FBT001
    """Of one deployment."""
    assert are.is_marked(failure)(stored(), SCOPE) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1.0, (True, "recovery_time_sec is -1.0")),
        (0.0, (False, "recovery_time_sec is 0.0")),
        (None, (False, "recovery_time_sec is None")),
    ],
)
def test_a_recovery_time(seconds: float | None, expected: tuple[bool, str]) -> None:
    """Zero is not negative."""
    assert are.negative(stored(recovery_time_seconds=seconds), SCOPE) == expected


def test_one_of_the_deployments_that_the_probes_made() -> None:
    """By its id, among the others."""
    first, second = SCOPE.event(1), SCOPE.event(2)
    made = answer(
        200,
        item("deployment-one"),
        item(first.deployment_id, remediation={"id": second.deployment_id}, change_failure=True),
    )
    linked = are.of_event(1, are.linked_to_second)
    assert linked(made, SCOPE) == (CONFIRMED, f"remediation.id is {second.deployment_id}")
    assert are.of_event(2, are.is_marked(True))(made, SCOPE) == (NOT_CLEAR, "the list does not have it")
    versions = tuple(stored(f"deployment-{number}", version=second.version) for number in range(2))
    assert are.once(versions[:1], SCOPE) == (True, "1 deployments of this version")
    assert are.once(versions, SCOPE) == (False, "2 deployments of this version")
    assert are.once((), SCOPE) == (None, "0 deployments of this version")
