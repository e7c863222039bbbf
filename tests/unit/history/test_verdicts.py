"""What a verdict says beyond the mark: which deployment it is, what counts, and several workloads of one identity."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dora_operator.domain.history.advance import advance
from dora_operator.domain.history.history import History, PinnedDeployment, VerdictKind, pinned
from dora_operator.domain.history.policy import AbortRecovery, Policy, RetrySuccess
from dora_operator.domain.history.verdicts import SkipReason, Verdict, is_change_failure, notes, verdicts
from tests.unit.history.objects import NOW, aborted, after, observation, template
from tests.unit.history.stories import LINKED, Watcher, played

V1, V2 = template("V1", 1), template("V2", 2)
FIRST = observation("V1", "V1", V1)
FAILED = observation("V2", "V1", V1, V2, failing=aborted(time=NOW + timedelta(minutes=1)))
ID, OTHER_ID = "4242fcdd31586083", "5353fcdd31586083"


def test_the_span_of_a_new_version_is_that_of_its_revision() -> None:
    """From the creation of its ReplicaSet to the abort; there is no other revision of the version."""
    (verdict,) = verdicts(after(FIRST, FAILED), Policy())
    assert (verdict.is_first, verdict.span.started, verdict.span.ended) == (
        True,
        V2.created_time,
        NOW + timedelta(minutes=1),
    )
    assert (verdict.span.earlier_ended, verdict.span.next_started) == (None, None)


def test_an_aborted_rollback_is_about_the_redeployment() -> None:
    """V1 was a good deployment: its end bounds the search, and it is never marked by version."""
    promoted = observation("V2", "V2", V1, V2)
    back = observation("V1", "V2", template("V1", 1, 3), V2)
    history = after(FIRST, promoted, back, replace(back, failing=aborted(time=NOW + timedelta(minutes=3))))
    of_v1 = next(verdict for verdict in verdicts(history, Policy()) if verdict.version == "V1")
    assert (of_v1.revision, of_v1.verdict, of_v1.is_first) == (3, VerdictKind.ABORTED, False)
    assert of_v1.span.started == NOW + timedelta(minutes=2)  # not the creation of the ReplicaSet
    assert of_v1.span.earlier_ended == history.revisions[0].ended_time


def test_a_rollback_marks_the_first_deployment_of_a_version_and_not_its_return() -> None:
    """V1, V2, V3, back to V2, back to V1: the second step marks revision 2, which ends before revision 4 begins."""
    watcher = played(
        *["deploy 1.1.0", "promote", "deploy 1.2.0", "promote", "undo 2", "promote", "undo 1", "promote"]
    ).watcher
    second = next(verdict for verdict in watcher.verdicts if verdict.version == "1.1.0")
    assert watcher.history is not None
    assert (second.revision, second.is_first) == (2, True)
    assert second.span.next_started == watcher.history.revisions[3].started_time


@pytest.mark.parametrize(
    ("served", "policy", "counts"),
    [
        pytest.param(False, Policy(), True, id="every abort counts"),
        pytest.param(False, Policy(served=True), False, id="served: not before a new pod was ready"),
        pytest.param(True, Policy(served=True), True, id="served: a new pod had been ready"),
        pytest.param(True, Policy(causes=frozenset()), False, id="the cause does not count"),
        pytest.param(True, Policy(envs=frozenset({"prod"})), True, id="the env counts"),
        pytest.param(True, Policy(envs=frozenset({"live"})), False, id="another env counts"),
    ],
)
def test_what_counts(served: bool, policy: Policy, counts: bool) -> None:  # noqa: FBT001
    """The policy leaves verdicts out; the history has the failure all the same."""
    history = after(FIRST, observation("V2", "V1", V1, V2, served=served), FAILED)
    assert history.revisions[-1].failure is not None
    assert len(verdicts(history, policy)) == counts


@pytest.mark.parametrize(
    ("policy", "kind"),
    [(Policy(), VerdictKind.RECOVERED), (Policy(retry_success=RetrySuccess.KEEP), VerdictKind.KEPT)],
)
def test_a_retry_that_is_promoted(policy: Policy, kind: VerdictKind) -> None:
    """It recovers with the time of the promotion, about the revision that was marked."""
    promoted = observation("V2", "V2", V1, V2, promoted_time=NOW + timedelta(minutes=9))
    (verdict,) = verdicts(after(FIRST, FAILED, promoted), policy)
    assert (verdict.revision, verdict.verdict, verdict.time) == (2, kind, NOW + timedelta(minutes=9))


def test_an_abort_is_linked_to_the_next_version_only_where_that_is_wanted() -> None:
    """`abortRecovery`."""
    history = after(FIRST, FAILED, observation("V3", "V3", V1, V2, template("V3", 3)))
    (verdict,) = verdicts(history, Policy())
    assert verdict.remediation is None
    (linked,) = verdicts(history, Policy(abort_recovery=AbortRecovery.NEXT_VERSION))
    assert linked.remediation is not None
    assert linked.remediation.version == "V3"


def test_a_link_names_the_id_where_the_template_has_one() -> None:
    """By id, and by version where it has none."""
    first, second = template("V1", 1, deployment_id=ID), template("V2", 2, deployment_id=OTHER_ID)
    again = template("V1", 1, 3, deployment_id=ID)
    history = after(
        observation("V1", "V1", first), observation("V2", "V2", first, second), observation("V1", "V1", again, second)
    )
    (verdict,) = verdicts(history, Policy())
    assert (verdict.deployment_id, verdict.remediation and verdict.remediation.id) == (OTHER_ID, ID)


def test_an_id_that_ran_before_is_not_marked_when_it_is_aborted() -> None:
    """It names the deployment of the earlier revision, which was good."""
    first, second = template("V1", 1, deployment_id=ID), template("V2", 2)
    back = observation("V1", "V2", template("V1", 1, 3, deployment_id=ID), second)
    before = after(observation("V1", "V1", first), observation("V2", "V2", first, second), back)
    history = advance(before, replace(back, failing=aborted()), NOW)
    assert [verdict.version for verdict in verdicts(history, Policy())] == ["V2"]
    assert [note.reason for note in notes(before, history)] == [SkipReason.ID_ALREADY_DEPLOYED]


def test_an_id_of_two_versions_is_not_marked() -> None:
    """The template of V2 still has the id of V1: which deployment it names is not known."""
    first, second = template("V1", 1, deployment_id=ID), template("V2", 2, deployment_id=ID)
    before = after(observation("V1", "V1", first), observation("V2", "V1", first, second))
    history = advance(before, observation("V2", "V1", first, second, failing=aborted()), NOW)
    assert verdicts(history, Policy()) == ()
    assert [note.reason for note in notes(before, history)] == [SkipReason.NOT_IDENTIFIED]


def test_the_abort_of_a_change_of_configuration_is_noted_once() -> None:
    """The stable revision is the same deployment to Datadog, and runs well."""
    other = template("V1/b", 2)
    before = after(FIRST, observation("V1/b", "V1", V1, other))
    failed = observation("V1/b", "V1", V1, other, failing=aborted())
    history = advance(before, failed, NOW)
    assert verdicts(history, Policy()) == ()
    assert [note.reason for note in notes(before, history)] == [SkipReason.SAME_AS_STABLE]
    assert notes(history, advance(history, failed, NOW)) == ()


def _of(uid: str, kind: VerdictKind, *, pinned_to: str = "", **tags: str) -> Verdict:
    history = after(FIRST, FAILED)
    if pinned_to:
        history = pinned(history, 2, "V2", PinnedDeployment(id=pinned_to))
    (verdict,) = verdicts(history, LINKED)
    return replace(verdict, uid=uid, verdict=kind, **tags)  # type: ignore[arg-type]


ABORTED, RECOVERED = VerdictKind.ABORTED, VerdictKind.RECOVERED


@pytest.mark.parametrize(
    ("verdict", "others", "expected"),
    [
        pytest.param(_of("eu", RECOVERED), [_of("us", ABORTED)], True, id="another one still fails"),
        pytest.param(_of("eu", RECOVERED), [_of("us", RECOVERED)], False, id="none fails"),
        pytest.param(_of("eu", RECOVERED), [], False, id="alone"),
        pytest.param(_of("eu", ABORTED), [_of("us", RECOVERED)], True, id="it fails itself"),
        pytest.param(_of("eu", RECOVERED), [_of("us", ABORTED, env="live")], False, id="another env fails"),
        pytest.param(
            _of("eu", RECOVERED, pinned_to="a"),
            [_of("us", ABORTED, pinned_to="b")],
            False,
            id="a deployment of its own",
        ),
        pytest.param(
            _of("eu", RECOVERED, pinned_to="a"), [_of("us", ABORTED, pinned_to="a")], True, id="the same deployment"
        ),
        pytest.param(
            _of("eu", RECOVERED, pinned_to="a"), [_of("us", ABORTED)], True, id="it may be the same deployment"
        ),
        pytest.param(_of("eu", RECOVERED), [_of("eu", ABORTED)], False, id="another revision of this workload"),
    ],
)
def test_a_deployment_of_several_workloads_fails_while_any_of_them_fails(
    verdict: Verdict, others: list[Verdict], expected: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """And does not when none of them does, whichever record is older."""
    assert is_change_failure(verdict, others) is expected


def test_what_was_shown_is_a_history_without_a_deployment_in_datadog() -> None:
    """A pinned deployment is in the verdict, and survives later observations."""
    history: History = pinned(after(FIRST, FAILED), 2, "V2", PinnedDeployment(id=ID, change_failure=True, time=NOW))
    later = advance(history, observation("V3", "V3", V1, V2, template("V3", 3)), NOW)
    (verdict,) = verdicts(later, Policy())
    assert verdict.datadog_id == ID


def test_keep_is_a_policy_of_verdicts_alone() -> None:
    """The same history says Recovered or Kept."""
    watcher = played("deploy 1.1.0", "abort", "retry", "promote", watcher=Watcher(LINKED)).watcher
    assert watcher.history is not None
    kept = verdicts(watcher.history, replace(LINKED, retry_success=RetrySuccess.KEEP))
    assert [verdict.change_failure for verdict in (*watcher.verdicts, *kept)] == [False, True]
