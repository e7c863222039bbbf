"""What Datadog's answer to a read has, and which of its deployments a target means."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.outcome import Answer, FailureKind, NoAnswer
from dora_operator.domain.reasons import Reason
from dora_operator.domain.stored import ReadProblem, parse_answer, parse_deployments, searched_from
from tests.support.builders import NOW, TAGS, after


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Answer(404, {}, b""), [], id="404 is no deployment"),
        pytest.param(Answer(200, {}, b'{"data":[]}'), [], id="an empty list is no deployment"),
        pytest.param(Answer(200, {}, b'{"data":{"id":"a"}}'), [{"id": "a"}], id="a GET has one deployment"),
        pytest.param(
            Answer(200, {}, b'{"data":[1,{"id":"a"}]}'), [{"id": "a"}], id="an invalid entry of a list is left out"
        ),
        pytest.param(Answer(401, {}, b""), Reason.READ_FORBIDDEN, id="401 is forbidden"),
        pytest.param(Answer(403, {}, b""), Reason.READ_FORBIDDEN, id="403 is forbidden"),
        pytest.param(Answer(429, {}, b""), Reason.READ_UNAVAILABLE, id="429 is unavailable"),
        pytest.param(Answer(503, {}, b""), Reason.READ_UNAVAILABLE, id="503 is unavailable"),
        pytest.param(Answer(200, {}, b"<html>"), Reason.READ_UNAVAILABLE, id="a login page is unavailable"),
        pytest.param(Answer(200, {}, b'{"data":null}'), Reason.READ_UNAVAILABLE, id="no data is unavailable"),
        pytest.param(Answer(200, {}, b"[" * 100_000), Reason.READ_UNAVAILABLE, id="endless nesting is unavailable"),
        pytest.param(Answer(202, {}, b'{"data":[]}'), Reason.READ_UNAVAILABLE, id="202 is no answer to a read"),
    ],
)
def test_an_answer_has_deployments_or_a_problem(answer: Answer, expected: object) -> None:
    """Only 404 and a list without items mean that Datadog has none."""
    found = parse_answer(answer)
    assert (found.reason if isinstance(found, ReadProblem) else found) == expected


def test_a_refusal_names_the_permission() -> None:
    """The fix is in the message."""
    found = parse_answer(Answer(403, {}, b""))
    assert isinstance(found, ReadProblem)
    assert "dora_metrics_read" in found.message


def item(**attributes: Any) -> dict[str, Any]:
    """Return a deployment as Datadog sends it."""
    return {"id": "deployment-one", "type": "dora_deployment", "attributes": TAGS | attributes}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param({}, (False, None), id="an absent field is not false"),
        pytest.param({"change_failure": None}, (True, None), id="null is not evaluated"),
        pytest.param({"change_failure": False}, (True, False), id="false is false"),
        pytest.param({"change_failure": True}, (True, True), id="true is true"),
        pytest.param({"change_failure": "false"}, (True, None), id="a text is no mark"),
        pytest.param({"change_failure": 0}, (True, None), id="a number is no mark"),
    ],
)
def test_a_mark_is_there_or_not(attributes: dict[str, Any], expected: tuple[bool, bool | None]) -> None:
    """Three different things: no field, null, and a value."""
    (found,) = parse_deployments([item(**attributes)])
    assert (found.has_mark, found.change_failure) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda each: (
            st.lists(each)
            | st.dictionaries(
                st.sampled_from(["id", "data", "attributes", "change_failure", "remediation", "type", "finished_at"]),
                each,
            )
        ),
    ).map(lambda document: json.dumps({"data": document}).encode())
)
def test_any_answer_can_be_read(body: bytes) -> None:
    """Whatever Datadog answers, a read has a result, and no mark is made up from it."""
    found = parse_answer(Answer(200, {}, body))
    if isinstance(found, ReadProblem):
        assert found.reason is Reason.READ_UNAVAILABLE
        return
    for each in parse_deployments(found):
        assert each.has_mark or each.change_failure is None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1" * 400, "true", '"60"'])
def test_a_recovery_time_that_is_no_number_is_none(number: str) -> None:
    """Such an answer is read, without a recovery time."""
    body = f'{{"id": "deployment-one", "attributes": {{"recovery_time_sec": {number}}}}}'
    (found,) = parse_deployments([json.loads(body)])
    assert found.recovery_time_seconds is None


def test_no_answer_is_an_outage() -> None:
    """A broken connection says nothing about the deployment."""
    found = parse_answer(NoAnswer(FailureKind.TIMEOUT, "no answer in 10 s"))
    assert isinstance(found, ReadProblem)
    assert found.reason is Reason.READ_UNAVAILABLE


def test_what_is_searched() -> None:
    """Ten minutes before the revision began; without one, thirty days before the resource was created."""
    assert searched_from(NOW, after(-60)) == after(-60 - 600)
    assert searched_from(NOW, None) == NOW - timedelta(days=30)
