"""Force sync, as the domain decides it: which annotation asks for it, and what it leaves of the status."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain import status as statuses
from dora_operator.domain.outcome import Accepted, Answer, classify
from dora_operator.domain.resource import EMPTY_STATUS, DoraDeploymentStatus
from dora_operator.domain.retry import forced
from tests.support.builders import NOW, deployment, send, status_context

ACCEPTED = statuses.with_outcome(EMPTY_STATUS, send(), Accepted(202), status_context())
REFUSED = statuses.with_outcome(EMPTY_STATUS, send(), classify(Answer(503, {}, b""), NOW), status_context())


def handled(status: DoraDeploymentStatus, value: str) -> DoraDeploymentStatus:
    """Return a status in which a force sync is handled."""
    return replace(status, last_force_sync=value)


@pytest.mark.parametrize(
    ("status", "force_sync", "is_forced"),
    [
        pytest.param(ACCEPTED, None, False, id="no annotation asks for nothing"),
        pytest.param(ACCEPTED, "1", True, id="the first value is new"),
        pytest.param(handled(ACCEPTED, "1"), "1", False, id="a handled value is not repeated"),
        pytest.param(handled(ACCEPTED, "1"), "2", True, id="another value is new"),
        pytest.param(handled(ACCEPTED, "2"), "1", True, id="values have no order"),
        pytest.param(handled(ACCEPTED, "1"), None, False, id="a removed annotation asks for nothing"),
        pytest.param(handled(REFUSED, "1"), "1", False, id="nor is it repeated after a failure"),
        pytest.param(REFUSED, "1", True, id="what waits for a retry is sent at once"),
        pytest.param(EMPTY_STATUS, "1", True, id="a new resource has handled its value with the first request"),
    ],
)
def test_when_a_force_sync_is_due(status: DoraDeploymentStatus, force_sync: str | None, *, is_forced: bool) -> None:
    """The annotation beside the status decides, so a restart repeats nothing and forgets nothing."""
    found = forced(status, force_sync)
    assert (found is not None) == is_forced
    if found is not None:
        assert (found.accepted, found.last_force_sync) == (None, force_sync)
        assert forced(found, force_sync) is None


def test_a_state_that_was_accepted_is_accepted_again_at_another_time() -> None:
    """The time of the acceptance is new, so that it is read back; what was never accepted keeps its times."""
    found = forced(ACCEPTED, "1")
    assert found is not None
    assert found.accepted_time is None
    resending = replace(ACCEPTED, accepted=None)  # a mark that was not applied, and is sent again
    found = forced(resending, "1")
    assert found is not None
    assert found.accepted_time == ACCEPTED.accepted_time


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param(None, None, id="no annotations"),
        pytest.param({"other": "1"}, None, id="another annotation"),
        pytest.param({"dora-operator.io/force-sync": ""}, None, id="an empty one"),
        pytest.param({"dora-operator.io/force-sync": "now"}, "now", id="any word"),
    ],
)
def test_what_is_read_of_a_resource(annotations: dict[str, str] | None, expected: str | None) -> None:
    """An empty value asks for nothing."""
    assert deployment(annotations=annotations).force_sync == expected


@given(st.text(max_size=2000))
def test_any_value_can_be_written_to_status(value: str) -> None:
    """Whatever a user writes is cut to what status takes, and the written value counts as handled."""
    read = deployment(annotations={"dora-operator.io/force-sync": value}).force_sync
    stored = deployment(status={"lastForceSync": read}).status
    assert stored.last_force_sync == read
    assert forced(stored, read) is None
