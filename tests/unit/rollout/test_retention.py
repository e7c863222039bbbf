"""Which records are deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.rollout.retention import Retention, SettledRecord, expired

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LOOKBACK = timedelta(hours=24)
RETENTION = Retention(age=timedelta(days=90), per_rollout=3)


def record(name: str, days: float, rollout: str = "checkout") -> SettledRecord:
    """Build a record that was accepted so many days ago."""
    return SettledRecord("shop", name, rollout, NOW - timedelta(days=days))


@pytest.mark.parametrize(
    ("records", "gone"),
    [
        pytest.param([record("a", 89)], [], id="younger than the age"),
        pytest.param([record("a", 91)], ["a"], id="older than the age"),
        pytest.param([record(n, d) for n, d in zip("abcd", (2, 3, 4, 5), strict=True)], ["d"], id="one too many"),
        pytest.param([record(n, 0.5) for n in "abcd"], [], id="too many, but within the lookback"),
        pytest.param(
            [record("a", 2), record("b", 3), record("c", 4), record("d", 5, "search")], [], id="of two Rollouts"
        ),
    ],
)
def test_what_goes(records: list[SettledRecord], gone: list[str]) -> None:
    """Age and number count for each Rollout."""
    assert [each.name for each in expired(records, RETENTION, LOOKBACK, NOW)] == gone


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 200)), max_size=30))
def test_never_too_much(ages: list[tuple[int, float]]) -> None:
    """The newest of each Rollout stay unless they are old, and nothing within the lookback goes."""
    records = [record(f"r{n}", days, f"rollout-{which}") for n, (which, days) in enumerate(ages)]
    gone = expired(records, RETENTION, LOOKBACK, NOW)
    for each in gone:
        assert NOW - each.accepted_at > LOOKBACK
        newer = [one for one in records if one.rollout == each.rollout and one.accepted_at >= each.accepted_at]
        assert NOW - each.accepted_at > RETENTION.age or len(newer) > RETENTION.per_rollout
