"""Which of several deployments in Datadog a revision is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dora_operator.domain.lookup import CLOCKS, Span, find, find_last
from dora_operator.domain.reasons import Reason
from dora_operator.domain.stored import StoredDeployment

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
MISSING, AMBIGUOUS = Reason.DEPLOYMENT_MISSING, Reason.AMBIGUOUS


def at(minutes: float) -> datetime:
    """Return a time in minutes."""
    return NOW + timedelta(minutes=minutes)


def row(name: str, started: float, finished: float | None, **tags: Any) -> StoredDeployment:
    """Return a deployment of checkout 2 in prod."""
    values: dict[str, Any] = {"service": "checkout", "env": "prod", "version": "2"} | tags
    return StoredDeployment(
        name, **values, started_at=at(started), finished_at=None if finished is None else at(finished)
    )


GOOD, BAD = row("good", -2880, -2870), row("bad", 0, 5)
FIRST = Span(at(0), at(5))
AGAIN = Span(at(0), at(5), earlier_ended=at(-2870))

CASES = [
    pytest.param([BAD], FIRST, "bad", id="the only one"),
    pytest.param([GOOD, BAD], AGAIN, "bad", id="a version deployed again: the failed one, not the old success"),
    pytest.param([GOOD], AGAIN, MISSING, id="a version deployed again whose deployment is late: none"),
    pytest.param([GOOD], Span(at(0), at(5)), MISSING, id="an older one of which nothing is known: it does not overlap"),
    pytest.param(
        [GOOD], Span(at(-2880), at(-2870), next_started=at(0)), "good", id="the earlier revision is the older one"
    ),
    pytest.param(
        [GOOD, BAD], Span(at(-2880), at(-2870), next_started=at(0)), "good", id="a stepwise rollback marks the release"
    ),
    pytest.param([row("retry", 1, 9)], Span(at(-9), at(0), next_started=at(1)), MISSING, id="the next one is another"),
    pytest.param([row("late", 5 + 1 / 60, 6)], FIRST, "late", id="it began a second after the abort"),
    pytest.param([row("late", 6, 6)], FIRST, "late", id="CI posts after the end, with the time of the post"),
    pytest.param([row("skewed", -1, 4)], FIRST, "skewed", id="clocks one minute apart"),
    pytest.param([row("skewed", -4, -4)], FIRST, "skewed", id="finished four minutes early by its clock"),
    pytest.param([row("far", 11, 12)], FIRST, MISSING, id="it began later than clocks differ"),
    pytest.param([row("before", -60, -6)], FIRST, MISSING, id="it finished earlier than clocks differ"),
    pytest.param([row("running", -1, None)], FIRST, "running", id="it is not finished"),
    pytest.param([BAD, row("twin", 1, 4)], FIRST, AMBIGUOUS, id="two clusters, a row each"),
    pytest.param([row("dora-operator-1", 0, 5)], FIRST, MISSING, id="an own event is never the answer"),
    pytest.param([row("dora-operator-1", 0, 5), BAD], FIRST, "bad", id="an own event beside the real one"),
    pytest.param([row("other", 0, 5, version="3")], FIRST, MISSING, id="another version"),
    pytest.param([row("other", 0, 5, env="staging")], FIRST, MISSING, id="another env"),
    pytest.param([row("other", 0, 5, env=None)], FIRST, MISSING, id="no env"),
    pytest.param([row("none", 0, 5), row("all", 0, 5, service="Checkout")], FIRST, "none", id="exact tags win"),
    pytest.param([BAD], Span(None, at(5)), "bad", id="the start is not known"),
    pytest.param([BAD], Span(at(0), None), "bad", id="the revision is in flight"),
    pytest.param([GOOD, BAD], Span(None, None), AMBIGUOUS, id="nothing is known"),
    pytest.param([], FIRST, MISSING, id="none"),
]


@pytest.mark.parametrize(("rows", "span", "expected"), CASES)
def test_the_deployment_of_a_revision(rows: list[StoredDeployment], span: Span, expected: str | Reason) -> None:
    """Chosen by its time, whatever the order of the rows."""
    for ordered in (rows, rows[::-1]):
        found = find(ordered, "checkout", "prod", "2", span)
        assert (found if isinstance(found, Reason) else found.id) == expected


@pytest.mark.parametrize(
    ("label", "stored"),
    [
        pytest.param("1.5.0-RC1", "1.5.0-rc1", id="upper case"),
        pytest.param("1.2.0+b5", "1.2.0_b5", id="a plus sign"),
        pytest.param("release 7 (hotfix)", "release_7_hotfix", id="spaces and brackets"),
        pytest.param("1.5.0-RC1", "1.5.0-RC1", id="stored as it is written"),
    ],
)
def test_tags_are_compared_as_datadog_normalizes_them(label: str, stored: str) -> None:
    """Where no row has exactly the label's value."""
    rows = [row("it", 0, 5, service="checkout", version=stored), row("other", 0, 5, version="1.5.0-rc2")]
    found = find(rows, "Checkout", "Prod", label, FIRST)
    assert isinstance(found, StoredDeployment)
    assert found.id == "it"


@pytest.mark.parametrize(
    ("rows", "created", "expected"),
    [
        pytest.param([GOOD, BAD], 60, "bad", id="the one that finished last"),
        pytest.param([GOOD, BAD], -60, "good", id="that of the time, not a later one"),
        pytest.param([GOOD, row("running", 0, None)], 5, "good", id="one that is not finished is passed over"),
        pytest.param([row("running", 0, 60)], 5, "running", id="under way, and alone"),
        pytest.param([row("a", 0, 60), row("b", 1, 60)], 5, AMBIGUOUS, id="two under way"),
        pytest.param([row("a", 0, 5), row("b", 1, 5)], 9, AMBIGUOUS, id="two finished in one second"),
        pytest.param([BAD], -60, MISSING, id="all began later"),
        pytest.param([row("dora-operator-1", 0, 5)], 60, MISSING, id="an own event"),
    ],
)
def test_the_deployment_of_a_resource_that_a_person_wrote(
    rows: list[StoredDeployment], created: float, expected: str | Reason
) -> None:
    """It has no revision: the deployment of the version that had finished last when it was created."""
    found = find_last(rows, "checkout", "prod", "2", at(created))
    assert (found if isinstance(found, Reason) else found.id) == expected


def test_one_read_serves_resources_with_their_own_answers() -> None:
    """The old success of a version is what a person means, and never what an aborted redeployment is."""
    assert find_last([GOOD], "checkout", "prod", "2", at(60)) == GOOD
    assert find([GOOD], "checkout", "prod", "2", AGAIN) is MISSING


MINUTES = some.floats(-600, 600, allow_nan=False)
ROWS = some.lists(
    some.builds(lambda n, s, d: row(f"row-{n}", s, s + abs(d)), some.integers(), MINUTES, MINUTES), max_size=5
)


@given(ROWS, MINUTES, some.floats(0, 600, allow_nan=False), some.floats(0, 600, allow_nan=False))
def test_what_is_found_is_within_the_bounds_and_alone(
    rows: list[StoredDeployment], started: float, length: float, before: float
) -> None:
    """A row of the earlier revision is never found, and a row far from the span is not."""
    span = Span(at(started), at(started + length), earlier_ended=at(started - before))
    found = find(rows, "checkout", "prod", "2", span)
    if isinstance(found, StoredDeployment):
        assert found.started_at is not None
        assert found.finished_at is not None
        assert at(started - before) < found.started_at <= at(started + length) + CLOCKS
        assert found.finished_at >= at(started) - CLOCKS
    assert find(rows[::-1], "checkout", "prod", "2", span) == found


@given(some.lists(some.tuples(some.floats(0.1, 600), some.floats(0, 600)), min_size=1, max_size=5), some.data())
def test_each_revision_finds_its_own_row(gaps: list[tuple[float, float]], data: some.DataObject) -> None:
    """Revisions of one version, one after the other, each with a row of its time; some rows are late."""
    clock, spans = 0.0, []
    for pause, length in gaps:
        spans.append((clock + pause, clock + pause + length))
        clock += pause + length
    there = data.draw(some.sets(some.sampled_from(range(len(spans)))))
    rows = [row(str(index), *spans[index]) for index in there]
    for index, (started, ended) in enumerate(spans):
        earlier = at(spans[index - 1][1]) if index else None
        later = at(spans[index + 1][0]) if index + 1 < len(spans) else None
        found = find(rows, "checkout", "prod", "2", Span(at(started), at(ended), earlier, later))
        assert found == (row(str(index), started, ended) if index in there else MISSING)
