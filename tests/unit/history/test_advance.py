"""How observations become a history: what is certain, what is not, and which revision is meant."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dora_operator.domain.history.advance import advance
from dora_operator.domain.history.history import Cause, History, State, VerdictKind
from dora_operator.domain.history.observation import Failing
from dora_operator.domain.history.policy import Policy
from dora_operator.domain.history.verdicts import SkipReason, notes, verdicts
from tests.unit.history.objects import NOW, aborted, after, observation, template
from tests.unit.history.stories import LINKED, Stage, Watcher, played

V1, V2, V3 = template("V1", 1), template("V2", 2), template("V3", 3)
FIRST = observation("V1", "V1", V1)
IN_FLIGHT = observation("V2", "V1", V1, V2)
PROMOTED = observation("V2", "V2", V1, V2)


def states(history: History) -> dict[int, State]:
    """Return the states by number."""
    return {revision.number: revision.state for revision in history.revisions}


def marked(history: History) -> dict[int, VerdictKind]:
    """Return the verdicts by number."""
    return {verdict.revision: verdict.verdict for verdict in verdicts(history, LINKED)}


def test_a_first_observation_knows_what_the_levels_show() -> None:
    """The stable one is promoted, the current one is in flight, the rest is not known."""
    history = after(observation("V3", "V2", V1, V2, V3))
    assert states(history) == {1: State.UNKNOWN, 2: State.PROMOTED, 3: State.IN_FLIGHT}
    assert marked(history) == {}


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(timedelta(hours=23), {2: VerdictKind.ABORTED}, id="within the lookback"),
        pytest.param(timedelta(hours=25), {}, id="before the lookback"),
    ],
)
def test_an_abort_that_the_first_observation_shows(age: timedelta, expected: dict[int, VerdictKind]) -> None:
    """A visible abort counts within the lookback, and stays what it was."""
    seen = observation("V2", "V1", V1, V2, failing=aborted(time=NOW - age))
    history = after(seen, seen)
    assert states(history)[2] is State.ABORTED
    assert marked(history) == expected


def test_a_version_that_came_back_before_the_first_observation_is_not_marked() -> None:
    """V1(1,3) V2(2,4): three histories give this state, and two of them have no failure."""
    history = after(observation("V2", "V2", template("V1", 1, 3), template("V2", 2, 4)))
    assert marked(history) == {}


def test_a_rollback_over_what_was_never_observed_is_unclear() -> None:
    """Whether V2 was promoted is not known, so nothing is marked, and a note says so."""
    before = after(observation("V3", "V3", V1, V2, V3))
    history = advance(before, observation("V1", "V3", template("V1", 1, 4), V2, V3), NOW)
    assert marked(history) == {}
    assert [note.reason for note in notes(before, history)] == [SkipReason.ROLLBACK_UNCLEAR]
    assert notes(history, advance(history, observation("V1", "V3", template("V1", 1, 4), V2, V3), NOW)) == ()


def test_a_rollback_by_one_version_right_after_the_first_observation_marks_the_stable_one() -> None:
    """V2 counts as deployed where it appeared; V3 is the first deployment after it."""
    history = after(observation("V3", "V3", V1, V2, V3), observation("V2", "V3", V1, template("V2", 2, 4), V3))
    assert marked(history) == {3: VerdictKind.ROLLED_BACK}


def test_versions_of_several_templates_with_missing_numbers_have_no_order() -> None:
    """V2/a(2) V1/b(3) V2/b(4): V1 may have appeared at 1. Going back and forth between them marks nothing."""
    a, b, c = template("V2/a", 2), template("V1/b", 3), template("V2/b", 4)
    history = after(
        observation("V2/b", "V2/b", a, b, c),
        observation("V1/b", "V1/b", a, template("V1/b", 3, 5), c),
        observation("V2/b", "V2/b", a, template("V1/b", 3, 5), template("V2/b", 4, 6)),
    )
    assert marked(history) == {}


PRUNED = [
    pytest.param(
        "deploy 1.1.0, abort, deploy 1.0.0/b, promote, deploy 1.1.0/b, promote, deploy 1.2.0, promote",
        [("1.1.0", True, ""), ("1.1.0", False, "")],
        id="a git revert with another template does not make the good version the bad one",
    ),
    pytest.param(
        "deploy 1.1.0, promote, deploy 1.2.0, promote, deploy 1.3.0, promote, deploy 1.0.0, promote, undo 4, promote",
        [("1.1.0", True, ""), ("1.1.0", True, "rollback 1.0.0")],
        id="rolling forward again over a version that was deleted marks nothing more",
    ),
    pytest.param(
        "deploy 1.1.0, promote, deploy 1.2.0, promote, deploy 1.3.0, promote, deploy 1.0.0, undo 4, promote",
        [("1.1.0", True, ""), ("1.1.0", False, "")],
        id="a revert to a deleted version that is called off clears the first one after it",
    ),
    pytest.param(
        "deploy 1.0.0/b, abort, deploy 1.1.0, promote, deploy 1.2.0, promote",
        [],
        id="the abort of a change of configuration never marks the version",
    ),
]


@pytest.mark.parametrize("limit", [0, 1, 2, 10])
@pytest.mark.parametrize(("story", "asked"), PRUNED)
def test_deleted_replica_sets_change_nothing(story: str, asked: list[tuple[str, bool, str]], limit: int) -> None:
    """The order of versions is in the history, whatever revisionHistoryLimit says."""
    stage = Stage(watcher=Watcher())
    stage.simulator.limit = limit
    for action in story.split(", "):
        stage.play(action)
    assert stage.watcher.asked == asked


def test_a_version_keeps_its_order_when_all_its_revisions_were_dropped() -> None:
    """Thirty releases later, the first version is still the oldest, and going forward again marks nothing."""
    stage = played(*(action for n in range(1, 31) for action in (f"deploy 1.{n}.0", "promote")))
    stage.simulator.limit = 0
    before = stage.watcher.history
    assert before is not None
    assert len(before.revisions) == 20
    for action in ("deploy 1.0.0", "promote", "deploy 1.30.0/b", "promote"):
        stage.play(action)
    history = stage.watcher.history
    assert history is not None
    orders = {revision.version: revision.order for revision in history.revisions}
    assert (orders["1.0.0"], orders["1.30.0"]) == (0, 30)
    assert stage.watcher.ever == set()  # which version came first after it is not known any more
    assert [note.reason for note in stage.watcher.shown] == [SkipReason.ROLLBACK_UNCLEAR]


def test_a_template_that_never_took_effect_is_no_rollback() -> None:
    """Undone before the controller wrote its status: V2 is not marked."""
    stage = played("deploy 1.1.0", "promote", "skip 1.0.0", "undo 2")
    assert stage.watcher.ever == set()
    assert [note.reason for note in stage.watcher.shown] == [SkipReason.HISTORY_GAP]


def test_revisions_that_began_and_ended_between_two_observations_are_not_known() -> None:
    """One note names them, once."""
    before = after(FIRST)
    seen = observation("V5", "V5", V1, template("V4", 4), template("V5", 5))
    history = advance(before, seen, NOW)
    assert states(history) == {1: State.PROMOTED, 4: State.UNKNOWN, 5: State.PROMOTED}
    (note,) = notes(before, history)
    assert (note.reason, "revisions 2 to 4" in note.message) == (SkipReason.HISTORY_GAP, True)
    assert notes(history, advance(history, seen, NOW)) == ()


def test_a_retry_that_was_promoted_and_replaced_between_two_observations_clears() -> None:
    """The levels show that V2 is stable while V3 is in flight."""
    failed = observation("V2", "V1", V1, V2, failing=aborted())
    history = after(FIRST, failed, observation("V3", "V2", V1, V2, V3))
    assert marked(history) == {2: VerdictKind.RECOVERED}


def test_an_abort_is_confirmed_by_a_status_that_is_older_than_the_spec() -> None:
    """The template was changed meanwhile: revision None, and the status is still about the aborted one."""
    between = observation("V2", "V1", V1, V2, V3, revision=None, failing=aborted("metric failed"))
    history = after(FIRST, IN_FLIGHT, between, observation("V3", "V1", V1, V2, V3))
    assert marked(history) == {2: VerdictKind.ABORTED}
    assert states(history) == {1: State.PROMOTED, 2: State.ABORTED, 3: State.IN_FLIGHT}


ASKED = observation("V2", "V1", V1, V2, failing=Failing(Cause.ABORT))


@pytest.mark.parametrize("end", [pytest.param(IN_FLIGHT, id="it goes on"), pytest.param(PROMOTED, id="it is promoted")])
def test_a_mark_whose_abort_never_took_effect_is_withdrawn(end: object) -> None:
    """Also where the end of failures is kept: this was none."""
    assert marked(after(FIRST, IN_FLIGHT, ASKED)) == {2: VerdictKind.ABORTED}
    history = after(FIRST, IN_FLIGHT, ASKED, end)  # type: ignore[arg-type]
    (verdict,) = verdicts(history, Policy(retry_success=LINKED.retry_success.KEEP))
    assert (verdict.verdict, verdict.time) == (VerdictKind.RECOVERED, None)


def test_an_abort_is_taken_at_once_and_its_time_and_message_follow() -> None:
    """Two observations of one abort are one failure."""
    history = after(FIRST, IN_FLIGHT, ASKED, observation("V2", "V1", V1, V2, failing=aborted("metric failed")))
    (verdict,) = verdicts(history, Policy())
    assert (verdict.verdict, verdict.message, verdict.time) == (VerdictKind.ABORTED, "metric failed", NOW)


def test_a_number_that_is_used_twice_is_two_revisions() -> None:
    """The newest ReplicaSet was deleted by hand and the template changed: the next one gets its number."""
    other = template("V3", 2)
    history = after(FIRST, IN_FLIGHT, PROMOTED, observation("V3", "V2", V1, V2, other, failing=aborted()))
    assert [(r.number, r.version, r.state) for r in history.revisions] == [
        (1, "V1", State.PROMOTED),
        (2, "V2", State.PROMOTED),
        (2, "V3", State.ABORTED),
    ]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_of_two_replica_sets_with_one_number_the_order_of_the_list_does_not_decide(is_reversed: bool) -> None:  # noqa: FBT001
    """V2(2,4) and V3(2,3): number 2 was V2's in the end."""
    templates = [V1, template("V2", 2), template("V3", 2, 3)]
    history = after(observation("V3", "V1", *(reversed(templates) if is_reversed else templates)))
    assert [r.version for r in history.revisions] == ["V1", "V2", "V3"]


def test_a_version_that_datadog_cannot_know_is_passed_over() -> None:
    """V1, V2 without labels, V3, back to V1 marks V3; the same with V2 in another env by mistake."""
    for tags in ({"version": None}, {"env": "staging"}):
        unknown, last = template("V2", 2, **tags), template("V3", 3)
        history = after(
            FIRST,
            observation("V2", "V2", V1, unknown),
            observation("V3", "V3", V1, unknown, last),
            observation("V1", "V3", template("V1", 1, 4), unknown, last),
        )
        assert marked(history) == {3: VerdictKind.ROLLED_BACK}


def test_a_rollback_of_a_version_that_cannot_be_identified_says_so() -> None:
    """Nothing is marked, and the note says what to set."""
    unknown = template("V2", 2, version=None)
    before = after(FIRST, observation("V2", "V2", V1, unknown))
    history = advance(before, observation("V1", "V2", template("V1", 1, 3), unknown), NOW)
    (note,) = notes(before, history)
    assert (marked(history), note.reason) == ({}, SkipReason.NOT_IDENTIFIED)
    assert "label tags.datadoghq.com/version" in note.message


def test_only_the_env_was_corrected_and_then_undone() -> None:
    """The deployment of the new env is marked; Datadog finds no link across envs."""
    corrected = template("V1/b", 2, env="staging")
    history = after(
        FIRST,
        observation("V1/b", "V1/b", V1, corrected),
        observation("V1", "V1", template("V1", 1, 3), corrected),
    )
    (verdict,) = verdicts(history, Policy())
    assert (verdict.env, verdict.verdict, verdict.remediation) == ("staging", VerdictKind.ROLLED_BACK, None)


def test_a_state_that_is_shown_late_changes_nothing() -> None:
    """An abort that is shown again after its recovery, and an older revision."""
    failed = observation("V2", "V1", V1, V2, failing=aborted())
    history = after(FIRST, failed, PROMOTED)
    for late in (failed, FIRST):
        assert advance(history, late, NOW) is history


def test_another_uid_is_another_workload() -> None:
    """Deleted and created again under its name: the history begins again, and marks nothing of the old one."""
    stage = played("deploy 1.1.0", "abort")
    stage.simulator.uid = "uid-2"
    stage.show()
    assert stage.watcher.history is not None
    assert stage.watcher.history.workload.uid == "uid-2"


def test_an_exceeded_deadline_recovers_when_the_revision_completes() -> None:
    """For kinds that show only the end of an update: no stable template while one is under way."""
    late = observation("V2", "", V1, V2, failing=Failing(Cause.DEADLINE, "no progress", NOW))
    counted = Policy(causes=frozenset(Cause), deadline_grace=timedelta(minutes=10))
    history = after(FIRST, observation("V2", "", V1, V2), late)
    assert verdicts(history, Policy()) == ()
    (verdict,) = verdicts(history, counted)
    assert (verdict.verdict, verdict.not_before_time) == (VerdictKind.DEADLINE_EXCEEDED, NOW + timedelta(minutes=10))
    (verdict,) = verdicts(advance(history, PROMOTED, NOW), counted)
    assert verdict.verdict is VerdictKind.RECOVERED


def test_a_deployment_that_exceeded_its_deadline_and_is_taken_back_is_an_undo() -> None:
    """Without a stable template: the last one that was complete is it."""
    late = observation("V2", "", V1, V2, failing=Failing(Cause.DEADLINE, "no progress", NOW))
    history = after(FIRST, late, observation("V1", "V1", template("V1", 1, 3), V2))
    (verdict,) = verdicts(history, Policy())
    assert (verdict.revision, verdict.cause) == (2, Cause.UNDO)


def test_a_status_that_two_revisions_can_mean_decides_nothing() -> None:
    """V2(2,4) is between two revisions: the abort may be that of revision 4, which nobody watched."""
    again = template("V2", 2, 4)
    between = observation("V2", "V1", V1, V3, again, template("V5", 5), revision=None, failing=aborted())
    history = after(FIRST, IN_FLIGHT, between)
    assert (marked(history), states(history)[2]) == ({}, State.IN_FLIGHT)


def test_a_stable_template_with_a_newer_number_proves_no_return() -> None:
    """V1(1,3) is stable all the time: whether 3 ever took effect between V2(2) and V2(4) is not known."""
    history = after(FIRST, IN_FLIGHT, observation("V2", "V1", template("V1", 1, 3), template("V2", 2, 4)))
    assert marked(history) == {}
    assert states(history)[3] is State.UNKNOWN


def test_of_two_revisions_with_one_number_the_older_is_not_listed_twice() -> None:
    """Its state is shown late, after the newer one began."""
    history = after(FIRST, IN_FLIGHT, observation("V3", "V1", V1, template("V3", 2)))
    assert advance(history, IN_FLIGHT, NOW) is history


def test_a_time_of_an_earlier_revision_is_not_that_of_the_next_one() -> None:
    """Completed became False when V2 began, and stays so when V3 supersedes it and when V2 comes back."""
    began = NOW + timedelta(minutes=1)
    second = observation("V2", "V1", V1, V2, began_time=began)
    other = replace(V3, created_time=NOW + timedelta(minutes=2))
    third = observation("V3", "V1", V1, V2, other, began_time=began)
    fourth = observation("V2", "V1", V1, template("V2", 2, 4), other, began_time=began)
    *_, superseded, last = after(FIRST, second, third, fourth).revisions
    assert (last.started_time, superseded.ended_time) == (NOW + timedelta(minutes=3), NOW + timedelta(minutes=3))


def test_a_rollback_over_revisions_that_were_deleted_unwatched_is_unclear() -> None:
    """Between V1(1) and V5(5) three revisions are missing: the first deployment after V1 may be one of them."""
    newest = template("V5", 5)
    before = after(FIRST, observation("V5", "V5", V1, newest))
    history = advance(before, observation("V1", "V5", template("V1", 1, 6), newest), NOW)
    assert marked(history) == {}
    assert [note.reason for note in notes(before, history)] == [SkipReason.ROLLBACK_UNCLEAR]
