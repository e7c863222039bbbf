"""Which deployment a late mark is sent to: by id, by version, or to none yet. No requests here."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from dora_operator.domain.late import PROMPT, is_deployed_again, is_late, is_missing_for_long, locate
from dora_operator.domain.rollout.observation import ReplicaSet, parse_replica_sets, parse_rollout
from dora_operator.domain.rollout.verdict import Verdict, VerdictKind
from hypothesis import given
from hypothesis import strategies as st

from dora_operator.domain.outcome import TryAgain
from dora_operator.domain.reasons import Reason
from dora_operator.domain.resource import DoraDeploymentStatus, HistoryEntry, MarkState, Target, TargetKind
from dora_operator.domain.stored import ReadProblem, Stored, StoredDeployment
from tests.support.builders import FAILURE, FORBIDDEN, NOW, PINNED, TAGS, TARGET, UNAVAILABLE, after
from tests.support.levels import Rollout

ABORTED = Verdict(
    name="checkout",
    uid="uid-1",
    revision=2,
    pod_template_hash="h2",
    verdict=VerdictKind.ABORTED,
    decided_by_revision=2,
    time=NOW,
    **TAGS,
)
RECOVERED = replace(ABORTED, verdict=VerdictKind.RECOVERED)
STABLE = MarkState(change_failure=False)


def row(deployment_id: str, began: float | None, finished: float | None, **fields: Any) -> StoredDeployment:
    """Return a deployment of version 2, as Datadog has it."""
    times = {name: after(at) for name, at in (("started_at", began), ("finished_at", finished)) if at is not None}
    return StoredDeployment(deployment_id, **(TAGS | times | {"has_mark": True, "change_failure": False} | fields))


FAILED, RETRY = row("failed", -60, -5), row("retry", 100, 200)


# When a mark is late


@pytest.mark.parametrize(
    ("seconds", "is_again", "changes", "expected"),
    [
        pytest.param(0, False, {}, False, id="at once"),
        pytest.param(60, False, {}, False, id="within a minute"),
        pytest.param(61, False, {}, True, id="after more than a minute"),
        pytest.param(61, None, {}, True, id="after more than a minute, before the Rollouts are listed"),
        pytest.param(5, True, {}, True, id="at once, and deployed again already"),
        pytest.param(5, None, {}, False, id="at once, before the Rollouts are listed"),
        pytest.param(-5, False, {}, False, id="the clock is behind"),
        pytest.param(61, False, {"target": PINNED}, False, id="the id is known"),
        pytest.param(61, True, {"verdict": replace(ABORTED, time=None)}, False, id="the time is not known"),
        pytest.param(61, True, {"state": STABLE}, False, id="the spec says that it did not fail"),
        pytest.param(0, False, {"verdict": RECOVERED, "state": STABLE}, True, id="the end of a failure"),
        pytest.param(61, True, {"verdict": RECOVERED}, False, id="the spec says that it failed, after its end"),
    ],
)
def test_when_a_mark_is_late(seconds: float, is_again: bool | None, changes: dict[str, Any], expected: bool) -> None:  # noqa: FBT001
    """A prompt mark stays one request."""
    given_values = {"target": TARGET, "state": FAILURE, "verdict": ABORTED} | changes
    assert is_late(now=after(seconds), is_again=is_again, **given_values) is expected


# Whether the cluster knows of a later deployment


def seen(*steps: str) -> tuple[Any, tuple[ReplicaSet, ...]]:
    """Return a Rollout after some steps, with its ReplicaSets."""
    rollout = Rollout()
    for step in ("deploy h1 1", "promote", "deploy h2 2", *steps):
        word, *arguments = step.split()
        getattr(rollout, word)(*arguments)
    bodies = [rollout._replica_set(each) for each in rollout.templates]
    return parse_rollout(rollout.body()), parse_replica_sets(rollout.uid, bodies)


ROLLED_BACK = replace(ABORTED, verdict=VerdictKind.ROLLED_BACK, decided_by_revision=3)


@pytest.mark.parametrize(
    ("steps", "verdict", "expected"),
    [
        pytest.param(("abort",), ABORTED, False, id="still aborted"),
        pytest.param(("abort", "retry"), ABORTED, True, id="tried again"),
        pytest.param(("abort", "retry", "promote"), ABORTED, True, id="tried again and promoted"),
        pytest.param(("abort", "retry", "abort"), ABORTED, False, id="tried again and aborted again"),
        pytest.param(("abort", "deploy h1"), ABORTED, False, id="back to the stable version"),
        pytest.param(("abort", "deploy h3 3"), ABORTED, False, id="a newer version"),
        pytest.param(("abort", "deploy h3 2"), ABORTED, True, id="another pod template of the same version"),
        pytest.param(("abort", "deploy h1", "deploy h2"), ABORTED, True, id="the same pod template later"),
        pytest.param(("promote", "deploy h1"), ROLLED_BACK, False, id="rolled back"),
        pytest.param(("promote", "deploy h1", "promote", "deploy h2"), ROLLED_BACK, True, id="rolled back and forward"),
        pytest.param(("abort",), replace(ABORTED, uid="uid-0"), True, id="another Rollout of this name runs it"),
        pytest.param(
            ("abort",), replace(ABORTED, uid="uid-0", version="9"), False, id="another Rollout of this name does not"
        ),
    ],
)
def test_what_the_cluster_knows(steps: tuple[str, ...], verdict: Verdict, expected: bool) -> None:  # noqa: FBT001
    """By the Rollout and the numbers on its ReplicaSets."""
    rollout, replica_sets = seen(*steps)
    assert is_deployed_again(verdict, rollout, replica_sets) is expected


# Which deployment is meant


def located(stored: Stored | ReadProblem, verdict: Verdict = ABORTED, *, is_again: bool | None = False) -> object:
    """Return the id to mark, "by version", the reason for none, or None."""
    found = locate(stored, TARGET, verdict, is_again=is_again)
    if isinstance(found, TryAgain):
        return found.reason
    return found and (found.id or "by version")


@pytest.mark.parametrize(
    ("stored", "is_again", "expected"),
    [
        pytest.param((FAILED,), False, "failed", id="one"),
        pytest.param((FAILED,), None, "failed", id="one, before the Rollouts are listed"),
        pytest.param((FAILED, RETRY), True, "failed", id="the failed one and a later one"),
        pytest.param((FAILED, RETRY), False, "failed", id="the same, of which the cluster does not know"),
        pytest.param((row("failed", -60, 5),), True, "failed", id="one that was under way at the verdict"),
        pytest.param((row("failed", 0, 5),), True, "failed", id="one that began with the verdict"),
        pytest.param(
            (row("old", -900, -800), row("failed", -60, 5), RETRY), True, "failed", id="older, under way and later"
        ),
        pytest.param((row("old", -900, -800), FAILED, RETRY), True, "failed", id="older, failed and later"),
        pytest.param((row("a", -60, -5), row("b", -50, -5)), False, Reason.AMBIGUOUS, id="two of the same second"),
        pytest.param((row("a", -60, 5), row("b", -50, 6)), True, Reason.AMBIGUOUS, id="two under way"),
        pytest.param((RETRY,), True, Reason.DEPLOYMENT_MISSING, id="a later one alone"),
        pytest.param((RETRY,), False, Reason.DEPLOYMENT_MISSING, id="the same, of which the cluster does not know"),
        pytest.param((RETRY,), None, Reason.DEPLOYMENT_MISSING, id="the same, before the Rollouts are listed"),
        pytest.param((), True, Reason.DEPLOYMENT_MISSING, id="none, and deployed again: the next may be the retry"),
        pytest.param((), False, "by version", id="none: as a prompt mark"),
        pytest.param((), None, None, id="none, before the Rollouts are listed"),
        pytest.param((replace(RETRY, version="3"),), False, "by version", id="another version is none"),
        pytest.param(FORBIDDEN, False, "by version", id="no permission: as a prompt mark"),
        pytest.param(FORBIDDEN, True, Reason.AMBIGUOUS, id="no permission, and deployed again"),
        pytest.param(FORBIDDEN, None, None, id="no permission, before the Rollouts are listed"),
        pytest.param(UNAVAILABLE, False, "by version", id="an outage: as a prompt mark"),
        pytest.param(UNAVAILABLE, True, Reason.DATADOG_UNAVAILABLE, id="an outage, and deployed again"),
    ],
)
def test_the_deployment_of_a_late_mark(
    stored: Stored | ReadProblem,
    is_again: bool | None,  # noqa: FBT001
    expected: object,
) -> None:
    """Never a later one; by version only where none is known."""
    assert located(stored, is_again=is_again) == expected


MARKED = {"change_failure": True}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param((row("marked", -60, -50, **MARKED), row("promoted", -9, 0)), "marked", id="the marked one"),
        pytest.param((FAILED, row("promoted", -9, 0)), "by version", id="none is marked"),
        pytest.param((row("a", -60, -5, **MARKED), row("b", -9, 0, **MARKED)), "by version", id="both are marked"),
        pytest.param((row("later", 5, 9, **MARKED),), "by version", id="a later failure stays marked"),
        pytest.param((row("other", -9, 0, version="3", **MARKED),), "by version", id="another version stays marked"),
        pytest.param(FORBIDDEN, "by version", id="no permission"),
        pytest.param(UNAVAILABLE, "by version", id="an outage"),
    ],
)
def test_the_end_of_a_failure(stored: Stored | ReadProblem, expected: str) -> None:
    """The deployment that has the mark, not the promoted one."""
    assert located(stored, RECOVERED, is_again=True) == expected


@pytest.mark.parametrize(
    ("stored", "is_again", "words"),
    [
        pytest.param((row("a", -60, -5), row("b", -50, -5)), False, "spec.deployment.id", id="several"),
        pytest.param((RETRY,), False, "onMissing: Create", id="a later one alone"),
        pytest.param(FORBIDDEN, True, "dora_metrics_read", id="no permission"),
    ],
)
def test_a_message_names_the_fix(stored: Stored | ReadProblem, is_again: bool, words: str) -> None:  # noqa: FBT001
    """And the deployment that is not marked."""
    found = locate(stored, TARGET, ABORTED, is_again=is_again)
    assert isinstance(found, TryAgain)
    assert words in found.message
    assert "checkout 2 in prod" in found.message


ROWS = st.lists(
    st.builds(
        lambda number, began, lasted, fields: row(f"row-{number}", began, began + lasted, **fields),
        st.integers(0, 9),
        st.integers(-50, 50),
        st.integers(0, 30),
        st.fixed_dictionaries({}, optional={"version": st.just("3"), "change_failure": st.booleans()}),
    ),
    unique_by=lambda each: each.id,
    max_size=5,
).map(tuple)


@given(
    stored=ROWS | st.sampled_from([FORBIDDEN, UNAVAILABLE]),
    is_again=st.sampled_from([True, False, None]),
    verdict=st.sampled_from([ABORTED, ROLLED_BACK, replace(ABORTED, verdict=VerdictKind.KEPT)]),
)
def test_a_later_deployment_is_never_marked(
    stored: Stored | ReadProblem,
    is_again: bool | None,  # noqa: FBT001
    verdict: Verdict,
) -> None:
    """By id: one of the version that began not after the verdict. By version: only where no other can be meant."""
    found = locate(stored, TARGET, verdict, is_again=is_again)
    rows = () if isinstance(stored, ReadProblem) else stored
    of_version = {each.id: each for each in rows if each.version == "2"}
    if isinstance(found, Target) and found.id is not None:
        began = of_version[found.id].started_at
        assert began is not None
        assert began <= NOW
        assert found == replace(TARGET, by=TargetKind.ID, id=found.id)
    elif isinstance(found, Target):
        assert found == TARGET
        assert is_again is False
        assert not of_version
    elif found is None:
        assert is_again is None
    if not isinstance(stored, ReadProblem):
        assert locate(stored[::-1], TARGET, verdict, is_again=is_again) == found


# When a missing deployment is created


@pytest.mark.parametrize(
    ("seconds", "reasons", "expected"),
    [
        pytest.param(900, [Reason.DEPLOYMENT_MISSING], True, id="missing for 15 minutes"),
        pytest.param(900, [Reason.DEPLOYMENT_MISSING, Reason.FORBIDDEN], True, id="missing for 15 minutes, now"),
        pytest.param(899, [Reason.DEPLOYMENT_MISSING], False, id="missing for less"),
        pytest.param(900, [Reason.AMBIGUOUS, Reason.DEPLOYMENT_MISSING], False, id="there are several by now"),
        pytest.param(900, [Reason.DATADOG_UNAVAILABLE], False, id="Datadog was away"),
        pytest.param(900, [], False, id="nothing has happened yet"),
    ],
)
def test_when_the_missing_event_is_posted(seconds: float, reasons: list[Reason], *, expected: bool) -> None:
    """It was missing at a read 15 minutes ago, and nothing else has happened since."""
    status = DoraDeploymentStatus(history=tuple(HistoryEntry(time=NOW, reason=reason) for reason in reasons))
    assert is_missing_for_long(status, after(seconds)) is expected


def test_a_minute_is_prompt() -> None:
    """The documentation says so."""
    assert timedelta(minutes=1) == PROMPT
