"""What is found beside what is on record: which of both counts, and in which order changes are written."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dora_operator.domain.fields import OnMissing
from dora_operator.domain.rollout.decide import context_of, decide, decide_in_order
from dora_operator.domain.rollout.identity import identify
from dora_operator.domain.rollout.observation import Observation, observe
from dora_operator.domain.rollout.timeline import Promotion
from dora_operator.domain.rollout.verdict import Decision, Policy, SkipReason, Verdict, VerdictKind
from tests.support.builders import link
from tests.unit.rollout.operator_stand_in import LINKED, NOW, observed
from tests.unit.rollout.stories import Stage, observation_of, played


def aborted(*, on_missing: str | None = None) -> Observation:
    """Return the aborted revision 2."""
    stage = played("deploy 1.1.0", "abort")
    if on_missing is not None:
        stage.simulator.levels.rollout["metadata"]["annotations"]["dora-operator.io/on-missing"] = on_missing
    return observation_of(stage)


(FOUND,) = decide(aborted(), [], Policy(), NOW).verdicts
OLD_HASH = replace(FOUND, pod_template_hash="of-a-former-template")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(FOUND, FOUND, id="the same: no change"),
        pytest.param(
            replace(OLD_HASH, verdict=VerdictKind.RECOVERED, revision=1, decided_by_revision=1),
            OLD_HASH,
            id="recovered before: it failed again; the record keeps its name",
        ),
        pytest.param(
            replace(OLD_HASH, revision=1, decided_by_revision=1), OLD_HASH, id="an earlier revision of this version"
        ),
        pytest.param(
            replace(OLD_HASH, decided_by_revision=1), replace(OLD_HASH, decided_by_revision=1), id="marked already"
        ),
        pytest.param(
            replace(OLD_HASH, verdict=VerdictKind.REVERTED), OLD_HASH, id="reverted: the abort by the same revision"
        ),
        pytest.param(
            replace(OLD_HASH, verdict=VerdictKind.REVERTED, decided_by_revision=1),
            replace(OLD_HASH, verdict=VerdictKind.REVERTED, decided_by_revision=1),
            id="reverted by another revision: marked already",
        ),
        pytest.param(
            replace(OLD_HASH, revision=1, decided_by_revision=3),
            replace(OLD_HASH, revision=1, decided_by_revision=3),
            id="decided later",
        ),
        pytest.param(
            replace(OLD_HASH, revision=1), replace(OLD_HASH, revision=1), id="decided by this revision, about another"
        ),
        pytest.param(replace(OLD_HASH, time=None, message=None), OLD_HASH, id="an abort gets its time and message"),
        pytest.param(
            replace(OLD_HASH, message="as it was"),
            replace(OLD_HASH, message="as it was"),
            id="its time is known already",
        ),
        pytest.param(
            replace(OLD_HASH, verdict=VerdictKind.UNDONE, time=None),
            replace(OLD_HASH, verdict=VerdictKind.UNDONE, time=None),
            id="no abort: its time stays open",
        ),
    ],
)
def test_which_of_a_record_and_a_finding_counts(record: Verdict, expected: Verdict) -> None:
    """Deciding again changes nothing."""
    decision = decide(aborted(), [record], Policy(), NOW)
    assert decision.verdicts == (expected,)
    assert decision.changes == (() if expected == record else (expected,))
    assert decide(aborted(), decision.verdicts, Policy(), NOW).changes == ()


@pytest.mark.parametrize(
    ("record", "on_missing"),
    [
        pytest.param(FOUND, OnMissing.CREATE, id="annotated after the failure"),
        pytest.param(replace(FOUND, time=None), OnMissing.CREATE, id="annotated before its time was known"),
        pytest.param(replace(FOUND, decided_by_revision=1), None, id="the record is about another cause"),
    ],
)
def test_an_annotation_for_missing_deployments(record: Verdict, on_missing: OnMissing | None) -> None:
    """It counts for the failure that the Rollout shows now."""
    (found,) = decide(aborted(on_missing="Create"), [record], Policy(), NOW).verdicts
    assert found.on_missing == on_missing


def test_a_record_of_a_deleted_rollout_is_left_alone() -> None:
    """Another uid is another Rollout."""
    decision = decide(aborted(), [replace(FOUND, uid="another")], Policy(), NOW)
    assert decision.verdicts == decision.changes == (FOUND,)


def test_of_two_records_for_one_deployment_the_later_counts() -> None:
    """In whichever order they are listed."""
    early = replace(OLD_HASH, revision=1, decided_by_revision=1, verdict=VerdictKind.RECOVERED)
    for records in ([early, FOUND], [FOUND, early]):
        assert decide(aborted(), records, Policy(), NOW).verdicts == (FOUND,)


def test_marks_come_before_links_and_links_before_cleared_marks() -> None:
    """What makes the numbers wrong the longest comes first."""
    stage = played("deploy 1.1.0", "abort", "deploy 1.2.0", "abort", policy=LINKED)
    records = stage.operator.records
    stage.after_write = lambda _: None
    stage.play("retry")
    stage.play("promote")
    decision = decide(observation_of(stage), records, LINKED, NOW, stage.operator.memory)
    assert [(each.version, each.verdict, each.remediation) for each in decision.changes] == [
        ("1.1.0", VerdictKind.ABORTED, replace(link(version="1.2.0"), type="rollforward")),
        ("1.2.0", VerdictKind.RECOVERED, None),
    ]
    assert [each.version for each in decision.verdicts] == ["1.1.0", "1.2.0"]


def states(*actions: str, before: tuple[str, ...] = ()) -> tuple[list[Observation], Stage]:
    """Return what was seen after each of the actions, without a decision in between."""
    stage = played(*before)
    stage.after_write = lambda _: None
    found = []
    for action in actions:
        stage.play(action)
        found.append(observation_of(stage))
    return found, stage


def in_order(observations: list[Observation], stage: Stage, records: list[Verdict] | None = None) -> Decision:
    """Decide about all of them at once."""
    known = stage.operator.records if records is None else records
    return decide_in_order(observations, known, Policy(), NOW, stage.operator.memory)


def test_what_failed_and_recovered_in_between_is_no_fact() -> None:
    """Nothing was sent, so there is nothing to withdraw; a mark on record is withdrawn."""
    observations, stage = states("abort", "retry", "promote", before=("deploy 1.1.0",))
    decision = in_order(observations, stage)
    assert decision.verdicts == decision.changes == ()
    known = in_order(observations, stage, [FOUND])
    assert [each.verdict for each in known.verdicts] == [each.verdict for each in known.changes]
    assert [each.verdict for each in known.changes] == [VerdictKind.RECOVERED]


def test_changes_of_all_states_are_written_in_one_order() -> None:
    """Aborts first, though another state came between them."""
    observations, stage = states("abort", "deploy 1.2.0", "abort", before=("deploy 1.1.0",))
    decision = in_order(observations, stage)
    assert [each.version for each in decision.changes] == ["1.1.0", "1.2.0"]
    assert decision.verdicts == decision.changes


def test_what_was_skipped_in_between_is_reported_once() -> None:
    """A failed version without labels, in two states."""
    observations, stage = states("abort", "abort", "deploy 1.2.0", before=("deploy 1.1.0",))
    decision = in_order([_without_labels(each, 2) for each in observations], stage)
    assert [each.reason for each in decision.skipped] == [SkipReason.NOT_IDENTIFIED]
    assert decision.changes == ()


def _without_labels(observation: Observation, revision: int) -> Observation:
    """Return an observation where the pod template of one revision names nothing."""
    found = tuple(
        replace(each, identity=identify({})) if revision in each.numbers else each for each in observation.replica_sets
    )
    return observe(observation.rollout, found)


def test_the_context_of_a_rollout_without_revisions() -> None:
    """There is none; with revisions it has the newest, and what is certain about it."""
    assert context_of(observed({"metadata": {"uid": "x"}}, []), [], Policy(), NOW) is None
    stage = played("deploy 1.1.0", "abort")
    context = context_of(observation_of(stage), [FOUND], LINKED, NOW, stage.operator.memory)
    assert context is not None
    assert context.timeline.current.number == 2
    assert (context.policy, context.now, context.memory) == (LINKED, NOW, stage.operator.memory)
    assert [each.promotion for each in context.timeline.entries] == [Promotion.PROMOTED, Promotion.NOT_PROMOTED]
    assert context_of(observation_of(stage), [], Policy(lookback=timedelta(0)), NOW) is not None


def test_the_context_between_two_revisions() -> None:
    """It goes up to the revision that the Rollout names; else to the newest that a ReplicaSet has."""
    observation = observation_of(played("deploy 1.1.0", "promote"))
    between = replace(observation, rollout=replace(observation.rollout, current_hash="of-no-replica-set"))
    for revision, newest in ((1, 1), (2, 2), (None, 2)):
        context = context_of(replace(between, rollout=replace(between.rollout, revision=revision)), [], Policy(), NOW)
        assert context is not None
        assert context.timeline.current.number == newest
