"""Datadog's automatic detection of rollbacks, by its documented rule, and what it does to marks made by hand."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.datadog.behaviour import ApmRows, Precedence
from sandbox.datadog.model import Model
from sandbox.datadog.values import Event, Mark, Remediation
from tests.standin.modelled import START, event, failures, model, rolled_back


def deployed(datadog: Model, versions: str, *, env: str = "prod") -> None:
    """Deploy versions, one every 100 seconds; `1` is a version, `1:a` has a commit too, `-:a` only a commit."""
    for number, word in enumerate(versions.split()):
        version, _, commit = word.partition(":")
        posted = event(
            None if version == "-" else version, number * 100, commit=commit or None, id=f"{env}{number}", env=env
        )
        datadog.post(posted, START + number * 100)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        pytest.param("1 2 3", {}, id="no version comes again"),
        pytest.param("1 2 1", {1: 2}, id="back to the version before"),
        pytest.param("1 2 3 1", {1: 3}, id="the documented example marks the first one after the target"),
        pytest.param("1 1", {}, id="the same version twice in a row is no rollback"),
        pytest.param("1 2 1 1", {1: 2}, id="a repeated rollback counts once"),
        pytest.param("1 2 1 3 1", {1: 2, 3: 4}, id="each rollback means the latest of its targets"),
        pytest.param("1 2 1 2", {1: 2, 2: 3}, id="going forward again to a known version is taken for a rollback"),
        pytest.param("1:a 2:b 1:c", {}, id="another commit: no rollback, whatever the version says"),
        pytest.param("1:a 2:b 3:a", {1: 2}, id="the same commit: a rollback, whatever the version says"),
        pytest.param("1:a 1:b", {}, id="another commit under the same version is new"),
        pytest.param("1:a 2:b 1", {1: 2}, id="by version where only one has a commit"),
        pytest.param("1 2 1:a", {1: 2}, id="by version where only the later one has a commit"),
        pytest.param("-:a -:b -:a", {1: 2}, id="by commit where there are no versions"),
        pytest.param("- 2 -", {}, id="without version and commit there is nothing to compare"),
    ],
)
def test_the_documented_rule(versions: str, expected: dict[int, int]) -> None:
    """Numbers are positions: the failed deployment, and the one that rolled it back."""
    datadog = model()
    deployed(datadog, versions)
    assert failures(datadog) == {f"prod{failed}": f"prod{remedy}" for failed, remedy in expected.items()}
    assert {one.id for one in datadog.visible(START + 1e9) if one.is_rollback} == {
        f"prod{remedy}" for remedy in expected.values()
    }


def test_a_detected_failure_is_linked() -> None:
    """The mark has type rollback and a recovery time to the end of the rollback."""
    datadog = model()
    deployed(datadog, "1 2 3 1")
    failed = datadog.get("prod1", START + 400)
    assert failed is not None
    assert failed.remediation == Remediation(id="prod3", type="rollback")
    assert datadog.recovery_seconds(failed) == 200


def test_services_and_envs_are_apart() -> None:
    """A version that was deployed elsewhere before is not known here."""
    datadog = model()
    for number, (version, env) in enumerate([("1", "prod"), ("2", "staging"), ("1", "staging"), ("2", "prod")]):
        datadog.post(event(version, number * 100, env=env), START + number * 100)
    assert failures(datadog) == {}


def test_detection_can_be_off_or_late() -> None:
    """It comes after its delay, counted from ingestion, or never."""
    off = model(detection=False)
    deployed(off, "1 2 1")
    assert failures(off) == {}
    late = model(ingest_delay=60, detection_delay=30)
    deployed(late, "1 2 1")
    assert [failures(late, START + 200 + after) for after in (89, 90)] == [{}, {"prod1": "prod2"}]


@pytest.mark.parametrize("is_on", [True, False])
def test_a_hot_fix_marks_the_deployment_before_it_where_the_default_rules_are_on(*, is_on: bool) -> None:
    """With a link to it, as a rollforward."""
    datadog = model(fix_rules=is_on)
    datadog.post(event("1", 0, id="bad"), START)
    datadog.post(event("2", 100, id="fix", is_fix=True), START + 100)
    assert failures(datadog) == ({"bad": "fix"} if is_on else {})
    bad = datadog.get("bad", START + 100)
    assert bad is not None
    assert bad.remediation == (Remediation(id="fix", type="rollforward") if is_on else None)


def test_apm_shows_a_rollback_only_with_rows_for_each() -> None:
    """Where a version has one row, deploying it again is invisible, and so is the rollback."""
    found = {}
    for rows in ApmRows:
        datadog = model(apm_rows=rows)
        for number, version in enumerate("121"):
            datadog.apm(event(version, number * 100), START + number * 100)
        found[rows] = len(failures(datadog))
    assert found == {ApmRows.ONE_PER_VERSION: 0, ApmRows.EACH: 1}


@pytest.mark.parametrize(
    ("precedence", "mark", "expected"),
    [
        pytest.param(Precedence.DETECTION, rolled_back(id="own"), {"prod1": "prod2"}, id="detection replaces a link"),
        pytest.param(Precedence.DETECTION, Mark(change_failure=False), {"prod1": "prod2"}, id="and a false"),
        pytest.param(Precedence.PATCH_FIELDS, rolled_back(id="own"), {"prod1": "own"}, id="by hand: the link stays"),
        pytest.param(Precedence.PATCH_FIELDS, Mark(change_failure=True), {"prod1": "prod2"}, id="a link is added"),
        pytest.param(Precedence.PATCH_FIELDS, Mark(change_failure=False), {}, id="by hand: false stays"),
        pytest.param(Precedence.PATCH, Mark(change_failure=True), {"prod1": None}, id="by hand: no link is added"),
        pytest.param(Precedence.PATCH, Mark(), {"prod1": "prod2"}, id="what nobody marked is detected"),
    ],
)
@pytest.mark.parametrize("by", ["a PATCH", "an edit"])
def test_precedence(precedence: Precedence, mark: Mark, expected: dict[str, str | None], by: str) -> None:
    """A setting says whether detection overwrites marks that were made by hand before it."""
    datadog = model(precedence=precedence)
    deployed(datadog, "1 2")
    if by == "a PATCH":
        datadog.patch("prod1", mark, START + 150)
    else:
        given = {"change_failure": mark.change_failure, "remediation": mark.remediation}
        datadog.edit("prod1", START + 150, **{name: value for name, value in given.items() if value is not None})
    datadog.post(event("1", 200, id="prod2"), START + 200)
    assert failures(datadog) == expected


def test_the_last_mark_wins_after_detection() -> None:
    """A PATCH that comes after detection changes what detection marked."""
    datadog = model()
    deployed(datadog, "1 2 1")
    datadog.patch("prod1", Mark(change_failure=False), START + 300)
    assert failures(datadog) == {}


class Posted(NamedTuple):
    """A deployment that hypothesis made up."""

    version: str | None
    commit: str | None
    finished: int


def expected_failures(posted: list[Posted]) -> dict[int, int]:
    """Apply the rule as a person would: search through everything, one deployment after the other."""

    def same(one: Posted, other: Posted) -> bool:
        if one.commit and other.commit:
            return one.commit == other.commit
        return one.version is not None and one.version == other.version

    found: dict[int, int] = {}
    for number, latest in enumerate(posted):
        order = sorted(range(number + 1), key=lambda one: (posted[one].finished, one))
        before = order[: order.index(number)]
        targets = [one for one in before if same(posted[one], latest)]
        if targets and not same(posted[before[-1]], latest):
            found[order[order.index(targets[-1]) + 1]] = number
    return found


@given(
    st.lists(
        st.builds(Posted, st.sampled_from(["1", "2", "3", None]), st.sampled_from(["a", "b", None]), st.integers(0, 9)),
        max_size=12,
    )
)
def test_the_rule_over_anything(posted: list[Posted]) -> None:
    """Whatever is deployed in whatever order it is ingested: the same as a search through everything."""
    datadog = model()
    events: list[Event] = [
        event(one.version, one.finished, commit=one.commit, id=str(number)) for number, one in enumerate(posted)
    ]
    for one in events:
        datadog.post(one, START)
    assert failures(datadog) == {str(failed): str(remedy) for failed, remedy in expected_failures(posted).items()}
    for number in range(0, len(posted), 2):  # and nothing is left of what is removed
        assert datadog.remove(str(number), START + 2e9)
    left = {str(number) for number in range(1, len(posted), 2)}
    assert {one.id for one in datadog.visible(START + 2e9)} == left
