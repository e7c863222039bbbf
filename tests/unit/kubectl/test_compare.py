"""The histories against Datadog's list: classes, totals and coverage, and no figure that the data cannot carry."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.history.history import Cause, Failure, History, Revision, State, VerdictKind
from dora_operator.domain.history.verdicts import verdicts
from dora_operator.domain.posted_events import own_id
from dora_operator.domain.stored import StoredDeployment
from kubectl_dora.compare import Comparison, LineClass, Total, compare
from tests.unit.history.objects import NOW, WORKLOAD
from tests.unit.kubectl.levels import SETTINGS, TAGS, row

SINCE = NOW - timedelta(days=30)
SERVICE = ("checkout", "prod")
SHOP = ObjectKey("shop", "checkout")


def at(hours: float) -> Any:
    """Return a time after the beginning of the window."""
    return SINCE + timedelta(hours=hours)


def revision(number: int, *, state: State = State.PROMOTED, failed: bool = False, **fields: Any) -> Revision:
    """Return revision N: version VN, an hour long, N days after the beginning."""
    began = fields.pop("started_time", at(24 * number))
    ended = began + timedelta(hours=1) if began else None
    failure = Failure(verdict=VerdictKind.ABORTED, cause=Cause.ABORT, time=ended) if failed else None
    values: dict[str, Any] = {"version": f"V{number}", **TAGS, "started_time": began, "ended_time": ended} | fields
    state = State.ABORTED if failed else state
    return Revision(number=number, pod_template_hash=f"V{number}", state=state, failure=failure, **values)


def history(*revisions: Revision, **workload: str) -> History:
    """Return the history of a workload."""
    return History(workload=replace(WORKLOAD, **workload), revisions=revisions)


def its_row(number: int, *, marked: Any = False, **fields: Any) -> StoredDeployment:
    """Return the row of revision N."""
    return row(f"deployment-{number}", f"V{number}", at(24 * number), marked=marked, **fields)


def compared(known: History, rows: Sequence[StoredDeployment] | None, **others: History) -> Comparison:
    """Compare one workload, or several, with the rows of its service."""
    histories = {SHOP: known} | {ObjectKey("shop", name): other for name, other in others.items()}
    return compare(histories, {SERVICE: rows} if rows is not None else {}, SINCE, NOW, SETTINGS.rollout_policy)


def classes(comparison: Comparison) -> list[str]:
    """Return the class of each line, in their order."""
    return [line.category.value for line in comparison.lines]


@pytest.mark.parametrize(
    ("ours", "rows", "expected"),
    [
        pytest.param([revision(1)], [its_row(1)], ["agrees"], id="a release that both know as good"),
        pytest.param([revision(1, failed=True)], [its_row(1, marked=True)], ["agrees"], id="a failure of both"),
        pytest.param([revision(1, failed=True)], [its_row(1)], ["missing mark"], id="a failure that is not marked"),
        pytest.param(
            [revision(1, failed=True)], [its_row(1, marked=None)], ["missing mark"], id="a failure not evaluated yet"
        ),
        pytest.param(
            [revision(1, state=State.ABORTED)], [its_row(1)], ["missing mark"], id="an abort before the lookback"
        ),
        pytest.param([revision(1)], [its_row(1, marked=True)], ["marked by Datadog alone"], id="a mark of Datadog"),
        pytest.param([revision(1)], [], ["missing row"], id="a release that Datadog does not have"),
        pytest.param(
            [revision(1)], [its_row(1), replace(its_row(1), id="deployment-x")], ["several rows"], id="two rows"
        ),
        pytest.param([], [its_row(1)], ["row without revision"], id="a row of another workload"),
        pytest.param([], [replace(its_row(1), id="dora-operator-1")], ["own event"], id="an event of the operator"),
        pytest.param([revision(1)], [its_row(1, marked="absent")], ["not comparable"], id="an answer without marks"),
        pytest.param([revision(1)], None, ["not comparable"], id="Datadog was not read"),
        pytest.param(
            [revision(1, state=State.UNKNOWN)], [its_row(1)], ["not comparable"], id="an outcome that is not known"
        ),
        pytest.param([revision(1, state=State.SUPERSEDED)], [], [], id="replaced, and Datadog has no row"),
        pytest.param([revision(1, state=State.SUPERSEDED)], [its_row(1)], ["agrees"], id="replaced, with a row"),
        pytest.param([revision(1, state=State.IN_FLIGHT)], [its_row(1)], [], id="in flight"),
        pytest.param([revision(1, version=None)], [], [], id="not identifiable"),
        pytest.param(
            [revision(1, deployment_id="deployment-x")],
            [its_row(1), replace(its_row(1), id="deployment-x")],
            ["agrees", "row without revision"],
            id="an id in the pod template",
        ),
        pytest.param(
            [revision(1, version="V1"), revision(2, version="V1")],
            [its_row(1), replace(its_row(2), version="V9")],
            ["agrees", "missing row", "row without revision"],
            id="a version deployed twice",
        ),
        pytest.param([revision(-3)], [its_row(-3)], [], id="before the window"),
    ],
)
def test_each_deployment_has_a_class(
    ours: list[Revision], rows: list[StoredDeployment] | None, expected: list[str]
) -> None:
    """One line for each revision that was deployed, and for each row that none explains."""
    assert sorted(classes(compared(history(*ours), rows))) == sorted(expected)


def test_an_own_event_stands_for_the_failure_whose_row_is_missing() -> None:
    """By the id that follows from the verdict."""
    known = history(revision(1, failed=True))
    (verdict,) = verdicts(known, SETTINGS.rollout_policy)
    own = own_id(verdict)
    assert own is not None
    (line,) = compared(known, [replace(its_row(1, marked=True), id=own)]).lines
    assert (line.category, line.row, line.failed, line.marked) == (LineClass.OWN_EVENT, own, True, True)


def test_two_workloads_with_one_row_are_one_deployment_that_failed_while_either_did() -> None:
    """As Datadog counts it."""
    good, bad = revision(1), revision(1, failed=True)
    found = compared(history(good), [its_row(1, marked=True)], other=history(bad, name="other", uid="uid-2"))
    (line,) = found.lines
    assert (line.category, line.failed) == (LineClass.AGREES, True)
    assert line.workloads == ("shop/checkout revision 1", "shop/other revision 1")
    assert found.totals[0].deployments == 1


def test_the_totals_of_both_sides_and_the_difference_in_points() -> None:
    """With the line that explains it."""
    known = history(*(revision(number, failed=number == 4) for number in range(1, 11)))
    rows = [its_row(number, marked=number in {4, 7}) for number in range(1, 11)]
    found = compared(known, rows)
    assert found.totals == (Total(*SERVICE, 10, 1, 10.0, 10, 2, 20.0, 10.0),)
    assert [line.version for line in found.lines if line.category is not LineClass.AGREES] == ["V7"]


@pytest.mark.parametrize(
    ("ours", "rows", "expected"),
    [
        pytest.param(
            [revision(8), revision(9, failed=True)], [its_row(9)], (None, None, 0.0), id="the history begins later"
        ),
        pytest.param(
            [revision(7, started_time=at(-5)), revision(8), revision(9, failed=True)],
            [its_row(9)],
            (2, 50.0, 0.0),
            id="the history reaches back",
        ),
        pytest.param(
            [revision(1), revision(2, state=State.UNKNOWN), revision(3)],
            [its_row(1)],
            (None, None, 0.0),
            id="what became of a revision is not known",
        ),
        pytest.param([revision(1), revision(3)], [its_row(1)], (None, None, 0.0), id="a revision is missing"),
        pytest.param([revision(1)], [its_row(1, marked=None)], (1, 0.0, None), id="a row is not evaluated"),
        pytest.param([revision(1)], [], (1, 0.0, None), id="Datadog has none"),
        pytest.param([revision(1)], None, (1, 0.0, None), id="Datadog was not read"),
    ],
)
def test_a_figure_that_the_data_cannot_carry_is_none(
    ours: list[Revision], rows: list[StoredDeployment] | None, expected: tuple[Any, ...]
) -> None:
    """Deployments and rate of the histories, and the rate of Datadog."""
    (total,) = compared(history(*ours), rows).totals
    assert (total.deployments, total.rate, total.datadog_rate) == expected
    assert (total.difference is None) == (None in expected[1:])


def test_coverage_says_how_much_the_figures_are_about() -> None:
    """None where Datadog was not read."""
    link = {"remediation_id": "deployment-2", "recovery_time_seconds": 60.0}
    rows = [its_row(1, marked=True, **link), its_row(2), its_row(3, marked=True)]
    unnamed = history(revision(1, version=None), uid="uid-2")
    coverage = compared(history(revision(1, failed=True), revision(2)), rows, other=unnamed).coverage
    assert (coverage.workloads, coverage.identifiable, coverage.with_rows) == (2, 1, 1)
    assert (coverage.failures, coverage.with_recovery_time) == (2, 1)
    assert compared(history(revision(1)), None).coverage.with_rows is None
