"""Which deployment a remediation by version means, and whether its link would give a negative recovery time."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.read_back import LinkChecked, check_link
from dora_operator.domain.resource import TargetKind
from dora_operator.domain.stored import Stored
from tests.support.builders import TARGET, link, stored

TO_VERSION_1 = link(version="1")


def link_of(*finished: float | None) -> Any:
    """Check a rollback from version 2, which finished at 0, to version 1, whose deployments finished then."""
    ones = tuple(stored(f"deployment-{number}", each, version="1") for number, each in enumerate(finished))
    return check_link((stored("failed"), *ones), TARGET, TO_VERSION_1, None)


@pytest.mark.parametrize(
    ("finished", "expected", "is_negative"),
    [
        pytest.param([], None, True, id="none that is shown: Datadog would take an older one, or none"),
        pytest.param([-100], None, True, id="only one before the failure"),
        pytest.param([-100, 50], "deployment-1", False, id="one before and one after"),
        pytest.param([90, 50], "deployment-1", False, id="the first after it, not the newest"),
        pytest.param([0], "deployment-0", False, id="at the same second: a recovery time of 0"),
        pytest.param([None], None, True, id="one that has not finished"),
    ],
)
def test_the_link_of_a_rollback(finished: list[float | None], expected: str | None, is_negative: bool) -> None:  # noqa: FBT001
    """Datadog would take the most recently finished deployment of the version, whenever that was."""
    checked = link_of(*finished)
    assert (checked.deployment_id, checked.is_negative) == (expected, is_negative)
    assert (checked.target.by, checked.target.id) == (TargetKind.ID, "failed")


@pytest.mark.parametrize(
    "found",
    [
        pytest.param((), id="the failed one is missing"),
        pytest.param((stored(), stored("two")), id="the failed one is ambiguous"),
        pytest.param((stored(finished=None),), id="the failed one has not finished"),
    ],
)
def test_a_link_from_an_unknown_deployment(found: Stored) -> None:
    """Nothing is known: neither a link nor a warning."""
    one = stored("deployment-old", 50, version="1")
    assert check_link((*found, one), TARGET, TO_VERSION_1, None) == LinkChecked(TARGET)


@given(st.lists(st.integers(-20, 20), max_size=6))
def test_negative_exactly_where_every_link_would_be(finished: list[int]) -> None:
    """A link that is sent gives a recovery time of 0 or more, and it is sent wherever there is one."""
    checked = link_of(*finished)
    not_before = [each for each in finished if each >= 0]
    assert checked.is_negative is not bool(not_before)
    if not_before:
        assert checked.deployment_id is not None
        assert finished[int(checked.deployment_id.removeprefix("deployment-"))] == min(not_before)
